//! Who needs the logs of a workload, and how many of them.
//!
//! Readers need every source. The recorder needs the new revision's only, and only so many. What was
//! needed is needed for the linger more, so that a reader who comes back finds it running.

use std::sync::Arc;

use super::Tail;
use crate::ids::WorkloadId;

/// What is to be followed of a workload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Demand {
    /// Nothing any more.
    #[default]
    Nothing,
    /// Sources of the new revision, at most so many at a time.
    New {
        /// How many.
        most: usize,
    },
    /// Every source.
    Everything,
}

/// The leases of one workload.
#[derive(Debug, Default)]
pub(super) struct Need {
    readers: usize,
    /// The number of each recording lease.
    recorders: Vec<usize>,
    /// Grows with each lease, so that a linger knows whether it is still the last word.
    pub(super) era: u64,
    /// What is followed now: at least what the leases say, more during a linger.
    pub(super) effective: Demand,
}

/// The need for the logs of one workload. While it lives, they are followed.
pub struct Lease {
    tail: Tail,
    workload: Arc<WorkloadId>,
    demand: Demand,
}

// === impl Need ===

impl Need {
    /// One more lease.
    pub(super) fn add(&mut self, demand: Demand) {
        match demand {
            Demand::Nothing => {}
            Demand::New { most } => self.recorders.push(most),
            Demand::Everything => self.readers += 1,
        }
        self.era += 1;
        self.effective = self.effective.max(demand);
    }

    /// One less; what is followed stays until [`Need::settle`]. Gives whether less would do.
    pub(super) fn remove(&mut self, demand: Demand) -> bool {
        match demand {
            Demand::Nothing => {}
            Demand::New { most } => {
                if let Some(at) = self.recorders.iter().position(|one| *one == most) {
                    self.recorders.swap_remove(at);
                }
            }
            Demand::Everything => self.readers = self.readers.saturating_sub(1),
        }
        self.asked() < self.effective
    }

    /// The linger is over: follows no more than the leases say.
    pub(super) fn settle(&mut self) -> Demand {
        self.effective = self.asked();
        self.effective
    }

    fn asked(&self) -> Demand {
        if self.readers > 0 {
            return Demand::Everything;
        }
        self.recorders.iter().max().map_or(Demand::Nothing, |most| Demand::New { most: *most })
    }
}

// === impl Lease ===

impl Lease {
    pub(super) fn new(tail: Tail, workload: Arc<WorkloadId>, demand: Demand) -> Self {
        Lease { tail, workload, demand }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.tail.release(&self.workload, self.demand);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_need_all_and_the_recorder_what_it_asked_for_once_the_linger_is_over() {
        let mut need = Need::default();
        need.add(Demand::New { most: 3 });
        need.add(Demand::New { most: 5 });
        assert_eq!(need.effective, Demand::New { most: 5 });
        need.add(Demand::Everything);
        assert_eq!(need.effective, Demand::Everything);
        assert!(need.remove(Demand::Everything), "less would do");
        assert_eq!(need.effective, Demand::Everything, "as long as it lingers");
        assert_eq!(need.settle(), Demand::New { most: 5 });
        assert!(need.remove(Demand::New { most: 5 }));
        assert_eq!(need.settle(), Demand::New { most: 3 });
        assert!(need.remove(Demand::New { most: 3 }));
        assert_eq!(need.settle(), Demand::Nothing);
    }
}
