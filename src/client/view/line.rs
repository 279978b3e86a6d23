//! A line to be shown: words with their looks, measured, cut, wrapped, and written with colours or
//! without.
//!
//! What holds here: whatever the words are, what is written moves no cursor and ends no line; every
//! part of a wrapped line but the first begins with a mark of ours, so that nothing a pod prints stands
//! at the edge of the screen, nor behind blanks only, which some CI systems look behind.

use unicode_width::UnicodeWidthChar as _;

use crate::wire::push_plain;

/// What the parts of a wrapped line begin with, but the first.
const WRAPPED: &str = "  ↳ ";
/// The cells that it takes.
const WRAPPED_CELLS: usize = 4;

/// How words look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Look {
    /// As the terminal has it.
    #[default]
    Plain,
    /// What matters less: times.
    Dim,
    /// What matters most: reasons.
    Bold,
    /// Good.
    Green,
    /// Bad.
    Red,
    /// Odd.
    Yellow,
}

/// One line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line(Vec<(Look, String)>);

/// Makes words safe to be shown.
pub(super) fn safe(words: &str) -> String {
    let mut out = Vec::with_capacity(words.len());
    push_plain(&mut out, words);
    String::from_utf8_lossy(&out).into_owned()
}

/// The cells that a character takes. Those that are not shown were made visible before.
fn cells(letter: char) -> usize {
    letter.width().unwrap_or(0)
}

// === impl Look ===

impl Look {
    fn codes(self) -> &'static str {
        match self {
            Look::Plain => "",
            Look::Dim => "\x1b[2m",
            Look::Bold => "\x1b[1m",
            Look::Green => "\x1b[32m",
            Look::Red => "\x1b[31m",
            Look::Yellow => "\x1b[33m",
        }
    }
}

// === impl Line ===

impl Line {
    /// A line with one blank before its words, as those of the block have it.
    pub(super) fn indented() -> Self {
        Line(vec![(Look::Plain, " ".to_owned())])
    }

    /// Adds words; what would act on a terminal is made visible.
    pub(super) fn add(mut self, look: Look, words: &str) -> Self {
        self.push(look, words);
        self
    }

    /// The same in place.
    pub(super) fn push(&mut self, look: Look, words: &str) {
        self.0.push((look, safe(words)));
    }

    /// Cells that it takes. A tab counts as one: where cells count it is written as a blank.
    pub(super) fn width(&self) -> usize {
        let letters = self.0.iter().flat_map(|(_, words)| words.chars());
        letters.map(|letter| if letter == '\t' { 1 } else { cells(letter) }).sum()
    }

    /// Cut to so many cells, with a sign where it was cut.
    pub(super) fn cut(self, width: usize) -> Self {
        if self.width() <= width {
            return self.untabbed();
        }
        let (mut parts, mut left) = (Vec::new(), width.saturating_sub(1));
        'parts: for (look, words) in self.untabbed().0 {
            let mut kept = String::new();
            for letter in words.chars() {
                if cells(letter) > left {
                    parts.push((look, kept));
                    break 'parts;
                }
                left -= cells(letter);
                kept.push(letter);
            }
            parts.push((look, kept));
        }
        if width > 0 {
            parts.push((Look::Plain, "…".to_owned()));
        }
        Line(parts)
    }

    fn untabbed(mut self) -> Self {
        for (_, words) in &mut self.0 {
            if words.contains('\t') {
                *words = words.replace('\t', " ");
            }
        }
        self
    }

    /// In lines of so many cells; all but the first begin with [`WRAPPED`].
    pub(super) fn wrapped(self, width: usize) -> Vec<Line> {
        // So narrow a screen shows nothing sensible anyway.
        let width = width.max(WRAPPED_CELLS + 8);
        if self.width() <= width {
            return vec![self.untabbed()];
        }
        let (mut lines, mut line, mut left) = (Vec::new(), Line::default(), width);
        for (look, words) in self.untabbed().0 {
            let mut kept = String::new();
            for letter in words.chars() {
                if cells(letter) > left {
                    line.0.push((look, std::mem::take(&mut kept)));
                    let next = Line(vec![(Look::Dim, WRAPPED.to_owned())]);
                    lines.push(std::mem::replace(&mut line, next));
                    left = width - WRAPPED_CELLS;
                }
                left = left.saturating_sub(cells(letter));
                kept.push(letter);
            }
            line.0.push((look, kept));
        }
        lines.push(line);
        lines
    }

    /// Its text, with codes for colours or without.
    pub(super) fn text(&self, colour: bool) -> String {
        let mut out = String::new();
        for (look, words) in self.0.iter().filter(|(_, words)| !words.is_empty()) {
            let codes = if colour { look.codes() } else { "" };
            out.push_str(codes);
            out.push_str(words);
            if !codes.is_empty() {
                out.push_str("\x1b[0m");
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(words: &str) -> Line {
        Line::default().add(Look::Bold, words).add(Look::Plain, "end")
    }

    #[test]
    fn wide_letters_take_two_cells() {
        assert_eq!(line("日本").width(), 7);
        assert_eq!(line("日本語").cut(6).text(false), "日本…");
        assert_eq!(line("abc").cut(6).text(false), "abcend");
    }

    #[test]
    fn colours_are_written_only_where_they_are_wanted() {
        assert_eq!(line("x").text(true), "\x1b[1mx\x1b[0mend");
        assert_eq!(line("x").text(false), "xend");
    }

    proptest! {
        #[test]
        fn no_words_act_on_a_terminal_or_leave_their_width(
            words in any::<String>(), width in 1usize..60
        ) {
            let cut = line(&words).cut(width);
            prop_assert!(cut.width() <= width);
            let wrapped = line(&words).wrapped(width);
            prop_assert!(wrapped.iter().all(|line| line.width() <= width.max(12)));
            prop_assert!(wrapped[1..].iter().all(|line| line.text(false).starts_with(WRAPPED)));
            for line in wrapped.iter().chain([&cut]) {
                prop_assert!(!line.text(false).chars().any(char::is_control));
            }
        }
    }
}
