//! How much of what the logs of a workload held has been handed on.

use std::sync::Arc;

use super::Tail;
use super::attempts;
use super::memory::Memory;
use crate::ids::{AttemptKey, Source, WorkloadId};
use crate::time;

// === impl Tail ===

impl Tail {
    /// Whether what the logs of a workload held when they were opened has been handed on, or waits
    /// for something that may take long. Looks no further than the first that has not.
    pub fn caught_up(&self, workload: &WorkloadId) -> bool {
        let index = &self.inner.wiring.index;
        let pods = index.pods_of(workload);
        let now = time::now();
        let state = self.inner.state.lock();
        let begun = |key: &AttemptKey| state.memories.get(key).is_some_and(Memory::is_begun);
        // Of what the process before knew, nothing can be said before the pods are known.
        let settled = state.left.is_settled(|| index.has_settled(&workload.namespace));
        let sources = pods.iter().flat_map(|pod| attempts::of(pod, now, begun));
        settled
            && sources.map(|attempt| attempt.source).all(|source| {
                let running = state.followers.get(&source.key);
                running.is_some_and(|running| running.level.caught_up())
                    || state.memories.get(&source.key).is_some_and(|memory| memory.ended)
                    || state.starved.contains_key(&source.key)
            })
    }

    /// The logs of these workloads, sorted, that may have more to say, those of pods that went meanwhile
    /// included. `None` while not all pods are known.
    pub fn unfinished(&self, workloads: &[Arc<WorkloadId>]) -> Option<Vec<Arc<Source>>> {
        let index = &self.inner.wiring.index;
        let settled = |workload: &Arc<WorkloadId>| index.has_settled(&workload.namespace);
        if !index.synced() || !workloads.iter().all(settled) {
            return None;
        }
        let now = time::now();
        let pods: Vec<_> = workloads.iter().flat_map(|workload| index.pods_of(workload)).collect();
        let state = self.inner.state.lock();
        let begun = |key: &AttemptKey| state.memories.get(key).is_some_and(Memory::is_begun);
        let ended = |key: &AttemptKey| state.memories.get(key).is_some_and(|memory| memory.ended);
        let attempts = pods.iter().flat_map(|pod| attempts::of(pod, now, begun));
        let idle = attempts.map(|attempt| attempt.source);
        let idle = idle.filter(|source| !state.followers.contains_key(&source.key));
        let mut logs: Vec<_> = idle.filter(|source| !ended(&source.key)).map(Arc::new).collect();
        let followed = state.followers.values().map(|running| &running.source);
        logs.extend(
            followed.filter(|source| workloads.binary_search(&source.workload).is_ok()).cloned(),
        );
        Some(logs)
    }

    /// Whether all has been handed on that a log held at `time`, wall time: it said something that is
    /// younger, was silent for long, ended, is gone, or nobody needs it any more. One that cannot be read at
    /// present has not.
    pub fn has_passed(&self, log: &AttemptKey, time: i64) -> bool {
        let pod = self.inner.wiring.index.pod(&log.uid).filter(|pod| pod.gone.is_none());
        let now = time::now();
        let state = self.inner.state.lock();
        if let Some(running) = state.followers.get(log) {
            return running.level.has_passed(time);
        }
        let begun = |key: &AttemptKey| state.memories.get(key).is_some_and(Memory::is_begun);
        state.memories.get(log).is_some_and(|memory| memory.ended)
            || pod.is_none_or(|pod| {
                !state.leases.contains_key(&pod.workload)
                    || attempts::of(&pod, now, begun).all(|attempt| attempt.source.key != *log)
            })
    }
}
