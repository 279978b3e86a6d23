//! How far everything is, in a few words for each workload and attempt.

use std::collections::HashMap;
use std::sync::Arc;

use super::forgotten::Times;
use super::store::{Attempt, Fact, LastLine, Record, Restart, Standing};
use crate::ids::{AttemptKey, Entry, SourceState, WorkloadId};

/// What is known of everything that was ever appended, in a few words for each workload and attempt.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    pub(super) workloads: HashMap<Arc<WorkloadId>, Standing>,
    pub(super) attempts: HashMap<AttemptKey, Attempt>,
    pub(super) restarts: Vec<Restart>,
}

/// Workloads in the ledger, some 200 bytes each in a segment. When there are more, those that were
/// silent longest are left out.
const MAX_WORKLOADS: usize = 4096;
/// Attempts in the ledger, some 250 bytes each in a segment; those that ended are left out first.
const MAX_ATTEMPTS: usize = 8192;
/// Restarts in the ledger, some 20 bytes each and those of their workloads; the journal's age limit
/// makes older ones uninteresting.
const MAX_RESTARTS: usize = 128;

// === impl Ledger ===

impl Ledger {
    /// Takes a fact in; the order does not matter.
    pub(super) fn take(&mut self, fact: &Fact) {
        self.take_unbounded(fact);
        if self.attempts.len() > MAX_ATTEMPTS {
            self.forget_attempts();
        }
        if self.workloads.len() > MAX_WORKLOADS {
            let floor = median(self.workloads.values().map(|standing| standing.last));
            self.workloads.retain(|_, standing| standing.last > floor);
        }
    }

    /// Leaves out what is more than it holds, the oldest first. Among facts in any order that can be
    /// told only when all are there.
    pub(super) fn trim(&mut self) {
        let mut lasts: Vec<u64> = self.attempts.values().map(Attempt::last).collect();
        if let Some(floor) = floor_of(&mut lasts, MAX_ATTEMPTS) {
            self.attempts.retain(|_, attempt| attempt.last() > floor);
        }
        let mut lasts: Vec<u64> = self.workloads.values().map(|standing| standing.last).collect();
        if let Some(floor) = floor_of(&mut lasts, MAX_WORKLOADS) {
            self.workloads.retain(|_, standing| standing.last > floor);
        }
    }

    /// The older half of those that ended goes, else the older half of all. One that ended lately may
    /// still be there to be read: it must not be taken for a new one.
    fn forget_attempts(&mut self) {
        let ended = self.attempts.values().filter(|attempt| attempt.is_over());
        let floor = median(ended.map(Attempt::last));
        self.attempts.retain(|_, attempt| !attempt.is_over() || attempt.last() > floor);
        if self.attempts.len() > MAX_ATTEMPTS {
            let floor = median(self.attempts.values().map(Attempt::last));
            self.attempts.retain(|_, attempt| attempt.last() > floor);
        }
    }

    /// Takes a fact in and leaves nothing out.
    pub(super) fn take_unbounded(&mut self, fact: &Fact) {
        match fact {
            Fact::Record(record) => self.record(record),
            Fact::Workload(standing) => self.standing(standing.clone()),
            Fact::Attempt(attempt) => self.attempt(attempt.clone()),
            Fact::Restart(restart) => self.restart(restart.clone()),
        }
    }

    /// All of it as facts.
    pub(super) fn facts(&self) -> impl Iterator<Item = Fact> {
        let restarts = self.restarts.iter().cloned().map(Fact::Restart);
        let workloads = self.workloads.values().cloned().map(Fact::Workload);
        restarts.chain(workloads).chain(self.attempts.values().cloned().map(Fact::Attempt))
    }

    /// The last sequence number in it.
    pub(super) fn last(&self) -> u64 {
        self.workloads.values().map(|standing| standing.last).max().unwrap_or(0)
    }

    pub(super) fn restart(&mut self, restart: Restart) {
        if self.restarts.iter().any(|known| known.through == restart.through) {
            return;
        }
        self.restarts.push(restart);
        self.restarts.sort_unstable_by_key(|restart| restart.through);
        if self.restarts.len() > MAX_RESTARTS {
            self.restarts.remove(0);
        }
    }

    fn standing(&mut self, new: Standing) {
        if let Some(known) = self.workloads.get_mut(&new.workload) {
            if new.last > known.last {
                known.last = new.last;
                known.lines = new.lines;
            }
            known.times = match (known.times, new.times) {
                (Some(known), Some(new)) => Some(known.with(new)),
                (known, new) => known.or(new),
            };
            return;
        }
        self.workloads.insert(new.workload.clone(), new);
    }

    fn record(&mut self, record: &Record) {
        let Record { first, workload, lines_before, entry, .. } = record;
        let last = first + entry.count() - 1;
        let (lines, times) = match entry {
            Entry::Lines(lines) => (lines.lines.len() as u64, Some(Times::of(lines))),
            _ => (0, None),
        };
        self.standing(Standing {
            workload: workload.clone(),
            last,
            lines: lines_before + lines,
            times,
        });
        match entry {
            Entry::Lines(lines) => {
                let line = lines.lines.last().map(|line| LastLine {
                    seq: last,
                    time: line.time,
                    ordinal: line.ordinal,
                });
                self.attempt(Attempt {
                    source: lines.source.clone(),
                    line,
                    changed: 0,
                    ended: false,
                });
            }
            Entry::Source(change) => self.attempt(Attempt {
                source: change.source.clone(),
                line: None,
                changed: last,
                ended: change.state == SourceState::Ended,
            }),
            _ => {}
        }
    }

    fn attempt(&mut self, new: Attempt) {
        if let Some(known) = self.attempts.get_mut(&new.source.key) {
            let seq = |line: &Option<LastLine>| line.map_or(0, |line| line.seq);
            if seq(&new.line) > seq(&known.line) {
                known.line = new.line;
            }
            if new.changed > known.changed {
                known.changed = new.changed;
                known.ended = new.ended;
            }
            return;
        }
        self.attempts.insert(new.source.key.clone(), new);
    }
}

/// The number that all but the `most` greatest do not exceed; nothing if there are no more.
fn floor_of(numbers: &mut [u64], most: usize) -> Option<u64> {
    let at = numbers.len().checked_sub(most + 1)?;
    Some(*numbers.select_nth_unstable(at).1)
}

/// The middle of some numbers; 0 of none.
fn median(numbers: impl Iterator<Item = u64>) -> u64 {
    let mut numbers: Vec<u64> = numbers.collect();
    if numbers.is_empty() {
        return 0;
    }
    let middle = numbers.len() / 2;
    *numbers.select_nth_unstable(middle).1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::testing::{source, workload};

    fn attempt(number: u64, ended: bool) -> Fact {
        let web = workload("web");
        let mut source = (*source(&web, 1)).clone();
        source.key.uid = format!("uid-{number}").into();
        Fact::Attempt(Attempt { source: Arc::new(source), line: None, changed: number, ended })
    }

    fn has(ledger: &Ledger, number: u64) -> bool {
        ledger.attempts.keys().any(|key| *key.uid == *format!("uid-{number}"))
    }

    #[test]
    fn those_that_ended_lately_are_remembered_longest_of_those_that_ended() {
        let mut ledger = Ledger::default();
        let most = MAX_ATTEMPTS as u64;
        ledger.take(&attempt(1, false));
        for number in 2..most * 3 {
            ledger.take(&attempt(number, true));
            assert!(ledger.attempts.len() <= MAX_ATTEMPTS);
            assert!(has(&ledger, number), "the newest is forgotten");
        }
        assert!(has(&ledger, 1), "one that is open is forgotten before those that ended");
        assert!(has(&ledger, most * 3 - most / 4));
    }

    #[test]
    fn facts_in_any_order_leave_the_newest() {
        let mut ledger = Ledger::default();
        let most = MAX_ATTEMPTS as u64;
        for number in (1..=most * 2).rev() {
            ledger.take_unbounded(&attempt(number, number % 2 == 0));
        }
        ledger.trim();
        assert_eq!(ledger.attempts.len(), MAX_ATTEMPTS);
        assert!(has(&ledger, most * 2) && has(&ledger, most + 1) && !has(&ledger, most));
    }
}
