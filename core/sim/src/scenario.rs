//! Schedules that chance alone does not find: each was once a hole, found by thought.

use holdfast_core::placement::{home, position};
use holdfast_core::{Command, Condition, Expiry, Key, MemberSet, MemberState, NodeId};

use crate::world::World;

/// The member that is at home before and after the short life of [`JOINER`] as Full, and hears of everything late.
const HOME: usize = 1;
/// The owner.
const OWNER: usize = 2;
/// The member that comes and goes.
const JOINER: usize = 3;

impl World {
    /// A member is full for a moment only. Its predecessor as the home of a session never sees that view, and is told by the owner, which has, to
    /// drop its copy: it must not then answer that there is no such session, or grant it to somebody.
    pub(crate) fn run_skipped_view(&mut self) -> Result<(), String> {
        let key = key_that_moves();
        self.keys = vec![key.clone()];
        for host in 0..JOINER {
            self.start(host, true);
        }
        self.come_to_rest()?;
        self.ask(OWNER, key.clone(), set("v1", Condition::Always));
        self.come_to_rest()?;

        let joiner = NodeId::new(JOINER as u8).expect("there are few hosts");
        self.start(JOINER, true);
        self.until(|world| world.arbiter.view().state(joiner) == Some(MemberState::Join))?;
        for host in 0..=JOINER {
            self.network.slow[host][HOME] = 250;
        }
        self.network.slow[0][OWNER] = 500;
        self.network.slow[HOME][OWNER] = 500;
        self.until(|world| world.arbiter.view().is_full(joiner))?;
        let mut chance = self.draw(50, 0, 0);
        let crash_at = self.now() + chance.between(5, 60);
        self.until(|world| world.now() >= crash_at)?;
        self.crash(JOINER, false);
        self.hosts[JOINER].is_wanted = false;
        let mut writes = chance.chance(50).then_some(3);
        for round in 0..100 {
            for _ in 0..8 {
                self.step();
                self.check_owners();
                self.check()?;
            }
            match writes.as_mut() {
                Some(left) if *left > 0 && round % 30 == 10 => {
                    *left -= 1;
                    self.ask(HOME, key.clone(), set("v2", Condition::IfAbsent));
                }
                _ => drop(self.ask(HOME, key.clone(), Command::Get)),
            }
        }
        self.heal()?;
        self.check_history();
        self.check()
    }

    fn until(&mut self, holds: impl Fn(&World) -> bool) -> Result<(), String> {
        let deadline = self.now() + 10_000;
        while !holds(self) {
            self.step();
            self.check()?;
            if self.now() > deadline {
                return Err("the scenario does not get going".into());
            }
        }
        Ok(())
    }
}

fn set(value: &'static str, condition: Condition) -> Command {
    Command::Set { value: value.into(), expiry: Expiry::Never, condition, return_old: false }
}

/// A session whose home is [`HOME`] without [`JOINER`], and [`JOINER`] with it.
fn key_that_moves() -> Key {
    let members = |count: usize| (0..count).filter_map(|id| NodeId::new(id as u8)).collect::<MemberSet>();
    let is_at = |key: &Key, count, host: usize| home(members(count), position(key)).map(NodeId::get) == Some(host as u8);
    let moves = |key: &Key| is_at(key, JOINER, HOME) && is_at(key, JOINER + 1, JOINER);
    (0..).map(|i| Key::from(format!("sess:{i}"))).find(moves).expect("one in sixteen moves so")
}
