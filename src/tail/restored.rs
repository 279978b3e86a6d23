//! What an earlier process read of a log, so that this one goes on behind it.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::align::{Fingerprint, MAX_MARKS, Mark};
use super::cadence::Cadence;
use super::memory::Memory;
use crate::ids::{LineMeta, Lines, Source};

/// How far an attempt's log was read by the process before this one.
#[derive(Clone, Debug)]
pub struct Restored {
    /// Which.
    pub source: Arc<Source>,
    /// The stamp of its last line, and how many earlier lines of it carry the same; `None` if it had
    /// none: then all of the log is new.
    pub last: Option<(i64, u32)>,
    /// Its last lines in their order, as far as they are kept: of each batch those from this index on.
    /// What was written in the last three seconds is enough.
    pub lines: Vec<(Arc<Lines>, usize)>,
    /// How it was left.
    pub left: Left,
}

/// How an earlier process left a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// It was read to its end, or is lost.
    Ended,
    /// It was not, and was heard so long ago that nobody who read it comes back for the rest.
    Silent,
    /// Somebody may come back for the rest.
    Open,
    /// The same, and it may have been followed when the process ended.
    Followed,
}

// === impl Restored ===

impl Restored {
    /// What the follower would remember that read them.
    pub(super) fn memory(&self) -> Memory {
        let fingerprint = self.fingerprint();
        let known = fingerprint.last().is_some();
        let ended = self.left == Left::Ended;
        Memory {
            fingerprint,
            opened: known,
            ended,
            inherited: true,
            unproven: known && !ended,
            cadence: Cadence::of(self.lines().map(|(_, line)| line.time)),
            viewed: matches!(self.left, Left::Open | Left::Followed),
            ..Memory::default()
        }
    }

    fn fingerprint(&self) -> Fingerprint {
        let mut fingerprint = Fingerprint::default();
        // Others may stand before those that were handed over.
        fingerprint.begin_inside();
        let Some((time, ordinal)) = self.last else { return fingerprint };
        let kept = self
            .lines()
            .last()
            .is_some_and(|(_, line)| (line.time, line.ordinal) == (time, ordinal));
        if !kept {
            // Its text is not known any more, only its place among those with its stamp.
            fingerprint.blur(time);
            for _ in 0..=(ordinal as usize).min(MAX_MARKS) {
                fingerprint.push(Mark::blurred(time));
            }
            return fingerprint;
        }
        for (_, line) in self.lines().filter(|(_, line)| is_changed(line)) {
            fingerprint.blur(line.time);
        }
        for (lines, line) in self.lines() {
            // Where only places count, those count too that are not kept.
            if fingerprint.is_blurred(line.time) {
                for _ in fingerprint.equal_stamps(line.time)..line.ordinal.min(MAX_MARKS as u32) {
                    fingerprint.push(Mark::blurred(line.time));
                }
            }
            let hash = xxh3_64(lines.bytes_of(line));
            fingerprint.push(Mark { time: line.time, hash, len: line.len });
        }
        fingerprint
    }

    fn lines(&self) -> impl Iterator<Item = (&Lines, &LineMeta)> {
        self.lines.iter().flat_map(|(lines, from)| {
            let of = lines.lines.get(*from..).unwrap_or_default();
            of.iter().map(|line| (&**lines, line))
        })
    }
}

/// The text that is kept is not the one that was read.
fn is_changed(line: &LineMeta) -> bool {
    line.lossy || line.truncated_bytes > 0
}

#[cfg(test)]
mod tests {
    use super::super::align::Settled;
    use super::*;
    use crate::ids::{AttemptKey, Kind, Side, WorkloadId};

    fn restored(texts: &[(i64, &str, bool)]) -> Restored {
        let key = AttemptKey { uid: "u".into(), container: "c".into(), container_id: "i".into() };
        let workload = Arc::new(WorkloadId::new("shop", Kind::Pod, "p"));
        let source = Arc::new(Source { key, workload, pod: "p".into(), attempt: 1 });
        let (mut text, mut lines) = (String::new(), Vec::new());
        for (time, line, lossy) in texts {
            let start = text.len() as u32;
            text.push_str(line);
            lines.push(LineMeta {
                time: *time,
                start,
                len: line.len() as u32,
                truncated_bytes: 0,
                ordinal: 0,
                lossy: *lossy,
                partial: false,
                partial_head: false,
            });
        }
        let last = lines.last().map(|line: &LineMeta| (line.time, line.ordinal));
        let batch = Lines {
            source: source.clone(),
            side: Side::New,
            failed: false,
            text: text.into(),
            lines: lines.into_boxed_slice(),
        };
        Restored { source, last, lines: vec![(Arc::new(batch), 0)], left: Left::Open }
    }

    fn mark(time: i64, text: &[u8]) -> Mark {
        Mark { time, hash: xxh3_64(text), len: text.len() as u32 }
    }

    /// Which lines of a replay are new.
    fn new_in(known: &Fingerprint, replay: &[Mark]) -> (Settled, usize) {
        let mut alignment = known.align(0);
        let (mut held, mut new) = (0, 0);
        for mark in replay {
            match alignment.feed(known.seen_as(*mark)) {
                super::super::align::Place::Known => {}
                super::super::align::Place::Held => held += 1,
                super::super::align::Place::New => new += 1,
            }
        }
        match alignment.finish() {
            settled @ Settled::Found { from } => (settled, new + held - from),
            Settled::Lost => (Settled::Lost, new + held),
        }
    }

    #[test]
    fn a_replay_is_found_to_go_on_behind_what_an_earlier_process_read() {
        let known = restored(&[(10, "one", false), (20, "two", false)]).memory().fingerprint;
        let old = [mark(5, b"before"), mark(10, b"one"), mark(20, b"two"), mark(30, b"three")];
        let (settled, new) = new_in(&known, &old);
        assert!(matches!(settled, Settled::Found { .. }));
        assert_eq!(new, 1);
    }

    /// Its bytes are not kept: it is known by its stamp.
    #[test]
    fn a_last_line_that_was_no_utf8_is_found_too() {
        let known = restored(&[(10, "one", false), (20, "t\u{fffd}o", true)]).memory().fingerprint;
        let (settled, new) = new_in(&known, &[mark(10, b"one"), mark(20, b"t\xffo")]);
        assert!(matches!(settled, Settled::Found { .. }));
        assert_eq!(new, 0);
        let mut other = known.align(0);
        other.feed(known.seen_as(mark(21, b"t\xffo")));
        assert_eq!(other.finish(), Settled::Lost);
    }

    /// What the journal keeps ends before the last line, or there is nothing: the line is found by its
    /// stamp and its place among those that carry the same.
    #[test]
    fn a_last_line_whose_text_is_gone_is_found_by_its_place() {
        let mut log = restored(&[(10, "one", false)]);
        log.last = Some((20, 1));
        let replay =
            [mark(5, b"before"), mark(20, b"a"), mark(20, b"b"), mark(20, b"c"), mark(30, b"d")];
        for lines in [log.lines.clone(), Vec::new()] {
            let log = Restored { lines, ..log.clone() };
            let memory = log.memory();
            assert!(memory.unproven && memory.opened);
            let (settled, new) = new_in(&memory.fingerprint, &replay);
            assert!(matches!(settled, Settled::Found { .. }));
            assert_eq!(new, 2, "`c` and `d`");
        }
    }

    #[test]
    fn a_log_of_which_there_was_no_line_is_all_new() {
        let log = Restored { last: None, lines: Vec::new(), ..restored(&[]) };
        let memory = log.memory();
        assert!(memory.inherited && !memory.opened && !memory.unproven);
        assert_eq!(memory.fingerprint.since(), None);
    }
}
