//! A cluster in miniature: seconds pass, controllers of four kinds replace pods, and what the API would
//! show is written down second by second. Pods of one version share a fate, as they share an image.

use super::*;

/// The kinds that are tried.
pub(super) const KINDS: [Kind; 4] =
    [Kind::Deployment, Kind::StatefulSet, Kind::DaemonSet, Kind::Job];

/// What becomes of each pod of a version; `until` is the pod's age in seconds at which that passes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    Good,
    NoImage,
    Denied {
        until: i64,
    },
    NoConfig {
        until: i64,
    },
    /// Only events tell of it.
    NoVolume {
        until: i64,
    },
    Nowhere {
        until: i64,
    },
    /// So many crashes, then it runs on.
    Crashes {
        times: i64,
    },
    NeverReady,
}

/// Longer than anything lasts here.
pub(super) const NEVER: i64 = 1_000_000;

/// One change of the template.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    pub(super) at: i64,
    pub(super) fate: Fate,
    /// Its container has a readiness probe, which passes after so many seconds.
    pub(super) probe: Option<i64>,
    /// Its template is that of the first: a rollback. It has that one's fate and probe.
    pub(super) back: bool,
    /// A Deployment is paused from then, until then.
    pub(super) paused: Option<(i64, i64)>,
}

/// All objects in each second.
pub(super) type History = Vec<Vec<Value>>;

#[derive(Clone, Debug)]
struct Pod {
    name: String,
    /// The change that brought its template.
    version: usize,
    slot: usize,
    created: i64,
    deleted: Option<i64>,
}

/// A workload `web` and its controller.
pub(super) struct Cluster {
    kind: Kind,
    replicas: usize,
    asks: Vec<Ask>,
    pods: Vec<Pod>,
    /// Generation, and what the controller has seen of it.
    generation: i64,
    observed: i64,
    /// How many changes of the template there were, how many of them the controller has seen, and
    /// whether it was paused then.
    asked: usize,
    seen: usize,
    paused: bool,
    made: usize,
    /// When the controller began with each version: it makes the object of its revision then.
    begun: Vec<Option<i64>>,
    /// The number of each revision: one that is used again has a higher one than all others.
    numbers: Vec<usize>,
    /// The version that a StatefulSet calls its current one: the last that was ready as a whole.
    current: usize,
    /// Pods of a Job that failed, and when it ended and how.
    failed: i64,
    ended: Option<(i64, bool)>,
    limit: i64,
}

/// How long a pod is being deleted.
const FAREWELL: i64 = 2;
/// A crash comes so long after the start, and the next start so long after the crash.
const RUNS: i64 = 2;
const PAUSE: i64 = 5;

impl Cluster {
    /// The first of what is asked for is there from the beginning, but for a Job.
    pub(super) fn new(kind: Kind, replicas: usize, asks: Vec<Ask>, limit: i64) -> Cluster {
        let replicas = if kind == Kind::Job { 1 } else { replicas };
        let (begun, numbers) = (vec![None; asks.len()], vec![0; asks.len()]);
        let (pods, made, failed, ended) = (Vec::new(), 0, 0, None);
        Cluster {
            kind,
            replicas,
            asks,
            pods,
            generation: 0,
            observed: 0,
            asked: 0,
            seen: 0,
            paused: false,
            made,
            begun,
            numbers,
            current: 0,
            failed,
            ended,
            limit,
        }
    }

    /// What the API shows in each second up to then.
    pub(super) fn history(mut self, seconds: i64) -> History {
        (0..seconds).map(|now| self.second(now)).collect()
    }

    fn second(&mut self, now: i64) -> Vec<Value> {
        self.pods.retain(|pod| pod.deleted.is_none_or(|at| now < at + FAREWELL));
        if self.observed == self.generation && self.generation > 0 && !self.paused {
            let version = self.version();
            self.begun[version].get_or_insert(now);
            self.numbers[version] = self.seen;
            match self.kind {
                Kind::Deployment => self.surge(now),
                Kind::Job => self.run(now),
                _ => self.replace(now),
            }
            // As `completeRollingUpdate` has it.
            let wanted = i64::try_from(self.replicas).unwrap();
            if self.count(now, |pod| pod.version == version) == (wanted, wanted) {
                self.current = version;
            }
        }
        let objects = self.objects(now);
        // Seen a second after it was asked for.
        (self.observed, self.seen) = (self.generation, self.asked);
        self.paused = self.is_paused(now);
        self.asked = self.asks.iter().filter(|ask| ask.at <= now).count();
        // Pausing and going on are changes as well.
        let pauses = self.asks.iter().filter_map(|ask| ask.paused);
        let edges = pauses.flat_map(|(from, until)| [from, until]).filter(|edge| *edge <= now);
        self.generation = i64::try_from(self.asked + edges.count()).unwrap();
        objects
    }

    /// Whether it is paused, as its object shows in this second: what was asked for the second before.
    fn is_paused(&self, now: i64) -> bool {
        let mut pauses = self.asks.iter().filter_map(|ask| ask.paused);
        pauses.any(|(from, until)| (from + 1..=until).contains(&now))
    }

    /// The version that the controller has seen last.
    fn version(&self) -> usize {
        self.template_of(self.seen.saturating_sub(1))
    }

    /// Which version a change asked for.
    fn template_of(&self, ask: usize) -> usize {
        if self.asks[ask].back { 0 } else { ask }
    }

    fn ready(&self, pod: &Pod, now: i64) -> bool {
        pod.deleted.is_none() && self.state(pod, now).ready.is_some()
    }

    fn make(&mut self, slot: usize, now: i64) {
        let version = self.version();
        self.made += 1;
        let name = match self.kind {
            Kind::StatefulSet => format!("web-{slot}"),
            _ => format!("web-v{version}-{}", self.made),
        };
        self.pods.push(Pod { name, version, slot, created: now, deleted: None });
    }

    /// One more than asked for; an old pod goes when it is not needed.
    fn surge(&mut self, now: i64) {
        let version = self.version();
        let live = |pod: &&Pod| pod.deleted.is_none();
        let all = self.pods.iter().filter(live).count();
        let new = self.pods.iter().filter(live).filter(|pod| pod.version == version).count();
        let ready = self.pods.iter().filter(|pod| self.ready(pod, now)).count();
        let first = self.pods.is_empty();
        let mut old: Vec<usize> = (0..self.pods.len())
            .filter(|at| self.pods[*at].deleted.is_none() && self.pods[*at].version != version)
            .collect();
        old.sort_by_key(|at| self.ready(&self.pods[*at], now));
        if let Some(at) = old.first()
            && (!self.ready(&self.pods[*at], now) || ready > self.replicas)
        {
            self.pods[*at].deleted = Some(now);
        }
        if new < self.replicas && (all <= self.replicas || first) {
            self.make(0, now);
        }
    }

    /// One after another from the last slot; what is broken goes at once.
    fn replace(&mut self, now: i64) {
        let version = self.version();
        for slot in 0..self.replicas {
            if !self.pods.iter().any(|pod| pod.slot == slot) {
                self.make(slot, now);
            }
        }
        let new_ready =
            self.pods.iter().filter(|pod| pod.version == version).all(|pod| self.ready(pod, now));
        let leaving = self.pods.iter().any(|pod| pod.deleted.is_some());
        for slot in (0..self.replicas).rev() {
            let at = self.pods.iter().position(|pod| pod.slot == slot).unwrap();
            if self.pods[at].version == version || self.pods[at].deleted.is_some() {
                continue;
            }
            if !self.ready(&self.pods[at], now) || (new_ready && !leaving) {
                self.pods[at].deleted = Some(now);
            }
            return;
        }
    }

    fn run(&mut self, now: i64) {
        let last = self.pods.last().map(|pod| self.state(pod, now).ended);
        match last {
            _ if self.ended.is_some() => {}
            None => self.make(0, now),
            Some(None) => {}
            Some(Some(0)) => self.ended = Some((now, true)),
            Some(Some(_)) => {
                self.failed += 1;
                match self.failed > self.limit {
                    true => self.ended = Some((now, false)),
                    false => self.make(0, now),
                }
            }
        }
    }
}

/// How a pod is.
#[derive(Clone, Debug, Default)]
struct State {
    node: Option<i64>,
    /// Since when it is ready.
    ready: Option<i64>,
    started: Option<i64>,
    waits: Option<(&'static str, &'static str)>,
    restarts: i64,
    /// When the last attempt ended.
    crashed: Option<i64>,
    /// The exit code of one that runs once.
    ended: Option<i64>,
}

impl Cluster {
    fn state(&self, pod: &Pod, now: i64) -> State {
        let Ask { fate, probe, .. } = self.asks[pod.version];
        let mut state = State::default();
        let mut begin = pod.created;
        if let Fate::Nowhere { until } = fate {
            begin += until;
        }
        if now < begin {
            return state;
        }
        state.node = Some(begin);
        if now == begin {
            state.waits = Some(("ContainerCreating", ""));
            return state;
        }
        let mut start = begin + 1;
        let mut waits = |until: i64, reason, message| {
            start = start.max(pod.created + until);
            state.waits = (now < start).then_some((reason, message));
        };
        match fate {
            Fate::NoImage => waits(NEVER, "ErrImagePull", "shop/web: not found"),
            Fate::Denied { until } => waits(until, "ErrImagePull", "401 unauthorized"),
            Fate::NoConfig { until } => {
                waits(until, "CreateContainerConfigError", "secret \"db\" not found");
            }
            Fate::NoVolume { until } => waits(until, "ContainerCreating", ""),
            Fate::Good | Fate::Nowhere { .. } | Fate::Crashes { .. } | Fate::NeverReady => {}
        }
        if state.waits.is_some() {
            return state;
        }
        if self.kind == Kind::Job {
            let code = i64::from(matches!(fate, Fate::Crashes { .. }));
            state.started = Some(start);
            state.ended = (now >= start + RUNS).then_some(code);
            return state;
        }
        if let Fate::Crashes { times } = fate {
            let rounds = ((now - start) / (RUNS + PAUSE)).min(times);
            let inside = now - start - rounds * (RUNS + PAUSE);
            state.restarts = rounds;
            start += rounds * (RUNS + PAUSE);
            state.crashed = (rounds > 0).then_some(start - PAUSE);
            if rounds < times && inside >= RUNS {
                state.crashed = Some(start + RUNS);
                state.waits = Some(("CrashLoopBackOff", "back-off"));
                return state;
            }
        }
        state.started = Some(start);
        let ready = start + probe.unwrap_or(0);
        state.ready = (now >= ready && !matches!(fate, Fate::NeverReady)).then_some(ready);
        state
    }

    fn objects(&self, now: i64) -> Vec<Value> {
        if self.generation == 0 {
            return Vec::new();
        }
        let mut all: Vec<Value> = self.pods.iter().map(|pod| self.pod(pod, now)).collect();
        all.push(self.workload(now));
        let revisions = self.begun.iter().enumerate();
        all.extend(revisions.filter_map(|(version, at)| self.revision(version, (*at)?, now)));
        all.extend(self.pods.iter().filter_map(|pod| self.event(pod, now)));
        all
    }

    /// What a kubelet says that cannot mount a volume, first two seconds after the pod came to it.
    fn event(&self, pod: &Pod, now: i64) -> Option<Value> {
        let Fate::NoVolume { until } = self.asks[pod.version].fate else { return None };
        let first = pod.created + 2;
        if now < first || until < 4 {
            return None;
        }
        let Pod { name, created, .. } = pod;
        Some(json!({"kind": "Event", "type": "Warning", "reason": "FailedMount",
            "message": "MountVolume.SetUp failed for volume \"data\"", "count": 1,
            "firstTimestamp": stamp(first), "lastTimestamp": stamp(first),
            "metadata": {"namespace": "shop", "name": format!("{name}.1"),
                "uid": format!("event-{name}-{created}")},
            "involvedObject": {"kind": "Pod", "namespace": "shop", "name": name,
                "uid": format!("uid-{name}-{created}")}}))
    }

    fn image(version: usize) -> String {
        format!("shop/web:{version}")
    }

    fn template(&self, version: usize) -> Value {
        let mut app = json!({"name": "app", "image": Cluster::image(version)});
        if self.asks[version].probe.is_some() {
            app["readinessProbe"] = json!({"periodSeconds": 1});
        }
        json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [app]}})
    }

    fn count(&self, now: i64, which: impl Fn(&Pod) -> bool) -> (i64, i64) {
        let live: Vec<_> =
            self.pods.iter().filter(|pod| pod.deleted.is_none() && which(pod)).collect();
        let ready = live.iter().filter(|pod| self.ready(pod, now)).count();
        (i64::try_from(live.len()).unwrap(), i64::try_from(ready).unwrap())
    }

    fn workload(&self, now: i64) -> Value {
        let asked = self.template_of(self.asked - 1);
        let seen = (self.seen > 0).then(|| self.version());
        let (all, ready) = self.count(now, |_| true);
        let (updated, _) = self.count(now, |pod| Some(pod.version) == seen);
        let numbers = [self.generation, self.observed, 0, all, updated, ready];
        let mut value = deployment("", numbers);
        value["kind"] = json!(format!("{:?}", self.kind));
        value["spec"]["template"] = self.template(asked);
        value["spec"]["replicas"] = json!(self.replicas);
        value["spec"]["progressDeadlineSeconds"] = json!(super::reference::DEADLINE);
        match self.kind {
            Kind::Deployment => {
                let number = self.numbers.iter().max().unwrap().to_string();
                value["metadata"]["annotations"] =
                    json!({"deployment.kubernetes.io/revision": number});
                value["spec"]["paused"] = json!(self.is_paused(now));
            }
            Kind::StatefulSet => {
                value["spec"]["podManagementPolicy"] = json!("Parallel");
                let newest = seen.unwrap_or(0);
                value["status"]["currentRevision"] = json!(format!("web-h{}", self.current));
                value["status"]["updateRevision"] = json!(format!("web-h{newest}"));
            }
            Kind::DaemonSet => {
                value["status"] = json!({"observedGeneration": self.observed,
                    "desiredNumberScheduled": self.replicas, "currentNumberScheduled": all,
                    "updatedNumberScheduled": updated, "numberReady": ready,
                    "numberAvailable": ready});
                value["metadata"]["annotations"] = json!(
                    {"deprecated.daemonset.template.generation": self.generation.to_string()});
            }
            _ => {
                value["spec"]["completions"] = json!(1);
                value["status"] = json!({"startTime": stamp(self.asks[0].at), "failed": self.failed,
                    "active": i64::from(self.ended.is_none()),
                    "succeeded": i64::from(self.ended.is_some_and(|(_, good)| good))});
                if let Some((at, good)) = self.ended {
                    let kind = if good { "Complete" } else { "Failed" };
                    value["status"]["conditions"] = json!([{"type": kind, "status": "True",
                        "reason": "BackoffLimitExceeded", "message": "it failed too often",
                        "lastTransitionTime": stamp(at)}]);
                }
            }
        }
        value
    }

    fn revision(&self, version: usize, begun: i64, now: i64) -> Option<Value> {
        let number = i64::try_from(self.numbers[version]).unwrap();
        let used_again = self.numbers[version] != version + 1;
        let (pods, ready) = self.count(now, |pod| pod.version == version);
        match self.kind {
            Kind::Deployment => {
                let mut set = replica_set(&format!("v{version}"), "", begun, [number, pods, ready]);
                let mut template = self.template(version);
                template["metadata"]["labels"]["pod-template-hash"] = json!(format!("v{version}"));
                set["spec"]["template"] = template;
                if used_again {
                    let history = "deployment.kubernetes.io/revision-history";
                    set["metadata"]["annotations"][history] = json!((version + 1).to_string());
                }
                Some(set)
            }
            Kind::StatefulSet | Kind::DaemonSet => {
                let kind = format!("{:?}", self.kind);
                let mut object = revision((&kind, "web"), &format!("h{version}"), number);
                object["metadata"]["creationTimestamp"] = json!(stamp(begun));
                if self.kind == Kind::DaemonSet {
                    // As the workload had it when this was made; a rollback leaves it as it was.
                    let made = "deprecated.daemonset.template.generation";
                    object["metadata"]["annotations"][made] = json!((version + 1).to_string());
                }
                Some(object)
            }
            _ => None,
        }
    }

    fn pod(&self, pod: &Pod, now: i64) -> Value {
        let state = self.state(pod, now);
        let version = pod.version;
        let mut value = bare_pod(&pod.name, pod.created);
        value["metadata"]["uid"] = json!(format!("uid-{}-{}", pod.name, pod.created));
        let (kind, owner) = match self.kind {
            Kind::Deployment => ("ReplicaSet".to_owned(), format!("web-v{version}")),
            kind => (format!("{kind:?}"), "web".to_owned()),
        };
        let group = if self.kind == Kind::Job { "batch/v1" } else { "apps/v1" };
        own(&mut value, group, &kind, &owner);
        value["metadata"]["labels"] = match self.kind {
            Kind::Deployment => json!({"pod-template-hash": format!("v{version}")}),
            Kind::StatefulSet => json!({"controller-revision-hash": format!("web-h{version}")}),
            Kind::DaemonSet => json!({"controller-revision-hash": format!("h{version}"),
                "pod-template-generation": (version + 1).to_string()}),
            _ => json!({}),
        };
        if let Some(at) = pod.deleted {
            value["metadata"]["deletionTimestamp"] = json!(stamp(at));
        }
        let mut container = json!({"name": "app", "image": Cluster::image(version)});
        if self.asks[version].probe.is_some() {
            container["readinessProbe"] = json!({});
        }
        value["spec"]["containers"] = json!([container]);
        let Some(node) = state.node else {
            value["status"]["conditions"] = json!([{"type": "PodScheduled", "status": "False",
                "reason": "Unschedulable", "message": "0/3 nodes are available",
                "lastTransitionTime": stamp(pod.created)}]);
            return value;
        };
        value["spec"]["nodeName"] = json!("node-1");
        let truth = if state.ready.is_some() { "True" } else { "False" };
        let since = stamp(state.ready.or(state.crashed).unwrap_or(node));
        let ended = |code: i64, at: i64| {
            json!({"terminated": {"exitCode": code,
            "reason": "Error", "startedAt": stamp(at - RUNS), "finishedAt": stamp(at)}})
        };
        let is = match (state.waits, state.ended, state.started) {
            (Some((reason, message)), _, _) => {
                json!({"waiting": {"reason": reason, "message": message}})
            }
            (None, Some(code), Some(started)) => ended(code, started + RUNS),
            (None, _, started) => json!({"running": {"startedAt": stamp(started.unwrap_or(now))}}),
        };
        let phase = match state.ended {
            Some(0) => "Succeeded",
            Some(_) => "Failed",
            None if state.started.is_some() || state.restarts > 0 => "Running",
            None => "Pending",
        };
        let mut status = json!({"name": "app", "ready": state.ready.is_some(),
            "restartCount": state.restarts, "state": is});
        if state.started.is_some() || state.crashed.is_some() {
            status["containerID"] = json!(format!("containerd://{}-{}", pod.name, state.restarts));
        }
        if let Some(at) = state.crashed {
            status["lastState"] = ended(1, at);
        }
        value["status"] = json!({"phase": phase, "containerStatuses": [status], "conditions": [
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": stamp(node)},
            {"type": "Ready", "status": truth, "lastTransitionTime": since},
            {"type": "ContainersReady", "status": truth, "lastTransitionTime": since}]});
        value
    }
}
