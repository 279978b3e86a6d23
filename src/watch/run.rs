//! Runs the watches and applies what they bring, in one task.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{BoxStream, SelectAll};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::index::Scope;
use super::problem::{Problem, Resource};
use super::tables::Object;
use super::{Change, Index, Now, WatchOptions};
use crate::cluster::types::Rollout;
use crate::cluster::{Answers, Cluster, Failure, Presence, Step, Watched};
use crate::telemetry::{Metrics, events};

/// Without a complete picture by then, what is known is told of: a single kind that cannot be
/// listed must not hold up the rest.
const HOLD_LIMIT: Duration = Duration::from_secs(10);
/// How often what time brings is looked at.
const TICK: Duration = Duration::from_secs(1);
/// Events of the first lists that are told of; the newest, if there are more.
const FIRST_EVENTS: usize = 5_000;

type Steps = BoxStream<'static, (usize, Step<Object>)>;

/// Watches until it is shut down or nobody takes the changes any more.
///
/// Every change is in the index before it is sent. When `changes` is full, watching waits: the
/// receiver decides the pace, and the API server keeps what was not read.
pub async fn run(
    cluster: Cluster,
    options: WatchOptions,
    index: Index,
    changes: mpsc::Sender<Change>,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
) {
    index.configure(&options);
    let synced = index.synced();
    let (mut steps, watches) = start(&cluster, &options);
    // After a panic this task is started again with the same index: what was listed before counts,
    // so the snapshot comes at once, and what is gone meanwhile follows as after any relist.
    let mut applier = Applier { synced, ..Applier::new(index, metrics, watches, Instant::now()) };
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let out = tokio::select! {
            () = shutdown.cancelled() => return,
            _ = tick.tick() => applier.tick(Now::read()),
            Some((watch, step)) = steps.next() => applier.take(watch, step, Now::read()),
        };
        for change in out {
            tokio::select! {
                () = shutdown.cancelled() => return,
                sent = changes.send(change) => if sent.is_err() { return },
            }
        }
    }
}

/// Begins one watch a kind and namespace.
fn start(cluster: &Cluster, options: &WatchOptions) -> (SelectAll<Steps>, Vec<(Scope, Answers)>) {
    let mut places: Vec<Option<String>> =
        options.namespaces.iter().map(|name| Some(name.clone())).collect();
    places.sort_unstable();
    places.dedup();
    if places.is_empty() {
        places.push(None);
    }
    let (mut steps, mut watches) = (SelectAll::new(), Vec::new());
    let rollouts = Arc::new(Presence::default());
    for resource in Resource::ALL {
        for place in &places {
            let (stream, answers) = begin(cluster, resource, place.as_deref(), &rollouts);
            let number = watches.len();
            steps.push(stream.map(move |step| (number, step)).boxed());
            watches.push(((resource, place.clone()), answers));
        }
    }
    (steps, watches)
}

pub(super) fn begin(
    cluster: &Cluster,
    resource: Resource,
    namespace: Option<&str>,
    rollouts: &Arc<Presence>,
) -> (BoxStream<'static, Step<Object>>, Answers) {
    match resource {
        Resource::Pods => watch(cluster, namespace, Object::Pod),
        Resource::Deployments => watch(cluster, namespace, Object::Deployment),
        Resource::ReplicaSets => watch(cluster, namespace, Object::ReplicaSet),
        Resource::StatefulSets => watch(cluster, namespace, Object::StatefulSet),
        Resource::DaemonSets => watch(cluster, namespace, Object::DaemonSet),
        Resource::Jobs => watch(cluster, namespace, Object::Job),
        Resource::CronJobs => watch(cluster, namespace, Object::CronJob),
        Resource::Rollouts => {
            let (steps, answers) = cluster.watch_if_known::<Rollout>(namespace, rollouts);
            let object = |item| Object::Rollout(Box::new(item));
            (steps.map(move |step| step.map(object)).boxed(), answers)
        }
        Resource::ControllerRevisions => watch(cluster, namespace, Object::ControllerRevision),
        Resource::Events => watch(cluster, namespace, Object::Event),
    }
}

fn watch<K: Watched>(
    cluster: &Cluster,
    namespace: Option<&str>,
    object: fn(Box<K>) -> Object,
) -> (BoxStream<'static, Step<Object>>, Answers) {
    let (steps, answers) = cluster.watch::<K>(namespace);
    (steps.map(move |step| step.map(|item| object(Box::new(item)))).boxed(), answers)
}

/// Brings steps into the index and gives the changes to be sent. It reads no clock.
pub(super) struct Applier {
    index: Index,
    metrics: Arc<Metrics>,
    scopes: Vec<Scope>,
    answers: Vec<Answers>,
    /// What each watch has listed since its list began.
    listing: Vec<Option<HashSet<Arc<str>>>>,
    /// Why a watch that had been listed broke last.
    ended: Vec<Option<String>>,
    /// While the first lists are read: the events to be told of later. Everything else is told of as
    /// one snapshot, so that nobody sees workloads without their pods.
    held: Option<Vec<Change>>,
    hold_until: Instant,
    synced: bool,
}

impl Applier {
    pub(super) fn new(
        index: Index,
        metrics: Arc<Metrics>,
        watches: Vec<(Scope, Answers)>,
        began: Instant,
    ) -> Applier {
        let (scopes, answers): (Vec<Scope>, Vec<Answers>) = watches.into_iter().unzip();
        Applier {
            index,
            metrics,
            listing: scopes.iter().map(|_| None).collect(),
            ended: scopes.iter().map(|_| None).collect(),
            scopes,
            answers,
            held: Some(Vec::new()),
            hold_until: began + HOLD_LIMIT,
            synced: false,
        }
    }

    pub(super) fn take(&mut self, watch: usize, step: Step<Object>, now: Now) -> Vec<Change> {
        let mut out = Vec::new();
        match step {
            Step::Began => {
                self.listing[watch] = Some(HashSet::new());
                if let Some(reason) = self.ended[watch].take() {
                    let kind = self.scopes[watch].0.as_str();
                    events::WatchRestarted { kind, reason: &reason }.emit(&self.metrics);
                }
            }
            Step::Listed(object) => {
                if let (Some(listed), Some(uid)) = (&mut self.listing[watch], object.uid()) {
                    listed.insert(Arc::from(&*uid));
                }
                self.index.change(|tables| tables.apply(&object, now, &mut out));
            }
            Step::Complete => {
                let (resource, namespace) = &self.scopes[watch];
                if let Some(listed) = self.listing[watch].take() {
                    self.index.change(|tables| {
                        tables.keep_only(*resource, namespace.as_deref(), &listed, now, &mut out);
                    });
                }
                self.recovered(watch);
                self.index.settle(&self.scopes[watch]);
            }
            Step::Applied(object) => {
                self.index.change(|tables| tables.apply(&object, now, &mut out));
            }
            Step::Deleted(object) => {
                self.index.change(|tables| tables.delete(&object, now, &mut out));
            }
            Step::Failed(failure) => self.failed(watch, &failure, now),
            Step::Absent => {
                let (resource, namespace) = &self.scopes[watch];
                (self.listing[watch], self.ended[watch]) = (None, None);
                let none = HashSet::new();
                self.index.change(|tables| {
                    tables.keep_only(*resource, namespace.as_deref(), &none, now, &mut out);
                });
                self.index.settle(&self.scopes[watch]);
                tracing::debug!(resource = %resource, namespace, "the cluster has no such kind");
            }
        }
        self.pass(out, now)
    }

    pub(super) fn tick(&mut self, now: Now) -> Vec<Change> {
        let mut out = Vec::new();
        self.index.change(|tables| tables.sweep(now, &mut out));
        for watch in 0..self.scopes.len() {
            self.recovered(watch);
        }
        self.pass(out, now)
    }

    fn failed(&mut self, watch: usize, failure: &Failure, now: Now) {
        let scope = &self.scopes[watch];
        let problem = Problem::new(scope.0, scope.1.as_deref(), failure, now.wall);
        if failure.verb == "watch" {
            self.ended[watch] = Some(failure.message.clone());
        }
        tracing::debug!(resource = %scope.0, namespace = scope.1, error = failure.message, "a watch broke");
        let told = self.index.fail(scope, problem, self.answers[watch].count(), now.steady);
        // A missing right needs somebody to act; a failing server mends itself.
        match told {
            Some(problem) if problem.refused => tracing::error!(
                verb = problem.verb,
                resource = %problem.resource,
                namespace = problem.namespace,
                "{problem}"
            ),
            Some(problem) => tracing::warn!(
                verb = problem.verb,
                resource = %problem.resource,
                namespace = problem.namespace,
                "{problem}"
            ),
            None => {}
        }
    }

    fn recovered(&self, watch: usize) {
        let scope = &self.scopes[watch];
        if let Some(problem) = self.index.recover(scope, self.answers[watch].count()) {
            tracing::info!(
                resource = %problem.resource,
                namespace = problem.namespace,
                "the watch works again"
            );
        }
    }

    /// Holds changes back while the first lists are read, then lets them through.
    fn pass(&mut self, mut out: Vec<Change>, now: Now) -> Vec<Change> {
        let complete = self.index.all_settled(&self.scopes);
        if let Some(held) = &mut self.held {
            held.extend(out.drain(..).filter(|change| matches!(change, Change::Event { .. })));
            if held.len() > 2 * FIRST_EVENTS {
                newest(held);
            }
            if !complete && now.steady < self.hold_until {
                return Vec::new();
            }
            let held = self.held.take().unwrap_or_default();
            out = self.snapshot(held);
        }
        if complete && !self.synced {
            self.synced = true;
            self.index.set_synced();
            out.push(Change::Synced);
        }
        out
    }

    /// Everything that is known: workloads, pods, events, each in an order of its own.
    fn snapshot(&self, mut events: Vec<Change>) -> Vec<Change> {
        let mut out: Vec<Change> = Vec::new();
        let workloads = self.index.workloads().into_iter();
        let objects = workloads.filter(|entry| entry.detail != super::Detail::Pod);
        out.extend(objects.map(Change::Workload));
        let mut pods = self.index.pods();
        pods.sort_unstable_by(|one, other| {
            (one.created, &one.uid).cmp(&(other.created, &other.uid))
        });
        out.extend(pods.into_iter().map(Change::PodApplied));
        newest(&mut events);
        out.append(&mut events);
        out
    }
}

/// Sorts events by time and keeps the newest.
fn newest(events: &mut Vec<Change>) {
    events.sort_by_key(|change| match change {
        Change::Event { event, .. } => event.time,
        _ => 0,
    });
    let surplus = events.len().saturating_sub(FIRST_EVENTS);
    events.drain(..surplus);
}

#[cfg(test)]
mod tests;
