//! How many files the process may open, and whom they are for.
//!
//! Each client's connection and each log that is followed is a file. Where few may be open, clients
//! leave enough for the rest: probes that find no file would have the process ended, and all its
//! viewers with it.

use rlimit::Resource;

/// Connections that clients may have of the `most` that were configured; fewer, with a warning, where
/// the process may not open twice as many files.
pub(super) fn connections(most: usize) -> usize {
    // Where there is no such limit, nothing has to be shared.
    let Ok((files, _)) = Resource::NOFILE.get() else { return most };
    let bound = share(most, files);
    if bound < most {
        tracing::warn!(
            files,
            asked = most,
            connections = bound,
            "the process may open so few files that clients get fewer connections than \
             --max-connections: raise its limit of open files (RLIMIT_NOFILE, ulimit -n)"
        );
    }
    bound
}

/// Half of the files are for clients; the others are for logs, watches, the store and probes.
fn share(most: usize, files: u64) -> usize {
    most.min(usize::try_from(files / 2).unwrap_or(usize::MAX)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_leave_half_of_the_files_to_others() {
        assert_eq!(share(10_000, 1 << 20), 10_000);
        assert_eq!(share(10_000, rlimit::INFINITY), 10_000);
        assert_eq!(share(10_000, 1024), 512);
        assert_eq!(share(100, 1024), 100);
        assert_eq!(share(100, 1), 1, "as few as it may be, one is served");
    }
}
