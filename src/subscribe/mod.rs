//! A selection and a cursor over the journal: what one reader wants, and how far it is.
//!
//! What holds here: reading never waits and never holds anything up; what was forgotten before it
//! was read becomes a gap with an exact or absent count; a filter drops records, never reorders
//! them.
//!
//! It may use `journal`, `ids` and `time`; it knows nothing of formats and HTTP.

mod cursor;
mod selection;

pub use cursor::{Batch, Cursor, Item};
pub use selection::{Logs, Selection, UnknownLogs};
