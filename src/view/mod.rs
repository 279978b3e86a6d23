//! Encodes once for all viewers of the same selection in the same format.
//!
//! What holds here:
//! - A [`View`] holds the newest encoded pieces of one selection. A viewer is a position in the
//!   journal; it is handed shared slices of those pieces and owns no buffer and no queue.
//! - Whoever is behind the kept pieces (late joiners, resumers, slow viewers) reads the same bytes,
//!   encoded anew from the journal.
//! - The memory of all views together is bounded; the journal is the truth, a piece is a copy.
//!
//! It may use `wire`, `subscribe`, `journal` and the hallway; it knows nothing of HTTP.

mod piece;
mod shared;
mod viewer;

pub use shared::{Key, View, Views};
pub use viewer::{Begin, Next, Viewer};
