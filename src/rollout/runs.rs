//! The runs of a CronJob that go on beside each other: the newest is its rollout, and who waits for one before
//! it is told how that ended all the same.

use std::sync::Arc;

use super::draft::draft;
use super::job;
use super::model::{Model, Records, Seat};
use crate::ids::{Entry, Outcome, Reason, WorkloadId};
use crate::watch::{Detail, JobEntry, WorkloadEntry};

// === impl Model ===

impl Model {
    /// Says how runs before the newest ended. One that is there no more was replaced.
    pub(super) fn conclude_older(
        &mut self,
        workload: &Arc<WorkloadId>,
        now: i64,
        out: &mut Records,
    ) {
        let Some(seat) = self.seats.get_mut(workload).filter(|_| self.begun) else { return };
        let Some(entry) = seat.cron().map(Arc::clone) else { return };
        let newest = seat.courses.current().map(|course| course.number);
        for course in seat.courses.all_mut() {
            if Some(course.number) == newest || !course.is_open() {
                continue;
            }
            let job = entry.jobs().find(|job| course.is_about(&job.uid));
            let (outcome, reason) = match job.map(|job| (job, job::end(&job.detail))) {
                Some((job, Some(outcome))) => {
                    course.status = Some(Arc::new(job::ended(&entry, job, now)));
                    (outcome, (outcome == Outcome::Failed).then_some(Reason::JobFailed))
                }
                Some((_, None)) => continue,
                None => (Outcome::Superseded, None),
            };
            let Some(status) = &course.status else { continue };
            let result = Arc::new(draft(status, outcome, reason, now));
            course.result = Some(Arc::clone(&result));
            out.push((Arc::clone(workload), Entry::Result(result)));
        }
    }
}

// === impl Seat ===

impl Seat {
    /// The workload, if it is a CronJob.
    fn cron(&self) -> Option<&Arc<WorkloadEntry>> {
        self.entry.as_ref().filter(|entry| matches!(entry.detail, Detail::CronJob { .. }))
    }

    fn run(&self, number: Option<u64>) -> Option<&Arc<JobEntry>> {
        let course = match number {
            Some(number) => self.courses.get(number)?,
            None => self.courses.current()?,
        };
        self.cron()?.jobs().find(|job| course.is_about(&job.uid))
    }

    /// Whether its newest rollout is a run of a CronJob that is there still, maybe beside a newer one.
    pub(super) fn runs_on(&self) -> bool {
        self.run(None).is_some()
    }

    /// The same of the rollout with this number.
    pub(super) fn runs_still(&self, number: u64) -> bool {
        self.run(Some(number)).is_some()
    }

    /// Whether its state is about another run than its newest rollout: that of a CronJob whose Job is gone.
    pub(super) fn is_elsewhere(&self) -> bool {
        let (Some(entry), Some(course)) = (self.cron(), self.courses.current()) else {
            return false;
        };
        entry.jobs().last().is_none_or(|job| !course.is_about(&job.uid))
    }
}
