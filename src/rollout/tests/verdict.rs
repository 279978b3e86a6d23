//! When a rollout is over, and how.

use super::pods::{crashed, waits};
use super::*;
use crate::rollout::{Graces, Outcome, Verdict, judge};
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
        judge(&self.status, std::iter::once(&*self.pod), &Graces::default(), now)
    }
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

#[test]
fn a_registry_that_limits_requests_fails_nothing() {
    let limited = waits("ErrImagePull", "toomanyrequests: rate limit");
    let case = case(&with_state(new_pod(), false, 0, limited));
    assert_eq!(case.at(10_000), Verdict::Open(None));
}

#[test]
fn a_crash_loop_fails_with_the_third_restart() {
    let crash = |restarts| {
        let mut pod = crashed(new_pod(), restarts, "Error");
        let ended = &mut pod["status"]["containerStatuses"][0]["lastState"]["terminated"];
        (ended["startedAt"], ended["finishedAt"]) = (json!(stamp(30)), json!(stamp(32)));
        case(&pod)
    };
    assert_eq!(crash(2).at(40), Verdict::Open(None));
    assert_eq!(crash(3).at(40), fails(Reason::CrashLoop));
}

#[test]
fn success_must_hold() {
    let mut stage = settled();
    let status = (*stage.web()).clone();
    let changes = stage.world.apply(&running(pod("a", "3", 2), true));
    let pod = only_pod(&changes);
    let started = match &pod.containers[0].state {
        crate::watch::ContainerRun::Running { started } => started.unwrap(),
        other => panic!("{other:?}"),
    };
    let at = |now| judge(&status, std::iter::once(&*pod), &Graces::default(), now);
    assert_eq!(at(started + 9 * SECOND), Verdict::Open(Some(started + 10 * SECOND)));
    assert_eq!(at(started + 10 * SECOND), Verdict::Over(Outcome::Succeeded, None));
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
