//! What is asked for once more, for more pods, or by nobody whom our watches showed: each is a rollout of its
//! own, and no older success is told of it.

use super::pods::{crashed, waits};
use super::verdict::{begun, results};
use super::*;
use crate::ids::Outcome;
use crate::rollout::{Found, Pin};

/// A StatefulSet `db` of three. `numbers` are generation, observed generation, and from the status updated and
/// available replicas.
fn db(numbers: [i64; 4], partition: i64, hashes: [&str; 2]) -> Value {
    let [generation, observed, updated, available] = numbers;
    let mut value = deployment(V2, [generation, observed, 3, 3, updated, available]);
    value["kind"] = json!("StatefulSet");
    (value["metadata"]["name"], value["metadata"]["uid"]) = (json!("db"), json!("uid-db"));
    value["status"]["currentRevision"] = json!(format!("db-{}", hashes[0]));
    value["status"]["updateRevision"] = json!(format!("db-{}", hashes[1]));
    value["spec"]["updateStrategy"] = json!({"rollingUpdate": {"partition": partition}});
    value
}

fn db_pod(name: &str, hash: &str, created: i64) -> Value {
    let mut pod = bare_pod(name, created);
    pod["metadata"]["labels"] = json!({"controller-revision-hash": format!("db-{hash}")});
    pod["metadata"]["uid"] = json!(format!("uid-{name}-{hash}"));
    own(&mut pod, "apps/v1", "StatefulSet", "db");
    pod
}

fn generation(wanted: i64) -> Pin {
    Pin { generation: Some(wanted), ..Pin::default() }
}

/// With nothing asked for, nothing has shown that the template is good; its controller notes that it is.
#[test]
fn who_scales_up_from_nothing_begins_a_rollout_that_has_still_to_be_good() {
    let mut stage = begun();
    let noted = |numbers| {
        let mut web = deployment(V2, numbers);
        let mut done = progressing("True", "NewReplicaSetAvailable");
        done["message"] = json!("ReplicaSet \"web-b\" has successfully progressed.");
        web["status"]["conditions"] = json!([done]);
        web
    };
    for (hash, suffix) in [("a", "1"), ("a", "2")] {
        stage.delete(&pod(hash, suffix, 2));
    }
    stage.apply(&replica_set("a", V1, 1, [1, 0, 0]));
    stage.apply(&replica_set("b", V2, 61, [2, 0, 0]));
    let said = stage.apply(&noted([2, 2, 0, 0, 0, 0]));
    let results = results(&said);
    assert_eq!(results[0].outcome, Outcome::Succeeded);
    assert_eq!(results[0].message, "scaled to zero: no pod was asked to run");
    // Hours later.
    stage.pass(7_200);
    stage.apply(&noted([3, 2, 3, 0, 0, 0]));
    assert_eq!(stage.web().phase, RolloutPhase::Waiting);
    let web = id(Kind::Deployment, "web");
    let second = stage.course().number;
    assert!(stage.course().result.is_none());
    assert_eq!(stage.model.find(&web, &generation(3)), Found::Course(second));
    stage.apply(&noted([3, 3, 3, 0, 0, 0]));
    assert_eq!(stage.web().phase, RolloutPhase::Progressing);
    let made = (stage.world.now - BEGIN) / SECOND;
    for suffix in ["1", "2", "3"] {
        stage.apply(&running(pod("b", suffix, made), false));
    }
    stage.apply(&noted([3, 3, 3, 3, 3, 0]));
    stage.pass(500);
    assert!(stage.course().result.is_none(), "its deadline began with it");
    assert!(stage.model.decisions().is_empty());
    stage.pass(120);
    assert_eq!(stage.model.decisions()[0].draft.outcome, Outcome::TimedOut);
}

/// Seconds from the beginning of time at which version 2 is decided, whose only new pod is this one, with this
/// annotation on its Deployment.
fn decided(annotation: Option<(&str, &str)>, new: &Value, refused: Option<&str>) -> i64 {
    let mut stage = Stage::new();
    stage.world.now = BEGIN + 60 * SECOND;
    stage.feed(&[Change::Synced]);
    let (all, available) = match new["status"]["phase"].as_str() {
        Some("Running") if new["status"]["conditions"][1]["status"] == "True" => (1, 1),
        _ => (1, 0),
    };
    let mut web = deployment(V2, [2, 2, 1, all, all, available]);
    // Its own would count before ours.
    web["spec"]["progressDeadlineSeconds"] = json!(i32::MAX);
    if let Some((name, value)) = annotation {
        web["metadata"]["annotations"] = json!({name: value});
    }
    let mut set = replica_set("b", V2, 61, [2, all, available]);
    if let Some(message) = refused {
        set["status"]["conditions"] = json!([{"type": "ReplicaFailure", "status": "True",
            "reason": "FailedCreate", "message": message, "lastTransitionTime": stamp(61)}]);
    }
    stage.apply(&set);
    if refused.is_none() {
        stage.apply(new);
    }
    let mut said = stage.apply(&web);
    for _ in 0..2_000 {
        if !results(&said).is_empty() || !stage.model.decisions().is_empty() {
            return (stage.world.now - BEGIN) / SECOND;
        }
        said = stage.pass(1);
    }
    panic!("nothing was decided with {annotation:?}");
}

/// Each of them is a wish of the workload's owner, and counts before the option.
#[test]
fn every_annotation_about_patience_moves_a_decision() {
    let new = || pod("b", "1", 62);
    let waiting = |reason: &str, message: &str| with_state(new(), false, 0, waits(reason, message));
    let mut nowhere = new();
    nowhere["status"]["conditions"] = json!([{"type": "PodScheduled", "status": "False",
        "reason": "Unschedulable", "message": "0/3 nodes", "lastTransitionTime": stamp(62)}]);
    let mut late = running(new(), false);
    late["status"]["conditions"][1]["lastTransitionTime"] = json!(stamp(62));
    let mut runs = running(new(), true);
    runs["status"]["containerStatuses"][0]["state"] = json!({"running": {"startedAt": stamp(62)}});
    let config = waiting("CreateContainerConfigError", "secret \"db\" not found");
    let quota = Some("pods is forbidden: exceeded quota: small");
    for (name, value, pod, refused) in [
        ("settle", "40s", &runs, None),
        ("crash-restarts", "9", &crashed(new(), 3, "Error"), None),
        ("grace-config", "200s", &config, None),
        ("grace-pull", "200s", &waiting("ErrImagePull", "dial tcp: i/o timeout"), None),
        ("grace-unschedulable", "400s", &nowhere, None),
        ("grace-start", "200s", &waiting("CreateContainerError", "context deadline"), None),
        ("grace-quota", "400s", &new(), quota),
        ("rollout-deadline", "1200s", &late, None),
    ] {
        let name = format!("rollcast.dev/{name}");
        let usual = decided(None, pod, refused);
        let own = decided(Some((&name, value)), pod, refused);
        assert!(own > usual + 20, "{name}: {usual} s and {own} s");
    }
}

/// Between two restarts all looks well, and nothing ends: it is said why, until it has held.
#[test]
fn a_restart_is_told_of_for_as_long_as_it_keeps_the_rollout_open() {
    let mut stage = begun();
    for suffix in ["1", "2"] {
        stage.delete(&pod("a", suffix, 2));
    }
    stage.apply(&replica_set("a", V1, 1, [1, 0, 0]));
    stage.apply(&replica_set("b", V2, 61, [2, 1, 1]));
    let mut new = crashed(pod("b", "1", 62), 1, "Error");
    new["status"]["containerStatuses"][0]["state"] = json!({"running": {"startedAt": stamp(70)}});
    new["status"]["containerStatuses"][0]["ready"] = json!(true);
    new["status"]["conditions"][1]["status"] = json!("True");
    stage.world.now = BEGIN + 70 * SECOND;
    stage.apply(&new);
    stage.apply(&deployment(V2, [2, 2, 1, 1, 1, 1]));
    assert_eq!(stage.web().phase, RolloutPhase::Complete);
    assert_eq!(codes(&stage.web()), [Reason::CrashLoop]);
    let said = &stage.web().message;
    assert!(said.starts_with("the new pod was restarted: container app exits with code"), "{said}");
    assert!(said.ends_with("(1 restart)"), "{said}");
    assert!(stage.course().result.is_none());
    let said = stage.pass(15);
    assert_eq!(results(&said)[0].outcome, Outcome::Succeeded);
    assert_eq!((codes(&stage.web()), &*stage.web().message), (Vec::new(), ""));
}

/// Nothing was shown to be good, and nothing to be bad; it says so.
#[test]
fn a_rollout_that_is_scaled_to_zero_in_the_middle_says_that() {
    let mut stage = begun();
    let crashing = crashed(pod("b", "1", 62), 2, "Error");
    for said in [
        stage.apply(&deployment(V2, [2, 1, 2, 2, 2, 2])),
        stage.apply(&replica_set("b", V2, 61, [2, 1, 0])),
        stage.apply(&deployment(V2, [2, 2, 2, 3, 1, 2])),
        stage.apply(&crashing),
    ] {
        assert!(results(&said).is_empty());
    }
    stage.delete(&crashing);
    let said = stage.apply(&deployment(V2, [3, 3, 0, 0, 0, 0]));
    let result = &results(&said)[0];
    assert_eq!(result.outcome, Outcome::Succeeded);
    assert_eq!(result.message, "scaled to zero: no pod was asked to run");
    assert_eq!((result.ready, result.desired), (0, 0));
}

/// `truths.md` 12: of several ReplicaSets with the template the controller takes the oldest.
#[test]
fn of_several_replica_sets_with_its_template_the_oldest_is_the_new_one() {
    for order in [["b", "c"], ["c", "b"]] {
        let mut stage = begun();
        stage.apply(&deployment(V2, [2, 1, 2, 2, 2, 2]));
        for hash in order {
            let created = if hash == "b" { 61 } else { 65 };
            stage.apply(&replica_set(hash, V2, created, [2, 1, 0]));
        }
        stage.apply(&deployment(V2, [2, 2, 2, 3, 1, 2]));
        stage.apply(&running(pod("b", "1", 62), false));
        stage.apply(&running(pod("c", "1", 66), false));
        let side =
            |name: &str| stage.pods().iter().find(|pod| &*pod.pod == name).map(|pod| pod.side);
        assert_eq!((side("web-b-1"), side("web-c-1")), (Some(Side::New), Some(Side::Old)));
    }
}

/// `truths.md` 21: a gate is somebody's wish, and no failure.
#[test]
fn a_pod_that_is_gated_fails_nothing_before_the_deadline() {
    let mut stage = begun();
    let mut gated = pod("b", "1", 62);
    gated["status"]["conditions"] = json!([{"type": "PodScheduled", "status": "False",
        "reason": "SchedulingGated", "message": "Scheduling is blocked due to non-empty scheduling gates",
        "lastTransitionTime": stamp(62)}]);
    stage.apply(&deployment(V2, [2, 1, 2, 2, 2, 2]));
    stage.apply(&replica_set("b", V2, 61, [2, 1, 0]));
    stage.apply(&deployment(V2, [2, 2, 2, 3, 1, 2]));
    stage.apply(&gated);
    assert_eq!(codes(&stage.web()), []);
    stage.pass(400);
    assert!(stage.model.decisions().is_empty());
    stage.pass(300);
    assert_eq!(stage.model.decisions()[0].draft.outcome, Outcome::TimedOut);
}

/// Once it was good with pods, scaling is no rollout (an autoscaler does it all day).
#[test]
fn who_scales_what_was_good_begins_no_rollout() {
    let mut stage = begun();
    let first = stage.course().number;
    for (generation, desired) in [(2, 0), (3, 2), (4, 5), (5, 0), (6, 1)] {
        stage.apply(&deployment(V1, [generation, generation, desired, 0, 0, 0]));
        assert_eq!(stage.course().number, first, "{desired}");
    }
}

/// A replica that is started then has only what the controller noted, which is about no pod.
#[test]
fn a_fresh_replica_takes_no_note_about_no_pods_for_a_success() {
    let mut stage = Stage::new();
    let mut web = deployment(V1, [3, 3, 3, 3, 3, 0]);
    let mut done = progressing("True", "NewReplicaSetAvailable");
    done["lastUpdateTime"] = json!(stamp(-400));
    web["status"]["conditions"] = json!([done]);
    let probed = json!({"name": "app", "image": V1, "readinessProbe": {}});
    web["spec"]["template"]["spec"]["containers"] = json!([probed]);
    let mut set = replica_set("a", V1, -400, [1, 3, 0]);
    set["spec"]["template"]["spec"]["containers"] = json!([probed]);
    stage.apply(&set);
    for suffix in ["1", "2", "3"] {
        stage.apply(&running(pod("a", suffix, 0), false));
    }
    stage.apply(&web);
    stage.feed(&[Change::Synced]);
    assert!(stage.course().result.is_none(), "{:?}", stage.course().result);
}

/// Lowering the partition asks for pods that nobody has seen yet.
#[test]
fn a_lower_partition_is_a_rollout_of_its_own() {
    let mut stage = Stage::new();
    for number in [1, 2] {
        stage.apply(&revision(("StatefulSet", "db"), &format!("h{number}"), number));
    }
    for (name, hash) in [("db-0", "h1"), ("db-1", "h1"), ("db-2", "h2")] {
        stage.apply(&running(db_pod(name, hash, 3), true));
    }
    stage.world.now = BEGIN + 60 * SECOND;
    stage.feed(&[Change::Synced]);
    stage.apply(&db([2, 2, 1, 3], 2, ["h1", "h2"]));
    let workload = id(Kind::StatefulSet, "db");
    let first = stage.model.course(&workload).unwrap().clone();
    let result = first.result.expect("the one above the partition is good");
    assert_eq!((result.outcome, result.revision.as_deref()), (Outcome::Succeeded, Some("2")));
    // A higher one asks for nothing.
    stage.apply(&db([3, 3, 1, 3], 3, ["h1", "h2"]));
    assert_eq!(stage.model.course(&workload).unwrap().number, first.number);
    stage.apply(&db([4, 4, 1, 3], 0, ["h1", "h2"]));
    let second = stage.model.course(&workload).unwrap();
    assert_ne!(second.number, first.number);
    assert!(second.result.is_none());
    stage.delete(&running(db_pod("db-1", "h1", 3), true));
    stage.apply(&crashed(db_pod("db-1", "h2", 70), 3, "Error"));
    stage.apply(&db([4, 4, 2, 2], 0, ["h1", "h2"]));
    let decision = stage.model.decisions().remove(0);
    assert_eq!(decision.draft.outcome, Outcome::Failed);
    assert_eq!(decision.draft.reason, Some(Reason::CrashLoop));
}

/// Another template came and went while our watch was broken: the number of the revision tells.
#[test]
fn a_rollback_to_what_was_good_is_no_old_success_though_nobody_saw_what_came_between() {
    let mut stage = begun();
    let first = stage.course();
    assert_eq!(first.result.as_ref().unwrap().outcome, Outcome::Succeeded);
    // The number comes first, and is no news of what it was given for.
    let mut again = replica_set("a", V1, 1, [3, 1, 1]);
    again["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"] = json!("1");
    stage.apply(&again);
    assert_eq!(stage.course().number, first.number);
    stage.delete(&pod("a", "2", 2));
    stage.apply(&replica_set("b", V2, 61, [2, 1, 1]));
    let mut web = deployment(V1, [3, 3, 2, 2, 1, 2]);
    web["metadata"]["annotations"] = json!({"deployment.kubernetes.io/revision": "3"});
    stage.apply(&web);
    let second = stage.course();
    assert_ne!(second.number, first.number);
    assert!(second.result.is_none());
    let workload = id(Kind::Deployment, "web");
    let find = |wanted| stage.model.find(&workload, &generation(wanted));
    assert_eq!(find(1), Found::Course(first.number));
    assert_eq!(find(3), Found::Course(second.number));
    // The one that was not seen may have been the running one's.
    assert_eq!(find(2), Found::Course(second.number));
    assert!(stage.model.is_inferred(&workload, &generation(2), second.number));
    assert!(!stage.model.is_inferred(&workload, &generation(3), second.number));
}

/// The API server counts a DaemonSet's templates: one that was asked for twice is two rollouts.
#[test]
fn a_daemon_set_that_is_taken_back_before_its_controller_looks_is_good() {
    let mut stage = Stage::new();
    stage.apply(&{
        let mut made = revision(("DaemonSet", "log"), "h1", 1);
        made["metadata"]["annotations"] = json!({"deprecated.daemonset.template.generation": "1"});
        made
    });
    let set = |generation: i64, observed: i64, image: &str| {
        let mut value = deployment(image, [generation, observed, 0, 0, 0, 0]);
        value["kind"] = json!("DaemonSet");
        (value["metadata"]["name"], value["metadata"]["uid"]) = (json!("log"), json!("uid-log"));
        value["metadata"]["annotations"] =
            json!({"deprecated.daemonset.template.generation": generation.to_string()});
        value["status"] = json!({"observedGeneration": observed, "desiredNumberScheduled": 2,
            "currentNumberScheduled": 2, "numberReady": 2, "updatedNumberScheduled": 2,
            "numberAvailable": 2});
        value
    };
    for name in ["log-1", "log-2"] {
        let mut pod = running(bare_pod(name, 3), true);
        pod["metadata"]["labels"] =
            json!({"controller-revision-hash": "h1", "pod-template-generation": "1"});
        own(&mut pod, "apps/v1", "DaemonSet", "log");
        stage.apply(&pod);
    }
    stage.apply(&set(1, 1, V1));
    stage.world.now = BEGIN + 60 * SECOND;
    stage.feed(&[Change::Synced]);
    let log = id(Kind::DaemonSet, "log");
    let first = stage.model.course(&log).unwrap().number;
    stage.apply(&set(2, 1, V2));
    stage.apply(&set(3, 1, V1));
    assert!(stage.model.course(&log).unwrap().result.is_none());
    // It might be that the revision of what is asked for now has not come to us.
    let said = stage.apply(&set(3, 3, V1));
    assert!(results(&said).is_empty(), "{said:?}");
    let said = stage.pass(10);
    assert_eq!(results(&said).last().map(|it| it.outcome), Some(Outcome::Succeeded));
    let courses = stage.model.rollouts(&log);
    assert_eq!(courses.len(), 3);
    assert_eq!(courses[2].number, first);
}

/// Until the controller has looked at a change, the pods that are there are of what was before.
#[test]
fn broken_pods_of_a_stateful_set_say_nothing_of_what_was_not_looked_at() {
    let mut stage = Stage::new();
    stage.apply(&revision(("StatefulSet", "db"), "h1", 1));
    let broken = with_state(db_pod("db-0", "h1", 3), false, 0, waits("ErrImagePull", "not found"));
    stage.apply(&broken);
    stage.apply(&db([1, 1, 3, 0], 0, ["h1", "h1"]));
    let workload = id(Kind::StatefulSet, "db");
    assert_eq!(codes(&stage.model.current(&workload).unwrap()), [Reason::ImageNotFound]);
    let mut next = db([2, 1, 3, 0], 0, ["h1", "h1"]);
    next["spec"]["template"]["spec"]["containers"][0]["image"] = json!("shop/web:3");
    stage.apply(&next);
    let status = stage.model.current(&workload).unwrap();
    assert_eq!(status.phase, RolloutPhase::Waiting);
    assert_eq!((codes(&status), &*status.message), (Vec::new(), ""));
    assert_eq!(counts(&status), [3, 0, 0, 0, 3]);
}

/// Most of its pods never went away: their age is none of the rollback's.
#[test]
fn a_rollback_did_not_begin_with_the_oldest_of_its_pods() {
    let mut stage = begun();
    let rolls = |stage: &mut Stage, image, hash, number: i64, generation| {
        let mut set = replica_set(hash, image, 1, [number, 2, 2]);
        set["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"] = json!("1");
        stage.apply(&set);
        let mut web = deployment(image, [generation, generation, 2, 3, 1, 2]);
        web["metadata"]["annotations"] =
            json!({"deployment.kubernetes.io/revision": number.to_string()});
        stage.apply(&web);
    };
    for round in 1..5 {
        rolls(&mut stage, V2, "b", 2 * round, 2 * round);
        stage.pass(60);
        let asked = stage.world.now;
        rolls(&mut stage, V1, "a", 2 * round + 1, 2 * round + 1);
        let started = stage.web().started.unwrap();
        assert!((started - asked).abs() <= 5 * SECOND, "{} s", (started - asked) / SECOND);
        stage.pass(60);
    }
}

/// `after=` names what began then; of a rollback without pods only those know it who saw it begin.
#[test]
fn a_rollback_whose_begin_the_api_does_not_tell_began_when_it_was_seen() {
    let mut stage = begun();
    stage.apply(&replica_set("b", V2, 61, [2, 2, 2]));
    stage.apply(&replica_set("a", V1, 1, [1, 0, 0]));
    stage.apply(&deployment(V2, [2, 2, 2, 2, 2, 2]));
    for suffix in ["1", "2"] {
        stage.delete(&pod("a", suffix, 2));
    }
    let asked = stage.world.now;
    let mut again = replica_set("a", V1, 1, [3, 0, 0]);
    again["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"] = json!("1");
    stage.apply(&again);
    stage.apply(&deployment(V1, [3, 3, 2, 2, 0, 2]));
    assert_eq!(stage.web().started, stage.course().witnessed());
    let pin = Pin { after: Some(asked), ..Pin::default() };
    let newest = stage.course().number;
    assert_eq!(stage.model.find(&id(Kind::Deployment, "web"), &pin), Found::Course(newest));
}
