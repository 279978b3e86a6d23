//! The model: what is known of each workload, and what to say when it changes.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::course::{Course, Courses};
use super::ending::Dues;
use super::proof::Decision;
use super::signs::{Sign, Signs, Warnings, note};
use super::verdict::Graces;
use super::{
    argo, cron_job, daemon_set, deployment, job, phase, pod, revision, sense, stateful_set,
};
use crate::ids::{
    Entry, ImageChange, Kind, KubeEvent, Outcome, PodStatus, RolloutPhase, RolloutStatus, Side,
    WorkloadId,
};
use crate::time::MILLISECOND;
use crate::watch::{Change, Detail, PodEntry, WorkloadEntry};

/// The rollout states of all workloads. Changes go in, in the order in which `watch` gives them;
/// records come out.
#[derive(Debug, Default)]
pub struct Model {
    pub(super) seats: HashMap<Arc<WorkloadId>, Seat>,
    /// Under which workload a pod was told of: its owner may come after it.
    homes: HashMap<Arc<str>, Arc<WorkloadId>>,
    /// The rollouts of workloads that are gone; those that went last.
    gone: VecDeque<(Arc<WorkloadId>, Courses)>,
    pub(super) graces: Graces,
    /// There is somebody to ask whether what was decided still stands.
    pub(super) asks: bool,
    /// Everything that could be listed is known.
    pub(super) begun: bool,
    pub(super) dues: Dues,
    pub(super) decisions: Vec<Decision>,
    /// The ends of which there is something to show, oldest first, and how much that is.
    pub(super) evidence: VecDeque<(Arc<WorkloadId>, u64, usize)>,
    pub(super) evidence_bytes: usize,
    /// The number that was given last.
    pub(super) numbers: u64,
}

/// Workloads of one kind that are gone whose rollouts are remembered: for who waits for one that was deleted.
const GONE: usize = 256;

/// A look at a workload costs as much as it has pods. With more than this, what becomes of its pods is looked at
/// once for all that comes within [`TOGETHER`]: a rollout of thousands would keep a core busy otherwise.
pub(super) const MANY_PODS: usize = 200;
/// Short beside the two seconds within which a reason is to be seen.
pub(super) const TOGETHER: i64 = 100 * MILLISECOND;

/// One workload. It shares its entries with the index.
#[derive(Debug, Default)]
pub(super) struct Seat {
    pub(super) entry: Option<Arc<WorkloadEntry>>,
    pub(super) pods: Vec<Arc<PodEntry>>,
    /// What events said, by the pod's identity; only of pods in `pods`.
    signs: HashMap<Arc<str>, Signs>,
    pub(super) warnings: Warnings,
    /// Why its controller cannot create pods; until there is a new one.
    pub(super) refusal: Option<Sign>,
    pub(super) status: Option<Arc<RolloutStatus>>,
    /// The last generation that was seen with a status about it, and its template's digest.
    observed: Option<(i64, u64)>,
    pub(super) courses: Courses,
    /// When it is to be looked at, as [`Dues`] has it.
    pub(super) due: Option<i64>,
    /// Its pods have changed since it was looked at.
    pub(super) stale: bool,
}

/// What a kind's state is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look<'a> {
    pub(super) workload: &'a WorkloadEntry,
    /// Its pods, by creation.
    pub(super) pods: &'a [&'a Arc<PodEntry>],
    /// The workload's status is about its present template, if not about all of its specification.
    pub(super) template_seen: bool,
    /// What events said of them.
    pub(super) signs: &'a HashMap<Arc<str>, Signs>,
    /// Why its controller cannot create pods, if events tell.
    pub(super) refusal: Option<&'a Sign>,
    /// What was told last.
    pub(super) before: Option<&'a RolloutStatus>,
    /// What its controller remembers of its template is about fewer pods.
    pub(super) grown: bool,
    /// When the rollout was asked for, by our clock, if that was seen.
    pub(super) witnessed: Option<i64>,
    /// When the rollout before it began, as it was told.
    pub(super) after: Option<i64>,
    /// How long a container must have run to count, while the rollout is open.
    pub(super) settle: Option<i64>,
    /// Our clock.
    pub(super) now: i64,
}

pub(super) type Records = Vec<(Arc<WorkloadId>, Entry)>;

impl Model {
    /// An empty model with the usual graces.
    pub fn new() -> Model {
        Model::default()
    }

    /// An empty model.
    pub fn with(graces: Graces) -> Model {
        Model { graces, ..Model::default() }
    }

    /// Takes a change and gives the records that follow from it, pods before their workload. `now`
    /// is our clock; it only becomes the time at which a rollout's state was seen.
    pub fn apply(&mut self, change: &Change, now: i64) -> Records {
        let mut out = Vec::new();
        match change {
            Change::PodApplied(pod) => self.pod_applied(pod, now, &mut out),
            Change::PodGone(pod) => self.pod_gone(pod, now, &mut out),
            Change::Workload(entry) => self.workload(entry, now, &mut out),
            Change::WorkloadGone(entry) => self.workload_gone(entry, now, &mut out),
            Change::Event { workload, event } => {
                out.push((Arc::clone(workload), Entry::Event(Arc::clone(event))));
                self.heard(workload, event, now, &mut out);
            }
            Change::Synced => self.begin(now, &mut out),
        }
        out
    }

    /// The state of a workload's newest rollout.
    pub fn current(&self, workload: &WorkloadId) -> Option<Arc<RolloutStatus>> {
        self.seats.get(workload)?.status.clone()
    }

    /// The pods of a workload that exist, by creation.
    pub fn pods(&self, workload: &WorkloadId) -> Vec<Arc<PodStatus>> {
        let Some(seat) = self.seats.get(workload) else { return Vec::new() };
        let mut pods: Vec<_> = seat.pods.iter().collect();
        pods.sort_unstable_by_key(|pod| (pod.created, &pod.name));
        pods.into_iter().map(|pod| Arc::new(seat.pod_status(pod))).collect()
    }

    /// Whether a pod, which may be gone, belongs to its workload's newest revision.
    pub fn side(&self, pod: &PodEntry) -> Side {
        let seat = self.seats.get(&pod.workload);
        revision::side(seat.and_then(|seat| seat.entry.as_deref()), pod)
    }

    /// The name of a pod's revision, if it is known.
    pub fn revision(&self, pod: &PodEntry) -> Option<Arc<str>> {
        let seat = self.seats.get(&pod.workload);
        revision::of_pod(seat.and_then(|seat| seat.entry.as_deref()), pod)
    }

    fn pod_applied(&mut self, pod: &Arc<PodEntry>, now: i64, out: &mut Records) {
        let home = self.homes.insert(Arc::clone(&pod.uid), Arc::clone(&pod.workload));
        if let Some(home) = home.filter(|home| *home != pod.workload) {
            self.take_pod(&home, &pod.uid);
            self.update(&home, now, out);
        }
        let seat = self.seats.entry(Arc::clone(&pod.workload)).or_default();
        let at = seat.pods.iter().position(|other| other.uid == pod.uid);
        let mut status = seat.pod_status(pod);
        let before = at.map(|at| seat.pod_status(&seat.pods[at]));
        let news = before
            .as_ref()
            .is_none_or(|before| PodStatus { time: status.time, ..before.clone() } != status);
        status.quiet = before.is_some_and(|before| before.reads_like(&status));
        match at {
            Some(at) => seat.pods[at] = Arc::clone(pod),
            None => {
                seat.pods.push(Arc::clone(pod));
                seat.refusal = seat.refusal.take().filter(|it| it.since > pod.created);
            }
        }
        if news {
            out.push((Arc::clone(&pod.workload), Entry::Pod(Arc::new(status))));
        }
        self.update_soon(&pod.workload, now, out);
    }

    fn pod_gone(&mut self, pod: &Arc<PodEntry>, now: i64, out: &mut Records) {
        let home = self.homes.remove(&pod.uid).unwrap_or_else(|| Arc::clone(&pod.workload));
        let entry = self.seats.get(&home).and_then(|seat| seat.entry.as_deref());
        let status = phase::status(entry, pod, None);
        out.push((Arc::clone(&home), Entry::Pod(Arc::new(status))));
        self.take_pod(&home, &pod.uid);
        if home.kind == Kind::Pod {
            self.deleted(&home, now, out);
        } else {
            self.update_soon(&home, now, out);
        }
    }

    fn take_pod(&mut self, workload: &WorkloadId, uid: &str) {
        if let Some(seat) = self.seats.get_mut(workload) {
            seat.pods.retain(|pod| &*pod.uid != uid);
            seat.signs.remove(uid);
        }
    }

    fn workload(&mut self, entry: &Arc<WorkloadEntry>, now: i64, out: &mut Records) {
        // What became of its pods belongs to what was asked for before.
        if self.seats.get(&entry.id).is_some_and(|seat| seat.stale) {
            self.update(&entry.id, now, out);
        }
        let courses = match self.seats.contains_key(&entry.id) {
            true => Courses::default(),
            false => self.take_gone(&entry.id),
        };
        let new = || Seat { courses, ..Seat::default() };
        let seat = self.seats.entry(Arc::clone(&entry.id)).or_insert_with(new);
        let before = seat.entry.replace(Arc::clone(entry));
        if revision::observed(entry) {
            seat.observed = Some((entry.generation, entry.template.digest));
        }
        // Before anything is said of what comes after it.
        self.superseded(&entry.id, now, out);
        let Some(seat) = self.seats.get(&entry.id) else { return };
        // A new template makes pods old that did not change themselves.
        let (before, after) = (before.as_deref(), Some(&**entry));
        let view = |entry, pod| (revision::side(entry, pod), revision::of_pod(entry, pod));
        for pod in seat.pods.iter().filter(|pod| view(before, pod) != view(after, pod)) {
            let status = PodStatus { time: now, quiet: true, ..seat.pod_status(pod) };
            out.push((Arc::clone(&entry.id), Entry::Pod(Arc::new(status))));
        }
        self.update(&entry.id, now, out);
    }

    /// Takes in what an event says about a pod.
    fn heard(
        &mut self,
        workload: &Arc<WorkloadId>,
        event: &Arc<KubeEvent>,
        now: i64,
        out: &mut Records,
    ) {
        let Some(seat) = self.seats.get_mut(workload) else { return };
        seat.warnings.take(event);
        if &*event.reason == "FailedCreate" && seat.makes_pods(workload, event) {
            // A list of events tells the old ones again.
            if seat.pods.iter().any(|pod| pod.created > event.time) {
                return;
            }
            note(&mut seat.refusal, event);
            self.update(workload, now, out);
            return;
        }
        let named = |pod: &&Arc<PodEntry>| pod.name == event.object_name;
        let Some(pod) = seat.pods.iter().find(named).map(Arc::clone) else { return };
        if &*event.object_kind != "pod" || event.time < pod.created {
            return;
        }
        let before = seat.pod_status(&pod);
        if !seat.signs.entry(Arc::clone(&pod.uid)).or_default().take(event) {
            return;
        }
        let status = seat.pod_status(&pod);
        if status != before {
            let status = PodStatus { time: now, ..status };
            out.push((Arc::clone(workload), Entry::Pod(Arc::new(status))));
        }
        self.update_soon(workload, now, out);
    }

    fn workload_gone(&mut self, entry: &Arc<WorkloadEntry>, now: i64, out: &mut Records) {
        let Some(seat) = self.seats.get_mut(&entry.id) else { return };
        if seat.entry.as_ref().is_some_and(|known| known.uid == entry.uid) {
            let ended = job::has_run(entry, &seat.pods);
            seat.entry = None;
            if ended {
                seat.close(&entry.id, Outcome::Succeeded, now, out);
            }
            self.deleted(&entry.id, now, out);
        }
    }

    /// Says that a workload is no more. Its pods may outlive it.
    fn deleted(&mut self, workload: &Arc<WorkloadId>, now: i64, out: &mut Records) {
        let Some(seat) = self.seats.get_mut(workload) else { return };
        if let Some(status) = seat.status.take() {
            // A rollout that was over before ended then, not now.
            let finished = if status.phase.is_over() { status.finished } else { Some(now) };
            let status = RolloutStatus {
                time: now.max(status.time),
                phase: RolloutPhase::Deleted,
                finished,
                reasons: Vec::new(),
                message: String::new(),
                ..(*status).clone()
            };
            out.push((Arc::clone(workload), Entry::Rollout(Arc::new(status))));
        }
        seat.close(workload, Outcome::Deleted, now, out);
        self.dues.set(workload, &mut seat.due, None);
        self.drop_empty(workload);
    }

    fn drop_empty(&mut self, workload: &Arc<WorkloadId>) {
        let empty = |seat: &Seat| seat.entry.is_none() && seat.pods.is_empty();
        if !self.seats.get(workload).is_some_and(empty) {
            return;
        }
        let Some(mut seat) = self.seats.remove(workload) else { return };
        self.dues.set(workload, &mut seat.due, None);
        if seat.courses.current().is_some() {
            // Of each kind, or short-lived pods would push out the Job whose end somebody waits for.
            let of_kind = |(gone, _): &(Arc<WorkloadId>, Courses)| gone.kind == workload.kind;
            if self.gone.iter().filter(|gone| of_kind(gone)).count() >= GONE {
                let oldest = self.gone.iter().position(of_kind);
                oldest.map(|at| self.gone.remove(at));
            }
            self.gone.push_back((Arc::clone(workload), seat.courses));
        }
    }

    pub(super) fn courses_of(&self, workload: &WorkloadId) -> Option<&Courses> {
        let here = self.seats.get(workload).map(|seat| &seat.courses);
        let known = here.filter(|courses| courses.current().is_some());
        let gone = || self.gone.iter().rev().find(|(gone, _)| **gone == *workload);
        known.or_else(|| gone().map(|(_, courses)| courses))
    }

    pub(super) fn courses_mut(&mut self, workload: &WorkloadId) -> Option<&mut Courses> {
        let here = self.seats.get_mut(workload).map(|seat| &mut seat.courses);
        match here.filter(|courses| courses.current().is_some()) {
            Some(courses) => Some(courses),
            None => {
                let mut gone = self.gone.iter_mut().rev();
                gone.find(|(gone, _)| **gone == *workload).map(|(_, courses)| courses)
            }
        }
    }

    /// The rollouts of a workload that was gone and is there again.
    fn take_gone(&mut self, workload: &WorkloadId) -> Courses {
        let at = self.gone.iter().rposition(|(gone, _)| **gone == *workload);
        at.and_then(|at| self.gone.remove(at)).map(|(_, courses)| courses).unwrap_or_default()
    }

    /// Says what is new about a workload's rollout, at once or with what else comes in a moment.
    fn update_soon(&mut self, workload: &Arc<WorkloadId>, now: i64, out: &mut Records) {
        let many = self.seats.get_mut(workload).filter(|seat| seat.pods.len() > MANY_PODS);
        let Some(seat) = many else { return self.update(workload, now, out) };
        seat.stale = true;
        self.dues.at_the_latest(workload, &mut seat.due, now.saturating_add(TOGETHER));
    }

    /// Looks at what has changed and was not looked at yet.
    pub(super) fn catch_up(&mut self, now: i64, out: &mut Records) {
        let stale = self.seats.iter().filter(|(_, seat)| seat.stale);
        for workload in stale.map(|(workload, _)| Arc::clone(workload)).collect::<Vec<_>>() {
            self.update(&workload, now, out);
        }
    }

    /// Says what is new about a workload's rollout.
    pub(super) fn update(&mut self, workload: &Arc<WorkloadId>, now: i64, out: &mut Records) {
        self.superseded(workload, now, out);
        let Some(seat) = self.seats.get_mut(workload) else { return };
        seat.stale = false;
        if let Some(mut status) = seat.judge(&self.graces, now) {
            if seat.courses.is_used_again(&status) {
                self.numbers += 1;
                seat.courses.begin_again(status.generation, now, self.numbers);
            }
            let course = seat.courses.current();
            status.recovered = course.is_some_and(|course| course.before.is_some());
            // Our clock may step back; the time that one rollout takes does not.
            if let Some(before) = seat.status.as_ref().filter(|it| it.started == status.started) {
                status.time = status.time.max(before.time);
            }
            let news = seat.status.as_ref().is_none_or(|before| {
                RolloutStatus { time: before.time, ..status.clone() } != **before
            });
            if news {
                let status = Arc::new(status);
                seat.status = Some(Arc::clone(&status));
                out.push((Arc::clone(workload), Entry::Rollout(status)));
            }
        }
        self.conclude_older(workload, now, out);
        self.conclude(workload, now, out, false);
        self.drop_empty(workload);
    }
}

impl Seat {
    /// Whether an event is about the object whose controller makes the pods: the workload itself, or the
    /// newest Job of a CronJob. Of ReplicaSets a condition tells.
    fn makes_pods(&self, workload: &WorkloadId, event: &KubeEvent) -> bool {
        let is = |kind: Kind, name: &str| {
            *event.object_kind == *kind.as_str() && *event.object_name == *name
        };
        let job = self.entry.as_ref().and_then(|entry| entry.jobs().last());
        is(workload.kind, &workload.name) || job.is_some_and(|job| is(Kind::Job, &job.name))
    }

    fn pod_status(&self, pod: &PodEntry) -> PodStatus {
        phase::status(self.entry.as_deref(), pod, self.signs.get(&pod.uid))
    }

    fn judge(&self, graces: &Graces, now: i64) -> Option<RolloutStatus> {
        let mut pods: Vec<&Arc<PodEntry>> = self.pods.iter().collect();
        let Some(entry) = &self.entry else {
            return self.alone().map(|alone| pod::status(alone, &self.signs, now));
        };
        // What is said must not depend on the order in which the pods came.
        pods.sort_unstable_by_key(|pod| (pod.created, &pod.name));
        // Scaling raises the generation, too.
        let seen = self.observed.filter(|(generation, _)| Some(*generation) == entry.observed);
        let unchanged = seen.is_some_and(|(_, digest)| digest == entry.template.digest);
        let template_seen = revision::observed(entry) || unchanged;
        let (workload, before, signs) = (&**entry, self.status.as_deref(), &self.signs);
        let refusal = self.refusal.as_ref();
        let course = self.courses.current();
        let grown = course.is_some_and(Course::is_grown);
        let open = course.is_some_and(Course::is_open);
        let settle = open.then(|| graces.with(&entry.patience).settle);
        let witnessed = course.and_then(Course::witnessed);
        let after = self.courses.before().and_then(|before| before.status.as_ref()?.started);
        let look = Look {
            workload,
            pods: &pods,
            template_seen,
            signs,
            refusal,
            before,
            grown,
            witnessed,
            after,
            settle,
            now,
        };
        let status = match &entry.detail {
            Detail::Deployment(detail) => deployment::status(&look, detail),
            Detail::Rollout(detail) => argo::status(&look, detail),
            Detail::StatefulSet(detail) => stateful_set::status(&look, detail),
            Detail::DaemonSet(detail) => daemon_set::status(&look, detail),
            Detail::Job(detail) => job::status(&look, &entry.uid, detail),
            Detail::CronJob { suspended } => cron_job::status(&look, *suspended),
            Detail::Pod => return None,
        };
        Some(sense::told(&look, status))
    }
}

/// What all kinds have in common; each fills in the rest.
pub(super) fn blank(workload: &WorkloadEntry, now: i64) -> RolloutStatus {
    let containers = workload.template.containers.iter();
    let images = containers.map(|container| ImageChange {
        container: Arc::clone(&container.name),
        from: None,
        to: Arc::clone(&container.image),
    });
    RolloutStatus {
        time: now,
        phase: RolloutPhase::Progressing,
        revision: None,
        previous: None,
        generation: workload.generation,
        images: images.collect(),
        desired: 0,
        updated: 0,
        ready: 0,
        available: 0,
        old: 0,
        started: None,
        finished: None,
        deadline_ms: None,
        by: workload.by.clone(),
        change_cause: workload.change_cause.clone(),
        recovered: false,
        reasons: Vec::new(),
        message: String::new(),
    }
}

/// A number of pods; a cluster has fewer than `u32` holds.
pub(super) fn count(pods: usize) -> u32 {
    u32::try_from(pods).unwrap_or(u32::MAX)
}
