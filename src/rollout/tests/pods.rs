//! Phases of pods, and the sentence about them.

use serde_json::{Value, json};

use super::*;

pub(super) fn waits(reason: &str, message: &str) -> Value {
    json!({"waiting": {"reason": reason, "message": message}})
}

/// Phase, detail, reason and message of a bare pod.
fn judged(pod: &Value) -> (PodPhase, Option<String>, Option<String>, Option<String>) {
    let mut stage = Stage::new();
    stage.apply(pod);
    let name = pod["metadata"]["name"].as_str().unwrap();
    let status = stage.model.pods(&id(Kind::Pod, name)).remove(0);
    let text = |text: &Option<Arc<str>>| text.as_ref().map(ToString::to_string);
    (status.phase, text(&status.phase_detail), text(&status.reason), text(&status.message))
}

fn phase(pod: &Value) -> PodPhase {
    judged(pod).0
}

fn x() -> Value {
    bare_pod("x", 1)
}

#[test]
fn a_pod_walks_through_its_phases() {
    assert_eq!(phase(&x()), PodPhase::Unscheduled);
    assert_eq!(
        phase(&with_state(x(), false, 0, waits("ContainerCreating", ""))),
        PodPhase::Starting
    );
    assert_eq!(phase(&running(x(), false)), PodPhase::Running);
    assert_eq!(phase(&running(x(), true)), PodPhase::Ready);
    let mut leaving = running(x(), true);
    leaving["metadata"]["deletionTimestamp"] = json!(stamp(30));
    assert_eq!(phase(&leaving), PodPhase::Terminating);
    let mut done = with_state(x(), false, 0, json!({"terminated": {"exitCode": 0}}));
    done["status"]["phase"] = json!("Succeeded");
    assert_eq!(phase(&done), PodPhase::Succeeded);
    let mut stage = Stage::new();
    stage.apply(&running(x(), true));
    let records = stage.delete(&running(x(), true));
    let Some(Entry::Pod(gone)) = records.first() else { panic!("{records:?}") };
    assert_eq!((gone.phase, gone.ready), (PodPhase::Gone, false));
}

#[test]
fn an_unschedulable_pod_says_why() {
    let mut pod = x();
    pod["status"]["conditions"] = json!([{"type": "PodScheduled", "status": "False",
        "reason": "Unschedulable", "message": "0/3 nodes are available: 3 Insufficient cpu."}]);
    let (phase, _, reason, message) = judged(&pod);
    assert_eq!((phase, reason.as_deref()), (PodPhase::Unscheduled, Some("Unschedulable")));
    assert_eq!(message.as_deref(), Some("0/3 nodes are available: 3 Insufficient cpu."));
}

#[test]
fn init_containers_are_counted_until_the_first_ordinary_one_was_started() {
    let mut pod = with_state(x(), false, 0, waits("PodInitializing", ""));
    pod["status"]["containerStatuses"][0]["containerID"] = json!("");
    pod["spec"]["initContainers"] = json!([{"name": "one", "image": "i"},
        {"name": "side", "image": "i", "restartPolicy": "Always"}, {"name": "two", "image": "i"}]);
    let init = |one: Value, side: Value| {
        json!([{"name": "one", "restartCount": 0, "state": one},
               {"name": "side", "restartCount": 0, "state": side}])
    };
    let run = json!({"running": {"startedAt": stamp(3)}});
    let done = json!({"terminated": {"exitCode": 0}});
    pod["status"]["initContainerStatuses"] = init(run.clone(), json!({}));
    assert_eq!(judged(&pod).1.as_deref(), Some("0/3"));
    pod["status"]["initContainerStatuses"] = init(done.clone(), run);
    assert_eq!((phase(&pod), judged(&pod).1.as_deref()), (PodPhase::Init, Some("2/3")));
    let broken = json!({"terminated": {"exitCode": 3, "reason": "Error"}});
    pod["status"]["initContainerStatuses"] = init(broken, json!({}));
    let (phase, _, _, message) = judged(&pod);
    assert_eq!(phase, PodPhase::Failing);
    assert_eq!(message.as_deref(), Some("container one exits with code 3"));
}

#[test]
fn what_keeps_a_container_from_starting_is_said_in_words() {
    for (reason, message, words) in [
        ("ErrImagePull", "rpc error: x:9: not found", "image shop/web:1 not found"),
        (
            "ImagePullBackOff",
            "Back-off pulling image: ErrImagePull: x: not found",
            "image shop/web:1 not found",
        ),
        ("InvalidImageName", "", "image shop/web:1 is not a valid name"),
        (
            "ErrImageNeverPull",
            "",
            "image shop/web:1 is not on the node, and its pull policy is Never",
        ),
        (
            "CreateContainerConfigError",
            "secret \"db\" not found",
            "container app cannot be created: secret \"db\" not found",
        ),
        (
            "RunContainerError",
            "exec: \"/none\": no such file\nmore",
            "container app cannot be started: exec: \"/none\": no such file",
        ),
    ] {
        let (phase, _, said, text) = judged(&with_state(x(), false, 0, waits(reason, message)));
        assert_eq!((phase, said.as_deref()), (PodPhase::Failing, Some(reason)));
        assert_eq!(text.as_deref(), Some(words));
    }
}

pub(super) fn crashed(mut pod: Value, restarts: i64, reason: &str) -> Value {
    pod = with_state(pod, false, restarts, waits("CrashLoopBackOff", "back-off 20s"));
    pod["status"]["containerStatuses"][0]["lastState"] = json!({"terminated": {"exitCode": 1,
        "reason": reason, "startedAt": stamp(10), "finishedAt": stamp(12)}});
    pod
}

#[test]
fn a_crash_loop_names_code_time_and_restarts() {
    let (phase, _, reason, message) = judged(&crashed(x(), 4, "Error"));
    assert_eq!((phase, reason.as_deref()), (PodPhase::Failing, Some("CrashLoopBackOff")));
    let words = "container app exits with code 1 two seconds after its start (4 restarts)";
    assert_eq!(message.as_deref(), Some(words));
    let (_, _, reason, message) = judged(&crashed(x(), 1, "OOMKilled"));
    assert_eq!(reason.as_deref(), Some("OOMKilled"));
    let words = "container app was killed because it used more memory than its limit (1 restart)";
    assert_eq!(message.as_deref(), Some(words));
}

/// While one pod waits after its first crash, another may run again after its third.
#[test]
fn the_sentence_counts_the_restarts_of_pods_that_run_again() {
    let mut stage = settled();
    stage.apply(&replica_set("b", V2, 20, [2, 4, 0]));
    stage.apply(&deployment(V2, [2, 2, 4, 4, 4, 2]));
    let again = |suffix: &str, restarts: i64, code: i64| {
        let run = json!({"running": {"startedAt": stamp(30)}});
        let mut pod = with_state(pod("b", suffix, 21), false, restarts, run);
        // Its crash took another time.
        pod["status"]["containerStatuses"][0]["lastState"] = json!({"terminated": {
            "exitCode": code, "reason": "Error", "startedAt": stamp(20), "finishedAt": stamp(27)}});
        pod
    };
    stage.apply(&crashed(pod("b", "1", 21), 1, "Error"));
    let words = "container app exits with code 1 two seconds after its start";
    let told = |stage: &Stage| stage.web().message.clone();
    assert_eq!(told(&stage), format!("the new pod cannot start: {words} (1 restart)"));
    stage.apply(&again("2", 3, 1));
    assert_eq!(told(&stage), format!("1 of 2 new pods cannot start: {words} (3 restarts)"));
    assert_eq!(stage.web().reasons[0].message, format!("{words} (3 restarts)"));
    // One that ended well is restarted for no crash, and memory is another cause.
    stage.apply(&again("3", 7, 0));
    let mut memory = again("4", 8, 137);
    memory["status"]["containerStatuses"][0]["lastState"]["terminated"]["reason"] =
        json!("OOMKilled");
    stage.apply(&memory);
    assert_eq!(told(&stage), format!("1 of 4 new pods cannot start: {words} (3 restarts)"));
}

#[test]
fn a_lost_node_is_no_failing_readiness() {
    let mut pod = running(x(), true);
    pod["status"]["conditions"][1]["status"] = json!("False");
    let (phase, _, reason, message) = judged(&pod);
    assert_eq!((phase, reason.as_deref()), (PodPhase::Running, Some("NodeLost")));
    assert_eq!(message.as_deref(), Some("node node-1 does not answer"));
    pod["spec"]["readinessGates"] = json!([{"conditionType": "x"}]);
    assert_eq!(judged(&pod).2, None);
    assert_eq!(judged(&running(x(), false)).2, None);
}

#[test]
fn an_evicted_pod_says_so() {
    let mut pod = running(x(), false);
    pod["status"]["phase"] = json!("Failed");
    pod["status"]["reason"] = json!("Evicted");
    pod["status"]["message"] = json!("The node was low on resource: memory.");
    let (phase, _, reason, message) = judged(&pod);
    assert_eq!((phase, reason.as_deref()), (PodPhase::Failing, Some("Evicted")));
    assert_eq!(message.as_deref(), Some("The node was low on resource: memory."));
}

/// Two old pods that run, four new ones.
fn rolling(news: [Value; 4]) -> String {
    let mut stage = settled();
    stage.apply(&replica_set("b", V2, 20, [2, 4, 0]));
    stage.apply(&deployment(V2, [2, 2, 4, 6, 4, 2]));
    for pod in news {
        stage.apply(&pod);
    }
    stage.web().message.clone()
}

fn new_pod(suffix: &str) -> Value {
    pod("b", suffix, 21)
}

#[test]
fn the_message_counts_the_new_pods_with_the_same_trouble() {
    let broken = |suffix: &str, reason: &str| {
        with_state(new_pod(suffix), false, 0, waits(reason, "x: not found"))
    };
    // The two words for one failure come in turn and are one trouble.
    let message = rolling([
        broken("1", "ErrImagePull"),
        broken("2", "ImagePullBackOff"),
        running(new_pod("3"), true),
        crashed(new_pod("4"), 1, "Error"),
    ]);
    assert_eq!(
        message,
        "2 of 4 new pods cannot start: image shop/web:1 not found (ImagePullBackOff)"
    );
}

#[test]
fn the_message_of_a_crash_names_the_most_restarts() {
    let message = rolling([
        crashed(new_pod("1"), 2, "Error"),
        crashed(new_pod("2"), 4, "Error"),
        running(new_pod("3"), true),
        running(new_pod("4"), true),
    ]);
    let words = "2 of 4 new pods cannot start: container app exits with code 1 two seconds after \
                 its start (4 restarts)";
    assert_eq!(message, words);
}

#[test]
fn a_broken_old_pod_says_nothing_about_the_new_rollout() {
    let mut stage = settled();
    stage.apply(&replica_set("b", V2, 20, [2, 1, 0]));
    stage.apply(&deployment(V2, [2, 2, 2, 3, 1, 2]));
    stage.apply(&crashed(pod("a", "1", 2), 9, "Error"));
    assert_eq!(stage.web().message, "");
}

fn pull_event(reason: &str, uid: &str, at: i64) -> Value {
    json!({"kind": "Event", "metadata": {"namespace": "shop", "name": uid, "uid": uid},
        "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "x", "uid": "uid-x"},
        "type": "Normal", "reason": reason, "message": "m", "lastTimestamp": stamp(at)})
}

#[test]
fn a_pull_is_known_from_events_alone_in_any_order() {
    let starting = with_state(x(), false, 0, waits("ContainerCreating", ""));
    let phase_after = |events: &[(&str, i64)]| {
        let mut stage = Stage::new();
        stage.apply(&starting);
        for (number, (reason, at)) in events.iter().enumerate() {
            stage.apply(&pull_event(reason, &number.to_string(), *at));
        }
        stage.model.pods(&id(Kind::Pod, "x"))[0].phase
    };
    assert_eq!(phase_after(&[("Pulling", 3)]), PodPhase::Pulling);
    assert_eq!(phase_after(&[("Pulling", 3), ("Pulled", 3)]), PodPhase::Starting);
    assert_eq!(phase_after(&[("Pulled", 3), ("Pulling", 3)]), PodPhase::Starting);
    assert_eq!(phase_after(&[("Pulled", 3), ("Pulling", 4)]), PodPhase::Pulling);
    assert_eq!(phase_after(&[("Pulling", 0)]), PodPhase::Starting, "of a pod before this one");
    let mut stage = Stage::new();
    stage.apply(&starting);
    let records = stage.apply(&pull_event("Pulling", "e", 3));
    assert!(matches!(&records[..], [Entry::Event(_), Entry::Pod(_)]), "{records:?}");
    stage.apply(&running(x(), true));
    assert_eq!(stage.model.pods(&id(Kind::Pod, "x"))[0].phase, PodPhase::Ready);
}

fn says(mut event: Value, message: &str) -> Value {
    event["message"] = json!(message);
    event
}

/// A replica that is started while the kubelet waits sees no status that tells why.
#[test]
fn what_the_last_pull_came_to_is_known_from_its_event_while_the_kubelet_waits() {
    let mut stage = Stage::new();
    stage.apply(&with_state(x(), false, 0, waits("ImagePullBackOff", "Back-off pulling image")));
    let code = |stage: &Stage| codes(&stage.model.current(&id(Kind::Pod, "x")).unwrap());
    assert_eq!(code(&stage), [Reason::ImagePull]);
    let failed = "Failed to pull image \"shop/web:1\": rpc error: code = NotFound desc = not found";
    stage.apply(&says(pull_event("Failed", "refused", 9), failed));
    assert_eq!(code(&stage), [Reason::ImageNotFound]);
    let message = &stage.model.current(&id(Kind::Pod, "x")).unwrap().message;
    assert!(message.contains("image shop/web:1 not found"), "{message}");
}

/// What a container waits for while its image is being pulled is the image: the grace of what comes then
/// begins then. Who always pulls does so again at each attempt.
#[test]
fn a_long_pull_is_not_taken_from_the_grace_of_what_comes_after_it() {
    let mut stage = Stage::new();
    stage.apply(&with_state(x(), false, 0, waits("ContainerCreating", "")));
    let message = "Successfully pulled image \"shop/web:1\" in 1m40s (1m40s including waiting).";
    for at in [100, 115] {
        stage.apply(&says(pull_event("Pulled", &at.to_string(), at), message));
    }
    let other = "Successfully pulled image \"shop/side:1\" in 1s";
    stage.apply(&says(pull_event("Pulled", "other", 140), other));
    let wrong = waits("CreateContainerConfigError", "secret \"db\" not found");
    stage.apply(&with_state(x(), false, 0, wrong));
    let since = stage.model.current(&id(Kind::Pod, "x")).unwrap().reasons[0].since;
    assert_eq!(since, Some(BEGIN + 100 * SECOND));
}

/// The kubelet names the container that it kills.
#[test]
fn a_liveness_probe_is_blamed_for_the_container_that_it_killed_alone() {
    for (killed, code) in [("app", Reason::LivenessFailed), ("side", Reason::CrashLoop)] {
        let mut stage = Stage::new();
        stage.apply(&running(x(), true));
        let probe = "Liveness probe failed: HTTP probe failed with statuscode: 500";
        stage.apply(&says(pull_event("Unhealthy", "probe", 9), probe));
        let kill = format!("Container {killed} failed liveness probe, will be restarted");
        stage.apply(&says(pull_event("Killing", "kill", 10), &kill));
        stage.apply(&crashed(x(), 1, "Error"));
        let status = stage.model.current(&id(Kind::Pod, "x")).unwrap();
        assert_eq!(status.reasons[0].code, code, "{killed}");
        let told = status.message.contains("its liveness probe fails: HTTP probe failed");
        assert_eq!(told, killed == "app", "{}", status.message);
    }
}
