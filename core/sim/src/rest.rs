//! The end of every run: all faults end, everything has to come to rest in time, and every member has to see the same.

use holdfast_core::value::slack;

use crate::action::Ask;
use crate::setup::LONGEST_LIFE;
use crate::world::World;

/// How long a healed cluster may take until all is protected and nothing is left to be done, in milliseconds.
pub const REST_WITHIN: u64 = 10_000;

impl World {
    /// Ends all faults, waits for rest, and has every member read every session and list all of them.
    pub(crate) fn heal(&mut self) -> Result<(), String> {
        self.log(|| "HEAL".into());
        self.is_healing = true;
        self.network.heal();
        self.arbiter.is_up = true;
        self.hosts.iter_mut().for_each(|host| (host.paused_until, host.is_blind) = (0, false));
        // Those that are left come to rest by themselves: whoever comes back changes the view, which mends much.
        let is_down = |host: &crate::world::Host| host.is_wanted && host.engine.is_none();
        if self.hosts.iter().any(is_down) && self.draw(51, 0, 0).chance(30) {
            self.come_to_rest()?;
        }
        for host in 0..self.hosts.len() {
            if self.hosts[host].is_wanted && self.hosts[host].engine.is_none() {
                let new_pod = self.hosts[host].is_node_down;
                self.start(host, new_pod);
            }
        }
        let healed = self.now;
        self.come_to_rest()?;
        self.stats.slowest_rest = self.now - healed;
        if self.engines().next().is_none() {
            return Ok(());
        }
        let rested = self.now;
        self.rested = Some(rested);
        let has_lives = self.operations.values().any(|operation| operation.sets_life());
        while has_lives && self.now < rested + (LONGEST_LIFE + slack(LONGEST_LIFE)) * 102 / 100 + 100 {
            self.step();
        }
        let mut asked = Vec::new();
        for host in (0..self.hosts.len()).filter(|host| self.hosts[*host].engine.is_some()).collect::<Vec<_>>() {
            self.scan(host, if self.crowd.is_empty() { 2 } else { 100 }, true);
            for (index, key) in self.keys.clone().into_iter().enumerate() {
                let ask = if index % 3 == 2 { Ask::Fields } else { Ask::Get };
                asked.push(self.ask(host, key, ask.command()));
            }
        }
        let since = self.now;
        while self.scans.values().any(|scan| scan.is_exact()) {
            self.step();
            if self.now > since + 10_000 {
                return Err("at rest, a scan does not end".into());
            }
        }
        self.come_to_rest()?;
        let is_answered = |request: &u64| self.operations.get(request).is_some_and(|operation| operation.answered.is_some());
        if let Some(request) = asked.into_iter().find(|request| !is_answered(request)) {
            return Err(format!("at rest, op{request} is not answered"));
        }
        self.check_rest();
        self.check()
    }

    pub(crate) fn come_to_rest(&mut self) -> Result<(), String> {
        let until = self.now + REST_WITHIN;
        let mut quiet = 0;
        while quiet < 100 {
            self.step();
            self.check_owners();
            self.check()?;
            quiet = if self.is_at_rest() { quiet + 1 } else { 0 };
            if self.engines().next().is_none() {
                return Ok(());
            }
            if self.now > until {
                let statuses: String = self.engines().map(|engine| format!("\n  {:?}", engine.status())).collect();
                return Err(format!("does not come to rest; the arbiter shows {:?}{statuses}", self.arbiter.view()));
            }
        }
        Ok(())
    }
}
