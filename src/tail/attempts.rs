//! Which attempts of a pod can be read, and which went by unseen.
//!
//! Pure: what the pod's status says in, sources out.

use std::ops::Range;
use std::sync::Arc;

use crate::ids::{AttemptKey, Source};
use crate::time::SECOND;
use crate::watch::{ContainerEntry, ContainerRun, PodEntry};

/// An attempt that ended longer ago is not offered when a running container's log is first opened:
/// it is history, not a crash loop.
const FRESH: i64 = 600 * SECOND;
/// How many unseen attempts of one container are told of at a time: a pod that restarted a thousand
/// times while nobody could look is not worth a thousand records.
const TOLD: u32 = 20;

/// One attempt whose log can be asked for.
pub(super) struct Attempt {
    pub(super) source: Source,
    /// When it began, by the node's clock, or its pod.
    pub(super) began: i64,
}

/// The attempts of a pod whose logs can be read: of each container that was ever started the newest,
/// and before it the one that died last if it did so lately, or if some of it was read already and
/// the rest is to come (`begun`).
pub(super) fn of(
    pod: &PodEntry,
    now: i64,
    begun: impl Fn(&AttemptKey) -> bool,
) -> impl Iterator<Item = Attempt> {
    pod.containers.iter().flat_map(move |container| {
        let newest = container.attempt_id().map(|id| {
            let began = match &container.state {
                ContainerRun::Running { started } => *started,
                ContainerRun::Terminated(ended) => ended.started,
                ContainerRun::Waiting(_) => container.last.as_ref().and_then(|last| last.started),
            };
            (id.clone(), container.restarts + 1, began)
        });
        let attempt = |(container_id, attempt, began): (_, _, Option<i64>)| Attempt {
            source: source(pod, container, container_id, attempt),
            began: began.unwrap_or(pod.created),
        };
        let before = dead(container).map(|(id, began, finished)| {
            let lately = finished.is_none_or(|finished| now - finished < FRESH);
            (lately, attempt((id, container.restarts, began)))
        });
        let before = before.filter(|(lately, before)| *lately || begun(&before.source.key));
        [before.map(|(_, before)| before), newest.map(attempt)].into_iter().flatten()
    })
}

/// The attempt before the newest, whose log may still be there: when it began, and when it ended.
fn dead(container: &ContainerEntry) -> Option<(Arc<str>, Option<i64>, Option<i64>)> {
    let last = container.last.as_deref()?;
    let id = last.container_id.as_ref()?;
    let other = container.attempt_id().is_some_and(|newest| newest != id);
    (other && container.restarts > 0).then(|| (id.clone(), last.started, last.finished))
}

/// The attempts of a container that were neither seen as its newest nor can be read now: the kubelet
/// keeps one dead attempt only. `seen` is the newest attempt that was ever seen.
pub(super) fn collected(seen: u32, container: &ContainerEntry) -> Range<u32> {
    let newest = container.restarts + 1;
    let readable = container
        .last
        .as_ref()
        .and_then(|last| last.container_id.as_ref())
        .is_some_and(|last| container.attempt_id() != Some(last));
    let end = if readable { newest.saturating_sub(1) } else { newest };
    (seen + 1).max(end.saturating_sub(TOLD))..end
}

/// A name for an attempt that nobody saw; it cannot clash with a runtime's id.
pub(super) fn unseen(pod: &PodEntry, container: &ContainerEntry, attempt: u32) -> Source {
    source(pod, container, format!("unseen-{attempt}").into(), attempt)
}

fn source(pod: &PodEntry, container: &ContainerEntry, id: Arc<str>, attempt: u32) -> Source {
    let key =
        AttemptKey { uid: pod.uid.clone(), container: container.name.clone(), container_id: id };
    Source { key, workload: pod.workload.clone(), pod: pod.name.clone(), attempt }
}
