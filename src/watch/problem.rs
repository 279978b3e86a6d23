//! What keeps a watch from working, told to operators.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::Failure;

/// A refusal that is repeated after this long is believed: an API server that has just started
/// refuses everybody for about a second.
const BELIEVED_AFTER: Duration = Duration::from_secs(2);

/// The kinds that are watched. A closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Resource {
    /// `apps/v1` deployments.
    Deployments,
    /// `apps/v1` statefulsets.
    StatefulSets,
    /// `apps/v1` daemonsets.
    DaemonSets,
    /// `batch/v1` cronjobs.
    CronJobs,
    /// `argoproj.io/v1alpha1` rollouts, where the cluster has that kind.
    Rollouts,
    /// `batch/v1` jobs.
    Jobs,
    /// `apps/v1` replicasets.
    ReplicaSets,
    /// `apps/v1` controllerrevisions.
    ControllerRevisions,
    /// `v1` pods.
    Pods,
    /// `v1` events.
    Events,
}

/// A watch that does not work at present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What cannot be watched.
    pub resource: Resource,
    /// Where; `None` is in all namespaces.
    pub namespace: Option<String>,
    /// `list`, `watch` or `discover`.
    pub verb: &'static str,
    /// Our account lacks the right; otherwise the API server fails or does not answer.
    pub refused: bool,
    /// What was said.
    pub message: String,
    /// Since when, by our clock.
    pub since: i64,
}

/// What is known about one failing watch. A watch that works has none.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) problem: Problem,
    pub(super) began: Instant,
    /// It was told to the operator.
    pub(super) told: bool,
    /// How often this watch had been answered when it failed.
    pub(super) answers: u64,
}

// === impl Resource ===

impl Resource {
    /// All of them, in the order in which their first lists are asked for.
    pub const ALL: [Resource; 10] = [
        Resource::Deployments,
        Resource::StatefulSets,
        Resource::DaemonSets,
        Resource::CronJobs,
        Resource::Rollouts,
        Resource::Jobs,
        Resource::ReplicaSets,
        Resource::ControllerRevisions,
        Resource::Pods,
        Resource::Events,
    ];

    /// As RBAC rules name it, with its group.
    pub fn as_str(self) -> &'static str {
        match self {
            Resource::Deployments => "deployments.apps",
            Resource::StatefulSets => "statefulsets.apps",
            Resource::DaemonSets => "daemonsets.apps",
            Resource::CronJobs => "cronjobs.batch",
            Resource::Rollouts => "rollouts.argoproj.io",
            Resource::Jobs => "jobs.batch",
            Resource::ReplicaSets => "replicasets.apps",
            Resource::ControllerRevisions => "controllerrevisions.apps",
            Resource::Pods => "pods",
            Resource::Events => "events",
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Trouble ===

impl Trouble {
    /// Whether it lasts long enough to be believed.
    pub(super) fn believed(&self, now: Instant) -> bool {
        now.duration_since(self.began) >= BELIEVED_AFTER
    }
}

// === impl Problem ===

impl Problem {
    /// Says what a failure means here.
    pub(super) fn new(
        resource: Resource,
        namespace: Option<&str>,
        failure: &Failure,
        now: i64,
    ) -> Problem {
        Problem {
            resource,
            namespace: namespace.map(str::to_owned),
            verb: failure.verb,
            refused: failure.refused,
            message: failure.message.clone(),
            since: now,
        }
    }
}

impl fmt::Display for Problem {
    /// One sentence for the operator: what is missing, where, and what to do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match &self.namespace {
            Some(namespace) => format!("in namespace \"{namespace}\""),
            None => "in all namespaces".to_owned(),
        };
        let (verb, resource) = (self.verb, self.resource);
        if self.refused {
            write!(
                f,
                "cannot {verb} {resource} {place}: {}; grant rollcast's account the verbs list and \
                 watch on {resource} {place}",
                self.message
            )
        } else {
            write!(f, "cannot {verb} {resource} {place}: {}", self.message)
        }
    }
}
