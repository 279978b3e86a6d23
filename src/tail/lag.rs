//! Notices a follow that fell behind and then jumped.
//!
//! The kubelet's reader opens the log's path again for every rotation it was told of, unchecked: one
//! that lags by two rotations skips the file between them, without a sign. So a line that comes while
//! the follow is behind, and leaves a hole in time behind it, is worth a look at where the newest
//! file begins. A follow that is not behind has no lines to skip.
//!
//! Pure: our clock and the stamps in, a suspicion out.

use crate::time::SECOND;

/// A follow is behind if a line comes so much later than the promptest one did: the difference of the
/// two clocks is in both.
const BEHIND: i64 = SECOND;
/// A hole that is worth a look. What is skipped is all that was written between two rotations, and a
/// kubelet looks for files to rotate every 3 s at most often (validation.go,
/// `containerLogMonitorInterval`); a worker that was late with one may be prompt with the next.
const HOLE: i64 = SECOND;
/// And so many times the usual time between two lines: a log that says little has holes all the time,
/// and a file that was skipped held many lines.
const USUAL: i64 = 16;

/// How one stream lags.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lag {
    /// The backlog was shown: what comes now comes as it is written.
    live: bool,
    least: i64,
    last: i64,
    /// The usual time between two lines: a mean that forgets.
    usual: i64,
    behind: bool,
    /// Up to this stamp nothing was skipped.
    vouched: i64,
}

// === impl Lag ===

impl Lag {
    /// A stream that is showing its backlog.
    pub(super) fn new() -> Self {
        Lag {
            live: false,
            least: i64::MAX,
            last: i64::MAX,
            usual: 0,
            behind: false,
            vouched: i64::MIN,
        }
    }

    /// The backlog was shown.
    pub(super) fn go_live(&mut self) {
        self.live = true;
    }

    /// How much later by our clock the promptest line came than it says; `None` before there was one.
    pub(super) fn least(&self) -> Option<i64> {
        (self.least != i64::MAX).then_some(self.least)
    }

    /// Takes the next line; whether it jumps out of a lag.
    pub(super) fn jumps(&mut self, now: i64, time: i64) -> bool {
        if !self.live {
            return false;
        }
        let pause = time.saturating_sub(self.last);
        let hole = pause > HOLE.max(self.usual.saturating_mul(USUAL));
        let jumps = self.behind && hole && time > self.vouched;
        let lag = now.saturating_sub(time);
        self.least = self.least.min(lag);
        self.behind = lag - self.least > BEHIND;
        // Not the pause before the first line, and a clock that is set back says nothing.
        if pause > 0 {
            self.usual += (pause - self.usual) / 8;
        }
        self.last = time;
        jumps
    }

    /// At this time, by our clock, the newest file held everything since the last line.
    pub(super) fn vouch(&mut self, now: i64) {
        self.vouched = now.saturating_sub(self.least);
    }

    /// The node's clock was set: what was learnt of its difference is void.
    pub(super) fn forget(&mut self) {
        *self = Lag { live: self.live, ..Lag::new() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live() -> Lag {
        let mut lag = Lag::new();
        lag.go_live();
        lag
    }

    #[test]
    fn a_quiet_log_does_not_jump_whatever_the_nodes_clock_says() {
        for skew in [-600 * SECOND, 0, 600 * SECOND] {
            let mut lag = live();
            for at in [0, 1, 30, 31, 900] {
                assert!(!lag.jumps(at * SECOND + skew, at * SECOND), "{skew} {at}");
            }
        }
    }

    #[test]
    fn a_hole_behind_a_line_that_came_late_is_a_jump_until_somebody_vouches() {
        let mut lag = live();
        let pace = SECOND / 500;
        let write = |lag: &mut Lag, late: i64, from: i64| {
            (0..50).any(|n| lag.jumps(from + n * pace + late, from + n * pace))
        };
        assert!(!write(&mut lag, 0, 10 * SECOND));
        assert!(!write(&mut lag, 5 * SECOND, 10 * SECOND + 50 * pace), "late, without a hole");
        assert!(lag.jumps(15 * SECOND, 12 * SECOND));
        lag.vouch(15 * SECOND);
        assert!(!write(&mut lag, 2 * SECOND, 12 * SECOND + pace));
        assert!(!lag.jumps(16 * SECOND, 14 * SECOND), "it was all in one file");
        assert!(!write(&mut lag, 2 * SECOND, 14 * SECOND + pace));
        assert!(lag.jumps(18 * SECOND, 16 * SECOND), "written after anybody looked");
    }

    #[test]
    fn a_backlog_is_late_and_has_holes_and_does_not_jump() {
        let mut lag = Lag::new();
        assert!(!lag.jumps(1_000 * SECOND, SECOND) && !lag.jumps(1_000 * SECOND, 500 * SECOND));
        lag.go_live();
        assert!(!lag.jumps(1_001 * SECOND, 1_001 * SECOND));
    }
}
