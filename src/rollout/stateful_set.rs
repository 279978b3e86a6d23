//! StatefulSets: counts from their status.

use std::sync::Arc;

use super::revision::{before, named, side, text};
use super::{message, model};
use crate::ids::{RolloutPhase, RolloutStatus, Side};
use crate::watch::{PodEntry, StatefulSetDetail, WorkloadEntry};

/// The state of a StatefulSet's newest rollout.
pub(super) fn status(
    workload: &WorkloadEntry,
    detail: &StatefulSetDetail,
    pods: &[&Arc<PodEntry>],
    now: i64,
) -> RolloutStatus {
    let newest = detail.update_revision.as_ref().and_then(|hash| named(workload, hash));
    let phase = phase(workload, detail);
    let new_ready = pods.iter().filter(|pod| {
        pod.ready.holds() && pod.deletion.is_none() && side(Some(workload), pod) == Side::New
    });
    let done = phase == RolloutPhase::Complete && detail.partition == 0;
    let ready = if done { detail.ready } else { model::count(new_ready.count()) };
    RolloutStatus {
        phase,
        revision: newest.map(|revision| text(revision.revision)),
        previous: newest.and_then(|revision| before(workload, revision.revision)),
        desired: detail.desired,
        updated: detail.updated,
        ready: ready.min(detail.updated),
        available: detail.available.min(ready).min(detail.updated),
        old: detail.replicas.saturating_sub(detail.updated),
        started: newest.map(|revision| revision.created),
        message: match phase {
            RolloutPhase::Complete | RolloutPhase::ScaledToZero => String::new(),
            _ => message::of_pods(Some(workload), pods.iter().copied()),
        },
        ..model::blank(workload, now)
    }
}

fn phase(workload: &WorkloadEntry, detail: &StatefulSetDetail) -> RolloutPhase {
    if workload.observed.is_none_or(|observed| observed < workload.generation) {
        return RolloutPhase::Waiting;
    }
    if detail.desired == 0 && detail.replicas == 0 {
        return RolloutPhase::ScaledToZero;
    }
    // Pods below the partition keep their revision by wish.
    let to_update = detail.desired.saturating_sub(detail.partition);
    let complete = detail.updated >= to_update
        && detail.replicas == detail.desired
        && detail.available >= detail.desired;
    if complete { RolloutPhase::Complete } else { RolloutPhase::Progressing }
}
