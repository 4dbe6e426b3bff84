//! The clock that the engine lives by. It counts the time for which the machine was suspended (CLOCK_BOOTTIME): leases, times to live and the silence
//! of others go on meanwhile, on all other machines. Timers of tokio stand still for that time, so nothing that matters is left to them alone.

use std::time::Duration;

use holdfast_core::Millis;
use nix::time::{ClockId, clock_gettime};

/// Counts from the moment in which it was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Duration,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { start: reading() }
    }

    pub(crate) fn now(&self) -> Millis {
        reading().saturating_sub(self.start).as_millis() as Millis
    }
}

/// Since the machine was started.
fn reading() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).expect("every Linux since 2.6.39 has this clock").into()
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::process::Command;
    use std::thread::sleep;
    use std::time::Instant;

    use super::*;

    /// Set for the process that looks at the clock in a world where the machine has been suspended for a while.
    const INSIDE: &str = "HOLDFAST_TEST_CLOCK";

    const A_DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn the_time_goes_on() {
        let (clock, instant) = (Clock::start(), Instant::now());
        sleep(Duration::from_millis(30));
        let (now, passed) = (Duration::from_millis(clock.now()), instant.elapsed());
        assert!(
            now + Duration::from_millis(1) >= Duration::from_millis(30) && now <= passed + Duration::from_secs(1),
            "{now:?}, not {passed:?}"
        );
    }

    /// A time namespace shifts this clock by a day and leaves CLOCK_MONOTONIC as it is, as a day of suspension does.
    #[test]
    fn a_suspended_machine_does_not_stop_it() {
        if env::var_os(INSIDE).is_some() {
            println!("reading={}", reading().as_secs());
            return;
        }
        let before = reading();
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--time", "--boottime", "86400"]).arg(env::current_exe().expect("this program"));
        command.args(["--exact", "clock::tests::a_suspended_machine_does_not_stop_it", "--nocapture"]).env(INSIDE, "1");
        let output = command.output().expect("util-linux is there");
        let said = String::from_utf8_lossy(&output.stdout);
        let seen = said.split("reading=").nth(1).and_then(|rest| rest.lines().next()).and_then(|number| number.parse().ok());
        let seen = Duration::from_secs(seen.unwrap_or_else(|| panic!("no reading: {output:?}")));
        let ahead = seen.saturating_sub(before);
        assert!((A_DAY - Duration::from_secs(1)..A_DAY + Duration::from_secs(60)).contains(&ahead), "{ahead:?} ahead");
    }
}
