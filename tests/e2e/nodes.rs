//! DaemonSets whose nodes take no new pods, or do not answer.

use std::time::Duration;

use rollcast::time;
use serde_json::{Value, json};

use crate::cluster::{ctl, eventually, kubectl, namespace};
use crate::evidence::Evidence;
use crate::outcomes::{Case, GRACES, again, deployment, good, judge, keep, play};
use crate::service::Service;

/// One pod on each node, replaced one by one.
fn daemon_set(spec: Value) -> Value {
    let mut set = deployment("agent", 1, spec);
    set["kind"] = "DaemonSet".into();
    let spec = set["spec"].as_object_mut().unwrap();
    spec.remove("progressDeadlineSeconds");
    spec.remove("replicas");
    set
}

fn case(outcome: &'static str, reason: Option<&'static str>, says: &'static str) -> Case {
    Case {
        workload: "daemonset/agent",
        before: None,
        then: vec![daemon_set(again(good()))],
        outcome,
        reason,
        says,
        line: None,
    }
}

/// A node that takes no new pods until this is dropped.
struct Cordoned(&'static str);

impl Cordoned {
    fn new(node: &'static str) -> Self {
        kubectl(&["cordon", node]);
        Cordoned(node)
    }
}

impl Drop for Cordoned {
    fn drop(&mut self) {
        kubectl(&["uncordon", self.0]);
    }
}

/// A node whose packets are dropped until this is dropped.
struct CutOff(&'static str);

impl Drop for CutOff {
    fn drop(&mut self) {
        ctl(&["heal", self.0]);
        ctl(&["wait"]);
    }
}

/// A DaemonSet does not mind (`truths.md` 20).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cordoned_node_does_not_hold_up_a_daemon_set() {
    let Some(shop) = namespace("cordoned") else { return };
    // Whoever shares a foreign cluster needs its nodes.
    if ctl(&["list"]).is_none() {
        return;
    }
    shop.apply(&daemon_set(good()));
    shop.kubectl(&["rollout", "status", "daemonset/agent", "--timeout=90s"]);
    let service =
        Service::open("cordoned", &[&["--namespace", &*shop.name], &GRACES[..]].concat()).await;
    let cordoned = Cordoned::new("node-2");
    let case = case("succeeded", None, "");
    let heard = play(service.address, &shop.name, &case).await;
    let line = judge(service.address, &shop.name, &case, &heard, None).await;
    drop(cordoned);
    eprintln!("{line}");
    keep("cordoned", &line);
}

/// The pod there can be neither replaced nor removed: the node is named, and when it is back, the rollout
/// recovers. It runs alone, as every test that takes a node away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_cut_off_holds_up_a_daemon_set_and_is_named() {
    let Some(shop) = namespace("cutoff") else { return };
    shop.apply(&daemon_set(good()));
    shop.kubectl(&["rollout", "status", "daemonset/agent", "--timeout=90s"]);
    // The node controller takes most of a minute to find out.
    let options = ["--namespace", &*shop.name, "--rollout-deadline", "100s", "--settle", "6s"];
    let service = Service::open("cutoff", &options).await;
    let evidence = Evidence::watch(&shop.name).await;
    if ctl(&["drop", "2"]).is_none() {
        return;
    }
    let cut_off = CutOff("2");
    let case = case("timed_out", Some("node_lost"), "node node-2 does not answer");
    let heard = play(service.address, &shop.name, &case).await;
    let line = judge(service.address, &shop.name, &case, &heard, Some(&evidence)).await;
    let result = heard.events.last().unwrap();
    assert!(result.data["message"].as_str().unwrap().contains("agent-"), "{result:?}");
    drop(cut_off);
    eprintln!("{line}");
    keep("cutoff", &line);
    let begun = time::now();
    let path = format!("/api/v1/namespaces/{}/daemonset/agent/rollout", shop.name);
    let rollout = eventually("the rollout to recover", Duration::from_secs(120), async || {
        let (_, rollout) = service.json(&path, &[]).await;
        (rollout["recovered"] == json!(true)).then_some(rollout)
    })
    .await;
    let took = (time::now() - begun) / time::SECOND;
    eprintln!("recovered {took} s after the node was back");
    assert_eq!(rollout["result"]["outcome"], "succeeded", "{rollout}");
}
