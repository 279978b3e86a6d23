//! DaemonSets: counts from their status.

use std::sync::Arc;

use super::revision::{before, highest, side, text};
use super::{message, model};
use crate::ids::{RolloutPhase, RolloutStatus, Side};
use crate::watch::{DaemonSetDetail, PodEntry, WorkloadEntry};

/// The state of a DaemonSet's newest rollout.
pub(super) fn status(
    workload: &WorkloadEntry,
    detail: &DaemonSetDetail,
    pods: &[&Arc<PodEntry>],
    now: i64,
) -> RolloutStatus {
    let newest = highest(workload);
    let phase = phase(workload, detail);
    let living = || pods.iter().filter(|pod| pod.deletion.is_none());
    let on = |wanted| living().filter(move |pod| side(Some(workload), pod) == wanted);
    let complete = phase == RolloutPhase::Complete;
    let new_ready = on(Side::New).filter(|pod| pod.ready.holds()).count();
    let ready = if complete { detail.ready } else { model::count(new_ready) };
    RolloutStatus {
        phase,
        revision: newest.map(|revision| text(revision.revision)),
        previous: newest.and_then(|revision| before(workload, revision.revision)),
        desired: detail.desired,
        updated: detail.updated,
        ready: ready.min(detail.updated),
        available: detail.available.min(ready).min(detail.updated),
        old: if complete { 0 } else { model::count(on(Side::Old).count()) },
        started: newest.map(|revision| revision.created),
        message: match phase {
            RolloutPhase::Complete => String::new(),
            _ => message::of_pods(Some(workload), pods.iter().copied()),
        },
        ..model::blank(workload, now)
    }
}

fn phase(workload: &WorkloadEntry, detail: &DaemonSetDetail) -> RolloutPhase {
    if workload.observed.is_none_or(|observed| observed < workload.generation) {
        return RolloutPhase::Waiting;
    }
    // As kubectl computes it. A DaemonSet that no node wants is complete, not scaled down.
    let complete = detail.updated >= detail.desired && detail.available >= detail.desired;
    if complete { RolloutPhase::Complete } else { RolloutPhase::Progressing }
}
