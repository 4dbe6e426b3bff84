//! The session store of tower-sessions on the sessions of the cluster. Every method returns when all copies have what was written.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use holdfast_core::{Command, Condition, Expiry, Guard, Reply};
use holdfast_runtime::member::MemberControl;
use holdfast_runtime::session::{Answer, SessionHandle};
use tower_sessions_core::SessionStore;
use tower_sessions_core::session::{Id, Record};
use tower_sessions_core::session_store::Result;
use tracing::warn;

use crate::content::{date_in, decode, encode, millis_until};
use crate::error::{SettingError, StoreError};
use crate::events::{Bus, Events, Told};
use crate::keys::Keys;
use crate::meters::Write;
use crate::scope::{IdChange, OldId, Scope};

/// How often an id may have changed while a request with an old one was on its way.
const HOPS: usize = 4;

/// Ids have 128 random bits: one that is taken is hardly ever drawn, and two in a row are a fault.
const DRAWS: usize = 4;

/// How long an id that was given up resolves, unless it is said otherwise.
const ID_GRACE: Duration = Duration::from_secs(30);

/// Whoever learns an old id has the session for so long.
const LONGEST_ID_GRACE: Duration = Duration::from_secs(300);

/// Sessions of the cluster, as tower-sessions stores them. Clones share them.
///
/// - `create` never takes an id that is taken: it draws another.
/// - `save` never makes a session anew that was deleted or has expired meanwhile, since a logout has to win over a request that was running. If such a save
///   would have changed something, it fails ([`StoreError::Gone`]); if not, nothing is missing and it succeeds.
/// - A save of the same content again only prolongs the session's life, which is told the copies now and then only.
/// - `load` and `delete` follow an id that was given up ([`crate::renew_id`]).
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) sessions: SessionHandle,
    control: MemberControl,
    bus: Arc<Bus>,
    pub(crate) keys: Keys,
    /// How long a command may take.
    pub(crate) ack_timeout: Duration,
    id_grace: Duration,
}

impl Store {
    pub(crate) fn new(sessions: SessionHandle, control: MemberControl, bus: Arc<Bus>, ack_timeout: Duration) -> Self {
        Self { sessions, control, bus, keys: Keys::new("sess:"), ack_timeout, id_grace: ID_GRACE }
    }

    /// Keeps the sessions under keys that begin with this; `sess:` if nothing is said. Two applications that share a cluster need two.
    #[must_use]
    pub fn with_prefix(self, prefix: &str) -> Self {
        Self { keys: Keys::new(prefix), ..self }
    }

    /// Lets an id that was given up by [`crate::renew_id`] resolve for so long; 30 seconds if nothing is said. Zero is not at all.
    ///
    /// # Errors
    /// When it is longer than five minutes.
    pub fn with_id_grace(self, id_grace: Duration) -> std::result::Result<Self, SettingError> {
        if id_grace > LONGEST_ID_GRACE {
            let right = format!("at most {LONGEST_ID_GRACE:?}");
            return Err(SettingError::Duration { setting: "the grace of an id", value: id_grace, right });
        }
        Ok(Self { id_grace, ..self })
    }

    /// What happens to these sessions and to the cluster, from now on.
    #[must_use]
    pub fn events(&self) -> Events {
        self.bus.events(&self.keys)
    }

    /// Whether this member owns the session; `None` if nobody can say at the moment.
    pub(crate) async fn is_owned_here(&self, id: &Id) -> Option<bool> {
        let session = self.control.session(self.keys.session(id)).await.ok()?;
        let me = self.control.status().borrow().member;
        Some(session.is_some_and(|session| session.owner == me))
    }

    /// The id under which there is a session that was, or is, known as `id`.
    pub(crate) async fn locate(&self, id: Id) -> std::result::Result<Option<Id>, StoreError> {
        let mut at = id;
        for _ in 0..=HOPS {
            if self.count("look for a session", self.keys.session(&at), Command::Exists).await? {
                return Ok(Some(at));
            }
            let Some(next) = self.moved(&at).await? else { break };
            at = next;
        }
        Ok(None)
    }

    /// Writes a session that is there.
    async fn update(&self, record: &Record, scope: Option<&Scope>) -> Result<()> {
        let content = encode(&record.data)?;
        let ttl = millis_until(record.expiry_date);
        let is_unchanged = scope.is_some_and(|scope| scope.is_unchanged(&record.id, &content));
        if scope.is_some_and(Scope::is_filtered) {
            if !is_unchanged {
                self.hand_over(&record.id, content, ttl);
            }
            return Ok(());
        }
        let write = if is_unchanged { Write::Touch } else { Write::Change };
        let overwritten = async {
            if let Some(lock) = scope.and_then(Scope::lock) {
                lock.prolong().await?;
            }
            let is_there = self.overwrite(record.id, content, ttl).await?;
            if is_there || is_unchanged { Ok(()) } else { Err(StoreError::Gone) }
        };
        Ok(timed(scope, write, overwritten).await?)
    }

    /// Writes a session under the id that it has now; false if there is none.
    async fn overwrite(&self, mut id: Id, content: Bytes, ttl: u64) -> std::result::Result<bool, StoreError> {
        for _ in 0..=HOPS {
            if self.set(&id, content.clone(), ttl, Condition::IfPresent).await? {
                return Ok(true);
            }
            let Some(next) = self.moved(&id).await? else { break };
            id = next;
        }
        Ok(false)
    }

    /// Writes a session without waiting for its copies. It comes before whatever is asked of this session later.
    fn hand_over(&self, id: &Id, content: Bytes, ttl: u64) {
        let answer = self.begin_set(id, content, ttl, Condition::IfPresent);
        tokio::spawn(async move {
            match answer.await {
                Reply::Ok => {}
                Reply::Nil => warn!(
                    "a change of a session by a filtered request came too late: the session was deleted, has expired, or has another id"
                ),
                reply => warn!(error = %StoreError::of("save a session of a filtered request", reply), "a change of a session is lost"),
            }
        });
    }

    fn begin_set(&self, id: &Id, value: Bytes, ttl: u64, condition: Condition) -> Answer {
        self.sessions.submit(self.keys.session(id), Command::Set { value, expiry: Expiry::After(ttl), condition, return_old: false })
    }

    /// False if the condition does not hold.
    async fn set(&self, id: &Id, content: Bytes, ttl: u64, condition: Condition) -> std::result::Result<bool, StoreError> {
        match self.begin_set(id, content, ttl, condition).await {
            Reply::Ok => Ok(true),
            Reply::Nil => Ok(false),
            reply => Err(StoreError::of("save a session", reply)),
        }
    }

    /// Writes a session that is not there, under an id that is free.
    async fn insert(&self, record: &mut Record, scope: Option<&Scope>) -> Result<()> {
        let content = encode(&record.data)?;
        let inserted = async {
            for _ in 0..DRAWS {
                if self.set(&record.id, content.clone(), millis_until(record.expiry_date), Condition::IfAbsent).await? {
                    return Ok(());
                }
                record.id = Id::default();
            }
            Err(StoreError::NoFreeId { attempts: DRAWS })
        };
        Ok(timed(scope, Write::Create, inserted).await?)
    }

    /// The session with the id `from` goes on as `to`.
    async fn give_up(&self, from: Id, to: Id, old: OldId) -> std::result::Result<(), StoreError> {
        let grace = u64::try_from(self.id_grace.as_millis()).unwrap_or(u64::MAX);
        if old == OldId::Resolves && grace > 0 {
            let value = Bytes::from(to.to_string());
            let command = Command::Set { value, expiry: Expiry::After(grace), condition: Condition::Always, return_old: false };
            match self.sessions.execute(self.keys.moved(&from), command).await {
                Reply::Ok => {}
                reply => return Err(StoreError::of("let the old id of a session resolve", reply)),
            }
        }
        self.count("delete a session under its old id", self.keys.session(&from), Command::Delete).await?;
        self.bus.tell(Told::IdChanged(self.keys.session(&from), self.keys.session(&to)));
        Ok(())
    }

    /// The id that a session has which had this one.
    async fn moved(&self, id: &Id) -> std::result::Result<Option<Id>, StoreError> {
        match self.sessions.execute(self.keys.moved(id), Command::Get).await {
            Reply::Nil => Ok(None),
            Reply::Bytes(to) => Ok(std::str::from_utf8(&to).ok().and_then(|to| to.parse().ok())),
            reply => Err(StoreError::of("look for a session with an old id", reply)),
        }
    }

    /// Runs a command that answers 1 or 0.
    async fn count(&self, doing: &'static str, key: Bytes, command: Command) -> std::result::Result<bool, StoreError> {
        match self.sessions.execute(key, command).await {
            Reply::Int(count) => Ok(count > 0),
            reply => Err(StoreError::of(doing, reply)),
        }
    }

    async fn find(&self, id: &Id) -> Result<Option<(Bytes, Record)>> {
        let commands = vec![Command::Get, Command::Ttl];
        let reply = self.sessions.execute(self.keys.session(id), Command::Batch { guard: Guard::None, commands }).await;
        let (content, ttl) = match &reply {
            Reply::Batch(replies) => match replies.as_slice() {
                [Reply::Nil, _] => return Ok(None),
                [Reply::Bytes(content), Reply::Int(ttl)] => (content.clone(), *ttl),
                _ => return Err(StoreError::of("load a session", reply).into()),
            },
            _ => return Err(StoreError::of("load a session", reply).into()),
        };
        let record = Record { id: *id, data: decode(&content)?, expiry_date: date_in(ttl.max(0)) };
        Ok(Some((content, record)))
    }
}

#[async_trait]
impl SessionStore for Store {
    async fn create(&self, record: &mut Record) -> Result<()> {
        let scope = Scope::current();
        match scope.as_ref().map(Scope::take_change).unwrap_or_default() {
            IdChange::Adopt(id) => {
                record.id = id;
                self.update(record, scope.as_ref()).await
            }
            IdChange::From(from, old) => {
                self.insert(record, scope.as_ref()).await?;
                self.give_up(from, record.id, old).await?;
                if let Some(scope) = scope {
                    scope.meters().renewed();
                }
                Ok(())
            }
            IdChange::None | IdChange::Announced(_) => {
                self.insert(record, scope.as_ref()).await?;
                self.bus.tell(Told::Created(self.keys.session(&record.id)));
                Ok(())
            }
        }
    }

    async fn save(&self, record: &Record) -> Result<()> {
        self.update(record, Scope::current().as_ref()).await
    }

    async fn load(&self, id: &Id) -> Result<Option<Record>> {
        let mut at = *id;
        for _ in 0..=HOPS {
            if let Some((content, record)) = self.find(&at).await? {
                if let Some(scope) = Scope::current() {
                    scope.note_loaded(*id, at, content);
                }
                return Ok(Some(record));
            }
            let Some(next) = self.moved(&at).await? else { break };
            at = next;
        }
        Ok(None)
    }

    async fn delete(&self, id: &Id) -> Result<()> {
        let scope = Scope::current();
        if scope.as_ref().is_some_and(|scope| scope.gives_up(*id)) {
            return Ok(());
        }
        let deleted = async {
            if let Some(at) = self.locate(*id).await?
                && self.count("delete a session", self.keys.session(&at), Command::Delete).await?
            {
                self.bus.tell(Told::Destroyed(self.keys.session(&at)));
            }
            Ok(())
        };
        Ok(timed(scope.as_ref(), Write::Delete, deleted).await?)
    }
}

/// What a request waits for, with its time in the meters of its layer.
async fn timed<T>(
    scope: Option<&Scope>,
    write: Write,
    written: impl Future<Output = std::result::Result<T, StoreError>>,
) -> std::result::Result<T, StoreError> {
    let begun = Instant::now();
    let result = written.await;
    if let Some(scope) = scope {
        scope.meters().written(write, begun.elapsed(), &result);
    }
    result
}
