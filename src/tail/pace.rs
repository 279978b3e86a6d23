//! Spreads the opening of streams: a rollout of 500 pods must not stampede the API server, whose
//! priority and fairness does not cover log streams.
//!
//! The most urgent class goes first, first come first served within a class; every eighth turn is
//! for whoever waits longest, so that nobody waits for ever.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, SemaphorePermit, oneshot};
use tokio::time::{Instant, sleep_until};

/// Classes of urgency, 0 first.
pub(super) const CLASSES: u8 = 4;
/// Reads beside follows at a time: when an API server stands still, all follows are silent at once.
const LOOKS_AT_ONCE: usize = 16;
/// One turn of so many is for the oldest of all.
const FAIR_TURN: u64 = 8;

/// Hands out permission to open, so many a second.
#[derive(Debug)]
pub(super) struct Pace {
    every: Duration,
    /// Openings that may come at once after a quiet time.
    burst: u32,
    queue: Mutex<Queue>,
    came: Notify,
    looks: Semaphore,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: BTreeMap<(u8, u64), oneshot::Sender<()>>,
    tickets: u64,
    served: u64,
}

// === impl Pace ===

impl Pace {
    /// So many a second, at least one. Nobody gets a turn unless [`Pace::run`] runs.
    pub(super) fn new(per_second: u32) -> Self {
        let per_second = per_second.max(1);
        Pace {
            every: Duration::from_secs(1) / per_second,
            // A tenth of a second's worth: a page with a few pods opens without delay.
            burst: (per_second / 10).max(1),
            queue: Mutex::default(),
            came: Notify::new(),
            looks: Semaphore::new(LOOKS_AT_ONCE),
        }
    }

    /// Waits for its turn. Whoever stops waiting takes nobody's turn.
    pub(super) async fn turn(&self, class: u8) {
        let turn = self.queue.lock().join(class.min(CLASSES - 1));
        self.came.notify_one();
        // An error would mean that the queue is gone, which it is not while we hold it.
        let _ = turn.await;
    }

    /// Permission for a short read beside a follow, while it is held; `None` if there are as many as may
    /// be.
    pub(super) fn look(&self) -> Option<SemaphorePermit<'_>> {
        self.looks.try_acquire().ok()
    }

    /// How many wait for their turn.
    pub(super) fn waiting(&self) -> usize {
        self.queue.lock().waiting.len()
    }

    /// Hands out turns, for ever.
    pub(super) async fn run(&self) {
        let mut next: Option<Instant> = None;
        loop {
            if self.queue.lock().waiting.is_empty() {
                self.came.notified().await;
                continue;
            }
            let now = Instant::now();
            let earliest = now.checked_sub(self.every * self.burst).unwrap_or(now);
            let due = next.map_or(earliest, |next| next.max(earliest));
            sleep_until(due).await;
            if self.queue.lock().serve() {
                next = Some(due + self.every);
            }
        }
    }
}

// === impl Queue ===

impl Queue {
    fn join(&mut self, class: u8) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        self.tickets += 1;
        self.waiting.insert((class, self.tickets), sender);
        receiver
    }

    /// Gives the next turn to one that still waits; false if there is none.
    fn serve(&mut self) -> bool {
        while let Some(next) = self.pick() {
            let sender = self.waiting.remove(&next);
            if sender.is_some_and(|sender| sender.send(()).is_ok()) {
                self.served += 1;
                return true;
            }
        }
        false
    }

    fn pick(&self) -> Option<(u8, u64)> {
        let firsts = (0..CLASSES).filter_map(|class| {
            self.waiting.range((class, 0)..=(class, u64::MAX)).next().map(|(key, _)| *key)
        });
        if self.served % FAIR_TURN == FAIR_TURN - 1 {
            firsts.min_by_key(|(_, ticket)| *ticket)
        } else {
            firsts.min()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn openings_are_spread_after_a_first_burst() {
        let pace = Pace::new(50);
        let start = Instant::now();
        let turns = async {
            for _ in 0..105 {
                pace.turn(0).await;
            }
        };
        tokio::select! {
            () = pace.run() => {}
            () = turns => {}
        }
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(1_950), "{took:?}");
        assert!(took <= Duration::from_millis(2_100), "{took:?}");
    }

    /// The order in which these classes are served, by their places.
    fn order(classes: &[u8]) -> Vec<usize> {
        let mut queue = Queue::default();
        let mut waits: Vec<_> =
            classes.iter().map(|class| queue.join(*class)).enumerate().collect();
        let mut order = Vec::new();
        while queue.serve() {
            let at = waits.iter_mut().position(|(_, wait)| wait.try_recv().is_ok()).unwrap();
            order.push(waits.remove(at).0);
        }
        order
    }

    #[test]
    fn the_urgent_go_first_and_the_rest_in_order() {
        assert_eq!(order(&[3, 1, 0, 1, 2]), [2, 1, 3, 4, 0]);
    }

    #[test]
    fn one_turn_of_eight_is_for_the_oldest() {
        let mut classes = vec![0; 20];
        classes[0] = 3;
        let served = order(&classes);
        assert_eq!(served.iter().position(|at| *at == 0), Some(7), "{served:?}");
    }

    #[test]
    fn whoever_stopped_waiting_takes_nobodys_turn() {
        let mut queue = Queue::default();
        drop(queue.join(0));
        let mut wait = queue.join(3);
        assert!(queue.serve() && wait.try_recv().is_ok());
        assert!(!queue.serve());
    }
}
