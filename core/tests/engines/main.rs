//! Some engines in one process.

mod cluster;
mod many;
mod versions;
