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
use super::sets::{Counted, Counts, answer, images, is_late, named, of_the_set, previous, started};
use crate::ids::{RolloutPhase, RolloutStatus};
use crate::watch::{DeploymentDetail, ReplicaSetEntry};

/// The state of a Deployment's newest rollout.
pub(super) fn status(look: &Look<'_>, detail: &DeploymentDetail) -> RolloutStatus {
    let workload = look.workload;
    let new = new_replica_set(workload);
    let revision = new.and_then(|new| answer(workload, detail.revision, new));
    let previous = previous(workload, new, revision);
    let phase = phase(look, detail, new, revision);
    let is = Counted {
        replicas: detail.replicas,
        updated: detail.updated,
        ready: detail.ready,
        available: detail.available,
    };
    let counts = Counts::new(workload, is, new, phase, true);
    let finished = finished(detail, new, phase).filter(|_| !look.grown);
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
    look: &Look<'_>,
    detail: &DeploymentDetail,
    new: Option<&Arc<ReplicaSetEntry>>,
    revision: Option<i64>,
) -> RolloutPhase {
    let workload = look.workload;
    let remembered = || !look.grown && remembered(detail, new);
    let done = match (detail.desired, detail.replicas) {
        (0, 0) => RolloutPhase::ScaledToZero,
        _ => RolloutPhase::Complete,
    };
    // Nothing in the status counts before the controller has seen what was asked for. But what was
    // done stays done if something else than the template was changed: the number of replicas.
    if !observed(workload) {
        let same = revision.is_some() && !detail.paused && remembered();
        return if same { done } else { RolloutPhase::Waiting };
    }
    if detail.paused {
        return RolloutPhase::Paused;
    }
    // The status may come before the ReplicaSet that it speaks of: a rollout without a number is not
    // told of as done. Without any right to see ReplicaSets there is only the status.
    let known = revision.is_some() || workload.replica_sets().next().is_none();
    if known && (complete(detail) || remembered()) {
        return done;
    }
    let late = is_late(workload, detail.progressing.as_ref(), new);
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
        return message::of_done(look);
    }
    let of_pods = message::of_pods(look);
    if !of_pods.message.is_empty() {
        return of_pods;
    }
    // The Deployment's own ReplicaFailure may be an old ReplicaSet's.
    of_the_set(new, phase, detail.deadline_seconds, detail.progressing.as_ref())
}
