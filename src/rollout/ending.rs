//! How rollouts end: when to look, what is decided, and what shows it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::argo;
use super::course::{About, Asked};
use super::message;
use super::model::{Model, Records, Seat};
use super::proof::{Decision, Proof};
use super::revision::{is_older_deploy, side};
use super::trouble::Trouble;
use super::verdict::{Case, Demand, Verdict, judge};
use super::{Course, Found, Pin};
use crate::ids::{
    Blocked, ContainerKind, Entry, Kind, Outcome, Reason, RolloutPhase, RolloutResult,
    RolloutStatus, Side, WorkloadId,
};
use crate::time::{MILLISECOND, SECOND};
use crate::watch::{ContainerEntry, ContainerRun, Detail, PodEntry};

/// A rollout that was over, or may have been, for longer than this before it was first seen: whether it
/// held then, nobody can tell from how its pods are now (`truths.md` 17).
const LONG_OVER: i64 = 600 * SECOND;

/// When workloads are to be looked at although nothing changed.
#[derive(Debug, Default)]
pub(super) struct Dues(BTreeSet<(i64, Arc<WorkloadId>)>);

// === impl Dues ===

impl Dues {
    pub(super) fn set(
        &mut self,
        workload: &Arc<WorkloadId>,
        before: &mut Option<i64>,
        at: Option<i64>,
    ) {
        if *before == at {
            return;
        }
        if let Some(before) = before.take() {
            self.0.remove(&(before, Arc::clone(workload)));
        }
        if let Some(at) = at {
            self.0.insert((at, Arc::clone(workload)));
        }
        *before = at;
    }

    fn next(&self) -> Option<i64> {
        self.0.first().map(|(at, _)| *at)
    }
}

// === impl Model ===

impl Model {
    /// When [`Model::tick`] is to be called, by our clock; `None` if nothing waits.
    pub fn due(&self) -> Option<i64> {
        self.dues.next()
    }

    /// Looks at what is due and gives the records that follow.
    pub fn tick(&mut self, now: i64) -> Records {
        let mut out = Vec::new();
        while let Some((at, workload)) = self.dues.0.first().cloned() {
            if at > now {
                break;
            }
            match self.seats.get_mut(&workload) {
                Some(seat) if seat.due == Some(at) => {
                    self.dues.set(&workload, &mut seat.due, None);
                }
                _ => drop(self.dues.0.pop_first()),
            }
            self.update(&workload, now, &mut out);
        }
        out
    }

    /// What was decided since this was asked last.
    pub fn decisions(&mut self) -> Vec<Decision> {
        std::mem::take(&mut self.decisions)
    }

    /// Everything that could be listed is known: from now on results are said. What had ended well
    /// before is no news.
    pub(super) fn begin(&mut self, now: i64, out: &mut Records) {
        self.begun = true;
        let workloads: Vec<_> = self.seats.keys().cloned().collect();
        for workload in workloads {
            let mut news = Vec::new();
            self.conclude(&workload, now, &mut news, true);
            out.append(&mut news);
        }
    }

    /// The newest rollout of a workload, also of one that is gone since a short time.
    pub fn course(&self, workload: &WorkloadId) -> Option<&Course> {
        self.courses_of(workload)?.current()
    }

    /// One of its rollouts.
    pub fn course_of(&self, workload: &WorkloadId, number: u64) -> Option<&Course> {
        self.courses_of(workload)?.get(number)
    }

    /// Its last rollouts, newest first.
    pub fn rollouts(&self, workload: &WorkloadId) -> Vec<Course> {
        let courses = self.courses_of(workload);
        courses.map_or_else(Vec::new, |courses| courses.all().rev().cloned().collect())
    }

    /// What a pin leads to now.
    pub fn find(&self, workload: &WorkloadId, pin: &Pin) -> Found {
        self.courses_of(workload).map_or(Found::Waiting, |courses| courses.find(pin))
    }

    /// Whether it was by inference that a pin led to a rollout.
    pub fn is_inferred(&self, workload: &WorkloadId, pin: &Pin, number: u64) -> bool {
        self.courses_of(workload).is_some_and(|courses| courses.is_inferred(pin, number))
    }

    /// Whether a pin names a deploy before what is known of a workload.
    pub fn is_passed(&self, workload: &WorkloadId, pin: &Pin) -> bool {
        self.courses_of(workload).is_some_and(|courses| courses.is_passed(pin))
    }

    /// Whether an object is known of a workload.
    pub fn knows(&self, workload: &WorkloadId) -> bool {
        let seat = self.seats.get(workload);
        seat.is_some_and(|seat| seat.entry.is_some() || seat.alone().is_some())
    }

    /// Whether what is known of a workload is this object, in this generation or a later one, and of a
    /// CronJob this run of it.
    pub fn has(
        &self,
        workload: &WorkloadId,
        uid: &str,
        generation: i64,
        run: Option<&str>,
    ) -> bool {
        let Some(seat) = self.seats.get(workload) else { return false };
        let Some(entry) = &seat.entry else {
            return seat.alone().is_some_and(|pod| *pod.uid == *uid);
        };
        *entry.uid == *uid
            && entry.generation >= generation
            && run.is_none_or(|run| entry.jobs().any(|job| *job.uid == *run))
    }

    /// Whether the newest rollout is known to have no result yet. Before everything is known, none is.
    pub fn is_open(&self, workload: &WorkloadId) -> bool {
        self.begun && self.course(workload).is_some_and(|course| course.result.is_none())
    }

    /// Takes in that another rollout was asked for; says so of the one before, if that was not over.
    pub(super) fn superseded(&mut self, workload: &Arc<WorkloadId>, now: i64, out: &mut Records) {
        let Some(seat) = self.seats.get_mut(workload) else { return };
        let Some(about) = seat.about() else { return };
        if seat.courses.is_new(&about) {
            seat.close(workload, Outcome::Superseded, now, out);
            seat.warnings = super::signs::Warnings::default();
            seat.refusal = None;
        }
        let owner =
            seat.entry.as_ref().map_or_else(|| Arc::clone(&about.uid), |it| Arc::clone(&it.uid));
        let asked = Asked {
            about,
            owner: &owner,
            generation: seat.entry.as_ref().map_or(1, |entry| entry.generation),
            deploy: seat.entry.as_ref().and_then(|entry| entry.deploy.as_ref()),
            older_deploy: seat.entry.as_deref().is_some_and(is_older_deploy),
            now,
        };
        let next = &mut self.numbers;
        seat.courses.take(&asked, || {
            *next += 1;
            *next
        });
    }

    /// Decides about a workload's newest rollout, as far as it can be decided now. `first` is the first
    /// look of this process.
    pub(super) fn conclude(
        &mut self,
        workload: &Arc<WorkloadId>,
        now: i64,
        out: &mut Records,
        first: bool,
    ) {
        let (begun, graces) = (self.begun, self.graces);
        let asks = self.asks && !first;
        let Some(seat) = self.seats.get_mut(workload).filter(|_| begun) else { return };
        let Some(status) = seat.status.clone() else { return };
        let (demand, forgets) = (seat.demand(), seat.forgets());
        let (step, waits) = seat.plan();
        let patience = seat.entry.as_ref().map(|entry| entry.patience).unwrap_or_default();
        let graces = graces.with(&patience);
        if seat.is_elsewhere() {
            // Nobody knows any more how that one would have ended.
            seat.close(workload, Outcome::Deleted, now, out);
            return self.dues.set(workload, &mut seat.due, None);
        }
        let new = seat.new_pods();
        let new: Vec<&PodEntry> = new.iter().map(|pod| &**pod).collect();
        let seen = seat.seen(&status, &new).unwrap_or(now);
        let Seat { entry, courses, warnings, due, .. } = seat;
        let Some(course) = courses.current_mut() else { return };
        course.status = Some(Arc::clone(&status));
        if course.succeeded() || course.is_decided() {
            return self.dues.set(workload, due, None);
        }
        let progressed = match status.phase {
            RolloutPhase::Paused | RolloutPhase::Waiting => {
                course.rests();
                now
            }
            RolloutPhase::Progressing if waits => {
                course.rests();
                now
            }
            _ => course.progressed(&status, step, seen, now),
        };
        let began = status.started.unwrap_or_else(|| course.began());
        let case = Case { status: &status, pods: &new, demand, began, progressed, now };
        let over_since = status.finished.or(status.started);
        let long_over = over_since.is_none_or(|since| since.saturating_add(LONG_OVER) < now);
        let complete = status.phase == RolloutPhase::Complete;
        let over_before = first && long_over && (complete || forgets);
        let (mut outcome, reason) = match judge(&case, &graces) {
            // It was good long ago; what becomes of a pod of it now is no matter of its rollout. When that was
            // must be known: counts alone may be of pods that are not there.
            Verdict::Open(_) if over_before && complete && over_since.is_some() => {
                (Outcome::Succeeded, None)
            }
            Verdict::Open(look) => return self.dues.set(workload, due, look),
            Verdict::Over(outcome, reason) => (outcome, reason),
        };
        self.dues.set(workload, due, None);
        let good = outcome == Outcome::Succeeded;
        if over_before && !good {
            outcome = Outcome::Unknown;
        }
        let mut draft = draft(&status, outcome, reason.filter(|_| !good), now);
        let stays = !matches!(demand, Demand::End);
        let proof = match asks && stays {
            true => new.iter().copied().filter(|pod| !pod.phase.is_over()).map(Proof::of).collect(),
            false => Vec::new(),
        };
        let entry = entry.clone().filter(|_| asks && stays);
        let decision = |draft, sources, recovers| Decision {
            entry: entry.filter(|_| Decision::rests_on_workload(&draft, &proof)),
            workload: Arc::clone(workload),
            number: course.number,
            draft,
            sources,
            proof,
            recovers,
        };
        if let Some(said) = course.result.clone() {
            // A result is said once; that it recovered says the state.
            // Who scales a failed rollout to zero has not made it good.
            if good && status.phase == RolloutPhase::Complete && asks {
                self.decisions.push(decision(draft, Vec::new(), true));
                course.decide();
            } else if good && status.phase == RolloutPhase::Complete {
                course.before = Some(said);
                course.result = Some(Arc::new(draft));
                let status =
                    Arc::new(RolloutStatus { recovered: true, time: now, ..(*status).clone() });
                course.status = Some(Arc::clone(&status));
                seat.status = Some(Arc::clone(&status));
                out.push((Arc::clone(workload), Entry::Rollout(status)));
            }
            return;
        }
        if good && asks {
            self.decisions.push(decision(draft, Vec::new(), false));
            course.decide();
            return;
        }
        if good || over_before {
            let result = Arc::new(draft);
            course.result = Some(Arc::clone(&result));
            if first {
                course.keep_silent();
            } else {
                out.push((Arc::clone(workload), Entry::Result(result)));
            }
            return;
        }
        draft.events = warnings.since(status.started);
        let blocked = blocked(&status, reason, &new);
        let sources = blocked.iter().map(|(_, uid)| uid.clone()).collect();
        draft.pods = blocked.into_iter().map(|(blocked, _)| blocked).collect();
        self.decisions.push(decision(draft, sources, false));
        course.decide();
    }
}

// === impl Seat ===

impl Seat {
    /// What is asked for.
    fn about(&self) -> Option<About> {
        let run = |uid: &Arc<str>| About { uid: Arc::clone(uid), digest: None };
        let Some(entry) = &self.entry else { return self.alone().map(|alone| run(&alone.uid)) };
        match &entry.detail {
            // The newest Job of a CronJob is a rollout of its own.
            Detail::CronJob { .. } => entry.jobs().last().map(|job| run(&job.uid)),
            Detail::Job(_) => Some(run(&entry.uid)),
            _ => {
                let digest = Some(entry.template.digest);
                Some(About { uid: Arc::clone(&entry.uid), digest })
            }
        }
    }

    /// The pod that stands for itself.
    pub(super) fn alone(&self) -> Option<&Arc<PodEntry>> {
        self.pods.first().filter(|pod| pod.workload.kind == Kind::Pod)
    }

    /// Whether its state is about another run than its newest rollout: that of a CronJob whose Job is gone.
    fn is_elsewhere(&self) -> bool {
        let cron = self.entry.as_ref().filter(|it| matches!(it.detail, Detail::CronJob { .. }));
        let (Some(entry), Some(course)) = (cron, self.courses.current()) else { return false };
        entry.jobs().last().is_none_or(|job| !course.is_about(&job.uid))
    }

    /// What the API knows of when its newest rollout came on last.
    fn seen(&self, status: &RolloutStatus, new: &[&PodEntry]) -> Option<i64> {
        let noted = match self.entry.as_ref().map(|entry| &entry.detail) {
            Some(Detail::Deployment(detail)) => detail.progressed,
            Some(Detail::Rollout(detail)) => detail.progressed,
            _ => None,
        };
        let pods = new.iter().flat_map(|pod| {
            let ready = pod.ready.since.filter(|_| pod.ready.holds());
            [Some(pod.created), ready]
        });
        pods.chain([noted, status.started]).flatten().max()
    }

    /// Its pods of the new revision that exist and are to stay.
    fn new_pods(&self) -> Vec<Arc<PodEntry>> {
        let stays = |pod: &&Arc<PodEntry>| {
            pod.gone.is_none()
                && pod.deletion.is_none()
                && side(self.entry.as_deref(), pod) == Side::New
        };
        self.pods.iter().filter(stays).cloned().collect()
    }

    /// What its kind asks for.
    fn demand(&self) -> Demand {
        let Some(entry) = &self.entry else { return Demand::Alone };
        match &entry.detail {
            Detail::Job(_) | Detail::CronJob { .. } => Demand::End,
            Detail::Pod => Demand::Alone,
            detail => {
                let containers = match detail {
                    Detail::Rollout(detail) => argo::containers(entry, detail),
                    _ => &entry.template.containers,
                };
                Demand::Stay { probed: containers.iter().all(|it| it.has_readiness && !it.init) }
            }
        }
    }

    /// How far its plan is done, for kinds that have one, and whether it waits by plan, so that no clock
    /// runs.
    fn plan(&self) -> (u32, bool) {
        match self.entry.as_ref().map(|entry| &entry.detail) {
            Some(Detail::Rollout(detail)) => argo::plan(detail),
            _ => (0, false),
        }
    }

    /// Whether the API may not remember that a rollout was complete once.
    fn forgets(&self) -> bool {
        let detail = self.entry.as_ref().map(|entry| &entry.detail);
        matches!(detail, Some(Detail::DaemonSet(_) | Detail::StatefulSet(_)))
    }

    /// Ends the newest rollout from outside, if it was not over.
    pub(super) fn close(
        &mut self,
        workload: &Arc<WorkloadId>,
        outcome: Outcome,
        now: i64,
        out: &mut Records,
    ) {
        let known = self.status.clone();
        let Some(course) = self.courses.current_mut().filter(|course| course.is_open()) else {
            return;
        };
        let Some(status) = course.status.clone().or(known) else { return };
        let result = Arc::new(draft(&status, outcome, None, now));
        course.result = Some(Arc::clone(&result));
        out.push((Arc::clone(workload), Entry::Result(result)));
    }
}

/// A result as far as the state tells it.
pub(super) fn draft(
    status: &RolloutStatus,
    outcome: Outcome,
    reason: Option<Reason>,
    now: i64,
) -> RolloutResult {
    let until = match outcome {
        Outcome::Succeeded => status.finished.unwrap_or(now),
        _ => now,
    };
    let took = status.started.map(|started| until.saturating_sub(started).max(0) / MILLISECOND);
    let message = match outcome {
        // Our own clock may be faster than the controller's, which would say so, too.
        Outcome::TimedOut if status.message.is_empty() => match status.deadline_ms {
            Some(ms) => message::late(ms / 1000),
            None => "no progress within the time that a rollout may take".to_owned(),
        },
        Outcome::Failed | Outcome::TimedOut | Outcome::Unknown => status.message.clone(),
        Outcome::Superseded => "a newer change began before this one was over".to_owned(),
        // Done without the pods of a node that is not counted any more: somebody has to know.
        Outcome::Succeeded if status.reasons.iter().any(|it| it.code == Reason::NodeLost) => {
            status.message.clone()
        }
        Outcome::Succeeded | Outcome::Deleted => String::new(),
    };
    RolloutResult {
        time: now,
        outcome,
        revision: status.revision.clone(),
        generation: status.generation,
        ready: status.ready,
        desired: status.desired,
        duration_ms: took.map(i64::unsigned_abs),
        reason,
        message,
        pods: Vec::new(),
        events: Vec::new(),
        inferred: false,
    }
}

/// The pods that suffer from a reason, with the container to blame, and whose lines are wanted.
fn blocked(
    status: &RolloutStatus,
    reason: Option<Reason>,
    pods: &[&PodEntry],
) -> Vec<(Blocked, Option<Arc<str>>)> {
    let mut reasons: Vec<_> = status.reasons.iter().collect();
    reasons.sort_by_key(|blocker| Some(blocker.code) != reason);
    let names = reasons.iter().flat_map(|blocker| &blocker.pods);
    let found = names.filter_map(|name| pods.iter().find(|pod| pod.name == *name));
    found.take(RolloutResult::MOST_PODS).map(|pod| blame(pod)).collect()
}

fn blame(pod: &PodEntry) -> (Blocked, Option<Arc<str>>) {
    let counts = |it: &&ContainerEntry| it.kind != ContainerKind::Ephemeral;
    let mut all = pod.containers.iter().filter(counts);
    let failing = all.clone().find(|it| Trouble::of(it).is_some());
    let failing = failing.or_else(|| all.find(|it| it.kind == ContainerKind::App && !it.ready));
    let Some(container) = failing else {
        let (container, attempt, exit_code, lines) = (None, None, None, Vec::new());
        return (
            Blocked { pod: Arc::clone(&pod.name), container, attempt, exit_code, lines },
            None,
        );
    };
    // In the pause after a crash the newest attempt is the one that crashed.
    let ended = match &container.state {
        ContainerRun::Terminated(ended) => Some(&**ended),
        ContainerRun::Waiting(_) => container.last.as_deref(),
        ContainerRun::Running { .. } => None,
    };
    let ran = match &container.state {
        ContainerRun::Waiting(_) => container.last.is_some() || container.restarts > 0,
        ContainerRun::Running { .. } | ContainerRun::Terminated(_) => true,
    };
    let blocked = Blocked {
        pod: Arc::clone(&pod.name),
        container: Some(Arc::clone(&container.name)),
        attempt: ran.then(|| container.restarts.saturating_add(1)),
        exit_code: ended.map(|ended| ended.exit_code),
        lines: Vec::new(),
    };
    (blocked, ran.then(|| Arc::clone(&pod.uid)))
}
