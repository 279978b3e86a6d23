//! The shelves of all workloads, and what is known of those that were removed.

use std::collections::HashMap;
use std::sync::Arc;

use super::forgotten::Older;
use super::memory::Limits;
use super::shelf::{Past, Shelf};
use super::words::Budget;
use crate::ids::WorkloadId;

#[derive(Debug, Default)]
pub(super) struct Shelves {
    pub(super) live: HashMap<Arc<WorkloadId>, Arc<Shelf>>,
    /// What is known of workloads whose shelves were removed, so that one that is made anew can say
    /// what it missed.
    pub(super) past: HashMap<Arc<WorkloadId>, Past>,
    /// The newest sequence number of those of which nothing is known any more.
    unknown: u64,
    /// For last words.
    pub(super) budget: Arc<Budget>,
}

/// Of the journal's memory so much is for last words that are no longer on a shelf, beside the rest.
const WORDS_PART: usize = 8;

/// Workloads without a shelf whose past is known, some 150 bytes each. When there are more, the
/// older half is forgotten.
pub(super) const MAX_PAST: usize = 4096;

// === impl Shelves ===

impl Shelves {
    pub(super) fn new(limits: Limits) -> Self {
        let budget = Arc::new(Budget::new(limits.total_bytes / WORDS_PART));
        Shelves { budget, ..Shelves::default() }
    }

    /// Makes room for last words, those of the attempts that were heard last longest ago first.
    pub(super) fn trim_words(&self) {
        let mut excess = self.budget.excess();
        if excess == 0 {
            return;
        }
        let ages = |shelf: &Arc<Shelf>| -> Vec<_> {
            shelf.ages_of_words().into_iter().map(|age| (age, shelf.clone())).collect()
        };
        let mut oldest: Vec<_> = self.live.values().flat_map(ages).collect();
        oldest.sort_unstable_by_key(|(age, _)| *age);
        for (_, shelf) in oldest {
            excess = excess.saturating_sub(shelf.remove_oldest_words());
            if excess == 0 {
                return;
            }
        }
    }

    pub(super) fn shelf(&mut self, workload: &Arc<WorkloadId>) -> Arc<Shelf> {
        if let Some(shelf) = self.live.get(workload) {
            return shelf.clone();
        }
        let past = self.past.remove(workload).unwrap_or_else(|| match self.unknown {
            0 => Past::default(),
            floor => Past { floor, lines: 0, older: Older::Unknown },
        });
        let shelf = Arc::new(Shelf::new(workload.clone(), past, self.budget.clone()));
        self.live.insert(workload.clone(), shelf.clone());
        shelf
    }

    /// Removes shelves that are empty and not in use.
    pub(super) fn clear_away(&mut self) {
        let past = &mut self.past;
        self.live.retain(|workload, shelf| {
            if Arc::strong_count(shelf) > 1 {
                return true;
            }
            let Some(left) = shelf.past() else { return true };
            if left.lines > 0 || left.older != Older::Nothing {
                past.insert(workload.clone(), left);
            }
            false
        });
        if self.past.len() > MAX_PAST {
            let mut floors: Vec<u64> = self.past.values().map(|past| past.floor).collect();
            let (_, middle, _) = floors.select_nth_unstable(MAX_PAST / 2);
            self.unknown = self.unknown.max(*middle);
            self.past.retain(|_, past| past.floor > self.unknown);
        }
    }
}
