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

/// A node's clock is ahead of ours if a line comes so long before the time that it says. Less does not
/// change the order in which people read two logs.
pub(super) const AHEAD: i64 = 2 * SECOND;
/// It is behind ours, or the lines take as long to reach us, if none of so many came sooner after its
/// time, ...
const LATE: i64 = 5 * SECOND;
/// ... over so long: what was held up meanwhile, in a stall, comes late too.
const LATE_FOR: i64 = 30 * SECOND;

/// A backlog comes faster than it was written, so its lag melts. One that did not melt by half of this
/// within this is the present, whatever the node's clock says.
const MELTS: i64 = 2 * SECOND;

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
    /// When the first line came live, by our clock, and when the last did.
    first_came: i64,
    last_came: i64,
    /// Before it is live: when the lag was looked at, and how much it was.
    melting: Option<(i64, i64)>,
    present: bool,
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
            first_came: i64::MAX,
            last_came: i64::MIN,
            melting: None,
            present: false,
        }
    }

    /// The backlog was shown.
    pub(super) fn go_live(&mut self) {
        self.live = true;
    }

    /// The backlog has been read, though its lines may look old: they come as they are written.
    pub(super) fn is_present(&self) -> bool {
        self.present
    }

    /// Takes a line of the backlog.
    fn melt(&mut self, now: i64, time: i64) {
        let lag = now.saturating_sub(time);
        let (since, before) = *self.melting.get_or_insert((now, lag));
        if now.saturating_sub(since) >= MELTS {
            self.present = before.saturating_sub(lag) < MELTS / 2;
            self.melting = Some((now, lag));
        }
    }

    /// How much later by our clock the promptest line came than it says; `None` before there was one.
    pub(super) fn least(&self) -> Option<i64> {
        (self.least != i64::MAX).then_some(self.least)
    }

    /// A machine's word for a clock that differs from ours by so much that lines of two nodes do not
    /// stand in the order in which they were written, or none if it does not; `None` while that is not
    /// known.
    pub(super) fn skew(&self) -> Option<Option<&'static str>> {
        let least = self.least()?;
        let long = self.last_came.saturating_sub(self.first_came) >= LATE_FOR;
        match least {
            least if least <= -AHEAD => Some(Some("clock_ahead")),
            _ if !long => None,
            least => Some((least >= LATE).then_some("clock_behind")),
        }
    }

    /// Takes the next line; whether it jumps out of a lag.
    pub(super) fn jumps(&mut self, now: i64, time: i64) -> bool {
        if !self.live {
            self.melt(now, time);
            return false;
        }
        let pause = time.saturating_sub(self.last);
        let hole = pause > HOLE.max(self.usual.saturating_mul(USUAL));
        let jumps = self.behind && hole && time > self.vouched;
        let lag = now.saturating_sub(time);
        (self.first_came, self.last_came) = (self.first_came.min(now), now);
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
    fn a_clock_that_differs_is_known_by_lines_that_come_too_soon_or_never_soon() {
        for (late, word) in [
            (-600, Some("clock_ahead")),
            (-1, None),
            (0, None),
            (4, None),
            (600, Some("clock_behind")),
        ] {
            let mut lag = live();
            assert_eq!(lag.skew(), None);
            for at in 0..40 {
                lag.jumps((at + late) * SECOND, at * SECOND);
            }
            assert_eq!(lag.skew(), Some(word), "{late}");
        }
    }

    #[test]
    fn a_backlog_is_over_when_its_lag_does_not_melt_any_more() {
        let mut lag = Lag::new();
        // Ten minutes behind, read at ten times the speed at which it was written.
        for at in 0..600 {
            lag.jumps((600 + at / 10) * SECOND, at * SECOND);
            assert!(!lag.is_present(), "{at}");
        }
        for at in 0..4 {
            lag.jumps((660 + at) * SECOND, (600 + at) * SECOND);
        }
        assert!(lag.is_present());
    }

    #[test]
    fn lines_that_are_late_for_a_while_say_nothing_of_the_clock() {
        let mut lag = live();
        for at in 0..20 {
            lag.jumps((at + 60) * SECOND, at * SECOND);
        }
        assert_eq!(lag.skew(), None, "a backlog after an outage");
        lag.jumps(81 * SECOND, 81 * SECOND);
        for at in 0..100 {
            lag.jumps((100 + at) * SECOND, 90 * SECOND);
        }
        assert_eq!(lag.skew(), Some(None), "one came in time");
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
