//! The JSON shapes of everything but log lines.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::escape::SafeFormatter;
use super::result::{self, ResultJson};
use crate::ids::{
    Blocker, ContainerKind, ContainerState, ContainerStatus, Gap, KubeEvent, PodPhase, PodStatus,
    RolloutPhase, RolloutResult, RolloutStatus, Side, SourceChange, SourceState, WorkloadId,
};
use crate::time::rfc3339;

/// Serialises a value as one line of JSON that is safe in every sink.
pub fn to_json<T: Serialize>(value: &T) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    push_json(&mut out, value);
    out
}

pub(super) fn push_json<T: Serialize>(out: &mut Vec<u8>, value: &T) {
    let mut serializer = serde_json::Serializer::with_formatter(out, SafeFormatter);
    // Writing into a Vec cannot fail, and no type here has a map with keys that are no strings.
    let written = value.serialize(&mut serializer);
    debug_assert!(written.is_ok());
}

/// The object of the `rollout` event as `GET …/rollout` answers with it: with the result, if there is
/// one.
pub fn rollout_json(
    workload: &WorkloadId,
    status: &RolloutStatus,
    ended: Option<&RolloutResult>,
) -> Vec<u8> {
    let result = ended.map(|ended| result::json(workload, ended));
    to_json(&Rollout { result, ..rollout(status) })
}

/// The last rollouts of a workload with their results, newest first.
pub fn rollouts_json(
    workload: &WorkloadId,
    rollouts: &[(&RolloutStatus, Option<&RolloutResult>)],
) -> Vec<u8> {
    #[derive(Serialize)]
    struct Rollouts<'a> {
        rollouts: Vec<Rollout<'a>>,
    }
    let mut all = Vec::with_capacity(rollouts.len());
    for (status, ended) in rollouts {
        let result = ended.map(|ended| result::json(workload, ended));
        all.push(Rollout { result, ..rollout(status) });
    }
    to_json(&Rollouts { rollouts: all })
}

/// A span of whole seconds for people: `42s`, `1m48s`, `2h05m`.
pub fn span(seconds: u64) -> String {
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds:02}s"),
        (hours, minutes, _) => format!("{hours}h{minutes:02}m"),
    }
}

/// One workload in the answer of `GET /api/v1/workloads`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WorkloadSummary<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its kind on the wire.
    pub kind: &'a str,
    /// Its name.
    pub name: &'a str,
    /// The object's uid.
    pub uid: &'a str,
    /// The rollout's phase.
    pub phase: &'static str,
    /// Replicas asked for.
    pub desired: u32,
    /// Pods of the new revision.
    pub updated: u32,
    /// Of these, ready.
    pub ready: u32,
    /// The newest revision.
    pub revision: Option<&'a str>,
    /// Images of the newest revision.
    pub images: Vec<&'a str>,
    /// When the rollout state changed last.
    pub changed: Option<String>,
    /// What is wrong, in a sentence; empty if nothing is.
    pub message: &'a str,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Rollout<'a> {
    /// When this state was seen.
    time: String,
    /// Where it stands.
    phase: &'static str,
    /// The revision that is rolled out, once it has one.
    revision: Option<&'a str>,
    /// The revision before.
    previous: Option<&'a str>,
    /// The generation of the workload's object.
    generation: i64,
    /// The image of each container, by its name.
    images: BTreeMap<&'a str, Image<'a>>,
    /// Pods that are asked for.
    desired: u32,
    /// Pods of the new revision.
    updated: u32,
    /// Of these, ready.
    ready: u32,
    /// Of these, available.
    available: u32,
    /// Pods of other revisions.
    old: u32,
    /// When it began.
    started: Option<String>,
    /// When it was over.
    finished: Option<String>,
    /// How long it had run when this was seen.
    elapsed_ms: Option<u64>,
    /// The workload's own deadline.
    deadline_ms: Option<u64>,
    /// Who changed the workload last, by the name of its field manager.
    by: Option<&'a str>,
    /// Annotation `kubernetes.io/change-cause`.
    change_cause: Option<&'a str>,
    /// It was called failed, and completed after all.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    recovered: bool,
    /// What keeps it back.
    reasons: Vec<Why<'a>>,
    /// The same in one sentence; empty if nothing does.
    message: &'a str,
    /// How it ended; only in answers to `GET`, and only then.
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<ResultJson<'a>>,
}

#[derive(Serialize, JsonSchema)]
struct Image<'a> {
    /// Before, if it changes.
    from: Option<&'a str>,
    /// From now on.
    to: &'a str,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Pod<'a> {
    /// When this state was seen.
    time: String,
    /// The pod's name.
    pod: &'a str,
    /// Its uid.
    uid: &'a str,
    /// The node it is bound to.
    node: Option<&'a str>,
    /// The revision it belongs to.
    revision: Option<&'a str>,
    /// Whether it belongs to the newest revision.
    side: &'static str,
    /// What it is doing.
    phase: &'static str,
    /// More of that: init containers that are done.
    phase_detail: Option<&'a str>,
    /// Whether it is ready.
    ready: bool,
    /// Restarts of all its containers.
    restarts: u32,
    /// Kubernetes' word for what is wrong.
    reason: Option<&'a str>,
    /// The same in one sentence.
    message: Option<&'a str>,
    /// Its containers.
    containers: Vec<Container<'a>>,
}

#[derive(Serialize, JsonSchema)]
struct Container<'a> {
    /// Its name.
    name: &'a str,
    /// What it is for.
    kind: &'static str,
    /// What it does.
    state: &'static str,
    /// Which of its runs this is, from 1.
    attempt: u32,
    /// Kubernetes' word for why.
    reason: Option<&'a str>,
    /// How its last run ended.
    exit_code: Option<i32>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Event<'a> {
    /// When it happened last.
    time: String,
    /// `Normal` or `Warning`.
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<&'static str>,
    /// The same in NDJSON, where `type` names the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    event_type: Option<&'static str>,
    /// The machine's word.
    reason: &'a str,
    /// The sentence.
    message: &'a str,
    /// What it is about.
    object: Object<'a>,
    /// How often it happened.
    count: u32,
}

#[derive(Serialize, JsonSchema)]
struct Object<'a> {
    /// Its kind, in lower case.
    kind: &'a str,
    /// Its name.
    name: &'a str,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Source<'a> {
    /// When.
    time: String,
    /// The pod's name.
    pod: &'a str,
    /// The container's name.
    container: &'a str,
    /// Which of its runs, from 1.
    attempt: u32,
    /// What is done with its log.
    state: &'static str,
    /// Whether reading began at its first line, once that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    from_start: Option<bool>,
    /// Whether all of it was read, once it has ended.
    complete: Option<bool>,
    /// Lines of the run, if all were counted.
    lines: Option<u64>,
    /// Why it waits, or what is wrong: `budget` (as many logs as may are followed already), `pace` (it is read as fast
    /// as may be), `container_waiting`, `not_found`, `forbidden`, `busy`, `refused`, `transport`, `last_read`,
    /// `kubelet_message`, `retry` (what a read came to, before the next one), `node_unreachable`, `clock_ahead`,
    /// `clock_behind`, `clock_step` (the clock of its node); of one that has ended, what is wrong as a `gap` says it.
    reason: Option<&'a str>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct GapEvent<'a> {
    /// When it was noticed.
    time: String,
    /// Why.
    reason: &'static str,
    /// The pod, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pod: Option<&'a str>,
    /// The container.
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<&'a str>,
    /// Which of its runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    /// Time of the last line before.
    from: Option<String>,
    /// Time of the first line after.
    to: Option<String>,
    /// Lines that are missing, before filters; `null` if that cannot be known.
    count: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
struct Why<'a> {
    /// Our word.
    code: &'static str,
    /// One sentence.
    message: &'a str,
    /// The pods that suffer from it.
    pods: &'a [Arc<str>],
    /// Since when.
    since: Option<String>,
    /// Whether it cannot pass by itself.
    certain: bool,
}

fn blocker(blocker: &Blocker) -> Why<'_> {
    Why {
        code: blocker.code.as_str(),
        message: &blocker.message,
        pods: &blocker.pods,
        since: blocker.since.map(rfc3339),
        certain: blocker.code.is_certain(),
    }
}

pub(super) fn rollout(status: &RolloutStatus) -> Rollout<'_> {
    Rollout {
        time: rfc3339(status.time),
        phase: phase_word(status.phase),
        revision: status.revision.as_deref(),
        previous: status.previous.as_deref(),
        generation: status.generation,
        images: status
            .images
            .iter()
            .map(|image| (&*image.container, Image { from: image.from.as_deref(), to: &image.to }))
            .collect(),
        desired: status.desired,
        updated: status.updated,
        ready: status.ready,
        available: status.available,
        old: status.old,
        started: status.started.map(rfc3339),
        finished: status.finished.map(rfc3339),
        elapsed_ms: status.elapsed_seconds(status.time).map(|seconds| seconds * 1000),
        deadline_ms: status.deadline_ms,
        by: status.by.as_deref(),
        change_cause: status.change_cause.as_deref(),
        recovered: status.recovered,
        reasons: status.reasons.iter().map(blocker).collect(),
        message: &status.message,
        result: None,
    }
}

pub(super) fn pod(status: &PodStatus) -> impl Serialize + '_ {
    Pod {
        time: rfc3339(status.time),
        pod: &status.pod,
        uid: &status.uid,
        node: status.node.as_deref(),
        revision: status.revision.as_deref(),
        side: side_word(status.side),
        phase: pod_phase_word(status.phase),
        phase_detail: status.phase_detail.as_deref(),
        ready: status.ready,
        restarts: status.restarts,
        reason: status.reason.as_deref(),
        message: status.message.as_deref(),
        containers: status.containers.iter().map(container).collect(),
    }
}

fn container(status: &ContainerStatus) -> Container<'_> {
    Container {
        name: &status.name,
        kind: match status.kind {
            ContainerKind::App => "app",
            ContainerKind::Init => "init",
            ContainerKind::Sidecar => "sidecar",
            ContainerKind::Ephemeral => "ephemeral",
        },
        state: match status.state {
            ContainerState::Waiting => "waiting",
            ContainerState::Running => "running",
            ContainerState::Terminated => "terminated",
        },
        attempt: status.attempt,
        reason: status.reason.as_deref(),
        exit_code: status.exit_code,
    }
}

/// `beside_type`: the object has a `type` of its own already, which says that it is an event.
pub(super) fn event(event: &KubeEvent, beside_type: bool) -> Event<'_> {
    let kind = if event.warning { "Warning" } else { "Normal" };
    Event {
        time: rfc3339(event.time),
        r#type: (!beside_type).then_some(kind),
        event_type: beside_type.then_some(kind),
        reason: &event.reason,
        message: &event.message,
        object: Object { kind: &event.object_kind, name: &event.object_name },
        count: event.count,
    }
}

pub(super) fn source(change: &SourceChange) -> impl Serialize + '_ {
    Source {
        time: rfc3339(change.time),
        pod: &change.source.pod,
        container: &change.source.key.container,
        attempt: change.source.attempt,
        state: match change.state {
            SourceState::Waiting => "waiting",
            SourceState::Following => "following",
            SourceState::Ended => "ended",
        },
        from_start: change.from_start,
        complete: change.complete,
        lines: change.lines,
        reason: change.reason.as_deref(),
    }
}

pub(super) fn gap(gap: &Gap) -> impl Serialize + '_ {
    let source = gap.source.as_deref();
    GapEvent {
        time: rfc3339(gap.time),
        reason: gap.reason.as_str(),
        pod: source.map(|source| &*source.pod),
        container: source.map(|source| &*source.key.container),
        attempt: source.map(|source| source.attempt),
        from: gap.from.map(rfc3339),
        to: gap.to.map(rfc3339),
        count: gap.count,
    }
}

/// The wire's word for a rollout phase.
pub(super) fn phase_word(phase: RolloutPhase) -> &'static str {
    match phase {
        RolloutPhase::Waiting => "waiting",
        RolloutPhase::Progressing => "progressing",
        RolloutPhase::Paused => "paused",
        RolloutPhase::WaitingForDelete => "waiting_for_delete",
        RolloutPhase::Stalled => "stalled",
        RolloutPhase::Complete => "complete",
        RolloutPhase::ScaledToZero => "scaled_to_zero",
        RolloutPhase::Unknown => "unknown",
        RolloutPhase::Deleted => "deleted",
    }
}

/// The wire's word for a pod phase.
pub(super) fn pod_phase_word(phase: PodPhase) -> &'static str {
    match phase {
        PodPhase::Unscheduled => "unscheduled",
        PodPhase::Pulling => "pulling",
        PodPhase::Init => "init",
        PodPhase::Starting => "starting",
        PodPhase::Running => "running",
        PodPhase::Ready => "ready",
        PodPhase::Failing => "failing",
        PodPhase::Succeeded => "succeeded",
        PodPhase::Terminating => "terminating",
        PodPhase::Gone => "gone",
    }
}

/// The wire's word for a side.
pub(super) fn side_word(side: Side) -> &'static str {
    match side {
        Side::New => "new",
        Side::Old => "old",
    }
}

impl WorkloadSummary<'_> {
    /// The wire's word for a rollout phase.
    pub fn phase(phase: RolloutPhase) -> &'static str {
        phase_word(phase)
    }
}
