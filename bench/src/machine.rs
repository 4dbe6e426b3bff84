//! What the machine is, and what it does meanwhile.

use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

/// A tick of the counters in /proc; it has been 100 a second on Linux for decades.
const TICK: Duration = Duration::from_millis(10);

/// CPU time of a process so far.
pub(crate) fn cpu_of(pid: u32) -> anyhow::Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let stat = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    // The name, in parentheses, may contain anything.
    let fields: Vec<&str> = stat.rsplit_once(')').context("an odd stat")?.1.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field).and_then(|text| text.parse::<u32>().ok()).context("an odd stat");
    Ok(TICK * (ticks(11)? + ticks(12)?))
}

/// A process and all that it has started, it first.
pub(crate) fn family(pid: u32) -> Vec<u32> {
    let mut family = vec![pid];
    let mut next = 0;
    while let Some(parent) = family.get(next) {
        // One that has ended meanwhile has no children.
        let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
        family.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        next += 1;
    }
    family
}

/// CPU time of this process so far.
pub(crate) fn cpu_here() -> anyhow::Result<Duration> {
    cpu_of(std::process::id())
}

/// CPU time of everything on this machine so far.
pub(crate) fn cpu_of_all() -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
    let fields: Vec<u64> =
        stat.lines().next().unwrap_or_default().split_whitespace().skip(1).filter_map(|text| text.parse().ok()).collect();
    anyhow::ensure!(fields.len() >= 8, "an odd /proc/stat");
    // All but idle and waiting for disks.
    let busy: u64 = [0, 1, 2, 5, 6, 7].iter().map(|field| fields[*field]).sum();
    Ok(TICK * u32::try_from(busy).unwrap_or(u32::MAX))
}

/// Memory that a process has in use, in bytes.
pub(crate) fn memory_of(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
}

/// What the results depend on.
pub(crate) fn facts() -> Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let model = read("/proc/cpuinfo").lines().find_map(|line| Some(line.strip_prefix("model name")?.split_once(": ")?.1.to_owned()));
    let memory = read("/proc/meminfo").lines().next().map(|line| line.split_whitespace().nth(1).unwrap_or_default().to_owned());
    json!({
        "date": jiff::Zoned::now().strftime("%Y-%m-%d %H:%M %Z").to_string(),
        "cores": std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        "cpu": model,
        "memoryKiB": memory.and_then(|text| text.parse::<u64>().ok()),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "loadBefore": load(),
    })
}

/// The load average of the last minute.
pub(crate) fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or_default()
}
