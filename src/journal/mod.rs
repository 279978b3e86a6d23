//! The journal: everything that happened, under one gapless sequence.
//!
//! What holds here:
//! - Sequence numbers begin at 1 and are never issued twice within an [`Epoch`]. They have no holes,
//!   but for one after a process that ended without closing its store.
//! - Records are stored per workload (on a [`Shelf`]), so that a reader of one workload never scans
//!   another's; within a shelf they lie in sequence order.
//! - Writers never wait for readers. A reader holds a cursor and pulls; what was forgotten before it
//!   came is counted, and the count is exact or absent.
//! - Memory is bounded by bytes per workload, bytes in total, and age.
//! - The last words of each attempt of the last rollouts are kept beside that, bounded too: a
//!   chatty sibling does not push out what a crashed pod said.
//! - Memory is the journal; a [`Store`] trails it and never holds it up. A journal that is restored
//!   from one has the same epoch, and where records are missing its readers are told so.
//!
//! It may use `ids`, `time` and `telemetry`; it knows neither who writes nor who reads.

mod chunk;
mod code;
#[cfg(test)]
mod conformance;
mod ends;
mod epoch;
mod file;
mod forgotten;
mod ledger;
mod memory;
mod missed;
mod restore;
mod shelf;
mod shelves;
mod store;
#[cfg(test)]
mod testing;
mod words;

pub use ends::{End, MOST_ENDS};
pub use epoch::Epoch;
pub use file::{FileOptions, FileStore, OpenError, open as open_files};
pub use forgotten::Times;
pub use ledger::Ledger;
pub use memory::{Journal, Limits};
pub use missed::{At, Loss, Missed, Read, Slice};
pub use shelf::Shelf;
pub use store::{Attempt, Fact, Holds, LastLine, Opened, Record, Restart, Standing, Status, Store};
pub use words::EndedAttempt;
