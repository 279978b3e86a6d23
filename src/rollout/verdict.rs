//! Whether a rollout is over, and how.
//!
//! What holds here: it is decided from what the API says and from the time, and nothing is remembered,
//! so a fresh replica decides the same (`truths.md` 17). A cause counts only when its grace is over, and
//! pods count as good only when they have held (`truths.md` 11, 13).

use crate::ids::{Blocker, ContainerKind, Outcome, Reason, RolloutPhase, RolloutStatus};
use crate::time::{MILLISECOND, SECOND};
use crate::watch::{ApiPhase, ContainerEntry, ContainerRun, Patience, PodEntry};

/// How long each cause may last before the rollout is called failed, in nanoseconds (design section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Graces {
    /// A missing ConfigMap, Secret or key.
    pub config: i64,
    /// A quota that old pods do not hold.
    pub quota: i64,
    /// Pull errors that may pass.
    pub pull: i64,
    /// No node takes the pod.
    pub unschedulable: i64,
    /// The runtime, a volume or a sandbox.
    pub start: i64,
    /// Readiness, where the workload has no deadline of its own.
    pub readiness: i64,
    /// A container without readiness probe must run for so long to count.
    pub settle: i64,
    /// Restarts of one container that are a crash loop.
    pub restarts: u32,
}

/// What is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on. If nothing happens before, look again then.
    Open(Option<i64>),
    /// It is over; the reason, if something went wrong.
    Over(Outcome, Option<Reason>),
}

/// What is decided about.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The rollout's state.
    pub status: &'a RolloutStatus,
    /// Pods of the new revision that exist and are to stay.
    pub pods: &'a [&'a PodEntry],
    /// What its kind asks for.
    pub demand: Demand,
    /// When it began, or was seen first.
    pub began: i64,
    /// When it came on last, by our own clock.
    pub progressed: i64,
    /// Our clock.
    pub now: i64,
}

/// What a kind asks for before a rollout is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Pods run on: they must have held, and be there in time. `probed`: each container says itself
    /// whether it is ready, so what was complete once was good.
    Stay {
        /// Each container has a readiness probe.
        probed: bool,
    },
    /// A pod of its own, which runs on or ends.
    Alone,
    /// They end: a controller counts their failures and knows their deadline.
    End,
}

/// Whether success has held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    Yes,
    /// Then, if nothing happens before.
    At(i64),
    No,
}

/// Decides about a rollout.
pub fn judge(case: &Case<'_>, graces: &Graces) -> Verdict {
    let Case { status, now, .. } = *case;
    let (mut look, mut settling) = (None, false);
    if case.demand == Demand::Alone && case.pods.iter().any(|pod| pod.phase == ApiPhase::Failed) {
        // Nobody starts it again.
        let reason = status.reasons.first().map_or(Reason::PodFailed, |first| first.code);
        return Verdict::Over(Outcome::Failed, Some(reason));
    }
    match status.phase {
        RolloutPhase::Deleted => return Verdict::Over(Outcome::Deleted, None),
        RolloutPhase::Waiting | RolloutPhase::Paused => return Verdict::Open(None),
        RolloutPhase::ScaledToZero => return Verdict::Over(Outcome::Succeeded, None),
        RolloutPhase::Complete => match case.held(graces) {
            Held::Yes => return Verdict::Over(Outcome::Succeeded, None),
            Held::At(at) => (look, settling) = (Some(at), true),
            Held::No => {}
        },
        RolloutPhase::Stalled if status.reasons.iter().all(|it| !ends(it.code)) => {
            return Verdict::Over(Outcome::TimedOut, Some(blamed(status)));
        }
        RolloutPhase::Stalled
        | RolloutPhase::Progressing
        | RolloutPhase::WaitingForDelete
        | RolloutPhase::Unknown => {}
    }
    let loops = || case.pods.iter().any(|pod| crashes_again(pod, case, graces));
    let loops = case.demand != Demand::End && loops();
    for blocker in &status.reasons {
        match due(blocker, case, loops, graces) {
            Some(at) if at <= now => return Verdict::Over(Outcome::Failed, Some(blocker.code)),
            Some(at) => look = earlier(look, at),
            None => {}
        }
    }
    // What is said of restarts is over when they have held.
    let restarted = case.pods.iter().filter(|pod| pod.restarts() > 0);
    let held = restarted.filter_map(|pod| settles(pod, graces.settle)).filter(|at| *at > now).min();
    look = held.map_or(look, |at| earlier(look, at));
    // What is there and only has to hold is not late.
    if case.demand != Demand::End && !settling {
        let own = status.deadline_ms.map(|ms| i64::try_from(ms).unwrap_or(i64::MAX));
        let deadline = own.map_or(graces.readiness, |ms| ms.saturating_mul(MILLISECOND));
        let at = case.progressed.saturating_add(deadline);
        if at <= now {
            // Nobody can tell how it goes, and nobody waits for ever to be told.
            if status.phase == RolloutPhase::Unknown {
                return Verdict::Over(Outcome::Unknown, None);
            }
            return Verdict::Over(Outcome::TimedOut, Some(blamed(status)));
        }
        look = earlier(look, at);
    }
    Verdict::Open(look)
}

fn earlier(look: Option<i64>, at: i64) -> Option<i64> {
    Some(look.map_or(at, |look| look.min(at)))
}

/// Whether a rollout that stands still does so for this, and not for its deadline.
fn ends(code: Reason) -> bool {
    matches!(code, Reason::JobFailed | Reason::Aborted)
}

/// What a deadline that passed is blamed on.
fn blamed(status: &RolloutStatus) -> Reason {
    status.reasons.first().map_or(Reason::ProgressDeadline, |first| first.code)
}

/// When a cause counts; `None` if never by itself.
fn due(blocker: &Blocker, case: &Case<'_>, loops: bool, graces: &Graces) -> Option<i64> {
    let since = blocker.since?;
    let grace = match blocker.code {
        code if code.is_certain() => 0,
        Reason::CrashLoop | Reason::OomKilled | Reason::InitFailed | Reason::LivenessFailed => {
            return loops.then_some(since);
        }
        // Each attempt that the runtime cannot start is a cause of its own, and none lasts for its grace.
        Reason::CannotStart if loops => return Some(since),
        Reason::ConfigMissing => graces.config,
        // While old pods hold it, it comes back as they go.
        Reason::Quota if case.status.old > 0 => return None,
        Reason::Quota => graces.quota,
        Reason::ImageDenied | Reason::ImagePull => graces.pull,
        Reason::Unschedulable => graces.unschedulable,
        Reason::CannotStart
        | Reason::CannotCreate
        | Reason::VolumeFailed
        | Reason::SandboxFailed
        | Reason::InvalidSpec
        | Reason::StuckOnOldPod => graces.start,
        // What passes by itself, and what is no cause but a deadline.
        _ => return None,
    };
    Some(since.saturating_add(grace))
}

/// Whether a container of a pod of this rollout was restarted too often. A rollback may take pods over
/// that were restarted before. One that ends well is none that crashes, unless the kubelet holds it back
/// for ending again and again; nor is one that has held since, or it would fail another pod's first crash.
fn crashes_again(pod: &PodEntry, case: &Case<'_>, graces: &Graces) -> bool {
    let most = graces.restarts;
    let holds = |since: i64| since.saturating_add(graces.settle) <= case.now;
    // The API cuts its times to the second.
    pod.created.saturating_add(SECOND) > case.began
        && pod.containers.iter().any(|container| {
            let (ended, waits, most) = match &container.state {
                ContainerRun::Terminated(ended) => (Some(&**ended), None, most),
                ContainerRun::Waiting(why) => (container.last.as_deref(), why.as_ref(), most),
                ContainerRun::Running { started: Some(started) }
                    if pod.ready.holds() && holds(*started) =>
                {
                    return false;
                }
                // One that runs has been restarted since it crashed, and may hold this time.
                ContainerRun::Running { .. } => {
                    (container.last.as_deref(), None, most.saturating_add(1))
                }
            };
            let held = waits.and_then(|why| why.reason.as_deref()) == Some("CrashLoopBackOff");
            let crashed = ended.is_some_and(|ended| ended.exit_code != 0);
            container.restarts >= most && (crashed || held)
        })
}

// === impl Case ===

impl Case<'_> {
    /// Whether as many pods as were asked for are good and have been for long enough. The pods come by
    /// another watch than the numbers: as long as they are not all there, it is not known.
    fn held(&self, graces: &Graces) -> Held {
        let restarted = || self.pods.iter().any(|pod| pod.restarts() > 0);
        match self.demand {
            Demand::End => return Held::Yes,
            // What is remembered of it may be that it was good with no pod at all.
            Demand::Stay { probed: true }
                if !restarted() && (self.status.available > 0 || self.status.desired == 0) =>
            {
                return Held::Yes;
            }
            Demand::Stay { .. } | Demand::Alone => {}
        }
        let mut times: Vec<i64> =
            self.pods.iter().filter_map(|pod| settles(pod, graces.settle)).collect();
        times.sort_unstable();
        let needed = usize::try_from(self.status.updated).unwrap_or(usize::MAX);
        let Some(last) = needed.checked_sub(1) else { return Held::Yes };
        match times.get(last) {
            Some(at) if *at <= self.now => Held::Yes,
            Some(at) => Held::At(*at),
            None => Held::No,
        }
    }
}

/// From when on a pod counts as good, if nothing happens to it; `None` as it is now. A container
/// without readiness probe must have run for `settle` (`truths.md` 11); a restart begins that again.
fn settles(pod: &PodEntry, settle: i64) -> Option<i64> {
    if pod.phase == ApiPhase::Succeeded {
        return Some(i64::MIN);
    }
    if !pod.ready.holds() {
        return None;
    }
    let stays = |kind| matches!(kind, ContainerKind::App | ContainerKind::Sidecar);
    // One that was restarted has shown that ready is not yet good.
    let doubtful = |it: &&ContainerEntry| stays(it.kind) && (!it.has_readiness || it.restarts > 0);
    let silent = pod.containers.iter().filter(doubtful);
    silent
        .map(|container| match &container.state {
            ContainerRun::Running { started } => {
                started.or(pod.ready.since).map(|started| started.saturating_add(settle))
            }
            ContainerRun::Waiting(_) | ContainerRun::Terminated(_) => None,
        })
        .try_fold(i64::MIN, |last, at| at.map(|at| last.max(at)))
}

// === impl Graces ===

impl Default for Graces {
    fn default() -> Self {
        Graces {
            config: 30 * SECOND,
            quota: 120 * SECOND,
            pull: 60 * SECOND,
            unschedulable: 120 * SECOND,
            start: 60 * SECOND,
            readiness: 600 * SECOND,
            settle: 10 * SECOND,
            restarts: 3,
        }
    }
}

impl Graces {
    /// The same where a workload says nothing else itself.
    pub(super) fn with(&self, own: &Patience) -> Graces {
        Graces {
            config: own.config.unwrap_or(self.config),
            quota: own.quota.unwrap_or(self.quota),
            pull: own.pull.unwrap_or(self.pull),
            unschedulable: own.unschedulable.unwrap_or(self.unschedulable),
            start: own.start.unwrap_or(self.start),
            readiness: own.deadline.unwrap_or(self.readiness),
            settle: own.settle.unwrap_or(self.settle),
            restarts: own.restarts.unwrap_or(self.restarts),
        }
    }
}
