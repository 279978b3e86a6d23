//! Cheap looks at a log beside its follow: a stamp, and not its lines.

use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::time::timeout;

use crate::cluster::{Cluster, LogError, LogRequest};
use crate::ids::Source;
use crate::time::parse_stamp;

/// A stamp with nine digits and an offset fits; so does the beginning of a message of the kubelet.
const BYTES: u32 = 64;
/// A look takes milliseconds; the API server waits for an unreachable node for longer than we do.
const LIMIT: Duration = Duration::from_secs(5);

/// Which end of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The beginning of the newest file.
    First,
    /// The last stored piece.
    Last,
}

/// The stamp at one end of the log that the kubelet would serve now; `None` if it is empty.
pub(super) async fn stamp(
    cluster: &Cluster,
    source: &Source,
    end: End,
    previous: bool,
) -> Result<Option<i64>, LogError> {
    let request = LogRequest {
        namespace: source.workload.namespace.clone(),
        pod: source.pod.clone(),
        container: source.key.container.clone(),
        follow: false,
        previous,
        since: None,
        tail_lines: (end == End::Last).then_some(1),
        limit_bytes: Some(BYTES),
    };
    let reading = async {
        let mut body = cluster.open_log(&request).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = body.next().await {
            bytes.extend_from_slice(&chunk?);
            if bytes.len() >= BYTES as usize {
                break;
            }
        }
        Ok(parse_stamp(&bytes).map(|(time, _)| time))
    };
    let late = |_| LogError::Transport(format!("no answer within {} s", LIMIT.as_secs()));
    timeout(LIMIT, reading).await.map_err(late)?
}
