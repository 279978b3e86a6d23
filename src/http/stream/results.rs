//! What a stream until a result waits for.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::query::{Query, Until};
use crate::http::Service;
use crate::http::pin::Waiter;
use crate::ids::{Outcome, WorkloadId};
use crate::wire::{Encoder, Position};

/// What does not depend on news is looked at so often.
const LOOK: Duration = Duration::from_secs(5);

/// The results that end a stream.
pub(super) struct Awaited {
    waiters: Vec<Waiter>,
    news: watch::Receiver<u64>,
    service: Service,
    attempt: Option<Attempt>,
    /// One of them was no success.
    bad: bool,
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
        workloads: &[Arc<WorkloadId>],
    ) -> Option<Self> {
        if query.until == Until::Never {
            return None;
        }
        let news = service.news.subscribe();
        let here = |id: &crate::wire::EventId| id.epoch == service.journal.epoch();
        let resumed = query.resume.filter(here).map(|id| id.seq);
        let mut waiters: Vec<_> = {
            let model = service.model.lock();
            let one = |workload: &Arc<WorkloadId>| {
                let waiter = Waiter::new(workload.clone(), query.pin.clone());
                match resumed {
                    Some(seq) => waiter.resume(&model, seq),
                    None => waiter,
                }
            };
            workloads.iter().map(one).collect()
        };
        let all = waiters.iter_mut().map(|waiter| waiter.make_sure(service));
        // What is not sure by then is tried again and again.
        let _ = timeout(AT_FIRST, join_all(all)).await;
        let (service, attempt) = (service.clone(), None);
        Some(Awaited { waiters, news, service, attempt, bad: false })
    }

    /// Writes the results that there are by now, and says whether those were all.
    pub(super) fn write(
        &mut self,
        encoder: &Encoder,
        reached: u64,
        out: &mut Vec<u8>,
    ) -> Option<Position> {
        self.news.mark_unchanged();
        let mut last = None;
        for waiter in self.waiters.iter_mut().filter(|waiter| !waiter.done) {
            let ended = waiter.look(&self.service.model.lock());
            let Some(ended) = ended else { continue };
            let Some(position) = ended.position(reached) else { continue };
            waiter.done = true;
            self.bad |= ended.result.outcome != Outcome::Succeeded;
            encoder.result(out, position, &waiter.workload, &ended.result);
            last = Some(position);
        }
        last
    }

    /// Whether all were written.
    pub(super) fn is_over(&self) -> bool {
        self.waiters.iter().all(|waiter| waiter.done)
    }

    /// Whether one of them was no success.
    pub(super) fn is_bad(&self) -> bool {
        self.bad
    }

    /// Waits until there may be news.
    pub(super) async fn changed(&mut self) {
        if self.waiters.iter().any(|waiter| !waiter.sure) {
            if self.attempt.is_none() {
                self.attempt = Some(self.try_again());
            }
            if let Some(attempt) = &mut self.attempt {
                for sure in attempt.await {
                    self.waiters[sure].sure = true;
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
        let unsure = self.waiters.iter().enumerate().filter(|(_, waiter)| !waiter.sure);
        let mut unsure: Vec<_> = unsure.map(|(at, waiter)| (at, waiter.clone())).collect();
        Box::pin(async move {
            sleep(AGAIN).await;
            join_all(unsure.iter_mut().map(|(_, waiter)| waiter.make_sure(&service))).await;
            unsure.into_iter().filter(|(_, waiter)| waiter.sure).map(|(at, _)| at).collect()
        })
    }
}
