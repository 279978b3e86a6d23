//! Proves what the API does not say: whose lines these are, and whether any are missing before them.

use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::batch::Batch;
use super::follower::{Follower, PATIENCE};
use super::probe::{self, End};
use super::reading::{Desk, Reading};
use super::standing::Standing;
use crate::cluster::LogError;
use crate::ids::{GapReason, SourceState};
use crate::telemetry::events;
use crate::time::{self, SECOND};

/// A kubelet says that a container ended before it starts the next one, and says it to the API server
/// within this time: a status that is read so long after a log was opened is newer than the choice
/// that the kubelet made.
pub(super) const STATUS_LAG: Duration = Duration::from_millis(500);
/// Pause between two looks at a status that cannot be had.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

// === impl Follower ===

impl Follower {
    /// How the attempt stands by a status that is newer than an answer opened at this time; `None` if
    /// no status can be had for 5 s.
    pub(super) async fn named(&self, opened: Instant) -> Option<Standing> {
        let look = async {
            sleep_until(opened + STATUS_LAG).await;
            loop {
                if let Some(standing) = self.look().await {
                    return standing;
                }
                sleep(LOOK_AGAIN).await;
            }
        };
        timeout(PATIENCE, look).await.ok()
    }

    /// Whether an ordinary answer that was opened at this time is this attempt's (truths: 4). Of one
    /// that is not young, what is known decides where nobody can be asked any more.
    pub(super) async fn is_ours(&self, opened: Instant, young: bool) -> bool {
        match self.named(opened).await {
            Some(standing @ (Standing::Running { .. } | Standing::Ended { .. })) => {
                !self.is_previous(standing).await
            }
            // No pod of this name is left: then there was none but ours.
            Some(Standing::Gone { .. }) => !young && self.is_absent().await,
            Some(Standing::Superseded { .. }) => false,
            None => !young && !self.known.borrow().standing.is_over(),
        }
    }

    /// Whether the log before the newest goes on behind our attempt's start: then it is ours, and the
    /// newest is the next one's, of which no status tells yet. One that lived for less than a second
    /// cannot be told from the one before it so.
    pub(super) async fn is_previous(&self, standing: Standing) -> bool {
        let Some(started) = standing.started() else { return false };
        let last = probe::stamp(&self.cluster, &self.source, End::Last, true).await;
        matches!(last, Ok(Some(last)) if last >= started + SECOND)
    }

    /// Whether the newest file holds nothing.
    pub(super) async fn file_is_empty(&self) -> bool {
        matches!(probe::stamp(&self.cluster, &self.source, End::First, false).await, Ok(None))
    }

    async fn is_absent(&self) -> bool {
        let workload = &self.source.workload;
        let pod = self.cluster.get_pod(&workload.namespace, &self.source.pod).await;
        matches!(pod, Ok(None))
    }

    /// Lines came without the overlap. If their container is still ours, the kubelet rotated the
    /// file: they are delivered behind a gap. Otherwise they belong to the next attempt, whose own
    /// follower reads them. `previous` is whether the answer was asked for so.
    pub(super) async fn prove(
        &mut self,
        reading: &mut Reading,
        (opened, previous): (Instant, bool),
        batch: &mut Batch,
    ) -> bool {
        let standing = self.named(opened).await;
        match standing {
            // A kubelet that could not reach the API server may owe it the news of a restart, and where
            // no status can be had there may have been one too.
            Some(Standing::Running { .. } | Standing::Ended { .. }) | None
                if !previous && self.stands_in_previous().await != Some(false) =>
            {
                return false;
            }
            Some(Standing::Running { .. } | Standing::Ended { .. }) => {}
            Some(Standing::Superseded { finished: Some(_) }) if previous => {}
            Some(_) => return false,
            // Nobody can be asked: what is known decides.
            None if self.known.borrow().standing.is_over() && !previous => return false,
            None => {}
        }
        events::Resumed { source: &self.source, result: "unproven" }.emit(&self.metrics);
        self.missing(reading);
        reading.accept(&mut self.memory.desk(batch));
        self.flush(batch);
        true
    }

    /// Whether our last line stands in the log of the attempt before the newest: then the newest is the
    /// next one, of which no status tells yet. `None` if that log cannot be had for 5 s.
    async fn stands_in_previous(&self) -> Option<bool> {
        let search = async {
            loop {
                match self.search_previous().await {
                    Ok(found) => return found,
                    // There is none.
                    Err(
                        LogError::NotFound(_)
                        | LogError::Waiting(_)
                        | LogError::Refused { status: 400, .. },
                    ) => {
                        return false;
                    }
                    Err(_) => sleep(LOOK_AGAIN).await,
                }
            }
        };
        timeout(PATIENCE, search).await.ok()
    }

    async fn search_previous(&self) -> Result<bool, LogError> {
        let since = self.memory.fingerprint.since();
        let request = self.request(false, true, since, self.known.borrow().standing);
        let mut known = self.memory.fingerprint.clone();
        let mut reading = Reading::resumed(self.options.max_line_bytes, &known, since);
        let mut body = self.cluster.open_log(&request).await?;
        while let Some(chunk) = body.next().await {
            let mut batch = Batch::default();
            let mut desk = Desk { known: &mut known, batch: &mut batch, now: time::now() };
            reading.push(&chunk?, &mut desk);
            if reading.is_ours() || reading.doubt().is_some() || reading.message().is_some() {
                return Ok(reading.is_ours());
            }
        }
        let mut batch = Batch::default();
        reading.settle(&mut Desk { known: &mut known, batch: &mut batch, now: time::now() });
        Ok(reading.is_ours())
    }

    /// A log goes on where an earlier process stopped if what that had read last was found, or a gap
    /// says what is missing.
    pub(super) fn note_proof(&mut self, reading: &Reading) {
        if reading.is_ours() {
            self.note_proven();
        }
    }

    /// Counts what became of a follow that was resumed.
    pub(super) fn note_resume(&self, reading: &Reading, resumed: bool) {
        if resumed && reading.is_ours() {
            let result = if reading.delivered() > 0 { "proven" } else { "nothing_new" };
            events::Resumed { source: &self.source, result }.emit(&self.metrics);
        }
    }

    /// Says once that nothing is missing unsaid since an earlier process read the log.
    pub(super) fn note_proven(&mut self) {
        if std::mem::take(&mut self.memory.unproven) {
            self.level.see(|seen| seen.continued = true);
            (self.proven)(&self.source);
        }
    }

    /// Lines are missing before those that are held.
    fn missing(&mut self, reading: &Reading) {
        let reason = if self.was_unreachable {
            GapReason::NodeUnreachable
        } else if self.memory.fingerprint.is_stepped() {
            GapReason::ClockStep
        } else {
            GapReason::RotationUnproven
        };
        self.gap(reason, self.memory.fingerprint.last_time(), reading.first_held());
    }

    /// A follow that was behind jumped. If the newest file begins at or before the last line, both
    /// stand in it and nothing was skipped.
    pub(super) async fn explain_jump(&mut self, reading: &mut Reading, batch: &mut Batch) {
        let now = time::now();
        let file = probe::stamp(&self.cluster, &self.source, End::First, false).await;
        let last = self.memory.fingerprint.last_time();
        if matches!((file, last), (Ok(Some(file)), Some(last)) if file <= last) {
            reading.vouch(now);
        } else {
            self.missing(reading);
        }
        reading.accept(&mut self.memory.desk(batch));
    }

    /// Lines went back in time. If the last stored line does too, the clock was set back and they
    /// are new; otherwise the kubelet reads the file again.
    pub(super) async fn explain_going_back(&mut self, reading: &mut Reading, batch: &mut Batch) {
        let stored = probe::stamp(&self.cluster, &self.source, End::Last, false).await;
        let newest = self.memory.fingerprint.newest();
        match (stored, newest) {
            (Ok(Some(stored)), Some(newest)) if stored < newest - SECOND => {
                reading.step_back(&mut self.memory.desk(batch));
                self.flush(batch);
                self.tell(SourceState::Following, None, Some("clock_step"));
            }
            (Ok(Some(_)), _) => reading.repeats(),
            // Nobody can be asked; the anchor may come, and if not there is a gap.
            _ => {}
        }
    }
}
