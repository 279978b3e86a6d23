//! Follows the log of one attempt, from its opening to its proven end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::align::Fingerprint;
use super::batch::{Batch, FULL};
use super::merge::Place;
use super::pace::Pace;
use super::reading::{Desk, Reading};
use super::standing::Standing;
use super::{Options, Sink};
use crate::cluster::{Cluster, LogBody, LogError, LogRequest};
use crate::ids::{Entry, Gap, GapReason, Side, Source, SourceChange, SourceState};
use crate::telemetry::{Metrics, events};
use crate::time::{self, SECOND};

/// Shortest and longest pause before a stream is opened again. The first opening after a new line
/// comes at once.
pub(super) const BACKOFF: (Duration, Duration) =
    (Duration::from_millis(10), Duration::from_secs(30));
/// How long lines wait for the overlap, or for a status that names their container.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// An answer that is silent for so long has shown its backlog.
const CAUGHT_UP: Duration = Duration::from_millis(50);
/// A follow ends within a second of its container; one that is silent for longer is dead.
const OVER_SILENCE: Duration = Duration::from_secs(10);
/// Pause between two looks at a status that lags behind the log.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// What is known of the attempt from outside its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) standing: Standing,
    pub(super) side: Side,
}

/// What outlives a follower: a later one resumes from it.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    pub(super) fingerprint: Fingerprint,
    pub(super) lines: u64,
    /// Whether reading began at the log's first line, once that is decided.
    pub(super) from_start: Option<bool>,
    pub(super) opened: bool,
    pub(super) ended: bool,
    /// When the last follow ended cleanly, if no error came after it.
    pub(super) clean_end: Option<i64>,
}

/// The one upstream reader of a source.
pub(super) struct Follower {
    pub(super) source: Arc<Source>,
    pub(super) cluster: Cluster,
    pub(super) sink: Sink,
    pub(super) options: Arc<Options>,
    pub(super) pace: Arc<Pace>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) known: watch::Receiver<Known>,
    pub(super) memory: Memory,
    /// Told to others once the backlog is appended.
    pub(super) caught_up: Arc<AtomicBool>,
    /// Told to others: reading began at the log's first line.
    pub(super) from_start: Arc<AtomicBool>,
    /// The backlog has been read.
    pub(super) shown: bool,
    /// It was told that this source waits.
    pub(super) said_waiting: bool,
    /// Where the backlog meets those of the logs that were opened with this one.
    pub(super) merge: Option<Place>,
    pub(super) random: fastrand::Rng,
    pub(super) backoff: Duration,
}

/// Where a follower stands between two steps.
pub(super) enum State {
    /// Ask for the stream.
    Open,
    /// Read what comes.
    Read(Box<Stream>),
    /// The stream is over: what now?
    Judge,
    /// Wait before it is opened again.
    Pause(Duration),
    /// The attempt is over: read once more without follow until nothing new comes.
    Last {
        /// Reads in a row that gave nothing new.
        quiet: u8,
    },
    /// Done for good.
    Over,
}

/// An open stream.
pub(super) struct Stream {
    body: LogBody,
    reading: Reading,
    opened: i64,
}

/// How reading a stream ended.
enum End {
    Clean,
    Broken,
    /// The lines belong to a newer attempt.
    NotOurs,
}

// === impl Follower ===

impl Follower {
    /// Goes on until the log is read to its end, or for ever.
    pub(super) async fn run(&mut self) {
        let mut state = if self.memory.ended { State::Over } else { State::Open };
        while !matches!(state, State::Over) {
            state = self.step(state).await;
        }
    }

    async fn step(&mut self, state: State) -> State {
        match state {
            State::Open => self.open().await,
            State::Read(stream) => self.read(*stream).await,
            State::Judge => self.judge(),
            State::Pause(pause) => self.pause(pause).await,
            State::Last { quiet } => self.last(quiet).await,
            State::Over => State::Over,
        }
    }

    async fn open(&mut self) -> State {
        let before = self.known.borrow().standing;
        if before.is_over() {
            return State::Last { quiet: 0 };
        }
        self.pace.turn().await;
        let opened = time::now();
        let since = self.memory.fingerprint.since();
        let request = self.request(true, false, since, before);
        let body = match self.cluster.open_log(&request).await {
            Ok(body) => body,
            Err(error) => return self.refused(&error),
        };
        events::FollowerOpened { source: &self.source, resumed: self.memory.opened }
            .emit(&self.metrics);
        // The API names no attempt: what was opened is ours only if a status that is newer than the
        // opening still says so (truths: 4).
        if since.is_none() && self.superseded_now().await {
            return State::Last { quiet: 0 };
        }
        if !self.memory.opened {
            self.memory.opened = true;
            self.memory.from_start = self.began_at_start(before, opened, &request);
            self.from_start.store(self.memory.from_start == Some(true), Ordering::Release);
            if request.tail_lines.is_some() {
                self.memory.fingerprint.begin_inside();
            }
            self.tell(SourceState::Following, None, None);
        } else if self.said_waiting {
            self.tell(SourceState::Following, None, None);
        }
        self.said_waiting = false;
        let cap = self.options.max_line_bytes;
        let reading = match since {
            Some(_) => Reading::resumed(cap, &self.memory.fingerprint, since),
            None => Reading::first(cap),
        };
        State::Read(Box::new(Stream { body, reading, opened }))
    }

    /// `true` only where it is proven (truths: 7): the stream was asked for before the container
    /// could have rotated its log, and nothing was cut off.
    fn began_at_start(
        &self,
        standing: Standing,
        opened: i64,
        request: &LogRequest,
    ) -> Option<bool> {
        let Standing::Running { started: Some(started) } = standing else { return None };
        if request.tail_lines.is_none() && opened < started + SECOND {
            return Some(true);
        }
        None
    }

    pub(super) fn request(
        &self,
        follow: bool,
        previous: bool,
        since: Option<i64>,
        standing: Standing,
    ) -> LogRequest {
        let young = matches!(standing, Standing::Running { started: Some(started) }
            if time::now() < started + SECOND);
        // Never a tail with a resume: the kubelet seeks to the tail first and loses what lies before.
        let first = since.is_none() && !self.memory.opened;
        let tail_lines = (first && !young).then_some(self.options.backfill_lines);
        LogRequest {
            namespace: self.source.workload.namespace.clone(),
            pod: self.source.pod.clone(),
            container: self.source.key.container.clone(),
            follow,
            previous,
            since,
            tail_lines,
        }
    }

    async fn superseded_now(&self) -> bool {
        matches!(self.look().await, Some(Standing::Superseded { .. } | Standing::Gone { .. }))
    }

    /// Reads the pod's status from the API server; `None` if that fails.
    pub(super) async fn look(&self) -> Option<Standing> {
        let workload = &self.source.workload;
        match self.cluster.get_pod(&workload.namespace, &self.source.pod).await {
            Ok(Some(pod)) => Some(Standing::of(&pod, &self.source.key)),
            Ok(None) => Some(Standing::Gone { ended: None }),
            Err(_) => None,
        }
    }

    fn refused(&mut self, error: &LogError) -> State {
        let reason = match error {
            LogError::Waiting(_) => "container_waiting",
            LogError::NotFound(_) => "not_found",
            LogError::Forbidden(_) => "forbidden",
            LogError::Busy { .. } => "busy",
            LogError::Refused { .. } => "refused",
            LogError::Transport(_) => "transport",
        };
        self.broken(reason, error);
        let mut pause = self.next_pause();
        if let LogError::Busy { retry_after: Some(after) } = error {
            pause = pause.max((*after).min(BACKOFF.1));
        }
        self.wait_aloud(pause, reason);
        State::Pause(pause)
    }

    pub(super) fn broken(&self, reason: &'static str, error: &dyn std::fmt::Display) {
        events::FollowerBroken { source: &self.source, reason, error }.emit(&self.metrics);
    }

    async fn read(&mut self, mut stream: Stream) -> State {
        let mut batch = Batch::default();
        let mut waits_since = None;
        let end = loop {
            let Stream { body, reading, .. } = &mut stream;
            waits_since = reading.waits().then(|| waits_since.unwrap_or_else(Instant::now));
            // However much comes: held lines wait for their anchor for a bounded time.
            let patience = waits_since.map(|since| PATIENCE.saturating_sub(since.elapsed()));
            let limit = if !self.shown { Some(CAUGHT_UP) } else { patience };
            let over = self.known.borrow_and_update().standing.is_over();
            let next = match limit {
                Some(Duration::ZERO) => timeout(Duration::ZERO, std::future::pending()).await,
                Some(limit) => timeout(limit, body.next()).await,
                None if over => match timeout(OVER_SILENCE, body.next()).await {
                    Ok(next) => Ok(next),
                    // The container is over, and so would be a stream that is alive.
                    Err(_) => {
                        self.memory.clean_end = None;
                        break End::Broken;
                    }
                },
                None => tokio::select! {
                    next = body.next() => Ok(next),
                    // Looked at again with what is known now.
                    Ok(()) = self.known.changed() => continue,
                },
            };
            let mut desk = Desk { known: &mut self.memory.fingerprint, batch: &mut batch };
            match next {
                Err(_) if !self.shown => self.show(),
                Err(_) => reading.settle(&mut desk),
                Ok(Some(Ok(chunk))) => {
                    for part in chunk.chunks(FULL) {
                        let mut desk =
                            Desk { known: &mut self.memory.fingerprint, batch: &mut batch };
                        reading.push(part, &mut desk);
                        self.flush(&mut batch);
                    }
                    let newest = self.memory.fingerprint.last_time();
                    if newest.is_some_and(|newest| newest >= stream.opened) {
                        self.show();
                    }
                }
                Ok(Some(Err(error))) => {
                    self.broken("broken", &error);
                    self.memory.clean_end = None;
                    break End::Broken;
                }
                Ok(None) => {
                    reading.settle(&mut desk);
                    self.memory.clean_end = Some(time::now());
                    break End::Clean;
                }
            }
            self.flush(&mut batch);
            if stream.reading.suspect() && !self.prove(&mut stream.reading, &mut batch).await {
                break End::NotOurs;
            }
            if let Some(message) = stream.reading.message() {
                self.broken("kubelet_message", &message);
                self.memory.clean_end = None;
                break End::Broken;
            }
        };
        self.flush(&mut batch);
        let unproven = stream.reading.suspect() && !matches!(end, End::NotOurs);
        if unproven && !self.prove(&mut stream.reading, &mut batch).await {
            return State::Last { quiet: 0 };
        }
        if stream.reading.delivered() > 0 {
            self.backoff = Duration::ZERO;
        }
        self.show();
        match end {
            End::NotOurs => State::Last { quiet: 0 },
            End::Clean | End::Broken => State::Judge,
        }
    }

    /// Lines came without the overlap. If their container is still ours, the kubelet rotated the
    /// file: they are delivered behind a gap. Otherwise they belong to the next attempt, whose own
    /// follower reads them.
    pub(super) async fn prove(&mut self, reading: &mut Reading, batch: &mut Batch) -> bool {
        let until = Instant::now() + PATIENCE;
        let mut verdict = None;
        loop {
            match self.look().await {
                Some(standing @ Standing::Running { .. }) => verdict = Some(standing),
                Some(Standing::Superseded { .. } | Standing::Gone { .. }) => return false,
                Some(Standing::Ended { .. }) | None => {}
            }
            if verdict.is_some() || Instant::now() >= until {
                break;
            }
            sleep(LOOK_AGAIN).await;
        }
        let from = self.memory.fingerprint.last_time();
        events::Resumed { source: &self.source, result: "lost" }.emit(&self.metrics);
        self.gap(GapReason::RotationUnproven, from, reading.first_held());
        let mut desk = Desk { known: &mut self.memory.fingerprint, batch };
        reading.accept_lost(&mut desk);
        self.flush(batch);
        true
    }

    fn judge(&mut self) -> State {
        if self.known.borrow().standing.is_over() {
            return State::Last { quiet: 0 };
        }
        State::Pause(self.next_pause())
    }

    pub(super) fn next_pause(&mut self) -> Duration {
        let pause = self.backoff;
        self.backoff = (self.backoff * 2).clamp(BACKOFF.0, BACKOFF.1);
        // Between half and the whole: followers that broke together do not come back together.
        pause.mul_f64(0.5 + self.random.f64() / 2.0)
    }

    /// A pause that a person would notice is told, once.
    fn wait_aloud(&mut self, pause: Duration, reason: &'static str) {
        // Whoever waits for what this log holds need not wait for a refusal to end.
        self.show();
        if pause > Duration::from_secs(1) && !std::mem::replace(&mut self.said_waiting, true) {
            self.tell(SourceState::Waiting, None, Some(reason));
        }
    }

    async fn pause(&mut self, pause: Duration) -> State {
        let changed = async {
            // A sender that is gone says no more than one that is silent.
            while self.known.changed().await.is_ok() {
                if self.known.borrow().standing.is_over() {
                    return;
                }
            }
            std::future::pending().await
        };
        tokio::select! {
            () = sleep(pause) => {}
            () = changed => {}
        }
        State::Open
    }

    pub(super) fn flush(&mut self, batch: &mut Batch) {
        let side = self.known.borrow().side;
        let bytes = batch.bytes() as u64;
        if let Some(entry) = batch.take(&self.source, side) {
            let lines = entry.count();
            self.memory.lines += lines;
            self.metrics.lines.add(lines);
            self.metrics.log_bytes.add(bytes);
            self.emit(entry);
        }
    }

    fn emit(&mut self, entry: Entry) {
        let entry = match &self.merge {
            Some(place) => match place.push(entry) {
                Ok(()) => return,
                Err(entry) => {
                    self.merge = None;
                    entry
                }
            },
            None => entry,
        };
        (self.sink)(&self.source.workload, entry);
    }

    /// The backlog has been read: what comes now is the present.
    pub(super) fn show(&mut self) {
        if std::mem::replace(&mut self.shown, true) {
            return;
        }
        match &self.merge {
            Some(place) => place.done(),
            None => self.caught_up.store(true, Ordering::Release),
        }
    }

    pub(super) fn gap(&mut self, reason: GapReason, from: Option<i64>, to: Option<i64>) {
        let source = Some(self.source.clone());
        let gap = Gap { time: time::now(), reason, source, from, to, count: None };
        events::GapMarked { gap: &gap }.emit(&self.metrics);
        self.emit(Entry::Gap(Arc::new(gap)));
    }

    pub(super) fn tell(
        &mut self,
        state: SourceState,
        complete: Option<bool>,
        reason: Option<&'static str>,
    ) {
        let ended = state == SourceState::Ended;
        let change = SourceChange {
            time: time::now(),
            source: self.source.clone(),
            state,
            from_start: self.memory.from_start,
            complete,
            lines: ended.then_some(self.memory.lines),
            reason: reason.map(Into::into),
        };
        self.emit(Entry::Source(Arc::new(change)));
    }
}
