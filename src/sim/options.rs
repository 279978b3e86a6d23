//! How a simulated cluster behaves.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How the cluster behaves. [`SimOptions::default`] is as real clusters are.
#[derive(Clone, Debug)]
pub struct SimOptions {
    /// Where all randomness comes from.
    pub seed: u64,
    /// Wall time at the beginning, in nanoseconds since 1970.
    pub start_time: i64,
    /// Where the driver and the connections run.
    pub tasks: TaskTracker,
    /// Ends the driver; so does dropping the last [`Sim`](super::Sim) and the last open answer.
    pub stop: CancellationToken,
    /// Names of the nodes.
    pub nodes: Vec<String>,
    /// A container writes at most once in this time, all lines that are due at once. Longer is
    /// cheaper (benches), shorter is smoother.
    pub write_tick: Duration,
    /// Bytes at which a log file is rotated.
    pub log_max_bytes: usize,
    /// Bytes of each attempt's log kept for [`Written::text`](super::Written::text).
    pub keep_written: usize,
    /// Log answers are split at odd places: inside lines, stamps and characters.
    pub odd_chunks: bool,
    /// Least and most time between a kubelet's truth and the API's.
    pub status_lag: (Duration, Duration),
    /// Back-off before the second restart of a container and the second pull of an image.
    pub backoff_base: Duration,
    /// Longest back-off.
    pub backoff_cap: Duration,
    /// Time between bookmarks of a watch.
    pub bookmark_every: Duration,
    /// Changes that watches can still be given.
    pub history: usize,
    /// Watches may begin with a list (`sendInitialEvents`); else that is refused.
    pub watch_list: bool,
    /// Argo Rollouts is installed: its definition and its controller.
    pub rollouts: bool,
    /// Most time until a follow notices that its container has ended.
    pub follow_end_within: Duration,
}

// === impl SimOptions ===

impl Default for SimOptions {
    fn default() -> Self {
        SimOptions {
            seed: 1,
            // 2026-11-22T14:00:00Z
            start_time: 1_795_356_000 * crate::time::SECOND,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            nodes: vec!["node-1".to_owned(), "node-2".to_owned()],
            write_tick: Duration::from_millis(10),
            log_max_bytes: 10 * 1024 * 1024,
            keep_written: 0,
            odd_chunks: true,
            status_lag: (Duration::from_millis(50), Duration::from_millis(300)),
            backoff_base: Duration::from_secs(10),
            backoff_cap: Duration::from_secs(300),
            bookmark_every: Duration::from_secs(60),
            history: 10_000,
            watch_list: true,
            rollouts: false,
            follow_end_within: Duration::from_secs(1),
        }
    }
}
