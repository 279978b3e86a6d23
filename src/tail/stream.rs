//! Reads an open stream for as long as it goes well.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::time::{Instant, sleep_until};

use super::batch::{Batch, FULL};
use super::clean::CleanEnd;
use super::follower::{Follower, PATIENCE, State};
use super::nodes::ON_ITS_WAY;
use super::probe::{self, End as Side};
use super::proof::STATUS_LAG;
use super::reading::{Doubt, Reading};
use crate::cluster::{LogBody, LogError};
use crate::ids::SourceState;
use crate::time::SECOND;

/// A line that is so old when its log is opened was written before any restart that the kubelet may
/// still keep to itself, whatever the node's clock says within reason.
const OLD: i64 = 10 * SECOND;
/// An answer that is silent for so long has shown its backlog.
const CAUGHT_UP: Duration = Duration::from_millis(50);
/// A follow ends within a second of its container; one that is silent for longer is dead.
const OVER_SILENCE: Duration = Duration::from_secs(10);
/// When too many logs are being looked at, this one is after this time.
const LOOK_LATER: Duration = Duration::from_secs(2);

/// An open stream.
pub(super) struct Stream {
    pub(super) body: LogBody,
    pub(super) reading: Reading,
    /// When it was asked for, wall time.
    pub(super) opened: i64,
    /// The same, by the steady clock.
    pub(super) at: Instant,
    /// Its attempt may have been replaced already without a word.
    pub(super) young: bool,
    /// What it was asked from.
    pub(super) since: Option<i64>,
    /// Its backlog has been read.
    pub(super) live: bool,
}

/// What comes next of a stream.
enum Next {
    Chunk(Bytes),
    Broken(LogError),
    /// It ended cleanly.
    End,
    /// Nothing came for a moment: the backlog has been read.
    CaughtUp,
    /// Held lines waited for their anchor for long enough; whether anything came meanwhile.
    Patience,
    /// It is silent although its container is over.
    Dead,
    /// It is silent.
    Quiet,
    /// Something is known that was not.
    Told,
    /// It is time to look whose it is.
    Prove,
}

/// How reading a stream ended.
pub(super) enum End {
    Clean,
    Broken,
    /// The lines belong to a newer attempt.
    NotOurs,
    /// It is to be opened again at once.
    Again,
}

// === impl Follower ===

impl Follower {
    pub(super) async fn read(&mut self, mut stream: Stream) -> State {
        let mut batch = Batch::default();
        // When lines began to wait for their anchor, when bytes came last, and since when their absence
        // is not to be looked into.
        let (mut waits, mut came, mut looked) = (None, Instant::now(), Instant::now());
        let random = self.random.f64();
        // A line is stored that did not come: it may be on its way until `later`.
        let (mut doubted, mut later) = (false, looked);
        let end = loop {
            waits = stream.reading.waits().then(|| waits.unwrap_or_else(Instant::now));
            let usual = (came.max(looked) + self.memory.cadence.patience(random)).max(later);
            let quiet = if doubted { later } else { usual };
            let next = self.next(&mut stream, waits, (came, quiet)).await;
            match next {
                Next::Chunk(chunk) => {
                    if stream.live {
                        self.memory.cadence.came(came.elapsed());
                    }
                    (came, doubted) = (Instant::now(), false);
                    self.level.hear(came);
                    self.take(&mut stream, &chunk, &mut batch);
                }
                Next::CaughtUp => self.go_live(&mut stream),
                Next::Patience => {
                    let silent = came.elapsed() >= PATIENCE;
                    // A stream that stopped in its replay says nothing about the file: asked once more.
                    if silent && !std::mem::replace(&mut self.impatient, true) {
                        break End::Broken;
                    }
                    let mut desk = self.memory.desk(&mut batch);
                    stream.reading.settle(&mut desk);
                }
                Next::Told => {
                    if self.kicked() {
                        break End::Again;
                    }
                }
                Next::Prove => {}
                Next::Quiet => {
                    let pace = self.pace.clone();
                    let look = pace.look();
                    if look.is_none() {
                        later = Instant::now() + LOOK_LATER;
                    } else if self.is_really_quiet(stream.since).await {
                        self.memory.cadence.was_quiet(came.elapsed());
                        (looked, doubted) = (Instant::now(), false);
                    } else if doubted || self.everything {
                        break End::Again;
                    } else {
                        (later, doubted) = (Instant::now() + ON_ITS_WAY, true);
                    }
                }
                Next::Dead => break End::Broken,
                Next::Broken(error) => {
                    self.broken("broken", &error);
                    break End::Broken;
                }
                Next::End => {
                    let mut desk = self.memory.desk(&mut batch);
                    stream.reading.hear_the_end(&desk);
                    stream.reading.settle(&mut desk);
                    break End::Clean;
                }
            }
            self.flush(&mut batch);
            let began = Instant::now();
            if let Some(end) = self.examine(&mut stream, &mut batch, false).await {
                break end;
            }
            // While something else was waited for, nothing could come.
            came += began.elapsed();
            self.note_proof(&stream.reading);
            self.note_skew(&stream);
        };
        self.memory.late = stream.reading.late().or(self.memory.late);
        let ended = CleanEnd::now(came.elapsed(), self.memory.late);
        self.flush(&mut batch);
        let end = match end {
            End::NotOurs => End::NotOurs,
            end => self.examine(&mut stream, &mut batch, true).await.unwrap_or(end),
        };
        self.note_proof(&stream.reading);
        self.note_resume(&stream.reading, stream.since.is_some());
        self.note_end(&end, &stream.reading, ended).await;
        self.level.set_reading(false);
        if stream.reading.delivered() > 0 {
            self.backoff = Duration::ZERO;
            self.impatient = false;
        }
        self.show();
        match end {
            End::NotOurs => State::Last { quiet: 0 },
            End::Again => State::Open,
            End::Clean | End::Broken => self.judge(stream.reading.ends_in_a_message()),
        }
    }

    async fn next(
        &mut self,
        stream: &mut Stream,
        waits: Option<Instant>,
        (came, quiet): (Instant, Instant),
    ) -> Next {
        // Not marked as seen: what came while something else was awaited is still to be told.
        let over = self.known.borrow().standing.is_over();
        let now = Instant::now();
        let mut due = (quiet, Next::Quiet);
        let mut sooner = |at: Instant, next| {
            if at < due.0 {
                due = (at, next);
            }
        };
        if over {
            sooner(now + OVER_SILENCE, Next::Dead);
        }
        if !stream.live {
            let patient = stream.reading.expects();
            sooner(if patient { came + PATIENCE } else { now + CAUGHT_UP }, Next::CaughtUp);
        }
        if let Some(since) = waits {
            sooner(since + PATIENCE, Next::Patience);
        }
        if stream.reading.doubt() == Some(Doubt::Attempt) {
            sooner(stream.at + STATUS_LAG, Next::Prove);
        }
        let (at, late) = due;
        tokio::select! {
            biased;
            // However much comes: what is due is due.
            () = std::future::ready(()), if at <= now => late,
            next = stream.body.next() => match next {
                Some(Ok(chunk)) => Next::Chunk(chunk),
                Some(Err(error)) => Next::Broken(error),
                None => Next::End,
            },
            // A sender that is gone says no more than one that is silent.
            Ok(()) = self.known.changed() => Next::Told,
            () = sleep_until(at) => late,
        }
    }

    fn take(&mut self, stream: &mut Stream, chunk: &[u8], batch: &mut Batch) {
        for part in chunk.chunks(FULL) {
            let mut desk = self.memory.desk(batch);
            stream.reading.push(part, &mut desk);
            self.flush(batch);
        }
        let newest = self.memory.fingerprint.last_time();
        let fresh = newest.is_some_and(|newest| newest >= stream.opened);
        if !stream.live && fresh {
            self.go_live(stream);
        } else if !stream.live && stream.reading.is_present() {
            // How much its clock differs can be measured. That all was read is not known by that: a slow
            // backlog looks the same.
            stream.reading.go_live();
        }
    }

    /// Says, once, that the clock of its node differs from ours, for then the order of lines between two
    /// nodes is not that of events; and that it does so no more.
    fn note_skew(&mut self, stream: &Stream) {
        self.level.set_ahead(stream.reading.least_lag().map_or(0, |lag| lag.min(0)));
        if let Some(skew) = stream.reading.skew()
            && skew != self.skew
        {
            self.skew = skew;
            self.tell(SourceState::Following, None, skew);
        }
    }

    /// Notes what the end of an answer says about the end of the container.
    async fn note_end(&mut self, end: &End, reading: &Reading, ended: CleanEnd) {
        match end {
            End::Clean if reading.ends_well() => self.memory.clean_end = Some(ended),
            End::Clean if reading.ends_with_removal() => {
                self.memory.clean_end = Some(CleanEnd::of_last_read());
            }
            // What ended cleanly before was not the end.
            _ if reading.delivered() > 0 => self.memory.clean_end = None,
            // What came after our attempt.
            End::NotOurs => {}
            End::Clean | End::Broken if reading.says_unknown() => {}
            // The file was rotated when all was said: an empty answer is all there is.
            End::Clean if reading.is_empty() && self.file_is_empty().await => {}
            // An answer without even the last line is no answer.
            End::Clean | End::Broken | End::Again => self.memory.doubt_end(),
        }
    }

    /// The backlog has been read: what comes now is the present.
    fn go_live(&mut self, stream: &mut Stream) {
        stream.live = true;
        stream.reading.go_live();
        self.level.set_reading(true);
        self.note_tail(&stream.reading);
        self.show();
    }

    /// Whether what is held may be delivered, and whether the stream is worth reading on.
    async fn examine(
        &mut self,
        stream: &mut Stream,
        batch: &mut Batch,
        ended: bool,
    ) -> Option<End> {
        let Stream { reading, at, young, opened, .. } = stream;
        // What begins with a line that was there before any restart of which no status tells yet is
        // not the next attempt's: it need not wait for the kubelet.
        let old = !*young && reading.first_held().is_some_and(|first| first < *opened - OLD);
        match reading.doubt() {
            Some(Doubt::Attempt) if old => {
                if !self.is_ours(at.checked_sub(STATUS_LAG).unwrap_or(*at), false).await {
                    return Some(End::NotOurs);
                }
                reading.accept(&mut self.memory.desk(batch));
            }
            Some(Doubt::Attempt) if ended || reading.is_full() || at.elapsed() >= STATUS_LAG => {
                if !self.is_ours(*at, *young).await {
                    return Some(End::NotOurs);
                }
                reading.accept(&mut self.memory.desk(batch));
            }
            Some(Doubt::Overlap) if !self.prove(reading, (*at, false), batch).await => {
                return Some(End::NotOurs);
            }
            Some(Doubt::Jump) => self.explain_jump(reading, batch).await,
            _ => {}
        }
        if reading.goes_back() {
            self.explain_going_back(reading, batch).await;
        }
        self.flush(batch);
        if let Some((message, said)) = reading.message() {
            self.broken("kubelet_message", &message);
            self.memory.said = said;
            return (!ended).then_some(End::Broken);
        }
        None
    }

    /// A quiet source: is it the container, or the stream? Asked without `sinceTime`, for after a
    /// backward clock step everything is below it (truths: 8).
    async fn is_really_quiet(&mut self, since: Option<i64>) -> bool {
        let stored = probe::stamp(&self.cluster, &self.source, Side::Last, false).await;
        let (Ok(Some(stored)), Some(newest)) = (stored, self.memory.fingerprint.newest()) else {
            // Nothing is stored, nothing was ever read, or it cannot be asked: asked again later.
            return true;
        };
        if since.is_some_and(|since| stored < since) || stored < newest - SECOND {
            self.everything = true;
            self.tell(SourceState::Following, None, Some("clock_step"));
            return false;
        }
        stored <= newest
    }
}
