//! What shows how a rollout ended: the last lines of the containers that are to blame.
//!
//! What holds here: nothing is said of pods that have changed since they were last heard of; a result
//! waits for its lines for at most [`PATIENCE`], and is said once; whoever waits for one is woken when the
//! model has it; what was decided is said or decided anew, whatever happens to the look at it.

use std::cell::{Cell, RefCell};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep};

use crate::cluster::types::label;
use crate::cluster::{self, Cluster, Pod};
use crate::ids::{Blocked, Entry, Kind, LineMeta, Lines, RolloutResult, WorkloadId};
use crate::journal::Journal;
use crate::rollout::{Decision, Model, Proof};
use crate::telemetry::events::TaskPanicked;
use crate::telemetry::{Metrics, panic_words};
use crate::time::{self, SECOND};
use crate::watch::{self, containers_of, identity};

/// A container that has just ended is read to its end within this time, mostly.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it is looked whether the lines have come.
const LOOK: Duration = Duration::from_millis(100);
/// Lines of a container come in batches; when none came for so long, that was all.
const SETTLED: Duration = Duration::from_millis(300);

/// Appends a record and gives its sequence number.
pub(super) type Append = Arc<dyn Fn(&Arc<WorkloadId>, Entry) -> u64 + Send + Sync>;

/// Is told that a rollout of a workload has ended.
pub(super) type Ended = Arc<dyn Fn(&Arc<WorkloadId>) + Send + Sync>;

/// What was decided, for the task that takes it, which may be begun again.
pub(super) type Decisions = Arc<tokio::sync::Mutex<mpsc::Receiver<Decision>>>;

/// Results that wait for their lines at a time.
pub(super) const WAITING: usize = 256;

/// What a watch was behind with comes within this, mostly; then it is decided anew.
pub(super) const CHANGED: i64 = SECOND;
/// An API server that cannot be asked is asked again after this, as all else that waits for it does.
const UNREAD: i64 = 10 * SECOND;
/// Pods that are read one by one; of more, all of their revision are listed.
const ONE_BY_ONE: usize = 8;

/// What became of what a decision rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// They are as they were known.
    Stands,
    /// They are not: a watch is behind.
    Changed,
    /// They cannot be read.
    Unread,
}

/// Says results.
#[derive(Clone)]
pub(super) struct Results {
    pub(super) cluster: Cluster,
    pub(super) metrics: Arc<Metrics>,
    pub(super) journal: Journal,
    pub(super) model: Arc<Mutex<Model>>,
    /// Looks whether a workload is to be recorded still, now that its rollout has ended.
    pub(super) ended: Ended,
    /// Something is due at another time.
    pub(super) due: Arc<Notify>,
    /// Grows with each result.
    pub(super) news: Arc<tokio::sync::watch::Sender<u64>>,
}

// === impl Results ===

impl Results {
    /// Notes that a result was appended as this record, and wakes who waits for it.
    pub(super) fn said(&self, workload: &WorkloadId, result: &Arc<RolloutResult>, seq: u64) {
        self.model.lock().told(workload, result, seq);
        self.wake();
    }

    /// Wakes who waits for a result.
    pub(super) fn wake(&self) {
        self.news.send_modify(|news| *news = news.wrapping_add(1));
    }

    /// Takes decisions, adds what shows them, and says them; ends with their sender.
    pub(super) async fn run(self, decided: Decisions, append: Append) {
        let mut decided = decided.lock().await;
        let mut open = FuturesUnordered::new();
        loop {
            tokio::select! {
                decision = decided.recv(), if open.len() < WAITING => match decision {
                    Some(decision) => {
                        let results = self.clone();
                        open.push(async move {
                            // A panic costs this one a moment, not all that are open their end.
                            let look = AssertUnwindSafe(results.examine(&decision)).catch_unwind().await;
                            (decision, look)
                        });
                    }
                    None => return,
                },
                Some((decision, look)) = open.next() => match look {
                    Ok((Look::Stands, result)) => self.say(&decision, &Arc::new(result), &append),
                    Ok((Look::Changed, _)) => self.doubt(&decision, CHANGED, &append),
                    Ok((Look::Unread, _)) => self.doubt(&decision, UNREAD, &append),
                    Err(payload) => {
                        let message = panic_words(&*payload);
                        TaskPanicked { room: "app", task: "results", message, restart_in: None }
                            .emit(&self.metrics);
                        self.doubt(&decision, UNREAD, &append);
                    }
                },
            }
        }
    }

    /// Gathers what shows the end of a rollout, and looks whether it still is one.
    async fn examine(&self, decision: &Decision) -> (Look, RolloutResult) {
        let result = self.complete(decision).await;
        // Last: what is said is said of the pods as they are then.
        let look = self.look(decision).await.unwrap_or_else(|error| {
            let workload = &decision.workload;
            match error {
                // It will not pass by itself.
                cluster::Error::Forbidden { .. } => {
                    tracing::warn!(%workload, %error, "how a rollout ended cannot be confirmed");
                }
                _ => tracing::debug!(%workload, %error, "how a rollout ended is not confirmed yet"),
            }
            Look::Unread
        });
        (look, result)
    }

    /// Whether the pods and the workload that a decision rests on are still as they were known: read from a
    /// quorum, for a watch may be behind. While they cannot be read, nothing is said.
    async fn look(&self, decision: &Decision) -> Result<Look, cluster::Error> {
        let Decision { workload, proof, entry, .. } = decision;
        if let Some(entry) = entry {
            let now = watch::read(&self.cluster, workload).await?;
            if !now.is_some_and(|now| now.agrees(entry)) {
                return Ok(Look::Changed);
            }
        }
        let namespace = &*workload.namespace;
        let hash = proof.first().and_then(|first| first.hash.as_deref());
        let label = match workload.kind {
            Kind::Deployment => Some(label::POD_TEMPLATE_HASH),
            Kind::Rollout => Some(label::ROLLOUTS_POD_TEMPLATE_HASH),
            Kind::StatefulSet | Kind::DaemonSet => Some(label::CONTROLLER_REVISION_HASH),
            Kind::Job | Kind::CronJob | Kind::Pod => None,
        };
        let found = match label.zip(hash).filter(|_| proof.len() > ONE_BY_ONE) {
            Some((label, hash)) => {
                let selector = format!("{label}={hash}");
                self.cluster.pods_with(namespace, &selector).await?
            }
            None => {
                let mut pods = Vec::new();
                for proof in proof {
                    pods.extend(self.cluster.get_pod(namespace, &proof.pod).await?);
                }
                pods
            }
        };
        let now: Vec<Proof> = found.iter().map(as_found).collect();
        Ok(if decision.stands(&now) { Look::Stands } else { Look::Changed })
    }

    /// Says a result, unless something else was said meanwhile.
    pub(super) fn say(&self, decision: &Decision, result: &Arc<RolloutResult>, append: &Append) {
        if decision.recovers {
            let record = self.model.lock().recover(decision, result);
            if let Some(record) = record {
                append(&decision.workload, record);
                self.wake();
            }
            (self.ended)(&decision.workload);
            return;
        }
        let sealed = self.model.lock().seal(decision, result);
        // It may be due again, also if something else was said meanwhile.
        self.due.notify_one();
        if !sealed {
            return;
        }
        let seq = append(&decision.workload, Entry::Result(result.clone()));
        self.said(&decision.workload, result, seq);
        (self.ended)(&decision.workload);
    }

    /// What was decided does not stand.
    pub(super) fn doubt(&self, decision: &Decision, after: i64, append: &Append) {
        let said = self.model.lock().doubt(decision, time::now(), after);
        if let Some(result) = said {
            let seq = append(&decision.workload, Entry::Result(result.clone()));
            self.said(&decision.workload, &result, seq);
            (self.ended)(&decision.workload);
        }
        self.due.notify_one();
    }

    /// Gathers what shows the end of a rollout, for a moment, and gives the result.
    pub(super) async fn complete(&self, decision: &Decision) -> RolloutResult {
        let until = Instant::now() + PATIENCE;
        let (mut seen, mut since) = (0, Instant::now());
        loop {
            let result = self.with_lines(decision);
            let found: usize = result.pods.iter().map(|pod| pod.lines.len()).sum();
            if found != seen {
                (seen, since) = (found, Instant::now());
            }
            let wanted = decision.sources.iter().any(Option::is_some);
            // One that crashed a moment ago has said what is not read yet, however much others said.
            let mut pods = result.pods.iter().zip(&decision.sources);
            let heard = pods.all(|(pod, uid)| uid.is_none() || !pod.lines.is_empty());
            let settled = heard && since.elapsed() >= SETTLED;
            if !wanted || settled || Instant::now() >= until {
                return result;
            }
            sleep(LOOK).await;
        }
    }

    fn with_lines(&self, decision: &Decision) -> RolloutResult {
        let mut result = decision.draft.clone();
        let mut room = RolloutResult::MOST_BYTES;
        for (blocked, uid) in result.pods.iter_mut().zip(&decision.sources) {
            let Some(uid) = uid else { continue };
            blocked.lines = self.last_lines(&decision.workload, blocked, uid, &mut room);
        }
        result
    }

    /// The last lines of the newest attempt that said anything, up to the one that is to blame.
    fn last_lines(
        &self,
        workload: &Arc<WorkloadId>,
        blocked: &mut Blocked,
        uid: &str,
        room: &mut usize,
    ) -> Vec<String> {
        let most = blocked.attempt.unwrap_or(u32::MAX);
        let shelf = self.journal.shelf(workload);
        let is_ours = |lines: &Lines| {
            *lines.source.key.uid == *uid
                && Some(&lines.source.key.container) == blocked.container.as_ref()
                && lines.source.attempt <= most
        };
        // Newest first; the first one tells whose lines are wanted.
        let (attempt, left) = (Cell::new(None), Cell::new(*room));
        let kept = RefCell::new(Vec::new());
        let wanted = |lines: &Lines, line: &LineMeta| {
            let newest = attempt.get().unwrap_or(lines.source.attempt);
            attempt.set(Some(newest));
            let text = cut(lines.bytes_of(line));
            let fits = newest == lines.source.attempt && text.len() <= left.get();
            if fits {
                left.set(left.get() - text.len());
                kept.borrow_mut().push(text);
            }
            fits
        };
        let mut seqs = Vec::new();
        shelf.last_lines(u64::MAX, RolloutResult::MOST_LINES, is_ours, wanted, &mut seqs);
        *room = left.get();
        let attempt = attempt.get();
        if attempt.is_some() && attempt != blocked.attempt {
            // How that one ended is not what is known of the newest.
            (blocked.attempt, blocked.exit_code) = (attempt, None);
        }
        let mut kept = kept.into_inner();
        kept.reverse();
        kept
    }
}

/// What a decision looks at, of a pod that was read.
fn as_found(pod: &Pod) -> Proof {
    let containers = containers_of(pod);
    let restarts = containers.iter().fold(0, |sum: u32, it| sum.saturating_add(it.restarts));
    let has = |kind: &str, status: &str| {
        let mut conditions = pod.status.conditions.iter().flatten();
        conditions.any(|it| it.kind == kind && it.status == status)
    };
    Proof {
        pod: pod.metadata.name.as_deref().unwrap_or_default().into(),
        uid: identity(pod).into(),
        hash: None,
        restarts,
        ready: has("Ready", "True"),
        cause: Proof::cause(&containers, has("PodScheduled", "False")),
        blank: Proof::is_blank(&containers),
    }
}

/// A line as a result shows it.
fn cut(bytes: &[u8]) -> String {
    // Valid by construction; see `tail::batch`.
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let mut end = text.len().min(RolloutResult::MOST_LINE_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

/// The result of a record, if it is one.
pub(super) fn of(entry: &Entry) -> Option<Arc<RolloutResult>> {
    match entry {
        Entry::Result(result) => Some(Arc::clone(result)),
        _ => None,
    }
}
