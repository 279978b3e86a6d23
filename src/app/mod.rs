//! Turns a configuration into running rooms, in order, and takes them down in reverse.
//!
//! Only this room and what it hands a tracker to spawns tasks. Every task is kept: a panic is
//! counted and the task started again.

mod demo;
mod director;
mod files;
mod follow;
mod history;
mod memory;
mod recorder;
mod recording;
mod results;
mod rooms;
mod serve;
mod wishes;

pub use demo::demo;
pub use follow::{Direct, Followed, follow, listen};
pub use history::History;
pub use memory::{Budget, Used};
pub use recording::{BadRecording, Head, Play, Recorded, Told, Wish, gather, record, replay};
pub use rooms::{Plan, Rooms};
pub use serve::serve;

use axum::Router;

use crate::client::ReachError;
use crate::cluster;
use crate::http::auth::NoRandomness;
use crate::http::edge::{Doors, Edge};
use crate::http::serve::ListenError;
use crate::http::{page, routes, script};
use crate::journal::OpenError;

/// What keeps the program from running.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// No cluster can be spoken to.
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Our own account may not ask who somebody is and what they may do.
    #[error(
        "{0}; --auth token needs it: bind this account to the ClusterRole system:auth-delegator \
         (the chart's rbac.authDelegator does)"
    )]
    Reviews(cluster::Error),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// A recording cannot be written.
    #[error("cannot write the recording: {0}")]
    Recording(std::io::Error),
    /// Tokens cannot be hashed.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// There is no way to a server.
    #[error(transparent)]
    Reach(#[from] ReachError),
    /// Signals cannot be waited for.
    #[error("cannot wait for signals: {0}")]
    Signals(#[from] std::io::Error),
}

/// All that the public listener answers.
pub(crate) fn router(rooms: &Rooms, doors: Doors, seed: u64) -> Router {
    let edge = Edge::new(rooms.service.metrics.clone(), doors, seed);
    edge.around(routes(rooms.service.clone()).merge(page::routes()).merge(script::routes()))
}
