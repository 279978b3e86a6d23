//! A simulated Kubernetes cluster in memory, which speaks the Kubernetes API over HTTP/1.1.
//!
//! The demo, the tests and the benches run the real client code against it. It has workloads with
//! their controllers, a scheduler, two kubelets, container logs as containerd stores and the kubelet
//! reads them, token and access reviews, and faults by script.
//!
//! # Invariants
//! - One seed and the same calls at the same (paused) times give the same cluster, byte for byte.
//! - Time is [`tokio::time`]'s; the wall clock is [`SimOptions::start_time`] plus what elapsed.
//! - What the API shows of a pod lags its kubelet's truth by [`SimOptions::status_lag`].
//! - Memory is bounded: log files by rotation, history and events by count, one dead attempt a
//!   container.
//! - It is held to the real cluster: what the kubelet does badly, it does badly too.
//!
//! # Use
//! ```no_run
//! # async fn example() -> Option<()> {
//! use rollcast::sim::{Container, Deployment, Program, Resource, Sim, SimOptions, Template};
//!
//! let sim = Sim::new(SimOptions { seed: 7, ..SimOptions::default() });
//! let template = Template::new([Container::new("app", "shop/web:1", Program::numbered("run", 10.0))]);
//! sim.apply(Deployment::new("shop", "web", 3, template));
//! let client: kube::Client = sim.client();
//! sim.set_image(Resource::Deployments, "shop", "web", "app", "shop/web:2");
//! # Some(()) }
//! ```
//!
//! It may touch nothing of the service: it uses `ids` and `time`, and no room uses it.

mod api;
mod container;
mod control;
mod events;
mod faults;
mod kubelet;
mod lines;
mod logs;
mod node;
mod options;
mod pod;
mod resource;
mod reviews;
mod serve;
mod shared;
pub mod shop;
mod spec;
mod store;
mod view;
mod world;
mod writer;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::task::TaskTracker;

pub use self::faults::{Ask, Effect, Fault, FaultId, Match, RequestKind};
pub use self::lines::{Numbered, push_numbered, read_numbered};
pub use self::logs::{PIECE_BYTES, Pipe, Written};
pub use self::options::SimOptions;
pub use self::resource::Resource;
pub use self::reviews::{Identity, Rule, Subject};
pub use self::serve::{PipeError, PipeService};
pub use self::shared::{LogCount, Requests};
pub use self::spec::{
    Amount, BarePod, CanaryStep, Container, CronJob, DaemonSet, Deployment, Exit, Job, Line, Make,
    Numbers, Output, Plan, Program, Pull, Ready, Rollout, StatefulSet, Strategy, Template,
    Workload,
};
pub use self::view::{ContainerView, PodView};

use self::pod::PodId;
use self::shared::Shared;
use self::store::Name;
use self::world::World;

/// The simulated cluster. A clone is the same cluster.
#[derive(Clone)]
pub struct Sim {
    shared: Arc<Shared>,
    tasks: TaskTracker,
}

// === impl Sim ===

impl Sim {
    /// Builds the cluster and starts its time. Must be called within a tokio runtime.
    pub fn new(options: SimOptions) -> Self {
        let (tasks, stop) = (options.tasks.clone(), options.stop.clone());
        let (shared, wake) = Shared::new(World::new(options));
        tasks.spawn(shared::drive(Arc::downgrade(&shared), wake, stop));
        Sim { shared, tasks }
    }

    /// The cluster's wall time in nanoseconds.
    pub fn now(&self) -> i64 {
        self.shared.with(|world| world.now)
    }

    /// Lets the cluster live through this much time at once, before anybody looks: its pods run and
    /// log, its scripts go on, and its clock is ahead by so much afterwards.
    pub fn fast_forward(&self, time: Duration) {
        self.shared.with(|world| world.fast_forward(time));
    }

    /// Creates or changes a workload, as `kubectl apply` does; its namespace is created if missing.
    pub fn apply(&self, workload: impl Into<Workload>) {
        let workload = workload.into();
        self.shared.with(|world| world.apply(workload));
    }

    /// Says what the program of an image does, for pulls and starts from now on. A template that
    /// gets this image later takes the program over.
    pub fn register_image(&self, image: &str, program: Program) {
        self.shared.with(|world| world.programs.insert(image.to_owned(), Arc::new(program)));
    }

    /// Sets a container's image, as `kubectl set image` does. False if there is no such container.
    pub fn set_image(
        &self,
        resource: Resource,
        namespace: &str,
        name: &str,
        container: &str,
        image: &str,
    ) -> bool {
        let mut found = false;
        let known = self.edit_template(resource, namespace, name, |template| {
            for one in template.containers.iter_mut().filter(|one| one.name == container) {
                one.image = image.to_owned();
                found = true;
            }
        });
        known && found
    }

    /// Changes a workload's template in any way. False if there is no such workload.
    pub fn edit_template(
        &self,
        resource: Resource,
        namespace: &str,
        name: &str,
        edit: impl FnOnce(&mut Template),
    ) -> bool {
        let name: Name = (namespace.into(), name.into());
        self.shared.with(|world| world.edit_template(resource, &name, edit))
    }

    /// Changes anything of a Deployment. False if there is none.
    pub fn edit_deployment(
        &self,
        namespace: &str,
        name: &str,
        edit: impl FnOnce(&mut Deployment),
    ) -> bool {
        let name: Name = (namespace.into(), name.into());
        self.shared.with(|world| world.edit_deployment(&name, edit))
    }

    /// Installs Argo Rollouts, or takes it away with all that is there of it.
    pub fn set_rollouts(&self, installed: bool) {
        self.shared.with(|world| {
            let all: Vec<Name> = world.rollouts.keys().cloned().collect();
            for name in all.iter().filter(|_| !installed) {
                world.delete(Resource::Rollouts, name);
            }
            world.has_rollouts = installed;
        });
        if !installed {
            let on = Match { resource: Some(Resource::Rollouts), ..Match::default() };
            self.disturb(&on, &Effect::End(0));
        }
    }

    /// Lets a Rollout go on that pauses. False if there is none.
    pub fn promote(&self, namespace: &str, name: &str) -> bool {
        let name: Name = (namespace.into(), name.into());
        self.shared.with(|world| world.steer_rollout(&name, false))
    }

    /// Aborts a Rollout's update. False if there is none.
    pub fn abort(&self, namespace: &str, name: &str) -> bool {
        let name: Name = (namespace.into(), name.into());
        self.shared.with(|world| world.steer_rollout(&name, true))
    }

    /// Writes an object as it stands, whatever it says: what no controller would write.
    pub fn put_object(&self, resource: Resource, object: serde_json::Value) {
        self.shared.with(|world| world.store.put(resource, object));
    }

    /// Asks for so many pods. False if there is no such Deployment or StatefulSet.
    pub fn scale(&self, resource: Resource, namespace: &str, name: &str, replicas: u32) -> bool {
        let name: Name = (namespace.into(), name.into());
        self.shared.with(|world| world.scale(resource, &name, replicas))
    }

    /// Deletes a workload and what it owns. False if there is none.
    pub fn delete(&self, resource: Resource, namespace: &str, name: &str) -> bool {
        let name: Name = (namespace.into(), name.into());
        self.shared.with(|world| world.delete(resource, &name))
    }

    /// Deletes a pod with this grace in seconds, or the template's. False if there is none.
    pub fn delete_pod(&self, namespace: &str, pod: &str, grace_seconds: Option<u32>) -> bool {
        self.pod(namespace, pod, |world, id| world.delete_pod(id, grace_seconds)).is_some()
    }

    /// Ends a running container now with this exit code. False if it does not run.
    pub fn crash(&self, namespace: &str, pod: &str, container: &str, code: i32) -> bool {
        self.container(namespace, pod, container, |world, id, at| {
            let run = &world.pods[&id].runs[at];
            let (running, epoch) = (run.running(), run.epoch);
            world.exit(id, at, epoch, code);
            running
        })
    }

    /// Overrides a container's readiness; `None` gives it back to its probe.
    pub fn set_ready(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        ready: Option<bool>,
    ) -> bool {
        self.container(namespace, pod, container, |world, id, at| {
            let now = world.now;
            if let Some(pod) = world.pods.get_mut(&id) {
                pod.runs[at].forced_ready = ready;
                pod.ready_changed = now;
            }
            world.sync_soon(id);
            true
        })
    }

    /// Writes bytes to a running container's pipe, with or without line ends. False if it does not
    /// run.
    pub fn print(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        pipe: Pipe,
        bytes: &[u8],
    ) -> bool {
        self.container(namespace, pod, container, |world, id, at| {
            let skew = world.skew(id);
            let now = world.now + skew;
            let run = &world.pods[&id].runs[at];
            let log = run.log.as_ref().filter(|_| run.running());
            log.map(|log| log.batch().bytes(pipe, now, bytes)).is_some()
        })
    }

    /// Rotates a container's log file now.
    pub fn rotate(&self, namespace: &str, pod: &str, container: &str) -> bool {
        self.container(namespace, pod, container, |world, id, at| {
            world.pods[&id].runs[at].log.as_ref().map(|log| log.rotate()).is_some()
        })
    }

    /// Removes the dead attempt that is kept, as the kubelet's garbage collection does.
    pub fn collect_previous(&self, namespace: &str, pod: &str, container: &str) -> bool {
        self.container(namespace, pod, container, |world, id, at| {
            let run = world.pods.get_mut(&id).map(|pod| &mut pod.runs[at]);
            run.and_then(|run| run.previous.take()).is_some()
        })
    }

    /// What an attempt (counted from 1) wrote: of a running one so far, of an ended one also after
    /// its pod is gone.
    pub fn written(&self, uid: &str, container: &str, attempt: u32) -> Option<Written> {
        self.shared.with(|world| world.written(uid, container, attempt))
    }

    /// The pods of a namespace whose names begin so, in the order of their creation.
    pub fn pods(&self, namespace: &str, begins: &str) -> Vec<PodView> {
        self.shared.with(|world| {
            let pods = world.pods.values();
            pods.filter(|pod| &*pod.namespace == namespace && pod.name.starts_with(begins))
                .map(PodView::of)
                .collect()
        })
    }

    /// An object as the API shows it now.
    pub fn object(
        &self,
        resource: Resource,
        namespace: &str,
        name: &str,
    ) -> Option<serde_json::Value> {
        let body = self.shared.with(|world| {
            world.store.get(resource, namespace, name).map(|object| object.body.clone())
        })?;
        serde_json::from_slice(&body).ok()
    }

    /// Sets a node's clock ahead (or back) of the cluster's by so many nanoseconds: its log stamps.
    pub fn set_clock(&self, node: &str, ahead: i64) {
        self.shared.with(|world| world.skews.insert(node.into(), ahead));
    }

    /// Drops all packets between a node and the rest for a time: its containers go on, its logs and
    /// statuses come later.
    pub fn partition(&self, node: &str, time: Duration) {
        node::partition(&self.shared, node, time);
    }

    /// Lets no node take a pod, with the scheduler's words, or lets them again.
    pub fn set_unschedulable(&self, why: Option<&str>) {
        self.shared.with(|world| world.unschedulable = why.map(str::to_owned));
    }

    /// Limits the pods of a namespace, or lifts the limit.
    pub fn set_quota(&self, namespace: &str, pods: Option<u32>) {
        self.shared.with(|world| match pods {
            Some(pods) => world.quotas.insert(namespace.into(), pods),
            None => world.quotas.remove(namespace),
        });
    }

    /// Sets an annotation of a namespace, or takes it away.
    pub fn annotate_namespace(&self, namespace: &str, name: &str, value: Option<&str>) {
        self.shared.with(|world| {
            let annotations = world.namespaces.entry(namespace.into()).or_default();
            match value {
                Some(value) => annotations.insert(name.to_owned(), value.to_owned()),
                None => annotations.remove(name),
            }
        });
    }

    /// Lets a token stand for somebody.
    pub fn add_token(&self, token: &str, identity: Identity) {
        self.shared.with(|world| world.reviews.tokens.insert(token.to_owned(), identity));
    }

    /// Makes a token invalid.
    pub fn remove_token(&self, token: &str) {
        self.shared.with(|world| world.reviews.tokens.remove(token));
    }

    /// Grants a right.
    pub fn add_rule(&self, rule: Rule) {
        self.shared.with(|world| world.reviews.rules.push(rule));
    }

    /// Takes a right away; equal rules go together.
    pub fn remove_rule(&self, rule: &Rule) {
        self.shared.with(|world| world.reviews.rules.retain(|one| one != rule));
    }

    /// Adds a fault for requests from now on.
    pub fn add_fault(&self, fault: Fault) -> FaultId {
        self.shared.faults.lock().add(fault)
    }

    /// Removes a fault; answers that it has spoilt stay so.
    pub fn remove_fault(&self, id: FaultId) {
        self.shared.faults.lock().remove(id);
    }

    /// Removes all faults, and an outage's refusal.
    pub fn clear_faults(&self) {
        self.shared.faults.lock().clear();
    }

    /// Spoils answers that are open now; byte counts are from now on. Tells how many.
    pub fn disturb(&self, on: &Match, effect: &Effect) -> usize {
        self.shared.disturb(on, effect)
    }

    /// Forgets the history so far: watches that start from an older version get 410.
    pub fn compact(&self) {
        self.shared.with(|world| world.store.compact());
    }

    /// Ends all open watches with an inline 410, and forgets the history.
    pub fn expire_watches(&self) -> usize {
        self.compact();
        let effect = Effect::InBand(0, api::expired_event());
        self.disturb(&Match::kind(RequestKind::Watch), &effect)
    }

    /// Cuts all connections and refuses new ones for a time: the API server is gone.
    pub fn outage(&self, time: Duration) {
        self.shared.faults.lock().refused_until = Some(Instant::now() + time);
        self.shared.cut_all();
    }

    /// What was asked so far.
    pub fn requests(&self) -> Requests {
        self.shared.counters.lock().requests.clone()
    }

    /// Runs a script inside the cluster: part of its seeded time, not of the caller's.
    fn script(
        &self,
        after: Duration,
        script: impl FnMut(&mut World) -> Option<Duration> + Send + 'static,
    ) {
        self.shared.with(|world| world.add_script(after, Box::new(script)));
    }

    fn pod<T>(
        &self,
        namespace: &str,
        pod: &str,
        work: impl FnOnce(&mut World, PodId) -> T,
    ) -> Option<T> {
        let name: Name = (namespace.into(), pod.into());
        self.shared.with(|world| {
            let id = *world.pod_names.get(&name)?;
            Some(work(world, id))
        })
    }

    fn container(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        work: impl FnOnce(&mut World, PodId, usize) -> bool,
    ) -> bool {
        let result = self.pod(namespace, pod, |world, id| {
            let at = world.pods.get(&id).and_then(|pod| pod.find(container))?;
            Some(work(world, id, at))
        });
        result.flatten().unwrap_or(false)
    }
}
