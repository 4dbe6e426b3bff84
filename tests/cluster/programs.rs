//! Builds Kubernetes, etcd, CoreDNS, helm and the lab's own two small programs from Go modules, once per version: each into a
//! folder of the cache that is named after what went into it and that appears whole or not at all.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdfast_support::apt;
use holdfast_support::cache::{self, NoCache};
use holdfast_support::command::{self, Run};
use holdfast_support::lock::{self, Lock};
use holdfast_support::progress::Progress;

use super::archive;

/// One program: the sources that are compiled in here, and how to build them.
struct Source {
    name: &'static str,
    files: &'static [(&'static str, &'static str)],
    /// The package to build.
    package: &'static str,
    /// The module whose version names the program, if it has one.
    module: Option<&'static str>,
    /// The variables that get the module's version, each with the part of it that it gets: what the program prints as its own.
    stamps: &'static [(&'static str, Part)],
    /// Names by which it is called as well.
    aliases: &'static [&'static str],
    /// The image that the program is made into as well.
    image: Option<&'static str>,
}

/// A part of a version such as `v1.34.4`.
#[derive(Debug, Clone, Copy)]
enum Part {
    Whole,
    Major,
    Minor,
}

impl Part {
    fn of(self, version: &str) -> &str {
        let mut numbers = version.trim_start_matches('v').split('.');
        match self {
            Self::Whole => version,
            Self::Major => numbers.next().unwrap_or_default(),
            Self::Minor => numbers.nth(1).unwrap_or_default(),
        }
    }
}

/// CoreDNS as an image of the lab's own.
pub(super) const COREDNS_IMAGE: &str = "localhost/holdfast-lab/coredns:1";
/// The first process of every pod, as an image of the lab's own.
pub(super) const PAUSE_IMAGE: &str = "localhost/holdfast-lab/pause:1";

macro_rules! sources {
    ($folder:literal: $($file:literal),+) => {
        &[$(($file, include_str!(concat!("programs/", $folder, "/", $file)))),+]
    };
}

/// The programs in `kube`, which is told by its name which of them to be.
pub(super) const KUBE_PROGRAMS: &[&str] =
    &["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl"];

const KUBE: Source = Source {
    name: "kube",
    files: sources!("kube": "go.mod", "go.sum", "main.go"),
    package: ".",
    module: Some("k8s.io/kubernetes"),
    stamps: &[
        ("k8s.io/component-base/version.gitVersion", Part::Whole),
        ("k8s.io/component-base/version.gitMajor", Part::Major),
        ("k8s.io/component-base/version.gitMinor", Part::Minor),
    ],
    aliases: KUBE_PROGRAMS,
    image: None,
};
const COREDNS: Source = Source {
    name: "coredns",
    files: sources!("coredns": "go.mod", "go.sum", "main.go"),
    package: ".",
    module: Some("github.com/coredns/coredns"),
    stamps: &[],
    aliases: &[],
    image: Some(COREDNS_IMAGE),
};
const HELM: Source = Source {
    name: "helm",
    files: sources!("helm": "go.mod", "go.sum"),
    package: "helm.sh/helm/v3/cmd/helm",
    module: Some("helm.sh/helm/v3"),
    stamps: &[("helm.sh/helm/v3/internal/version.version", Part::Whole)],
    aliases: &[],
    image: None,
};
const PAUSE: Source = Source {
    name: "pause",
    files: sources!("pause": "go.mod", "main.go"),
    package: ".",
    module: None,
    stamps: &[],
    aliases: &[],
    image: Some(PAUSE_IMAGE),
};
const FORWARD: Source = Source {
    name: "forward",
    files: sources!("forward": "go.mod", "main.go"),
    package: ".",
    module: None,
    stamps: &[],
    aliases: &[],
    image: None,
};

/// The built programs.
#[derive(Debug, Clone)]
pub(super) struct Programs {
    /// The folder with every Kubernetes program and etcd.
    pub kube: PathBuf,
    /// kubectl.
    pub kubectl: PathBuf,
    /// helm.
    pub helm: PathBuf,
    /// The forwarder from the host's loopback into a namespace.
    pub forward: PathBuf,
    /// The images that every node needs before its first pod.
    pub images: Vec<PathBuf>,
}

/// Why a program was not built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no Go.
    #[error("Go is needed to build Kubernetes: install Go 1.24 or newer from go.dev/dl and put it on the PATH")]
    NoGo,
    /// Go does not run.
    #[error("failed to ask Go for its version")]
    Go(#[from] command::Error),
    /// The compiler said no.
    #[error("failed to build {program}")]
    Build {
        /// The program.
        program: &'static str,
        /// The end of what the compiler printed.
        #[source]
        source: command::Error,
    },
    /// The cache could not be written.
    #[error("failed to write the cache at {path} (HOLDFAST_CACHE chooses another place)")]
    Cache {
        /// The cache.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// There is no place for the cache.
    #[error(transparent)]
    NoCache(#[from] NoCache),
    /// The program's image could not be written.
    #[error(transparent)]
    Image(#[from] archive::Error),
    /// Another build holds the cache.
    #[error(transparent)]
    Lock(#[from] lock::Error),
}

/// Makes sure that every program is built.
pub(super) async fn ensure(progress: &Progress) -> Result<Programs, Error> {
    let cache = cache::folder()?;
    fs::create_dir_all(&cache).map_err(|source| Error::Cache { path: cache.clone(), source })?;
    let go = Go::find(&cache).await?;
    let kube = KUBE.ensure(&cache, &go, progress).await?;
    let coredns = COREDNS.ensure(&cache, &go, progress).await?;
    let helm = HELM.ensure(&cache, &go, progress).await?;
    let pause = PAUSE.ensure(&cache, &go, progress).await?;
    let forward = FORWARD.ensure(&cache, &go, progress).await?;
    Ok(Programs {
        kubectl: kube.join("kubectl"),
        kube,
        helm: helm.join("helm"),
        forward: forward.join("forward"),
        images: vec![pause.join("image.tar"), coredns.join("image.tar")],
    })
}

/// The beginning of the names of folders in which something is being built.
const BUILDING: &str = ".building-";

/// Removes what builds that died have left in the cache.
fn clear(cache: &Path) -> io::Result<()> {
    for entry in fs::read_dir(cache)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(BUILDING.as_bytes()) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// The Go compiler.
struct Go {
    path: PathBuf,
    version: String,
}

impl Go {
    /// Finds Go on the PATH, or where its own installer puts it: sudo's PATH does not have that.
    async fn find(dir: &Path) -> Result<Self, Error> {
        let path = format!("{}:/usr/local/go/bin", std::env::var("PATH").unwrap_or_default());
        let path = apt::find("go", &path).ok_or(Error::NoGo)?;
        let version = Run::new(&path, ["env", "GOVERSION"]).dir(dir).output().await?;
        Ok(Self { path, version: version.trim().to_owned() })
    }
}

impl Source {
    /// The folder with the program in it, built now if it was not yet.
    async fn ensure(&self, cache: &Path, go: &Go, progress: &Progress) -> Result<PathBuf, Error> {
        let io = |source| Error::Cache { path: cache.to_owned(), source };
        let folder = cache.join(self.key(&go.version));
        if folder.exists() {
            return Ok(folder);
        }
        let waiting = || progress.note("another process is building programs for the cluster: waiting for it");
        let _lock = Lock::acquire(&cache.join(".lock"), Duration::from_secs(3600), waiting).await?;
        if folder.exists() {
            return Ok(folder);
        }
        // We hold the lock: whatever is half built here was left by a build that died. Its compiler may still be at work, so the
        // next build has a folder of its own.
        clear(cache).map_err(io)?;
        let work = tempfile::Builder::new().prefix(BUILDING).tempdir_in(cache).map_err(io)?;
        let work = work.path();
        let (sources, result) = (work.join("sources"), work.join("result"));
        fs::create_dir_all(&sources).and_then(|()| fs::create_dir_all(&result)).map_err(io)?;
        for (name, text) in self.files {
            fs::write(sources.join(name), text).map_err(io)?;
        }
        self.build(&sources, &result, go, progress).await?;
        for alias in self.aliases {
            symlink(self.name, result.join(alias)).map_err(io)?;
        }
        if let Some(reference) = self.image {
            let program = result.join(self.name);
            let image = archive::Image { reference, program: &program, name: self.name, user: "65532:65532" };
            archive::write(&image, &result.join("image.tar"))?;
        }
        fs::rename(&result, &folder).map_err(io)?;
        Ok(folder)
    }

    async fn build(&self, sources: &Path, result: &Path, go: &Go, progress: &Progress) -> Result<(), Error> {
        let version = self.version().map(|version| format!(" {version}")).unwrap_or_default();
        let mut step = progress.step(format!("Building {}{version}", self.name));
        let mut flags = "-s -w".to_owned();
        for (variable, part) in self.stamps {
            flags += &format!(" -X {variable}={}", part.of(self.version().unwrap_or_default()));
        }
        let output = result.join(self.name).display().to_string();
        let run = Run::new(&go.path, ["build", "-v", "-trimpath", "-ldflags", &flags, "-o", &output, self.package]);
        let run = run.dir(sources).env("GOFLAGS", "-mod=readonly").env("GOWORK", "off").env("CGO_ENABLED", self.cgo());
        // `go build -v` names each package that it has compiled, and each module that it has downloaded.
        let mut packages = 0;
        let built = run.follow(|line| match line.strip_prefix("go: ") {
            Some(line) => step.at(line),
            None => {
                packages += 1;
                step.at(&format!("{packages} packages, {line}"));
            }
        });
        built.await.map_err(|source| Error::Build { program: self.name, source })?;
        step.done();
        Ok(())
    }

    /// Whether C may be linked. Programs of images must be static; kubelet and helm look up users and hosts by the C library.
    fn cgo(&self) -> &'static str {
        if self.module.is_none() || self.image.is_some() { "0" } else { "1" }
    }

    fn version(&self) -> Option<&'static str> {
        let (_, text) = self.files.iter().find(|(name, _)| *name == "go.mod")?;
        required_version(text, self.module?)
    }

    /// Names the folder of the cache: program, version, compiler, and a digest of the sources and the way they are built.
    fn key(&self, go: &str) -> String {
        let mut inputs = format!("{go}\0{}\0{:?}\0{:?}\0{:?}\0", self.package, self.stamps, self.aliases, self.image);
        for (name, text) in self.files {
            inputs += &format!("{name}\0{text}\0");
        }
        let digest = archive::sha256(inputs.as_bytes());
        match self.version() {
            Some(version) => format!("{}-{version}-{go}-{}", self.name, &digest[..8]),
            None => format!("{}-{go}-{}", self.name, &digest[..8]),
        }
    }
}

/// The version that a go.mod requires of `module`.
fn required_version<'a>(go_mod: &'a str, module: &str) -> Option<&'a str> {
    go_mod.lines().find_map(|line| {
        let line = line.trim();
        let line = line.strip_prefix("require ").unwrap_or(line);
        line.strip_prefix(module)?.strip_prefix(' ')?.split_whitespace().next()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_a_program_is_that_of_its_module() {
        assert_eq!(KUBE.version(), Some("v1.34.4"));
        assert_eq!(COREDNS.version(), Some("v1.15.0"));
        assert_eq!(HELM.version(), Some("v3.19.2"));
        assert_eq!(required_version("require a.b/c v1\n", "a.b/c"), Some("v1"));
        assert_eq!(required_version("\ta.b/cd v1 // indirect\n", "a.b/c"), None);
    }

    #[test]
    fn kubernetes_says_its_version_in_parts_too() {
        let parts = [Part::Whole, Part::Major, Part::Minor].map(|part| part.of("v1.34.4"));
        assert_eq!(parts, ["v1.34.4", "1", "34"]);
    }

    #[test]
    fn what_a_dead_build_left_is_removed_and_nothing_else() {
        let cache = tempfile::tempdir().unwrap();
        for name in [".building-x", "kube-v1"] {
            fs::create_dir(cache.path().join(name)).unwrap();
        }
        clear(cache.path()).unwrap();
        assert!(!cache.path().join(".building-x").exists() && cache.path().join("kube-v1").exists());
    }

    #[test]
    fn another_compiler_means_another_folder() {
        let key = KUBE.key("go1.26.8");
        assert!(key.starts_with("kube-v1.34.4-go1.26.8-"), "{key}");
        assert_ne!(key, KUBE.key("go1.26.9"));
    }
}
