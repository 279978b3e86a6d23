//! One log file of a container, as containerd writes it: pieces of at most 16 KiB, each with a stamp
//! of its own and a tag that says whether its line ends with it.
//!
//! The text is kept once, in the form in which it is served with `timestamps=true`; what a reader
//! leaves out (stamps of continued pieces, stamps altogether) it leaves out while it copies.

use crate::sim::lines::{STAMP, Stamper};

/// containerd's `max_container_log_line_size`: longer lines are stored in pieces of this many bytes.
pub const PIECE_BYTES: usize = 16 * 1024;

/// Bytes of `stdout F `, which a stored piece has and our form has not; they count for rotation.
const TAG_BYTES: usize = 9;

/// One stored piece. Its text is the stamp, a space, the content, and an LF if it is full.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    /// Where its text ends in the file's text; it begins where the one before ends.
    pub end: u32,
    /// When containerd read it.
    pub stamp: i64,
    /// Its line ends with it (tag `F`); else the next piece continues it (tag `P`).
    pub full: bool,
}

/// One file of a container's log.
#[derive(Debug, Default)]
pub(super) struct File {
    text: Vec<u8>,
    pieces: Vec<Piece>,
}

// === impl File ===

impl File {
    /// Appends one piece; `content` is without LF and at most [`PIECE_BYTES`] long.
    pub(super) fn push(&mut self, stamper: &mut Stamper, stamp: i64, content: &[u8], full: bool) {
        stamper.push(&mut self.text, stamp);
        self.text.extend_from_slice(content);
        if full {
            self.text.push(b'\n');
        }
        // Rotation keeps a file far below 4 GiB.
        let end = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
        self.pieces.push(Piece { end, stamp, full });
    }

    /// What the file takes on the node's disk.
    pub(super) fn size(&self) -> usize {
        self.text.len() + self.pieces.len() * TAG_BYTES
    }

    /// How many pieces it holds.
    pub(super) fn len(&self) -> usize {
        self.pieces.len()
    }

    /// The piece at this place.
    pub(super) fn piece(&self, at: usize) -> Option<Piece> {
        self.pieces.get(at).copied()
    }

    /// The text of a piece with its stamp, and where the content begins in it.
    pub(super) fn text(&self, at: usize) -> (&[u8], usize) {
        let start = if at == 0 { 0 } else { self.pieces[at - 1].end as usize };
        (&self.text[start..self.pieces[at].end as usize], STAMP + 1)
    }

    /// The text of the pieces from `from` up to `to`, with their stamps.
    pub(super) fn run(&self, from: usize, to: usize) -> &[u8] {
        let start = if from == 0 { 0 } else { self.pieces[from - 1].end as usize };
        let end = if to == 0 { 0 } else { self.pieces[to - 1].end as usize };
        &self.text[start..end]
    }
}
