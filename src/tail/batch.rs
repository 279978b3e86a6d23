//! Collects lines into one append.

use std::sync::Arc;

use bytes::Bytes;

use super::align::{Fingerprint, Mark};
use crate::ids::{Entry, LineMeta, Lines, Side, Source};

/// A batch is handed on at this size, so that offsets stay small and a reader's piece too.
pub(super) const FULL: usize = 256 * 1024;

/// One line, not yet placed.
#[derive(Clone, Debug)]
pub(super) struct Line<T> {
    pub(super) mark: Mark,
    /// The text, cut at the cap.
    pub(super) text: T,
    /// It ended with the log rather than with a line end.
    pub(super) partial: bool,
    /// The file may have begun inside it.
    pub(super) partial_head: bool,
}

/// Lines of one source on their way to the journal.
#[derive(Debug, Default)]
pub(super) struct Batch {
    text: Vec<u8>,
    lines: Vec<LineMeta>,
    /// Bytes that will hardly be exceeded before the batch is taken.
    expected: usize,
}

// === impl Batch ===

impl Batch {
    /// Says that about so many bytes of lines come before the batch is taken: its memory is had at
    /// once instead of by growing, but not before there is a first line.
    pub(super) fn expect(&mut self, bytes: usize) {
        self.expected = bytes;
    }

    /// Adds a line and remembers it.
    pub(super) fn push<T: AsRef<[u8]>>(&mut self, line: &Line<T>, known: &mut Fingerprint) {
        let mark = line.mark;
        let bytes = line.text.as_ref();
        if self.text.capacity() == 0 {
            self.text.reserve_exact(self.expected);
        }
        let start = self.text.len();
        let cut = (bytes.len() as u64) < u64::from(mark.len);
        let lossy = push_utf8(&mut self.text, bytes, cut);
        self.lines.push(LineMeta {
            time: mark.time,
            start: start as u32,
            len: (self.text.len() - start) as u32,
            truncated_bytes: if cut { mark.len } else { 0 },
            ordinal: known.equal_stamps(mark.time),
            lossy,
            partial: line.partial,
            partial_head: line.partial_head,
        });
        known.push(mark);
    }

    /// Bytes collected so far.
    pub(super) fn bytes(&self) -> usize {
        self.text.len()
    }

    /// The collected lines, if any; empties the batch.
    pub(super) fn take(&mut self, source: &Arc<Source>, side: Side, failed: bool) -> Option<Entry> {
        if self.lines.is_empty() {
            return None;
        }
        // A slice without slack: the journal keeps it for long, and counts its length only.
        let text = std::mem::take(&mut self.text).into_boxed_slice();
        let lines = Lines {
            source: source.clone(),
            side,
            failed,
            text: Bytes::from(text),
            lines: std::mem::take(&mut self.lines).into_boxed_slice(),
        };
        Some(Entry::Lines(Arc::new(lines)))
    }
}

/// Appends bytes as UTF-8. Gives whether invalid bytes were replaced; a character that only the cut
/// at the cap broke is left out instead.
fn push_utf8(out: &mut Vec<u8>, bytes: &[u8], cut: bool) -> bool {
    let mut rest = bytes;
    let mut lossy = false;
    loop {
        match std::str::from_utf8(rest) {
            Ok(valid) => {
                out.extend_from_slice(valid.as_bytes());
                return lossy;
            }
            Err(error) => {
                let (valid, bad) = rest.split_at(error.valid_up_to());
                out.extend_from_slice(valid);
                let Some(len) = error.error_len() else {
                    if !cut {
                        out.extend_from_slice("\u{fffd}".as_bytes());
                        lossy = true;
                    }
                    return lossy;
                };
                out.extend_from_slice("\u{fffd}".as_bytes());
                lossy = true;
                rest = &bad[len..];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn utf8(bytes: &[u8], cut: bool) -> (String, bool) {
        let mut out = Vec::new();
        let lossy = push_utf8(&mut out, bytes, cut);
        (String::from_utf8(out).unwrap(), lossy)
    }

    #[test]
    fn a_taken_batch_holds_no_more_than_its_text() {
        let mut batch = Batch::default();
        batch.expect(10_000);
        let mark = Mark { time: 1, hash: 0, len: 5 };
        let line = Line { mark, text: b"hello", partial: false, partial_head: false };
        batch.push(&line, &mut Fingerprint::default());
        let key = crate::ids::AttemptKey {
            uid: "u".into(),
            container: "c".into(),
            container_id: "i".into(),
        };
        let workload = crate::ids::WorkloadId::new("shop", crate::ids::Kind::Pod, "p");
        let source =
            Arc::new(Source { key, workload: Arc::new(workload), pod: "p".into(), attempt: 1 });
        let Some(Entry::Lines(lines)) = batch.take(&source, Side::New, false) else {
            panic!("there is a line")
        };
        let text = Arc::into_inner(lines).unwrap().text;
        assert_eq!(text, "hello");
        assert_eq!(text.try_into_mut().unwrap().capacity(), 5);
    }

    #[test]
    fn a_character_broken_by_the_cap_is_left_out_and_not_called_invalid() {
        assert_eq!(utf8(&"aä".as_bytes()[..2], true), ("a".to_owned(), false));
        assert_eq!(utf8(&"aä".as_bytes()[..2], false), ("a\u{fffd}".to_owned(), true));
    }

    proptest! {
        #[test]
        fn invalid_bytes_are_replaced_as_the_standard_library_does(
            bytes in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let (text, lossy) = utf8(&bytes, false);
            prop_assert_eq!(&text, &String::from_utf8_lossy(&bytes));
            prop_assert_eq!(lossy, std::str::from_utf8(&bytes).is_err());
        }
    }
}
