//! What a stream until a result waits for.

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::demand::Demand;
use super::query::{Query, Until};
use super::waits::{Asked, Course};
use crate::http::Service;
use crate::http::pin::{self, Ended, Waiter};
use crate::ids::{Outcome, PodPhase, PodStatus, Side, WorkloadId};
use crate::rollout;
use crate::subscribe::MAX_WORKLOADS;
use crate::wire::{Encoder, EventId, Position};

/// What does not depend on news is looked at so often.
const LOOK: Duration = Duration::from_secs(5);

/// The results that end a stream.
pub(super) struct Awaited {
    course: Arc<Mutex<Course>>,
    news: watch::Receiver<u64>,
    service: Service,
    pin: rollout::Pin,
    /// A success waits for the pods before it to go.
    gone: bool,
    /// Of a stream over several workloads: what was asked for.
    asked: Option<Asked>,
    attempt: Option<Attempt>,
    /// The version of the index up to which workloads were taken in.
    version: u64,
}

/// What could not be read is tried again after this time.
const AGAIN: Duration = Duration::from_millis(500);
/// How long the beginning of a stream waits for it.
const AT_FIRST: Duration = Duration::from_secs(3);

/// A try to make sure of what is not sure yet: which of the waiters are. It goes on while other things come.
type Attempt = Pin<Box<dyn Future<Output = Vec<usize>> + Send>>;

// === impl Awaited ===

impl Awaited {
    /// What a stream waits for; `None` if it never ends. Makes sure first that what is waited for is what
    /// the API server has.
    pub(super) async fn begin(
        service: &Service,
        query: &Query,
        asked: Option<Asked>,
        workloads: &[Arc<WorkloadId>],
    ) -> Option<Self> {
        if query.until == Until::Never {
            return None;
        }
        let news = service.news.subscribe();
        let id = query.resume.filter(|id| id.epoch == service.journal.epoch());
        let known = asked.as_ref().zip(id).and_then(|(asked, id)| service.waits.resume(asked, &id));
        let mut course = known.unwrap_or_else(|| {
            // One that has no rollout such as is asked for has none to wait for.
            let has = |workload: &&Arc<WorkloadId>| pin::check_for(&query.pin, workload).is_ok();
            let pinned = |workload| (workload, pin_of(service, query, id, workload));
            let pinned: Vec<_> = workloads.iter().filter(has).map(pinned).collect();
            let model = service.model.lock();
            let one = |(workload, pin): (&Arc<WorkloadId>, rollout::Pin)| {
                let waiter = Waiter::new(Arc::clone(workload), pin);
                match id {
                    Some(id) => waiter.resume(&model, id.seq),
                    None => waiter,
                }
            };
            Course::new(pinned.into_iter().map(one).collect())
        });
        let open = course.waiters.iter_mut().filter(|waiter| !waiter.done);
        // What is not sure by then is tried again and again.
        let _ = timeout(AT_FIRST, join_all(open.map(|waiter| waiter.make_sure(service)))).await;
        let course = Arc::new(Mutex::new(course));
        let (service, pin, gone) = (service.clone(), query.pin.clone(), query.gone);
        Some(Awaited { course, news, service, pin, gone, asked, attempt: None, version: 0 })
    }

    /// Has a stream over several workloads remembered, which began behind this sequence number.
    pub(super) fn remember(&self, began: u64) {
        if let Some(asked) = &self.asked {
            self.service.waits.remember(asked.clone(), began, Arc::clone(&self.course));
        }
    }

    /// Waits for what was selected since, too.
    pub(super) fn join(&mut self, demand: &Demand) {
        if demand.version() == self.version {
            return;
        }
        self.version = demand.version();
        let mut course = self.course.lock();
        let known: HashSet<_> =
            course.waiters.iter().map(|waiter| Arc::clone(&waiter.workload)).collect();
        let new = demand.workloads().into_iter().filter(|workload| {
            !known.contains(workload) && pin::check_for(&self.pin, workload).is_ok()
        });
        for workload in new.take(MAX_WORKLOADS.saturating_sub(known.len())) {
            course.waiters.push(Waiter::new(workload, self.pin.clone()));
        }
    }

    /// Writes the results that there are by now, and gives the position of the last one.
    pub(super) fn write(
        &mut self,
        encoder: &Encoder,
        reached: u64,
        out: &mut Vec<u8>,
    ) -> Option<Position> {
        self.news.mark_unchanged();
        let mut course = self.course.lock();
        let mut last = None;
        for at in 0..course.waiters.len() {
            let waiter = &mut course.waiters[at];
            if waiter.done {
                continue;
            }
            let ended = {
                let model = self.service.model.lock();
                let waits = self.gone && has_old_pods(&model, &waiter.workload);
                let good = |ended: &Ended| ended.result.outcome == Outcome::Succeeded;
                waiter.look(&model).filter(|ended| !(waits && good(ended)))
            };
            let Some(ended) = ended else { continue };
            let Some(position) = ended.position(reached) else { continue };
            let position = course.say(at, &ended, position);
            encoder.result(out, position, &course.waiters[at].workload, &ended.result);
            last = Some(position);
        }
        last
    }

    /// The workloads of which a certain rollout was asked for that was not seen yet.
    pub(super) fn unseen(&self) -> Vec<Arc<WorkloadId>> {
        let course = self.course.lock();
        let unseen = course.waiters.iter().filter(|waiter| !waiter.done && waiter.is_unseen());
        unseen.map(|waiter| Arc::clone(&waiter.workload)).collect()
    }

    /// Whether all were written.
    pub(super) fn is_over(&self) -> bool {
        self.course.lock().is_over()
    }

    /// Whether one of them was no success.
    pub(super) fn is_bad(&self) -> bool {
        self.course.lock().is_bad()
    }

    /// Waits until there may be news.
    pub(super) async fn changed(&mut self) {
        let unsure = |waiter: &Waiter| !waiter.sure && !waiter.done;
        if self.course.lock().waiters.iter().any(unsure) {
            if self.attempt.is_none() {
                self.attempt = Some(self.try_again());
            }
            if let Some(attempt) = &mut self.attempt {
                let sure = attempt.await;
                let mut course = self.course.lock();
                for at in sure {
                    course.waiters[at].sure = true;
                }
            }
            self.attempt = None;
            return;
        }
        tokio::select! {
            // Its sender lives as long as the service.
            _ = self.news.changed() => {}
            () = sleep(LOOK) => {}
        }
    }

    fn try_again(&self) -> Attempt {
        let service = self.service.clone();
        let mut unsure: Vec<_> = {
            let course = self.course.lock();
            let all = course.waiters.iter().enumerate();
            let unsure = all.filter(|(_, waiter)| !waiter.sure && !waiter.done);
            unsure.map(|(at, waiter)| (at, waiter.clone())).collect()
        };
        Box::pin(async move {
            sleep(AGAIN).await;
            join_all(unsure.iter_mut().map(|(_, waiter)| waiter.make_sure(&service))).await;
            unsure.into_iter().filter(|(_, waiter)| waiter.sure).map(|(at, _)| at).collect()
        })
    }
}

/// Whether pods of another revision than the newest are there, be it that they are being deleted: nobody counts
/// those before Kubernetes 1.35 (`truths.md` 15).
fn has_old_pods(model: &rollout::Model, workload: &WorkloadId) -> bool {
    let is_old = |pod: &Arc<PodStatus>| pod.side == Side::Old && pod.phase != PodPhase::Gone;
    model.pods(workload).iter().any(is_old)
}

/// Which rollout is waited for. Who comes back to a process that was started since means the one that was
/// told of up to there, which the journal knows: what that process has seen begin is a newer one.
fn pin_of(
    service: &Service,
    query: &Query,
    id: Option<EventId>,
    workload: &Arc<WorkloadId>,
) -> rollout::Pin {
    let inherited = id.filter(|id| id.seq <= service.journal.inherited());
    let told = inherited.filter(|_| query.pin.is_free()).and_then(|id| {
        let status = service.journal.shelf(workload).last_rollout(id.seq)?;
        Some(rollout::Pin { uid: query.pin.uid.clone(), ..rollout::Pin::of(&status) })
    });
    told.unwrap_or_else(|| query.pin.clone())
}
