//! Waiting for what the logs of a stream hold already.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::ids::WorkloadId;
use crate::tail::Tail;

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
