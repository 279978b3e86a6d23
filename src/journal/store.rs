//! What a store is to the journal.
//!
//! Memory is the journal; a store trails it. What holds for every store:
//! - [`Store::keep`] never waits: what a store cannot take at once it leaves out, and knows so.
//! - A sequence number that the store let the journal issue is never issued again, in whatever
//!   moment the process or the machine ends.
//! - What comes back is what was kept, or nothing: never another line. Each record tells how many
//!   lines its workload had before it, so what is left out is counted where both sides are there.
//!
//! The trait asks for nothing that a volume has and a message stream has not: a store on NATS
//! JetStream would publish a [`Record`] with its sequence number and, as `Nats-Msg-Id`, the key of
//! its first line, acknowledge out of line, fence other writers by the expected last sequence, and
//! read [`Opened::facts`] from an ordered consumer.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::epoch::Epoch;
use super::forgotten::Times;
use super::ledger::Ledger;
use crate::ids::{Entry, Source, WorkloadId};

/// Where records outlive the process.
pub trait Store: fmt::Debug + Send + Sync {
    /// Learns which journal it keeps, and what is known of what it kept before. Called once, before
    /// the first record.
    fn attach(&self, journal: Weak<dyn Holds>, ledger: Ledger);

    /// Takes a record to keep it. Called in sequence order, under the journal's lock: it must not wait
    /// for anything.
    fn keep(&self, record: Record);

    /// How it stands.
    fn status(&self) -> Status;

    /// Keeps what it took, and that nothing is missing. Waits for it at most so long, and tells
    /// whether it was done. Records that are appended later are not kept.
    fn close(&self, within: Duration) -> bool;
}

/// What a store may ask the journal, so that it forgets in step with it.
pub trait Holds: Send + Sync {
    /// Whether the record that begins with this sequence number is still wanted.
    fn holds(&self, workload: &WorkloadId, first: u64) -> bool;
}

/// A store that was opened, and what it holds.
pub struct Opened {
    /// The store; it takes records from now on.
    pub store: Arc<dyn Store>,
    /// Which journal it holds.
    pub epoch: Epoch,
    /// The next sequence number to issue. Everything below may have been issued before.
    pub next: u64,
    /// The process before closed it: everything below `next` is in it, or was left out knowingly.
    pub clean: bool,
    /// What it holds, in no order that matters; newer things roughly before older ones.
    pub facts: Box<dyn Iterator<Item = Fact> + Send>,
}

/// Something that a store holds.
#[derive(Clone, Debug)]
pub enum Fact {
    /// A record.
    Record(Record),
    /// How far a workload was.
    Workload(Standing),
    /// How far an attempt's log was.
    Attempt(Attempt),
    /// The process ended without closing the store.
    Restart(Restart),
}

/// One append.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its first sequence number.
    pub first: u64,
    /// Whose it is.
    pub workload: Arc<WorkloadId>,
    /// When it was appended, wall time.
    pub appended: i64,
    /// Lines that the workload had before it.
    pub lines_before: u64,
    /// What was appended.
    pub entry: Entry,
}

/// How far a workload was at some moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Which.
    pub workload: Arc<WorkloadId>,
    /// Its last sequence number.
    pub last: u64,
    /// Lines that it had up to there.
    pub lines: u64,
    /// Between which times they lie; `None` if there is no line.
    pub times: Option<Times>,
}

/// How far an attempt's log was at some moment.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Which.
    pub source: Arc<Source>,
    /// Its last line.
    pub line: Option<LastLine>,
    /// The sequence number of the last change of its state, 0 if there was none.
    pub changed: u64,
    /// It ended with that change.
    pub ended: bool,
}

/// The last line of an attempt that the journal had before it was restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastLine {
    /// Its sequence number.
    pub seq: u64,
    /// Its stamp.
    pub time: i64,
    /// How many earlier lines of the attempt carry the same stamp.
    pub ordinal: u32,
}

/// The process ended without closing the store: what was appended behind `after` is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restart {
    /// The last sequence number that the store has.
    pub after: u64,
    /// The last one that may have been issued.
    pub through: u64,
    /// Workloads with a log that was open, so that lines can be missing.
    pub workloads: Vec<Arc<WorkloadId>>,
}

/// How a store stands, for operators.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// Bytes that it holds.
    pub bytes: u64,
    /// Files, or whatever it keeps records in.
    pub segments: u64,
    /// Records that wait to be kept, and their bytes.
    pub lag_records: u64,
    /// See `lag_records`.
    pub lag_bytes: u64,
    /// Stretches of records that it left out since the start.
    pub holes: u64,
    /// Records in them.
    pub lost_records: u64,
    /// Failures since the start.
    pub errors: u64,
    /// Why it keeps nothing at present, if so.
    pub failing: Option<String>,
}

// === impl Restart ===

impl Restart {
    /// Whether a record with this sequence number may have been issued, and is lost.
    pub fn lost(&self, seq: u64) -> bool {
        self.after < seq && seq <= self.through
    }
}

// === impl Attempt ===

impl Attempt {
    /// Its last sequence number.
    pub(super) fn last(&self) -> u64 {
        self.changed.max(self.line.map_or(0, |line| line.seq))
    }

    /// It ended, and nothing came after.
    pub fn is_over(&self) -> bool {
        self.ended && self.line.is_none_or(|line| line.seq < self.changed)
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Opened { store, epoch, next, clean, .. } = self;
        let mut out = f.debug_struct("Opened");
        out.field("store", store).field("epoch", epoch).field("next", next).field("clean", clean);
        out.finish_non_exhaustive()
    }
}
