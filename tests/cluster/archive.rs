//! Writes container images that hold one static program and nothing else, as archives that containerd imports. The format is
//! `docker save`'s (image-spec v1.2): no build tool is needed, and nothing is left of one on the machine.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde_json::json;

/// An image to be written.
#[derive(Debug, Clone, Copy)]
pub struct Image<'a> {
    /// Its name and tag, such as `localhost/holdfast/operator:dev`.
    pub reference: &'a str,
    /// The static program that becomes its only file and its entry point.
    pub program: &'a Path,
    /// The file's name in the image's root.
    pub name: &'a str,
    /// The user that it runs as, `uid:gid`.
    pub user: &'a str,
}

/// Why an image was not written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program could not be read, or the archive not written.
    #[error("failed to write the image `{reference}` from {program}")]
    Io {
        /// The image.
        reference: String,
        /// Its program.
        program: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The program needs files that the image does not have.
    #[error("{0} is not a static program: build it with RUSTFLAGS=\"-C target-feature=+crt-static\" and --target, or CGO_ENABLED=0")]
    NotStatic(PathBuf),
}

/// Writes `image` to the file `to`.
pub fn write(image: &Image<'_>, to: &Path) -> Result<(), Error> {
    let fail = |source| Error::Io { reference: image.reference.into(), program: image.program.into(), source };
    let program = fs::read(image.program).map_err(fail)?;
    if needs_interpreter(&program) {
        return Err(Error::NotStatic(image.program.into()));
    }
    write_archive(image, &program, to).map_err(fail)
}

fn write_archive(image: &Image<'_>, program: &[u8], to: &Path) -> io::Result<()> {
    let mut layer = tar::Builder::new(Vec::new());
    // kubelet mounts into these; a read-only root file system must already have them.
    for folder in ["etc/", "proc/", "sys/", "dev/", "tmp/"] {
        append(&mut layer, folder, tar::EntryType::Directory, if folder == "tmp/" { 0o1777 } else { 0o755 }, &[])?;
    }
    append(&mut layer, image.name, tar::EntryType::Regular, 0o755, program)?;
    let layer = layer.into_inner()?;
    let digest = sha256(&layer);
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": [format!("/{}", image.name)], "User": image.user, "WorkingDir": "/", "Env": ["PATH=/"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
    })
    .to_string();
    let config_name = format!("{}.json", sha256(config.as_bytes()));
    let layer_name = format!("{digest}.tar");
    let manifest = json!([{"Config": config_name, "RepoTags": [image.reference], "Layers": [layer_name]}]).to_string();

    let mut archive = tar::Builder::new(io::BufWriter::new(File::create(to)?));
    append(&mut archive, &layer_name, tar::EntryType::Regular, 0o644, &layer)?;
    append(&mut archive, &config_name, tar::EntryType::Regular, 0o644, config.as_bytes())?;
    append(&mut archive, "manifest.json", tar::EntryType::Regular, 0o644, manifest.as_bytes())?;
    archive.into_inner()?.flush()
}

/// Appends an entry that depends on nothing but its arguments, so that the same program is the same image.
fn append(to: &mut tar::Builder<impl io::Write>, name: &str, kind: tar::EntryType, mode: u32, data: &[u8]) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(data.len() as u64);
    to.append_data(&mut header, name, data)
}

/// The SHA-256 of `data` in hexadecimal digits.
pub fn sha256(data: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, data);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a 64-bit little-endian ELF file asks for a dynamic loader, that is, has a program header PT_INTERP (3).
fn needs_interpreter(elf: &[u8]) -> bool {
    let number = |at: usize, length: usize| -> Option<usize> {
        let bytes = elf.get(at..at.checked_add(length)?)?;
        Some(bytes.iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
    };
    let headers = || -> Option<Vec<usize>> {
        let (start, size, count) = (number(0x20, 8)?, number(0x36, 2)?, number(0x38, 2)?);
        (0..count).map(|index| number(start.checked_add(index * size)?, 4)).collect()
    };
    elf.starts_with(b"\x7fELF") && headers().is_some_and(|kinds| kinds.contains(&3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dynamic_program_is_refused_before_it_crashes_in_its_container() {
        let dir = tempfile::tempdir().unwrap();
        let program = Path::new("/bin/sh");
        let image = Image { reference: "localhost/t:1", program, name: "sh", user: "0:0" };
        assert!(matches!(write(&image, &dir.path().join("t.tar")), Err(Error::NotStatic(_))));
    }

    #[test]
    fn the_same_program_makes_the_same_image() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("program");
        fs::write(&program, "static enough").unwrap();
        let image = Image { reference: "localhost/t:1", program: &program, name: "program", user: "0:0" };
        let (one, two) = (dir.path().join("1.tar"), dir.path().join("2.tar"));
        write(&image, &one).unwrap();
        write(&image, &two).unwrap();
        assert_eq!(fs::read(&one).unwrap(), fs::read(&two).unwrap());
        let mut archive = tar::Archive::new(File::open(&one).unwrap());
        let names: Vec<_> = archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().into_owned()).collect();
        assert_eq!(names.last().unwrap(), Path::new("manifest.json"));
    }

    #[test]
    fn the_digest_is_sha_256() {
        assert!(sha256(b"").starts_with("e3b0c44298fc1c149afbf4c8996fb924"));
    }
}
