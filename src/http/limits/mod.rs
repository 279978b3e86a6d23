//! What all streams together, and one user's, may take of this replica.
//!
//! Every stream takes a [`Place`] before its first byte and gives it back when it is dropped. Two
//! things refuse one: its user has as many as one may have, or memory is short. When memory is very
//! short, streams that have a place are asked to leave, those furthest behind first: they hold the
//! most unsent bytes, and they resume where they were, here or elsewhere.
//!
//! Invariants:
//! - A user's count is the number of the user's places, whatever ended them.
//! - Nobody is asked to leave before new streams are refused.
//!
//! Uses the hallway and `problem`.

mod pressure;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use self::pressure::Pressure;
use super::problem::Problem;
use super::serve::Stall;
use crate::ids::WorkloadId;
use crate::telemetry::Metrics;
use crate::telemetry::events::LimitReached;

/// When to come back to a user's limit: somebody has to close a stream first.
const AGAIN: Duration = Duration::from_secs(5);
/// When to come back while memory is short: what is freed is seen some seconds later.
const MEMORY_AGAIN: Duration = Duration::from_secs(15);
/// One in so many streams is asked to leave at a time.
const SHED: usize = 20;
/// How long one that was asked to leave may take to read its goodbye; then it is cut.
const GOODBYE: Duration = Duration::from_secs(2);
/// One that has taken nothing for so long would not read a goodbye, and is cut at once.
const STUCK: Duration = Duration::from_secs(1);

/// The limits of this replica. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Limits {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    per_user: Option<usize>,
    pressure: AtomicU8,
    metrics: Arc<Metrics>,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    /// In the order in which they came.
    places: BTreeMap<u64, Arc<Seat>>,
    count: u64,
    users: HashMap<Arc<str>, usize>,
}

/// One stream, as the limits see it.
#[derive(Debug)]
struct Seat {
    user: Arc<str>,
    /// Whose records it reads; `None` for several workloads, which are read by the journal's head.
    workload: Option<Arc<WorkloadId>>,
    /// The last sequence number that was handed out; the largest of all before the first piece.
    after: AtomicU64,
    leave: CancellationToken,
    asked: Mutex<Option<Instant>>,
    stall: Stall,
}

/// The right to be one of the streams; kept as long as the stream is open.
#[derive(Debug)]
pub struct Place {
    inner: Arc<Inner>,
    key: u64,
    seat: Arc<Seat>,
}

// === impl Limits ===

impl Limits {
    /// `per_user` streams for each user, or as many as each likes.
    pub fn new(per_user: Option<usize>, metrics: Arc<Metrics>) -> Self {
        let inner = Inner { per_user, pressure: AtomicU8::new(0), metrics, open: Mutex::default() };
        Limits { inner: Arc::new(inner) }
    }

    /// A place for a stream of `user` over `workload`, or over several. `stall` can cut it.
    ///
    /// # Errors
    /// 503 of type `limited` while memory is short, 429 when the user has no place left; both say
    /// when to come back.
    pub fn enter(
        &self,
        user: &str,
        workload: Option<&Arc<WorkloadId>>,
        stall: &Stall,
    ) -> Result<Place, Problem> {
        if self.pressure() >= Pressure::Full {
            LimitReached { limit: "memory", who: &user }.emit(&self.inner.metrics);
            let words = "this replica is short of memory and takes no further stream; try again \
                         later";
            return Err(Problem::overloaded(words, MEMORY_AGAIN));
        }
        let mut open = self.inner.open.lock();
        let user: Arc<str> = match open.users.get_key_value(user) {
            Some((known, _)) => known.clone(),
            None => user.into(),
        };
        let count = open.users.get(&user).copied().unwrap_or(0);
        if let Some(most) = self.inner.per_user.filter(|most| count >= *most) {
            drop(open);
            LimitReached { limit: "streams_per_user", who: &user }.emit(&self.inner.metrics);
            let words = format!(
                "{count} streams of this user are open, and one user may have {most}: close one"
            );
            return Err(Problem::limited(words, AGAIN));
        }
        open.users.insert(user.clone(), count + 1);
        open.count += 1;
        let seat = Arc::new(Seat {
            user,
            workload: workload.cloned(),
            after: AtomicU64::new(u64::MAX),
            leave: CancellationToken::new(),
            asked: Mutex::default(),
            stall: stall.clone(),
        });
        let key = open.count;
        open.places.insert(key, seat.clone());
        Ok(Place { inner: self.inner.clone(), key, seat })
    }

    /// Streams that have a place.
    pub fn open(&self) -> usize {
        self.inner.open.lock().places.len()
    }

    /// How short memory is.
    pub fn pressure(&self) -> Pressure {
        Pressure::from_level(self.inner.pressure.load(Ordering::Relaxed))
    }

    /// Tells how short memory is.
    pub fn set_pressure(&self, pressure: Pressure) {
        self.inner.pressure.store(pressure.level(), Ordering::Relaxed);
    }

    /// Asks the streams to leave that are furthest behind the `head` of what they read, one in
    /// twenty and at least one; of those that are equally far the last that came. Who takes nothing,
    /// or was asked some seconds ago and is still there, is cut. Gives how many were asked.
    pub fn shed(&self, head: impl Fn(Option<&Arc<WorkloadId>>) -> u64) -> usize {
        let now = Instant::now();
        let open = self.inner.open.lock();
        let mut stay: Vec<_> = Vec::with_capacity(open.places.len());
        for (key, seat) in &open.places {
            match *seat.asked.lock() {
                None => stay.push((*key, seat)),
                Some(asked) if now - asked >= GOODBYE => seat.stall.cut(),
                Some(_) => {}
            }
        }
        let count = stay.len().div_ceil(SHED);
        stay.sort_by_cached_key(|(key, seat)| {
            let after = seat.after.load(Ordering::Relaxed);
            (Reverse(head(seat.workload.as_ref()).saturating_sub(after)), Reverse(*key))
        });
        for (_, seat) in stay.into_iter().take(count) {
            LimitReached { limit: "memory_shed", who: &seat.user }.emit(&self.inner.metrics);
            *seat.asked.lock() = Some(now);
            seat.leave.cancel();
            if seat.stall.stuck().is_some_and(|stuck| stuck >= STUCK) {
                seat.stall.cut();
            }
        }
        count
    }
}

// === impl Place ===

impl Place {
    /// The stream handed out everything up to this sequence number.
    pub fn at(&self, after: u64) {
        self.seat.after.store(after, Ordering::Relaxed);
    }

    /// Cancelled when the stream is to leave.
    pub fn leave(&self) -> CancellationToken {
        self.seat.leave.clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.inner.open.lock();
        open.places.remove(&self.key);
        if let Some(count) = open.users.get_mut(&self.seat.user) {
            *count -= 1;
            if *count == 0 {
                open.users.remove(&self.seat.user);
            }
        }
    }
}
