//! The end of a log: read until nothing new comes, or proven to have been read already.

use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::time::{Instant, sleep, timeout};

use super::batch::{Batch, FULL};
use super::clean::CleanEnd;
use super::follower::{BACKOFF, Follower, Known, PATIENCE, State};
use super::reading::{Doubt, Head, Reading};
use super::standing::Standing;
use crate::cluster::{LogBody, LogError};
use crate::ids::{GapReason, SourceState};
use crate::telemetry::events;
use crate::time::SECOND;

/// "Nothing new" at the end of a log means two reads this far apart (truths: 6).
const LAST_READ_AGAIN: Duration = Duration::from_secs(1);
/// The kubelet writes whole seconds and its clock is not ours.
const CLOCK_SLACK: i64 = 2 * SECOND;

impl Follower {
    pub(super) async fn last(&mut self, quiet: u8) -> State {
        if !self.known.borrow().standing.is_over() {
            // The log or a fresh read ran ahead of the watch: let it come, or go on as before.
            let over = self.known.wait_for(|known| known.standing.is_over());
            if !matches!(timeout(PATIENCE, over).await, Ok(Ok(_))) {
                return State::Open;
            }
        }
        let standing = self.known.borrow().standing;
        let since = self.memory.fingerprint.since();
        let request = match standing {
            // Of `previous` it is not known whether it would be ours.
            Standing::Gone { .. } | Standing::Superseded { finished: None } => {
                return self.gone(standing);
            }
            Standing::Superseded { .. } => self.request(false, true, since, standing),
            Standing::Running { .. } | Standing::Ended { .. } => {
                self.request(false, false, since, standing)
            }
        };
        self.turn().await;
        let at = Instant::now();
        let (body, head) = self.ask(&request).await;
        let body = match body {
            Ok(body) => body,
            Err(LogError::NotFound(_)) => return self.gone(standing),
            // No attempt before the present one is kept.
            Err(LogError::Refused { status: 400, .. } | LogError::Waiting(_)) => {
                return self.gone(standing);
            }
            Err(error) => {
                self.broken("last_read", &error);
                let pause = self.next_pause().max(BACKOFF.0);
                self.wait_aloud(pause, "last_read");
                sleep(pause).await;
                return State::Last { quiet };
            }
        };
        if !self.memory.opened {
            self.memory.opened = true;
            self.begin(&request, head);
        }
        self.read_last((body, at), (since, head), quiet, standing).await
    }

    async fn read_last(
        &mut self,
        (mut body, at): (LogBody, Instant),
        (since, head): (Option<i64>, Head),
        quiet: u8,
        standing: Standing,
    ) -> State {
        let previous = matches!(standing, Standing::Superseded { .. });
        let cap = self.options.max_line_bytes;
        let mut batch = Batch::default();
        let mut reading = match since {
            Some(_) => Reading::resumed(cap, &self.memory.fingerprint, since),
            None => Reading::unproven(cap, head),
        };
        while let Some(chunk) = body.next().await {
            let chunk = match chunk {
                Ok(chunk) => chunk,
                Err(error) => {
                    self.broken("last_read", &error);
                    sleep(self.next_pause().max(BACKOFF.0)).await;
                    return State::Last { quiet: 0 };
                }
            };
            for part in chunk.chunks(FULL) {
                reading.push(part, &mut self.memory.desk(&mut batch));
                self.flush(&mut batch);
                if reading.doubt() == Some(Doubt::Overlap)
                    && !self.prove(&mut reading, (at, previous), &mut batch).await
                {
                    return self.not_ours(standing).await;
                }
                if reading.doubt() == Some(Doubt::Attempt) && reading.is_full() {
                    if !self.read_is_ours(&reading, (at, previous)).await {
                        return self.not_ours(standing).await;
                    }
                    reading.accept(&mut self.memory.desk(&mut batch));
                    self.flush(&mut batch);
                }
            }
        }
        let mut desk = self.memory.desk(&mut batch);
        reading.hear_the_end(&desk);
        if reading.message().is_none() {
            reading.take_fragment(&mut desk);
        }
        reading.settle(&mut desk);
        self.flush(&mut batch);
        self.note_tail(&reading);
        if reading.message().is_some() {
            // "unable to retrieve container logs": the attempt's files are gone.
            return self.gone(standing);
        }
        match reading.doubt() {
            Some(Doubt::Overlap) if !self.prove(&mut reading, (at, previous), &mut batch).await => {
                return self.not_ours(standing).await;
            }
            Some(Doubt::Attempt) => {
                if !self.read_is_ours(&reading, (at, previous)).await {
                    return self.not_ours(standing).await;
                }
                reading.accept(&mut self.memory.desk(&mut batch));
                self.flush(&mut batch);
            }
            // Nothing came, not even the line that was asked for again: this is another file.
            None if !reading.is_ours() => {
                // Or one that was cut short: asked once more.
                if !std::mem::replace(&mut self.impatient, true) {
                    sleep(LAST_READ_AGAIN).await;
                    return State::Last { quiet };
                }
                return self.vanished(standing).await;
            }
            _ => {}
        }
        self.note_proof(&reading);
        // The attempt was over before this read began, so it showed all there is, like the clean end
        // of a follow: a pod that is removed before the second look has lost nothing.
        self.memory.clean_end = Some(CleanEnd::of_last_read());
        self.show();
        let quiet = if reading.delivered() > 0 { 0 } else { quiet + 1 };
        if quiet >= 2 {
            return self.over(true, None);
        }
        sleep(LAST_READ_AGAIN).await;
        State::Last { quiet }
    }

    /// Whether a read without an overlap belongs to this attempt: a status that is newer than the
    /// read must still say that this is the attempt which such a read gives, and nothing in it may be
    /// younger than the attempt.
    async fn read_is_ours(&self, reading: &Reading, (at, previous): (Instant, bool)) -> bool {
        let standing = match (self.named(at).await, previous) {
            (Some(standing @ Standing::Ended { .. }), false)
            | (Some(standing @ Standing::Superseded { finished: Some(_) }), true) => standing,
            (None, _) => self.known.borrow().standing,
            _ => return false,
        };
        if !previous && self.is_previous(standing).await {
            return false;
        }
        match (reading.first_held(), standing.finished()) {
            (Some(first), Some(finished)) => first <= finished + CLOCK_SLACK,
            _ => true,
        }
    }

    /// The lines of a last read were a newer attempt's: read again as soon as the status says so.
    async fn not_ours(&mut self, standing: Standing) -> State {
        // Of what was asked for as `previous`, there is no other place to ask.
        match standing {
            Standing::Superseded { .. } | Standing::Gone { .. } => self.gone(standing),
            _ if self.is_replaced().await => State::Last { quiet: 0 },
            _ => self.gone(standing),
        }
    }

    /// A last read gave nothing, without the line that it was to begin with: it was a newer attempt's
    /// log, or the file was rotated away, and whether it ended with that line nobody knows.
    async fn vanished(&mut self, standing: Standing) -> State {
        match standing {
            Standing::Superseded { .. } | Standing::Gone { .. } => self.gone(standing),
            _ if self.is_replaced().await => State::Last { quiet: 0 },
            _ => self.lost(standing, GapReason::RotationUnproven),
        }
    }

    /// Whether a status comes soon that knows of a newer attempt, or of no pod.
    async fn is_replaced(&mut self) -> bool {
        let newer = |known: &Known| {
            matches!(known.standing, Standing::Superseded { .. } | Standing::Gone { .. })
        };
        matches!(timeout(PATIENCE, self.known.wait_for(newer)).await, Ok(Ok(_)))
    }

    /// The log cannot be read any more.
    fn gone(&mut self, standing: Standing) -> State {
        let reason = match standing {
            Standing::Superseded { .. } => GapReason::AttemptCollected,
            _ if self.was_unreachable => GapReason::NodeUnreachable,
            _ => GapReason::PodRemoved,
        };
        self.lost(standing, reason)
    }

    /// The end of the log is not there to be read, for this reason. It was read all the same if the
    /// follow was unbroken and ended cleanly when, or after, the attempt had ended (truths: 6).
    fn lost(&mut self, standing: Standing, reason: GapReason) -> State {
        if self.memory.is_whole(standing) {
            return self.over(true, None);
        }
        let from = self.memory.fingerprint.last_time();
        // The API cut the end to its second.
        let finished = standing.finished();
        let to = finished.map(|finished| (finished + SECOND).max(from.unwrap_or(finished)));
        self.gap(reason, from, to);
        self.over(false, Some(reason.as_str()))
    }

    fn over(&mut self, complete: bool, reason: Option<&'static str>) -> State {
        self.show();
        self.memory.ended = true;
        self.note_proven();
        events::FollowerEnded {
            source: &self.source,
            complete: Some(complete),
            lines: self.memory.lines,
        }
        .emit(&self.metrics);
        self.tell(SourceState::Ended, Some(complete), reason);
        State::Over
    }
}
