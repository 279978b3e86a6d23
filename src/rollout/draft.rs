//! What is said of an end: the result as far as states tell it, and whose last lines belong to it.

use std::sync::Arc;

use super::message;
use super::trouble::Trouble;
use crate::ids::{
    Blocked, ContainerKind, Outcome, Reason, RolloutPhase, RolloutResult, RolloutStatus,
};
use crate::time::MILLISECOND;
use crate::watch::{ContainerEntry, ContainerRun, PodEntry};

/// A result as far as the state tells it.
pub(super) fn draft(
    status: &RolloutStatus,
    outcome: Outcome,
    reason: Option<Reason>,
    now: i64,
) -> RolloutResult {
    let until = match outcome {
        Outcome::Succeeded => status.finished.unwrap_or(now),
        _ => now,
    };
    let took = status.started.map(|started| until.saturating_sub(started).max(0) / MILLISECOND);
    let message = match outcome {
        // Our own clock may be faster than the controller's, which would say so, too.
        Outcome::TimedOut if status.message.is_empty() => match status.deadline_ms {
            Some(ms) => message::late(ms / 1000),
            None => "no progress within the time that a rollout may take".to_owned(),
        },
        Outcome::Failed | Outcome::TimedOut | Outcome::Unknown => status.message.clone(),
        Outcome::Superseded => "a newer change began before this one was over".to_owned(),
        // Done without the pods of a node that is not counted any more: somebody has to know.
        Outcome::Succeeded if status.reasons.iter().any(|it| it.code == Reason::NodeLost) => {
            status.message.clone()
        }
        Outcome::Succeeded if status.phase == RolloutPhase::ScaledToZero => {
            "scaled to zero: no pod was asked to run".to_owned()
        }
        Outcome::Succeeded | Outcome::Deleted => String::new(),
    };
    RolloutResult {
        time: now,
        outcome,
        revision: status.revision.clone(),
        generation: status.generation,
        ready: status.ready,
        desired: status.desired,
        duration_ms: took.map(i64::unsigned_abs),
        reason,
        message,
        pods: Vec::new(),
        events: Vec::new(),
        inferred: false,
    }
}

/// The pods that suffer from a reason, with the container to blame, and whose lines are wanted.
pub(super) fn blocked(
    status: &RolloutStatus,
    reason: Option<Reason>,
    pods: &[&PodEntry],
) -> Vec<(Blocked, Option<Arc<str>>)> {
    let mut reasons: Vec<_> = status.reasons.iter().collect();
    reasons.sort_by_key(|blocker| Some(blocker.code) != reason);
    let names = reasons.iter().flat_map(|blocker| &blocker.pods);
    let found = names.filter_map(|name| pods.iter().find(|pod| pod.name == *name));
    found.take(RolloutResult::MOST_PODS).map(|pod| blame(pod)).collect()
}

fn blame(pod: &PodEntry) -> (Blocked, Option<Arc<str>>) {
    let counts = |it: &&ContainerEntry| it.kind != ContainerKind::Ephemeral;
    let mut all = pod.containers.iter().filter(counts);
    let failing = all.clone().find(|it| Trouble::of(it).is_some());
    let failing = failing.or_else(|| all.find(|it| it.kind == ContainerKind::App && !it.ready));
    let Some(container) = failing else {
        let (container, attempt, exit_code, lines) = (None, None, None, Vec::new());
        return (
            Blocked { pod: Arc::clone(&pod.name), container, attempt, exit_code, lines },
            None,
        );
    };
    // In the pause after a crash the newest attempt is the one that crashed.
    let ended = match &container.state {
        ContainerRun::Terminated(ended) => Some(&**ended),
        ContainerRun::Waiting(_) => container.last.as_deref(),
        ContainerRun::Running { .. } => None,
    };
    let ran = match &container.state {
        ContainerRun::Waiting(_) => container.last.is_some() || container.restarts > 0,
        ContainerRun::Running { .. } | ContainerRun::Terminated(_) => true,
    };
    let blocked = Blocked {
        pod: Arc::clone(&pod.name),
        container: Some(Arc::clone(&container.name)),
        attempt: ran.then(|| container.restarts.saturating_add(1)),
        exit_code: ended.map(|ended| ended.exit_code),
        lines: Vec::new(),
    };
    (blocked, ran.then(|| Arc::clone(&pod.uid)))
}
