//! Batches of lines.

use std::sync::Arc;

use bytes::Bytes;

use super::input::{Input, Names};
use super::output::Output;
use super::{Malformed, words};
use crate::ids::{LineMeta, Lines};

const LOSSY: u8 = 1;
const PARTIAL: u8 = 2;
const TRUNCATED: u8 = 4;
const ORDINAL: u8 = 8;
/// The text of the line does not begin where the text of the line before ends.
const MOVED: u8 = 16;
/// The line's beginning may be missing.
const PARTIAL_HEAD: u8 = 32;
/// In the byte that says the side: the container was known to have failed.
const FAILED: u8 = 128;
const ALL: u8 = LOSSY | PARTIAL | TRUNCATED | ORDINAL | MOVED | PARTIAL_HEAD;

pub(super) fn write(out: &mut Output<'_>, lines: &Lines) {
    out.source(&lines.source);
    out.byte(words::side(lines.side) | if lines.failed { FAILED } else { 0 });
    out.number(lines.lines.len() as u64);
    let (mut time, mut end) = (0i64, 0u32);
    for line in &lines.lines {
        let mut flags = 0;
        for (set, flag) in [
            (line.lossy, LOSSY),
            (line.partial, PARTIAL),
            (line.partial_head, PARTIAL_HEAD),
            (line.truncated_bytes != 0, TRUNCATED),
            (line.ordinal != 0, ORDINAL),
            (line.start != end, MOVED),
        ] {
            flags |= if set { flag } else { 0 };
        }
        out.byte(flags);
        out.signed(line.time.wrapping_sub(time));
        out.number(u64::from(line.len));
        for (value, flag) in
            [(line.truncated_bytes, TRUNCATED), (line.ordinal, ORDINAL), (line.start, MOVED)]
        {
            if flags & flag != 0 {
                out.number(u64::from(value));
            }
        }
        time = line.time;
        end = line.start.wrapping_add(line.len);
    }
    out.blob(&lines.text);
}

pub(super) fn read(input: &mut Input<'_>, names: &mut Names) -> Result<Arc<Lines>, Malformed> {
    let source = input.source(names)?;
    let side = input.byte()?;
    let (side, failed) = (words::side_of(side & !FAILED)?, side & FAILED != 0);
    let (mut time, mut end) = (0i64, 0u32);
    let lines = input.list(|input| {
        let flags = input.byte()?;
        if flags & !ALL != 0 {
            return Err(Malformed);
        }
        time = time.wrapping_add(input.signed()?);
        let len = input.small()?;
        let mut given = |flag, usual| if flags & flag != 0 { input.small() } else { Ok(usual) };
        let (truncated_bytes, ordinal) = (given(TRUNCATED, 0)?, given(ORDINAL, 0)?);
        let start = given(MOVED, end)?;
        end = start.checked_add(len).ok_or(Malformed)?;
        let (lossy, partial) = (flags & LOSSY != 0, flags & PARTIAL != 0);
        let partial_head = flags & PARTIAL_HEAD != 0;
        Ok(LineMeta { time, start, len, truncated_bytes, ordinal, lossy, partial, partial_head })
    })?;
    let text = input.blob()?;
    // The rest of the program takes a line's place and its UTF-8 for granted.
    let whole = |line: &LineMeta| {
        let (start, end) = (line.start as usize, line.start as usize + line.len as usize);
        text.get(start..end).is_some_and(|bytes| std::str::from_utf8(bytes).is_ok())
    };
    if lines.is_empty() || !lines.iter().all(whole) {
        return Err(Malformed);
    }
    let (text, lines) = (Bytes::copy_from_slice(text), lines.into_boxed_slice());
    Ok(Arc::new(Lines { source, side, failed, text, lines }))
}
