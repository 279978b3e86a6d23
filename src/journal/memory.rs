//! The journal in memory.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use super::epoch::Epoch;
use super::missed::Slice;
use super::restore::{Loading, Restored};
use super::shelf::{Freed, Shelf};
use super::shelves::Shelves;
use super::store::{Attempt, Holds, Opened, Record, Restart, Status, Store};
use crate::ids::{AttemptKey, Entry, WorkloadId};

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes for one workload.
    pub workload_bytes: usize,
    /// Bytes for all workloads together.
    pub total_bytes: usize,
    /// Nothing older is kept.
    pub age: Duration,
}

/// A handle to the one journal of this replica. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Journal {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    epoch: Epoch,
    limits: Limits,
    /// Held while a sequence number is issued and its record put on a shelf, so that numbers appear
    /// on every shelf in order.
    writer: Mutex<Writer>,
    shelves: RwLock<Shelves>,
    store: Option<Arc<dyn Store>>,
    /// Why there is none although there should be one.
    unstored: Option<String>,
    /// What is known of the process before, if the store told.
    before: Before,
    bytes: AtomicU64,
    /// Bytes that all workloads together may hold now.
    bound: AtomicU64,
    evicted: AtomicU64,
    head: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Before {
    restart: Option<Restart>,
    /// This one and those before it.
    restarts: Vec<Restart>,
    attempts: Vec<Attempt>,
    /// The last sequence number that was issued, or may have been.
    head: u64,
    /// When the last record was appended.
    until: Option<i64>,
}

#[derive(Debug)]
struct Writer {
    next: u64,
    /// Entries in the order in which they came, for eviction over all workloads. An entry that its
    /// shelf forgot already is passed over.
    order: VecDeque<(u64, Arc<Shelf>)>,
    /// Entries of `order` that their shelf forgot already.
    stale: usize,
}

/// Stale entries in the order of eviction that are tolerated before they are swept out, so that a
/// sweep is paid for by as many appends.
const STALE_SLACK: usize = 1024;

// === impl Journal ===

impl Journal {
    /// Makes an empty journal.
    pub fn new(epoch: Epoch, limits: Limits) -> Self {
        let writer = Writer { next: 1, order: VecDeque::new(), stale: 0 };
        let inner = Inner::new(epoch, limits, writer, Shelves::new(limits));
        Journal { inner: Arc::new(inner) }
    }

    /// Makes an empty journal whose store does not work, and says `why` in its status.
    pub fn unstored(epoch: Epoch, limits: Limits, why: String) -> Self {
        let writer = Writer { next: 1, order: VecDeque::new(), stale: 0 };
        let mut inner = Inner::new(epoch, limits, writer, Shelves::new(limits));
        inner.unstored = Some(why);
        Journal { inner: Arc::new(inner) }
    }

    /// Makes the journal that a store holds, within the limits and at wall time `now`. Blocks while
    /// it reads.
    pub fn restore(opened: Opened, limits: Limits, now: i64) -> Self {
        let never = AtomicBool::new(false);
        match Journal::restore_unless(opened, limits, now, &never) {
            Some(journal) => journal,
            None => unreachable!("nobody stops it"),
        }
    }

    /// The same, given up as soon as `stopped` is set; the store is left as it was found.
    pub fn restore_unless(
        opened: Opened,
        limits: Limits,
        now: i64,
        stopped: &AtomicBool,
    ) -> Option<Self> {
        let Opened { store, epoch, next, clean, facts } = opened;
        let mut shelves = Shelves::new(limits);
        let mut loading = Loading::new(limits, now);
        for fact in facts {
            if stopped.load(Ordering::Relaxed) {
                return None;
            }
            loading.take(fact);
        }
        let Restored { shelves: live, order, bytes, ledger, restart, until } =
            loading.finish(next - 1, clean, &shelves.budget);
        tracing::info!(%epoch, workloads = live.len(), records = order.len(), bytes, next, "history restored");
        let next = next.max(ledger.last() + 1);
        let writer = Writer { next, order: order.into(), stale: 0 };
        shelves.live = live;
        let mut inner = Inner::new(epoch, limits, writer, shelves);
        inner.bytes = AtomicU64::new(bytes as u64);
        inner.head = watch::Sender::new(next - 1);
        let (restarts, attempts) = (ledger.restarts.clone(), ledger.attempts.values().cloned());
        inner.before =
            Before { restart, restarts, attempts: attempts.collect(), head: next - 1, until };
        inner.store = Some(store.clone());
        let inner = Arc::new(inner);
        let holds: Weak<dyn Holds> = Arc::downgrade(&inner) as Weak<dyn Holds>;
        store.attach(holds, ledger);
        Some(Journal { inner })
    }

    /// How its store stands; `None` if it should have none.
    pub fn store(&self) -> Option<Status> {
        match &self.inner.store {
            Some(store) => Some(store.status()),
            None => {
                let why = self.inner.unstored.clone()?;
                Some(Status { failing: Some(why), ..Status::default() })
            }
        }
    }

    /// Has the store keep what was appended, and waits for it at most so long. Call it when nothing is
    /// appended any more; true if there is no store.
    pub fn close(&self, within: Duration) -> bool {
        self.inner.store.as_ref().is_none_or(|store| store.close(within))
    }

    /// The restart that lost records, if this start was one: the process before ended without closing
    /// the store.
    pub fn restart(&self) -> Option<&Restart> {
        self.inner.before.restart.as_ref()
    }

    /// Whether a record with this sequence number may have been issued, and is lost with a process that
    /// ended without closing the store.
    pub fn lost(&self, seq: u64) -> bool {
        self.inner.before.restarts.iter().any(|restart| restart.lost(seq))
    }

    /// Whether the record that begins with this sequence number is still kept.
    pub fn keeps(&self, workload: &WorkloadId, first: u64) -> bool {
        self.inner.holds(workload, first)
    }

    /// The last sequence number that the processes before this one may have issued; 0 if there was
    /// none.
    pub fn inherited(&self) -> u64 {
        self.inner.before.head
    }

    /// When the processes before this one appended their last record, by their clock; `None` for a new
    /// journal.
    pub fn read_until(&self) -> Option<i64> {
        self.inner.before.until
    }

    /// How far the logs were when the journal was restored: the last line of each attempt that the
    /// journal had, and whether it had ended. Empty for a new journal.
    pub fn last_lines(&self) -> &[Attempt] {
        &self.inner.before.attempts
    }

    /// The last lines of an attempt; see [`Shelf::last_words`]. Looks through all workloads.
    pub fn last_words(&self, attempt: &AttemptKey) -> Vec<Slice> {
        let shelves: Vec<_> = self.inner.shelves.read().live.values().cloned().collect();
        let said = shelves.iter().map(|shelf| shelf.last_words(attempt));
        said.into_iter().find(|words| !words.is_empty()).unwrap_or_default()
    }

    /// Says that no line of this attempt was lost by the restart: its reader found the last line in
    /// the log and goes on behind it. Until this is said of all logs of a workload that were open,
    /// readers that come from before the restart are told that lines may be missing.
    pub fn proven(&self, workload: &WorkloadId, attempt: &AttemptKey) {
        if let Some(shelf) = self.inner.shelves.read().live.get(workload) {
            shelf.proven(attempt);
        }
    }

    /// Which journal this is.
    pub fn epoch(&self) -> Epoch {
        self.inner.epoch
    }

    /// The last sequence number that was issued; 0 before the first.
    pub fn head(&self) -> u64 {
        *self.inner.head.borrow()
    }

    /// Tells of every append, like [`Journal::head`].
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.head.subscribe()
    }

    /// Bytes that records hold now.
    pub fn bytes(&self) -> u64 {
        self.inner.bytes.load(Ordering::Relaxed)
    }

    /// Holds the journal at the bytes that it has now, or lets it grow to its limit again. An eighth
    /// of the limit stays in any case: what was just appended must last until viewers have read it.
    pub fn hold(&self, held: bool) {
        let limit = self.inner.limits.total_bytes as u64;
        let bound = if held { self.bytes().clamp(limit / 8, limit) } else { limit };
        self.inner.bound.store(bound, Ordering::Relaxed);
    }

    /// Holds the journal at three quarters of the bytes that it has now: what is above is forgotten with
    /// the next appends. The same eighth stays.
    pub fn shrink(&self) {
        let limit = self.inner.limits.total_bytes as u64;
        let bound = (self.bytes() / 4 * 3).clamp(limit / 8, limit);
        self.inner.bound.store(bound, Ordering::Relaxed);
    }

    /// Records that were ever evicted.
    pub fn evicted(&self) -> u64 {
        self.inner.evicted.load(Ordering::Relaxed)
    }

    /// The shelf of a workload, made if there is none yet. Its cost is a few hundred bytes; it goes
    /// again when it is empty and nobody reads it.
    pub fn shelf(&self, workload: &Arc<WorkloadId>) -> Arc<Shelf> {
        if let Some(shelf) = self.inner.shelves.read().live.get(workload) {
            return shelf.clone();
        }
        self.inner.shelves.write().shelf(workload)
    }

    /// Appends an entry at wall time `now`; gives the sequence number of its first record.
    pub fn append(&self, workload: &Arc<WorkloadId>, entry: Entry, now: i64) -> u64 {
        self.append_with(workload, entry, now, now)
    }

    /// As [`Journal::append`], while sources of the workload are behind: nothing older than `low`
    /// will be appended later on. Not stored: after a restart every source is read again anyway.
    pub fn append_with(&self, workload: &Arc<WorkloadId>, entry: Entry, now: i64, low: i64) -> u64 {
        let shelf = self.shelf(workload);
        let count = entry.count();
        let mut writer = self.inner.writer.lock();
        let first = writer.next;
        writer.next += count;
        let kept = self.inner.store.as_ref().map(|store| (store, entry.clone()));
        let (added, lines_before) = shelf.push(first, now, low, entry);
        if let Some((store, entry)) = kept {
            let workload = workload.clone();
            store.keep(Record { first, workload, appended: now, lines_before, entry });
        }
        self.inner.head.send_replace(first + count - 1);
        writer.order.push_back((first, shelf.clone()));
        self.inner.bytes.fetch_add(added as u64, Ordering::Relaxed);
        let freed = shelf.shrink(self.inner.limits.workload_bytes);
        writer.stale += freed.entries;
        self.freed(freed);
        if writer.stale > writer.order.len() / 2 + STALE_SLACK {
            writer.sweep();
        }
        while self.bytes() > self.inner.bound.load(Ordering::Relaxed) {
            let Some((first, shelf)) = writer.order.pop_front() else { break };
            self.freed(shelf.forget(first));
        }
        first
    }

    /// Forgets what is older than the age limit at wall time `now`. Called from time to time.
    pub fn expire(&self, now: i64) {
        let age = i64::try_from(self.inner.limits.age.as_nanos()).unwrap_or(i64::MAX);
        let horizon = now.saturating_sub(age);
        let mut writer = self.inner.writer.lock();
        while let Some((first, shelf)) = writer.order.front() {
            match shelf.oldest() {
                Some((appended, oldest)) if oldest == *first && appended >= horizon => break,
                Some((_, oldest)) if oldest == *first => self.freed(shelf.forget(oldest)),
                _ => {}
            }
            writer.order.pop_front();
        }
        // Under the writer's lock nothing is appended, and under the map's nobody gets a shelf, so one
        // that only the map holds is not in use.
        let mut shelves = self.inner.shelves.write();
        shelves.trim_words();
        shelves.clear_away();
    }

    fn freed(&self, freed: Freed) {
        self.inner.bytes.fetch_sub(freed.bytes as u64, Ordering::Relaxed);
        self.inner.evicted.fetch_add(freed.records, Ordering::Relaxed);
    }
}

// === impl Inner ===

impl Inner {
    fn new(epoch: Epoch, limits: Limits, writer: Writer, shelves: Shelves) -> Self {
        Inner {
            epoch,
            limits,
            writer: Mutex::new(writer),
            shelves: RwLock::new(shelves),
            store: None,
            unstored: None,
            before: Before::default(),
            bytes: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            bound: AtomicU64::new(limits.total_bytes as u64),
            head: watch::Sender::new(0),
        }
    }
}

impl Holds for Inner {
    fn holds(&self, workload: &WorkloadId, first: u64) -> bool {
        let shelf = self.shelves.read().live.get(workload).cloned();
        shelf.is_some_and(|shelf| shelf.holds(first))
    }
}

// === impl Writer ===

impl Writer {
    fn sweep(&mut self) {
        self.order.retain(|(first, shelf)| shelf.oldest().is_some_and(|(_, kept)| kept <= *first));
        self.stale = 0;
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::ids::{AttemptKey, Kind, LineMeta, Lines, Side, Source};
    use crate::journal::shelves::MAX_PAST;
    use crate::journal::{Loss, Missed};

    const LIMITS: Limits =
        Limits { workload_bytes: 1 << 20, total_bytes: 4 << 20, age: Duration::from_secs(3600) };

    fn workload(name: &str) -> Arc<WorkloadId> {
        Arc::new(WorkloadId::new("shop", Kind::Deployment, name))
    }

    fn lines(workload: &Arc<WorkloadId>, numbers: std::ops::Range<i64>) -> Entry {
        let key = AttemptKey { uid: "u".into(), container: "c".into(), container_id: "i".into() };
        let source = Source { key, workload: workload.clone(), pod: "pod".into(), attempt: 1 };
        let lines = numbers
            .map(|time| LineMeta {
                time,
                start: 0,
                len: 1,
                truncated_bytes: 0,
                ordinal: 0,
                lossy: false,
                partial: false,
                partial_head: false,
            })
            .collect();
        let text = Bytes::from_static(b"x");
        let (source, side) = (Arc::new(source), Side::New);
        Entry::Lines(Arc::new(Lines { source, side, failed: false, text, lines }))
    }

    fn journal(limits: Limits) -> Journal {
        Journal::new(Epoch::draw(&mut fastrand::Rng::with_seed(1)), limits)
    }

    fn times(shelf: &Shelf, after: u64) -> Vec<i64> {
        let read = shelf.read(after, usize::MAX);
        let mut times = Vec::new();
        for slice in read.slices {
            let Entry::Lines(lines) = slice.entry else { continue };
            times.extend(lines.lines[slice.from..].iter().map(|line| line.time));
        }
        times
    }

    #[test]
    fn a_reader_of_one_workload_sees_its_records_only_in_one_sequence() {
        let journal = journal(LIMITS);
        let (web, pay) = (workload("web"), workload("pay"));
        assert_eq!(journal.append(&web, lines(&web, 0..3), 0), 1);
        assert_eq!(journal.append(&pay, lines(&pay, 0..2), 0), 4);
        assert_eq!(journal.append(&web, lines(&web, 3..5), 0), 6);
        assert_eq!(times(&journal.shelf(&web), 0), [0, 1, 2, 3, 4]);
        assert_eq!(times(&journal.shelf(&web), 2), [2, 3, 4]);
        assert_eq!(times(&journal.shelf(&web), 6), [4]);
        assert_eq!(times(&journal.shelf(&web), 7), [] as [i64; 0]);
        assert_eq!(journal.head(), 7);
    }

    #[test]
    fn what_was_forgotten_is_counted_exactly_from_any_position() {
        let limits = Limits { workload_bytes: 2_000, ..LIMITS };
        let journal = journal(limits);
        let web = workload("web");
        for start in 0..200 {
            journal.append(&web, lines(&web, start * 2..start * 2 + 2), 0);
        }
        let shelf = journal.shelf(&web);
        let kept = times(&shelf, 0);
        let first_kept = kept[0] as u64;
        for after in [0, 1, 17, first_kept - 1] {
            let missed = shelf.read(after, usize::MAX).missed.unwrap();
            let expected = Missed {
                through: first_kept,
                lines: Some(first_kept - after),
                // The whole run is one: its bounds are wider than what lies behind a place in it.
                oldest: Some(0),
                newest: Some(kept[0] - 1),
                next: Some(kept[0]),
                why: Loss::Forgotten,
            };
            assert_eq!(missed, expected, "after {after}");
        }
        assert_eq!(shelf.read(first_kept, usize::MAX).missed, None);
        assert_eq!(journal.evicted(), first_kept);
    }

    #[test]
    fn the_total_is_bounded_over_all_workloads_oldest_first() {
        let limits = Limits { total_bytes: 20_000, ..LIMITS };
        let journal = journal(limits);
        let (web, pay) = (workload("web"), workload("pay"));
        journal.append(&web, lines(&web, 0..1), 0);
        for time in 0..1_000 {
            journal.append(&pay, lines(&pay, time..time + 1), 0);
            assert!(journal.bytes() <= 20_000);
        }
        assert!(times(&journal.shelf(&web), 0).is_empty(), "the oldest record went first");
        assert_eq!(*times(&journal.shelf(&pay), 0).last().unwrap(), 999);
    }

    #[test]
    fn a_journal_that_is_held_or_shrunk_grows_no_further_until_it_is_let_go() {
        let limits = Limits { total_bytes: 80_000, ..LIMITS };
        let journal = journal(limits);
        let web = workload("web");
        let fill = |until: u64| {
            for time in 0.. {
                journal.append(&web, lines(&web, time..time + 1), 0);
                if journal.bytes() >= until || time > 2_000 {
                    return;
                }
            }
        };
        fill(40_000);
        let held = journal.bytes();
        journal.hold(true);
        fill(u64::MAX);
        assert!(journal.bytes() <= held, "{} after {held}", journal.bytes());
        journal.shrink();
        fill(u64::MAX);
        assert!(journal.bytes() <= held / 4 * 3, "{} after {held}", journal.bytes());
        journal.hold(false);
        fill(70_000);
        assert!(journal.bytes() >= 70_000);
        // What is new lasts, however little there was.
        let small = self::journal(limits);
        small.hold(true);
        for time in 0..2_000 {
            small.append(&web, lines(&web, time..time + 1), 0);
        }
        assert!((8_000..=10_000).contains(&small.bytes()), "{}", small.bytes());
    }

    #[test]
    fn the_order_of_eviction_does_not_grow_with_what_was_forgotten() {
        let journal = journal(Limits { workload_bytes: 10_000, ..LIMITS });
        let web = workload("web");
        for time in 0..20_000 {
            journal.append(&web, lines(&web, time..time + 1), 0);
        }
        assert!(journal.inner.writer.lock().order.len() < 4 * STALE_SLACK);
    }

    #[test]
    fn nothing_older_than_the_age_limit_is_kept() {
        let journal = journal(LIMITS);
        let web = workload("web");
        let hour = 3600 * crate::time::SECOND;
        journal.append(&web, lines(&web, 0..1), 0);
        journal.append(&web, lines(&web, 1..2), hour);
        journal.expire(hour + 1);
        assert_eq!(times(&journal.shelf(&web), 0), [1]);
    }

    #[test]
    fn an_empty_shelf_goes_and_what_it_held_is_not_forgotten_silently() {
        let journal = journal(LIMITS);
        let web = workload("web");
        let last = journal.append(&web, lines(&web, 0..1), 0);
        journal.expire(2 * 3600 * crate::time::SECOND);
        assert!(journal.inner.shelves.read().live.is_empty());
        let read = journal.shelf(&web).read(0, usize::MAX);
        let missed = Missed {
            through: last,
            lines: Some(1),
            oldest: Some(0),
            newest: Some(0),
            next: None,
            why: Loss::Forgotten,
        };
        assert_eq!(read.missed, Some(missed));
        assert_eq!(journal.shelf(&web).read(last, usize::MAX).missed, None);
        assert_eq!(journal.append(&web, lines(&web, 1..2), 0), last + 1);
        assert_eq!(times(&journal.shelf(&web), last), [1]);
        let pay = journal.shelf(&workload("pay"));
        assert_eq!(pay.read(0, usize::MAX).missed, None, "a workload that never had a line");
    }

    #[test]
    fn the_memory_of_removed_shelves_is_bounded_and_never_invents() {
        let journal = journal(LIMITS);
        let count = MAX_PAST + 1;
        let name = |index: usize| workload(&format!("web-{index}"));
        for index in 0..count {
            journal.append(&name(index), lines(&name(index), 0..1), 0);
        }
        journal.expire(2 * 3600 * crate::time::SECOND);
        let known = journal.inner.shelves.read().past.len();
        assert_eq!(known, MAX_PAST / 2);
        let missed = |index| journal.shelf(&name(index)).read(0, usize::MAX).missed.unwrap();
        assert_eq!(missed(count - 1).lines, Some(1));
        assert_eq!(missed(0).lines, None, "it may have had lines, nobody knows");
    }

    #[test]
    fn a_time_before_what_is_kept_tells_what_was_forgotten_of_it() {
        let journal = journal(Limits { workload_bytes: 2_000, ..LIMITS });
        let web = workload("web");
        for start in 0..100 {
            journal.append(&web, lines(&web, start * 2..start * 2 + 2), 0);
        }
        let shelf = journal.shelf(&web);
        let first = times(&shelf, 0)[0];
        let at = shelf.position_at(first);
        assert_eq!((at.missed, times(&shelf, at.after)[0]), (None, first));
        assert_eq!(shelf.read(at.after, usize::MAX).missed, None);
        let all = shelf.position_at(-5);
        let missed = all.missed.unwrap();
        assert_eq!((missed.lines, missed.oldest), (Some(first as u64), Some(0)));
        assert_eq!((missed.newest, missed.next), (Some(first - 1), Some(first)));
        assert_eq!(times(&shelf, all.after)[0], first);
        let part = shelf.position_at(first - 3).missed.unwrap();
        assert_eq!((part.lines, part.oldest), (None, Some(first - 3)), "not counted, but bounded");
    }

    #[test]
    fn a_tail_begins_the_asked_number_of_lines_before_the_end() {
        let journal = journal(LIMITS);
        let web = workload("web");
        for start in 0..10 {
            journal.append(&web, lines(&web, start * 10..start * 10 + 10), 0);
        }
        let shelf = journal.shelf(&web);
        for tail in [0usize, 1, 9, 10, 11, 55, 99, 100, 1_000] {
            let mut last = Vec::new();
            shelf.last_lines(u64::MAX, tail, |_| true, |_, _| true, &mut last);
            assert_eq!(last.len(), tail.min(100), "tail {tail}");
            assert!(last.is_sorted_by(|one, other| one > other), "newest first");
        }
        let mut last = vec![7];
        shelf.last_lines(u64::MAX, 5, |_| false, |_, _| true, &mut last);
        shelf.last_lines(u64::MAX, 5, |_| true, |_, _| false, &mut last);
        assert_eq!(last, [7], "nothing is wanted, and what was there stays");
        shelf.last_lines(u64::MAX, 5, |_| true, |_, line| line.time == 1, &mut last);
        assert_eq!(last, [7, 2]);
        let mut last = Vec::new();
        shelf.last_lines(50, 3, |_| true, |_, _| true, &mut last);
        assert_eq!(last, [50, 49, 48]);
    }

    #[test]
    fn a_time_begins_at_the_first_line_that_is_not_older() {
        let journal = journal(LIMITS);
        let web = workload("web");
        journal.append(&web, lines(&web, 0..10), 0);
        let shelf = journal.shelf(&web);
        assert_eq!(times(&shelf, shelf.before_time(7)), [7, 8, 9]);
        assert!(times(&shelf, shelf.before_time(70)).is_empty());
    }
}
