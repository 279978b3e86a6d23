//! What a client may lack whose journal is gone.

use std::sync::Arc;

use crate::http::Service;
use crate::ids::{Gap, GapReason, WorkloadId};
use crate::subscribe::Selection;
use crate::time::SECOND;
use crate::watch::PodEntry;

/// A gap for each source that is not proven to have been read again from `since` on: reading it began
/// later than that, and not at its first line either. And one for each workload that has a pod which is
/// younger: it may stand in the place of one that is gone with all it had to say.
pub(super) fn uncovered(
    service: &Service,
    selection: &Selection,
    workloads: &[Arc<WorkloadId>],
    since: i64,
    now: i64,
) -> Vec<Gap> {
    let sources = workloads.iter().flat_map(|workload| service.tail.sources(workload));
    let wanted = sources.filter(|status| selection.wants_source(&status.source));
    let gap = |source, to| {
        let (from, reason) = (Some(since), GapReason::ServerRestart);
        Gap { time: now, reason, source, from, to, count: None }
    };
    let uncovered = wanted.filter(|status| !status.covers(since));
    let mut gaps: Vec<_> =
        uncovered.map(|status| gap(Some(status.source), status.first_time)).collect();
    // The API cuts creation times to the second.
    let young = |pod: &Arc<PodEntry>| pod.created + SECOND > since;
    let replaced = workloads.iter().any(|workload| {
        let pods = service.index.pods_of(workload);
        pods.is_empty() || pods.iter().any(young)
    });
    gaps.extend(replaced.then(|| gap(None, Some(now))));
    gaps
}
