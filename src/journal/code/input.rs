//! Reading the primitives.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Malformed, words};
use crate::ids::{AttemptKey, Source, WorkloadId};

/// Bytes that are read from the front.
#[derive(Clone, Debug)]
pub(super) struct Input<'a>(pub(super) &'a [u8]);

/// Names that were read before: thousands of batches share one source, in memory too.
#[derive(Debug, Default)]
pub(crate) struct Names {
    sources: HashMap<Box<[u8]>, Arc<Source>>,
    workloads: HashMap<Box<[u8]>, Arc<WorkloadId>>,
}

/// Names that are remembered at a time, some 600 bytes each. When there are more they are read anew.
const MAX_NAMES: usize = 16_384;

type Result<T> = std::result::Result<T, Malformed>;

// === impl Input ===

impl<'a> Input<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> Result<u8> {
        let (first, rest) = self.0.split_first().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*first)
    }

    pub(super) fn number(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if (bits << shift) >> shift != bits {
                return Err(Malformed);
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    pub(super) fn small(&mut self) -> Result<u32> {
        u32::try_from(self.number()?).map_err(|_| Malformed)
    }

    pub(super) fn signed(&mut self) -> Result<i64> {
        let value = self.number()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    pub(super) fn flag(&mut self) -> Result<bool> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed),
        }
    }

    pub(super) fn blob(&mut self) -> Result<&'a [u8]> {
        let len = usize::try_from(self.number()?).map_err(|_| Malformed)?;
        let (blob, rest) = self.0.split_at_checked(len).ok_or(Malformed)?;
        self.0 = rest;
        Ok(blob)
    }

    pub(super) fn text(&mut self) -> Result<&'a str> {
        std::str::from_utf8(self.blob()?).map_err(|_| Malformed)
    }

    pub(super) fn shared(&mut self) -> Result<Arc<str>> {
        self.text().map(Arc::from)
    }

    pub(super) fn maybe<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<Option<T>> {
        if self.flag()? { read(self).map(Some) } else { Ok(None) }
    }

    /// A list; each item takes a byte at least, so a length that lies is found before memory is
    /// taken for it.
    pub(super) fn list<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let len = usize::try_from(self.number()?).map_err(|_| Malformed)?;
        if len > self.0.len() {
            return Err(Malformed);
        }
        (0..len).map(|_| read(self)).collect()
    }

    pub(super) fn workload(&mut self, names: &mut Names) -> Result<Arc<WorkloadId>> {
        let blob = self.blob()?;
        names.workload(blob)
    }

    pub(super) fn source(&mut self, names: &mut Names) -> Result<Arc<Source>> {
        let blob = self.blob()?;
        names.source(blob)
    }
}

// === impl Names ===

impl Names {
    fn workload(&mut self, blob: &[u8]) -> Result<Arc<WorkloadId>> {
        if let Some(known) = self.workloads.get(blob) {
            return Ok(known.clone());
        }
        let mut input = Input(blob);
        let kind = words::kind_of(input.byte()?)?;
        let (namespace, name) = (input.shared()?, input.shared()?);
        let workload = Arc::new(WorkloadId { namespace, kind, name });
        if !input.is_empty() {
            return Err(Malformed);
        }
        if self.workloads.len() >= MAX_NAMES {
            self.workloads.clear();
        }
        self.workloads.insert(blob.into(), workload.clone());
        Ok(workload)
    }

    fn source(&mut self, blob: &[u8]) -> Result<Arc<Source>> {
        if let Some(known) = self.sources.get(blob) {
            return Ok(known.clone());
        }
        let mut input = Input(blob);
        let (uid, container, container_id) = (input.shared()?, input.shared()?, input.shared()?);
        let (pod, attempt) = (input.shared()?, input.small()?);
        let workload = input.workload(self)?;
        if !input.is_empty() {
            return Err(Malformed);
        }
        let key = AttemptKey { uid, container, container_id };
        let source = Arc::new(Source { key, workload, pod, attempt });
        if self.sources.len() >= MAX_NAMES {
            self.sources.clear();
        }
        self.sources.insert(blob.into(), source.clone());
        Ok(source)
    }
}
