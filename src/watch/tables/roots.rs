//! Workloads.

use std::sync::Arc;

use super::Tables;
use crate::ids::WorkloadId;
use crate::watch::workload::{Child, WorkloadEntry};
use crate::watch::{Change, Now};

impl Tables {
    pub(super) fn apply_root(&mut self, mut entry: WorkloadEntry, now: Now, out: &mut Vec<Change>) {
        if let Some((known, slot)) = self.slots.get_key_value(&entry.id) {
            entry.id = Arc::clone(known);
            let before = slot.entry.as_ref().map(|before| Arc::clone(&before.uid));
            // Made again under its name: the one before is gone, even if nobody said so.
            if let Some(before) = before.filter(|before| *before != entry.uid) {
                self.remove_root(&before, now, out);
            }
        }
        entry.seen = now.wall;
        entry.children = self.children_of(&entry.uid);
        self.by_uid.insert(Arc::clone(&entry.uid), Arc::clone(&entry.id));
        self.set_root(entry, out);
    }

    /// Tells of a workload whose children changed.
    pub(super) fn refresh(&mut self, owner_uid: &str, now: Now, out: &mut Vec<Change>) {
        let Some(id) = self.by_uid.get(owner_uid) else { return };
        let Some(entry) = self.slots.get(id).and_then(|slot| slot.entry.as_ref()) else { return };
        let children = self.children_of(owner_uid);
        let entry = WorkloadEntry { children, seen: now.wall, ..(**entry).clone() };
        self.set_root(entry, out);
    }

    fn set_root(&mut self, entry: WorkloadEntry, out: &mut Vec<Change>) {
        let slot = self.slots.entry(Arc::clone(&entry.id)).or_default();
        let news = slot.entry.as_ref().is_none_or(|before| !entry.same(before));
        if slot.entry.as_ref().is_none_or(|before| before.labels != entry.labels) {
            self.version += 1;
        }
        let entry = Arc::new(entry);
        slot.entry = Some(Arc::clone(&entry));
        if news {
            out.push(Change::Workload(entry));
        }
    }

    fn children_of(&self, uid: &str) -> Box<[Child]> {
        let uids = self.by_owner.get(uid).map_or(&[][..], Vec::as_slice);
        let below = uids.iter().filter_map(|uid| self.children.get(uid));
        let mut children: Vec<Child> = below.map(|below| below.child.clone()).collect();
        children.sort_by_cached_key(Child::order);
        children.into_boxed_slice()
    }

    pub(super) fn remove_root(&mut self, uid: &str, now: Now, out: &mut Vec<Change>) {
        let Some(id) = self.by_uid.remove(uid) else { return };
        let Some(slot) = self.slots.get_mut(&id) else { return };
        if slot.entry.as_ref().is_some_and(|entry| &*entry.uid == uid)
            && let Some(entry) = slot.entry.take()
        {
            self.version += 1;
            let entry = WorkloadEntry { seen: now.wall, ..(*entry).clone() };
            out.push(Change::WorkloadGone(Arc::new(entry)));
        }
        self.drop_empty_slot(&id);
    }

    pub(super) fn drop_empty_slot(&mut self, id: &WorkloadId) {
        if self.slots.get(id).is_some_and(|slot| slot.entry.is_none() && slot.pods.is_empty()) {
            self.slots.remove(id);
        }
    }
}
