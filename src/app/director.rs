//! Where changes of the cluster go.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tokio::time::sleep;

use super::recorder::Recorder;
use super::results::{self, Append, Results};
use crate::ids::{Entry, Side, WorkloadId};
use crate::rollout::{Decision, Model};
use crate::tail::Tail;
use crate::time;
use crate::watch::{Change, Index, PodEntry};

/// Takes each change through the model into the journal and to the followers.
#[derive(Clone)]
pub(super) struct Director {
    pub(super) index: Index,
    pub(super) model: Arc<Mutex<Model>>,
    /// The same as the followers': what is said of a workload while its logs are behind says so.
    pub(super) append: Append,
    pub(super) tail: Tail,
    /// Taken by the director's own task, and by the one that reads the wishes of namespaces.
    pub(super) recorder: Arc<Mutex<Recorder>>,
    pub(super) results: Results,
    /// To the task that adds lines to results.
    pub(super) decided: mpsc::Sender<Decision>,
    /// Something is due at another time.
    pub(super) due: Arc<Notify>,
    /// Held from a look at the model until what came of it is in the journal: changes and the clock come from two
    /// tasks, and a state must not come behind the one after it.
    pub(super) turn: Arc<Mutex<()>>,
}

type Records = Vec<(Arc<WorkloadId>, Entry)>;

/// Has it decided whether a workload is to be recorded.
pub(super) fn look(
    index: &Index,
    model: &Mutex<Model>,
    recorder: &Mutex<Recorder>,
    workload: &Arc<WorkloadId>,
) {
    let entry = index.workload(workload);
    let (status, open) = {
        let model = model.lock();
        (model.current(workload), model.is_open(workload))
    };
    recorder.lock().look(workload, entry.as_deref(), status.as_deref(), open);
}

// === impl Director ===

impl Director {
    pub(super) fn take(&self, change: &Change) {
        let turn = self.turn.lock();
        let now = time::now();
        let (records, pods, decisions, moved) = {
            let mut model = self.model.lock();
            let due = model.due();
            let records = model.apply(change, now);
            let pods = self.touched(&model, change);
            (records, pods, model.decisions(), model.due() != due)
        };
        if moved {
            self.due.notify_one();
        }
        let mut concerned = self.say(records, decisions);
        drop(turn);
        if let Change::Workload(entry) | Change::WorkloadGone(entry) = change {
            concerned.push(entry.id.clone());
        }
        if !pods.is_empty() {
            self.tail.pods(&pods);
        }
        if matches!(change, Change::Synced) {
            self.tail.take_up();
            self.results.wake();
            // Now it is known which rollouts have no result yet.
            concerned.extend(self.index.workloads().iter().map(|entry| entry.id.clone()));
        }
        for workload in concerned {
            self.look(&workload);
        }
    }

    /// Looks at rollouts whose time has come, for ever.
    pub(super) async fn watch_the_clock(&self) {
        loop {
            let due = self.model.lock().due();
            let until = due.map(|due| due.saturating_sub(time::now()).max(0).unsigned_abs());
            match until {
                Some(0) => {}
                Some(nanos) => tokio::select! {
                    () = sleep(Duration::from_nanos(nanos)) => {}
                    () = self.due.notified() => continue,
                },
                None => {
                    self.due.notified().await;
                    continue;
                }
            }
            let concerned = {
                let _turn = self.turn.lock();
                let (records, decisions) = {
                    let mut model = self.model.lock();
                    (model.tick(time::now()), model.decisions())
                };
                self.say(records, decisions)
            };
            for workload in concerned {
                self.look(&workload);
            }
            tokio::task::consume_budget().await;
        }
    }

    /// Appends records, and gives the workloads whose rollouts are concerned.
    fn say(&self, records: Records, decisions: Vec<Decision>) -> Vec<Arc<WorkloadId>> {
        let mut concerned = Vec::new();
        for (workload, entry) in records {
            let result = results::of(&entry);
            if result.is_some() || matches!(entry, Entry::Rollout(_)) {
                concerned.push(workload.clone());
            }
            let seq = (self.append)(&workload, entry);
            if let Some(result) = result {
                self.results.said(&workload, &result, seq);
            }
        }
        for decision in decisions {
            concerned.push(decision.workload.clone());
            // Too many at a time: it is decided anew in a moment.
            if let Err(full) = self.decided.try_send(decision) {
                self.results.doubt(&full.into_inner(), results::CHANGED, &self.append);
            }
        }
        concerned
    }

    /// A namespace wishes something else: each of its workloads is looked at.
    pub(super) fn wishes_changed(&self, namespace: &str) {
        let workloads = self.index.workloads();
        for entry in workloads.iter().filter(|entry| *entry.id.namespace == *namespace) {
            self.look(&entry.id);
        }
    }

    fn look(&self, workload: &Arc<WorkloadId>) {
        look(&self.index, &self.model, &self.recorder, workload);
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
