//! What the index keeps of a pod: under a kilobyte of 10.

use std::borrow::Cow;
use std::sync::Arc;

use super::condition::{Condition, Why, cut};
use super::intern::Words;
use super::labels::Labels;
use crate::cluster::types::{self, annotation, label};
use crate::ids::{ContainerKind, WorkloadId};

/// A pod, as far as this program needs to know it. A value is never changed; the next state of the
/// pod is the next entry.
#[derive(Clone, Debug, PartialEq)]
pub struct PodEntry {
    /// Its identity: the object's uid, or for a static pod the hash of its file and its namespace,
    /// which stay the same when its mirror object is replaced (`truths.md` 9).
    pub uid: Arc<str>,
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// The node it is bound to.
    pub node: Option<Arc<str>>,
    /// The top-most owner that is a workload.
    pub workload: Arc<WorkloadId>,
    /// Uid of its direct controller: a ReplicaSet, a StatefulSet, a Job.
    pub owner: Option<Arc<str>>,
    /// `pod-template-hash`, `controller-revision-hash` or `rollouts-pod-template-hash`.
    pub hash: Option<Arc<str>>,
    /// Its labels, for a pod that nothing controls: it is a workload by itself, and selected by them.
    pub labels: Labels,
    /// `pod-template-generation`, for pods of DaemonSets.
    pub template_generation: Option<u32>,
    /// Creation time.
    pub created: i64,
    /// When its deletion was asked for, plus the grace that was given.
    pub deletion: Option<i64>,
    /// When the object was found to exist no more; by our clock.
    pub gone: Option<i64>,
    /// What the API calls its phase.
    pub phase: ApiPhase,
    /// The Ready condition.
    pub ready: Condition,
    /// The ContainersReady condition.
    pub containers_ready: Condition,
    /// The PodScheduled condition.
    pub scheduled: Condition,
    /// Why the pod as a whole is as it is, such as `Evicted`.
    pub why: Option<Box<Why>>,
    /// It has readiness gates: others have a say in its readiness.
    pub readiness_gates: bool,
    /// Its containers: init containers and sidecars, ordinary ones, ephemeral ones.
    pub containers: Box<[ContainerEntry]>,
    /// When this state was seen, by our clock.
    pub seen: i64,
}

/// The pod's phase as the API has it. A closed list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ApiPhase {
    /// Not all containers have been started once.
    #[default]
    Pending,
    /// Bound, and at least one container runs or is being restarted.
    Running,
    /// All containers ended well and stay ended.
    Succeeded,
    /// All containers ended, at least one badly.
    Failed,
    /// The node cannot be asked.
    Unknown,
    /// A word that Kubernetes does not have.
    Unrecognized,
}

impl ApiPhase {
    /// It ended, and stays so.
    pub fn is_over(self) -> bool {
        matches!(self, ApiPhase::Succeeded | ApiPhase::Failed)
    }
}

/// One container of a pod.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerEntry {
    /// Its name.
    pub name: Arc<str>,
    /// Its image as it was written.
    pub image: Option<Arc<str>>,
    /// The runtime's id of the newest attempt; `None` before the first.
    pub container_id: Option<Arc<str>>,
    /// What it does.
    pub state: ContainerRun,
    /// How the attempt before the newest ended.
    pub last: Option<Box<Ended>>,
    /// How often it was restarted.
    pub restarts: u32,
    /// What it is for.
    pub kind: ContainerKind,
    /// It has a readiness probe.
    pub has_readiness: bool,
    /// The kubelet calls it ready.
    pub ready: bool,
}

/// What a container does.
#[derive(Clone, Debug, PartialEq)]
pub enum ContainerRun {
    /// Not started, or between two attempts, with the reason.
    Waiting(Option<Box<Why>>),
    /// Runs.
    Running {
        /// Since when, in nanoseconds by the node's clock.
        started: Option<i64>,
    },
    /// Ended.
    Terminated(Box<Ended>),
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// Its exit code.
    pub exit_code: i32,
    /// The signal, if the runtime tells.
    pub signal: Option<i32>,
    /// Such as `Error`, `OOMKilled`, `Completed`.
    pub reason: Option<Arc<str>>,
    /// In words.
    pub message: Option<Arc<str>>,
    /// When it started, by the node's clock.
    pub started: Option<i64>,
    /// When it ended, by the node's clock.
    pub finished: Option<i64>,
    /// The runtime's id of this attempt.
    pub container_id: Option<Arc<str>>,
}

/// The direct controller of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) group: Arc<str>,
    pub(super) kind: Arc<str>,
    pub(super) name: Arc<str>,
    pub(super) uid: Arc<str>,
}

// === impl ContainerEntry ===

impl ContainerEntry {
    /// Whether its newest attempt, or the one before, ended in failure.
    pub fn has_failed(&self) -> bool {
        let newest = match &self.state {
            ContainerRun::Terminated(ended) => Some(&**ended),
            ContainerRun::Waiting(_) | ContainerRun::Running { .. } => None,
        };
        let mut ends = newest.into_iter().chain(self.last.as_deref());
        ends.any(|ended| ended.exit_code != 0)
    }
}

// === impl PodEntry ===

impl PodEntry {
    /// Restarts of all its containers together.
    pub fn restarts(&self) -> u32 {
        self.containers.iter().fold(0, |sum, container| sum.saturating_add(container.restarts))
    }

    /// One of its containers.
    pub fn container(&self, name: &str) -> Option<&ContainerEntry> {
        self.containers.iter().find(|container| &*container.name == name)
    }

    /// Makes the compact form. `before` is the entry it replaces, whose allocations are used again.
    pub(super) fn new(
        pod: &types::Pod,
        workload: Arc<WorkloadId>,
        before: Option<&PodEntry>,
        seen: i64,
        words: &mut Words,
    ) -> PodEntry {
        let meta = &pod.metadata;
        let status = &pod.status;
        let mut condition =
            |kind| Condition::pick(status.conditions.as_ref(), kind, words).unwrap_or_default();
        let ready = condition("Ready");
        let containers_ready = condition("ContainersReady");
        let scheduled = condition("PodScheduled");
        let text = |map: &Option<std::collections::BTreeMap<String, String>>, key: &str| {
            map.as_ref().and_then(|map| map.get(key).cloned())
        };
        let hash = text(&meta.labels, label::POD_TEMPLATE_HASH)
            .or_else(|| text(&meta.labels, label::CONTROLLER_REVISION_HASH))
            .or_else(|| text(&meta.labels, label::ROLLOUTS_POD_TEMPLATE_HASH));
        let uid = identity(pod);
        let alone = controller(meta).is_none();
        PodEntry {
            uid: reused(before.map(|entry| &entry.uid), &uid),
            namespace: words.word(meta.namespace.as_deref().unwrap_or_default()),
            name: reused(before.map(|e| &e.name), meta.name.as_deref().unwrap_or_default()),
            node: words.maybe(pod.spec.node_name.as_deref()),
            workload,
            owner: controller(meta).map(|owner| words.word(&owner.uid)),
            hash: words.maybe(hash.as_deref()),
            labels: Labels::new(meta.labels.as_ref().filter(|_| alone), words),
            template_generation: text(&meta.labels, label::POD_TEMPLATE_GENERATION)
                .and_then(|number| number.parse().ok()),
            created: meta.creation_timestamp.as_ref().map_or(0, types::nanos),
            deletion: meta.deletion_timestamp.as_ref().map(types::nanos),
            gone: None,
            phase: match status.phase.as_deref() {
                Some("Running") => ApiPhase::Running,
                Some("Succeeded") => ApiPhase::Succeeded,
                Some("Failed") => ApiPhase::Failed,
                Some("Unknown") => ApiPhase::Unknown,
                Some("Pending" | "") | None => ApiPhase::Pending,
                Some(_) => ApiPhase::Unrecognized,
            },
            ready,
            containers_ready,
            scheduled,
            why: Why::of(status.reason.as_deref(), status.message.as_deref(), words),
            readiness_gates: pod.spec.readiness_gates.as_ref().is_some_and(|g| !g.is_empty()),
            containers: containers(pod, before, words),
            seen,
        }
    }

    /// Whether it says the same as another entry, whenever that was seen.
    pub(super) fn same(&self, other: &PodEntry) -> bool {
        PodEntry { seen: other.seen, ..self.clone() } == *other
    }

    /// Rough heap size in bytes of what it does not share with others.
    pub(super) fn bytes(&self) -> usize {
        let text = |text: &Arc<str>| text.len() + 16;
        let why = |why: &Option<Box<Why>>| why.as_ref().map_or(0, |why| why.bytes());
        let own = size_of::<PodEntry>() + 16 + text(&self.uid) + text(&self.name);
        let conditions = [&self.ready, &self.containers_ready, &self.scheduled];
        let reasons = conditions.iter().map(|condition| why(&condition.why)).sum::<usize>();
        let containers = self.containers.iter().map(ContainerEntry::bytes).sum::<usize>();
        own + self.labels.bytes() + reasons + why(&self.why) + containers
    }
}

/// The containers of a pod that was read rather than watched; nothing is shared with the index.
pub fn containers_of(pod: &types::Pod) -> Box<[ContainerEntry]> {
    containers(pod, None, &mut Words::new())
}

/// The identity of a pod, as [`PodEntry::uid`] has it.
pub fn identity(pod: &types::Pod) -> Cow<'_, str> {
    match static_hash(&pod.metadata) {
        // Whoever may make pods in one namespace may not pass for a pod of another.
        Some(hash) => {
            let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
            Cow::Owned(format!("{hash}-{namespace}"))
        }
        None => Cow::Borrowed(pod.metadata.uid.as_deref().unwrap_or_default()),
    }
}

/// The hash of a static pod's file, of a mirror object as a kubelet makes it (`CreateMirrorPod`): controlled
/// by its node, with the same hash in both annotations. Anybody can write one of them into a template.
fn static_hash(meta: &types::ObjectMeta) -> Option<&str> {
    // That of an MD5 has 32 digits.
    const LONGEST: usize = 64;
    let annotations = meta.annotations.as_ref()?;
    let hash = annotations.get(annotation::CONFIG_HASH)?;
    let is_hash = (1..=LONGEST).contains(&hash.len())
        && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let mirrors = annotations.get(annotation::CONFIG_MIRROR) == Some(hash);
    let of_node = controller(meta).is_some_and(|owner| owner.kind == "Node");
    (is_hash && mirrors && of_node).then_some(hash)
}

/// The owner that controls an object; there is at most one.
pub(super) fn controller(meta: &types::ObjectMeta) -> Option<&types::OwnerReference> {
    meta.owner_references.as_ref()?.iter().find(|owner| owner.controller == Some(true))
}

fn containers(
    pod: &types::Pod,
    before: Option<&PodEntry>,
    words: &mut Words,
) -> Box<[ContainerEntry]> {
    let (spec, status) = (&pod.spec, &pod.status);
    let groups = [
        (ContainerKind::Init, spec.init_containers.as_ref(), &status.init_container_statuses),
        (ContainerKind::App, Some(&spec.containers), &status.container_statuses),
        (
            ContainerKind::Ephemeral,
            spec.ephemeral_containers.as_ref(),
            &status.ephemeral_container_statuses,
        ),
    ];
    let mut entries = Vec::new();
    for (kind, specs, statuses) in groups {
        for spec in specs.into_iter().flatten() {
            let status = statuses.iter().flatten().find(|status| status.name == spec.name);
            let before = before.and_then(|entry| entry.container(&spec.name));
            let sidecar =
                kind == ContainerKind::Init && spec.restart_policy.as_deref() == Some("Always");
            let kind = if sidecar { ContainerKind::Sidecar } else { kind };
            entries.push(ContainerEntry::new(spec, status, kind, before, words));
        }
    }
    entries.into_boxed_slice()
}

// === impl ContainerEntry ===

impl ContainerEntry {
    fn new(
        spec: &types::ContainerSpec,
        status: Option<&types::ContainerStatus>,
        kind: ContainerKind,
        before: Option<&ContainerEntry>,
        words: &mut Words,
    ) -> ContainerEntry {
        let known = before.and_then(|container| container.container_id.as_ref());
        let id = status.and_then(|status| status.container_id.as_deref());
        let id = id.filter(|id| !id.is_empty()).map(|id| reused(known, id));
        let state = status.and_then(|status| status.state.as_ref());
        let last = status.and_then(|status| status.last_state.as_ref()?.terminated.as_ref());
        ContainerEntry {
            name: words.word(&spec.name),
            image: words.maybe(spec.image.as_deref()),
            state: ContainerRun::new(state, id.as_ref(), words).with_cause(before),
            last: last.map(|ended| Box::new(Ended::new(ended, id.as_ref(), words))),
            container_id: id,
            restarts: status.map_or(0, |status| u32::try_from(status.restart_count).unwrap_or(0)),
            kind,
            has_readiness: spec.readiness_probe.is_some(),
            ready: status.is_some_and(|status| status.ready),
        }
    }

    /// The runtime's id of the attempt that runs or that ended last, whichever is newest.
    pub fn attempt_id(&self) -> Option<&Arc<str>> {
        match &self.state {
            ContainerRun::Terminated(ended) => {
                ended.container_id.as_ref().or(self.container_id.as_ref())
            }
            _ => self.container_id.as_ref(),
        }
    }

    fn bytes(&self) -> usize {
        let id = self.container_id.as_ref().map_or(0, |id| id.len() + 16);
        let ended = |ended: &Ended| {
            let id = ended.container_id.as_ref().map_or(0, |id| id.len() + 16);
            size_of::<Ended>() + id + ended.message.as_ref().map_or(0, |m| m.len() + 16)
        };
        let state = match &self.state {
            ContainerRun::Waiting(why) => why.as_ref().map_or(0, |why| why.bytes()),
            ContainerRun::Running { .. } => 0,
            ContainerRun::Terminated(end) => ended(end),
        };
        size_of::<ContainerEntry>() + id + state + self.last.as_ref().map_or(0, |last| ended(last))
    }
}

impl ContainerRun {
    fn new(
        state: Option<&types::ContainerState>,
        id: Option<&Arc<str>>,
        words: &mut Words,
    ) -> ContainerRun {
        let Some(state) = state else { return ContainerRun::Waiting(None) };
        if let Some(running) = &state.running {
            return ContainerRun::Running { started: running.started_at };
        }
        if let Some(ended) = &state.terminated {
            return ContainerRun::Terminated(Box::new(Ended::new(ended, id, words)));
        }
        let why = state.waiting.as_ref().and_then(|waiting| {
            Why::of(waiting.reason.as_deref(), waiting.message.as_deref(), words)
        });
        ContainerRun::Waiting(why)
    }
}

impl ContainerRun {
    /// Before 1.31 the kubelet says why a pull failed only in `ErrImagePull`, and no longer in the
    /// `ImagePullBackOff` that follows it: the cause is carried over.
    fn with_cause(self, before: Option<&ContainerEntry>) -> ContainerRun {
        let ContainerRun::Waiting(Some(why)) = &self else { return self };
        let tells = why.message.as_ref().is_some_and(|message| message.contains("ErrImagePull"));
        if why.reason.as_deref() != Some("ImagePullBackOff") || tells {
            return self;
        }
        let Some(ContainerRun::Waiting(Some(before))) = before.map(|before| &before.state) else {
            return self;
        };
        let pulls = matches!(before.reason.as_deref(), Some("ErrImagePull" | "ImagePullBackOff"));
        if !pulls || before.message.is_none() {
            return self;
        }
        let (reason, message) = (why.reason.clone(), before.message.clone());
        ContainerRun::Waiting(Some(Box::new(Why { reason, message })))
    }
}

impl Ended {
    fn new(
        ended: &types::ContainerStateTerminated,
        id: Option<&Arc<str>>,
        words: &mut Words,
    ) -> Ended {
        let own = ended.container_id.as_deref().filter(|id| !id.is_empty());
        Ended {
            exit_code: ended.exit_code,
            signal: ended.signal.filter(|signal| *signal != 0),
            reason: words.maybe(ended.reason.as_deref()),
            message: ended.message.as_deref().filter(|message| !message.is_empty()).map(cut),
            started: ended.started_at,
            finished: ended.finished_at,
            container_id: own.map(|own| reused(id, own)),
        }
    }
}

/// The allocation that is already there, if it says the same.
fn reused(before: Option<&Arc<str>>, now: &str) -> Arc<str> {
    match before {
        Some(before) if **before == *now => Arc::clone(before),
        _ => Arc::from(now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_stays_as_small_as_the_memory_target_counts_on() {
        assert!(size_of::<PodEntry>() <= 304, "{}", size_of::<PodEntry>());
        assert!(size_of::<ContainerEntry>() <= 88, "{}", size_of::<ContainerEntry>());
    }
}
