//! Decides which sources are followed, inside a budget.

use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::align::Fingerprint;
use super::attempts::{self, Attempt};
use super::budget::Starved;
use super::demand::{Demand, Lease, Need};
use super::follower::{Follower, Known};
use super::left::LeftLogs;
use super::level::{Level, Waters};
use super::memory::Memory;
use super::merge::{MERGE_TIME, Merge};
use super::nodes::Nodes;
use super::pace::Pace;
use super::standing::Standing;
use super::{Options, Proven, Sink};
use crate::cluster::Cluster;
use crate::ids::{AttemptKey, Entry, Gap, GapReason, Side, Source, WorkloadId};
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
    /// How far the workloads are surely read; the sink may ask it.
    pub waters: Waters,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Told of each log that goes on where an earlier process stopped, without a hole.
    pub proven: Proven,
    /// Where tasks live.
    pub tracker: TaskTracker,
    /// Ends all followers.
    pub shutdown: CancellationToken,
}

/// The followers of this replica. Cheap to clone.
#[derive(Clone)]
pub struct Tail {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) wiring: Wiring,
    pub(super) options: Arc<Options>,
    pub(super) pace: Arc<Pace>,
    pub(super) nodes: Nodes,
    pub(super) state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) leases: HashMap<Arc<WorkloadId>, Need>,
    pub(super) followers: HashMap<AttemptKey, Running>,
    pub(super) memories: HashMap<AttemptKey, Memory>,
    sides: HashMap<Arc<str>, Side>,
    /// The newest attempt of each container of a leased workload, by pod.
    pub(super) newest: HashMap<Arc<str>, HashMap<Arc<str>, u32>>,
    /// What was read and is not followed now.
    pub(super) left: LeftLogs,
    /// Sources that are wanted but have no place.
    pub(super) starved: HashMap<AttemptKey, Starved>,
    pub(super) per_node: HashMap<Arc<str>, usize>,
    /// Followers and tickets so far.
    pub(super) started: u64,
}

pub(super) struct Running {
    pub(super) source: Arc<Source>,
    pub(super) node: Option<Arc<str>>,
    pub(super) known: watch::Sender<Known>,
    pub(super) level: Arc<Level>,
    pub(super) stop: CancellationToken,
    /// Somebody reads it who may come back for more.
    viewed: bool,
}

/// A source that should be followed.
#[derive(Clone)]
pub(super) struct Wanted {
    pub(super) source: Arc<Source>,
    pub(super) node: Option<Arc<str>>,
    pub(super) known: Known,
    pub(super) began: i64,
}

// === impl Tail ===

impl Tail {
    /// Follows nothing yet. Must be called within a runtime.
    pub fn new(wiring: Wiring, options: Options) -> Self {
        let inner = Arc::new(Inner {
            pace: Arc::new(Pace::new(options.opens_per_second)),
            nodes: Nodes::default(),
            options: Arc::new(options),
            wiring,
            state: Mutex::default(),
        });
        let tail = Tail { inner };
        let (pace, shutdown) = (tail.inner.pace.clone(), tail.inner.wiring.shutdown.clone());
        tail.inner.wiring.tracker.spawn(async move {
            tokio::select! {
                () = pace.run() => {}
                () = shutdown.cancelled() => {}
            }
        });
        let (watching, shutdown) = (tail.clone(), tail.inner.wiring.shutdown.clone());
        tail.inner.wiring.tracker.spawn(async move {
            tokio::select! {
                () = watching.watch_nodes() => {}
                () = shutdown.cancelled() => {}
            }
        });
        tail
    }

    /// Needs all logs of a workload until the lease is dropped.
    pub fn lease(&self, workload: &Arc<WorkloadId>) -> Lease {
        self.need(workload, Demand::Everything)
    }

    /// Needs the logs of a workload's new revision until the lease is dropped, at most
    /// `max_sources` at a time, failing pods first. Sources of the old revision are let go.
    pub fn record(&self, workload: &Arc<WorkloadId>, max_sources: usize) -> Lease {
        self.need(workload, Demand::New { most: max_sources })
    }

    fn need(&self, workload: &Arc<WorkloadId>, demand: Demand) -> Lease {
        let mut state = self.inner.state.lock();
        self.inner.wiring.waters.of(workload);
        state.leases.entry(workload.clone()).or_default().add(demand);
        self.reconcile(&mut state, workload);
        Lease::new(self.clone(), workload.clone(), demand)
    }

    /// The oldest stamp up to which a source of this workload was handed on that is wanted but not
    /// read live at present: its follow is broken, it catches up, or it waits. `None` if all are read
    /// live. Before the first line of a source it is the time at which its container began. Cheap,
    /// and may be called from within the sink.
    pub fn low_water(&self, workload: &WorkloadId) -> Option<i64> {
        self.inner.wiring.waters.low(workload)
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
                    let next = Known { standing, ..known.with(pod, *side, &running.source.key) };
                    std::mem::replace(known, next) != next
                });
            }
        }
        for starved in state.starved.values_mut() {
            if let Some((pod, side)) = pods.get(&starved.wanted.source.key.uid) {
                let Wanted { source, known, .. } = &mut starved.wanted;
                *known = known.with(pod, *side, &source.key);
            }
        }
        let mut workloads = HashSet::new();
        for (uid, (pod, side)) in &pods {
            if pod.gone.is_some() {
                state.sides.remove(uid);
                state.newest.remove(uid);
                self.abandon(&mut state, uid);
                self.part(&mut state, pod);
                state.memories.retain(|key, _| key.uid != *uid);
            } else {
                state.sides.insert(uid.clone(), *side);
                self.part(&mut state, pod);
            }
            if state.leases.contains_key(&pod.workload) {
                workloads.insert(pod.workload.clone());
            }
        }
        for workload in workloads {
            self.reconcile(&mut state, &workload);
        }
    }

    /// Followers that run now.
    pub fn followers(&self) -> usize {
        self.inner.state.lock().followers.len()
    }

    fn reconcile(&self, state: &mut State, workload: &Arc<WorkloadId>) {
        let Some(demand) = state.leases.get(workload).map(|need| need.effective) else { return };
        let now = time::now();
        let mut wanted = Vec::new();
        for pod in self.inner.wiring.index.pods_of(workload) {
            // A pod whose side is not known yet is told of in a moment.
            let Some(side) = state.sides.get(&pod.uid).copied() else { continue };
            self.tell_collected(state, &pod);
            if demand < Demand::Everything && side == Side::Old {
                continue;
            }
            let begun = |key: &AttemptKey| state.memories.get(key).is_some_and(Memory::is_begun);
            let attempts: Vec<_> = attempts::of(&pod, now, begun).collect();
            for Attempt { source, began } in attempts {
                if state.memories.get(&source.key).is_some_and(|memory| memory.ended) {
                    continue;
                }
                if let Some(running) = state.followers.get_mut(&source.key) {
                    running.viewed |= demand == Demand::Everything;
                    continue;
                }
                let standing = Standing::of_entry(&pod, &source.key);
                let known = Known::new(&pod, side, &source.key, standing);
                let (source, node) = (Arc::new(source), pod.node.clone());
                wanted.push(Wanted { source, node, known, began });
            }
        }
        // A dead attempt before the one that followed it.
        wanted.sort_by_key(|wanted| (wanted.known.class(), wanted.began));
        if let Demand::New { most } = demand {
            self.keep_new_only(state, workload, most, &mut wanted);
        }
        let together = wanted.len() > 1 && self.has_place(state, None);
        let merge = together.then(|| self.merge(workload));
        for wanted in wanted {
            if self.has_place(state, wanted.node.as_ref()) {
                self.start(state, wanted, merge.as_ref());
            } else if !state.starved.contains_key(&wanted.source.key) {
                self.starve(state, wanted);
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

    pub(super) fn level(
        &self,
        state: &State,
        wanted: &Wanted,
        reason: Option<&'static str>,
    ) -> Arc<Level> {
        let water = self.inner.wiring.waters.of(&wanted.source.workload);
        let memory = state.memories.get(&wanted.source.key);
        let last = memory.and_then(|memory| memory.fingerprint.last_time());
        let level = Level::new(&water, last.unwrap_or(wanted.began), reason);
        if let Some(memory) = memory {
            level.see(|seen| {
                seen.from_start = memory.from_start;
                seen.first_time = memory.first_time;
                seen.tail_cut = memory.tail_cut;
                seen.continued = memory.is_continued();
            });
        }
        level
    }

    pub(super) fn start(&self, state: &mut State, wanted: Wanted, merge: Option<&Arc<Merge>>) {
        let level = self.level(state, &wanted, None);
        let Wanted { source, node, known, began } = wanted;
        let wiring = &self.inner.wiring;
        let memory = state.memories.get(&source.key).cloned();
        let owed = state.left.is_owed(began);
        let memory = memory.unwrap_or_else(|| Memory { owed, ..Memory::default() });
        let (sender, receiver) = watch::channel(known);
        state.started += 1;
        let follower = Follower {
            source: source.clone(),
            cluster: wiring.cluster.clone(),
            sink: wiring.sink.clone(),
            proven: wiring.proven.clone(),
            options: self.inner.options.clone(),
            pace: self.inner.pace.clone(),
            metrics: wiring.metrics.clone(),
            known: receiver,
            memory,
            node: self.inner.nodes.pulse(node.as_ref()),
            merge: merge.map(|merge| merge.join(level.clone())),
            level: level.clone(),
            shown: false,
            said_waiting: false,
            kicked: 0,
            everything: false,
            was_unreachable: false,
            heard_unreachable: false,
            impatient: false,
            skew: None,
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
        let demand = state.leases.get(&source.workload).map(|need| need.effective);
        let viewed = demand == Some(Demand::Everything);
        let running = Running { source, node, known: sender, level, stop: stopping, viewed };
        state.left.take(&key);
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
            events::GapMarked { gap: &gap }.emit(&self.inner.wiring.metrics);
            (self.inner.wiring.sink)(&follower.source.workload, Entry::Gap(Arc::new(gap)));
            tokio::time::sleep(AFTER_PANIC).await;
        }
        self.ended(&follower.source, follower.memory);
    }

    fn ended(&self, source: &Arc<Source>, mut memory: Memory) {
        let mut state = self.inner.state.lock();
        self.inner.wiring.metrics.followers.add(-1);
        let running = state.followers.remove(&source.key);
        memory.viewed |= running.as_ref().is_some_and(|running| running.viewed);
        if let Some(node) = running.and_then(|running| running.node)
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
        let left = memory.viewed && memory.is_begun();
        state.memories.insert(source.key.clone(), memory);
        if state.memories.len() > MEMORIES {
            let index = &self.inner.wiring.index;
            let State { memories, left, .. } = &mut *state;
            memories.retain(|key, _| index.pod(&key.uid).is_some() || left.has(&key.uid));
        }
        if self.inner.wiring.shutdown.is_cancelled() {
            return;
        }
        if left {
            self.leave(&mut state, source);
        }
        self.fill(&mut state);
        // Its own workload may have asked for it again meanwhile.
        let workload = source.workload.clone();
        self.reconcile(&mut state, &workload);
    }

    pub(super) fn release(&self, workload: &Arc<WorkloadId>, demand: Demand) {
        let mut state = self.inner.state.lock();
        let Some(need) = state.leases.get_mut(workload) else { return };
        let less = need.remove(demand);
        let era = need.era;
        // A lease may be dropped when the runtime is going down; then everything is.
        if !less || tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        let (tail, workload) = (self.clone(), workload.clone());
        let linger = self.inner.options.linger;
        let shutdown = self.inner.wiring.shutdown.clone();
        self.inner.wiring.tracker.spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(linger) => tail.settle(&workload, era),
                () = shutdown.cancelled() => {}
            }
        });
    }

    /// The linger is over: stops what nobody needs, unless somebody came meanwhile.
    fn settle(&self, workload: &Arc<WorkloadId>, era: u64) {
        let mut state = self.inner.state.lock();
        let Some(need) = state.leases.get_mut(workload).filter(|need| need.era == era) else {
            return;
        };
        match need.settle() {
            Demand::Everything => {}
            Demand::New { most } => {
                self.keep_new_only(&mut state, workload, most, &mut Vec::new());
            }
            Demand::Nothing => {
                state.leases.remove(workload);
                state.starved.retain(|_, one| one.wanted.source.workload != *workload);
                for running in state.followers.values() {
                    if running.source.workload == *workload {
                        running.stop.cancel();
                    }
                }
                for pod in self.inner.wiring.index.pods_of(workload) {
                    state.newest.remove(&pod.uid);
                }
                self.inner.wiring.waters.forget(workload);
            }
        }
    }
}
