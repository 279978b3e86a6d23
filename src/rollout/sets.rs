//! What Deployments and Argo's Rollouts have in common: both roll out by ReplicaSets.

use std::sync::Arc;

use super::clock::begun_again;
use super::model::Look;
use super::revision::observed;
use crate::ids::ImageChange;
use crate::watch::{Condition, ReplicaSetEntry, TemplateContainer, WorkloadEntry};

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
