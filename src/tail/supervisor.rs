//! Decides which sources are followed, inside a budget.

use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::align::Fingerprint;
use super::follower::{Follower, Known, Memory};
use super::merge::{MERGE_TIME, Merge};
use super::pace::Pace;
use super::standing::Standing;
use super::{Options, Sink};
use crate::cluster::Cluster;
use crate::ids::{
    AttemptKey, Entry, Gap, GapReason, Side, Source, SourceChange, SourceState, WorkloadId,
};
use crate::telemetry::{Metrics, events, panic_words};
use crate::time;
use crate::watch::{Index, PodEntry};

/// Memories of stopped followers that are kept before those of pods that are gone are swept out.
const MEMORIES: usize = 10_000;
/// Pause before a source whose follower panicked is followed again.
const AFTER_PANIC: Duration = Duration::from_secs(1);

/// What the room needs from outside.
#[derive(Clone)]
pub struct Wiring {
    /// Where logs are read.
    pub cluster: Cluster,
    /// Which pods there are.
    pub index: Index,
    /// Where records go.
    pub sink: Sink,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where tasks live.
    pub tracker: TaskTracker,
    /// Ends all followers.
    pub shutdown: CancellationToken,
}

/// The followers of this replica. Cheap to clone.
#[derive(Clone)]
pub struct Tail {
    inner: Arc<Inner>,
}

/// The need for the logs of one workload. While it lives, they are followed.
pub struct Lease {
    tail: Tail,
    workload: Arc<WorkloadId>,
}

/// What is known about one source of a workload.
#[derive(Clone, Debug)]
pub struct SourceStatus {
    /// Which.
    pub source: Arc<Source>,
    /// Whether reading began at the log's first line, if known.
    pub from_start: Option<bool>,
}

struct Inner {
    wiring: Wiring,
    options: Arc<Options>,
    pace: Arc<Pace>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    leases: HashMap<Arc<WorkloadId>, Need>,
    followers: HashMap<AttemptKey, Running>,
    memories: HashMap<AttemptKey, Memory>,
    sides: HashMap<Arc<str>, Side>,
    /// Sources that are wanted but have no place, so that it is said once.
    starved: HashSet<AttemptKey>,
    per_node: HashMap<Arc<str>, usize>,
    started: u64,
}

#[derive(Default)]
struct Need {
    leases: usize,
    /// Grows with each lease, so that a linger knows whether it is still the last word.
    era: u64,
}

struct Running {
    source: Arc<Source>,
    node: Option<Arc<str>>,
    known: watch::Sender<Known>,
    caught_up: Arc<AtomicBool>,
    from_start: Arc<AtomicBool>,
    stop: CancellationToken,
}

/// A source that should be followed.
struct Wanted {
    source: Arc<Source>,
    node: Option<Arc<str>>,
    known: Known,
    urgency: u8,
}

// === impl Tail ===

impl Tail {
    /// Follows nothing yet.
    pub fn new(wiring: Wiring, options: Options) -> Self {
        let pace = Arc::new(Pace::new(options.opens_per_second));
        let options = Arc::new(options);
        Tail { inner: Arc::new(Inner { wiring, options, pace, state: Mutex::default() }) }
    }

    /// Needs the logs of a workload until the lease is dropped.
    pub fn lease(&self, workload: &Arc<WorkloadId>) -> Lease {
        let mut state = self.inner.state.lock();
        let need = state.leases.entry(workload.clone()).or_default();
        need.leases += 1;
        need.era += 1;
        self.reconcile(&mut state, workload);
        Lease { tail: self.clone(), workload: workload.clone() }
    }

    /// Takes in that pods are new, different or gone, and on which side of a rollout they stand.
    pub fn pods(&self, pods: &[(Arc<PodEntry>, Side)]) {
        let index = &self.inner.wiring.index;
        // The index may be ahead of the change that is told: an older state of a pod would call its
        // newest attempt superseded.
        let newest = |pod: &Arc<PodEntry>| index.pod(&pod.uid).unwrap_or_else(|| pod.clone());
        let pods: HashMap<_, _> =
            pods.iter().map(|(pod, side)| (pod.uid.clone(), (newest(pod), *side))).collect();
        let mut state = self.inner.state.lock();
        for running in state.followers.values() {
            if let Some((pod, side)) = pods.get(&running.source.key.uid) {
                let standing = Standing::of_entry(pod, &running.source.key);
                running.known.send_if_modified(|known| {
                    let next = Known { standing, side: *side };
                    std::mem::replace(known, next) != next
                });
            }
        }
        let mut workloads = HashSet::new();
        for (uid, (pod, side)) in &pods {
            if pod.gone.is_some() {
                state.sides.remove(uid);
                state.starved.retain(|key| key.uid != *uid);
                state.memories.retain(|key, _| key.uid != *uid);
            } else {
                state.sides.insert(uid.clone(), *side);
            }
            if state.leases.contains_key(&pod.workload) {
                workloads.insert(pod.workload.clone());
            }
        }
        for workload in workloads {
            self.reconcile(&mut state, &workload);
        }
    }

    /// The sources of a workload that are followed, wait, or were read to their end.
    pub fn sources(&self, workload: &WorkloadId) -> Vec<SourceStatus> {
        let pods = self.inner.wiring.index.pods_of(workload);
        let state = self.inner.state.lock();
        let mut sources = Vec::new();
        for source in pods.iter().flat_map(|pod| attempts(pod)) {
            let memory = state.memories.get(&source.key);
            let running = state.followers.get(&source.key);
            sources.push(SourceStatus {
                from_start: running
                    .and_then(|running| running.from_start.load(Ordering::Acquire).then_some(true))
                    .or_else(|| memory.and_then(|memory| memory.from_start)),
                source: Arc::new(source),
            });
        }
        sources
    }

    /// Whether what the logs of a workload held when they were opened has been handed on, or waits
    /// for something that may take long. Looks no further than the first that has not.
    pub fn caught_up(&self, workload: &WorkloadId) -> bool {
        let pods = self.inner.wiring.index.pods_of(workload);
        let state = self.inner.state.lock();
        pods.iter().flat_map(|pod| attempts(pod)).all(|source| {
            let running = state.followers.get(&source.key);
            running.is_some_and(|running| running.caught_up.load(Ordering::Acquire))
                || state.memories.get(&source.key).is_some_and(|memory| memory.ended)
                || state.starved.contains(&source.key)
        })
    }

    /// Followers that run now.
    pub fn followers(&self) -> usize {
        self.inner.state.lock().followers.len()
    }

    fn reconcile(&self, state: &mut State, workload: &Arc<WorkloadId>) {
        let mut wanted = Vec::new();
        for pod in self.inner.wiring.index.pods_of(workload) {
            // A pod whose side is not known yet is told of in a moment.
            let Some(side) = state.sides.get(&pod.uid).copied() else { continue };
            for source in attempts(&pod) {
                let known = state.memories.get(&source.key).is_some_and(|memory| memory.ended);
                if known || state.followers.contains_key(&source.key) {
                    continue;
                }
                let standing = Standing::of_entry(&pod, &source.key);
                let known = Known { standing, side };
                let failing = !pod.ready.holds();
                let urgency = u8::from(side == Side::Old) * 2 + u8::from(!failing);
                wanted.push(Wanted {
                    source: Arc::new(source),
                    node: pod.node.clone(),
                    known,
                    urgency,
                });
            }
        }
        wanted.sort_by_key(|wanted| wanted.urgency);
        let together = wanted.len() > 1 && self.has_place(state, None);
        let merge = together.then(|| self.merge(workload));
        for wanted in wanted {
            if self.has_place(state, wanted.node.as_ref()) {
                self.start(state, wanted, merge.as_ref());
            } else if state.starved.insert(wanted.source.key.clone()) {
                self.say_starved(&wanted.source);
            }
        }
    }

    /// Logs that are opened together are merged by time for as long as their backlogs come.
    fn merge(&self, workload: &Arc<WorkloadId>) -> Arc<Merge> {
        let merge = Merge::new(workload.clone(), self.inner.wiring.sink.clone());
        let closing = merge.clone();
        self.inner.wiring.tracker.spawn(async move {
            tokio::time::sleep(MERGE_TIME).await;
            closing.close();
        });
        merge
    }

    fn has_place(&self, state: &State, node: Option<&Arc<str>>) -> bool {
        let on_node = node.and_then(|node| state.per_node.get(node)).copied().unwrap_or(0);
        let options = &self.inner.options;
        state.followers.len() < options.max_followers && on_node < options.max_followers_per_node
    }

    fn say_starved(&self, source: &Arc<Source>) {
        let change = SourceChange {
            time: time::now(),
            source: source.clone(),
            state: SourceState::Waiting,
            from_start: None,
            complete: None,
            lines: None,
            reason: Some("budget".into()),
        };
        (self.inner.wiring.sink)(&source.workload, Entry::Source(Arc::new(change)));
    }

    fn start(&self, state: &mut State, wanted: Wanted, merge: Option<&Arc<Merge>>) {
        let Wanted { source, node, known, .. } = wanted;
        let wiring = &self.inner.wiring;
        let memory = state.memories.get(&source.key).cloned().unwrap_or_default();
        let (sender, receiver) = watch::channel(known);
        let caught_up = Arc::new(AtomicBool::new(false));
        let from_start = Arc::new(AtomicBool::new(memory.from_start == Some(true)));
        state.started += 1;
        let follower = Follower {
            source: source.clone(),
            cluster: wiring.cluster.clone(),
            sink: wiring.sink.clone(),
            options: self.inner.options.clone(),
            pace: self.inner.pace.clone(),
            metrics: wiring.metrics.clone(),
            known: receiver,
            memory,
            caught_up: caught_up.clone(),
            from_start: from_start.clone(),
            shown: false,
            said_waiting: false,
            merge: merge.map(|merge| merge.join(caught_up.clone())),
            random: fastrand::Rng::with_seed(self.inner.options.seed ^ state.started),
            backoff: Duration::ZERO,
        };
        if let Some(node) = &node {
            *state.per_node.entry(node.clone()).or_default() += 1;
        }
        state.starved.remove(&source.key);
        let stop = wiring.shutdown.child_token();
        let key = source.key.clone();
        let stopping = stop.clone();
        let running =
            Running { source, node, known: sender, caught_up, from_start, stop: stopping };
        state.followers.insert(key, running);
        wiring.metrics.followers.add(1);
        let tail = self.clone();
        wiring.tracker.spawn(async move { tail.attend(follower, stop).await });
    }

    /// Runs a follower to its end; what it remembers survives a stop and a panic.
    async fn attend(self, mut follower: Follower, stop: CancellationToken) {
        let run = AssertUnwindSafe(follower.run()).catch_unwind();
        let ended = tokio::select! {
            ended = run => ended,
            () = stop.cancelled() => Ok(()),
        };
        // What is held for others goes out before anything of a next follower; closing early is always
        // allowed.
        if let Some(place) = follower.merge.take() {
            place.close();
        }
        if let Err(panic) = ended {
            let message = &panic_words(&*panic);
            let restart_in = Some(AFTER_PANIC);
            events::TaskPanicked { room: "tail", task: "follower", message, restart_in }
                .emit(&self.inner.wiring.metrics);
            // Lines between the last remembered one and the panic may be lost; what comes after is read
            // by the next follower.
            let gap = Gap {
                time: time::now(),
                reason: GapReason::UpstreamError,
                source: Some(follower.source.clone()),
                from: follower.memory.fingerprint.last_time(),
                to: None,
                count: None,
            };
            (self.inner.wiring.sink)(&follower.source.workload, Entry::Gap(Arc::new(gap)));
            tokio::time::sleep(AFTER_PANIC).await;
        }
        self.ended(&follower.source, follower.memory);
    }

    fn ended(&self, source: &Source, memory: Memory) {
        let mut state = self.inner.state.lock();
        self.inner.wiring.metrics.followers.add(-1);
        if let Some(running) = state.followers.remove(&source.key)
            && let Some(node) = running.node
            && let Some(count) = state.per_node.get_mut(&node)
        {
            *count -= 1;
            if *count == 0 {
                state.per_node.remove(&node);
            }
        }
        // Nobody resumes from the end of a log: only that it ended is kept.
        let memory = if memory.ended {
            Memory { fingerprint: Fingerprint::default(), ..memory }
        } else {
            memory
        };
        state.memories.insert(source.key.clone(), memory);
        if state.memories.len() > MEMORIES {
            let index = &self.inner.wiring.index;
            state.memories.retain(|key, _| index.pod(&key.uid).is_some());
        }
        if self.inner.wiring.shutdown.is_cancelled() {
            return;
        }
        // Its place is free: those that wait for one get their turn, and its own workload may have
        // asked for it again meanwhile.
        let mut waiting: Vec<_> = if state.starved.is_empty() {
            Vec::new()
        } else {
            state.leases.keys().cloned().collect()
        };
        if state.leases.contains_key(&source.workload) && waiting.is_empty() {
            waiting.push(source.workload.clone());
        }
        for workload in waiting {
            self.reconcile(&mut state, &workload);
        }
    }

    fn release(&self, workload: &Arc<WorkloadId>) {
        let mut state = self.inner.state.lock();
        let Some(need) = state.leases.get_mut(workload) else { return };
        need.leases = need.leases.saturating_sub(1);
        let era = need.era;
        // A lease may be dropped when the runtime is going down; then everything is.
        if need.leases > 0 || tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        let (tail, workload) = (self.clone(), workload.clone());
        let linger = self.inner.options.linger;
        let shutdown = self.inner.wiring.shutdown.clone();
        self.inner.wiring.tracker.spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(linger) => tail.stop_if_unused(&workload, era),
                () = shutdown.cancelled() => {}
            }
        });
    }

    fn stop_if_unused(&self, workload: &Arc<WorkloadId>, era: u64) {
        let mut state = self.inner.state.lock();
        let unused =
            state.leases.get(workload).is_some_and(|need| need.leases == 0 && need.era == era);
        if !unused {
            return;
        }
        state.leases.remove(workload);
        let index = &self.inner.wiring.index;
        let State { starved, leases, .. } = &mut *state;
        starved.retain(|key| {
            index.pod(&key.uid).is_some_and(|pod| leases.contains_key(&pod.workload))
        });
        for running in state.followers.values() {
            if running.source.workload == *workload {
                running.stop.cancel();
            }
        }
    }
}

/// The attempts of a pod whose logs can be read: the newest of each container that was ever started.
fn attempts(pod: &PodEntry) -> impl Iterator<Item = Source> + '_ {
    pod.containers.iter().filter_map(|container| {
        let container_id = container.attempt_id()?.clone();
        let key =
            AttemptKey { uid: pod.uid.clone(), container: container.name.clone(), container_id };
        Some(Source {
            key,
            workload: pod.workload.clone(),
            pod: pod.name.clone(),
            attempt: container.restarts + 1,
        })
    })
}

// === impl Lease ===

impl Drop for Lease {
    fn drop(&mut self) {
        self.tail.release(&self.workload);
    }
}
