//! What handlers share: handles on the rooms.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRef;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::cluster::Cluster;
use crate::journal::Journal;
use crate::rollout::Model;
use crate::shutdown::Shutdown;
use crate::tail::Tail;
use crate::telemetry::Metrics;
use crate::view::Views;
use crate::watch::Index;

use super::auth::Gate;
use super::limits::Limits;
use super::pin::Reads;
use super::stream::Waits;

/// Handles on the rooms. Cheap to clone; every request has one.
#[derive(Clone)]
pub struct Service {
    /// Which workloads and pods there are.
    pub index: Index,
    /// The state of their rollouts. Locked for moments, never across an await.
    pub model: Arc<Mutex<Model>>,
    /// What happened.
    pub journal: Journal,
    /// Who follows the logs.
    pub tail: Tail,
    /// What viewers share.
    pub views: Views,
    /// Who may read what.
    pub gate: Gate,
    /// How many streams there may be.
    pub limits: Limits,
    /// When streams end.
    pub shutdown: Shutdown,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// How streams behave.
    pub options: StreamOptions,
    /// The cluster, for what no watch can answer.
    pub cluster: Cluster,
    /// What was read of it lately.
    pub reads: Reads,
    /// Streams that wait for several results, for who comes back.
    pub waits: Waits,
    /// Grows with each result of a rollout.
    pub news: Arc<watch::Sender<u64>>,
    /// Where jitter comes from.
    pub random: Arc<Mutex<fastrand::Rng>>,
}

/// How streams behave.
#[derive(Clone, Copy, Debug)]
pub struct StreamOptions {
    /// Longest silence.
    pub heartbeat: Duration,
    /// Mean lifetime; each stream draws its own within a tenth. `None` is for ever.
    pub lifetime: Option<Duration>,
    /// Streams of one user at a time; `None` is no limit.
    pub per_user: Option<usize>,
}

impl FromRef<Service> for Gate {
    fn from_ref(service: &Service) -> Gate {
        service.gate.clone()
    }
}
