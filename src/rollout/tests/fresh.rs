//! What a replica answers that has seen no change happen: it knows a rollout from what is there.

use super::*;
use crate::ids::Outcome;
use crate::rollout::{Found, Pin};

pub(super) fn deploy(id: &str) -> Pin {
    Pin { deploy: Some(id.to_owned()), ..Pin::default() }
}

pub(super) fn with_deploy(mut value: Value, id: &str) -> Value {
    value["metadata"]["annotations"]["rollcast.dev/deploy"] = json!(id);
    value
}

/// Version 2 runs; `sets` are what the ReplicaSets of version 1 and 2 carry.
fn found(object: &str, sets: [&str; 2], pin: &Pin) -> Found {
    let mut stage = Stage::new();
    stage.apply(&with_deploy(deployment(V2, [2, 2, 2, 2, 2, 2]), object));
    stage.apply(&with_deploy(replica_set("a", V1, 1, [1, 0, 0]), sets[0]));
    stage.apply(&with_deploy(replica_set("b", V2, 20, [2, 2, 2]), sets[1]));
    stage.feed(&[Change::Synced]);
    let web = id(Kind::Deployment, "web");
    let found = stage.model.find(&web, pin);
    let newest = stage.model.course(&web).unwrap().number;
    assert!(!matches!(found, Found::Course(number) if number != newest));
    found
}

/// Who changes the image by hand leaves the annotation of the deploy before: its result is not theirs.
#[test]
fn a_deploy_of_which_an_older_replica_set_has_the_name_is_passed() {
    for sets in [["b-17", "b-17"], ["b-17", "other"]] {
        assert_eq!(found("b-17", sets, &deploy("b-17")), Found::Passed, "{sets:?}");
    }
    for sets in [["b-16", "b-17"], ["b-16", "b-16"]] {
        assert!(matches!(found("b-17", sets, &deploy("b-17")), Found::Course(_)), "{sets:?}");
        assert_eq!(found("b-17", sets, &deploy("b-18")), Found::Waiting, "{sets:?}");
    }
}

/// The annotation was there when rollcast began, and the change that it was set for came behind.
#[test]
fn a_deploy_that_was_there_before_a_change_that_keeps_it_is_passed() {
    let mut stage = Stage::new();
    stage.world.now += 600 * SECOND;
    stage.apply(&with_deploy(deployment(V1, [1, 1, 2, 2, 2, 2]), "b-17"));
    stage.apply(&with_deploy(replica_set("a", V1, 1, [2, 2, 2]), "b-17"));
    for suffix in ["1", "2"] {
        stage.apply(&running(pod("a", suffix, 2), true));
    }
    stage.feed(&[Change::Synced]);
    let web = id(Kind::Deployment, "web");
    let first = stage.course().number;
    assert_eq!(stage.model.find(&web, &deploy("b-17")), Found::Course(first));
    assert!(stage.course().result.is_some());
    stage.apply(&with_deploy(deployment(V2, [2, 1, 2, 2, 2, 2]), "b-17"));
    assert_ne!(stage.course().number, first);
    assert_eq!(stage.model.find(&web, &deploy("b-17")), Found::Passed);
}

/// Whatever comes first: the Deployment, or its ReplicaSets.
#[test]
fn it_is_passed_too_where_the_replica_sets_were_known_first() {
    let mut stage = Stage::new();
    stage.apply(&with_deploy(replica_set("a", V1, 1, [1, 0, 0]), "b-17"));
    stage.apply(&with_deploy(replica_set("b", V2, 20, [2, 2, 2]), "b-17"));
    stage.apply(&with_deploy(deployment(V2, [2, 2, 2, 2, 2, 2]), "b-17"));
    stage.feed(&[Change::Synced]);
    let web = id(Kind::Deployment, "web");
    assert_eq!(stage.model.find(&web, &deploy("b-17")), Found::Passed);
    // The next deploy is named again.
    stage.apply(&with_deploy(deployment("shop/web:3", [3, 2, 2, 2, 2, 2]), "b-18"));
    let newest = stage.model.course(&web).unwrap().number;
    assert_eq!(stage.model.find(&web, &deploy("b-18")), Found::Course(newest));
    assert_eq!(stage.model.find(&web, &deploy("b-17")), Found::Passed);
}

/// ControllerRevisions have the annotation as it was when they were made.
#[test]
fn a_stateful_sets_deploy_is_known_by_its_revisions() {
    for (older, passed) in [("b-17", true), ("b-16", false)] {
        let mut stage = Stage::new();
        let mut db = with_deploy(deployment(V2, [2, 2, 2, 2, 2, 2]), "b-17");
        db["kind"] = json!("StatefulSet");
        (db["metadata"]["name"], db["metadata"]["uid"]) = (json!("db"), json!("uid-db"));
        db["status"]["currentRevision"] = json!("db-h2");
        db["status"]["updateRevision"] = json!("db-h2");
        stage.apply(&db);
        for (number, id) in [(1, older), (2, "b-17")] {
            let made = revision(("StatefulSet", "db"), &format!("h{number}"), number);
            stage.apply(&with_deploy(made, id));
        }
        stage.feed(&[Change::Synced]);
        let found = stage.model.find(&id(Kind::StatefulSet, "db"), &deploy("b-17"));
        assert_eq!(found == Found::Passed, passed, "{older}: {found:?}");
    }
}

/// A rollback's ReplicaSet keeps its old number for a moment; who read that beside the generation still
/// means the same rollout when it is renumbered, and who means the old number means the old rollout.
#[test]
fn a_rollout_that_was_renumbered_is_found_by_either_number_beside_its_generation() {
    let mut stage = settled();
    let web = id(Kind::Deployment, "web");
    stage.feed(&[Change::Synced]);
    stage.apply(&replica_set("b", V2, 20, [2, 1, 0]));
    stage.apply(&deployment(V2, [2, 2, 2, 3, 1, 2]));
    let second = stage.model.course(&web).unwrap().number;
    stage.apply(&replica_set("b", V2, 20, [5, 1, 0]));
    let mut renumbered = deployment(V2, [2, 2, 2, 3, 1, 2]);
    renumbered["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = json!("5");
    stage.apply(&renumbered);
    assert_eq!(stage.web().revision.as_deref(), Some("5"));
    let pin = |generation, revision: &str| Pin {
        generation,
        revision: Some(revision.to_owned()),
        ..Pin::default()
    };
    assert_eq!(stage.model.find(&web, &pin(Some(2), "2")), Found::Course(second));
    assert_eq!(stage.model.find(&web, &pin(Some(2), "5")), Found::Course(second));
    assert_eq!(stage.model.find(&web, &pin(None, "5")), Found::Course(second));
    assert_eq!(stage.model.find(&web, &pin(None, "2")), Found::Passed);
}

/// `truths.md` 17: a process that is started in the middle concludes the same, and at the same time.
#[test]
fn a_deadline_is_the_same_for_a_replica_that_is_started_in_the_middle() {
    let objects = [
        deployment(V2, [2, 2, 2, 3, 1, 2]),
        replica_set("a", V1, 1, [1, 2, 2]),
        replica_set("b", V2, 61, [2, 1, 0]),
        running(pod("a", "1", 2), true),
        running(pod("a", "2", 2), true),
        running(pod("b", "1", 62), false),
    ];
    let concluded = |started: i64| {
        let mut stage = Stage::new();
        stage.world.now = BEGIN + started * SECOND;
        for object in &objects {
            stage.apply(object);
        }
        stage.feed(&[Change::Synced]);
        for _ in 0..2_000 {
            stage.pass(1);
            if let Some(decision) = stage.model.decisions().pop() {
                assert_eq!(decision.draft.outcome, Outcome::TimedOut);
                return (stage.world.now - BEGIN) / SECOND;
            }
        }
        panic!("nothing was concluded");
    };
    let all = [62, 200, 600].map(concluded);
    assert_eq!(all, [662; 3], "ten minutes after the last that came on: the pod");
}

/// What was good for a month, and is not at the moment in which a process starts, has failed nothing.
#[test]
fn what_is_old_and_away_at_a_start_is_neither_late_nor_failed() {
    let month = -30 * 86_400;
    // A pod on its own whose readiness went a minute ago.
    let tool = id(Kind::Pod, "tool");
    let mut stage = Stage::new();
    stage.apply(&running(bare_pod("tool", month), false));
    stage.feed(&[Change::Synced]);
    for _ in 0..30 {
        stage.pass(60);
    }
    let course = stage.model.course(&tool).unwrap();
    assert_eq!(course.result.as_ref().map(|it| it.outcome), Some(Outcome::Unknown));
    assert!(stage.model.decisions().is_empty(), "nothing is said of it");
    // A Deployment whose controller notes nothing, since it has no deadline.
    let mut stage = Stage::new();
    let mut web = deployment(V1, [1, 1, 2, 2, 2, 1]);
    web["spec"]["progressDeadlineSeconds"] = json!(i32::MAX);
    stage.apply(&web);
    stage.apply(&replica_set("a", V1, month, [1, 2, 1]));
    stage.apply(&running(pod("a", "1", month), true));
    stage.apply(&running(pod("a", "2", month), false));
    stage.feed(&[Change::Synced]);
    for _ in 0..30 {
        stage.pass(60);
    }
    assert!(stage.model.decisions().is_empty());
    // A DaemonSet one pod of which was made again two minutes ago, while another's node is away.
    let mut stage = Stage::new();
    let mut log = deployment(V1, [1, 1, 0, 0, 0, 0]);
    log["kind"] = json!("DaemonSet");
    (log["metadata"]["name"], log["metadata"]["uid"]) = (json!("log"), json!("uid-log"));
    log["status"] = json!({"observedGeneration": 1, "desiredNumberScheduled": 3,
        "currentNumberScheduled": 3, "numberReady": 2, "updatedNumberScheduled": 3,
        "numberAvailable": 2});
    stage.apply(&log);
    let mut made = revision(("DaemonSet", "log"), "h1", 1);
    made["metadata"]["creationTimestamp"] = json!(stamp(month));
    stage.apply(&made);
    for (name, created, ready) in
        [("log-1", -120, true), ("log-2", month, true), ("log-3", month, false)]
    {
        let mut pod = running(bare_pod(name, created), ready);
        pod["metadata"]["labels"] = json!({"controller-revision-hash": "h1"});
        own(&mut pod, "apps/v1", "DaemonSet", "log");
        stage.apply(&pod);
    }
    stage.feed(&[Change::Synced]);
    for _ in 0..30 {
        stage.pass(60);
    }
    assert!(stage.model.decisions().is_empty());
}

/// Design section 6: the last 20 stay listed. Who waits for one that was forgotten is told so where its
/// number says it.
#[test]
fn the_last_twenty_rollouts_are_listed() {
    let mut stage = settled();
    stage.feed(&[Change::Synced]);
    for version in 2..=25 {
        let image = format!("shop/web:{version}");
        let mut set = replica_set(&format!("v{version}"), &image, 20 + version, [version, 1, 0]);
        set["metadata"]["annotations"]["deployment.kubernetes.io/revision"] =
            json!(version.to_string());
        stage.apply(&set);
        stage.apply(&deployment(&image, [version, version, 2, 3, 1, 2]));
    }
    let web = id(Kind::Deployment, "web");
    let listed: Vec<_> = stage.model.rollouts(&web);
    assert_eq!(listed.len(), 20);
    let revision = |course: &crate::rollout::Course| {
        course.status.as_ref().and_then(|status| status.revision.as_deref().map(str::to_owned))
    };
    assert_eq!(revision(&listed[0]).as_deref(), Some("25"), "newest first");
    assert_eq!(revision(&listed[19]).as_deref(), Some("6"));
    let pin = |revision: &str| Pin { revision: Some(revision.to_owned()), ..Pin::default() };
    assert_eq!(stage.model.find(&web, &pin("5")), Found::Passed);
    assert_eq!(stage.model.find(&web, &pin("6")), Found::Course(listed[19].number));
}
