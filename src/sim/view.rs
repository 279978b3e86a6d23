//! Pods as tests look at them: the kubelet's truth, without the API's lag.

use super::pod::{Pod, Run};
use super::spec::Container;

/// A pod, as the simulation knows it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodView {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its node, once it has one.
    pub node: Option<String>,
    /// Its containers, init containers included, in the template's order.
    pub containers: Vec<ContainerView>,
    /// Deletion was asked for.
    pub terminating: bool,
}

/// A container, as the simulation knows it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerView {
    /// Its name.
    pub name: String,
    /// The restart count plus one.
    pub attempt: u32,
    /// It runs.
    pub running: bool,
    /// It is ready.
    pub ready: bool,
    /// With `containerd://`, once there was an attempt.
    pub container_id: Option<String>,
}

// === impl PodView ===

impl PodView {
    pub(super) fn of(pod: &Pod) -> Self {
        let container = |(run, spec): (&Run, &Container)| ContainerView {
            name: spec.name.clone(),
            attempt: run.restart_count + 1,
            running: run.running(),
            ready: run.is_ready(),
            container_id: run.id.as_ref().map(|id| format!("containerd://{id}")),
        };
        PodView {
            name: pod.name.to_string(),
            uid: pod.uid.to_string(),
            node: pod.node.as_ref().map(|node| node.to_string()),
            containers: pod.runs.iter().zip(&pod.template.containers).map(container).collect(),
            terminating: pod.deletion.is_some(),
        }
    }
}
