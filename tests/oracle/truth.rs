//! What was written: the lines that each attempt's log holds.

use std::collections::{BTreeMap, HashMap};

use rollcast::sim::read_numbered;
use rollcast::time::parse_stamp;
use xxhash_rust::xxh3::xxh3_64;

/// One run of one container, as the wire names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AttemptId {
    pub pod: String,
    /// The pod's uid: a name may come again.
    pub uid: String,
    pub container: String,
    pub attempt: u32,
}

/// One line of a log.
#[derive(Clone, Debug)]
pub struct Line {
    /// The node's stamp.
    pub stamp: i64,
    /// Its whole length in bytes.
    pub len: usize,
    /// Hash of its whole text.
    pub hash: u64,
    /// Its text, unless its own checksum proves it.
    pub text: Option<Box<[u8]>>,
    /// The log ended without a line end behind it.
    pub partial: bool,
}

/// What a line is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ident {
    /// Its stream and number, where it is a numbered line.
    Numbered(char, u64),
    /// Its stamp and the hash of its beginning.
    Other(i64, u64),
}

/// The log of one attempt, in the order of its file.
#[derive(Clone, Debug, Default)]
pub struct Attempt {
    pub lines: Vec<Line>,
    /// It has ended: nothing will be added.
    pub ended: bool,
    /// Lines that the kubelet never gave to anybody who asked; counted apart.
    pub withheld: Vec<bool>,
    /// Lines of which the kubelet may withhold the beginning.
    torn: Vec<Torn>,
    /// What its numbered lines call it.
    source: String,
    index: HashMap<Ident, Vec<u32>>,
}

/// A line that was being written when its file was rotated. The runtime adds what it had of it to the old
/// file, and the kubelet may have left that one by then: it serves the rest under the rest's own stamp.
#[derive(Clone, Debug)]
struct Torn {
    at: [u32; 1],
    stamp: i64,
    text: Box<[u8]>,
}

/// Everything that was written in a run.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    pub attempts: BTreeMap<AttemptId, Attempt>,
}

/// Bytes of a line that is not numbered by which it is known: a cut keeps them.
const KNOWN_BY: usize = 256;

/// Longer numbered lines may be cut on the way, so their text is kept to compare.
const PROVES_ITSELF: usize = 64 << 10;

// === impl Truth ===

impl Truth {
    /// Adds an attempt's log as the kubelet serves it: a stamp, a blank and the text for each line.
    pub fn add(&mut self, id: AttemptId, served: &[u8], ended: bool) {
        let mut attempt = Attempt { ended, ..Attempt::default() };
        let mut rest = served;
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest);
            let (line, tail) = match end {
                Some(end) => (&rest[..end], &rest[end + 1..]),
                None => (rest, &rest[rest.len()..]),
            };
            rest = tail;
            let (stamp, length) = parse_stamp(line).expect("a line without a stamp in the truth");
            let text = line[length..].strip_prefix(b" ").unwrap_or(&line[length..]);
            attempt.push(stamp, text, end.is_none());
        }
        self.attempts.insert(id, attempt);
    }

    /// A line was torn by a rotation: what follows of it begins this file.
    pub fn tear(&mut self, id: &AttemptId, at: usize, file: &[u8]) {
        let mut served = Vec::new();
        cri_text(file, &mut served);
        let rest = served.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let (Some((stamp, length)), Some(attempt)) = (parse_stamp(rest), self.attempts.get_mut(id))
        else {
            return;
        };
        let text = rest[length..].strip_prefix(b" ").unwrap_or(&rest[length..]).into();
        attempt.torn.push(Torn { at: [at as u32], stamp, text });
    }

    /// Lines in all.
    pub fn lines(&self) -> usize {
        self.attempts.values().map(|attempt| attempt.lines.len()).sum()
    }
}

/// Turns a log file as the runtime writes it (`STAMP stdout F TEXT`, long lines in pieces `P`) into
/// what the kubelet serves of it. It joins pieces whatever their stream, as the kubelet does.
pub fn cri_text(file: &[u8], out: &mut Vec<u8>) {
    for line in file.split_inclusive(|byte| *byte == b'\n') {
        let Some(line) = line.strip_suffix(b"\n") else { break };
        let mut fields = line.splitn(4, |byte| *byte == b' ');
        let (Some(stamp), Some(_), Some(tag)) = (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let text = fields.next().unwrap_or_default();
        if out.last().is_none_or(|last| *last == b'\n') {
            out.extend_from_slice(stamp);
            out.push(b' ');
        }
        out.extend_from_slice(text);
        if !tag.starts_with(b"P") {
            out.push(b'\n');
        }
    }
}

// === impl Attempt ===

impl Attempt {
    /// Adds a line.
    pub fn push(&mut self, stamp: i64, text: &[u8], partial: bool) {
        let at = self.lines.len() as u32;
        let numbered = read_numbered(text);
        if let Some(numbered) = numbered.filter(|_| self.source.is_empty()) {
            self.source = numbered.source.to_owned();
        }
        // What is no UTF-8 is replaced on the way, and proves nothing then.
        let short = text.len() <= PROVES_ITSELF && std::str::from_utf8(text).is_ok();
        let proves_itself = numbered.is_some() && short;
        self.lines.push(Line {
            stamp,
            len: text.len(),
            hash: xxh3_64(text),
            text: (!proves_itself).then(|| text.into()),
            partial,
        });
        self.index.entry(ident(stamp, text)).or_default().push(at);
    }

    /// Marks the numbered lines that were withheld, by source, stream and number.
    pub fn withhold(&mut self, withheld: impl Fn(&(String, char, u64)) -> bool) {
        self.withheld = vec![false; self.lines.len()];
        for (ident, places) in &self.index {
            let Ident::Numbered(stream, number) = ident else { continue };
            for place in places {
                let given = (self.source.clone(), *stream, *number);
                self.withheld[*place as usize] = withheld(&given);
            }
        }
    }

    /// Where lines stand that are known by this stamp and text, in order. The text may be cut.
    pub fn find(&self, stamp: i64, text: &[u8]) -> &[u32] {
        let known = self.index.get(&ident(stamp, text)).map_or(&[][..], Vec::as_slice);
        let torn = self.torn.iter().find(|torn| known.is_empty() && torn.is(stamp, text));
        torn.map_or(known, |torn| &torn.at)
    }

    /// Whether this is the rest of the line that stands there, which a rotation tore.
    pub fn is_torn(&self, at: usize, stamp: i64, text: &[u8]) -> bool {
        self.torn.iter().any(|torn| torn.at == [at as u32] && torn.is(stamp, text))
    }

    /// The number of the line, where it is a numbered one. For messages.
    pub fn named(&self, at: usize) -> String {
        let found = self.index.iter().find(|(_, places)| places.contains(&(at as u32)));
        match found {
            Some((Ident::Numbered(stream, number), _)) => format!("{stream}{number}"),
            _ => format!("line {at}"),
        }
    }
}

// === impl Torn ===

impl Torn {
    fn is(&self, stamp: i64, text: &[u8]) -> bool {
        self.stamp == stamp && *self.text == *text
    }
}

fn ident(stamp: i64, text: &[u8]) -> Ident {
    if let Some((stream, number)) = head(text) {
        return Ident::Numbered(stream, number);
    }
    // What a client shows of bytes that are no UTF-8 differs from them: only whole characters before
    // the first such byte count.
    let known = &text[..text.len().min(KNOWN_BY)];
    let valid = std::str::from_utf8(known).map_or_else(|error| error.valid_up_to(), str::len);
    let plain = known[..valid].iter().take_while(|byte| byte.is_ascii()).count();
    Ident::Other(stamp, xxh3_64(&known[..plain]))
}

/// Stream and number of a numbered line, whether it is whole or not.
fn head(text: &[u8]) -> Option<(char, u64)> {
    let mut fields = text.split(|byte| *byte == b' ');
    let mut word = || fields.next().and_then(|field| std::str::from_utf8(field).ok());
    let (magic, _, _, stream, number) = (word()?, word()?, word()?, word()?, word()?);
    let stream = match stream {
        "o" => 'o',
        "e" => 'e',
        _ => return None,
    };
    (magic == "W1").then_some((stream, number.parse().ok()?))
}

// === impl AttemptId ===

impl std::fmt::Display for AttemptId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}#{}", self.pod, self.container, self.attempt)
    }
}
