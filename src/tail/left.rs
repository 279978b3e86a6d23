//! Logs that were read, that go on, and that nobody follows now: their readers may come back for the
//! rest. When it cannot be read any more, that is said, so that it is not lost silently.
//!
//! They are left by followers that nobody needed any more, and by the process before this one.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::time::Instant;

use super::attempts;
use super::restored::{Left, Restored};
use super::standing::Standing;
use super::supervisor::{State, Tail};
use crate::ids::{AttemptKey, GapReason, Source, WorkloadId};
use crate::time::{self, SECOND};
use crate::watch::PodEntry;

/// By how much the clocks of nodes and ours may differ; a log that is read whole without need costs
/// little.
const CLOCKS: i64 = 60 * SECOND;

/// The logs that are left, by pod. No more than there are memories.
#[derive(Debug, Default)]
pub(super) struct LeftLogs {
    by_pod: HashMap<Arc<str>, Vec<(Arc<Source>, Instant)>>,
    /// Workloads that the process before followed when it ended.
    followed: HashSet<Arc<WorkloadId>>,
    /// Until when the process before read, by its clock.
    until: Option<i64>,
}

// === impl LeftLogs ===

impl LeftLogs {
    /// Nobody follows this log any more, and it has not ended.
    pub(super) fn put(&mut self, source: Arc<Source>) {
        let logs = self.by_pod.entry(source.key.uid.clone()).or_default();
        logs.retain(|(known, _)| known.key != source.key);
        logs.push((source, Instant::now()));
    }

    /// Somebody follows it again.
    pub(super) fn take(&mut self, key: &AttemptKey) {
        if let Some(logs) = self.by_pod.get_mut(&key.uid) {
            logs.retain(|(source, _)| source.key != *key);
            if logs.is_empty() {
                self.by_pod.remove(&key.uid);
            }
        }
    }

    /// Whether an attempt of which the process before knew nothing began when it did not read any more:
    /// then all of it is owed to who comes back. Clocks of nodes may differ from ours.
    pub(super) fn is_owed(&self, began: i64) -> bool {
        self.until.is_some_and(|until| began >= until - CLOCKS)
    }

    /// Whether it is known which of the logs that the process before read can go on.
    pub(super) fn is_settled(&self, settled: impl FnOnce() -> bool) -> bool {
        self.until.is_none() || settled()
    }

    /// Whether there is any of this pod.
    pub(super) fn has(&self, uid: &str) -> bool {
        self.by_pod.contains_key(uid)
    }
}

// === impl Tail ===

impl Tail {
    /// Takes in how far an earlier process had read, and until when it did. Call it before the first
    /// lease.
    pub fn remember(&self, restored: impl IntoIterator<Item = Restored>, until: Option<i64>) {
        let mut state = self.inner.state.lock();
        state.left.until = until;
        for log in restored {
            let Source { key, attempt, workload, .. } = &*log.source;
            if matches!(log.left, Left::Open | Left::Followed) {
                let newest = state.newest.entry(key.uid.clone()).or_default();
                let newest = newest.entry(key.container.clone()).or_default();
                *newest = (*newest).max(*attempt);
            }
            if log.left == Left::Followed {
                state.left.followed.insert(workload.clone());
            }
            state.memories.insert(key.clone(), log.memory());
            if matches!(log.left, Left::Open | Left::Followed) {
                state.left.put(log.source);
            }
        }
    }

    /// The cluster was read: goes on with what the process before followed, for as long as a reader who
    /// comes back is waited for, and says which of its logs are gone. Call it once.
    pub fn take_up(&self) {
        self.bury();
        let followed = std::mem::take(&mut self.inner.state.lock().left.followed);
        for workload in followed {
            drop(self.lease(&workload));
        }
    }

    /// Says of the logs that were left which are gone with pods that nobody told of. Where the pods of
    /// a namespace have not been listed, that is not known.
    pub(super) fn bury(&self) {
        let index = &self.inner.wiring.index;
        let mut state = self.inner.state.lock();
        let absent = state.left.by_pod.keys().filter(|uid| !index.knows_pod(uid));
        let absent: Vec<_> = absent.cloned().collect();
        for uid in absent {
            self.look_for(&mut state, &uid);
        }
    }

    /// A follower stops before the end of a log that somebody may come back for.
    pub(super) fn leave(&self, state: &mut State, source: &Arc<Source>) {
        state.left.put(source.clone());
        // Its pod may have gone before.
        self.look_for(state, &source.key.uid);
    }

    fn look_for(&self, state: &mut State, uid: &Arc<str>) {
        let index = &self.inner.wiring.index;
        if let Some(pod) = index.pod(uid) {
            return self.part(state, &pod);
        }
        if index.knows_pod(uid) {
            // It waits for its owner to be listed.
            return;
        }
        let logs = state.left.by_pod.get(uid).and_then(|logs| logs.first());
        if logs.is_some_and(|(source, _)| index.has_listed_pods(&source.workload.namespace)) {
            let gone = Standing::Gone { ended: None };
            self.part_with(state, uid, |_| Some((gone, GapReason::PodRemoved)));
        }
    }

    /// Says which of the logs of a pod that were left cannot be read any more.
    pub(super) fn part(&self, state: &mut State, pod: &PodEntry) {
        if !state.left.has(&pod.uid) {
            return;
        }
        let readable: HashSet<_> =
            attempts::of(pod, time::now(), |_| true).map(|attempt| attempt.source.key).collect();
        self.part_with(state, &pod.uid, |key| match Standing::of_entry(pod, key) {
            standing @ Standing::Gone { .. } => Some((standing, GapReason::PodRemoved)),
            standing @ Standing::Superseded { .. } if !readable.contains(key) => {
                Some((standing, GapReason::AttemptCollected))
            }
            _ => None,
        });
    }

    fn part_with(
        &self,
        state: &mut State,
        uid: &Arc<str>,
        lost: impl Fn(&AttemptKey) -> Option<(Standing, GapReason)>,
    ) {
        let logs = state.left.by_pod.remove(uid).unwrap_or_default();
        let mut rest = Vec::new();
        for (source, since) in logs {
            // Those that wait for a place are their own case.
            let waits = state.starved.contains_key(&source.key);
            match lost(&source.key) {
                Some((standing, reason)) if !waits => {
                    if since.elapsed() <= self.inner.options.kept {
                        self.give_up(state, &source, standing, reason);
                    }
                }
                _ => rest.push((source, since)),
            }
        }
        if !rest.is_empty() {
            state.left.by_pod.insert(uid.clone(), rest);
        }
    }
}
