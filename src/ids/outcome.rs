//! How a rollout ended, and what shows it.

use std::sync::Arc;

use super::{KubeEvent, Reason};

/// How a rollout ended. A closed list; on the wire in `snake_case`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// All that was asked for is there, and holds.
    Succeeded,
    /// It cannot succeed.
    Failed,
    /// It took longer than it may.
    TimedOut,
    /// A newer change began before it was over.
    Superseded,
    /// The workload is no more.
    Deleted,
    /// What was asked about is not known.
    Unknown,
}

/// The end of one rollout.
#[derive(Clone, Debug, PartialEq)]
pub struct RolloutResult {
    /// When it was decided, by our clock.
    pub time: i64,
    /// How it ended.
    pub outcome: Outcome,
    /// The revision that was rolled out.
    pub revision: Option<Arc<str>>,
    /// `metadata.generation` of the workload when it was decided.
    pub generation: i64,
    /// Pods of the new revision that were ready.
    pub ready: u32,
    /// Pods that were asked for.
    pub desired: u32,
    /// How long it took, if its begin is known, in milliseconds.
    pub duration_ms: Option<u64>,
    /// Why, unless it succeeded.
    pub reason: Option<Reason>,
    /// One sentence for people; empty if there is nothing to say.
    pub message: String,
    /// Pods that kept it from succeeding; the first [`RolloutResult::MOST_PODS`] of them.
    pub pods: Vec<Blocked>,
    /// It answers a pin that led to it by inference only (`truths.md` 14).
    pub inferred: bool,
    /// The last warnings that Kubernetes gave about it, oldest first; at most
    /// [`RolloutResult::MOST_EVENTS`].
    pub events: Vec<Arc<KubeEvent>>,
}

/// A pod that kept a rollout from succeeding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// Its name.
    pub pod: Arc<str>,
    /// The container that is to blame; `None` if it is the pod as a whole.
    pub container: Option<Arc<str>>,
    /// Which of its attempts, from 1.
    pub attempt: Option<u32>,
    /// How that ended.
    pub exit_code: Option<i32>,
    /// Its last lines, at most [`RolloutResult::MOST_LINES`] of [`RolloutResult::MOST_LINE_BYTES`].
    pub lines: Vec<String>,
}

// === impl Outcome ===

impl Outcome {
    /// All of them, for references and tests.
    pub const ALL: [Outcome; 6] = [
        Outcome::Succeeded,
        Outcome::Failed,
        Outcome::TimedOut,
        Outcome::Superseded,
        Outcome::Deleted,
        Outcome::Unknown,
    ];

    /// The wire's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Succeeded => "succeeded",
            Outcome::Failed => "failed",
            Outcome::TimedOut => "timed_out",
            Outcome::Superseded => "superseded",
            Outcome::Deleted => "deleted",
            Outcome::Unknown => "unknown",
        }
    }
}

// === impl RolloutResult ===

impl RolloutResult {
    /// More pods than this mostly suffer from the same.
    pub const MOST_PODS: usize = 5;
    /// What happened before these warnings is seldom the cause.
    pub const MOST_EVENTS: usize = 10;
    /// Last lines of a container (design section 6: the cause stands at the end).
    pub const MOST_LINES: usize = 50;
    /// Longer lines are cut.
    pub const MOST_LINE_BYTES: usize = 2048;
    /// Bytes of lines of all its pods together, so that a result stays one event of moderate size.
    pub const MOST_BYTES: usize = 64 << 10;

    /// Bytes of text in it, about.
    pub fn text_bytes(&self) -> usize {
        let lines = self.pods.iter().flat_map(|pod| &pod.lines);
        let events = self.events.iter().map(|event| event.message.len());
        self.message.len() + lines.map(String::len).sum::<usize>() + events.sum::<usize>()
    }
}
