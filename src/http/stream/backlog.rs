//! Waiting for what the logs of a stream hold already.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::demand::Demand;
use crate::ids::WorkloadId;
use crate::tail::{Passed, Tail};

/// How often the first viewer looks whether the backlog has come.
const BACKLOG_LOOK: Duration = Duration::from_millis(10);

/// Waits until what the logs hold has come, so that a tail can be cut from it.
pub(in crate::http) async fn backlog(
    tail: &Tail,
    workloads: &[Arc<WorkloadId>],
    patience: Duration,
) {
    let comes = async {
        for workload in workloads {
            while !tail.caught_up(workload) {
                sleep(BACKLOG_LOOK).await;
            }
        }
    };
    // Running out of time is no error: the stream begins with what has come.
    let _ = tokio::time::timeout(patience, comes).await;
}

/// How surely all has been read that the logs of a stream held at `time`, wall time.
pub(super) fn passed(tail: &Tail, demand: Option<&Demand>, time: i64) -> Passed {
    let workloads = demand.map_or_else(Vec::new, Demand::workloads);
    let passed = workloads.iter().map(|workload| tail.passed(workload, time));
    passed.min().unwrap_or(Passed::Surely)
}
