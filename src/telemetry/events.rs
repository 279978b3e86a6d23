//! Notable events. Each logs and counts in one place, so that log and metrics never disagree.
//!
//! Levels: `info` tells an operator something, `debug` a developer. Viewers' comings and goings and
//! every refusal are the audit trail, under the target `rollcast::audit`.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use crate::ids::{Gap, Source};

use super::Metrics;

/// A log stream of a source was opened.
pub struct FollowerOpened<'a> {
    /// Whose.
    pub source: &'a Source,
    /// It continues an earlier stream of the same source.
    pub resumed: bool,
}

/// A log stream could not be opened, or broke.
pub struct FollowerBroken<'a> {
    /// Whose.
    pub source: &'a Source,
    /// A word of a closed list, such as `connect`, `status_404`, `cut`, `in_band`.
    pub reason: &'static str,
    /// What went wrong, with its chain.
    pub error: &'a dyn fmt::Display,
}

/// A source is no longer followed.
pub struct FollowerEnded<'a> {
    /// Which.
    pub source: &'a Source,
    /// Everything that the kubelet had was read; `None` if it is not known.
    pub complete: Option<bool>,
    /// Lines delivered.
    pub lines: u64,
}

/// A log stream was resumed.
pub struct Resumed<'a> {
    /// Whose.
    pub source: &'a Source,
    /// `proven`, `unproven` or `nothing_new`.
    pub result: &'static str,
}

/// A place was marked where lines are missing.
pub struct GapMarked<'a> {
    /// The mark.
    pub gap: &'a Gap,
}

/// A watch had to begin anew with a list.
pub struct WatchRestarted<'a> {
    /// The kind that is watched, in lower case.
    pub kind: &'static str,
    /// Why.
    pub reason: &'a dyn fmt::Display,
}

/// A viewer's stream began.
pub struct ViewerOpened<'a> {
    /// `sse`, `ndjson` or `text`.
    pub format: &'static str,
    /// Who reads.
    pub user: &'a str,
    /// What is read, such as `shop/deployment/web`.
    pub selection: &'a dyn fmt::Display,
    /// The request's id.
    pub request_id: &'a str,
    /// From the request to its first bytes.
    pub first_byte: Duration,
}

/// A viewer's stream ended.
pub struct ViewerClosed<'a> {
    /// `sse`, `ndjson` or `text`.
    pub format: &'static str,
    /// Who read.
    pub user: &'a str,
    /// What was read.
    pub selection: &'a dyn fmt::Display,
    /// The request's id.
    pub request_id: &'a str,
    /// A word of a closed list: what the viewer was told (`rotate`, `drain`, `expired`, `revoked`,
    /// `limit`, `result`), or `stalled`, since it took nothing for too long, or `client`, since it
    /// left.
    pub end: &'static str,
    /// How long it was open.
    pub duration: Duration,
    /// Bytes handed to the connection.
    pub bytes: u64,
}

/// A caller was refused.
pub struct AccessRefused<'a> {
    /// Who asked, if known.
    pub user: Option<&'a str>,
    /// The namespace that was asked for, if it came so far.
    pub namespace: Option<&'a str>,
    /// A word of a closed list: `no_token`, `token_refused`, `token_in_url`, `access_refused`, `host`,
    /// `limited`.
    pub reason: &'static str,
}

/// A limit was reached, and somebody was refused or ended for it.
pub struct LimitReached<'a> {
    /// A word of a closed list: `connections`, `connections_per_source`, `streams_per_user`,
    /// `login_failures`, `request_head`, `request_body`, `request_body_time`, `memory`, `memory_shed`,
    /// `idle_connection`, `http2_flood`, `http2_ping`.
    pub limit: &'static str,
    /// A user or an address.
    pub who: &'a dyn fmt::Display,
}

/// The store could not write.
pub struct StoreFailed<'a> {
    /// Where.
    pub path: &'a Path,
    /// What went wrong.
    pub error: &'a dyn fmt::Display,
    /// It worked until now.
    pub first: bool,
}

/// The store writes again.
pub struct StoreRecovered<'a> {
    /// Where.
    pub path: &'a Path,
    /// Records that it could not keep meanwhile.
    pub lost: u64,
}

/// The store left records out, and has written down that it did.
pub struct StoreLost<'a> {
    /// Where.
    pub path: &'a Path,
    /// How many.
    pub records: u64,
}

/// A file of the store holds something that was not written so.
pub struct StoreDamaged<'a> {
    /// Which file.
    pub path: &'a Path,
    /// Bytes of it that are of no use.
    pub bytes: u64,
    /// What is wrong.
    pub why: &'a dyn fmt::Display,
}

/// A task panicked.
pub struct TaskPanicked<'a> {
    /// The room that the task belongs to.
    pub room: &'static str,
    /// Which of its tasks.
    pub task: &'static str,
    /// The words of the panic.
    pub message: &'a str,
    /// When it will be started again, if it will.
    pub restart_in: Option<Duration>,
}

// === impl emit ===

impl FollowerOpened<'_> {
    /// Logs and counts.
    pub fn emit(&self, metrics: &Metrics) {
        metrics.log_streams_opened.add(1);
        let Source { workload, pod, attempt, key } = self.source;
        tracing::debug!(%workload, %pod, container = %key.container, attempt, resumed = self.resumed, "log stream opened");
    }
}

impl FollowerBroken<'_> {
    /// Logs and counts.
    pub fn emit(&self, metrics: &Metrics) {
        metrics.log_stream_failures.add(1, self.reason);
        let Source { workload, pod, attempt, key } = self.source;
        tracing::debug!(%workload, %pod, container = %key.container, attempt, reason = self.reason, error = %self.error, "log stream broke");
    }
}

impl FollowerEnded<'_> {
    /// Logs.
    pub fn emit(&self, _metrics: &Metrics) {
        let Source { workload, pod, attempt, key } = self.source;
        tracing::debug!(%workload, %pod, container = %key.container, attempt, complete = ?self.complete, lines = self.lines, "source ended");
    }
}

impl Resumed<'_> {
    /// Logs and counts.
    pub fn emit(&self, metrics: &Metrics) {
        metrics.resumes.add(1, self.result);
        let Source { workload, pod, attempt, key } = self.source;
        tracing::debug!(%workload, %pod, container = %key.container, attempt, result = self.result, "log stream resumed");
    }
}

impl GapMarked<'_> {
    /// Logs and counts.
    pub fn emit(&self, metrics: &Metrics) {
        let Gap { reason, source, count, .. } = self.gap;
        let reason = reason.as_str();
        metrics.gaps.add(1, reason);
        let Some(source) = source else {
            tracing::debug!(reason, ?count, "a selection misses lines");
            return;
        };
        let Source { workload, pod, attempt, key } = &**source;
        tracing::info!(%workload, %pod, container = %key.container, attempt, reason, ?count, "lines are missing");
    }
}

impl WatchRestarted<'_> {
    /// Logs and counts.
    pub fn emit(&self, metrics: &Metrics) {
        metrics.watch_restarts.add(1, self.kind);
        tracing::info!(kind = self.kind, reason = %self.reason, "watch began anew");
    }
}

impl ViewerOpened<'_> {
    /// Logs and counts.
    pub fn emit(&self, metrics: &Metrics) {
        metrics.viewers.add(1, self.format);
        metrics.time_to_first_byte.record(self.first_byte);
        tracing::info!(target: "rollcast::audit", format = self.format, user = self.user, selection = %self.selection, request_id = self.request_id, "viewer opened");
    }
}

impl ViewerClosed<'_> {
    /// Logs and counts.
    pub fn emit(&self, metrics: &Metrics) {
        metrics.viewers.add(-1, self.format);
        metrics.stream_duration.record(self.duration, self.end);
        tracing::info!(target: "rollcast::audit", format = self.format, user = self.user, selection = %self.selection, request_id = self.request_id, end = self.end, seconds = self.duration.as_secs(), bytes = self.bytes, "viewer closed");
    }
}

impl AccessRefused<'_> {
    /// Logs. Reviews are counted where they are asked.
    pub fn emit(&self, _metrics: &Metrics) {
        tracing::info!(target: "rollcast::audit", user = self.user, namespace = self.namespace, reason = self.reason, "refused");
    }
}

impl LimitReached<'_> {
    /// Counts, and logs for developers only: who floods must not fill the log.
    pub fn emit(&self, metrics: &Metrics) {
        metrics.limits_reached.add(1, self.limit);
        tracing::debug!(limit = self.limit, who = %self.who, "limit reached");
    }
}

impl StoreFailed<'_> {
    /// Logs, once, and counts.
    pub fn emit(&self, metrics: &Metrics) {
        metrics.store_errors.add(1);
        let path = self.path.display();
        if self.first {
            tracing::error!(%path, error = %self.error, "history is not stored at present; streams go on from memory, and it is tried again");
        } else {
            tracing::debug!(%path, error = %self.error, "history is still not stored");
        }
    }
}

impl StoreRecovered<'_> {
    /// Logs.
    pub fn emit(&self, _metrics: &Metrics) {
        tracing::info!(path = %self.path.display(), lost_records = self.lost, "history is stored again");
    }
}

impl StoreLost<'_> {
    /// Logs and counts.
    pub fn emit(&self, metrics: &Metrics) {
        metrics.store_holes.add(1);
        metrics.store_lost_records.add(self.records);
        tracing::warn!(path = %self.path.display(), records = self.records, "records were appended faster than they could be stored; they are in memory only");
    }
}

impl StoreDamaged<'_> {
    /// Logs and counts.
    pub fn emit(&self, metrics: &Metrics) {
        metrics.store_damaged_bytes.add(self.bytes);
        tracing::warn!(path = %self.path.display(), bytes = self.bytes, why = %self.why, "stored history is damaged; what is whole is used");
    }
}

impl TaskPanicked<'_> {
    /// Logs and counts.
    pub fn emit(&self, metrics: &Metrics) {
        metrics.task_panics.add(1, self.room);
        tracing::error!(room = self.room, task = self.task, message = self.message, restart_in = ?self.restart_in, "a task panicked");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::GapReason;

    #[test]
    fn a_gap_is_counted_under_its_reason() {
        let (metrics, exposition) = Metrics::readable();
        let gap = Gap {
            time: 0,
            reason: GapReason::ClockStep,
            source: None,
            from: None,
            to: None,
            count: None,
        };
        GapMarked { gap: &gap }.emit(&metrics);
        assert_eq!(exposition.value("rollcast_gaps_total{reason=\"clock_step\"}"), Some(1.0));
    }

    #[test]
    fn viewers_that_came_and_went_leave_none_behind() {
        let (metrics, exposition) = Metrics::readable();
        let opened = ViewerOpened {
            format: "sse",
            user: "dev",
            selection: &"shop/deployment/web",
            request_id: "1",
            first_byte: Duration::from_millis(3),
        };
        opened.emit(&metrics);
        ViewerClosed {
            format: "sse",
            user: "dev",
            selection: &"shop/deployment/web",
            request_id: "1",
            end: "client",
            duration: Duration::from_secs(1),
            bytes: 10,
        }
        .emit(&metrics);
        assert_eq!(exposition.value("rollcast_viewers{format=\"sse\"}"), Some(0.0));
        let closed = exposition.value("rollcast_stream_duration_seconds_count{end=\"client\"}");
        assert_eq!(closed, Some(1.0));
    }
}
