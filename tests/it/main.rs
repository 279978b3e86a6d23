//! The whole service against the simulated cluster, over pipes in memory and with paused time: what
//! a client is given is compared with what was written.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../oracle/mod.rs"]
mod oracle;
#[path = "../proxy/mod.rs"]
mod weather;

mod argo;
mod attempts;
mod budget;
mod bytes;
mod client;
mod corpus;
mod doctored;
mod drain;
mod evidence;
mod faults;
mod follow;
mod follow_cli;
mod follow_odd;
mod history;
mod hostile;
mod left;
mod limits;
mod nodes;
mod openapi;
mod pins;
mod program;
mod protocol;
mod proxy;
mod recorded;
mod recorder;
mod reopen;
mod requests;
mod restart;
mod results;
mod resume;
mod rig;
mod rights;
mod seeds;
mod several;
mod sharing;
mod stalled;
mod start;
mod states;
mod stored;
mod subscriptions;
mod text;
mod world;
