//! What 5,000 pods cost: in the index, and in an idle `rollcast serve`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rollcast::cluster::{Cluster as Client, ClusterOptions};
use rollcast::telemetry::Metrics;
use rollcast::watch::{self, Index, WatchOptions};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Outcome;
use crate::cluster::{Cluster, Writers};
use crate::fanout::{Serving, serve};
use crate::process::{Args, Role, say, wait};
use crate::report::Row;

const PODS: u32 = 5_000;
/// After the first lists: what an allocator gives back, it has given back by then.
const SETTLE: Duration = Duration::from_secs(12);
const MIB: f64 = 1024.0;

pub fn run(_: &Args) -> Outcome<Vec<Row>> {
    let tick = Duration::from_millis(50);
    // Long ago, so that everything runs and nothing changes any more.
    let past = Duration::from_secs(120);
    let names: [&str; 10] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    let writers =
        names.map(|name| Writers { name, pods: PODS / 10, rate: 0.0, lines: 0, binary: false });
    let full = Cluster::start(&writers, tick, past)?;
    let empty = Cluster::start(&[], tick, Duration::ZERO)?;
    let mut role = Role::start("index", &full.args())?;
    let index = role.hear_args("index")?;
    let pods: u32 = index.get("pods", 0);
    if pods != PODS {
        return Err(format!("the index has {pods} pods, not {PODS}").into());
    }
    let bytes: f64 = index.get("bytes", f64::NAN);
    let idle = |cluster: &Cluster| -> Outcome<(f64, f64)> {
        let Serving { role, .. } = serve(cluster)?;
        wait(SETTLE);
        Ok((role.status_kib("VmRSS") / MIB, role.status_kib("VmHWM") / MIB))
    };
    let (with, most) = idle(&full)?;
    let (without, _) = idle(&empty)?;
    Ok(vec![
        Row::new("memory, index of 5,000 pods", "rollcast")
            .figure("MiB (`Index::bytes`)", bytes / MIB / MIB)
            .figure("B/pod", bytes / f64::from(PODS))
            .note("target 4 MiB"),
        Row::new("memory, idle `serve`, 5,000 pods", "rollcast")
            .figure("MiB resident", with)
            .figure("MiB at most, first lists included", most)
            .note(&format!("target 64 MiB; {without:.1} MiB with no pods")),
    ])
}

/// Reads a cluster into an index and says its size.
pub async fn index(args: &Args) -> Outcome {
    let options =
        ClusterOptions { kubeconfig: Some(PathBuf::from(args.word("kubeconfig"))), context: None };
    let cluster = Client::connect(&options).await?;
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let (sender, mut changes) = tokio::sync::mpsc::channel(1024);
    let index = Index::new();
    let metrics = Arc::new(Metrics::noop());
    let options = WatchOptions::default();
    tasks.spawn(watch::run(cluster, options, index.clone(), sender, metrics, stop.clone()));
    tasks.spawn(async move { while changes.recv().await.is_some() {} });
    while !index.synced() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    say(&format!("index pods={} bytes={}", index.pods().len(), index.bytes()));
    stop.cancel();
    Ok(())
}
