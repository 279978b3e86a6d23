//! What can happen: the records that rooms write to the journal.
//!
//! These are the meanings; the shapes that clients see are made of them in `wire`.
//! All times are nanoseconds since 1970 in UTC; `None` is unknown, never zero.

use std::sync::Arc;

use bytes::Bytes;

use super::{Blocker, RolloutResult, Source};
use crate::time::SECOND;

/// One append to the journal: either several log lines of one source, or one other record.
#[derive(Clone, Debug)]
pub enum Entry {
    /// Log lines; each takes one sequence number.
    Lines(Arc<Lines>),
    /// A workload's rollout state changed.
    Rollout(Arc<RolloutStatus>),
    /// A pod's state changed.
    Pod(Arc<PodStatus>),
    /// A Kubernetes event about the workload or one of its pods.
    Event(Arc<KubeEvent>),
    /// A source was opened, waits, or ended.
    Source(Arc<SourceChange>),
    /// Lines are missing here.
    Gap(Arc<Gap>),
    /// A rollout is over.
    Result(Arc<RolloutResult>),
}

/// Consecutive lines of one source, in source order.
#[derive(Debug)]
pub struct Lines {
    /// Whose lines they are.
    pub source: Arc<Source>,
    /// Whether the pod belonged to the new revision when they were read.
    pub side: Side,
    /// Whether their container was known to have failed when they were read.
    pub failed: bool,
    /// The text of all lines, back to back, without line ends.
    pub text: Bytes,
    /// Where each line lies in `text`. Never empty.
    pub lines: Box<[LineMeta]>,
}

/// One log line: its place in [`Lines::text`] and what is known about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineMeta {
    /// The node's stamp.
    pub time: i64,
    /// Offset in the text of the batch, in bytes.
    pub start: u32,
    /// Length of the kept text, in bytes.
    pub len: u32,
    /// The line's true length in bytes if it was cut at the cap, else 0.
    pub truncated_bytes: u32,
    /// How many earlier lines of the attempt carry the same stamp; makes the line key unique.
    pub ordinal: u32,
    /// The bytes held invalid UTF-8, which was replaced.
    pub lossy: bool,
    /// The log ended cleanly without a line end after this line.
    pub partial: bool,
    /// It was the first of what could be read, and the file may have begun inside it: what stands
    /// before its text may be missing.
    pub partial_head: bool,
}

/// Which revision a pod belongs to, seen from the newest rollout of its workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The revision that is being rolled out, or the only one.
    New,
    /// A revision that is being replaced.
    Old,
}

/// Where a rollout stands. A closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RolloutPhase {
    /// The controller has not observed the newest generation yet.
    Waiting,
    /// New pods are being brought up or old ones taken down.
    Progressing,
    /// Asked for by the user; not a failure.
    Paused,
    /// Old pods are left that are replaced only when somebody deletes them (`OnDelete`).
    WaitingForDelete,
    /// The workload's own deadline passed, or it gave up: a Job failed, an update was aborted.
    Stalled,
    /// Everything that was asked for ran and was available once. It stays so for this template, even
    /// if pods fail or are replaced later, as far as the API remembers it.
    Complete,
    /// Zero replicas are asked for and none is left.
    ScaledToZero,
    /// The workload was deleted.
    Deleted,
    /// What the object says makes no sense; the message tells what.
    Unknown,
}

/// The state of a workload's newest rollout.
#[derive(Clone, Debug, PartialEq)]
pub struct RolloutStatus {
    /// When this state was seen.
    pub time: i64,
    /// Where it stands.
    pub phase: RolloutPhase,
    /// The revision that is rolled out (design: always a string).
    pub revision: Option<Arc<str>>,
    /// The revision before it.
    pub previous: Option<Arc<str>>,
    /// `metadata.generation` of the workload.
    pub generation: i64,
    /// Containers whose image this rollout set, by container name.
    pub images: Vec<ImageChange>,
    /// Replicas asked for.
    pub desired: u32,
    /// Pods of the new revision.
    pub updated: u32,
    /// Pods of the new revision that are ready.
    pub ready: u32,
    /// Pods of the new revision that are available.
    pub available: u32,
    /// Pods of other revisions that are left.
    pub old: u32,
    /// When the rollout began, from API times.
    pub started: Option<i64>,
    /// When it reached its end, if it has and the API tells. It stays while pods come and go later.
    pub finished: Option<i64>,
    /// The workload's own deadline in milliseconds (`progressDeadlineSeconds`).
    pub deadline_ms: Option<u64>,
    /// Who changed the specification last, as the API server calls them (a field manager).
    pub by: Option<Arc<str>>,
    /// Why, in their words: annotation `kubernetes.io/change-cause`.
    pub change_cause: Option<Arc<str>>,
    /// It completed after it had been called failed.
    pub recovered: bool,
    /// What keeps it from going on; what concerns most pods first.
    pub reasons: Vec<Blocker>,
    /// One sentence for people, empty if there is nothing to say.
    pub message: String,
}

/// The image of one container, before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageChange {
    /// The container's name.
    pub container: Arc<str>,
    /// The image of the previous revision.
    pub from: Option<Arc<str>>,
    /// The image of the new revision.
    pub to: Arc<str>,
}

/// Pod phases for people. A closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PodPhase {
    /// No node has been found yet.
    Unscheduled,
    /// A container waits for its image.
    Pulling,
    /// Init containers run; the detail says which.
    Init,
    /// Containers are created or have not all started.
    Starting,
    /// All containers run, the pod is not ready.
    Running,
    /// The Ready condition holds.
    Ready,
    /// A container cannot start, crashed, or the pod failed.
    Failing,
    /// All containers ended well (Jobs).
    Succeeded,
    /// Deletion was asked for.
    Terminating,
    /// The object no longer exists.
    Gone,
}

/// The state of one pod.
#[derive(Clone, Debug, PartialEq)]
pub struct PodStatus {
    /// When this state was seen.
    pub time: i64,
    /// The pod's name.
    pub pod: Arc<str>,
    /// Its uid.
    pub uid: Arc<str>,
    /// The node it is bound to.
    pub node: Option<Arc<str>>,
    /// The revision it belongs to.
    pub revision: Option<Arc<str>>,
    /// New or old, seen from the newest rollout.
    pub side: Side,
    /// The phase for people.
    pub phase: PodPhase,
    /// For [`PodPhase::Init`]: `1/2`.
    pub phase_detail: Option<Arc<str>>,
    /// The Ready condition.
    pub ready: bool,
    /// Restarts of all containers together.
    pub restarts: u32,
    /// A machine's word for what is wrong, as Kubernetes says it.
    pub reason: Option<Arc<str>>,
    /// What is wrong, in words.
    pub message: Option<Arc<str>>,
    /// Its containers, init containers first.
    pub containers: Vec<ContainerStatus>,
    /// Nothing changed that a line for people tells: only its side, its revision, or details of its
    /// containers. Programs are told all the same.
    pub quiet: bool,
}

/// What a container is for. A closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ContainerKind {
    /// An ordinary container.
    App,
    /// Runs to its end before the others start.
    Init,
    /// An init container that is restarted always (KEP-753).
    Sidecar,
    /// Added to a running pod (`kubectl debug`).
    Ephemeral,
}

/// What a container does. A closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ContainerState {
    /// Not started, or between two attempts.
    Waiting,
    /// Runs.
    Running,
    /// Ended.
    Terminated,
}

/// The state of one container of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerStatus {
    /// Its name.
    pub name: Arc<str>,
    /// What it is for.
    pub kind: ContainerKind,
    /// What it does.
    pub state: ContainerState,
    /// The restart count plus one.
    pub attempt: u32,
    /// Why it waits or ended.
    pub reason: Option<Arc<str>>,
    /// How it ended, this attempt or the one before.
    pub exit_code: Option<i32>,
}

/// A Kubernetes event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubeEvent {
    /// When it happened last.
    pub time: i64,
    /// `Warning` rather than `Normal`.
    pub warning: bool,
    /// The machine's word.
    pub reason: Arc<str>,
    /// The sentence.
    pub message: Arc<str>,
    /// Kind of the object it is about, in lower case.
    pub object_kind: Arc<str>,
    /// Name of the object it is about.
    pub object_name: Arc<str>,
    /// How often it happened.
    pub count: u32,
}

/// What a source does. A closed list; every change is told to viewers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SourceState {
    /// Wanted, but not open: the reason says why (`budget`, `container_waiting`, `retry`, …).
    Waiting,
    /// Open, and read live.
    Following,
    /// Its container ended and its log was read to the end, or is lost.
    Ended,
}

/// A change of a source's state.
#[derive(Clone, Debug)]
pub struct SourceChange {
    /// When.
    pub time: i64,
    /// Which source.
    pub source: Arc<Source>,
    /// What it does now.
    pub state: SourceState,
    /// Whether reading began at the log's first line, if known.
    pub from_start: Option<bool>,
    /// For [`SourceState::Ended`]: everything that the kubelet had was delivered.
    pub complete: Option<bool>,
    /// For [`SourceState::Ended`]: lines delivered.
    pub lines: Option<u64>,
    /// A machine's word for why it waits or why it is not complete.
    pub reason: Option<Arc<str>>,
}

/// Why lines are missing. A closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GapReason {
    /// The overlap with what was read before was not found again.
    RotationUnproven,
    /// The follow broke and the container ended before it could be resumed.
    FollowLost,
    /// The kubelet had already removed the attempt's log.
    AttemptCollected,
    /// The pod was removed before its log was read to the end.
    PodRemoved,
    /// The node could not be reached.
    NodeUnreachable,
    /// The viewer read more slowly than the journal forgot.
    ViewerTooSlow,
    /// The position asked for is older than what is kept.
    HistoryEvicted,
    /// The position belongs to a journal before a restart.
    ServerRestart,
    /// A configured limit was reached.
    LimitReached,
    /// The node's clock stepped back.
    ClockStep,
    /// The API server failed in a way that cost lines.
    UpstreamError,
}

/// A place where lines are missing.
#[derive(Clone, Debug)]
pub struct Gap {
    /// When it was noticed.
    pub time: i64,
    /// Why.
    pub reason: GapReason,
    /// The source it concerns; `None` is the whole selection.
    pub source: Option<Arc<Source>>,
    /// Stamp of the last line before it.
    pub from: Option<i64>,
    /// Stamp of the first line after it.
    pub to: Option<i64>,
    /// Lines missing, before filters, if known.
    pub count: Option<u64>,
}

// === impl Entry ===

impl Entry {
    /// How many sequence numbers it takes; at least one.
    pub fn count(&self) -> u64 {
        match self {
            Entry::Lines(lines) => lines.lines.len() as u64,
            _ => 1,
        }
    }

    /// The time it carries: of its last line for log lines.
    pub fn time(&self) -> i64 {
        match self {
            Entry::Lines(lines) => lines.lines.last().map_or(0, |line| line.time),
            Entry::Rollout(state) => state.time,
            Entry::Pod(state) => state.time,
            Entry::Event(event) => event.time,
            Entry::Source(change) => change.time,
            Entry::Gap(gap) => gap.time,
            Entry::Result(result) => result.time,
        }
    }
}

// === impl RolloutPhase ===

impl RolloutPhase {
    /// Whether people wait for its end.
    pub fn runs(self) -> bool {
        matches!(self, RolloutPhase::Waiting | RolloutPhase::Progressing | RolloutPhase::Stalled)
    }

    /// Whether it is over.
    pub fn is_over(self) -> bool {
        matches!(self, RolloutPhase::Complete | RolloutPhase::ScaledToZero | RolloutPhase::Deleted)
    }
}

// === impl RolloutStatus ===

impl RolloutStatus {
    /// How long the rollout took, or has run at wall time `now`, in whole seconds: the API's times
    /// are no finer, and a fraction from another clock would make it jump. `None` if its begin is not
    /// known, or its end although it is over.
    pub fn elapsed_seconds(&self, now: i64) -> Option<u64> {
        let running = || (!self.phase.is_over()).then_some(now.max(self.time));
        let until = self.finished.or_else(running)?;
        let seconds = until.div_euclid(SECOND) - self.started?.div_euclid(SECOND);
        // Two clocks may disagree.
        Some(u64::try_from(seconds).unwrap_or(0))
    }
}

// === impl PodStatus ===

impl PodStatus {
    /// Whether a line for people would say the same but for its time.
    pub fn reads_like(&self, other: &PodStatus) -> bool {
        let read = |status: &PodStatus| (status.phase, status.restarts);
        read(self) == read(other)
            && self.phase_detail == other.phase_detail
            && self.reason == other.reason
            && self.message == other.message
    }
}

// === impl GapReason ===

impl GapReason {
    /// The word for it, on the wire and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            GapReason::RotationUnproven => "rotation_unproven",
            GapReason::FollowLost => "follow_lost",
            GapReason::AttemptCollected => "attempt_collected",
            GapReason::PodRemoved => "pod_removed",
            GapReason::NodeUnreachable => "node_unreachable",
            GapReason::ViewerTooSlow => "viewer_too_slow",
            GapReason::HistoryEvicted => "history_evicted",
            GapReason::ServerRestart => "server_restart",
            GapReason::LimitReached => "limit_reached",
            GapReason::ClockStep => "clock_step",
            GapReason::UpstreamError => "upstream_error",
        }
    }
}

// === impl Lines ===

impl Lines {
    /// The text of one line, as bytes; valid UTF-8 by construction.
    pub fn bytes_of(&self, line: &LineMeta) -> &[u8] {
        let start = line.start as usize;
        &self.text[start..start + line.len as usize]
    }
}
