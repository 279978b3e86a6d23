//! Logs that nobody reads any more: what is said of them, and which they are.

use std::collections::HashSet;
use std::sync::Arc;

use super::attempts;
use super::follower::Memory;
use super::restored::Restored;
use super::supervisor::{State, Tail};
use crate::ids::{AttemptKey, Entry, Gap, GapReason, Source, SourceChange, SourceState};
use crate::telemetry::events;
use crate::time;
use crate::watch::PodEntry;

// === impl Tail ===

impl Tail {
    /// Takes in how far an earlier process had read. Call it before the first lease.
    pub fn remember(&self, restored: impl IntoIterator<Item = Restored>) {
        let mut state = self.inner.state.lock();
        for log in restored {
            let Source { key, attempt, .. } = &*log.source;
            let newest = state.newest.entry(key.uid.clone()).or_default();
            let newest = newest.entry(key.container.clone()).or_default();
            *newest = (*newest).max(*attempt);
            state.memories.insert(key.clone(), log.memory());
            if !log.ended {
                state.inherited.push(log.source);
            }
        }
    }

    /// Says of logs which an earlier process had not read to their end that they are gone with their
    /// pods. Call it once the cluster was read.
    pub fn bury(&self) {
        let mut state = self.inner.state.lock();
        let now = time::now();
        for source in std::mem::take(&mut state.inherited) {
            let pod = self.inner.wiring.index.pod(&source.key.uid);
            let readable = |pod: &PodEntry| -> HashSet<AttemptKey> {
                attempts::of(pod, now).map(|attempt| attempt.source.key).collect()
            };
            let reason = match pod {
                Some(pod) if readable(&pod).contains(&source.key) => continue,
                Some(_) => GapReason::AttemptCollected,
                None => GapReason::PodRemoved,
            };
            let memory = state.memories.get(&source.key).filter(|memory| !memory.ended);
            let Some(memory) = memory else { continue };
            self.tell_lost(&source, reason, Some(memory));
            if let Some(memory) = state.memories.get_mut(&source.key) {
                memory.ended = true;
            }
        }
    }

    /// A pod is gone while logs of it waited for a place: nobody will read them any more.
    pub(super) fn abandon(&self, state: &mut State, uid: &str) {
        let gone: Vec<_> = state.starved.keys().filter(|key| *key.uid == *uid).cloned().collect();
        for key in gone {
            let Some(starved) = state.starved.remove(&key) else { continue };
            let memory = state.memories.get(&key);
            if memory.is_none_or(|memory| !memory.ended) {
                self.tell_lost(&starved.wanted.source, GapReason::PodRemoved, memory);
            }
        }
    }

    /// Says of attempts that went by between two looks that their logs are gone.
    pub(super) fn tell_collected(&self, state: &mut State, pod: &PodEntry) {
        for container in &pod.containers {
            let newest = container.restarts + 1;
            let containers = state.newest.entry(pod.uid.clone()).or_default();
            let Some(seen) = containers.insert(container.name.clone(), newest) else { continue };
            for attempt in attempts::collected(seen, container) {
                let source = Arc::new(attempts::unseen(pod, container, attempt));
                self.tell_lost(&source, GapReason::AttemptCollected, None);
            }
        }
    }

    /// A log ends here, and what was not read of it is lost. Without a memory, that is all of it.
    fn tell_lost(&self, source: &Arc<Source>, reason: GapReason, memory: Option<&Memory>) {
        let now = time::now();
        let from = memory.and_then(|memory| memory.fingerprint.last_time());
        // Of a log that nobody ever read there is no time to bound it by.
        let to = memory.map(|_| now);
        let about = Some(source.clone());
        let gap = Gap { time: now, reason, source: about, from, to, count: None };
        events::GapMarked { gap: &gap }.emit(&self.inner.wiring.metrics);
        let ended = SourceChange {
            time: now,
            source: source.clone(),
            state: SourceState::Ended,
            from_start: memory.and_then(|memory| memory.from_start),
            complete: Some(false),
            lines: memory.map_or(Some(0), Memory::counted),
            reason: Some(reason.as_str().into()),
        };
        (self.inner.wiring.sink)(&source.workload, Entry::Gap(Arc::new(gap)));
        (self.inner.wiring.sink)(&source.workload, Entry::Source(Arc::new(ended)));
    }
}
