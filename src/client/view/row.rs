//! What is known of one workload that is followed.

use std::collections::BTreeMap;

use super::super::event::{Pod, Rollout};
use super::super::exit::End;
use super::nanos;
use crate::ids::WorkloadId;
use crate::time::{MILLISECOND, SECOND};

/// Pods that are remembered. Of more a rollout's own counts tell.
const MOST_PODS: usize = 5_000;

/// The phases of new pods that are told, in the order in which they are.
const PHASES: [&str; 6] = ["failing", "unscheduled", "pulling", "init", "starting", "running"];

/// One workload.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) workload: WorkloadId,
    pub(super) rollout: Option<Box<Rollout>>,
    pods: BTreeMap<String, Known>,
    /// What was said last of its progress.
    pub(super) said: Option<String>,
    /// When that was, by our clock; `None` if only just now.
    pub(super) told: Option<i64>,
    /// The revision whose beginning was said.
    pub(super) headed: Option<String>,
    /// The server is not heard of.
    pub(super) away: Option<String>,
    pub(super) end: Option<End>,
}

/// A pod, and whether it was told of since the stream began anew.
#[derive(Debug)]
struct Known {
    pod: Pod,
    fresh: bool,
}

/// What is new about a pod.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PodNews {
    /// Its phase, or why.
    pub(super) phase: bool,
    /// Containers that ended: their names, which run, how.
    pub(super) exits: Vec<(String, u32, i32)>,
}

// === impl Row ===

impl Row {
    /// Of which nothing is known yet.
    pub(super) fn new(workload: WorkloadId, now: i64) -> Self {
        Row {
            workload,
            rollout: None,
            pods: BTreeMap::new(),
            said: None,
            told: Some(now),
            headed: None,
            away: None,
            end: None,
        }
    }

    /// A stream begins: what it does not tell of any more is gone.
    pub(super) fn begin(&mut self) {
        self.pods.values_mut().for_each(|known| known.fresh = false);
    }

    /// The stream has told all.
    pub(super) fn settle(&mut self) {
        self.pods.retain(|_, known| known.fresh);
    }

    /// Takes in a pod, and says what is new about it.
    pub(super) fn take_pod(&mut self, pod: &Pod) -> PodNews {
        let before = self.pods.get(&pod.uid).map(|known| &known.pod);
        let phase = before.is_none_or(|before| {
            (&before.phase, &before.phase_detail, &before.reason, &before.message)
                != (&pod.phase, &pod.phase_detail, &pod.reason, &pod.message)
        });
        let was = before.map(exits).unwrap_or_default();
        let exits = exits(pod).into_iter().filter(|exit| !was.contains(exit)).collect();
        if pod.phase == "gone" {
            self.pods.remove(&pod.uid);
        } else if self.pods.len() < MOST_PODS || self.pods.contains_key(&pod.uid) {
            self.pods.insert(pod.uid.clone(), Known { pod: pod.clone(), fresh: true });
        }
        PodNews { phase, exits }
    }

    /// How many new pods are in which phase, those that are ready left out.
    pub(super) fn phases(&self) -> Vec<(&'static str, usize)> {
        let count = |phase: &str| {
            let is = |known: &&Known| known.pod.side == "new" && known.pod.phase == phase;
            self.pods.values().filter(is).count()
        };
        PHASES.into_iter().map(|phase| (phase, count(phase))).filter(|(_, n)| *n > 0).collect()
    }

    /// How long the rollout took or has run, in seconds.
    pub(super) fn elapsed(&self, now: i64) -> Option<u64> {
        let rollout = self.rollout.as_deref()?;
        let started = rollout.started.as_deref().and_then(nanos);
        let finished = rollout.finished.as_deref().and_then(nanos);
        let seconds = match (started, finished) {
            (Some(started), until) => until.unwrap_or(now).saturating_sub(started) / SECOND,
            (None, _) => {
                let told = i64::try_from(rollout.elapsed_ms?).ok()?.saturating_mul(MILLISECOND);
                let since = now.saturating_sub(nanos(&rollout.time)?).max(0);
                told.saturating_add(since) / SECOND
            }
        };
        Some(u64::try_from(seconds).unwrap_or(0))
    }

    /// A pod's name as far as it tells it from its siblings.
    pub(super) fn short<'a>(&self, pod: &'a str, named: bool) -> &'a str {
        let own = pod.strip_prefix(&*self.workload.name).and_then(|rest| rest.strip_prefix('-'));
        let last = own.and_then(|rest| rest.rsplit('-').next());
        // An ordinal alone says little.
        let tells = |last: &&str| !named && last.len() >= 4;
        last.filter(tells).unwrap_or(pod)
    }
}

/// The ends of a pod's containers that were none of the good ones.
fn exits(pod: &Pod) -> Vec<(String, u32, i32)> {
    let ended = pod.containers.iter().filter_map(|container| {
        let code = container.exit_code.filter(|code| *code != 0)?;
        // While one runs, it is the one before that ended.
        let before = u32::from(container.state == "running");
        Some((container.name.clone(), container.attempt.saturating_sub(before), code))
    });
    ended.collect()
}
