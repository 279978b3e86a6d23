//! Guesses the level of a log line.

use std::str::FromStr;

use wide::u8x16;

/// How much of a line is looked at: a level stands near the start, and the cost must not depend on
/// the line's length.
const LOOK: usize = 160;
/// As many bytes as a number has bits.
const BITS: usize = 128;
/// Bytes that are looked at first: a time and a level.
const NEAR: usize = 32;

/// How grave a line is. A closed list, from the least to the gravest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// Step by step.
    Trace,
    /// For those who look for a fault.
    Debug,
    /// Ordinary.
    Info,
    /// Something is odd.
    Warn,
    /// Something failed.
    Error,
}

/// A word that names no [`Level`].
#[derive(Debug, thiserror::Error)]
#[error("expected one of trace, debug, info, warn, error")]
pub struct UnknownLevel;

// === impl Level ===

impl Level {
    /// The wire's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Trace => "trace",
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        }
    }
}

impl FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "trace" => Ok(Level::Trace),
            "debug" => Ok(Level::Debug),
            "info" => Ok(Level::Info),
            "warn" => Ok(Level::Warn),
            "error" => Ok(Level::Error),
            _ => Err(UnknownLevel),
        }
    }
}

/// The level that a line names; `None` if it names none. Looks for the first word that is a level, in upper case
/// anywhere near the start or in any case as the value of a `level`, `lvl` or `severity` key.
///
/// Every line is asked this for every selection: words are found in bits, one for each byte, and only those
/// are read that may be a level or a key.
pub fn level(text: &str) -> Option<Level> {
    let bytes = &text.as_bytes()[..text.len().min(LOOK)];
    // Where most lines name theirs.
    if let Some(first) = bytes.first_chunk::<NEAR>()
        && let Some(level) = Bits::of(first).level(first, NEAR - 1)
    {
        return Some(level);
    }
    // What reaches over the edge of a look is left to the next one, or, at the last edge, to nobody.
    let edge = |end: usize| if text.len() > end { end - 1 } else { end };
    let near = &bytes[..bytes.len().min(BITS)];
    let mut whole = [0; BITS];
    whole[..near.len()].copy_from_slice(near);
    let found = Bits::of(&whole).level(near, edge(BITS));
    found.or_else(|| far(bytes, edge(LOOK))).or_else(|| klog(bytes))
}

/// The level in what is behind the first look. A word that began before its window was seen already.
fn far(bytes: &[u8], edge: usize) -> Option<Level> {
    const BEGIN: usize = BITS - NEAR;
    let window = bytes.get(BEGIN..).filter(|_| bytes.len() > BITS)?;
    let mut whole = [0; LOOK - BEGIN];
    whole[..window.len()].copy_from_slice(window);
    let inside = window.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    whole[..inside].fill(0);
    Bits::of(&whole).level(window, edge - BEGIN)
}

/// What stands where in the start of a line, the first byte in the lowest bit.
#[derive(Default)]
struct Bits {
    /// Letters of ASCII.
    letters: u128,
    /// Of these, the capital ones.
    upper: u128,
    /// `[`
    brackets: u128,
    /// What a key may begin with: `l` or `s`.
    keyish: u128,
}

impl Bits {
    #[inline]
    fn of<const N: usize>(bytes: &[u8; N]) -> Bits {
        let mut bits = Bits::default();
        for (index, block) in bytes.as_chunks().0.iter().enumerate() {
            bits.put(index, *block);
        }
        bits
    }

    /// The level that these bytes name, by words that end at `edge` or before.
    fn level(&self, bytes: &[u8], edge: usize) -> Option<Level> {
        let Bits { letters, upper, brackets, keyish } = self;
        let starts = letters & !(letters << 1);
        let word = |start: u32| {
            let start = start as usize;
            let end = start + (!(letters >> start)).trailing_zeros() as usize;
            bytes.get(start..end).filter(|_| end <= edge)
        };
        // No level is shorter than three letters.
        let shouted = upper & (upper >> 1) & (upper >> 2);
        let mut candidates = starts & (shouted | (brackets << 1) | keyish);
        while candidates != 0 {
            let start = candidates.trailing_zeros();
            candidates &= candidates - 1;
            let found = word(start)?;
            // `WARN:` is a level, the `Warning` of a sentence is not, `"level":"warning"` is again.
            let bracketed = start.checked_sub(1).is_some_and(|before| brackets >> before & 1 == 1)
                && bytes.get(start as usize + found.len()) == Some(&b']');
            if (bracketed || found.iter().all(u8::is_ascii_uppercase))
                && let Some(level) = named(found)
            {
                return Some(level);
            }
            let is = |key: &&[u8]| found.eq_ignore_ascii_case(key);
            if [b"level".as_slice(), b"lvl", b"severity"].iter().any(is) {
                let behind = starts & !(u128::MAX >> (127 - start));
                if behind != 0
                    && let Some(level) = named(word(behind.trailing_zeros())?)
                {
                    return Some(level);
                }
            }
        }
        None
    }

    #[inline]
    fn put(&mut self, index: usize, block: [u8; 16]) {
        let block = u8x16::new(block);
        let lower = block | u8x16::splat(0x20);
        let is = |byte| lower.simd_eq(u8x16::splat(byte));
        let letters = lower.max(u8x16::splat(b'a')).simd_eq(lower)
            & lower.min(u8x16::splat(b'z')).simd_eq(lower);
        let bits = |mask: u8x16| u128::from(mask.to_bitmask()) << (16 * index);
        self.letters |= bits(letters);
        self.upper |= bits(letters & !lower.simd_eq(block));
        self.brackets |= bits(block.simd_eq(u8x16::splat(b'[')));
        self.keyish |= bits(is(b'l') | is(b's'));
    }
}

fn named(word: &[u8]) -> Option<Level> {
    let is = |names: &[&[u8]]| names.iter().any(|name| word.eq_ignore_ascii_case(name));
    if is(&[b"error", b"err", b"fatal", b"panic", b"critical", b"crit", b"severe", b"alert"]) {
        Some(Level::Error)
    } else if is(&[b"warn", b"warning"]) {
        Some(Level::Warn)
    } else if is(&[b"info", b"notice", b"information"]) {
        Some(Level::Info)
    } else if is(&[b"debug"]) {
        Some(Level::Debug)
    } else if is(&[b"trace"]) {
        Some(Level::Trace)
    } else {
        None
    }
}

/// Kubernetes' own programs begin a line with the level's letter and the date: `E1122 14:02:38`.
fn klog(bytes: &[u8]) -> Option<Level> {
    let digits = bytes.get(1..5)?.iter().all(u8::is_ascii_digit) && bytes.get(5) == Some(&b' ');
    match bytes.first()? {
        b'I' if digits => Some(Level::Info),
        b'W' if digits => Some(Level::Warn),
        b'E' | b'F' if digits => Some(Level::Error),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{LOOK, Level, klog, level, named};

    #[test]
    fn levels_are_found_where_programs_write_them() {
        for (text, expected) in [
            ("FATAL config: DATABASE_URL is not set", Some(Level::Error)),
            ("2026-11-22 14:02:38 WARN cache refused", Some(Level::Warn)),
            ("[info] listening", Some(Level::Info)),
            (r#"{"level":"debug","msg":"x"}"#, Some(Level::Debug)),
            (r#"{"msg":"x","severity":"WARNING"}"#, Some(Level::Warn)),
            ("level=error msg=x", Some(Level::Error)),
            ("E1122 14:02:38.310164 1 main.go:12] x", Some(Level::Error)),
            ("GET /error-page 200", None),
            ("an error that a sentence mentions", None),
            ("", None),
        ] {
            assert_eq!(level(text), expected, "{text}");
        }
    }

    /// The same, word by word.
    fn read(text: &str) -> Option<Level> {
        let bytes = &text.as_bytes()[..text.len().min(LOOK)];
        let is_cut = text.len() > LOOK;
        let (mut at, mut keyed) = (0, false);
        while at < bytes.len() {
            let start = at;
            while at < bytes.len() && bytes[at].is_ascii_alphabetic() {
                at += 1;
            }
            let word = &bytes[start..at];
            if word.is_empty() {
                at += 1;
                continue;
            }
            let shouted = word.iter().all(u8::is_ascii_uppercase);
            let bracketed = start > 0 && bytes[start - 1] == b'[' && bytes.get(at) == Some(&b']');
            let whole = !is_cut || at < bytes.len();
            let level = named(word).filter(|_| whole && (shouted || keyed || bracketed));
            if level.is_some() {
                return level;
            }
            let word = word.to_ascii_lowercase();
            keyed = [b"level".as_slice(), b"lvl", b"severity"].contains(&&*word);
        }
        klog(bytes)
    }

    proptest! {
        #[test]
        fn it_is_what_reading_word_by_word_finds(
            words in prop::collection::vec(
                prop_oneof![
                    prop::sample::select(vec![
                        "INFO", "info", "Warn", "WARNING", "error", "ERR", "level", "LEVEL", "lvl",
                        "severity", "I1122", "E1122 ", "[", "]", "=", "\":\"", " ", ".", "level=", "é",
                        "PANIC", "debug", "tracing", "a", "SOLELY", "{", "[info]", "[Warn",
                    ]).prop_map(str::to_owned),
                    "[ -~]{0,12}",
                ],
                0..60,
            ),
        ) {
            let text = words.concat();
            prop_assert_eq!(level(&text), read(&text), "{}", text);
        }
    }
}
