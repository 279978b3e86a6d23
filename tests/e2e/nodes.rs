//! DaemonSets whose nodes take no new pods, or do not answer.

use serde_json::Value;

use crate::client::Event;
use crate::cluster::{ctl, kubectl, namespace};
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

/// The pod there can be neither replaced nor removed. If the controller begins with the other node, it goes
/// on: this Kubernetes counts a node no more that is marked, and then the rollout is done. If it begins with
/// this one, its pod counts as the one that may be unavailable for ever, and nothing goes on
/// (`rollingUpdate` in the controller's `update.go`, which takes the nodes in the order of a Go map: by
/// chance). Whoever is told either is told of the pod (`truths.md` 20).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_cut_off_is_named_by_whatever_a_daemon_set_comes_to() {
    let Some(shop) = namespace("cutoff") else { return };
    shop.apply(&daemon_set(good()));
    shop.kubectl(&["rollout", "status", "daemonset/agent", "--timeout=90s"]);
    // The node controller takes most of a minute to find out.
    let options = ["--namespace", &*shop.name, "--rollout-deadline", "120s", "--settle", "6s"];
    let service = Service::open("cutoff", &options).await;
    if ctl(&["drop", "2"]).is_none() {
        return;
    }
    let cut_off = CutOff("2");
    let says = "cannot be replaced: node node-2 does not answer";
    let done = case("succeeded", None, says);
    let heard = play(service.address, &shop.name, &done).await;
    // A new pod is there only if the controller began with the other node. And it counts the lost one until it
    // looks at the set again once that is tainted: where the pod was marked first, nothing has it do so
    // (`syncNodeUpdate` of its source looks only at nodes whose pods are to come or to go).
    let new = |event: &Event| event.name == "pod" && event.data["side"] == "new";
    let nodes = shop.list("daemonset")[0]["status"]["desiredNumberScheduled"].clone();
    assert!(nodes == 1 || nodes == 2, "{nodes}");
    let case = match nodes == 1 && heard.events.iter().any(new) {
        true => done,
        false => case("timed_out", Some("node_lost"), says),
    };
    let line = judge(service.address, &shop.name, &case, &heard, None).await;
    drop(cut_off);
    eprintln!("{line}");
    keep("cutoff", &line);
}
