//! Objects for tests, written as the API serves them, and tables to put them into.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::problem::Resource;
use super::tables::{Object, Tables};
use super::{Change, Now, PodEntry, WorkloadEntry};
use crate::ids::{Kind, WorkloadId};
use crate::time;

/// 2026-11-22T14:00:00Z, the second at which every test's world begins.
pub(crate) const BEGIN: i64 = 1_795_356_000 * time::SECOND;

/// Tables with a clock that moves one second with each step.
pub(crate) struct World {
    pub(in crate::watch) tables: Tables,
    pub(crate) now: i64,
    start: Instant,
}

impl World {
    pub(crate) fn new() -> World {
        World { tables: Tables::new(Duration::from_secs(60)), now: BEGIN, start: Instant::now() }
    }

    fn step(&mut self, seconds: i64) -> Now {
        self.now += seconds * time::SECOND;
        let since = Duration::from_nanos((self.now - BEGIN).unsigned_abs());
        Now { wall: self.now, steady: self.start + since }
    }

    pub(crate) fn apply(&mut self, value: &Value) -> Vec<Change> {
        let (now, mut out) = (self.step(1), Vec::new());
        self.tables.apply(&object(value), now, &mut out);
        out
    }

    pub(crate) fn delete(&mut self, value: &Value) -> Vec<Change> {
        let (now, mut out) = (self.step(1), Vec::new());
        self.tables.delete(&object(value), now, &mut out);
        out
    }

    /// A relist that shows only these uids.
    pub(crate) fn relist(&mut self, resource: Resource, uids: &[&str]) -> Vec<Change> {
        self.relist_in(resource, None, uids)
    }

    /// A relist of one namespace.
    pub(crate) fn relist_in(
        &mut self,
        resource: Resource,
        namespace: Option<&str>,
        uids: &[&str],
    ) -> Vec<Change> {
        let (now, mut out) = (self.step(1), Vec::new());
        let listed: HashSet<Arc<str>> = uids.iter().map(|uid| Arc::from(*uid)).collect();
        self.tables.keep_only(resource, namespace, &listed, now, &mut out);
        out
    }

    pub(crate) fn wait(&mut self, seconds: i64) -> Vec<Change> {
        let (now, mut out) = (self.step(seconds), Vec::new());
        self.tables.sweep(now, &mut out);
        out
    }
}

/// Decodes an object by its kind, as a watch does.
fn object(value: &Value) -> Object {
    let text = value.to_string();
    fn read<T: serde::de::DeserializeOwned>(text: &str) -> Box<T> {
        Box::new(serde_json::from_str(text).unwrap())
    }
    match value["kind"].as_str().unwrap() {
        "Pod" => Object::Pod(read(&text)),
        "Deployment" => Object::Deployment(read(&text)),
        "ReplicaSet" => Object::ReplicaSet(read(&text)),
        "StatefulSet" => Object::StatefulSet(read(&text)),
        "DaemonSet" => Object::DaemonSet(read(&text)),
        "Job" => Object::Job(read(&text)),
        "CronJob" => Object::CronJob(read(&text)),
        "Rollout" => Object::Rollout(read(&text)),
        "ControllerRevision" => Object::ControllerRevision(read(&text)),
        "Event" => Object::Event(read(&text)),
        kind => panic!("no such kind: {kind}"),
    }
}

/// Each change in one word and a name.
pub(crate) fn told(changes: &[Change]) -> Vec<String> {
    let one = |change: &Change| match change {
        Change::PodApplied(pod) => format!("pod {} of {}", pod.name, pod.workload),
        Change::PodGone(pod) => format!("gone {}", pod.name),
        Change::Workload(entry) => format!("workload {}", entry.id),
        Change::WorkloadGone(entry) => format!("deleted {}", entry.id),
        Change::Event { workload, event } => format!("event {} of {workload}", event.reason),
        Change::Synced => "synced".to_owned(),
    };
    changes.iter().map(one).collect()
}

pub(crate) fn stamp(seconds: i64) -> String {
    time::rfc3339(BEGIN + seconds * time::SECOND)
}

pub(crate) fn id(kind: Kind, name: &str) -> WorkloadId {
    WorkloadId::new("shop", kind, name)
}

fn meta(name: &str, created: i64) -> Value {
    json!({"namespace": "shop", "name": name, "uid": format!("uid-{name}"), "generation": 1,
           "resourceVersion": "1", "creationTimestamp": stamp(created),
           "labels": {"app": "x"}, "managedFields": [{"manager": "m", "fieldsV1": {"f:x": {}}}]})
}

fn template(image: &str) -> Value {
    json!({"metadata": {"labels": {"app": "web"}},
           "spec": {"containers": [{"name": "app", "image": image}]}})
}

/// A Deployment `web`. `numbers` are generation, observed generation, desired replicas, and from
/// the status all, updated, available replicas.
pub(crate) fn deployment(image: &str, numbers: [i64; 6]) -> Value {
    let [generation, observed, desired, all, updated, available] = numbers;
    let mut value = json!({"kind": "Deployment", "metadata": meta("web", 0),
        "spec": {"replicas": desired, "progressDeadlineSeconds": 600, "template": template(image)},
        "status": {"observedGeneration": observed, "replicas": all, "updatedReplicas": updated,
                   "readyReplicas": available, "availableReplicas": available}});
    value["metadata"]["generation"] = json!(generation);
    value
}

/// A ReplicaSet of `web`: name is `web-HASH`. `numbers` are revision, replicas, available replicas.
pub(crate) fn replica_set(hash: &str, image: &str, created: i64, numbers: [i64; 3]) -> Value {
    let [revision, replicas, available] = numbers;
    let mut value = json!({"kind": "ReplicaSet", "metadata": meta(&format!("web-{hash}"), created),
        "spec": {"replicas": replicas, "template": template(image)},
        "status": {"replicas": replicas, "readyReplicas": available,
                   "availableReplicas": available}});
    value["spec"]["template"]["metadata"]["labels"]["pod-template-hash"] = json!(hash);
    value["metadata"]["annotations"] =
        json!({"deployment.kubernetes.io/revision": revision.to_string()});
    own(&mut value, "apps/v1", "Deployment", "web");
    value
}

/// Makes something the controller of an object.
pub(crate) fn own(value: &mut Value, version: &str, kind: &str, name: &str) {
    value["metadata"]["ownerReferences"] = json!([{"apiVersion": version, "kind": kind,
        "name": name, "uid": format!("uid-{name}"), "controller": true}]);
}

/// A pod on its own, waiting for a node.
pub(crate) fn bare_pod(name: &str, created: i64) -> Value {
    json!({"kind": "Pod", "metadata": meta(name, created),
        "spec": {"containers": [{"name": "app", "image": "shop/web:1"}]},
        "status": {"phase": "Pending"}})
}

/// A pod of a ReplicaSet of `web`: name is `web-HASH-SUFFIX`.
pub(crate) fn pod(hash: &str, suffix: &str, created: i64) -> Value {
    let mut value = bare_pod(&format!("web-{hash}-{suffix}"), created);
    value["metadata"]["labels"] = json!({"app": "web", "pod-template-hash": hash});
    own(&mut value, "apps/v1", "ReplicaSet", &format!("web-{hash}"));
    value
}

/// The same pod, bound to a node, with its container in this state.
pub(crate) fn with_state(mut pod: Value, ready: bool, restarts: i64, state: Value) -> Value {
    let name = pod["metadata"]["name"].as_str().unwrap().to_owned();
    let truth = if ready { "True" } else { "False" };
    pod["spec"]["nodeName"] = json!("node-1");
    let condition = |kind: &str, status: &str| {
        json!({"type": kind, "status": status,
        "lastTransitionTime": stamp(5)})
    };
    pod["status"] = json!({"phase": "Running",
        "conditions": [condition("PodScheduled", "True"), condition("Ready", truth),
                       condition("ContainersReady", truth)],
        "containerStatuses": [{"name": "app", "ready": ready, "restartCount": restarts,
            "containerID": format!("containerd://{name}-{restarts}"), "state": state}]});
    pod
}

/// The same pod, running.
pub(crate) fn running(pod: Value, ready: bool) -> Value {
    with_state(pod, ready, 0, json!({"running": {"startedAt": stamp(3)}}))
}

/// The entry of the only pod among changes.
pub(crate) fn only_pod(changes: &[Change]) -> Arc<PodEntry> {
    let pods: Vec<_> = changes
        .iter()
        .filter_map(|change| match change {
            Change::PodApplied(pod) | Change::PodGone(pod) => Some(pod),
            _ => None,
        })
        .collect();
    assert_eq!(pods.len(), 1, "{:?}", told(changes));
    Arc::clone(pods[0])
}

/// The entry of a workload.
pub(crate) fn entry(world: &World, id: &WorkloadId) -> Arc<WorkloadEntry> {
    world.tables.workload(id).unwrap()
}
