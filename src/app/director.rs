//! Where changes of the cluster go.

use std::sync::Arc;

use parking_lot::Mutex;

use super::recorder::Recorder;
use crate::ids::{Entry, Side, WorkloadId};
use crate::rollout::Model;
use crate::tail::{Sink, Tail};
use crate::time;
use crate::watch::{Change, Index, PodEntry};

/// Takes each change through the model into the journal and to the followers.
#[derive(Clone)]
pub(super) struct Director {
    pub(super) index: Index,
    pub(super) model: Arc<Mutex<Model>>,
    /// The same as the followers': what is said of a workload while its logs are behind says so.
    pub(super) sink: Sink,
    pub(super) tail: Tail,
    /// Taken by the director's own task, and by the one that reads the wishes of namespaces.
    pub(super) recorder: Arc<Mutex<Recorder>>,
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
        let mut concerned: Vec<Arc<WorkloadId>> = match change {
            Change::Workload(entry) | Change::WorkloadGone(entry) => vec![entry.id.clone()],
            _ => Vec::new(),
        };
        for (workload, entry) in records {
            if matches!(entry, Entry::Rollout(_)) {
                concerned.push(workload.clone());
            }
            (self.sink)(&workload, entry);
        }
        if !pods.is_empty() {
            self.tail.pods(&pods);
        }
        if matches!(change, Change::Synced) {
            self.tail.take_up();
        }
        for workload in concerned {
            self.look(&workload);
        }
    }

    /// A namespace wishes something else: each of its workloads is looked at.
    pub(super) fn wishes_changed(&self, namespace: &str) {
        let workloads = self.index.workloads();
        for entry in workloads.iter().filter(|entry| *entry.id.namespace == *namespace) {
            self.look(&entry.id);
        }
    }

    fn look(&self, workload: &Arc<WorkloadId>) {
        let entry = self.index.workload(workload);
        let status = self.model.lock().current(workload);
        self.recorder.lock().look(workload, entry.as_deref(), status.as_deref());
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
