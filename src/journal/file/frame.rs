//! Frames in a segment: each fact with its length and its checksum.
//!
//! A frame begins with a mark of two bytes that no UTF-8 text holds and two letters, so that the next
//! good frame is found behind a bad one, and text in a log cannot pretend to be one.
//!
//! ```text
//! segment: "rollcast" version:u16 0:u16 number:u64 epoch:[u8;16] crc:u32, then frames
//! frame:   f5 'r' 'c' ff  length:u32  crc:u32 of length and payload  payload
//! ```
//! All numbers are little endian; checksums are CRC-32C.

use std::ops::Range;

use super::crc::crc32c;
use crate::journal::code;
use crate::journal::epoch::Epoch;

const MAGIC: &[u8; 8] = b"rollcast";
const MARK: [u8; 4] = [0xf5, b'r', b'c', 0xff];
/// Bytes of a segment before its first frame.
pub(super) const HEADER: usize = 40;
/// Bytes of a frame before its payload.
pub(super) const FRAME: usize = 12;
/// Largest payload. The longest line is 4 MiB and a batch is cut soon after 256 KiB, so a larger
/// one is a mistake.
pub(super) const MAX_PAYLOAD: usize = 16 << 20;

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// It is ours, and has this number and this epoch.
    Ours(u64, Epoch),
    /// It is ours, of a version that is not read.
    Version(u16),
    /// It cannot be read.
    Damaged,
}

/// What is found in a segment.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Payloads with the right checksum.
    pub(super) payloads: Vec<Range<usize>>,
    /// Bytes that are in no good frame.
    pub(super) damaged: usize,
    /// Where the last good frame ends.
    pub(super) end: usize,
}

pub(super) fn header(number: u64, epoch: Epoch) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..10].copy_from_slice(&code::VERSION.to_le_bytes());
    bytes[12..20].copy_from_slice(&number.to_le_bytes());
    bytes[20..20 + epoch.as_str().len()].copy_from_slice(epoch.as_str().as_bytes());
    let crc = crc32c(&bytes[..36]);
    bytes[36..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

pub(super) fn read_header(bytes: &[u8]) -> Header {
    let Some(bytes) = bytes.first_chunk::<HEADER>() else { return Header::Damaged };
    let (head, crc) = bytes.split_at(36);
    if &bytes[..8] != MAGIC || crc32c(head).to_le_bytes() != crc {
        return Header::Damaged;
    }
    let version = u16::from_le_bytes([bytes[8], bytes[9]]);
    if version != code::VERSION {
        return Header::Version(version);
    }
    let number = bytes[12..].first_chunk().map_or(0, |number| u64::from_le_bytes(*number));
    match read_epoch(&bytes[20..36]) {
        Some(epoch) => Header::Ours(number, epoch),
        None => Header::Damaged,
    }
}

/// An epoch, filled up with zeros.
pub(super) fn read_epoch(bytes: &[u8]) -> Option<Epoch> {
    let len = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    Epoch::parse(std::str::from_utf8(&bytes[..len]).ok()?)
}

/// Appends a frame; `write` appends its payload. Tells whether it fits; if not, nothing is appended.
pub(super) fn push(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) -> bool {
    let start = out.len();
    out.extend_from_slice(&MARK);
    out.extend_from_slice(&[0; 8]);
    write(out);
    let len = out.len() - start - FRAME;
    if len > MAX_PAYLOAD {
        out.truncate(start);
        return false;
    }
    out[start + 4..start + 8].copy_from_slice(&(len as u32).to_le_bytes());
    let crc = checksum(&out[start..]);
    out[start + 8..start + FRAME].copy_from_slice(&crc.to_le_bytes());
    true
}

/// Of a whole frame.
fn checksum(frame: &[u8]) -> u32 {
    // The length is in it, so that a wrong length is never taken for a right one.
    let payload = crc32c(&frame[FRAME..]);
    let length = crc32c(&frame[4..8]);
    payload ^ length.rotate_left(1)
}

/// Finds the good frames of a segment.
pub(super) fn scan(bytes: &[u8]) -> Scan {
    let mut scan = Scan { end: HEADER.min(bytes.len()), ..Scan::default() };
    let mut at = scan.end;
    while at < bytes.len() {
        match frame_at(&bytes[at..]) {
            Some(len) => {
                scan.payloads.push(at + FRAME..at + len);
                at += len;
                scan.end = at;
            }
            None => {
                let next = memchr::memmem::find(&bytes[at + 1..], &MARK);
                let skipped = next.map_or(bytes.len() - at, |next| next + 1);
                scan.damaged += skipped;
                at += skipped;
            }
        }
    }
    scan
}

/// The length of the good frame that some bytes begin with.
fn frame_at(bytes: &[u8]) -> Option<usize> {
    let head = bytes.get(..FRAME)?;
    if head[..4] != MARK {
        return None;
    }
    let payload = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
    if payload > MAX_PAYLOAD {
        return None;
    }
    let frame = bytes.get(..FRAME + payload)?;
    (checksum(frame).to_le_bytes() == head[8..12]).then_some(frame.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(payloads: &[&[u8]]) -> Vec<u8> {
        let epoch = Epoch::parse("7k2m9q").unwrap();
        let mut bytes = header(5, epoch).to_vec();
        for payload in payloads {
            assert!(push(&mut bytes, |out| out.extend_from_slice(payload)));
        }
        bytes
    }

    fn found(bytes: &[u8]) -> Vec<&[u8]> {
        scan(bytes).payloads.into_iter().map(|range| &bytes[range]).collect()
    }

    #[test]
    fn a_header_is_read_back_and_every_flipped_bit_of_it_is_seen() {
        let epoch = Epoch::parse("7k2m9q").unwrap();
        let mut bytes = header(5, epoch);
        assert_eq!(read_header(&bytes), Header::Ours(5, epoch));
        for bit in 0..HEADER * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read_header(&bytes), Header::Damaged, "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn a_flipped_bit_costs_the_frame_it_is_in_and_no_other() {
        let payloads: [&[u8]; 4] = [b"one", b"", b"three, a little longer", b"four"];
        let mut bytes = segment(&payloads);
        assert_eq!(found(&bytes), payloads);
        for bit in HEADER * 8..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            let found = found(&bytes);
            assert_eq!(found.len(), 3, "bit {bit}");
            assert!(found.iter().all(|payload| payloads.contains(payload)), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn a_cut_costs_what_is_behind_it_only() {
        let payloads: [&[u8]; 3] = [b"one", b"two", b"three"];
        let bytes = segment(&payloads);
        for len in 0..=bytes.len() {
            let whole = found(&bytes[..len]).len();
            assert_eq!(found(&bytes[..len]), &payloads[..whole], "{len}");
            assert!(scan(&bytes[..len]).end <= len);
        }
    }
}
