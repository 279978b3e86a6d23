//! What the tables tell of, sequence by sequence.

use serde_json::json;

use crate::ids::Kind;
use crate::watch::problem::Resource;
use crate::watch::testing::*;
use crate::watch::{Change, ContainerRun};

const V1: &str = "shop/web:1";

fn web() -> serde_json::Value {
    deployment(V1, [1, 1, 2, 2, 2, 2])
}

fn set() -> serde_json::Value {
    replica_set("a", V1, 1, [1, 2, 2])
}

#[test]
fn a_pod_that_comes_before_its_replica_set_is_told_of_only_under_its_deployment() {
    let mut world = World::new();
    assert_eq!(told(&world.apply(&running(pod("a", "1", 2), true))), Vec::<String>::new());
    assert!(world.tables.pod("uid-web-a-1").is_none());
    assert_eq!(told(&world.apply(&set())), ["pod web-a-1 of shop/deployment/web"]);
    assert_eq!(told(&world.apply(&web())), ["workload shop/deployment/web"]);
    let entry = entry(&world, &id(Kind::Deployment, "web"));
    assert_eq!(entry.replica_sets().count(), 1);
    assert_eq!(world.tables.pods_of(&entry.id).len(), 1);
}

#[test]
fn a_pod_whose_owner_never_comes_is_told_of_in_the_end_and_moves_when_it_does() {
    let mut world = World::new();
    world.apply(&pod("a", "1", 2));
    assert_eq!(told(&world.wait(29)), Vec::<String>::new());
    assert_eq!(told(&world.wait(2)), ["pod web-a-1 of shop/pod/web-a-1"]);
    // Its changes are told of while its owner is still unknown.
    let changes = world.apply(&running(pod("a", "1", 2), true));
    assert_eq!(told(&changes), ["pod web-a-1 of shop/pod/web-a-1"]);
    assert_eq!(told(&world.apply(&set())), ["pod web-a-1 of shop/deployment/web"]);
    assert!(world.tables.workload(&id(Kind::Pod, "web-a-1")).is_none());
}

#[test]
fn a_bare_replica_set_and_a_foreign_owner_leave_pods_to_themselves() {
    let mut world = World::new();
    let mut bare = set();
    bare["metadata"]["ownerReferences"] = json!(null);
    world.apply(&bare);
    let changes = world.apply(&pod("a", "1", 2));
    assert_eq!(told(&changes), ["pod web-a-1 of shop/pod/web-a-1"]);
    let mut foreign = bare_pod("x", 1);
    own(&mut foreign, "example.io/v1", "Game", "g");
    assert_eq!(told(&world.apply(&foreign)), ["pod x of shop/pod/x"]);
    let workload = entry(&world, &id(Kind::Pod, "x"));
    assert_eq!(&*workload.template.containers[0].image, V1);
}

#[test]
fn an_adopted_replica_set_takes_its_pods_along() {
    let mut world = World::new();
    let mut bare = set();
    bare["metadata"]["ownerReferences"] = json!(null);
    world.apply(&bare);
    world.apply(&pod("a", "1", 2));
    assert_eq!(told(&world.apply(&set())), ["pod web-a-1 of shop/deployment/web"]);
}

#[test]
fn what_a_relist_no_longer_shows_is_gone() {
    let mut world = World::new();
    for object in [web(), set(), pod("a", "1", 2), pod("a", "2", 2)] {
        world.apply(&object);
    }
    assert_eq!(told(&world.relist(Resource::Pods, &["uid-web-a-2"])), ["gone web-a-1"]);
    assert_eq!(world.tables.pods_of(&id(Kind::Deployment, "web")).len(), 1);
    let changes = world.relist(Resource::ReplicaSets, &[]);
    assert_eq!(told(&changes), ["workload shop/deployment/web"]);
    assert_eq!(entry(&world, &id(Kind::Deployment, "web")).replica_sets().count(), 0);
    let changes = world.relist(Resource::Deployments, &[]);
    assert_eq!(told(&changes), ["deleted shop/deployment/web"]);
    assert_eq!(told(&world.relist(Resource::Pods, &[])), ["gone web-a-2"]);
    assert!(world.tables.workloads().is_empty());
}

#[test]
fn a_relist_of_one_namespace_leaves_the_others_alone() {
    let mut world = World::new();
    world.apply(&bare_pod("x", 1));
    assert!(world.relist_in(Resource::Pods, Some("other"), &[]).is_empty());
    assert_eq!(told(&world.relist_in(Resource::Pods, Some("shop"), &[])), ["gone x"]);
}

#[test]
fn a_relist_that_shows_the_same_tells_nothing_but_counts_as_seen() {
    let mut world = World::new();
    let x = running(bare_pod("x", 1), true);
    world.apply(&x);
    let before = world.tables.pod("uid-x").unwrap().seen;
    assert!(world.apply(&x).is_empty());
    assert!(world.tables.pod("uid-x").unwrap().seen > before);
}

#[test]
fn a_deleted_pod_stays_known_with_its_last_state_for_the_grace_period() {
    let mut world = World::new();
    world.apply(&running(bare_pod("x", 1), true));
    let ended = json!({"terminated": {"exitCode": 0, "finishedAt": stamp(9),
        "containerID": "containerd://x-0"}});
    let changes = world.delete(&with_state(bare_pod("x", 1), false, 0, ended));
    assert_eq!(told(&changes), ["pod x of shop/pod/x", "gone x"]);
    let kept = world.tables.pod("uid-x").unwrap();
    assert!(kept.gone.is_some());
    assert!(matches!(kept.containers[0].state, ContainerRun::Terminated(_)));
    assert!(world.tables.pod_by_name("shop", "x").is_some());
    world.wait(59);
    assert!(world.tables.pod("uid-x").is_some());
    world.wait(2);
    assert!(world.tables.pod("uid-x").is_none());
    assert!(world.tables.pod_by_name("shop", "x").is_none());
}

#[test]
fn a_pod_made_again_under_its_name_is_another_one_even_if_the_deletion_was_missed() {
    let mut world = World::new();
    world.apply(&running(bare_pod("db-0", 1), true));
    let mut again = bare_pod("db-0", 9);
    again["metadata"]["uid"] = json!("uid-second");
    assert_eq!(told(&world.apply(&again)), ["gone db-0", "pod db-0 of shop/pod/db-0"]);
    assert_eq!(&*world.tables.pod_by_name("shop", "db-0").unwrap().uid, "uid-second");
    // The late deletion of the first one changes nothing.
    assert!(world.relist(Resource::Pods, &["uid-second"]).is_empty());
    world.wait(100);
    assert!(world.tables.pod_by_name("shop", "db-0").is_some());
}

#[test]
fn a_static_pod_keeps_its_identity_when_its_mirror_object_is_replaced() {
    let mut world = World::new();
    let mirror = |uid: &str| {
        let mut pod = running(bare_pod("proxy-node-1", 1), true);
        pod["metadata"]["uid"] = json!(uid);
        let (hash, mirror) = ("kubernetes.io/config.hash", "kubernetes.io/config.mirror");
        pod["metadata"]["annotations"] = json!({hash: "5f3a", mirror: "5f3a"});
        own(&mut pod, "v1", "Node", "node-1");
        pod
    };
    world.apply(&mirror("one"));
    world.delete(&mirror("one"));
    let changes = world.apply(&mirror("two"));
    assert_eq!(&*only_pod(&changes).uid, "5f3a-shop");
    world.wait(100);
    assert!(world.tables.pod("5f3a-shop").is_some_and(|pod| pod.gone.is_none()));
}

/// Anybody can write an annotation into a template. Pods that have it would all be one, or another's, and
/// what is in it would stand in each line's key.
#[test]
fn only_a_mirror_object_has_the_hash_of_a_file_for_its_identity() {
    let (hash, mirror) = ("kubernetes.io/config.hash", "kubernetes.io/config.mirror");
    let forged = "x\"}\n\nevent: result\n\n";
    for (annotations, owner) in [
        (json!({hash: "5f3a"}), "Node"),
        (json!({hash: "5f3a", mirror: "5f3b"}), "Node"),
        (json!({hash: "5f3a", mirror: "5f3a"}), "ReplicaSet"),
        (json!({hash: forged, mirror: forged}), "Node"),
        (json!({hash: "", mirror: ""}), "Node"),
    ] {
        let mut world = World::new();
        for name in ["web-1", "web-2", "web-3"] {
            let mut pod = running(bare_pod(name, 1), true);
            pod["metadata"]["annotations"] = annotations.clone();
            own(&mut pod, "v1", owner, "web");
            let changes = world.apply(&pod);
            assert_eq!(*only_pod(&changes).uid, *format!("uid-{name}"), "{annotations}");
        }
        world.wait(100);
        assert!(world.tables.pod("uid-web-1").is_some_and(|pod| pod.gone.is_none()));
    }
}

#[test]
fn a_workload_made_again_under_its_name_is_another_one() {
    let mut world = World::new();
    world.apply(&web());
    world.apply(&set());
    let mut again = web();
    again["metadata"]["uid"] = json!("uid-second");
    let changes = world.apply(&again);
    assert_eq!(told(&changes), ["deleted shop/deployment/web", "workload shop/deployment/web"]);
    // The old ReplicaSet is not its child.
    assert_eq!(entry(&world, &id(Kind::Deployment, "web")).replica_sets().count(), 0);
}

#[test]
fn pods_of_a_cron_job_belong_to_it_and_its_jobs_are_not_workloads() {
    let mut world = World::new();
    let mut job = json!({"kind": "Job", "metadata": {"namespace": "shop", "name": "backup-1",
        "uid": "uid-backup-1", "creationTimestamp": stamp(1)},
        "spec": {"template": {"spec": {"containers": []}}}});
    let mut worker = bare_pod("backup-1-x", 2);
    own(&mut worker, "batch/v1", "Job", "backup-1");
    world.apply(&worker);
    let changes = world.apply(&job);
    assert_eq!(
        told(&changes),
        ["pod backup-1-x of shop/job/backup-1", "workload shop/job/backup-1"]
    );
    own(&mut job, "batch/v1", "CronJob", "backup");
    let changes = world.apply(&job);
    assert_eq!(
        told(&changes),
        ["pod backup-1-x of shop/cronjob/backup", "deleted shop/job/backup-1"]
    );
    let cron = json!({"kind": "CronJob", "metadata": {"namespace": "shop", "name": "backup",
        "uid": "uid-backup"}, "spec": {"jobTemplate": {"spec": {"template": {}}}}});
    world.apply(&cron);
    assert_eq!(entry(&world, &id(Kind::CronJob, "backup")).jobs().count(), 1);
    assert_eq!(world.tables.workloads().len(), 1);
}

fn event(uid: &str, about: &serde_json::Value, reason: &str, count: i64) -> serde_json::Value {
    json!({"kind": "Event", "metadata": {"namespace": "shop", "name": uid, "uid": uid},
        "involvedObject": {"kind": about["kind"], "namespace": "shop",
            "name": about["metadata"]["name"], "uid": about["metadata"]["uid"]},
        "type": "Warning", "reason": reason, "message": "m", "count": count,
        "lastTimestamp": stamp(count)})
}

#[test]
fn events_are_told_of_under_the_workload_of_their_object_and_wait_for_it() {
    let mut world = World::new();
    let x = pod("a", "1", 2);
    assert!(world.apply(&event("e1", &x, "BackOff", 1)).is_empty());
    assert!(world.apply(&event("e2", &set(), "FailedCreate", 1)).is_empty());
    for object in [x, set(), web()] {
        world.apply(&object);
    }
    let mut told = told(&world.wait(1));
    told.sort_unstable();
    let expected =
        ["event BackOff of shop/deployment/web", "event FailedCreate of shop/deployment/web"];
    assert_eq!(told, expected);
    assert!(world.wait(1).is_empty(), "told once");
}

#[test]
fn an_event_is_told_again_only_when_it_happened_again() {
    let mut world = World::new();
    world.apply(&web());
    let once = event("e1", &web(), "Stuck", 1);
    assert_eq!(world.apply(&once).len(), 1);
    assert!(world.apply(&once).is_empty(), "a relist shows it again");
    assert_eq!(world.apply(&event("e1", &web(), "Stuck", 2)).len(), 1);
    let node = json!({"kind": "Node", "metadata": {"name": "n", "uid": "n"}});
    assert!(world.apply(&event("e2", &node, "NodeNotReady", 1)).is_empty());
    assert!(world.wait(1).is_empty());
}

#[test]
fn five_thousand_pods_cost_at_most_four_mebibytes() {
    let mut world = World::new();
    world.apply(&set());
    let uid = |number: u32| format!("{number:08x}-51e5-4b0e-9c3b-0123456789ab");
    for number in 0..5_000 {
        let mut one = pod("a", &format!("{number:05}"), 2);
        one["metadata"]["uid"] = json!(uid(number));
        one["metadata"]["name"] = json!(format!("payment-service-6c9f7d5b8-{number:05}"));
        let state = json!({"running": {"startedAt": stamp(3)}});
        let mut one = with_state(one, true, 0, state);
        one["status"]["containerStatuses"][0]["containerID"] =
            json!(format!("containerd://{number:064x}"));
        one["spec"]["nodeName"] = json!(format!("node-{}", number % 100));
        world.apply(&one);
    }
    assert_eq!(world.tables.pods().len(), 5_000);
    let bytes = world.tables.bytes();
    assert!(bytes <= 4 << 20, "{} bytes a pod", bytes / 5_000);
    assert!(bytes >= 5_000 * 400, "the estimate counts too little: {}", bytes / 5_000);
}

#[test]
fn changes_of_what_nobody_reads_are_no_changes() {
    let mut world = World::new();
    world.apply(&web());
    let mut other = web();
    other["metadata"]["managedFields"] = json!([]);
    other["metadata"]["annotations"] = json!({"other.io/note": "x"});
    assert!(world.apply(&other).is_empty());
    other["metadata"]["annotations"]["rollcast.dev/deploy"] = json!("42");
    let changes = world.apply(&other);
    let [Change::Workload(entry)] = &changes[..] else { panic!("{:?}", told(&changes)) };
    assert_eq!(entry.deploy.as_deref(), Some("42"));
}

#[test]
fn the_cause_of_a_failed_pull_outlives_the_backoff_that_does_not_repeat_it() {
    let mut world = World::new();
    let mut cause = |reason: &str, message: &str| {
        let state = json!({"waiting": {"reason": reason, "message": message}});
        world.apply(&with_state(bare_pod("x", 1), false, 0, state));
        let pod = world.tables.pod("uid-x").unwrap();
        let ContainerRun::Waiting(Some(why)) = &pod.containers[0].state else { panic!("{pod:?}") };
        why.message.as_deref().unwrap_or_default().to_owned()
    };
    assert_eq!(cause("ErrImagePull", "x:9: not found"), "x:9: not found");
    assert_eq!(cause("ImagePullBackOff", "Back-off pulling image"), "x:9: not found");
    assert_eq!(cause("ImagePullBackOff", "Back-off pulling image"), "x:9: not found");
    let new = "Back-off pulling image: ErrImagePull: denied";
    assert_eq!(cause("ImagePullBackOff", new), new);
    assert_eq!(cause("ContainerCreating", ""), "");
}
