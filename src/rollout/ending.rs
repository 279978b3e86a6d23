//! How rollouts end: when to look, what is decided, and what shows it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::argo;
use super::course::{About, Asked};
use super::draft::{blocked, draft};
use super::model::{Model, Records, Seat};
use super::proof::{Decision, Proof};
use super::revision::{is_inferred, is_older_deploy, side};
use super::verdict::{Case, Demand, Verdict, judge};
use super::{Course, Found, Pin};
use crate::ids::{Entry, Kind, Outcome, Reason, RolloutPhase, RolloutStatus, Side, WorkloadId};
use crate::time::SECOND;
use crate::watch::{Detail, PodEntry, WorkloadEntry};

/// A rollout that was over, or may have been, for longer than this before it was first seen: whether it
/// held then, nobody can tell from how its pods are now (`truths.md` 17).
const LONG_OVER: i64 = 600 * SECOND;

/// The watch of a workload and that of its revisions are apart by less than this, mostly.
const APART: i64 = 10 * SECOND;

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

    /// At this time, or sooner if it is due then.
    pub(super) fn at_the_latest(
        &mut self,
        workload: &Arc<WorkloadId>,
        before: &mut Option<i64>,
        at: i64,
    ) {
        let at = before.map_or(at, |before| before.min(at));
        self.set(workload, before, Some(at));
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
        self.catch_up(now, out);
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

    /// Whether a rollout is remembered of an object with this uid.
    pub fn has_uid(&self, workload: &WorkloadId, uid: &str) -> bool {
        self.courses_of(workload).is_some_and(|courses| courses.all().any(|it| it.is_about(uid)))
    }

    /// Whether it was by inference that a pin led to a rollout.
    pub fn is_inferred(&self, workload: &WorkloadId, pin: &Pin, number: u64) -> bool {
        self.courses_of(workload).is_some_and(|courses| courses.is_inferred(pin, number))
    }

    /// Whether a pin names a deploy of which it is not known which rollout of the workload that is.
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
        let (desired, partition) = seat.wanted();
        let grown = seat.courses.is_grown(&about, desired, partition);
        if seat.courses.is_new(&about) || grown {
            // Runs of a CronJob may go on beside each other.
            if !seat.runs_on() {
                seat.close(workload, Outcome::Superseded, now, out);
            }
            seat.warnings = super::signs::Warnings::default();
            seat.refusal = None;
        }
        let owner =
            seat.entry.as_ref().map_or_else(|| Arc::clone(&about.uid), |it| Arc::clone(&it.uid));
        let asked = Asked {
            about,
            owner: &owner,
            generation: seat.entry.as_ref().map_or(1, |entry| entry.generation),
            deploy: seat.entry.as_deref().and_then(named),
            older_deploy: seat.entry.as_deref().is_some_and(is_older_deploy),
            partition,
            grown,
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
        let inferred = seat.entry.as_deref().is_some_and(is_inferred);
        let patience = seat.entry.as_ref().map(|entry| entry.patience).unwrap_or_default();
        let graces = graces.with(&patience);
        if seat.is_elsewhere() {
            // Nobody knows any more how that one would have ended.
            seat.close(workload, Outcome::Deleted, now, out);
            return self.dues.set(workload, &mut seat.due, None);
        }
        let new = seat.new_pods();
        let new: Vec<&PodEntry> = new.iter().map(|pod| &**pod).collect();
        let seen = seat.seen(&status, &new);
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
            // One that was seen to begin has not come on before, whatever its ReplicaSet did.
            _ => {
                let seen = seen.max(course.witnessed()).unwrap_or(now);
                course.progressed(&status, step, seen, now)
            }
        };
        let began = status.started.unwrap_or_else(|| course.began());
        let case = Case { status: &status, pods: &new, demand, began, progressed, now };
        let over_since = status.finished.or(status.started);
        let long_over = over_since.is_none_or(|since| since.saturating_add(LONG_OVER) < now);
        let complete = status.phase == RolloutPhase::Complete;
        let over_before = first && long_over && (complete || forgets);
        let as_many = status.old == 0 && status.updated >= status.desired;
        let (mut outcome, reason) = match judge(&case, &graces) {
            // It was good long ago; what becomes of a pod of it now is no matter of its rollout. When that was
            // must be known: counts alone may be of pods that are not there.
            Verdict::Open(_) if over_before && complete && over_since.is_some() => {
                (Outcome::Succeeded, None)
            }
            // A pod of it is away at this moment, and nothing tells whether it was good before.
            Verdict::Open(_) if over_before && as_many && over_since.is_some() => {
                (Outcome::Unknown, None)
            }
            Verdict::Open(look) => return self.dues.set(workload, due, look),
            Verdict::Over(outcome, reason) => (outcome, reason),
        };
        // Pods of the one before would be taken for those of this one.
        let known = course.witnessed().filter(|_| inferred).map(|at| at.saturating_add(APART));
        if known.is_some_and(|known| now < known) {
            return self.dues.set(workload, due, known);
        }
        self.dues.set(workload, due, None);
        let good = outcome == Outcome::Succeeded;
        // Of a pod that nobody starts again there is no doubt.
        let is_dead = demand == Demand::Alone && new.iter().any(|pod| pod.phase.is_over());
        if over_before && !good && !is_dead {
            outcome = Outcome::Unknown;
        }
        let mut draft = draft(&status, outcome, reason.filter(|_| !good), now);
        // What the controller of a Job has said needs no second look.
        let is_said = matches!(demand, Demand::End) && (good || reason == Some(Reason::JobFailed));
        let proof = match asks && !is_said {
            true => new.iter().copied().filter(|pod| !pod.phase.is_over()).map(Proof::of).collect(),
            false => Vec::new(),
        };
        let entry = entry.clone().filter(|_| asks && !is_said);
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

/// The annotation of a workload that can name its rollouts. A change of a CronJob begins no run, and the template
/// that an Argo Rollout refers to changes in another object.
fn named(entry: &WorkloadEntry) -> Option<&Arc<str>> {
    match &entry.detail {
        Detail::CronJob { .. } => None,
        Detail::Rollout(detail) if detail.referenced => None,
        _ => entry.deploy.as_ref(),
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
                // The API server counts the templates of a DaemonSet, and nobody else the times that one
                // of them was asked for.
                let generation = match &entry.detail {
                    Detail::DaemonSet(detail) => detail.template_generation,
                    _ => None,
                };
                let digest = Some((entry.template.digest, generation));
                Some(About { uid: Arc::clone(&entry.uid), digest })
            }
        }
    }

    /// How many pods are asked for, and up to which ordinal they may be of the revision before.
    fn wanted(&self) -> (u32, u32) {
        match self.entry.as_ref().map(|entry| &entry.detail) {
            Some(Detail::Deployment(detail)) => (detail.desired, 0),
            Some(Detail::Rollout(detail)) => (detail.desired, 0),
            Some(Detail::StatefulSet(detail)) => (detail.desired, detail.partition),
            _ => (0, 0),
        }
    }

    /// The pod that stands for itself.
    pub(super) fn alone(&self) -> Option<&Arc<PodEntry>> {
        self.pods.first().filter(|pod| pod.workload.kind == Kind::Pod)
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
        let Some(entry) = &self.entry else { return true };
        match &entry.detail {
            Detail::DaemonSet(_) | Detail::StatefulSet(_) => true,
            // Without a deadline its controller writes no condition down.
            Detail::Deployment(detail) => detail.deadline_seconds.is_none(),
            _ => false,
        }
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
