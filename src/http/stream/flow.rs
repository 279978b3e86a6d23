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

use super::query::Query;
use super::start::{BACKLOG, Start};
use crate::http::Service;
use crate::http::auth::Standing;
use crate::http::limits::Place;
use crate::ids::{Gap, GapReason, RolloutStatus, WorkloadId};
use crate::subscribe::{Item, Selection};
use crate::tail::{Lease, Tail};
use crate::time;
use crate::view::{Key, Next, Viewer};
use crate::wire::{Bye, Coverage, Encoder, Format, Hello, Position, Resumed};

/// How often the first viewer looks whether the backlog has come.
const BACKLOG_LOOK: Duration = Duration::from_millis(10);

/// How often a stream whose reader's rights are not known looks whether they are known again.
const STALE_LOOK: Duration = Duration::from_secs(1);

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
}

/// An open stream.
pub struct Flow {
    opening: Opening,
    encoder: Encoder,
    lease: Option<Lease>,
    stage: Stage,
    last_sent: Instant,
}

enum Stage {
    Preamble,
    Hello,
    Follow(Follow),
    Over,
}

struct Follow {
    viewer: Viewer,
    /// The last id that was sent.
    last: Position,
    live: bool,
    /// The position moved over records that the selection leaves out.
    moved: bool,
}

// === impl Flow ===

impl Flow {
    /// Opens a stream; its followers start at once, its bytes when they are pulled.
    pub fn open(opening: Opening) -> Self {
        let service = &opening.service;
        let encoder = Encoder { format: opening.query.format, epoch: service.journal.epoch() };
        let lease = Some(service.tail.lease(&opening.selection.workload));
        Flow { opening, encoder, lease, stage: Stage::Preamble, last_sent: Instant::now() }
    }

    /// The stream of its bytes.
    pub fn into_stream(self) -> impl Stream<Item = Bytes> + Send {
        futures_util::stream::unfold(self, |mut flow| async move {
            let bytes = flow.next().await?;
            Some((bytes, flow))
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
                Stage::Over => return None,
            };
            if !bytes.is_empty() {
                self.last_sent = Instant::now();
                return Some(bytes);
            }
        }
    }

    /// Goes out before anything is waited for.
    fn preamble(&self) -> Vec<u8> {
        let mut out = self.encoder.preamble(self.opening.retry);
        if self.encoder.format == Format::Text {
            let rollout = self.rollout();
            self.write_hello(&mut out, &Position { seq: 0, time: 0 }, Resumed::None, &rollout);
        }
        out
    }

    fn write_hello(
        &self,
        out: &mut Vec<u8>,
        position: &Position,
        resumed: Resumed,
        rollout: &Option<Arc<RolloutStatus>>,
    ) {
        let Opening { service, selection, ends_at, .. } = &self.opening;
        let sources = service.tail.sources(&selection.workload);
        let wanted = sources.iter().filter(|source| selection.wants_source(&source.source));
        let coverage = wanted
            .map(|status| Coverage {
                pod: status.source.pod.clone(),
                container: status.source.key.container.clone(),
                attempt: status.source.attempt,
                from_start: status.from_start,
            })
            .collect();
        let hello = Hello {
            position: *position,
            resumed,
            heartbeat: service.options.heartbeat,
            ends_at: *ends_at,
            workload: &selection.workload,
            coverage,
            rollout: rollout.as_deref(),
        };
        self.encoder.hello(out, &hello);
    }

    fn rollout(&self) -> Option<Arc<RolloutStatus>> {
        self.opening.service.model.lock().current(&self.opening.selection.workload)
    }

    async fn hello(&mut self) -> Bytes {
        if self.opening.query.resume.is_none_or(|id| id.epoch != self.encoder.epoch) {
            let Opening { service, selection, .. } = &self.opening;
            let (tail, workload) = (service.tail.clone(), selection.workload.clone());
            backlog(&tail, &workload).await;
        }
        let Opening { service, selection, query, .. } = &self.opening;
        let shelf = service.journal.shelf(&selection.workload);
        let rollout = self.rollout();
        let now = time::now();
        let start =
            Start::decide(query, &service.journal, &shelf, selection, rollout.as_deref(), now);
        let position = Position { seq: start.after, time: start.time };
        let mut out = Vec::new();
        if self.encoder.format != Format::Text {
            self.write_hello(&mut out, &position, start.resumed, &rollout);
        }
        // Also for one who resumes: the records that told the state may have been forgotten, and the
        // state is the same however often it is told.
        self.write_state(&mut out, position, rollout.as_deref());
        if let Some(missed) = &start.missed {
            let gap = Item::gap(GapReason::HistoryEvicted, missed, now);
            self.encoder.gap(&mut out, position, &gap);
        }
        if let Some(since) = start.lost_since {
            let gap = Gap {
                time: now,
                reason: GapReason::ServerRestart,
                source: None,
                from: Some(since),
                to: Some(now),
                count: None,
            };
            self.encoder.gap(&mut out, position, &gap);
        }
        let key = Key { selection: selection.clone(), format: query.format };
        let viewer = service.views.viewer(key, start.after, start.since);
        self.stage = Stage::Follow(Follow { viewer, last: position, live: false, moved: false });
        Bytes::from(out)
    }

    /// The state as it stands, under hello's id.
    fn write_state(&self, out: &mut Vec<u8>, position: Position, rollout: Option<&RolloutStatus>) {
        let Opening { service, selection, .. } = &self.opening;
        if let Some(rollout) = rollout.filter(|_| selection.pod.is_none()) {
            self.encoder.rollout(out, position, rollout);
        }
        let pods = service.model.lock().pods(&selection.workload);
        for pod in pods.iter().filter(|pod| selection.wants_pod(&pod.uid)) {
            self.encoder.pod(out, position, pod);
        }
    }

    async fn follow(&mut self) -> Bytes {
        let heartbeat = self.last_sent + self.opening.service.options.heartbeat;
        loop {
            // Looked at before each piece: a viewer that never catches up is ended in time, too.
            if let Some(bye) = self.ended() {
                return self.bye(bye);
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
                    follow.last = last.unwrap_or(follow.last);
                    return bytes;
                }
                Next::CaughtUp => {}
            }
            let position = Position { seq: follow.viewer.after(), time: time::now() };
            if !follow.live && !stale {
                follow.live = true;
                let mut out = Vec::new();
                self.encoder.live(&mut out, follow.last, position.time);
                return Bytes::from(out);
            }
            tokio::select! {
                end = self.opening.standing.ended() => return self.bye(end.into()),
                bye = &mut self.opening.ending => return self.bye(bye),
                () = follow.viewer.ready(), if !stale => {}
                () = sleep(STALE_LOOK), if stale => {}
                () = sleep_until(heartbeat) => return self.heartbeat(position),
            }
            if stale && Instant::now() >= heartbeat {
                return self.heartbeat(position);
            }
        }
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
        self.lease = None;
        Bytes::from(out)
    }

    fn heartbeat(&mut self, position: Position) -> Bytes {
        let mut out = Vec::new();
        if let Stage::Follow(follow) = &mut self.stage
            && std::mem::take(&mut follow.moved)
        {
            follow.last = position;
            self.encoder.cursor(&mut out, position);
        }
        let rollout = self.rollout();
        self.encoder.heartbeat(&mut out, rollout.as_deref(), time::now());
        Bytes::from(out)
    }
}

/// Waits until what the logs hold has come, so that a tail can be cut from it.
async fn backlog(tail: &Tail, workload: &WorkloadId) {
    let comes = async {
        while !tail.caught_up(workload) {
            sleep(BACKLOG_LOOK).await;
        }
    };
    // Running out of time is no error: the stream begins with what has come.
    let _ = tokio::time::timeout(BACKLOG, comes).await;
}
