//! The edge: routes, errors, authentication, authorisation, the accept loop and the page.
//!
//! Invariants:
//! - No handler reads a line without an [`auth::Proof`]: a type that only a review can make.
//! - Every answer carries `x-request-id`; every error is a [`problem::Problem`], with a public
//!   message and a private cause.
//! - What is absent and what may not be read get the same answer.
//! - A connection costs bounded memory and bounded time before it has asked for something.
//!
//! May use every room before it and the hallway.

pub mod auth;
pub mod edge;
pub mod limits;
pub mod openapi;
pub mod page;

pub mod problem;
pub mod script;
pub mod serve;
pub mod stream;

mod accept;
mod logs;
mod open;
mod pin;
mod rollouts;
mod routes;
mod service;
mod streams;
mod target;
mod verdict;
mod workloads;

pub use pin::Reads;
pub use routes::routes;
pub use service::{Service, StreamOptions};

/// Decodes a query string into pairs; what is not valid UTF-8 is replaced, and refused later by
/// whoever reads the value.
fn query_pairs(query: Option<&str>) -> Vec<(String, String)> {
    form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect()
}
