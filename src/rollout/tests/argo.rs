//! Argo's Rollouts. The statuses are as its controller 1.10 writes them.

use super::pods::waits;
use super::*;
use crate::ids::{Outcome, RolloutResult};

/// A plan of five steps: 20 %, a pause, 50 %, an analysis, 80 %.
pub(super) fn canary() -> Value {
    json!({"canary": {"steps": [{"setWeight": 20}, {"pause": {}}, {"setWeight": 50},
        {"analysis": {"templates": [{"templateName": "smoke"}]}}, {"setWeight": 80}]}})
}

fn blue_green() -> Value {
    json!({"blueGreen": {"activeService": "web", "previewService": "web-preview",
        "autoPromotionEnabled": false}})
}

/// Rollout `web` with 5 replicas in this generation.
pub(super) fn rollout(image: &str, generation: i64, strategy: Value, status: Value) -> Value {
    let mut template = replica_set("x", image, 0, [1, 0, 0])["spec"]["template"].clone();
    template["metadata"]["labels"] = json!({"app": "web"});
    json!({"kind": "Rollout", "metadata": {"namespace": "shop", "name": "web", "uid": "uid-web",
        "generation": generation, "creationTimestamp": stamp(0)},
        "spec": {"replicas": 5, "template": template, "strategy": strategy,
            "progressDeadlineSeconds": 600}, "status": status})
}

/// What the controller says in a phase: the hashes that it wants and that are stable, and the numbers
/// of all, updated and available pods.
pub(super) fn says(phase: &str, generation: i64, hashes: [&str; 2], numbers: [i64; 3]) -> Value {
    let ([current, stable], [all, updated, available]) = (hashes, numbers);
    json!({"phase": phase, "observedGeneration": generation.to_string(),
        "currentPodHash": current, "stableRS": stable, "replicas": all,
        "updatedReplicas": updated, "readyReplicas": available, "availableReplicas": available,
        "conditions": [condition("True", "ReplicaSetUpdated", "ReplicaSet \"x\" is progressing.")]})
}

fn condition(status: &str, reason: &str, message: &str) -> Value {
    json!({"type": "Progressing", "status": status, "reason": reason, "message": message,
        "lastTransitionTime": stamp(2), "lastUpdateTime": stamp(7)})
}

fn there(mut status: Value) -> Value {
    let done = "ReplicaSet \"web-x\" has successfully progressed.";
    status["conditions"] = json!([condition("True", "NewReplicaSetAvailable", done)]);
    status
}

/// A ReplicaSet of the Rollout.
pub(super) fn set(hash: &str, image: &str, created: i64, numbers: [i64; 3]) -> Value {
    let mut value = replica_set(hash, image, created, numbers);
    value["metadata"]["labels"] = json!({"app": "web", "rollouts-pod-template-hash": hash});
    value["metadata"]["annotations"] = json!({"rollout.argoproj.io/revision": numbers[0].to_string(),
        "deployment.kubernetes.io/revision": "77"});
    value["spec"]["template"]["metadata"]["labels"] =
        json!({"app": "web", "rollouts-pod-template-hash": hash});
    own(&mut value, "argoproj.io/v1alpha1", "Rollout", "web");
    value
}

fn web(stage: &Stage) -> Arc<RolloutStatus> {
    stage.model.current(&id(Kind::Rollout, "web")).unwrap()
}

/// Version 1 is everywhere, and the model has begun.
fn settled(strategy: &Value) -> Stage {
    let mut stage = Stage::new();
    let status = there(says("Healthy", 1, ["a", "a"], [5, 5, 5]));
    stage.apply(&rollout(V1, 1, strategy.clone(), status));
    stage.apply(&set("a", V1, 1, [1, 5, 5]));
    for number in 1..=5 {
        stage.apply(&running(pod("a", &number.to_string(), 2), true));
    }
    stage.world.now = BEGIN + 60 * SECOND;
    stage.feed(&[Change::Synced]);
    assert!(course(&stage).succeeded(), "{:?}", web(&stage));
    stage
}

fn course(stage: &Stage) -> crate::rollout::Course {
    stage.model.course(&id(Kind::Rollout, "web")).unwrap().clone()
}

/// The result of the newest rollout, decided so many seconds after the beginning of time.
fn ends(stage: &mut Stage, seconds: i64) -> Option<RolloutResult> {
    let now = BEGIN + seconds * SECOND;
    stage.world.now = now;
    stage.model.tick(now);
    for decision in stage.model.decisions() {
        stage.model.seal(&decision, &Arc::new(decision.draft.clone()));
    }
    course(stage).result.map(|result| (*result).clone())
}

/// Version 2 at 20 %, one new pod of five.
fn at_twenty(stage: &mut Stage, phase: &str, step: i64) -> Value {
    let mut status = says(phase, 2, ["b", "a"], [5, 1, 5]);
    status["currentStepIndex"] = json!(step);
    stage.apply(&set("a", V1, 1, [1, 4, 4]));
    stage.apply(&set("b", V2, 70, [2, 1, 1]));
    stage.apply(&running(pod("b", "1", 71), true));
    status
}

#[test]
fn a_canary_waits_goes_on_pauses_and_completes() {
    let mut stage = settled(&canary());
    assert_eq!(web(&stage).phase, RolloutPhase::Complete);
    assert_eq!(counts(&web(&stage)), [5, 5, 5, 5, 0]);
    assert_eq!(web(&stage).revision.as_deref(), Some("1"), "Argo's number, not another's");
    assert_eq!(web(&stage).finished, Some(BEGIN + 7 * SECOND));

    let old = there(says("Healthy", 1, ["a", "a"], [5, 5, 5]));
    stage.apply(&rollout(V2, 2, canary(), old));
    assert_eq!(web(&stage).phase, RolloutPhase::Waiting, "nothing counts until it is observed");
    assert_eq!(counts(&web(&stage)), [5, 0, 0, 0, 5]);

    let mut status = at_twenty(&mut stage, "Progressing", 0);
    stage.apply(&rollout(V2, 2, canary(), status.clone()));
    assert_eq!(web(&stage).phase, RolloutPhase::Progressing);
    assert_eq!(counts(&web(&stage)), [5, 1, 1, 1, 4]);
    assert_eq!(web(&stage).message, "", "there is no trouble to tell of");
    assert_eq!(web(&stage).images[0].from.as_deref(), Some(V1));
    let new = stage.model.pods(&id(Kind::Rollout, "web"));
    let new: Vec<_> = new.iter().filter(|pod| pod.side == Side::New).collect();
    assert_eq!((new.len(), new[0].revision.as_deref()), (1, Some("2")));

    status["phase"] = json!("Paused");
    status["currentStepIndex"] = json!(1);
    status["pauseConditions"] = json!([{"reason": "CanaryPauseStep", "startTime": stamp(75)}]);
    status["controllerPause"] = json!(true);
    stage.apply(&rollout(V2, 2, canary(), status.clone()));
    assert_eq!(web(&stage).phase, RolloutPhase::Paused);
    assert_eq!(web(&stage).message, "paused at step 2 of 5 (canary 20 %)");
    assert_eq!(ends(&mut stage, 100_000), None, "a pause is no failure, however long");

    // Somebody lets it go on; the controller has not seen that yet.
    status["pauseConditions"] = json!([]);
    stage.apply(&rollout(V2, 2, canary(), status));
    assert_eq!(web(&stage).phase, RolloutPhase::Progressing);

    let mut all = says("Progressing", 2, ["b", "a"], [5, 5, 5]);
    all["currentStepIndex"] = json!(5);
    stage.apply(&set("b", V2, 70, [2, 5, 5]));
    stage.apply(&set("a", V1, 1, [1, 0, 0]));
    stage.apply(&rollout(V2, 2, canary(), all));
    assert_eq!(web(&stage).phase, RolloutPhase::Progressing, "not promoted yet");
    for number in 2..=5 {
        stage.apply(&running(pod("b", &number.to_string(), 80), true));
    }
    stage.apply(&rollout(V2, 2, canary(), there(says("Healthy", 2, ["b", "b"], [5, 5, 5]))));
    assert_eq!(web(&stage).phase, RolloutPhase::Complete);
    let result = ends(&mut stage, 100_100).unwrap();
    assert_eq!((result.outcome, result.revision.as_deref()), (Outcome::Succeeded, Some("2")));
}

#[test]
fn healthy_is_not_believed_against_the_numbers() {
    let mut stage = settled(&canary());
    at_twenty(&mut stage, "Progressing", 0);
    for status in [
        says("Healthy", 2, ["b", "a"], [5, 5, 5]),
        says("Healthy", 2, ["b", "b"], [5, 4, 5]),
        says("Healthy", 2, ["b", "b"], [5, 5, 4]),
        // Without the ReplicaSet that it speaks of.
        says("Healthy", 2, ["c", "c"], [5, 5, 5]),
    ] {
        stage.apply(&rollout(V2, 2, canary(), status.clone()));
        assert_eq!(web(&stage).phase, RolloutPhase::Progressing, "{status}");
    }
}

#[test]
fn success_must_hold_here_too() {
    let mut stage = settled(&canary());
    stage.apply(&set("b", V2, 70, [2, 5, 5]));
    stage.apply(&set("a", V1, 1, [1, 0, 0]));
    stage.apply(&rollout(V2, 2, canary(), there(says("Healthy", 2, ["b", "b"], [5, 5, 5]))));
    assert_eq!(ends(&mut stage, 90), None, "its pods are not known");
    for number in 1..=5 {
        let mut fresh = running(pod("b", &number.to_string(), 80), true);
        fresh["status"]["containerStatuses"][0]["state"]["running"]["startedAt"] = json!(stamp(95));
        stage.apply(&fresh);
    }
    assert_eq!(ends(&mut stage, 104), None);
    assert_eq!(ends(&mut stage, 105).unwrap().outcome, Outcome::Succeeded);
}

#[test]
fn an_abort_fails_with_its_own_reason_and_says_why() {
    let mut stage = settled(&canary());
    let mut status = at_twenty(&mut stage, "Degraded", 0);
    status["abort"] = json!(true);
    status["abortedAt"] = json!(stamp(90));
    let why = "Rollout aborted update to revision 2: Metric \"errors\" assessed Failed";
    status["conditions"] = json!([condition("False", "RolloutAborted", why)]);
    stage.apply(&rollout(V2, 2, canary(), status.clone()));
    assert_eq!(web(&stage).phase, RolloutPhase::Stalled);
    let result = ends(&mut stage, 91).unwrap();
    assert_eq!((result.outcome, result.reason), (Outcome::Failed, Some(Reason::Aborted)));
    assert_eq!(result.message, "the update was aborted: Metric \"errors\" assessed Failed");
    assert_eq!(web(&stage).reasons[0].since, Some(BEGIN + 90 * SECOND));

    // Somebody tries again, and it works.
    for key in ["abort", "abortedAt"] {
        status.as_object_mut().unwrap().remove(key);
    }
    status["phase"] = json!("Progressing");
    stage.apply(&rollout(V2, 2, canary(), status));
    assert_eq!(web(&stage).phase, RolloutPhase::Progressing);
    stage.apply(&set("b", V2, 70, [2, 5, 5]));
    for number in 2..=5 {
        stage.apply(&running(pod("b", &number.to_string(), 80), true));
    }
    stage.apply(&rollout(V2, 2, canary(), there(says("Healthy", 2, ["b", "b"], [5, 5, 5]))));
    assert_eq!(ends(&mut stage, 300).unwrap().outcome, Outcome::Succeeded);
    assert!(web(&stage).recovered);
}

#[test]
fn an_abort_by_hand_needs_no_words() {
    let mut stage = settled(&canary());
    let mut status = at_twenty(&mut stage, "Progressing", 0);
    // As `kubectl argo rollouts abort` writes it; the controller has not looked yet.
    status["abort"] = json!(true);
    stage.apply(&rollout(V2, 2, canary(), status));
    let result = ends(&mut stage, 91).unwrap();
    assert_eq!((result.outcome, result.reason), (Outcome::Failed, Some(Reason::Aborted)));
    assert_eq!(result.message, "the update was aborted");
}

#[test]
fn a_bad_image_is_named_at_once() {
    let mut stage = settled(&canary());
    let mut status = says("Progressing", 2, ["b", "a"], [5, 1, 4]);
    status["currentStepIndex"] = json!(0);
    stage.apply(&set("b", V2, 70, [2, 1, 0]));
    stage.apply(&rollout(V2, 2, canary(), status));
    let bad = waits("ErrImagePull", "shop/web:2: not found");
    stage.apply(&with_state(pod("b", "1", 71), false, 0, bad));
    let result = ends(&mut stage, 80).unwrap();
    assert_eq!((result.outcome, result.reason), (Outcome::Failed, Some(Reason::ImageNotFound)));
    assert_eq!(&*result.pods[0].pod, "web-b-1");
}

#[test]
fn blue_green_waits_for_its_promotion_and_old_pods_hold_nothing_up() {
    let mut stage = settled(&blue_green());
    let mut status = says("Paused", 2, ["b", "a"], [10, 5, 5]);
    status["blueGreen"] = json!({"activeSelector": "a", "previewSelector": "b"});
    status["pauseConditions"] = json!([{"reason": "BlueGreenPause", "startTime": stamp(80)}]);
    status["controllerPause"] = json!(true);
    stage.apply(&set("b", V2, 70, [2, 5, 5]));
    for number in 1..=5 {
        stage.apply(&running(pod("b", &number.to_string(), 71), true));
    }
    stage.apply(&rollout(V2, 2, blue_green(), status));
    assert_eq!(web(&stage).phase, RolloutPhase::Paused);
    assert_eq!(web(&stage).message, "paused before the promotion (blue-green)");
    assert_eq!(counts(&web(&stage)), [5, 5, 5, 5, 5]);
    let mut done = there(says("Healthy", 2, ["b", "b"], [10, 5, 5]));
    done["blueGreen"] = json!({"activeSelector": "b", "previewSelector": "b"});
    stage.apply(&rollout(V2, 2, blue_green(), done));
    assert_eq!(web(&stage).phase, RolloutPhase::Complete);
    assert_eq!(web(&stage).old, 5, "they stay for the scale-down delay");
    assert_eq!(ends(&mut stage, 200).unwrap().outcome, Outcome::Succeeded);
}

#[test]
fn a_passed_deadline_is_told_as_a_deployments() {
    let mut stage = settled(&canary());
    let mut status = at_twenty(&mut stage, "Degraded", 2);
    let late = "ReplicaSet \"web-b\" has timed out progressing.";
    status["conditions"] = json!([condition("False", "ProgressDeadlineExceeded", late)]);
    stage.apply(&rollout(V2, 2, canary(), status));
    assert_eq!(web(&stage).phase, RolloutPhase::Stalled);
    assert_eq!(web(&stage).message, "no progress within the deadline of 600 seconds");
    let result = ends(&mut stage, 700).unwrap();
    assert_eq!(
        (result.outcome, result.reason),
        (Outcome::TimedOut, Some(Reason::ProgressDeadline))
    );
}

#[test]
fn a_step_that_is_done_is_progress_and_an_analysis_takes_its_time() {
    let mut stage = settled(&canary());
    let mut status = at_twenty(&mut stage, "Progressing", 0);
    stage.apply(&rollout(V2, 2, canary(), status.clone()));
    assert_eq!(ends(&mut stage, 600), None);
    // Nothing but the step changed.
    status["currentStepIndex"] = json!(2);
    stage.apply(&rollout(V2, 2, canary(), status.clone()));
    assert_eq!(ends(&mut stage, 1_100), None, "the clock began anew");
    status["currentStepIndex"] = json!(3);
    stage.apply(&rollout(V2, 2, canary(), status.clone()));
    assert_eq!(ends(&mut stage, 9_000), None, "an analysis");
    status["currentStepIndex"] = json!(4);
    stage.apply(&rollout(V2, 2, canary(), status));
    assert_eq!(ends(&mut stage, 9_500), None);
    assert_eq!(ends(&mut stage, 9_700).unwrap().outcome, Outcome::TimedOut);
}

#[test]
fn going_back_to_the_stable_template_supersedes_and_completes() {
    let mut stage = settled(&canary());
    let status = at_twenty(&mut stage, "Progressing", 0);
    stage.apply(&rollout(V2, 2, canary(), status.clone()));
    let number = course(&stage).number;
    let records = stage.apply(&rollout(V1, 3, canary(), status));
    let of = records.iter().find_map(|entry| match entry {
        Entry::Result(result) => Some(result.outcome),
        _ => None,
    });
    assert_eq!(of, Some(Outcome::Superseded));
    assert_ne!(course(&stage).number, number);
    // The stable template is the wanted one at once; the canary's pod is still there.
    let mut back = says("Progressing", 3, ["a", "a"], [5, 4, 5]);
    back["currentStepIndex"] = json!(5);
    let mut again = set("a", V1, 1, [3, 4, 4]);
    again["metadata"]["annotations"]["rollout.argoproj.io/revision-history"] = json!("1");
    stage.apply(&again);
    stage.apply(&rollout(V1, 3, canary(), back));
    assert_eq!(web(&stage).phase, RolloutPhase::Progressing);
    assert_eq!(web(&stage).revision.as_deref(), Some("3"));
    again["status"] = json!({"replicas": 5, "readyReplicas": 5, "availableReplicas": 5});
    stage.apply(&again);
    stage.delete(&pod("b", "1", 71));
    stage.apply(&rollout(V1, 3, canary(), there(says("Healthy", 3, ["a", "a"], [5, 5, 5]))));
    assert_eq!(web(&stage).phase, RolloutPhase::Complete);
    assert_eq!(ends(&mut stage, 200).unwrap().outcome, Outcome::Succeeded);
}

#[test]
fn scaling_is_no_new_rollout() {
    let mut stage = settled(&canary());
    let number = course(&stage).number;
    let mut scaled = rollout(V1, 2, canary(), there(says("Healthy", 1, ["a", "a"], [5, 5, 5])));
    scaled["spec"]["replicas"] = json!(8);
    stage.apply(&scaled);
    assert_eq!(web(&stage).phase, RolloutPhase::Complete);
    assert!(stage.model.pods(&id(Kind::Rollout, "web")).iter().all(|pod| pod.side == Side::New));
    assert_eq!(course(&stage).number, number);
}

#[test]
fn what_is_not_what_it_claims_is_unknown_and_says_what_is_wrong() {
    let good = || says("Progressing", 1, ["a", "a"], [5, 5, 5]);
    let with = |key: &str, value: Value| {
        let mut status = good();
        status[key] = value;
        status
    };
    for (status, wrong) in [
        (with("phase", json!(["Healthy"])), "status.phase"),
        (with("phase", json!("Splendid")), "status.phase \"Splendid\""),
        (with("phase", Value::Null), "status.phase is missing"),
        (with("replicas", json!("five")), "status.replicas"),
        (with("updatedReplicas", json!(1e300)), "status.updatedReplicas"),
        (with("conditions", json!({"Progressing": true})), "status.conditions"),
        (with("observedGeneration", json!({})), "status.observedGeneration"),
        (json!("Healthy"), "status"),
    ] {
        let mut stage = Stage::new();
        stage.apply(&rollout(V1, 1, canary(), status));
        stage.feed(&[Change::Synced]);
        assert_eq!(web(&stage).phase, RolloutPhase::Unknown, "{wrong}");
        let message = format!("what the object says makes no sense: {wrong}");
        assert_eq!(web(&stage).message, message);
        assert_eq!(ends(&mut stage, 500), None);
        let result = ends(&mut stage, 700).unwrap();
        assert_eq!((result.outcome, result.message), (Outcome::Unknown, message));
    }
    for odd in [json!(null), json!({}), json!({"observedGeneration": "abc"})] {
        let mut stage = Stage::new();
        stage.apply(&rollout(V1, 1, json!({"canary": {"steps": 7}}), odd));
        let phase = web(&stage).phase;
        assert!(matches!(phase, RolloutPhase::Waiting | RolloutPhase::Unknown), "{phase:?}");
    }
}

#[test]
fn an_invalid_specification_may_become_valid_and_fails_if_not() {
    let mut stage = settled(&blue_green());
    let mut status = says("Degraded", 2, ["a", "a"], [5, 5, 5]);
    status["conditions"] = json!([{"type": "InvalidSpec", "status": "True",
        "reason": "InvalidSpec", "message": "service \"web\" not found",
        "lastTransitionTime": stamp(80)}]);
    stage.apply(&rollout(V2, 2, blue_green(), status));
    assert_eq!(web(&stage).phase, RolloutPhase::Progressing);
    assert_eq!(web(&stage).message, "the specification is invalid: service \"web\" not found");
    assert_eq!(counts(&web(&stage)), [5, 0, 0, 0, 5], "there is no new ReplicaSet");
    assert_eq!(ends(&mut stage, 139), None);
    let result = ends(&mut stage, 140).unwrap();
    assert_eq!((result.outcome, result.reason), (Outcome::Failed, Some(Reason::InvalidSpec)));
}

#[test]
fn a_template_that_stands_elsewhere_is_known_by_its_hash() {
    let refers = |generation: &str, seen: &str, status: Value| {
        let mut value = rollout(V1, 1, canary(), status);
        value["spec"].as_object_mut().unwrap().remove("template");
        value["spec"]["workloadRef"] = json!({"kind": "Deployment", "name": "web"});
        value["metadata"]["annotations"] =
            json!({"rollout.argoproj.io/workload-generation": generation});
        value["status"]["workloadObservedGeneration"] = json!(seen);
        value
    };
    let mut stage = Stage::new();
    stage.apply(&refers("4", "4", there(says("Healthy", 1, ["a", "a"], [5, 5, 5]))));
    stage.apply(&set("a", V1, 1, [1, 5, 5]));
    assert_eq!(web(&stage).phase, RolloutPhase::Complete);
    assert_eq!(&*web(&stage).images[0].to, V1);
    let number = course(&stage).number;
    stage.apply(&refers("5", "4", there(says("Healthy", 1, ["a", "a"], [5, 5, 5]))));
    assert_eq!(web(&stage).phase, RolloutPhase::Waiting);
    stage.apply(&set("b", V2, 70, [2, 1, 0]));
    stage.apply(&refers("5", "5", says("Progressing", 1, ["b", "a"], [5, 1, 5])));
    assert_eq!(web(&stage).phase, RolloutPhase::Progressing);
    assert_eq!(&*web(&stage).images[0].to, V2);
    assert_ne!(course(&stage).number, number);
}

#[test]
fn a_canary_that_was_paused_by_hand_says_so() {
    let mut stage = settled(&canary());
    let status = at_twenty(&mut stage, "Paused", 2);
    let mut paused = rollout(V2, 2, canary(), status);
    paused["spec"]["paused"] = json!(true);
    stage.apply(&paused);
    assert_eq!(web(&stage).phase, RolloutPhase::Paused);
    assert_eq!(web(&stage).message, "paused by hand at step 3 of 5 (canary 50 %)");
}
