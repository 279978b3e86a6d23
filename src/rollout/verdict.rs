//! Whether a rollout is over, and how.
//!
//! What holds here: it is decided from what the API says and from the time, and nothing is remembered,
//! so a fresh replica decides the same (`truths.md` 17). A cause counts only when its grace is over, and
//! pods count as good only when they have held (`truths.md` 11, 13).

use crate::ids::{Blocker, Reason, RolloutPhase, RolloutStatus};
use crate::time::SECOND;
use crate::watch::{ContainerRun, PodEntry};

/// How long each cause may last before the rollout is called failed, in nanoseconds (design section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Graces {
    /// A missing ConfigMap, Secret or key.
    pub config: i64,
    /// A quota that old pods do not hold.
    pub quota: i64,
    /// Pull errors that may pass.
    pub pull: i64,
    /// No node takes the pod.
    pub unschedulable: i64,
    /// The runtime, a volume or a sandbox.
    pub start: i64,
    /// Readiness, where the workload has no deadline of its own.
    pub readiness: i64,
    /// A container without readiness probe must run for so long to count.
    pub settle: i64,
    /// Restarts of one container that are a crash loop.
    pub restarts: u32,
}

/// How a rollout ended. A closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// All that was asked for is there, and holds.
    Succeeded,
    /// It cannot succeed.
    Failed,
    /// It took longer than it may.
    TimedOut,
    /// The workload is no more.
    Deleted,
}

/// What is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on. If nothing happens before, look again then.
    Open(Option<i64>),
    /// It is over; the reason, if something went wrong.
    Over(Outcome, Option<Reason>),
}

/// Decides about a rollout. `pods` are those of the new revision that exist.
pub fn judge<'a>(
    status: &RolloutStatus,
    pods: impl Iterator<Item = &'a PodEntry> + Clone,
    graces: &Graces,
    now: i64,
) -> Verdict {
    match status.phase {
        RolloutPhase::Deleted => return Verdict::Over(Outcome::Deleted, None),
        RolloutPhase::Waiting | RolloutPhase::Paused => return Verdict::Open(None),
        RolloutPhase::ScaledToZero => return Verdict::Over(Outcome::Succeeded, None),
        RolloutPhase::Complete if status.reasons.is_empty() => {
            return match settled(pods, graces) {
                Some(at) if at > now => Verdict::Open(Some(at)),
                _ => Verdict::Over(Outcome::Succeeded, None),
            };
        }
        RolloutPhase::Stalled if status.reasons.iter().all(|it| it.code != Reason::JobFailed) => {
            return Verdict::Over(Outcome::TimedOut, Some(blamed(status)));
        }
        RolloutPhase::Complete | RolloutPhase::Stalled | RolloutPhase::Progressing => {}
    }
    let loops = pods.clone().any(|pod| crashes_again(pod, status.started, graces.restarts));
    let mut look = None;
    for blocker in &status.reasons {
        match due(blocker, status, loops, graces) {
            Some(at) if at <= now => return Verdict::Over(Outcome::Failed, Some(blocker.code)),
            Some(at) => look = earlier(look, at),
            None => {}
        }
    }
    // Who has a deadline is told of it by its controller.
    if let (None, Some(started)) = (status.deadline_ms, status.started) {
        let at = started + graces.readiness;
        if at <= now {
            return Verdict::Over(Outcome::TimedOut, Some(blamed(status)));
        }
        look = earlier(look, at);
    }
    Verdict::Open(look)
}

fn earlier(look: Option<i64>, at: i64) -> Option<i64> {
    Some(look.map_or(at, |look| look.min(at)))
}

/// What a deadline that passed is blamed on.
fn blamed(status: &RolloutStatus) -> Reason {
    status.reasons.first().map_or(Reason::ProgressDeadline, |first| first.code)
}

/// When a cause counts; `None` if never by itself.
fn due(blocker: &Blocker, status: &RolloutStatus, loops: bool, graces: &Graces) -> Option<i64> {
    let since = blocker.since?;
    let grace = match blocker.code {
        code if code.is_certain() => 0,
        Reason::CrashLoop | Reason::OomKilled | Reason::InitFailed => {
            return loops.then_some(since);
        }
        Reason::ConfigMissing => graces.config,
        // While old pods hold it, it comes back as they go.
        Reason::Quota if status.old > 0 => return None,
        Reason::Quota => graces.quota,
        Reason::ImageDenied | Reason::ImagePull => graces.pull,
        Reason::Unschedulable => graces.unschedulable,
        Reason::CannotStart | Reason::CannotCreate => graces.start,
        // What passes by itself, and what is no cause but a deadline.
        _ => return None,
    };
    Some(since.saturating_add(grace))
}

/// Whether a container of a pod was restarted too often since the rollout began.
fn crashes_again(pod: &PodEntry, started: Option<i64>, most: u32) -> bool {
    pod.containers.iter().any(|container| {
        let ended = match &container.state {
            ContainerRun::Terminated(ended) => Some(&**ended),
            ContainerRun::Waiting(_) | ContainerRun::Running { .. } => container.last.as_deref(),
        };
        let inside = ended.and_then(|ended| ended.finished) >= started;
        let bad = ended.is_some_and(|ended| ended.exit_code != 0);
        container.restarts >= most && inside && bad
    })
}

/// When the last of the containers that say nothing of their readiness will have run long enough;
/// `None` if there is none.
fn settled<'a>(pods: impl Iterator<Item = &'a PodEntry>, graces: &Graces) -> Option<i64> {
    let silent = pods.flat_map(|pod| &pod.containers).filter(|it| !it.has_readiness);
    let started = silent.filter_map(|container| match &container.state {
        ContainerRun::Running { started } => *started,
        ContainerRun::Waiting(_) | ContainerRun::Terminated(_) => None,
    });
    started.max().map(|last| last.saturating_add(graces.settle))
}

// === impl Graces ===

impl Default for Graces {
    fn default() -> Self {
        Graces {
            config: 30 * SECOND,
            quota: 120 * SECOND,
            pull: 60 * SECOND,
            unschedulable: 120 * SECOND,
            start: 60 * SECOND,
            readiness: 600 * SECOND,
            settle: 10 * SECOND,
            restarts: 3,
        }
    }
}
