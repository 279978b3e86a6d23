//! How far one reader is.

use std::sync::Arc;

use super::Selection;
use super::shelves::{Found, Shelves};
use crate::ids::{Entry, Gap, GapReason, WorkloadId};
use crate::journal::{Journal, Loss, Missed, Slice};
use crate::watch::Index;

/// Reads the shelves of a selection from a position on.
#[derive(Clone, Debug)]
pub struct Cursor {
    shelves: Shelves,
    selection: Arc<Selection>,
    after: u64,
}

/// Part of what a cursor read.
#[derive(Clone, Debug)]
pub struct Item {
    /// Whose it is.
    pub workload: Arc<WorkloadId>,
    /// What it is.
    pub what: What,
}

/// A record, or the lack of some.
#[derive(Clone, Debug)]
pub enum What {
    /// A record, or the later lines of a batch. Of lines, some may not be wanted.
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
    /// Reads from behind sequence number `after` on.
    pub fn new(journal: &Journal, index: &Index, selection: Arc<Selection>, after: u64) -> Self {
        let shelves = Shelves::new(journal, index, &selection.scope);
        Cursor { shelves, selection, after }
    }

    /// The last sequence number that was read.
    pub fn after(&self) -> u64 {
        self.after
    }

    /// Goes to another position.
    pub fn seek(&mut self, after: u64) {
        self.after = after;
    }

    /// Where it reads.
    pub fn shelves(&self) -> &Shelves {
        &self.shelves
    }

    /// What it reads for.
    pub fn selection(&self) -> &Selection {
        &self.selection
    }

    /// Reads on, about `max_bytes` at most, and moves. Never waits.
    pub fn read(&mut self, max_bytes: usize) -> Batch {
        let finding = self.shelves.read(self.after, max_bytes);
        self.after = finding.next;
        let items = finding.found.into_iter().filter_map(|(workload, found)| {
            let what = match found {
                // States that were forgotten are told anew when a stream begins; only lines are
                // missed.
                Found::Missed(missed) if missed.lines == Some(0) => return None,
                Found::Missed(missed) => What::Forgotten(missed),
                Found::Slice(slice) if self.wants(&slice.entry) => What::Record(slice),
                Found::Slice(_) => return None,
            };
            Some(Item { workload, what })
        });
        Batch { items: items.collect(), through: finding.next }
    }

    fn wants(&self, entry: &Entry) -> bool {
        match entry {
            Entry::Lines(lines) => self.selection.wants_lines(lines),
            entry => self.selection.wants_entry(entry),
        }
    }
}

impl Item {
    /// The gap that a forgotten stretch stands for, seen by a reader at wall time `now`: from the
    /// oldest forgotten line to the first one that is kept, or to the newest forgotten one, for lines
    /// of several sources do not lie in the order of their stamps.
    pub fn gap(reason: GapReason, missed: &Missed, now: i64) -> Gap {
        let (from, to) = (missed.oldest, missed.next.max(missed.newest));
        let reason = match missed.why {
            Loss::Forgotten => reason,
            Loss::Restart => GapReason::ServerRestart,
        };
        Gap { time: now, reason, source: None, from, to, count: missed.lines }
    }
}
