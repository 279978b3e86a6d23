//! The last words of attempts, kept apart from what is forgotten.
//!
//! What holds here:
//! - Of each attempt of the last rollouts the last 64 KiB can be read, however much its siblings write.
//!   While they are on the shelf they cost nothing; when the shelf forgets them they are kept here.
//! - The memory is bounded, by itself and for all workloads together ([`Budget`]); what was said
//!   longest ago goes first.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use crate::ids::{AttemptKey, Lines, RolloutStatus, Source, SourceChange};

/// Bytes of text that are last words.
pub(super) const LAST_WORDS: u64 = 64 << 10;
/// Rollouts of a workload whose attempts are remembered.
const ROLLOUTS: u64 = 20;
/// Attempts of a workload that are remembered, some 300 bytes each without their words.
const MAX_ATTEMPTS: usize = 256;
/// Bytes of words of one workload: those of forty attempts with much to say.
const MAX_BYTES: usize = 40 * LAST_WORDS as usize;

/// What words cost besides themselves: their place here, their attempt's, and a shelf that may be
/// there for nothing else.
const WORD_OVERHEAD: usize = 768;

/// How many bytes of words all workloads may keep together.
#[derive(Debug, Default)]
pub(super) struct Budget {
    used: AtomicUsize,
    max: usize,
}

/// The last words of a workload's attempts.
#[derive(Debug, Default)]
pub(super) struct Words {
    attempts: HashMap<AttemptKey, Said>,
    /// Records that are kept here and no longer on the shelf.
    held: HashSet<u64>,
    bytes: usize,
    budget: Arc<Budget>,
    /// Rollouts that were seen, and what tells the last one from others.
    rollouts: u64,
    rollout: Option<(Option<Arc<str>>, i64)>,
}

/// What one attempt said.
#[derive(Debug)]
struct Said {
    source: Arc<Source>,
    /// Bytes of text, all that it ever wrote.
    total: u64,
    /// Its last record.
    last: u64,
    /// The rollout in which it was first heard.
    rollout: u64,
    /// Of its last words those that the shelf forgot, oldest first.
    kept: VecDeque<Word>,
    ended: Option<(u64, Arc<SourceChange>)>,
}

/// Some lines that the shelf forgot.
#[derive(Clone, Debug)]
struct Word {
    /// The record that they are of.
    record: u64,
    /// Their first sequence number.
    first: u64,
    /// What the attempt had written when it had written them.
    end: u64,
    lines: Arc<Lines>,
}

/// An attempt that ended.
#[derive(Clone, Debug)]
pub struct EndedAttempt {
    /// The sequence number of its end.
    pub seq: u64,
    /// Its end: when, whether its log is complete, how many lines.
    pub change: Arc<SourceChange>,
}

// === impl Budget ===

impl Budget {
    pub(super) fn new(max: usize) -> Self {
        Budget { used: AtomicUsize::new(0), max }
    }

    /// How many bytes should go so that there is room for the next.
    pub(super) fn excess(&self) -> usize {
        self.used.load(Ordering::Relaxed).saturating_sub(self.max - self.max / 4)
    }

    /// Takes bytes, if there is room.
    fn take(&self, bytes: usize) -> bool {
        let took = self.used.fetch_add(bytes, Ordering::Relaxed) + bytes <= self.max;
        if !took {
            self.give(bytes);
        }
        took
    }

    fn give(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

// === impl Words ===

impl Words {
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        let mut words = Words::default();
        words.budget = budget;
        words
    }

    /// Nothing is kept here that would be lost with it.
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// The workload has been silent for longer than anything is kept: what has not ended by now was
    /// given up, or its end was missed.
    pub(super) fn keep_ended(&mut self) {
        let open = self.attempts.values().filter(|said| said.ended.is_none());
        let open: Vec<_> = open.map(|said| said.source.key.clone()).collect();
        for key in open {
            self.remove(&key);
        }
    }

    /// Whether a record is kept here.
    pub(super) fn holds(&self, record: u64) -> bool {
        self.held.contains(&record)
    }

    /// Lines were appended. Gives what their attempt has written with them.
    pub(super) fn said(&mut self, first: u64, lines: &Lines) -> u64 {
        let said = self.attempt(&lines.source);
        said.total += lines.text.len() as u64;
        said.last = first + lines.lines.len() as u64 - 1;
        let total = said.total;
        let mut over = Vec::new();
        let mut gone = 0;
        while let Some(word) = said.kept.front().filter(|word| total - word.end >= LAST_WORDS) {
            gone += word.cost();
            over.extend(said.kept.pop_front().map(|word| word.record));
        }
        if gone > 0 {
            for record in over {
                self.held.remove(&record);
            }
            self.bytes -= gone;
            self.budget.give(gone);
        }
        total
    }

    /// An attempt changed its state.
    pub(super) fn changed(&mut self, seq: u64, change: &Arc<SourceChange>, ended: bool) {
        let said = self.attempt(&change.source);
        said.last = seq;
        let before = said.ended.take();
        said.ended = ended.then(|| (seq, change.clone()));
        if let Some((before, _)) = before {
            self.held.remove(&before);
        }
    }

    /// The shelf forgets the end of an attempt; it is kept as long as its words are.
    pub(super) fn forget_change(&mut self, seq: u64, change: &SourceChange) {
        let said = self.attempts.get(&change.source.key);
        if said.is_some_and(|said| said.ended.as_ref().is_some_and(|(at, _)| *at == seq)) {
            self.held.insert(seq);
        }
    }

    /// The rollout's state changed.
    pub(super) fn rolls(&mut self, status: &RolloutStatus) {
        // A generation alone changes with the number of replicas, too.
        let generation = if status.revision.is_some() { 0 } else { status.generation };
        let now = (status.revision.clone(), generation);
        if self.rollout.as_ref() == Some(&now) {
            return;
        }
        self.rollout = Some(now);
        self.rollouts += 1;
        let first = self.rollouts.saturating_sub(ROLLOUTS - 1);
        let old = self.attempts.values().filter(|said| said.rollout < first);
        let old: Vec<_> = old.map(|said| said.source.key.clone()).collect();
        for key in old {
            self.remove(&key);
        }
    }

    /// The shelf forgets lines, up to which their attempt had written `end`: what is last words of
    /// them is kept.
    pub(super) fn forget(&mut self, record: u64, end: u64, lines: &Arc<Lines>) {
        let Some(said) = self.attempts.get_mut(&lines.source.key) else { return };
        let Some(room) = LAST_WORDS.checked_sub(said.total - end).filter(|room| *room > 0) else {
            return;
        };
        let (skipped, lines) = last_of(lines, room);
        let word = Word { record, first: record + skipped, end, lines };
        let bytes = word.cost();
        while self.bytes + bytes > MAX_BYTES && self.remove_oldest().is_some() {}
        if !self.budget.take(bytes) {
            return;
        }
        let Some(said) = self.attempts.get_mut(&word.lines.source.key) else {
            return self.budget.give(bytes);
        };
        said.kept.push_back(word);
        self.held.insert(record);
        self.bytes += bytes;
    }

    /// What is kept here of an attempt, oldest first: first sequence number and lines.
    pub(super) fn of(&self, attempt: &AttemptKey) -> Vec<(u64, Arc<Lines>)> {
        let said = self.attempts.get(attempt);
        let kept = said.map(|said| said.kept.iter().map(|word| (word.first, word.lines.clone())));
        kept.map(Iterator::collect).unwrap_or_default()
    }

    /// The attempts that ended, in the order in which they did.
    pub(super) fn ended(&self) -> Vec<EndedAttempt> {
        let ended = self.attempts.values().filter_map(|said| said.ended.clone());
        let mut ended: Vec<_> = ended.map(|(seq, change)| EndedAttempt { seq, change }).collect();
        ended.sort_unstable_by_key(|ended| ended.seq);
        ended
    }

    /// The last record of each attempt with words that are kept here.
    pub(super) fn ages(&self) -> impl Iterator<Item = u64> {
        self.attempts.values().filter(|said| !said.kept.is_empty()).map(|said| said.last)
    }

    /// Lets go of the attempt that was heard last longest ago; gives how many bytes that gave back.
    pub(super) fn remove_oldest(&mut self) -> Option<usize> {
        let with_words = self.attempts.values().filter(|said| !said.kept.is_empty());
        let key = with_words.min_by_key(|said| said.last)?.source.key.clone();
        Some(self.remove(&key))
    }

    fn attempt(&mut self, source: &Arc<Source>) -> &mut Said {
        if !self.attempts.contains_key(&source.key) && self.attempts.len() >= MAX_ATTEMPTS {
            let oldest = self.attempts.values().min_by_key(|said| said.last);
            if let Some(key) = oldest.map(|said| said.source.key.clone()) {
                self.remove(&key);
            }
        }
        let rollout = self.rollouts;
        self.attempts.entry(source.key.clone()).or_insert_with(|| Said {
            source: source.clone(),
            total: 0,
            last: 0,
            rollout,
            kept: VecDeque::new(),
            ended: None,
        })
    }

    fn remove(&mut self, key: &AttemptKey) -> usize {
        let Some(said) = self.attempts.remove(key) else { return 0 };
        let bytes = said.kept.iter().map(Word::cost).sum();
        for word in &said.kept {
            self.held.remove(&word.record);
        }
        if let Some((seq, _)) = said.ended {
            self.held.remove(&seq);
        }
        self.bytes -= bytes;
        self.budget.give(bytes);
        bytes
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        self.budget.give(self.bytes);
    }
}

// === impl Word ===

impl Word {
    fn cost(&self) -> usize {
        let Lines { text, lines, .. } = &*self.lines;
        WORD_OVERHEAD + text.len() + std::mem::size_of_val(&**lines)
    }
}

/// The last lines of a batch with at most so many bytes of text, at least one, and how many lines were
/// left out before them. A part is copied, so that it does not hold the whole.
fn last_of(batch: &Arc<Lines>, bytes: u64) -> (u64, Arc<Lines>) {
    if batch.text.len() as u64 <= bytes {
        return (0, batch.clone());
    }
    let mut room = bytes;
    let fits = batch.lines.iter().rev().take_while(|line| {
        let fits = u64::from(line.len) <= room;
        room = room.saturating_sub(u64::from(line.len));
        fits
    });
    let skip = batch.lines.len() - fits.count().max(1);
    let mut text = Vec::new();
    let lines = batch.lines[skip..].iter().map(|line| {
        let start = text.len() as u32;
        text.extend_from_slice(batch.bytes_of(line));
        crate::ids::LineMeta { start, ..*line }
    });
    let lines = lines.collect();
    let (source, side, failed) = (batch.source.clone(), batch.side, batch.failed);
    (skip as u64, Arc::new(Lines { source, side, failed, text: Bytes::from(text), lines }))
}
