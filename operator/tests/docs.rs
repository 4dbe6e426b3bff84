//! The pages for users say what the code does: every field of the resource is in docs/resource.md, every reason of a condition and every Event in
//! docs/status.md, every preset in docs/frameworks.md.

use std::path::Path;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{JSONSchemaProps, JSONSchemaPropsOrArray};

/// Fields of Kubernetes' own types, which are described elsewhere.
const KUBERNETES: [&str; 5] = ["env", "resources", "readinessProbe", "livenessProbe", "securityContext"];

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).expect("a file of this repository")
}

/// Paths of all fields below `path` that have no fields of their own.
fn leaves(path: &str, schema: &JSONSchemaProps, found: &mut Vec<String>) {
    let own = !KUBERNETES.iter().any(|name| path.ends_with(&format!(".{name}")));
    if let Some(properties) = schema.properties.as_ref().filter(|_| own) {
        properties.iter().for_each(|(name, child)| leaves(&format!("{path}.{name}"), child, found));
    } else if let Some(JSONSchemaPropsOrArray::Schema(item)) = schema.items.as_ref().filter(|_| own && path.ends_with("sources")) {
        leaves(&format!("{path}[]"), item, found);
    } else {
        found.push(path.to_owned());
    }
}

#[test]
fn every_field_of_the_resource_is_described() {
    let page = read("docs/resource.md");
    let crd = holdfast_api::crds().remove(0).definition;
    let schema = crd.spec.versions[0].schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref()).expect("a schema");
    let mut fields = Vec::new();
    leaves("spec", &schema.properties.as_ref().expect("properties")["spec"], &mut fields);
    assert!(fields.len() > 20, "{fields:?}");
    for field in fields {
        assert!(page.contains(&format!("`{field}`")), "docs/resource.md does not describe {field}");
    }
}

#[test]
fn every_preset_is_described_with_what_it_stands_for() {
    let page = read("docs/frameworks.md");
    for name in ["Django", "Express", "Spring", "Tomcat", "Rails", "PHP", "Laravel", "Flask", "Rust"] {
        let preset: holdfast_api::Preset = serde_json::from_value(name.into()).expect(name);
        let row = page.lines().find(|line| line.starts_with(&format!("| `{name}` |"))).expect(name);
        assert!(row.contains(&format!("| `{}` |", preset.cookie())), "{row}");
        // Long ones are described in words.
        for key in preset.keys().iter().filter(|key| key.len() < 40) {
            assert!(row.contains(&format!("`{key}`")), "{key} is not in {row}");
        }
        for (variable, _) in preset.environment() {
            assert!(row.contains(variable), "{variable} is not in {row}");
        }
    }
}

/// Texts between `before` and the next quotation mark.
fn quoted_after<'a>(source: &'a str, before: &str) -> Vec<&'a str> {
    source.split(before).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

#[test]
fn every_reason_and_every_event_is_described() {
    let page = read("docs/status.md");
    let code = ["status/verdicts.rs", "status/capacity.rs", "problems.rs", "reconcile.rs", "events.rs"]
        .map(|file| read(&format!("operator/src/{file}")))
        .concat();
    let code = code.split("#[cfg(test)]").collect::<Vec<_>>();
    let mut reasons = Vec::new();
    for part in code {
        for before in [
            "Verdict::yes(\"",
            "Verdict::no(\"",
            "Verdict::unknown(\"",
            "reason: \"",
            "problem(\"",
            "Notice::new(false, \"",
            "Notice::new(true, \"",
        ] {
            reasons.extend(quoted_after(part, before));
        }
    }
    assert!(reasons.len() > 25, "{reasons:?}");
    for reason in reasons {
        assert!(page.contains(&format!("`{reason}`")), "docs/status.md does not describe {reason}");
    }
}
