//! Tests of the whole simulation through a real client, over pipes and under paused time.

mod faults;
mod logs;
mod reviews;
mod watches;
mod workloads;

use futures_util::{AsyncReadExt, StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1 as apps;
use k8s_openapi::api::core::v1 as core;
use kube::Api;
use kube::api::{ListParams, LogParams, WatchEvent, WatchParams};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn sim() -> Sim {
    Sim::new(SimOptions { keep_written: 1 << 20, ..SimOptions::default() })
}

fn web(image: &str, program: Program) -> Deployment {
    Deployment::new("shop", "web", 3, Template::new([Container::new("app", image, program)]))
}

async fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..6_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never happened: {what}");
}

fn condition(sim: &Sim, kind: &str) -> (String, String) {
    let object = sim.object(Resource::Deployments, "shop", "web").unwrap();
    let conditions = object["status"]["conditions"].as_array().unwrap().clone();
    let one = conditions.into_iter().find(|one| one["type"] == kind).unwrap_or_default();
    let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
    (text("status"), text("reason"))
}

async fn rolled_out(sim: &Sim) {
    wait_until("the rollout is complete", || {
        let object = sim.object(Resource::Deployments, "shop", "web").unwrap();
        object["metadata"]["generation"] == object["status"]["observedGeneration"]
            && condition(sim, "Progressing").1 == "NewReplicaSetAvailable"
    })
    .await;
}

async fn follow(client: kube::Client, pod: &str, params: LogParams) -> kube::Result<Vec<u8>> {
    let api: Api<core::Pod> = Api::namespaced(client, "shop");
    let mut body = api.log_stream(pod, &params).await?;
    let mut out = Vec::new();
    // A broken connection ends the reading, as it ends a follower's.
    let mut piece = [0; 4096];
    while let Ok(count) = body.read(&mut piece).await {
        if count == 0 {
            break;
        }
        out.extend_from_slice(&piece[..count]);
    }
    Ok(out)
}
