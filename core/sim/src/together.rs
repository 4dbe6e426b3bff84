//! Clients that change several sessions as one step, as transactions do: the member claims those that do not exist, and tries as often as the runtime.

use holdfast_core::engine::NotTogether;
use holdfast_core::{Command, Guard, Key};

use crate::action::Ask;
use crate::history::Operation;
use crate::world::{Due, World};

/// The fingerprint of a session that does not exist.
const NOTHING: u128 = 0;

/// So often it is tried.
const ATTEMPTS: u32 = 6;

/// What a client wants to be done.
pub(crate) struct Together {
    pub(crate) host: usize,
    /// The number of the first of both sessions, which must not exist.
    first: usize,
    /// What is written.
    number: u32,
    attempts: u32,
}

impl World {
    /// A client of `host` wants to write `number` to two sessions as one step, if the first does not exist.
    pub(crate) fn begin_together(&mut self, host: usize, first: usize, number: u32) {
        if self.keys.len() > 1 {
            self.try_together(Together { host, first, number, attempts: 0 });
        }
    }

    pub(crate) fn try_together(&mut self, together: Together) {
        let Together { host, first, number, attempts } = together;
        let both = [first, first + 1].map(|place| place % self.keys.len());
        let keys = both.map(|place| self.keys[place].clone());
        // Every third session holds fields.
        let writes = both.map(|place| if place % 3 == 2 { Ask::Field(1, number) } else { Ask::Set(number) });
        let batch = |guard, ask: Ask| Command::Batch { guard, commands: vec![ask.command()] };
        let requests = [self.sequence + 1, self.sequence + 2];
        self.sequence += 2;
        // The condition is part of what the history has to explain.
        for (at, guard) in [Guard::Unchanged(NOTHING), Guard::None].into_iter().enumerate() {
            let operation = Operation::asked(keys[at].clone(), batch(guard, writes[at]), self.now);
            self.operations.insert(requests[at], operation);
        }
        let commands = [0, 1].map(|at| (requests[at], keys[at].clone(), batch(Guard::None, writes[at]))).to_vec();
        let expected = [(keys[0].clone(), NOTHING)];
        let mut begun = Err(NotTogether::Apart);
        self.with(host, |engine, now| begun = engine.execute_together(now, commands, &expected));
        self.log(|| format!("{host} op{requests:?} both of {keys:?}: {begun:?}"));
        if begun.is_ok() {
            self.stats.operations += 2;
            self.stats.together += 1;
            return;
        }
        requests.iter().for_each(|request| drop(self.operations.remove(request)));
        if begun == Err(NotTogether::Apart) && attempts < ATTEMPTS {
            self.claim(host, &keys);
            let life = self.hosts[host].lives;
            let delay = self.draw(41, host, first).between(1, 15);
            self.later(delay, Due::Together { life, together: Together { attempts: attempts + 1, ..together } });
        }
    }

    fn claim(&mut self, host: usize, keys: &[Key]) {
        let to_claim = self.hosts[host].engine.as_ref().and_then(|engine| engine.to_claim(keys.iter()));
        for key in to_claim.unwrap_or_default() {
            self.ask(host, key, Command::Claim);
        }
    }
}
