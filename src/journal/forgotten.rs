//! Remembers how many lines were forgotten, without the lines.
//!
//! A reader that comes back with an old position is told exactly how many lines it missed. For
//! that, each evicted run of records leaves two numbers behind: where it began, and how many lines
//! the workload had before it.

use std::collections::VecDeque;

/// Evicted runs that are remembered for a workload. At 24 bytes each this is 96 KiB at most; what
/// is older is counted as unknown.
const MAX_RUNS: usize = 4096;

/// A contiguous stretch of evicted sequence numbers that are all lines, or a single other record.
#[derive(Clone, Copy, Debug)]
struct Run {
    first: u64,
    lines_before: u64,
    lines: u64,
}

/// The evicted runs of one workload, oldest first.
#[derive(Debug, Default)]
pub(super) struct Forgotten {
    runs: VecDeque<Run>,
    /// Whether runs were dropped from the front.
    cut: bool,
}

// === impl Forgotten ===

impl Forgotten {
    /// Nothing is remembered; if something was `cut`, nothing older will ever be counted.
    pub(super) fn after_cut(cut: bool) -> Self {
        Forgotten { runs: VecDeque::new(), cut }
    }

    /// Notes an evicted chunk: its first sequence number, the lines of the workload before it, and
    /// the lines in it (0 for a record that is no line).
    pub(super) fn note(&mut self, first: u64, lines_before: u64, lines: u64) {
        if let Some(last) = self.runs.back_mut() {
            let joins = last.lines > 0 && lines > 0 && last.first + last.lines == first;
            if joins {
                last.lines += lines;
                return;
            }
        }
        self.runs.push_back(Run { first, lines_before, lines });
        if self.runs.len() > MAX_RUNS {
            self.runs.pop_front();
            self.cut = true;
        }
    }

    /// How many lines the workload had up to and including sequence number `after`, if that is
    /// still known.
    pub(super) fn lines_through(&self, after: u64) -> Option<u64> {
        let later = self.runs.partition_point(|run| run.first <= after);
        match later.checked_sub(1) {
            Some(index) => {
                let run = self.runs[index];
                Some(run.lines_before + run.lines.min(after - run.first + 1))
            }
            None if self.cut => None,
            None => self.runs.front().map(|run| run.lines_before),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_lines_up_to_any_evicted_position() {
        let mut forgotten = Forgotten::default();
        forgotten.note(10, 0, 5); // lines 10..=14
        forgotten.note(15, 5, 5); // lines 15..=19, joins
        forgotten.note(30, 10, 0); // a record that is no line
        forgotten.note(31, 10, 2);
        for (after, lines) in [(3, 0), (10, 1), (14, 5), (19, 10), (25, 10), (30, 10), (31, 11)] {
            assert_eq!(forgotten.lines_through(after), Some(lines), "after {after}");
        }
    }

    #[test]
    fn what_is_too_old_is_unknown_rather_than_invented() {
        let mut forgotten = Forgotten::default();
        for index in 0..(MAX_RUNS as u64 + 10) {
            forgotten.note(index * 10, index, 1);
        }
        assert_eq!(forgotten.lines_through(0), None);
        assert!(forgotten.lines_through(1_000).is_some());
        assert!(forgotten.runs.len() <= MAX_RUNS);
    }
}
