//! A pod.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::meta::{self, Condition};

/// A pod: what it is made of and how it is.
#[derive(Clone, Debug, Default, Deserialize, Serialize, kube::Resource)]
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
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// The node it is bound to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    /// `Always`, `OnFailure`, `Never`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_policy: Option<String>,
    /// Ordinary containers.
    pub containers: Vec<ContainerSpec>,
    /// Init containers and sidecars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init_containers: Option<Vec<ContainerSpec>>,
    /// Added later by `kubectl debug`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ephemeral_containers: Option<Vec<ContainerSpec>>,
    /// Conditions of others that readiness waits for.
    #[serde(serialize_with = "meta::number", skip_serializing_if = "Option::is_none")]
    pub readiness_gates: Option<Vec<IgnoredAny>>,
    /// What keeps it from being scheduled at all.
    #[serde(serialize_with = "meta::number", skip_serializing_if = "Option::is_none")]
    pub scheduling_gates: Option<Vec<IgnoredAny>>,
}

/// One container that was asked for.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerSpec {
    /// Its name.
    pub name: String,
    /// Its image as it was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// `Always` makes an init container a sidecar.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_policy: Option<String>,
    /// Whether it has a readiness probe.
    #[serde(serialize_with = "meta::presence", skip_serializing_if = "Option::is_none")]
    pub readiness_probe: Option<IgnoredAny>,
}

/// What the kubelet reports.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// `Pending`, `Running`, `Succeeded`, `Failed`, `Unknown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Such as `Evicted`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// In words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// `Ready`, `ContainersReady`, `PodScheduled` and others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Vec<Condition>>,
    /// Ordinary containers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_statuses: Option<Vec<ContainerStatus>>,
    /// Init containers and sidecars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init_container_statuses: Option<Vec<ContainerStatus>>,
    /// Ephemeral containers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ephemeral_container_statuses: Option<Vec<ContainerStatus>>,
}

/// How one container is.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStatus {
    /// Its name.
    pub name: String,
    /// The runtime's id, such as `containerd://4f…`; empty before the first start.
    #[serde(rename = "containerID", skip_serializing_if = "Option::is_none")]
    pub container_id: Option<String>,
    /// Restarts of this container.
    pub restart_count: i32,
    /// Whether its readiness probe, if any, passes.
    pub ready: bool,
    /// What it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<ContainerState>,
    /// How the attempt before ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_state: Option<ContainerState>,
}

/// What a container does; at most one is set, none is waiting.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerState {
    /// Not started, or between two attempts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<ContainerStateWaiting>,
    /// Runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<ContainerStateRunning>,
    /// Ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terminated: Option<ContainerStateTerminated>,
}

/// Why a container waits.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStateWaiting {
    /// Such as `ImagePullBackOff`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// In words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Since when a container runs.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStateRunning {
    /// When it started, in nanoseconds.
    #[serde(
        deserialize_with = "meta::optional_nanos",
        serialize_with = "meta::nanos_or_none",
        skip_serializing_if = "Option::is_none"
    )]
    pub started_at: Option<i64>,
}

/// How a container ended.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStateTerminated {
    /// Its exit code.
    pub exit_code: i32,
    /// The signal that ended it, if the runtime says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// Such as `OOMKilled`, `Error`, `Completed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// In words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When it started, in nanoseconds.
    #[serde(
        deserialize_with = "meta::optional_nanos",
        serialize_with = "meta::nanos_or_none",
        skip_serializing_if = "Option::is_none"
    )]
    pub started_at: Option<i64>,
    /// When it ended, in nanoseconds.
    #[serde(
        deserialize_with = "meta::optional_nanos",
        serialize_with = "meta::nanos_or_none",
        skip_serializing_if = "Option::is_none"
    )]
    pub finished_at: Option<i64>,
    /// The runtime's id of the attempt that ended.
    #[serde(rename = "containerID", skip_serializing_if = "Option::is_none")]
    pub container_id: Option<String>,
}
