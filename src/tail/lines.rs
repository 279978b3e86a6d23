//! Splits the bytes of a log answer into stamped lines.
//!
//! What holds here: a line is delivered once its LF has come, whatever the chunks were; memory is
//! bounded by the cap whatever the line's length; the hash and the length are those of the whole
//! line, also where its text is cut, so that a cut line is recognised when it is read again.

use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

use crate::time::parse_stamp;

/// A stamp with nine digits, an offset and the blank behind it take 36 bytes.
const STAMP_ROOM: usize = 40;

/// One line as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Raw<'a> {
    /// The node's stamp; without one it is no log line (or the tail of one).
    pub(super) time: Option<i64>,
    /// The text without stamp and line end, cut at the cap.
    pub(super) text: &'a [u8],
    /// Length of the whole text in bytes.
    pub(super) true_len: usize,
    /// Hash of the whole text.
    pub(super) hash: u64,
}

/// Joins chunks and splits them at LF.
pub(super) struct Splitter {
    cap: usize,
    carry: Vec<u8>,
    /// Set while the carried line is longer than what is kept of it.
    long: Option<Long>,
}

/// The part of a line that is only counted and hashed.
struct Long {
    hasher: Box<Xxh3Default>,
    len: usize,
}

// === impl Splitter ===

impl Splitter {
    /// Keeps at most `cap` bytes of a line's text.
    pub(super) fn new(cap: usize) -> Self {
        Splitter { cap, carry: Vec::new(), long: None }
    }

    /// Takes the next chunk and calls `each` for every line that it completes.
    pub(super) fn push(&mut self, chunk: &[u8], mut each: impl FnMut(Raw<'_>)) {
        let mut rest = chunk;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (head, tail) = rest.split_at(end);
            rest = &tail[1..];
            if self.carry.is_empty() && head.len() <= self.cap {
                each(raw(head, self.cap));
                continue;
            }
            self.keep(head);
            each(self.carried());
            self.clear();
        }
        if !rest.is_empty() {
            self.keep(rest);
        }
    }

    /// What came after the last LF, if anything. Only the last read of an ended log may take it for
    /// a line; anywhere else it is dropped and read again.
    pub(super) fn fragment(&self) -> Option<Raw<'_>> {
        (!self.carry.is_empty()).then(|| self.carried())
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = (self.cap + STAMP_ROOM).saturating_sub(self.carry.len());
        let (kept, over) = bytes.split_at(bytes.len().min(room));
        if self.long.is_none() {
            self.carry.extend_from_slice(kept);
        }
        if over.is_empty() && self.long.is_none() {
            return;
        }
        let long = self.long.get_or_insert_with(|| {
            let text = text_of(&self.carry);
            let mut hasher = Box::new(Xxh3Default::new());
            hasher.update(text);
            Long { hasher, len: text.len() }
        });
        long.hasher.update(over);
        long.len += over.len();
    }

    fn carried(&self) -> Raw<'_> {
        let mut line = raw(&self.carry, self.cap);
        if let Some(long) = &self.long {
            line.true_len = long.len;
            line.hash = long.hasher.digest();
        }
        line
    }

    fn clear(&mut self) {
        self.carry.clear();
        // One long line must not hold its buffer for the life of the follower.
        self.carry.shrink_to(64 * 1024);
        self.long = None;
    }
}

fn text_of(line: &[u8]) -> &[u8] {
    match parse_stamp(line) {
        Some((_, len)) => line[len..].strip_prefix(b" ").unwrap_or(&line[len..]),
        None => line,
    }
}

fn raw(line: &[u8], cap: usize) -> Raw<'_> {
    let (time, text) = match parse_stamp(line) {
        Some((time, len)) => (Some(time), line[len..].strip_prefix(b" ").unwrap_or(&line[len..])),
        None => (None, line),
    };
    Raw { time, text: &text[..text.len().min(cap)], true_len: text.len(), hash: xxh3_64(text) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(chunks: &[&[u8]], cap: usize) -> Vec<(Option<i64>, Vec<u8>, usize, u64)> {
        let mut splitter = Splitter::new(cap);
        let mut lines = Vec::new();
        for chunk in chunks {
            splitter.push(chunk, |line| {
                lines.push((line.time, line.text.to_vec(), line.true_len, line.hash));
            });
        }
        lines
    }

    const STAMP: &str = "2026-11-22T14:02:38.310164133Z";

    #[test]
    fn an_empty_line_and_control_bytes_are_kept_as_they_are() {
        let text = format!("{STAMP} \n{STAMP} a\rb\0c\r\n{STAMP} \u{7f}\n");
        let lines = split(&[text.as_bytes()], 100);
        let texts: Vec<_> = lines.iter().map(|line| line.1.as_slice()).collect();
        assert_eq!(texts, [b"".as_slice(), b"a\rb\0c\r", b"\x7f"]);
    }

    #[test]
    fn a_line_without_a_stamp_has_no_time() {
        let lines = split(&[b"unable to retrieve container logs\n"], 100);
        assert_eq!(lines[0].0, None);
    }

    #[test]
    fn a_long_line_is_cut_but_measured_and_hashed_whole() {
        let body = "x".repeat(3_000);
        let text = format!("{STAMP} {body}\n{STAMP} y\n");
        for size in [1, 7, 100, 10_000] {
            let chunks: Vec<_> = text.as_bytes().chunks(size).collect();
            let lines = split(&chunks, 64);
            assert_eq!(lines[0].1.len(), 64);
            assert_eq!(lines[0].2, 3_000, "chunks of {size}");
            assert_eq!(lines[0].3, xxh3_64(body.as_bytes()));
            assert_eq!(lines[1].1, b"y");
        }
    }

    #[test]
    fn what_comes_after_the_last_line_end_is_a_fragment() {
        let mut splitter = Splitter::new(64);
        splitter.push(format!("{STAMP} whole\n{STAMP} hal").as_bytes(), |_| {});
        assert_eq!(splitter.fragment().unwrap().text, b"hal");
    }

    proptest! {
        #[test]
        fn chunks_never_change_the_lines(
            texts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..20),
            sizes in prop::collection::vec(1usize..40, 1..20),
            cap in 1usize..100,
        ) {
            let mut whole = Vec::new();
            for text in &texts {
                whole.extend_from_slice(STAMP.as_bytes());
                whole.push(b' ');
                whole.extend(text.iter().map(|byte| if *byte == b'\n' { b'N' } else { *byte }));
                whole.push(b'\n');
            }
            let expected = split(&[&whole], cap);
            prop_assert_eq!(expected.len(), texts.len());
            let mut chunks = Vec::new();
            let mut rest = whole.as_slice();
            for size in sizes.iter().cycle() {
                if rest.is_empty() { break; }
                let (chunk, tail) = rest.split_at((*size).min(rest.len()));
                chunks.push(chunk);
                rest = tail;
            }
            prop_assert_eq!(split(&chunks, cap), expected);
        }
    }
}
