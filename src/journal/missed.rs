//! What readers are given: records, and where they are missing.

use crate::ids::Entry;

/// Part of one appended entry: all of it, or its later lines.
#[derive(Clone, Debug)]
pub struct Slice {
    /// Sequence number of the first record in the slice.
    pub first: u64,
    /// For lines: index of the first line that belongs to the slice.
    pub from: usize,
    /// Wall time: no line that was appended later is older, as far as was known. Reading the sources
    /// again from the older of this and a line's own time misses nothing behind it.
    pub low: i64,
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
    /// Why they are missing.
    pub why: Loss,
}

/// Why the journal has a record no more. A closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// It was forgotten to stay within the limits, or the store did not keep it. Lines are counted
    /// wherever both sides are there.
    Forgotten,
    /// It may have been lost with the process before, which ended without closing the store. Nobody
    /// knows how many lines that were.
    Restart,
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
