//! A selection and a cursor over the journal: what one reader wants, and how far it is.
//!
//! What holds here: reading never waits and never holds anything up; what was forgotten before it
//! was read becomes a gap with an exact or absent count; several workloads are merged by sequence,
//! so that every reader sees the one order of the journal; a filter drops records, never reorders
//! them.
//!
//! It may use `watch` (which workloads there are), `journal`, `ids` and `time`; it knows nothing of
//! formats and HTTP.

mod cursor;
mod filter;
mod level;
mod scope;
mod selection;
mod selector;
mod shelves;

pub use cursor::{Batch, Cursor, Item, What};
pub use filter::{BadPattern, Filter};
pub use level::{Level, UnknownLevel, level};
pub use scope::{MAX_WORKLOADS, Resolved, Scope, Target};
pub use selection::{Attempts, Events, Logs, Newest, OnePod, Selection, UnknownWord};
pub use selector::{BadSelector, Selector};
pub use shelves::Shelves;
