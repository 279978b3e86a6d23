//! The kinds that own pods, and ControllerRevisions.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;

use super::Template;
use super::meta::{self, Condition};

/// Declares a kind with the three parts that all of them have.
macro_rules! kind {
    ($(#[$doc:meta])* $name:ident, $inherit:literal, $spec:ident, $status:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, Deserialize, kube::Resource)]
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
#[derive(Clone, Debug, Default, Deserialize, kube::Resource)]
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
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Strategy {
    /// `RollingUpdate`, `Recreate`, `OnDelete`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Details of a rolling update.
    pub rolling_update: Option<RollingUpdate>,
}

/// Details of a rolling update.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RollingUpdate {
    /// StatefulSets: pods below this ordinal keep the old revision.
    pub partition: Option<i32>,
}

/// What a Deployment asks for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the Kubernetes API")]
pub struct DeploymentSpec {
    pub replicas: Option<i32>,
    pub paused: Option<bool>,
    pub min_ready_seconds: Option<i32>,
    pub progress_deadline_seconds: Option<i32>,
    pub strategy: Strategy,
    pub template: Template,
}

/// What the Deployment controller reports.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the Kubernetes API")]
pub struct DeploymentStatus {
    pub observed_generation: Option<i64>,
    pub replicas: Option<i32>,
    pub updated_replicas: Option<i32>,
    pub ready_replicas: Option<i32>,
    pub available_replicas: Option<i32>,
    pub conditions: Option<Vec<Condition>>,
}

/// What a ReplicaSet asks for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the Kubernetes API")]
pub struct ReplicaSetSpec {
    pub replicas: Option<i32>,
    pub template: Template,
}

/// What the ReplicaSet controller reports.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the Kubernetes API")]
pub struct ReplicaSetStatus {
    pub replicas: Option<i32>,
    pub ready_replicas: Option<i32>,
    pub available_replicas: Option<i32>,
    pub conditions: Option<Vec<Condition>>,
}

/// What a StatefulSet asks for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the Kubernetes API")]
pub struct StatefulSetSpec {
    pub replicas: Option<i32>,
    pub min_ready_seconds: Option<i32>,
    pub update_strategy: Strategy,
    pub pod_management_policy: Option<String>,
    pub template: Template,
}

/// What the StatefulSet controller reports.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the Kubernetes API")]
pub struct StatefulSetStatus {
    pub observed_generation: Option<i64>,
    pub replicas: Option<i32>,
    pub updated_replicas: Option<i32>,
    pub ready_replicas: Option<i32>,
    pub available_replicas: Option<i32>,
    pub current_revision: Option<String>,
    pub update_revision: Option<String>,
}

/// What a DaemonSet asks for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the Kubernetes API")]
pub struct DaemonSetSpec {
    pub min_ready_seconds: Option<i32>,
    pub update_strategy: Strategy,
    pub template: Template,
}

/// What the DaemonSet controller reports.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the Kubernetes API")]
pub struct DaemonSetStatus {
    pub observed_generation: Option<i64>,
    pub desired_number_scheduled: i32,
    pub current_number_scheduled: i32,
    pub updated_number_scheduled: Option<i32>,
    pub number_ready: i32,
    pub number_available: Option<i32>,
}

/// What a Job asks for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the Kubernetes API")]
pub struct JobSpec {
    pub completions: Option<i32>,
    pub parallelism: Option<i32>,
    pub suspend: Option<bool>,
    pub template: Template,
}

/// What the Job controller reports.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the Kubernetes API")]
pub struct JobStatus {
    pub active: Option<i32>,
    pub ready: Option<i32>,
    pub succeeded: Option<i32>,
    pub failed: Option<i32>,
    #[serde(deserialize_with = "meta::optional_nanos")]
    pub start_time: Option<i64>,
    #[serde(deserialize_with = "meta::optional_nanos")]
    pub completion_time: Option<i64>,
    pub conditions: Option<Vec<Condition>>,
}

/// What a CronJob asks for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the Kubernetes API")]
pub struct CronJobSpec {
    pub suspend: Option<bool>,
    pub job_template: JobTemplate,
}

/// The Job that a CronJob makes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct JobTemplate {
    /// Its specification.
    pub spec: JobSpec,
}

/// What the CronJob controller reports.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of the Kubernetes API")]
pub struct CronJobStatus {
    #[serde(deserialize_with = "meta::optional_nanos")]
    pub last_schedule_time: Option<i64>,
    #[serde(deserialize_with = "meta::optional_nanos")]
    pub last_successful_time: Option<i64>,
}
