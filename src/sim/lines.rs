//! Lines as bytes: stamps, and numbered lines with a checksum, by which a test knows from the lines
//! alone what is missing, repeated, reordered or damaged.
//!
//! The numbered form is that of the end-to-end suite's writer:
//! `W1 <run> <source> <o|e> <number> <length> <crc32c> <payload>`.

use std::io::Write;

use crate::time::{SECOND, rfc3339_seconds};

/// Bytes of a stamp with nine digits of fraction and `Z`, without the space after it.
pub(super) const STAMP: usize = 30;

/// CRC-32C (Castagnoli), reflected, one byte at a time: fast enough for 100,000 lines a second, and
/// not worth a dependency.
const CRC_TABLE: [u32; 256] = {
    let mut table = [0u32; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

/// Text that payloads are cut from; a prime length, so that neighbouring lines differ.
const FILL: &[u8] = b"the quick brown fox jumps over the lazy dog and goes home to write more log \
lines about what the dog said to the fox that day..";

/// What a numbered line says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbered<'a> {
    /// Tells one test from another.
    pub run: &'a str,
    /// One attempt of one container.
    pub source: &'a str,
    /// `o` for stdout, `e` for stderr.
    pub stream: char,
    /// Counted from 0, each stream by itself.
    pub number: u64,
    /// The payload is `END`: the writer was told to stop and says nothing more.
    pub end: bool,
}

/// Writes times as the kubelet does (RFC 3339 in UTC, nine digits), reusing the second's text.
#[derive(Debug, Default)]
pub(super) struct Stamper {
    second: Option<i64>,
    text: Vec<u8>,
}

/// The CRC-32C of the pieces, one after another.
fn crc32c(pieces: &[&[u8]]) -> u32 {
    let mut crc = u32::MAX;
    for byte in pieces.iter().flat_map(|piece| piece.iter()) {
        crc = (crc >> 8) ^ CRC_TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize];
    }
    !crc
}

/// Appends one numbered line without its LF. `length` is the wanted length in bytes and is raised to
/// what the fields before the payload need; `payload` replaces the filling text.
pub fn push_numbered(
    out: &mut Vec<u8>,
    (run, source): (&str, &str),
    stream: char,
    number: u64,
    length: usize,
    payload: Option<&str>,
) {
    let start = out.len();
    let least = payload.map_or(1, str::len);
    let mut length = if payload.is_some() { 0 } else { length };
    // The length is part of the line and makes it longer: repeat until it fits.
    let head = loop {
        out.truncate(start);
        // Writing to a `Vec` cannot fail.
        let _ = write!(out, "W1 {run} {source} {stream} {number} {length} 00000000 ");
        let head = out.len() - start;
        if length >= head + least {
            break head;
        }
        length = head + least;
    };
    match payload {
        Some(payload) => out.extend_from_slice(payload.as_bytes()),
        None => {
            let mut at = number as usize % FILL.len();
            while out.len() - start < length {
                let piece = (length - (out.len() - start)).min(FILL.len() - at);
                out.extend_from_slice(&FILL[at..at + piece]);
                at = 0;
            }
        }
    }
    let crc = crc32c(&[&out[start..]]);
    let mut field = &mut out[start + head - 9..start + head - 1];
    let _ = write!(field, "{crc:08x}");
}

/// Reads a numbered line, without its LF and without a stamp before it. `None` if it is none, or if
/// its length or checksum are wrong: then it was damaged on the way.
pub fn read_numbered(line: &[u8]) -> Option<Numbered<'_>> {
    let mut fields = line.splitn(8, |byte| *byte == b' ');
    let mut text = || fields.next().and_then(|field| std::str::from_utf8(field).ok());
    let (magic, run, source, stream) = (text()?, text()?, text()?, text()?);
    let (number, length, crc) = (text()?, text()?, text()?);
    let payload = fields.next()?;
    if magic != "W1" || !matches!(stream, "o" | "e") || length.parse() != Ok(line.len()) {
        return None;
    }
    let field = line.len() - payload.len() - 9;
    let sum = crc32c(&[&line[..field], b"00000000", &line[field + 8..]]);
    if crc.len() != 8 || u32::from_str_radix(crc, 16) != Ok(sum) {
        return None;
    }
    let stream = if stream == "o" { 'o' } else { 'e' };
    Some(Numbered { run, source, stream, number: number.parse().ok()?, end: payload == b"END" })
}

// === impl Stamper ===

impl Stamper {
    /// Appends the stamp and the space that follows it.
    pub(super) fn push(&mut self, out: &mut Vec<u8>, time: i64) {
        let second = time.div_euclid(SECOND);
        if self.second != Some(second) {
            self.second = Some(second);
            self.text.clear();
            self.text.extend_from_slice(rfc3339_seconds(time).trim_end_matches('Z').as_bytes());
        }
        out.extend_from_slice(&self.text);
        let mut digits = *b".000000000Z ";
        let mut nanos = time.rem_euclid(SECOND);
        for digit in digits[1..10].iter_mut().rev() {
            *digit = b'0' + (nanos % 10) as u8;
            nanos /= 10;
        }
        out.extend_from_slice(&digits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_castagnolis() {
        // The check value of the CRC catalogue for CRC-32C.
        assert_eq!(crc32c(&[b"1234", b"56789"]), 0xe306_9283);
    }

    #[test]
    fn a_numbered_line_has_the_length_it_says_and_is_read_back() {
        for length in [0, 60, 99, 100, 101, 1_000, 40_000] {
            let mut line = Vec::new();
            push_numbered(&mut line, ("run", "web-1.7.1"), 'e', 41, length, None);
            assert!(line.len() >= length && (length < 60 || line.len() == length), "{length}");
            let read = read_numbered(&line).unwrap();
            assert_eq!(
                (read.source, read.stream, read.number, read.end),
                ("web-1.7.1", 'e', 41, false)
            );
        }
    }

    #[test]
    fn a_damaged_numbered_line_is_refused() {
        let mut line = Vec::new();
        push_numbered(&mut line, ("run", "web"), 'o', 0, 80, None);
        for at in 0..line.len() {
            let mut bad = line.clone();
            bad[at] ^= 1;
            assert_eq!(read_numbered(&bad), None, "byte {at}");
        }
        assert_eq!(read_numbered(&line[..79]), None);
    }

    #[test]
    fn a_stamp_is_read_back_as_it_was_written() {
        let mut stamper = Stamper::default();
        for time in
            [0, 1_795_356_158_310_164_133, 1_795_356_158_000_000_001, 1_795_356_159 * SECOND]
        {
            let mut out = Vec::new();
            stamper.push(&mut out, time);
            assert_eq!(crate::time::parse_stamp(&out), Some((time, STAMP)));
            assert_eq!(out.len(), STAMP + 1);
        }
    }
}
