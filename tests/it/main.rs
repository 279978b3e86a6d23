//! The whole service against the simulated cluster, over pipes in memory and with paused time: what
//! a client is given is compared with what was written.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../oracle/mod.rs"]
mod oracle;
#[path = "../proxy/mod.rs"]
mod weather;

mod client;
mod corpus;
mod doctored;
mod drain;
mod faults;
mod history;
mod hostile;
mod limits;
mod program;
mod proxy;
mod reopen;
mod requests;
mod resume;
mod rig;
mod rights;
mod seeds;
mod sharing;
mod stalled;
mod start;
mod states;
mod subscriptions;
mod world;
