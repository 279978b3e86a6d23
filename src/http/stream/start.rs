//! Where a stream begins.

use std::sync::Arc;
use std::time::Duration;

use super::query::{Query, Since};
use crate::http::problem::Problem;
use crate::ids::{RolloutStatus, WorkloadId};
use crate::journal::{Journal, Missed};
use crate::subscribe::{Selection, Shelves};
use crate::time::{MILLISECOND, SECOND};
use crate::wire::Resumed;

/// How long the first viewer of a workload waits for what its logs hold already. Then the stream
/// begins with what has come; the rest follows as it comes.
pub const BACKLOG: Duration = Duration::from_secs(2);
/// The same for who comes back to a process that stands in the place of one that was killed.
pub const PROOF: Duration = Duration::from_secs(10);
/// Lines that are shown first when no rollout runs and nothing else was asked for.
const USUAL_TAIL: usize = 100;

/// The beginning of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// Records behind this sequence number are delivered.
    pub after: u64,
    /// The time that goes with it: should this journal be gone when the client comes back, everything
    /// that it has not seen is read again from then on.
    pub time: i64,
    /// History leaves out lines that are older.
    pub since: Option<i64>,
    /// What comes may repeat what another process told the client, from this time on.
    pub again: Option<i64>,
    /// Lines that were asked for by their time and are no longer kept.
    pub missed: Vec<(Arc<WorkloadId>, Missed)>,
    /// What the client is told.
    pub resumed: Resumed,
    /// The client's position was in a journal that is gone, or with a record that is: lines may be
    /// missing since this time.
    pub lost_since: Option<i64>,
}

/// Refuses a position in this journal that was never issued. Checked when the request comes; the
/// head only grows after that.
///
/// # Errors
/// 400.
pub fn check_position(query: &Query, journal: &Journal) -> Result<(), Problem> {
    match query.resume {
        Some(id) if id.epoch == journal.epoch() && id.seq > journal.head() => {
            Err(Problem::bad_request(
                "last_event_id",
                "lies in the future of this server, which never issued it; leave it out to begin \
                 anew",
            ))
        }
        _ => Ok(()),
    }
}

/// When the rollouts of a stream's workloads began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rollouts {
    /// The first of those that run.
    running: Option<i64>,
    /// The last of all.
    newest: Option<i64>,
}

// === impl Rollouts ===

impl Rollouts {
    /// Takes one into account.
    pub fn add(&mut self, status: &RolloutStatus) {
        let Some(started) = status.started else { return };
        self.newest = self.newest.max(Some(started));
        if status.phase.runs() {
            self.running = Some(self.running.map_or(started, |first| first.min(started)));
        }
    }

    /// What `since=rollout` means.
    fn began(&self) -> Option<i64> {
        self.running.or(self.newest)
    }
}

// === impl Start ===

impl Start {
    /// Decides from the request, what the shelves hold of the selection, the rollout's
    /// state, and the wall time.
    pub fn decide(
        query: &Query,
        journal: &Journal,
        shelves: &Shelves,
        selection: &Selection,
        rollouts: &Rollouts,
        now: i64,
    ) -> Start {
        if let Some(id) = query.resume {
            let (after, time, again) = (id.seq, millis(id.unix_ms), id.again_ms.map(millis));
            let ours = id.epoch == journal.epoch();
            if ours && !journal.lost(id.seq) {
                let resumed = again.map_or(Resumed::Exact, |_| Resumed::Approximate);
                let (since, missed, lost_since) = (again, Vec::new(), None);
                return Start { after, time, since, again, missed, resumed, lost_since };
            }
            // Another journal, or a record that this one lost with its process: its time is all that is
            // left. The milliseconds were cut, and another replica may have seen the lines in another
            // order; its clock may have been ahead.
            let since = time.min(now).saturating_sub(SECOND).max(again.unwrap_or(i64::MIN));
            // What was lost with the process and is read again has its place behind all that was told; what
            // is older than that, the client has.
            let (at, missed) = shelves.position_at(since);
            let (after, missed) =
                if ours && at < after { (after, Vec::new()) } else { (at, missed) };
            return Start {
                after,
                time: since.min(now),
                since: Some(since),
                again: Some(since),
                missed,
                resumed: Resumed::Approximate,
                lost_since: Some(since),
            };
        }
        let since = match query.since {
            Some(Since::Time(time)) => Some(time),
            Some(Since::Ago(span)) => {
                Some(now.saturating_sub(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)))
            }
            Some(Since::Rollout) => Some(rollouts.began().unwrap_or(now)),
            None if query.tail.is_none() => rollouts.running,
            None => None,
        };
        let (after, missed) = match since {
            Some(since) => shelves.position_at(since),
            None => {
                let tail = query.tail.unwrap_or(USUAL_TAIL);
                (shelves.before_last_lines(tail, selection), Vec::new())
            }
        };
        let time = shelves.oldest_behind(after).map_or(now, |oldest| oldest.min(now));
        let resumed = Resumed::None;
        Start { after, time, since, again: None, missed, resumed, lost_since: None }
    }
}

/// An id's milliseconds in nanoseconds; those that no clock shows are the last that fit.
pub(super) fn millis(unix_ms: u64) -> i64 {
    i64::try_from(unix_ms).unwrap_or(i64::MAX).saturating_mul(MILLISECOND)
}
