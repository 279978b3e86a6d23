//! What only events tell of a pod: no status says why a pod that waits for its volume waits, nor what a
//! probe found.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::ids::{KubeEvent, RolloutResult};

/// Containers and images of one pod of which something is kept: more than any pod has that makes sense.
const MOST: usize = 64;

/// What events said about one pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Signs {
    /// A volume cannot be mounted or attached.
    pub(super) volume: Option<Sign>,
    /// Its sandbox or network cannot be made.
    pub(super) sandbox: Option<Sign>,
    /// Its readiness probe fails.
    pub(super) readiness: Option<Sign>,
    /// Containers that are restarted since their liveness or startup probe fails, and what it found.
    killed: Vec<(Arc<str>, Arc<str>)>,
    /// What a liveness or startup probe found last.
    probe: Option<Arc<str>>,
    /// An autoscaler is adding a node for it.
    pub(super) scaling: bool,
    /// The last pull that began or ended, and whether it began.
    pull: Option<(i64, bool)>,
    /// What the last pull came to that failed.
    refused: Option<Arc<str>>,
    /// Images that were pulled, and when first: who always pulls does so at each attempt.
    pulled: Vec<(Arc<str>, i64)>,
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
            "Pulled" | "BackOff" | "Failed" => {
                self.pulls_since(event.time, false);
                if says("Failed to pull image") {
                    self.refused = Some(Arc::clone(&event.message));
                }
                if says("Successfully pulled") {
                    self.has_pulled(&event.message, event.time);
                }
            }
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
                let said = self.probe.as_ref().unwrap_or(&event.message);
                self.is_killed(&event.message, Arc::clone(said));
            }
            // Of the cluster autoscaler, and of Karpenter.
            "TriggeredScaleUp" | "Nominated" => self.scaling = true,
            "NotTriggerScaleUp" => self.scaling = false,
            "Created" | "Started" => self.has_sandbox(),
            _ => {}
        }
        *self != before
    }

    /// What the probe found for which the kubelet kills a container, if it does.
    pub(super) fn killed_for(&self, container: &str) -> Option<&str> {
        let of = |(name, _): &&(Arc<str>, Arc<str>)| **name == *container;
        self.killed.iter().find(of).map(|(_, said)| &**said)
    }

    /// What the last pull of an image came to, if it failed. Older kubelets say so nowhere else while they wait.
    pub(super) fn refused(&self, image: &str) -> Option<&str> {
        self.refused.as_deref().filter(|said| said.contains(&format!("\"{image}\"")))
    }

    /// When an image had been pulled first.
    pub(super) fn pulled_at(&self, image: &str) -> Option<i64> {
        self.pulled.iter().find(|(name, _)| **name == *image).map(|(_, time)| *time)
    }

    /// `message` is the kubelet's: `Container web failed liveness probe, will be restarted`.
    fn is_killed(&mut self, message: &str, said: Arc<str>) {
        let name = message.strip_prefix("Container ").and_then(|rest| rest.split(' ').next());
        let Some(name) = name else { return };
        if let Some((_, before)) = self.killed.iter_mut().find(|(known, _)| **known == *name) {
            *before = said;
        } else if self.killed.len() < MOST {
            self.killed.push((name.into(), said));
        }
    }

    /// `message` is the kubelet's: `Successfully pulled image "shop/web:2" in 3.1s (…)`.
    fn has_pulled(&mut self, message: &str, time: i64) {
        let Some(image) = message.split('"').nth(1) else { return };
        if let Some((_, first)) = self.pulled.iter_mut().find(|(known, _)| **known == *image) {
            *first = time.min(*first);
        } else if self.pulled.len() < MOST {
            self.pulled.push((image.into(), time));
        }
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
