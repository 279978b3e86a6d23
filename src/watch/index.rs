//! The handle to the index: what there is, now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};
use tokio::time::Instant;

use super::problem::{Problem, Resource, Trouble};
use super::tables::Tables;
use super::{PodEntry, WatchOptions, WorkloadEntry};
use crate::ids::WorkloadId;

/// Everything that is known of the cluster, in compact form. Cheap to clone; all clones see the
/// same. A reader gets shared entries and holds no lock.
#[derive(Clone, Debug)]
pub struct Index {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    tables: RwLock<Tables>,
    watches: Mutex<Watches>,
    synced: AtomicBool,
}

/// Where each watch stands.
#[derive(Debug, Default)]
struct Watches {
    /// Listed once, or refused for good reason: nothing more is to be waited for.
    settled: BTreeSet<Scope>,
    /// Listed at least once.
    listed: BTreeSet<Scope>,
    troubles: BTreeMap<Scope, Trouble>,
}

/// One watch: what, and in which namespace.
pub(super) type Scope = (Resource, Option<String>);

impl Default for Index {
    fn default() -> Self {
        Index::new()
    }
}

impl Index {
    /// An empty index.
    pub fn new() -> Index {
        let tables = RwLock::new(Tables::new(WatchOptions::default().grace));
        let watches = Mutex::new(Watches::default());
        Index { shared: Arc::new(Shared { tables, watches, synced: AtomicBool::new(false) }) }
    }

    /// A pod by its identity. Those that are gone are known for the grace period.
    pub fn pod(&self, uid: &str) -> Option<Arc<PodEntry>> {
        self.shared.tables.read().pod(uid)
    }

    /// The newest pod of a name. It may be gone.
    pub fn pod_by_name(&self, namespace: &str, name: &str) -> Option<Arc<PodEntry>> {
        self.shared.tables.read().pod_by_name(namespace, name)
    }

    /// The pods of a workload that exist, in no particular order.
    pub fn pods_of(&self, workload: &WorkloadId) -> Vec<Arc<PodEntry>> {
        self.shared.tables.read().pods_of(workload)
    }

    /// All pods that exist and whose workload is known, in no particular order.
    pub fn pods(&self) -> Vec<Arc<PodEntry>> {
        self.shared.tables.read().pods()
    }

    /// A workload. One of kind Pod is made up from its pod.
    pub fn workload(&self, workload: &WorkloadId) -> Option<Arc<WorkloadEntry>> {
        self.shared.tables.read().workload(workload)
    }

    /// All workloads that exist, sorted by namespace, kind and name.
    pub fn workloads(&self) -> Vec<Arc<WorkloadEntry>> {
        let mut workloads = self.shared.tables.read().workloads();
        workloads.sort_unstable_by(|one, other| one.id.cmp(&other.id));
        workloads
    }

    /// Grows when a workload comes or goes, or has other labels: what was selected by them is to be
    /// selected anew.
    pub fn version(&self) -> u64 {
        self.shared.tables.read().version()
    }

    /// The namespaces in which there is a workload or a pod, sorted.
    pub fn namespaces(&self) -> Vec<Arc<str>> {
        self.shared.tables.read().namespaces()
    }

    /// Whether every watch has been listed once, or is known to be refused. What is absent then is
    /// absent in the cluster, but for what [`Index::problems`] names.
    pub fn synced(&self) -> bool {
        self.shared.synced.load(Ordering::Acquire)
    }

    /// Whether a pod is there by its uid, even if it waits for its owner to be known.
    pub fn knows_pod(&self, uid: &str) -> bool {
        self.shared.tables.read().knows_pod(uid)
    }

    /// Whether all pods of a namespace that were there at the first look are known with their owners.
    pub fn has_settled(&self, namespace: &str) -> bool {
        self.has_listed_pods(namespace) && !self.shared.tables.read().any_pending(namespace)
    }

    /// Whether the pods of a namespace have been listed once: one that is absent then is gone.
    pub fn has_listed_pods(&self, namespace: &str) -> bool {
        let watches = self.shared.watches.lock();
        [None, Some(namespace.to_owned())]
            .into_iter()
            .any(|place| watches.listed.contains(&(Resource::Pods, place)))
    }

    /// The watches that do not work at present, for readiness and for the operator.
    pub fn problems(&self) -> Vec<Problem> {
        let watches = self.shared.watches.lock();
        let told = watches.troubles.values().filter(|trouble| trouble.told);
        told.map(|trouble| trouble.problem.clone()).collect()
    }

    /// Rough heap size in bytes of the pods and what is needed to find them.
    pub fn bytes(&self) -> usize {
        self.shared.tables.read().bytes()
    }

    pub(super) fn configure(&self, options: &WatchOptions) {
        self.shared.tables.write().set_grace(options.grace);
    }

    /// Changes the tables under a short lock.
    pub(super) fn change<T>(&self, with: impl FnOnce(&mut Tables) -> T) -> T {
        with(&mut self.shared.tables.write())
    }

    /// A list is complete.
    pub(super) fn settle(&self, scope: &Scope) {
        let mut watches = self.shared.watches.lock();
        watches.settled.insert(scope.clone());
        watches.listed.insert(scope.clone());
        watches.troubles.remove(scope);
    }

    /// A watch failed: gives the problem if it is to be told now, which is once, when it lasts.
    /// `answers` is how often this watch was answered so far.
    pub(super) fn fail(
        &self,
        scope: &Scope,
        problem: Problem,
        answers: u64,
        now: Instant,
    ) -> Option<Problem> {
        let mut watches = self.shared.watches.lock();
        let watches = &mut *watches;
        let trouble = watches.troubles.entry(scope.clone()).or_insert_with(|| Trouble {
            problem: problem.clone(),
            began: now,
            told: false,
            answers,
        });
        // It worked in between: this is another trouble.
        if trouble.answers != answers {
            *trouble = Trouble { problem, began: now, told: false, answers };
        } else {
            trouble.problem = Problem { since: trouble.problem.since, ..problem };
        }
        if !trouble.believed(now) {
            return None;
        }
        if trouble.problem.refused {
            watches.settled.insert(scope.clone());
        }
        let first = !std::mem::replace(&mut trouble.told, true);
        first.then(|| trouble.problem.clone())
    }

    /// A watch was answered again: gives the problem that is over, if it had been told.
    pub(super) fn recover(&self, scope: &Scope, answers: u64) -> Option<Problem> {
        let mut watches = self.shared.watches.lock();
        let trouble = watches.troubles.get(scope)?;
        if trouble.answers == answers {
            return None;
        }
        let trouble = watches.troubles.remove(scope)?;
        trouble.told.then_some(trouble.problem)
    }

    /// Whether all these watches are settled.
    pub(super) fn all_settled(&self, scopes: &[Scope]) -> bool {
        let watches = self.shared.watches.lock();
        scopes.iter().all(|scope| watches.settled.contains(scope))
    }

    pub(super) fn set_synced(&self) {
        self.shared.synced.store(true, Ordering::Release);
    }
}
