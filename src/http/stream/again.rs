//! A stream that repeats: until when.
//!
//! Who comes back from a process that is gone is told again what that one may have told, from a time on.
//! Until all of it has passed, the ids of the stream say so themselves: a client that is cut meanwhile goes
//! on behind its last line, and is told that what comes may be known to it, with the same bound.
//!
//! It has passed when each log that there was when the stream began said something younger or was silent
//! for long, and when the viewer has all that was appended by then.

use std::time::Duration;

use tokio::time::Instant;

use super::demand::Demand;
use crate::ids::AttemptKey;
use crate::subscribe::Selection;
use crate::tail::Tail;
use crate::view::Viewer;

/// How often it is looked whether logs have passed.
const LOOK: Duration = Duration::from_secs(1);
/// A log that cannot be read holds its readers back no longer than this, for none of them shares what is
/// encoded: its node is gone, or we may not read it.
const LONGEST: Duration = Duration::from_secs(900);

/// How long a stream repeats.
#[derive(Debug)]
pub(super) struct Again {
    /// When it began: by the wall, and by the steady clock.
    began: (i64, Instant),
    look: Instant,
    /// What has not passed, once that is known.
    logs: Option<Vec<AttemptKey>>,
    /// All has passed, and stands up to this sequence number.
    through: Option<u64>,
}

// === impl Again ===

impl Again {
    /// From now on, `wall` by the wall clock.
    pub(super) fn begin(wall: i64) -> Self {
        let now = Instant::now();
        Again { began: (wall, now), look: now, logs: None, through: None }
    }

    /// Has a viewer repeat no more once all has passed; gives whether that has just come to be so. Cheap
    /// for one that does not repeat. `is_known`: the demand was looked up when all workloads were known.
    pub(super) fn end(
        &mut self,
        viewer: &mut Viewer,
        tail: &Tail,
        (demand, is_known): (&Demand, bool),
        selection: &Selection,
    ) -> bool {
        if viewer.again().is_none() {
            return false;
        }
        if self.through.is_none() && self.have_passed(tail, (demand, is_known), selection) {
            self.through = Some(viewer.last());
            self.logs = None;
        }
        let over = self.through.is_some_and(|through| viewer.after() >= through);
        if over {
            viewer.repeat_no_more();
        }
        over
    }

    fn have_passed(
        &mut self,
        tail: &Tail,
        (demand, is_known): (&Demand, bool),
        selection: &Selection,
    ) -> bool {
        let now = Instant::now();
        if now < self.look {
            return false;
        }
        self.look = now + LOOK;
        let (wall, began) = self.began;
        if now - began >= LONGEST {
            return true;
        }
        if self.logs.is_none()
            && is_known
            && let Some(logs) = tail.unfinished(&demand.workloads())
        {
            let wanted = logs.iter().filter(|log| selection.wants_source(log));
            self.logs = Some(wanted.map(|log| log.key.clone()).collect());
        }
        let Some(logs) = &mut self.logs else { return false };
        while let Some(log) = logs.last() {
            if !tail.has_passed(log, wall) {
                return false;
            }
            logs.pop();
        }
        true
    }
}
