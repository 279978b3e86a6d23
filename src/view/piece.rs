//! Encoded records of one selection.

use bytes::Bytes;

use crate::ids::{Entry, GapReason};
use crate::subscribe::{Cursor, Item, Selection, What};
use crate::telemetry::Metrics;
use crate::time;
use crate::wire::{Encoder, Position};

/// A shared piece is cut at about this size; a single large line makes a larger one. Each viewer pays
/// a wake and a send for each piece, so at 10,000 lines/s and 1,000 viewers small ones cost a fifth of
/// what is delivered per second of CPU; the memory is shared.
pub(super) const SHARED_BYTES: usize = 128 * 1024;
/// One that a viewer makes for itself, which nobody shares the memory of: the server takes pieces until
/// 16 KiB wait for the socket.
pub(super) const OWN_BYTES: usize = 8 * 1024;
/// Room for the line with which a piece passes its size.
const ROOM: usize = 1024;

/// What a gap says that a reader meets in the journal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Behind {
    pub(super) reason: GapReason,
    /// Up to this time the reader has read, if that is known: nothing older is missing.
    pub(super) read: Option<i64>,
}

/// A stretch of the journal in one format: records after `after` up to `through`.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) after: u64,
    pub(super) through: u64,
    pub(super) bytes: Bytes,
    /// The last id in the bytes.
    pub(super) last: Option<Position>,
    /// Stamp of the oldest line in the bytes; `None` without lines.
    oldest: Option<i64>,
    /// Where each record begins: sequence number and offset. In order.
    starts: Vec<(u64, u32)>,
}

// === impl Piece ===

impl Piece {
    /// Reads on with the cursor and encodes what it finds, about `size` bytes of it; `None` if there is
    /// nothing to read. Lines older than `since` are left out.
    pub(super) fn cut(
        cursor: &mut Cursor,
        encoder: Encoder,
        size: usize,
        since: Option<i64>,
        behind: Behind,
        metrics: &Metrics,
    ) -> Option<Piece> {
        let after = cursor.after();
        let mut batch = cursor.read(size / 2);
        if batch.through == after && batch.items.is_empty() {
            return None;
        }
        let mut out = Vec::with_capacity(size + ROOM);
        let mut starts = Vec::new();
        let (mut last, mut oldest) = (None, None::<i64>);
        // In a stream about one workload it is the whole selection that a gap is about.
        let named = |item: &'_ Item| encoder.named.then(|| item.workload.clone());
        'items: for item in &batch.items {
            match &item.what {
                What::Forgotten(missed) => {
                    starts.push((missed.through, out.len() as u32));
                    let now = time::now();
                    let mut gap = Item::gap(behind.reason, missed, now);
                    // Not where all that is missing is older: a log may be opened late.
                    let read = behind.read.filter(|read| gap.to.is_some_and(|to| *read <= to));
                    gap.from = gap.from.map(|from| read.map_or(from, |read| read.max(from)));
                    let position = Position { seq: missed.through, time: now };
                    last = Some(position);
                    encoder.gap(&mut out, position, named(item).as_deref(), &gap);
                    metrics.gaps.add(1, gap.reason.as_str());
                }
                What::Record(slice) => match &slice.entry {
                    Entry::Lines(lines) => {
                        let mut pen = encoder.pen(&mut out, lines);
                        for (index, line) in lines.lines[slice.from..].iter().enumerate() {
                            let young = Selection::young_enough(line, since);
                            if young && cursor.selection().wants_line(lines, line) {
                                let seq = slice.first + index as u64;
                                starts.push((seq, pen.written() as u32));
                                let position = Position { seq, time: line.time.min(slice.low) };
                                last = Some(position);
                                oldest = Some(oldest.map_or(line.time, |old| old.min(line.time)));
                                pen.line(position, line);
                                // The rest of a large batch is the next piece's.
                                if pen.written() >= size {
                                    batch.through = seq;
                                    cursor.seek(seq);
                                    break 'items;
                                }
                            }
                        }
                    }
                    entry => {
                        starts.push((slice.first, out.len() as u32));
                        // Its own time says nothing about what comes behind it.
                        let position = Position { seq: slice.first, time: slice.low };
                        last = Some(position);
                        encoder.entry(&mut out, position, &item.workload, entry);
                    }
                },
            }
        }
        starts.shrink_to_fit();
        out.shrink_to_fit();
        let (through, bytes) = (batch.through, Bytes::from(out));
        Some(Piece { after, through, bytes, last, oldest, starts })
    }

    /// Whether a reader that wants no line older than `since` may be given these bytes.
    pub(super) fn suits(&self, since: Option<i64>) -> bool {
        match (self.oldest, since) {
            (Some(oldest), Some(since)) => oldest >= since,
            _ => true,
        }
    }

    /// The bytes of the records behind `after`.
    pub(super) fn behind(&self, after: u64) -> Bytes {
        if after <= self.after {
            return self.bytes.clone();
        }
        let index = self.starts.partition_point(|(seq, _)| *seq <= after);
        match self.starts.get(index) {
            Some((_, start)) => self.bytes.slice(*start as usize..),
            None => Bytes::new(),
        }
    }

    /// What it costs in memory.
    pub(super) fn cost(&self) -> usize {
        size_of::<Piece>() + self.bytes.len() + self.starts.len() * size_of::<(u64, u32)>()
    }
}
