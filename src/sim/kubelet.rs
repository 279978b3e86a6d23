//! The scheduler and the kubelets: how a pod gets from nothing to running, and away again.
//!
//! Invariants: every change of the truth leads to one status write, which comes later; an object is
//! removed only after its last container has ended and that was written.

use std::sync::Arc;
use std::time::Duration;

use super::events::About;
use super::pod::{Deletion, Phase, Pod, PodId, Published, Run, State};
use super::resource::Resource;
use super::spec::Template;
use super::world::{Action, World};
use crate::ids::ContainerKind;
use crate::time::SECOND;

/// The scheduler's next try for a pod that no node took.
const SCHEDULE_RETRY: Duration = Duration::from_secs(5);

/// Words for a pod that has just been created, before its kubelet has looked.
const CREATING: &str = "ContainerCreating";

/// Who asks for a pod.
pub(super) struct PodRequest {
    pub namespace: Arc<str>,
    pub name: Arc<str>,
    pub owner: Option<super::pod::Owner>,
    pub labels: super::store::Labels,
    pub template: Arc<Template>,
    pub restarts: bool,
    /// Bound from the start, as a DaemonSet's.
    pub node: Option<Arc<str>>,
}

// === impl World ===

impl World {
    /// Creates a pod's object. Gives nothing if the name is taken.
    pub(super) fn create_pod(&mut self, request: PodRequest) -> Option<PodId> {
        let name = (request.namespace.clone(), request.name.clone());
        if self.pod_names.contains_key(&name) || self.over_quota(&name.0, &name.1).is_some() {
            return None;
        }
        self.next_pod += 1;
        let id = PodId(self.next_pod);
        let program = |container: &super::spec::Container| {
            let known = self.programs.get(&container.image).cloned();
            Run::new(known.unwrap_or_else(|| Arc::new(container.program.clone())))
        };
        let mut runs: Vec<Run> = request.template.containers.iter().map(program).collect();
        let waits = |kind| matches!(kind, ContainerKind::Init | ContainerKind::Sidecar);
        if request.template.containers.iter().any(|one| waits(one.kind)) {
            for run in &mut runs {
                run.state = State::Waiting { reason: "PodInitializing", message: String::new() };
            }
        }
        let pod = Pod {
            namespace: request.namespace,
            name: request.name,
            uid: self.uid(),
            owner: request.owner,
            labels: request.labels,
            template: request.template,
            restarts: request.restarts,
            created: self.now,
            scheduled: None,
            node: request.node,
            ip: format!("10.244.{}.{}", 1 + id.0 / 250 % 250, 2 + id.0 % 250),
            runs,
            deletion: None,
            published: Published::default(),
            sync_pending: false,
            ready_changed: self.now,
            lost_since: None,
            unschedulable: None,
            initialized: None,
        };
        if let Some(owner) = &pod.owner {
            self.owned.entry(owner.uid.clone()).or_default().insert(id);
        }
        self.pod_names.insert(name, id);
        let mut object = pod.render();
        if let Some(spec) = object["spec"].as_object_mut() {
            spec.remove("nodeName");
        }
        self.pods.insert(id, pod);
        self.store.put(Resource::Pods, object);
        let after = self.jitter(5..40);
        self.plan(after, Action::Schedule(id));
        Some(id)
    }

    /// Why the namespace's quota refuses one more pod, if it does.
    pub(super) fn over_quota(&self, namespace: &str, pod: &str) -> Option<String> {
        let limit = *self.quotas.get(namespace)?;
        let used = self.pod_names.keys().filter(|name| &*name.0 == namespace).count();
        (used >= limit as usize).then(|| {
            format!(
                "pods \"{pod}\" is forbidden: exceeded quota: pods, requested: pods=1, used: \
                 pods={used}, limited: pods={limit}"
            )
        })
    }

    /// Asks for a pod's deletion, as `kubectl delete pod` does; grace 0 removes the object at once.
    pub(super) fn delete_pod(&mut self, id: PodId, grace_seconds: Option<u32>) {
        let Some(pod) = self.pods.get_mut(&id) else { return };
        let grace_seconds = grace_seconds.unwrap_or(pod.template.grace_seconds);
        if grace_seconds == 0 || pod.scheduled.is_none() {
            self.kill_all(id);
            self.remove_pod(id);
            return;
        }
        if pod.deletion.is_some() {
            return;
        }
        let at = self.now + i64::from(grace_seconds) * SECOND;
        pod.deletion = Some(Deletion { at, grace_seconds });
        self.publish(id);
        let after = self.jitter(10..60);
        self.plan(after, Action::Terminate(id));
    }

    pub(super) fn schedule(&mut self, id: PodId) {
        // In turns: pods of one workload land on different nodes, as the real scheduler spreads them.
        let turn = id.0 as usize % self.nodes.len().max(1);
        let Some(node) = self.nodes.get(turn).cloned() else { return };
        let now = self.now;
        let Some(pod) = self.pods.get_mut(&id) else { return };
        pod.unschedulable = self.unschedulable.clone();
        if let Some(message) = pod.unschedulable.clone() {
            self.pod_event(id, true, "FailedScheduling", message);
            self.publish(id);
            self.plan(SCHEDULE_RETRY, Action::Schedule(id));
            return;
        }
        let node = pod.node.get_or_insert(node).clone();
        pod.scheduled = Some(now);
        let message = format!("Successfully assigned {}/{} to {node}", pod.namespace, pod.name);
        self.pod_event(id, false, "Scheduled", message);
        // The binding is the scheduler's write; the kubelet's own status follows.
        self.publish(id);
        let after = self.jitter(10..50);
        self.plan(after, Action::Advance(id));
    }

    /// Begins whatever may begin now.
    pub(super) fn advance(&mut self, id: PodId) {
        let Some(pod) = self.pods.get_mut(&id) else { return };
        if pod.deletion.is_some() || pod.scheduled.is_none() {
            return;
        }
        let mut begin = Vec::new();
        for (at, run) in pod.runs.iter().enumerate() {
            let kind = pod.template.containers[at].kind;
            let passed = match kind {
                ContainerKind::Init => {
                    matches!(&run.state, State::Terminated(end) if end.code == 0)
                }
                ContainerKind::Sidecar => run.running() || run.restart_count > 0,
                _ => continue,
            };
            if !passed {
                if !run.begun {
                    begin.push(at);
                }
                break;
            }
        }
        if pod.init_done() {
            pod.initialized.get_or_insert(self.now);
            for (at, run) in pod.runs.iter_mut().enumerate() {
                let kind = pod.template.containers[at].kind;
                if !run.begun && !matches!(kind, ContainerKind::Init | ContainerKind::Sidecar) {
                    run.state = State::Waiting { reason: CREATING, message: String::new() };
                    begin.push(at);
                }
            }
        }
        for at in begin {
            self.begin(id, at);
        }
        self.sync_soon(id);
    }

    pub(super) fn terminate(&mut self, id: PodId) {
        let skew = self.skew(id);
        let Some(pod) = self.pods.get_mut(&id) else { return };
        let grace = pod.deletion.map_or(0, |deletion| deletion.grace_seconds);
        let grace = Duration::from_secs(u64::from(grace));
        let now = self.now;
        let mut ends = Vec::new();
        for (at, run) in pod.runs.iter_mut().enumerate() {
            if !run.running() {
                // A start that was planned will not happen.
                run.epoch += 1;
                continue;
            }
            if let (Some(writer), Some(log)) = (&mut run.writer, &run.log) {
                let mut batch = log.batch();
                writer.turn(now, skew, u64::MAX, &mut batch);
                if let Some(farewell) = &run.program.farewell {
                    batch.line(super::logs::Pipe::Out, now + skew, farewell.as_bytes());
                }
                writer.end(now + skew, &mut batch);
            }
            let killed = run.program.stop_after > grace;
            let code = if killed { 137 } else { run.program.stop_code };
            ends.push((at, run.epoch, run.program.stop_after.min(grace), code));
        }
        for (at, epoch, after, code) in ends {
            let name = self.pods[&id].spec(at).name.clone();
            self.pod_event(id, false, "Killing", format!("Stopping container {name}"));
            self.plan(after, Action::Exit(id, at, epoch, code));
        }
        self.finish_deletion(id);
    }

    /// Removes the object some time after the last container has ended and its status was written.
    pub(super) fn finish_deletion(&mut self, id: PodId) {
        let Some(pod) = self.pods.get(&id) else { return };
        if pod.runs.iter().any(Run::running) {
            return;
        }
        self.sync_soon(id);
        let after = self.options.status_lag.1 + self.jitter(50..200);
        self.plan(after, Action::Remove(id));
    }

    /// Ends all containers at once, as SIGKILL does.
    fn kill_all(&mut self, id: PodId) {
        let Some(pod) = self.pods.get(&id) else { return };
        let running: Vec<_> = pod.runs.iter().map(|run| run.epoch).enumerate().collect();
        for (at, epoch) in running {
            self.exit(id, at, epoch, 137);
        }
    }

    pub(super) fn remove_pod(&mut self, id: PodId) {
        let Some(pod) = self.pods.remove(&id) else { return };
        self.pod_names.remove(&(pod.namespace.clone(), pod.name.clone()));
        self.store.remove(Resource::Pods, &pod.namespace, &pod.name);
        if let Some(owner) = &pod.owner {
            if let Some(owned) = self.owned.get_mut(&owner.uid) {
                owned.remove(&id);
            }
            self.owner_changed(owner, &pod.namespace);
        }
    }

    /// Plans a status write; the API lags the kubelet's truth by the configured time.
    pub(super) fn sync_soon(&mut self, id: PodId) {
        let (least, most) = self.options.status_lag;
        let Some(pod) = self.pods.get_mut(&id) else { return };
        if !std::mem::replace(&mut pod.sync_pending, true) {
            let lag = self.rng.u64(least.as_millis() as u64..=most.as_millis() as u64);
            self.plan(Duration::from_millis(lag), Action::Sync(id));
        }
    }

    pub(super) fn sync(&mut self, id: PodId) {
        let node = self.pods.get(&id).and_then(|pod| pod.node.clone());
        if let Some(left) = node.and_then(|node| self.cut_off_for(&node)) {
            // The kubelet cannot reach the API server; it writes when it can again.
            self.plan(left, Action::Sync(id));
            return;
        }
        if let Some(pod) = self.pods.get_mut(&id) {
            pod.sync_pending = false;
        }
        self.publish(id);
    }

    /// Writes the pod's object and tells its controller.
    pub(super) fn publish(&mut self, id: PodId) {
        let Some(pod) = self.pods.get_mut(&id) else { return };
        let ready = pod.ready() && pod.lost_since.is_none();
        let ready_since = ready.then_some(pod.ready_changed);
        pod.published = Published { ready_since, phase: pod.phase() };
        let (object, owner, namespace) = (pod.render(), pod.owner.clone(), pod.namespace.clone());
        self.store.put(Resource::Pods, object);
        if let Some(owner) = owner {
            self.owner_changed(&owner, &namespace);
        }
    }

    /// A container, if its epoch is still the given one.
    pub(super) fn run(&mut self, id: PodId, at: usize, epoch: u64) -> Option<&mut Run> {
        let run = self.pods.get_mut(&id)?.runs.get_mut(at)?;
        (run.epoch == epoch).then_some(run)
    }

    pub(super) fn skew(&self, id: PodId) -> i64 {
        let node = self.pods.get(&id).and_then(|pod| pod.node.as_ref());
        node.and_then(|node| self.skews.get(node)).copied().unwrap_or(0)
    }

    pub(super) fn pod_event(
        &mut self,
        id: PodId,
        warning: bool,
        reason: &'static str,
        message: String,
    ) {
        let Some(pod) = self.pods.get(&id) else { return };
        let about = About {
            resource: Resource::Pods,
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
            uid: pod.uid.clone(),
        };
        let component = if reason == "Scheduled" { "default-scheduler" } else { "kubelet" };
        self.event(&about, component, warning, reason, message);
    }
}

// === impl Published ===

impl Published {
    /// The pod counts: it has neither failed nor succeeded.
    pub(super) fn active(&self) -> bool {
        !matches!(self.phase, Phase::Failed | Phase::Succeeded)
    }
}
