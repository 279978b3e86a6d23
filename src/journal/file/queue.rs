//! What waits to be written.
//!
//! Bounded by bytes; what does not fit is left out, but its counts go on. Whoever appends takes a
//! short lock and never waits.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::ids::{Entry, LineMeta};
use crate::journal::ledger::Ledger;
use crate::journal::store::{Fact, Record};

/// Bytes that wait at most. At 20 MB/s a disk may stand still for almost half a second, and most of
/// it is shared with the journal anyway.
pub(super) const MAX_BYTES: usize = 8 << 20;
/// What a record costs besides its lines.
const RECORD_BYTES: usize = 512;

/// Records and holes between the journal and the disk.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// There is something again.
    filled: Condvar,
    ordered: Condvar,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Item>,
    bytes: usize,
    records: u64,
    /// Records and bytes that were taken out last and may not be written yet.
    taken: (u64, u64),
    /// It was full: nothing is taken until half of it is free, so that there is one hole instead of
    /// many.
    full: bool,
    order: Order,
    /// The last sequence number that came by.
    last: u64,
}

/// What the writer is to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Order {
    /// Write what comes.
    #[default]
    Write,
    /// Write what is there, close, and end.
    Close,
    /// End at once.
    Abandon,
    /// It has ended.
    Ended {
        /// Everything was written, and said to be.
        clean: bool,
    },
}

#[derive(Debug)]
pub(super) enum Item {
    Record(Record),
    Lost(Lost),
}

/// Records that were left out.
#[derive(Debug, Default)]
pub(super) struct Lost {
    pub(super) records: u64,
    /// Where they leave their workloads and attempts.
    pub(super) ledger: Ledger,
}

// === impl Queue ===

impl Queue {
    /// Takes a record, or leaves it out. Tells whether a hole began.
    pub(super) fn push(&self, record: Record) -> bool {
        let cost = cost(&record);
        let mut state = self.state.lock();
        state.last = record.first + record.entry.count() - 1;
        if state.order != Order::Write {
            return false;
        }
        state.full = match state.full {
            true => state.bytes > MAX_BYTES / 2,
            // One record that is larger than everything is taken when nothing else waits.
            false => state.bytes > 0 && state.bytes + cost > MAX_BYTES,
        };
        let was_empty = state.items.is_empty();
        let mut begins = false;
        if state.full {
            if !matches!(state.items.back(), Some(Item::Lost(_))) {
                begins = true;
                state.items.push_back(Item::Lost(Lost::default()));
            }
            if let Some(Item::Lost(lost)) = state.items.back_mut() {
                lost.add(&record);
            }
        } else {
            state.bytes += cost;
            state.records += 1;
            state.items.push_back(Item::Record(record));
        }
        drop(state);
        // Whoever appends wakes the writer once, not for each record.
        if was_empty {
            self.filled.notify_one();
        }
        begins
    }

    /// Takes out what waits, about `max_bytes` at most, or nothing if nothing comes within `wait`.
    pub(super) fn take(&self, max_bytes: usize, wait: Duration) -> (Order, Vec<Item>) {
        let mut state = self.state.lock();
        if state.items.is_empty() && state.order == Order::Write {
            // Woken too early is as good as nothing there: the caller comes again.
            self.filled.wait_for(&mut state, wait);
        }
        let mut items = Vec::new();
        let (mut bytes, before) = (0, state.records);
        while bytes < max_bytes
            && let Some(item) = state.items.pop_front()
        {
            if let Item::Record(record) = &item {
                bytes += cost(record);
                state.records -= 1;
            }
            items.push(item);
        }
        state.bytes -= bytes;
        state.taken.0 += before - state.records;
        state.taken.1 += bytes as u64;
        (state.order, items)
    }

    /// What was taken out is written.
    pub(super) fn written(&self) {
        self.state.lock().taken = (0, 0);
    }

    /// Whether nothing waits, no hole either.
    pub(super) fn is_empty(&self) -> bool {
        self.state.lock().items.is_empty()
    }

    /// Lets time pass; ends early when the order changes.
    pub(super) fn pause(&self, wait: Duration) -> Order {
        let mut state = self.state.lock();
        if state.order == Order::Write {
            self.ordered.wait_while_for(&mut state, |state| state.order == Order::Write, wait);
        }
        state.order
    }

    /// Records and bytes that wait, or are being written.
    pub(super) fn waiting(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.records + state.taken.0, state.bytes as u64 + state.taken.1)
    }

    /// The last sequence number that came by, written or not.
    pub(super) fn last(&self) -> u64 {
        self.state.lock().last
    }

    /// Changes the order; one that has ended stays so.
    pub(super) fn order(&self, order: Order) {
        let mut state = self.state.lock();
        if !matches!(state.order, Order::Ended { .. }) {
            state.order = order;
        }
        drop(state);
        self.filled.notify_all();
        self.ordered.notify_all();
    }

    /// Waits until the writer has ended, and tells whether everything was written.
    pub(super) fn ended(&self, within: Duration) -> bool {
        let mut state = self.state.lock();
        let open = |state: &mut State| !matches!(state.order, Order::Ended { .. });
        self.ordered.wait_while_for(&mut state, open, within);
        state.order == Order::Ended { clean: true }
    }
}

// === impl Lost ===

impl Lost {
    /// One record.
    pub(super) fn of(record: &Record) -> Self {
        let mut lost = Lost::default();
        lost.add(record);
        lost
    }

    fn add(&mut self, record: &Record) {
        self.records += record.entry.count();
        self.ledger.take(&Fact::Record(record.clone()));
    }
}

fn cost(record: &Record) -> usize {
    let lines = match &record.entry {
        Entry::Lines(lines) => lines.text.len() + lines.lines.len() * size_of::<LineMeta>(),
        _ => 0,
    };
    RECORD_BYTES + lines
}
