//! The public vocabulary: events, their encodings, and the event id.
//!
//! What holds here:
//! - One record has one meaning and three encodings: Server-Sent Events, NDJSON and text, which has dialects
//!   for systems that run jobs.
//! - `data` is one line of JSON that is safe in every sink: browser, terminal, SSE parser, CI log.
//!   Nothing that a pod prints can start a field, an event or a line of its own.
//! - Names and shapes are public: adding a field is free, renaming one is a new API version.
//!   `tests/wire` holds an example of every event in every format.
//!
//! Pure: bytes out of records; no clock, no I/O. It may use `ids`, `time`, `journal` (the epoch).

mod bye;
mod dialect;
mod encoder;
mod escape;
mod format;
mod id;
mod json;
mod pen;
pub mod reference;
mod result;
mod stamp;
mod text;

pub use bye::Bye;
pub use dialect::Dialect;
pub use encoder::{Coverage, Encoder, Hello, Position, Resumed, Rolling};
pub use escape::{push_indented, push_json_string, push_plain};
pub use format::{Format, UnknownFormat};
pub use id::{BadId, EventId, MAX_ID_BYTES};
pub use json::{WorkloadSummary, rollout_json, rollouts_json, span, to_json};
pub use pen::Pen;
pub use result::{result_json, result_text, running_text};
