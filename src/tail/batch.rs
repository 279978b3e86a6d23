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
}

/// Lines of one source on their way to the journal.
#[derive(Debug, Default)]
pub(super) struct Batch {
    text: Vec<u8>,
    lines: Vec<LineMeta>,
}

// === impl Batch ===

impl Batch {
    /// Adds a line and remembers it.
    pub(super) fn push<T: AsRef<[u8]>>(&mut self, line: &Line<T>, known: &mut Fingerprint) {
        let mark = line.mark;
        let bytes = line.text.as_ref();
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
        });
        known.push(mark);
    }

    /// Bytes collected so far.
    pub(super) fn bytes(&self) -> usize {
        self.text.len()
    }

    /// The collected lines, if any; empties the batch.
    pub(super) fn take(&mut self, source: &Arc<Source>, side: Side) -> Option<Entry> {
        if self.lines.is_empty() {
            return None;
        }
        let batch = Lines {
            source: source.clone(),
            side,
            // Exactly as much as is held is counted by the journal.
            text: Bytes::copy_from_slice(&self.text),
            lines: std::mem::take(&mut self.lines).into_boxed_slice(),
        };
        self.text.clear();
        Some(Entry::Lines(Arc::new(batch)))
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
