//! Remembers how many lines were forgotten, and of which times, without the lines.
//!
//! A reader that comes back with an old position is told exactly how many lines it missed. For
//! that, each evicted run of records leaves a few numbers behind: where it began, how many lines
//! the workload had before it, and between which times its lines lie.

use std::collections::VecDeque;

/// Evicted runs that are remembered for a workload. At 40 bytes each this is 160 KiB at most; of
/// what is older only the times are known, and its lines are not counted.
pub(super) const MAX_RUNS: usize = 4096;

/// The oldest and the newest stamp of some lines. Lines of several sources do not come in the order
/// of their stamps, so both have to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// No stamp is older.
    pub oldest: i64,
    /// No stamp is newer.
    pub newest: i64,
}

/// A contiguous stretch of evicted sequence numbers that are all lines, or a single other record.
#[derive(Clone, Copy, Debug)]
struct Run {
    first: u64,
    lines_before: u64,
    lines: u64,
    times: Times,
}

/// The evicted runs of one workload, oldest first.
#[derive(Debug, Default)]
pub(super) struct Forgotten {
    runs: VecDeque<Run>,
    /// What is older than the runs.
    older: Older,
}

/// What is known of evicted records that are older than the runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Older {
    /// There are none.
    #[default]
    Nothing,
    /// Lines between these times, and all lines of the workload before the runs.
    Within(Times),
    /// Nothing, not even whether there were any.
    Unknown,
}

/// Lines that were forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lost {
    /// How many, if known.
    pub(super) lines: Option<u64>,
    /// Between which times, if known; perhaps a little wider than the lines.
    pub(super) times: Option<Times>,
}

// === impl Forgotten ===

impl Forgotten {
    /// No run is remembered, but this of what is older.
    pub(super) fn after(older: Older) -> Self {
        Forgotten { runs: VecDeque::new(), older }
    }

    /// Everything in one.
    pub(super) fn summary(&self) -> Older {
        let times = self.runs.iter().fold(Times::NONE, |all, run| all.with(run.times));
        self.older.with(times)
    }

    /// Notes an evicted chunk: its first sequence number, the lines of the workload before it, the
    /// lines in it (0 for a record that is no line), and between which times they lie.
    pub(super) fn note(&mut self, first: u64, lines_before: u64, lines: u64, times: Times) {
        if let Some(last) = self.runs.back_mut() {
            let joins = last.lines > 0 && lines > 0 && last.first + last.lines == first;
            if joins {
                last.lines += lines;
                last.times = last.times.with(times);
                return;
            }
        }
        self.runs.push_back(Run { first, lines_before, lines, times });
        if self.runs.len() > MAX_RUNS
            && let Some(run) = self.runs.pop_front()
        {
            self.older = self.older.with(run.times);
        }
    }

    /// The lines behind sequence number `after`. `total` is how many lines the workload had up to
    /// the last evicted one.
    pub(super) fn behind(&self, after: u64, total: u64) -> Lost {
        let later = self.runs.partition_point(|run| run.first <= after);
        let begin = later.saturating_sub(1);
        let seen = match later.checked_sub(1) {
            Some(index) => {
                let run = self.runs[index];
                Some(run.lines_before + run.lines.min(after - run.first + 1))
            }
            None if self.older == Older::Nothing => {
                self.runs.front().map(|run| run.lines_before).or(Some(total))
            }
            None if after == 0 && self.older != Older::Unknown => Some(0),
            None => None,
        };
        let mut times = Times::NONE;
        for run in self.runs.range(begin..) {
            if run.first + run.lines > after + 1 {
                times = times.with(run.times);
            }
        }
        let times = match self.older {
            Older::Unknown if later == 0 => None,
            Older::Within(older) if later == 0 => Some(times.with(older)),
            _ => Some(times),
        };
        Lost { lines: seen.map(|seen| total - seen), times: times.filter(Times::any) }
    }

    /// The lines whose stamp is `time` or later; `None` if there are none. `total` as above.
    ///
    /// A run that lies on both sides of `time` is not counted, so then the count is unknown.
    pub(super) fn since(&self, time: i64, total: u64) -> Option<Lost> {
        let mut lost = Lost { lines: Some(0), times: Some(Times::NONE) };
        match self.older {
            Older::Nothing => {}
            Older::Within(times) => {
                let lines = self.runs.front().map_or(total, |run| run.lines_before);
                lost.take(time, lines, times);
            }
            Older::Unknown => lost = Lost { lines: None, times: None },
        }
        for run in &self.runs {
            lost.take(time, run.lines, run.times);
        }
        (lost.lines != Some(0)).then_some(lost)
    }
}

// === impl Older ===

impl Older {
    fn with(self, times: Times) -> Older {
        match self {
            Older::Nothing if times.any() => Older::Within(times),
            Older::Within(older) => Older::Within(older.with(times)),
            other => other,
        }
    }
}

// === impl Lost ===

impl Lost {
    /// Nothing is known.
    pub(super) const UNKNOWN: Lost = Lost { lines: None, times: None };

    fn take(&mut self, time: i64, lines: u64, times: Times) {
        if times.newest < time {
            return;
        }
        let counted = times.oldest >= time;
        self.lines = self.lines.filter(|_| counted).map(|sum| sum + lines);
        let later = Times { oldest: times.oldest.max(time), newest: times.newest };
        self.times = self.times.map(|all| all.with(later));
    }
}

// === impl Times ===

impl Times {
    /// Of lines whose times are not known.
    pub(super) const ANY: Times = Times { oldest: i64::MIN, newest: i64::MAX };

    /// Of no line.
    pub(super) const NONE: Times = Times { oldest: i64::MAX, newest: i64::MIN };

    /// Of these and those.
    pub(super) fn with(self, other: Times) -> Times {
        Times { oldest: self.oldest.min(other.oldest), newest: self.newest.max(other.newest) }
    }

    /// Whether there is any line.
    pub(super) fn any(&self) -> bool {
        self.oldest <= self.newest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(oldest: i64, newest: i64) -> Times {
        Times { oldest, newest }
    }

    /// Ten lines, a record that is no line, two lines; times are a hundred times the line's number.
    fn some() -> Forgotten {
        let mut forgotten = Forgotten::default();
        forgotten.note(10, 0, 5, times(100, 500)); // lines 10..=14
        forgotten.note(15, 5, 5, times(600, 1000)); // lines 15..=19, joins
        forgotten.note(30, 10, 0, Times::NONE); // a record that is no line
        forgotten.note(31, 10, 2, times(1100, 1200));
        forgotten
    }

    #[test]
    fn counts_lines_behind_any_evicted_position() {
        let forgotten = some();
        for (after, lines) in [(3, 12), (10, 11), (14, 7), (19, 2), (25, 2), (30, 2), (31, 1)] {
            assert_eq!(forgotten.behind(after, 12).lines, Some(lines), "after {after}");
        }
    }

    #[test]
    fn the_times_of_what_lies_behind_a_position_are_bounds() {
        let forgotten = some();
        for (after, expected) in [
            (3, Some((100, 1200))),
            (14, Some((100, 1200))), // inside a run: its whole span
            (19, Some((1100, 1200))),
            (32, None),
        ] {
            let times = forgotten.behind(after, 12).times;
            assert_eq!(times.map(|t| (t.oldest, t.newest)), expected, "after {after}");
        }
    }

    #[test]
    fn lines_since_a_time_are_counted_where_no_run_lies_on_both_sides() {
        let forgotten = some();
        for (time, expected) in [
            (0, Some((Some(12), 100))),
            (100, Some((Some(12), 100))),
            (700, Some((None, 700))),
            (1001, Some((Some(2), 1100))),
            (1150, Some((None, 1150))),
            (1201, None),
        ] {
            let lost = forgotten.since(time, 12);
            let found = lost.map(|lost| (lost.lines, lost.times.unwrap().oldest));
            assert_eq!(found, expected, "since {time}");
        }
    }

    #[test]
    fn what_is_too_old_is_unknown_rather_than_invented() {
        let mut forgotten = Forgotten::default();
        let runs = MAX_RUNS as u64 + 10;
        for index in 0..runs {
            forgotten.note(index * 10, index, 1, times(index as i64, index as i64));
        }
        assert_eq!(forgotten.behind(0, runs).lines, Some(runs), "all of them");
        assert_eq!(forgotten.behind(5, runs).lines, None);
        assert_eq!(forgotten.behind(5, runs).times, Some(times(0, runs as i64 - 1)));
        assert_eq!(forgotten.behind(1_000, runs).lines, Some(runs - 101));
        // All of it is since a time before all of it, however little is remembered.
        assert_eq!(forgotten.since(0, runs).unwrap().lines, Some(runs));
        assert_eq!(forgotten.since(5, runs).unwrap().lines, None);
        assert!(forgotten.runs.len() <= MAX_RUNS);
    }

    #[test]
    fn nothing_is_known_of_a_time_before_the_memory_began() {
        let mut forgotten = Forgotten::after(Older::Unknown);
        forgotten.note(50, 0, 1, times(7, 7));
        let unknown = Lost { lines: None, times: None };
        assert_eq!(forgotten.behind(3, 1), unknown);
        assert_eq!(forgotten.behind(49, 1), unknown);
        assert_eq!(forgotten.behind(50, 1).lines, Some(0));
        assert_eq!(forgotten.since(0, 1), Some(unknown));
    }
}
