//! Which lines are wanted, by their text.

use std::hash::{Hash, Hasher};

use regex::{Regex, RegexBuilder};

use super::level::{Level, level};

/// Longest pattern that is taken, in bytes.
const MAX_PATTERN: usize = 1024;
/// Memory of a compiled pattern and of what its search may cache, in bytes. Searching takes time in
/// proportion to the text whatever the pattern; these bound its memory.
const MAX_PROGRAM: usize = 256 << 10;

/// A compiled filter. Compiled once for a request and shared by all viewers of its selection; equal
/// if it was written alike.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    include: Option<Regex>,
    exclude: Option<Regex>,
    level: Option<Level>,
}

/// A pattern that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadPattern(String);

// === impl Filter ===

impl Filter {
    /// Only lines in which `pattern` is found.
    ///
    /// # Errors
    /// If it is no regular expression, or one that is too large.
    pub fn include(mut self, pattern: &str) -> Result<Self, BadPattern> {
        self.include = Some(compiled(pattern)?);
        Ok(self)
    }

    /// No lines in which `pattern` is found.
    ///
    /// # Errors
    /// As for [`Filter::include`].
    pub fn exclude(mut self, pattern: &str) -> Result<Self, BadPattern> {
        self.exclude = Some(compiled(pattern)?);
        Ok(self)
    }

    /// Only lines that name this level or a graver one.
    #[must_use]
    pub fn at_least(mut self, level: Level) -> Self {
        self.level = Some(level);
        self
    }

    /// Whether it lets every line pass.
    pub fn is_empty(&self) -> bool {
        self.include.is_none() && self.exclude.is_none() && self.level.is_none()
    }

    /// Whether a line with this text is wanted.
    pub fn wants(&self, text: &str) -> bool {
        self.level.is_none_or(|least| level(text).is_some_and(|level| level >= least))
            && self.include.as_ref().is_none_or(|pattern| pattern.is_match(text))
            && self.exclude.as_ref().is_none_or(|pattern| !pattern.is_match(text))
    }

    fn written(&self) -> (Option<&str>, Option<&str>, Option<Level>) {
        (
            self.include.as_ref().map(Regex::as_str),
            self.exclude.as_ref().map(Regex::as_str),
            self.level,
        )
    }
}

impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        self.written() == other.written()
    }
}

impl Eq for Filter {}

impl Hash for Filter {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.written().hash(state);
    }
}

fn compiled(pattern: &str) -> Result<Regex, BadPattern> {
    if pattern.is_empty() {
        return Err(BadPattern("expected a regular expression, and this is empty".to_owned()));
    }
    if pattern.len() > MAX_PATTERN {
        return Err(BadPattern(format!("the pattern is longer than {MAX_PATTERN} bytes")));
    }
    let built =
        RegexBuilder::new(pattern).size_limit(MAX_PROGRAM).dfa_size_limit(MAX_PROGRAM).build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => {
            BadPattern("the pattern is too large; repeat or list less in it".to_owned())
        }
        // The last line says what is wrong; those before it draw where.
        error => {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
            BadPattern(format!("not a regular expression: {last}"))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_parts_of_a_filter_must_agree() {
        let filter = Filter::default().include("disk").unwrap().exclude("(?i)retry").unwrap();
        let filter = filter.at_least(Level::Warn);
        for (text, wanted) in [
            ("ERROR disk full", true),
            ("WARN disk slow", true),
            ("INFO disk fine", false),
            ("ERROR net down", false),
            ("ERROR disk full, Retry", false),
            ("disk", false),
        ] {
            assert_eq!(filter.wants(text), wanted, "{text}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_the_reason() {
        for (pattern, words) in [
            ("", "empty"),
            ("(", "unclosed group"),
            ("\\w{1000}{1000}", "too large"),
            ("(?=x)", "look-around"),
            (&"a".repeat(2_000), "longer than"),
        ] {
            let error = Filter::default().include(pattern).unwrap_err().to_string();
            assert!(error.contains(words), "{pattern}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn filters_that_are_written_alike_are_equal() {
        let filter = |pattern| Filter::default().include(pattern).unwrap();
        assert_eq!(filter("a+"), filter("a+"));
        assert_ne!(filter("a+"), filter("a*"));
    }
}
