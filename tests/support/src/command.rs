//! Runs other programs (`ip`, `nft`, `kubectl`, `pip`, `pytest`, ...) with a limit on their time, and turns what they print on
//! failure into the error.

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::pipe::Receiver;

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
pub struct Run {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    dir: Option<OsString>,
    input: Option<String>,
    limit: Duration,
}

impl Run {
    /// A run of `program` with `args`, limited to 60 seconds.
    pub fn new<A: AsRef<OsStr>>(program: impl AsRef<OsStr>, args: impl IntoIterator<Item = A>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: args.into_iter().map(|arg| arg.as_ref().to_owned()).collect(),
            env: Vec::new(),
            dir: None,
            input: None,
            limit: Duration::from_secs(60),
        }
    }

    /// A run of `program` inside the network namespace at `path`. Not with `ip netns exec`, which mounts a fresh /sys.
    pub fn in_network(path: &Path, program: &str, args: &[&str]) -> Self {
        Self::new(program, args).under("nsenter", [&format!("--net={}", path.display()), "--"])
    }

    /// The same run by way of another program, which gets this one and its arguments after its own.
    pub fn under<A: AsRef<OsStr>>(mut self, program: impl AsRef<OsStr>, args: impl IntoIterator<Item = A>) -> Self {
        let inner = std::mem::replace(&mut self.program, program.as_ref().to_owned());
        let args = args.into_iter().map(|arg| arg.as_ref().to_owned());
        self.args = args.chain([inner]).chain(self.args).collect();
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Sets the directory to run in.
    pub fn dir(mut self, dir: &Path) -> Self {
        self.dir = Some(dir.as_os_str().to_owned());
        self
    }

    /// Sets what the program reads on its standard input.
    pub fn input(mut self, input: impl Into<String>) -> Self {
        self.input = Some(input.into());
        self
    }

    /// Sets the time after which the program is killed.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The program and its arguments, for messages.
    pub fn describe(&self) -> String {
        shorten(&self.whole(), 200)
    }

    /// The program and all of its arguments.
    pub fn whole(&self) -> String {
        let words = std::iter::once(&self.program).chain(&self.args);
        words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    /// The program, its arguments, its environment and its directory, for a caller that wants to run it in a way of its own.
    pub fn prepare(&self) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(&self.program);
        command.args(&self.args).envs(self.env.iter().map(|(name, value)| (name, value)));
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        command
    }

    /// Runs the program and returns what it printed on its standard output.
    pub async fn output(self) -> Result<String, Error> {
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
    pub async fn follow(self, mut line: impl FnMut(&str)) -> Result<(), Error> {
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

    /// Runs a program whose exit code is an answer, such as a runner of tests, within the limit. What it prints goes to the file `log`, and each line of
    /// it to `line`.
    pub async fn watch(self, log: &Path, line: impl FnMut(&str)) -> Result<ExitStatus, Error> {
        let work = self.recorded(log, line);
        match tokio::time::timeout(self.limit, work).await {
            Ok(ended) => ended.map_err(|source| Error::Run { command: self.describe(), source }),
            Err(_) => Err(Error::TimedOut { command: self.describe(), limit: self.limit }),
        }
    }

    async fn recorded(&self, log: &Path, mut line: impl FnMut(&str)) -> std::io::Result<ExitStatus> {
        // One pipe for both, so that their lines stay in order.
        let (read, write) = std::io::pipe()?;
        let mut log = std::fs::File::create(log)?;
        let mut child = {
            let mut command = self.prepare();
            command.stdin(Stdio::null()).stdout(write.try_clone()?).stderr(write).kill_on_drop(true);
            command.spawn()?
        };
        let mut lines = BufReader::new(Receiver::from_owned_fd(read.into())?);
        let mut text = Vec::new();
        while lines.read_until(b'\n', &mut text).await? > 0 {
            log.write_all(&text)?;
            line(String::from_utf8_lossy(&text).trim_end());
            text.clear();
        }
        child.wait().await
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
pub fn last(text: &str, limit: usize) -> String {
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

    #[tokio::test]
    async fn a_runner_of_tests_is_recorded_whatever_its_exit_code() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let mut lines = Vec::new();
        let run = Run::new("sh", ["-c", "echo one; echo two >&2; exit 1"]);
        let status = run.watch(&log, |line| lines.push(line.to_owned())).await.unwrap();
        assert_eq!((status.code(), lines), (Some(1), vec!["one".to_owned(), "two".to_owned()]));
        assert_eq!(std::fs::read_to_string(log).unwrap(), "one\ntwo\n");
    }

    #[tokio::test]
    async fn a_program_runs_by_way_of_another() {
        let run = Run::new("echo", ["a"]).under("env", ["-u", "NOTHING"]);
        assert_eq!(run.output().await.unwrap(), "a\n");
    }

    #[test]
    fn a_long_complaint_keeps_its_end() {
        assert_eq!(last("äbc", 3), "bc");
        assert_eq!(last("abc\n", 10), "abc");
    }
}
