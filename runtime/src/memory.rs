//! How much memory sessions may take: what the container may have, without what the process needs for other things.

use std::fs;
use std::path::{Path, PathBuf};

/// The process without sessions, as measured, and what replies of slow clients may take.
const ITSELF: u64 = 32 << 20;
const REPLIES: u64 = 64 << 20;

/// From here on a limit of the first version of control groups means that there is none.
const NO_LIMIT: u64 = 1 << 60;

/// Where control groups are mounted.
const GROUPS: &str = "/sys/fs/cgroup";

/// What sessions may take of `limit` bytes, where `queue` bytes may wait for one member that takes nothing. At least half: where there is little, the rest is
/// rarely needed all at once.
#[must_use]
pub(crate) fn budget(limit: u64, queue: u64) -> u64 {
    limit - (ITSELF + REPLIES + queue).min(limit / 2)
}

/// The least of the limits that the control groups of this process have, in bytes; `None` if there is none.
#[must_use]
pub fn limit() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    least_limit(Path::new(GROUPS), &groups)
}

fn least_limit(mount: &Path, groups: &str) -> Option<u64> {
    let limits = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, group) = (parts.next()?, parts.next()?, parts.next()?);
        let (root, file) = match controllers {
            "" => (mount.to_owned(), "memory.max"),
            _ if controllers.split(',').any(|controller| controller == "memory") => (mount.join("memory"), "memory.limit_in_bytes"),
            _ => return None,
        };
        // What a container does not see of the way to its group, is not there; its own group is the root then.
        let ways = Path::new(group.trim_start_matches('/')).ancestors().map(|way| root.join(way).join(file)).collect::<Vec<PathBuf>>();
        ways.iter().filter_map(|way| fs::read_to_string(way).ok()?.trim().parse().ok()).filter(|limit| *limit < NO_LIMIT).min()
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, file: &str, text: &str) {
        let path = folder.join(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    }

    #[test]
    fn the_least_limit_on_the_way_to_the_group_counts() {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), "kubepods/memory.max", "4294967296\n");
        write(folder.path(), "kubepods/pod1/memory.max", "268435456\n");
        write(folder.path(), "kubepods/pod1/runtime/memory.max", "max\n");
        assert_eq!(least_limit(folder.path(), "0::/kubepods/pod1/runtime\n"), Some(256 << 20));
        assert_eq!(least_limit(folder.path(), "0::/elsewhere\n"), None);
    }

    #[test]
    fn a_container_sees_its_own_group_as_the_root() {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), "memory.max", "134217728\n");
        assert_eq!(least_limit(folder.path(), "0::/\n"), Some(128 << 20));
        assert_eq!(least_limit(folder.path(), "0::/../../not/seen\n"), Some(128 << 20));
    }

    #[test]
    fn the_first_version_has_other_names_and_a_number_for_no_limit() {
        let folder = tempfile::tempdir().expect("a folder");
        let groups = "5:cpu,cpuacct:/a\n4:memory:/a\n1:name=systemd:/a\n";
        write(folder.path(), "memory/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(least_limit(folder.path(), groups), None);
        write(folder.path(), "memory/a/memory.limit_in_bytes", "67108864\n");
        assert_eq!(least_limit(folder.path(), groups), Some(64 << 20));
    }

    #[test]
    fn sessions_get_what_the_rest_does_not_need_and_at_least_half() {
        assert_eq!(budget(1 << 30, 64 << 20), (1 << 30) - (160 << 20));
        assert_eq!(budget(128 << 20, 64 << 20), 64 << 20);
        assert_eq!(budget(1, 64 << 20), 1);
    }
}
