//! The only room that speaks kube: connections, the slim types of watched objects, log requests,
//! token and access reviews.
//!
//! # Invariants
//!
//! - Nothing here decides anything: an answer of the API server is handed on as it is, or becomes an
//!   error that names what was asked of whom. Retrying is the caller's business; kube's own silent
//!   retry layer is not used, since it can hide a failing server for minutes.
//! - No whole object is ever held: the slim types skip what nobody reads while it is parsed.
//! - A list or a read never carries `resourceVersion=0`; what is read is the newest state.
//! - A token is passed to the API server and is never logged, never part of an error.
//!
//! May touch: `ids`, `time`, `telemetry`. Knows no other room.

mod client;
mod connect;
mod error;
mod guard;
mod known;
mod log;
mod review;
pub mod types;
mod watch;

pub use client::{Cluster, Object, Version};
pub use connect::ClusterOptions;
pub use error::Error;
pub(crate) use guard::Answers;
pub(crate) use known::Presence;
pub use log::{LogBody, LogError, LogRequest};
pub use review::{Access, Identity};
pub use types::Pod;
pub(crate) use watch::{Failure, Step, Watched};

#[cfg(test)]
mod tests;
