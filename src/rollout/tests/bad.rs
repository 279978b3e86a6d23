//! Objects that no sound cluster has: nothing panics, nothing is called good, and what is told stays within
//! what was asked for.

use super::*;
use crate::ids::Outcome;
use crate::watch::{Intake, Received};

const KINDS: [&str; 5] = ["Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob"];

fn web(kind: &str) -> crate::ids::WorkloadId {
    id(kind.parse().unwrap(), "web")
}

fn workload(kind: &str, spec: Value, status: Value) -> Value {
    json!({"kind": kind, "metadata": {"namespace": "shop", "name": "web", "uid": "uid-web",
        "generation": 2, "creationTimestamp": stamp(0)}, "spec": spec, "status": status})
}

/// Begins, and lets time pass; what each rollout came to.
fn ends(stage: &mut Stage, kind: &str, seconds: i64) -> Option<Outcome> {
    stage.feed(&[Change::Synced]);
    for _ in 0..seconds {
        stage.world.now += SECOND;
        let now = stage.world.now;
        stage.model.tick(now);
        for decision in stage.model.decisions() {
            let result = Arc::new(decision.draft.clone());
            stage.model.seal(&decision, &result);
        }
    }
    stage.model.course(&web(kind)).and_then(|course| course.result.as_ref()).map(|it| it.outcome)
}

#[test]
fn objects_without_status_are_waited_for_and_never_good() {
    for kind in KINDS {
        for spec in [json!({}), json!({"replicas": 2, "template": {}})] {
            let mut stage = Stage::new();
            let mut bare = workload(kind, spec, json!({}));
            bare.as_object_mut().unwrap().remove("status");
            stage.apply(&bare);
            let status = stage.model.current(&web(kind)).unwrap();
            let expected = match kind {
                "Job" => RolloutPhase::Progressing,
                // It has no Job yet.
                "CronJob" => RolloutPhase::Complete,
                _ => RolloutPhase::Waiting,
            };
            assert_eq!(status.phase, expected, "{kind}");
            assert_eq!(ends(&mut stage, kind, 30), None, "{kind}");
        }
    }
}

#[test]
fn a_pod_without_status_or_containers_is_not_ready() {
    let mut stage = settled();
    let mut bare = pod("a", "3", 2);
    bare.as_object_mut().unwrap().remove("status");
    bare.as_object_mut().unwrap().remove("spec");
    stage.apply(&bare);
    let pods = stage.pods();
    let told = pods.iter().find(|pod| &*pod.pod == "web-a-3").unwrap();
    assert_eq!((told.phase, told.ready), (PodPhase::Unscheduled, false));
}

const STRANGE: &str =
    "what the object says makes no sense: status.phase of pod web-b-1 is none that Kubernetes has";

/// Nobody can tell how it goes, and nobody waits for ever to be told.
#[test]
fn a_phase_that_nobody_knows_ends_unknown_unless_it_is_taken_back() {
    for back in [false, true] {
        let mut stage = settled();
        stage.apply(&replica_set("b", V2, 20, [2, 2, 2]));
        // All is there, by the numbers.
        stage.apply(&deployment(V2, [2, 2, 2, 2, 2, 2]));
        for name in ["1", "2"] {
            let old = pod("a", name, 2);
            stage.delete(&old);
            let mut pod = running(pod("b", name, 21), true);
            if name == "1" {
                pod["status"]["phase"] = json!("Dreaming");
            }
            stage.apply(&pod);
        }
        assert_eq!((stage.web().phase, &*stage.web().message), (RolloutPhase::Unknown, STRANGE));
        assert_eq!(ends(&mut stage, "Deployment", 60), None);
        if back {
            stage.apply(&running(pod("b", "1", 21), true));
            assert_eq!((stage.web().phase, &*stage.web().message), (RolloutPhase::Complete, ""));
            assert_eq!(ends(&mut stage, "Deployment", 11), Some(Outcome::Succeeded));
            continue;
        }
        assert_eq!(ends(&mut stage, "Deployment", 700), Some(Outcome::Unknown));
        let course = stage.model.course(&web("Deployment")).unwrap();
        assert_eq!(course.result.as_ref().unwrap().message, STRANGE);
    }
}

#[test]
fn a_pod_of_its_own_in_a_phase_that_nobody_knows_is_unknown() {
    let mut stage = Stage::new();
    let mut alone = running(pod("b", "1", 21), true);
    alone["metadata"].as_object_mut().unwrap().remove("ownerReferences");
    alone["status"]["phase"] = json!("Dreaming");
    stage.apply(&alone);
    let id = id(Kind::Pod, "web-b-1");
    let status = stage.model.current(&id).unwrap();
    assert_eq!((status.phase, &*status.message), (RolloutPhase::Unknown, STRANGE));
    stage.apply(&{
        let mut alone = alone.clone();
        alone["status"]["phase"] = json!("Running");
        alone
    });
    let status = stage.model.current(&id).unwrap();
    assert_eq!((status.phase, &*status.message), (RolloutPhase::Complete, ""));
}

#[test]
fn unknown_words_are_no_success_and_no_failure() {
    let mut stage = settled();
    stage.apply(&replica_set("b", V2, 20, [2, 1, 0]));
    stage.apply(&deployment(V2, [2, 2, 2, 3, 1, 2]));
    let mut strange = running(pod("b", "1", 21), false);
    strange["status"]["phase"] = json!("Dreaming");
    for condition in strange["status"]["conditions"].as_array_mut().unwrap() {
        condition["status"] = json!("Perhaps");
    }
    let states = [
        json!({"dreaming": {"since": 7}}),
        json!({"waiting": {"reason": "Dreaming", "message": "of sheep"}}),
        json!({"waiting": {}}),
        json!({}),
        Value::Null,
    ];
    for state in states {
        strange["status"]["containerStatuses"][0]["state"] = state;
        stage.apply(&strange);
        assert_eq!(codes(&stage.web()), [], "{strange}");
        assert_eq!((stage.web().phase, &*stage.web().message), (RolloutPhase::Unknown, STRANGE));
    }
    assert_eq!(ends(&mut stage, "Deployment", 60), None);
    // A word for a failure that is new is one, and is told of with what it says.
    let state = json!({"waiting": {"reason": "DreamError", "message": "of wolves"}});
    strange["status"]["containerStatuses"][0]["state"] = state;
    stage.apply(&strange);
    assert_eq!(codes(&stage.web()), [Reason::CannotStart]);
    assert!(stage.web().message.contains("of wolves"), "{}", stage.web().message);
}

#[test]
fn counts_that_contradict_each_other_stay_within_what_was_asked_for() {
    let most = i64::from(i32::MAX);
    for numbers in [
        [2, 2, 2, 0, 7, 9],
        [2, 2, 2, most, most, most],
        [2, 2, 2, 1, 2, 2],
        [2, 2, 0, 0, 0, 5],
        [2, 9, 2, 2, 0, 2],
        [0, 0, 2, 2, 2, 2],
    ] {
        for kind in ["Deployment", "StatefulSet", "DaemonSet"] {
            let mut stage = Stage::new();
            let mut value = deployment(V2, numbers);
            value["kind"] = json!(kind);
            let [generation, observed, desired, replicas, updated, available] = numbers;
            if kind == "DaemonSet" {
                value["status"] = json!({"observedGeneration": numbers[1],
                    "desiredNumberScheduled": desired, "updatedNumberScheduled": updated,
                    "numberReady": available, "numberAvailable": available});
            }
            stage.apply(&replica_set("b", V2, 20, [2, 9, 9]));
            stage.apply(&value);
            let status = stage.model.current(&web(kind)).unwrap();
            assert!(
                status.available <= status.ready && status.ready <= status.updated,
                "{kind} {numbers:?}: {status:?}"
            );
            // Whatever the numbers say, there is no pod.
            let whole = if kind == "DaemonSet" { desired } else { replicas };
            let sound = updated.max(available) <= whole && observed <= generation;
            let waits = observed < generation;
            assert_eq!(
                status.phase == RolloutPhase::Unknown,
                !sound && !waits,
                "{kind} {numbers:?}: {status:?}"
            );
            let said = status.message.starts_with("what the object says makes no sense: status.");
            assert_eq!(said, !sound && !waits, "{kind} {numbers:?}: {}", status.message);
            let end = ends(&mut stage, kind, 60);
            let empty = desired == 0 || status.updated == 0;
            assert!(empty || end != Some(Outcome::Succeeded), "{kind} {numbers:?}: {end:?}");
        }
    }
}

#[test]
fn negative_numbers_are_none() {
    for kind in KINDS {
        let mut stage = Stage::new();
        let spec = json!({"replicas": -3, "minReadySeconds": -1, "progressDeadlineSeconds": -9,
            "completions": -1, "template": {}, "updateStrategy": {"rollingUpdate": {"partition": -2}}});
        let status = json!({"observedGeneration": -5, "replicas": -1, "updatedReplicas": -1,
            "readyReplicas": -1, "availableReplicas": -1, "desiredNumberScheduled": -1,
            "numberReady": -1, "active": -1, "succeeded": -2, "failed": -1, "ready": -1});
        let mut value = workload(kind, spec, status);
        value["metadata"]["generation"] = json!(-5);
        stage.apply(&value);
        let status = stage.model.current(&web(kind)).unwrap();
        assert_eq!(counts(&status), [0; 5], "{kind}");
        // Of Jobs the conditions tell.
        if !matches!(kind, "Job" | "CronJob") {
            assert_eq!(status.phase, RolloutPhase::Unknown, "{kind}");
            assert!(status.message.ends_with(" is -1"), "{kind}: {}", status.message);
        }
        ends(&mut stage, kind, 30);
    }
    let mut stage = settled();
    let mut pod = running(pod("a", "1", 2), true);
    pod["status"]["containerStatuses"][0]["restartCount"] = json!(-4);
    stage.apply(&pod);
    assert_eq!(stage.pods()[0].restarts, 0);
}

#[test]
fn ten_thousand_annotations_and_labels_change_nothing() {
    let mut stage = settled();
    let mut value = deployment(V1, [1, 1, 2, 2, 2, 2]);
    let many: serde_json::Map<_, _> =
        (0..10_000).map(|at| (format!("example.com/note-{at}"), json!("x".repeat(50)))).collect();
    value["metadata"]["annotations"] = Value::Object(many.clone());
    value["metadata"]["annotations"]["rollcast.dev/settle"] = json!("not a time");
    value["status"]["conditions"] = json!([progressing("True", "NewReplicaSetAvailable")]);
    stage.apply(&value);
    assert_eq!(stage.web().phase, RolloutPhase::Complete);
    let before = stage.web();
    let mut pod = running(pod("a", "1", 2), true);
    pod["metadata"]["annotations"] = Value::Object(many);
    stage.apply(&pod);
    assert_eq!(stage.web(), before);
}

/// Clocks in the year 9999, in the year 1 and in none: times saturate, and nothing is concluded from them.
#[test]
fn clocks_that_are_wrong_by_ages_panic_nowhere() {
    let times = ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z"];
    for (made, began) in times.iter().flat_map(|one| times.iter().map(move |other| (one, other))) {
        for restarts in [0, 5] {
            let mut stage = settled();
            let mut set = replica_set("b", V2, 20, [2, 1, 0]);
            set["metadata"]["creationTimestamp"] = json!(made);
            stage.apply(&set);
            let mut web = deployment(V2, [2, 2, 2, 3, 1, 2]);
            web["status"]["conditions"] = json!([{"type": "Progressing", "status": "True",
                "reason": "ReplicaSetUpdated", "lastTransitionTime": made,
                "lastUpdateTime": began}]);
            web["metadata"]["annotations"] = json!({"rollcast.dev/rollout-deadline": "24h"});
            stage.apply(&web);
            let ended = json!({"terminated": {"exitCode": 1, "reason": "Error",
                "startedAt": made, "finishedAt": began}});
            let mut pod = with_state(pod("b", "1", 21), false, restarts, ended.clone());
            pod["metadata"]["creationTimestamp"] = json!(began);
            pod["status"]["containerStatuses"][0]["lastState"] = ended;
            for condition in pod["status"]["conditions"].as_array_mut().unwrap() {
                condition["lastTransitionTime"] = json!(made);
            }
            stage.apply(&pod);
            let end = ends(&mut stage, "Deployment", 30);
            assert_ne!(end, Some(Outcome::Succeeded), "{made} {began}");
            stage.model.tick(i64::MAX);
            stage.model.tick(i64::MIN);
            let status = stage.web();
            let _ = (status.elapsed_seconds(i64::MAX), status.elapsed_seconds(i64::MIN));
        }
    }
}

/// A value that has no business where it is put.
fn nonsense(random: &mut fastrand::Rng) -> Value {
    match random.u8(0..10) {
        0 => Value::Null,
        1 => json!(-1),
        2 => json!(i64::from(i32::MAX)),
        3 => json!("9999-12-31T23:59:59Z"),
        4 => json!("x".repeat(random.usize(0..3_000))),
        5 => json!([]),
        6 => json!({}),
        7 => json!("\u{0}\u{feff}ä"),
        8 => json!(true),
        _ => json!("Unknown"),
    }
}

/// Puts nonsense somewhere into a value.
fn spoil(value: &mut Value, random: &mut fastrand::Rng) {
    let deeper = random.u8(0..8) > 0;
    match value {
        Value::Object(map) if deeper && !map.is_empty() => {
            let at = random.usize(0..map.len());
            let (_, inner) = map.iter_mut().nth(at).unwrap();
            spoil(inner, random);
        }
        Value::Array(list) if deeper && !list.is_empty() => {
            let at = random.usize(0..list.len());
            spoil(&mut list[at], random);
        }
        _ => *value = nonsense(random),
    }
}

/// One write after another of a history that shows each second.
fn writes(history: &cluster::History) -> Vec<(Value, bool)> {
    let (mut known, mut writes) = (std::collections::BTreeMap::new(), Vec::new());
    for objects in history {
        let now: std::collections::BTreeMap<_, _> =
            objects.iter().map(|it| (it["metadata"]["uid"].to_string(), it.clone())).collect();
        let gone = known.iter().filter(|(uid, _)| !now.contains_key(*uid));
        writes.extend(gone.map(|(_, object): (&String, &Value)| (object.clone(), true)));
        let new = now.iter().filter(|(uid, object)| known.get(*uid) != Some(*object));
        writes.extend(new.map(|(_, object)| (object.clone(), false)));
        known = now;
    }
    writes
}

/// Writes about objects of every kind, and whether that deletes it.
fn every_kind() -> Vec<(Value, bool)> {
    use cluster::{Ask, Cluster, Fate, KINDS};
    let stories = [story::settled(), story::update(), story::rollback()];
    let mut all: Vec<_> =
        stories.into_iter().flatten().map(|write| (write.value, write.gone)).collect();
    let ask = |at, fate| Ask { at, fate, probe: None, back: false, paused: None };
    for kind in KINDS {
        let crash = ask(15, Fate::Crashes { times: 5 });
        let asks = match kind {
            Kind::Job => vec![crash],
            _ => vec![ask(0, Fate::Good), crash, ask(60, Fate::NoImage), ask(80, Fate::Good)],
        };
        all.extend(writes(&Cluster::new(kind, 2, asks, 1).history(110)));
    }
    let paused = argo::says("Paused", 2, ["b", "a"], [6, 1, 6]);
    let nightly =
        workload("CronJob", json!({"jobTemplate": {"spec": {"completions": 1}}}), json!({}));
    let mut job = workload("Job", json!({"completions": 1, "template": {}}), json!({"active": 1}));
    own(&mut job, "batch/v1", "CronJob", "web");
    let event = json!({"kind": "Event", "type": "Warning", "reason": "FailedMount", "message": "no volume",
        "metadata": {"namespace": "shop", "name": "e", "uid": "e"}, "lastTimestamp": stamp(30),
        "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "web-b-1", "uid": "uid-web-b-1"}});
    for object in [
        argo::rollout(V2, 2, argo::canary(), paused),
        argo::set("a", V1, 1, [1, 5, 5]),
        argo::set("b", V2, 20, [2, 1, 1]),
        nightly,
        job,
        event,
    ] {
        all.extend([(object.clone(), false), (object.clone(), false), (object, true)]);
    }
    all
}

/// The watch that tells of a kind.
fn watch_of(object: &Value) -> &'static str {
    match object["kind"].as_str().unwrap() {
        "Deployment" => "deployments.apps",
        "StatefulSet" => "statefulsets.apps",
        "DaemonSet" => "daemonsets.apps",
        "ReplicaSet" => "replicasets.apps",
        "ControllerRevision" => "controllerrevisions.apps",
        "Job" => "jobs.batch",
        "CronJob" => "cronjobs.batch",
        "Rollout" => "rollouts.argoproj.io",
        "Pod" => "pods",
        "Event" => "events",
        other => panic!("no watch for {other}"),
    }
}

/// Whatever still can be decoded of spoilt objects of each kind: nothing panics.
#[test]
fn spoilt_objects_panic_nowhere() {
    let seeds = std::env::var("ROLLCAST_TEST_SEEDS").ok().and_then(|text| text.parse().ok());
    let (all, mut taken) = (every_kind(), std::collections::BTreeMap::new());
    let seeds = seeds.unwrap_or(20);
    for seed in 0..seeds {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut intake, mut model) = (Intake::new("shop", BEGIN), Model::new());
        model.apply(&Change::Synced, BEGIN);
        for (at, (object, gone)) in (1..).zip(&all) {
            let watch = watch_of(object);
            let mut object = object.clone();
            for _ in 0..random.u8(0..4) {
                spoil(&mut object, &mut random);
            }
            let step = if *gone { "deleted" } else { "applied" };
            let line = json!({"at": stamp(at), "watch": watch, "step": step, "object": object});
            let Ok(received) = Received::read(&line.to_string()) else { continue };
            *taken.entry(watch).or_insert(0) += 1;
            let now = received.at();
            for change in intake.take(received).iter().chain(&intake.tick(now)) {
                model.apply(change, now);
            }
            model.tick(now);
            for decision in model.decisions() {
                let result = Arc::new(decision.draft.clone());
                model.seal(&decision, &result);
            }
        }
    }
    // Of each kind some could be decoded.
    assert_eq!(taken.len(), 10, "{taken:?}");
    assert!(taken.values().all(|taken: &u64| *taken >= seeds / 2), "{taken:?}");
}
