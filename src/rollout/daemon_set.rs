//! DaemonSets: counts from their status. It does not say whether a rollout was complete once, so one
//! whose pods fail later is told of as progressing again.

use std::sync::Arc;

use super::clock::of_revision;
use super::message::{self, Words};
use super::model;
use super::model::Look;
use super::phase::node_lost;
use super::revision::{before, highest, is_highest_present, named, observed, side, text};
use crate::ids::{RolloutPhase, RolloutStatus, Side};
use crate::watch::{DaemonSetDetail, RevisionEntry};

/// The state of a DaemonSet's newest rollout.
pub(super) fn status(look: &Look<'_>, detail: &DaemonSetDetail) -> RolloutStatus {
    let workload = look.workload;
    let newest = newest(look, detail);
    let phase = phase(look, detail, newest);
    let living = || look.pods.iter().filter(|pod| pod.deletion.is_none());
    let on = |wanted| living().filter(move |pod| side(Some(workload), pod) == wanted);
    let complete = phase == RolloutPhase::Complete;
    let new_ready = on(Side::New).filter(|pod| pod.ready.holds()).count();
    let ready = if complete { detail.ready } else { model::count(new_ready) };
    // What the controller has not looked at has no pods yet.
    let waits = phase == RolloutPhase::Waiting;
    let updated = if waits { 0 } else { detail.updated };
    let Words { reasons, message } = match (phase, message::of_pods_or_refusal(look)) {
        (RolloutPhase::Waiting, _) => Words::default(),
        // A node that is marked as lost is not counted any more, so the rollout is done without it.
        (RolloutPhase::Complete, _) => lost(look).unwrap_or_else(|| message::of_done(look)),
        (RolloutPhase::WaitingForDelete, words) if words.reasons.is_empty() => {
            message::waits_for_delete(look)
        }
        (RolloutPhase::Progressing, words) if words.reasons.is_empty() => {
            lost(look).unwrap_or(words)
        }
        (_, words) => words,
    };
    RolloutStatus {
        phase,
        revision: newest.map(|newest| text(newest.revision)),
        previous: newest.and_then(|newest| before(workload, newest.revision)),
        desired: detail.desired,
        updated,
        ready: ready.min(updated),
        available: detail.available.min(ready).min(updated),
        old: if complete { 0 } else { model::count(on(Side::Old).count()) },
        started: newest.and_then(|newest| of_revision(look, newest)),
        reasons,
        message,
        ..model::blank(workload, look.now)
    }
}

/// An old pod on a node that does not answer stays, and counts as the one that may be unavailable: nothing
/// goes on (`truths.md` 20).
fn lost(look: &Look<'_>) -> Option<Words> {
    let old = look.pods.iter().filter(|pod| side(Some(look.workload), pod) == Side::Old);
    let (pod, trouble) = old.filter_map(|pod| Some((pod, node_lost(pod)?))).next()?;
    let name = &pod.name;
    let message = format!("pod {name} of the old revision cannot be replaced: {}", trouble.text);
    let mut words = Words::of(trouble.code, message, trouble.since);
    words.reasons.iter_mut().for_each(|reason| reason.pods.push(Arc::clone(name)));
    Some(words)
}

/// The revision that is asked for: that of pods of the present template, whose revision may not have
/// come yet, else the highest. Not known before the controller has seen what is asked for.
fn newest<'a>(look: &Look<'a>, detail: &DaemonSetDetail) -> Option<&'a Arc<RevisionEntry>> {
    if !observed(look.workload) {
        return None;
    }
    let generation = detail.template_generation;
    let present = look.pods.iter().find(|pod| {
        generation.is_some() && pod.template_generation == generation && pod.hash.is_some()
    });
    match present.and_then(|pod| pod.hash.as_deref()) {
        Some(hash) => named(look.workload, hash),
        None => highest(look.workload)
            .filter(|_| is_highest_present(look.workload, detail).unwrap_or(true)),
    }
}

fn phase(
    look: &Look<'_>,
    detail: &DaemonSetDetail,
    newest: Option<&Arc<RevisionEntry>>,
) -> RolloutPhase {
    if !observed(look.workload) {
        return RolloutPhase::Waiting;
    }
    let none = look.workload.revisions().next().is_none();
    // Where no node wants a pod there is none to tell of a change that was taken back.
    let known = newest.is_some() || none || detail.desired == 0;
    // As kubectl computes it. A DaemonSet that no node wants is complete, not scaled down.
    let complete = detail.updated >= detail.desired && detail.available >= detail.desired;
    if known && complete {
        RolloutPhase::Complete
    } else if detail.on_delete && message::old_pods(look) > 0 {
        RolloutPhase::WaitingForDelete
    } else {
        RolloutPhase::Progressing
    }
}
