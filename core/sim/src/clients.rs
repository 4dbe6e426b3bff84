//! Clients: what they ask, and what they see.

use std::collections::BTreeSet;

use holdfast_core::scan::ScanPage;
use holdfast_core::{Command, CommandError, Condition, Expiry, Key, Reply};

use crate::history::Operation;
use crate::world::{Due, World};

/// A scan of all sessions that is under way.
pub(crate) struct Scan {
    pub(crate) host: usize,
    count: u32,
    started: u64,
    listed: BTreeSet<Key>,
    /// All is at rest: it lists exactly what is there.
    is_exact: bool,
}

impl Scan {
    /// Whether it has to list exactly what is there.
    pub(crate) fn is_exact(&self) -> bool {
        self.is_exact
    }
}

impl World {
    /// A client of `host` asks for something.
    pub(crate) fn ask(&mut self, host: usize, key: Key, command: Command) -> u64 {
        self.sequence += 1;
        let request = self.sequence;
        self.stats.operations += 1;
        self.log(|| format!("{host} op{request} {command:?} of {key:?}"));
        self.operations.insert(request, Operation::asked(key.clone(), command.clone(), self.now));
        self.with(host, |engine, now| engine.execute(now, request, key, command));
        request
    }

    /// Somebody is told that the life of a session was over.
    pub(crate) fn expired(&mut self, key: Key) {
        self.stats.expired += 1;
        let begins = |operation: &&Operation| operation.key == key && operation.sets_life();
        let begun = self.operations.values().find(begins).map_or(self.now, |operation| operation.invoked);
        self.sequence += 1;
        self.operations.insert(self.sequence, Operation::expired(key, begun, self.now));
    }

    /// This request has to be answered by then.
    pub(crate) fn expect(&mut self, request: u64, until: u64) {
        if self.operations.get(&request).is_some_and(|operation| operation.answered.is_none()) {
            self.expected.insert((until, request));
        }
    }

    /// Whatever had to be answered by now is.
    pub(crate) fn check_expected(&mut self) {
        while let Some((until, request)) = self.expected.first().copied().filter(|(until, _)| *until <= self.now) {
            self.expected.remove(&(until, request));
            if self.operations.get(&request).is_none_or(|operation| operation.answered.is_none()) {
                self.violate(format!("op{request} is not answered in time"));
            }
        }
    }

    /// Clients of `host` create many sessions.
    pub(crate) fn create_crowd(&mut self, host: usize) {
        for key in self.crowd.clone() {
            let command = Command::Set { value: key.clone(), expiry: Expiry::Never, condition: Condition::Always, return_old: false };
            self.sequence += 1;
            let request = self.sequence;
            self.operations.insert(request, Operation::asked(key.clone(), command.clone(), self.now));
            self.with(host, |engine, now| engine.execute(now, request, key, command));
        }
    }

    pub(crate) fn answered(&mut self, host: usize, request: u64, reply: Reply) {
        self.log(|| format!("{host} op{request} answered {reply:?}"));
        let Some(operation) = self.operations.get_mut(&request) else { return };
        let command = operation.command.as_ref();
        let is_read = command.is_some_and(Command::is_read_only);
        match reply {
            Reply::Error(CommandError::NotAcknowledged { .. } | CommandError::OutcomeUnknown) if !is_read => self.stats.unknown += 1,
            Reply::Error(error) if error != CommandError::WrongType => {
                self.stats.refused += u64::from(matches!(error, CommandError::Backlog { .. }));
                self.operations.remove(&request);
            }
            reply => {
                operation.answered = Some(self.now);
                operation.reply = Some(reply);
                self.stats.answered += 1;
                if self.crowd.contains(&operation.key) {
                    self.created.insert(operation.key.clone());
                }
            }
        }
    }

    /// A client of `host` lists everything.
    pub(crate) fn scan(&mut self, host: usize, count: u32, is_exact: bool) {
        if self.hosts[host].engine.is_none() || (is_exact && self.hosts[host].is_finishing) {
            return;
        }
        let scan = Scan { host, count, started: self.now, listed: BTreeSet::new(), is_exact };
        self.scan_on(scan, 0);
    }

    fn scan_on(&mut self, scan: Scan, cursor: u64) {
        self.sequence += 1;
        let request = self.sequence;
        let (host, count) = (scan.host, scan.count);
        self.scans.insert(request, scan);
        let life = self.hosts[host].lives;
        let delay = self.draw(40, host, 0).between(0, 30);
        self.later(delay, Due::ScanOn { host, life, request, cursor, count });
    }

    pub(crate) fn scanned(&mut self, host: usize, request: u64, page: Result<ScanPage, CommandError>) {
        let Some(mut scan) = self.scans.remove(&request) else { return };
        let Ok(page) = page else {
            if scan.is_exact {
                self.violate(format!("a scan at host {host} was not answered, though all was at rest"));
            }
            return;
        };
        scan.listed.extend(page.keys);
        if page.cursor != 0 {
            return self.scan_on(scan, page.cursor);
        }
        self.stats.scans += 1;
        self.log(|| format!("{host} has listed {:?}", scan.listed));
        if scan.is_exact {
            self.check_listed(host, &scan.listed);
        }
        // Whatever was not listed must have been absent at some moment of the scan.
        for key in self.keys.iter().chain(&self.crowd).filter(|key| !scan.listed.contains(*key)) {
            self.sequence += 1;
            let operation = Operation {
                answered: Some(self.now),
                reply: Some(Reply::Int(0)),
                ..Operation::asked(key.clone(), Command::Exists, scan.started)
            };
            self.operations.insert(self.sequence, operation);
        }
    }
}
