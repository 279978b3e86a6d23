//! The kinds of object that the simulated API serves.

/// A kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Resource {
    /// `v1` pods.
    Pods,
    /// `v1` events.
    Events,
    /// `v1` namespaces.
    Namespaces,
    /// `v1` nodes.
    Nodes,
    /// `apps/v1` deployments.
    Deployments,
    /// `apps/v1` replicasets.
    ReplicaSets,
    /// `apps/v1` statefulsets.
    StatefulSets,
    /// `apps/v1` daemonsets.
    DaemonSets,
    /// `apps/v1` controllerrevisions.
    ControllerRevisions,
    /// `batch/v1` jobs.
    Jobs,
    /// `batch/v1` cronjobs.
    CronJobs,
    /// `argoproj.io/v1alpha1` rollouts; only where they are installed.
    Rollouts,
}

// === impl Resource ===

impl Resource {
    const ALL: [Resource; 12] = [
        Resource::Pods,
        Resource::Events,
        Resource::Namespaces,
        Resource::Nodes,
        Resource::Deployments,
        Resource::ReplicaSets,
        Resource::StatefulSets,
        Resource::DaemonSets,
        Resource::ControllerRevisions,
        Resource::Jobs,
        Resource::CronJobs,
        Resource::Rollouts,
    ];

    /// Finds it by the words of a path.
    pub(super) fn find(group: &str, plural: &str) -> Option<Resource> {
        Self::ALL.into_iter().find(|one| one.group() == group && one.plural() == plural)
    }

    /// Its name in paths.
    pub fn plural(self) -> &'static str {
        match self {
            Resource::Pods => "pods",
            Resource::Events => "events",
            Resource::Namespaces => "namespaces",
            Resource::Nodes => "nodes",
            Resource::Deployments => "deployments",
            Resource::ReplicaSets => "replicasets",
            Resource::StatefulSets => "statefulsets",
            Resource::DaemonSets => "daemonsets",
            Resource::ControllerRevisions => "controllerrevisions",
            Resource::Jobs => "jobs",
            Resource::CronJobs => "cronjobs",
            Resource::Rollouts => "rollouts",
        }
    }

    /// Its name in objects.
    pub fn kind(self) -> &'static str {
        match self {
            Resource::Pods => "Pod",
            Resource::Events => "Event",
            Resource::Namespaces => "Namespace",
            Resource::Nodes => "Node",
            Resource::Deployments => "Deployment",
            Resource::ReplicaSets => "ReplicaSet",
            Resource::StatefulSets => "StatefulSet",
            Resource::DaemonSets => "DaemonSet",
            Resource::ControllerRevisions => "ControllerRevision",
            Resource::Jobs => "Job",
            Resource::CronJobs => "CronJob",
            Resource::Rollouts => "Rollout",
        }
    }

    /// Its API group; empty for the core.
    pub fn group(self) -> &'static str {
        match self {
            Resource::Pods | Resource::Events | Resource::Namespaces | Resource::Nodes => "",
            Resource::Jobs | Resource::CronJobs => "batch",
            Resource::Rollouts => "argoproj.io",
            _ => "apps",
        }
    }

    /// Its `apiVersion`.
    pub fn api_version(self) -> &'static str {
        match self.group() {
            "" => "v1",
            "batch" => "batch/v1",
            "argoproj.io" => "argoproj.io/v1alpha1",
            _ => "apps/v1",
        }
    }

    /// It lives in a namespace.
    pub(super) fn namespaced(self) -> bool {
        !matches!(self, Resource::Namespaces | Resource::Nodes)
    }
}
