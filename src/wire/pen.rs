//! Log lines, which is where the time goes: what the lines of a batch have in common is written once,
//! and copied from there for each line behind it.

use std::ops::Range;

use super::encoder::{Encoder, Position};
use super::escape::{push_json_fragment, push_json_string};
use super::json::side_word;
use super::stamp::{push_number, push_second, push_sub_second};
use super::text;
use crate::ids::{LineMeta, Lines};
use crate::subscribe::level;
use crate::time::SECOND;

/// Writes the lines of one batch, one after the other, into one buffer.
pub struct Pen<'a> {
    encoder: Encoder,
    out: &'a mut Vec<u8>,
    lines: &'a Lines,
    /// Where what is the same for all of them stands in `out`, once it does.
    common: Option<Common>,
    /// The second of the last line, and where its stamp and its number stand.
    second: Option<Second>,
}

#[derive(Clone)]
struct Common {
    /// From the end of the stamp to the side.
    source: Range<usize>,
    /// The key, up to the time.
    key: Range<usize>,
}

#[derive(Clone)]
struct Second {
    second: i64,
    /// `2026-11-22T14:02:38.`
    stamp: Range<usize>,
    /// The same in digits since 1970.
    digits: Range<usize>,
}

// === impl Pen ===

impl<'a> Pen<'a> {
    /// A pen that appends to `out`.
    pub(super) fn new(encoder: Encoder, out: &'a mut Vec<u8>, lines: &'a Lines) -> Self {
        Pen { encoder, out, lines, common: None, second: None }
    }

    /// Writes one of them.
    pub fn line(&mut self, position: Position, line: &LineMeta) {
        // Valid by construction; see `tail::batch`.
        let text = std::str::from_utf8(self.lines.bytes_of(line)).unwrap_or_default();
        let Pen { encoder, lines, .. } = *self;
        if encoder.format.is_text() {
            let write = |out: &mut Vec<u8>| text::line(out, lines, line, text);
            return encoder.text(self.out, Some(position), write);
        }
        encoder.open(self.out, "log", Some(position));
        encoder.name(self.out, &lines.source.workload);
        self.out.extend_from_slice(b"\"time\":\"");
        let (second, within) = (line.time.div_euclid(SECOND), line.time.rem_euclid(SECOND));
        self.stamp(second);
        let nanos = push_sub_second(self.out, within as u32);
        self.source();
        if let Some(level) = level(text) {
            self.out.extend_from_slice(b",\"level\":\"");
            self.out.extend_from_slice(level.as_str().as_bytes());
            self.out.push(b'"');
        }
        self.out.extend_from_slice(b",\"text\":");
        push_json_string(self.out, text);
        self.flags(line);
        self.key(second, nanos);
        self.out.push(b'.');
        push_number(self.out, u64::from(line.ordinal));
        self.out.extend_from_slice(b"\"}");
        encoder.close(self.out);
    }

    /// Bytes that the buffer holds by now.
    pub fn written(&self) -> usize {
        self.out.len()
    }

    fn stamp(&mut self, second: i64) {
        match &self.second {
            Some(last) if last.second == second => self.out.extend_from_within(last.stamp.clone()),
            _ => {
                let stamp = written(self.out, |out| push_second(out, second));
                // Its digits come with the key.
                self.second = Some(Second { second, stamp, digits: 0..0 });
            }
        }
    }

    fn source(&mut self) {
        if let Some(common) = &self.common {
            return self.out.extend_from_within(common.source.clone());
        }
        let source = &self.lines.source;
        let side = side_word(self.lines.side);
        let range = written(self.out, |out| {
            out.extend_from_slice(b"Z\",\"pod\":");
            push_json_string(out, &source.pod);
            out.extend_from_slice(b",\"container\":");
            push_json_string(out, &source.key.container);
            out.extend_from_slice(b",\"attempt\":");
            push_number(out, u64::from(source.attempt));
            out.extend_from_slice(b",\"side\":\"");
            out.extend_from_slice(side.as_bytes());
            out.push(b'"');
        });
        self.common = Some(Common { source: range, key: 0..0 });
    }

    fn flags(&mut self, line: &LineMeta) {
        if line.truncated_bytes > 0 {
            self.out.extend_from_slice(b",\"truncated_bytes\":");
            push_number(self.out, u64::from(line.truncated_bytes));
        }
        let flags = [
            (line.lossy, ",\"lossy\":true"),
            (line.partial, ",\"partial\":true"),
            (line.partial_head, ",\"partial_head\":true"),
        ];
        for (_, word) in flags.iter().filter(|(is_set, _)| *is_set) {
            self.out.extend_from_slice(word.as_bytes());
        }
    }

    /// Uid, container, attempt and the time in nanoseconds, whose digits are those of the second and
    /// those that the stamp ends with.
    fn key(&mut self, second: i64, nanos: Range<usize>) {
        let source = &self.lines.source;
        match &mut self.common {
            Some(common) if !common.key.is_empty() => {
                self.out.extend_from_within(common.key.clone())
            }
            common => {
                let range = written(self.out, |out| {
                    out.extend_from_slice(b",\"key\":\"");
                    // The API server lets nothing through that needs it; the wire does not rely on that.
                    push_json_fragment(out, &source.key.uid);
                    out.push(b'.');
                    push_json_fragment(out, &source.key.container);
                    out.push(b'.');
                    push_number(out, u64::from(source.attempt));
                    out.push(b'.');
                });
                if let Some(common) = common {
                    common.key = range;
                }
            }
        }
        // The first second of 1970, and what comes before it, has no digits of its own.
        if second <= 0 {
            let time =
                self.out[nanos].iter().fold(0, |time, digit| time * 10 + u64::from(digit - b'0'));
            return push_number(self.out, if second == 0 { time } else { 0 });
        }
        match &mut self.second {
            Some(last) if !last.digits.is_empty() => {
                self.out.extend_from_within(last.digits.clone());
            }
            last => {
                let digits = written(self.out, |out| push_number(out, second as u64));
                if let Some(last) = last {
                    last.digits = digits;
                }
            }
        }
        self.out.extend_from_within(nanos);
    }
}

/// Where what is written then stands.
fn written(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) -> Range<usize> {
    let start = out.len();
    write(out);
    start..out.len()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::ids::{AttemptKey, Kind, Side, Source, WorkloadId};
    use crate::journal::Epoch;
    use crate::time::parse_stamp;
    use crate::wire::Format;

    const TEXT: &str = "INFO \u{1b}[1m \"web\" \u{2028}";

    fn batch(times: &[i64]) -> Lines {
        let key =
            AttemptKey { uid: "0c1f".into(), container: "app".into(), container_id: "c".into() };
        let workload = Arc::new(WorkloadId::new("shop", Kind::Deployment, "web"));
        let source = Arc::new(Source { key, workload, pod: "web-1".into(), attempt: 4 });
        let line = |(at, time): (usize, &i64)| LineMeta {
            time: *time,
            start: (at * TEXT.len()) as u32,
            len: TEXT.len() as u32,
            truncated_bytes: 0,
            ordinal: at as u32,
            lossy: at % 3 == 1,
            partial: false,
            partial_head: false,
        };
        let lines = times.iter().enumerate().map(line).collect();
        let text = Bytes::from(TEXT.repeat(times.len()));
        Lines { source, side: Side::New, failed: false, text, lines }
    }

    /// Times of a few seconds, in any order: before 1970, at its begin, and now.
    fn times() -> impl Strategy<Value = Vec<i64>> {
        let some = prop_oneof![
            -2 * SECOND..3 * SECOND,
            (0i64..3).prop_map(|second| (1_795_356_131 + second) * SECOND),
            1_795_356_131 * SECOND..1_795_356_134 * SECOND,
        ];
        prop::collection::vec(some, 1..12)
    }

    proptest! {
        #[test]
        fn a_batch_is_its_lines_one_by_one(times in times(), named in any::<bool>(), sse in any::<bool>()) {
            let lines = batch(&times);
            let epoch = Epoch::parse("7k2m9q").unwrap();
            let format = if sse { Format::Sse } else { Format::Ndjson };
            let encoder = Encoder { format, epoch, named, again: None };
            let (mut together, mut single) = (Vec::new(), Vec::new());
            let mut pen = encoder.pen(&mut together, &lines);
            for (at, line) in lines.lines.iter().enumerate() {
                let position = Position { seq: at as u64, time: line.time };
                pen.line(position, line);
                encoder.line(&mut single, position, &lines, line);
            }
            prop_assert_eq!(String::from_utf8_lossy(&together), String::from_utf8_lossy(&single));
            let text = String::from_utf8(together).unwrap();
            let events = text.lines().filter_map(|line| line.strip_prefix(if sse { "data: " } else { "" }));
            let mut read = 0;
            for (at, (event, time)) in events.zip(&times).enumerate() {
                let event: Value = serde_json::from_str(event).unwrap();
                let stamp = event["time"].as_str().unwrap();
                prop_assert_eq!(parse_stamp(stamp.as_bytes()), Some((*time, stamp.len())));
                let key = format!("0c1f.app.4.{}.{at}", (*time).max(0));
                prop_assert_eq!(event["key"].as_str(), Some(&*key));
                prop_assert_eq!(event["text"].as_str(), Some(TEXT));
                read += 1;
            }
            prop_assert_eq!(read, times.len());
        }
    }

    /// Names are the API server's, which is no reason to write them down unseen.
    #[test]
    fn no_name_of_a_source_leaves_its_string() {
        const FORGED: &str = "x\"}\r\n\nevent: result\nid: a-1-1\ndata: {}\n\n";
        let mut lines = batch(&[1_795_356_131 * SECOND; 3]);
        let key = AttemptKey {
            uid: FORGED.into(),
            container: FORGED.into(),
            container_id: FORGED.into(),
        };
        let workload = Arc::clone(&lines.source.workload);
        lines.source = Arc::new(Source { key, workload, pod: FORGED.into(), attempt: 1 });
        let epoch = Epoch::parse("7k2m9q").unwrap();
        for format in [Format::Sse, Format::Ndjson, Format::Text, Format::TextIds] {
            let encoder = Encoder { format, epoch, named: true, again: None };
            let mut out = Vec::new();
            let mut pen = encoder.pen(&mut out, &lines);
            for line in &lines.lines {
                pen.line(Position { seq: 9, time: line.time }, line);
            }
            let text = String::from_utf8(out).unwrap();
            let many = text.lines().filter(|line| !line.is_empty()).count();
            // An event has three lines.
            assert_eq!(many, if format == Format::Sse { 9 } else { 3 }, "{text}");
            assert!(
                !text.contains('\r') && !text.lines().any(|it| it == "event: result"),
                "{text}"
            );
            let data = text.lines().filter_map(|line| match format {
                Format::Sse => line.strip_prefix("data: "),
                Format::Ndjson => Some(line),
                _ => None,
            });
            for event in data {
                let event: Value = serde_json::from_str(event).unwrap();
                for name in ["pod", "container"] {
                    assert_eq!(event[name].as_str(), Some(FORGED));
                }
                assert!(event["key"].as_str().unwrap().starts_with(FORGED));
            }
        }
    }
}
