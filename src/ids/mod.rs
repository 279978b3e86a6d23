//! Names and records that every room shares.
//!
//! Invariants: plain data only; nothing here does I/O, waits, or knows another room. A name is
//! parsed once, at the border, and is valid ever after.

mod blocker;
mod outcome;
mod record;
mod source;
mod workload;

pub use blocker::{Blocker, Reason};
pub use outcome::{Blocked, Outcome, RolloutResult};
pub use record::{
    ContainerKind, ContainerState, ContainerStatus, Entry, Gap, GapReason, ImageChange, KubeEvent,
    LineMeta, Lines, PodPhase, PodStatus, RolloutPhase, RolloutStatus, Side, SourceChange,
    SourceState,
};
pub use source::{AttemptKey, Source};
pub use workload::{Kind, UnknownKind, WorkloadId, is_label};
