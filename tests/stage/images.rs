//! The images of the product and its examples: static binaries, built by cargo, each the only file of an image that is written and loaded without
//! any build tool or registry.

use std::path::PathBuf;

use holdfast_core::engine::BrokenRule;
use tokio::process::Command;

use super::{Error, Images, source};
use crate::cluster::Cluster;
use crate::cluster::archive::{self, Image};

const RUNTIME: &str = "holdfast-runtime";
/// Package, binary and image: `holdfast-runtime` is the only file of `holdfast/runtime`.
const PROGRAMS: [(&str, &str, &str); 5] = [
    ("holdfast-operator", "holdfast-operator", "operator"),
    (RUNTIME, RUNTIME, "runtime"),
    ("holdfast-gateway", "holdfast-gateway", "gateway"),
    ("shop", "shop", "shop"),
    ("kiosk", "kiosk", "kiosk"),
];
/// Static binaries need the target named, or cargo builds its own build scripts static too, which fails for procedural macros.
const TARGET: &str = "x86_64-unknown-linux-gnu";
const USER: &str = "65532:65532";

/// Builds what has changed, and writes an archive of each image to `target/images`.
///
/// # Errors
/// When cargo fails, or the archives cannot be written.
pub async fn write(images: &Images) -> Result<Vec<PathBuf>, Error> {
    let folder = PathBuf::from(source("target/images"));
    build(None).await?;
    std::fs::create_dir_all(&folder).map_err(|source| Error::File { path: folder.display().to_string(), source })?;
    let archive = |(_, program, image): (&str, &str, &str)| {
        let (reference, path) = (images.reference(image), folder.join(format!("{image}.tar")));
        archive::write(&Image { reference: &reference, program: &path_of(program), name: program, user: USER }, &path)?;
        Ok(path)
    };
    PROGRAMS.into_iter().map(archive).collect()
}

/// The image of a runtime that breaks `rule`, under the name that the lab's has.
pub(super) async fn bring_broken(cluster: &Cluster, images: &Images, rule: BrokenRule) -> Result<(), Error> {
    build(Some(rule)).await?;
    let folder = source("target/broken");
    let (program, archive) = (path_of(RUNTIME), PathBuf::from(format!("{folder}/{rule:?}.tar")));
    let unusable = |source| Error::File { path: folder.clone(), source };
    std::fs::create_dir_all(&folder).map_err(unusable)?;
    archive::write(&Image { reference: &images.reference("runtime"), program: &program, name: RUNTIME, user: USER }, &archive)?;
    // Nobody must take it for the real one. The next build puts that back.
    std::fs::remove_file(&program).map_err(unusable)?;
    Ok(cluster.load_image(&archive).await?)
}

/// Builds what has changed, and brings the images into every node.
pub(super) async fn bring(cluster: &Cluster, images: &Images) -> Result<(), Error> {
    for archive in write(images).await? {
        cluster.load_image(&archive).await?;
    }
    Ok(())
}

/// Where cargo puts a program.
pub(super) fn path_of(program: &str) -> PathBuf {
    PathBuf::from(source(&format!("target/{TARGET}/release/{program}")))
}

/// All programs, or the runtime alone with a rule that it breaks. Cargo shows its own progress.
async fn build(broken: Option<BrokenRule>) -> Result<(), Error> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--release", "--locked", "--target", TARGET, "--target-dir", &source("target")]);
    match broken {
        Some(rule) => {
            cargo.args(["--package", RUNTIME, "--features", "holdfast-runtime/broken-rules"]).env("HOLDFAST_BREAK", format!("{rule:?}"));
        }
        None => {
            cargo.args(PROGRAMS.iter().flat_map(|(package, ..)| ["--package", package]));
        }
    }
    // What a cargo that runs this says of its own package makes some dependencies believe that they have changed.
    let of_another_build =
        |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") || name == "CARGO_ENCODED_RUSTFLAGS";
    for name in std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).filter(|name| of_another_build(name)) {
        cargo.env_remove(name);
    }
    cargo.env("RUSTFLAGS", "-C target-feature=+crt-static").current_dir(source("."));
    let status = cargo.kill_on_drop(true).status().await.map_err(|source| Error::File { path: "cargo".to_owned(), source })?;
    if status.success() { Ok(()) } else { Err(Error::Build(status)) }
}
