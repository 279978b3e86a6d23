//! A pod's phase for people, with reason and message (design section 6).

use std::sync::Arc;

use super::revision;
use super::signs::Signs;
use super::trouble::{Trouble, cause_of_sandbox, first_line};
use crate::ids::{ContainerKind, ContainerState, ContainerStatus, PodPhase, PodStatus, Reason};
use crate::watch::{ApiPhase, ContainerEntry, ContainerRun, Ended, PodEntry, Truth, WorkloadEntry};

/// What a pod is doing, and what is wrong with it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Judged {
    pub(super) phase: PodPhase,
    pub(super) detail: Option<Arc<str>>,
    pub(super) trouble: Option<Trouble>,
}

/// The record of a pod, with what events say of it: no status tells a pull from any other start.
pub(super) fn status(
    workload: Option<&WorkloadEntry>,
    pod: &PodEntry,
    signs: Option<&Signs>,
) -> PodStatus {
    let mut judged = judge(pod, signs);
    let pulls = signs.is_some_and(Signs::pulls);
    if pulls && judged.phase == PodPhase::Starting && judged.trouble.is_none() {
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
pub(super) fn judge(pod: &PodEntry, signs: Option<&Signs>) -> Judged {
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
        return Judged { trouble: unscheduled(pod, signs), ..plain(PodPhase::Unscheduled) };
    }
    if let Some(mut trouble) = pod.containers.iter().filter(|c| counts(c)).find_map(Trouble::of) {
        trouble.since =
            trouble.since.or_else(|| waits_since(pod).max(pulled_at(pod, &trouble, signs)));
        let refused = trouble.image(pod).and_then(|image| signs?.refused(image));
        if let Some(said) = refused {
            trouble.is_refused(pod, said);
        }
        let name = trouble.container.as_deref();
        if let Some(said) = name.and_then(|name| signs?.killed_for(name)) {
            trouble.is_killed_for(said);
        }
        return Judged { phase: PodPhase::Failing, detail: None, trouble: Some(trouble) };
    }
    let blocked = || signs.filter(|_| has_nothing(pod)).and_then(unmade);
    if let Some((done, all)) = init_progress(pod) {
        let detail = Some(format!("{done}/{all}").into());
        return Judged { detail, trouble: blocked(), ..plain(PodPhase::Init) };
    }
    if pod.ready.holds() {
        return plain(PodPhase::Ready);
    }
    let mut apps = pod.containers.iter().filter(|c| c.kind == ContainerKind::App);
    if apps.all(|container| matches!(container.state, ContainerRun::Running { .. })) {
        let trouble = node_lost(pod).or_else(|| {
            // What crashed once may only be slow now; what crashes again and again has another cause.
            let (restarted, unready) = (Trouble::restarted(pod, signs), unready(pod, signs));
            let again = restarted.as_ref().is_some_and(|trouble| trouble.restarts > Some(1));
            if again || unready.is_none() { restarted } else { unready }
        });
        return Judged { trouble, ..plain(PodPhase::Running) };
    }
    Judged { trouble: blocked(), ..plain(PodPhase::Starting) }
}

/// Whether no container of it was ever made: then volumes and sandbox are what is waited for.
fn has_nothing(pod: &PodEntry) -> bool {
    pod.containers.iter().all(|container| container.container_id.is_none())
}

/// Why nothing of a pod was made yet, if events tell.
fn unmade(signs: &Signs) -> Option<Trouble> {
    let (code, what, sign, said) = match (&signs.volume, &signs.sandbox) {
        (Some(sign), _) => {
            let attaches = &*sign.reason == "FailedAttachVolume";
            let done = if attaches { "attached" } else { "mounted" };
            (Reason::VolumeFailed, format!("a volume cannot be {done}"), sign, &*sign.said)
        }
        (None, Some(sign)) => {
            let what = "the node cannot make the pod's sandbox".to_owned();
            (Reason::SandboxFailed, what, sign, cause_of_sandbox(&sign.said))
        }
        (None, None) => return None,
    };
    let text = format!("{what}: {}", first_line(said));
    let (reason, since) = (Arc::clone(&sign.reason), Some(sign.since));
    Some(Trouble { code, reason, text, restarts: None, container: None, since })
}

/// What its readiness probe found. An application that has just started is not ready either, so this
/// alone fails nothing.
fn unready(pod: &PodEntry, signs: Option<&Signs>) -> Option<Trouble> {
    let said = &*signs?.readiness.as_ref()?.said;
    let said = said.strip_prefix("Readiness probe failed: ").unwrap_or(said);
    Some(Trouble {
        code: Reason::ReadinessFailed,
        reason: "Unhealthy".into(),
        text: format!("its readiness probe fails: {}", first_line(said)),
        restarts: None,
        container: None,
        since: pod.ready.since.or(Some(pod.created)),
    })
}

/// No status says since when a container waits: not before its pod had a node, nor before what went on in
/// the pod last, since containers are made one after another.
fn waits_since(pod: &PodEntry) -> Option<i64> {
    let went_on = pod.containers.iter().flat_map(|container| {
        let now = match &container.state {
            ContainerRun::Running { started } => *started,
            ContainerRun::Terminated(ended) => ended.finished,
            ContainerRun::Waiting(_) => None,
        };
        [now, container.last.as_ref().and_then(|ended| ended.finished)]
    });
    went_on.chain([pod.scheduled.since, Some(pod.created)]).flatten().max()
}

/// When the image of the container had come for which a pod is in trouble: what it waits for now began
/// no sooner.
fn pulled_at(pod: &PodEntry, trouble: &Trouble, signs: Option<&Signs>) -> Option<i64> {
    let name = trouble.container.as_ref()?;
    let container = pod.containers.iter().find(|container| container.name == *name)?;
    signs?.pulled_at(container.image.as_deref()?)
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

/// Why no node takes it. An autoscaler that is adding one is no failure, however long it takes: then it
/// is not said since when.
fn unscheduled(pod: &PodEntry, signs: Option<&Signs>) -> Option<Trouble> {
    // A gate is somebody's wish (`truths.md` 21).
    let reason = pod.scheduled.reason().filter(|reason| &***reason != "SchedulingGated")?;
    let message = pod.scheduled.message().map_or("", |message| message);
    let mut text = first_line(message);
    let mut since = pod.scheduled.since.or(Some(pod.created));
    if signs.is_some_and(|signs| signs.scaling) {
        text.push_str("; an autoscaler is adding a node");
        since = None;
    }
    let (code, reason) = (Reason::Unschedulable, Arc::clone(reason));
    Some(Trouble { code, reason, text, restarts: None, container: None, since })
}

/// The node controller marks pods of a silent node as not ready, while their containers still count
/// as ready: that is no failing readiness (`truths.md` 20).
pub(super) fn node_lost(pod: &PodEntry) -> Option<Trouble> {
    let lost = pod.ready.status != Truth::True
        && pod.ready.since.is_some()
        && pod.containers_ready.holds()
        && !pod.readiness_gates;
    let node = pod.node.as_deref().unwrap_or("of the pod");
    lost.then(|| Trouble {
        code: Reason::NodeLost,
        since: pod.ready.since,
        reason: "NodeLost".into(),
        text: format!("node {node} does not answer"),
        restarts: None,
        container: None,
    })
}

fn failed(pod: &PodEntry) -> Trouble {
    if let Some(why) = &pod.why
        && let Some(reason) = &why.reason
    {
        let message = why.message.as_deref().unwrap_or_default();
        let text = first_line(message);
        let away = ["Evicted", "Preempting", "Shutdown", "Terminated", "NodeShutdown"];
        let code = if away.contains(&&**reason) { Reason::Evicted } else { Reason::PodFailed };
        let (reason, since) = (Arc::clone(reason), pod.ready.since);
        return Trouble { code, reason, text, restarts: None, container: None, since };
    }
    let trouble = pod.containers.iter().filter(|c| counts(c)).find_map(Trouble::of);
    trouble.unwrap_or_else(|| Trouble {
        code: Reason::PodFailed,
        since: pod.ready.since,
        reason: "Failed".into(),
        text: "the pod failed".to_owned(),
        restarts: None,
        container: None,
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
