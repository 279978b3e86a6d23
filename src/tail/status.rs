//! What is known about the sources, for streams and for operators.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::attempts;
use super::memory::Memory;
use super::supervisor::Tail;
use crate::ids::{AttemptKey, Source, SourceChange, SourceState, WorkloadId};
use crate::time;

/// What is known about one source of a workload.
#[derive(Clone, Debug)]
pub struct SourceStatus {
    /// Which.
    pub source: Arc<Source>,
    /// What it does. One that is not wanted waits without a reason.
    pub state: SourceState,
    /// A machine's word for why it waits.
    pub reason: Option<&'static str>,
    /// Whether reading began at the log's first line, if known.
    pub from_start: Option<bool>,
    /// The stamp of the first line that was ever read of it here: from there on it is covered, but
    /// for its gaps.
    pub first_time: Option<i64>,
    /// Older lines were there when it was first opened and were not asked for; also `true` where that
    /// is not known.
    pub tail_cut: bool,
    /// It goes on behind what an earlier process had read, or a gap says what is missing.
    pub continued: bool,
}

/// How the followers stand, for operators.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TailStatus {
    /// Followers that run.
    pub followers: usize,
    /// Followers that run, by what they do: `following`, or what is odd about it, or why they wait.
    pub states: BTreeMap<&'static str, usize>,
    /// Sources that are wanted and have no place.
    pub waiting_for_budget: usize,
    /// For how many seconds the oldest of all that wait has waited.
    pub oldest_waiting_seconds: Option<u64>,
    /// Followers by node.
    pub nodes: BTreeMap<Arc<str>, usize>,
    /// Nodes whose logs cannot be read at present.
    pub nodes_unreachable: Vec<Arc<str>>,
    /// Logs that are remembered so that a later opening resumes.
    pub remembered: usize,
}

// === impl SourceStatus ===

impl SourceStatus {
    /// The record of what hinders it from being read as it should, seen `now`; `None` if nothing does.
    pub fn hindered(&self, now: i64) -> Option<SourceChange> {
        let reason = self.reason.filter(|_| self.state != SourceState::Ended)?;
        Some(SourceChange {
            time: now,
            source: self.source.clone(),
            state: self.state,
            from_start: self.from_start,
            complete: None,
            lines: None,
            reason: Some(reason.into()),
        })
    }

    /// Whether what the source said from `time` on is proven to have been read here: it was read from
    /// its first line, or from a line that is no younger, or it goes on behind what the process before
    /// had read, of which the journal says what is missing. A log that was read whole and is empty
    /// has nothing to miss.
    pub fn covers(&self, time: i64) -> bool {
        let empty = self.first_time.is_none()
            && !self.tail_cut
            && matches!(self.state, SourceState::Following | SourceState::Ended);
        self.from_start == Some(true)
            || self.continued
            || empty
            || self.first_time.is_some_and(|first| first <= time)
    }
}

// === impl Tail ===

impl Tail {
    /// The sources of a workload that are followed, wait, or were read to their end.
    pub fn sources(&self, workload: &WorkloadId) -> Vec<SourceStatus> {
        let pods = self.inner.wiring.index.pods_of(workload);
        let now = time::now();
        let state = self.inner.state.lock();
        let mut sources = Vec::new();
        let begun = |key: &AttemptKey| state.memories.get(key).is_some_and(Memory::is_begun);
        for attempt in pods.iter().flat_map(|pod| attempts::of(pod, now, begun)) {
            let key = &attempt.source.key;
            let memory = state.memories.get(key);
            let level = state.followers.get(key).map(|running| &running.level);
            let level = level.or_else(|| state.starved.get(key).map(|starved| &starved.level));
            let seen = level.map(|level| level.seen());
            let ended = memory.is_some_and(|memory| memory.ended);
            let idle = if ended { SourceState::Ended } else { SourceState::Waiting };
            let known = memory.and_then(|memory| memory.from_start);
            let first = memory.and_then(|memory| memory.first_time);
            sources.push(SourceStatus {
                state: seen.map_or(idle, |seen| seen.state),
                reason: seen.and_then(|seen| seen.reason),
                from_start: seen.and_then(|seen| seen.from_start).or(known),
                first_time: seen.and_then(|seen| seen.first_time).or(first),
                tail_cut: seen.is_some_and(|seen| seen.tail_cut)
                    || memory.is_some_and(|memory| memory.tail_cut),
                continued: seen.is_some_and(|seen| seen.continued)
                    || memory.is_some_and(Memory::is_continued),
                source: Arc::new(attempt.source),
            });
        }
        sources
    }

    /// Tells how many wait, and how full the fullest node is.
    pub(super) fn measure(&self) {
        let metrics = &self.inner.wiring.metrics;
        let state = self.inner.state.lock();
        metrics.sources_waiting.set(state.starved.len() as u64);
        metrics.node_followers.set(state.per_node.values().max().copied().unwrap_or(0) as u64);
        metrics.opens_waiting.set(self.inner.pace.waiting() as u64);
    }

    /// How the followers stand.
    pub fn status(&self) -> TailStatus {
        let state = self.inner.state.lock();
        let mut status = TailStatus {
            followers: state.followers.len(),
            waiting_for_budget: state.starved.len(),
            nodes: state.per_node.iter().map(|(node, count)| (node.clone(), *count)).collect(),
            remembered: state.memories.len(),
            ..TailStatus::default()
        };
        let starved = state.starved.values().map(|starved| starved.level.seen());
        let mut oldest = starved.map(|seen| seen.since).min();
        for running in state.followers.values() {
            let seen = running.level.seen();
            let word = match seen.state {
                SourceState::Following => seen.reason.unwrap_or("following"),
                SourceState::Ended => "ended",
                SourceState::Waiting => seen.reason.unwrap_or("opening"),
            };
            *status.states.entry(word).or_default() += 1;
            if seen.state == SourceState::Waiting {
                oldest = Some(oldest.map_or(seen.since, |oldest| oldest.min(seen.since)));
            }
        }
        status.oldest_waiting_seconds = oldest.map(|since| since.elapsed().as_secs());
        status.nodes_unreachable = self.inner.nodes.unreachable();
        status
    }
}
