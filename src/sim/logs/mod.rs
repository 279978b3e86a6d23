//! The log of one attempt, as containerd stores it and the kubelet reads it.
//!
//! Invariants: only the newest file can be opened; rotation happens when a file has reached its
//! size; a reader holds at most one older file, so memory is bounded by the readers and the size.

mod file;
mod read;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use xxhash_rust::xxh3::Xxh3;

pub use self::file::PIECE_BYTES;
pub use self::read::ReadOptions;
pub(super) use self::read::{Reader, Step};

use self::file::File;
use super::lines::Stamper;

/// Nanoseconds between the stamps of two pieces of one line.
const PIECE_STEP: i64 = 2_000;

/// The two pipes of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pipe {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// The truth of what an attempt wrote, for oracles.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// Lines, the last one without LF included.
    pub lines: u64,
    /// Their bytes, line ends included.
    pub bytes: u64,
    /// Numbered lines on stdout, then on stderr.
    pub numbered: [u64; 2],
    /// XXH3 over all lines with their line ends, both pipes in the order of the file.
    pub digest: u64,
    /// Stamps of the first and the last piece.
    pub stamps: Option<(i64, i64)>,
    /// The first bytes of the log as served with timestamps, up to
    /// [`keep_written`](crate::sim::SimOptions::keep_written) bytes, whole pieces only.
    pub text: Bytes,
    /// Rotations so far.
    pub rotations: u64,
    /// The attempt has ended, so nothing will be added.
    pub ended: bool,
}

/// The log of one attempt.
pub(super) struct Log {
    inner: Mutex<Inner>,
    wake: Notify,
}

struct Inner {
    file: Arc<Mutex<File>>,
    rotations: u64,
    ended: bool,
    max: usize,
    keep: usize,
    stamper: Stamper,
    /// What a pipe has brought since its last LF.
    open: [Vec<u8>; 2],
    lines: u64,
    bytes: u64,
    numbered: [u64; 2],
    digest: Xxh3,
    stamps: Option<(i64, i64)>,
    kept: Vec<u8>,
}

/// Writing rights for a batch of lines; readers wake when it is dropped.
pub(super) struct Batch<'a> {
    inner: parking_lot::MutexGuard<'a, Inner>,
    wake: &'a Notify,
}

// === impl Log ===

impl Log {
    /// An empty log that rotates at `max` bytes a file and remembers `keep` bytes for oracles.
    pub(super) fn new(max: usize, keep: usize) -> Self {
        let inner = Inner {
            file: Arc::default(),
            rotations: 0,
            ended: false,
            max,
            keep,
            stamper: Stamper::default(),
            open: Default::default(),
            lines: 0,
            bytes: 0,
            numbered: [0; 2],
            digest: Xxh3::new(),
            stamps: None,
            kept: Vec::new(),
        };
        Log { inner: Mutex::new(inner), wake: Notify::new() }
    }

    /// Begins a batch of writes.
    pub(super) fn batch(&self) -> Batch<'_> {
        Batch { inner: self.inner.lock(), wake: &self.wake }
    }

    /// Wakes with the log's next change. Enable it before looking, or a change may be missed.
    pub(super) fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.wake.notified()
    }

    /// Begins a new file at once, as the kubelet does when a file is too big.
    pub(super) fn rotate(&self) {
        self.inner.lock().rotate();
        self.wake.notify_waiters();
    }

    /// The container has ended at this time: what it left without LF becomes its last piece.
    pub(super) fn end(&self, time: i64) {
        let mut inner = self.inner.lock();
        for pipe in [Pipe::Out, Pipe::Err] {
            let rest = std::mem::take(&mut inner.open[pipe as usize]);
            if !rest.is_empty() {
                inner.store(time, &rest, false);
            }
        }
        inner.ended = true;
        drop(inner);
        self.wake.notify_waiters();
    }

    /// The container has ended: nothing will be added.
    pub(super) fn ended(&self) -> bool {
        self.inner.lock().ended
    }

    /// What was written so far.
    pub(super) fn written(&self) -> Written {
        let inner = self.inner.lock();
        Written {
            lines: inner.lines,
            bytes: inner.bytes,
            numbered: inner.numbered,
            digest: inner.digest.digest(),
            stamps: inner.stamps,
            text: Bytes::copy_from_slice(&inner.kept),
            rotations: inner.rotations,
            ended: inner.ended,
        }
    }

    fn current(&self) -> (Arc<Mutex<File>>, u64) {
        let inner = self.inner.lock();
        (inner.file.clone(), inner.rotations)
    }

    fn state(&self) -> (Arc<Mutex<File>>, u64, bool) {
        let inner = self.inner.lock();
        (inner.file.clone(), inner.rotations, inner.ended)
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Log({} lines)", self.inner.lock().lines)
    }
}

// === impl Batch ===

impl Batch<'_> {
    /// Writes one whole line, given without LF. What the pipe had open becomes its beginning.
    pub(super) fn line(&mut self, pipe: Pipe, time: i64, line: &[u8]) {
        let open = &mut self.inner.open[pipe as usize];
        if open.is_empty() {
            self.inner.store(time, line, true);
            return;
        }
        let mut whole = std::mem::take(open);
        whole.extend_from_slice(line);
        self.inner.store(time, &whole, true);
    }

    /// Counts the line just written as a numbered one.
    pub(super) fn count_numbered(&mut self, pipe: Pipe) {
        self.inner.numbered[pipe as usize] += 1;
    }

    /// Writes bytes as they come, with or without LF. containerd stores a piece when it has a whole
    /// line or 16 KiB, whichever is first.
    pub(super) fn bytes(&mut self, pipe: Pipe, time: i64, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(at) = memchr::memchr(b'\n', rest) {
            self.line(pipe, time, &rest[..at]);
            rest = &rest[at + 1..];
        }
        let mut open = std::mem::take(&mut self.inner.open[pipe as usize]);
        open.extend_from_slice(rest);
        let whole = open.len() / PIECE_BYTES * PIECE_BYTES;
        for piece in open[..whole].chunks(PIECE_BYTES) {
            self.inner.piece(time, piece, false);
        }
        open.drain(..whole);
        self.inner.open[pipe as usize] = open;
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        self.wake.notify_waiters();
    }
}

// === impl Inner ===

impl Inner {
    /// Stores the rest of a line in pieces; the last one is full if the line ended with an LF.
    fn store(&mut self, time: i64, line: &[u8], full: bool) {
        self.lines += 1;
        // containerd reads lines as Go's `bufio.ReadLine` does, which drops a CR before the LF.
        let mut rest = if full { line.strip_suffix(b"\r").unwrap_or(line) } else { line };
        let mut at = time;
        while rest.len() > PIECE_BYTES {
            self.piece(at, &rest[..PIECE_BYTES], false);
            rest = &rest[PIECE_BYTES..];
            at += PIECE_STEP;
        }
        self.piece(at, rest, full);
    }

    fn piece(&mut self, stamp: i64, content: &[u8], full: bool) {
        self.bytes += content.len() as u64 + u64::from(full);
        self.digest.update(content);
        if full {
            self.digest.update(b"\n");
        }
        self.stamps = Some((self.stamps.map_or(stamp, |(first, _)| first), stamp));
        if self.kept.len() + content.len() + 64 <= self.keep {
            if self.kept.last().is_none_or(|last| *last == b'\n') {
                self.stamper.push(&mut self.kept, stamp);
            }
            self.kept.extend_from_slice(content);
            if full {
                self.kept.push(b'\n');
            }
        } else {
            self.keep = 0;
        }
        let mut file = self.file.lock();
        file.push(&mut self.stamper, stamp, content, full);
        let too_big = file.size() >= self.max;
        drop(file);
        if too_big {
            self.rotate();
        }
    }

    fn rotate(&mut self) {
        self.rotations += 1;
        self.file = Arc::default();
    }
}
