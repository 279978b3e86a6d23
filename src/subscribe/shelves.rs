//! The shelves that a scope is read from.

use std::sync::Arc;

use tokio::sync::watch;

use super::{Scope, Selection};
use crate::ids::{LineMeta, Lines, WorkloadId};
use crate::journal::{Journal, Missed, Shelf, Slice};
use crate::watch::Index;

/// The shelves of a scope's workloads; follows those that come and go.
#[derive(Clone, Debug)]
pub struct Shelves {
    journal: Journal,
    index: Index,
    scope: Scope,
    /// The version of the index at which the list was made; unused for a scope that cannot change.
    version: u64,
    list: Vec<Arc<Shelf>>,
}

/// Something on one of the shelves, under the sequence number by which shelves are merged.
#[derive(Debug)]
pub(super) enum Found {
    Slice(Slice),
    Missed(Missed),
}

/// What was found on all shelves, in order, and the position after it.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) found: Vec<(Arc<WorkloadId>, Found)>,
    pub(super) next: u64,
}

// === impl Shelves ===

impl Shelves {
    /// The shelves of a scope.
    pub fn new(journal: &Journal, index: &Index, scope: &Scope) -> Self {
        let (journal, index, scope) = (journal.clone(), index.clone(), scope.clone());
        let mut shelves = Shelves { journal, index, scope, version: 0, list: Vec::new() };
        shelves.resolve();
        shelves
    }

    fn resolve(&mut self) {
        // Read first: what changes meanwhile is seen next time.
        self.version = self.index.version();
        let workloads = self.scope.resolve(&self.index).workloads;
        self.list = workloads.iter().map(|workload| self.journal.shelf(workload)).collect();
    }

    fn refresh(&mut self) {
        if self.scope.is_open() && self.index.version() != self.version {
            self.resolve();
        }
    }

    /// The workloads, as they were when this was read last.
    pub fn workloads(&self) -> impl Iterator<Item = &Arc<WorkloadId>> {
        self.list.iter().map(|shelf| shelf.workload())
    }

    /// Nothing that is on the shelves now has a higher sequence number.
    pub fn head(&self) -> u64 {
        match self.alone() {
            Some(shelf) => shelf.head(),
            None => self.journal.head(),
        }
    }

    /// The highest sequence number on the shelves; 0 before the first record.
    pub fn last(&self) -> u64 {
        self.list.iter().map(|shelf| shelf.head()).max().unwrap_or(0)
    }

    /// Wakes when there may be more on the shelves.
    pub fn changes(&self) -> watch::Receiver<u64> {
        match self.alone() {
            Some(shelf) => shelf.changes(),
            None => self.journal.changes(),
        }
    }

    /// The one shelf of a scope that can have no other.
    fn alone(&self) -> Option<&Arc<Shelf>> {
        self.scope.single().and(self.list.first())
    }

    /// The position after which the last `count` wanted lines lie, or all there are; the head if
    /// there is none.
    pub fn before_last_lines(&self, count: usize, selection: &Selection) -> u64 {
        let wanted = |lines: &Lines, line: &LineMeta| selection.wants_line(lines, line);
        let last = self.last_lines_through(u64::MAX, count, selection, wanted);
        last.iter().min().map_or_else(|| self.head(), |first| first - 1)
    }

    /// The sequence numbers of the last `count` lines up to `through` that are wanted, in no
    /// particular order.
    pub fn last_lines_through(
        &self,
        through: u64,
        count: usize,
        selection: &Selection,
        wanted: impl Fn(&Lines, &LineMeta) -> bool,
    ) -> Vec<u64> {
        let mut last: Vec<u64> = Vec::new();
        for shelf in &self.list {
            let batch = |lines: &Lines| selection.wants_lines(lines);
            shelf.last_lines(through, count, batch, &wanted, &mut last);
            if last.len() > count {
                last.sort_unstable_by(|one, other| other.cmp(one));
                last.truncate(count);
            }
        }
        last
    }

    /// The position before the first record of this time or later, and per workload what was that
    /// young and is forgotten.
    pub fn position_at(&self, time: i64) -> (u64, Vec<(Arc<WorkloadId>, Missed)>) {
        let mut missed = Vec::new();
        let mut after = self.head();
        for shelf in &self.list {
            let at = shelf.position_at(time);
            after = after.min(at.after);
            missed.extend(at.missed.map(|missed| (shelf.workload().clone(), missed)));
        }
        (after, missed)
    }

    /// The oldest time that a record behind `after` carries; `None` if there is none yet.
    pub fn oldest_behind(&self, after: u64) -> Option<i64> {
        self.list.iter().filter_map(|shelf| shelf.oldest_behind(after)).min()
    }

    /// Reads on behind `after`, about `max_bytes` at most, in the order of the journal.
    pub(super) fn read(&mut self, after: u64, max_bytes: usize) -> Finding {
        // The head first: whatever stands below it is of a workload that the index knew then.
        let head = self.journal.head();
        self.refresh();
        if let Some(shelf) = self.alone() {
            let read = shelf.read(after, max_bytes);
            let name = |found| (shelf.workload().clone(), found);
            let missed = read.missed.map(Found::Missed).map(name);
            let slices = read.slices.into_iter().map(Found::Slice).map(name);
            return Finding { found: missed.into_iter().chain(slices).collect(), next: read.next };
        }
        self.merge(after, head, max_bytes)
    }

    /// Merges by sequence number, as far as every shelf was read. The head moves when a record
    /// stands on its shelf, so below it no shelf is missing anything.
    fn merge(&self, after: u64, head: u64, max_bytes: usize) -> Finding {
        let mut bound = head;
        let news: Vec<_> = self.list.iter().filter(|shelf| shelf.head() > after).collect();
        let share = max_bytes / news.len().max(1);
        let mut reads = Vec::with_capacity(news.len());
        for shelf in news {
            let read = shelf.read(after, share);
            if shelf.head() > read.next {
                bound = bound.min(read.next);
            }
            reads.push((shelf, read));
        }
        let mut found = Vec::new();
        for (shelf, read) in reads {
            if let Some(missed) = read.missed {
                let missed = up_to(shelf, missed, bound);
                found.push((missed.through, shelf.workload().clone(), Found::Missed(missed)));
            }
            let slices = read.slices.into_iter().filter(|slice| slice.first <= bound);
            found.extend(
                slices.map(|slice| (slice.first, shelf.workload().clone(), Found::Slice(slice))),
            );
        }
        if found.is_empty() {
            return Finding { found: Vec::new(), next: after };
        }
        found.sort_by_key(|(seq, _, _)| *seq);
        let found = found.into_iter().map(|(_, workload, found)| (workload, found)).collect();
        Finding { found, next: bound.max(after) }
    }
}

/// The part of a forgotten stretch up to `bound`; the rest is told of when reading comes there.
fn up_to(shelf: &Shelf, missed: Missed, bound: u64) -> Missed {
    if missed.through <= bound {
        return missed;
    }
    let rest = shelf.read(bound, 0).missed.map_or(Some(0), |rest| rest.lines);
    let lines = missed.lines.zip(rest).map(|(all, rest)| all.saturating_sub(rest));
    Missed { through: bound, lines, ..missed }
}
