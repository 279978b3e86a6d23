//! Reduces objects, as they came, to what the index keeps of workloads and of what they own.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::condition::Condition;
use super::intern::Words;
use super::labels::Labels;
use super::patience::Patience;
use super::sense;
use super::workload::{
    DaemonSetDetail, DeploymentDetail, Detail, JobDetail, JobEntry, ReplicaSetEntry, RevisionEntry,
    StatefulSetDetail, TemplateContainer, TemplateEntry, WorkloadEntry,
};
use crate::cluster::types::{self, annotation, label};
use crate::ids::{Kind, WorkloadId};

/// Bytes of a change's cause that are kept: a long command line. `kubectl --record` writes a whole one.
const LONGEST_CAUSE: usize = 1024;

impl WorkloadEntry {
    pub(super) fn new(
        meta: &types::ObjectMeta,
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
            labels: Labels::new(meta.labels.as_ref(), words),
            deploy: words.maybe(note(meta, annotation::DEPLOY)),
            by: words.maybe(manager(meta)),
            change_cause: words.maybe(cause(meta)),
            record: words.maybe(note(meta, annotation::RECORD)),
            wrong: None,
            patience: Patience::read(meta.annotations.as_ref()),
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
            revision: revision(&object.metadata),
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
            progressed: conditions
                .and_then(|all| all.iter().find(|condition| condition.kind == "Progressing"))
                .and_then(|condition| condition.last_update_time.as_ref().map(types::nanos)),
            failure: Condition::pick(conditions, "ReplicaFailure", words),
        };
        let detail = Detail::Deployment(Box::new(detail));
        let wrong = sense::of_replicas(
            status.replicas,
            status.updated_replicas,
            status.ready_replicas,
            status.available_replicas,
        );
        Self::new(&object.metadata, Kind::Deployment, &spec.template, detail, words)
            .reported(status.observed_generation, wrong)
    }

    pub(super) fn stateful_set(object: &types::StatefulSet, words: &mut Words) -> WorkloadEntry {
        let (spec, status) = (&object.spec, &object.status);
        let rolling = spec.update_strategy.rolling_update.as_ref();
        let detail = StatefulSetDetail {
            desired: asked(spec.replicas),
            partition: count(rolling.and_then(|rolling| rolling.partition)),
            on_delete: spec.update_strategy.kind.as_deref() == Some("OnDelete"),
            parallel: spec.pod_management_policy.as_deref() == Some("Parallel"),
            min_ready_seconds: count(spec.min_ready_seconds),
            replicas: count(status.replicas),
            updated: count(status.updated_replicas),
            ready: count(status.ready_replicas),
            available: count(status.available_replicas),
            current_revision: words.maybe(status.current_revision.as_deref()),
            update_revision: words.maybe(status.update_revision.as_deref()),
        };
        let detail = Detail::StatefulSet(Box::new(detail));
        let wrong = sense::of_replicas(
            status.replicas,
            status.updated_replicas,
            status.ready_replicas,
            status.available_replicas,
        );
        Self::new(&object.metadata, Kind::StatefulSet, &spec.template, detail, words)
            .reported(status.observed_generation, wrong)
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
        let wrong = sense::of_nodes(
            status.desired_number_scheduled,
            status.updated_number_scheduled,
            status.number_ready,
            status.number_available,
        );
        Self::new(&object.metadata, Kind::DaemonSet, &spec.template, detail, words)
            .reported(status.observed_generation, wrong)
    }

    /// The same with what its controller has seen, and what cannot be true of what that says.
    fn reported(self, observed: Option<i64>, wrong: Option<String>) -> WorkloadEntry {
        let wrong = wrong.or_else(|| sense::of_generations(self.generation, observed));
        let wrong = wrong.map(Arc::from);
        WorkloadEntry { observed: Some(observed.unwrap_or(0)), wrong, ..self }
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
            revision: revision(meta),
            hash: words.maybe(
                meta.labels
                    .as_ref()
                    .and_then(|map| map.get(label::ROLLOUTS_POD_TEMPLATE_HASH))
                    .map(String::as_str),
            ),
            reused: note(meta, annotation::REVISION_HISTORY).is_some()
                || note(meta, annotation::ROLLOUT_REVISION_HISTORY).is_some(),
            deploy: words.maybe(note(meta, annotation::DEPLOY)),
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
            deploy: words.maybe(note(meta, annotation::DEPLOY)),
            template_generation: note(meta, annotation::TEMPLATE_GENERATION)
                .and_then(|number| number.parse().ok()),
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
            complete: end_of(conditions, ["Complete", "SuccessCriteriaMet"], words),
            failure: end_of(conditions, ["Failed", "FailureTarget"], words),
        }
    }
}

/// How a Job ended, or how its controller knows that it will, once its pods have (KEP-3998, KEP-3329).
fn end_of(
    conditions: Option<&Vec<types::Condition>>,
    [end, target]: [&str; 2],
    words: &mut Words,
) -> Option<Condition> {
    let end = Condition::pick(conditions, end, words);
    if end.as_ref().is_some_and(Condition::holds) {
        return end;
    }
    Condition::pick(conditions, target, words).filter(Condition::holds).or(end)
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
pub(super) fn asked(number: Option<i32>) -> u32 {
    number.map_or(1, |number| u32::try_from(number).unwrap_or(0))
}

pub(super) fn count(number: Option<i32>) -> u32 {
    number.and_then(|number| u32::try_from(number).ok()).unwrap_or(0)
}

fn created(meta: &types::ObjectMeta) -> i64 {
    meta.creation_timestamp.as_ref().map_or(0, types::nanos)
}

/// Argo copies what a Rollout is annotated with, which may have been a Deployment once: its own counts.
pub(super) fn revision(meta: &types::ObjectMeta) -> Option<i64> {
    let number = note(meta, annotation::ROLLOUT_REVISION);
    number.or_else(|| note(meta, annotation::REVISION)).and_then(|number| number.parse().ok())
}

/// The one manager that decoding keeps.
fn manager(meta: &types::ObjectMeta) -> Option<&str> {
    meta.managed_fields.as_ref()?.first()?.manager.as_deref()
}

fn cause(meta: &types::ObjectMeta) -> Option<&str> {
    let cause = note(meta, annotation::CHANGE_CAUSE)?;
    let mut end = cause.len().min(LONGEST_CAUSE);
    while !cause.is_char_boundary(end) {
        end -= 1;
    }
    Some(&cause[..end])
}

pub(super) fn note<'a>(meta: &'a types::ObjectMeta, name: &str) -> Option<&'a str> {
    let notes: &BTreeMap<String, String> = meta.annotations.as_ref()?;
    notes.get(name).map(String::as_str)
}
