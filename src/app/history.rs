//! The journal at the start and at the end: out of its store, and back.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::config;
use crate::ids::Entry;
use crate::journal::{
    Attempt, Epoch, FileOptions, Journal, Limits, OpenError, Opened, Status, open_files,
};
use crate::tail::{Left, Restored};
use crate::telemetry::Metrics;
use crate::telemetry::events::StoreFailed;
use crate::time;

/// A log that was silent for so long when a process ended, and for the linger, is not taken up by the
/// next one on its own: it may have been left before, and who needs it says so.
const SILENT: Duration = Duration::from_secs(60);
/// How long the store may take to write what it has when the process ends.
const CLOSE: Duration = Duration::from_secs(5);

/// Tells the reader of a store, when it is dropped, that nobody waits for it any more.
#[derive(Debug, Default)]
struct Stopping(Arc<AtomicBool>);

impl Drop for Stopping {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A journal, and how far the logs in it had been read.
pub struct History {
    /// It.
    pub journal: Journal,
    /// Empty for a new journal.
    pub before: Vec<Restored>,
}

// === impl History ===

impl History {
    /// A new journal.
    pub fn new(epoch: Epoch, limits: Limits) -> History {
        History { journal: Journal::new(epoch, limits), before: Vec::new() }
    }

    /// What a store holds; nothing if `stopped` is set meanwhile. Blocks while it reads.
    pub fn restore(
        opened: Opened,
        limits: Limits,
        linger: Duration,
        stopped: &AtomicBool,
    ) -> Option<History> {
        let now = time::now();
        let journal = Journal::restore_unless(opened, limits, now, stopped)?;
        let before = read_before(&journal, limits.age, linger, now);
        Some(History { journal, before })
    }
}

/// The journal: restored, or new if there is no store or its volume does not work. Streams matter
/// more than history, so only what an operator must put right keeps the program from starting.
///
/// # Errors
/// If the store is in use, is none, was written by another version, or may not be written.
pub(super) async fn begin(
    store: Option<config::Store>,
    limits: Limits,
    linger: Duration,
    fresh: Epoch,
    metrics: Arc<Metrics>,
) -> Result<History, OpenError> {
    let stopping = Stopping::default();
    let Some(config::Store { path, bytes, sync }) = store else {
        return Ok(History::new(fresh, limits));
    };
    let options = FileOptions { path: path.clone(), bytes, sync, age: limits.age };
    let events = metrics.clone();
    let stopped = stopping.0.clone();
    let work = move || -> Result<History, OpenError> {
        let opened = open_files(options, fresh, metrics)?;
        // Nobody waits any more for a history that was given up.
        let history = History::restore(opened, limits, linger, &stopped);
        Ok(history.unwrap_or_else(|| History::new(fresh, limits)))
    };
    // Reading takes a while, and probes must be answered meanwhile.
    match tokio::task::spawn_blocking(work).await {
        Ok(Err(error @ OpenError::Volume { .. })) => {
            Ok(unstored(&path, &error, fresh, limits, &events))
        }
        Ok(result) => result,
        Err(error) => Ok(unstored(&path, &error, fresh, limits, &events)),
    }
}

fn unstored(
    path: &Path,
    error: &dyn std::fmt::Display,
    fresh: Epoch,
    limits: Limits,
    metrics: &Metrics,
) -> History {
    StoreFailed { path, error, first: true }.emit(metrics);
    let why = format!("{error}; history is not stored until the process is started again");
    History { journal: Journal::unstored(fresh, limits, why), before: Vec::new() }
}

/// How far the logs had been read when the journal was stored. Blocks while it looks for their last
/// lines.
fn read_before(journal: &Journal, age: Duration, linger: Duration, now: i64) -> Vec<Restored> {
    let logs = journal.last_lines();
    // One whose node's clock is ahead must not make all others old.
    let open = logs.iter().filter(|log| !log.is_over());
    let stamps = open.filter_map(|log| log.line).map(|line| line.time.min(now));
    let newest = stamps.max().unwrap_or(i64::MIN);
    let (age, silent) = (nanos(age), nanos(linger + SILENT));
    let left = |log: &Attempt| match log.line {
        _ if log.is_over() => Left::Ended,
        Some(line) if line.time >= newest.saturating_sub(silent) => Left::Followed,
        Some(line) if line.time >= now.saturating_sub(age) => Left::Open,
        None if journal.keeps(&log.source.workload, log.changed) => Left::Open,
        _ => Left::Silent,
    };
    let restored = logs.iter().map(|log| {
        let (left, source) = (left(log), log.source.clone());
        // What ended is never read again.
        let words = match left {
            Left::Ended => Vec::new(),
            _ => journal.shelf(&source.workload).last_words(&source.key),
        };
        let lines = words.into_iter().filter_map(|slice| match slice.entry {
            Entry::Lines(lines) => Some((lines, slice.from)),
            _ => None,
        });
        let last = log.line.map(|line| (line.time, line.ordinal));
        Restored { source, last, lines: lines.collect(), left }
    });
    restored.collect()
}

fn nanos(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}

/// Closes the store; call it when nothing is appended any more.
pub(super) async fn end(journal: Journal) {
    if journal.store().is_none() {
        return;
    }
    let closed = tokio::task::spawn_blocking(move || journal.close(CLOSE)).await;
    if !closed.unwrap_or(false) {
        tracing::warn!("the store was not closed in time; the next start treats it as cut off");
    }
}

/// Tells how the store stands.
pub(super) fn measure(status: &Status, metrics: &Metrics) {
    metrics.store_bytes.set(status.bytes);
    metrics.store_lag_bytes.set(status.lag_bytes);
    metrics.store_failing.set(u64::from(status.failing.is_some()));
}

/// The same for `/status`.
pub(super) fn show(status: Status) -> serde_json::Value {
    serde_json::json!({
        "bytes": status.bytes,
        "segments": status.segments,
        "lag_records": status.lag_records,
        "lag_bytes": status.lag_bytes,
        "holes": status.holes,
        "lost_records": status.lost_records,
        "errors": status.errors,
        "failing": status.failing,
    })
}
