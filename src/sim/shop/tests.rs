//! The shop keeps its promises over simulated minutes, as its own API objects show them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::*;

const NAMES: [(&str, &str); 6] = [
    ("shop", "web"),
    ("shop", "payments"),
    ("shop", "checkout"),
    ("shop", "search"),
    ("shop", "catalog"),
    ("edge", "gateway"),
];

/// As `kubectl rollout status` computes it.
fn complete(object: &Value) -> bool {
    let count = |key: &str| object["status"][key].as_u64().unwrap_or(0);
    let wanted = object["spec"]["replicas"].as_u64().unwrap();
    object["metadata"]["generation"] == object["status"]["observedGeneration"]
        && [count("updatedReplicas"), count("replicas"), count("availableReplicas")] == [wanted; 3]
}

fn reason(object: &Value) -> &str {
    let conditions = object["status"]["conditions"].as_array().unwrap();
    let progressing = conditions.iter().find(|one| one["type"] == "Progressing").unwrap();
    progressing["reason"].as_str().unwrap()
}

fn shop() -> Sim {
    let sim = Sim::new(options(1_795_356_000 * crate::time::SECOND));
    open(&sim);
    sim
}

/// The newest stamp of a workload's lines.
fn newest(sim: &Sim, namespace: &str, name: &str) -> i64 {
    let pods = sim.pods(namespace, &format!("{name}-"));
    let stamps = pods.iter().filter_map(|pod| {
        let written = sim.written(&pod.uid, "app", pod.containers[0].attempt)?;
        Some(written.stamps?.1)
    });
    stamps.max().unwrap_or(0)
}

#[tokio::test(start_paused = true)]
async fn the_shop_opens_with_finished_rollouts_and_every_deployment_logs_within_three_seconds() {
    let sim = shop();
    assert_eq!(sim.now(), 1_795_356_000 * crate::time::SECOND);
    let done = |(namespace, name): &&(&str, &str)| {
        complete(&sim.object(Resource::Deployments, namespace, name).unwrap())
    };
    assert!(NAMES.iter().filter(done).count() >= 2);
    let opened = sim.now();
    for (namespace, name) in NAMES {
        assert!(newest(&sim, namespace, name) > 0, "{name}");
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    for (namespace, name) in NAMES {
        assert!(newest(&sim, namespace, name) > opened, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn for_a_quarter_of_an_hour_two_are_always_complete_and_the_others_come_round() {
    let sim = shop();
    let step = Duration::from_millis(250);
    // Steps since a workload was last complete, and what was seen of it.
    let mut since: BTreeMap<&str, u32> = BTreeMap::new();
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    let (mut stalled, mut crashed, mut old_serve) = (0, 0, 3);
    for _ in 0..15 * 60 * 4 {
        tokio::time::sleep(step).await;
        let mut done = 0;
        for (namespace, name) in NAMES {
            let object = sim.object(Resource::Deployments, namespace, name).unwrap();
            let steps = since.entry(name).or_default();
            if complete(&object) {
                done += 1;
                *seen.entry(name).or_default() += u32::from(*steps > 0);
                *steps = 0;
            } else {
                *steps += 1;
                assert!(*steps < 60 * 4, "{name} takes longer than a minute");
            }
            if name == "payments" {
                stalled += u32::from(reason(&object) == "ProgressDeadlineExceeded");
                let available = object["status"]["availableReplicas"].as_u64().unwrap_or(0);
                old_serve = old_serve.min(available);
            }
        }
        for pod in sim.pods("shop", "checkout-") {
            crashed = crashed.max(pod.containers[0].attempt);
        }
        assert!(done >= 2, "only {done} rollouts are finished");
    }
    assert!(seen["web"] >= 18 && seen["checkout"] >= 14 && seen["payments"] >= 14, "{seen:?}");
    assert!(seen["search"] >= 20, "{seen:?}");
    assert!(stalled > 100 && crashed >= 3, "{stalled} {crashed}");
    assert_eq!(old_serve, 3, "old pods keep serving");
    // The other kinds came round as well.
    let index = sim.object(Resource::StatefulSets, "data", "index").unwrap();
    assert_eq!(index["status"]["readyReplicas"], 3);
    let revision = index["status"]["updateRevision"].as_str().unwrap();
    assert!(sim.object(Resource::ControllerRevisions, "data", revision).is_some());
    let cron = sim.object(Resource::CronJobs, "data", "nightly-report").unwrap();
    assert!(cron["status"]["lastScheduleTime"].is_string());
    let pods = sim.pods("data", "nightly-report-");
    assert!((3..=8).contains(&pods.len()), "{}", pods.len());
}
