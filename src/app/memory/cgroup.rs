//! What the kernel says of the memory of this process and of its cgroup, of either version.

use std::fs::read_to_string;
use std::io;
use std::path::{Path, PathBuf};

/// Where cgroups are mounted, by custom and by every container runtime.
const ROOT: &str = "/sys/fs/cgroup";
/// A limit from here on is none: version 1 writes the largest number of pages that fits.
const NONE: u64 = 1 << 60;

/// The cgroup whose limit is the tightest of those that hold this process.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Group {
    folder: PathBuf,
    limit: u64,
    names: &'static Names,
}

/// The files of a version.
#[derive(Debug, PartialEq, Eq)]
struct Names {
    limit: &'static str,
    used: &'static str,
    /// In `memory.stat`: file pages that go as soon as they are needed elsewhere.
    idle: &'static str,
}

static V1: Names = Names {
    limit: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
    idle: "total_inactive_file ",
};
static V2: Names = Names { limit: "memory.max", used: "memory.current", idle: "inactive_file " };

// === impl Group ===

impl Group {
    /// None if no limit holds.
    pub(super) fn of_this_process() -> Option<Group> {
        Group::find(&read_to_string("/proc/self/cgroup").ok()?, Path::new(ROOT))
    }

    /// `membership` is the text of `/proc/self/cgroup`.
    fn find(membership: &str, root: &Path) -> Option<Group> {
        let groups = membership.lines().filter_map(|line| {
            let mut parts = line.splitn(3, ':');
            let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
            match controllers {
                "" => Some((root.to_owned(), path, &V2)),
                _ if controllers.split(',').any(|name| name == "memory") => {
                    Some((root.join("memory"), path, &V1))
                }
                _ => None,
            }
        });
        let limits = groups.flat_map(|(root, path, names)| {
            // Inside a container the path may be the host's, and the mount holds the own group at
            // its root: what does not exist is passed over, the root is always looked at.
            let own = root.join(path.trim_start_matches('/'));
            let above = own.ancestors().take_while(|folder| folder.starts_with(&root));
            let limited = above.filter_map(|folder| {
                let limit = number(&folder.join(names.limit)).ok()?;
                (limit < NONE).then(|| Group { folder: folder.to_owned(), limit, names })
            });
            limited.collect::<Vec<_>>()
        });
        limits.min_by_key(|group| group.limit)
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// Bytes in use that are not given back for the asking, as the kubelet counts them.
    pub(super) fn used(&self) -> io::Result<u64> {
        let used = number(&self.folder.join(self.names.used))?;
        let stat = read_to_string(self.folder.join("memory.stat"))?;
        let idle = stat.lines().find_map(|line| line.strip_prefix(self.names.idle)?.parse().ok());
        Ok(used.saturating_sub(idle.unwrap_or(0)))
    }
}

/// Bytes that this process holds in memory.
pub(super) fn resident() -> io::Result<u64> {
    let status = read_to_string("/proc/self/status")?;
    let kib = status.lines().find_map(|line| {
        line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    });
    let kib = kib.ok_or_else(|| io::Error::other("/proc/self/status says no VmRSS"))?;
    Ok(kib * 1024)
}

fn number(path: &Path) -> io::Result<u64> {
    read_to_string(path)?.trim().parse().map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::fs::{create_dir_all, write};

    use super::*;

    fn group(root: &Path, path: &str, files: &[(&str, &str)]) {
        let folder = root.join(path);
        create_dir_all(&folder).unwrap();
        for (name, text) in files {
            write(folder.join(name), text).unwrap();
        }
    }

    #[test]
    fn the_tightest_limit_above_the_process_holds() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        group(root, "kubepods", &[("memory.max", "max\n")]);
        let stat = "anon 1\ninactive_file 100\n";
        let files = [("memory.max", "2000\n"), ("memory.current", "900\n"), ("memory.stat", stat)];
        group(root, "kubepods/pod", &files);
        group(root, "kubepods/pod/app", &[("memory.max", "5000\n")]);
        let found = Group::find("0::/kubepods/pod/app\n", root).unwrap();
        assert_eq!((found.limit(), found.used().unwrap()), (2000, 800));
    }

    #[test]
    fn in_a_container_the_mount_is_the_own_group() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let files = [
            ("memory.limit_in_bytes", "3000\n"),
            ("memory.usage_in_bytes", "900\n"),
            ("memory.stat", "inactive_file 1\ntotal_inactive_file 300\n"),
        ];
        group(root, "memory", &files);
        let membership = "5:cpuset:/x\n4:memory:/kubepods/pod/app\n0::/\n";
        let found = Group::find(membership, root).unwrap();
        assert_eq!((found.limit(), found.used().unwrap()), (3000, 600));
    }

    #[test]
    fn no_limit_is_none() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        group(root, "memory", &[("memory.limit_in_bytes", "9223372036854771712\n")]);
        assert_eq!(Group::find("4:memory:/\n0::/\n", root), None);
        group(root, "", &[("memory.max", "max\n")]);
        assert_eq!(Group::find("0::/\n", root), None);
        assert_eq!(Group::find("", root), None);
    }

    #[test]
    fn this_process_holds_some_memory() {
        assert!(resident().unwrap() > 1 << 20);
    }
}
