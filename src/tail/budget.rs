//! Fewer places than sources: who gets one, who waits, and who yields.

use std::sync::Arc;

use super::level::Level;
use super::standing::Standing;
use super::supervisor::{Running, State, Tail, Wanted};
use crate::ids::{Entry, Side, SourceChange, SourceState, WorkloadId};
use crate::time;

/// A source that is wanted and waits for a place.
pub(super) struct Starved {
    pub(super) wanted: Wanted,
    /// Its place among those that wait.
    pub(super) ticket: u64,
    pub(super) level: Arc<Level>,
}

// === impl Tail ===

impl Tail {
    /// Lets go of the old revision's sources where only the new one's are needed, and of those that are
    /// more than `most`, with what is `wanted` beside them: those whose containers failed come first, and
    /// what is followed before what is not. Leaves of what is wanted what may be followed.
    pub(super) fn keep_new_only(
        &self,
        state: &mut State,
        workload: &Arc<WorkloadId>,
        most: usize,
        wanted: &mut Vec<Wanted>,
    ) {
        let followed = state.followers.values().filter(|it| it.source.workload == *workload);
        let (mut new, old): (Vec<_>, Vec<_>) =
            followed.partition(|running| running.known.borrow().side == Side::New);
        old.iter().for_each(|running| running.stop.cancel());
        new.sort_by_key(|running| !running.known.borrow().failed);
        // The best of what is wanted takes the place of the worst that is followed, if it is better.
        let mut kept = new.len().min(most);
        let better = |wanted: Option<&Wanted>, running: Option<&&Running>| {
            wanted.is_some_and(|wanted| wanted.known.failed)
                && running.is_some_and(|running| !running.known.borrow().failed)
        };
        wanted.sort_by_key(|wanted| !wanted.known.failed);
        let mut taken = most - kept;
        while better(wanted.get(taken), kept.checked_sub(1).and_then(|last| new.get(last))) {
            (kept, taken) = (kept - 1, taken + 1);
        }
        new[kept..].iter().for_each(|running| running.stop.cancel());
        wanted.truncate(taken);
        let waits = |starved: &Starved| starved.wanted.source.workload == *workload;
        state
            .starved
            .retain(|_, starved| !waits(starved) || starved.wanted.known.side == Side::New);
    }

    pub(super) fn has_place(&self, state: &State, node: Option<&Arc<str>>) -> bool {
        let on_node = node.and_then(|node| state.per_node.get(node)).copied().unwrap_or(0);
        let options = &self.inner.options;
        state.followers.len() < options.max_followers && on_node < options.max_followers_per_node
    }

    /// There is no place for it: it is said, and it gets its turn.
    pub(super) fn starve(&self, state: &mut State, wanted: Wanted) {
        let change = SourceChange {
            time: time::now(),
            source: wanted.source.clone(),
            state: SourceState::Waiting,
            from_start: None,
            complete: None,
            lines: None,
            reason: Some("budget".into()),
        };
        (self.inner.wiring.sink)(&wanted.source.workload, Entry::Source(Arc::new(change)));
        if wanted.known.side == Side::New {
            self.yield_place(state, wanted.node.as_ref());
        }
        state.started += 1;
        let level = self.level(state, &wanted, Some("budget"));
        let starved = Starved { ticket: state.started, level, wanted };
        state.starved.insert(starved.wanted.source.key.clone(), starved);
    }

    /// Takes the place of an old revision's source for one of a new revision: it resumes where it
    /// was stopped when there is room again.
    pub(super) fn yield_place(&self, state: &State, node: Option<&Arc<str>>) {
        let on_node = node.and_then(|node| state.per_node.get(node)).copied().unwrap_or(0);
        let node_is_full = on_node >= self.inner.options.max_followers_per_node;
        let old = state.followers.values().find(|running| {
            running.known.borrow().side == Side::Old
                && !running.stop.is_cancelled()
                && (!node_is_full || running.node.as_ref() == node)
        });
        if let Some(old) = old {
            old.stop.cancel();
        }
    }

    /// Places are free: those that wait get them, the most urgent first, the oldest first among
    /// equals. Nobody is moved for an equal: a place is free when a source ends or is not needed.
    pub(super) fn fill(&self, state: &mut State) {
        let mut waiting: Vec<_> = state
            .starved
            .iter()
            .map(|(key, starved)| (starved.wanted.known.class(), starved.ticket, key.clone()))
            .collect();
        waiting.sort_unstable_by_key(|(class, ticket, _)| (*class, *ticket));
        for (_, _, key) in waiting {
            if !self.has_place(state, None) {
                return;
            }
            let node = state.starved.get(&key).and_then(|starved| starved.wanted.node.clone());
            if !self.has_place(state, node.as_ref()) {
                continue;
            }
            let Some(Starved { mut wanted, .. }) = state.starved.remove(&key) else { continue };
            if let Some(pod) = self.inner.wiring.index.pod(&key.uid) {
                wanted.known.standing = Standing::of_entry(&pod, &key);
                self.start(state, wanted, None);
            }
        }
    }
}
