//! What only events tell of a pod: no status says why a pod that waits for its volume waits, nor what a
//! probe found.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::ids::{KubeEvent, RolloutResult};

/// What events said about one pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Signs {
    /// A volume cannot be mounted or attached.
    pub(super) volume: Option<Sign>,
    /// Its sandbox or network cannot be made.
    pub(super) sandbox: Option<Sign>,
    /// Its readiness probe fails.
    pub(super) readiness: Option<Sign>,
    /// A container is restarted since its liveness or startup probe fails.
    pub(super) liveness: Option<Arc<str>>,
    /// What a liveness or startup probe found last.
    probe: Option<Arc<str>>,
    /// An autoscaler is adding a node for it.
    pub(super) scaling: bool,
    /// The last pull that began or ended, and whether it began.
    pull: Option<(i64, bool)>,
}

/// What an event said, and since when it is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sign {
    /// The event's own word.
    pub(super) reason: Arc<str>,
    pub(super) said: Arc<str>,
    pub(super) since: i64,
}

/// The last warnings about a workload, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Warnings {
    list: VecDeque<Arc<KubeEvent>>,
}

/// Notes what an event says, and since when it is said.
pub(super) fn note(sign: &mut Option<Sign>, event: &KubeEvent) {
    let since = sign.as_ref().map_or(event.time, |known| known.since.min(event.time));
    let (reason, said) = (Arc::clone(&event.reason), Arc::clone(&event.message));
    *sign = Some(Sign { reason, said, since });
}

// === impl Signs ===

impl Signs {
    /// Whether an image is being pulled.
    pub(super) fn pulls(&self) -> bool {
        self.pull.is_some_and(|(_, begun)| begun)
    }

    /// Takes in an event about the pod. `true` if it says something new.
    pub(super) fn take(&mut self, event: &KubeEvent) -> bool {
        let before = self.clone();
        let says = |words: &str| event.message.contains(words);
        match &*event.reason {
            "Pulling" => self.pulls_since(event.time, true),
            "Pulled" | "BackOff" | "Failed" => self.pulls_since(event.time, false),
            // The kubelet that has not read it yet says so, and goes on.
            "FailedMount" | "FailedAttachVolume" | "FailedMapVolume" if !says("failed to sync") => {
                note(&mut self.volume, event);
            }
            "SuccessfulAttachVolume" => self.volume = None,
            "FailedCreatePodSandBox" | "FailedPodSandBoxStatus" | "NetworkNotReady" => {
                note(&mut self.sandbox, event);
            }
            "Unhealthy" if says("Readiness probe") => note(&mut self.readiness, event),
            "Unhealthy" => self.probe = Some(Arc::clone(&event.message)),
            "Killing" if says("failed liveness probe") || says("failed startup probe") => {
                self.liveness = self.probe.clone().or_else(|| Some(Arc::clone(&event.message)));
            }
            "TriggeredScaleUp" => self.scaling = true,
            "NotTriggerScaleUp" => self.scaling = false,
            "Created" | "Started" => self.has_sandbox(),
            _ => {}
        }
        *self != before
    }

    /// It got further than volumes and sandbox.
    fn has_sandbox(&mut self) {
        (self.volume, self.sandbox) = (None, None);
    }

    fn pulls_since(&mut self, time: i64, begun: bool) {
        self.has_sandbox();
        // Times are whole seconds; what began and ended in the same one has ended.
        let newer = |(known, was): (i64, bool)| (time, !begun) > (known, !was);
        if self.pull.is_none_or(newer) {
            self.pull = Some((time, begun));
        }
    }
}

// === impl Warnings ===

impl Warnings {
    /// Takes in an event; a repetition stands in the place of what it repeats.
    pub(super) fn take(&mut self, event: &Arc<KubeEvent>) {
        if !event.warning {
            return;
        }
        let same = |known: &Arc<KubeEvent>| {
            known.reason == event.reason
                && known.object_name == event.object_name
                && known.message == event.message
        };
        self.list.retain(|known| !same(known));
        self.list.push_back(Arc::clone(event));
        if self.list.len() > RolloutResult::MOST_EVENTS {
            self.list.pop_front();
        }
    }

    /// Those since a time.
    pub(super) fn since(&self, time: Option<i64>) -> Vec<Arc<KubeEvent>> {
        let young = |event: &&Arc<KubeEvent>| time.is_none_or(|time| event.time >= time);
        self.list.iter().filter(young).cloned().collect()
    }
}
