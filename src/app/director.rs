//! Where changes of the cluster go.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::ids::Side;
use crate::journal::Journal;
use crate::rollout::Model;
use crate::tail::Tail;
use crate::time;
use crate::watch::{Change, Index, PodEntry};

/// Takes each change through the model into the journal and to the followers.
#[derive(Clone)]
pub(super) struct Director {
    pub(super) index: Index,
    pub(super) model: Arc<Mutex<Model>>,
    pub(super) journal: Journal,
    pub(super) tail: Tail,
}

// === impl Director ===

impl Director {
    pub(super) fn take(&self, change: &Change) {
        let now = time::now();
        let (records, pods) = {
            let mut model = self.model.lock();
            let records = model.apply(change, now);
            (records, self.touched(&model, change))
        };
        for (workload, entry) in records {
            self.journal.append(&workload, entry, now);
        }
        if !pods.is_empty() {
            self.tail.pods(&pods);
        }
    }

    /// Pods whose followers must know: the pod itself, or all of a workload, whose sides may have
    /// changed with it.
    fn touched(&self, model: &Model, change: &Change) -> Vec<(Arc<PodEntry>, Side)> {
        let pods = match change {
            Change::PodApplied(pod) | Change::PodGone(pod) => vec![pod.clone()],
            Change::Workload(entry) => self.index.pods_of(&entry.id),
            Change::WorkloadGone(_) | Change::Event { .. } | Change::Synced => Vec::new(),
        };
        pods.into_iter().map(|pod| (pod.clone(), model.side(&pod))).collect()
    }
}
