//! Argo's Rollouts: canaries and blue-green.
//!
//! Its controller computes where a Rollout stands and writes that down with the generation that it is
//! about, so its word is taken where its numbers agree with it. A canary that pauses is no failure, one
//! that was aborted is. The pods that are new are those of the hash that the controller names.

use std::sync::Arc;

use super::message::{self, Words};
use super::model::Look;
use super::revision::{new_set_of, observed, text};
use super::sense;
use super::sets::{Counted, Counts, answer, images, is_late, of_the_set, previous, started};
use crate::ids::{Reason, RolloutPhase, RolloutStatus};
use crate::watch::{
    ArgoDetail, ArgoPhase, ArgoStep, Pause, ReplicaSetEntry, Strategy, TemplateContainer,
    WorkloadEntry,
};

/// The reason that the controller writes down when everything is there; and the one that follows if a
/// pod of what was promoted is lost later.
const THERE: [&str; 2] = ["NewReplicaSetAvailable", "ReplicaSetNotAvailable"];
/// What the condition of an aborted update says before it says why.
const ABORTED: &str = "Rollout aborted update to revision ";

/// The state of a Rollout's newest rollout.
pub(super) fn status(look: &Look<'_>, detail: &ArgoDetail) -> RolloutStatus {
    let workload = look.workload;
    let new = new_set_of(workload, detail);
    let revision = new.and_then(|new| answer(workload, detail.revision, new));
    let previous = previous(workload, new, revision);
    let phase = phase(look, detail, new, revision);
    let is = Counted {
        replicas: detail.replicas,
        updated: detail.updated,
        ready: detail.ready,
        available: detail.available,
    };
    // One whose specification is invalid was not rolled out, though it was looked at.
    let counts = Counts::new(workload, is, new, phase, detail.invalid.is_none());
    let finished = finished(detail, new, phase);
    let Words { reasons, message } = words(look, detail, new, phase);
    RolloutStatus {
        time: look.now,
        phase,
        revision: revision.map(text),
        previous: previous.and_then(|set| set.revision).map(text),
        generation: workload.generation,
        images: images(containers(workload, detail), previous),
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

/// Its containers: those of its own template, or of what became of the one that it refers to.
pub(super) fn containers<'a>(
    workload: &'a WorkloadEntry,
    detail: &ArgoDetail,
) -> &'a [TemplateContainer] {
    match new_set_of(workload, detail).filter(|_| detail.referenced) {
        Some(set) => &set.template.containers,
        None => &workload.template.containers,
    }
}

/// How far its plan is done, and whether it waits by plan: an analysis takes the time it takes.
pub(super) fn plan(detail: &ArgoDetail) -> (u32, bool) {
    let promoted = u32::from(is_promoted(detail));
    match &detail.strategy {
        Strategy::Canary(Some(step)) => (step.number, step.waits),
        // Above every number of a step.
        Strategy::Canary(None) => (u32::MAX, false),
        Strategy::BlueGreen { active } => {
            let switched = active.is_some() && *active == detail.current;
            (promoted + u32::from(switched), false)
        }
    }
}

/// Where it stands. The first rule that fits counts.
fn phase(
    look: &Look<'_>,
    detail: &ArgoDetail,
    new: Option<&Arc<ReplicaSetEntry>>,
    revision: Option<i64>,
) -> RolloutPhase {
    let workload = look.workload;
    let remembered = || !look.grown && remembered(detail, new);
    if detail.wrong.is_some() {
        return RolloutPhase::Unknown;
    }
    let done = match (detail.desired, detail.replicas) {
        (0, 0) => RolloutPhase::ScaledToZero,
        _ => RolloutPhase::Complete,
    };
    if !observed(workload) {
        let same = revision.is_some() && !detail.paused && remembered();
        return if same { done } else { RolloutPhase::Waiting };
    }
    if detail.phase.is_none() {
        return RolloutPhase::Unknown;
    }
    if detail.aborted {
        return RolloutPhase::Stalled;
    }
    if detail.invalid.is_some() {
        return RolloutPhase::Progressing;
    }
    if detail.paused || detail.pause.is_some() {
        return RolloutPhase::Paused;
    }
    // The status may come before the ReplicaSet that it speaks of.
    let known = revision.is_some() || workload.replica_sets().next().is_none();
    if known && (complete(detail) || remembered()) {
        return done;
    }
    if is_late(workload, detail.progressing.as_ref(), new) {
        RolloutPhase::Stalled
    } else {
        RolloutPhase::Progressing
    }
}

/// Whether the template was promoted to all pods.
fn is_promoted(detail: &ArgoDetail) -> bool {
    detail.current.is_some() && detail.current == detail.stable
}

/// Whether the controller calls it so, and its numbers agree. Old pods of a blue-green rollout stay for
/// a while on purpose, and hold nothing up.
fn complete(detail: &ArgoDetail) -> bool {
    detail.phase == Some(ArgoPhase::Healthy)
        && is_promoted(detail)
        && detail.updated >= detail.desired
        && detail.available >= detail.desired
}

/// Whether the controller wrote down that this rollout was complete once. A canary that is given up for
/// the stable template is that of the stable one at once, while its pods are still there.
fn remembered(detail: &ArgoDetail, new: Option<&Arc<ReplicaSetEntry>>) -> bool {
    let Some(condition) = &detail.progressing else { return false };
    let reason = condition.reason().map_or("", |reason| reason);
    let about_it = new.is_none_or(|new| new.hash == detail.current);
    let alone =
        matches!(detail.strategy, Strategy::BlueGreen { .. }) || detail.replicas == detail.updated;
    condition.holds() && THERE.contains(&reason) && is_promoted(detail) && about_it && alone
}

/// When it was done: the controller writes the time when it first saw everything there.
fn finished(
    detail: &ArgoDetail,
    new: Option<&Arc<ReplicaSetEntry>>,
    phase: RolloutPhase,
) -> Option<i64> {
    let condition = detail.progressing.as_ref()?;
    let first = condition.reason().is_some_and(|reason| &**reason == THERE[0]);
    let known = phase.is_over() && first && remembered(detail, new);
    known.then(|| detail.progressed.or(condition.since))?
}

fn words(
    look: &Look<'_>,
    detail: &ArgoDetail,
    new: Option<&Arc<ReplicaSetEntry>>,
    phase: RolloutPhase,
) -> Words {
    match phase {
        RolloutPhase::Unknown => {
            let what = detail.wrong.as_deref().unwrap_or("status.phase is missing");
            return Words { reasons: Vec::new(), message: sense::sentence(what) };
        }
        RolloutPhase::Complete | RolloutPhase::ScaledToZero
            if detail.available >= detail.desired =>
        {
            return message::of_done(look);
        }
        _ => {}
    }
    let of_pods = message::of_pods(look);
    if detail.aborted && phase == RolloutPhase::Stalled {
        let mut words = aborted(look, detail);
        // What its pods suffer from may be why.
        words.reasons.extend(of_pods.reasons);
        return words;
    }
    if phase == RolloutPhase::Paused {
        let Words { reasons, message } = of_pods;
        let paused = paused(detail);
        let message = if message.is_empty() { paused } else { format!("{paused}; {message}") };
        return Words { reasons, message };
    }
    if let Some(invalid) = detail.invalid.as_ref().filter(|_| observed(look.workload)) {
        let said = invalid.message().map_or("its controller does not say why", |said| said);
        let message = format!("the specification is invalid: {said}");
        return Words::of(Reason::InvalidSpec, message, invalid.since);
    }
    if !of_pods.message.is_empty() {
        return of_pods;
    }
    of_the_set(new, phase, detail.deadline_seconds, detail.progressing.as_ref())
}

/// That it was aborted, and why, if the controller tells.
fn aborted(look: &Look<'_>, detail: &ArgoDetail) -> Words {
    let condition = detail.progressing.as_ref();
    let said = condition.and_then(|condition| condition.message()).map(|said| &**said);
    let why = said.and_then(|said| said.strip_prefix(ABORTED)?.split_once(": "));
    let message = match why {
        Some((_, why)) => format!("the update was aborted: {why}"),
        None => "the update was aborted".to_owned(),
    };
    // From some time of the API, so that all replicas say the same.
    let since = detail.aborted_at.or(condition.and_then(|condition| condition.since));
    Words::of(Reason::Aborted, message, Some(since.unwrap_or(look.workload.created)))
}

/// Where it waits.
fn paused(detail: &ArgoDetail) -> String {
    let step = match &detail.strategy {
        Strategy::Canary(step) => *step,
        Strategy::BlueGreen { .. } => None,
    };
    match (detail.pause, step) {
        // Somebody paused it, wherever it is.
        (_, step) if detail.paused => {
            format!("paused by hand{}", step.map(at).unwrap_or_default())
        }
        (Some(Pause::Step), Some(step)) => format!("paused{}", at(step)),
        (Some(Pause::Promotion), _) => "paused before the promotion (blue-green)".to_owned(),
        (Some(Pause::Inconclusive), step) => {
            let at = step.map(at).unwrap_or_default();
            format!("paused{at}: an analysis came to no result")
        }
        _ => "paused by its controller".to_owned(),
    }
}

fn at(step: ArgoStep) -> String {
    let ArgoStep { number, of, weight, .. } = step;
    let weight = weight.map(|weight| format!(" (canary {weight} %)")).unwrap_or_default();
    format!(" at step {number} of {of}{weight}")
}
