//! A store of segment files in a directory of its own.
//!
//! What holds here:
//! - One process has the directory (`LOCK`). What it does not know it leaves alone.
//! - Writing is one thread's; the journal hands over records and never waits. A record is written
//!   within a moment (so that the end of the process costs only what was on the way), and on the disk
//!   within the time of `--store-sync` (so that a power loss costs no more).
//! - Whatever bytes the directory holds, opening it gives records that were written, or none: each
//!   has its own checksum, the end of the last segment is cut where it was torn, and a damaged place
//!   costs the records in it and no others.
//! - Old segments go by size and age; what the journal still wants of one is carried on.

mod crc;
mod facts;
mod files;
mod frame;
mod open;
mod queue;
mod reservation;
#[cfg(test)]
mod tests;
mod volume;
mod writer;

use std::collections::VecDeque;
use std::fs::File;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

pub use open::OpenError;

use facts::Facts;
use files::{Disk, Files};

use queue::{Order, Queue};
use reservation::Reservation;
use volume::Volume;
use writer::Writer;

use super::code::Names;
use super::epoch::Epoch;
use super::ledger::Ledger;
use super::store::{Holds, Opened, Record, Status, Store};
use crate::telemetry::events::TaskPanicked;
use crate::telemetry::{Metrics, panic_words};

/// How a store of files is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileOptions {
    /// The directory; made if it does not exist.
    pub path: PathBuf,
    /// Bytes that its segments may hold, at least 512 KiB. For a journal to be kept whole it is twice
    /// the journal's.
    pub bytes: u64,
    /// Longest time that a written record waits for the disk; zero is for none.
    pub sync: Duration,
    /// The journal's age limit.
    pub age: Duration,
}

/// How long a store that is dropped waits for its writer.
const ABANDON: Duration = Duration::from_secs(2);

/// A store of segment files.
#[derive(Debug)]
pub struct FileStore {
    queue: Arc<Queue>,
    status: Arc<Mutex<Status>>,
    /// Until the journal is attached.
    parts: Mutex<Option<Parts>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the writer is made of.
#[derive(Debug)]
struct Parts {
    options: FileOptions,
    lock: File,
    volume: Volume,
    reservation: Reservation,
    floor: u64,
    clean: bool,
    metrics: Arc<Metrics>,
    files: Arc<dyn Files>,
}

/// Opens the store in a directory. `fresh` is the epoch of the journal if the directory holds none.
/// Blocks while it waits for the disk.
///
/// # Errors
/// If it is in use, is not a store, was written by another version, or does not work.
pub fn open(
    options: FileOptions,
    fresh: Epoch,
    metrics: Arc<Metrics>,
) -> Result<Opened, OpenError> {
    open_on(options, fresh, metrics, Arc::new(Disk))
}

fn open_on(
    options: FileOptions,
    fresh: Epoch,
    metrics: Arc<Metrics>,
    files: Arc<dyn Files>,
) -> Result<Opened, OpenError> {
    let open::Directory { lock, reservation, found, segments } =
        open::open(&options.path, &*files, fresh)?;
    let epoch = found.epoch;
    let facts =
        Facts::new(&options.path, files.clone(), epoch, &segments, found.clean, metrics.clone());
    let next_number = segments.back().map_or(1, |segment| segment.number + 1);
    let (path, bytes, kept) = (options.path.clone(), options.bytes, files.clone());
    let volume = Volume::new(files, path, epoch, bytes, segments, next_number);
    let status = Status { bytes: volume.bytes(), segments: volume.segments(), ..Status::default() };
    let floor = found.through;
    let clean = found.clean;
    let parts = Parts { options, lock, volume, reservation, floor, clean, metrics, files: kept };
    let store = FileStore {
        queue: Arc::default(),
        status: Arc::new(Mutex::new(status)),
        parts: Mutex::new(Some(parts)),
        thread: Mutex::new(None),
    };
    let next = floor.saturating_add(1);
    Ok(Opened { store: Arc::new(store), epoch, next, clean, facts: Box::new(facts) })
}

// === impl FileStore ===

impl Store for FileStore {
    fn attach(&self, journal: Weak<dyn Holds>, ledger: Ledger) {
        let Some(parts) = self.parts.lock().take() else { return };
        let Parts { options, lock, volume, reservation, floor, clean, metrics, files: _ } = parts;
        let (path, status) = (options.path.clone(), self.status.clone());
        let writer = Writer {
            queue: self.queue.clone(),
            status: self.status.clone(),
            journal,
            ledger,
            volume,
            reservation,
            floor,
            sync: options.sync,
            age: options.age,
            metrics,
            names: Names::default(),
            pending: VecDeque::new(),
            last_sync: Instant::now(),
            last_look: Instant::now(),
            pause: None,
            lost: 0,
            begins: !clean,
            _lock: lock,
        };
        let guard = Guard {
            queue: self.queue.clone(),
            status: self.status.clone(),
            metrics: writer.metrics.clone(),
        };
        let named = std::thread::Builder::new().name("rollcast-store".to_owned());
        match named.spawn(move || guard.watch(|| writer.run())) {
            Ok(thread) => *self.thread.lock() = Some(thread),
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "the store has no thread to write");
                status.lock().failing = Some(error.to_string());
                self.queue.order(Order::Abandon);
            }
        }
    }

    fn keep(&self, record: Record) {
        if self.queue.push(record) {
            self.status.lock().holes += 1;
        }
    }

    fn status(&self) -> Status {
        let (lag_records, lag_bytes) = self.queue.waiting();
        Status { lag_records, lag_bytes, ..self.status.lock().clone() }
    }

    fn close(&self, within: Duration) -> bool {
        self.queue.order(Order::Close);
        self.queue.ended(within)
    }
}

/// Sees to it that a panic of the writer is said.
struct Guard {
    queue: Arc<Queue>,
    status: Arc<Mutex<Status>>,
    metrics: Arc<Metrics>,
}

// === impl Guard ===

impl Guard {
    fn watch(self, work: impl FnOnce()) {
        let Err(payload) = std::panic::catch_unwind(AssertUnwindSafe(work)) else { return };
        let message = panic_words(&*payload);
        TaskPanicked { room: "journal", task: "store", message, restart_in: None }
            .emit(&self.metrics);
        self.status.lock().failing = Some(format!("the writer panicked: {message}"));
        self.queue.order(Order::Ended { clean: false });
    }
}

impl Drop for FileStore {
    /// As if the process ended here, unless it was closed.
    fn drop(&mut self) {
        if let Some(parts) = self.parts.lock().take() {
            // No journal was made of it, so no number was issued: it is as it was found.
            let Parts { options, reservation, floor, clean, files, .. } = parts;
            if let Err(error) = reservation.give_back(&*files, &options.path, floor, clean) {
                tracing::debug!(%error, "the reservation was not given back");
            }
            return;
        }
        self.queue.order(Order::Abandon);
        let Some(thread) = self.thread.lock().take() else { return };
        // The writer itself may hold the journal last. One that waits for a disk which does not answer
        // is left to the kernel.
        let own = thread.thread().id() == std::thread::current().id();
        self.queue.ended(ABANDON);
        if !own && thread.is_finished() && thread.join().is_err() {
            tracing::error!("the store's thread panicked");
        }
    }
}
