//! Reads Server-Sent Events out of bytes, as the HTML standard has them (section 9.2.6).
//!
//! What holds here: whatever the bytes are and however they are cut into chunks, the same frames come
//! out, and no more than [`MAX_EVENT_BYTES`] wait inside. Pure: no clock, no I/O.

use memchr::memchr2;

use crate::wire::MAX_ID_BYTES;

/// Bytes that one event may have. The longest line of a log that a server keeps by default, each byte
/// of it written as an escape, takes a fifth of it.
pub const MAX_EVENT_BYTES: usize = 8 << 20;
/// The longest pause that a server may ask for in milliseconds; more is a mistake.
const MAX_RETRY_MS: u64 = 600_000;

/// What a stream says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// An event with data.
    Event {
        /// Its name; empty if it has none.
        name: String,
        /// Its data, lines joined by LF.
        data: String,
    },
    /// Everything up to this id was read. Comes before the event that carries it.
    Id(String),
    /// The client should wait so many milliseconds before it comes back.
    Retry(u64),
    /// A comment: the other side lives.
    Comment,
    /// An event was longer than an event may be, and is left out.
    TooLong,
}

/// Where the reader stands in the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Before the first byte: so many bytes of a byte order mark were read.
    Start(usize),
    /// In a line.
    Line,
    /// Behind a CR: an LF that follows belongs to the same line end.
    CarriageReturn,
}

/// The mark that may stand before everything.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads one stream.
#[derive(Debug)]
pub struct Reader {
    at: At,
    line: Vec<u8>,
    name: String,
    data: String,
    has_data: bool,
    id: Option<String>,
    /// The event is too long: it is read over.
    over: bool,
}

// === impl Reader ===

impl Default for Reader {
    fn default() -> Self {
        Reader {
            at: At::Start(0),
            line: Vec::new(),
            name: String::new(),
            data: String::new(),
            has_data: false,
            id: None,
            over: false,
        }
    }
}

impl Reader {
    /// Takes the next bytes, and appends what they complete.
    pub fn push(&mut self, mut bytes: &[u8], out: &mut Vec<Frame>) {
        while !bytes.is_empty() {
            match self.at {
                At::Start(read) if bytes[0] == MARK[read] => {
                    self.at = if read + 1 == MARK.len() { At::Line } else { At::Start(read + 1) };
                    bytes = &bytes[1..];
                }
                At::Start(read) => {
                    // It was no mark after all.
                    self.line.extend_from_slice(&MARK[..read]);
                    self.at = At::Line;
                }
                At::CarriageReturn => {
                    self.at = At::Line;
                    bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
                }
                At::Line => {
                    let Some(end) = memchr2(b'\r', b'\n', bytes) else {
                        self.take(bytes);
                        return;
                    };
                    self.take(&bytes[..end]);
                    if bytes[end] == b'\r' {
                        self.at = At::CarriageReturn;
                    }
                    bytes = &bytes[end + 1..];
                    self.line_ended(out);
                }
            }
        }
    }

    /// Part of a line, as far as there is room for it.
    fn take(&mut self, part: &[u8]) {
        if self.line.len() + self.data.len() + part.len() > MAX_EVENT_BYTES {
            self.over = true;
            // What is left is enough to tell an empty line from one that was cut.
            self.line.truncate(1);
            self.data = String::new();
            if self.line.is_empty() {
                self.line.extend(part.first());
            }
            return;
        }
        self.line.extend_from_slice(part);
    }

    fn line_ended(&mut self, out: &mut Vec<Frame>) {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            self.dispatch(out);
            return;
        }
        if line[0] == b':' {
            out.push(Frame::Comment);
        } else if !self.over {
            self.field(&line, out);
        }
        // The buffer goes on being used.
        self.line = line;
        self.line.clear();
        if self.line.capacity() > (64 << 10) {
            self.line = Vec::new();
        }
    }

    fn field(&mut self, line: &[u8], out: &mut Vec<Frame>) {
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = match colon {
            Some(at) => (&line[..at], &line[at + 1..]),
            None => (line, &b""[..]),
        };
        let value = String::from_utf8_lossy(value.strip_prefix(b" ").unwrap_or(value));
        match name {
            b"event" => self.name = value.chars().take(MAX_ID_BYTES).collect(),
            b"data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.data.push('\n');
                }
                self.data.push_str(&value);
            }
            // A longer one is none of ours; the standard leaves out those with NUL.
            b"id" if value.len() <= MAX_ID_BYTES && !value.contains('\0') => {
                self.id = Some(value.into_owned());
            }
            b"retry" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                let millis = value.parse().unwrap_or(MAX_RETRY_MS);
                out.push(Frame::Retry(millis.min(MAX_RETRY_MS)));
            }
            _ => {}
        }
    }

    /// An empty line: the event is complete.
    fn dispatch(&mut self, out: &mut Vec<Frame>) {
        let (name, data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
        let has_data = std::mem::take(&mut self.has_data);
        out.extend(self.id.take().map(Frame::Id));
        if std::mem::take(&mut self.over) {
            out.push(Frame::TooLong);
        } else if has_data {
            out.push(Frame::Event { name, data });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(chunks: &[&[u8]]) -> Vec<Frame> {
        let (mut reader, mut out) = (Reader::default(), Vec::new());
        for chunk in chunks {
            reader.push(chunk, &mut out);
        }
        out
    }

    fn event(name: &str, data: &str) -> Frame {
        Frame::Event { name: name.to_owned(), data: data.to_owned() }
    }

    fn id(text: &str) -> Frame {
        Frame::Id(text.to_owned())
    }

    #[test]
    fn a_stream_of_ours_is_read() {
        let text =
            b"retry: 2150\n: rollcast 0.1.0\n\nevent: hello\nid: a-1-2\ndata: {}\n\n: hb\n\n";
        let expected =
            [Frame::Retry(2150), Frame::Comment, id("a-1-2"), event("hello", "{}"), Frame::Comment];
        assert_eq!(read(&[text]), expected);
    }

    #[test]
    fn every_form_of_a_field_is_read_as_the_standard_says() {
        for (text, expected) in [
            ("data\n\n", vec![event("", "")]),
            ("data:x\n\n", vec![event("", "x")]),
            ("data:  x\n\n", vec![event("", " x")]),
            ("data: a\ndata: b\n\n", vec![event("", "a\nb")]),
            ("data: a\ndata\n\n", vec![event("", "a\n")]),
            ("data: a:b: c\n\n", vec![event("", "a:b: c")]),
            ("event: x\n\ndata: y\n\n", vec![event("", "y")]),
            ("event\ndata: y\n\n", vec![event("", "y")]),
            ("id: 7\n\n", vec![id("7")]),
            ("id\n\n", vec![id("")]),
            ("id: 7\0\ndata: x\n\n", vec![event("", "x")]),
            ("retry: 10x\n\n", vec![]),
            ("retry: 99999999999999999999\n\n", vec![Frame::Retry(MAX_RETRY_MS)]),
            ("Data: x\nfoo: bar\n data: x\n\n", vec![]),
            (":\n\n", vec![Frame::Comment]),
            ("\u{feff}data: x\n\n", vec![event("", "x")]),
            ("data: x", vec![]),
            ("data: x\n", vec![]),
            ("data: x\r\ndata: y\r\n\r\n", vec![event("", "x\ny")]),
            ("data: x\rdata: y\r\r", vec![event("", "x\ny")]),
        ] {
            assert_eq!(read(&[text.as_bytes()]), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_utf_8_is_replaced() {
        assert_eq!(read(&[b"data: a\xffb\n\n"]), [event("", "a\u{fffd}b")]);
        assert_eq!(read(&[b"\xef\xbbdata: x\n\n"]), []);
    }

    #[test]
    fn a_huge_event_is_left_out_and_takes_bounded_memory() {
        let mut reader = Reader::default();
        let mut out = Vec::new();
        let chunk = vec![b'x'; 1 << 20];
        for lines in [false, true] {
            reader.push(b"id: a-1-1\ndata: ", &mut out);
            for _ in 0..40 {
                reader.push(&chunk, &mut out);
                if lines {
                    reader.push(b"\ndata: ", &mut out);
                }
                assert!(reader.line.capacity() + reader.data.capacity() <= 4 * MAX_EVENT_BYTES);
            }
            reader.push(b"\n\n", &mut out);
        }
        reader.push(b"data: y\n\n", &mut out);
        let over = [id("a-1-1"), Frame::TooLong];
        assert_eq!(out, [&over[..], &over[..], &[event("", "y")]].concat());
        assert!(read(&[&[b'\n'; 1000], b"event: ", &chunk, b"\ndata: 1\n\n"]).len() == 1);
    }

    proptest! {
        #[test]
        fn the_cuts_between_chunks_do_not_matter(
            lines in prop::collection::vec("(data|id|event|retry|:|x)?:? ?[a-c\u{e9}]{0,3}", 0..12),
            ends in prop::collection::vec(prop::sample::select(vec!["\n", "\r", "\r\n", "\n\n"]), 12),
            cuts in prop::collection::vec(0usize..80, 0..6),
        ) {
            let text: String = lines.iter().zip(&ends).flat_map(|(a, b)| [a.as_str(), *b]).collect();
            let bytes = text.as_bytes();
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let chunks: Vec<_> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(read(&chunks), read(&[bytes]));
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            read(&[&bytes]);
        }
    }
}
