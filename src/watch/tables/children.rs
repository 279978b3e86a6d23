//! ReplicaSets, ControllerRevisions and Jobs: what workloads control.

use std::sync::Arc;

use super::{Below, Tables};
use crate::cluster::types;
use crate::ids::Kind;
use crate::watch::pod::Owner;
use crate::watch::problem::Resource;
use crate::watch::workload::{Child, JobEntry, ReplicaSetEntry, RevisionEntry, WorkloadEntry};
use crate::watch::{Change, Now};

impl Tables {
    pub(super) fn apply_replica_set(
        &mut self,
        set: &types::ReplicaSet,
        now: Now,
        out: &mut Vec<Change>,
    ) {
        let child = Child::ReplicaSet(Arc::new(ReplicaSetEntry::new(set, &mut self.words)));
        self.apply_child(Resource::ReplicaSets, &set.metadata, child, now, out);
    }

    pub(super) fn apply_revision(
        &mut self,
        revision: &types::ControllerRevision,
        now: Now,
        out: &mut Vec<Change>,
    ) {
        let child = Child::Revision(Arc::new(RevisionEntry::new(revision, &mut self.words)));
        self.apply_child(Resource::ControllerRevisions, &revision.metadata, child, now, out);
    }

    /// A Job is a child of its CronJob, or a workload itself.
    pub(super) fn apply_job(&mut self, job: &types::Job, now: Now, out: &mut Vec<Change>) {
        let child = Child::Job(Arc::new(JobEntry::new(job, &mut self.words)));
        self.apply_child(Resource::Jobs, &job.metadata, child, now, out);
        let uid = job.metadata.uid.as_deref().unwrap_or_default();
        let owner = self.children.get(uid).and_then(|below| below.owner.as_ref());
        if owner.and_then(Owner::workload) == Some(Kind::CronJob) {
            // It may have been adopted after it was known as a workload.
            self.remove_root(uid, now, out);
        } else {
            let entry = WorkloadEntry::job(job, &mut self.words);
            self.apply_root(entry, now, out);
        }
    }

    fn apply_child(
        &mut self,
        resource: Resource,
        meta: &types::ObjectMeta,
        child: Child,
        now: Now,
        out: &mut Vec<Change>,
    ) {
        let uid = Arc::clone(child.uid());
        let owner = Owner::of(meta, &mut self.words);
        let namespace = self.words.word(meta.namespace.as_deref().unwrap_or_default());
        let below = Below { namespace, resource, owner: owner.clone(), child };
        let before = self.children.insert(Arc::clone(&uid), below);
        let owner_before = before.map(|below| below.owner);
        let moved = owner_before.as_ref().is_some_and(|before| *before != owner);
        if moved && let Some(Some(before)) = &owner_before {
            self.leave(&before.uid, &uid);
            self.refresh(&before.uid, now, out);
        }
        if let Some(owner) = &owner {
            let siblings = self.by_owner.entry(Arc::clone(&owner.uid)).or_default();
            if !siblings.contains(&uid) {
                siblings.push(Arc::clone(&uid));
            }
            self.refresh(&owner.uid, now, out);
        }
        if resource == Resource::ControllerRevisions {
            return;
        }
        // What its pods say about their owner; only the uid and the kind matter to them.
        let as_owner = Owner {
            group: self.words.word(if resource == Resource::Jobs { "batch" } else { "apps" }),
            kind: self.words.word(if resource == Resource::Jobs { "Job" } else { "ReplicaSet" }),
            name: self.words.word(meta.name.as_deref().unwrap_or_default()),
            uid,
        };
        if moved {
            self.owner_moved(&as_owner, now, out);
        }
        self.owner_came(&as_owner, now, out);
    }

    pub(super) fn remove_child(&mut self, uid: &str, now: Now, out: &mut Vec<Change>) {
        let Some(below) = self.children.remove(uid) else { return };
        let Some(owner) = below.owner else { return };
        self.leave(&owner.uid, uid);
        self.refresh(&owner.uid, now, out);
    }

    fn leave(&mut self, owner_uid: &str, uid: &str) {
        let Some(siblings) = self.by_owner.get_mut(owner_uid) else { return };
        siblings.retain(|sibling| &**sibling != uid);
        if siblings.is_empty() {
            self.by_owner.remove(owner_uid);
        }
    }
}
