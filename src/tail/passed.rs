//! How much of what the logs of a workload held has been handed on.

use super::Tail;
use super::attempts;
use super::lag::AHEAD;
use super::memory::Memory;
use super::supervisor::State;
use crate::ids::{AttemptKey, WorkloadId};
use crate::time;

/// How surely all has been handed on that the logs of a workload held at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Passed {
    /// A log is not read at present, or was not read up to its end.
    No,
    /// All of them seem to have been read to their ends, for nothing came for a moment. An answer that
    /// was held up in the middle looks the same.
    Quiet,
    /// Each has handed on a line that is younger, or ended.
    Surely,
}

// === impl Tail ===

impl Tail {
    /// Whether what the logs of a workload held when they were opened has been handed on, or waits
    /// for something that may take long. Looks no further than the first that has not.
    pub fn caught_up(&self, workload: &WorkloadId) -> bool {
        self.all(workload, |state, key| {
            let running = state.followers.get(key);
            running.is_some_and(|running| running.level.caught_up())
                || state.memories.get(key).is_some_and(|memory| memory.ended)
                || state.starved.contains_key(key)
        })
    }

    /// How surely all has been handed on that the logs of a workload held at `time`, wall time. A log that
    /// waits for something has not been read.
    pub fn passed(&self, workload: &WorkloadId, time: i64) -> Passed {
        let (mut passed, time) = (Passed::Surely, time.saturating_add(AHEAD));
        let known = self.all(workload, |state, key| {
            let log = match (state.followers.get(key), state.memories.get(key)) {
                (Some(running), _) => running.level.passed(time),
                (None, Some(memory)) if memory.ended => Passed::Surely,
                (None, _) => Passed::No,
            };
            passed = passed.min(log);
            passed > Passed::No
        });
        if known { passed } else { Passed::No }
    }

    /// Whether this holds for each log of a workload, and all of them are known.
    fn all(
        &self,
        workload: &WorkloadId,
        mut holds: impl FnMut(&State, &AttemptKey) -> bool,
    ) -> bool {
        let index = &self.inner.wiring.index;
        let pods = index.pods_of(workload);
        let now = time::now();
        let state = self.inner.state.lock();
        let begun = |key: &AttemptKey| state.memories.get(key).is_some_and(Memory::is_begun);
        // Of what the process before knew, nothing can be said before the pods are known.
        state.left.is_settled(|| index.has_settled(&workload.namespace))
            && pods.iter().all(|pod| {
                attempts::of(pod, now, begun).all(|attempt| holds(&state, &attempt.source.key))
            })
    }
}
