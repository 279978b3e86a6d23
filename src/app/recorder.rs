//! Follows the logs of rollouts that nobody watches, so that who comes late has the lines of a pod
//! that crashed and is gone.
//!
//! What holds here: a workload has at most one recording lease; it is given up when nothing is to be
//! recorded any more, and the follower's linger reads what comes right after.

use std::collections::HashMap;
use std::sync::Arc;

use super::wishes::Wishes;
use crate::config::Record;
use crate::ids::{RolloutPhase, RolloutStatus, WorkloadId};
use crate::tail::{Lease, Tail};
use crate::watch::WorkloadEntry;

/// What is recorded, and how many logs of one workload at a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    pub(super) record: Record,
    pub(super) sources: usize,
}

/// The leases of what is recorded.
pub(super) struct Recorder {
    tail: Tail,
    policy: Policy,
    wishes: Wishes,
    leases: HashMap<Arc<WorkloadId>, Lease>,
}

// === impl Recorder ===

impl Recorder {
    /// Records nothing yet.
    pub(super) fn new(tail: Tail, policy: Policy, wishes: Wishes) -> Self {
        Recorder { tail, policy, wishes, leases: HashMap::new() }
    }

    /// Takes in how a workload stands, and whether its rollout has no result yet: one that looks complete
    /// may crash before it counts as good. Neither is known of one that is gone.
    pub(super) fn look(
        &mut self,
        workload: &Arc<WorkloadId>,
        entry: Option<&WorkloadEntry>,
        status: Option<&RolloutStatus>,
        open: bool,
    ) {
        let wanted = match (entry, status) {
            (Some(entry), Some(status)) => match self.record(entry) {
                Record::Off => false,
                Record::Rollouts => {
                    // What waits to be deleted may do so for months, and what makes no sense, too.
                    let undecided = matches!(
                        status.phase,
                        RolloutPhase::Complete
                            | RolloutPhase::WaitingForDelete
                            | RolloutPhase::Unknown
                    );
                    status.phase.runs() || (open && undecided)
                }
                Record::All => true,
            },
            _ => false,
        };
        if !wanted {
            self.leases.remove(workload);
        } else if !self.leases.contains_key(workload) {
            let lease = self.tail.record(workload, self.policy.sources);
            self.leases.insert(workload.clone(), lease);
        }
    }

    /// The workload's own wish, by its annotation `rollcast.dev/record`, or that of its namespace, or the
    /// policy. A word that is none of the three changes nothing.
    fn record(&self, entry: &WorkloadEntry) -> Record {
        let own = entry.record.as_deref().and_then(|word| word.parse().ok());
        own.or_else(|| self.wishes.of(&entry.id.namespace)).unwrap_or(self.policy.record)
    }

    /// Workloads that are recorded now.
    pub(super) fn count(&self) -> usize {
        self.leases.len()
    }
}
