//! Turns the watches of a cluster into ordered changes over a compact index.
//!
//! # Invariants
//!
//! - One task applies everything: the changes that come out are in the order in which the index
//!   took them, and the index is never behind a change that somebody has received.
//! - Watches have no order among each other (`truths.md` 18). A pod may come before its ReplicaSet:
//!   it is held until its owner is known, and is told of only under its right workload.
//! - What a relist no longer shows is gone: kube does not tell, so the sets are compared here.
//! - A pod that is gone stays known for a grace period, since its last lines arrive later.
//! - Nothing of a cluster's behaviour ends it: a refused or failing watch is a [`Problem`], kept,
//!   told once and tried again with back-off. A refusal is believed when it is repeated.
//! - No whole object is kept, no lock is held across an await.
//!
//! May touch: `cluster`, `ids`, `time`, `telemetry`.

mod argo;
mod condition;
mod events;
mod index;
mod intern;
mod labels;
mod owner;
mod patience;
mod pod;
mod problem;
mod read;
mod recorded;
mod reduce;
mod run;
mod sense;
mod tables;
#[cfg(test)]
pub(crate) mod testing;
mod workload;

use std::sync::Arc;
use std::time::Duration;

pub use condition::{Condition, Truth, Why};
pub use index::Index;
pub use labels::Labels;
pub use patience::Patience;
pub use pod::{ApiPhase, ContainerEntry, ContainerRun, Ended, PodEntry, containers_of, identity};
pub use problem::{Problem, Resource};
pub use read::read;
pub use recorded::{BadLine, Gathered, Intake, Received, Templates, receive};
pub use run::run;
pub use workload::{
    ArgoDetail, ArgoPhase, ArgoStep, Child, DaemonSetDetail, DeploymentDetail, Detail, JobDetail,
    JobEntry, Pause, ReplicaSetEntry, RevisionEntry, StatefulSetDetail, Strategy,
    TemplateContainer, TemplateEntry, WorkloadEntry,
};

use tokio::time::Instant;

use crate::ids::{KubeEvent, WorkloadId};
use crate::time;

/// Something that changed in the cluster. The first ones after the start are a snapshot: all
/// workloads, all pods, the events of the last hour, then [`Change::Synced`].
#[derive(Clone, Debug)]
pub enum Change {
    /// A pod is new or is different.
    PodApplied(Arc<PodEntry>),
    /// A pod exists no more; the entry is its last known state.
    PodGone(Arc<PodEntry>),
    /// A workload, or something it controls, is new or is different.
    Workload(Arc<WorkloadEntry>),
    /// A workload exists no more.
    WorkloadGone(Arc<WorkloadEntry>),
    /// A Kubernetes event about a workload, what it controls, or one of its pods.
    Event {
        /// The workload it concerns.
        workload: Arc<WorkloadId>,
        /// What it says.
        event: Arc<KubeEvent>,
    },
    /// Everything that could be listed has been told of. Comes once.
    Synced,
}

/// When something was taken in: by the clock on the wall for what is told, by a steady one for what
/// waits or is forgotten, which a step of the other must not hurry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) wall: i64,
    pub(crate) steady: Instant,
}

impl Now {
    fn read() -> Now {
        Now { wall: time::now(), steady: Instant::now() }
    }
}

/// What to watch.
#[derive(Clone, Debug)]
pub struct WatchOptions {
    /// Only these namespaces; empty is all of them, which needs cluster-wide rights.
    pub namespaces: Vec<String>,
    /// How long a pod that is gone stays known.
    pub grace: Duration,
}

impl Default for WatchOptions {
    fn default() -> Self {
        WatchOptions { namespaces: Vec::new(), grace: Duration::from_secs(60) }
    }
}
