//! Makes the bytes of a pod safe for every place where they are shown.
//!
//! Hostile bytes have four sinks: the SSE parser, the browser, the terminal of someone who runs
//! curl, and the log of a CI runner. JSON's own escapes cover the first two. Terminals also act on
//! DEL and on the 8-bit controls U+0080 to U+009F, old parsers end a line at U+2028 and U+2029, and
//! bidirectional controls make text read as what it is not.

/// Whether JSON text needs the character escaped beyond what JSON itself demands.
fn unsafe_beyond_json(c: char) -> bool {
    matches!(c,
        '\u{7f}'..='\u{9f}'
        | '\u{2028}' | '\u{2029}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}'
        | '\u{200e}' | '\u{200f}' | '\u{61c}'
        | '\u{feff}')
}

/// Appends `text` as a JSON string, quotes included.
pub fn push_json_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    push_json_fragment(out, text);
    out.push(b'"');
}

/// Appends `text` as the inside of a JSON string.
pub(super) fn push_json_fragment(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    let mut start = 0;
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        // Nearly all text is printable ASCII without quotes: skip over it.
        if (0x20..0x7f).contains(&byte) && byte != b'"' && byte != b'\\' {
            at += 1;
            continue;
        }
        if byte < 0x80 {
            out.extend_from_slice(&bytes[start..at]);
            push_ascii_escape(out, byte);
            at += 1;
            start = at;
            continue;
        }
        // A char boundary, since every byte before it was consumed whole.
        let Some(c) = text[at..].chars().next() else { break };
        if unsafe_beyond_json(c) {
            out.extend_from_slice(&bytes[start..at]);
            push_unicode_escape(out, c as u32);
            start = at + c.len_utf8();
        }
        at += c.len_utf8();
    }
    out.extend_from_slice(&bytes[start..]);
}

fn push_ascii_escape(out: &mut Vec<u8>, byte: u8) {
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        _ => push_unicode_escape(out, u32::from(byte)),
    }
}

fn push_unicode_escape(out: &mut Vec<u8>, code: u32) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(b"\\u");
    for shift in [12, 8, 4, 0] {
        out.push(HEX[(code >> shift & 0xf) as usize]);
    }
}

/// Appends `text` for a terminal or a CI log: controls, bidirectional and invisible characters as
/// `\xNN` or `\u{NNNN}`, tabs as they are. The markers by which CI runners find commands *anywhere*
/// in a line (`##[`, `##vso[`, `##teamcity[`) are broken up; those that count only at the start of a
/// line cannot occur, since every line has a prefix.
pub fn push_plain(out: &mut Vec<u8>, text: &str) {
    use std::io::Write as _;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if ["##[", "##vso[", "##teamcity["].iter().any(|marker| rest.starts_with(marker)) {
            out.extend_from_slice(b"\\x23");
            rest = &rest[1..];
            continue;
        }
        // A write into a Vec cannot fail.
        if c == '\t' || (c >= ' ' && !unsafe_beyond_json(c)) {
            let mut bytes = [0; 4];
            out.extend_from_slice(c.encode_utf8(&mut bytes).as_bytes());
        } else if (c as u32) < 0x100 {
            let _ = write!(out, "\\x{:02x}", c as u32);
        } else {
            let _ = write!(out, "\\u{{{:x}}}", c as u32);
        }
        rest = &rest[c.len_utf8()..];
    }
}

/// Writes JSON with the escapes above; everything that serde serialises for clients goes through it.
pub(super) struct SafeFormatter;

impl serde_json::ser::Formatter for SafeFormatter {
    fn write_string_fragment<W>(&mut self, writer: &mut W, fragment: &str) -> std::io::Result<()>
    where
        W: ?Sized + std::io::Write,
    {
        let mut safe = Vec::with_capacity(fragment.len());
        push_json_fragment(&mut safe, fragment);
        writer.write_all(&safe)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json(text: &str) -> String {
        let mut out = Vec::new();
        push_json_string(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    fn plain(text: &str) -> String {
        let mut out = Vec::new();
        push_plain(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_scalar_value_is_read_back_and_none_is_raw_that_must_not_be() {
        for c in (0..=0x10_ffff).filter_map(char::from_u32) {
            let encoded = json(&c.to_string());
            assert_eq!(serde_json::from_str::<String>(&encoded).unwrap(), c.to_string());
            let raw = encoded.chars().any(|c| c < ' ' || unsafe_beyond_json(c));
            assert!(!raw, "U+{:04X} stands raw", c as u32);
        }
    }

    #[test]
    fn a_terminal_sees_no_control_of_a_pod() {
        assert_eq!(
            plain("\u{1b}[31mred\u{1b}[0m\ta\r\u{9b}b"),
            "\\x1b[31mred\\x1b[0m\ta\\x0d\\x9bb"
        );
        assert_eq!(plain("\u{202e}evil"), "\\u{202e}evil");
    }

    #[test]
    fn a_ci_runner_sees_no_command_of_a_pod() {
        for marker in ["##[", "##vso[", "##teamcity["] {
            assert!(!plain(&format!("x {marker}set]")).contains(marker));
        }
        assert_eq!(plain("###[x"), "#\\x23#[x");
        assert_eq!(plain("## heading"), "## heading");
    }

    proptest! {
        #[test]
        fn any_text_is_read_back(text in any::<String>()) {
            prop_assert_eq!(serde_json::from_str::<String>(&json(&text)).unwrap(), text);
        }

        #[test]
        fn plain_text_is_one_printable_line(text in any::<String>()) {
            let safe = plain(&text).chars().all(|c| c == '\t' || (c >= ' ' && !unsafe_beyond_json(c)));
            prop_assert!(safe);
        }
    }
}
