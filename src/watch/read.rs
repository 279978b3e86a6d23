//! Reads one workload as it is now: from a quorum, reduced as the watch reduces it.

use super::intern::Words;
use super::workload::WorkloadEntry;
use crate::cluster::types::{CronJob, DaemonSet, Deployment, Job, Rollout, StatefulSet};
use crate::cluster::{Cluster, Error};
use crate::ids::{Kind, WorkloadId};

/// A workload as the API server has it now, without its children; `None` if there is none, and of a pod.
///
/// # Errors
/// Any answer but the object and 404, or none within 10 s.
pub async fn read(cluster: &Cluster, id: &WorkloadId) -> Result<Option<WorkloadEntry>, Error> {
    // One object shares no words with others.
    let words = &mut Words::new();
    Ok(match id.kind {
        Kind::Deployment => {
            let object: Option<Deployment> = cluster.get(id).await?;
            object.map(|object| WorkloadEntry::deployment(&object, words))
        }
        Kind::StatefulSet => {
            let object: Option<StatefulSet> = cluster.get(id).await?;
            object.map(|object| WorkloadEntry::stateful_set(&object, words))
        }
        Kind::DaemonSet => {
            let object: Option<DaemonSet> = cluster.get(id).await?;
            object.map(|object| WorkloadEntry::daemon_set(&object, words))
        }
        Kind::Job => {
            let object: Option<Job> = cluster.get(id).await?;
            object.map(|object| WorkloadEntry::job(&object, words))
        }
        Kind::CronJob => {
            let object: Option<CronJob> = cluster.get(id).await?;
            object.map(|object| WorkloadEntry::cron_job(&object, words))
        }
        Kind::Rollout => {
            let object: Option<Rollout> = cluster.get(id).await?;
            object.map(|object| WorkloadEntry::rollout(&object, words))
        }
        Kind::Pod => None,
    })
}
