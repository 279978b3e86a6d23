//! What was decided and is to be said: what it rests on, so that it can be looked at once more before, and
//! what is kept of what shows it.
//!
//! What holds here: the clock may decide that a rollout is over while a watch is behind: it is being taken
//! up again, or hangs without a sign. Then a container that has crashed since still looks as if it ran, and
//! a quota that was raised as if it were full. So where there is an API server to ask, what was decided is a
//! [`Decision`] first, and is said only if the pods, or the workload, that it rests on are still as they were
//! known.

use std::collections::HashMap;
use std::sync::Arc;

use super::course::Course;
use super::draft::draft;
use super::model::Model;
use super::trouble::Trouble;
use crate::ids::{ContainerKind, Entry, Outcome, Reason, RolloutPhase, RolloutResult, WorkloadId};
use crate::watch::{ContainerEntry, PodEntry, Truth, WorkloadEntry};

/// Bytes of lines and events that show how rollouts ended, of all workloads together; the oldest go first.
const EVIDENCE: usize = 16 << 20;

/// It is decided how a rollout ends; the last lines of its containers are to be added.
#[derive(Clone, Debug)]
pub struct Decision {
    /// Whose rollout.
    pub workload: Arc<WorkloadId>,
    /// Which one.
    pub number: u64,
    /// The result without lines.
    pub draft: RolloutResult,
    /// Whose lines are wanted: for each pod of the draft its identity, if a container of it ran.
    pub sources: Vec<Option<Arc<str>>>,
    /// The new pods as they were known then, whose states it rests on. None of a Job whose controller has
    /// said it, and none that have ended.
    pub proof: Vec<Proof>,
    /// The workload as it was known then, if it rests on that: on a deadline, or on no pod at all.
    pub entry: Option<Arc<WorkloadEntry>>,
    /// A failure was said of it before.
    pub recovers: bool,
}

/// A pod that a decision rests on, as it was known then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Its name.
    pub pod: Arc<str>,
    /// Its identity: the object's uid.
    pub uid: Arc<str>,
    /// The label that tells its revision, as [`PodEntry::hash`] has it; `None` of one that was read.
    pub hash: Option<Arc<str>>,
    /// Restarts of all its containers.
    pub restarts: u32,
    /// It was ready.
    pub ready: bool,
    /// What its containers, or its place, suffered from; events are not read again.
    pub cause: Option<Reason>,
    /// No container of it was ever made.
    pub blank: bool,
}

// === impl Proof ===

impl Proof {
    /// Of a pod as it is known now.
    pub fn of(pod: &PodEntry) -> Proof {
        Proof {
            pod: Arc::clone(&pod.name),
            uid: Arc::clone(&pod.uid),
            hash: pod.hash.clone(),
            restarts: pod.restarts(),
            ready: pod.ready.status == Truth::True,
            cause: Proof::cause(&pod.containers, pod.scheduled.status == Truth::False),
            blank: Proof::is_blank(&pod.containers),
        }
    }

    /// What a pod with these containers suffers from; `unscheduled` if a scheduler says that no node takes it.
    pub fn cause(containers: &[ContainerEntry], unscheduled: bool) -> Option<Reason> {
        let counts = |it: &&ContainerEntry| it.kind != ContainerKind::Ephemeral;
        let trouble = || containers.iter().filter(counts).find_map(Trouble::of);
        if unscheduled { Some(Reason::Unschedulable) } else { trouble().map(|it| it.code) }
    }

    /// Whether no container of a pod was ever made.
    pub fn is_blank(containers: &[ContainerEntry]) -> bool {
        containers.iter().all(|container| container.container_id.is_none())
    }

    /// Whether a decision that rests on this pod still stands when the pod is found like `now`; `None` if
    /// it is found no more, of which the watch would have told. A success rests on pods that stay as they
    /// were; a failure stands unless one that was not ready has come round since, or what it was called failed
    /// for has passed: a Secret that has come, while its application still starts.
    pub fn stands(&self, now: Option<&Proof>, outcome: Outcome) -> bool {
        let Some(now) = now.filter(|now| now.uid == self.uid) else { return false };
        match outcome {
            Outcome::Succeeded => now.restarts == self.restarts && (now.ready || !self.ready),
            Outcome::Failed => {
                let as_bad = now.restarts > self.restarts
                    || match self.cause {
                        Some(cause) => now.cause.is_some_and(|now| family(now) == family(cause)),
                        None => now.blank || !self.blank,
                    };
                (self.ready || !now.ready) && as_bad
            }
            _ => self.ready || !now.ready,
        }
    }
}

/// Codes of which one stands for the other by turns, by one of them.
fn family(code: Reason) -> Reason {
    match code {
        Reason::OomKilled | Reason::InitFailed | Reason::LivenessFailed => Reason::CrashLoop,
        Reason::ImageNotFound | Reason::ImageDenied | Reason::RegistryLimited => Reason::ImagePull,
        Reason::InvalidCommand => Reason::CannotStart,
        other => other,
    }
}

// === impl Decision ===

impl Decision {
    /// Whether it rests on what its workload reports: a deadline does, and what no pod shows.
    pub(super) fn rests_on_workload(draft: &RolloutResult, proof: &[Proof]) -> bool {
        let named = |proof: &Proof| draft.pods.iter().any(|pod| pod.pod == proof.pod);
        match draft.outcome {
            Outcome::Succeeded => proof.is_empty(),
            Outcome::TimedOut => true,
            _ => !proof.iter().any(named),
        }
    }

    /// Whether it still stands when the pods are found like these. Of a failure it is enough that one of
    /// the pods that it names is as bad as it was: of many that crash some are up at any time.
    pub fn stands(&self, found: &[Proof]) -> bool {
        let Decision { draft, proof, .. } = self;
        let named = |proof: &&Proof| draft.pods.iter().any(|pod| pod.pod == proof.pod);
        let now: HashMap<&str, &Proof> = found.iter().map(|found| (&*found.uid, found)).collect();
        let stands = |proof: &Proof| proof.stands(now.get(&*proof.uid).copied(), draft.outcome);
        if draft.outcome == Outcome::Succeeded || !proof.iter().any(|proof| named(&proof)) {
            return proof.iter().all(stands);
        }
        proof.iter().filter(named).any(stands)
    }
}

// === impl Model ===

impl Model {
    /// Has every end that it decides given as a [`Decision`], which is confirmed before it is said.
    #[must_use]
    pub fn that_asks(mut self) -> Model {
        self.asks = true;
        self
    }

    /// Takes the full result of what was decided, unless something else is said by now.
    pub fn seal(&mut self, decision: &Decision, result: &Arc<RolloutResult>) -> bool {
        let courses = self.courses_mut(&decision.workload);
        let course = courses.and_then(|courses| courses.get_mut(decision.number));
        match course {
            Some(course) if course.result.is_none() => {
                course.result = Some(Arc::clone(result));
                course.reopen();
            }
            _ => return false,
        }
        // What came while this was looked into was not looked at.
        if result.outcome != Outcome::Succeeded
            && let Some(seat) = self.seats.get_mut(&decision.workload)
        {
            self.dues.set(&decision.workload, &mut seat.due, Some(result.time));
        }
        let bytes = result.text_bytes();
        // What shows nothing costs nothing.
        if bytes == 0 {
            return true;
        }
        self.evidence.push_back((Arc::clone(&decision.workload), decision.number, bytes));
        self.evidence_bytes += bytes;
        while self.evidence_bytes > EVIDENCE && self.forget_evidence() {}
        true
    }

    /// Forgets what showed the oldest of the ends that are known; how it ended stays known.
    fn forget_evidence(&mut self) -> bool {
        let Some((workload, number, bytes)) = self.evidence.pop_front() else { return false };
        self.evidence_bytes = self.evidence_bytes.saturating_sub(bytes);
        let courses = self.courses_mut(&workload);
        if let Some(course) = courses.and_then(|courses| courses.get_mut(number)) {
            for said in [&mut course.result, &mut course.before].into_iter().flatten() {
                let mut bare = RolloutResult { events: Vec::new(), ..(**said).clone() };
                bare.pods.iter_mut().for_each(|pod| pod.lines.clear());
                *said = Arc::new(bare);
            }
        }
        true
    }

    /// The record about a rollout's end has this sequence number.
    pub fn told(&mut self, workload: &WorkloadId, result: &Arc<RolloutResult>, seq: u64) {
        let Some(courses) = self.courses_mut(workload) else { return };
        let is = |course: &&mut Course| {
            course.result.as_ref().is_some_and(|known| Arc::ptr_eq(known, result))
        };
        if let Some(course) = courses.all_mut().find(is) {
            course.told = Some(seq);
        }
    }

    /// What was decided was not confirmed: it is open again, and is looked at when something comes, or so
    /// long `after` now. Gives how it ended if something else is asked for by now.
    pub fn doubt(
        &mut self,
        decision: &Decision,
        now: i64,
        after: i64,
    ) -> Option<Arc<RolloutResult>> {
        let Decision { workload, number, .. } = decision;
        let (courses, outcome) = match self.seats.get_mut(workload) {
            // The workload is gone, and its pods are on their way: nothing is decided about it any more.
            Some(seat) if seat.entry.is_none() && seat.alone().is_none() => {
                (&mut seat.courses, Outcome::Deleted)
            }
            Some(seat) if seat.courses.current().is_some_and(|it| it.number == *number) => {
                seat.courses.get_mut(*number)?.reopen();
                self.dues.at_the_latest(workload, &mut seat.due, now.saturating_add(after));
                return None;
            }
            // It runs beside the newest, and is looked at with each change.
            Some(seat) if seat.runs_still(*number) => {
                seat.courses.get_mut(*number)?.reopen();
                self.dues.at_the_latest(workload, &mut seat.due, now.saturating_add(after));
                return None;
            }
            Some(seat) => (&mut seat.courses, Outcome::Superseded),
            None => (self.courses_mut(workload)?, Outcome::Deleted),
        };
        let course = courses.get_mut(*number)?;
        course.reopen();
        if course.result.is_some() {
            return None;
        }
        let result = Arc::new(draft(course.status.as_ref()?, outcome, None, now));
        course.result = Some(Arc::clone(&result));
        Some(result)
    }

    /// Takes that a rollout whose failure was said is good after all, and gives the record of it; `None` if
    /// it is none any more.
    pub fn recover(&mut self, decision: &Decision, result: &Arc<RolloutResult>) -> Option<Entry> {
        let seat = self.seats.get_mut(&decision.workload)?;
        let course = seat.courses.get_mut(decision.number)?;
        course.reopen();
        if course.succeeded() {
            return None;
        }
        let said = course.result.replace(Arc::clone(result))?;
        course.before = Some(said);
        let mut status = (**course.status.as_ref()?).clone();
        (status.recovered, status.time) = (true, result.time);
        let status = Arc::new(status);
        course.status = Some(Arc::clone(&status));
        let is_newest = seat.courses.current().is_some_and(|it| it.number == decision.number);
        if is_newest && status.phase == RolloutPhase::Complete {
            seat.status = Some(Arc::clone(&status));
        }
        Some(Entry::Rollout(status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof(uid: &str, restarts: u32, ready: bool) -> Proof {
        let (cause, blank) = (None, false);
        Proof { pod: "web-1".into(), uid: uid.into(), hash: None, restarts, ready, cause, blank }
    }

    #[test]
    fn a_success_rests_on_pods_that_stay_and_a_failure_on_pods_that_do_not_come_round() {
        let (good, bad) = (Outcome::Succeeded, Outcome::Failed);
        let was = proof("a", 1, true);
        assert!(was.stands(Some(&was), good) && was.stands(Some(&was), bad));
        for other in [proof("a", 2, true), proof("a", 1, false), proof("b", 1, true)] {
            assert!(!was.stands(Some(&other), good), "{other:?}");
        }
        assert!(was.stands(Some(&proof("a", 2, false)), bad), "it is no better");
        assert!(!was.stands(None, good) && !was.stands(None, bad), "the watch is behind");
        let was = proof("a", 3, false);
        assert!(was.stands(Some(&proof("a", 4, false)), bad));
        assert!(!was.stands(Some(&proof("a", 3, true)), bad), "it has come round");
        assert!(!was.stands(Some(&proof("b", 0, false)), bad), "that is another one");
    }

    #[test]
    fn a_failure_stands_for_as_long_as_its_cause() {
        let bad = Outcome::Failed;
        let of = |cause| Proof { cause, ..proof("a", 0, false) };
        let was = of(Some(Reason::ConfigMissing));
        assert!(was.stands(Some(&was), bad));
        assert!(!was.stands(Some(&of(None)), bad), "the Secret has come, and it starts");
        assert!(was.stands(Some(&of(None)), Outcome::TimedOut), "it is late whatever it does");
        assert!(!was.stands(Some(&of(Some(Reason::CrashLoop))), bad), "that is another cause");
        // One goes by two words in turn, and what has crashed again is no better for running.
        let was = of(Some(Reason::ImageNotFound));
        assert!(was.stands(Some(&of(Some(Reason::ImagePull))), bad));
        let was = of(Some(Reason::CrashLoop));
        assert!(was.stands(Some(&Proof { restarts: 1, ..of(None) }), bad));
        assert!(!was.stands(Some(&of(None)), bad));
        // Volumes: only events tell of them, and a container that was made had its.
        let was = Proof { blank: true, ..of(None) };
        assert!(was.stands(Some(&was), bad) && !was.stands(Some(&of(None)), bad));
    }
}
