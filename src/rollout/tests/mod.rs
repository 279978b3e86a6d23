//! Hand-built sequences: what the model says of them.

mod again;
mod argo;
mod asked;
mod bad;
mod cluster;
mod flaps;
mod fresh;
mod many;
mod order;
mod pods;
mod reference;
mod runs;
mod story;
mod verdict;

use std::sync::Arc;

use serde_json::{Value, json};

use super::Model;
use crate::ids::{Entry, Kind, PodPhase, PodStatus, Reason, RolloutPhase, RolloutStatus, Side};
use crate::time::SECOND;
use crate::watch::testing::*;
use crate::watch::{Change, Index};

const V1: &str = "shop/web:1";
const V2: &str = "shop/web:2";

/// Tables and a model behind them, as the program joins them.
struct Stage {
    world: World,
    model: Model,
}

impl Stage {
    fn new() -> Stage {
        Stage { world: World::new(), model: Model::new() }
    }

    fn feed(&mut self, changes: &[Change]) -> Vec<Entry> {
        let now = self.world.now;
        changes.iter().flat_map(|change| self.model.apply(change, now)).map(|(_, e)| e).collect()
    }

    fn apply(&mut self, value: &Value) -> Vec<Entry> {
        let changes = self.world.apply(value);
        self.feed(&changes)
    }

    fn delete(&mut self, value: &Value) -> Vec<Entry> {
        let changes = self.world.delete(value);
        self.feed(&changes)
    }

    fn web(&self) -> Arc<RolloutStatus> {
        self.model.current(&id(Kind::Deployment, "web")).unwrap()
    }

    fn pods(&self) -> Vec<Arc<PodStatus>> {
        self.model.pods(&id(Kind::Deployment, "web"))
    }

    fn sides(&self) -> Vec<(String, Side)> {
        self.pods().iter().map(|pod| (pod.pod.to_string(), pod.side)).collect()
    }
}

/// Two replicas of version 1, done.
fn settled() -> Stage {
    let mut stage = Stage::new();
    let mut web = deployment(V1, [1, 1, 2, 2, 2, 2]);
    web["status"]["conditions"] = json!([progressing("True", "NewReplicaSetAvailable")]);
    stage.apply(&web);
    stage.apply(&replica_set("a", V1, 1, [1, 2, 2]));
    stage.apply(&running(pod("a", "1", 2), true));
    stage.apply(&running(pod("a", "2", 2), true));
    stage
}

fn progressing(status: &str, reason: &str) -> Value {
    json!({"type": "Progressing", "status": status, "reason": reason,
        "lastTransitionTime": stamp(2), "lastUpdateTime": stamp(7)})
}

fn counts(status: &RolloutStatus) -> [u32; 5] {
    [status.desired, status.updated, status.ready, status.available, status.old]
}

#[test]
fn a_settled_deployment_is_complete_with_the_times_of_the_api() {
    let stage = settled();
    let web = stage.web();
    assert_eq!(web.phase, RolloutPhase::Complete);
    assert_eq!(counts(&web), [2, 2, 2, 2, 0]);
    assert_eq!(web.revision.as_deref(), Some("1"));
    assert_eq!(web.started, Some(BEGIN + 1_000_000_000));
    assert_eq!(web.finished, Some(BEGIN + 7_000_000_000));
    assert_eq!(web.deadline_ms, Some(600_000));
    assert_eq!(web.message, "");
    assert_eq!(stage.pods().len(), 2);
    assert!(stage.pods().iter().all(|pod| pod.side == Side::New && pod.phase == PodPhase::Ready));
}

#[test]
fn a_rolling_update_waits_progresses_and_completes() {
    let mut stage = settled();
    stage.apply(&deployment(V2, [2, 1, 2, 2, 2, 2]));
    assert_eq!(stage.web().phase, RolloutPhase::Waiting, "the status is about version 1");
    assert_eq!(counts(&stage.web()), [2, 0, 0, 0, 2], "there are no new pods yet");
    assert_eq!(stage.web().revision, None);
    assert!(stage.sides().iter().all(|(_, side)| *side == Side::Old));

    stage.apply(&replica_set("b", V2, 20, [2, 1, 0]));
    stage.apply(&deployment(V2, [2, 2, 2, 3, 1, 2]));
    stage.apply(&running(pod("b", "1", 21), false));
    let web = stage.web();
    assert_eq!(web.phase, RolloutPhase::Progressing);
    assert_eq!(counts(&web), [2, 1, 0, 0, 2]);
    assert_eq!((web.revision.as_deref(), web.previous.as_deref()), (Some("2"), Some("1")));
    assert_eq!((web.images[0].from.as_deref(), &*web.images[0].to), (Some(V1), V2));
    assert_eq!(web.started, Some(BEGIN + 20_000_000_000));
    assert_eq!(web.finished, None);
    let new: Vec<_> = stage.pods().into_iter().filter(|pod| pod.side == Side::New).collect();
    assert_eq!(new.len(), 1);
    assert_eq!(new[0].revision.as_deref(), Some("2"));

    stage.apply(&replica_set("a", V1, 1, [1, 0, 0]));
    stage.apply(&replica_set("b", V2, 20, [2, 2, 2]));
    stage.apply(&deployment(V2, [2, 2, 2, 2, 2, 2]));
    assert_eq!(stage.web().phase, RolloutPhase::Complete);
    assert_eq!(counts(&stage.web()), [2, 2, 2, 2, 0]);
}

#[test]
fn who_changed_it_and_why_is_told_where_known() {
    let mut stage = settled();
    assert_eq!((&stage.web().by, &stage.web().change_cause), (&None, &None));
    let mut web = deployment(V2, [2, 1, 2, 2, 2, 2]);
    web["metadata"]["managedFields"] = json!([
        {"manager": "helm", "operation": "Update", "time": stamp(1), "fieldsV1": {"f:spec": {}}},
        {"manager": "ci-deployer", "operation": "Apply", "time": stamp(20),
            "fieldsV1": {"f:spec": {"f:template": {}}}},
        {"manager": "kube-controller-manager", "operation": "Update", "subresource": "status",
            "time": stamp(30), "fieldsV1": {"f:status": {}}},
    ]);
    let long = format!("release 2 {}", "é".repeat(2_000));
    web["metadata"]["annotations"] = json!({"kubernetes.io/change-cause": long});
    stage.apply(&web);
    let status = stage.web();
    assert_eq!(status.by.as_deref(), Some("ci-deployer"));
    let cause = status.change_cause.as_deref().unwrap();
    assert!(cause.starts_with("release 2 é") && cause.len() <= 1024, "{}", cause.len());
    // It stays known of a rollout whose workload is deleted.
    let records = stage.delete(&web);
    let Some(Entry::Rollout(last)) = records.first() else { panic!("{records:?}") };
    assert_eq!(last.by.as_deref(), Some("ci-deployer"));
}

#[test]
fn complete_is_not_said_before_the_replica_set_is_known() {
    let mut stage = settled();
    stage.apply(&deployment(V2, [2, 2, 2, 2, 2, 2]));
    assert_eq!(stage.web().phase, RolloutPhase::Progressing);
    stage.apply(&replica_set("b", V2, 20, [2, 2, 2]));
    assert_eq!(stage.web().phase, RolloutPhase::Complete);
}

#[test]
fn a_rollback_uses_the_old_replica_set_again_and_its_pods_are_new() {
    let mut stage = settled();
    stage.apply(&replica_set("b", V2, 20, [2, 2, 0]));
    stage.apply(&deployment(V2, [2, 2, 2, 4, 2, 2]));
    assert_eq!(stage.web().revision.as_deref(), Some("2"));

    let mut again = replica_set("a", V1, 1, [3, 1, 0]);
    again["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"] = json!("1");
    stage.apply(&again);
    for suffix in ["1", "2"] {
        stage.delete(&pod("a", suffix, 2));
    }
    stage.apply(&running(pod("a", "9", 40), false));
    stage.apply(&running(pod("b", "1", 21), false));
    stage.apply(&deployment(V1, [3, 3, 2, 3, 1, 0]));
    let web = stage.web();
    assert_eq!((web.revision.as_deref(), web.previous.as_deref()), (Some("3"), Some("2")));
    assert_eq!((web.images[0].from.as_deref(), &*web.images[0].to), (Some(V2), V1));
    assert_eq!(web.started, Some(BEGIN + 40_000_000_000), "not when the set was first made");
    let sides = stage.sides();
    assert_eq!(sides, [("web-b-1".into(), Side::Old), ("web-a-9".into(), Side::New)]);
}

#[test]
fn while_recreate_names_the_old_revision_there_are_no_new_pods() {
    let mut stage = settled();
    let mut web = deployment(V2, [2, 2, 2, 2, 0, 0]);
    web["spec"]["strategy"] = json!({"type": "Recreate"});
    web["metadata"]["annotations"] = json!({"deployment.kubernetes.io/revision": "1"});
    stage.apply(&web);
    let web = stage.web();
    assert_eq!(web.phase, RolloutPhase::Progressing);
    assert_eq!(web.revision, None);
    assert_eq!(web.previous.as_deref(), Some("1"));
    assert_eq!(counts(&web), [2, 0, 0, 0, 2]);
    assert!(stage.sides().iter().all(|(_, side)| *side == Side::Old));
}

#[test]
fn a_pause_is_a_state_and_a_changed_template_has_no_pods_meanwhile() {
    let mut stage = settled();
    let mut web = deployment(V2, [2, 2, 2, 2, 0, 2]);
    web["spec"]["paused"] = json!(true);
    stage.apply(&web);
    assert_eq!(stage.web().phase, RolloutPhase::Paused);
    assert_eq!(stage.web().revision, None);
    assert_eq!(stage.web().updated, 0);
    web["spec"]["paused"] = json!(false);
    web["metadata"]["generation"] = json!(3);
    stage.apply(&web);
    assert_eq!(stage.web().phase, RolloutPhase::Waiting);
}

#[test]
fn scaling_to_zero_ends_when_no_pod_is_left() {
    let mut stage = settled();
    stage.apply(&deployment(V1, [2, 2, 0, 2, 2, 2]));
    assert_eq!(stage.web().phase, RolloutPhase::Progressing);
    stage.apply(&deployment(V1, [2, 2, 0, 0, 0, 0]));
    assert_eq!(stage.web().phase, RolloutPhase::ScaledToZero);
    assert_eq!(counts(&stage.web()), [0, 0, 0, 0, 0]);
}

#[test]
fn a_passed_deadline_is_stalled_and_can_recover() {
    let mut stage = settled();
    stage.apply(&replica_set("b", V2, 20, [2, 1, 0]));
    let mut web = deployment(V2, [2, 2, 2, 3, 1, 2]);
    web["status"]["conditions"] = json!([progressing("False", "ProgressDeadlineExceeded")]);
    stage.apply(&web);
    assert_eq!(stage.web().phase, RolloutPhase::Stalled);
    assert_eq!(stage.web().message, "no progress within the deadline of 600 seconds");
    assert_eq!(codes(&stage.web()), [Reason::ProgressDeadline]);
    stage.apply(&replica_set("b", V2, 20, [2, 2, 2]));
    stage.apply(&deployment(V2, [2, 2, 2, 2, 2, 2]));
    assert_eq!(stage.web().phase, RolloutPhase::Complete);
}

#[test]
fn pods_that_cannot_be_created_are_told_of_only_for_the_new_replica_set() {
    let refused = json!([{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate",
        "message": "pods \"web-b-1\" is forbidden: exceeded quota: small"}]);
    let mut stage = settled();
    let mut old = replica_set("a", V1, 1, [1, 2, 2]);
    old["status"]["conditions"] = refused.clone();
    stage.apply(&old);
    stage.apply(&replica_set("b", V2, 20, [2, 0, 0]));
    stage.apply(&deployment(V2, [2, 2, 2, 2, 0, 2]));
    assert_eq!(stage.web().message, "");
    let mut new = replica_set("b", V2, 20, [2, 0, 0]);
    new["status"]["conditions"] = refused;
    stage.apply(&new);
    let expected =
        "new pods cannot be created: pods \"web-b-1\" is forbidden: exceeded quota: small";
    assert_eq!(stage.web().message, expected);
    assert_eq!(codes(&stage.web()), [Reason::Quota]);
}

fn codes(status: &RolloutStatus) -> Vec<Reason> {
    status.reasons.iter().map(|reason| reason.code).collect()
}

#[test]
fn a_refusal_of_admission_is_certain_and_a_quota_is_not() {
    for (message, code) in [
        ("pods \"x\" is forbidden: violates PodSecurity \"restricted:latest\"", Reason::Refused),
        ("admission webhook \"policy\" denied the request: no", Reason::Refused),
        ("pods \"x\" is forbidden: exceeded quota: small, requested: pods=1", Reason::Quota),
        ("Internal error occurred: no endpoints", Reason::CannotCreate),
        (
            "pods \"x\" is forbidden: error looking up service account shop/web: not found",
            Reason::CannotCreate,
        ),
    ] {
        let mut stage = settled();
        let mut new = replica_set("b", V2, 20, [2, 0, 0]);
        new["status"]["conditions"] = json!([{"type": "ReplicaFailure", "status": "True",
            "reason": "FailedCreate", "message": message, "lastTransitionTime": stamp(30)}]);
        stage.apply(&new);
        stage.apply(&deployment(V2, [2, 2, 2, 2, 0, 2]));
        assert_eq!(codes(&stage.web()), [code], "{message}");
        assert_eq!(code.is_certain(), code == Reason::Refused);
        assert!(stage.web().reasons[0].since.is_some());
    }
}

#[test]
fn a_deleted_deployment_is_said_so_once_and_its_pods_outlive_it() {
    let mut stage = settled();
    let records = stage.delete(&deployment(V1, [1, 1, 2, 2, 2, 2]));
    let phases: Vec<_> = records
        .iter()
        .filter_map(|entry| match entry {
            Entry::Rollout(status) => Some(status.phase),
            _ => None,
        })
        .collect();
    assert_eq!(phases, [RolloutPhase::Deleted]);
    assert_eq!(stage.model.current(&id(Kind::Deployment, "web")), None);
    let records = stage.apply(&running(pod("a", "1", 2), false));
    assert!(matches!(&records[..], [Entry::Pod(_)]), "{records:?}");
    stage.delete(&pod("a", "1", 2));
    stage.delete(&pod("a", "2", 2));
    assert!(stage.pods().is_empty());
}

#[test]
fn nothing_is_said_when_only_the_time_changed() {
    let mut stage = settled();
    assert!(stage.apply(&running(pod("a", "1", 2), true)).is_empty());
    let mut web = deployment(V1, [1, 1, 2, 2, 2, 2]);
    web["status"]["conditions"] = json!([progressing("True", "NewReplicaSetAvailable")]);
    web["metadata"]["resourceVersion"] = json!("77");
    assert!(stage.apply(&web).is_empty());
}

#[test]
fn a_new_template_makes_pods_old_that_did_not_change_themselves() {
    let mut stage = settled();
    stage.apply(&deployment(V2, [2, 1, 2, 2, 2, 2]));
    let records = stage.apply(&deployment(V1, [3, 1, 2, 2, 2, 2]));
    let sides: Vec<_> = records
        .iter()
        .filter_map(|entry| match entry {
            Entry::Pod(pod) => Some(pod.side),
            _ => None,
        })
        .collect();
    assert_eq!(sides, [Side::New, Side::New]);
}

#[test]
fn the_index_handle_and_the_model_can_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Model>();
    shared::<Index>();
}

fn revision(owner: (&str, &str), hash: &str, number: i64) -> Value {
    let (kind, owner) = owner;
    let name = format!("{owner}-{hash}");
    let mut value = json!({"kind": "ControllerRevision", "revision": number,
        "metadata": {"namespace": "shop", "name": name, "uid": format!("uid-{name}"),
            "creationTimestamp": stamp(number), "labels": {"controller-revision-hash": hash}},
        "data": {"spec": {"template": {}}}});
    own(&mut value, "apps/v1", kind, owner);
    value
}

#[test]
fn a_stateful_set_tells_new_pods_by_its_update_revision() {
    let mut stage = Stage::new();
    for number in [1, 2] {
        stage.apply(&revision(("StatefulSet", "db"), &format!("h{number}"), number));
    }
    let set = |observed: i64, updated: i64, available: i64| {
        json!({"kind": "StatefulSet", "metadata": {"namespace": "shop", "name": "db",
            "uid": "uid-db", "generation": 2}, "spec": {"replicas": 2, "template": {}},
            "status": {"observedGeneration": observed, "replicas": 2, "updatedReplicas": updated,
                "readyReplicas": available, "availableReplicas": available,
                "currentRevision": "db-h1", "updateRevision": "db-h2"}})
    };
    stage.apply(&set(2, 1, 2));
    for (name, hash) in [("db-0", "db-h1"), ("db-1", "db-h2")] {
        let mut pod = running(bare_pod(name, 3), true);
        pod["metadata"]["labels"] = json!({"controller-revision-hash": hash});
        own(&mut pod, "apps/v1", "StatefulSet", "db");
        stage.apply(&pod);
    }
    let db = id(Kind::StatefulSet, "db");
    let status = stage.model.current(&db).unwrap();
    assert_eq!(status.phase, RolloutPhase::Progressing);
    assert_eq!((status.revision.as_deref(), status.previous.as_deref()), (Some("2"), Some("1")));
    assert_eq!(counts(&status), [2, 1, 1, 1, 1]);
    let pods = stage.model.pods(&db);
    assert_eq!((pods[0].side, pods[0].revision.as_deref()), (Side::Old, Some("1")));
    assert_eq!((pods[1].side, pods[1].revision.as_deref()), (Side::New, Some("2")));
    stage.apply(&set(1, 1, 2));
    assert_eq!(stage.model.current(&db).unwrap().phase, RolloutPhase::Waiting);
    stage.apply(&set(2, 2, 2));
    assert_eq!(stage.model.current(&db).unwrap().phase, RolloutPhase::Complete);
    let mut partitioned = set(2, 1, 2);
    partitioned["spec"]["updateStrategy"] = json!({"rollingUpdate": {"partition": 1}});
    stage.apply(&partitioned);
    assert_eq!(stage.model.current(&db).unwrap().phase, RolloutPhase::Complete);
}

#[test]
fn a_daemon_set_tells_new_pods_by_its_highest_revision_and_meanwhile_by_generation() {
    let mut stage = Stage::new();
    stage.apply(&revision(("DaemonSet", "log"), "h1", 1));
    let set = |generation: i64, observed: i64, updated: i64| {
        json!({"kind": "DaemonSet", "metadata": {"namespace": "shop", "name": "log",
            "uid": "uid-log", "generation": generation, "annotations":
                {"deprecated.daemonset.template.generation": generation.to_string()}},
            "spec": {"template": {}}, "status": {"observedGeneration": observed,
                "desiredNumberScheduled": 2, "currentNumberScheduled": 2, "numberReady": 2,
                "updatedNumberScheduled": updated, "numberAvailable": 2}})
    };
    let pod = |name: &str, hash: &str, generation: i64| {
        let mut pod = running(bare_pod(name, 3), true);
        pod["metadata"]["labels"] = json!({"controller-revision-hash": hash,
            "pod-template-generation": generation.to_string()});
        own(&mut pod, "apps/v1", "DaemonSet", "log");
        pod
    };
    stage.apply(&set(1, 1, 2));
    stage.apply(&pod("log-1", "h1", 1));
    stage.apply(&pod("log-2", "h1", 1));
    let log = id(Kind::DaemonSet, "log");
    assert_eq!(stage.model.current(&log).unwrap().phase, RolloutPhase::Complete);
    // The template changed, and its ControllerRevision is not there yet.
    stage.apply(&set(2, 1, 2));
    assert_eq!(stage.model.current(&log).unwrap().phase, RolloutPhase::Waiting);
    assert!(stage.model.pods(&log).iter().all(|pod| pod.side == Side::Old));
    stage.apply(&pod("log-2", "h2", 2));
    stage.apply(&revision(("DaemonSet", "log"), "h2", 2));
    stage.apply(&set(2, 2, 1));
    let sides: Vec<_> = stage.model.pods(&log).iter().map(|pod| pod.side).collect();
    assert_eq!(sides, [Side::Old, Side::New]);
    let status = stage.model.current(&log).unwrap();
    assert_eq!(counts(&status), [2, 1, 1, 1, 1]);
    assert_eq!(status.revision.as_deref(), Some("2"));
}

#[test]
fn a_job_is_done_failed_or_suspended() {
    let mut stage = Stage::new();
    let job = |status: Value, suspend: bool| {
        json!({"kind": "Job", "metadata": {"namespace": "shop", "name": "load", "uid": "u"},
            "spec": {"completions": 3, "suspend": suspend, "template": {}}, "status": status})
    };
    let mut phase = |status: Value, suspend: bool| {
        stage.apply(&job(status, suspend));
        let status = stage.model.current(&id(Kind::Job, "load")).unwrap();
        (status.phase, status.available, status.message.clone())
    };
    assert_eq!(phase(json!({}), true), (RolloutPhase::Paused, 0, String::new()));
    let running = json!({"active": 1, "succeeded": 2});
    assert_eq!(phase(running, false), (RolloutPhase::Progressing, 2, String::new()));
    let failed = json!({"failed": 4, "conditions": [{"type": "Failed", "status": "True",
        "message": "Job has reached the specified backoff limit"}]});
    let words = "the job failed: Job has reached the specified backoff limit";
    assert_eq!(phase(failed, false), (RolloutPhase::Stalled, 0, words.to_owned()));
    let done = json!({"succeeded": 3, "conditions": [{"type": "Complete", "status": "True"}]});
    assert_eq!(phase(done, false), (RolloutPhase::Complete, 3, String::new()));
}
