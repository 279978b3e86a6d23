//! One container's life: pull, start, probe, lines, end, and the next attempt after a back-off.
//!
//! Invariants: a planned step carries the epoch of its container and is void when the epoch has
//! moved on; every change of the truth leads to one status write, which comes later.

use std::sync::Arc;
use std::time::Duration;

use super::logs::Log;
use super::pod::{End, PodId, State};
use super::spec::{Exit, Pull, Ready};
use super::world::{Action, World};
use super::writer::Writer;
use crate::ids::ContainerKind;
use crate::time::SECOND;

/// A container that ran this long starts again without back-off (the kubelet: twice its maximum).
const BACKOFF_FORGETS: i64 = 600 * SECOND;

/// The kubelet's next try after a missing Secret or ConfigMap.
const CONFIG_RETRY: Duration = Duration::from_secs(5);

/// First failing readiness probe of a container that never gets ready.
const SECOND_PROBE: Duration = Duration::from_secs(1);

// === impl World ===

impl World {
    /// Begins one container with its pull.
    pub(super) fn begin(&mut self, id: PodId, at: usize) {
        let Some(pod) = self.pods.get_mut(&id) else { return };
        let image = pod.spec(at).image.clone();
        let run = &mut pod.runs[at];
        run.begun = true;
        // What was wrong with the image may have been mended since the last try.
        if let Some(program) = self.programs.get(&image) {
            run.program = program.clone();
        }
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
        let Some(run) = self.run(id, at, epoch) else { return };
        if let Some(missing) = run.program.missing.clone() {
            self.refuse_start(id, at, missing);
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

    /// The kubelet cannot make the container, and tries again after a while.
    fn refuse_start(&mut self, id: PodId, at: usize, missing: String) {
        let Some(pod) = self.pods.get_mut(&id) else { return };
        let run = &mut pod.runs[at];
        let epoch = run.epoch;
        run.state =
            State::Waiting { reason: "CreateContainerConfigError", message: missing.clone() };
        self.pod_event(id, true, "Failed", format!("Error: {missing}"));
        self.plan(CONFIG_RETRY, Action::PullAgain(id, at, epoch));
        self.sync_soon(id);
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
}

/// The time before a try: doubled with each failure, up to the cap.
fn back_off(base: Duration, cap: Duration, failures: u32) -> Duration {
    base.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(cap)
}
