//! Follows logs: one upstream stream per container attempt, whatever the number of viewers.
//!
//! What holds here:
//! - A source is followed while somebody holds a [`Lease`] on its workload, and some time after; a
//!   later follower resumes where the last one stopped.
//! - The upstream is drained at full speed. Nothing downstream slows it: the sink never waits.
//! - Every line is handed on once. Continuity is proven by alignment, or a gap says where it is
//!   not; a gap where nothing is missing is as wrong as a missing one.
//! - A source is called ended only when its container is known to have ended and its log was read to
//!   the end, or is lost.
//! - Followers, openings and memory are bounded; what is not followed for lack of budget is said.
//!   The new revision goes first and takes the places of the old one, what fails goes before what
//!   does not, and among equals the oldest first. A place is free when a source ends or is not needed.
//! - Whose lines an answer holds is proven by its overlap or by a status that is newer than it; a
//!   silent stream is looked at, node by node and each by its own habits.
//!
//! Demand comes in as leases, records go out through the [`Sink`]; so there is no arrow back. It may
//! use `cluster`, `watch`, `rollout`, `ids` and the hallway.

mod align;
mod attempts;
mod batch;
mod budget;
mod cadence;
mod clean;
mod demand;
mod follower;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod lag;
mod last;
mod left;
mod level;
mod lines;
mod lost;
mod memory;
mod merge;
mod nodes;
mod pace;
mod passed;
mod probe;
mod proof;
mod reading;
mod restored;
mod standing;
mod status;
mod stream;
mod supervisor;

use std::sync::Arc;
use std::time::Duration;

pub use demand::Lease;
pub use level::Waters;
pub use restored::{Left, Restored};
pub use status::{SourceStatus, TailStatus};
pub use supervisor::{Tail, Wiring};

use crate::ids::{Entry, Source, WorkloadId};

/// Where records go. It must not block: followers call it between two reads of a stream that must be
/// drained.
pub type Sink = Arc<dyn Fn(&Arc<WorkloadId>, Entry) + Send + Sync>;

/// Told once of each log that an earlier process had read, when it is found that none of its lines
/// is missing since. It must not block.
pub type Proven = Arc<dyn Fn(&Source) + Send + Sync>;

/// How logs are followed.
#[derive(Clone, Debug)]
pub struct Options {
    /// Past lines asked for when a log is opened for the first time.
    pub backfill_lines: u32,
    /// Bytes of a line's text that are kept.
    pub max_line_bytes: usize,
    /// Followers at a time.
    pub max_followers: usize,
    /// Followers at a time on one node: each costs its kubelet an inotify instance, of which there
    /// are 128 by default.
    pub max_followers_per_node: usize,
    /// Streams opened a second.
    pub opens_per_second: u32,
    /// Time from the last lease to the end of a follower.
    pub linger: Duration,
    /// How long somebody who read a log may stay away and still come back for the rest: as long as
    /// what was read is kept.
    pub kept: Duration,
    /// Seed of the jitter.
    pub seed: u64,
}
