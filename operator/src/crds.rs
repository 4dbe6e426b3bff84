//! The `crds` command: the resource definitions as YAML, for people (`holdfast-operator crds | kubectl apply -f -`) and for the files of this
//! repository, which a test keeps true to the types.

use std::path::PathBuf;

use anyhow::Context;
use holdfast_api::CrdFile;

/// First line of each generated file.
const HEADER: &str =
    "# Generated from api/src by `cargo run -p holdfast-operator -- crds crds charts/holdfast/files/crds`; a test compares them.\n";

/// Writes one file for each definition into each directory, or all of them to standard output when there is none.
///
/// # Errors
/// When a file cannot be written.
pub fn write(directories: &[PathBuf]) -> anyhow::Result<()> {
    let files = holdfast_api::crds();
    if directories.is_empty() {
        for file in &files {
            println!("---\n{}", render(file)?);
        }
    }
    for directory in directories {
        std::fs::create_dir_all(directory).with_context(|| format!("failed to make the directory {}", directory.display()))?;
        for file in &files {
            let path = directory.join(&file.name);
            std::fs::write(&path, render(file)?).with_context(|| format!("failed to write {}", path.display()))?;
        }
    }
    Ok(())
}

fn render(file: &CrdFile) -> anyhow::Result<String> {
    let yaml = serde_norway::to_string(&file.definition).with_context(|| format!("failed to render {}", file.name))?;
    Ok(format!("{HEADER}{yaml}"))
}

/// Compares the files of a directory with the types; `Err` says what to do.
#[cfg(test)]
fn drift(directory: &std::path::Path) -> Result<(), String> {
    for file in holdfast_api::crds() {
        let path = directory.join(&file.name);
        let there = std::fs::read_to_string(&path).unwrap_or_default();
        if there != render(&file).expect("renders") {
            return Err(format!(
                "{} is not what the types in api/src say: run `cargo run -p holdfast-operator -- crds crds charts/holdfast/files/crds`",
                path.display()
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checked_in_definitions_are_those_of_the_types() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for directory in ["crds", "charts/holdfast/files/crds"] {
            assert_eq!(drift(&root.join(directory)), Ok(()));
        }
    }
}
