//! A pod's phase for people, with reason and message (design section 6).

use std::sync::Arc;

use super::revision;
use super::trouble::Trouble;
use crate::ids::{ContainerKind, ContainerState, ContainerStatus, PodPhase, PodStatus};
use crate::watch::{ApiPhase, ContainerEntry, ContainerRun, Ended, PodEntry, Truth, WorkloadEntry};

/// What a pod is doing, and what is wrong with it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Judged {
    pub(super) phase: PodPhase,
    pub(super) detail: Option<Arc<str>>,
    pub(super) trouble: Option<Trouble>,
}

/// The record of a pod. `pulling` is what events say: no status tells a pull from any other start.
pub(super) fn status(workload: Option<&WorkloadEntry>, pod: &PodEntry, pulling: bool) -> PodStatus {
    let mut judged = judge(pod);
    if pulling && judged.phase == PodPhase::Starting {
        judged.phase = PodPhase::Pulling;
    }
    PodStatus {
        time: pod.gone.unwrap_or(pod.seen),
        pod: Arc::clone(&pod.name),
        uid: Arc::clone(&pod.uid),
        node: pod.node.clone(),
        revision: revision::of_pod(workload, pod),
        side: revision::side(workload, pod),
        phase: judged.phase,
        phase_detail: judged.detail,
        ready: pod.ready.holds() && pod.gone.is_none(),
        restarts: pod.restarts(),
        reason: judged.trouble.as_ref().map(|trouble| Arc::clone(&trouble.reason)),
        message: judged.trouble.as_ref().map(|trouble| trouble.sentence().into()),
        containers: pod.containers.iter().map(container).collect(),
        quiet: false,
    }
}

/// Decides on the phase. The first rule that fits counts.
pub(super) fn judge(pod: &PodEntry) -> Judged {
    let plain = |phase| Judged { phase, detail: None, trouble: None };
    if pod.gone.is_some() {
        return plain(PodPhase::Gone);
    }
    if pod.deletion.is_some() {
        return plain(PodPhase::Terminating);
    }
    match pod.phase {
        ApiPhase::Succeeded => return plain(PodPhase::Succeeded),
        ApiPhase::Failed => {
            let trouble = Some(failed(pod));
            return Judged { phase: PodPhase::Failing, detail: None, trouble };
        }
        _ => {}
    }
    if pod.node.is_none() && !pod.scheduled.holds() {
        return Judged { trouble: unscheduled(pod), ..plain(PodPhase::Unscheduled) };
    }
    if let Some(trouble) = pod.containers.iter().filter(|c| counts(c)).find_map(Trouble::of) {
        return Judged { phase: PodPhase::Failing, detail: None, trouble: Some(trouble) };
    }
    if let Some((done, all)) = init_progress(pod) {
        let detail = Some(format!("{done}/{all}").into());
        return Judged { detail, ..plain(PodPhase::Init) };
    }
    if pod.ready.holds() {
        return plain(PodPhase::Ready);
    }
    let mut apps = pod.containers.iter().filter(|c| c.kind == ContainerKind::App);
    if apps.all(|container| matches!(container.state, ContainerRun::Running { .. })) {
        return Judged { trouble: node_lost(pod), ..plain(PodPhase::Running) };
    }
    plain(PodPhase::Starting)
}

/// Ephemeral containers come and go by hand and say nothing about the pod.
fn counts(container: &ContainerEntry) -> bool {
    container.kind != ContainerKind::Ephemeral
}

/// How many of the init containers are done, until all are.
fn init_progress(pod: &PodEntry) -> Option<(usize, usize)> {
    let inits = || {
        let is_init = |kind| matches!(kind, ContainerKind::Init | ContainerKind::Sidecar);
        pod.containers.iter().filter(move |container| is_init(container.kind))
    };
    let done = |container: &&ContainerEntry| match &container.state {
        ContainerRun::Terminated(ended) => ended.exit_code == 0,
        ContainerRun::Running { .. } => container.kind == ContainerKind::Sidecar,
        ContainerRun::Waiting(_) => false,
    };
    // Once an ordinary container was started, initialising is over: what init containers say later
    // (a sidecar that restarts) is about something else.
    let apps = pod.containers.iter().filter(|container| container.kind == ContainerKind::App);
    let started = apps.into_iter().any(|container| container.container_id.is_some());
    let (done, all) = (inits().filter(done).count(), inits().count());
    (!started && done < all).then_some((done, all))
}

fn unscheduled(pod: &PodEntry) -> Option<Trouble> {
    let reason = pod.scheduled.reason()?;
    let message = pod.scheduled.message().map_or("", |message| message);
    let text = super::trouble::first_line(message);
    Some(Trouble { reason: Arc::clone(reason), text, restarts: None })
}

/// The node controller marks pods of a silent node as not ready, while their containers still count
/// as ready: that is no failing readiness (`truths.md` 20).
fn node_lost(pod: &PodEntry) -> Option<Trouble> {
    let lost = pod.ready.status != Truth::True
        && pod.ready.since.is_some()
        && pod.containers_ready.holds()
        && !pod.readiness_gates;
    let node = pod.node.as_deref().unwrap_or("of the pod");
    lost.then(|| Trouble {
        reason: "NodeLost".into(),
        text: format!("node {node} does not answer"),
        restarts: None,
    })
}

fn failed(pod: &PodEntry) -> Trouble {
    if let Some(why) = &pod.why
        && let Some(reason) = &why.reason
    {
        let message = why.message.as_deref().unwrap_or_default();
        let text = super::trouble::first_line(message);
        return Trouble { reason: Arc::clone(reason), text, restarts: None };
    }
    let trouble = pod.containers.iter().filter(|c| counts(c)).find_map(Trouble::of);
    trouble.unwrap_or_else(|| Trouble {
        reason: "Failed".into(),
        text: "the pod failed".to_owned(),
        restarts: None,
    })
}

fn container(container: &ContainerEntry) -> ContainerStatus {
    let code = |ended: &Ended| ended.exit_code;
    let last = container.last.as_deref();
    let (state, reason, exit_code) = match &container.state {
        ContainerRun::Waiting(why) => {
            let reason = why.as_ref().and_then(|why| why.reason.clone());
            (ContainerState::Waiting, reason, last.map(code))
        }
        ContainerRun::Running { .. } => (ContainerState::Running, None, last.map(code)),
        ContainerRun::Terminated(ended) => {
            (ContainerState::Terminated, ended.reason.clone(), Some(ended.exit_code))
        }
    };
    ContainerStatus {
        name: Arc::clone(&container.name),
        kind: container.kind,
        state,
        attempt: container.restarts.saturating_add(1),
        reason,
        exit_code,
    }
}
