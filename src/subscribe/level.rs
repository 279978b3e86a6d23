//! Guesses the level of a log line.

use std::str::FromStr;

/// How much of a line is looked at: a level stands near the start, and the cost must not depend on
/// the line's length.
const LOOK: usize = 160;

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
pub fn level(text: &str) -> Option<Level> {
    let bytes = text.as_bytes();
    let bytes = &bytes[..bytes.len().min(LOOK)];
    let mut at = 0;
    let mut keyed = false;
    while at < bytes.len() {
        if !bytes[at].is_ascii_alphabetic() {
            at += 1;
            continue;
        }
        let start = at;
        while at < bytes.len() && bytes[at].is_ascii_alphabetic() {
            at += 1;
        }
        let word = &bytes[start..at];
        // `WARN:` is a level, the `Warning` of a sentence is not, `"level":"warning"` is again.
        let shouted = word.iter().all(u8::is_ascii_uppercase);
        let bracketed = start > 0 && bytes[start - 1] == b'[' && bytes.get(at) == Some(&b']');
        if (shouted || keyed || bracketed)
            && let Some(level) = named(word)
        {
            return Some(level);
        }
        keyed = [b"level".as_slice(), b"lvl", b"severity"]
            .iter()
            .any(|key| word.eq_ignore_ascii_case(key));
    }
    klog(bytes)
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
    use super::{Level, level};

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
}
