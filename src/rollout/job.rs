//! Jobs: counts from their status.

use std::sync::Arc;

use super::message::{self, Words};
use super::model::{self, Look};
use super::trouble::first_line;
use crate::ids::{Reason, RolloutPhase, RolloutStatus};
use crate::watch::{Condition, JobDetail};

/// The state of a Job: its rollout is its run.
pub(super) fn status(look: &Look<'_>, uid: &Arc<str>, detail: &JobDetail) -> RolloutStatus {
    let phase = phase(detail);
    let failed = detail.failure.as_ref().filter(|condition| condition.holds());
    let Words { reasons, message } = match (phase, failed) {
        (RolloutPhase::Complete, _) => Words::default(),
        (_, Some(failure)) => {
            let words = failure.message().map_or("", |message| message);
            let message = format!("the job failed: {}", first_line(words));
            Words::of(Reason::JobFailed, message, failure.since)
        }
        _ => message::of_pods_or_refusal(look),
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
        reasons,
        message,
        ..model::blank(look.workload, look.now)
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
