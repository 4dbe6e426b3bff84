//! The binary: it reads the settings and composes the parts.

fn main() {}
