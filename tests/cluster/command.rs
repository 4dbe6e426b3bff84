//! Runs the small programs that the lab needs (`ip`, `nft`, `ctr`, `kubectl`, ...) with a limit on their time, and turns what
//! they print on failure into the error.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

/// Why a program did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be started, or its pipes failed.
    #[error("failed to run `{command}`")]
    Run {
        /// The program and its arguments.
        command: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// It ended with an error.
    #[error("`{command}` failed ({status}): {output}")]
    Failed {
        /// The program and its arguments.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it printed.
        output: String,
    },
    /// It was still running when its time was up, and was killed.
    #[error("`{command}` did not end within {limit:?}")]
    TimedOut {
        /// The program and its arguments.
        command: String,
        /// The time that it had.
        limit: Duration,
    },
}

/// One run of a program, to be described and then awaited with [`Run::output`].
#[derive(Debug)]
pub(super) struct Run {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    dir: Option<OsString>,
    input: Option<String>,
    limit: Duration,
}

impl Run {
    /// A run of `program` with `args`, limited to 60 seconds.
    pub(super) fn new<A: AsRef<OsStr>>(program: impl AsRef<OsStr>, args: impl IntoIterator<Item = A>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: args.into_iter().map(|arg| arg.as_ref().to_owned()).collect(),
            env: Vec::new(),
            dir: None,
            input: None,
            limit: Duration::from_secs(60),
        }
    }

    /// The same run inside the network namespace at `path`. Not with `ip netns exec`, which mounts a fresh /sys.
    pub(super) fn in_network(path: &Path, program: &str, args: &[&str]) -> Self {
        let network = format!("--net={}", path.display());
        Self::new("nsenter", [network.as_str(), "--", program].into_iter().chain(args.iter().copied()))
    }

    /// Sets an environment variable.
    pub(super) fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Sets the directory to run in.
    pub(super) fn dir(mut self, dir: &Path) -> Self {
        self.dir = Some(dir.as_os_str().to_owned());
        self
    }

    /// Sets what the program reads on its standard input.
    pub(super) fn input(mut self, input: impl Into<String>) -> Self {
        self.input = Some(input.into());
        self
    }

    /// Sets the time after which the program is killed.
    pub(super) fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The program and its arguments, for messages.
    pub(super) fn describe(&self) -> String {
        let words = std::iter::once(&self.program).chain(&self.args);
        let line = words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
        shorten(&line, 200)
    }

    /// The program, its arguments, its environment and its directory, for a caller that wants to run it in a way of its own.
    pub(super) fn prepare(&self) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(&self.program);
        command.args(&self.args).envs(self.env.iter().map(|(name, value)| (name, value)));
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        command
    }

    /// Runs the program and returns what it printed on its standard output.
    pub(super) async fn output(self) -> Result<String, Error> {
        let fail = |source| Error::Run { command: self.describe(), source };
        let mut command = self.prepare();
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command.stdin(if self.input.is_some() { Stdio::piped() } else { Stdio::null() });
        let mut child = command.spawn().map_err(fail)?;
        let stdin = child.stdin.take();
        let feed = async {
            if let (Some(mut stdin), Some(input)) = (stdin, &self.input) {
                // A program that fails early closes its input: what it printed says more than the broken pipe.
                match stdin.write_all(input.as_bytes()).await {
                    Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => return Err(error),
                    _ => {}
                }
            }
            Ok(())
        };
        let work = async {
            let (fed, output) = tokio::join!(feed, child.wait_with_output());
            fed.and(output)
        };
        let output = match tokio::time::timeout(self.limit, work).await {
            Ok(output) => output.map_err(fail)?,
            Err(_) => return Err(Error::TimedOut { command: self.describe(), limit: self.limit }),
        };
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ok(printed);
        }
        let complaint = String::from_utf8_lossy(&output.stderr);
        let complaint = if complaint.trim().is_empty() { printed.as_str() } else { &complaint };
        Err(Error::Failed { command: self.describe(), status: output.status, output: last(complaint, 2000) })
    }
}

impl Run {
    /// Runs a program that takes long, such as a compiler, and hands each line of its standard error to `line`. It has no limit
    /// but its own end.
    pub(super) async fn follow(self, mut line: impl FnMut(&str)) -> Result<(), Error> {
        let fail = |source| Error::Run { command: self.describe(), source };
        let mut command = self.prepare();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(fail)?;
        let stderr = child.stderr.take().expect("standard error is piped above");
        let (mut lines, mut said) = (BufReader::new(stderr).lines(), String::new());
        while let Some(next) = lines.next_line().await.map_err(fail)? {
            line(&next);
            said += &next;
            said.push('\n');
        }
        let status = child.wait().await.map_err(fail)?;
        if status.success() {
            return Ok(());
        }
        Err(Error::Failed { command: self.describe(), status, output: last(&said, 4000) })
    }
}

/// The first `limit` characters of `text`, with a mark when there were more.
fn shorten(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// The last `limit` bytes or somewhat less of `text`, cut at a character.
pub(super) fn last(text: &str, limit: usize) -> String {
    let text = text.trim();
    let start = text.len().saturating_sub(limit);
    let start = (start..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    text[start..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failed_program_is_quoted_in_its_error() {
        let error = Run::new("sh", ["-c", "echo no such thing >&2; exit 3"]).output().await.unwrap_err();
        assert!(error.to_string().ends_with("failed (exit status: 3): no such thing"), "{error}");
    }

    #[tokio::test]
    async fn a_program_that_hangs_is_ended() {
        let error = Run::new("sleep", ["60"]).limit(Duration::from_millis(50)).output().await.unwrap_err();
        assert!(matches!(error, Error::TimedOut { .. }), "{error}");
    }

    #[tokio::test]
    async fn input_is_passed_on() {
        assert_eq!(Run::new("cat", [""; 0]).input("text").output().await.unwrap(), "text");
    }

    #[tokio::test]
    async fn a_compiler_is_followed_line_by_line() {
        let mut lines = Vec::new();
        let run = Run::new("sh", ["-c", "echo one >&2; echo two >&2; exit 1"]);
        let error = run.follow(|line| lines.push(line.to_owned())).await.unwrap_err();
        assert_eq!(lines, ["one", "two"]);
        assert!(error.to_string().ends_with("one\ntwo"), "{error}");
    }

    #[test]
    fn a_long_complaint_keeps_its_end() {
        assert_eq!(last("äbc", 3), "bc");
        assert_eq!(last("abc\n", 10), "abc");
    }
}
