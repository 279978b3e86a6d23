//! Jobs: counts from their status.

use std::sync::Arc;

use super::message::{self, Words};
use super::model::{self, Look};
use super::trouble::first_line;
use crate::ids::{Outcome, Reason, RolloutPhase, RolloutStatus};
use crate::watch::{ApiPhase, Condition, Detail, JobDetail, JobEntry, PodEntry, WorkloadEntry};

/// The state of a Job: its rollout is its run.
pub(super) fn status(look: &Look<'_>, uid: &Arc<str>, detail: &JobDetail) -> RolloutStatus {
    let failed = detail.failure.as_ref().filter(|condition| condition.holds());
    let words = match (phase(detail), failed) {
        (RolloutPhase::Complete, _) => Words::default(),
        (_, Some(condition)) => failure(condition),
        _ => message::of_pods_or_refusal(look),
    };
    state(look.workload, uid, detail, words, look.now)
}

fn failure(condition: &Condition) -> Words {
    let words = condition.message().map_or("", |message| message);
    let message = format!("the job failed: {}", first_line(words));
    Words::of(Reason::JobFailed, message, condition.since)
}

fn state(
    workload: &WorkloadEntry,
    uid: &Arc<str>,
    detail: &JobDetail,
    words: Words,
    now: i64,
) -> RolloutStatus {
    let failed = detail.failure.as_ref().filter(|condition| condition.holds());
    let Words { reasons, message } = words;
    let running = detail.active.saturating_add(detail.succeeded);
    RolloutStatus {
        phase: phase(detail),
        revision: Some(Arc::clone(uid)),
        desired: detail.completions,
        updated: running,
        ready: detail.ready.saturating_add(detail.succeeded),
        available: detail.succeeded,
        started: detail.started,
        finished: detail.finished.or_else(|| failed.and_then(|condition| condition.since)),
        reasons,
        message,
        ..model::blank(workload, now)
    }
}

/// How a Job ended, if it did and its controller says so.
pub(super) fn end(detail: &JobDetail) -> Option<Outcome> {
    match phase(detail) {
        RolloutPhase::Complete => Some(Outcome::Succeeded),
        RolloutPhase::Stalled => Some(Outcome::Failed),
        _ => None,
    }
}

/// The state of a Job of a CronJob that has ended.
pub(super) fn ended(workload: &WorkloadEntry, job: &JobEntry, now: i64) -> RolloutStatus {
    let failed = job.detail.failure.as_ref().filter(|condition| condition.holds());
    let words = failed.map_or_else(Words::default, failure);
    state(workload, &job.uid, &job.detail, words, now)
}

/// Whether a Job of which the last is not known has run to its end: as many of its pods as it asked for. It may
/// be gone a moment after that (`ttlSecondsAfterFinished`), which a list does not tell.
pub(super) fn has_run(workload: &WorkloadEntry, pods: &[Arc<PodEntry>]) -> bool {
    let Detail::Job(detail) = &workload.detail else { return false };
    let is_good = |pod: &&Arc<PodEntry>| {
        pod.phase == ApiPhase::Succeeded && pod.owner.as_ref() == Some(&workload.uid)
    };
    let good = pods.iter().filter(is_good).count();
    detail.completions > 0 && good >= detail.completions as usize
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
