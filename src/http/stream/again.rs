//! A stream that repeats: until when.
//!
//! Who comes back from a process that is gone is told again what that one may have told, from a time on.
//! Until all of it has passed, the ids of the stream say so themselves: a client that is cut meanwhile goes
//! on behind its last line, and is told that what comes may be known to it, with the same bound.

use std::time::Duration;

use tokio::time::Instant;

use super::start::PROOF;
use crate::view::Viewer;

/// What was read when all logs were read is shared by then.
const PASSED: Duration = Duration::from_secs(1);

/// How long a stream repeats.
#[derive(Clone, Copy, Debug)]
pub(super) struct Again {
    began: Instant,
    /// When its logs were read up to their ends first.
    caught_up: Option<Instant>,
}

// === impl Again ===

impl Again {
    pub(super) fn begin() -> Self {
        Again { began: Instant::now(), caught_up: None }
    }

    /// A viewer has taken all that there is: once its logs have been read to their ends, nothing that comes
    /// is a repetition; gives whether that has just come to be so. One whose log cannot be read is not
    /// waited for longer than its proof is.
    pub(super) fn passes(&mut self, viewer: &mut Viewer, is_read: impl FnOnce() -> bool) -> bool {
        if viewer.again().is_none() {
            return false;
        }
        let now = Instant::now();
        if self.caught_up.is_none() && is_read() {
            self.caught_up = Some(now);
        }
        let read = self.caught_up.is_some_and(|since| now - since >= PASSED);
        let passed = read || now - self.began >= PROOF;
        if passed {
            viewer.settle();
        }
        passed
    }
}
