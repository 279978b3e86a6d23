//! `rollcast record`, and what it recorded played again: for reports of bugs, and for tests of the model
//! on what real clusters did.
//!
//! A recording is a file with one JSON object a line: a [`Head`], what each watch brought with the time of
//! its receipt, and an end.
//!
//! What holds here: while a cluster is recorded and when the file is played, the same code runs, and it
//! reads no clock but the times of receipt. What a recording holds of an object is what the service reads
//! of it, and of a pod template less than that (`watch`).

mod form;
mod play;
mod record;

pub use form::{BadRecording, Head, replay};
pub use play::{Play, Told};
pub use record::{Recorded, Wish, gather, record};
