//! The whole service against the simulated cluster, over pipes in memory and with paused time: what
//! a client is given is compared with what was written.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod client;
mod drain;
mod history;
mod hostile;
mod limits;
mod oracle;
mod program;
mod reopen;
mod requests;
mod resume;
mod rights;
mod sharing;
mod stalled;
mod start;
mod states;
mod subscriptions;
mod world;
