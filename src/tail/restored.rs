//! What an earlier process read of a log, so that this one goes on behind it.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::align::{Fingerprint, Mark};
use super::follower::Memory;
use crate::ids::{LineMeta, Lines, Source};

/// How far an attempt's log was read by the process before this one.
#[derive(Clone, Debug)]
pub struct Restored {
    /// Which.
    pub source: Arc<Source>,
    /// Its last lines in their order: of each batch those from this index on. What was written in the
    /// last three seconds is enough. With none at all, the log is read as if it never had been.
    pub lines: Vec<(Arc<Lines>, usize)>,
    /// It was read to its end, or is lost.
    pub ended: bool,
}

// === impl Restored ===

impl Restored {
    /// What the follower would remember that read them.
    pub(super) fn memory(&self) -> Memory {
        let mut fingerprint = Fingerprint::default();
        // Others may stand before those that were handed over.
        fingerprint.begin_inside();
        for (_, line) in self.lines().filter(|(_, line)| is_changed(line)) {
            fingerprint.blur(line.time);
        }
        for (lines, line) in self.lines() {
            let hash = xxh3_64(lines.bytes_of(line));
            fingerprint.push(Mark { time: line.time, hash, len: line.len });
        }
        let known = fingerprint.last().is_some();
        Memory {
            fingerprint,
            opened: known,
            ended: self.ended,
            inherited: known,
            unproven: known && !self.ended,
            ..Memory::default()
        }
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

    fn restored(texts: &[(i64, &str, bool)]) -> Memory {
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
        let batch = Lines {
            source: source.clone(),
            side: Side::New,
            text: text.into(),
            lines: lines.into_boxed_slice(),
        };
        Restored { source, lines: vec![(Arc::new(batch), 0)], ended: false }.memory()
    }

    fn mark(time: i64, text: &[u8]) -> Mark {
        Mark { time, hash: xxh3_64(text), len: text.len() as u32 }
    }

    #[test]
    fn a_replay_is_found_to_go_on_behind_what_an_earlier_process_read() {
        let memory = restored(&[(10, "one", false), (20, "two", false)]);
        let known = memory.fingerprint;
        let mut alignment = known.align(0);
        for old in [mark(5, b"before"), mark(10, b"one"), mark(20, b"two")] {
            alignment.feed(known.seen_as(old));
        }
        alignment.feed(known.seen_as(mark(30, b"three")));
        assert!(matches!(alignment.finish(), Settled::Found { .. }));
    }

    /// Its bytes are not kept: it is known by its stamp.
    #[test]
    fn a_last_line_that_was_no_utf8_is_found_too() {
        let known = restored(&[(10, "one", false), (20, "t\u{fffd}o", true)]).fingerprint;
        let mut alignment = known.align(0);
        for old in [mark(10, b"one"), mark(20, b"t\xffo")] {
            alignment.feed(known.seen_as(old));
        }
        assert!(matches!(alignment.finish(), Settled::Found { .. }));
        let mut other = known.align(0);
        other.feed(known.seen_as(mark(21, b"t\xffo")));
        assert_eq!(other.finish(), Settled::Lost);
    }
}
