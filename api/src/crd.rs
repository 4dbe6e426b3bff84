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
