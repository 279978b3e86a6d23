//! What the index keeps of a workload and of what it owns.

use std::sync::Arc;

use super::condition::Condition;
use super::labels::Labels;
use super::patience::Patience;
use crate::ids::WorkloadId;

/// A workload, with everything that the rollout model needs but its pods. A value is never changed;
/// the next state is the next entry.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkloadEntry {
    /// Its name.
    pub id: Arc<WorkloadId>,
    /// Its uid: a workload that is deleted and made again is another one.
    pub uid: Arc<str>,
    /// Creation time.
    pub created: i64,
    /// When its deletion was asked for.
    pub deletion: Option<i64>,
    /// `metadata.generation`.
    pub generation: i64,
    /// The generation that its controller has seen; `None` for kinds without one.
    pub observed: Option<i64>,
    /// Its own labels, not those of its pods.
    pub labels: Labels,
    /// Annotation `rollcast.dev/deploy`.
    pub deploy: Option<Arc<str>>,
    /// Who changed its specification last, as the API server calls them.
    pub by: Option<Arc<str>>,
    /// Annotation `kubernetes.io/change-cause`: why, in somebody's words; what is too long is cut.
    pub change_cause: Option<Arc<str>>,
    /// Annotation `rollcast.dev/record`.
    pub record: Option<Arc<str>>,
    /// What cannot be true of what its controller reports. Of an Argo Rollout, its detail says so.
    pub wrong: Option<Arc<str>>,
    /// What its annotations say of how long its rollouts are waited for.
    pub patience: Patience,
    /// Its pod template.
    pub template: TemplateEntry,
    /// What was asked for and what is reported.
    pub detail: Detail,
    /// ReplicaSets, ControllerRevisions or Jobs that it controls, oldest first.
    pub children: Box<[Child]>,
    /// When this state was seen, by our clock.
    pub seen: i64,
}

/// A pod template.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TemplateEntry {
    /// Equal for equal templates.
    pub digest: u64,
    /// Its containers.
    pub containers: Box<[TemplateContainer]>,
}

/// A container of a pod template.
#[derive(Clone, Debug, PartialEq)]
pub struct TemplateContainer {
    /// Its name.
    pub name: Arc<str>,
    /// Its image as it was written.
    pub image: Arc<str>,
    /// It is an init container or a sidecar.
    pub init: bool,
    /// It has a readiness probe.
    pub has_readiness: bool,
}

/// What was asked for and what is reported, by kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Detail {
    /// A Deployment.
    Deployment(Box<DeploymentDetail>),
    /// A StatefulSet.
    StatefulSet(Box<StatefulSetDetail>),
    /// A DaemonSet.
    DaemonSet(Box<DaemonSetDetail>),
    /// A Job.
    Job(Box<JobDetail>),
    /// A CronJob; its Jobs are its children.
    CronJob {
        /// No new Jobs are started.
        suspended: bool,
    },
    /// An Argo Rollout.
    Rollout(Box<ArgoDetail>),
    /// A pod that nothing here owns; all that is known stands in its pod entry.
    Pod,
}

/// A Deployment's numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct DeploymentDetail {
    /// Annotation `deployment.kubernetes.io/revision`: the revision that its controller last worked
    /// on. It follows the ReplicaSet's, in a later write.
    pub revision: Option<i64>,
    /// Replicas asked for.
    pub desired: u32,
    /// Rolling out is paused.
    pub paused: bool,
    /// `Recreate` rather than `RollingUpdate`.
    pub recreate: bool,
    /// Seconds a pod must be ready to be available.
    pub min_ready_seconds: u32,
    /// `progressDeadlineSeconds`; `None` if it is switched off.
    pub deadline_seconds: Option<u32>,
    /// Pods of all its ReplicaSets.
    pub replicas: u32,
    /// Pods with its template.
    pub updated: u32,
    /// Ready pods of all revisions.
    pub ready: u32,
    /// Available pods of all revisions.
    pub available: u32,
    /// The Progressing condition.
    pub progressing: Option<Condition>,
    /// When its controller saw progress last.
    pub progressed: Option<i64>,
    /// The ReplicaFailure condition.
    pub failure: Option<Condition>,
}

/// What an Argo Rollout asks for and what its controller reports.
#[derive(Clone, Debug, PartialEq)]
pub struct ArgoDetail {
    /// Annotation `rollout.argoproj.io/revision`.
    pub revision: Option<i64>,
    /// Replicas asked for.
    pub desired: u32,
    /// Somebody paused it by its specification.
    pub paused: bool,
    /// `progressDeadlineSeconds`.
    pub deadline_seconds: Option<u32>,
    /// How it replaces its pods, and how far it is with that.
    pub strategy: Strategy,
    /// Its template stands in another workload (`workloadRef`).
    pub referenced: bool,
    /// All its pods.
    pub replicas: u32,
    /// Pods with its template.
    pub updated: u32,
    /// Ready pods: of all revisions for a canary, of those with the traffic for blue-green.
    pub ready: u32,
    /// Available pods, of the same.
    pub available: u32,
    /// Hash of its template, as its pods and ReplicaSets carry it.
    pub current: Option<Arc<str>>,
    /// Hash of the template that was last promoted to all pods.
    pub stable: Option<Arc<str>>,
    /// Where the controller says that it stands.
    pub phase: Option<ArgoPhase>,
    /// The update was aborted, and the stable pods are brought back.
    pub aborted: bool,
    /// When.
    pub aborted_at: Option<i64>,
    /// What the controller waits for.
    pub pause: Option<Pause>,
    /// The Progressing condition.
    pub progressing: Option<Condition>,
    /// When its controller saw progress last.
    pub progressed: Option<i64>,
    /// The InvalidSpec condition.
    pub invalid: Option<Condition>,
    /// Fields that hold what they should not, if any: then nothing can be said of it.
    pub wrong: Option<Arc<str>>,
}

/// How an Argo Rollout replaces its pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Step by step; `None` if no step is left.
    Canary(Option<ArgoStep>),
    /// All at once.
    BlueGreen {
        /// Hash of the pods that get the traffic.
        active: Option<Arc<str>>,
    },
}

/// The step at which a canary is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArgoStep {
    /// Its number, from 1.
    pub number: u32,
    /// How many there are.
    pub of: u32,
    /// Share of the new pods in per cent, if a step so far set one.
    pub weight: Option<u32>,
    /// It waits for something: a pause, an analysis, an experiment. No deadline runs meanwhile.
    pub waits: bool,
}

/// Where Argo's controller says that a Rollout stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgoPhase {
    /// Fully promoted and available.
    Healthy,
    /// Under way.
    Progressing,
    /// Waiting for somebody, or for a time.
    Paused,
    /// Aborted, too late, or invalid.
    Degraded,
}

/// Why Argo's controller waits. A closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// A step of a canary.
    Step,
    /// The promotion of a blue-green rollout.
    Promotion,
    /// An analysis came to no result.
    Inconclusive,
    /// Something else.
    Other,
}

/// A StatefulSet's numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct StatefulSetDetail {
    /// Replicas asked for.
    pub desired: u32,
    /// Pods below this ordinal keep the old revision.
    pub partition: u32,
    /// Pods are replaced only when somebody deletes them.
    pub on_delete: bool,
    /// Pods do not wait for each other.
    pub parallel: bool,
    /// A pod counts as available when it was ready for so many seconds.
    pub min_ready_seconds: u32,
    /// All pods.
    pub replicas: u32,
    /// Pods of the update revision.
    pub updated: u32,
    /// Ready pods.
    pub ready: u32,
    /// Available pods.
    pub available: u32,
    /// Hash of the revision before.
    pub current_revision: Option<Arc<str>>,
    /// Hash of the newest revision.
    pub update_revision: Option<Arc<str>>,
}

/// A DaemonSet's numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct DaemonSetDetail {
    /// Nodes that should run a pod.
    pub desired: u32,
    /// Pods are replaced only when somebody deletes them.
    pub on_delete: bool,
    /// Nodes that run the newest template.
    pub updated: u32,
    /// Ready pods.
    pub ready: u32,
    /// Available pods.
    pub available: u32,
    /// Generation of its template.
    pub template_generation: Option<u32>,
}

/// A Job's numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct JobDetail {
    /// Pods that must succeed.
    pub completions: u32,
    /// It is suspended.
    pub suspended: bool,
    /// Pods that run.
    pub active: u32,
    /// Pods that are ready.
    pub ready: u32,
    /// Pods that succeeded.
    pub succeeded: u32,
    /// Pods that failed.
    pub failed: u32,
    /// When it started.
    pub started: Option<i64>,
    /// When it completed.
    pub finished: Option<i64>,
    /// The Complete condition.
    pub complete: Option<Condition>,
    /// The Failed condition.
    pub failure: Option<Condition>,
}

/// Something a workload controls.
#[derive(Clone, Debug, PartialEq)]
pub enum Child {
    /// Of a Deployment or an Argo Rollout.
    ReplicaSet(Arc<ReplicaSetEntry>),
    /// Of a StatefulSet or DaemonSet.
    Revision(Arc<RevisionEntry>),
    /// Of a CronJob.
    Job(Arc<JobEntry>),
}

/// A ReplicaSet.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplicaSetEntry {
    /// Its uid: the owner of its pods.
    pub uid: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// Creation time.
    pub created: i64,
    /// Annotation `deployment.kubernetes.io/revision`, or Argo's.
    pub revision: Option<i64>,
    /// Label `rollouts-pod-template-hash`, which Argo gives.
    pub hash: Option<Arc<str>>,
    /// A rollback used it again, so its creation says nothing about the rollout's start.
    pub reused: bool,
    /// Annotation `rollcast.dev/deploy` of its workload as it was last while this was the newest.
    pub deploy: Option<Arc<str>>,
    /// Its pod template.
    pub template: TemplateEntry,
    /// Replicas asked for.
    pub desired: u32,
    /// Pods.
    pub replicas: u32,
    /// Ready pods.
    pub ready: u32,
    /// Available pods.
    pub available: u32,
    /// The ReplicaFailure condition.
    pub failure: Option<Condition>,
}

/// A ControllerRevision.
#[derive(Clone, Debug, PartialEq)]
pub struct RevisionEntry {
    /// Its uid.
    pub uid: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// Creation time.
    pub created: i64,
    /// What its pods carry as `controller-revision-hash`.
    pub hash: Option<Arc<str>>,
    /// Its number; the highest is the newest.
    pub revision: i64,
    /// Annotation `rollcast.dev/deploy` of its workload as it was when this was made.
    pub deploy: Option<Arc<str>>,
    /// Of a DaemonSet: the generation of its template when this was made; a rollback uses it again.
    pub template_generation: Option<u32>,
}

/// A Job of a CronJob.
#[derive(Clone, Debug, PartialEq)]
pub struct JobEntry {
    /// Its uid: the owner of its pods.
    pub uid: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// Creation time.
    pub created: i64,
    /// Its numbers.
    pub detail: JobDetail,
}

// === impl Child ===

impl Child {
    /// Its uid.
    pub fn uid(&self) -> &Arc<str> {
        match self {
            Child::ReplicaSet(entry) => &entry.uid,
            Child::Revision(entry) => &entry.uid,
            Child::Job(entry) => &entry.uid,
        }
    }

    /// Oldest first; the name decides between those of one second.
    pub(super) fn order(&self) -> (i64, Arc<str>) {
        match self {
            Child::ReplicaSet(entry) => (entry.created, Arc::clone(&entry.name)),
            Child::Revision(entry) => (entry.created, Arc::clone(&entry.name)),
            Child::Job(entry) => (entry.created, Arc::clone(&entry.name)),
        }
    }
}

// === impl WorkloadEntry ===

impl WorkloadEntry {
    /// Its ReplicaSets, oldest first.
    pub fn replica_sets(&self) -> impl Iterator<Item = &Arc<ReplicaSetEntry>> {
        self.children.iter().filter_map(|child| match child {
            Child::ReplicaSet(entry) => Some(entry),
            _ => None,
        })
    }

    /// Its ControllerRevisions, oldest first.
    pub fn revisions(&self) -> impl Iterator<Item = &Arc<RevisionEntry>> {
        self.children.iter().filter_map(|child| match child {
            Child::Revision(entry) => Some(entry),
            _ => None,
        })
    }

    /// Its Jobs, oldest first.
    pub fn jobs(&self) -> impl Iterator<Item = &Arc<JobEntry>> {
        self.children.iter().filter_map(|child| match child {
            Child::Job(entry) => Some(entry),
            _ => None,
        })
    }

    /// Whether another reading of it asks for the same and reports the same, whoever owns what.
    pub fn agrees(&self, other: &WorkloadEntry) -> bool {
        let said = |entry: &WorkloadEntry| (entry.generation, entry.observed, entry.deletion);
        self.uid == other.uid && said(self) == said(other) && self.detail == other.detail
    }

    /// Whether it says the same as another entry, whenever that was seen.
    pub(super) fn same(&self, other: &WorkloadEntry) -> bool {
        WorkloadEntry { seen: other.seen, ..self.clone() } == *other
    }
}
