//! CronJobs: the state is that of the newest Job.

use super::job;
use super::model::{self, Look};
use crate::ids::{RolloutPhase, RolloutStatus};

/// The state of a CronJob's newest Job. One that has none yet has nothing to wait for.
pub(super) fn status(look: &Look<'_>, suspended: bool) -> RolloutStatus {
    match look.workload.jobs().last() {
        Some(newest) => job::status(look, &newest.uid, &newest.detail),
        None => {
            let phase = if suspended { RolloutPhase::Paused } else { RolloutPhase::Complete };
            RolloutStatus { phase, ..model::blank(look.workload, look.now) }
        }
    }
}
