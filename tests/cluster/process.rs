//! Processes of the lab: told apart from later ones that got the same number, started so that they outlive the command that
//! started them, recorded, found again by where they live, signalled.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use holdfast_support::apt::SEARCH_PATH;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::namespaces::Namespaces;
use super::state::{self, State};

/// Why a process could not be started or ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It did not start.
    #[error("failed to start {name}")]
    Start {
        /// The process.
        name: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It ended right after its start.
    #[error("{name} ended right after its start: {log}")]
    Ended {
        /// The process.
        name: String,
        /// The end of its log.
        log: String,
    },
    /// It is not running.
    #[error("{0} is not running: `cluster status` shows what is, `cluster up` starts it again")]
    NotRunning(String),
    /// A record could not be read or written.
    #[error(transparent)]
    State(#[from] state::Error),
    /// Signals did not end them.
    #[error("processes {0:?} of the cluster are still there after SIGKILL for 30 s: see /proc/<pid>/stack")]
    Unkillable(Vec<i32>),
    /// /proc could not be read.
    #[error("failed to read /proc")]
    Proc(#[source] io::Error),
}

/// A process, and no other that gets the same number after it: numbers are used again, start times are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// Its number.
    pub pid: i32,
    /// When it was started, in clock ticks after the machine's boot.
    pub started: u64,
}

impl Identity {
    /// The process that has number `pid` now, unless it has ended.
    pub fn of(pid: i32) -> Option<Self> {
        let (condition, started) = look_up(pid)?;
        (!matches!(condition, 'Z' | 'X')).then_some(Self { pid, started })
    }

    /// Whether it still runs.
    pub fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Whether it is stopped by a signal.
    pub fn is_stopped(self) -> bool {
        look_up(self.pid) == Some(('T', self.started))
    }

    /// Sends `signal` to it; nothing happens when it has ended.
    pub fn signal(self, signal: Signal) {
        if self.is_alive() {
            // It may have ended since, which is the only thing that root can be told: then there is nobody left to signal.
            let _ = kill(Pid::from_raw(self.pid), signal);
        }
    }
}

fn look_up(pid: i32) -> Option<(char, u64)> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The condition and the start time in a line of /proc/<pid>/stat: fields 3 and 22 (proc(5)). Field 2 is the program's name in
/// parentheses, and may hold blanks and parentheses itself.
fn parse_stat(stat: &str) -> Option<(char, u64)> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let condition = fields.next()?.chars().next()?;
    let started = fields.nth(18)?.parse().ok()?;
    Some((condition, started))
}

/// A program that runs in the background until the cluster goes down.
#[derive(Debug, Clone)]
pub struct Daemon {
    /// Its name in the records and the logs, such as `node1.kubelet`.
    pub name: String,
    /// The machine on which it runs: whose namespaces it lives in.
    pub machine: String,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
}

impl Daemon {
    /// Starts it unless it runs already.
    pub fn start(&self, state: &State) -> Result<Identity, Error> {
        if let Some(running) = recorded(state, &self.name)?.filter(|found| found.is_alive()) {
            return Ok(running);
        }
        self.spawn(state, Stdio::null(), None)
    }

    /// Starts it with the given standard input, and with `output` as its standard output instead of its log.
    pub fn spawn(&self, state: &State, input: Stdio, output: Option<Stdio>) -> Result<Identity, Error> {
        let (identity, _child) = self.spawn_child(state, input, output)?;
        Ok(identity)
    }

    /// As [`Daemon::spawn`], for a caller that wants the process's pipes.
    pub fn spawn_child(&self, state: &State, input: Stdio, output: Option<Stdio>) -> Result<(Identity, tokio::process::Child), Error> {
        let fail = |source| Error::Start { name: self.name.clone(), source };
        state.create("log")?;
        let log = File::options().create(true).append(true).open(log_path(state, &self.name)).map_err(fail)?;
        let output = match output {
            Some(output) => output,
            None => Stdio::from(log.try_clone().map_err(fail)?),
        };
        let [network, mounts] = Namespaces::of(state, &self.machine).enter();
        // setsid and nsenter become the program by exec, so the number stays; a session of its own keeps it from our terminal's
        // signals.
        let mut command = tokio::process::Command::new("setsid");
        command.args(["nsenter", &network, &mounts, "--"]).arg(&self.program).args(&self.args);
        command.env_clear().env("PATH", format!("{}:{SEARCH_PATH}", state.path("bin").display())).env("HOME", state.dir());
        command.current_dir("/").stdin(input).stdout(output).stderr(log);
        // Dropped, the child is reaped by tokio when it ends, as long as this process lives.
        let child = command.spawn().map_err(fail)?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        let Some(identity) = pid.and_then(Identity::of) else {
            return Err(Error::Ended { name: self.name.clone(), log: log_end(state, &self.name) });
        };
        let text = serde_json::to_string(&identity).expect("two numbers can be written as JSON");
        state.write(format!("processes/{}.json", self.name), text)?;
        Ok((identity, child))
    }
}

/// The log of a daemon.
pub fn log_path(state: &State, name: &str) -> PathBuf {
    state.path(format!("log/{name}.log"))
}

/// The end of a daemon's log, for an error message.
pub fn log_end(state: &State, name: &str) -> String {
    let text = fs::read(log_path(state, name)).unwrap_or_default();
    holdfast_support::command::last(&String::from_utf8_lossy(&text), 1500)
}

/// The process that was last started as daemon `name`.
pub fn recorded(state: &State, name: &str) -> Result<Option<Identity>, Error> {
    match fs::read_to_string(state.path(format!("processes/{name}.json"))) {
        Ok(text) => Ok(serde_json::from_str(&text).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(state::Error::Io { action: "read", path: state.path(format!("processes/{name}.json")), source }.into()),
    }
}

/// The names of all daemons that were started.
pub fn names(state: &State) -> Vec<String> {
    let Ok(entries) = fs::read_dir(state.path("processes")) else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<_> = names.filter_map(|name| Some(name.strip_suffix(".json")?.to_owned())).collect();
    names.sort();
    names
}

/// Where a set of processes lives: whatever shares a namespace with it or is in a cgroup under it belongs to it.
#[derive(Debug, Clone, Default)]
pub struct Home {
    /// Namespaces as /proc/<pid>/ns shows them, such as `net:[4026532281]`.
    pub namespaces: HashSet<String>,
    /// The cgroup that has all containers under it, such as `/holdfast.shop/node1`.
    pub cgroup: String,
}

impl Home {
    /// The processes that live here now.
    pub fn residents(&self) -> Result<Vec<Identity>, Error> {
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").map_err(Error::Proc)? {
            let name = entry.map_err(Error::Proc)?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
            if self.houses(pid) {
                found.extend(Identity::of(pid));
            }
        }
        Ok(found)
    }

    /// Whether a process lives here.
    pub(super) fn houses(&self, pid: i32) -> bool {
        let lives_in = |kind: &str| {
            let link = fs::read_link(format!("/proc/{pid}/ns/{kind}"));
            link.is_ok_and(|link| link.to_str().is_some_and(|link| self.namespaces.contains(link)))
        };
        lives_in("net") || lives_in("mnt") || {
            let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
            is_under(&cgroups, &self.cgroup)
        }
    }

    /// Sends SIGKILL to everything that lives here until nothing does.
    pub async fn clear(&self) -> Result<(), Error> {
        let started = Instant::now();
        // A process that is just being born is not seen by one look: only two looks in a row that find nobody count.
        let mut empty = 0;
        while empty < 2 {
            let residents = self.residents()?;
            empty = if residents.is_empty() { empty + 1 } else { 0 };
            if started.elapsed() > Duration::from_secs(30) && empty == 0 {
                return Err(Error::Unkillable(residents.iter().map(|process| process.pid).collect()));
            }
            for process in residents {
                process.signal(Signal::SIGKILL);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

/// Whether one of the lines of a /proc/<pid>/cgroup (`number:controllers:path`) is at `cgroup` or under it.
fn is_under(cgroups: &str, cgroup: &str) -> bool {
    let paths = cgroups.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    let mut rests = paths.filter_map(|path| path.strip_prefix(cgroup));
    !cgroup.is_empty() && rests.any(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_program_cannot_confuse_the_look_up() {
        let fields = "S 1 7 7 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 98765 1000 20";
        for name in ["sleep", "a b", ") S 1 (", "x)"] {
            assert_eq!(parse_stat(&format!("7 ({name}) {fields}")), Some(('S', 98765)), "{name}");
        }
        assert_eq!(parse_stat("7 (sleep"), None);
    }

    #[test]
    fn a_number_that_was_used_again_is_another_process() {
        let own = Identity::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(own.is_alive());
        let earlier = Identity { started: own.started - 1, ..own };
        assert!(!earlier.is_alive());
        earlier.signal(Signal::SIGKILL);
    }

    #[test]
    fn an_ended_process_that_was_not_reaped_counts_as_ended() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let until = Instant::now() + Duration::from_secs(5);
        while Identity::of(pid).is_some() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(Identity::of(pid), None);
        child.wait().unwrap();
    }

    #[test]
    fn a_cgroup_of_a_similar_name_is_not_under_it() {
        let of = |path: &str| format!("3:memory:/\n0::{path}\n");
        assert!(is_under(&of("/holdfast.a/node1/x"), "/holdfast.a/node1"));
        assert!(is_under(&of("/holdfast.a/node1"), "/holdfast.a/node1"));
        assert!(!is_under(&of("/holdfast.a/node10"), "/holdfast.a/node1"));
        assert!(!is_under(&of("/other"), ""));
    }
}
