//! What Deployments and Argo's Rollouts have in common: both roll out by ReplicaSets.

use std::sync::Arc;

use super::clock::begun_again;
use super::message::{self, Words};
use super::model::Look;
use super::revision::observed;
use crate::ids::{ImageChange, Reason, RolloutPhase};
use crate::watch::{Condition, ReplicaSetEntry, TemplateContainer, Truth, WorkloadEntry};

/// What the status of a workload counts, of all its pods.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted {
    pub(super) replicas: u32,
    pub(super) updated: u32,
    pub(super) ready: u32,
    pub(super) available: u32,
}

/// What is told: pods of the new revision, and how many others there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counts {
    pub(super) updated: u32,
    pub(super) ready: u32,
    pub(super) available: u32,
    pub(super) old: u32,
}

// === impl Counts ===

impl Counts {
    /// Numbers of one picture: those of the workload's status where it has been observed, and is about
    /// what is asked for (`told`). What it does not say of the new revision alone comes from the
    /// ReplicaSet, which is another watch and may be ahead or behind, so it is kept within what the status
    /// allows. When it is over, all that count are new, whether they are ready at present or not.
    pub(super) fn new(
        workload: &WorkloadEntry,
        is: Counted,
        new: Option<&Arc<ReplicaSetEntry>>,
        phase: RolloutPhase,
        told: bool,
    ) -> Counts {
        let sets = || workload.replica_sets();
        let (updated, old) = if phase.is_over() || (observed(workload) && told) {
            (is.updated, is.replicas.saturating_sub(is.updated))
        } else {
            let others = sets().filter(|set| new.is_none_or(|new| new.uid != set.uid));
            let old = others.fold(0u32, |sum, set| sum.saturating_add(set.replicas));
            (new.map_or(0, |set| set.replicas), old)
        };
        let (ready, available) = match new {
            _ if phase.is_over() => (is.ready, is.available),
            Some(set) => (set.ready, set.available),
            None if sets().next().is_some() => (0, 0),
            None => (is.ready, is.available),
        };
        let ready = ready.min(updated);
        Counts { updated, ready, available: available.min(ready), old }
    }
}

/// Whether the controller says that the deadline of this rollout has passed. It is slow to take back what
/// it said of the one before.
pub(super) fn is_late(
    workload: &WorkloadEntry,
    progressing: Option<&Condition>,
    new: Option<&Arc<ReplicaSetEntry>>,
) -> bool {
    let Some(condition) = progressing else { return false };
    let reason = condition.reason().map(|reason| &**reason);
    let about_it = match (named(condition), new) {
        (Some(named), Some(new)) => *named == *new.name,
        (Some(_), None) => workload.replica_sets().next().is_none(),
        (None, _) => true,
    };
    condition.status == Truth::False && reason == Some("ProgressDeadlineExceeded") && about_it
}

/// What keeps the new ReplicaSet from having its pods, or that it did not have them in time.
pub(super) fn of_the_set(
    new: Option<&Arc<ReplicaSetEntry>>,
    phase: RolloutPhase,
    deadline_seconds: Option<u32>,
    progressing: Option<&Condition>,
) -> Words {
    let failure = new.and_then(|set| set.failure.as_ref()).filter(|failure| failure.holds());
    if let Some(failure) = failure {
        let said = failure.message().map_or("", |message| message);
        return message::cannot_create(said, failure.since);
    }
    match (phase, deadline_seconds) {
        (RolloutPhase::Stalled, Some(seconds)) => {
            let message = message::late(u64::from(seconds));
            let since = progressing.and_then(|condition| condition.since);
            Words::of(Reason::ProgressDeadline, message, since)
        }
        _ => Words::default(),
    }
}

/// The revision of the new ReplicaSet, if that is the one asked for: the workload carries the same
/// number, `own`. A ReplicaSet that a rollback uses again gets a number above all others, then the
/// workload does; before that each still has the one it had.
pub(super) fn answer(
    workload: &WorkloadEntry,
    own: Option<i64>,
    new: &ReplicaSetEntry,
) -> Option<i64> {
    let number = new.revision?;
    let agreed = own.is_none_or(|own| own == number);
    let replaced = || workload.replica_sets().any(|set| set.revision > Some(number));
    // Once the workload has been observed, a higher number is news of what comes after it.
    (agreed && (observed(workload) || !replaced())).then_some(number)
}

/// The ReplicaSet that a condition is about, if its message names one.
pub(super) fn named(condition: &Condition) -> Option<&str> {
    let message: &str = condition.message()?;
    message.strip_prefix("ReplicaSet \"").and_then(|rest| rest.split('"').next())
}

/// The revision before: the highest below the new one. While the new one is not known, the highest
/// of all others.
pub(super) fn previous<'a>(
    workload: &'a WorkloadEntry,
    new: Option<&Arc<ReplicaSetEntry>>,
    revision: Option<i64>,
) -> Option<&'a Arc<ReplicaSetEntry>> {
    let others = workload.replica_sets().filter(|set| new.is_none_or(|new| new.uid != set.uid));
    others
        .filter(|set| set.revision.is_some_and(|number| revision.is_none_or(|new| number < new)))
        .max_by_key(|set| set.revision)
}

/// The images of a template, and those of the revision before.
pub(super) fn images(
    containers: &[TemplateContainer],
    previous: Option<&Arc<ReplicaSetEntry>>,
) -> Vec<ImageChange> {
    let before = |name: &Arc<str>| {
        let containers = &previous?.template.containers;
        let same = containers.iter().find(|container| container.name == *name)?;
        Some(Arc::clone(&same.image))
    };
    containers
        .iter()
        .map(|container| ImageChange {
            container: Arc::clone(&container.name),
            from: before(&container.name),
            to: Arc::clone(&container.image),
        })
        .collect()
}

/// When the rollout began, from times of the API alone, so that a fresh replica knows it too: the
/// creation of its ReplicaSet, unless a rollback uses that again.
pub(super) fn started(
    look: &Look<'_>,
    new: Option<&Arc<ReplicaSetEntry>>,
    revision: Option<i64>,
    finished: Option<i64>,
) -> Option<i64> {
    let new = new.filter(|_| revision.is_some())?;
    if !new.reused {
        return Some(new.created);
    }
    let others = look.workload.replica_sets().filter(|set| set.revision < revision);
    let newest = others.map(|set| set.created).max();
    begun_again(look, revision, newest, finished, |pod| pod.owner.as_ref() == Some(&new.uid))
}
