//! Pods: how they find their workload, and how they go.

use std::sync::Arc;

use tokio::time::Instant;

use super::{GONE_KEPT, PATIENCE, Pending, Tables};
use crate::cluster::types;
use crate::ids::{Kind, WorkloadId};
use crate::watch::owner::{self, Belongs};
use crate::watch::pod::{Owner, PodEntry, identity};
use crate::watch::{Change, Now};

impl Tables {
    pub(super) fn apply_pod(&mut self, pod: &types::Pod, now: Now, out: &mut Vec<Change>) {
        let uid = &*identity(pod);
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        let before = self.pods.get(uid).map(Arc::clone);
        let held = self.pending.remove(uid);
        let owner = owner::of_pod(pod, &mut self.words);
        let belongs = self.belongs(owner.as_ref());
        let stands_for_itself = || (Kind::Pod, Arc::from(name));
        let (kind, workload_name) = match &belongs {
            Belongs::To(kind, name) => (*kind, Arc::clone(name)),
            Belongs::Itself | Belongs::Unknown => stands_for_itself(),
        };
        let namespace = self.words.word(pod.metadata.namespace.as_deref().unwrap_or_default());
        let before_entry = before.as_deref().or(held.as_ref().map(|held| &held.entry));
        let workload = self.workload_id(namespace, kind, workload_name, before_entry);
        let entry = PodEntry::new(pod, workload, before_entry, now.wall, &mut self.words);

        if let (Belongs::Unknown, Some(owner)) = (&belongs, owner) {
            self.wait_for(&owner.uid, &entry.uid);
            // A pod that was told of under a guess stays there until its owner comes.
            match before {
                Some(before) => {
                    let entry = PodEntry { workload: Arc::clone(&before.workload), ..entry };
                    self.put(entry, now, out);
                }
                None => {
                    let until = held.map_or(now.steady + PATIENCE, |held| held.until);
                    let uid = Arc::clone(&entry.uid);
                    self.pending.insert(uid, Pending { entry, owner, until });
                }
            }
            return;
        }
        self.put(entry, now, out);
    }

    /// Looks the owner up.
    fn belongs(&self, owner: Option<&Owner>) -> Belongs {
        let Some(owner) = owner else { return Belongs::Itself };
        owner.belongs(self.children.get(&owner.uid).map(|below| below.owner.as_ref()))
    }

    /// The shared name of a workload.
    fn workload_id(
        &self,
        namespace: Arc<str>,
        kind: Kind,
        name: Arc<str>,
        before: Option<&PodEntry>,
    ) -> Arc<WorkloadId> {
        let id = WorkloadId { namespace, kind, name };
        if let Some((known, _)) = self.slots.get_key_value(&id) {
            return Arc::clone(known);
        }
        match before {
            Some(before) if *before.workload == id => Arc::clone(&before.workload),
            _ => Arc::new(id),
        }
    }

    fn wait_for(&mut self, owner: &Arc<str>, uid: &Arc<str>) {
        let waiting = self.waiting_on.entry(Arc::clone(owner)).or_default();
        if !waiting.contains(uid) {
            waiting.push(Arc::clone(uid));
        }
    }

    /// Puts an entry in its place and tells of it if it says something new.
    fn put(&mut self, entry: PodEntry, now: Now, out: &mut Vec<Change>) {
        let before = self.pods.get(&entry.uid).map(Arc::clone);
        let same_name = self.names.get(&entry.namespace).and_then(|names| names.get(&entry.name));
        // A pod made again under its name proves that the one before is gone, even if nobody said so.
        if let Some(other) = same_name
            && other.uid != entry.uid
            && other.gone.is_none()
        {
            let other = Arc::clone(&other.uid);
            self.remove_pod(&other, now, out);
        }
        let news = before.as_ref().is_none_or(|before| !entry.same(before));
        let alone = entry.workload.kind == Kind::Pod;
        if alone && before.as_ref().is_none_or(|before| before.labels != entry.labels) {
            self.version += 1;
        }
        let entry = Arc::new(entry);
        if let Some(before) = &before {
            self.take_from_slot(before);
        }
        self.pods.put(Arc::clone(&entry));
        let names = self.names.entry(Arc::clone(&entry.namespace)).or_default();
        names.put(Arc::clone(&entry));
        let slot = self.slots.entry(Arc::clone(&entry.workload)).or_default();
        slot.pods.push(Arc::clone(&entry));
        if news {
            out.push(Change::PodApplied(entry));
        }
    }

    fn take_from_slot(&mut self, pod: &PodEntry) {
        let Some(slot) = self.slots.get_mut(&pod.workload) else { return };
        if let Some(at) = slot.pods.iter().position(|other| other.uid == pod.uid) {
            slot.pods.swap_remove(at);
        }
        self.drop_empty_slot(&pod.workload);
    }

    pub(super) fn remove_pod(&mut self, uid: &str, now: Now, out: &mut Vec<Change>) {
        self.pending.remove(uid);
        let Some(pod) = self.pods.get(uid).filter(|pod| pod.gone.is_none()).map(Arc::clone) else {
            return;
        };
        self.take_from_slot(&pod);
        self.version += u64::from(pod.workload.kind == Kind::Pod);
        let gone = Arc::new(PodEntry { gone: Some(now.wall), ..(*pod).clone() });
        self.pods.put(Arc::clone(&gone));
        if let Some(names) = self.names.get_mut(&gone.namespace)
            && names.get(&gone.name).is_some_and(|newest| newest.uid == gone.uid)
        {
            names.put(Arc::clone(&gone));
        }
        self.gone.push_back((now.steady + self.grace, Arc::clone(&gone.uid)));
        out.push(Change::PodGone(gone));
    }

    pub(super) fn forget_gone(&mut self, now: Instant) {
        while let Some((until, uid)) = self.gone.front() {
            if *until > now && self.gone.len() <= GONE_KEPT {
                break;
            }
            // The same identity may live again: a static pod whose mirror object was replaced.
            if let Some(pod) = self.pods.get(uid).filter(|pod| pod.gone.is_some()).map(Arc::clone) {
                self.pods.remove(&pod.uid);
                self.forget_name(&pod);
            }
            self.gone.pop_front();
        }
    }

    fn forget_name(&mut self, pod: &PodEntry) {
        let Some(names) = self.names.get_mut(&pod.namespace) else { return };
        if names.get(&pod.name).is_some_and(|newest| newest.uid == pod.uid) {
            names.remove(&pod.name);
        }
        if names.is_empty() {
            self.names.remove(&pod.namespace);
        }
    }

    /// An owner is known now, or has another owner itself: pods that depend on it are placed anew.
    pub(super) fn owner_came(&mut self, owner: &Owner, now: Now, out: &mut Vec<Change>) {
        let Some(waiting) = self.waiting_on.remove(&owner.uid) else { return };
        for uid in waiting {
            self.place(&uid, owner, now, out);
        }
    }

    /// Places all pods of an owner whose own owner changed: rare, hence the walk over all pods.
    pub(super) fn owner_moved(&mut self, owner: &Owner, now: Now, out: &mut Vec<Change>) {
        let of_owner = self.pods.iter().filter(|pod| pod.gone.is_none());
        let mut uids: Vec<Arc<str>> = of_owner
            .filter(|pod| pod.owner.as_ref() == Some(&owner.uid))
            .map(|pod| Arc::clone(&pod.uid))
            .collect();
        uids.sort_unstable();
        for uid in uids {
            self.place(&uid, owner, now, out);
        }
    }

    fn place(&mut self, uid: &Arc<str>, owner: &Owner, now: Now, out: &mut Vec<Change>) {
        let held = self.pending.remove(uid).map(|pending| pending.entry);
        let known = self.pods.get(uid).filter(|pod| pod.gone.is_none());
        let Some(entry) = held.or_else(|| known.map(|pod| (**pod).clone())) else { return };
        if entry.owner.as_ref() != Some(&owner.uid) {
            return;
        }
        let belongs = self.belongs(Some(owner));
        self.put_under(entry, &belongs, now, out);
    }

    fn put_under(&mut self, entry: PodEntry, belongs: &Belongs, now: Now, out: &mut Vec<Change>) {
        let (kind, name) = match belongs {
            Belongs::To(kind, name) => (*kind, Arc::clone(name)),
            Belongs::Itself | Belongs::Unknown => (Kind::Pod, Arc::clone(&entry.name)),
        };
        let namespace = Arc::clone(&entry.namespace);
        let workload = self.workload_id(namespace, kind, name, Some(&entry));
        self.put(PodEntry { workload, ..entry }, now, out);
    }

    /// Tells of pods whose owner did not come, under the best guess. They go on waiting for it.
    pub(super) fn give_up_waiting(&mut self, now: Now, out: &mut Vec<Change>) {
        let late = self.pending.iter().filter(|(_, pending)| pending.until <= now.steady);
        let mut uids: Vec<Arc<str>> = late.map(|(uid, _)| Arc::clone(uid)).collect();
        uids.sort_unstable();
        for uid in uids {
            if let Some(Pending { entry, owner, .. }) = self.pending.remove(&uid) {
                self.put_under(entry, &owner.alone(), now, out);
            }
        }
        // Owners that nobody waits for any more: their pods are gone.
        let (pods, pending) = (&self.pods, &self.pending);
        let alive = |uid: &Arc<str>| {
            pending.contains_key(uid) || pods.get(uid).is_some_and(|pod| pod.gone.is_none())
        };
        self.waiting_on.retain(|_, uids| {
            uids.retain(alive);
            !uids.is_empty()
        });
    }
}
