//! Deployments.

use std::sync::Arc;

use super::message;
use super::revision::{new_replica_set, text};
use crate::ids::{ImageChange, RolloutPhase, RolloutStatus};
use crate::watch::{DeploymentDetail, PodEntry, ReplicaSetEntry, Truth, WorkloadEntry};

/// The state of a Deployment's newest rollout.
pub(super) fn status(
    workload: &WorkloadEntry,
    detail: &DeploymentDetail,
    pods: &[&Arc<PodEntry>],
    now: i64,
) -> RolloutStatus {
    let new = new_replica_set(workload);
    let previous = previous(workload, new);
    let phase = phase(workload, detail, new);
    let counts = Counts::new(workload, detail, new, phase);
    RolloutStatus {
        time: now,
        phase,
        revision: new.and_then(|set| set.revision).map(text),
        previous: previous.and_then(|set| set.revision).map(text),
        generation: workload.generation,
        images: images(workload, previous),
        desired: detail.desired,
        updated: counts.updated,
        ready: counts.ready,
        available: counts.available,
        old: counts.old,
        started: started(workload, detail, new, pods),
        finished: finished(detail, phase),
        deadline_ms: detail.deadline_seconds.map(|seconds| u64::from(seconds) * 1000),
        message: words(workload, detail, new, phase, pods),
    }
}

/// Where it stands. The first rule that fits counts.
fn phase(
    workload: &WorkloadEntry,
    detail: &DeploymentDetail,
    new: Option<&Arc<ReplicaSetEntry>>,
) -> RolloutPhase {
    // Nothing in the status counts before the controller has seen what was asked for.
    if !observed(workload) {
        return RolloutPhase::Waiting;
    }
    if detail.paused {
        return RolloutPhase::Paused;
    }
    // The status may come before the ReplicaSet that it speaks of; a rollout without a revision is
    // not told of as done. Without any right to see ReplicaSets there is only the status.
    let known = new.is_some() || workload.replica_sets().next().is_none();
    if known && complete(detail) {
        return match detail.desired {
            0 => RolloutPhase::ScaledToZero,
            _ => RolloutPhase::Complete,
        };
    }
    let late = detail.progressing.as_ref().is_some_and(|condition| {
        let reason = condition.reason().map(|reason| &**reason);
        condition.status == Truth::False && reason == Some("ProgressDeadlineExceeded")
    });
    if late { RolloutPhase::Stalled } else { RolloutPhase::Progressing }
}

fn observed(workload: &WorkloadEntry) -> bool {
    workload.observed.is_some_and(|observed| observed >= workload.generation)
}

/// As kubectl computes it (`DeploymentComplete`): all pods are of the new template and available,
/// and no other is left. Old pods that are terminating are counted by nobody (`truths.md` 15).
fn complete(detail: &DeploymentDetail) -> bool {
    detail.updated == detail.desired
        && detail.replicas == detail.desired
        && detail.available == detail.desired
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
        if matches!(phase, RolloutPhase::Complete | RolloutPhase::ScaledToZero) {
            let all = detail.desired;
            return Counts { updated: all, ready: all, available: all, old: 0 };
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

/// The revision before: the highest below the new one. While there is no new ReplicaSet, the
/// highest of all.
fn previous<'a>(
    workload: &'a WorkloadEntry,
    new: Option<&Arc<ReplicaSetEntry>>,
) -> Option<&'a Arc<ReplicaSetEntry>> {
    let others = workload.replica_sets().filter(|set| new.is_none_or(|new| new.uid != set.uid));
    let limit = new.map_or(Some(i64::MAX), |new| new.revision);
    others
        .filter(|set| set.revision.is_some() && set.revision < limit)
        .max_by_key(|set| set.revision)
}

fn images(workload: &WorkloadEntry, previous: Option<&Arc<ReplicaSetEntry>>) -> Vec<ImageChange> {
    let before = |name: &Arc<str>| {
        let containers = &previous?.template.containers;
        let same = containers.iter().find(|container| container.name == *name)?;
        Some(Arc::clone(&same.image))
    };
    let containers = workload.template.containers.iter();
    containers
        .map(|container| ImageChange {
            container: Arc::clone(&container.name),
            from: before(&container.name),
            to: Arc::clone(&container.image),
        })
        .collect()
}

/// When the rollout began, from times of the API alone, so that a fresh replica knows it too: the
/// creation of its ReplicaSet. A ReplicaSet that a rollback uses again is older than the rollout;
/// then it is the creation of its oldest pod.
fn started(
    workload: &WorkloadEntry,
    detail: &DeploymentDetail,
    new: Option<&Arc<ReplicaSetEntry>>,
    pods: &[&Arc<PodEntry>],
) -> Option<i64> {
    let transition = || detail.progressing.as_ref().and_then(|condition| condition.since);
    let Some(set) = new else {
        // A first rollout without its ReplicaSet yet began with the Deployment.
        let first = workload.replica_sets().next().is_none();
        return if first { Some(workload.created) } else { None };
    };
    if !set.reused {
        return Some(set.created);
    }
    let of_set = pods.iter().filter(|pod| pod.owner.as_ref() == Some(&set.uid));
    of_set.map(|pod| pod.created).min().or_else(transition)
}

/// When it was done: the controller writes the time when it first saw everything available, and
/// leaves it alone afterwards.
fn finished(detail: &DeploymentDetail, phase: RolloutPhase) -> Option<i64> {
    let condition = detail.progressing.as_ref()?;
    let done = condition.reason().map(|reason| &**reason) == Some("NewReplicaSetAvailable");
    (phase == RolloutPhase::Complete && done).then(|| detail.progressed.or(condition.since))?
}

fn words(
    workload: &WorkloadEntry,
    detail: &DeploymentDetail,
    new: Option<&Arc<ReplicaSetEntry>>,
    phase: RolloutPhase,
    pods: &[&Arc<PodEntry>],
) -> String {
    if matches!(phase, RolloutPhase::Complete | RolloutPhase::ScaledToZero) {
        return String::new();
    }
    let of_pods = message::of_pods(Some(workload), pods.iter().copied());
    if !of_pods.is_empty() {
        return of_pods;
    }
    // The Deployment's own ReplicaFailure may be an old ReplicaSet's.
    let failure = new.and_then(|set| set.failure.as_ref()).filter(|failure| failure.holds());
    if let Some(failure) = failure {
        return message::cannot_create(failure.message());
    }
    match (phase, detail.deadline_seconds) {
        (RolloutPhase::Stalled, Some(seconds)) => {
            format!("no progress within the deadline of {seconds} seconds")
        }
        _ => String::new(),
    }
}
