//! Holdfast's operator: `SessionCluster` -> Kubernetes objects -> status.
//!
//! A pipeline, one module a step: [`dereference`] (reads), [`validate`] (pure), [`pace`] and [`build`] (pure), [`apply`] (writes), [`status`] (pure),
//! put together by [`reconcile`]. It never decides who owns a session: the runtime drives, the operator paces.

pub mod apply;
pub mod build;
pub mod certificates;
pub mod children;
pub mod cluster;
pub mod controller;
pub mod crds;
pub mod dereference;
mod errors;
pub mod events;
pub mod lease;
pub mod memory;
mod nodes;
pub mod observed;
pub mod pace;
pub mod places;
pub mod problems;
mod quantity;
pub mod reconcile;
pub mod register;
pub mod status;
pub mod survey;
#[cfg(test)]
mod testing;
pub mod validate;
