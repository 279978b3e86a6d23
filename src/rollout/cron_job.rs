//! CronJobs: the state is that of the newest Job.

use std::sync::Arc;

use super::{job, model};
use crate::ids::{RolloutPhase, RolloutStatus};
use crate::watch::{PodEntry, WorkloadEntry};

/// The state of a CronJob's newest Job. One that has none yet has nothing to wait for.
pub(super) fn status(
    workload: &WorkloadEntry,
    suspended: bool,
    pods: &[&Arc<PodEntry>],
    now: i64,
) -> RolloutStatus {
    match workload.jobs().last() {
        Some(newest) => job::status(workload, &newest.uid, &newest.detail, pods, now),
        None => {
            let phase = if suspended { RolloutPhase::Paused } else { RolloutPhase::Complete };
            RolloutStatus { phase, ..model::blank(workload, now) }
        }
    }
}
