//! Which revision a pod belongs to, and whether that is the newest.

use std::sync::Arc;

use crate::ids::Side;
use crate::watch::{
    ArgoDetail, DaemonSetDetail, Detail, PodEntry, ReplicaSetEntry, RevisionEntry, WorkloadEntry,
};

/// Whether the controller has seen what is asked for. Before that its status says nothing about it.
pub(super) fn observed(workload: &WorkloadEntry) -> bool {
    workload.observed.is_none_or(|observed| observed >= workload.generation)
}

/// The ReplicaSet with the Deployment's own template: the oldest, if several have it, as the
/// controller chooses (`FindNewReplicaSet`). The revision annotation is no guide: it names the old
/// one under `Recreate` and while paused.
pub(super) fn new_replica_set(workload: &WorkloadEntry) -> Option<&Arc<ReplicaSetEntry>> {
    workload.replica_sets().find(|set| set.template.digest == workload.template.digest)
}

/// The ReplicaSet of an Argo Rollout's present template: that with the hash which its controller names,
/// once that is about what is asked for. Before that, and if the controller calls it invalid and has
/// made none, the one with the same template, if there is one.
pub(super) fn new_set_of<'a>(
    workload: &'a WorkloadEntry,
    detail: &ArgoDetail,
) -> Option<&'a Arc<ReplicaSetEntry>> {
    if observed(workload) && detail.invalid.is_none() {
        let current = detail.current.as_ref()?;
        return workload.replica_sets().find(|set| set.hash.as_ref() == Some(current));
    }
    new_replica_set(workload).filter(|_| !detail.referenced)
}

/// The ControllerRevision that a hash of a pod or status names: StatefulSets use its name,
/// DaemonSets its label.
pub(super) fn named<'a>(workload: &'a WorkloadEntry, hash: &str) -> Option<&'a Arc<RevisionEntry>> {
    let is = |revision: &&Arc<RevisionEntry>| {
        *revision.name == *hash || revision.hash.as_deref() == Some(hash)
    };
    workload.revisions().find(is)
}

/// The ControllerRevision with the highest number.
pub(super) fn highest(workload: &WorkloadEntry) -> Option<&Arc<RevisionEntry>> {
    workload.revisions().max_by_key(|revision| revision.revision)
}

/// Whether the highest ControllerRevision is that of a DaemonSet's present template, and not of the one before,
/// as long as its own has not come (`truths.md` 18). The controller copies the generation of the template to
/// what it makes; one that a rollback uses again is older than another by that.
pub(super) fn is_highest_present(
    workload: &WorkloadEntry,
    detail: &DaemonSetDetail,
) -> Option<bool> {
    let made = highest(workload)?.template_generation?;
    let later = workload.revisions().any(|other| other.template_generation > Some(made));
    // A change that was taken back before the controller looked is counted, and has no revision. Then all
    // pods are of this one, and are counted as new.
    let taken_back = observed(workload) && detail.desired > 0 && detail.updated >= detail.desired;
    Some(detail.template_generation? == made || later || taken_back)
}

/// Whether nothing but a DaemonSet's numbers tell that its highest ControllerRevision is that of its present
/// template: the change may have been taken back, or the revision that a rollback uses again has not come to us.
pub(super) fn is_inferred(workload: &WorkloadEntry) -> bool {
    let Detail::DaemonSet(detail) = &workload.detail else { return false };
    let made = highest(workload).and_then(|highest| highest.template_generation);
    // Also behind a rollback, which leaves the highest with an older number until the next one has come.
    detail.template_generation != made
}

/// The number before another one among the ControllerRevisions.
pub(super) fn before(workload: &WorkloadEntry, number: i64) -> Option<Arc<str>> {
    let below = workload.revisions().map(|revision| revision.revision);
    below.filter(|other| *other < number).max().map(text)
}

/// Whether a rollback uses a ControllerRevision again: it has a higher number than one that was made
/// after it.
pub(super) fn reused(workload: &WorkloadEntry, newest: &RevisionEntry) -> bool {
    newest_below(workload, newest.revision).is_some_and(|others| others >= newest.created)
}

/// When the newest of the ControllerRevisions with a lower number was made.
pub(super) fn newest_below(workload: &WorkloadEntry, number: i64) -> Option<i64> {
    let below = workload.revisions().filter(|other| other.revision < number);
    below.map(|revision| revision.created).max()
}

/// Whether a revision before the newest has the value of `rollcast.dev/deploy` that its workload has: then
/// the newest came by a change that left it as it was, and the value names another rollout. Controllers
/// copy the annotation to what they make (`SetNewReplicaSetAnnotations`, `newRevision`).
pub(super) fn is_older_deploy(workload: &WorkloadEntry) -> bool {
    let Some(deploy) = workload.deploy.as_ref().filter(|_| observed(workload)) else {
        return false;
    };
    let set = match &workload.detail {
        Detail::Deployment(_) => new_replica_set(workload),
        Detail::Rollout(detail) => new_set_of(workload, detail),
        _ => None,
    };
    let of_set = set.is_some_and(|new| {
        workload.replica_sets().any(|it| it.uid != new.uid && it.deploy.as_ref() == Some(deploy))
    });
    let of_revision = highest(workload).is_some_and(|new| {
        let before = |it: &&Arc<RevisionEntry>| it.revision < new.revision;
        workload.revisions().filter(before).any(|it| it.deploy.as_ref() == Some(deploy))
    });
    of_set || of_revision
}

/// Revisions are strings everywhere.
pub(super) fn text(number: i64) -> Arc<str> {
    number.to_string().into()
}

/// Whether a pod belongs to the newest revision. While nothing is known of revisions, it does.
pub(super) fn side(workload: Option<&WorkloadEntry>, pod: &PodEntry) -> Side {
    let Some(workload) = workload else { return Side::New };
    // One of the same name may have been there before, and its pods outlive it.
    let its_own = pod.owner.as_ref() == Some(&workload.uid);
    let new = match &workload.detail {
        Detail::Deployment(_) => match new_replica_set(workload) {
            Some(set) => pod.owner.as_ref() == Some(&set.uid),
            // Until the new ReplicaSet exists there are no new pods. Without any ReplicaSet (no
            // right to see them) nothing can be told apart.
            None => workload.replica_sets().next().is_none(),
        },
        Detail::Rollout(detail) => match new_set_of(workload, detail) {
            Some(set) => pod.owner.as_ref() == Some(&set.uid),
            None => workload.replica_sets().next().is_none(),
        },
        Detail::StatefulSet(detail) => {
            its_own && (detail.update_revision.is_none() || detail.update_revision == pod.hash)
        }
        Detail::DaemonSet(detail) => {
            let same_generation = detail.template_generation.is_some()
                && detail.template_generation == pod.template_generation;
            let of_highest = match (highest(workload), &pod.hash) {
                (Some(revision), Some(hash)) => revision.hash.as_ref() == Some(hash),
                (None, _) => detail.template_generation.is_none(),
                (Some(_), None) => false,
            };
            // Where nobody tells, at least something must count as new.
            let is_present = || is_highest_present(workload, detail).unwrap_or(detail.updated > 0);
            its_own && (same_generation || (observed(workload) && of_highest && is_present()))
        }
        Detail::CronJob { .. } => match workload.jobs().last() {
            Some(job) => pod.owner.as_ref() == Some(&job.uid),
            None => true,
        },
        Detail::Job(_) => its_own,
        Detail::Pod => true,
    };
    if new { Side::New } else { Side::Old }
}

/// The name of a pod's revision (design section 3).
pub(super) fn of_pod(workload: Option<&WorkloadEntry>, pod: &PodEntry) -> Option<Arc<str>> {
    let workload = workload?;
    match &workload.detail {
        Detail::Deployment(_) | Detail::Rollout(_) => {
            let owner = pod.owner.as_ref()?;
            let set = workload.replica_sets().find(|set| set.uid == *owner)?;
            set.revision.map(text)
        }
        Detail::StatefulSet(_) | Detail::DaemonSet(_) => {
            named(workload, pod.hash.as_deref()?).map(|revision| text(revision.revision))
        }
        Detail::Job(_) | Detail::CronJob { .. } => pod.owner.clone(),
        Detail::Pod => None,
    }
}
