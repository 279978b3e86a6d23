//! What others see of one source while it is wanted, and how far a workload is surely read.
//!
//! A follower writes here at its turning points and once a batch; whoever asks reads without waiting
//! for it. Ids of a stream carry the low-water mark of the sources it shows, so the mark is asked for
//! with each append: while every source is read live that is one load of an atomic.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::lag::AHEAD;
use crate::ids::{SourceState, WorkloadId};
use crate::time;

/// How far the sources of one workload that are not read live had come.
#[derive(Debug, Default)]
pub(super) struct Water {
    /// How many there are, so that nobody takes the lock for none.
    behind: AtomicUsize,
    sources: Mutex<HashMap<u64, Arc<AtomicI64>>>,
    numbers: AtomicU64,
    /// Ends all reading: a source that stops from then on holds the mark where it stood.
    shutdown: CancellationToken,
}

/// How far the sources of every leased workload are surely read. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Waters {
    by_workload: Arc<RwLock<HashMap<Arc<WorkloadId>, Arc<Water>>>>,
    shutdown: CancellationToken,
}

/// One wanted source.
#[derive(Debug)]
pub(super) struct Level {
    water: Arc<Water>,
    number: u64,
    /// The stamp of the last line that was handed on; before the first, when its container began.
    last: Arc<AtomicI64>,
    /// What it held when it was opened has been appended, or waits for something that may take long.
    caught_up: AtomicBool,
    /// It is open and has shown what it held.
    reading: AtomicBool,
    made: Instant,
    /// When something came, or it was opened, in milliseconds since it was made.
    heard: AtomicU64,
    ahead: AtomicI64,
    seen: Mutex<Seen>,
}

/// A log that is read and silent for so long has said all that it held: a node or an API server without
/// room to breathe may stop in the middle of an answer for some seconds.
const SILENT: Duration = Duration::from_secs(10);

/// What is known about a source, for those who ask.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) state: SourceState,
    pub(super) reason: Option<&'static str>,
    /// Since when it is in this state.
    pub(super) since: Instant,
    pub(super) from_start: Option<bool>,
    pub(super) first_time: Option<i64>,
    pub(super) tail_cut: bool,
    /// It goes on behind what an earlier process had read, or a gap says what is missing.
    pub(super) continued: bool,
}

// === impl Waters ===

impl Waters {
    /// Nothing is read yet. The token is the one that ends all followers.
    pub fn new(shutdown: CancellationToken) -> Self {
        Waters { by_workload: Arc::default(), shutdown }
    }

    /// The oldest stamp up to which a source of this workload was handed on that is wanted but not
    /// read live at present; `None` if all are. See [`Tail::low_water`](super::Tail::low_water).
    pub fn low(&self, workload: &WorkloadId) -> Option<i64> {
        self.by_workload.read().get(workload)?.low()
    }

    pub(super) fn of(&self, workload: &Arc<WorkloadId>) -> Arc<Water> {
        if let Some(water) = self.by_workload.read().get(workload) {
            return water.clone();
        }
        let shutdown = self.shutdown.clone();
        let water = || Arc::new(Water { shutdown, ..Water::default() });
        self.by_workload.write().entry(workload.clone()).or_insert_with(water).clone()
    }

    pub(super) fn forget(&self, workload: &WorkloadId) {
        self.by_workload.write().remove(workload);
    }
}

// === impl Water ===

impl Water {
    /// The oldest last stamp of the sources that are not read live; `None` if all are.
    pub(super) fn low(&self) -> Option<i64> {
        if self.behind.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.sources.lock().values().map(|last| last.load(Ordering::Relaxed)).min()
    }
}

// === impl Level ===

impl Level {
    /// A source that is wanted and not read yet; `last` is as far as it was read before, or when its
    /// container began.
    pub(super) fn new(water: &Arc<Water>, last: i64, reason: Option<&'static str>) -> Arc<Level> {
        let level = Level {
            water: water.clone(),
            number: water.numbers.fetch_add(1, Ordering::Relaxed),
            last: Arc::new(AtomicI64::new(last)),
            caught_up: AtomicBool::new(false),
            reading: AtomicBool::new(false),
            made: Instant::now(),
            heard: AtomicU64::new(0),
            ahead: AtomicI64::new(0),
            seen: Mutex::new(Seen {
                state: SourceState::Waiting,
                reason,
                since: Instant::now(),
                from_start: None,
                first_time: None,
                tail_cut: false,
                continued: false,
            }),
        };
        level.weigh();
        Arc::new(level)
    }

    /// What it held when it was opened has been appended. It stays so.
    pub(super) fn catch_up(&self) {
        self.caught_up.store(true, Ordering::Release);
        self.weigh();
    }

    /// Whether what it held when it was opened has been appended.
    pub(super) fn caught_up(&self) -> bool {
        self.caught_up.load(Ordering::Acquire)
    }

    /// It is open and shows the present, or is so no longer.
    pub(super) fn set_reading(&self, reading: bool) {
        if self.reading.swap(reading, Ordering::AcqRel) != reading {
            self.hear(Instant::now());
            self.weigh();
        }
    }

    /// Lines up to this stamp have been appended.
    pub(super) fn delivered(&self, last: i64) {
        self.last.store(last, Ordering::Release);
    }

    /// So far the clock of its node is ahead of ours, as a line showed that came before its time; a
    /// number below 0, or 0. That one is behind cannot be told from a backlog that comes slowly.
    pub(super) fn set_ahead(&self, ahead: i64) {
        self.ahead.store(ahead, Ordering::Relaxed);
    }

    /// Whether all has been appended that it held at `time`: it is read, and what it said last is younger,
    /// by our clock, or nothing came for long.
    pub(super) fn has_passed(&self, time: i64) -> bool {
        if !self.caught_up() || !self.reading.load(Ordering::Acquire) {
            return false;
        }
        let last = self.last().saturating_add(self.ahead.load(Ordering::Relaxed));
        // What lies further in the future than clocks usually differ is measured soon.
        let latest = time::now().saturating_add(AHEAD);
        let younger = (time.saturating_add(AHEAD)..=latest).contains(&last);
        let heard = Duration::from_millis(self.heard.load(Ordering::Relaxed));
        younger || self.made.elapsed().saturating_sub(heard) >= SILENT
    }

    /// Something came then, of whatever use.
    pub(super) fn hear(&self, at: Instant) {
        let heard = at.saturating_duration_since(self.made).as_millis();
        self.heard.store(u64::try_from(heard).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How far it was read.
    pub(super) fn last(&self) -> i64 {
        self.last.load(Ordering::Acquire)
    }

    /// What is known about it.
    pub(super) fn seen(&self) -> Seen {
        *self.seen.lock()
    }

    /// Changes what is known about it.
    pub(super) fn see(&self, with: impl FnOnce(&mut Seen)) {
        let mut seen = self.seen.lock();
        let before = (seen.state, seen.reason);
        with(&mut seen);
        if (seen.state, seen.reason) != before {
            seen.since = Instant::now();
        }
    }

    /// Puts it among those that hold the mark back, or takes it out.
    fn weigh(&self) {
        let mut sources = self.water.sources.lock();
        let live = self.caught_up() && self.reading.load(Ordering::Acquire);
        if live {
            sources.remove(&self.number);
        } else {
            sources.insert(self.number, self.last.clone());
        }
        self.water.behind.store(sources.len(), Ordering::Release);
    }
}

impl Drop for Level {
    fn drop(&mut self) {
        let mut sources = self.water.sources.lock();
        // What nobody wants holds nothing back. But whoever is still given something while the process
        // ends comes back with its id, and to him nothing is read behind this.
        if self.water.shutdown.is_cancelled() {
            let live = self.caught_up() && self.reading.load(Ordering::Acquire);
            let last = if live { Arc::new(AtomicI64::new(time::now())) } else { self.last.clone() };
            sources.insert(self.number, last);
        } else {
            sources.remove(&self.number);
        }
        self.water.behind.store(sources.len(), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_is_the_oldest_of_those_that_are_not_read_live() {
        let water = Arc::new(Water::default());
        assert_eq!(water.low(), None);
        let (a, b) = (Level::new(&water, 10, None), Level::new(&water, 20, None));
        assert_eq!(water.low(), Some(10));
        for level in [&a, &b] {
            level.catch_up();
            level.set_reading(true);
        }
        assert_eq!(water.low(), None, "all are live");
        b.delivered(30);
        b.set_reading(false);
        a.delivered(40);
        assert_eq!(water.low(), Some(30));
        drop(b);
        assert_eq!(water.low(), None, "what nobody wants holds nothing back");
        water.shutdown.cancel();
        let (behind, now) = (Level::new(&water, 35, None), time::now());
        drop(a);
        assert!(water.low() == Some(35));
        behind.catch_up();
        behind.set_reading(true);
        assert!(water.low() >= Some(now), "behind it nobody reads any more");
    }

    #[tokio::test(start_paused = true)]
    async fn a_log_has_passed_a_time_when_it_says_something_younger_or_nothing_for_long() {
        let level = Level::new(&Arc::default(), 5, None);
        let before = time::now();
        level.catch_up();
        level.delivered(before + AHEAD);
        assert!(!level.has_passed(before), "it is not open");
        level.set_reading(true);
        assert!(level.has_passed(before) && !level.has_passed(before + 1));
        level.set_ahead(-1);
        assert!(!level.has_passed(before), "its clock is ahead");
        level.set_ahead(0);
        level.delivered(before + 60 * AHEAD);
        assert!(!level.has_passed(before), "so is this one's");
        tokio::time::sleep(SILENT).await;
        assert!(level.has_passed(before), "whatever it says, it is silent");
        level.hear(Instant::now());
        assert!(!level.has_passed(before), "not any more");
    }

    #[test]
    fn a_history_that_waits_to_be_merged_is_not_live() {
        let water = Arc::new(Water::default());
        let level = Level::new(&water, 5, None);
        level.set_reading(true);
        assert_eq!(water.low(), Some(5));
        level.catch_up();
        assert_eq!(water.low(), None);
    }
}
