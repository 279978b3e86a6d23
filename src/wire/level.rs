//! Guesses the level of a log line.

/// How much of a line is looked at: a level stands near the start, and the cost must not depend on
/// the line's length.
const LOOK: usize = 160;

/// The level that a line names, in the wire's closed list: `trace`, `debug`, `info`, `warn`,
/// `error`; `None` if it names none. Looks for the first word that is a level, in upper case
/// anywhere near the start or in any case as the value of a `level`, `lvl` or `severity` key.
pub fn level(text: &str) -> Option<&'static str> {
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

fn named(word: &[u8]) -> Option<&'static str> {
    let is = |names: &[&[u8]]| names.iter().any(|name| word.eq_ignore_ascii_case(name));
    if is(&[b"error", b"err", b"fatal", b"panic", b"critical", b"crit", b"severe", b"alert"]) {
        Some("error")
    } else if is(&[b"warn", b"warning"]) {
        Some("warn")
    } else if is(&[b"info", b"notice", b"information"]) {
        Some("info")
    } else if is(&[b"debug"]) {
        Some("debug")
    } else if is(&[b"trace"]) {
        Some("trace")
    } else {
        None
    }
}

/// Kubernetes' own programs begin a line with the level's letter and the date: `E1122 14:02:38`.
fn klog(bytes: &[u8]) -> Option<&'static str> {
    let digits = bytes.get(1..5)?.iter().all(u8::is_ascii_digit) && bytes.get(5) == Some(&b' ');
    match bytes.first()? {
        b'I' if digits => Some("info"),
        b'W' if digits => Some("warn"),
        b'E' | b'F' if digits => Some("error"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::level;

    #[test]
    fn levels_are_found_where_programs_write_them() {
        for (text, expected) in [
            ("FATAL config: DATABASE_URL is not set", Some("error")),
            ("2026-11-22 14:02:38 WARN cache refused", Some("warn")),
            ("[info] listening", Some("info")),
            (r#"{"level":"debug","msg":"x"}"#, Some("debug")),
            (r#"{"msg":"x","severity":"WARNING"}"#, Some("warn")),
            ("level=error msg=x", Some("error")),
            ("E1122 14:02:38.310164 1 main.go:12] x", Some("error")),
            ("GET /error-page 200", None),
            ("an error that a sentence mentions", None),
            ("", None),
        ] {
            assert_eq!(level(text), expected, "{text}");
        }
    }
}
