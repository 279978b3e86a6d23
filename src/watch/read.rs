//! Reads one workload as it is now: from a quorum, reduced as the watch reduces it.

use super::intern::Words;
use super::workload::WorkloadEntry;
use crate::cluster::{Cluster, Error, Object};
use crate::ids::{Kind, WorkloadId};

/// A workload as the API server has it now, without its children; `None` if there is none, and of a pod.
///
/// # Errors
/// Any answer but the object and 404, or none within 10 s.
pub async fn read(cluster: &Cluster, id: &WorkloadId) -> Result<Option<WorkloadEntry>, Error> {
    match id.kind {
        Kind::Deployment => reduced(cluster, id, WorkloadEntry::deployment).await,
        Kind::StatefulSet => reduced(cluster, id, WorkloadEntry::stateful_set).await,
        Kind::DaemonSet => reduced(cluster, id, WorkloadEntry::daemon_set).await,
        Kind::Job => reduced(cluster, id, WorkloadEntry::job).await,
        Kind::CronJob => reduced(cluster, id, WorkloadEntry::cron_job).await,
        Kind::Rollout => reduced(cluster, id, WorkloadEntry::rollout).await,
        Kind::Pod => Ok(None),
    }
}

async fn reduced<K: Object>(
    cluster: &Cluster,
    id: &WorkloadId,
    reduce: fn(&K, &mut Words) -> WorkloadEntry,
) -> Result<Option<WorkloadEntry>, Error> {
    let object: Option<K> = cluster.get(id).await?;
    // One object shares no words with others.
    Ok(object.map(|object| reduce(&object, &mut Words::new())))
}
