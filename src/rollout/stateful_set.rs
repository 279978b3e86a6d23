//! StatefulSets: counts from their status.

use super::clock::of_revision;
use super::model::Look;
use super::revision::{before, named, reused, side, text};
use super::{message, model};
use crate::ids::{RolloutPhase, RolloutStatus, Side};
use crate::watch::{RevisionEntry, StatefulSetDetail, WorkloadEntry};

/// The state of a StatefulSet's newest rollout.
pub(super) fn status(look: &Look<'_>, detail: &StatefulSetDetail) -> RolloutStatus {
    let workload = look.workload;
    // A status about the template before names the revision before.
    let hash = detail.update_revision.as_ref().filter(|_| look.template_seen);
    let newest = hash.and_then(|hash| named(workload, hash)).map(|newest| &**newest);
    let phase = phase(look, detail, newest);
    let new_ready = look.pods.iter().filter(|pod| {
        pod.ready.holds() && pod.deletion.is_none() && side(Some(workload), pod) == Side::New
    });
    let done = phase == RolloutPhase::Complete && detail.partition == 0;
    let ready = if done { detail.ready } else { model::count(new_ready.count()) };
    RolloutStatus {
        phase,
        revision: newest.map(|newest| text(newest.revision)),
        previous: newest.and_then(|newest| before(workload, newest.revision)),
        desired: detail.desired,
        updated: detail.updated,
        ready: ready.min(detail.updated),
        available: detail.available.min(ready).min(detail.updated),
        old: detail.replicas.saturating_sub(detail.updated),
        started: newest.and_then(|newest| of_revision(look, newest)),
        message: if phase.is_over() && detail.available >= detail.desired {
            String::new()
        } else {
            message::of_pods(Some(workload), look.pods.iter().copied())
        },
        ..model::blank(workload, look.now)
    }
}

fn phase(
    look: &Look<'_>,
    detail: &StatefulSetDetail,
    newest: Option<&RevisionEntry>,
) -> RolloutPhase {
    if !look.template_seen {
        return RolloutPhase::Waiting;
    }
    // The status may come before the revision that it speaks of.
    let known = newest.is_some() || look.workload.revisions().next().is_none();
    let remembered = || newest.is_some_and(|newest| remembered(look.workload, detail, newest));
    if known && detail.desired == 0 && detail.replicas == 0 {
        RolloutPhase::ScaledToZero
    } else if known && (complete(detail) || remembered()) {
        RolloutPhase::Complete
    } else {
        RolloutPhase::Progressing
    }
}

/// As kubectl computes it.
fn complete(detail: &StatefulSetDetail) -> bool {
    // Pods below the partition keep their revision by wish.
    let to_update = detail.desired.saturating_sub(detail.partition);
    detail.updated >= to_update
        && detail.replicas == detail.desired
        && detail.available >= detail.desired
}

/// Whether the controller wrote down that this rollout was complete once: then it makes the update
/// revision the current one (`completeRollingUpdate`). That says nothing of the very first revision,
/// which is both from the beginning, nor of one that a rollback uses again, which may have stayed
/// the current one.
fn remembered(
    workload: &WorkloadEntry,
    detail: &StatefulSetDetail,
    newest: &RevisionEntry,
) -> bool {
    newest.revision > 1
        && !reused(workload, newest)
        && detail.current_revision == detail.update_revision
        && detail.updated == detail.replicas
}
