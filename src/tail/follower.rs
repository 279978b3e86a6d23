//! Follows the log of one attempt, from its opening to its proven end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::batch::Batch;
use super::level::Level;
use super::memory::Memory;
use super::merge::Place;
use super::nodes::Pulse;
use super::pace::Pace;
use super::probe::{self, End};
use super::reading::{Head, Reading};
use super::standing::Standing;
use super::stream::Stream;
use super::{Options, Proven, Sink};
use crate::cluster::{Cluster, LogError, LogRequest};
use crate::ids::{AttemptKey, Entry, Gap, GapReason, Side, Source, SourceChange, SourceState};
use crate::telemetry::{Metrics, events};
use crate::time::{self, SECOND};
use crate::watch::{ApiPhase, ContainerEntry, PodEntry};

/// Shortest and longest pause before a stream is opened again. The first opening after a new line
/// comes at once. The longest is short enough that a line is fresh within ten seconds after whatever
/// held the stream up is over; the pace of openings keeps many followers from hammering.
pub(super) const BACKOFF: (Duration, Duration) =
    (Duration::from_millis(10), Duration::from_secs(8));
/// A wait of this length is told to viewers.
const NOTICED: Duration = Duration::from_secs(1);
/// How long lines wait for the overlap, or for a status that names their container.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// A container that started so lately may have been replaced already without a word.
const YOUNG: i64 = 3 * SECOND;

/// What is known of the attempt from outside its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) standing: Standing,
    pub(super) side: Side,
    /// Its pod is not ready.
    pub(super) failing: bool,
    /// Its container failed, in this attempt or the one before, or its pod as a whole did.
    pub(super) failed: bool,
    /// The control plane does not hear of its node.
    pub(super) lost: bool,
    /// Its node's logs cannot be read.
    pub(super) unreachable: bool,
    /// Grows when the stream is to be opened again whatever it looks like.
    pub(super) kick: u32,
    /// Then without `sinceTime`: the node's clock was set back.
    pub(super) everything: bool,
}

/// The one upstream reader of a source.
pub(super) struct Follower {
    pub(super) source: Arc<Source>,
    pub(super) cluster: Cluster,
    pub(super) sink: Sink,
    pub(super) proven: Proven,
    pub(super) options: Arc<Options>,
    pub(super) pace: Arc<Pace>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) known: watch::Receiver<Known>,
    pub(super) memory: Memory,
    /// What others see of it.
    pub(super) level: Arc<Level>,
    /// Where its node's lines are noticed.
    pub(super) node: Pulse,
    /// The backlog has been read.
    pub(super) shown: bool,
    /// It was told that this source waits.
    pub(super) said_waiting: bool,
    /// The last kick that was obeyed.
    pub(super) kicked: u32,
    /// The next opening asks for the whole file.
    pub(super) everything: bool,
    /// Its node could not be reached since its last line.
    pub(super) was_unreachable: bool,
    /// What was heard last of whether its node can be reached.
    pub(super) heard_unreachable: bool,
    /// A replay stopped before its anchor, and was asked for again.
    pub(super) impatient: bool,
    /// The word that was said for a clock of its node that differs from ours.
    pub(super) skew: Option<&'static str>,
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

// === impl Known ===

impl Known {
    /// What a pod's status says about one of its attempts.
    pub(super) fn new(pod: &PodEntry, side: Side, key: &AttemptKey, standing: Standing) -> Known {
        let known = Known {
            standing,
            side,
            failing: false,
            failed: false,
            lost: false,
            unreachable: false,
            kick: 0,
            everything: false,
        };
        known.with(pod, side, key)
    }

    /// The same attempt, as its pod is now.
    pub(super) fn with(self, pod: &PodEntry, side: Side, key: &AttemptKey) -> Known {
        let ready = pod.ready.holds();
        let lost = !ready && pod.containers_ready.holds() && !pod.readiness_gates;
        let failed = pod.phase == ApiPhase::Failed
            || pod.container(&key.container).is_some_and(ContainerEntry::has_failed);
        Known { side, failing: !ready, failed, lost, ..self }
    }

    /// How urgent it is to read: the new revision first, and what fails before what does not.
    pub(super) fn class(&self) -> u8 {
        u8::from(self.side == Side::Old) * 2 + u8::from(!self.failing)
    }
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
            State::Pause(pause) => self.pause(pause).await,
            State::Last { quiet } => self.last(quiet).await,
            State::Over => State::Over,
        }
    }

    async fn open(&mut self) -> State {
        self.turn().await;
        // Waiting for the turn may have taken long enough for another attempt to begin.
        let before = self.known.borrow().standing;
        if before.is_over() {
            return State::Last { quiet: 0 };
        }
        let (opened, at) = (time::now(), Instant::now());
        let everything = std::mem::take(&mut self.everything);
        let since = self.memory.fingerprint.since().filter(|_| !everything);
        let request = self.request(true, false, since, before);
        let (body, head) = self.ask(&request).await;
        let body = match body {
            Ok(body) => body,
            Err(error) => {
                self.everything = everything;
                return self.refused(&error);
            }
        };
        events::FollowerOpened { source: &self.source, resumed: self.memory.opened }
            .emit(&self.metrics);
        let first = self.memory.fingerprint.newest().is_none();
        let again = std::mem::replace(&mut self.memory.opened, true);
        if first {
            // Also where it was opened before: whatever was rotated away since was never read.
            self.memory.from_start = self.began_at_start(before, opened, &request);
            self.begin(&request, head);
        }
        if !again || self.said_waiting || self.level.seen().state != SourceState::Following {
            self.tell(SourceState::Following, None, self.skew);
        }
        self.said_waiting = false;
        let head = if self.memory.from_start == Some(true) { Head::Whole } else { head };
        let cap = self.options.max_line_bytes;
        // The API names no attempt: what was opened is ours only if a status that is newer than the
        // opening still says so (truths: 4).
        let reading = match first {
            false => Reading::resumed(cap, &self.memory.fingerprint, since),
            true => Reading::unproven(cap, head),
        };
        // One that is opened again without a line to know it by may be the next one's, however old
        // ours is.
        let young = again
            || !matches!(before, Standing::Running { started: Some(started) }
            if started + YOUNG < opened);
        let reading = reading.passing_over(self.memory.said);
        State::Read(Box::new(Stream { body, reading, opened, at, young, since, live: false }))
    }

    /// Opens a log. Where a tail is asked for, it is asked too how far the log goes back.
    pub(super) async fn ask(
        &self,
        request: &LogRequest,
    ) -> (Result<crate::cluster::LogBody, LogError>, Head) {
        // Of a tail of nothing there is no first line.
        if request.tail_lines.is_none_or(|lines| lines == 0) {
            return (self.cluster.open_log(request).await, Head::MayBePart);
        }
        let file = probe::stamp(&self.cluster, &self.source, End::First, request.previous);
        let (body, file) = tokio::join!(self.cluster.open_log(request), file);
        let head = match file {
            Ok(Some(file)) => Head::Tail { file },
            _ => Head::MayBePart,
        };
        (body, head)
    }

    /// Notes where reading begins.
    pub(super) fn begin(&mut self, request: &LogRequest, head: Head) {
        if request.tail_lines.is_some() {
            self.memory.fingerprint.begin_inside();
        }
        self.memory.tail_cut = request.tail_lines.is_some() && head == Head::MayBePart;
        let memory = (self.memory.from_start, self.memory.tail_cut);
        self.level.see(|seen| (seen.from_start, seen.tail_cut) = memory);
    }

    /// Notes whether lines were left out before the first one.
    pub(super) fn note_tail(&mut self, reading: &Reading) {
        if let Some(cut) = reading.tail_cut() {
            self.memory.tail_cut = cut;
            self.level.see(|seen| seen.tail_cut = cut);
        }
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
        let first = since.is_none() && self.memory.fingerprint.newest().is_none();
        // Of one that had no line yet when the process before ended, or that began later, everything
        // is owed.
        let first = first && !self.memory.inherited && !self.memory.owed;
        let tail_lines = (first && !young).then_some(self.options.backfill_lines);
        LogRequest {
            namespace: self.source.workload.namespace.clone(),
            pod: self.source.pod.clone(),
            container: self.source.key.container.clone(),
            follow,
            previous,
            since,
            tail_lines,
            limit_bytes: None,
        }
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
        // That the container is not there any more, or not yet again, is what comes after its end.
        let over = matches!(
            error,
            LogError::NotFound(_) | LogError::Waiting(_) | LogError::Refused { status: 400, .. }
        );
        if !over {
            self.memory.doubt_end();
        }
        let mut pause = self.next_pause();
        if let LogError::Busy { retry_after: Some(after) } = error {
            pause = pause.max(*after);
        }
        self.wait_aloud(pause, reason);
        State::Pause(pause)
    }

    pub(super) fn broken(&self, reason: &'static str, error: &dyn std::fmt::Display) {
        events::FollowerBroken { source: &self.source, reason, error }.emit(&self.metrics);
    }

    /// The stream is over: what now?
    pub(super) fn judge(&mut self, said_something: bool) -> State {
        if self.known.borrow().standing.is_over() {
            return State::Last { quiet: 0 };
        }
        let pause = self.next_pause();
        self.wait_aloud(pause, if said_something { "kubelet_message" } else { "retry" });
        State::Pause(pause)
    }

    /// Takes in what others found out about the node. Gives whether the stream is to be opened again.
    pub(super) fn kicked(&mut self) -> bool {
        let known = *self.known.borrow();
        // Said once, though a line may come before others have found the node to be back.
        let before = std::mem::replace(&mut self.heard_unreachable, known.unreachable);
        if known.unreachable && !before {
            self.was_unreachable = true;
            self.level.set_reading(false);
            if !std::mem::replace(&mut self.said_waiting, true) {
                self.tell(SourceState::Waiting, None, Some("node_unreachable"));
            }
        }
        let kicked = std::mem::replace(&mut self.kicked, known.kick) != known.kick;
        if kicked {
            self.everything |= known.everything;
            self.backoff = Duration::ZERO;
            if known.everything {
                self.tell(SourceState::Following, None, Some("clock_step"));
            }
        }
        kicked
    }

    pub(super) fn next_pause(&mut self) -> Duration {
        let pause = self.backoff;
        self.backoff = (self.backoff * 2).clamp(BACKOFF.0, BACKOFF.1);
        // Between half and the whole: followers that broke together do not come back together.
        pause.mul_f64(0.5 + self.random.f64() / 2.0)
    }

    /// Waits for the turn to open a log; a wait that a person would notice is told, once.
    pub(super) async fn turn(&mut self) {
        let (pace, class) = (self.pace.clone(), self.known.borrow().class());
        let turn = pace.turn(class);
        tokio::pin!(turn);
        if timeout(NOTICED, &mut turn).await.is_err() {
            if !std::mem::replace(&mut self.said_waiting, true) {
                self.tell(SourceState::Waiting, None, Some("pace"));
            }
            turn.await;
        }
    }

    /// A pause that a person would notice is told, once.
    pub(super) fn wait_aloud(&mut self, pause: Duration, reason: &'static str) {
        // Whoever waits for what this log holds need not wait for a refusal to end.
        self.show();
        if pause > NOTICED && !std::mem::replace(&mut self.said_waiting, true) {
            self.tell(SourceState::Waiting, None, Some(reason));
        }
    }

    async fn pause(&mut self, pause: Duration) -> State {
        let until = Instant::now() + pause;
        loop {
            let over = self.known.borrow_and_update().standing.is_over();
            if self.kicked() || over {
                return State::Open;
            }
            tokio::select! {
                () = sleep_until(until) => return State::Open,
                // A sender that is gone says no more than one that is silent.
                Ok(()) = self.known.changed() => {}
            }
        }
    }

    pub(super) fn flush(&mut self, batch: &mut Batch) {
        let Known { side, failed, .. } = *self.known.borrow();
        let bytes = batch.bytes() as u64;
        if let Some(entry) = batch.take(&self.source, side, failed) {
            let lines = entry.count();
            self.memory.lines += lines;
            if self.memory.first_time.is_none()
                && let Entry::Lines(lines) = &entry
            {
                let first = lines.lines.first().map(|line| line.time);
                self.memory.first_time = first;
                self.level.see(|seen| seen.first_time = first);
            }
            self.was_unreachable = false;
            self.node.store(time::now(), Ordering::Relaxed);
            self.metrics.lines.add(lines);
            self.metrics.log_bytes.add(bytes);
            self.emit(entry);
            if self.merge.is_none()
                && let Some(last) = self.memory.fingerprint.last_time()
            {
                self.level.delivered(last);
            }
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
            None => self.level.catch_up(),
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
        self.level.see(|seen| (seen.state, seen.reason) = (state, reason));
        let ended = state == SourceState::Ended;
        let change = SourceChange {
            time: time::now(),
            source: self.source.clone(),
            state,
            from_start: self.memory.from_start,
            complete,
            lines: self.memory.counted().filter(|_| ended),
            reason: reason.map(Into::into),
        };
        self.emit(Entry::Source(Arc::new(change)));
    }
}
