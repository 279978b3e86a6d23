//! The scheduler and the kubelets: how a pod gets from nothing to running, and away again.
//!
//! Invariants: a planned step carries the epoch of its container and is void when the epoch has
//! moved on; every change of the truth leads to one status write, which comes later.

use std::sync::Arc;
use std::time::Duration;

use super::events::About;
use super::logs::Log;
use super::pod::{Deletion, End, Phase, Pod, PodId, Published, Run, State};
use super::resource::Resource;
use super::spec::{Exit, Pull, Ready, Template};
use super::world::{Action, World};
use super::writer::Writer;
use crate::ids::ContainerKind;
use crate::time::SECOND;

/// A container that ran this long starts again without back-off (the kubelet: twice its maximum).
const BACKOFF_FORGETS: i64 = 600 * SECOND;

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
        if self.pod_names.contains_key(&name) {
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
        let turn = self.next_pod as usize + self.rng.usize(..2);
        let Some(node) = self.nodes.get(turn % self.nodes.len().max(1)).cloned() else { return };
        let now = self.now;
        let Some(pod) = self.pods.get_mut(&id) else { return };
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

    /// Begins one container with its pull.
    fn begin(&mut self, id: PodId, at: usize) {
        let Some(pod) = self.pods.get_mut(&id) else { return };
        let image = pod.spec(at).image.clone();
        let run = &mut pod.runs[at];
        run.begun = true;
        let epoch = run.epoch;
        let node = pod.node.clone().unwrap_or_else(|| "".into());
        let here = self.images.contains(&(node, image.clone()));
        let after = match &run.program.pull {
            _ if here => Duration::ZERO,
            Pull::Arrives(after) => *after,
            Pull::Fails { .. } => Duration::from_millis(350),
        };
        if !here {
            self.pod_event(id, false, "Pulling", format!("Pulling image \"{image}\""));
        }
        self.plan(after, Action::Pulled(id, at, epoch));
    }

    pub(super) fn pulled(&mut self, id: PodId, at: usize, epoch: u64) {
        let Some(run) = self.run(id, at, epoch) else { return };
        let program = run.program.clone();
        let Some(pod) = self.pods.get_mut(&id) else { return };
        let image = pod.spec(at).image.clone();
        let key = (pod.node.clone().unwrap_or_else(|| "".into()), image.clone());
        let run = &mut pod.runs[at];
        let here = self.images.contains(&key);
        match &program.pull {
            Pull::Fails { message } if !here => {
                let error = format!("Failed to pull image \"{image}\": {message}");
                run.state = State::Waiting { reason: "ErrImagePull", message: message.clone() };
                run.pull_failures += 1;
                self.pod_event(id, true, "Failed", error);
                self.pod_event(id, true, "Failed", "Error: ErrImagePull".to_owned());
                // The kubelet's next look, after which it says that it backs off.
                self.plan(Duration::from_millis(1_200), Action::PullAgain(id, at, epoch));
            }
            _ => {
                run.pull_failures = 0;
                let message = if here {
                    format!("Container image \"{image}\" already present on machine")
                } else {
                    format!("Successfully pulled image \"{image}\" in 312ms")
                };
                self.images.insert(key);
                self.pod_event(id, false, "Pulled", message);
                self.plan(program.start_after, Action::Start(id, at, epoch));
            }
        }
        self.sync_soon(id);
    }

    pub(super) fn pull_again(&mut self, id: PodId, at: usize, epoch: u64) {
        let (base, cap) = (self.options.backoff_base, self.options.backoff_cap);
        let Some(run) = self.run(id, at, epoch) else { return };
        if matches!(run.state, State::Waiting { reason: "ErrImagePull", .. }) {
            let failures = run.pull_failures;
            let Some(pod) = self.pods.get_mut(&id) else { return };
            let image = pod.spec(at).image.clone();
            let message = format!("Back-off pulling image \"{image}\"");
            pod.runs[at].state =
                State::Waiting { reason: "ImagePullBackOff", message: message.clone() };
            self.pod_event(id, false, "BackOff", message);
            self.pod_event(id, true, "Failed", "Error: ImagePullBackOff".to_owned());
            self.plan(back_off(base, cap, failures), Action::PullAgain(id, at, epoch));
            self.sync_soon(id);
        } else {
            self.begin(id, at);
        }
    }

    pub(super) fn start(&mut self, id: PodId, at: usize, epoch: u64) {
        if self.run(id, at, epoch).is_none() {
            return;
        }
        let container_id: Arc<str> =
            format!("{:032x}{:032x}", self.rng.u128(..), self.rng.u128(..)).into();
        let seed = self.rng.u64(..);
        let log = Arc::new(Log::new(self.options.log_max_bytes, self.options.keep_written));
        let now = self.now;
        let Some(pod) = self.pods.get_mut(&id) else { return };
        let (name, image) = (pod.spec(at).name.clone(), pod.spec(at).image.clone());
        let pod_name = pod.name.clone();
        let run = &mut pod.runs[at];
        if let State::Terminated(end) = &run.state {
            run.last = Some(end.clone());
        }
        if let (Some(old), Some(log)) = (run.id.take(), run.log.take()) {
            run.restart_count += 1;
            run.previous = Some((old, log));
        }
        run.epoch += 1;
        let epoch = run.epoch;
        run.state = State::Running { since: now };
        run.id = Some(container_id);
        run.log = Some(log);
        run.ready = run.program.ready == Ready::NoProbe;
        let program = run.program.clone();
        let attempt = run.restart_count + 1;
        run.writer = Some(Writer::new(&program, (pod_name, image, attempt), now, seed));
        let is_ready = pod.ready();
        if is_ready {
            pod.ready_changed = now;
        }
        self.pod_event(id, false, "Created", format!("Container created: {name}"));
        self.pod_event(id, false, "Started", format!("Container started: {name}"));
        match program.ready {
            Ready::After(after) | Ready::Flaps { after, .. } => {
                self.plan(after, Action::Probe(id, at, epoch, true));
            }
            Ready::Never => self.plan(SECOND_PROBE, Action::Probe(id, at, epoch, false)),
            Ready::NoProbe => {}
        }
        if let Exit::After(after, code) = program.exit {
            self.plan(after, Action::Exit(id, at, epoch, code));
        }
        if !program.output.is_empty() {
            self.plan(Duration::ZERO, Action::Write(id, at, epoch));
        }
        self.advance(id);
    }

    pub(super) fn write(&mut self, id: PodId, at: usize, epoch: u64) {
        let (now, tick) = (self.now, self.options.write_tick);
        let skew = self.skew(id);
        let Some(run) = self.run(id, at, epoch) else { return };
        let exit = run.program.exit;
        let limit = if let Exit::AfterLines(lines, _) = exit { lines } else { u64::MAX };
        let (Some(writer), Some(log)) = (&mut run.writer, &run.log) else { return };
        let turn = writer.turn(now, skew, limit, &mut log.batch());
        if let Exit::AfterLines(lines, code) = exit
            && turn.written >= lines
        {
            self.plan(Duration::ZERO, Action::Exit(id, at, epoch, code));
        } else if let Some(next) = turn.next {
            let at_least = now + tick.as_nanos() as i64;
            self.plan_at(next.max(at_least), Action::Write(id, at, epoch));
        }
    }

    pub(super) fn probe(&mut self, id: PodId, at: usize, epoch: u64, passes: bool) {
        let now = self.now;
        let Some(run) = self.run(id, at, epoch) else { return };
        if !run.running() {
            return;
        }
        run.ready = passes;
        let program = run.program.clone();
        if let Some(pod) = self.pods.get_mut(&id) {
            pod.ready_changed = now;
        }
        if !passes {
            let message = "Readiness probe failed: HTTP probe failed with statuscode: 503";
            self.pod_event(id, true, "Unhealthy", message.to_owned());
        }
        match program.ready {
            Ready::Flaps { up, down, .. } => {
                let after = if passes { up } else { down };
                self.plan(after, Action::Probe(id, at, epoch, !passes));
            }
            // A failing probe is tried, and said, again and again.
            Ready::Never => {
                self.plan(Duration::from_secs(10), Action::Probe(id, at, epoch, false));
            }
            _ => {}
        }
        self.sync_soon(id);
    }

    /// A container ends now.
    pub(super) fn exit(&mut self, id: PodId, at: usize, epoch: u64, code: i32) {
        let (now, skew) = (self.now, self.skew(id));
        let Some(run) = self.run(id, at, epoch) else { return };
        let State::Running { since } = run.state else { return };
        let (Some(container_id), Some(log)) = (run.id.clone(), run.log.clone()) else { return };
        // What its outputs had to say until now was said before its end.
        if let Some(writer) = &mut run.writer {
            let limit = match run.program.exit {
                Exit::AfterLines(lines, _) => lines,
                _ => u64::MAX,
            };
            let mut batch = log.batch();
            writer.turn(now, skew, limit, &mut batch);
        }
        log.end(now + skew);
        run.writer = None;
        run.epoch += 1;
        let (epoch, attempt) = (run.epoch, run.restart_count + 1);
        let reason = match code {
            0 => "Completed",
            137 if run.program.stop_code != 137 => "OOMKilled",
            _ => "Error",
        };
        let end = End { code, reason, started: since, finished: now, id: container_id };
        run.state = State::Terminated(end);
        run.ready = false;
        run.failures = if now - since > BACKOFF_FORGETS { 0 } else { run.failures };
        let Some(pod) = self.pods.get_mut(&id) else { return };
        let was_ready = pod.published.ready_since.is_some();
        if was_ready {
            pod.ready_changed = now;
        }
        let (uid, name) = (pod.uid.clone(), pod.spec(at).name.clone());
        self.keep_truth((uid, name, attempt), log.written());
        // The kubelet learns of an end when it next lists its containers, once a second.
        let after = self.jitter(100..900);
        self.plan(after, Action::Ended(id, at, epoch));
        self.sync_soon(id);
    }

    pub(super) fn ended(&mut self, id: PodId, at: usize, epoch: u64) {
        let (base, cap, now) = (self.options.backoff_base, self.options.backoff_cap, self.now);
        if self.run(id, at, epoch).is_none() {
            return;
        }
        let Some(pod) = self.pods.get_mut(&id) else { return };
        if pod.deletion.is_some() {
            self.finish_deletion(id);
            return;
        }
        let kind = pod.spec(at).kind;
        let (restarts, name, pod_name) =
            (pod.restarts, pod.spec(at).name.clone(), pod.name.clone());
        let (uid, namespace) = (pod.uid.clone(), pod.namespace.clone());
        let run = &mut pod.runs[at];
        let State::Terminated(end) = run.state.clone() else { return };
        let again = match kind {
            ContainerKind::Init => restarts && end.code != 0,
            ContainerKind::Sidecar => true,
            _ => restarts,
        };
        if !again {
            self.advance(id);
            return;
        }
        run.failures += 1;
        if run.failures == 1 {
            self.plan(Duration::from_millis(50), Action::Start(id, at, epoch));
            return;
        }
        let delay = back_off(base, cap, run.failures - 1);
        let message = format!(
            "back-off {}s restarting failed container={name} pod={pod_name}_{namespace}({uid})",
            delay.as_secs()
        );
        run.last = Some(end.clone());
        run.state = State::Waiting { reason: "CrashLoopBackOff", message };
        let text = format!("Back-off restarting failed container {name} in pod {pod_name}");
        self.pod_event(id, true, "BackOff", text);
        let due = (end.finished + delay.as_nanos() as i64).max(now);
        self.plan_at(due, Action::Start(id, at, epoch));
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
    fn finish_deletion(&mut self, id: PodId) {
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
        if let Some(pod) = self.pods.get_mut(&id) {
            pod.sync_pending = false;
            self.publish(id);
        }
    }

    /// Writes the pod's object and tells its controller.
    fn publish(&mut self, id: PodId) {
        let Some(pod) = self.pods.get_mut(&id) else { return };
        let ready_since = pod.ready().then_some(pod.ready_changed);
        pod.published = Published { ready_since, phase: pod.phase() };
        let (object, owner, namespace) = (pod.render(), pod.owner.clone(), pod.namespace.clone());
        self.store.put(Resource::Pods, object);
        if let Some(owner) = owner {
            self.owner_changed(&owner, &namespace);
        }
    }

    /// A container, if its epoch is still the given one.
    fn run(&mut self, id: PodId, at: usize, epoch: u64) -> Option<&mut Run> {
        let run = self.pods.get_mut(&id)?.runs.get_mut(at)?;
        (run.epoch == epoch).then_some(run)
    }

    pub(super) fn skew(&self, id: PodId) -> i64 {
        let node = self.pods.get(&id).and_then(|pod| pod.node.as_ref());
        node.and_then(|node| self.skews.get(node)).copied().unwrap_or(0)
    }

    fn pod_event(&mut self, id: PodId, warning: bool, reason: &'static str, message: String) {
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

/// First failing readiness probe of a container that never gets ready.
const SECOND_PROBE: Duration = Duration::from_secs(1);

/// The time before a try: doubled with each failure, up to the cap.
fn back_off(base: Duration, cap: Duration, failures: u32) -> Duration {
    base.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(cap)
}

// === impl Published ===

impl Published {
    /// The pod counts: it has neither failed nor succeeded.
    pub(super) fn active(&self) -> bool {
        !matches!(self.phase, Phase::Failed | Phase::Succeeded)
    }
}
