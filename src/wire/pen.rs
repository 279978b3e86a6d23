//! Log lines, which is where the time goes. Only digits, the level, the text and the flags of an event are its own: what
//! stands before and behind them is copied from the event before, and the digits are written over.

use std::ops::Range;

use super::encoder::{Encoder, Position};
use super::escape::{push_json_fragment, push_json_string};
use super::id::{Digits, unix_ms};
use super::json::side_word;
use super::stamp::{self, push_number, sub_second};
use super::text;
use crate::ids::{LineMeta, Lines};
use crate::subscribe::{Level, level};
use crate::time::SECOND;

/// Writes the lines of one batch, one after the other, into one buffer.
pub struct Pen<'a> {
    encoder: Encoder,
    out: &'a mut Vec<u8>,
    lines: &'a Lines,
    /// Of the last event, and where it stands in the buffer.
    head: Option<Head>,
    tail: Option<Tail>,
}

/// The begin of an event, up to its side.
struct Head {
    unix_ms: u64,
    second: i64,
    whole: Range<usize>,
    /// In it, the digits of its id.
    id: Digits,
    /// In it, where the stamp begins.
    stamp: usize,
}

/// The end of an event, from its key on.
struct Tail {
    second: i64,
    ordinal: u32,
    whole: Range<usize>,
    /// In it, where the time begins.
    time: usize,
    /// In it, where the nanoseconds of the time begin.
    nanos: usize,
}

// === impl Pen ===

impl<'a> Pen<'a> {
    /// A pen that appends to `out`.
    pub(super) fn new(encoder: Encoder, out: &'a mut Vec<u8>, lines: &'a Lines) -> Self {
        Pen { encoder, out, lines, head: None, tail: None }
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
        let second = line.time.div_euclid(SECOND);
        let nanos = sub_second(line.time.rem_euclid(SECOND) as u32);
        self.head(position, second, &nanos);
        self.out.extend_from_slice(lead(level(text)).as_bytes());
        push_json_fragment(self.out, text);
        self.out.push(b'"');
        self.flags(line);
        self.tail(line, second, &nanos);
    }

    /// Bytes that the buffer holds by now.
    pub fn written(&self) -> usize {
        self.out.len()
    }

    fn head(&mut self, position: Position, second: i64, nanos: &[u8; stamp::NANOS]) {
        let mut digits = itoa::Buffer::new();
        let seq = digits.format(position.seq).as_bytes();
        let unix_ms = unix_ms(position.time);
        let start = self.out.len();
        if let Some(head) = &mut self.head
            && head.id.seq.len() == seq.len()
            && (head.unix_ms == unix_ms
                || head.unix_ms.checked_ilog10() == unix_ms.checked_ilog10())
        {
            let copy = again(self.out, &head.whole);
            copy[head.id.seq.clone()].copy_from_slice(seq);
            if head.unix_ms != unix_ms {
                let unix_ms = digits.format(unix_ms).as_bytes();
                copy[head.id.unix_ms.clone()].copy_from_slice(unix_ms);
            }
            let place = &mut copy[head.stamp..][..stamp::SECOND + stamp::NANOS];
            if head.second != second {
                place[..stamp::SECOND].copy_from_slice(&stamp::second(second));
            }
            place[stamp::SECOND..].copy_from_slice(nanos);
            // The next one is most like this one.
            head.whole = start..start + copy.len();
            (head.unix_ms, head.second) = (unix_ms, second);
            return;
        }
        let id = self.encoder.open(self.out, "log", Some(position)).within(start);
        self.encoder.name(self.out, &self.lines.source.workload);
        self.out.extend_from_slice(b"\"time\":\"");
        let stamp = self.out.len() - start;
        self.out.extend_from_slice(&stamp::second(second));
        self.out.extend_from_slice(nanos);
        self.source();
        self.head = Some(Head { unix_ms, second, whole: start..self.out.len(), id, stamp });
    }

    fn source(&mut self) {
        let Pen { out, lines, .. } = self;
        out.extend_from_slice(b"Z\",\"pod\":");
        push_json_string(out, &lines.source.pod);
        out.extend_from_slice(b",\"container\":");
        push_json_string(out, &lines.source.key.container);
        out.extend_from_slice(b",\"attempt\":");
        push_number(out, u64::from(lines.source.attempt));
        out.extend_from_slice(b",\"side\":\"");
        out.extend_from_slice(side_word(lines.side).as_bytes());
        out.push(b'"');
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
        for (is_set, word) in flags {
            if is_set {
                self.out.extend_from_slice(word.as_bytes());
            }
        }
    }

    /// The key is of uid, container, attempt, the time in nanoseconds and the ordinal.
    fn tail(&mut self, line: &LineMeta, second: i64, nanos: &[u8; stamp::NANOS]) {
        let LineMeta { time, ordinal, .. } = *line;
        // Before the second second of 1970 a time may have fewer digits than nanoseconds have.
        if let Some(tail) = &self.tail
            && (tail.second, tail.ordinal) == (second, ordinal)
            && second > 0
        {
            let copy = again(self.out, &tail.whole);
            return copy[tail.nanos..][..stamp::NANOS].copy_from_slice(nanos);
        }
        let start = self.out.len();
        match &self.tail {
            Some(Tail { whole, time, .. }) => {
                self.out.extend_from_within(whole.start..whole.start + time);
            }
            None => self.key(),
        }
        let out = &mut *self.out;
        let begin = out.len() - start;
        push_number(out, time.max(0).unsigned_abs());
        let end = out.len() - start;
        out.push(b'.');
        push_number(out, u64::from(ordinal));
        out.extend_from_slice(b"\"}");
        self.encoder.close(out);
        let (whole, nanos) = (start..out.len(), end - stamp::NANOS);
        self.tail = Some(Tail { second, ordinal, whole, time: begin, nanos });
    }

    /// The key, up to the time.
    fn key(&mut self) {
        let Pen { out, lines, .. } = self;
        out.extend_from_slice(b",\"key\":\"");
        // The API server lets nothing through that needs it; the wire does not rely on that.
        push_json_fragment(out, &lines.source.key.uid);
        out.push(b'.');
        push_json_fragment(out, &lines.source.key.container);
        out.push(b'.');
        push_number(out, u64::from(lines.source.attempt));
        out.push(b'.');
    }
}

/// Appends a copy of what stands there; gives the copy.
fn again<'a>(out: &'a mut Vec<u8>, whole: &Range<usize>) -> &'a mut [u8] {
    let start = out.len();
    out.extend_from_within(whole.clone());
    &mut out[start..]
}

/// What stands between the side and the text.
fn lead(level: Option<Level>) -> &'static str {
    match level {
        None => r#","text":""#,
        Some(Level::Trace) => r#","level":"trace","text":""#,
        Some(Level::Debug) => r#","level":"debug","text":""#,
        Some(Level::Info) => r#","level":"info","text":""#,
        Some(Level::Warn) => r#","level":"warn","text":""#,
        Some(Level::Error) => r#","level":"error","text":""#,
    }
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
    use crate::time::{MILLISECOND, parse_stamp};
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
            truncated_bytes: at as u32 % 2,
            ordinal: at as u32 % 3,
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
        fn a_batch_is_its_lines_one_by_one(
            times in times(),
            walls in prop::collection::vec(
                prop::sample::select(vec![-1i64, 0, 9, 10, 99, 100, 999, 1_000, 1_795_356_131_000]),
                12,
            ),
            begin in prop::sample::select(vec![0u64, 7, 98, 999_998]),
            again in any::<Option<u32>>(),
            named in any::<bool>(),
            sse in any::<bool>(),
        ) {
            let lines = batch(&times);
            let epoch = Epoch::parse("7k2m9q").unwrap();
            let format = if sse { Format::Sse } else { Format::Ndjson };
            let encoder = Encoder { format, epoch, named, again: again.map(i64::from) };
            // What stands in the buffer already is none of the pen's.
            let (mut together, mut single) = (b"x".to_vec(), b"x".to_vec());
            let mut pen = encoder.pen(&mut together, &lines);
            for (at, line) in lines.lines.iter().enumerate() {
                let position = Position { seq: begin + at as u64, time: walls[at] * MILLISECOND };
                pen.line(position, line);
                encoder.line(&mut single, position, &lines, line);
            }
            prop_assert_eq!(String::from_utf8_lossy(&together), String::from_utf8_lossy(&single));
            let text = String::from_utf8(together.split_off(1)).unwrap();
            let events = text.lines().filter_map(|line| line.strip_prefix(if sse { "data: " } else { "" }));
            let mut ids = text.lines().filter_map(|line| line.strip_prefix("id: "));
            let again = again.map(|time| format!("-{}", i64::from(time) / MILLISECOND));
            let mut read = 0;
            for (at, (event, time)) in events.zip(&times).enumerate() {
                let event: Value = serde_json::from_str(event).unwrap();
                let stamp = event["time"].as_str().unwrap();
                prop_assert_eq!(parse_stamp(stamp.as_bytes()), Some((*time, stamp.len())));
                let key = format!("0c1f.app.4.{}.{}", (*time).max(0), at % 3);
                let (seq, wall) = (begin + at as u64, walls[at].max(0));
                let id = format!("7k2m9q-{seq}-{wall}{}", again.as_deref().unwrap_or_default());
                prop_assert_eq!(if sse { ids.next() } else { event["id"].as_str() }, Some(&*id));
                prop_assert_eq!(event["key"].as_str(), Some(&*key));
                prop_assert_eq!(event["text"].as_str(), Some(TEXT));
                read += 1;
            }
            prop_assert_eq!(read, times.len());
        }
    }

    #[test]
    fn what_leads_to_the_text_names_the_level() {
        assert_eq!(lead(None), r#","text":""#);
        for level in [Level::Trace, Level::Debug, Level::Info, Level::Warn, Level::Error] {
            assert_eq!(lead(Some(level)), format!(r#","level":"{}","text":""#, level.as_str()));
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
