//! Some engines in one process.

mod batch;
mod broadcast;
mod capacity;
mod cluster;
mod direct;
mod follow;
mod many;
mod scan;
mod together;
mod versions;
