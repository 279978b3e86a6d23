//! rollcast watches the workloads of a Kubernetes cluster and streams their logs and the progress
//! of their rollouts to many clients.
//!
//! # The map of the house
//!
//! Data walks one way. A room may use the rooms before it and the hallway, never a room after it;
//! `tests/tidy.rs` looks at every `crate::ROOM` token and fails on a forbidden arrow.
//!
//! ```text
//! cluster -> watch -> rollout --+
//!              \--> tail -------+--> journal -> subscribe -> wire -> view -> http (+ page)
//!
//! hallway: ids, time, telemetry, shutdown          outside: app, client, admin, config, sim, main
//! ```
//!
//! - [`cluster`] is the only room that speaks kube.
//! - [`watch`] turns watches into ordered changes over a compact index.
//! - [`rollout`] is pure: changes in, rollout states and pod phases out.
//! - [`tail`] follows one log per container attempt, whatever the number of viewers.
//! - [`journal`] keeps everything under one gapless sequence, and says what it forgot.
//! - [`subscribe`] is a selection and a cursor over the journal.
//! - [`wire`] is the public vocabulary of events and its encodings.
//! - [`view`] encodes once for all viewers of the same selection.
//! - [`http`] has routes, errors, authentication, authorisation and the page.
//! - [`client`] is the other side: it follows rollouts by the public wire alone.
//!
//! Start reading at [`app`], which turns a [`config::Config`] into running rooms.

pub mod admin;
pub mod app;
pub mod client;
pub mod cluster;
pub mod config;
pub mod http;
pub mod ids;
pub mod journal;
pub mod rollout;
pub mod shutdown;
pub mod sim;
pub mod subscribe;
pub mod tail;
pub mod telemetry;
pub mod time;
pub mod view;
pub mod watch;
pub mod wire;
