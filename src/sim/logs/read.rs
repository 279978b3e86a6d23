//! How the kubelet reads a log, step by step as its `ReadLogs` does (cri-client `pkg/logs/logs.go`):
//! `since` is applied to each piece, `tailLines` counts pieces, a continued piece has no stamp, and
//! after a rotation the path is opened again once for **every** rotation noticed, unchecked. So a
//! reader that lags by two rotations skips the file between them and then repeats one.

use std::sync::Arc;

use parking_lot::Mutex;

use super::Log;
use super::file::File;

/// What a log request asks for.
#[derive(Clone, Debug, Default)]
pub struct ReadOptions {
    /// Stay and wait for more.
    pub follow: bool,
    /// Put the stamp before each line.
    pub timestamps: bool,
    /// Leave out pieces stamped strictly before this time (nanoseconds).
    pub since: Option<i64>,
    /// Begin this many pieces before the end.
    pub tail: Option<u64>,
    /// Stop after this many bytes.
    pub limit: Option<u64>,
}

/// What a reading step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) enum Step {
    /// Bytes were added.
    Data,
    /// There is nothing more yet: wait for the log's next change.
    Wait,
    /// The answer ends here, cleanly.
    End,
}

/// One reader of one attempt's log.
pub(in crate::sim) struct Reader {
    file: Arc<Mutex<File>>,
    next: usize,
    /// Rotations whose event was taken from the queue.
    seen: u64,
    /// The next piece begins a line, so it gets a stamp.
    new_line: bool,
    follow: bool,
    timestamps: bool,
    since: i64,
    remaining: u64,
    /// Pieces left in a reading with `tailLines` and without `follow`.
    pieces: Option<u64>,
}

// === impl Reader ===

impl Reader {
    /// Opens the log's newest file at the place that the options ask for.
    pub(in crate::sim) fn open(log: &Log, options: &ReadOptions) -> Self {
        let (file, seen) = log.current();
        let length = file.lock().len();
        let next = options
            .tail
            .map_or(0, |tail| length.saturating_sub(usize::try_from(tail).unwrap_or(usize::MAX)));
        Reader {
            file,
            next,
            seen,
            new_line: true,
            follow: options.follow,
            timestamps: options.timestamps,
            since: options.since.unwrap_or(i64::MIN),
            remaining: options.limit.unwrap_or(u64::MAX),
            pieces: if options.follow { None } else { options.tail },
        }
    }

    /// Adds up to about `most` bytes of what is there to `out` (one piece may go beyond it).
    pub(in crate::sim) fn step(&mut self, log: &Log, out: &mut Vec<u8>, most: usize) -> Step {
        loop {
            if self.remaining == 0 || self.pieces == Some(0) {
                return if out.is_empty() { Step::End } else { Step::Data };
            }
            self.copy(out, most);
            if !out.is_empty() {
                return Step::Data;
            }
            // At the end of this file. A finished container's log is read once more before the end
            // is believed: it may have written between our reading and its end.
            let (current, rotations, ended) = log.state();
            let at_end = self.next >= self.file.lock().len();
            if !at_end {
                continue;
            }
            if self.follow && self.seen < rotations {
                self.seen += 1;
                self.file = current;
                self.next = 0;
                continue;
            }
            return if self.follow && !ended { Step::Wait } else { Step::End };
        }
    }

    /// Copies whole runs of pieces; a run is broken only where a stamp or a piece is left out.
    fn copy(&mut self, out: &mut Vec<u8>, most: usize) {
        let file = self.file.clone();
        let file = file.lock();
        let (mut from, mut to) = (self.next, self.next);
        while let Some(piece) = file.piece(to) {
            let pending = out.len() + file.run(from, to).len();
            if pending >= most || self.pieces == Some(0) {
                break;
            }
            let wanted = piece.stamp >= self.since;
            let plain = wanted && self.timestamps && self.new_line;
            self.new_line = piece.full;
            if let Some(left) = &mut self.pieces {
                *left -= 1;
            }
            to += 1;
            if plain {
                continue;
            }
            self.emit(out, file.run(from, to - 1));
            from = to;
            if wanted {
                let (text, content) = file.text(to - 1);
                self.emit(out, &text[content..]);
            }
        }
        self.emit(out, file.run(from, to));
        self.next = to;
    }

    fn emit(&mut self, out: &mut Vec<u8>, bytes: &[u8]) {
        let taken = bytes.len().min(usize::try_from(self.remaining).unwrap_or(usize::MAX));
        out.extend_from_slice(&bytes[..taken]);
        self.remaining -= taken as u64;
    }
}
