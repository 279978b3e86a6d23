//! How rollouts of a workload ended, as far as its records tell: what a process that is started again knows of
//! those before it.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::ids::{Entry, RolloutResult, RolloutStatus};

/// Rollouts of one workload that are listed (design section 6: the last 20).
pub const MOST_ENDS: usize = 20;

/// A rollout that ended: its last state, and how.
#[derive(Clone, Debug)]
pub struct End {
    /// Its last state before that was said.
    pub status: Arc<RolloutStatus>,
    /// What was said.
    pub result: Arc<RolloutResult>,
}

// === impl End ===

impl End {
    /// Whether a state is one of the same rollout.
    pub fn is_of(&self, status: &RolloutStatus) -> bool {
        same(&self.status, status)
    }
}

/// One object may come to the same revision only once; another of its name begins at another time.
fn same(one: &RolloutStatus, other: &RolloutStatus) -> bool {
    one.revision == other.revision
        && match (one.started, other.started) {
            (Some(one), Some(other)) => one == other,
            _ => one.generation == other.generation,
        }
}

/// The last ends among records, oldest first. Of two about one rollout, which recovered, the second.
pub(super) fn ends<'a>(records: impl Iterator<Item = &'a Entry>) -> Vec<End> {
    // What shows an end is gathered for a while, so that a newer rollout may have begun when it is said.
    let mut states: VecDeque<Arc<RolloutStatus>> = VecDeque::new();
    let mut ends: VecDeque<End> = VecDeque::new();
    for record in records {
        match record {
            Entry::Rollout(status) => {
                states.retain(|known| !same(known, status));
                states.push_back(Arc::clone(status));
                if states.len() > MOST_ENDS {
                    states.pop_front();
                }
            }
            Entry::Result(result) => {
                let is = |status: &&Arc<RolloutStatus>| {
                    status.revision == result.revision && status.generation <= result.generation
                };
                let Some(status) = states.iter().rev().find(is).cloned() else { continue };
                ends.retain(|end| !end.is_of(&status));
                ends.push_back(End { status, result: Arc::clone(result) });
                if ends.len() > MOST_ENDS {
                    ends.pop_front();
                }
            }
            _ => {}
        }
    }
    ends.into()
}
