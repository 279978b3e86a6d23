//! What the clean end of a follow says about the end of its container.

use std::time::Duration;

use crate::time::{self, SECOND};

/// A kubelet ends a follow soon after its container: it looks once a second whether that still runs
/// (cri-client `pkg/logs/logs.go`, `logForceCheckPeriod`). An answer that ends without a byte for
/// longer may have been ended by the API server, which ends it just as cleanly when the kubelet dies;
/// what a kubelet that hangs had not sent is lost then.
const PROMPT: i64 = 5 * SECOND;
/// The same while it is not known how far the node's clock is from ours.
const PROMPT_BY_ANY_CLOCK: i64 = 60 * SECOND;

/// A follow that was read to a clean end: the container had ended, or so it looked.
#[derive(Clone, Copy, Debug)]
pub(super) struct CleanEnd {
    /// When, by our clock.
    at: i64,
    /// When bytes came last.
    came: i64,
    /// How much later by our clock the promptest line came than it says, if one came live. Below 0 it
    /// is the node's clock that goes ahead, above 0 it may be either that or slowness.
    late: Option<i64>,
    /// It was that of a read that began when the container had ended.
    after: bool,
    /// Something went wrong since: the end may have been the fault's own.
    doubted: bool,
}

// === impl CleanEnd ===

impl CleanEnd {
    /// An end at this moment, after nothing came for this long.
    pub(super) fn now(silent: Duration, late: Option<i64>) -> CleanEnd {
        let at = time::now();
        let silent = i64::try_from(silent.as_nanos()).unwrap_or(i64::MAX / 2);
        CleanEnd { at, came: at - silent, late, after: false, doubted: false }
    }

    /// The end of a read that came to the end of the file after the container had ended, whatever the
    /// clocks say.
    pub(super) fn of_last_read() -> CleanEnd {
        CleanEnd { after: true, ..CleanEnd::now(Duration::ZERO, None) }
    }

    /// Whether the container, which ended at this time by its node's clock, had ended before the
    /// follow did, and not long before. The API cuts an end to its second: within that second a fault
    /// may have ended the follow just before, and then it is a fault that is heard of next.
    pub(super) fn proves(self, finished: Option<i64>) -> bool {
        if self.after {
            return true;
        }
        let Some(finished) = finished else { return !self.doubted };
        let (late, prompt) = match self.late {
            Some(late) => (late, PROMPT),
            None => (0, PROMPT_BY_ANY_CLOCK),
        };
        let over = self.at >= finished + late.min(0) + if self.doubted { SECOND } else { 0 };
        over && self.at - self.came.max(finished + late) <= prompt
    }

    /// Something went wrong after it.
    pub(super) fn doubt(&mut self) {
        self.doubted = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(at: i64) -> CleanEnd {
        CleanEnd { at, came: at, late: Some(0), after: false, doubted: false }
    }

    #[test]
    fn a_clean_end_proves_the_containers_end_unless_it_came_before_or_is_doubted() {
        let doubted = |time| CleanEnd { doubted: true, ..at(time) };
        let finished = Some(5 * SECOND);
        assert!(at(5 * SECOND).proves(finished) && at(0).proves(None));
        assert!(!at(5 * SECOND - 1).proves(finished), "it went on");
        // In the second that the API cut off, a fault may have come first.
        assert!(!doubted(6 * SECOND - 1).proves(finished) && !doubted(0).proves(None));
        assert!(doubted(6 * SECOND).proves(finished), "it was over, whatever failed then");
    }

    #[test]
    fn a_silent_follow_that_ends_long_after_its_container_proves_nothing() {
        let silent = |time, came| CleanEnd { came, ..at(time) };
        let finished = Some(5 * SECOND);
        assert!(silent(10 * SECOND, 0).proves(finished), "the kubelet may take so long");
        assert!(!silent(10 * SECOND + 1, 0).proves(finished), "a kubelet that hung and was ended");
        assert!(silent(60 * SECOND, 57 * SECOND).proves(finished), "there was much to read");
    }

    #[test]
    fn a_nodes_clock_is_not_ours() {
        let of_late = |time, late| CleanEnd { came: 0, late: Some(late), ..at(time) };
        let finished = Some(60 * SECOND);
        assert!(of_late(30 * SECOND, -30 * SECOND).proves(finished), "it goes ahead");
        assert!(of_late(90 * SECOND, 30 * SECOND).proves(finished), "it is behind");
        assert!(!of_late(96 * SECOND, 30 * SECOND).proves(finished));
        assert!(!of_late(36 * SECOND, -30 * SECOND).proves(finished), "a kubelet that hung");
        let unknown = CleanEnd { came: 0, late: None, ..at(90 * SECOND) };
        assert!(unknown.proves(finished), "no line ever told how far its clock is from ours");
        let read = CleanEnd { doubted: true, ..CleanEnd::of_last_read() };
        assert!(read.proves(Some(read.at + 60 * SECOND)), "a last read is one whatever they say");
    }
}
