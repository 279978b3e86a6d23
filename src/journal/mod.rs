//! The journal: everything that happened, under one gapless sequence.
//!
//! What holds here:
//! - Sequence numbers begin at 1, have no holes and are never issued twice within an [`Epoch`].
//! - Records are stored per workload (on a [`Shelf`]), so that a reader of one workload never scans
//!   another's; within a shelf they lie in sequence order.
//! - Writers never wait for readers. A reader holds a cursor and pulls; what was forgotten before it
//!   came is counted, and the count is exact or absent.
//! - Memory is bounded by bytes per workload, bytes in total, and age.
//!
//! It may use `ids`, `time` and `telemetry`; it knows neither who writes nor who reads.

mod epoch;
mod forgotten;
mod memory;
mod shelf;

pub use epoch::Epoch;
pub use memory::{Journal, Limits};
pub use shelf::{At, Missed, Read, Shelf, Slice};
