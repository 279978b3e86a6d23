//! The records of one workload.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::forgotten::{Forgotten, Lost, Older, Times};
use crate::ids::{Entry, LineMeta, Lines, WorkloadId};

/// What a chunk costs besides its text: the entry, its place on the shelf and in the order of
/// eviction, and the allocator's share. Measured at about 200 bytes for a batch of one line.
const CHUNK_OVERHEAD: usize = 224;
/// What a line costs besides its text.
const LINE_OVERHEAD: usize = size_of::<crate::ids::LineMeta>();
/// What a record that is no line is taken to cost: pod and rollout records have some strings.
const RECORD_BYTES: usize = 1024;

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
}

#[derive(Debug)]
struct Chunk {
    first: u64,
    lines_before: u64,
    appended: i64,
    bytes: usize,
    /// Of its lines.
    times: Times,
    entry: Entry,
}

/// Part of one appended entry: all of it, or its later lines.
#[derive(Clone, Debug)]
pub struct Slice {
    /// Sequence number of the first record in the slice.
    pub first: u64,
    /// For lines: index of the first line that belongs to the slice.
    pub from: usize,
    /// The entry as it was appended.
    pub entry: Entry,
}

/// What [`Shelf::read`] found.
#[derive(Debug)]
pub struct Read {
    /// Records in sequence order.
    pub slices: Vec<Slice>,
    /// The position after them: read on from here.
    pub next: u64,
    /// Records between the position asked for and the first slice were forgotten.
    pub missed: Option<Missed>,
}

/// Records that were forgotten before they were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed {
    /// Last forgotten sequence number.
    pub through: u64,
    /// Lines among them, before filters, if known.
    pub lines: Option<u64>,
    /// No line among them has an older stamp (wall time), if known; `None` too if there is no line.
    pub oldest: Option<i64>,
    /// No line among them has a newer stamp, if known; `None` too if there is no line.
    pub newest: Option<i64>,
    /// The stamp of the first line that is kept behind them, if there is one.
    pub next: Option<i64>,
}

/// Where reading begins that was asked for by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// The position before the first kept record whose time is the time asked for or later.
    pub after: u64,
    /// Lines of that time or later that were forgotten, or may have been. Reading on from `after`
    /// does not tell of them again.
    pub missed: Option<Missed>,
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
    pub(super) fn new(workload: Arc<WorkloadId>, past: Past) -> Self {
        let Past { floor, lines, older } = past;
        let forgotten = Forgotten::after(older);
        let state = Mutex::new(State { floor, lines, forgotten, ..State::default() });
        Shelf { workload, state, head: watch::Sender::new(floor) }
    }

    /// What is left to know of an empty shelf when it is removed; `None` while it is not empty.
    pub(super) fn past(&self) -> Option<Past> {
        let state = self.state.lock();
        state.chunks.is_empty().then(|| Past {
            floor: state.floor,
            lines: state.lines,
            older: state.forgotten.summary(),
        })
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
        let missed = (after < state.floor)
            .then(|| state.missed(state.forgotten.behind(after, state.lines_forgotten())));
        let mut next = after.max(state.floor);
        let begin = state.chunks.partition_point(|chunk| chunk.last() <= next);
        let mut slices = Vec::new();
        let mut bytes = 0;
        for chunk in state.chunks.range(begin..) {
            if bytes >= max_bytes {
                break;
            }
            let from = (next + 1).saturating_sub(chunk.first) as usize;
            slices.push(Slice {
                first: chunk.first + from as u64,
                from,
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
        let lost = state.forgotten.since(time, state.lines_forgotten());
        let missed = lost.map(|lost| state.missed(lost));
        let after = state.chunks.iter().find_map(|chunk| {
            let index = match &chunk.entry {
                Entry::Lines(_) if chunk.times.newest < time => None,
                Entry::Lines(lines) => lines.lines.iter().position(|line| line.time >= time),
                entry => (entry.time() >= time).then_some(0),
            };
            index.map(|index| chunk.first + index as u64 - 1)
        });
        At { after: after.unwrap_or_else(|| *self.head.borrow()), missed }
    }

    /// Puts an entry on the shelf. Only the journal calls this, in sequence order.
    pub(super) fn push(&self, first: u64, appended: i64, entry: Entry) -> usize {
        let (bytes, lines, times) = match &entry {
            Entry::Lines(lines) => {
                let count = lines.lines.len();
                let bytes = CHUNK_OVERHEAD + lines.text.len() + count * LINE_OVERHEAD;
                (bytes, count as u64, Times::of(lines))
            }
            _ => (RECORD_BYTES, 0, Times::NONE),
        };
        let mut state = self.state.lock();
        let lines_before = state.lines;
        let chunk = Chunk { first, lines_before, appended, bytes, times, entry };
        let last = chunk.last();
        state.lines += lines;
        state.bytes += bytes;
        state.chunks.push_back(chunk);
        drop(state);
        self.head.send_replace(last);
        bytes
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

    fn missed(&self, lost: Lost) -> Missed {
        let lines = self.chunks.iter().find_map(|chunk| match &chunk.entry {
            Entry::Lines(lines) => lines.lines.first(),
            _ => None,
        });
        Missed {
            through: self.floor,
            lines: lost.lines,
            oldest: lost.times.map(|times| times.oldest),
            newest: lost.times.map(|times| times.newest),
            next: lines.map(|line| line.time),
        }
    }

    fn forget_oldest(&mut self, freed: &mut Freed) -> bool {
        let Some(chunk) = self.chunks.pop_front() else { return false };
        let lines = if matches!(chunk.entry, Entry::Lines(_)) { chunk.entry.count() } else { 0 };
        self.forgotten.note(chunk.first, chunk.lines_before, lines, chunk.times);
        self.floor = chunk.last();
        self.bytes -= chunk.bytes;
        freed.bytes += chunk.bytes;
        freed.records += chunk.entry.count();
        freed.entries += 1;
        true
    }
}

// === impl Chunk ===

impl Chunk {
    fn last(&self) -> u64 {
        self.first + self.entry.count() - 1
    }
}

// === impl Times ===

impl Times {
    fn of(lines: &Lines) -> Times {
        lines
            .lines
            .iter()
            .fold(Times::NONE, |all, line| all.with(Times { oldest: line.time, newest: line.time }))
    }
}
