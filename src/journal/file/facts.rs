//! Reading what a directory holds.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files::Files;
use super::frame::{self, Header};
use super::volume::{Segment, path_of};
use crate::journal::code::{self, Names};
use crate::journal::epoch::Epoch;
use crate::journal::store::Fact;
use crate::telemetry::Metrics;
use crate::telemetry::events::StoreDamaged;

/// A segment that is larger cannot be ours, and is not read into memory.
const LARGEST: u64 = 64 << 20;
/// It is told how far reading is whenever so many segments were read.
const PROGRESS: u64 = 16;

/// Reads what segments hold, the newest first, one at a time in memory.
#[derive(Debug)]
pub(super) struct Facts {
    directory: PathBuf,
    files: Arc<dyn Files>,
    epoch: Epoch,
    metrics: Arc<Metrics>,
    /// Oldest first.
    left: Vec<Segment>,
    /// The newest of all, where it was being written when the process ended without closing it.
    cut: Option<u64>,
    facts: std::vec::IntoIter<Fact>,
    names: Names,
    read: (u64, u64),
}

// === impl Facts ===

impl Facts {
    pub(super) fn new(
        directory: &Path,
        files: Arc<dyn Files>,
        epoch: Epoch,
        segments: &VecDeque<Segment>,
        clean: bool,
        metrics: Arc<Metrics>,
    ) -> Self {
        Facts {
            directory: directory.to_owned(),
            files,
            epoch,
            metrics,
            left: segments.iter().cloned().collect(),
            cut: segments.back().map(|segment| segment.number).filter(|_| !clean),
            facts: Vec::new().into_iter(),
            names: Names::default(),
            read: (0, 0),
        }
    }

    /// The facts of one segment; what cannot be read is said and left out.
    fn segment(&mut self, segment: &Segment) -> Vec<Fact> {
        let path = path_of(&self.directory, segment.number);
        let damaged = |bytes: usize, why: &dyn std::fmt::Display| {
            StoreDamaged { path: &path, bytes: bytes as u64, why }.emit(&self.metrics);
        };
        if segment.bytes > LARGEST {
            damaged(0, &"it is larger than any segment");
            return Vec::new();
        }
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) => {
                damaged(segment.bytes as usize, &error);
                return Vec::new();
            }
        };
        // The process ended when it had just made it.
        if self.cut == Some(segment.number) && bytes.len() < frame::HEADER {
            return Vec::new();
        }
        match frame::read_header(&bytes) {
            Header::Ours(_, epoch) if epoch == self.epoch => {}
            Header::Ours(_, epoch) => {
                damaged(bytes.len(), &format!("it belongs to another journal, {epoch}"));
                return Vec::new();
            }
            Header::Version(version) => {
                damaged(bytes.len(), &format!("it has format {version}"));
                return Vec::new();
            }
            // Frames stand for themselves.
            Header::Damaged => damaged(frame::HEADER.min(bytes.len()), &"its head is damaged"),
        }
        let mut scan = frame::scan(&bytes);
        let torn = self.cut == Some(segment.number) && scan.end < bytes.len();
        if torn {
            // The end of what the last process wrote: no loss that is not known anyway.
            scan.damaged -= bytes.len() - scan.end;
            tracing::debug!(path = %path.display(), from = bytes.len(), to = scan.end, "cut where the last process ended");
            let _ = self.files.truncate(&path, scan.end as u64);
        }
        let mut facts = Vec::with_capacity(scan.payloads.len());
        for payload in scan.payloads {
            match code::read(&bytes[payload.clone()], &mut self.names) {
                Ok(fact) => facts.push(fact),
                Err(_) => scan.damaged += payload.len(),
            }
        }
        if scan.damaged > 0 {
            damaged(scan.damaged, &"checksums do not fit");
        }
        facts
    }
}

impl Iterator for Facts {
    type Item = Fact;

    fn next(&mut self) -> Option<Fact> {
        loop {
            if let Some(fact) = self.facts.next() {
                return Some(fact);
            }
            let segment = self.left.pop()?;
            self.facts = self.segment(&segment).into_iter();
            self.read = (self.read.0 + 1, self.read.1 + segment.bytes);
            if self.read.0.is_multiple_of(PROGRESS) || self.left.is_empty() {
                tracing::info!(
                    segments = self.read.0,
                    left = self.left.len(),
                    bytes = self.read.1,
                    "reading the history that was stored"
                );
            }
        }
    }
}
