//! The rollouts of a workload, one after another, and how each ended.
//!
//! What holds here: a rollout is known by what was asked for (the object and its template), so scaling
//! is no new one and a rollback is. Each has a number that no other of this process has; whoever waits
//! for a result holds the number, and is never told of another rollout's.

mod find;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::ids::{Outcome, RolloutResult, RolloutStatus};

/// Rollouts of one workload that are remembered (design section 6: the last 20 stay listed).
pub(super) const KEPT: usize = 20;
/// Values of `rollcast.dev/deploy` that are remembered of one rollout, and of all: applies that changed nothing.
const DEPLOYS: usize = 16;
/// Stretches of generations that one rollout remembers: each gap is a change that a watch did not bring.
const STRETCHES: usize = 16;

/// What a rollout is about: two that are equal are the same one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct About {
    /// The object: one that is deleted and made again is another.
    pub(super) uid: Arc<str>,
    /// Its template, and of a DaemonSet which one it is by count; `None` for what runs once: a Job, a pod.
    pub(super) digest: Option<(u64, Option<u32>)>,
}

/// What is asked for now.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) about: About,
    /// The workload's own uid.
    pub(super) owner: &'a Arc<str>,
    pub(super) generation: i64,
    /// Annotation `rollcast.dev/deploy`.
    pub(super) deploy: Option<&'a Arc<str>>,
    /// The annotation had this value before the newest change.
    pub(super) older_deploy: bool,
    /// Pods below this ordinal may be of the revision before.
    pub(super) partition: u32,
    /// As [`Courses::is_grown`] has it.
    pub(super) grown: bool,
    /// Our clock.
    pub(super) now: i64,
}

/// One rollout.
#[derive(Clone, Debug)]
pub struct Course {
    /// Which one, in this process.
    pub number: u64,
    /// Its last state.
    pub status: Option<Arc<RolloutStatus>>,
    /// How it ended.
    pub result: Option<Arc<RolloutResult>>,
    /// What was said before, if it recovered.
    pub before: Option<Arc<RolloutResult>>,
    /// The sequence number of the record about its end, if there is one.
    pub told: Option<u64>,
    about: About,
    /// The generations at which its template was seen, in stretches, first and last of each.
    generations: VecDeque<(i64, i64)>,
    /// The least that was asked for: a StatefulSet's partition.
    partition: u32,
    /// Its template was good before with fewer pods, or none: what its controller remembers is about those.
    grown: bool,
    /// It was seen to begin: it is not what was there when its workload was seen first.
    witnessed: bool,
    deploys: VecDeque<Arc<str>>,
    /// It was decided how it ends, and what shows it is being gathered.
    decided: bool,
    /// Its end was no news.
    silent: bool,
    /// When it was seen first, by our clock.
    began: i64,
    /// The best that it ever was, and since when.
    best: Option<(Best, i64)>,
    /// It stood still since.
    rested: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Best {
    updated: u32,
    ready: u32,
    available: u32,
    old: u32,
    step: u32,
}

/// The rollouts of one workload, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Courses {
    list: VecDeque<Course>,
    /// The annotation's last value: only one that it takes anew names a rollout.
    deploy: Option<Arc<str>>,
    /// The workload's uid: the value of one that was deleted says nothing of the next.
    owner: Option<Arc<str>>,
    /// The annotation had this value when the workload was seen first: which rollout that names is read
    /// from what is there, not from having seen it change.
    assumed: bool,
    /// Values that the annotation took since the newest rollout began, or with it unseen: which may have been
    /// meant for the change that comes next.
    bare: VecDeque<Arc<str>>,
    /// Values of which it is not known which rollout they name: one that was over before it was seen, or the one
    /// before a change that they were set for.
    passed: VecDeque<Arc<str>>,
}

// === impl Course ===

impl Course {
    fn new(number: u64, about: About, partition: u32, began: i64) -> Course {
        Course {
            number,
            status: None,
            result: None,
            before: None,
            told: None,
            about,
            generations: VecDeque::new(),
            partition,
            grown: false,
            witnessed: false,
            deploys: VecDeque::new(),
            decided: false,
            silent: false,
            began,
            best: None,
            rested: false,
        }
    }

    /// Whether nothing is decided about it yet.
    pub(super) fn is_open(&self) -> bool {
        self.result.is_none() && !self.decided
    }

    /// Whether it ended well.
    pub fn succeeded(&self) -> bool {
        self.result.as_ref().is_some_and(|result| result.outcome == Outcome::Succeeded)
    }

    pub(super) fn decide(&mut self) {
        self.decided = true;
    }

    /// Whether it was decided how it ends, or that it recovered, and that is being looked into.
    pub(super) fn is_decided(&self) -> bool {
        self.decided
    }

    /// What was decided is said, or void.
    pub(super) fn reopen(&mut self) {
        self.decided = false;
    }

    fn has_generation(&self, wanted: i64) -> bool {
        self.generations.iter().any(|(first, last)| (*first..=*last).contains(&wanted))
    }

    /// Takes in that its template was seen at this generation. What lies between two that were seen may have
    /// been another template (`truths.md` 14).
    fn saw(&mut self, generation: i64) {
        match self.generations.back_mut() {
            Some((_, last)) if *last + 1 == generation => *last = generation,
            Some((_, last)) if generation <= *last => {}
            _ => {
                if self.generations.len() == STRETCHES {
                    self.generations.pop_front();
                }
                self.generations.push_back((generation, generation));
            }
        }
    }

    /// Takes back that its template was seen at this generation, the last one.
    fn saw_not(&mut self, generation: i64) {
        if self.last_generation() == generation
            && let Some((first, last)) = self.generations.pop_back()
            && first < last
        {
            self.generations.push_back((first, last - 1));
        }
    }

    fn last_generation(&self) -> i64 {
        self.generations.back().map_or(0, |(_, last)| *last)
    }

    /// Whether what the controller remembers of its template is about fewer pods than it is to have.
    pub(super) fn is_grown(&self) -> bool {
        self.grown && !self.succeeded()
    }

    /// When it began by our clock, if it was seen to.
    pub(super) fn witnessed(&self) -> Option<i64> {
        self.witnessed.then_some(self.began)
    }

    /// When it came on last: our own clock, which restarts and flips of readiness do not set back. `seen`
    /// is what the API knows of it when it is looked at first. `step` is how far its plan is done, for those
    /// that have one.
    pub(super) fn progressed(
        &mut self,
        status: &RolloutStatus,
        step: u32,
        seen: i64,
        now: i64,
    ) -> i64 {
        let RolloutStatus { updated, ready, available, old, .. } = *status;
        let is = Best { updated, ready, available, old, step };
        let (best, since) = match self.best {
            None => (is, if self.rested { now } else { seen }),
            Some((was, since)) => {
                let best = Best {
                    updated: was.updated.max(updated),
                    ready: was.ready.max(ready),
                    available: was.available.max(available),
                    old: was.old.min(old),
                    step: was.step.max(step),
                };
                (best, if best == was && !self.rested { since } else { now })
            }
        };
        (self.best, self.rested) = (Some((best, since)), false);
        since
    }

    /// It does not run: its clock stands, and begins anew when it goes on.
    pub(super) fn rests(&mut self) {
        self.rested = true;
    }

    /// How it ended, once that was said, or was no news.
    pub fn said(&self) -> Option<&Arc<RolloutResult>> {
        self.result.as_ref().filter(|_| self.told.is_some() || self.silent)
    }

    /// Its end is no news: no record is made of it.
    pub(super) fn keep_silent(&mut self) {
        self.silent = true;
    }

    /// Whether it is about this object.
    pub(super) fn is_about(&self, uid: &str) -> bool {
        *self.about.uid == *uid
    }

    /// The uid of the object that it is about: the workload, or of a CronJob the Job.
    pub fn uid(&self) -> &Arc<str> {
        &self.about.uid
    }

    /// When it was seen first, by our clock.
    pub(super) fn began(&self) -> i64 {
        self.began
    }
}

// === impl Courses ===

impl Courses {
    pub(super) fn current(&self) -> Option<&Course> {
        self.list.back()
    }

    /// The one before the newest, of the same object.
    pub(super) fn before(&self) -> Option<&Course> {
        let newest = self.current()?;
        self.list.iter().rev().nth(1).filter(|before| before.about.uid == newest.about.uid)
    }

    pub(super) fn current_mut(&mut self) -> Option<&mut Course> {
        self.list.back_mut()
    }

    pub(super) fn get(&self, number: u64) -> Option<&Course> {
        self.list.iter().find(|course| course.number == number)
    }

    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut Course> {
        self.list.iter_mut().find(|course| course.number == number)
    }

    /// Oldest first.
    pub(super) fn all(&self) -> impl DoubleEndedIterator<Item = &Course> {
        self.list.iter()
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Course> {
        self.list.iter_mut()
    }

    /// Whether what is asked for now is another rollout than the newest known. A run that was known before
    /// is none: a Job that is kept while a newer one is removed.
    pub(super) fn is_new(&self, about: &About) -> bool {
        let known = |course: &Course| course.about == *about;
        match about.digest {
            None => !self.list.iter().any(known),
            Some(_) => !self.current().is_some_and(known),
        }
    }

    /// Whether more pods are asked for of a template that was good with fewer: with none at all, or with those
    /// above a partition. Whether the others are good nobody has seen.
    pub(super) fn is_grown(&self, about: &About, desired: u32, partition: u32) -> bool {
        let Some(course) = self.current().filter(|course| course.about == *about) else {
            return false;
        };
        let Some(result) = course.result.as_ref().filter(|_| course.succeeded()) else {
            return false;
        };
        (result.desired == 0 && desired > 0) || partition < course.partition
    }

    /// Whether a state shows that the newest rollout, which is over, was asked for once more: its revision has
    /// a higher number than the one that its end was about. Another one came between, which was not seen.
    pub(super) fn is_used_again(&self, status: &RolloutStatus) -> bool {
        let course = self.current();
        // The number may come before the change that it was given for.
        let ended = course
            .and_then(|course| course.result.as_ref())
            .filter(|ended| ended.generation < status.generation);
        let number =
            |text: &Option<Arc<str>>| text.as_deref().and_then(|text| text.parse::<u64>().ok());
        match (ended.and_then(|ended| number(&ended.revision)), number(&status.revision)) {
            (Some(ended), Some(now)) => now > ended,
            _ => false,
        }
    }

    /// The newest rollout's template is asked for once more.
    pub(super) fn begin_again(&mut self, generation: i64, now: i64, number: u64) {
        let Some(about) = self.current().map(|course| course.about.clone()) else { return };
        let partition = self.current().map_or(0, |course| course.partition);
        if let Some(course) = self.list.back_mut() {
            course.saw_not(generation);
        }
        let bare = std::mem::take(&mut self.bare);
        self.pass(bare);
        self.begin(Course::new(number, about, partition, now));
        if let Some(course) = self.list.back_mut() {
            course.saw(generation);
            course.witnessed = true;
        }
    }

    fn begin(&mut self, course: Course) {
        if self.list.len() == KEPT {
            self.list.pop_front();
        }
        self.list.push_back(course);
    }

    /// Takes in what is asked for now.
    pub(super) fn take(&mut self, asked: &Asked<'_>, number: impl FnOnce() -> u64) {
        let first = self.owner.as_deref() != Some(&**asked.owner);
        if first {
            self.owner = Some(Arc::clone(asked.owner));
            self.deploy = None;
            self.passed.clear();
            self.bare.clear();
        }
        let is_new = self.is_new(&asked.about);
        let begins = is_new || asked.grown;
        if begins {
            let (bare, mut deploys) = (std::mem::take(&mut self.bare), VecDeque::new());
            if asked.deploy == self.deploy.as_ref() {
                if is_new {
                    self.pass(bare);
                } else {
                    // The template that they name is asked for with more pods.
                    deploys.clone_from(&bare);
                    self.bare = bare;
                }
            }
            self.assumed = false;
            let course = Course::new(number(), asked.about.clone(), asked.partition, asked.now);
            self.begin(Course { grown: asked.grown, witnessed: !first, deploys, ..course });
        }
        let Some(course) = self.list.back_mut().filter(|course| course.about == asked.about) else {
            return;
        };
        course.saw(asked.generation);
        course.partition = course.partition.min(asked.partition);
        if asked.deploy == self.deploy.as_ref() {
            if self.assumed && asked.older_deploy {
                course.deploys.retain(|known| Some(known) != asked.deploy);
                self.assumed = false;
                keep(&mut self.passed, asked.deploy);
            }
            return;
        }
        self.assumed = first && !asked.older_deploy;
        self.deploy = asked.deploy.map(Arc::clone);
        if first && asked.older_deploy {
            return keep(&mut self.passed, asked.deploy);
        }
        self.passed.retain(|known| Some(known) != asked.deploy);
        if !begins || self.assumed {
            keep(&mut self.bare, asked.deploy);
        }
        keep(&mut course.deploys, asked.deploy);
    }

    /// The next rollout begins, and the annotation stays as it is. Who set it may have meant either, an apply that
    /// changes nothing or the change that comes now, unless the one before is cut short, and said to be.
    fn pass(&mut self, bare: VecDeque<Arc<str>>) {
        let result = self.current().and_then(|course| course.result.as_ref());
        if result.is_some_and(|result| result.outcome == Outcome::Superseded) {
            return;
        }
        for course in &mut self.list {
            course.deploys.retain(|known| !bare.contains(known));
        }
        bare.iter().for_each(|deploy| keep(&mut self.passed, Some(deploy)));
    }
}

/// Adds a value to the last ones.
fn keep(values: &mut VecDeque<Arc<str>>, value: Option<&Arc<str>>) {
    values.extend(value.map(Arc::clone));
    if values.len() > DEPLOYS {
        values.pop_front();
    }
}
