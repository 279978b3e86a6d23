//! What runs once: it keeps its result when it is removed (`truths.md` 21).

use super::fresh::deploy;
use super::*;
use crate::ids::Outcome;
use crate::rollout::Found;

/// A Job of one pod, by itself or of the CronJob `report`.
fn job(name: &str, of: Option<&str>, status: Value) -> Value {
    let mut value = json!({"kind": "Job", "metadata": {"namespace": "shop", "name": name,
            "uid": format!("uid-{name}"), "generation": 1, "creationTimestamp": stamp(10)},
        "spec": {"completions": 1, "template": {}}, "status": status});
    if let Some(owner) = of {
        own(&mut value, "batch/v1", "CronJob", owner);
    }
    value
}

fn ended(kind: &str) -> Value {
    json!({"startTime": stamp(11), "succeeded": i64::from(kind == "Complete"),
        "conditions": [{"type": kind, "status": "True", "lastTransitionTime": stamp(20)}]})
}

fn begun() -> Stage {
    let mut stage = Stage::new();
    // No time of the API lies in the future.
    stage.world.now += 60 * SECOND;
    stage.feed(&[Change::Synced]);
    stage
}

impl Stage {
    /// How the newest rollout of this workload ended, once what shows it was gathered.
    fn outcome(&mut self, workload: &crate::ids::WorkloadId) -> Option<Outcome> {
        for decision in self.model.decisions() {
            self.model.seal(&decision, &Arc::new(decision.draft.clone()));
        }
        let course = self.model.course(workload)?;
        course.result.as_ref().map(|result| result.outcome)
    }
}

#[test]
fn a_job_that_is_removed_keeps_its_result_and_one_that_had_none_is_deleted() {
    let migrate = id(Kind::Job, "migrate");
    for (status, outcome) in [
        (ended("Complete"), Outcome::Succeeded),
        (ended("Failed"), Outcome::Failed),
        (json!({"active": 1}), Outcome::Deleted),
    ] {
        let mut stage = begun();
        stage.apply(&job("migrate", None, json!({"active": 1})));
        stage.apply(&job("migrate", None, status.clone()));
        stage.delete(&job("migrate", None, status));
        assert_eq!(stage.outcome(&migrate), Some(outcome));
        // The same name again is another run.
        let mut again = job("migrate", None, json!({"active": 1}));
        again["metadata"]["uid"] = json!("uid-again");
        stage.apply(&again);
        assert_eq!(stage.outcome(&migrate), None);
        assert_eq!(stage.model.rollouts(&migrate).len(), 2);
    }
}

/// Its change begins no run: the id named the run before, which was good with the template before.
#[test]
fn the_annotation_of_a_cron_job_names_no_run() {
    let report = id(Kind::CronJob, "report");
    let mut stage = begun();
    let mut value = json!({"kind": "CronJob", "metadata": {"namespace": "shop", "name": "report",
        "uid": "uid-report", "generation": 1}, "spec": {"jobTemplate": {"spec": {}}}});
    stage.apply(&value);
    stage.apply(&job("report-1", Some("report"), ended("Complete")));
    assert_eq!(stage.outcome(&report), Some(Outcome::Succeeded));
    value["metadata"]["annotations"] = json!({"rollcast.dev/deploy": "b-17"});
    value["metadata"]["generation"] = json!(2);
    stage.apply(&value);
    stage.apply(&job("report-2", Some("report"), json!({"active": 1})));
    assert_eq!(stage.model.find(&report, &deploy("b-17")), Found::Waiting);
}

#[test]
fn a_cron_job_whose_last_job_is_removed_keeps_its_result() {
    let report = id(Kind::CronJob, "report");
    let mut stage = begun();
    stage.apply(&json!({"kind": "CronJob", "metadata": {"namespace": "shop", "name": "report",
        "uid": "uid-report", "generation": 1}, "spec": {"jobTemplate": {"spec": {}}}}));
    assert_eq!(stage.outcome(&report), None);
    for (name, status, outcome) in [
        ("report-1", ended("Complete"), Outcome::Succeeded),
        ("report-2", ended("Failed"), Outcome::Failed),
        ("report-3", json!({"active": 1}), Outcome::Deleted),
    ] {
        stage.apply(&job(name, Some("report"), json!({"active": 1})));
        assert_eq!(stage.outcome(&report), None, "{name}");
        stage.apply(&job(name, Some("report"), status.clone()));
        stage.delete(&job(name, Some("report"), status));
        assert_eq!(stage.outcome(&report), Some(outcome), "{name}");
    }
    assert_eq!(stage.model.rollouts(&report).len(), 3);
}

#[test]
fn a_pod_that_is_made_again_is_another_run() {
    let tool = id(Kind::Pod, "tool");
    let mut stage = begun();
    stage.apply(&running(bare_pod("tool", 1), true));
    stage.world.now += 60 * SECOND;
    let now = stage.world.now;
    stage.model.tick(now);
    assert_eq!(stage.outcome(&tool), Some(Outcome::Succeeded));
    assert!(stage.model.has(&tool, "uid-tool", 1, None));
    // That the one before is gone, this proves.
    let mut second = bare_pod("tool", 50);
    second["metadata"]["uid"] = json!("uid-again");
    stage.apply(&second);
    assert!(stage.model.has(&tool, "uid-again", 1, None));
    assert!(!stage.model.has(&tool, "uid-tool", 1, None));
    assert_eq!(stage.outcome(&tool), None, "it waits for a node");
    stage.delete(&second);
    assert_eq!(stage.outcome(&tool), Some(Outcome::Deleted));
    assert!(!stage.model.knows(&tool));
}

/// The pods of a Job that was deleted stay for a moment, or for ever if they were orphaned.
#[test]
fn pods_of_a_job_that_is_gone_say_nothing_of_the_next_of_its_name() {
    let migrate = id(Kind::Job, "migrate");
    let mut stage = begun();
    stage.apply(&job("migrate", None, json!({"active": 1})));
    let mut pod = bare_pod("migrate-x", 12);
    own(&mut pod, "batch/v1", "Job", "migrate");
    pod["status"]["phase"] = json!("Pending");
    pod["status"]["conditions"] =
        json!([{"type": "PodScheduled", "status": "True", "lastTransitionTime": stamp(12)}]);
    pod["spec"]["nodeName"] = json!("node-1");
    pod["status"]["containerStatuses"] = json!([{"name": "app", "state": {"waiting":
        {"reason": "ErrImagePull", "message": "migrate:9: not found"}}}]);
    stage.delete(&job("migrate", None, json!({"active": 1})));
    let mut again = job("migrate", None, json!({"active": 1}));
    again["metadata"]["uid"] = json!("uid-again");
    stage.apply(&again);
    stage.apply(&pod);
    assert_eq!(stage.outcome(&migrate), None, "the new one has no pod yet");
    pod["metadata"]["ownerReferences"][0]["uid"] = json!("uid-again");
    pod["metadata"]["uid"] = json!("uid-its-own");
    stage.apply(&pod);
    assert_eq!(stage.outcome(&migrate), Some(Outcome::Failed));
}

/// A controller that knows how a Job ends waits for its pods before it says so.
#[test]
fn a_job_is_over_when_its_controller_knows_how() {
    let migrate = id(Kind::Job, "migrate");
    for (kind, outcome) in
        [("SuccessCriteriaMet", Outcome::Succeeded), ("FailureTarget", Outcome::Failed)]
    {
        let mut stage = begun();
        stage.apply(&job("migrate", None, json!({"active": 2})));
        let mut status = ended(kind);
        status["active"] = json!(1);
        stage.apply(&job("migrate", None, status));
        assert_eq!(stage.outcome(&migrate), Some(outcome), "{kind}");
    }
}

/// Its controller makes another pod, and says when there were too many.
#[test]
fn a_pod_of_a_job_that_could_not_start_fails_no_job_that_goes_on() {
    let migrate = id(Kind::Job, "migrate");
    let mut stage = begun();
    stage.apply(&job("migrate", None, json!({"active": 1, "failed": 1})));
    let of = |name: &str| {
        let mut pod = bare_pod(name, 12);
        own(&mut pod, "batch/v1", "Job", "migrate");
        pod
    };
    let ended = json!({"terminated": {"exitCode": 128, "reason": "StartError",
        "message": "context deadline exceeded", "startedAt": stamp(13), "finishedAt": stamp(13)}});
    let mut dead = with_state(of("migrate-1"), false, 0, ended);
    dead["status"]["phase"] = json!("Failed");
    stage.apply(&dead);
    stage.apply(&running(of("migrate-2"), true));
    for _ in 0..20 {
        stage.pass(30);
        assert_eq!(stage.outcome(&migrate), None);
    }
    let status = stage.model.current(&migrate).unwrap();
    assert_eq!(codes(&status), [Reason::CannotStart], "it is told of all the same");
}

/// A list that comes after both, the end of a Job and its removal, shows neither.
#[test]
fn a_job_whose_pods_have_ended_well_was_good_though_a_list_finds_it_no_more() {
    let migrate = id(Kind::Job, "migrate");
    for (phase, outcome) in [("Succeeded", Outcome::Succeeded), ("Running", Outcome::Deleted)] {
        let mut stage = begun();
        stage.apply(&job("migrate", None, json!({"active": 1})));
        let mut pod = running(bare_pod("migrate-1", 12), false);
        own(&mut pod, "batch/v1", "Job", "migrate");
        pod["status"]["phase"] = json!(phase);
        stage.apply(&pod);
        let changes = stage.world.relist(crate::watch::Resource::Jobs, &[]);
        stage.feed(&changes);
        assert_eq!(stage.outcome(&migrate), Some(outcome), "{phase}");
    }
}

/// Runs that overlap: whoever waits for the first is told how that ended.
#[test]
fn a_run_of_a_cron_job_goes_on_beside_the_next() {
    let report = id(Kind::CronJob, "report");
    for (kind, outcome) in [("Complete", Outcome::Succeeded), ("Failed", Outcome::Failed)] {
        let mut stage = begun();
        stage.apply(&json!({"kind": "CronJob", "metadata": {"namespace": "shop", "name": "report",
            "uid": "uid-report", "generation": 1}, "spec": {"jobTemplate": {"spec": {}}}}));
        let runs = json!({"active": 1});
        stage.apply(&job("report-1", Some("report"), runs.clone()));
        let mut second = job("report-2", Some("report"), runs);
        second["metadata"]["creationTimestamp"] = json!(stamp(12));
        stage.apply(&second);
        let open = |stage: &Stage, at: usize| stage.model.rollouts(&report)[at].result.clone();
        assert_eq!((open(&stage, 0), open(&stage, 1)), (None, None), "both run");
        stage.apply(&job("report-1", Some("report"), ended(kind)));
        let first = open(&stage, 1).expect("it is over");
        assert_eq!((first.outcome, first.revision.as_deref()), (outcome, Some("uid-report-1")));
        assert_eq!(open(&stage, 0), None, "that runs still");
        let pin =
            |uid: &str| crate::rollout::Pin { uid: Some(uid.to_owned()), ..Default::default() };
        let number = stage.model.rollouts(&report)[1].number;
        let found = stage.model.find(&report, &pin("uid-report-1"));
        assert_eq!(found, crate::rollout::Found::Course(number));
    }
    // One that is replaced is superseded.
    let mut stage = begun();
    stage.apply(&json!({"kind": "CronJob", "metadata": {"namespace": "shop", "name": "report",
        "uid": "uid-report", "generation": 1}, "spec": {"jobTemplate": {"spec": {}}}}));
    let first = job("report-1", Some("report"), json!({"active": 1}));
    stage.apply(&first);
    let mut second = job("report-2", Some("report"), json!({"active": 1}));
    second["metadata"]["creationTimestamp"] = json!(stamp(12));
    stage.apply(&second);
    stage.delete(&first);
    let result = stage.model.rollouts(&report)[1].result.clone().unwrap();
    assert_eq!(result.outcome, Outcome::Superseded);
}

/// Short-lived pods of a cluster do not push out the Job whose end somebody waits for.
#[test]
fn a_job_that_is_gone_is_remembered_whatever_pods_come_and_go() {
    let mut stage = begun();
    stage.apply(&job("migrate", None, ended("Complete")));
    stage.delete(&job("migrate", None, ended("Complete")));
    for number in 0..400 {
        let pod = running(bare_pod(&format!("tool-{number}"), 12), true);
        stage.apply(&pod);
        stage.delete(&pod);
        stage.pass(1);
    }
    assert_eq!(stage.outcome(&id(Kind::Job, "migrate")), Some(Outcome::Succeeded));
}

/// It is nobody's failure that it was suspended, however long.
#[test]
fn an_indexed_job_that_is_suspended_goes_on_and_ends() {
    let load = id(Kind::Job, "load");
    let at = |suspend: bool, generation: i64, status: Value| {
        let mut value = job("load", None, status);
        value["metadata"]["generation"] = json!(generation);
        value["spec"] = json!({"completions": 3, "completionMode": "Indexed", "suspend": suspend,
            "parallelism": 3, "template": {}});
        value
    };
    let mut stage = begun();
    stage.apply(&at(true, 1, json!({"conditions": [{"type": "Suspended", "status": "True"}]})));
    stage.pass(86_400);
    assert_eq!(stage.outcome(&load), None);
    assert_eq!(stage.model.current(&load).unwrap().phase, RolloutPhase::Paused);
    let going_on = json!({"active": 1, "succeeded": 2, "completedIndexes": "0,2",
        "startTime": stamp(86_470)});
    stage.apply(&at(false, 2, going_on));
    let status = stage.model.current(&load).unwrap();
    assert_eq!((status.phase, status.desired, status.available), (RolloutPhase::Progressing, 3, 2));
    assert_eq!(stage.outcome(&load), None);
    let mut done = ended("Complete");
    done["succeeded"] = json!(3);
    stage.apply(&at(false, 2, done));
    assert_eq!(stage.outcome(&load), Some(Outcome::Succeeded));
    assert_eq!(stage.model.rollouts(&load).len(), 1, "it is one run");
}

/// Nobody but an event tells of it: a Job has no condition for that.
#[test]
fn a_cron_jobs_job_whose_pods_are_refused_fails() {
    let report = id(Kind::CronJob, "report");
    let mut stage = begun();
    stage.apply(&json!({"kind": "CronJob", "metadata": {"namespace": "shop", "name": "report",
        "uid": "uid-report", "generation": 1}, "spec": {"jobTemplate": {"spec": {}}}}));
    for (name, created) in [("report-1", 10), ("report-2", 12)] {
        let mut job = job(name, Some("report"), json!({"active": 0}));
        job["metadata"]["creationTimestamp"] = json!(stamp(created));
        stage.apply(&job);
    }
    let refused = |name: &str| {
        json!({"kind": "Event", "metadata": {"namespace": "shop", "name": name, "uid": name},
            "involvedObject": {"kind": "Job", "namespace": "shop", "name": name,
                "uid": format!("uid-{name}")}, "type": "Warning", "reason": "FailedCreate",
            "message": "Error creating: pods \"x\" is forbidden: violates PodSecurity \"restricted\"",
            "lastTimestamp": stamp(61)})
    };
    stage.apply(&refused("report-1"));
    assert_eq!(stage.outcome(&report), None, "that is not the newest");
    stage.apply(&refused("report-2"));
    assert_eq!(stage.outcome(&report), Some(Outcome::Failed));
}
