//! Deployments.
//!
//! A Deployment and its ReplicaSets are three writes by two controllers, seen through two watches: a
//! status may be about the template before, and a ReplicaSet that a rollback uses again keeps its
//! old number for a while. So a state is told of a revision only if both agree that it is the
//! answer, and what was once complete is known by what the controller wrote down.

use std::sync::Arc;

use super::message::{self, Words};
use super::model::Look;
use super::revision::{new_replica_set, observed, text};
use super::sets::{answer, images, named, previous, started};
use crate::ids::{Reason, RolloutPhase, RolloutStatus};
use crate::watch::{DeploymentDetail, ReplicaSetEntry, Truth, WorkloadEntry};

/// The state of a Deployment's newest rollout.
pub(super) fn status(look: &Look<'_>, detail: &DeploymentDetail) -> RolloutStatus {
    let workload = look.workload;
    let new = new_replica_set(workload);
    let revision = new.and_then(|new| answer(workload, detail.revision, new));
    let previous = previous(workload, new, revision);
    let phase = phase(workload, detail, new, revision);
    let counts = Counts::new(workload, detail, new, phase);
    let finished = finished(detail, new, phase);
    let Words { reasons, message } = words(look, detail, new, phase);
    RolloutStatus {
        time: look.now,
        phase,
        revision: revision.map(text),
        previous: previous.and_then(|set| set.revision).map(text),
        generation: workload.generation,
        images: images(&workload.template.containers, previous),
        desired: detail.desired,
        updated: counts.updated,
        ready: counts.ready,
        available: counts.available,
        old: counts.old,
        started: started(look, new, revision, finished),
        finished,
        deadline_ms: detail.deadline_seconds.map(|seconds| u64::from(seconds) * 1000),
        by: workload.by.clone(),
        change_cause: workload.change_cause.clone(),
        recovered: false,
        reasons,
        message,
    }
}

/// Where it stands. The first rule that fits counts.
fn phase(
    workload: &WorkloadEntry,
    detail: &DeploymentDetail,
    new: Option<&Arc<ReplicaSetEntry>>,
    revision: Option<i64>,
) -> RolloutPhase {
    let done = match (detail.desired, detail.replicas) {
        (0, 0) => RolloutPhase::ScaledToZero,
        _ => RolloutPhase::Complete,
    };
    // Nothing in the status counts before the controller has seen what was asked for. But what was
    // done stays done if something else than the template was changed: the number of replicas.
    if !observed(workload) {
        let same = revision.is_some() && !detail.paused && remembered(detail, new);
        return if same { done } else { RolloutPhase::Waiting };
    }
    if detail.paused {
        return RolloutPhase::Paused;
    }
    // The status may come before the ReplicaSet that it speaks of: a rollout without a number is not
    // told of as done. Without any right to see ReplicaSets there is only the status.
    let known = revision.is_some() || workload.replica_sets().next().is_none();
    if known && (complete(detail) || remembered(detail, new)) {
        return done;
    }
    let late = detail.progressing.as_ref().is_some_and(|condition| {
        let reason = condition.reason().map(|reason| &**reason);
        // The controller is slow to take back what it said of the rollout before.
        let about_it = match (named(condition), new) {
            (Some(named), Some(new)) => *named == *new.name,
            (Some(_), None) => workload.replica_sets().next().is_none(),
            (None, _) => true,
        };
        condition.status == Truth::False && reason == Some("ProgressDeadlineExceeded") && about_it
    });
    if late { RolloutPhase::Stalled } else { RolloutPhase::Progressing }
}

/// As kubectl computes it (`DeploymentComplete`): all pods are of the new template and available,
/// and no other is left. Old pods that are terminating are counted by nobody (`truths.md` 15).
fn complete(detail: &DeploymentDetail) -> bool {
    detail.updated == detail.desired
        && detail.replicas == detail.desired
        && detail.available == detail.desired
}

/// Whether the controller wrote down that this rollout was complete once. It leaves that alone until
/// the next one, which it is slow to notice: right after a rollback to an old ReplicaSet the
/// condition is still about the one before. Then other pods are left, and the message names another
/// (`syncRolloutStatus` in the controller's `progress.go`).
fn remembered(detail: &DeploymentDetail, new: Option<&Arc<ReplicaSetEntry>>) -> bool {
    let Some(condition) = &detail.progressing else { return false };
    let about_it = match (named(condition), new) {
        (Some(named), Some(new)) => *named == *new.name,
        _ => true,
    };
    let reason = condition.reason().map(|reason| &**reason);
    condition.holds()
        && reason == Some("NewReplicaSetAvailable")
        && about_it
        && detail.replicas == detail.updated
}

struct Counts {
    updated: u32,
    ready: u32,
    available: u32,
    old: u32,
}

impl Counts {
    /// Numbers of one picture: those of the Deployment's status where it has been observed. What it
    /// does not say of the new revision alone comes from the ReplicaSet, which is another watch and
    /// may be ahead or behind, so it is kept within what the status allows.
    fn new(
        workload: &WorkloadEntry,
        detail: &DeploymentDetail,
        new: Option<&Arc<ReplicaSetEntry>>,
        phase: RolloutPhase,
    ) -> Counts {
        if phase.is_over() {
            // All pods are new, whether they are ready at present or not.
            let ready = detail.ready.min(detail.updated);
            let available = detail.available.min(ready);
            return Counts { updated: detail.updated, ready, available, old: 0 };
        }
        let sets = || workload.replica_sets();
        let (updated, old) = if observed(workload) {
            (detail.updated, detail.replicas.saturating_sub(detail.updated))
        } else {
            let others = sets().filter(|set| new.is_none_or(|new| new.uid != set.uid));
            let old = others.fold(0u32, |sum, set| sum.saturating_add(set.replicas));
            (new.map_or(0, |set| set.replicas), old)
        };
        let (ready, available) = match new {
            Some(set) => (set.ready, set.available),
            None if sets().next().is_some() => (0, 0),
            None => (detail.ready, detail.available),
        };
        let ready = ready.min(updated);
        Counts { updated, ready, available: available.min(ready), old }
    }
}

/// When it was done: the controller writes the time when it first saw everything available, and
/// leaves it alone afterwards.
fn finished(
    detail: &DeploymentDetail,
    new: Option<&Arc<ReplicaSetEntry>>,
    phase: RolloutPhase,
) -> Option<i64> {
    let condition = detail.progressing.as_ref()?;
    let known = phase.is_over() && remembered(detail, new);
    known.then(|| detail.progressed.or(condition.since))?
}

fn words(
    look: &Look<'_>,
    detail: &DeploymentDetail,
    new: Option<&Arc<ReplicaSetEntry>>,
    phase: RolloutPhase,
) -> Words {
    if phase.is_over() && detail.available >= detail.desired {
        return Words::default();
    }
    let of_pods = message::of_pods(look);
    if !of_pods.message.is_empty() {
        return of_pods;
    }
    // The Deployment's own ReplicaFailure may be an old ReplicaSet's.
    let failure = new.and_then(|set| set.failure.as_ref()).filter(|failure| failure.holds());
    if let Some(failure) = failure {
        let said = failure.message().map_or("", |message| message);
        return message::cannot_create(said, failure.since);
    }
    match (phase, detail.deadline_seconds) {
        (RolloutPhase::Stalled, Some(seconds)) => {
            let message = format!("no progress within the deadline of {seconds} seconds");
            let since = detail.progressing.as_ref().and_then(|condition| condition.since);
            Words::of(Reason::ProgressDeadline, message, since)
        }
        _ => Words::default(),
    }
}
