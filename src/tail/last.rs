//! The end of a log: read until nothing new comes, or proven to have been read already.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::time::{sleep, timeout};

use super::batch::{Batch, FULL};
use super::follower::{BACKOFF, Follower, PATIENCE, State};
use super::reading::{Desk, Reading};
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
        self.caught_up.store(true, Ordering::Release);
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
            Standing::Gone { .. } => return self.gone(standing),
            Standing::Superseded { .. } => self.request(false, true, since, standing),
            Standing::Running { .. } | Standing::Ended { .. } => {
                self.request(false, false, since, standing)
            }
        };
        self.pace.turn().await;
        let body = match self.cluster.open_log(&request).await {
            Ok(body) => body,
            Err(LogError::NotFound(_)) => return self.gone(standing),
            // No attempt before the present one is kept.
            Err(LogError::Refused { status: 400, .. } | LogError::Waiting(_)) => {
                return self.gone(standing);
            }
            Err(error) => {
                self.broken("last_read", &error);
                let pause = self.next_pause().max(BACKOFF.0);
                sleep(pause).await;
                return State::Last { quiet };
            }
        };
        if !self.memory.opened {
            self.memory.opened = true;
            if request.tail_lines.is_some() {
                self.memory.fingerprint.begin_inside();
            }
        }
        self.read_last(body, since, quiet, standing).await
    }

    async fn read_last(
        &mut self,
        mut body: LogBody,
        since: Option<i64>,
        quiet: u8,
        standing: Standing,
    ) -> State {
        let cap = self.options.max_line_bytes;
        let mut batch = Batch::default();
        let mut reading = match since {
            Some(_) => Reading::resumed(cap, &self.memory.fingerprint, since),
            None => Reading::first(cap),
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
                let mut desk = Desk { known: &mut self.memory.fingerprint, batch: &mut batch };
                reading.push(part, &mut desk);
                self.flush(&mut batch);
            }
        }
        let mut desk = Desk { known: &mut self.memory.fingerprint, batch: &mut batch };
        if reading.message().is_none() {
            reading.take_fragment(&mut desk);
        }
        reading.settle(&mut desk);
        self.flush(&mut batch);
        if reading.message().is_some() {
            // "unable to retrieve container logs": the attempt's files are gone.
            return self.gone(standing);
        }
        if reading.suspect() && !self.prove(&mut reading, &mut batch).await {
            return self.gone(standing);
        }
        let quiet = if reading.delivered() > 0 { 0 } else { quiet + 1 };
        if quiet >= 2 {
            return self.over(true, None);
        }
        sleep(LAST_READ_AGAIN).await;
        State::Last { quiet }
    }

    /// The log cannot be read any more. It was read to its end if the follow was unbroken and ended
    /// cleanly when, or after, the attempt had ended (truths: 6).
    fn gone(&mut self, standing: Standing) -> State {
        let finished = match standing {
            Standing::Running { .. } | Standing::Gone { ended: None } => None,
            other => Some(other.finished()),
        };
        let complete = match (self.memory.clean_end, finished) {
            (Some(end), Some(Some(finished))) => end + CLOCK_SLACK >= finished,
            (Some(_), Some(None)) => true,
            _ => false,
        };
        if complete {
            return self.over(true, None);
        }
        let (reason, word) = match standing {
            Standing::Superseded { .. } => (GapReason::AttemptCollected, "attempt_collected"),
            _ => (GapReason::PodRemoved, "pod_removed"),
        };
        self.gap(reason, self.memory.fingerprint.last_time(), finished.flatten());
        self.over(false, Some(word))
    }

    fn over(&mut self, complete: bool, reason: Option<&'static str>) -> State {
        self.memory.ended = true;
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
