//! The program as it is built, against a real Kubernetes cluster: real kubelets write the logs, real
//! controllers roll out, and a client reads over a socket.
//!
//! `tests/e2e/run` brings a cluster up, runs this and takes it down again. Without `KUBECONFIG` every
//! test says that it is skipped and passes, unless `ROLLCAST_E2E=required`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::print_stderr, reason = "whoever runs it is told what is skipped and measured")]
#![allow(clippy::disallowed_methods, reason = "tasks end with their test's runtime")]

#[path = "../it/client.rs"]
#[allow(dead_code, reason = "shared with the integration tests, which use all of it")]
mod client;
#[path = "../oracle/mod.rs"]
mod oracle;
#[path = "../proxy/mod.rs"]
mod weather;

mod cluster;
mod disk;
mod evidence;
mod page;
mod reader;
mod service;
mod tap;
mod witness;
mod writers;

mod argo;
mod confined;
mod conformance;
mod errors;
mod faults;
mod helm;
mod kinds;
mod lines;
mod nodes;
mod outcomes;
mod recordings;
mod recoveries;
mod restarts;
mod rights;
mod rollout;
mod sharing;
