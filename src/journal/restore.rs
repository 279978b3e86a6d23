//! The journal out of a store.
//!
//! What the store holds is read once, in whatever order, within the journal's own limits: what would
//! have been forgotten by now is counted and not kept. Then each workload's records are put in
//! sequence, and where they do not follow each other a [`Hole`] is marked.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use super::chunk::Chunk;
use super::forgotten::{Forgotten, MAX_RUNS, Older, Times};
use super::ledger::Ledger;
use super::memory::Limits;
use super::shelf::{Hole, Kept, Shelf, Unproven};
use super::store::{Attempt, Fact, Record, Restart, Standing};
use super::words::{Budget, LAST_WORDS};
use crate::ids::{AttemptKey, Entry, Lines, SourceState, WorkloadId};

/// What is read so far.
#[derive(Debug)]
pub(super) struct Loading {
    limits: Limits,
    /// What was appended before is too old.
    horizon: i64,
    shelves: HashMap<Arc<WorkloadId>, Loaded>,
    /// The workload of each record that is kept, by sequence number.
    order: BTreeMap<u64, Arc<WorkloadId>>,
    bytes: usize,
    ledger: Ledger,
    /// When the newest record was appended.
    until: Option<i64>,
    /// See [`Loaded::room`].
    room: Rc<Cell<usize>>,
}

/// The records of one workload.
#[derive(Debug, Default)]
struct Loaded {
    chunks: BTreeMap<u64, Chunk>,
    bytes: usize,
    /// Records that are not kept, the newest of them.
    runs: BTreeMap<u64, (u64, u64, Times)>,
    /// Everything up to here is not kept.
    floor: u64,
    /// The oldest standing that was found: how it was before everything that the store holds.
    oldest: Option<Standing>,
    /// More runs were found than are remembered; between these times.
    cut: Option<Times>,
    /// Of what is not kept, what may be an attempt's last words, and how many bytes of text they are.
    words: HashMap<AttemptKey, (BTreeMap<u64, Chunk>, u64)>,
    /// Ends of attempts that are not kept.
    ends: BTreeMap<u64, Chunk>,
    /// Bytes that may still be taken for words, of all workloads.
    room: Rc<Cell<usize>>,
}

/// Attempts of one workload whose words are looked for, and ends of attempts.
const MAX_ATTEMPTS: usize = 512;

/// What was read.
#[derive(Debug)]
pub(super) struct Restored {
    pub(super) shelves: HashMap<Arc<WorkloadId>, Arc<Shelf>>,
    /// Sequence numbers of the records that are kept, in order.
    pub(super) order: Vec<(u64, Arc<Shelf>)>,
    pub(super) bytes: usize,
    pub(super) ledger: Ledger,
    /// The restart that this is, if the process before did not close the store, or the end of what it
    /// closed is not there.
    pub(super) restart: Option<Restart>,
    /// When the last record was appended.
    pub(super) until: Option<i64>,
}

// === impl Loading ===

impl Loading {
    pub(super) fn new(limits: Limits, now: i64) -> Self {
        let age = i64::try_from(limits.age.as_nanos()).unwrap_or(i64::MAX);
        Loading {
            limits,
            horizon: now.saturating_sub(age),
            shelves: HashMap::new(),
            order: BTreeMap::new(),
            bytes: 0,
            ledger: Ledger::default(),
            until: None,
            // More than can be kept in the end, since not all of it turns out to be last words.
            room: Rc::new(Cell::new(limits.total_bytes / 2)),
        }
    }

    /// Takes in one fact.
    pub(super) fn take(&mut self, fact: Fact) {
        self.ledger.take_unbounded(&fact);
        match fact {
            Fact::Record(record) => self.record(record),
            Fact::Workload(standing) => {
                let room = || Loaded { room: self.room.clone(), ..Loaded::default() };
                let loaded = self.shelves.entry(standing.workload.clone()).or_insert_with(room);
                if loaded.oldest.as_ref().is_none_or(|oldest| standing.last < oldest.last) {
                    loaded.oldest = Some(standing);
                }
            }
            Fact::Attempt(_) | Fact::Restart(_) => {}
        }
    }

    fn record(&mut self, record: Record) {
        let Record { first, workload, appended, lines_before, entry } = record;
        self.until = self.until.max(Some(appended));
        let room = || Loaded { room: self.room.clone(), ..Loaded::default() };
        let loaded = self.shelves.entry(workload.clone()).or_insert_with(room);
        // The same record may lie in two segments: written again, or carried.
        if loaded.chunks.contains_key(&first) || loaded.runs.contains_key(&first) {
            return;
        }
        let chunk = Chunk::new(first, appended, lines_before, entry);
        if first <= loaded.floor || appended < self.horizon {
            loaded.leave_out(chunk);
            return;
        }
        self.bytes += chunk.bytes;
        loaded.bytes += chunk.bytes;
        loaded.chunks.insert(first, chunk);
        self.order.insert(first, workload);
        while loaded.bytes > self.limits.workload_bytes
            && let Some((first, bytes)) = loaded.leave_out_oldest()
        {
            self.order.remove(&first);
            self.bytes -= bytes;
        }
        while self.bytes > self.limits.total_bytes
            && let Some((_, workload)) = self.order.pop_first()
            && let Some(loaded) = self.shelves.get_mut(&workload)
            && let Some((_, bytes)) = loaded.leave_out_oldest()
        {
            self.bytes -= bytes;
        }
    }

    /// The attempts that were open when a process was killed that had stored up to `after`. One that
    /// was not heard since an earlier restart, up to `since`, was not open any more, nor was one that
    /// was silent for longer than anything is kept.
    fn open(&self, since: u64, after: u64) -> Vec<&Attempt> {
        let attempts = self.ledger.attempts.values().filter(|attempt| {
            let lately = attempt.line.is_some_and(|line| line.time >= self.horizon);
            lately && !attempt.is_over() && (since + 1..=after).contains(&attempt.last())
        });
        attempts.collect()
    }

    /// For each workload the restarts by which it may have lost lines: not where each log that was open
    /// has been heard since, for then its reader went on behind the last line or told what is missing.
    fn unproven(&self) -> HashMap<Arc<WorkloadId>, Vec<Unproven>> {
        let mut unproven: HashMap<Arc<WorkloadId>, Vec<Unproven>> = HashMap::new();
        let mut since = 0;
        for restart in &self.ledger.restarts {
            for attempt in self.open(since, restart.after) {
                let of = unproven.entry(attempt.source.workload.clone()).or_default();
                let key = attempt.source.key.clone();
                match of.last_mut() {
                    Some((through, open)) if *through == restart.through => open.push(key),
                    _ => of.push((restart.through, vec![key])),
                }
            }
            since = restart.through;
        }
        unproven
    }

    /// Everything was read. `through` is the last number that may have been issued, `clean` whether
    /// the process before closed the store.
    pub(super) fn finish(mut self, through: u64, clean: bool, budget: &Arc<Budget>) -> Restored {
        let until = self.until;
        self.ledger.trim();
        let after = self.ledger.last();
        // What was closed ends where it says, unless it ended so without a record behind a restart.
        let whole = |restart: &Restart| clean && restart.through == through;
        let lost = after < through && !self.ledger.restarts.iter().any(whole);
        let restart = lost.then(|| {
            let since = self.ledger.restarts.last().map_or(0, |restart| restart.through);
            let open = self.open(since, after);
            let workloads = open.iter().map(|attempt| attempt.source.workload.clone());
            let workloads = workloads.collect::<HashSet<_>>().into_iter().collect();
            Restart { after, through, workloads }
        });
        if let Some(restart) = restart.clone() {
            self.ledger.restart(restart);
        }
        let mut unproven = self.unproven();
        for workload in self.ledger.workloads.keys() {
            self.shelves.entry(workload.clone()).or_default();
        }
        let mut shelves = HashMap::with_capacity(self.shelves.len());
        let mut bytes = 0;
        for (workload, loaded) in self.shelves {
            let open = unproven.remove(&workload).unwrap_or_default();
            let is_unproven = |restart: &&Restart| {
                open.iter().any(|(through, _)| *through == restart.through)
                    && restart.workloads.contains(&workload)
            };
            let restarts: Vec<_> = self.ledger.restarts.iter().filter(is_unproven).collect();
            let standing = self.ledger.workloads.get(&workload);
            let mut kept = loaded.finish(standing, &restarts);
            kept.unproven = open;
            bytes += kept.bytes;
            shelves
                .insert(workload.clone(), Arc::new(Shelf::filled(workload, kept, budget.clone())));
        }
        let order = self
            .order
            .into_iter()
            .filter_map(|(first, workload)| Some((first, shelves.get(&workload)?.clone())))
            .collect();
        Restored { shelves, order, bytes, ledger: self.ledger, restart, until }
    }
}

// === impl Loaded ===

impl Loaded {
    fn leave_out_oldest(&mut self) -> Option<(u64, usize)> {
        let (first, chunk) = self.chunks.pop_first()?;
        self.bytes -= chunk.bytes;
        let bytes = chunk.bytes;
        self.leave_out(chunk);
        Some((first, bytes))
    }

    fn leave_out(&mut self, chunk: Chunk) {
        self.floor = self.floor.max(chunk.last());
        self.runs.insert(chunk.first, (chunk.lines_before, chunk.lines(), chunk.times));
        if self.runs.len() > MAX_RUNS
            && let Some((_, (_, _, times))) = self.runs.pop_first()
        {
            self.cut = Some(self.cut.map_or(times, |cut| cut.with(times)));
        }
        match &chunk.entry {
            Entry::Lines(lines) => {
                let lines = lines.clone();
                self.leave_out_lines(chunk, &lines);
            }
            Entry::Source(change) if change.state == SourceState::Ended => {
                self.ends.insert(chunk.first, chunk);
                if self.ends.len() > MAX_ATTEMPTS {
                    self.ends.pop_first();
                }
            }
            _ => {}
        }
    }

    /// Only the last of an attempt can be its last words.
    fn leave_out_lines(&mut self, chunk: Chunk, lines: &Lines) {
        let key = &lines.source.key;
        let room = self.room.get();
        // What comes first is the newest: when there is no room, the older is left out.
        let known = self.words.contains_key(key) || self.words.len() < MAX_ATTEMPTS;
        if !known || room < chunk.bytes {
            return;
        }
        let (chunks, bytes) = self.words.entry(key.clone()).or_default();
        *bytes += text_of(&chunk);
        let mut room = room - chunk.bytes;
        chunks.insert(chunk.first, chunk);
        while let Some(first) = chunks.first_entry()
            && *bytes - text_of(first.get()) >= LAST_WORDS
        {
            let chunk = first.remove();
            *bytes -= text_of(&chunk);
            room += chunk.bytes;
        }
        self.room.set(room);
    }

    fn finish(mut self, standing: Option<&Standing>, restarts: &[&Restart]) -> Kept {
        // A record that is kept although newer ones were left out stands alone: it goes, too.
        while self.chunks.first_key_value().is_some_and(|(first, _)| *first <= self.floor) {
            self.leave_out_oldest();
        }
        let first_before = self.chunks.first_key_value().map(|(_, chunk)| chunk.lines_before);
        let known_before =
            self.runs.first_key_value().map(|(_, (before, _, _))| *before).or(first_before);
        let before = self.oldest.as_ref().filter(|standing| standing.lines > 0);
        let older = match (self.cut, before.and_then(|standing| standing.times)) {
            (Some(cut), Some(times)) => Older::Within(cut.with(times)),
            (Some(times), None) | (None, Some(times)) => Older::Within(times),
            (None, None) if known_before.or(standing.map(|standing| standing.lines)) > Some(0) => {
                // Counted, for each record tells what was before it.
                Older::Within(Times::ANY)
            }
            (None, None) => Older::Nothing,
        };
        let mut forgotten = Forgotten::after(older);
        for (first, (lines_before, lines, times)) in &self.runs {
            forgotten.note(*first, *lines_before, *lines, *times);
        }
        let through_runs = self.runs.last_key_value().map(|(_, (before, lines, _))| before + lines);
        // Lines that are not even among what was left out lie between it and the first that is kept.
        let floor = match self.chunks.first_key_value() {
            Some((first, chunk)) if chunk.lines_before > through_runs.unwrap_or(0) => first - 1,
            None => self.floor.max(standing.map_or(0, |standing| standing.last)),
            Some(_) => self.floor,
        };
        let words = self.words.into_values().flat_map(|(chunks, _)| chunks);
        let words: BTreeMap<u64, Chunk> = words.chain(self.ends).collect();
        let words = words.into_values().collect();
        let mut kept = Kept { forgotten, floor, words, ..Kept::default() };
        let mut end = (floor, first_before);
        for (first, chunk) in self.chunks {
            kept.mark(end, Some((first, chunk.lines_before)), restarts);
            end = (chunk.last(), Some(chunk.lines_before + chunk.lines()));
            kept.chunks.push_back(chunk);
        }
        kept.lines = end.1.unwrap_or(0);
        if let Some(standing) = standing {
            if kept.chunks.is_empty() {
                end.1 = Some(standing.lines);
            }
            if standing.last > end.0 {
                kept.mark(end, Some((standing.last + 1, standing.lines)), restarts);
                end = (standing.last, Some(standing.lines));
            }
            kept.lines = kept.lines.max(standing.lines);
        }
        kept.mark(end, None, restarts);
        let began = kept.chunks.front().map_or(i64::MAX, |chunk| chunk.appended);
        let unsure = restarts.iter().rev().find(|restart| restart.through <= floor);
        kept.unsure = unsure.map(|restart| (restart.through, began));
        kept.bytes = kept.chunks.iter().map(|chunk| chunk.bytes).sum();
        kept
    }
}

// === impl Kept ===

impl Kept {
    /// Marks what is missing between a record that ends at `end.0` and what comes `next`, given how
    /// many lines the workload had at each.
    fn mark(&mut self, end: (u64, Option<u64>), next: Option<(u64, u64)>, restarts: &[&Restart]) {
        let (after, had) = end;
        let before = next.map_or(u64::MAX, |(first, _)| first);
        let between =
            restarts.iter().rfind(|restart| restart.after >= after && restart.through < before);
        let missing = match (had, next) {
            (Some(had), Some((_, lines))) => lines.checked_sub(had),
            _ => Some(0),
        };
        match (between, next) {
            (Some(restart), _) => {
                self.holes.push_back(Hole { after, through: restart.through, lines: None });
            }
            (None, Some((first, _))) if missing != Some(0) => {
                self.holes.push_back(Hole { after, through: first - 1, lines: missing });
            }
            _ => {}
        }
    }
}

/// Bytes of text.
fn text_of(chunk: &Chunk) -> u64 {
    match &chunk.entry {
        Entry::Lines(lines) => lines.text.len() as u64,
        _ => 0,
    }
}
