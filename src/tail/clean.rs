//! What the clean end of a follow says about the end of its container.

use crate::time::{self, SECOND};

/// A follow that was read to a clean end: the container had ended, or so it looked.
#[derive(Clone, Copy, Debug)]
pub(super) struct CleanEnd {
    /// When, by our clock.
    at: i64,
    /// Something went wrong since: the end may have been the fault's own.
    doubted: bool,
}

// === impl CleanEnd ===

impl CleanEnd {
    pub(super) fn now() -> CleanEnd {
        CleanEnd { at: time::now(), doubted: false }
    }

    /// Whether the container, which ended at this time, had ended before the follow did. The API cuts
    /// an end to its second: within that second a fault may have ended the follow just before, and
    /// then it is a fault that is heard of next.
    pub(super) fn proves(self, finished: Option<i64>) -> bool {
        match finished {
            Some(finished) if self.doubted => self.at >= finished + SECOND,
            Some(finished) => self.at >= finished,
            None => !self.doubted,
        }
    }

    /// Something went wrong after it.
    pub(super) fn doubt(&mut self) {
        self.doubted = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clean_end_proves_the_containers_end_unless_it_came_before_or_is_doubted() {
        let at = |at| CleanEnd { at, doubted: false };
        let doubted = |at| CleanEnd { at, doubted: true };
        let finished = Some(5 * SECOND);
        assert!(at(5 * SECOND).proves(finished) && at(0).proves(None));
        assert!(!at(5 * SECOND - 1).proves(finished), "it went on");
        // In the second that the API cut off, a fault may have come first.
        assert!(!doubted(6 * SECOND - 1).proves(finished) && !doubted(0).proves(None));
        assert!(doubted(6 * SECOND).proves(finished), "it was over, whatever failed then");
    }
}
