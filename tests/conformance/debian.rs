//! Source packages of Debian, in which tests are that its packages leave out. apt keeps the list of them in the suite's folder, so that the machine's own
//! configuration stays as it is.

use holdfast_support::command::Run;

/// In the new `debian.sources`, or the older `sources.list`.
const LISTS: &str = "mkdir -p apt/parts apt/lists/partial
cd apt/parts
if [ -f /etc/apt/sources.list.d/debian.sources ]; then
  sed 's/^Types:.*/Types: deb-src/' /etc/apt/sources.list.d/debian.sources > debian.sources
else
  sed -n 's/^deb /deb-src /p' /etc/apt/sources.list > debian.list
fi";

/// Unpacks the source of this package into the folder `source`.
pub(crate) fn source(package: &str) -> Vec<Run> {
    vec![
        Run::new("sh", ["-ec", LISTS]),
        apt(&["update"]),
        // Only what the authors published: not Debian's changes to it, which would be of no use here.
        apt(&["source", "--download-only", "--tar-only", package]),
        Run::new("sh", ["-ec", "mkdir source && tar xf *.orig.tar.* --strip-components=1 --directory=source"]),
    ]
}

fn apt(args: &[&str]) -> Run {
    let own = "-o Dir::Etc::SourceList=/dev/null -o \"Dir::Etc::SourceParts=$PWD/apt/parts\" -o \"Dir::State::Lists=$PWD/apt/lists\"";
    // What is downloaded belongs to root: apt's own user for it may not come here.
    Run::new("sh", ["-c", &format!("apt-get -qq -o APT::Sandbox::User=root {own} {}", args.join(" "))])
}
