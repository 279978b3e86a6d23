//! Jobs: counts from their status.

use std::sync::Arc;

use super::trouble::first_line;
use super::{message, model};
use crate::ids::{RolloutPhase, RolloutStatus};
use crate::watch::{Condition, JobDetail, PodEntry, WorkloadEntry};

/// The state of a Job: its rollout is its run.
pub(super) fn status(
    workload: &WorkloadEntry,
    uid: &Arc<str>,
    detail: &JobDetail,
    pods: &[&Arc<PodEntry>],
    now: i64,
) -> RolloutStatus {
    let phase = phase(detail);
    let failed = detail.failure.as_ref().filter(|condition| condition.holds());
    let message = match (phase, failed) {
        (RolloutPhase::Complete, _) => String::new(),
        (_, Some(failure)) => {
            let words = failure.message().map_or("", |message| message);
            format!("the job failed: {}", first_line(words))
        }
        _ => message::of_pods(Some(workload), pods.iter().copied()),
    };
    let running = detail.active.saturating_add(detail.succeeded);
    RolloutStatus {
        phase,
        revision: Some(Arc::clone(uid)),
        desired: detail.completions,
        updated: running,
        ready: detail.ready.saturating_add(detail.succeeded),
        available: detail.succeeded,
        started: detail.started,
        finished: detail.finished.or_else(|| failed.and_then(|condition| condition.since)),
        message,
        ..model::blank(workload, now)
    }
}

fn phase(detail: &JobDetail) -> RolloutPhase {
    let holds = |condition: &Option<Condition>| condition.as_ref().is_some_and(Condition::holds);
    if holds(&detail.complete) {
        RolloutPhase::Complete
    } else if holds(&detail.failure) {
        RolloutPhase::Stalled
    } else if detail.suspended {
        RolloutPhase::Paused
    } else {
        RolloutPhase::Progressing
    }
}
