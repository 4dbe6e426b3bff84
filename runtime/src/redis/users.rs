//! Who may use the front door: names and the SHA-256 of their passwords, from a file that is a mounted Secret. It is read again every few seconds, as the kubelet
//! replaces it; one that cannot be used changes nothing. Passwords are compared in the same time whatever they are, and guessing is slow.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use subtle::{Choice, ConstantTimeEq};
use thiserror::Error;
use tokio::io::AsyncReadExt;
use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tracing::{error, info};

use super::clients::lock;

/// The user of those who give a password only.
pub(crate) const DEFAULT: &str = "default";

/// How often the file is looked at. The kubelet itself takes up to two minutes to bring a changed Secret.
const REREAD: Duration = Duration::from_secs(5);

/// Far above any sensible file: a wrong path (a device, a log) must not fill the memory.
const LONGEST: u64 = 1 << 20;

/// How long the answer to a wrong password takes, and how many are looked at meanwhile: so many guesses in that time, over all connections.
const PENALTY: Duration = Duration::from_secs(1);
const GUESSES: usize = 64;

/// How long a password waits to be looked at while others guess.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why the file is of no use. What it holds stays unsaid.
#[derive(Debug, Error)]
pub enum UsersError {
    /// It is missing or unreadable.
    #[error("failed to read the users from `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line is none of a user.
    #[error("line {number} of `{}` is not right: it must be a name without spaces, `:`, and the SHA-256 of a password as 64 digits in hexadecimal", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        number: usize,
    },
    /// Nobody could come in.
    #[error("`{}` names no user", .0.display())]
    Empty(PathBuf),
}

/// What became of a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is that of the user.
    Right,
    /// It is not, or there is no such user.
    Wrong,
    /// It was not looked at: too many others are wrong.
    TooMany,
}

/// The users. Clones share them; `Debug` shows no hash.
#[derive(Clone, Debug)]
pub struct Users {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    current: Mutex<Arc<Table>>,
    /// Passwords that may be looked at now.
    guesses: Semaphore,
}

type Hash = [u8; SHA256_OUTPUT_LEN];

/// A name may have several passwords, so that one can be changed while the other is still in use.
struct Table {
    users: BTreeMap<String, Vec<Hash>>,
    /// What the file said when it was last looked at, right or wrong; nothing if it could not be read.
    file: Option<Vec<u8>>,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.users.keys()).finish()
    }
}

impl Users {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// When it is missing, or one of its lines is not right.
    pub async fn open(path: &Path) -> Result<Users, UsersError> {
        let users = Users::of(path, read(path).await?)?;
        info!(users = lock(&users.inner.current).users.len(), "the Redis protocol asks for a user and a password");
        Ok(users)
    }

    /// Those that a file names.
    pub(super) fn of(path: &Path, file: Vec<u8>) -> Result<Users, UsersError> {
        let users = parse(path, &file)?;
        let current = Mutex::new(Arc::new(Table { users, file: Some(file) }));
        Ok(Users { inner: Arc::new(Inner { path: path.to_owned(), current, guesses: Semaphore::new(GUESSES) }) })
    }

    /// Takes up a new file as it comes, and tells by their names who may stay: those whose passwords are all what they were, or more.
    pub(crate) async fn keep_fresh(&self, mut changed: impl FnMut(&dyn Fn(&str) -> bool)) {
        let mut tick = interval(REREAD);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if let Some((before, after)) = self.refresh().await {
                let hashes = |table: &Table, name: &str| table.users.get(name).cloned().unwrap_or_default();
                changed(&|name| {
                    let now = hashes(&after, name);
                    !now.is_empty() && hashes(&before, name).iter().all(|hash| now.contains(hash))
                });
            }
        }
    }

    /// Looks at the file once: what was and what is, if it is another one that can be used.
    async fn refresh(&self) -> Option<(Arc<Table>, Arc<Table>)> {
        let inner = &*self.inner;
        let before = lock(&inner.current).clone();
        let read = read(&inner.path).await;
        let file = read.as_ref().ok().cloned();
        if file == before.file {
            return None;
        }
        let (users, is_new) = match read.and_then(|file| parse(&inner.path, &file)) {
            Ok(users) => {
                info!(users = users.len(), "using new users of the Redis protocol");
                (users, true)
            }
            // Said once for each content of the file.
            Err(failure) => {
                error!(
                    error = &failure as &dyn std::error::Error,
                    "keeping the last users of the Redis protocol: the new file is of no use"
                );
                (before.users.clone(), false)
            }
        };
        let after = Arc::new(Table { users, file });
        *lock(&inner.current) = after.clone();
        is_new.then_some((before, after))
    }

    /// Whether there is such a user.
    pub(crate) fn knows(&self, name: &str) -> bool {
        lock(&self.inner.current).users.contains_key(name)
    }

    /// Looks at a password. The answer to a wrong one comes late, and meanwhile takes one of the places in which any can be looked at.
    pub(crate) async fn check(&self, name: &[u8], password: &[u8]) -> Verdict {
        let Ok(Ok(place)) = timeout(PATIENCE, self.inner.guesses.acquire()).await else { return Verdict::TooMany };
        if self.is_right(name, password) {
            return Verdict::Right;
        }
        sleep(PENALTY).await;
        drop(place);
        Verdict::Wrong
    }

    fn is_right(&self, name: &[u8], password: &[u8]) -> bool {
        let table = lock(&self.inner.current).clone();
        let given = digest(&SHA256, password);
        // Somebody who is not there has a password that nobody has, so that the time does not tell.
        let nobody = [[0; SHA256_OUTPUT_LEN]];
        let known = std::str::from_utf8(name).ok().and_then(|name| table.users.get(name));
        let hashes = known.map_or(&nobody[..], Vec::as_slice);
        let any = hashes.iter().fold(Choice::from(0), |any, hash| any | hash.ct_eq(given.as_ref()));
        known.is_some() & bool::from(any)
    }
}

async fn read(path: &Path) -> Result<Vec<u8>, UsersError> {
    let mut bytes = Vec::new();
    let reading = async { tokio::fs::File::open(path).await?.take(LONGEST).read_to_end(&mut bytes).await };
    match reading.await {
        Ok(_) => Ok(bytes),
        Err(source) => Err(UsersError::Read { path: path.to_owned(), source }),
    }
}

/// Lines of `name:hash`; empty ones and those that begin with `#` say nothing.
fn parse(path: &Path, file: &[u8]) -> Result<BTreeMap<String, Vec<Hash>>, UsersError> {
    let mut users: BTreeMap<String, Vec<Hash>> = BTreeMap::new();
    for (number, line) in file.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let (name, hash) = user(line).ok_or_else(|| UsersError::Line { path: path.to_owned(), number: number + 1 })?;
        users.entry(name).or_default().push(hash);
    }
    if users.is_empty() { Err(UsersError::Empty(path.to_owned())) } else { Ok(users) }
}

fn user(line: &[u8]) -> Option<(String, Hash)> {
    let (name, digits) = std::str::from_utf8(line).ok()?.rsplit_once(':')?;
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) || digits.len() != 2 * SHA256_OUTPUT_LEN {
        return None;
    }
    let mut hash = [0; SHA256_OUTPUT_LEN];
    for (byte, pair) in hash.iter_mut().zip(digits.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some((name.to_owned(), hash))
}

#[cfg(test)]
mod tests;
