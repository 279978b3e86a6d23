//! What a stream needs of the logs: a lease for each of its workloads.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::http::Service;
use crate::ids::WorkloadId;
use crate::rollout::Model;
use crate::subscribe::Scope;
use crate::tail::{Lease, Tail};
use crate::watch::Index;
use crate::wire::Rolling;

/// The leases of one stream; follows the workloads that its scope has.
pub(super) struct Demand {
    tail: Tail,
    index: Index,
    scope: Scope,
    /// The version of the index at which the leases were taken.
    version: u64,
    leases: HashMap<Arc<WorkloadId>, Lease>,
    /// The scope has more workloads than one reader may see.
    more: bool,
}

// === impl Demand ===

impl Demand {
    /// Takes the leases.
    pub(super) fn new(service: &Service, scope: &Scope) -> Self {
        let (tail, index, scope) = (service.tail.clone(), service.index.clone(), scope.clone());
        let leases = HashMap::new();
        let mut demand = Demand { tail, index, scope, version: 0, leases, more: false };
        demand.take();
        demand
    }

    fn take(&mut self) {
        self.version = self.index.version();
        let resolved = self.scope.resolve(&self.index);
        self.more = resolved.more;
        let mut before = std::mem::take(&mut self.leases);
        for workload in resolved.workloads {
            let lease = before.remove(&workload).unwrap_or_else(|| self.tail.lease(&workload));
            self.leases.insert(workload, lease);
        }
    }

    /// Takes leases for workloads that came, gives up those of workloads that went. Cheap if there
    /// are none. `true` if the scope has outgrown its bound meanwhile.
    pub(super) fn refresh(&mut self) -> bool {
        if !self.scope.is_open() || self.index.version() == self.version {
            return false;
        }
        let before = self.more;
        self.take();
        self.more && !before
    }

    /// The version of the index whose workloads these are.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// How the rollouts stand that run, by their workloads' names.
    pub(super) fn running(&self, model: &Mutex<Model>) -> Vec<Rolling> {
        let workloads = self.workloads();
        let model = model.lock();
        let standing = workloads.into_iter().filter_map(|workload| {
            let status = model.current(&workload)?;
            status.phase.runs().then_some((workload, status))
        });
        standing.collect()
    }

    /// Up to which time the logs are surely read.
    pub(super) fn surely_read(&self) -> i64 {
        let low = |workload: &Arc<WorkloadId>| self.tail.low_water(workload);
        self.leases.keys().filter_map(low).min().unwrap_or(i64::MAX)
    }

    /// The workloads, sorted.
    pub(super) fn workloads(&self) -> Vec<Arc<WorkloadId>> {
        let mut workloads: Vec<_> = self.leases.keys().cloned().collect();
        workloads.sort_unstable();
        workloads
    }
}
