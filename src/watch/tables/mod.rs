//! The index's tables, and how objects change them. Plain data: no locks, no clock, no I/O.
//!
//! Invariants: every live pod stands in `pods`, `names` and its workload's slot, or in `pending` and
//! nowhere else; a slot exists while it has an entry or a pod; `waiting_on` names only owners that
//! are unknown, or pods that were given up waiting for them.

mod children;
mod pods;
mod roots;
mod shelf;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use self::shelf::{ByName, ByUid, Shelf};
use super::events::{Events, Waiting};
use super::intern::Words;
use super::patience::Patience;
use super::pod::{Owner, PodEntry};
use super::problem::Resource;
use super::workload::{Child, Detail, TemplateContainer, TemplateEntry, WorkloadEntry};
use super::{Change, Now};
use crate::cluster::types;
use crate::ids::{Kind, WorkloadId};

/// How long a pod waits for its owner before it is told of under the best guess.
const PATIENCE: Duration = Duration::from_secs(30);
/// So many gone pods stay known; a storm of deletions must not fill the memory.
const GONE_KEPT: usize = 10_000;

/// One object of any watched kind, as it came.
#[derive(Debug, serde::Serialize)]
#[serde(untagged)]
pub(super) enum Object {
    Pod(Box<types::Pod>),
    Deployment(Box<types::Deployment>),
    ReplicaSet(Box<types::ReplicaSet>),
    StatefulSet(Box<types::StatefulSet>),
    DaemonSet(Box<types::DaemonSet>),
    Job(Box<types::Job>),
    CronJob(Box<types::CronJob>),
    Rollout(Box<types::Rollout>),
    ControllerRevision(Box<types::ControllerRevision>),
    Event(Box<types::Event>),
}

#[derive(Debug)]
pub(super) struct Tables {
    words: Words,
    grace: Duration,
    /// By identity; those that are gone stay for the grace period.
    pods: Shelf<ByUid>,
    /// The newest pod of each name, by namespace.
    names: HashMap<Arc<str>, Shelf<ByName>>,
    slots: HashMap<Arc<WorkloadId>, Slot>,
    /// What stands between pods and workloads, and revisions, by uid.
    children: HashMap<Arc<str>, Below>,
    /// Uids of children by the uid of their controller.
    by_owner: HashMap<Arc<str>, Vec<Arc<str>>>,
    /// Names of the workloads by uid, to find the workload of a child.
    by_uid: HashMap<Arc<str>, Arc<WorkloadId>>,
    /// Pods whose owner is not known yet, by identity.
    pending: HashMap<Arc<str>, Pending>,
    /// Identities of pods by the uid of the owner they wait for.
    waiting_on: HashMap<Arc<str>, Vec<Arc<str>>>,
    /// Grows when a workload comes or goes, or has other labels.
    version: u64,
    /// Gone pods, by the time they are forgotten.
    gone: VecDeque<(Instant, Arc<str>)>,
    events: Events,
}

/// A workload and its pods. The entry may come after the pods, and go before them.
#[derive(Debug, Default)]
struct Slot {
    entry: Option<Arc<WorkloadEntry>>,
    pods: Vec<Arc<PodEntry>>,
}

/// Something a controller controls, that may itself control pods.
#[derive(Debug)]
struct Below {
    namespace: Arc<str>,
    resource: Resource,
    owner: Option<Owner>,
    child: Child,
}

#[derive(Debug)]
struct Pending {
    entry: PodEntry,
    owner: Owner,
    until: Instant,
}

impl Tables {
    pub(super) fn new(grace: Duration) -> Self {
        Tables {
            words: Words::new(),
            grace,
            pods: Shelf::default(),
            names: HashMap::new(),
            slots: HashMap::new(),
            children: HashMap::new(),
            by_owner: HashMap::new(),
            by_uid: HashMap::new(),
            pending: HashMap::new(),
            waiting_on: HashMap::new(),
            version: 0,
            gone: VecDeque::new(),
            events: Events::default(),
        }
    }

    pub(super) fn set_grace(&mut self, grace: Duration) {
        self.grace = grace;
    }

    /// Takes an object that is new or different.
    pub(super) fn apply(&mut self, object: &Object, now: Now, out: &mut Vec<Change>) {
        match object {
            Object::Pod(pod) => self.apply_pod(pod, now, out),
            Object::Event(event) => {
                if let Some(news) = self.events.news(event, now.steady, &mut self.words) {
                    self.tell_event(news, out);
                }
            }
            Object::ReplicaSet(set) => self.apply_replica_set(set, now, out),
            Object::ControllerRevision(revision) => self.apply_revision(revision, now, out),
            Object::Job(job) => self.apply_job(job, now, out),
            Object::Deployment(object) => {
                let entry = WorkloadEntry::deployment(object, &mut self.words);
                self.apply_root(entry, now, out);
            }
            Object::StatefulSet(object) => {
                let entry = WorkloadEntry::stateful_set(object, &mut self.words);
                self.apply_root(entry, now, out);
            }
            Object::DaemonSet(object) => {
                let entry = WorkloadEntry::daemon_set(object, &mut self.words);
                self.apply_root(entry, now, out);
            }
            Object::CronJob(object) => {
                let entry = WorkloadEntry::cron_job(object, &mut self.words);
                self.apply_root(entry, now, out);
            }
            Object::Rollout(object) => {
                let entry = WorkloadEntry::rollout(object, &mut self.words);
                self.apply_root(entry, now, out);
            }
        }
    }

    /// Takes an object that was deleted; it carries the last state of the object.
    pub(super) fn delete(&mut self, object: &Object, now: Now, out: &mut Vec<Change>) {
        match object {
            Object::Pod(pod) => {
                // The last state may hold how the containers ended, which no other event told.
                self.apply_pod(pod, now, out);
                self.remove(Resource::Pods, &super::pod::identity(pod), now, out);
            }
            Object::Event(event) => self.events.forget(event),
            _ => {
                if let Some(uid) = object.uid() {
                    self.remove(object.resource(), &uid, now, out);
                }
            }
        }
    }

    /// Removes what a complete list no longer shows.
    pub(super) fn keep_only(
        &mut self,
        resource: Resource,
        namespace: Option<&str>,
        listed: &HashSet<Arc<str>>,
        now: Now,
        out: &mut Vec<Change>,
    ) {
        let inside = |place: &Arc<str>| namespace.is_none_or(|namespace| namespace == &**place);
        let lost = |uid: &Arc<str>, place: &Arc<str>| inside(place) && !listed.contains(uid);
        let mut missing: Vec<Arc<str>> = match resource {
            Resource::Pods => {
                let live = self.pods.iter().filter(|pod| pod.gone.is_none());
                let held = self.pending.values().map(|pending| &pending.entry);
                let pods = live.map(|pod| &**pod).chain(held);
                pods.filter(|pod| lost(&pod.uid, &pod.namespace))
                    .map(|pod| Arc::clone(&pod.uid))
                    .collect()
            }
            Resource::Events => return,
            Resource::ReplicaSets | Resource::ControllerRevisions | Resource::Jobs => {
                let of_kind = self.children.iter().filter(|(_, below)| below.resource == resource);
                let gone = of_kind.filter(|(uid, below)| lost(uid, &below.namespace));
                gone.map(|(uid, _)| Arc::clone(uid)).collect()
            }
            _ => Vec::new(),
        };
        if let Some(kind) = root_kind(resource) {
            let roots = self.slots.values().filter_map(|slot| slot.entry.as_ref());
            let gone = roots
                .filter(|entry| entry.id.kind == kind && lost(&entry.uid, &entry.id.namespace));
            missing.extend(gone.map(|entry| Arc::clone(&entry.uid)));
        }
        // The order of a hash table is not an order that anybody should see.
        missing.sort_unstable();
        missing.dedup();
        for uid in missing {
            self.remove(resource, &uid, now, out);
        }
    }

    fn remove(&mut self, resource: Resource, uid: &str, now: Now, out: &mut Vec<Change>) {
        match resource {
            Resource::Pods => self.remove_pod(uid, now, out),
            Resource::Events => {}
            Resource::ReplicaSets | Resource::ControllerRevisions => {
                self.remove_child(uid, now, out);
            }
            Resource::Jobs => {
                self.remove_child(uid, now, out);
                self.remove_root(uid, now, out);
            }
            _ => self.remove_root(uid, now, out),
        }
    }

    /// Does what time brings: forgets gone pods, gives up waiting for owners.
    pub(super) fn sweep(&mut self, now: Now, out: &mut Vec<Change>) {
        self.forget_gone(now.steady);
        self.give_up_waiting(now, out);
        if self.events.any_waiting() {
            for waiting in self.events.retry(now.steady) {
                self.tell_event(waiting, out);
            }
        }
    }

    /// Tells of an event under its workload, or keeps it until its object is known.
    fn tell_event(&mut self, waiting: Waiting, out: &mut Vec<Change>) {
        match self.concerned(&waiting) {
            Some(workload) => {
                out.push(Change::Event { workload, event: Arc::clone(&waiting.event) });
            }
            None if root_or_below(&waiting.kind) => self.events.wait(waiting),
            None => {}
        }
    }

    /// The workload that an event concerns.
    fn concerned(&self, event: &Waiting) -> Option<Arc<WorkloadId>> {
        if &*event.kind == "Pod" {
            let by_name = || self.names.get(&event.namespace)?.get(&event.name);
            let pod = self.pods.get(&event.uid).or_else(by_name)?;
            return Some(Arc::clone(&pod.workload));
        }
        if let Some(id) = self.by_uid.get(&event.uid) {
            return Some(Arc::clone(id));
        }
        let below = self.children.get(&event.uid)?;
        let owner = below.owner.as_ref()?;
        self.by_uid.get(&owner.uid).map(Arc::clone)
    }

    // === reading ===

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn pod(&self, uid: &str) -> Option<Arc<PodEntry>> {
        self.pods.get(uid).map(Arc::clone)
    }

    /// Whether a pod is there, even if it waits for its owner to be known.
    pub(super) fn knows_pod(&self, uid: &str) -> bool {
        self.pods.get(uid).is_some() || self.pending.contains_key(uid)
    }

    /// Whether pods of a namespace wait for their owners to be known.
    pub(super) fn any_pending(&self, namespace: &str) -> bool {
        self.pending.values().any(|pending| &*pending.entry.namespace == namespace)
    }

    pub(super) fn pod_by_name(&self, namespace: &str, name: &str) -> Option<Arc<PodEntry>> {
        self.names.get(namespace)?.get(name).map(Arc::clone)
    }

    pub(super) fn pods_of(&self, id: &WorkloadId) -> Vec<Arc<PodEntry>> {
        self.slots.get(id).map_or_else(Vec::new, |slot| slot.pods.clone())
    }

    pub(super) fn pods(&self) -> Vec<Arc<PodEntry>> {
        self.slots.values().flat_map(|slot| slot.pods.iter().map(Arc::clone)).collect()
    }

    pub(super) fn workload(&self, id: &WorkloadId) -> Option<Arc<WorkloadEntry>> {
        self.slots.get(id).and_then(seen_as)
    }

    pub(super) fn workloads(&self) -> Vec<Arc<WorkloadEntry>> {
        self.slots.values().filter_map(seen_as).collect()
    }

    pub(super) fn namespaces(&self) -> Vec<Arc<str>> {
        let mut names: Vec<_> = self
            .slots
            .keys()
            .map(|id| Arc::clone(&id.namespace))
            .collect::<HashSet<_>>()
            .into_iter()
            .collect();
        names.sort_unstable();
        names
    }

    /// Rough heap size in bytes of the pods and what is needed to find them.
    pub(super) fn bytes(&self) -> usize {
        let entries: usize = self.pods.iter().map(|pod| pod.bytes()).sum();
        let shelves = self.pods.bytes() + self.names.values().map(Shelf::bytes).sum::<usize>();
        let slots: usize = self.slots.values().map(|slot| slot.pods.capacity() * 8).sum();
        entries + shelves + slots + self.words.bytes()
    }
}

/// A workload as it is listed: a pod that stands for itself has no object but the pod.
fn seen_as(slot: &Slot) -> Option<Arc<WorkloadEntry>> {
    if let Some(entry) = &slot.entry {
        return Some(Arc::clone(entry));
    }
    let pod = slot.pods.first().filter(|pod| pod.workload.kind == Kind::Pod)?;
    let container = |container: &super::ContainerEntry| TemplateContainer {
        name: Arc::clone(&container.name),
        image: container.image.clone().unwrap_or_default(),
        init: matches!(
            container.kind,
            crate::ids::ContainerKind::Init | crate::ids::ContainerKind::Sidecar
        ),
        has_readiness: container.has_readiness,
    };
    Some(Arc::new(WorkloadEntry {
        id: Arc::clone(&pod.workload),
        uid: Arc::clone(&pod.uid),
        created: pod.created,
        deletion: pod.deletion,
        generation: 1,
        observed: None,
        labels: pod.labels.clone(),
        deploy: None,
        by: None,
        change_cause: None,
        record: None,
        wrong: None,
        patience: Patience::default(),
        template: TemplateEntry {
            digest: 0,
            containers: pod.containers.iter().map(container).collect(),
        },
        detail: Detail::Pod,
        children: Box::default(),
        seen: pod.seen,
    }))
}

fn root_kind(resource: Resource) -> Option<Kind> {
    match resource {
        Resource::Deployments => Some(Kind::Deployment),
        Resource::StatefulSets => Some(Kind::StatefulSet),
        Resource::DaemonSets => Some(Kind::DaemonSet),
        Resource::Jobs => Some(Kind::Job),
        Resource::CronJobs => Some(Kind::CronJob),
        Resource::Rollouts => Some(Kind::Rollout),
        _ => None,
    }
}

fn root_or_below(kind: &str) -> bool {
    const KINDS: [&str; 8] = [
        "Pod",
        "ReplicaSet",
        "Deployment",
        "StatefulSet",
        "DaemonSet",
        "Job",
        "CronJob",
        "Rollout",
    ];
    KINDS.contains(&kind)
}

// === impl Object ===

impl Object {
    pub(super) fn resource(&self) -> Resource {
        match self {
            Object::Pod(_) => Resource::Pods,
            Object::Deployment(_) => Resource::Deployments,
            Object::ReplicaSet(_) => Resource::ReplicaSets,
            Object::StatefulSet(_) => Resource::StatefulSets,
            Object::DaemonSet(_) => Resource::DaemonSets,
            Object::Job(_) => Resource::Jobs,
            Object::CronJob(_) => Resource::CronJobs,
            Object::Rollout(_) => Resource::Rollouts,
            Object::ControllerRevision(_) => Resource::ControllerRevisions,
            Object::Event(_) => Resource::Events,
        }
    }

    /// What the tables know it by.
    pub(super) fn uid(&self) -> Option<Cow<'_, str>> {
        let meta = match self {
            Object::Pod(pod) => return Some(super::pod::identity(pod)),
            Object::Deployment(object) => &object.metadata,
            Object::ReplicaSet(object) => &object.metadata,
            Object::StatefulSet(object) => &object.metadata,
            Object::DaemonSet(object) => &object.metadata,
            Object::Job(object) => &object.metadata,
            Object::CronJob(object) => &object.metadata,
            Object::Rollout(object) => &object.metadata,
            Object::ControllerRevision(object) => &object.metadata,
            Object::Event(object) => &object.metadata,
        };
        meta.uid.as_deref().map(Cow::Borrowed)
    }
}
