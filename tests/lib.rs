//! What Holdfast is tested with: a real Kubernetes on this machine, and what runs on it.

pub mod cluster;
pub mod harness;
pub mod nemesis;
pub mod shoppers;
pub mod stage;
