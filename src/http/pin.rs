//! Which rollout a request waits for, and how it ended.
//!
//! What holds here: who waits holds one rollout, and is never given the result of another. Without a pin
//! that is the one that the API server has at the time of the request, not the one that our watch had
//! brought until then (design section 6).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::Service;
use super::problem::Problem;
use super::target::{absent, missing};
use crate::cluster::Version;
use crate::ids::{Kind, Outcome, RolloutResult, RolloutStatus, WorkloadId};
use crate::rollout::{Course, Found, Model, Pin};
use crate::time::{self, MILLISECOND, SECOND, parse_stamp};
use crate::wire::{EventId, Position};

/// A read of the API server serves all that ask for the same within this time.
const READ_EVERY: Duration = Duration::from_secs(1);
/// Workloads of which the last read is remembered; then all are forgotten.
const REMEMBERED: usize = 1024;
/// How long our watch may take to bring what the API server has.
const BEHIND: Duration = Duration::from_secs(5);
/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(20);
/// `after=` without a rollout is answered so long after that time (`truths.md` 14).
const NO_ROLLOUT: i64 = 60 * SECOND;

/// The parameters that pin.
pub(super) const PARAMETERS: [&str; 6] =
    ["deploy", "revision", "generation", "image", "after", "uid"];

/// Somebody who waits for the end of one workload's rollout.
#[derive(Clone, Debug)]
pub(super) struct Waiter {
    pub(super) workload: Arc<WorkloadId>,
    pin: Pin,
    course: Option<u64>,
    /// Our watch is known not to be behind what was asked about. Before that an old end may be all that
    /// is known, and nothing is said.
    pub(super) sure: bool,
    /// It was given the result.
    pub(super) done: bool,
}

/// A result, and where its record stands.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    pub(super) result: Arc<RolloutResult>,
    told: Option<u64>,
}

/// Workloads as the API server has them, each read at most once a second.
#[derive(Clone, Default)]
pub struct Reads {
    known: Arc<Mutex<HashMap<Arc<WorkloadId>, Arc<Slot>>>>,
}

/// What came of a read: the object, or that there is none; `None` if it could not be read.
type Read = Option<Option<Version>>;

#[derive(Default)]
struct Slot {
    last: tokio::sync::Mutex<Option<(Instant, Read)>>,
}

// === impl Waiter ===

impl Waiter {
    /// Waits for the rollout that the pin leads to, now or later.
    pub(super) fn new(workload: Arc<WorkloadId>, pin: Pin) -> Self {
        let sure = !pin.is_free();
        Waiter { workload, pin, course: None, sure, done: false }
    }

    /// Makes sure, if that is needed and can be done now.
    pub(super) async fn make_sure(&mut self, service: &Service) {
        if !self.sure {
            // One that is gone since it was found is said to be deleted.
            self.sure = catch_up(service, &self.workload).await.unwrap_or(true);
        }
    }

    /// Goes on behind a position of this journal: waits for the rollout that was waited for there, whose
    /// result had not been said.
    pub(super) fn resume(mut self, model: &Model, seq: u64) -> Self {
        if self.pin.is_free() {
            let courses = model.rollouts(&self.workload);
            let unheard = |course: &&Course| match course.said() {
                None => true,
                Some(_) => course.told.is_some_and(|told| told > seq),
            };
            self.course = courses.iter().rev().find(unheard).map(|course| course.number);
            self.sure = self.course.is_some();
        }
        self
    }

    /// Whether a certain rollout was asked for that was not seen yet.
    pub(super) fn is_unseen(&self) -> bool {
        self.sure && self.course.is_none() && !self.pin.is_free()
    }

    /// How the rollout stands that is waited for, if it is known which one that is.
    pub(super) fn standing(&self, model: &Model) -> Option<Arc<RolloutStatus>> {
        model.course_of(&self.workload, self.course?)?.status.clone()
    }

    /// The object that the rollout is about which is waited for.
    pub(super) fn uid(&self, model: &Model) -> Option<Arc<str>> {
        model.course_of(&self.workload, self.course?).map(|course| Arc::clone(course.uid()))
    }

    /// Whether it is by inference that the pin led to the rollout that is waited for.
    pub(super) fn is_inferred(&self, model: &Model) -> bool {
        self.course.is_some_and(|number| model.is_inferred(&self.workload, &self.pin, number))
    }

    /// The result, if there is one by now.
    pub(super) fn look(&mut self, model: &Model) -> Option<Ended> {
        if !self.sure {
            return None;
        }
        if model.is_passed(&self.workload, &self.pin) {
            // What tells that may come after what it was taken for.
            self.course = None;
        }
        if self.course.is_none() {
            match model.find(&self.workload, &self.pin) {
                Found::Course(number) => self.course = Some(number),
                // What needs history that was lost is not known (`truths.md` 17).
                Found::Passed => {
                    let other = self
                        .pin
                        .uid
                        .as_deref()
                        .is_some_and(|uid| !model.has_uid(&self.workload, uid));
                    let words = if other {
                        "the object that is there has another uid; of the one that is meant nothing is known here"
                    } else if model.is_passed(&self.workload, &self.pin) {
                        "this deploy's id was there before the newest change, which kept it, so which of them it \
                         names is not known here; an id names a change only if it is set in it, and by no other"
                    } else {
                        "a newer change began since; how this one ended is not known here"
                    };
                    return Some(self.made_up(model, Outcome::Unknown, words));
                }
                Found::Waiting => {
                    // The runs of a CronJob come when it is their time.
                    let after = self.pin.after.filter(|_| self.workload.kind != Kind::CronJob);
                    let limit = after.map(|after| after.saturating_add(NO_ROLLOUT));
                    // One that runs and does not know yet when it began may be the one.
                    let open = model.is_open(&self.workload)
                        && model.current(&self.workload).is_some_and(|it| it.started.is_none());
                    let late = limit.is_some_and(|limit| limit < time::now()) && !open;
                    let words = "no rollout began after the time that was given";
                    return late.then(|| self.made_up(model, Outcome::Unknown, words));
                }
            }
        }
        let number = self.course?;
        let Some(course) = model.course_of(&self.workload, number) else {
            // Twenty newer ones began since, or the workload is gone for long: it may have ended well.
            let words = "how this one ended is not known here any more";
            return Some(self.made_up(model, Outcome::Unknown, words));
        };
        let result = course.said()?.clone();
        let inferred = model.is_inferred(&self.workload, &self.pin, number);
        if inferred && result.outcome == Outcome::Superseded {
            // It may never have been this one's.
            self.course = None;
            return None;
        }
        let result = match inferred {
            true => Arc::new(RolloutResult { inferred, ..(*result).clone() }),
            false => result,
        };
        Some(Ended { result, told: course.told })
    }

    fn made_up(&self, model: &Model, outcome: Outcome, message: &str) -> Ended {
        let status = model.current(&self.workload);
        let result = RolloutResult {
            time: time::now(),
            outcome,
            revision: self.pin.revision.as_deref().map(Arc::from),
            generation: status.as_ref().map_or(0, |status| status.generation),
            ready: status.as_ref().map_or(0, |status| status.ready),
            desired: status.as_ref().map_or(0, |status| status.desired),
            duration_ms: None,
            reason: None,
            message: message.to_owned(),
            pods: Vec::new(),
            events: Vec::new(),
            inferred: false,
        };
        Ended { result: Arc::new(result), told: None }
    }
}

// === impl Ended ===

impl Ended {
    /// The position that the event of a result has, which has reached this sequence number: behind all that
    /// was sent, with the result's own time, which no other event has. `None` while the record about it is
    /// still to come.
    pub(super) fn position(&self, reached: u64) -> Option<Position> {
        let position = Position { seq: reached, time: self.result.time };
        self.told.is_none_or(|told| told <= reached).then_some(position)
    }

    fn is(&self, id: &EventId) -> bool {
        let time = self.result.time.max(0).unsigned_abs() / MILLISECOND.unsigned_abs();
        self.told.is_none_or(|told| told <= id.seq) && id.unix_ms == time
    }
}

/// Whether an id is that of the result that a pin leads to, so that there is nothing more to come for its
/// stream. An id that was kept from another rollout says nothing of the one that is asked for.
pub(super) fn is_final(model: &Model, workload: &WorkloadId, pin: &Pin, id: &EventId) -> bool {
    let wanted = (!pin.is_free()).then(|| model.find(workload, pin));
    model.rollouts(workload).into_iter().any(|course| {
        if wanted.is_some_and(|wanted| wanted != Found::Course(course.number)) {
            return false;
        }
        let ended = course.said().map(|result| Ended { result: result.clone(), told: course.told });
        ended.is_some_and(|ended| ended.is(id))
    })
}

/// Takes one parameter into a pin; `false` if it is none of a pin's.
///
/// # Errors
/// 400 naming the parameter and what it may be.
pub(super) fn take(pin: &mut Pin, name: &str, value: &str) -> Result<bool, Problem> {
    /// More than any annotation, revision or image name that makes sense.
    const LONGEST: usize = 1024;
    let words = || {
        let valid = !value.is_empty() && value.len() <= LONGEST;
        let wrong = || Problem::bad_request(name, "expected 1 to 1024 characters");
        valid.then(|| value.to_owned()).ok_or_else(wrong)
    };
    match name {
        "deploy" => pin.deploy = Some(words()?),
        "revision" => pin.revision = Some(words()?),
        "image" => pin.image = Some(words()?),
        "uid" => pin.uid = Some(words()?),
        "generation" => {
            let number = value.parse().ok().filter(|number| *number > 0);
            let wrong = || Problem::bad_request("generation", "expected a number from 1 on");
            pin.generation = Some(number.ok_or_else(wrong)?);
        }
        "after" => {
            let whole = |(time, len): (i64, usize)| (len == value.len()).then_some(time);
            let time = parse_stamp(value.as_bytes()).and_then(whole);
            let wrong = || Problem::bad_request("after", "expected a time: 2026-11-22T14:02:38Z");
            pin.after = Some(time.ok_or_else(wrong)?);
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// Refuses a pin that says too little: an old rollout may have had the same image.
///
/// # Errors
/// 400.
pub(super) fn check(pin: &Pin) -> Result<(), Problem> {
    let alone = Pin { image: None, ..pin.clone() }.is_free();
    if pin.image.is_some() && alone {
        let words = "does not say which rollout: an earlier one may have set the same image; give \
                     deploy, revision, generation or after, too";
        return Err(Problem::bad_request("image", words));
    }
    Ok(())
}

/// Refuses a pin that can name no rollout of a workload.
///
/// # Errors
/// 400.
pub(super) fn check_for(pin: &Pin, workload: &WorkloadId) -> Result<(), Problem> {
    if pin.deploy.is_some() && workload.kind == Kind::CronJob {
        let words = format!(
            "names no run of {workload}: changing a CronJob begins none; give after=TIME, for a run that begins \
             then or later, or the uid of a Job"
        );
        return Err(Problem::bad_request("deploy", &words));
    }
    Ok(())
}

/// Waits until our watch is not behind what the API server has of a workload now. `false` if that cannot
/// be made sure of: it cannot be read, or the watch does not follow.
///
/// # Errors
/// 404 if there is none.
pub(super) async fn catch_up(
    service: &Service,
    workload: &Arc<WorkloadId>,
) -> Result<bool, Problem> {
    let WorkloadId { namespace, kind, name } = &**workload;
    match service.reads.version(service, workload).await {
        Some(Some(Version { uid, generation, run })) => {
            // The model, not the index: what it says is what is told.
            let behind = || !service.model.lock().has(workload, &uid, generation, run.as_deref());
            let follows = async {
                while behind() {
                    sleep(LOOK).await;
                }
            };
            Ok(timeout(BEHIND, follows).await.is_ok())
        }
        Some(None) if !service.model.lock().knows(workload) => {
            Err(missing(service, absent(*kind, name, namespace)))
        }
        // It was deleted, and our watch does not know yet.
        Some(None) | None => Ok(false),
    }
}

// === impl Reads ===

impl Reads {
    /// A workload as it is now or was after this was asked. `None` if it cannot be read, `Some(None)` if
    /// there is none.
    async fn version(&self, service: &Service, workload: &Arc<WorkloadId>) -> Read {
        let asked = Instant::now();
        let slot = {
            let mut known = self.known.lock();
            if known.len() >= REMEMBERED && !known.contains_key(workload) {
                known.clear();
            }
            known.entry(Arc::clone(workload)).or_default().clone()
        };
        let mut last = slot.last.lock().await;
        if let Some((began, read)) = &*last {
            if *began > asked {
                return read.clone();
            }
            sleep_until(*began + READ_EVERY).await;
        }
        let began = Instant::now();
        let read = service.cluster.version_of(workload).await;
        let read = read.inspect_err(|error| {
            tracing::debug!(%workload, error = %error, "a workload cannot be read");
        });
        let read = read.ok();
        *last = Some((began, read.clone()));
        read
    }
}
