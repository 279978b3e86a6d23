//! Which sequence numbers may have been issued.
//!
//! A block of numbers is reserved on the disk before the first of it is issued. The file has its full
//! size from the beginning and two places that are written in turn, so that it can be written on a
//! full disk, and a torn write leaves the other place.
//!
//! ```text
//! place: "rollcast" version:u16 clean:u8 0:u8 turn:u64 epoch:[u8;16] through:u64 crc:u32
//! ```

use std::io;
use std::path::{Path, PathBuf};

use super::crc::crc32c;
use super::files::Files;
use super::frame::read_epoch;
use crate::journal::code;
use crate::journal::epoch::Epoch;

/// Numbers reserved at a time. A block must outlast a disk that cannot be written: at 100,000
/// records a second this one does for twelve hours, and 64 bits hold four billion of them.
pub(super) const BLOCK: u64 = 1 << 32;
/// The file's name in the store's directory.
pub(super) const NAME: &str = "reservation";
const MAGIC: &[u8; 8] = b"rollcast";
const PLACE: usize = 48;
/// The places lie in different sectors.
const STRIDE: usize = 4096;
const SIZE: usize = 2 * STRIDE;

/// What stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reservation {
    /// Which journal.
    pub(super) epoch: Epoch,
    /// The last number that may have been issued.
    pub(super) through: u64,
    /// The store was closed: exactly the numbers up to `through` were issued.
    pub(super) clean: bool,
    turn: u64,
}

/// Why there is no reservation to read.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// There is no file.
    Missing,
    /// There is one, in which nothing can be read.
    Damaged,
    /// It was written by another version.
    Version(u16),
    /// The file cannot be read.
    Io(io::Error),
}

// === impl Reservation ===

impl Reservation {
    /// The first of a new journal; not yet on the disk.
    pub(super) fn first(epoch: Epoch) -> Self {
        Reservation { epoch, through: 0, clean: true, turn: 0 }
    }

    pub(super) fn path(directory: &Path) -> PathBuf {
        directory.join(NAME)
    }

    pub(super) fn read(directory: &Path) -> Result<Self, Unreadable> {
        let bytes = match std::fs::read(Self::path(directory)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Unreadable::Missing);
            }
            Err(error) => return Err(Unreadable::Io(error)),
        };
        let places = [bytes.get(..PLACE), bytes.get(STRIDE..STRIDE + PLACE)];
        let mut best: Option<Reservation> = None;
        let mut version = None;
        for place in places.into_iter().flatten() {
            match parse(place) {
                Ok(found) if best.is_none_or(|best| found.turn > best.turn) => best = Some(found),
                Ok(_) => {}
                Err(other) => version = version.or(other),
            }
        }
        best.ok_or(version.map_or(Unreadable::Damaged, Unreadable::Version))
    }

    /// Makes the file.
    pub(super) fn create(self, files: &dyn Files, directory: &Path) -> io::Result<Self> {
        let mut bytes = [0; SIZE];
        bytes[..PLACE].copy_from_slice(&self.bytes());
        let mut file = files.create(&Self::path(directory))?;
        file.append(&bytes)?;
        file.sync()?;
        files.sync_directory(directory)?;
        Ok(self)
    }

    /// Reserves up to `through`; when it returns, the numbers may be issued.
    pub(super) fn reserve(
        self,
        files: &dyn Files,
        directory: &Path,
        through: u64,
    ) -> io::Result<Self> {
        Reservation { through, clean: false, ..self }.write(files, directory)
    }

    /// Gives back what was not issued behind `last`.
    pub(super) fn close(self, files: &dyn Files, directory: &Path, last: u64) -> io::Result<Self> {
        Reservation { through: last, clean: true, ..self }.write(files, directory)
    }

    /// Nothing was issued: as it was found.
    pub(super) fn give_back(
        self,
        files: &dyn Files,
        directory: &Path,
        through: u64,
        clean: bool,
    ) -> io::Result<Self> {
        Reservation { through, clean, ..self }.write(files, directory)
    }

    fn write(self, files: &dyn Files, directory: &Path) -> io::Result<Self> {
        let next = Reservation { turn: self.turn + 1, ..self };
        let offset = if next.turn.is_multiple_of(2) { 0 } else { STRIDE };
        files.overwrite(&Self::path(directory), offset as u64, &next.bytes())?;
        Ok(next)
    }

    fn bytes(&self) -> [u8; PLACE] {
        let mut bytes = [0; PLACE];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..10].copy_from_slice(&code::VERSION.to_le_bytes());
        bytes[10] = u8::from(self.clean);
        bytes[12..20].copy_from_slice(&self.turn.to_le_bytes());
        let epoch = self.epoch.as_str().as_bytes();
        bytes[20..20 + epoch.len()].copy_from_slice(epoch);
        bytes[36..44].copy_from_slice(&self.through.to_le_bytes());
        let crc = crc32c(&bytes[..44]);
        bytes[44..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }
}

/// Reads a place; if it is whole but of another version, that version.
fn parse(place: &[u8]) -> Result<Reservation, Option<u16>> {
    let number =
        |at: usize| place[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    if &place[..8] != MAGIC || crc32c(&place[..44]).to_le_bytes() != place[44..] {
        return Err(None);
    }
    let version = u16::from_le_bytes([place[8], place[9]]);
    if version != code::VERSION {
        return Err(Some(version));
    }
    let epoch = read_epoch(&place[20..36]).ok_or(None)?;
    Ok(Reservation { epoch, through: number(36), clean: place[10] == 1, turn: number(12) })
}

#[cfg(test)]
mod tests {
    use super::super::files::Disk;
    use super::*;

    #[test]
    fn a_write_that_is_torn_anywhere_leaves_the_reservation_before_it() {
        let directory = tempfile::tempdir().unwrap();
        let epoch = Epoch::parse("7k2m9q").unwrap();
        let first = Reservation::first(epoch).create(&Disk, directory.path()).unwrap();
        let before = first.reserve(&Disk, directory.path(), BLOCK).unwrap();
        let old = std::fs::read(Reservation::path(directory.path())).unwrap();
        let after = before.reserve(&Disk, directory.path(), 2 * BLOCK).unwrap();
        let new = std::fs::read(Reservation::path(directory.path())).unwrap();
        for torn in 0..=old.len() {
            let mut bytes = old.clone();
            bytes[..torn].copy_from_slice(&new[..torn]);
            std::fs::write(Reservation::path(directory.path()), &bytes).unwrap();
            let read = Reservation::read(directory.path()).unwrap();
            assert!(read == before || read == after, "torn at {torn}: {read:?}");
        }
        assert_eq!(Reservation::read(directory.path()).unwrap(), after);
    }

    #[test]
    fn what_cannot_be_read_is_told_apart() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(Reservation::read(directory.path()), Err(Unreadable::Missing)));
        std::fs::write(Reservation::path(directory.path()), [0; SIZE]).unwrap();
        assert!(matches!(Reservation::read(directory.path()), Err(Unreadable::Damaged)));
        let mut bytes = Reservation::first(Epoch::parse("7k2m9q").unwrap()).bytes();
        bytes[8] = 9;
        let crc = crc32c(&bytes[..44]);
        bytes[44..].copy_from_slice(&crc.to_le_bytes());
        std::fs::write(Reservation::path(directory.path()), bytes).unwrap();
        assert!(matches!(Reservation::read(directory.path()), Err(Unreadable::Version(9))));
    }
}
