//! What outlives a follower: how far it read, and what that proves.

use super::align::Fingerprint;
use super::batch::Batch;
use super::cadence::Cadence;
use super::clean::CleanEnd;
use super::reading::{Desk, Said};
use super::standing::Standing;
use crate::time;

/// A later follower resumes from it.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    pub(super) fingerprint: Fingerprint,
    pub(super) lines: u64,
    /// Whether reading began at the log's first line, once that is decided.
    pub(super) from_start: Option<bool>,
    pub(super) opened: bool,
    pub(super) ended: bool,
    /// How the last follow ended, if it ended cleanly and nothing was read after it.
    pub(super) clean_end: Option<CleanEnd>,
    /// How much later its promptest line came than it says, by our clock; see [`CleanEnd`].
    pub(super) late: Option<i64>,
    /// The message for which an answer was closed last.
    pub(super) said: Option<Said>,
    /// The stamp of the first line that was read.
    pub(super) first_time: Option<i64>,
    /// Older lines were there at the first opening, or may have been.
    pub(super) tail_cut: bool,
    /// An earlier process read the beginning, if there was one, and how many lines it had is not known.
    pub(super) inherited: bool,
    /// It began when the process before did not read any more: all of it is owed.
    pub(super) owed: bool,
    /// Nobody has found yet where that process stopped.
    pub(super) unproven: bool,
    /// How it used to bring its lines.
    pub(super) cadence: Cadence,
    /// Somebody read it who may come back for the rest.
    pub(super) viewed: bool,
}

// === impl Memory ===

impl Memory {
    pub(super) fn desk<'a>(&'a mut self, batch: &'a mut Batch) -> Desk<'a> {
        Desk { known: &mut self.fingerprint, batch, now: time::now() }
    }

    /// How many lines the log had, if all were counted.
    pub(super) fn counted(&self) -> Option<u64> {
        (!self.inherited).then_some(self.lines)
    }

    /// Whatever ended the last follow cleanly may not have been the end of the container.
    pub(super) fn doubt_end(&mut self) {
        if let Some(end) = &mut self.clean_end {
            end.doubt();
        }
    }

    /// All of the log was read although its end cannot be read any more: the last follow was unbroken
    /// and ended cleanly when, or after, the attempt had ended (truths: 6).
    pub(super) fn is_whole(&self, standing: Standing) -> bool {
        let finished = match standing {
            Standing::Running { .. } | Standing::Gone { ended: None } => return false,
            over => over.finished(),
        };
        self.clean_end.is_some_and(|end| end.proves(finished))
    }

    /// It goes on behind what an earlier process had read, or a gap says what is missing.
    pub(super) fn is_continued(&self) -> bool {
        self.inherited && self.opened && !self.unproven
    }

    /// Some of the log was read, and the rest is to come.
    pub(super) fn is_begun(&self) -> bool {
        (self.opened || self.inherited) && !self.ended
    }
}
