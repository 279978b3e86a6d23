//! The watched kinds, as slim as this program reads them.
//!
//! A whole pod costs 50 to 90 KiB in memory and four times the parsing; these skip the rest while it
//! is parsed. They live only between the connection and the index, which keeps less still.

mod event;
mod meta;
mod pod;
mod rollout;
mod template;
mod workload;

pub use event::{Event, EventSeries, ObjectReference};
pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
pub use meta::{Condition, annotation, label, nanos};
pub use pod::{
    ContainerSpec, ContainerState, ContainerStateRunning, ContainerStateTerminated,
    ContainerStateWaiting, ContainerStatus, Pod, PodSpec, PodStatus,
};
pub use rollout::{
    Canary, CanaryStep, Loose, Number, PauseCondition, Rollout, RolloutSpec, RolloutStatus,
    RolloutStrategy, Something, WorkloadRef,
};
pub use template::{Template, TemplateContainer};
pub use workload::{
    ControllerRevision, CronJob, CronJobSpec, CronJobStatus, DaemonSet, DaemonSetSpec,
    DaemonSetStatus, Deployment, DeploymentSpec, DeploymentStatus, Job, JobSpec, JobStatus,
    JobTemplate, ReplicaSet, ReplicaSetSpec, ReplicaSetStatus, RollingUpdate, StatefulSet,
    StatefulSetSpec, StatefulSetStatus, Strategy,
};
