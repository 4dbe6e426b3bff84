//! The resource definitions as files: what `crds/` and the chart hold, generated from the types.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use kube::CustomResourceExt;

use crate::{SessionCluster, SessionView};

/// A resource definition and the name of the file that holds it.
#[derive(Debug)]
pub struct CrdFile {
    /// File name, `<plural>.yaml`.
    pub name: String,
    /// What is in it.
    pub definition: CustomResourceDefinition,
}

/// The definitions of all of Holdfast's resources.
pub fn crds() -> Vec<CrdFile> {
    [SessionCluster::crd(), SessionView::crd()]
        .into_iter()
        .map(|mut definition| {
            for version in &mut definition.spec.versions {
                if let Some(schema) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()) {
                    drop_unsigned_formats(schema);
                }
            }
            CrdFile { name: format!("{}.yaml", definition.spec.names.plural), definition }
        })
        .collect()
}

/// Takes out `format: uint32` and the like, which schemars writes for Rust's unsigned integers and the API server warns about; the bounds stay.
fn drop_unsigned_formats(schema: &mut JSONSchemaProps) {
    if schema.format.as_deref().is_some_and(|format| format.starts_with("uint")) {
        schema.format = None;
    }
    schema.properties.iter_mut().flatten().for_each(|(_, child)| drop_unsigned_formats(child));
    match schema.items.as_mut() {
        Some(JSONSchemaPropsOrArray::Schema(child)) => drop_unsigned_formats(child),
        Some(JSONSchemaPropsOrArray::Schemas(children)) => children.iter_mut().for_each(drop_unsigned_formats),
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// Every schema in the definitions, with the name of its field.
    fn each(name: &str, schema: &Value, visit: &mut impl FnMut(&str, &Value)) {
        visit(name, schema);
        schema["properties"].as_object().into_iter().flatten().for_each(|(name, child)| each(name, child, visit));
        if schema["items"].is_object() {
            each(name, &schema["items"], visit);
        }
    }

    fn visit(mut visit: impl FnMut(&str, &Value)) {
        for file in crds() {
            let definition = serde_json::to_value(&file.definition).expect("serializes");
            each("", &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"], &mut visit);
        }
    }

    #[test]
    fn durations_carry_the_pattern_of_gep_2257() {
        let mut seen = 0;
        visit(|name, schema| {
            if ["ackTimeout", "heartbeatInterval", "failureTimeout", "timeout", "idleTimeout"].contains(&name) {
                assert_eq!(schema["pattern"], "^([0-9]{1,5}(h|m|s|ms)){1,4}$", "{name}");
                seen += 1;
            }
        });
        assert_eq!(seen, 5);
    }

    #[test]
    fn no_format_is_one_that_the_api_server_warns_about() {
        visit(|name, schema| assert!(!schema["format"].as_str().unwrap_or_default().starts_with("uint"), "{name}"));
    }

    #[test]
    fn whatever_has_a_default_may_be_left_out() {
        visit(|name, schema| {
            let required = schema["required"].as_array().cloned().unwrap_or_default();
            for (field, child) in schema["properties"].as_object().into_iter().flatten() {
                assert!(child.get("default").is_none() || !required.contains(&field.as_str().into()), "{name}.{field}");
            }
        });
    }
}
