//! Brings images into the containerd of every node, where kubelet finds them: there is no registry. A node that has the same
//! archive already is skipped.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdfast_support::command;

use super::node::ctr;
use super::state::{self, State};
use super::{archive, topology::Topology};

/// Why an image was not loaded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The archive could not be read.
    #[error(
        "failed to read the image archive {path}: give a file that `docker save`, `buildah push ... docker-archive:` or `cluster images` wrote"
    )]
    Read {
        /// The archive.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// containerd refused it.
    #[error("failed to load {path} on `{node}`")]
    Load {
        /// The archive.
        path: PathBuf,
        /// The node.
        node: String,
        /// What `ctr` said.
        #[source]
        source: command::Error,
    },
    /// The record could not be written.
    #[error(transparent)]
    State(#[from] state::Error),
}

/// An archive, its digest, and the names of the images in it.
struct Archive {
    path: PathBuf,
    digest: String,
    names: Vec<String>,
}

impl Archive {
    fn open(path: &Path) -> Result<Self, Error> {
        let fail = |source| Error::Read { path: path.to_owned(), source };
        let bytes = std::fs::read(path).map_err(fail)?;
        Ok(Self { path: path.to_owned(), digest: archive::sha256(&bytes), names: names(&bytes).map_err(fail)? })
    }
}

/// The names that `docker save` gives in the archive's manifest; none in an archive of another format.
fn names(archive: &[u8]) -> io::Result<Vec<String>> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Image {
        repo_tags: Option<Vec<String>>,
    }
    for entry in tar::Archive::new(archive).entries()? {
        let entry = entry?;
        if entry.path()? == Path::new("manifest.json") {
            let images: Vec<Image> = serde_json::from_reader(entry)?;
            return Ok(images.into_iter().flat_map(|image| image.repo_tags.unwrap_or_default()).collect());
        }
    }
    Ok(Vec::new())
}

/// Loads the archive `path` on all nodes at once.
pub(super) async fn load(state: &State, topology: &Topology, path: &Path) -> Result<(), Error> {
    let archive = Archive::open(path)?;
    let nodes = topology.nodes.iter().map(|node| load_on(state, node, &archive));
    futures::future::try_join_all(nodes).await.map(drop)
}

/// Loads the archives `paths` on one node.
pub(super) async fn load_all(state: &State, node: &str, paths: &[PathBuf]) -> Result<(), Error> {
    for path in paths {
        load_on(state, node, &Archive::open(path)?).await?;
    }
    Ok(())
}

async fn load_on(state: &State, node: &str, archive: &Archive) -> Result<(), Error> {
    // For each name, the digest of the archive that the node got it from last.
    let record = |name: &String| format!("nodes/{node}/images/{}", archive::sha256(name.as_bytes()));
    let has = |name| std::fs::read_to_string(state.path(record(name))).is_ok_and(|found| found == archive.digest);
    if !archive.names.is_empty() && archive.names.iter().all(has) {
        return Ok(());
    }
    let import = ctr(state, node, &["images", "import", &archive.path.display().to_string()]).limit(Duration::from_secs(300));
    import.output().await.map_err(|source| Error::Load { path: archive.path.clone(), node: node.to_owned(), source })?;
    for name in &archive.names {
        state.write(record(name), &archive.digest)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_in_an_archive_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let (program, file) = (dir.path().join("program"), dir.path().join("image.tar"));
        std::fs::write(&program, "static enough").unwrap();
        let image = archive::Image { reference: "localhost/t:1", program: &program, name: "program", user: "0:0" };
        archive::write(&image, &file).unwrap();
        assert_eq!(Archive::open(&file).unwrap().names, ["localhost/t:1"]);
    }
}
