//! A pod.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::meta::{self, Condition};

/// A pod: what it is made of and how it is.
#[derive(Clone, Debug, Default, Deserialize, kube::Resource)]
#[resource(inherit = "k8s_openapi::api::core::v1::Pod")]
pub struct Pod {
    /// Name, uid, owners, labels and the kept annotations.
    #[serde(deserialize_with = "meta::slim")]
    pub metadata: ObjectMeta,
    /// What was asked for.
    #[serde(default)]
    pub spec: PodSpec,
    /// What the kubelet reports.
    #[serde(default)]
    pub status: PodStatus,
}

/// What was asked for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// The node it is bound to.
    pub node_name: Option<String>,
    /// `Always`, `OnFailure`, `Never`.
    pub restart_policy: Option<String>,
    /// Ordinary containers.
    pub containers: Vec<ContainerSpec>,
    /// Init containers and sidecars.
    pub init_containers: Option<Vec<ContainerSpec>>,
    /// Added later by `kubectl debug`.
    pub ephemeral_containers: Option<Vec<ContainerSpec>>,
    /// Conditions of others that readiness waits for.
    pub readiness_gates: Option<Vec<IgnoredAny>>,
    /// What keeps it from being scheduled at all.
    pub scheduling_gates: Option<Vec<IgnoredAny>>,
}

/// One container that was asked for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerSpec {
    /// Its name.
    pub name: String,
    /// Its image as it was written.
    pub image: Option<String>,
    /// `Always` makes an init container a sidecar.
    pub restart_policy: Option<String>,
    /// Whether it has a readiness probe.
    pub readiness_probe: Option<IgnoredAny>,
}

/// What the kubelet reports.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// `Pending`, `Running`, `Succeeded`, `Failed`, `Unknown`.
    pub phase: Option<String>,
    /// Such as `Evicted`.
    pub reason: Option<String>,
    /// In words.
    pub message: Option<String>,
    /// `Ready`, `ContainersReady`, `PodScheduled` and others.
    pub conditions: Option<Vec<Condition>>,
    /// Ordinary containers.
    pub container_statuses: Option<Vec<ContainerStatus>>,
    /// Init containers and sidecars.
    pub init_container_statuses: Option<Vec<ContainerStatus>>,
    /// Ephemeral containers.
    pub ephemeral_container_statuses: Option<Vec<ContainerStatus>>,
}

/// How one container is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStatus {
    /// Its name.
    pub name: String,
    /// The runtime's id, such as `containerd://4f…`; empty before the first start.
    #[serde(rename = "containerID")]
    pub container_id: Option<String>,
    /// Restarts of this container.
    pub restart_count: i32,
    /// Whether its readiness probe, if any, passes.
    pub ready: bool,
    /// What it does.
    pub state: Option<ContainerState>,
    /// How the attempt before ended.
    pub last_state: Option<ContainerState>,
}

/// What a container does; at most one is set, none is waiting.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerState {
    /// Not started, or between two attempts.
    pub waiting: Option<ContainerStateWaiting>,
    /// Runs.
    pub running: Option<ContainerStateRunning>,
    /// Ended.
    pub terminated: Option<ContainerStateTerminated>,
}

/// Why a container waits.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStateWaiting {
    /// Such as `ImagePullBackOff`.
    pub reason: Option<String>,
    /// In words.
    pub message: Option<String>,
}

/// Since when a container runs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStateRunning {
    /// When it started, in nanoseconds.
    #[serde(deserialize_with = "meta::optional_nanos")]
    pub started_at: Option<i64>,
}

/// How a container ended.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStateTerminated {
    /// Its exit code.
    pub exit_code: i32,
    /// The signal that ended it, if the runtime says so.
    pub signal: Option<i32>,
    /// Such as `OOMKilled`, `Error`, `Completed`.
    pub reason: Option<String>,
    /// In words.
    pub message: Option<String>,
    /// When it started, in nanoseconds.
    #[serde(deserialize_with = "meta::optional_nanos")]
    pub started_at: Option<i64>,
    /// When it ended, in nanoseconds.
    #[serde(deserialize_with = "meta::optional_nanos")]
    pub finished_at: Option<i64>,
    /// The runtime's id of the attempt that ended.
    #[serde(rename = "containerID")]
    pub container_id: Option<String>,
}
