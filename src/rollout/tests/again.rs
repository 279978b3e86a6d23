//! What was rolled out once, and what is rolled out again.

use super::*;
use crate::ids::Outcome;

/// A StatefulSet `db` of two. `numbers` are generation, observed generation, desired replicas, and
/// from the status all, updated, available replicas; `hashes` are its current and update revision.
fn db(image: &str, numbers: [i64; 6], hashes: [&str; 2]) -> Value {
    let mut value = deployment(image, numbers);
    value["kind"] = json!("StatefulSet");
    value["metadata"]["name"] = json!("db");
    value["metadata"]["uid"] = json!("uid-db");
    value["status"]["currentRevision"] = json!(format!("db-{}", hashes[0]));
    value["status"]["updateRevision"] = json!(format!("db-{}", hashes[1]));
    value
}

fn told(stage: &Stage) -> (RolloutPhase, Option<String>) {
    let status = stage.model.current(&id(Kind::StatefulSet, "db")).unwrap();
    (status.phase, status.revision.as_ref().map(ToString::to_string))
}

fn number(number: &str) -> Option<String> {
    Some(number.to_owned())
}

/// Version 2 of two pods, done.
fn second() -> Stage {
    let mut stage = Stage::new();
    for number in [1, 2] {
        stage.apply(&revision(("StatefulSet", "db"), &format!("h{number}"), number));
    }
    stage.apply(&db(V2, [2, 2, 2, 2, 2, 2], ["h2", "h2"]));
    assert_eq!(told(&stage), (RolloutPhase::Complete, number("2")));
    stage
}

#[test]
fn a_stateful_set_that_was_rolled_out_stays_so_when_pods_fail_or_are_added() {
    let mut stage = second();
    for numbers in [
        [2, 2, 2, 2, 2, 1],
        [2, 2, 2, 1, 1, 1],
        [2, 2, 2, 2, 2, 2],
        // Scaled: the controller has not seen that yet, but it is no other template.
        [3, 2, 3, 2, 2, 2],
        [3, 3, 3, 3, 3, 2],
        [3, 3, 3, 3, 3, 3],
    ] {
        stage.apply(&db(V2, numbers, ["h2", "h2"]));
        assert_eq!(told(&stage), (RolloutPhase::Complete, number("2")), "{numbers:?}");
    }
}

#[test]
fn a_stateful_set_is_not_called_rolled_out_by_its_first_revision_alone() {
    let mut stage = Stage::new();
    stage.apply(&revision(("StatefulSet", "db"), "h1", 1));
    stage.apply(&db(V1, [1, 1, 2, 2, 2, 0], ["h1", "h1"]));
    assert_eq!(told(&stage), (RolloutPhase::Progressing, number("1")));
}

/// The controller takes what is ready for done; what was asked for is ready for a while.
#[test]
fn a_stateful_set_whose_pods_must_be_ready_for_a_while_is_not_done_before() {
    let mut stage = Stage::new();
    for number in [1, 2] {
        stage.apply(&revision(("StatefulSet", "db"), &format!("h{number}"), number));
    }
    for (available, phase) in [(0, RolloutPhase::Progressing), (2, RolloutPhase::Complete)] {
        let mut db = db(V2, [2, 2, 2, 2, 2, available], ["h2", "h2"]);
        db["spec"]["minReadySeconds"] = json!(60);
        stage.apply(&db);
        assert_eq!(told(&stage), (phase, number("2")), "{available}");
    }
}

#[test]
fn a_stateful_set_that_is_rolled_back_in_the_middle_is_done_when_its_pods_are() {
    let mut stage = Stage::new();
    for number in [1, 2] {
        stage.apply(&revision(("StatefulSet", "db"), &format!("h{number}"), number));
    }
    stage.apply(&db(V2, [2, 2, 2, 2, 1, 1], ["h1", "h2"]));
    assert_eq!(told(&stage), (RolloutPhase::Progressing, number("2")));
    // The status is about version 2, so it does not say which revision is asked for.
    stage.apply(&db(V1, [3, 2, 2, 2, 1, 1], ["h1", "h2"]));
    assert_eq!(told(&stage), (RolloutPhase::Waiting, None));
    let mut again = revision(("StatefulSet", "db"), "h1", 3);
    again["metadata"]["creationTimestamp"] = json!(stamp(1));
    stage.apply(&again);
    // Version 1 had stayed the current one, and one pod is missing.
    stage.apply(&db(V1, [3, 3, 2, 2, 1, 1], ["h1", "h1"]));
    assert_eq!(told(&stage), (RolloutPhase::Progressing, number("3")));
    stage.apply(&db(V1, [3, 3, 2, 2, 2, 1], ["h1", "h1"]));
    assert_eq!(told(&stage), (RolloutPhase::Progressing, number("3")));
    stage.apply(&db(V1, [3, 3, 2, 2, 2, 2], ["h1", "h1"]));
    assert_eq!(told(&stage), (RolloutPhase::Complete, number("3")));
}

#[test]
fn what_the_controller_wrote_about_another_set_is_no_proof() {
    let mut stage = settled();
    stage.apply(&replica_set("b", V2, 20, [2, 0, 0]));
    // Scaled to zero, rolled back and scaled up in one go: nothing is left to tell by counts.
    let mut web = deployment(V2, [4, 4, 2, 0, 0, 0]);
    web["status"]["conditions"] = json!([progressing("True", "NewReplicaSetAvailable")]);
    web["status"]["conditions"][0]["message"] =
        json!("ReplicaSet \"web-a\" has successfully progressed.");
    stage.apply(&web);
    assert_eq!(stage.web().phase, RolloutPhase::Progressing);
}

#[test]
fn a_paused_deployment_says_so_although_it_was_complete() {
    let mut stage = settled();
    let mut web = deployment(V1, [2, 2, 2, 2, 2, 2]);
    web["spec"]["paused"] = json!(true);
    stage.apply(&web);
    assert_eq!(stage.web().phase, RolloutPhase::Paused);
}

#[test]
fn a_rollout_that_was_over_ended_then_and_not_when_it_was_deleted() {
    let mut stage = settled();
    let finished = stage.web().finished;
    let records = stage.delete(&deployment(V1, [1, 1, 2, 2, 2, 2]));
    let Some(Entry::Rollout(last)) = records.last() else { panic!("{records:?}") };
    assert_eq!((last.phase, last.finished), (RolloutPhase::Deleted, finished));
}

#[test]
fn a_clock_that_steps_back_takes_no_time_from_a_rollout() {
    let mut stage = settled();
    stage.apply(&replica_set("b", V2, 1, [2, 1, 0]));
    stage.world.now += 60 * SECOND;
    stage.apply(&deployment(V2, [2, 2, 2, 3, 1, 2]));
    let before = stage.web();
    stage.world.now -= 40 * SECOND;
    stage.apply(&deployment(V2, [2, 2, 2, 2, 1, 2]));
    assert_ne!(stage.web().old, before.old);
    assert!(stage.web().time >= before.time);
    assert!(stage.web().elapsed_seconds(stage.web().time) >= before.elapsed_seconds(before.time));
}

/// `truths.md` 21: nobody but the user replaces these pods.
#[test]
fn on_delete_waits_for_the_user_until_our_deadline_and_succeeds_when_all_pods_are_updated() {
    for last in [false, true] {
        let mut stage = Stage::new();
        for number in [1, 2] {
            stage.apply(&revision(("StatefulSet", "db"), &format!("h{number}"), number));
        }
        let set = |numbers, update| {
            let mut value = db(if update == "h1" { V1 } else { V2 }, numbers, ["h1", update]);
            value["spec"]["updateStrategy"] = json!({"type": "OnDelete"});
            value
        };
        let member = |ordinal: u8, hash: &str| {
            let mut pod = running(bare_pod(&format!("db-{ordinal}"), 3), true);
            pod["metadata"]["uid"] = json!(format!("uid-{ordinal}-{hash}"));
            pod["metadata"]["labels"] = json!({"controller-revision-hash": format!("db-{hash}")});
            own(&mut pod, "apps/v1", "StatefulSet", "db");
            pod
        };
        stage.apply(&set([1, 1, 2, 2, 2, 2], "h1"));
        stage.apply(&member(0, "h1"));
        stage.apply(&member(1, "h1"));
        stage.world.now = BEGIN + 60 * SECOND;
        stage.feed(&[Change::Synced]);
        stage.apply(&set([2, 2, 2, 2, 0, 2], "h2"));
        assert_eq!(told(&stage), (RolloutPhase::WaitingForDelete, number("2")));
        let db = id(Kind::StatefulSet, "db");
        let words = "2 old pods wait to be deleted: the update strategy is OnDelete";
        assert_eq!(stage.model.current(&db).unwrap().message, words);
        // One is deleted after a while, and that renews the deadline.
        stage.pass(500);
        stage.delete(&member(1, "h1"));
        stage.apply(&member(1, "h2"));
        stage.apply(&set([2, 2, 2, 2, 1, 2], "h2"));
        stage.pass(500);
        assert!(stage.model.decisions().is_empty());
        assert_eq!(told(&stage).0, RolloutPhase::WaitingForDelete);
        if last {
            stage.delete(&member(0, "h1"));
            stage.apply(&member(0, "h2"));
            let said = stage.apply(&set([2, 2, 2, 2, 2, 2], "h2"));
            assert_eq!(told(&stage).0, RolloutPhase::Complete);
            let good = |entry: &Entry| matches!(entry, Entry::Result(it) if it.outcome == Outcome::Succeeded);
            assert!(said.iter().any(good), "{said:?}");
            continue;
        }
        stage.pass(150);
        let decisions = stage.model.decisions();
        assert_eq!(decisions.len(), 1);
        let draft = &decisions[0].draft;
        assert_eq!(
            (draft.outcome, draft.reason),
            (Outcome::TimedOut, Some(Reason::ProgressDeadline))
        );
        assert!(draft.message.starts_with("1 old pod waits to be deleted"), "{}", draft.message);
    }
}

#[test]
fn a_daemon_set_on_delete_waits_for_the_user_too() {
    let mut stage = Stage::new();
    for number in [1, 2] {
        stage.apply(&revision(("DaemonSet", "log"), &format!("h{number}"), number));
    }
    let set = |updated: i64| {
        json!({"kind": "DaemonSet", "metadata": {"namespace": "shop", "name": "log",
            "uid": "uid-log", "generation": 2}, "spec": {"template": {},
                "updateStrategy": {"type": "OnDelete"}},
            "status": {"observedGeneration": 2, "desiredNumberScheduled": 2,
                "currentNumberScheduled": 2, "numberReady": 2,
                "updatedNumberScheduled": updated, "numberAvailable": 2}})
    };
    let on_node = |name: &str, hash: &str| {
        let mut pod = running(bare_pod(name, 3), true);
        pod["metadata"]["labels"] = json!({"controller-revision-hash": hash});
        own(&mut pod, "apps/v1", "DaemonSet", "log");
        pod
    };
    stage.apply(&set(1));
    stage.apply(&on_node("log-1", "h1"));
    stage.apply(&on_node("log-2", "h2"));
    let log = |stage: &Stage| stage.model.current(&id(Kind::DaemonSet, "log")).unwrap();
    assert_eq!(log(&stage).phase, RolloutPhase::WaitingForDelete);
    assert!(log(&stage).message.starts_with("1 old pod waits"), "{}", log(&stage).message);
    // On its way out it is not waited for.
    let mut leaving = on_node("log-1", "h1");
    leaving["metadata"]["deletionTimestamp"] = json!(stamp(50));
    stage.apply(&leaving);
    assert_eq!(log(&stage).phase, RolloutPhase::Progressing);
    stage.delete(&leaving);
    stage.apply(&on_node("log-3", "h2"));
    stage.apply(&set(2));
    assert_eq!((log(&stage).phase, log(&stage).message.as_str()), (RolloutPhase::Complete, ""));
}

/// `truths.md` 20: the old pod there is on its way out for ever.
#[test]
fn a_daemon_set_names_the_node_that_does_not_answer() {
    let mut stage = Stage::new();
    for number in [1, 2] {
        stage.apply(&revision(("DaemonSet", "log"), &format!("h{number}"), number));
    }
    let set = |desired: u32, updated: u32| {
        json!({"kind": "DaemonSet", "metadata": {"namespace": "shop", "name": "log",
            "uid": "uid-log", "generation": 2}, "spec": {"template": {}},
        "status": {"observedGeneration": 2, "desiredNumberScheduled": desired,
            "currentNumberScheduled": desired, "numberReady": 1,
            "updatedNumberScheduled": updated, "numberAvailable": 1}})
    };
    stage.apply(&set(2, 0));
    let mut old = running(bare_pod("log-1", 3), true);
    old["metadata"]["labels"] = json!({"controller-revision-hash": "h1"});
    own(&mut old, "apps/v1", "DaemonSet", "log");
    stage.apply(&old);
    let log = |stage: &Stage| stage.model.current(&id(Kind::DaemonSet, "log")).unwrap();
    assert!(log(&stage).reasons.is_empty());
    // The node controller says so of the pod, whose containers were ready last.
    old["status"]["conditions"][1]["status"] = json!("False");
    old["metadata"]["deletionTimestamp"] = json!(stamp(50));
    stage.apply(&old);
    assert_eq!(codes(&log(&stage)), [Reason::NodeLost]);
    let words = "pod log-1 of the old revision cannot be replaced: node node-1 does not answer";
    assert_eq!(log(&stage).message, words);
    // A node that is marked as lost is counted no more: the rollout is over without it, and says so.
    stage.apply(&set(1, 1));
    let done = log(&stage);
    assert_eq!(done.phase, RolloutPhase::Complete);
    assert_eq!((codes(&done), &*done.message), (vec![Reason::NodeLost], words));
}

/// A StatefulSet may replace several pods at a time (`maxUnavailable`): each that is away is counted, and it is
/// over when all are of the new revision and ready.
#[test]
fn several_pods_of_a_stateful_set_may_be_replaced_at_a_time() {
    let mut stage = Stage::new();
    for number in [1, 2] {
        stage.apply(&revision(("StatefulSet", "db"), &format!("h{number}"), number));
    }
    let set = |numbers, update: &str| {
        let image = if update == "h1" { V1 } else { V2 };
        let current = if numbers == [2, 2, 4, 4, 4, 4] { update } else { "h1" };
        let mut value = db(image, numbers, [current, update]);
        value["spec"]["updateStrategy"] =
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 3}});
        value
    };
    let member = |ordinal: u8, hash: &str, ready: bool| {
        let mut pod = running(bare_pod(&format!("db-{ordinal}"), 3), ready);
        pod["metadata"]["uid"] = json!(format!("uid-{ordinal}-{hash}"));
        pod["metadata"]["labels"] = json!({"controller-revision-hash": format!("db-{hash}")});
        own(&mut pod, "apps/v1", "StatefulSet", "db");
        pod
    };
    stage.apply(&set([1, 1, 4, 4, 4, 4], "h1"));
    (0..4).for_each(|ordinal| drop(stage.apply(&member(ordinal, "h1", true))));
    stage.world.now = BEGIN + 60 * SECOND;
    stage.feed(&[Change::Synced]);
    let counted = |stage: &Stage| {
        let status = stage.model.current(&id(Kind::StatefulSet, "db")).unwrap();
        (status.phase, counts(&status))
    };
    stage.apply(&set([2, 2, 4, 4, 0, 4], "h2"));
    assert_eq!(counted(&stage), (RolloutPhase::Progressing, [4, 0, 0, 0, 4]));
    // Three at a time are away, and come in any order.
    for ordinal in [3, 2, 1] {
        stage.delete(&member(ordinal, "h1", true));
        stage.apply(&member(ordinal, "h2", false));
    }
    stage.apply(&set([2, 2, 4, 4, 3, 1], "h2"));
    assert_eq!(counted(&stage), (RolloutPhase::Progressing, [4, 3, 0, 0, 1]));
    stage.apply(&member(1, "h2", true));
    stage.apply(&set([2, 2, 4, 4, 3, 2], "h2"));
    assert_eq!(counted(&stage), (RolloutPhase::Progressing, [4, 3, 1, 1, 1]));
    for ordinal in [2, 3] {
        stage.apply(&member(ordinal, "h2", true));
    }
    stage.delete(&member(0, "h1", true));
    stage.apply(&member(0, "h2", true));
    stage.apply(&set([2, 2, 4, 4, 4, 4], "h2"));
    assert_eq!(counted(&stage).0, RolloutPhase::Complete);
    assert!(stage.model.decisions().is_empty(), "no pod that is away is a cause");
}
