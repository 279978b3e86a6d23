//! The thread that writes.
//!
//! It has one state: it writes, or it waits to try again after a failure. Records that could not be
//! written stay with it and are written at the next try, so that a short failure costs nothing; a
//! longer one fills the queue, which then leaves records out. When that ends, a new segment begins
//! with where each workload stands: what is missing is counted by the difference.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::frame;
use super::queue::{Item, Lost, Order, Queue};
use super::reservation::{BLOCK, Reservation};
use super::volume::Volume;
use crate::ids::WorkloadId;
use crate::journal::code::{self, Names};
use crate::journal::ledger::Ledger;
use crate::journal::store::{Fact, Holds, Record, Status};
use crate::telemetry::Metrics;
use crate::telemetry::events::{StoreFailed, StoreLost, StoreRecovered};
use crate::time;

/// Bytes that are encoded and written at a time.
const BATCH: usize = 1 << 20;
/// How often closing is tried where room was made for it: the end of a store is no longer than a segment.
const CLOSES: u32 = 3;
/// How often it looks whether old segments can go, and at least wakes up.
const LOOK: Duration = Duration::from_secs(30);
/// First and longest pause before it tries again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));
/// How long records gather before they are written; what the end of the process costs is longer by
/// this.
const GATHER: Duration = Duration::from_millis(2);
/// Segments that are left when room has to be made on a full disk.
const LEFT: usize = 2;

#[derive(Debug)]
pub(super) struct Writer {
    pub(super) queue: Arc<Queue>,
    pub(super) status: Arc<Mutex<Status>>,
    pub(super) journal: Weak<dyn Holds>,
    pub(super) ledger: Ledger,
    pub(super) volume: Volume,
    pub(super) reservation: Reservation,
    /// Every number up to here was issued by an earlier process, or may have been.
    pub(super) floor: u64,
    pub(super) sync: Duration,
    pub(super) age: Duration,
    pub(super) metrics: Arc<Metrics>,
    pub(super) names: Names,
    pub(super) pending: VecDeque<Item>,
    pub(super) last_sync: Instant,
    pub(super) last_look: Instant,
    pub(super) pause: Option<Duration>,
    pub(super) lost: u64,
    /// What is known is not written yet: the process before left a hole.
    pub(super) begins: bool,
    /// Held as long as it writes.
    pub(super) _lock: File,
}

// === impl Writer ===

impl Writer {
    /// Writes until it is told to end.
    pub(super) fn run(mut self) {
        let begun = self.step();
        self.tell(&begun);
        let clean = loop {
            let order = match self.pause {
                // An order ends the pause, and what waits gets its last try.
                Some(pause) => self.queue.pause(pause),
                None => Order::Write,
            };
            if order == Order::Abandon {
                break false;
            }
            let (order, items) = match self.pending.is_empty() {
                true => self.queue.take(BATCH, self.wait()),
                false => (order, Vec::new()),
            };
            if order == Order::Abandon {
                break false;
            }
            self.pending.extend(items);
            let result = self.step();
            if self.pending.is_empty() {
                self.queue.written();
            }
            self.tell(&result);
            match (order, result) {
                (Order::Close, Err(_)) => break false,
                (Order::Close, Ok(())) if self.queue.is_empty() => break self.close(),
                // Many small records become few larger writes.
                (Order::Write, Ok(())) => {
                    self.queue.pause(GATHER);
                }
                _ => {}
            }
        };
        // The lock and the files go before anybody is told.
        let queue = self.queue.clone();
        drop(self);
        queue.order(Order::Ended { clean });
    }

    /// How long nothing has to be done.
    fn wait(&self) -> Duration {
        let dirty = self.volume.is_dirty();
        let sync = dirty.then(|| self.sync.saturating_sub(self.last_sync.elapsed()));
        sync.unwrap_or(LOOK).min(LOOK)
    }

    /// Writes what is pending, and does what is due.
    fn step(&mut self) -> io::Result<()> {
        if self.begins {
            let ledger = &self.ledger;
            self.volume.append(&[], time::now(), |out| head(ledger, out))?;
            self.begins = false;
        }
        while !self.pending.is_empty() {
            match self.pending.front() {
                Some(Item::Lost(_)) => self.write_lost()?,
                _ => self.write_records()?,
            }
        }
        if self.queue.last().saturating_add(BLOCK / 2) > self.reservation.through {
            self.reserve()?;
        }
        let now = time::now();
        if self.volume.is_full() {
            self.volume.roll(now)?;
            self.retire(now)?;
        } else if self.last_look.elapsed() >= LOOK {
            self.last_look = Instant::now();
            self.retire(now)?;
        }
        if self.volume.is_dirty() && self.last_sync.elapsed() >= self.sync {
            self.last_sync = Instant::now();
            self.volume.sync(now)?;
        }
        Ok(())
    }

    /// Writes the records up to the next hole.
    fn write_records(&mut self) -> io::Result<()> {
        let mut frames = Vec::new();
        let mut count = 0;
        let mut too_long = false;
        for item in &self.pending {
            let Item::Record(record) = item else { break };
            if frames.len() >= BATCH {
                break;
            }
            let fact = Fact::Record(record.clone());
            if !frame::push(&mut frames, |out| code::write(out, &fact)) {
                too_long = true;
                break;
            }
            count += 1;
        }
        let ledger = &self.ledger;
        self.volume.append(&frames, time::now(), |out| head(ledger, out))?;
        for item in self.pending.drain(..count) {
            if let Item::Record(record) = item {
                self.ledger.take(&Fact::Record(record));
            }
        }
        if too_long && let Some(Item::Record(record)) = self.pending.pop_front() {
            self.pending.push_front(Item::Lost(Lost::of(&record)));
        }
        Ok(())
    }

    /// Remembers a hole: a new segment says where it leaves the workloads.
    fn write_lost(&mut self) -> io::Result<()> {
        let Some(Item::Lost(lost)) = self.pending.front() else { return Ok(()) };
        self.volume.roll(time::now())?;
        let mut ledger = self.ledger.clone();
        for fact in lost.ledger.facts() {
            ledger.take(&fact);
        }
        self.volume.append(&[], time::now(), |out| head(&ledger, out))?;
        let records = lost.records;
        self.ledger = ledger;
        self.pending.pop_front();
        self.lost += records;
        let mut status = self.status.lock();
        status.lost_records += records;
        drop(status);
        StoreLost { path: &self.volume.directory, records }.emit(&self.metrics);
        Ok(())
    }

    fn reserve(&mut self) -> io::Result<()> {
        let through = self.reservation.through.saturating_add(BLOCK);
        let (files, directory) = (&*self.volume.files, &self.volume.directory);
        self.reservation = self.reservation.reserve(files, directory, through)?;
        Ok(())
    }

    /// Lets go of the oldest segments while there are too many or they are too old; what the journal
    /// still wants of them is carried into the newest.
    fn retire(&mut self, now: i64) -> io::Result<()> {
        let age = i64::try_from(self.age.as_nanos()).unwrap_or(i64::MAX);
        // Each at most once: if everything is still wanted, carrying would never end.
        for _ in 0..self.volume.sealed.len() {
            let old = self.volume.sealed.front().is_some_and(|oldest| oldest.newest < now - age);
            if !self.volume.is_over() && !old {
                return Ok(());
            }
            let (journal, names) = (self.journal.upgrade(), &mut self.names);
            let kept = self.volume.oldest(|payload| {
                wanted(payload, names, |workload, first| {
                    journal.as_ref().is_some_and(|journal| journal.holds(workload, first))
                })
            });
            drop(journal);
            // What cannot be read cannot be carried on; keeping it would help nobody.
            let kept = kept.unwrap_or_default();
            if !kept.is_empty() {
                let ledger = &self.ledger;
                self.volume.append(&kept, now, |out| head(ledger, out))?;
                self.volume.sync(now)?;
            }
            self.volume.remove_oldest()?;
            if self.volume.is_full() {
                self.volume.roll(now)?;
            }
        }
        while self.volume.is_over() && self.volume.sealed.len() > LEFT {
            self.volume.remove_oldest()?;
        }
        Ok(())
    }

    /// Closes the store. On a full volume the oldest history goes for its end, too.
    fn close(&mut self) -> bool {
        for _ in 0..CLOSES {
            if self.try_close() {
                return true;
            }
            // Only room that was made is a reason to try again.
            if self.pause != Some(Duration::ZERO) {
                break;
            }
        }
        false
    }

    /// Everything was written: says so, and gives back the numbers that were not issued.
    fn try_close(&mut self) -> bool {
        let last = self.queue.last().max(self.floor);
        let (now, ledger) = (time::now(), &self.ledger);
        // Where everything stands is written once more: then it is known of the last records, too, if
        // they are damaged later.
        let mut frames = Vec::new();
        head(ledger, &mut frames);
        let written = match frames.is_empty() {
            true => Ok(()),
            false => self.volume.append(&frames, now, |_| ()),
        };
        let closed = written.and_then(|()| self.volume.roll(now)).and_then(|()| {
            let (files, directory) = (&*self.volume.files, &self.volume.directory);
            self.reservation.close(files, directory, last)
        });
        let closed = closed.map(drop);
        self.tell(&closed);
        closed.is_ok()
    }

    /// Tells operators how it went, once for each change.
    fn tell(&mut self, result: &io::Result<()>) {
        let directory = self.volume.directory.clone();
        let mut status = self.status.lock();
        status.bytes = self.volume.bytes();
        status.segments = self.volume.segments();
        match result {
            Ok(()) => {
                self.pause = None;
                if status.failing.take().is_some() {
                    drop(status);
                    let lost = std::mem::take(&mut self.lost);
                    StoreRecovered { path: &directory, lost }.emit(&self.metrics);
                }
            }
            Err(error) => {
                status.errors += 1;
                let first = status.failing.is_none();
                status.failing = Some(error.to_string());
                drop(status);
                let room = self.make_room(error, &directory);
                let next =
                    self.pause.map_or(PAUSES.0, |pause| (pause * 2).clamp(PAUSES.0, PAUSES.1));
                self.pause = Some(if room { Duration::ZERO } else { next });
                if first {
                    self.lost = 0;
                }
                StoreFailed { path: &directory, error, first }.emit(&self.metrics);
            }
        }
    }

    /// On a full disk the oldest history goes for the newest: a volume that is smaller than what the
    /// store may have would otherwise keep its first days for ever.
    fn make_room(&mut self, error: &io::Error, directory: &Path) -> bool {
        let full =
            matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        if !full || self.volume.sealed.len() <= LEFT {
            return false;
        }
        let removed = self.volume.remove_oldest().is_ok();
        tracing::debug!(path = %directory.display(), removed, "the oldest segment goes for a new one");
        removed
    }
}

/// The beginning of a segment.
fn head(ledger: &Ledger, out: &mut Vec<u8>) {
    for fact in ledger.facts() {
        frame::push(out, |out| code::write(out, &fact));
    }
}

/// Whether a payload is a record that somebody wants. What is no record stands in the newest
/// segment anyway.
fn wanted(payload: &[u8], names: &mut Names, holds: impl FnOnce(&WorkloadId, u64) -> bool) -> bool {
    match code::read(payload, names) {
        Ok(Fact::Record(Record { first, workload, .. })) => holds(&workload, first),
        _ => false,
    }
}
