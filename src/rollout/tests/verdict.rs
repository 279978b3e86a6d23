//! When a rollout is over, and how.

use super::fresh::{deploy, with_deploy};
use super::pods::{crashed, waits};
use super::*;
use crate::ids::{Outcome, RolloutResult};
use crate::rollout::verdict::{Case as Judged, Demand, judge};
use crate::rollout::{Course, Found, Graces, Pin, Verdict};
use crate::watch::PodEntry;

/// A rolling update whose only new pod is `new`, and what is decided so many seconds after the
/// beginning of time.
struct Case {
    status: RolloutStatus,
    pod: Arc<PodEntry>,
}

fn case(new: &Value) -> Case {
    let mut stage = settled();
    stage.apply(&replica_set("b", V2, 20, [1, 1, 0]));
    stage.apply(&deployment(V2, [2, 2, 2, 3, 1, 2]));
    let changes = stage.world.apply(new);
    stage.feed(&changes);
    Case { status: (*stage.web()).clone(), pod: only_pod(&changes) }
}

impl Case {
    fn at(&self, seconds: i64) -> Verdict {
        let now = BEGIN + seconds * SECOND;
        decide(&self.status, &self.pod, now)
    }
}

fn decide(status: &RolloutStatus, pod: &PodEntry, now: i64) -> Verdict {
    let demand = Demand::Stay { probed: false };
    let progressed = status.started.unwrap_or(now);
    let (pods, began) = (&[pod][..], status.started.unwrap_or(now));
    let case = Judged { status, pods, demand, began, progressed, now };
    judge(&case, &Graces::default())
}

fn fails(code: Reason) -> Verdict {
    Verdict::Over(Outcome::Failed, Some(code))
}

fn new_pod() -> Value {
    pod("b", "1", 21)
}

#[test]
fn what_is_certain_fails_at_once() {
    for (reason, message, code) in [
        ("ErrImagePull", "x: not found", Reason::ImageNotFound),
        ("InvalidImageName", "", Reason::InvalidImageName),
        ("RunContainerError", "exec: \"/x\": no such file or directory", Reason::InvalidCommand),
    ] {
        let case = case(&with_state(new_pod(), false, 0, waits(reason, message)));
        assert_eq!(case.at(22), fails(code), "{reason}");
    }
}

#[test]
fn what_may_pass_has_its_grace_and_then_fails() {
    for (reason, message, code, grace) in [
        ("CreateContainerConfigError", "secret \"db\" not found", Reason::ConfigMissing, 30),
        ("ErrImagePull", "dial tcp: i/o timeout", Reason::ImagePull, 60),
        ("CreateContainerError", "context deadline exceeded", Reason::CannotStart, 60),
    ] {
        let case = case(&with_state(new_pod(), false, 0, waits(reason, message)));
        let since = (case.status.reasons[0].since.unwrap() - BEGIN) / SECOND;
        let Verdict::Open(Some(look)) = case.at(since + grace - 1) else {
            panic!("{reason}: {:?}", case.at(since + grace - 1));
        };
        assert_eq!(look, BEGIN + (since + grace) * SECOND, "{reason}");
        assert_eq!(case.at(since + grace), fails(code), "{reason}");
    }
}

/// While old pods hold a quota it comes back as they go (`truths.md` 13); when none is left, nothing frees it.
#[test]
fn a_quota_that_old_pods_hold_fails_nothing() {
    let mut stage = settled();
    let mut refused = replica_set("b", V2, 20, [2, 1, 1]);
    refused["status"]["conditions"] = json!([{"type": "ReplicaFailure", "status": "True",
        "reason": "FailedCreate", "message": "pods \"x\" is forbidden: exceeded quota: small",
        "lastTransitionTime": stamp(30)}]);
    stage.apply(&refused);
    stage.apply(&deployment(V2, [2, 2, 2, 3, 1, 2]));
    let changes = stage.world.apply(&running(new_pod(), true));
    stage.feed(&changes);
    let (status, pod) = ((*stage.web()).clone(), only_pod(&changes));
    assert_eq!((codes(&status), status.old), (vec![Reason::Quota], 2));
    // Only the deadline is left, counted from when it came on last.
    let at = |status: &RolloutStatus, seconds| decide(status, &pod, BEGIN + seconds * SECOND);
    assert!(matches!(at(&status, 30 + 121), Verdict::Open(Some(_))));
    assert!(matches!(at(&status, 20 + 599), Verdict::Open(Some(_))));
    let held = RolloutStatus { old: 0, ..status };
    assert!(matches!(at(&held, 30 + 119), Verdict::Open(Some(_))));
    assert_eq!(at(&held, 30 + 120), fails(Reason::Quota));
}

/// Who says that nothing has to hold gets what the numbers say.
#[test]
fn without_settle_success_is_believed_at_once() {
    let mut stage = settled();
    stage.apply(&replica_set("b", V2, 20, [2, 1, 1]));
    stage.apply(&deployment(V2, [2, 2, 1, 1, 1, 1]));
    let runs = json!({"running": {"startedAt": stamp(23)}});
    let changes = stage.world.apply(&with_state(new_pod(), true, 0, runs));
    stage.feed(&changes);
    let (status, pod) = ((*stage.web()).clone(), only_pod(&changes));
    assert_eq!(status.phase, RolloutPhase::Complete);
    let (now, began) = (BEGIN + 24 * SECOND, BEGIN + 20 * SECOND);
    let (pods, demand) = (&[&*pod][..], Demand::Stay { probed: false });
    let case = Judged { status: &status, pods, demand, began, progressed: began, now };
    let with = |settle| judge(&case, &Graces { settle, ..Graces::default() });
    assert!(matches!(with(10 * SECOND), Verdict::Open(Some(_))));
    assert_eq!(with(0), Verdict::Over(Outcome::Succeeded, None));
}

#[test]
fn a_registry_that_limits_requests_fails_nothing() {
    let limited = waits("ErrImagePull", "toomanyrequests: rate limit");
    let case = case(&with_state(new_pod(), false, 0, limited));
    let deadline = case.status.started.unwrap() + 600 * SECOND;
    assert_eq!(case.at(500), Verdict::Open(Some(deadline)));
}

#[test]
fn a_crash_loop_fails_with_the_third_restart() {
    let crash = |restarts| {
        let mut pod = crashed(new_pod(), restarts, "Error");
        let ended = &mut pod["status"]["containerStatuses"][0]["lastState"]["terminated"];
        (ended["startedAt"], ended["finishedAt"]) = (json!(stamp(30)), json!(stamp(32)));
        case(&pod)
    };
    assert!(matches!(crash(2).at(40), Verdict::Open(Some(_))));
    assert_eq!(crash(3).at(40), fails(Reason::CrashLoop));
}

/// What it got over is no cause any more: another pod's first crash is that one's first.
#[test]
fn restarts_of_a_pod_that_has_held_since_fail_no_other_pod() {
    let fails_with = |started: i64| {
        let mut healed = crashed(pod("b", "1", 21), 4, "Error");
        healed["status"]["containerStatuses"][0]["state"] =
            json!({"running": {"startedAt": stamp(started)}});
        healed["status"]["conditions"][1]["status"] = json!("True");
        let mut first = with_state(
            pod("b", "2", 21),
            false,
            0,
            json!({"terminated":
            {"exitCode": 1, "reason": "Error", "startedAt": stamp(98), "finishedAt": stamp(99)}}),
        );
        first["status"]["phase"] = json!("Running");
        let mut stage = settled();
        stage.apply(&replica_set("b", V2, 20, [2, 2, 0]));
        stage.apply(&deployment(V2, [2, 2, 2, 3, 2, 2]));
        let pods: Vec<_> =
            [healed, first].iter().map(|pod| only_pod(&stage.world.apply(pod))).collect();
        pods.iter().for_each(|pod| {
            stage.feed(&[Change::PodApplied(Arc::clone(pod))]);
        });
        let (status, now) = (stage.web(), BEGIN + 100 * SECOND);
        assert_eq!(codes(&status), [Reason::CrashLoop]);
        let pods: Vec<&PodEntry> = pods.iter().map(|pod| &**pod).collect();
        let (demand, began) = (Demand::Stay { probed: false }, status.started.unwrap());
        let case = Judged { status: &status, pods: &pods, demand, began, progressed: began, now };
        judge(&case, &Graces::default())
    };
    assert_eq!(fails_with(95), fails(Reason::CrashLoop), "it may crash again");
    assert!(matches!(fails_with(40), Verdict::Open(Some(_))));
}

/// What kept its first attempt from starting has passed: it runs, and is only slow.
#[test]
fn a_container_that_runs_after_a_failed_start_fails_nothing() {
    for message in ["context deadline exceeded", "exec: \"/x\": no such file or directory"] {
        let mut stage = begun();
        let mut new = crashed(pod("b", "1", 62), 1, "StartError");
        let status = &mut new["status"]["containerStatuses"][0];
        status["state"] = json!({"running": {"startedAt": stamp(64)}});
        status["lastState"]["terminated"]["exitCode"] = json!(128);
        status["lastState"]["terminated"]["message"] = json!(message);
        stage.roll(&new);
        assert_eq!(codes(&stage.web()), [], "{message}");
        for _ in 0..20 {
            stage.pass(20);
        }
        assert!(stage.model.decisions().is_empty(), "{message}");
    }
}

/// Behind a startup probe a container is never ready, and seen running at each look.
#[test]
fn a_container_that_its_startup_probe_kills_is_told_of_by_its_restarts() {
    for (restarts, is_over) in [(1, false), (3, false), (4, true)] {
        let mut stage = begun();
        let mut new = crashed(pod("b", "1", 62), restarts, "Error");
        new["status"]["containerStatuses"][0]["state"] =
            json!({"running": {"startedAt": stamp(64)}});
        stage.world.now = BEGIN + 90 * SECOND;
        stage.roll(&new);
        assert_eq!(codes(&stage.web()), [Reason::CrashLoop], "{restarts}");
        let decision = stage.model.decisions().pop();
        assert_eq!(decision.is_some_and(|it| it.draft.outcome == Outcome::Failed), is_over);
    }
}

/// One that the kubelet restarts at once, for its liveness probe, is seen running at each look: its restarts
/// tell, and the attempt that runs has its chance.
#[test]
fn a_container_that_is_never_seen_down_is_a_crash_loop_by_its_restarts() {
    for (restarts, is_over) in [(3, false), (4, true), (9, true)] {
        let mut stage = begun();
        stage.apply(&deployment(V2, [2, 1, 2, 2, 2, 2]));
        stage.apply(&replica_set("b", V2, 61, [2, 1, 1]));
        let mut new = crashed(pod("b", "1", 62), restarts, "Error");
        new["status"]["containerStatuses"][0]["state"] =
            json!({"running": {"startedAt": stamp(98)}});
        new["status"]["containerStatuses"][0]["ready"] = json!(true);
        new["status"]["conditions"][1]["status"] = json!("True");
        stage.world.now = BEGIN + 98 * SECOND;
        stage.apply(&new);
        stage.apply(&deployment(V2, [2, 2, 2, 3, 1, 3]));
        let decision = stage.model.decisions().pop();
        assert_eq!(decision.is_some(), is_over, "{restarts}");
        if let Some(decision) = decision {
            assert_eq!(decision.draft.outcome, Outcome::Failed);
            assert_eq!(decision.draft.reason, Some(Reason::CrashLoop));
            assert!(decision.draft.message.contains("was restarted"), "{:?}", decision.draft);
        }
    }
}

/// It never stays, however well it ends, and the kubelet says that it holds it back for that.
#[test]
fn a_container_that_ends_well_again_and_again_is_a_loop_and_one_that_ended_well_is_not() {
    let mut pod = crashed(new_pod(), 3, "Completed");
    let status = &mut pod["status"]["containerStatuses"][0];
    status["lastState"]["terminated"]["exitCode"] = json!(0);
    assert_eq!(case(&pod).at(40), fails(Reason::CrashLoop));
    pod["status"]["containerStatuses"][0]["state"] = json!({"running": {"startedAt": stamp(33)}});
    assert!(matches!(case(&pod).at(40), Verdict::Open(Some(_))));
}

#[test]
fn success_must_hold() {
    let mut stage = settled();
    let mut status = (*stage.web()).clone();
    (status.desired, status.updated) = (1, 1);
    let changes = stage.world.apply(&running(pod("a", "3", 2), true));
    let pod = only_pod(&changes);
    let started = match &pod.containers[0].state {
        crate::watch::ContainerRun::Running { started } => started.unwrap(),
        other => panic!("{other:?}"),
    };
    let at = |now| decide(&status, &pod, now);
    assert_eq!(at(started + 9 * SECOND), Verdict::Open(Some(started + 10 * SECOND)));
    assert_eq!(at(started + 10 * SECOND), Verdict::Over(Outcome::Succeeded, None));
    // The numbers may come before the pods that they count.
    status.updated = 2;
    assert!(matches!(decide(&status, &pod, started + 20 * SECOND), Verdict::Open(_)));
}

/// `truths.md` 11: neither a crash nor an end without fault between two restarts is a success.
#[test]
fn what_is_between_two_restarts_is_no_success() {
    for (code, reason) in [(1, "Error"), (0, "Completed")] {
        let mut stage = settled();
        let mut status = (*stage.web()).clone();
        (status.desired, status.updated) = (1, 1);
        let ended = json!({"terminated": {"exitCode": code, "reason": reason,
            "startedAt": stamp(2), "finishedAt": stamp(6)}});
        let changes = stage.world.apply(&with_state(pod("a", "3", 2), false, 0, ended));
        let pod = only_pod(&changes);
        let verdict = decide(&status, &pod, BEGIN + 60 * SECOND);
        assert!(matches!(verdict, Verdict::Open(_)), "{code}: {verdict:?}");
    }
}

#[test]
fn a_deadline_that_passed_is_blamed_on_what_stands_in_the_way() {
    let mut case = case(&with_state(new_pod(), false, 0, waits("ContainerCreating", "")));
    case.status.phase = RolloutPhase::Stalled;
    assert_eq!(case.at(700), Verdict::Over(Outcome::TimedOut, Some(Reason::ProgressDeadline)));
    // One without a deadline of its own has ours.
    (case.status.phase, case.status.deadline_ms) = (RolloutPhase::Progressing, None);
    let started = (case.status.started.unwrap() - BEGIN) / SECOND;
    assert_eq!(case.at(started), Verdict::Open(Some(BEGIN + (started + 600) * SECOND)));
    assert!(matches!(case.at(started + 600), Verdict::Over(Outcome::TimedOut, _)));
}

/// A model that has begun, with version 1 settled.
pub(super) fn begun() -> Stage {
    let mut stage = settled();
    stage.world.now = BEGIN + 60 * SECOND;
    stage.feed(&[Change::Synced]);
    stage
}

pub(super) fn results(entries: &[Entry]) -> Vec<Arc<RolloutResult>> {
    let of = |entry: &Entry| match entry {
        Entry::Result(result) => Some(Arc::clone(result)),
        _ => None,
    };
    entries.iter().filter_map(of).collect()
}

impl Stage {
    pub(super) fn course(&self) -> Course {
        self.model.course(&id(Kind::Deployment, "web")).unwrap().clone()
    }

    /// Lets time pass, and gives what is said of it.
    pub(super) fn pass(&mut self, seconds: i64) -> Vec<Entry> {
        self.world.now += seconds * SECOND;
        let now = self.world.now;
        self.model.tick(now).into_iter().map(|(_, entry)| entry).collect()
    }

    /// Version 2 is asked for, and has one new pod like this.
    fn roll(&mut self, new: &Value) -> Vec<Entry> {
        let mut said = self.apply(&deployment(V2, [2, 1, 2, 2, 2, 2]));
        said.extend(self.apply(&replica_set("b", V2, 61, [2, 1, 0])));
        said.extend(self.apply(&deployment(V2, [2, 2, 2, 3, 1, 2])));
        said.extend(self.apply(new));
        said
    }
}

#[test]
fn nothing_is_concluded_before_everything_is_known_and_old_successes_are_no_news() {
    let mut stage = settled();
    assert!(stage.course().result.is_none());
    stage.world.now = BEGIN + 60 * SECOND;
    assert!(stage.feed(&[Change::Synced]).is_empty());
    assert_eq!(stage.course().result.unwrap().outcome, Outcome::Succeeded);
}

#[test]
fn a_certain_cause_is_decided_at_once_and_once() {
    let mut stage = begun();
    let bad = with_state(pod("b", "1", 62), false, 0, waits("ErrImagePull", "x: not found"));
    stage.roll(&bad);
    let decisions = stage.model.decisions();
    assert_eq!(decisions.len(), 1);
    let draft = &decisions[0].draft;
    assert_eq!((draft.outcome, draft.reason), (Outcome::Failed, Some(Reason::ImageNotFound)));
    assert_eq!(&*draft.pods[0].pod, "web-b-1");
    assert_eq!(decisions[0].sources, [None], "it never ran");
    stage.apply(&bad);
    assert!(stage.model.decisions().is_empty());
    let result = Arc::new(draft.clone());
    assert!(stage.model.seal(&decisions[0], &result));
    assert!(!stage.model.seal(&decisions[0], &result), "said once");
}

#[test]
fn who_recovers_after_a_failure_is_said_to_have_and_the_verdict_is_good() {
    let mut stage = begun();
    let bad = with_state(pod("b", "1", 62), false, 0, waits("ErrImagePull", "x: not found"));
    stage.roll(&bad);
    let decision = stage.model.decisions().remove(0);
    assert!(stage.model.seal(&decision, &Arc::new(decision.draft.clone())));
    stage.apply(&running(pod("b", "1", 62), true));
    stage.apply(&running(pod("b", "2", 62), true));
    stage.apply(&replica_set("a", V1, 1, [1, 0, 0]));
    stage.apply(&replica_set("b", V2, 61, [2, 2, 2]));
    let mut said = stage.apply(&deployment(V2, [2, 2, 2, 2, 2, 2]));
    said.extend(stage.pass(30));
    assert!(results(&said).is_empty(), "a result is said once");
    let course = stage.course();
    assert_eq!(course.result.unwrap().outcome, Outcome::Succeeded);
    assert_eq!(course.before.unwrap().outcome, Outcome::Failed);
    assert!(stage.web().recovered);
}

#[test]
fn a_newer_change_supersedes_and_who_waits_for_the_older_is_told() {
    let mut stage = begun();
    stage.roll(&running(pod("b", "1", 62), false));
    let older = stage.course().number;
    let said = stage.apply(&deployment("shop/web:3", [3, 2, 2, 3, 1, 2]));
    assert_eq!(results(&said)[0].outcome, Outcome::Superseded);
    assert!(matches!(said[0], Entry::Result(_)), "before anything is said of the newer one");
    let web = id(Kind::Deployment, "web");
    assert_ne!(stage.course().number, older);
    let known = stage.model.course_of(&web, older).unwrap();
    assert_eq!(known.result.as_ref().unwrap().outcome, Outcome::Superseded);
    // Back to what it was: that is a rollout again.
    stage.apply(&deployment(V2, [4, 2, 2, 3, 1, 2]));
    assert!(stage.course().result.is_none() && stage.course().number > older);
}

#[test]
fn a_workload_that_is_deleted_in_the_middle_has_a_result_and_is_remembered() {
    let mut stage = begun();
    stage.roll(&running(pod("b", "1", 62), false));
    let said = stage.delete(&deployment(V2, [2, 2, 2, 3, 1, 2]));
    assert_eq!(results(&said)[0].outcome, Outcome::Deleted);
    for (hash, suffix) in [("a", "1"), ("a", "2"), ("b", "1")] {
        stage.delete(&pod(hash, suffix, 2));
    }
    assert_eq!(stage.course().result.unwrap().outcome, Outcome::Deleted);
}

#[test]
fn an_annotation_names_the_rollout_at_which_it_was_set_and_no_later_one() {
    let mut stage = begun();
    let web = id(Kind::Deployment, "web");
    assert_eq!(stage.model.find(&web, &deploy("b-17")), Found::Waiting);
    stage.apply(&with_deploy(deployment(V2, [2, 1, 2, 2, 2, 2]), "b-17"));
    let number = stage.course().number;
    // The next one forgets to set it.
    stage.apply(&with_deploy(deployment("shop/web:3", [3, 1, 2, 2, 2, 2]), "b-17"));
    assert_ne!(stage.course().number, number);
    assert_eq!(stage.model.find(&web, &deploy("b-17")), Found::Course(number));
}

/// Who annotates first and changes the image then was told that it had succeeded, of the one before.
#[test]
fn an_annotation_that_came_before_its_change_names_no_rollout() {
    let mut stage = begun();
    let web = id(Kind::Deployment, "web");
    // An apply that changes nothing else answers at once.
    stage.apply(&with_deploy(deployment(V1, [1, 1, 2, 2, 2, 2]), "b-17"));
    let number = stage.course().number;
    assert_eq!(stage.model.find(&web, &deploy("b-17")), Found::Course(number));
    assert!(stage.course().result.is_some());
    stage.apply(&with_deploy(deployment(V2, [2, 1, 2, 2, 2, 2]), "b-17"));
    assert_ne!(stage.course().number, number);
    assert_eq!(stage.model.find(&web, &deploy("b-17")), Found::Passed);
    // What the next one brings itself names it, and one that changed nothing is not forgotten for it.
    stage.apply(&with_deploy(deployment("shop/web:3", [3, 1, 2, 2, 2, 2]), "b-18"));
    let number = stage.course().number;
    assert_eq!(stage.model.find(&web, &deploy("b-18")), Found::Course(number));
}

/// While it is being looked into how the one before ended, it is not cut short.
#[test]
fn nor_does_one_that_came_while_its_end_was_looked_into() {
    let mut stage = asking();
    let web = id(Kind::Deployment, "web");
    stage.roll(&one_bad());
    let decision = stage.model.decisions().remove(0);
    stage.apply(&with_deploy(deployment(V2, [2, 2, 2, 3, 1, 2]), "b-17"));
    stage.apply(&with_deploy(deployment("shop/web:3", [3, 2, 2, 2, 2, 2]), "b-17"));
    stage.model.seal(&decision, &Arc::new(decision.draft.clone()));
    assert_eq!(stage.model.find(&web, &deploy("b-17")), Found::Passed);
}

#[test]
fn two_that_came_before_a_change_name_no_rollout() {
    let mut stage = begun();
    let web = id(Kind::Deployment, "web");
    for deploy in ["b-17", "b-18"] {
        stage.apply(&with_deploy(deployment(V1, [1, 1, 2, 2, 2, 2]), deploy));
    }
    for (at, image) in [V2, "shop/web:3"].into_iter().enumerate() {
        stage.apply(&with_deploy(deployment(image, [2 + at as i64, 1, 2, 2, 2, 2]), "b-18"));
        for passed in ["b-17", "b-18"] {
            assert_eq!(stage.model.find(&web, &deploy(passed)), Found::Passed, "{image}");
        }
    }
}

#[test]
fn an_apply_that_changed_nothing_keeps_its_answer_behind_another_deploy() {
    let mut stage = begun();
    let web = id(Kind::Deployment, "web");
    stage.apply(&with_deploy(deployment(V1, [1, 1, 2, 2, 2, 2]), "b-17"));
    let number = stage.course().number;
    stage.apply(&with_deploy(deployment(V2, [2, 1, 2, 2, 2, 2]), "b-18"));
    assert_eq!(stage.model.find(&web, &deploy("b-17")), Found::Course(number));
}

/// The one that runs is said to be superseded, whichever of the two was meant.
#[test]
fn an_annotation_that_came_while_a_rollout_ran_names_that_one() {
    let mut stage = begun();
    let web = id(Kind::Deployment, "web");
    stage.apply(&deployment(V2, [2, 1, 2, 2, 2, 2]));
    stage.apply(&with_deploy(deployment(V2, [2, 1, 2, 2, 2, 2]), "b-17"));
    let number = stage.course().number;
    stage.apply(&with_deploy(deployment("shop/web:3", [3, 1, 2, 2, 2, 2]), "b-17"));
    assert_eq!(stage.model.find(&web, &deploy("b-17")), Found::Course(number));
    let superseded = stage.model.rollouts(&web).iter().find(|it| it.number == number).cloned();
    assert_eq!(superseded.unwrap().result.unwrap().outcome, Outcome::Superseded);
}

/// `truths.md` 14: a generation that was not seen is never called superseded.
#[test]
fn a_generation_is_exact_where_it_was_seen() {
    let mut stage = settled();
    let web = id(Kind::Deployment, "web");
    stage.apply(&deployment(V1, [7, 7, 2, 2, 2, 2]));
    stage.world.now = BEGIN + 60 * SECOND;
    stage.feed(&[Change::Synced]);
    let find = |stage: &Stage, generation| {
        stage.model.find(&web, &Pin { generation: Some(generation), ..Pin::default() })
    };
    let first = stage.course().number;
    assert_eq!(find(&stage, 7), Found::Course(first));
    assert_eq!(find(&stage, 8), Found::Waiting);
    stage.apply(&deployment(V2, [9, 7, 2, 2, 2, 2]));
    let second = stage.course().number;
    assert_eq!(find(&stage, 7), Found::Course(first));
    assert_eq!(find(&stage, 8), Found::Course(second), "it may have been this one");
    let pin = Pin { generation: Some(8), ..Pin::default() };
    assert!(stage.model.is_inferred(&web, &pin, second));
    // What came before one that was seen and is over is none of those after it.
    assert_eq!(find(&stage, 3), Found::Passed);
}

/// A cause's grace begins when it can have begun, not when the pod got its node.
#[test]
fn a_grace_begins_with_what_went_on_in_the_pod_last() {
    let mut waiting = with_state(new_pod(), false, 0, waits("ErrImagePull", "dial tcp: timeout"));
    let init = json!({"name": "prepare", "restartCount": 0, "ready": true, "image": "x",
        "state": {"terminated": {"exitCode": 0, "startedAt": stamp(22), "finishedAt": stamp(150)}}});
    waiting["status"]["initContainerStatuses"] = json!([init]);
    waiting["spec"]["initContainers"] = json!([{"name": "prepare", "image": "x"}]);
    let case = case(&waiting);
    assert_eq!(case.status.reasons[0].since, Some(BEGIN + 150 * SECOND));
    assert!(matches!(case.at(200), Verdict::Open(_)));
}

/// Our own clock: what was reached once and is lost and reached again is no progress.
#[test]
fn a_pod_that_flaps_does_not_renew_the_deadline_and_a_pause_stops_it() {
    let mut stage = begun();
    stage.roll(&running(pod("b", "1", 62), false));
    for round in 0..30 {
        stage.pass(25);
        let available = 1 + round % 2;
        stage.apply(&replica_set("b", V2, 61, [2, 1, available - 1]));
        stage.apply(&deployment(V2, [2, 2, 2, 3, 1, available + 1]));
    }
    let decisions = stage.model.decisions();
    assert_eq!(decisions.len(), 1, "the deadline of ten minutes has passed");
    assert_eq!(decisions[0].draft.outcome, Outcome::TimedOut);

    let mut stage = begun();
    stage.roll(&running(pod("b", "1", 62), false));
    let mut paused = deployment(V2, [3, 3, 2, 3, 1, 2]);
    paused["spec"]["paused"] = json!(true);
    stage.apply(&paused);
    stage.pass(3_000);
    stage.apply(&deployment(V2, [4, 4, 2, 3, 1, 2]));
    stage.pass(500);
    assert!(stage.model.decisions().is_empty(), "it goes on since 500 s");
    stage.pass(101);
    assert_eq!(stage.model.decisions().len(), 1);
}

/// The controller takes back late what it said of the rollout before.
#[test]
fn a_deadline_of_the_rollout_before_says_nothing_of_the_next() {
    let mut stage = begun();
    stage.roll(&running(pod("b", "1", 62), false));
    let mut late = progressing("False", "ProgressDeadlineExceeded");
    late["message"] = json!("ReplicaSet \"web-b\" has timed out progressing.");
    let mut web = deployment("shop/web:3", [3, 3, 2, 3, 0, 2]);
    web["status"]["conditions"] = json!([late]);
    stage.apply(&web);
    assert_ne!(stage.web().phase, RolloutPhase::Stalled);
    stage.apply(&replica_set("c", "shop/web:3", 70, [3, 0, 0]));
    assert_ne!(stage.web().phase, RolloutPhase::Stalled);
}

#[test]
fn who_scales_a_failed_rollout_to_zero_has_not_made_it_good() {
    let mut stage = begun();
    let bad = with_state(pod("b", "1", 62), false, 0, waits("ErrImagePull", "x: not found"));
    stage.roll(&bad);
    let decision = stage.model.decisions().remove(0);
    assert!(stage.model.seal(&decision, &Arc::new(decision.draft.clone())));
    stage.delete(&bad);
    stage.apply(&deployment(V2, [3, 3, 0, 0, 0, 0]));
    assert_eq!(stage.course().result.unwrap().outcome, Outcome::Failed);
}

/// The annotation's value on an object that was deleted says nothing of the next of its name.
#[test]
fn an_object_that_is_made_again_has_its_annotation_anew() {
    let mut stage = begun();
    let web = id(Kind::Deployment, "web");
    let pin = Pin { deploy: Some("b-17".to_owned()), ..Pin::default() };
    let mut value = deployment(V1, [1, 1, 2, 2, 2, 2]);
    value["metadata"]["annotations"] = json!({"rollcast.dev/deploy": "b-17"});
    stage.apply(&value);
    let first = stage.course().number;
    assert_eq!(stage.model.find(&web, &pin), Found::Course(first));
    stage.delete(&value);
    value["metadata"]["uid"] = json!("uid-web-again");
    stage.apply(&value);
    let second = stage.course().number;
    assert_ne!(first, second);
    assert_eq!(stage.model.find(&web, &pin), Found::Course(second));
}

/// With somebody to ask: nothing is said before it was looked into.
fn asking() -> Stage {
    let mut stage = begun();
    stage.model = std::mem::take(&mut stage.model).that_asks();
    stage
}

fn one_bad() -> Value {
    with_state(pod("b", "1", 62), false, 0, waits("ErrImagePull", "x: not found"))
}

#[test]
fn what_is_not_confirmed_is_decided_again_and_what_came_meanwhile_counts() {
    let mut stage = asking();
    stage.roll(&one_bad());
    let decision = stage.model.decisions().remove(0);
    assert_eq!(decision.proof.len(), 1);
    assert!(stage.model.doubt(&decision, stage.world.now, SECOND).is_none());
    assert!(stage.course().result.is_none());
    stage.pass(2);
    let decision = stage.model.decisions().remove(0);
    assert_eq!(decision.draft.outcome, Outcome::Failed);
    // While that is looked into, it gets well: nobody looks at it until the failure is said.
    stage.apply(&running(pod("b", "1", 62), true));
    stage.apply(&running(pod("b", "2", 62), true));
    stage.apply(&replica_set("a", V1, 1, [1, 0, 0]));
    stage.apply(&replica_set("b", V2, 61, [2, 2, 2]));
    stage.apply(&deployment(V2, [2, 2, 2, 2, 2, 2]));
    assert!(stage.model.seal(&decision, &Arc::new(decision.draft.clone())));
    stage.pass(30);
    let decision = stage.model.decisions().remove(0);
    assert!(decision.recovers);
    let record = stage.model.recover(&decision, &Arc::new(decision.draft.clone()));
    assert!(matches!(record, Some(Entry::Rollout(status)) if status.recovered));
    assert!(stage.course().succeeded());
}

#[test]
fn a_decision_about_what_is_deleted_or_replaced_meanwhile_ends_as_that() {
    let web = id(Kind::Deployment, "web");
    let mut stage = asking();
    stage.roll(&one_bad());
    let decision = stage.model.decisions().remove(0);
    stage.delete(&deployment(V2, [2, 2, 2, 3, 1, 2]));
    let said = stage.model.doubt(&decision, stage.world.now, SECOND).expect("it is gone");
    assert_eq!(said.outcome, Outcome::Deleted);
    assert!(!stage.model.seal(&decision, &said), "said once");

    let mut stage = asking();
    stage.roll(&one_bad());
    let decision = stage.model.decisions().remove(0);
    stage.apply(&deployment("shop/web:3", [3, 3, 2, 3, 0, 2]));
    let said = stage.model.doubt(&decision, stage.world.now, SECOND).expect("another is asked for");
    assert_eq!(said.outcome, Outcome::Superseded);
    assert!(stage.model.course(&web).is_some_and(|course| course.result.is_none()));
}
