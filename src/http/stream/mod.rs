//! `GET …/stream`: everything of one workload, as it happens.
//!
//! `query` reads what was asked for, `start` decides where the stream begins, `flow` is the
//! body: preamble, hello, the state as it stands, history, `live`, and then what comes.

mod again;
mod backlog;
mod demand;
mod flow;
mod pulse;
mod query;
mod results;
mod start;
mod uncovered;
mod waits;

pub(super) use backlog::backlog;
pub use flow::{Flow, Opening};
pub use query::{Query, Since, Until};
pub use start::{BACKLOG, Start, check_position};
pub use waits::{Asked, Waits};
