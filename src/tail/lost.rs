//! Logs that nobody reads any more: what is said of them.

use std::sync::Arc;

use super::attempts;
use super::memory::Memory;
use super::standing::Standing;
use super::supervisor::{State, Tail};
use crate::ids::{Entry, Gap, GapReason, Source, SourceChange, SourceState};
use crate::telemetry::events;
use crate::time;
use crate::watch::PodEntry;

// === impl Tail ===

impl Tail {
    /// A pod is gone while logs of it waited for a place: nobody will read them any more.
    pub(super) fn abandon(&self, state: &mut State, uid: &str) {
        let gone: Vec<_> = state.starved.keys().filter(|key| *key.uid == *uid).cloned().collect();
        for key in gone {
            let Some(starved) = state.starved.remove(&key) else { continue };
            let standing = starved.wanted.known.standing;
            self.give_up(state, &starved.wanted.source, standing, GapReason::PodRemoved);
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

    /// Nobody can read the rest of a log any more: says so, once, or that there was none.
    pub(super) fn give_up(
        &self,
        state: &mut State,
        source: &Arc<Source>,
        standing: Standing,
        reason: GapReason,
    ) {
        let memory = state.memories.get_mut(&source.key);
        if memory.as_ref().is_some_and(|memory| memory.ended) {
            return;
        }
        match &memory {
            Some(memory) if memory.is_whole(standing) => {
                self.tell_end(source, Some(memory), true, None);
            }
            memory => self.tell_lost(source, reason, memory.as_deref()),
        }
        if let Some(memory) = memory {
            memory.ended = true;
            if std::mem::take(&mut memory.unproven) {
                (self.inner.wiring.proven)(source);
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
        (self.inner.wiring.sink)(&source.workload, Entry::Gap(Arc::new(gap)));
        self.tell_end(source, memory, false, Some(reason));
    }

    fn tell_end(
        &self,
        source: &Arc<Source>,
        memory: Option<&Memory>,
        complete: bool,
        reason: Option<GapReason>,
    ) {
        let ended = SourceChange {
            time: time::now(),
            source: source.clone(),
            state: SourceState::Ended,
            from_start: memory.and_then(|memory| memory.from_start),
            complete: Some(complete),
            lines: memory.map_or(Some(0), Memory::counted),
            reason: reason.map(|reason| reason.as_str().into()),
        };
        (self.inner.wiring.sink)(&source.workload, Entry::Source(Arc::new(ended)));
    }
}
