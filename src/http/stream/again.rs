//! A stream that repeats: until when.
//!
//! Who comes back from a process that is gone is told again what that one may have told, from a time on.
//! Until all of it has passed, the ids of the stream say so themselves: a client that is cut meanwhile goes
//! on behind its last line, and is told that what comes may be known to it, with the same bound.
//!
//! It has passed when every log of the stream said something younger, or was silent for long, and when the
//! viewer has all that was appended by then. As long as a log cannot be read, it has not.

use std::time::Duration;

use tokio::time::Instant;

use crate::tail::Passed;
use crate::view::Viewer;

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(250);
/// Logs that are silent for so long hold nothing back: a node or an API server without room to breathe
/// stops in the middle of an answer for some seconds.
const QUIET: Duration = Duration::from_secs(10);

/// How long a stream repeats.
#[derive(Clone, Copy, Debug)]
pub(super) struct Again {
    /// When it began, wall time.
    began: i64,
    look: Instant,
    /// Since when all logs have been read, as it seems.
    quiet: Option<Instant>,
    /// All has passed, and stands up to this sequence number.
    through: Option<u64>,
}

// === impl Again ===

impl Again {
    pub(super) fn begin(began: i64) -> Self {
        Again { began, look: Instant::now(), quiet: None, through: None }
    }

    /// Whether nothing that comes is a repetition any more, and this has just come to be so. `passed` tells
    /// it of what the logs held at a time.
    pub(super) fn is_over(
        &mut self,
        viewer: &mut Viewer,
        passed: impl FnOnce(i64) -> Passed,
    ) -> bool {
        if viewer.again().is_none() {
            return false;
        }
        if self.through.is_none() && self.have_passed(passed) {
            self.through = Some(viewer.last());
        }
        let over = self.through.is_some_and(|through| viewer.after() >= through);
        if over {
            viewer.settle();
        }
        over
    }

    fn have_passed(&mut self, passed: impl FnOnce(i64) -> Passed) -> bool {
        let now = Instant::now();
        if now < self.look {
            return false;
        }
        self.look = now + LOOK;
        match passed(self.began) {
            Passed::Surely => true,
            Passed::Quiet => now - *self.quiet.get_or_insert(now) >= QUIET,
            Passed::No => {
                self.quiet = None;
                false
            }
        }
    }
}
