//! Makes the bytes of a pod safe for every place where they are shown.
//!
//! Hostile bytes have four sinks: the SSE parser, the browser, the terminal of someone who runs
//! curl, and the log of a CI runner. JSON's own escapes cover the first two. Terminals also act on
//! DEL and on the 8-bit controls U+0080 to U+009F, old parsers end a line at U+2028 and U+2029, and
//! bidirectional controls make text read as what it is not.

use wide::u8x16;

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

/// Appends `text` as the inside of a JSON string. Also what begins a command of a CI runner anywhere in a line is
/// written otherwise: a job may print what it asked for.
pub(super) fn push_json_fragment(out: &mut Vec<u8>, text: &str) {
    push_replaced(out, text, [b'"', b'\\', b'#'], |out, rest| {
        let c = rest.chars().next()?;
        match u8::try_from(c) {
            Ok(b'#') if !is_command(rest) => return None,
            Ok(byte) if c.is_ascii() => push_ascii_escape(out, byte),
            _ if unsafe_beyond_json(c) => push_unicode_escape(out, c as u32),
            _ => return None,
        }
        Some(c.len_utf8())
    });
}

/// Appends `text`. Wherever a control stands, one of `also`, or a byte that begins a character which
/// [`unsafe_beyond_json`] may be about (no other byte of a character is one of these), `replace` is asked with
/// the text from there on: it appends something and gives the number of bytes that this replaces, or
/// `None`. Nearly all text has none of them for long, and is looked at in blocks.
#[inline]
fn push_replaced<const N: usize>(
    out: &mut Vec<u8>,
    text: &str,
    also: [u8; N],
    mut replace: impl FnMut(&mut Vec<u8>, &str) -> Option<usize>,
) {
    let bytes = text.as_bytes();
    let (mut start, mut at) = (0, 0);
    while at < bytes.len() {
        let rest = &bytes[at..];
        let mut marks = match (rest.first_chunk(), bytes.last_chunk()) {
            (Some(block), _) => marks(*block, also),
            // The last block once more, without what was seen of it.
            (None, Some(block)) => marks(*block, also) >> (BLOCK - rest.len()),
            (None, None) => {
                // Filled up with what is nowhere special.
                let mut block = [b' '; BLOCK];
                block[..rest.len()].copy_from_slice(rest);
                marks(block, also)
            }
        };
        while marks != 0 {
            let found = at + marks.trailing_zeros() as usize;
            marks &= marks - 1;
            let Some(rest) = text.get(found..) else { continue };
            out.extend_from_slice(&bytes[start..found]);
            start = found + replace(out, rest).unwrap_or(0);
        }
        at += BLOCK;
    }
    out.extend_from_slice(&bytes[start..]);
}

const BLOCK: usize = 16;

/// A bit for each byte of a block that must be looked at.
#[inline]
fn marks<const N: usize>(block: [u8; BLOCK], also: [u8; N]) -> u32 {
    let block = u8x16::new(block);
    let is = |byte| block.simd_eq(u8x16::splat(byte));
    let control = block.min(u8x16::splat(0x1f)).simd_eq(block) | is(0x7f);
    let marked = also.into_iter().fold(control, |marked, byte| marked | is(byte));
    // The top bit of a byte says that it is outside of ASCII, and most text has none such.
    if !block.any() {
        return marked.to_bitmask();
    }
    (marked | is(0xc2) | is(0xd8) | is(0xe2) | is(0xef)).to_bitmask()
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

/// By these CI runners find commands *anywhere* in a line.
const MARKERS: [&str; 3] = ["##[", "##vso[", "##teamcity["];

/// Appends what of `text` fits a word of a line for programs, where blanks part words: letters, digits, `_`,
/// `-` and `.`.
pub(super) fn push_word(out: &mut Vec<u8>, text: &str) {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.".contains(byte);
    out.extend(text.bytes().filter(fits));
}

/// Appends `text` for a terminal or a CI log: controls, bidirectional and invisible characters as
/// `\xNN` or `\u{NNNN}`, tabs as they are. What begins a command anywhere in a line is broken up; what
/// does so only at the start of a line cannot occur, since every line has a prefix.
pub fn push_plain(out: &mut Vec<u8>, text: &str) {
    use std::io::Write as _;
    push_replaced(out, text, [b'#'], |out, rest| {
        let c = rest.chars().next()?;
        // A write into a Vec cannot fail.
        match c {
            '#' if is_command(rest) => {
                out.extend_from_slice(b"\\x23");
            }
            '\t' | '#' => return None,
            c if c >= ' ' && !unsafe_beyond_json(c) => return None,
            c if (c as u32) < 0x100 => drop(write!(out, "\\x{:02x}", c as u32)),
            c => drop(write!(out, "\\u{{{:x}}}", c as u32)),
        }
        Some(c.len_utf8())
    });
}

/// The same for a line that is only indented: GitHub's runner takes `::` for the begin of a command also
/// behind spaces.
pub fn push_indented(out: &mut Vec<u8>, text: &str) {
    let at = text.find(|c: char| !c.is_whitespace() && !is_unseen(c)).unwrap_or(text.len());
    let (space, line) = text.split_at(at);
    push_plain(out, space);
    match line.strip_prefix(':') {
        Some(rest) if begins(line, "::") => {
            out.extend_from_slice(b"\\x3a");
            push_plain(out, rest);
        }
        _ => push_plain(out, line),
    }
}

/// Whether a runner may take this for a command.
fn is_command(text: &str) -> bool {
    MARKERS.iter().any(|marker| begins(text, marker))
}

/// Whether a runner may take this for something that begins with `marker`. What of other letters counts for nothing
/// in a comparison is longer than any list of ours, so none of them counts here.
fn begins(text: &str, marker: &str) -> bool {
    let mut seen = text.chars().filter(char::is_ascii);
    marker.chars().all(|wanted| seen.next().is_some_and(|c| c.eq_ignore_ascii_case(&wanted)))
}

/// Characters without a look of their own (Unicode's `Default_Ignorable_Code_Point`). The runners of
/// GitHub and Azure are .NET programs, whose `IndexOf` compares by the rules of a language, and these
/// count for nothing in them.
fn is_unseen(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}'
        | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{ffa0}' | '\u{feff}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{fff0}'..='\u{fff8}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
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

    /// Whatever stands before it and behind it: what is escaped, at every place of a block.
    #[test]
    fn no_scalar_value_stands_raw_wherever_it_is() {
        for c in (0..=0x10_ffff).filter_map(char::from_u32) {
            let places = match c < ' ' || unsafe_beyond_json(c) || "\"\\#".contains(c) {
                true => 0..35,
                false => c as usize % 35..c as usize % 35 + 1,
            };
            for before in places {
                let behind = "x".repeat(before % 21);
                let text = format!("{}{c}{behind}", "y".repeat(before));
                let (safe, encoded) = (plain(&text), json(&text));
                let is_whole = safe.starts_with(&text[..before]) && safe.ends_with(&behind);
                assert!(is_whole, "{safe}");
                assert_eq!(serde_json::from_str::<String>(&encoded).unwrap(), text);
                let raw = |c: char| c < ' ' || unsafe_beyond_json(c);
                assert!(!encoded.contains(raw), "U+{:04X} stands raw behind {before}", c as u32);
                let raw = safe.contains(|c| c != '\t' && raw(c));
                assert!(!raw, "U+{:04X} stands raw behind {before}", c as u32);
            }
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
            let line = format!("x {marker}set]");
            assert!(!plain(&line).contains(marker));
            assert!(!json(&line).contains(marker));
            assert_eq!(serde_json::from_str::<String>(&json(&line)).unwrap(), line);
        }
        assert_eq!(json("# ## a#b"), "\"# ## a#b\"");
        assert_eq!(plain("###[x"), "#\\x23#[x");
        assert_eq!(plain("## heading"), "## heading");
    }

    /// Each would be a command of a runner that does not see some characters.
    #[test]
    fn what_cannot_be_seen_hides_no_command() {
        let letters = "\u{ad}\u{200b}\u{200d}\u{2060}\u{fe0f}\u{e0001}\u{fff9}\u{488}";
        for unseen in letters.chars() {
            for line in ["#?#[x]", "##?vso[x]", "#?#v?so?[x]", "##TeamCity?[x]", "?##?[x]"] {
                let line = line.replace('?', &unseen.to_string());
                for shown in [plain(&line), json(&line)] {
                    let shown: String = shown.chars().filter(char::is_ascii).collect();
                    let shown = shown.to_lowercase();
                    let found = MARKERS.iter().find(|marker| shown.contains(**marker));
                    assert_eq!(found, None, "{line:?}");
                }
            }
        }
        assert_eq!(plain("#\u{200d}1 and #2"), "#\u{200d}1 and #2");
    }

    #[test]
    fn a_line_that_is_only_indented_starts_no_command() {
        let indented = |text: &str| {
            let mut out = Vec::new();
            push_indented(&mut out, text);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(indented("::error::x"), "\\x3a:error::x");
        assert_eq!(indented(" \t\u{a0}::x"), " \t\u{a0}\\x3a:x");
        assert_eq!(indented("\u{ad}:\u{ad}:x"), "\u{ad}\\x3a\u{ad}:x");
        assert_eq!(indented("  a::b"), "  a::b");
        assert_eq!(indented(": ::x"), ": ::x");
        assert_eq!(indented(" ##[x"), " \\x23#[x");
        assert_eq!(indented("\u{1b}[2J\r::x"), "\\x1b[2J\\x0d::x");
        assert_eq!(indented(""), "");
    }

    proptest! {
        #[test]
        fn any_text_is_read_back(text in any::<String>()) {
            prop_assert_eq!(serde_json::from_str::<String>(&json(&text)).unwrap(), text);
        }

        #[test]
        fn what_is_escaped_does_not_depend_on_its_place(
            parts in prop::collection::vec(
                prop::sample::select(vec![
                    "a", "abcdefg", "\"", "\\", "#", "##[", "\n", "\u{1b}", "\u{7f}", "\u{85}", "é",
                    "\u{61c}", "\u{2028}", "\u{202e}", "\u{feff}", "\u{1f600}",
                ]),
                0..40,
            ),
        ) {
            let text = parts.concat();
            let (encoded, safe) = (json(&text), plain(&text));
            prop_assert_eq!(serde_json::from_str::<String>(&encoded).unwrap(), text);
            for shown in [encoded, safe] {
                prop_assert!(!shown.contains(|c| c < ' ' || unsafe_beyond_json(c)), "{shown:?}");
                prop_assert!(MARKERS.iter().all(|marker| !shown.contains(marker)), "{shown:?}");
            }
        }

        #[test]
        fn plain_text_is_one_printable_line(text in any::<String>()) {
            let safe = plain(&text).chars().all(|c| c == '\t' || (c >= ' ' && !unsafe_beyond_json(c)));
            prop_assert!(safe);
        }
    }
}
