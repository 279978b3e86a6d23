//! An entry in its place, and what it costs.

use super::forgotten::Times;
use super::words::Words;
use crate::ids::{Entry, Lines, SourceState};

/// What a chunk costs besides its text: the entry, its place on the shelf and in the order of
/// eviction, and the allocator's share. Measured at about 200 bytes for a batch of one line.
const CHUNK_OVERHEAD: usize = 224;
/// What a line costs besides its text.
const LINE_OVERHEAD: usize = size_of::<crate::ids::LineMeta>();
/// What a record that is no line is taken to cost: pod and rollout records have some strings.
const RECORD_BYTES: usize = 1024;

/// An entry with its place.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) first: u64,
    pub(super) lines_before: u64,
    pub(super) appended: i64,
    /// Nothing older comes behind it, as far as was known when it was appended.
    pub(super) low: i64,
    pub(super) bytes: usize,
    /// Of its lines.
    pub(super) times: Times,
    /// Bytes that the attempt had written with its lines.
    pub(super) said: u64,
    pub(super) entry: Entry,
}

// === impl Chunk ===

impl Chunk {
    pub(super) fn new(first: u64, appended: i64, lines_before: u64, entry: Entry) -> Self {
        let (bytes, times) = match &entry {
            Entry::Lines(lines) => {
                let bytes = CHUNK_OVERHEAD + lines.text.len() + lines.lines.len() * LINE_OVERHEAD;
                (bytes, Times::of(lines))
            }
            Entry::Result(result) => (RECORD_BYTES + result.text_bytes(), Times::NONE),
            _ => (RECORD_BYTES, Times::NONE),
        };
        let low = appended;
        Chunk { first, lines_before, appended, low, bytes, times, said: 0, entry }
    }

    /// It comes to the shelf.
    pub(super) fn heard(&mut self, words: &mut Words) {
        match &self.entry {
            Entry::Lines(lines) => self.said = words.said(self.first, lines),
            Entry::Source(change) => {
                words.changed(self.first, change, change.state == SourceState::Ended);
            }
            Entry::Rollout(status) => words.rolls(status),
            _ => {}
        }
    }

    /// The shelf forgets it.
    pub(super) fn unheard(&self, words: &mut Words) {
        match &self.entry {
            Entry::Lines(lines) => words.forget(self.first, self.said, lines),
            Entry::Source(change) => words.forget_change(self.first, change),
            _ => {}
        }
    }

    pub(super) fn last(&self) -> u64 {
        self.first + self.entry.count() - 1
    }

    /// How many lines it has; 0 if it is another record.
    pub(super) fn lines(&self) -> u64 {
        if matches!(self.entry, Entry::Lines(_)) { self.entry.count() } else { 0 }
    }
}

// === impl Times ===

impl Times {
    pub(super) fn of(lines: &Lines) -> Times {
        lines
            .lines
            .iter()
            .fold(Times::NONE, |all, line| all.with(Times { oldest: line.time, newest: line.time }))
    }
}
