//! The body of a stream: a state machine that hyper pulls.
//!
//! It owns a position and a lease, and no buffer: what it hands to hyper are shared slices and its
//! own few frames. When the client reads slowly, hyper does not pull, and nothing piles up here.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt as _, Stream};
use tokio::time::{Instant, sleep, sleep_until};

use super::again::Again;
use super::backlog::backlog;
use super::demand::Demand;
use super::pulse::Pulse;
use super::query::Query;
use super::results::Awaited;
use super::start::{BACKLOG, PROOF, Rollouts, Start, millis};
use super::uncovered::uncovered;
use super::waits::Asked;
use crate::http::Service;
use crate::http::auth::Standing;
use crate::http::limits::Place;
use crate::ids::{Entry, Gap, GapReason, RolloutStatus, WorkloadId};
use crate::subscribe::{Item, Selection, Shelves};
use crate::time::{self, SECOND};
use crate::view::{Begin, Key, Next, Viewer};
use crate::wire::{Bye, Coverage, Encoder, Hello, Position, Resumed, Rolling};

/// How often it is looked whether rights of a reader that are not known are known again.
const STALE_LOOK: Duration = Duration::from_secs(1);
/// How long last words have to leave: what hyper has not sent when a body fails is never sent.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What ends a stream from our side.
pub type Ending = Pin<Box<dyn Future<Output = Bye> + Send>>;

/// What a stream is opened with.
pub struct Opening {
    /// The rooms.
    pub service: Service,
    /// What is read.
    pub selection: Selection,
    /// What was asked for.
    pub query: Query,
    /// What ends it, but for its reader's rights.
    pub ending: Ending,
    /// Whether its reader may still read.
    pub standing: Standing,
    /// When its lifetime is over, wall time; told to the client.
    pub ends_at: i64,
    /// After which time the client should come back.
    pub retry: Duration,
    /// What the client was told at the end, for the audit trail.
    pub told: Arc<OnceLock<Bye>>,
    /// Its place among the streams.
    pub place: Place,
    /// Who reads it.
    pub user: String,
}

/// An open stream.
pub struct Flow {
    opening: Opening,
    encoder: Encoder,
    /// Given up with the last event.
    demand: Option<Demand>,
    stage: Stage,
    /// The results that end it.
    awaited: Option<Awaited>,
    pulse: Pulse,
}

enum Stage {
    Preamble,
    Hello,
    Follow(Box<Follow>),
    /// The connection is to be broken.
    Abort,
    Over,
}

/// The stream is broken on purpose: its result is no success, and the client asked for that.
#[derive(Debug, thiserror::Error)]
#[error("the rollout did not succeed")]
pub struct Aborted;

struct Follow {
    viewer: Viewer,
    /// The last id that was sent.
    last: Position,
    /// What wrote it: for another journal than ours for as long as a client whose journal is gone was
    /// given nothing but the state.
    told: Encoder,
    again: Again,
    live: bool,
    /// The position moved over records that the selection leaves out.
    moved: bool,
    /// Nothing is repeated any more, and no id has said that yet.
    settled: bool,
}

// === impl Flow ===

impl Flow {
    /// Opens a stream; its followers start at once, its bytes when they are pulled.
    pub fn open(opening: Opening) -> Self {
        let service = &opening.service;
        let scope = &opening.selection.scope;
        let (format, epoch) = (opening.query.format, service.journal.epoch());
        let encoder = Encoder { format, epoch, named: scope.single().is_none(), again: None };
        let demand = Some(Demand::new(service, scope));
        let (stage, awaited) = (Stage::Preamble, None);
        let pulse = Pulse::new(opening.service.options.heartbeat, format.is_text());
        Flow { opening, encoder, demand, stage, awaited, pulse }
    }

    /// The stream of its bytes.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, Aborted>> + Send {
        futures_util::stream::unfold(self, |mut flow| async move {
            if matches!(flow.stage, Stage::Abort) {
                sleep(LAST_WORDS).await;
                flow.stage = Stage::Over;
                return Some((Err(Aborted), flow));
            }
            let bytes = flow.next().await?;
            Some((Ok(bytes), flow))
        })
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let bytes = match &mut self.stage {
                Stage::Preamble => {
                    self.stage = Stage::Hello;
                    Bytes::from(self.preamble())
                }
                Stage::Hello => self.hello().await,
                Stage::Follow(_) => self.follow().await,
                Stage::Abort | Stage::Over => return None,
            };
            if !bytes.is_empty() {
                self.pulse.sent();
                return Some(bytes);
            }
        }
    }

    /// Goes out before anything is waited for.
    fn preamble(&self) -> Vec<u8> {
        let mut out = self.encoder.preamble(self.opening.retry);
        if self.encoder.format.is_text() {
            let rollout = self.rollout();
            let before_its_end =
                rollout.as_ref().map_or(i64::MAX, |status| status.time).min(time::now());
            let nowhere = Position { seq: 0, time: 0 };
            self.write_hello(&mut out, &self.encoder, &nowhere, Resumed::None, &rollout);
            self.encoder.group(&mut out, &self.opening.selection.scope.to_string(), before_its_end);
        }
        out
    }

    fn write_hello(
        &self,
        out: &mut Vec<u8>,
        encoder: &Encoder,
        position: &Position,
        resumed: Resumed,
        rollout: &Option<Arc<RolloutStatus>>,
    ) {
        let Opening { service, selection, ends_at, .. } = &self.opening;
        let named = self.encoder.named;
        let workloads = self.workloads();
        let sources = workloads.iter().flat_map(|workload| service.tail.sources(workload));
        let wanted = sources.filter(|status| selection.wants_source(&status.source));
        let coverage = wanted
            .map(|status| Coverage {
                workload: named.then(|| status.source.workload.to_string()),
                pod: status.source.pod.clone(),
                container: status.source.key.container.clone(),
                attempt: status.source.attempt,
                from_start: status.from_start,
            })
            .collect();
        let hello = Hello {
            epoch: self.encoder.epoch,
            position: *position,
            resumed,
            heartbeat: service.options.heartbeat,
            ends_at: *ends_at,
            selected: &selection.scope,
            workloads: named.then_some(workloads.len()),
            coverage,
            rollout: rollout.as_deref(),
        };
        encoder.hello(out, &hello);
    }

    /// The state of the rollout, in a stream about one workload.
    fn rollout(&self) -> Option<Arc<RolloutStatus>> {
        let workload = self.opening.selection.scope.single()?;
        self.opening.service.model.lock().current(workload)
    }

    fn workloads(&self) -> Vec<Arc<WorkloadId>> {
        self.demand.as_ref().map_or_else(Vec::new, Demand::workloads)
    }

    async fn hello(&mut self) -> Bytes {
        let workloads = self.workloads();
        let Opening { service, selection, query, user, .. } = &self.opening;
        let several = selection.scope.single().is_none();
        let asked = several.then(|| Asked::new(user, &selection.scope, query));
        self.awaited = Awaited::begin(service, query, asked, &workloads).await;
        if self.is_from_before() {
            let tail = self.opening.service.tail.clone();
            backlog(&tail, &workloads, self.patience()).await;
        }
        let Opening { service, selection, query, .. } = &self.opening;
        let shelves = Shelves::new(&service.journal, &service.index, &selection.scope);
        let rollout = self.rollout();
        let mut rollouts = Rollouts::default();
        for workload in &workloads {
            if let Some(status) = service.model.lock().current(workload) {
                rollouts.add(&status);
            }
        }
        let now = time::now();
        let start = Start::decide(query, &service.journal, &shelves, selection, &rollouts, now);
        let (encoder, position) = self.told(&start);
        if let Some(awaited) = &self.awaited {
            awaited.remember(start.after);
        }
        let mut out = Vec::new();
        if !encoder.format.is_text() {
            self.write_hello(&mut out, &encoder, &position, start.resumed, &rollout);
        }
        // Also for one who resumes: the records that told the state may have been forgotten, and the
        // state is the same however often it is told.
        for workload in &workloads {
            self.write_state(&mut out, &encoder, position, workload);
        }
        for (workload, missed) in &start.missed {
            let gap = Item::gap(GapReason::HistoryEvicted, missed, now);
            let workload = encoder.named.then_some(&**workload);
            encoder.gap(&mut out, position, workload, &gap);
            service.metrics.gaps.add(1, gap.reason.as_str());
        }
        if let Some(since) = start.lost_since {
            for gap in uncovered(service, selection, &workloads, since, now) {
                let workload = gap.source.as_ref().map(|source| source.workload.clone());
                let workload = workload.as_deref().filter(|_| encoder.named);
                encoder.gap(&mut out, position, workload, &gap);
                service.metrics.gaps.add(1, gap.reason.as_str());
            }
        }
        let key = Key { selection: selection.clone(), format: query.format };
        // Logs are merged within a second, so a younger line may stand before an older one.
        let exact = start.resumed == Resumed::Exact;
        let read = exact.then(|| start.time.saturating_sub(SECOND));
        // Text has no ids that could say it.
        let again = start.again.filter(|_| query.format.has_ids());
        let from = Begin { after: start.after, since: start.since, read, again };
        let viewer = service.views.viewer(key, from);
        let (last, told, again) = (position, encoder, Again::begin(now));
        let (live, moved, settled) = (false, false, false);
        let follow = Follow { viewer, last, told, again, live, moved, settled };
        self.stage = Stage::Follow(Box::new(follow));
        Bytes::from(out)
    }

    /// The client has nothing of this process: what its logs hold is waited for, or where they go on
    /// behind what the process before had read.
    fn is_from_before(&self) -> bool {
        let inherited = self.opening.service.journal.inherited();
        let resume = self.opening.query.resume;
        resume.is_none_or(|id| id.epoch != self.encoder.epoch || id.seq <= inherited)
    }

    /// How long to wait for it. Where a process was killed, what a reader is owed is a gap until the logs
    /// were found to go on: it is worth more than a quick beginning that says too much.
    fn patience(&self) -> Duration {
        let journal = &self.opening.service.journal;
        let resumes = self.opening.query.resume.is_some_and(|id| id.epoch == self.encoder.epoch);
        if resumes && journal.restart().is_some() { PROOF } else { BACKLOG }
    }

    /// What hello and the state are told under. A client whose journal is gone keeps its own id until
    /// it is given a record of this one: should it be cut before, it has still all that is behind it
    /// to come.
    fn told(&self, start: &Start) -> (Encoder, Position) {
        match self.opening.query.resume {
            Some(id) if start.lost_since.is_some() => {
                let position = Position { seq: id.seq, time: millis(id.unix_ms) };
                let again = id.again_ms.map(millis);
                (Encoder { epoch: id.epoch, again, ..self.encoder }, position)
            }
            _ => (
                Encoder { again: start.again, ..self.encoder },
                Position { seq: start.after, time: start.time },
            ),
        }
    }

    /// A workload's state as it stands, under hello's id.
    fn write_state(
        &self,
        out: &mut Vec<u8>,
        encoder: &Encoder,
        position: Position,
        workload: &WorkloadId,
    ) {
        let Opening { service, selection, .. } = &self.opening;
        let (rollout, pods) = {
            let model = service.model.lock();
            (model.current(workload), model.pods(workload))
        };
        if let Some(rollout) = rollout.filter(|_| selection.pod.is_none()) {
            encoder.rollout(out, position, workload, &rollout);
        }
        for pod in pods.iter().filter(|pod| selection.wants_pod(&pod.uid, &pod.pod)) {
            encoder.pod(out, position, workload, pod);
        }
        // What keeps a log from being read was told when it began, which may be long ago.
        let sources = service.tail.sources(workload).into_iter();
        for change in sources.filter_map(|status| status.hindered(time::now())) {
            if selection.wants_source(&change.source) {
                encoder.entry(out, position, workload, &Entry::Source(Arc::new(change)));
            }
        }
    }

    async fn follow(&mut self) -> Bytes {
        let heartbeat = self.pulse.due();
        loop {
            // Looked at before each piece: a viewer that never catches up is ended in time, too.
            if let Some(bye) = self.ended() {
                return self.bye(bye);
            }
            let is_known = self.opening.service.index.synced();
            if self.demand.as_mut().is_some_and(Demand::refresh) {
                return self.outgrown();
            }
            if let (Some(awaited), Some(demand)) = (&mut self.awaited, &self.demand) {
                awaited.join(demand);
            }
            self.end_repetition(is_known);
            if self.owes_progress() {
                return self.heartbeat();
            }
            let Stage::Follow(follow) = &mut self.stage else { return Bytes::new() };
            let stale = self.opening.standing.is_stale();
            match if stale { Next::CaughtUp } else { follow.viewer.take() } {
                Next::Piece(bytes, _) if bytes.is_empty() => {
                    follow.moved = true;
                    // A long stretch that the selection leaves out must not keep others waiting.
                    tokio::task::consume_budget().await;
                    continue;
                }
                Next::Piece(bytes, last) => {
                    self.opening.place.at(follow.viewer.after());
                    follow.moved = false;
                    if let Some(last) = last {
                        let again = follow.viewer.again();
                        (follow.last, follow.told) = (last, Encoder { again, ..self.encoder });
                        follow.settled = false;
                    }
                    return bytes;
                }
                Next::CaughtUp => {}
            }
            if !follow.live && !stale {
                follow.live = true;
                let mut out = Vec::new();
                follow.told.live(&mut out, follow.last, time::now());
                return Bytes::from(out);
            }
            if !stale && let Some(bytes) = self.results() {
                return bytes;
            }
            let Stage::Follow(follow) = &mut self.stage else { return Bytes::new() };
            let awaited = async {
                match &mut self.awaited {
                    Some(awaited) => awaited.changed().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = awaited => {}
                end = self.opening.standing.ended() => return self.bye(end.into()),
                bye = &mut self.opening.ending => return self.bye(bye),
                () = follow.viewer.ready(), if !stale => {}
                () = sleep(STALE_LOOK), if stale => {}
                () = sleep_until(heartbeat) => return self.heartbeat(),
            }
            if stale && Instant::now() >= heartbeat {
                return self.heartbeat();
            }
        }
    }

    /// Once nothing is repeated any more, ids say so: to a client of a quiet log by an id alone.
    fn end_repetition(&mut self, is_known: bool) {
        let Opening { service, selection, .. } = &self.opening;
        if let (Stage::Follow(follow), Some(demand)) = (&mut self.stage, &self.demand) {
            let Follow { viewer, again, .. } = &mut **follow;
            follow.settled |= again.end(viewer, &service.tail, (demand, is_known), selection);
        }
    }

    /// What there is by now of the results that it waits for. With the last of them it ends.
    fn results(&mut self) -> Option<Bytes> {
        let Stage::Follow(follow) = &mut self.stage else { return None };
        let awaited = self.awaited.as_mut()?;
        let (mut out, reached) = (Vec::new(), follow.viewer.after());
        let encoder = Encoder { again: follow.viewer.again(), ..self.encoder };
        let last = awaited.write(&encoder, reached, &mut out);
        if let Some(last) = last {
            (follow.last, follow.told) = (last, encoder);
            follow.moved = false;
        }
        if awaited.is_over() {
            let breaks = awaited.is_bad() && self.opening.query.abort;
            self.stage = if breaks { Stage::Abort } else { Stage::Over };
            self.demand = None;
        } else if last.is_some() {
            self.encoder.group(&mut out, &self.opening.selection.scope.to_string(), time::now());
        }
        (!out.is_empty()).then(|| Bytes::from(out))
    }

    /// Says that workloads are left out.
    fn outgrown(&self) -> Bytes {
        let (mut out, now) = (Vec::new(), time::now());
        let reason = GapReason::LimitReached;
        let gap = Gap { time: now, reason, source: None, from: None, to: None, count: None };
        if let Stage::Follow(follow) = &self.stage {
            follow.told.gap(&mut out, follow.last, None, &gap);
        }
        Bytes::from(out)
    }

    fn ended(&mut self) -> Option<Bye> {
        let end = self.opening.standing.end().map(Bye::from);
        end.or_else(|| (&mut self.opening.ending).now_or_never())
    }

    fn bye(&mut self, reason: Bye) -> Bytes {
        let mut out = Vec::new();
        self.encoder.bye(&mut out, reason, self.opening.retry, time::now());
        // Set once: a stream ends once.
        let _ = self.opening.told.set(reason);
        self.stage = Stage::Over;
        self.demand = None;
        Bytes::from(out)
    }

    /// The rollouts that run, for a text.
    fn running(&self) -> Vec<Rolling> {
        let demand = self.demand.as_ref().filter(|_| self.encoder.format.is_text());
        demand.map_or_else(Vec::new, |demand| demand.running(&self.opening.service.model))
    }

    /// Whether it is to be told how the rollout stands, in the middle of its logs.
    fn owes_progress(&mut self) -> bool {
        if !self.pulse.is_late() {
            return false;
        }
        let owes = !self.running().is_empty();
        if !owes {
            self.pulse.told();
        }
        owes
    }

    fn heartbeat(&mut self) -> Bytes {
        self.pulse.told();
        self.end_repetition(false);
        let read = self.demand.as_ref().map_or(i64::MAX, Demand::surely_read);
        let (mut out, now) = (Vec::new(), time::now());
        if let Stage::Follow(follow) = &mut self.stage {
            let settled = std::mem::take(&mut follow.settled);
            let foreign = follow.told.epoch != self.encoder.epoch;
            let moved = std::mem::take(&mut follow.moved) || settled && foreign;
            if moved {
                follow.last = Position { seq: follow.viewer.after(), time: now.min(read) };
            }
            if moved || settled {
                follow.told = Encoder { again: follow.viewer.again(), ..self.encoder };
                follow.told.cursor(&mut out, follow.last);
            }
        }
        let unseen = self.awaited.as_ref().map_or_else(Vec::new, Awaited::unseen);
        self.encoder.heartbeat(&mut out, &self.running(), &unseen, now);
        Bytes::from(out)
    }
}
