//! Programs of the cluster die while pods write: nothing is lost, nothing comes twice.

use std::time::Duration;

use crate::cluster::{Namespace, ctl, namespace};
use crate::reader::Reader;
use crate::service::{Service, stream_path};
use crate::writers::Writers;

const PODS: usize = 4;
const LINES: u64 = 5_000;

/// Does something to the cluster while four pods write for ten seconds.
async fn unharmed_by(name: &str, namespace: &Namespace, harm: impl AsyncFnOnce() -> Option<()>) {
    let options = format!("--rate 500 --lines {LINES} --stream both --length 40-200 --hold");
    let web = Writers { name: "web", replicas: PODS as u32, run: "run", options: &options };
    namespace.apply(&web.object());
    namespace.rolled_out("web");
    let service = Service::open(name, &["--namespace", &namespace.name]).await;
    let path = format!("{}?since=1h", stream_path(&namespace.name, "web"));
    let reader = Reader::start(service.address, &path, None);
    reader.until("live", Duration::from_secs(20), |heard| !heard.named("live").is_empty()).await;
    if harm().await.is_none() {
        return;
    }
    reader.lines("run", PODS * LINES as usize, Duration::from_secs(60)).await;
    let heard = reader.stop().await;
    eprintln!("{name}: {} lines", heard.count("run"));
    heard.exactly("run", PODS * 2, LINES / 2);
    heard.without_gaps();
    assert!(service.fetch("/api/v1/workloads", &[]).await.0 == 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_server_that_is_gone_for_three_seconds_costs_no_line() {
    let Some(namespace) = namespace("api-server") else { return };
    unharmed_by("api-server", &namespace, async || {
        ctl(&["kill", "kube-apiserver"])?;
        tokio::time::sleep(Duration::from_secs(3)).await;
        ctl(&["start", "kube-apiserver"])?;
        ctl(&["wait"])
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarted_kubelets_cost_no_line() {
    let Some(namespace) = namespace("kubelet") else { return };
    unharmed_by("kubelet", &namespace, async || {
        ctl(&["kill", "kubelet-1", "kubelet-2"])?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        ctl(&["start", "kubelet-1", "kubelet-2"])?;
        ctl(&["wait"])
    })
    .await;
}
