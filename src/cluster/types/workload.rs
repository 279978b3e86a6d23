//! The kinds that own pods, and ControllerRevisions.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

use super::Template;
use super::meta::{self, Condition};

/// Declares a kind with the three parts that all of them have.
macro_rules! kind {
    ($(#[$doc:meta])* $name:ident, $inherit:literal, $spec:ident, $status:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, Deserialize, Serialize, kube::Resource)]
        #[resource(inherit = $inherit)]
        pub struct $name {
            /// Name, uid, owners, labels, the kept annotations, and who changed it last.
            #[serde(deserialize_with = "meta::managed")]
            pub metadata: ObjectMeta,
            /// What was asked for.
            #[serde(default)]
            pub spec: $spec,
            /// What its controller reports.
            #[serde(default)]
            pub status: $status,
        }
    };
}

kind!(
    /// A Deployment.
    Deployment, "k8s_openapi::api::apps::v1::Deployment", DeploymentSpec, DeploymentStatus
);
kind!(
    /// A ReplicaSet.
    ReplicaSet, "k8s_openapi::api::apps::v1::ReplicaSet", ReplicaSetSpec, ReplicaSetStatus
);
kind!(
    /// A StatefulSet.
    StatefulSet, "k8s_openapi::api::apps::v1::StatefulSet", StatefulSetSpec, StatefulSetStatus
);
kind!(
    /// A DaemonSet.
    DaemonSet, "k8s_openapi::api::apps::v1::DaemonSet", DaemonSetSpec, DaemonSetStatus
);
kind!(
    /// A Job.
    Job, "k8s_openapi::api::batch::v1::Job", JobSpec, JobStatus
);
kind!(
    /// A CronJob.
    CronJob, "k8s_openapi::api::batch::v1::CronJob", CronJobSpec, CronJobStatus
);

/// A ControllerRevision: its data is a whole template and is skipped.
#[derive(Clone, Debug, Default, Deserialize, Serialize, kube::Resource)]
#[resource(inherit = "k8s_openapi::api::apps::v1::ControllerRevision")]
pub struct ControllerRevision {
    /// Name, uid, owner and hash label.
    #[serde(deserialize_with = "meta::slim")]
    pub metadata: ObjectMeta,
    /// Its number; the highest is the newest.
    #[serde(default)]
    pub revision: i64,
}

/// How pods are replaced.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Strategy {
    /// `RollingUpdate`, `Recreate`, `OnDelete`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Details of a rolling update.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rolling_update: Option<RollingUpdate>,
}

/// Details of a rolling update.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RollingUpdate {
    /// StatefulSets: pods below this ordinal keep the old revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<i32>,
}

/// What a Deployment asks for.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the Kubernetes API")]
pub struct DeploymentSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_ready_seconds: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress_deadline_seconds: Option<i32>,
    pub strategy: Strategy,
    pub template: Template,
}

/// What the Deployment controller reports.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the Kubernetes API")]
pub struct DeploymentStatus {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_replicas: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available_replicas: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Vec<Condition>>,
}

/// What a ReplicaSet asks for.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the Kubernetes API")]
pub struct ReplicaSetSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    pub template: Template,
}

/// What the ReplicaSet controller reports.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the Kubernetes API")]
pub struct ReplicaSetStatus {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available_replicas: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Vec<Condition>>,
}

/// What a StatefulSet asks for.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the Kubernetes API")]
pub struct StatefulSetSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_ready_seconds: Option<i32>,
    pub update_strategy: Strategy,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_management_policy: Option<String>,
    pub template: Template,
}

/// What the StatefulSet controller reports.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the Kubernetes API")]
pub struct StatefulSetStatus {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_replicas: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available_replicas: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_revision: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update_revision: Option<String>,
}

/// What a DaemonSet asks for.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the Kubernetes API")]
pub struct DaemonSetSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_ready_seconds: Option<i32>,
    pub update_strategy: Strategy,
    pub template: Template,
}

/// What the DaemonSet controller reports.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the Kubernetes API")]
pub struct DaemonSetStatus {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    pub desired_number_scheduled: i32,
    pub current_number_scheduled: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_number_scheduled: Option<i32>,
    pub number_ready: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number_available: Option<i32>,
}

/// What a Job asks for.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the Kubernetes API")]
pub struct JobSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completions: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallelism: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
    pub template: Template,
}

/// What the Job controller reports.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the Kubernetes API")]
pub struct JobStatus {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub succeeded: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<i32>,
    #[serde(
        deserialize_with = "meta::optional_nanos",
        serialize_with = "meta::nanos_or_none",
        skip_serializing_if = "Option::is_none"
    )]
    pub start_time: Option<i64>,
    #[serde(
        deserialize_with = "meta::optional_nanos",
        serialize_with = "meta::nanos_or_none",
        skip_serializing_if = "Option::is_none"
    )]
    pub completion_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Vec<Condition>>,
}

/// What a CronJob asks for.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the Kubernetes API")]
pub struct CronJobSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
    pub job_template: JobTemplate,
}

/// The Job that a CronJob makes.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct JobTemplate {
    /// Its specification.
    pub spec: JobSpec,
}

/// What the CronJob controller reports.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the Kubernetes API")]
pub struct CronJobStatus {
    #[serde(
        deserialize_with = "meta::optional_nanos",
        serialize_with = "meta::nanos_or_none",
        skip_serializing_if = "Option::is_none"
    )]
    pub last_schedule_time: Option<i64>,
    #[serde(
        deserialize_with = "meta::optional_nanos",
        serialize_with = "meta::nanos_or_none",
        skip_serializing_if = "Option::is_none"
    )]
    pub last_successful_time: Option<i64>,
}
