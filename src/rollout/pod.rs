//! Pods that stand for themselves.

use std::collections::HashMap;
use std::sync::Arc;

use super::message::{self, Words};
use super::phase::judge;
use super::sense;
use super::signs::Signs;
use crate::ids::{ImageChange, PodPhase, RolloutPhase, RolloutStatus};
use crate::watch::PodEntry;

/// The state of a pod as a workload of its own.
pub(super) fn status(
    pod: &Arc<PodEntry>,
    signs: &HashMap<Arc<str>, Signs>,
    now: i64,
) -> RolloutStatus {
    let phase = match judge(pod, signs.get(&pod.uid)).phase {
        PodPhase::Ready | PodPhase::Succeeded => RolloutPhase::Complete,
        _ => RolloutPhase::Progressing,
    };
    let strange = sense::strange(pod);
    let phase = if strange.is_some() { RolloutPhase::Unknown } else { phase };
    let up = u32::from(phase == RolloutPhase::Complete);
    let images = pod.containers.iter().filter_map(|container| {
        let to = Arc::clone(container.image.as_ref()?);
        Some(ImageChange { container: Arc::clone(&container.name), from: None, to })
    });
    let Words { reasons, mut message } = message::of_those(None, std::iter::once(pod), signs);
    if let Some(what) = strange.filter(|_| reasons.is_empty()) {
        message = sense::sentence(&what);
    }
    RolloutStatus {
        time: now,
        phase,
        revision: None,
        previous: None,
        generation: 1,
        images: images.collect(),
        desired: 1,
        updated: 1,
        ready: up,
        available: up,
        old: 0,
        started: Some(pod.created),
        finished: None,
        deadline_ms: None,
        by: None,
        change_cause: None,
        recovered: false,
        reasons,
        message,
    }
}
