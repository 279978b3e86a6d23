//! The journal at the start and at the end: out of its store, and back.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::config;
use crate::ids::Entry;
use crate::journal::{Epoch, FileOptions, Journal, Limits, OpenError, Status, open_files};
use crate::tail::Restored;
use crate::telemetry::Metrics;
use crate::telemetry::events::StoreFailed;
use crate::time;

/// How long the store may take to write what it has when the process ends.
const CLOSE: Duration = Duration::from_secs(5);

/// The journal: restored, or new if there is no store or its volume does not work. Streams matter
/// more than history, so only what an operator must put right keeps the program from starting.
///
/// # Errors
/// If the store is in use, is none, was written by another version, or may not be written.
pub(super) async fn begin(
    store: Option<config::Store>,
    limits: Limits,
    fresh: Epoch,
    metrics: Arc<Metrics>,
) -> Result<Journal, OpenError> {
    let Some(config::Store { path, bytes, sync }) = store else {
        return Ok(Journal::new(fresh, limits));
    };
    let options = FileOptions { path: path.clone(), bytes, sync, age: limits.age };
    let events = metrics.clone();
    let work = move || -> Result<Journal, OpenError> {
        let opened = open_files(options, fresh, metrics)?;
        Ok(Journal::restore(opened, limits, time::now()))
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
) -> Journal {
    StoreFailed { path, error, first: true }.emit(metrics);
    let why = format!("{error}; history is not stored until the process is started again");
    Journal::unstored(fresh, limits, why)
}

/// How far the logs had been read when the journal was stored.
pub(super) fn read_before(journal: &Journal) -> Vec<Restored> {
    let restored = journal.last_lines().iter().map(|attempt| {
        let ended = attempt.is_over();
        // What ended is never read again.
        let words = match ended {
            true => Vec::new(),
            false => journal.shelf(&attempt.source.workload).last_words(&attempt.source.key),
        };
        let lines = words.into_iter().filter_map(|slice| match slice.entry {
            Entry::Lines(lines) => Some((lines, slice.from)),
            _ => None,
        });
        Restored { source: attempt.source.clone(), lines: lines.collect(), ended }
    });
    restored.collect()
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
