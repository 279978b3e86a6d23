//! StatefulSets: counts from their status.

use super::clock::of_revision;
use super::message::{self, Words};
use super::model;
use super::model::Look;
use super::phase::judge;
use super::revision::{before, named, reused, side, text};
use crate::ids::{PodPhase, Reason, RolloutPhase, RolloutStatus, Side};
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
    // What the controller has not looked at has no pods, and the broken ones are those of the one before.
    let waits = phase == RolloutPhase::Waiting;
    let is_done = phase.is_over() && detail.available >= detail.desired;
    let updated = if waits { 0 } else { detail.updated };
    let Words { reasons, message } = if waits {
        Words::default()
    } else if is_done {
        message::of_done(look)
    } else {
        let words = message::of_pods_or_refusal(look);
        match (words.reasons.is_empty(), phase) {
            (true, RolloutPhase::Progressing) => stuck(look, detail, newest).unwrap_or(words),
            (true, RolloutPhase::WaitingForDelete) => message::waits_for_delete(look),
            _ => words,
        }
    };
    RolloutStatus {
        phase,
        revision: newest.map(|newest| text(newest.revision)),
        previous: newest.and_then(|newest| before(workload, newest.revision)),
        desired: detail.desired,
        updated,
        ready: ready.min(updated),
        available: detail.available.min(ready).min(updated),
        old: detail.replicas.saturating_sub(updated),
        started: newest.and_then(|newest| of_revision(look, newest)),
        reasons,
        message,
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
    let remembered =
        || !look.grown && newest.is_some_and(|newest| remembered(look.workload, detail, newest));
    if known && detail.desired == 0 && detail.replicas == 0 {
        RolloutPhase::ScaledToZero
    } else if known && (complete(detail) || remembered()) {
        RolloutPhase::Complete
    } else if detail.on_delete && message::old_pods(look) > 0 {
        RolloutPhase::WaitingForDelete
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
/// the current one, nor of pods that must be ready for a while: it does so as soon as they are ready.
fn remembered(
    workload: &WorkloadEntry,
    detail: &StatefulSetDetail,
    newest: &RevisionEntry,
) -> bool {
    newest.revision > 1
        && detail.min_ready_seconds == 0
        && !reused(workload, newest)
        && detail.current_revision == detail.update_revision
        && detail.updated == detail.replicas
}

/// An ordered set goes on only when its pods are ready, also those of the revision before: after a
/// rollback from a broken revision it waits for ever for a pod that cannot become so (`truths.md` 19).
fn stuck(
    look: &Look<'_>,
    detail: &StatefulSetDetail,
    newest: Option<&RevisionEntry>,
) -> Option<Words> {
    if detail.parallel || detail.on_delete || newest.is_none() {
        return None;
    }
    // A rollback to a revision of which no pod is there yet began when it was seen.
    let known = look.before.and_then(|before| {
        let same = before.reasons.iter().find(|reason| reason.code == Reason::StuckOnOldPod);
        same.and_then(|reason| reason.since)
    });
    let began = newest.and_then(|newest| of_revision(look, newest)).or(known).unwrap_or(look.now);
    let old = look
        .pods
        .iter()
        .filter(|pod| pod.deletion.is_none() && side(Some(look.workload), pod) == Side::Old);
    let mut broken = old.filter_map(|pod| {
        let judged = judge(pod, look.signs.get(&pod.uid));
        judged.trouble.filter(|_| judged.phase == PodPhase::Failing).map(|trouble| (pod, trouble))
    });
    let (pod, trouble) = broken.next()?;
    let message = format!(
        "pod {} of the old revision is broken, and the controller waits for it; delete it to go on: {}",
        pod.name,
        trouble.sentence()
    );
    let since = trouble.since.max(Some(began));
    let mut words = Words::of(Reason::StuckOnOldPod, message, since);
    words.reasons.iter_mut().for_each(|reason| reason.pods.push(std::sync::Arc::clone(&pod.name)));
    Some(words)
}
