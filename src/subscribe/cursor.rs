//! How far one reader is.

use std::sync::Arc;

use super::Selection;
use crate::ids::{Entry, Gap, GapReason};
use crate::journal::{Missed, Shelf, Slice};

/// Reads one workload's shelf from a position on.
#[derive(Clone, Debug)]
pub struct Cursor {
    shelf: Arc<Shelf>,
    selection: Arc<Selection>,
    after: u64,
}

/// Part of what a cursor read.
#[derive(Clone, Debug)]
pub enum Item {
    /// A record, or the later lines of a batch.
    Record(Slice),
    /// Records were forgotten before this reader came to them.
    Forgotten(Missed),
}

/// What a cursor read in one step.
#[derive(Debug)]
pub struct Batch {
    /// What is wanted of it, in order.
    pub items: Vec<Item>,
    /// The position after it; equal to the position before if there was nothing to read.
    pub through: u64,
}

// === impl Cursor ===

impl Cursor {
    /// Reads `shelf` from behind sequence number `after` on.
    pub fn new(shelf: Arc<Shelf>, selection: Arc<Selection>, after: u64) -> Self {
        Cursor { shelf, selection, after }
    }

    /// The last sequence number that was read.
    pub fn after(&self) -> u64 {
        self.after
    }

    /// Reads on, about `max_bytes` at most, and moves. Never waits.
    pub fn read(&mut self, max_bytes: usize) -> Batch {
        let read = self.shelf.read(self.after, max_bytes);
        let mut items = Vec::with_capacity(read.slices.len() + 1);
        // States that were forgotten are told anew when a stream begins; only lines are missed.
        if let Some(missed) = read.missed.filter(|missed| missed.lines != Some(0)) {
            items.push(Item::Forgotten(missed));
        }
        let wanted = read.slices.into_iter().filter(|slice| match &slice.entry {
            Entry::Lines(lines) => self.selection.wants_lines(lines),
            entry => self.selection.wants_entry(entry),
        });
        items.extend(wanted.map(Item::Record));
        self.after = read.next;
        Batch { items, through: read.next }
    }
}

impl Item {
    /// The gap that a forgotten stretch stands for, seen by a reader at wall time `now`: from the
    /// oldest forgotten line to the first one that is kept, or to the newest forgotten one, for lines
    /// of several sources do not lie in the order of their stamps.
    pub fn gap(reason: GapReason, missed: &Missed, now: i64) -> Gap {
        let (from, to) = (missed.oldest, missed.next.max(missed.newest));
        Gap { time: now, reason, source: None, from, to, count: missed.lines }
    }
}
