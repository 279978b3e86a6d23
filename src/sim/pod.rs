//! A pod as its kubelet knows it, and as the API shows it.
//!
//! Invariants: the fields here are the kubelet's truth; the API shows them later, when the status
//! is written ([`super::kubelet`]). What the controllers may see is [`Published`].

use std::sync::Arc;

use serde_json::{Value, json};

use super::logs::Log;
use super::resource::Resource;
use super::spec::{Container, Program, Template};
use super::store::Labels;
use super::writer::Writer;
use crate::ids::ContainerKind;
use crate::time::rfc3339_seconds;

/// Names a pod within the simulation, in the order of creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct PodId(pub u64);

/// What owns a pod.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    pub kind: Resource,
    pub name: Arc<str>,
    pub uid: Arc<str>,
}

/// One pod.
#[derive(Debug)]
pub(super) struct Pod {
    pub namespace: Arc<str>,
    pub name: Arc<str>,
    pub uid: Arc<str>,
    pub owner: Option<Owner>,
    pub labels: Labels,
    pub template: Arc<Template>,
    /// Containers that end are started again; else the pod ends with them.
    pub restarts: bool,
    pub created: i64,
    pub scheduled: Option<i64>,
    pub node: Option<Arc<str>>,
    pub ip: String,
    /// In the template's order.
    pub runs: Vec<Run>,
    pub deletion: Option<Deletion>,
    /// What the API shows of it.
    pub published: Published,
    /// A status write is on its way.
    pub sync_pending: bool,
    pub ready_changed: i64,
    /// Since when its node is not heard of: the control plane then calls it not ready.
    pub lost_since: Option<i64>,
    /// Why no node takes it.
    pub unschedulable: Option<String>,
    pub initialized: Option<i64>,
}

/// Deletion was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deletion {
    pub at: i64,
    pub grace_seconds: u32,
}

/// What the controllers see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Published {
    pub ready_since: Option<i64>,
    pub phase: Phase,
}

/// `status.phase`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    #[default]
    Pending,
    Running,
    Succeeded,
    Failed,
}

/// One container of a pod.
#[derive(Debug)]
pub(super) struct Run {
    pub program: Arc<Program>,
    pub state: State,
    pub last: Option<End>,
    /// Its readiness probe passes.
    pub ready: bool,
    pub restart_count: u32,
    /// Grows with each start and end; what was planned for an earlier epoch is void.
    pub epoch: u64,
    pub id: Option<Arc<str>>,
    pub log: Option<Arc<Log>>,
    pub previous: Option<(Arc<str>, Arc<Log>)>,
    pub writer: Option<Writer>,
    /// Ends in a row that count for the back-off.
    pub failures: u32,
    /// Pulls in a row that failed.
    pub pull_failures: u32,
    /// A start is planned or done.
    pub begun: bool,
    /// A user's word beats the probe.
    pub forced_ready: Option<bool>,
}

/// `state` of a container.
#[derive(Clone, Debug)]
pub(super) enum State {
    Waiting { reason: &'static str, message: String },
    Running { since: i64 },
    Terminated(End),
}

/// How a container ended.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub code: i32,
    pub reason: &'static str,
    pub started: i64,
    pub finished: i64,
    pub id: Arc<str>,
}

// === impl Phase ===

impl Phase {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Phase::Pending => "Pending",
            Phase::Running => "Running",
            Phase::Succeeded => "Succeeded",
            Phase::Failed => "Failed",
        }
    }
}

// === impl Run ===

impl Run {
    pub(super) fn new(program: Arc<Program>) -> Self {
        Run {
            program,
            state: State::Waiting { reason: "ContainerCreating", message: String::new() },
            last: None,
            ready: false,
            restart_count: 0,
            epoch: 0,
            id: None,
            log: None,
            previous: None,
            writer: None,
            failures: 0,
            pull_failures: 0,
            begun: false,
            forced_ready: None,
        }
    }

    pub(super) fn running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    pub(super) fn is_ready(&self) -> bool {
        self.running() && self.forced_ready.unwrap_or(self.ready)
    }

    /// Ended with this exit code and is not going to run again by itself.
    fn ended(&self) -> Option<i32> {
        match &self.state {
            State::Terminated(end) => Some(end.code),
            _ => None,
        }
    }
}

// === impl Pod ===

impl Pod {
    pub(super) fn spec(&self, at: usize) -> &Container {
        &self.template.containers[at]
    }

    /// A container's place by its name.
    pub(super) fn find(&self, container: &str) -> Option<usize> {
        self.template.containers.iter().position(|one| one.name == container)
    }

    /// Places of the containers that count for readiness and the phase.
    fn apps(&self) -> impl Iterator<Item = (usize, &Run)> {
        self.runs.iter().enumerate().filter(|(at, _)| !self.before_apps(*at))
    }

    /// It is started before the ordinary containers.
    pub(super) fn before_apps(&self, at: usize) -> bool {
        matches!(self.spec(at).kind, ContainerKind::Init | ContainerKind::Sidecar)
    }

    /// Everything that must run before the ordinary containers has run, or runs.
    pub(super) fn init_done(&self) -> bool {
        self.runs.iter().enumerate().all(|(at, run)| match self.spec(at).kind {
            ContainerKind::Init => run.ended() == Some(0),
            ContainerKind::Sidecar => run.running() || run.restart_count > 0,
            _ => true,
        })
    }

    /// All its containers are ready.
    pub(super) fn ready(&self) -> bool {
        let counts = |at: usize| self.spec(at).kind != ContainerKind::Init;
        let all = self.runs.iter().enumerate().filter(|(at, _)| counts(*at));
        all.fold(None, |all: Option<bool>, (_, run)| Some(all.unwrap_or(true) && run.is_ready()))
            .unwrap_or(false)
    }

    pub(super) fn phase(&self) -> Phase {
        if self.scheduled.is_none() {
            return Phase::Pending;
        }
        let failed_init = self.runs.iter().enumerate().any(|(at, run)| {
            self.spec(at).kind == ContainerKind::Init && run.ended().is_some_and(|code| code != 0)
        });
        if failed_init && !self.restarts {
            return Phase::Failed;
        }
        if self.apps().any(|(_, run)| run.id.is_none()) {
            return Phase::Pending;
        }
        let done = !self.restarts || self.deletion.is_some();
        if done && self.apps().all(|(_, run)| run.ended().is_some()) {
            let good = self.apps().all(|(_, run)| run.ended() == Some(0));
            return if good { Phase::Succeeded } else { Phase::Failed };
        }
        Phase::Running
    }

    /// The object, as the API shows it when this state is written.
    pub(super) fn render(&self) -> Value {
        let mut metadata = json!({
            "name": &*self.name,
            "namespace": &*self.namespace,
            "uid": &*self.uid,
            "creationTimestamp": rfc3339_seconds(self.created),
            "generation": 1,
            "labels": &*self.labels,
        });
        if !self.template.annotations.is_empty() {
            metadata["annotations"] = json!(self.template.annotations);
        }
        if let Some(owner) = &self.owner {
            metadata["ownerReferences"] = owner.render();
        }
        if let Some(deletion) = &self.deletion {
            metadata["deletionTimestamp"] = rfc3339_seconds(deletion.at).into();
            metadata["deletionGracePeriodSeconds"] = deletion.grace_seconds.into();
        }
        let policy = if self.restarts { "Always" } else { "Never" };
        let mut spec = render_containers(&self.template);
        spec["restartPolicy"] = policy.into();
        spec["terminationGracePeriodSeconds"] = self.template.grace_seconds.into();
        spec["serviceAccountName"] = "default".into();
        if let Some(node) = &self.node {
            spec["nodeName"] = (**node).into();
        }
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec,
            "status": self.render_status(),
        })
    }

    fn render_status(&self) -> Value {
        let phase = self.phase();
        let mut status = json!({"phase": phase.as_str(), "qosClass": "BestEffort"});
        let Some(scheduled) = self.scheduled else {
            if let Some(message) = &self.unschedulable {
                status["conditions"] = json!([{
                    "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                    "message": message, "lastTransitionTime": rfc3339_seconds(self.created),
                }]);
            }
            return status;
        };
        let condition = |kind: &str, holds: bool, at: i64, reason: &str| {
            let mut condition = json!({
                "type": kind, "status": if holds { "True" } else { "False" },
                "lastTransitionTime": rfc3339_seconds(at),
            });
            if !holds && !reason.is_empty() {
                condition["reason"] = reason.into();
            }
            condition
        };
        let ready = self.ready();
        let reason = match phase {
            Phase::Succeeded => "PodCompleted",
            Phase::Failed => "PodFailed",
            _ => "ContainersNotReady",
        };
        let initialized = self.initialized.unwrap_or(scheduled);
        status["conditions"] = json!([
            condition("Initialized", self.init_done(), initialized, "ContainersNotInitialized"),
            condition(
                "Ready",
                ready && self.lost_since.is_none(),
                self.lost_since.unwrap_or(self.ready_changed),
                reason,
            ),
            condition("ContainersReady", ready, self.ready_changed, reason),
            condition("PodScheduled", true, scheduled, ""),
        ]);
        status["startTime"] = rfc3339_seconds(scheduled).into();
        status["observedGeneration"] = 1.into();
        if self.runs.iter().any(|run| run.id.is_some()) {
            status["podIP"] = self.ip.as_str().into();
            status["podIPs"] = json!([{"ip": self.ip}]);
        }
        let statuses = |before_apps: bool| -> Vec<Value> {
            (0..self.runs.len())
                .filter(|at| self.before_apps(*at) == before_apps)
                .map(|at| self.render_run(at))
                .collect()
        };
        status["containerStatuses"] = statuses(false).into();
        let before = statuses(true);
        if !before.is_empty() {
            status["initContainerStatuses"] = before.into();
        }
        status
    }

    fn render_run(&self, at: usize) -> Value {
        let (run, spec) = (&self.runs[at], self.spec(at));
        let ready =
            if spec.kind == ContainerKind::Init { run.ended() == Some(0) } else { run.is_ready() };
        let mut status = json!({
            "name": spec.name, "image": spec.image, "imageID": "", "ready": ready,
            "started": run.running(), "restartCount": run.restart_count, "lastState": {},
            "state": run.state.render(),
        });
        if let Some(id) = &run.id {
            status["containerID"] = format!("containerd://{id}").into();
            status["imageID"] = format!("{}@sha256:{id}", spec.image).into();
        }
        if let Some(end) = &run.last {
            status["lastState"] = json!({"terminated": end.render()});
        }
        status
    }
}

// === impl Owner ===

impl Owner {
    pub(super) fn render(&self) -> Value {
        json!([{
            "apiVersion": self.kind.api_version(), "kind": self.kind.kind(),
            "name": &*self.name, "uid": &*self.uid,
            "controller": true, "blockOwnerDeletion": true,
        }])
    }
}

// === impl State ===

impl State {
    fn render(&self) -> Value {
        match self {
            State::Waiting { reason, message } if message.is_empty() => {
                json!({"waiting": {"reason": reason}})
            }
            State::Waiting { reason, message } => {
                json!({"waiting": {"reason": reason, "message": message}})
            }
            State::Running { since } => {
                json!({"running": {"startedAt": rfc3339_seconds(*since)}})
            }
            State::Terminated(end) => json!({"terminated": end.render()}),
        }
    }
}

// === impl End ===

impl End {
    fn render(&self) -> Value {
        json!({
            "exitCode": self.code, "reason": self.reason,
            "startedAt": rfc3339_seconds(self.started),
            "finishedAt": rfc3339_seconds(self.finished),
            "containerID": format!("containerd://{}", self.id),
        })
    }
}

/// `spec` of a template: its containers, with the probes that their readiness implies.
pub(super) fn render_containers(template: &Template) -> Value {
    let render = |container: &Container| {
        let mut value = json!({
            "name": container.name, "image": container.image,
            "imagePullPolicy": "IfNotPresent", "resources": {},
        });
        if container.program.ready != super::spec::Ready::NoProbe {
            value["readinessProbe"] = json!({
                "httpGet": {"path": "/ready", "port": 8080, "scheme": "HTTP"},
                "periodSeconds": 1, "timeoutSeconds": 1, "successThreshold": 1,
                "failureThreshold": 1,
            });
        }
        if container.kind == ContainerKind::Sidecar {
            value["restartPolicy"] = "Always".into();
        }
        value
    };
    let before =
        |one: &&Container| matches!(one.kind, ContainerKind::Init | ContainerKind::Sidecar);
    let of = |wanted: bool| -> Vec<Value> {
        template.containers.iter().filter(|one| before(one) == wanted).map(render).collect()
    };
    let mut spec = json!({
        "containers": of(false), "restartPolicy": "Always", "dnsPolicy": "ClusterFirst",
        "terminationGracePeriodSeconds": template.grace_seconds, "schedulerName": "default-scheduler",
    });
    let init = of(true);
    if !init.is_empty() {
        spec["initContainers"] = init.into();
    }
    spec
}
