//! The records of one workload.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::chunk::Chunk;
use super::ends::{End, ends};
use super::forgotten::{Forgotten, Lost, Older};
use super::missed::{At, Loss, Missed, Read, Slice};
use super::words::{Budget, EndedAttempt, LAST_WORDS, Words};
use crate::ids::{AttemptKey, Entry, LineMeta, Lines, RolloutStatus, WorkloadId};

/// The records of one workload, in sequence order.
#[derive(Debug)]
pub struct Shelf {
    workload: Arc<WorkloadId>,
    state: Mutex<State>,
    head: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    chunks: VecDeque<Chunk>,
    bytes: usize,
    /// Lines ever appended.
    lines: u64,
    /// Last sequence number that was evicted, 0 if none.
    floor: u64,
    forgotten: Forgotten,
    /// Where records are missing between those that are kept, in order. Only a journal that came out
    /// of a store has any.
    holes: VecDeque<Hole>,
    /// Up to this sequence number lines may be missing that are in no count; they came before this
    /// wall time.
    unsure: Option<(u64, i64)>,
    /// The end of each hole that a restart made, and the attempts of which lines can be in it.
    unproven: Vec<Unproven>,
    words: Words,
}

/// A stretch of sequence numbers whose records are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hole {
    /// The record before it ends here.
    pub(super) after: u64,
    /// Its last number.
    pub(super) through: u64,
    /// Lines of the workload in it, if known.
    pub(super) lines: Option<u64>,
}

/// A hole that a restart made: where it ends, and the attempts of which lines can be in it.
pub(super) type Unproven = (u64, Vec<AttemptKey>);

/// What a store gave back of one workload.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) chunks: VecDeque<Chunk>,
    pub(super) bytes: usize,
    pub(super) lines: u64,
    pub(super) floor: u64,
    pub(super) forgotten: Forgotten,
    pub(super) holes: VecDeque<Hole>,
    pub(super) unsure: Option<(u64, i64)>,
    pub(super) unproven: Vec<Unproven>,
    /// Records that would be forgotten but may be last words, in order.
    pub(super) words: Vec<Chunk>,
}

/// What is known of a workload whose records are all forgotten.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Past {
    /// Its last sequence number, 0 if none.
    pub(super) floor: u64,
    /// Lines it ever had.
    pub(super) lines: u64,
    /// Their times.
    pub(super) older: Older,
}

/// What an eviction freed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Freed {
    pub(super) bytes: usize,
    pub(super) records: u64,
    pub(super) entries: usize,
}

// === impl Shelf ===

impl Shelf {
    /// An empty shelf of a workload of which `past` is known.
    pub(super) fn new(workload: Arc<WorkloadId>, past: Past, budget: Arc<Budget>) -> Self {
        let Past { floor, lines, older } = past;
        let forgotten = Forgotten::after(older);
        let words = Words::new(budget);
        let state = Mutex::new(State { floor, lines, forgotten, words, ..State::default() });
        Shelf { workload, state, head: watch::Sender::new(floor) }
    }

    /// What is left to know of an empty shelf when it is removed; `None` while it is not empty.
    pub(super) fn past(&self) -> Option<Past> {
        let mut state = self.state.lock();
        if state.chunks.is_empty() {
            state.words.keep_ended();
        }
        let unsure = state.unsure.is_some() || state.holes.iter().any(|hole| hole.lines.is_none());
        (state.chunks.is_empty() && state.words.is_empty()).then(|| Past {
            floor: state.holes.back().map_or(state.floor, |hole| hole.through),
            lines: state.lines,
            older: if unsure { Older::Unknown } else { state.forgotten.summary() },
        })
    }

    /// A shelf as a store gave it back.
    pub(super) fn filled(workload: Arc<WorkloadId>, kept: Kept, budget: Arc<Budget>) -> Self {
        let Kept { mut chunks, bytes, lines, floor, forgotten, holes, unsure, unproven, .. } = kept;
        let mut words = Words::new(budget);
        for mut chunk in kept.words {
            chunk.heard(&mut words);
            chunk.unheard(&mut words);
        }
        for chunk in &mut chunks {
            chunk.heard(&mut words);
        }
        let last = chunks.back().map_or(floor, Chunk::last);
        let head = holes.back().map_or(last, |hole| hole.through.max(last));
        let state =
            State { chunks, bytes, lines, floor, forgotten, holes, unsure, unproven, words };
        Shelf { workload, state: Mutex::new(state), head: watch::Sender::new(head) }
    }

    /// Says that no line of an attempt was lost with the process before: its reader found the last
    /// one and went on behind it. When that is so for all of a hole, there is none.
    pub(super) fn proven(&self, attempt: &AttemptKey) {
        let mut state = self.state.lock();
        let State { unproven, holes, .. } = &mut *state;
        unproven.retain_mut(|(through, open)| {
            open.retain(|open| open != attempt);
            if open.is_empty() {
                holes.retain(|hole| hole.through != *through || hole.lines.is_some());
            }
            !open.is_empty()
        });
    }

    /// Whether the record that begins here is kept.
    pub(super) fn holds(&self, first: u64) -> bool {
        let state = self.state.lock();
        let kept = state.chunks.binary_search_by_key(&first, |chunk| chunk.first).is_ok();
        kept || state.words.holds(first)
    }

    /// The last lines of an attempt, about 64 KiB of text and at least one, oldest first; also when
    /// the shelf has forgotten them. Empty if they are not known.
    pub fn last_words(&self, attempt: &AttemptKey) -> Vec<Slice> {
        let state = self.state.lock();
        let mut room = LAST_WORDS;
        let mut slices = VecDeque::new();
        let of_it = |chunk: &Chunk| match &chunk.entry {
            Entry::Lines(lines) if lines.source.key == *attempt => {
                Some((chunk.first, lines.clone()))
            }
            _ => None,
        };
        let shelf = state.chunks.iter().rev().filter_map(of_it);
        for (first, lines) in shelf.chain(state.words.of(attempt).into_iter().rev()) {
            let fits = lines.lines.iter().rev().take_while(|line| {
                let fits = u64::from(line.len) <= room;
                room = if fits { room - u64::from(line.len) } else { 0 };
                fits
            });
            // The last one is told whatever its length.
            let fits = fits.count().max(usize::from(slices.is_empty()));
            let from = lines.lines.len() - fits;
            if from < lines.lines.len() {
                let entry = Entry::Lines(lines);
                let first = first + from as u64;
                slices.push_front(Slice { first, from, low: i64::MAX, entry });
            }
            if room == 0 || from > 0 {
                break;
            }
        }
        slices.into()
    }

    /// The attempts of the last rollouts that ended, in the order in which they did.
    pub fn ended_attempts(&self) -> Vec<EndedAttempt> {
        self.state.lock().words.ended()
    }

    /// When each attempt was heard last whose words are kept although the shelf forgot them.
    pub(super) fn ages_of_words(&self) -> Vec<u64> {
        self.state.lock().words.ages().collect()
    }

    /// Lets go of the oldest of them; gives the bytes that this gave back.
    pub(super) fn remove_oldest_words(&self) -> usize {
        self.state.lock().words.remove_oldest().unwrap_or(0)
    }

    /// Whose records these are.
    pub fn workload(&self) -> &Arc<WorkloadId> {
        &self.workload
    }

    /// The last sequence number on this shelf; 0 before the first record.
    pub fn head(&self) -> u64 {
        *self.head.borrow()
    }

    /// Tells of every append. Holds the last sequence number only, so a slow receiver costs nothing.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.head.subscribe()
    }

    /// Reads records with a sequence number above `after`, in order, until `max_bytes` of them are
    /// collected (at least one entry if there is any).
    pub fn read(&self, after: u64, max_bytes: usize) -> Read {
        let state = self.state.lock();
        let mut next = after.max(state.floor);
        let missed = if after < state.floor {
            let lost = match state.unsure {
                Some((through, _)) if after < through => Lost::UNKNOWN,
                _ => state.forgotten.behind(after, state.lines_forgotten()),
            };
            Some(state.missed(state.floor, lost, Loss::Forgotten))
        } else if let Some(hole) = state.hole_at(after) {
            next = hole.through;
            // Who stands inside had some of its records, and nobody knows which.
            let lines = hole.lines.filter(|_| after == hole.after);
            let why = if hole.lines.is_some() { Loss::Forgotten } else { Loss::Restart };
            Some(state.missed(hole.through, Lost { lines, times: None }, why))
        } else {
            None
        };
        // A hole is told with what follows it.
        let stop = state.holes.iter().find(|hole| hole.after >= next);
        let stop = stop.map_or(u64::MAX, |hole| hole.after);
        let begin = state.chunks.partition_point(|chunk| chunk.last() <= next);
        let mut slices = Vec::new();
        let mut bytes = 0;
        for chunk in state.chunks.range(begin..) {
            if bytes >= max_bytes || chunk.first > stop {
                break;
            }
            let from = (next + 1).saturating_sub(chunk.first) as usize;
            slices.push(Slice {
                first: chunk.first + from as u64,
                from,
                low: chunk.low,
                entry: chunk.entry.clone(),
            });
            bytes += chunk.bytes;
            next = chunk.last();
        }
        Read { slices, next, missed }
    }

    /// Adds the sequence numbers of the last `count` lines up to `through` that are wanted to `out`,
    /// newest first. `batch` is asked first whether any line of a batch can be wanted.
    pub fn last_lines(
        &self,
        through: u64,
        count: usize,
        batch: impl Fn(&Lines) -> bool,
        wanted: impl Fn(&Lines, &LineMeta) -> bool,
        out: &mut Vec<u64>,
    ) {
        let state = self.state.lock();
        let full = out.len() + count;
        for chunk in state.chunks.iter().rev() {
            let Entry::Lines(lines) = &chunk.entry else { continue };
            if out.len() < full && chunk.first <= through && batch(lines) {
                let found = lines.lines.iter().enumerate().rev();
                let found = found.filter(|(index, _)| chunk.first + *index as u64 <= through);
                let found = found.filter(|(_, line)| wanted(lines, line));
                let seqs = found.map(|(index, _)| chunk.first + index as u64);
                out.extend(seqs.take(full - out.len()));
            }
        }
    }

    /// The last state of a rollout up to `through` that is kept.
    pub fn last_rollout(&self, through: u64) -> Option<Arc<RolloutStatus>> {
        let state = self.state.lock();
        let upto = state.chunks.partition_point(|chunk| chunk.first <= through);
        state.chunks.range(..upto).rev().find_map(|chunk| match &chunk.entry {
            Entry::Rollout(status) => Some(Arc::clone(status)),
            _ => None,
        })
    }

    /// How rollouts ended, as records up to `through` tell that are kept; at most [`super::MOST_ENDS`],
    /// oldest first.
    pub fn ends(&self, through: u64) -> Vec<End> {
        let state = self.state.lock();
        let upto = state.chunks.partition_point(|chunk| chunk.first <= through);
        ends(state.chunks.range(..upto).map(|chunk| &chunk.entry))
    }

    /// The oldest time that a batch or record behind `after` begins with; `None` if there is none yet.
    /// What was read late stands behind younger records, so the first one's time is not it.
    pub fn oldest_behind(&self, after: u64) -> Option<i64> {
        let state = self.state.lock();
        let begin = state.chunks.partition_point(|chunk| chunk.last() <= after);
        let times = state.chunks.range(begin..).map(|chunk| match &chunk.entry {
            Entry::Lines(lines) => {
                let from = (after + 1).saturating_sub(chunk.first) as usize;
                lines.lines.get(from).map_or(i64::MAX, |line| line.time)
            }
            entry => entry.time(),
        });
        times.min()
    }

    /// The position before the first record whose time is `time` or later.
    pub fn before_time(&self, time: i64) -> u64 {
        self.position_at(time).after
    }

    /// The position before the first record whose time is `time` or later, and what that old was
    /// forgotten.
    pub fn position_at(&self, time: i64) -> At {
        let state = self.state.lock();
        let lost = match state.unsure {
            Some((_, before)) if time < before => Some(Lost::UNKNOWN),
            _ => state.forgotten.since(time, state.lines_forgotten()),
        };
        let missed = lost.map(|lost| state.missed(state.floor, lost, Loss::Forgotten));
        let after = state.chunks.iter().find_map(|chunk| {
            let index = match &chunk.entry {
                Entry::Lines(_) if chunk.times.newest < time => None,
                Entry::Lines(lines) => lines.lines.iter().position(|line| line.time >= time),
                entry => (entry.time() >= time).then_some(0),
            };
            index.map(|index| chunk.first + index as u64 - 1)
        });
        let after = after.unwrap_or_else(|| *self.head.borrow());
        // Lines in a hole right before it may be young enough, too.
        let hole = state.holes.iter().rfind(|hole| hole.after <= after);
        let hole = hole.filter(|hole| {
            let behind = state.chunks.partition_point(|chunk| chunk.first <= hole.through);
            state.chunks.get(behind).is_none_or(|chunk| chunk.first > after)
        });
        At { after: hole.map_or(after, |hole| hole.after), missed }
    }

    /// Puts an entry on the shelf. Only the journal calls this, in sequence order.
    ///
    /// Gives the bytes that it costs, and how many lines the workload had before it.
    pub(super) fn push(&self, first: u64, appended: i64, low: i64, entry: Entry) -> (usize, u64) {
        let mut chunk = Chunk::new(first, appended, 0, entry);
        chunk.low = low.min(appended);
        let (bytes, last) = (chunk.bytes, chunk.last());
        let mut state = self.state.lock();
        let lines_before = state.lines;
        chunk.lines_before = lines_before;
        chunk.heard(&mut state.words);
        state.lines += chunk.lines();
        state.bytes += bytes;
        state.chunks.push_back(chunk);
        drop(state);
        self.head.send_replace(last);
        (bytes, lines_before)
    }

    /// The oldest record: when it was appended, and its sequence number.
    pub(super) fn oldest(&self) -> Option<(i64, u64)> {
        self.state.lock().chunks.front().map(|chunk| (chunk.appended, chunk.first))
    }

    /// Forgets the oldest entries until at most `max_bytes` are left.
    pub(super) fn shrink(&self, max_bytes: usize) -> Freed {
        let mut state = self.state.lock();
        let mut freed = Freed::default();
        while state.bytes > max_bytes && state.forget_oldest(&mut freed) {}
        freed
    }

    /// Forgets the oldest entry if it is still the one that begins at `first`.
    pub(super) fn forget(&self, first: u64) -> Freed {
        let mut state = self.state.lock();
        let mut freed = Freed::default();
        if state.chunks.front().is_some_and(|chunk| chunk.first == first) {
            state.forget_oldest(&mut freed);
        }
        freed
    }
}

// === impl State ===

impl State {
    /// Lines of the workload before the first that is kept.
    fn lines_forgotten(&self) -> u64 {
        self.chunks.front().map_or(self.lines, |chunk| chunk.lines_before)
    }

    /// The hole that a reader at `after` stands before, or in.
    fn hole_at(&self, after: u64) -> Option<Hole> {
        self.holes.iter().find(|hole| hole.after <= after && after < hole.through).copied()
    }

    fn missed(&self, through: u64, lost: Lost, why: Loss) -> Missed {
        let behind = self.chunks.partition_point(|chunk| chunk.first <= through);
        let lines = self.chunks.range(behind..).find_map(|chunk| match &chunk.entry {
            Entry::Lines(lines) => lines.lines.first(),
            _ => None,
        });
        Missed {
            through,
            why,
            lines: lost.lines,
            oldest: lost.times.map(|times| times.oldest).filter(|time| *time > i64::MIN),
            newest: lost.times.map(|times| times.newest).filter(|time| *time < i64::MAX),
            next: lines.map(|line| line.time),
        }
    }

    fn forget_oldest(&mut self, freed: &mut Freed) -> bool {
        let Some(chunk) = self.chunks.pop_front() else { return false };
        self.forgotten.note(chunk.first, chunk.lines_before, chunk.lines(), chunk.times);
        chunk.unheard(&mut self.words);
        self.floor = chunk.last();
        while let Some(hole) = self.holes.front().filter(|hole| hole.through <= self.floor) {
            if hole.lines.is_none() {
                self.unsure = Some((hole.through, chunk.appended));
            }
            self.holes.pop_front();
        }
        self.bytes -= chunk.bytes;
        freed.bytes += chunk.bytes;
        freed.records += chunk.entry.count();
        freed.entries += 1;
        true
    }
}
