//! The identity of one log: one run of one container.

use std::sync::Arc;

use super::WorkloadId;

/// Tells one attempt from every other: restarts of a container have new container ids, a pod of
/// the same name has a new uid.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AttemptKey {
    /// The pod's uid.
    pub uid: Arc<str>,
    /// The container's name within the pod.
    pub container: Arc<str>,
    /// The runtime's id, such as `containerd://4f…`.
    pub container_id: Arc<str>,
}

/// The log of one attempt, with the names people know it by.
#[derive(Clone, Debug)]
pub struct Source {
    /// What makes it unique.
    pub key: AttemptKey,
    /// The workload under which its records are stored.
    pub workload: Arc<WorkloadId>,
    /// The pod's name.
    pub pod: Arc<str>,
    /// The restart count plus one.
    pub attempt: u32,
}
