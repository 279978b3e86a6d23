//! Whether numbered lines came once, in order and undamaged.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use rollcast::sim::read_numbered;

use crate::cluster::BINARY;

/// Of so many lines one has its checksum computed; the number of each is read.
const CHECKSUM_EVERY: u64 = 64;

/// The numbers seen, by source.
#[derive(Debug, Default)]
pub struct Check {
    next: Mutex<HashMap<Arc<str>, u64>>,
    lines: AtomicU64,
    wrong: AtomicU64,
}

impl Check {
    /// Takes the next lines of a source.
    pub fn take<'a>(&self, source: &Arc<str>, lines: impl Iterator<Item = &'a [u8]>) {
        let mut next = self.next.lock().get(source).copied().unwrap_or(0);
        self.take_from(&mut next, lines);
        self.next.lock().insert(source.clone(), next);
    }

    /// Takes lines of a source whose next number the caller keeps.
    pub fn take_from<'a>(&self, next: &mut u64, lines: impl Iterator<Item = &'a [u8]>) {
        let before = *next;
        let mut wrong = 0;
        for line in lines {
            wrong += u64::from(!right(line, *next));
            *next += 1;
        }
        self.lines.fetch_add(*next - before, Ordering::Relaxed);
        if wrong > 0 {
            self.wrong.fetch_add(wrong, Ordering::Relaxed);
        }
    }

    /// Something else that must not be, such as a gap.
    pub fn blame(&self) {
        self.wrong.fetch_add(1, Ordering::Relaxed);
    }

    pub fn lines(&self) -> u64 {
        self.lines.load(Ordering::Relaxed)
    }

    pub fn wrong(&self) -> u64 {
        self.wrong.load(Ordering::Relaxed)
    }

    pub fn sources(&self) -> usize {
        self.next.lock().len()
    }

    /// Fewest and most lines of a source.
    pub fn spread(&self) -> (u64, u64) {
        let next = self.next.lock();
        let values = || next.values().copied();
        (values().min().unwrap_or(0), values().max().unwrap_or(0))
    }
}

/// Whether this is the line with that number.
pub fn right(line: &[u8], number: u64) -> bool {
    let mut words = line.splitn(3, |byte| *byte == b' ');
    if words.next() == Some(BINARY.as_bytes()) {
        let read = words.next().and_then(|field| std::str::from_utf8(field).ok()?.parse().ok());
        return read == Some(number);
    }
    if number.is_multiple_of(CHECKSUM_EVERY) {
        return read_numbered(line).is_some_and(|read| read.number == number);
    }
    let field = line.splitn(6, |byte| *byte == b' ').nth(4);
    field.and_then(|field| std::str::from_utf8(field).ok()?.parse().ok()) == Some(number)
}
