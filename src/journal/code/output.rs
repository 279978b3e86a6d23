//! Writing the primitives.

use crate::ids::{Source, WorkloadId};

/// Bytes that grow.
#[derive(Debug)]
pub(super) struct Output<'a>(pub(super) &'a mut Vec<u8>);

// === impl Output ===

impl Output<'_> {
    pub(super) fn byte(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(super) fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    pub(super) fn signed(&mut self, value: i64) {
        self.number(((value << 1) ^ (value >> 63)) as u64);
    }

    pub(super) fn flag(&mut self, value: bool) {
        self.byte(u8::from(value));
    }

    pub(super) fn text(&mut self, text: &str) {
        self.blob(text.as_bytes());
    }

    pub(super) fn blob(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// What may be unknown: a flag before it.
    pub(super) fn maybe<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.flag(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
    }

    pub(super) fn maybe_text(&mut self, text: Option<&str>) {
        self.maybe(text, Self::text);
    }

    /// Something with its length before it, so that it can be compared without being read.
    fn boxed(&mut self, write: impl FnOnce(&mut Output<'_>)) {
        let mut inner = Vec::with_capacity(256);
        write(&mut Output(&mut inner));
        self.blob(&inner);
    }

    pub(super) fn workload(&mut self, workload: &WorkloadId) {
        self.boxed(|out| {
            out.byte(super::words::kind(workload.kind));
            out.text(&workload.namespace);
            out.text(&workload.name);
        });
    }

    pub(super) fn source(&mut self, source: &Source) {
        self.boxed(|out| {
            out.text(&source.key.uid);
            out.text(&source.key.container);
            out.text(&source.key.container_id);
            out.text(&source.pod);
            out.number(u64::from(source.attempt));
            out.workload(&source.workload);
        });
    }
}
