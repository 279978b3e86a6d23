//! What the index keeps of a workload and of what it owns.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::condition::Condition;
use super::intern::Words;
use crate::cluster::types::{self, annotation, label};
use crate::ids::{Kind, WorkloadId};

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
    /// Annotation `rollcast.dev/deploy`.
    pub deploy: Option<Arc<str>>,
    /// Annotation `rollcast.dev/record`.
    pub record: Option<Arc<str>>,
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
    /// A pod that nothing here owns; all that is known stands in its pod entry.
    Pod,
}

/// A Deployment's numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct DeploymentDetail {
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
    /// The ReplicaFailure condition.
    pub failure: Option<Condition>,
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
    /// Of a Deployment.
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
    /// Annotation `deployment.kubernetes.io/revision`.
    pub revision: Option<i64>,
    /// A rollback used it again, so its creation says nothing about the rollout's start.
    pub reused: bool,
    /// Annotation `kubernetes.io/change-cause`.
    pub change_cause: Option<Arc<str>>,
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

    /// Whether it says the same as another entry, whenever that was seen.
    pub(super) fn same(&self, other: &WorkloadEntry) -> bool {
        WorkloadEntry { seen: other.seen, ..self.clone() } == *other
    }

    fn new(
        meta: &ObjectMeta,
        kind: Kind,
        template: &types::Template,
        detail: Detail,
        words: &mut Words,
    ) -> WorkloadEntry {
        let name = meta.name.as_deref().unwrap_or_default();
        let id = WorkloadId {
            namespace: words.word(meta.namespace.as_deref().unwrap_or_default()),
            kind,
            name: words.word(name),
        };
        WorkloadEntry {
            id: Arc::new(id),
            uid: words.word(meta.uid.as_deref().unwrap_or_default()),
            created: created(meta),
            deletion: meta.deletion_timestamp.as_ref().map(types::nanos),
            generation: meta.generation.unwrap_or_default(),
            observed: None,
            deploy: words.maybe(note(meta, annotation::DEPLOY)),
            record: words.maybe(note(meta, annotation::RECORD)),
            template: TemplateEntry::new(template, words),
            detail,
            children: Box::default(),
            seen: 0,
        }
    }

    pub(super) fn deployment(object: &types::Deployment, words: &mut Words) -> WorkloadEntry {
        let (spec, status) = (&object.spec, &object.status);
        // The largest value switches the deadline off (API documentation of Deployments).
        let deadline = spec.progress_deadline_seconds.filter(|seconds| *seconds != i32::MAX);
        let conditions = status.conditions.as_ref();
        let detail = DeploymentDetail {
            desired: asked(spec.replicas),
            paused: spec.paused == Some(true),
            recreate: spec.strategy.kind.as_deref() == Some("Recreate"),
            min_ready_seconds: count(spec.min_ready_seconds),
            deadline_seconds: deadline.map(|seconds| count(Some(seconds))),
            replicas: count(status.replicas),
            updated: count(status.updated_replicas),
            ready: count(status.ready_replicas),
            available: count(status.available_replicas),
            progressing: Condition::pick(conditions, "Progressing", words),
            failure: Condition::pick(conditions, "ReplicaFailure", words),
        };
        let detail = Detail::Deployment(Box::new(detail));
        let entry = Self::new(&object.metadata, Kind::Deployment, &spec.template, detail, words);
        WorkloadEntry { observed: Some(status.observed_generation.unwrap_or(0)), ..entry }
    }

    pub(super) fn stateful_set(object: &types::StatefulSet, words: &mut Words) -> WorkloadEntry {
        let (spec, status) = (&object.spec, &object.status);
        let rolling = spec.update_strategy.rolling_update.as_ref();
        let detail = StatefulSetDetail {
            desired: asked(spec.replicas),
            partition: count(rolling.and_then(|rolling| rolling.partition)),
            on_delete: spec.update_strategy.kind.as_deref() == Some("OnDelete"),
            replicas: count(status.replicas),
            updated: count(status.updated_replicas),
            ready: count(status.ready_replicas),
            available: count(status.available_replicas),
            current_revision: words.maybe(status.current_revision.as_deref()),
            update_revision: words.maybe(status.update_revision.as_deref()),
        };
        let detail = Detail::StatefulSet(Box::new(detail));
        let entry = Self::new(&object.metadata, Kind::StatefulSet, &spec.template, detail, words);
        WorkloadEntry { observed: Some(status.observed_generation.unwrap_or(0)), ..entry }
    }

    pub(super) fn daemon_set(object: &types::DaemonSet, words: &mut Words) -> WorkloadEntry {
        let (spec, status) = (&object.spec, &object.status);
        let detail = DaemonSetDetail {
            desired: count(Some(status.desired_number_scheduled)),
            on_delete: spec.update_strategy.kind.as_deref() == Some("OnDelete"),
            updated: count(status.updated_number_scheduled),
            ready: count(Some(status.number_ready)),
            available: count(status.number_available),
            template_generation: note(&object.metadata, annotation::TEMPLATE_GENERATION)
                .and_then(|number| number.parse().ok()),
        };
        let detail = Detail::DaemonSet(Box::new(detail));
        let entry = Self::new(&object.metadata, Kind::DaemonSet, &spec.template, detail, words);
        WorkloadEntry { observed: Some(status.observed_generation.unwrap_or(0)), ..entry }
    }

    pub(super) fn job(object: &types::Job, words: &mut Words) -> WorkloadEntry {
        let detail = Detail::Job(Box::new(JobDetail::new(object, words)));
        Self::new(&object.metadata, Kind::Job, &object.spec.template, detail, words)
    }

    pub(super) fn cron_job(object: &types::CronJob, words: &mut Words) -> WorkloadEntry {
        let detail = Detail::CronJob { suspended: object.spec.suspend == Some(true) };
        let template = &object.spec.job_template.spec.template;
        Self::new(&object.metadata, Kind::CronJob, template, detail, words)
    }
}

// === impl of what is owned ===

impl ReplicaSetEntry {
    pub(super) fn new(object: &types::ReplicaSet, words: &mut Words) -> ReplicaSetEntry {
        let (meta, status) = (&object.metadata, &object.status);
        ReplicaSetEntry {
            uid: words.word(meta.uid.as_deref().unwrap_or_default()),
            name: words.word(meta.name.as_deref().unwrap_or_default()),
            created: created(meta),
            revision: note(meta, annotation::REVISION).and_then(|number| number.parse().ok()),
            reused: note(meta, annotation::REVISION_HISTORY).is_some(),
            change_cause: words.maybe(note(meta, annotation::CHANGE_CAUSE)),
            template: TemplateEntry::new(&object.spec.template, words),
            desired: asked(object.spec.replicas),
            replicas: count(status.replicas),
            ready: count(status.ready_replicas),
            available: count(status.available_replicas),
            failure: Condition::pick(status.conditions.as_ref(), "ReplicaFailure", words),
        }
    }
}

impl RevisionEntry {
    pub(super) fn new(object: &types::ControllerRevision, words: &mut Words) -> RevisionEntry {
        let meta = &object.metadata;
        let labels = meta.labels.as_ref();
        let hash = labels.and_then(|map| map.get(label::CONTROLLER_REVISION_HASH));
        RevisionEntry {
            uid: words.word(meta.uid.as_deref().unwrap_or_default()),
            name: words.word(meta.name.as_deref().unwrap_or_default()),
            created: created(meta),
            hash: words.maybe(hash.map(String::as_str)),
            revision: object.revision,
        }
    }
}

impl JobEntry {
    pub(super) fn new(object: &types::Job, words: &mut Words) -> JobEntry {
        let meta = &object.metadata;
        JobEntry {
            uid: words.word(meta.uid.as_deref().unwrap_or_default()),
            name: words.word(meta.name.as_deref().unwrap_or_default()),
            created: created(meta),
            detail: JobDetail::new(object, words),
        }
    }
}

impl JobDetail {
    fn new(object: &types::Job, words: &mut Words) -> JobDetail {
        let (spec, status) = (&object.spec, &object.status);
        let conditions = status.conditions.as_ref();
        JobDetail {
            completions: asked(spec.completions),
            suspended: spec.suspend == Some(true),
            active: count(status.active),
            ready: count(status.ready),
            succeeded: count(status.succeeded),
            failed: count(status.failed),
            started: status.start_time,
            finished: status.completion_time,
            complete: Condition::pick(conditions, "Complete", words),
            failure: Condition::pick(conditions, "Failed", words),
        }
    }
}

impl TemplateEntry {
    fn new(template: &types::Template, words: &mut Words) -> TemplateEntry {
        let container = |container: &types::TemplateContainer| TemplateContainer {
            name: words.word(&container.name),
            image: words.word(&container.image),
            init: container.init,
            has_readiness: container.has_readiness,
        };
        TemplateEntry {
            digest: template.digest,
            containers: template.containers.iter().map(container).collect(),
        }
    }
}

/// Replicas asked for; the API's default is one.
fn asked(number: Option<i32>) -> u32 {
    number.map_or(1, |number| u32::try_from(number).unwrap_or(0))
}

fn count(number: Option<i32>) -> u32 {
    number.and_then(|number| u32::try_from(number).ok()).unwrap_or(0)
}

fn created(meta: &ObjectMeta) -> i64 {
    meta.creation_timestamp.as_ref().map_or(0, types::nanos)
}

fn note<'a>(meta: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    let notes: &BTreeMap<String, String> = meta.annotations.as_ref()?;
    notes.get(name).map(String::as_str)
}
