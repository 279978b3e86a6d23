//! Proves what the API does not say: whose lines these are, and whether any are missing before them.

use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::batch::Batch;
use super::follower::{Follower, PATIENCE};
use super::probe::{self, End};
use super::reading::{Desk, Reading};
use super::standing::Standing;
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
        sleep_until(opened + STATUS_LAG).await;
        let until = Instant::now() + PATIENCE;
        loop {
            let standing = self.look().await;
            if standing.is_some() || Instant::now() >= until {
                return standing;
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Whether an ordinary answer that was opened at this time is this attempt's (truths: 4).
    pub(super) async fn is_ours(&self, opened: Instant) -> bool {
        let standing = self.named(opened).await;
        matches!(standing, Some(Standing::Running { .. } | Standing::Ended { .. }))
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
            // A kubelet that could not reach the API server may owe it the news of a restart.
            Some(Standing::Running { .. } | Standing::Ended { .. })
                if !previous && self.stands_in_previous().await =>
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
        events::Resumed { source: &self.source, result: "lost" }.emit(&self.metrics);
        self.missing(reading);
        reading.accept(&mut self.memory.desk(batch));
        self.flush(batch);
        true
    }

    /// Whether our last line stands in the log of the attempt before the newest: then the newest is the
    /// next one, of which no status tells yet.
    async fn stands_in_previous(&self) -> bool {
        let since = self.memory.fingerprint.since();
        let request = self.request(false, true, since, self.known.borrow().standing);
        let mut known = self.memory.fingerprint.clone();
        let mut reading = Reading::resumed(self.options.max_line_bytes, &known, since);
        let search = async {
            let mut body = self.cluster.open_log(&request).await.ok()?;
            while let Some(chunk) = body.next().await {
                let mut batch = Batch::default();
                let mut desk = Desk { known: &mut known, batch: &mut batch, now: time::now() };
                reading.push(&chunk.ok()?, &mut desk);
                if reading.is_ours() {
                    return Some(());
                }
            }
            let mut batch = Batch::default();
            reading.settle(&mut Desk { known: &mut known, batch: &mut batch, now: time::now() });
            reading.is_ours().then_some(())
        };
        // Where there is no such log, or none can be had, there is only the status.
        matches!(timeout(PATIENCE, search).await, Ok(Some(())))
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
