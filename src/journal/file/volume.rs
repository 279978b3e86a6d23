//! The segments in a directory: writing the newest, retiring the oldest.
//!
//! Invariants:
//! - A segment is written from its beginning to its end by one process and never again.
//! - Each begins with what is known of everything before it, so that any of the older ones may go.
//! - A segment is removed only when what the journal still wants of it lies, synced, in a newer one.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files::{Files, Output};
use super::frame::{self, HEADER};
use crate::journal::epoch::Epoch;

/// Largest size of a segment, in bytes. It is what retention can give back at a time, and what is
/// held in memory when it is read.
const MAX_SEGMENT: u64 = 8 << 20;
/// Smallest, whatever the size of the store.
const MIN_SEGMENT: u64 = 64 << 10;
/// A store has at least so many segments when it is full.
const SEGMENTS: u64 = 8;

/// A directory that is ours.
#[derive(Debug)]
pub(super) struct Volume {
    pub(super) files: Arc<dyn Files>,
    pub(super) directory: PathBuf,
    pub(super) epoch: Epoch,
    pub(super) max_bytes: u64,
    /// Segments that are not written any more, oldest first.
    pub(super) sealed: VecDeque<Segment>,
    pub(super) next_number: u64,
    open: Option<Open>,
}

/// A segment that is not written any more.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) bytes: u64,
    /// Nothing in it was appended later, wall time.
    pub(super) newest: i64,
}

#[derive(Debug)]
struct Open {
    number: u64,
    output: Box<dyn Output>,
    bytes: u64,
    /// Of these, what it begins with: how far everything was.
    heading: u64,
    /// Everything is on the disk.
    synced: bool,
}

// === impl Volume ===

impl Volume {
    pub(super) fn new(
        files: Arc<dyn Files>,
        directory: PathBuf,
        epoch: Epoch,
        max_bytes: u64,
        sealed: VecDeque<Segment>,
        next_number: u64,
    ) -> Self {
        Volume { files, directory, epoch, max_bytes, sealed, next_number, open: None }
    }

    pub(super) fn bytes(&self) -> u64 {
        let open = self.open.as_ref().map_or(0, |open| open.bytes);
        self.sealed.iter().map(|segment| segment.bytes).sum::<u64>() + open
    }

    pub(super) fn segments(&self) -> u64 {
        self.sealed.len() as u64 + u64::from(self.open.is_some())
    }

    /// Whether the newest segment has its full size.
    pub(super) fn is_full(&self) -> bool {
        let full = (self.max_bytes / SEGMENTS).clamp(MIN_SEGMENT, MAX_SEGMENT);
        // A long heading must not make every batch a segment of its own.
        self.open.as_ref().is_some_and(|open| open.bytes - open.heading >= full)
    }

    /// Whether it is larger than it may be.
    pub(super) fn is_over(&self) -> bool {
        self.bytes() > self.max_bytes
    }

    /// Whether something was written that may not be on the disk yet.
    pub(super) fn is_dirty(&self) -> bool {
        self.open.as_ref().is_some_and(|open| !open.synced)
    }

    /// Appends frames, in a new segment that begins with `heading` if there is none.
    ///
    /// # Errors
    /// Nothing of it may be taken for written. The segment is given up; the next try makes another.
    pub(super) fn append(
        &mut self,
        frames: &[u8],
        now: i64,
        heading: impl FnOnce(&mut Vec<u8>),
    ) -> io::Result<()> {
        if self.open.is_none() {
            self.begin(heading)?;
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        if frames.is_empty() {
            return Ok(());
        }
        if let Err(error) = open.output.append(frames) {
            let (number, bytes) = (open.number, open.bytes);
            self.open = None;
            // What stands behind its end is no harm: it is a frame that is written again, or none.
            let _ = self.files.truncate(&path_of(&self.directory, number), bytes);
            self.sealed.push_back(Segment { number, bytes, newest: now });
            return Err(error);
        }
        open.bytes += frames.len() as u64;
        open.synced = false;
        Ok(())
    }

    fn begin(&mut self, heading: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let number = self.next_number;
        // A number is tried once: what is left of a try that failed is never written over.
        self.next_number += 1;
        let path = path_of(&self.directory, number);
        let mut bytes = frame::header(number, self.epoch).to_vec();
        heading(&mut bytes);
        let mut output = self.files.create(&path)?;
        if let Err(error) =
            output.append(&bytes).and_then(|()| self.files.sync_directory(&self.directory))
        {
            let _ = self.files.remove(&path);
            return Err(error);
        }
        let bytes = bytes.len() as u64;
        self.open = Some(Open { number, output, bytes, heading: bytes, synced: false });
        Ok(())
    }

    /// Waits for the disk.
    ///
    /// # Errors
    /// What was written since the last time may be lost. The segment is given up: a second try would
    /// succeed without having written anything.
    pub(super) fn sync(&mut self, now: i64) -> io::Result<()> {
        let Some(open) = self.open.as_mut().filter(|open| !open.synced) else { return Ok(()) };
        let synced = open.output.sync();
        open.synced = true;
        if synced.is_err() {
            self.seal(now);
        }
        synced
    }

    /// Ends the newest segment, on the disk.
    ///
    /// # Errors
    /// As for [`Volume::sync`].
    pub(super) fn roll(&mut self, now: i64) -> io::Result<()> {
        self.sync(now)?;
        self.seal(now);
        Ok(())
    }

    fn seal(&mut self, now: i64) {
        if let Some(Open { number, bytes, .. }) = self.open.take() {
            self.sealed.push_back(Segment { number, bytes, newest: now });
        }
    }

    /// The frames of the oldest segment whose payload is `wanted`, whole.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn oldest(&self, mut wanted: impl FnMut(&[u8]) -> bool) -> io::Result<Vec<u8>> {
        let Some(oldest) = self.sealed.front() else { return Ok(Vec::new()) };
        let bytes = std::fs::read(path_of(&self.directory, oldest.number))?;
        let mut kept = Vec::new();
        if bytes.len() > HEADER {
            for payload in frame::scan(&bytes).payloads {
                if wanted(&bytes[payload.clone()]) {
                    kept.extend_from_slice(&bytes[payload.start - frame::FRAME..payload.end]);
                }
            }
        }
        Ok(kept)
    }

    /// Removes the oldest segment.
    ///
    /// # Errors
    /// If it cannot be removed; it is tried again next time.
    pub(super) fn remove_oldest(&mut self) -> io::Result<()> {
        let Some(oldest) = self.sealed.front() else { return Ok(()) };
        match self.files.remove(&path_of(&self.directory, oldest.number)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.sealed.pop_front();
        Ok(())
    }
}

const PREFIX: &str = "segment-";

/// Where a segment lies.
pub(super) fn path_of(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{PREFIX}{number:012}"))
}

/// The number of the segment with this name, if it is one.
pub(super) fn number_of(name: &str) -> Option<u64> {
    let number = name.strip_prefix(PREFIX)?.parse().ok()?;
    (format!("{PREFIX}{number:012}") == name).then_some(number)
}
