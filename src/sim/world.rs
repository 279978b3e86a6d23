//! The state of the simulated cluster, and what is planned in it.
//!
//! Invariants: everything that happens by itself is an [`Action`] with a time in one queue; equal
//! times run in the order in which they were planned; randomness comes from the seed alone. So a
//! seed and the same calls at the same times give the same cluster.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::SimOptions;
use super::control::{CronJobs, DaemonSets, Deployments, Jobs, Rollouts, StatefulSets};
use super::events::EventLog;
use super::logs::Written;
use super::pod::{Pod, PodId};
use super::resource::Resource;
use super::reviews::Reviews;
use super::spec::Program;
use super::store::{Name, Store};
use crate::time::rfc3339_seconds;

/// Attempts whose truth is kept for oracles after their pods are gone; a day of the demo's shop.
const TRUTHS_KEPT: usize = 20_000;

/// Actions in one turn under the lock, so that requests get between.
const TURN_ACTIONS: usize = 512;

/// Something that will happen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Action {
    /// The scheduler binds a pod.
    Schedule(PodId),
    /// The kubelet looks what to start next.
    Advance(PodId),
    /// A pull ends.
    Pulled(PodId, usize, u64),
    /// A pull is tried again.
    PullAgain(PodId, usize, u64),
    /// A container starts.
    Start(PodId, usize, u64),
    /// A container writes what is due.
    Write(PodId, usize, u64),
    /// A probe passes (true) or fails.
    Probe(PodId, usize, u64, bool),
    /// A container ends with this code.
    Exit(PodId, usize, u64, i32),
    /// The kubelet has noticed an end, and starts again or backs off.
    Ended(PodId, usize, u64),
    /// The kubelet has noticed a deletion.
    Terminate(PodId),
    /// The kubelet writes the pod's status.
    Sync(PodId),
    /// The object of a deleted pod goes.
    Remove(PodId),
    /// A script takes its next step.
    Script(usize),
    /// The control plane has not heard of a node for too long.
    NodeLost(Arc<str>),
    /// A node is heard of again.
    NodeBack(Arc<str>),
    /// A controller looks at a workload.
    Reconcile(Resource, Name),
    /// A CronJob is due.
    Cron(Name),
}

/// A script: does something and says after what time it goes on, or `None` at its end.
pub(super) type Script = Box<dyn FnMut(&mut World) -> Option<Duration> + Send>;

/// Everything in the cluster.
pub(super) struct World {
    pub options: SimOptions,
    started: Instant,
    /// What the cluster lived through before its time ran with the runtime's, in nanoseconds.
    ahead: i64,
    pub now: i64,
    pub rng: fastrand::Rng,
    pub store: Store,
    queue: BinaryHeap<Reverse<(i64, u64, Action)>>,
    planned: u64,
    /// Reconciliations already planned, so that a storm of changes plans one.
    reconciling: BTreeSet<(Resource, Name)>,
    pub pods: BTreeMap<PodId, Pod>,
    pub pod_names: BTreeMap<Name, PodId>,
    /// Pods by the uid of their owner.
    pub owned: BTreeMap<Arc<str>, BTreeSet<PodId>>,
    pub next_pod: u64,
    pub nodes: Vec<Arc<str>>,
    /// Nanoseconds by which a node's clock is ahead.
    pub skews: HashMap<Arc<str>, i64>,
    /// Nodes whose network is cut, and until when.
    pub cut_off: BTreeMap<Arc<str>, i64>,
    /// Why no node takes a pod, if none does.
    pub unschedulable: Option<String>,
    /// Most pods in a namespace.
    pub quotas: HashMap<Arc<str>, u32>,
    /// Annotations of namespaces.
    pub namespaces: HashMap<Arc<str>, BTreeMap<String, String>>,
    /// Images that a node has.
    pub images: BTreeSet<(Arc<str>, String)>,
    /// What the program of an image does.
    pub programs: HashMap<String, Arc<Program>>,
    /// Running scripts; a place is empty while its script runs and when it has ended.
    scripts: Vec<Option<Script>>,
    pub deployments: Deployments,
    pub stateful_sets: StatefulSets,
    pub daemon_sets: DaemonSets,
    pub jobs: Jobs,
    pub cron_jobs: CronJobs,
    pub rollouts: Rollouts,
    /// The definition of Rollouts is installed.
    pub has_rollouts: bool,
    pub events: EventLog,
    pub reviews: Reviews,
    truths: HashMap<(Arc<str>, String, u32), Written>,
    truth_order: VecDeque<(Arc<str>, String, u32)>,
}

// === impl World ===

impl World {
    pub(super) fn new(options: SimOptions) -> Self {
        let rng = fastrand::Rng::with_seed(options.seed);
        let nodes = options.nodes.iter().map(|node| node.as_str().into()).collect();
        let mut world = World {
            started: Instant::now(),
            ahead: 0,
            now: options.start_time,
            rng,
            store: Store::new(options.history),
            queue: BinaryHeap::new(),
            planned: 0,
            reconciling: BTreeSet::new(),
            pods: BTreeMap::new(),
            pod_names: BTreeMap::new(),
            owned: BTreeMap::new(),
            next_pod: 0,
            nodes,
            skews: HashMap::new(),
            cut_off: BTreeMap::new(),
            unschedulable: None,
            quotas: HashMap::new(),
            namespaces: HashMap::new(),
            images: BTreeSet::new(),
            programs: HashMap::new(),
            scripts: Vec::new(),
            deployments: Deployments::default(),
            stateful_sets: StatefulSets::default(),
            daemon_sets: DaemonSets::default(),
            jobs: Jobs::default(),
            cron_jobs: CronJobs::default(),
            rollouts: Rollouts::default(),
            has_rollouts: options.rollouts,
            events: EventLog::default(),
            reviews: Reviews::default(),
            truths: HashMap::new(),
            truth_order: VecDeque::new(),
            options,
        };
        for namespace in ["default", "kube-system"] {
            world.ensure_namespace(namespace);
        }
        for node in world.nodes.clone() {
            world.put_node(&node, true);
        }
        world
    }

    /// Brings `now` to the runtime's clock, which tests may pause.
    pub(super) fn tick(&mut self) {
        let elapsed = self.started.elapsed().as_nanos() as i64;
        self.now = self.options.start_time + self.ahead + elapsed;
    }

    /// Lives through this much time at once.
    pub(super) fn fast_forward(&mut self, time: Duration) {
        let (from, time) = (self.now, time.as_nanos() as i64);
        while let Some(due) = self.next_due().filter(|due| *due <= from + time) {
            self.now = due.max(self.now);
            self.run_due();
        }
        self.ahead += time;
        self.tick();
    }

    /// The runtime's instant of a simulated time.
    pub(super) fn instant(&self, time: i64) -> Instant {
        let begin = self.options.start_time + self.ahead;
        let after = u64::try_from(time - begin).unwrap_or(0);
        self.started + Duration::from_nanos(after)
    }

    /// Plans an action.
    pub(super) fn plan(&mut self, after: Duration, action: Action) {
        self.plan_at(self.now + after.as_nanos() as i64, action);
    }

    /// Plans an action for a time; a past one runs at once.
    pub(super) fn plan_at(&mut self, time: i64, action: Action) {
        self.planned += 1;
        self.queue.push(Reverse((time, self.planned, action)));
    }

    /// A seeded time in this range, in milliseconds.
    pub(super) fn jitter(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.rng.u64(range))
    }

    /// Plans a controller's look at a workload, unless one is planned.
    pub(super) fn reconcile_soon(&mut self, resource: Resource, name: &Name) {
        if self.reconciling.insert((resource, name.clone())) {
            let after = self.jitter(5..25);
            self.plan(after, Action::Reconcile(resource, name.clone()));
        }
    }

    /// Runs what is due and tells when the next action is.
    pub(super) fn run_due(&mut self) -> Option<i64> {
        for _ in 0..TURN_ACTIONS {
            let Reverse((time, ..)) = self.queue.peek()?;
            if *time > self.now {
                break;
            }
            let Reverse((_, _, action)) = self.queue.pop()?;
            self.act(action);
        }
        self.next_due()
    }

    /// When the next action is due.
    pub(super) fn next_due(&self) -> Option<i64> {
        self.queue.peek().map(|Reverse((time, ..))| *time)
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Schedule(pod) => self.schedule(pod),
            Action::Advance(pod) => self.advance(pod),
            Action::Pulled(pod, at, epoch) => self.pulled(pod, at, epoch),
            Action::PullAgain(pod, at, epoch) => self.pull_again(pod, at, epoch),
            Action::Start(pod, at, epoch) => self.start(pod, at, epoch),
            Action::Write(pod, at, epoch) => self.write(pod, at, epoch),
            Action::Probe(pod, at, epoch, passes) => self.probe(pod, at, epoch, passes),
            Action::Exit(pod, at, epoch, code) => self.exit(pod, at, epoch, code),
            Action::Ended(pod, at, epoch) => self.ended(pod, at, epoch),
            Action::Terminate(pod) => self.terminate(pod),
            Action::Sync(pod) => self.sync(pod),
            Action::Remove(pod) => self.remove_pod(pod),
            Action::NodeLost(node) => self.node_lost(&node),
            Action::NodeBack(node) => self.node_back(&node),
            Action::Script(at) => self.run_script(at),
            Action::Cron(name) => self.cron_due(&name),
            Action::Reconcile(resource, name) => {
                self.reconciling.remove(&(resource, name.clone()));
                self.reconcile(resource, &name);
            }
        }
    }

    /// Runs a script after this time, and again as it says.
    pub(super) fn add_script(&mut self, after: Duration, script: Script) {
        self.scripts.push(Some(script));
        self.plan(after, Action::Script(self.scripts.len() - 1));
    }

    fn run_script(&mut self, at: usize) {
        let Some(mut script) = self.scripts.get_mut(at).and_then(Option::take) else { return };
        if let Some(after) = script(self) {
            self.scripts[at] = Some(script);
            self.plan(after, Action::Script(at));
        }
    }

    fn reconcile(&mut self, resource: Resource, name: &Name) {
        match resource {
            Resource::Deployments => self.reconcile_deployment(name),
            Resource::StatefulSets => self.reconcile_stateful_set(name),
            Resource::DaemonSets => self.reconcile_daemon_set(name),
            Resource::Jobs => self.reconcile_job(name),
            Resource::CronJobs => self.reconcile_cron_job(name),
            Resource::Rollouts => self.reconcile_rollout(name),
            _ => {}
        }
    }

    /// A version 4 uid from the seed.
    pub(super) fn uid(&mut self) -> Arc<str> {
        let bits = self.rng.u128(..);
        let hex = format!("{bits:032x}");
        let (a, b, c, d) = (&hex[..8], &hex[8..12], &hex[13..16], &hex[17..20]);
        format!("{a}-{b}-4{c}-a{d}-{}", &hex[20..]).into()
    }

    /// So many characters as Kubernetes uses for generated names: no vowels, nothing alike.
    pub(super) fn suffix(&mut self, length: usize) -> String {
        const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        (0..length).map(|_| char::from(LETTERS[self.rng.usize(..LETTERS.len())])).collect()
    }

    /// Creates a namespace if it is missing.
    pub(super) fn ensure_namespace(&mut self, namespace: &str) {
        if self.store.get(Resource::Namespaces, "", namespace).is_some() {
            return;
        }
        let uid = self.uid();
        let object = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {
                "name": namespace, "uid": &*uid,
                "creationTimestamp": rfc3339_seconds(self.now),
                "labels": {"kubernetes.io/metadata.name": namespace},
            },
            "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"},
        });
        self.store.put(Resource::Namespaces, object);
    }

    /// Writes a node's object.
    pub(super) fn put_node(&mut self, node: &str, ready: bool) {
        let (status, reason) =
            if ready { ("True", "KubeletReady") } else { ("Unknown", "NodeStatusUnknown") };
        let object = json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {
                "name": node, "uid": format!("uid-of-{node}"),
                "creationTimestamp": rfc3339_seconds(self.options.start_time),
                "labels": {"kubernetes.io/hostname": node},
            },
            "spec": {},
            "status": {"conditions": [{
                "type": "Ready", "status": status, "reason": reason,
                "lastTransitionTime": rfc3339_seconds(self.now),
            }], "nodeInfo": {"kubeletVersion": "v1.37.2", "containerRuntimeVersion": "containerd://1.6.20"}},
        });
        self.store.put(Resource::Nodes, object);
    }

    /// Keeps the truth of an attempt that has ended.
    pub(super) fn keep_truth(&mut self, key: (Arc<str>, String, u32), written: Written) {
        if self.truth_order.len() >= TRUTHS_KEPT
            && let Some(oldest) = self.truth_order.pop_front()
        {
            self.truths.remove(&oldest);
        }
        self.truth_order.push_back(key.clone());
        self.truths.insert(key, written);
    }

    /// What an attempt wrote: of a running one so far.
    pub(super) fn written(&self, uid: &str, container: &str, attempt: u32) -> Option<Written> {
        let key = (uid.into(), container.to_owned(), attempt);
        if let Some(written) = self.truths.get(&key) {
            return Some(written.clone());
        }
        let pod = self.pods.values().find(|pod| &*pod.uid == uid)?;
        let run = &pod.runs[pod.find(container)?];
        (run.restart_count + 1 == attempt).then(|| run.log.as_ref().map(|log| log.written()))?
    }
}
