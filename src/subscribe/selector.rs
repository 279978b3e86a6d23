//! Label selectors, as `kubectl -l` takes them.

use std::fmt;
use std::str::FromStr;

/// Longest selector that is taken, in bytes.
const MAX_BYTES: usize = 1024;
/// Requirements and values that are taken.
const MAX_PARTS: usize = 64;

/// A parsed selector in canonical form: requirements sorted, without repetitions. All of them must
/// hold; an empty selector selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Selector {
    requirements: Vec<Requirement>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Test {
    Exists,
    Absent,
    /// The label is there and has one of these values.
    In(Vec<String>),
    /// The label is not there, or has none of these values.
    NotIn(Vec<String>),
}

/// Text that is no selector.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected a label selector such as app=web,tier!=cache,env in (prod,test),!legacy: {0}")]
pub struct BadSelector(String);

// === impl Selector ===

impl Selector {
    /// Whether an object with these labels is selected; `label` gives the value of a label.
    pub fn matches<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.requirements.iter().all(|Requirement { key, test }| {
            let value = label(key);
            let among = |values: &[String]| {
                value.is_some_and(|value| values.iter().any(|known| known == value))
            };
            match test {
                Test::Exists => value.is_some(),
                Test::Absent => value.is_none(),
                Test::In(values) => among(values),
                Test::NotIn(values) => !among(values),
            }
        })
    }
}

impl FromStr for Selector {
    type Err = BadSelector;

    /// Reads `key`, `!key`, `key=value`, `key==value`, `key!=value`, `key in (a,b)` and
    /// `key notin (a,b)`, separated by commas (apimachinery `labels.Parse`).
    fn from_str(text: &str) -> Result<Self, BadSelector> {
        if text.len() > MAX_BYTES {
            return Err(BadSelector(format!("it is longer than {MAX_BYTES} bytes")));
        }
        let mut requirements =
            split(text)?.into_iter().map(requirement).collect::<Result<Vec<_>, _>>()?;
        requirements.sort();
        requirements.dedup();
        let values = requirements.iter().map(|requirement| match &requirement.test {
            Test::In(values) | Test::NotIn(values) => values.len(),
            Test::Exists | Test::Absent => 1,
        });
        if values.sum::<usize>() > MAX_PARTS {
            return Err(BadSelector(format!("it has more than {MAX_PARTS} parts")));
        }
        Ok(Selector { requirements })
    }
}

/// Splits at commas that do not stand in parentheses.
fn split(text: &str) -> Result<Vec<&str>, BadSelector> {
    let (mut parts, mut start, mut inside) = (Vec::new(), 0, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' if !inside => inside = true,
            b')' if inside => inside = false,
            b'(' | b')' => return Err(BadSelector("parentheses do not match".to_owned())),
            b',' if !inside => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if inside {
        return Err(BadSelector("a parenthesis is not closed".to_owned()));
    }
    parts.push(&text[start..]);
    if let [only] = parts[..]
        && only.trim().is_empty()
    {
        return Ok(Vec::new());
    }
    Ok(parts)
}

fn requirement(part: &str) -> Result<Requirement, BadSelector> {
    let part = part.trim();
    let made = |name: &str, test| Ok(Requirement { key: key(name.trim())?, test });
    if let Some(name) = part.strip_prefix('!') {
        return made(name, Test::Absent);
    }
    if let Some((head, tail)) = part.split_once('(') {
        let values = tail.trim_end().strip_suffix(')').unwrap_or(tail);
        let mut values =
            values.split(',').map(|word| value(word.trim())).collect::<Result<Vec<_>, _>>()?;
        values.sort();
        values.dedup();
        let mut words = head.split_whitespace();
        return match (words.next(), words.next(), words.next()) {
            (Some(name), Some("in"), None) => made(name, Test::In(values)),
            (Some(name), Some("notin"), None) => made(name, Test::NotIn(values)),
            _ => Err(BadSelector(format!("\"{}\" is neither in nor notin", short(head)))),
        };
    }
    if let Some((name, word)) = part.split_once("!=") {
        return made(name, Test::NotIn(vec![value(word.trim())?]));
    }
    if let Some((name, word)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return made(name, Test::In(vec![value(word.trim())?]));
    }
    made(part, Test::Exists)
}

/// A qualified name: an optional DNS prefix and a slash, then at most 63 characters.
fn key(word: &str) -> Result<String, BadSelector> {
    let (prefix, name) = word.split_once('/').unwrap_or(("", word));
    let named = (1..=63).contains(&name.len()) && is_word(name);
    let prefixed =
        prefix.len() <= 253 && (prefix.is_empty() != word.contains('/')) && is_word(prefix);
    if named && prefixed {
        return Ok(word.to_owned());
    }
    Err(BadSelector(format!("\"{}\" is no label's name", short(word))))
}

fn value(word: &str) -> Result<String, BadSelector> {
    if word.len() <= 63 && is_word(word) {
        return Ok(word.to_owned());
    }
    Err(BadSelector(format!("\"{}\" is no label's value", short(word))))
}

fn is_word(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

fn short(word: &str) -> String {
    word.chars().take(40).collect()
}

impl fmt::Display for Selector {
    /// The canonical form; it is read back as an equal selector.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Requirement { key, test }) in self.requirements.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            match test {
                Test::Exists => write!(f, "{key}")?,
                Test::Absent => write!(f, "!{key}")?,
                Test::In(values) if values.len() == 1 => write!(f, "{key}={}", values[0])?,
                Test::NotIn(values) if values.len() == 1 => write!(f, "{key}!={}", values[0])?,
                Test::In(values) => write!(f, "{key} in ({})", values.join(","))?,
                Test::NotIn(values) => write!(f, "{key} notin ({})", values.join(","))?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn selects(selector: &str, labels: &[(&str, &str)]) -> bool {
        let selector: Selector = selector.parse().unwrap();
        let find = |key: &str| labels.iter().find(|(known, _)| *known == key).map(|(_, v)| *v);
        selector.matches(find)
    }

    #[test]
    fn selectors_select_as_kubectl_does() {
        let web = [("app", "web"), ("app.kubernetes.io/instance", "shop"), ("env", "prod")];
        for (selector, expected) in [
            ("", true),
            ("app", true),
            ("!app", false),
            ("!legacy", true),
            ("app=web", true),
            ("app==web", true),
            ("app = web , env = prod", true),
            ("app=web,env=test", false),
            ("env!=test", true),
            ("tier!=cache", true),
            ("env in (prod, test)", true),
            ("env notin (prod,test)", false),
            ("tier notin (cache)", true),
            ("tier in (cache)", false),
            ("app.kubernetes.io/instance=shop", true),
            ("app=", false),
        ] {
            assert_eq!(selects(selector, &web), expected, "{selector}");
        }
    }

    #[test]
    fn what_is_no_selector_is_named() {
        let long = "a".repeat(MAX_BYTES + 1);
        let many = format!("a in ({})", ["b"; 200].join(","));
        assert!(many.parse::<Selector>().is_ok(), "repetitions count once");
        for text in [
            "=web",
            "a=b=c",
            "a in b",
            "a in (b",
            "a in b)",
            "a within (b)",
            "a,,b",
            "a b",
            "/x=y",
            "x/=y",
            "a=\u{e4}",
            "((a))",
            &long,
        ] {
            assert!(text.parse::<Selector>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_canonical_form_is_read_back(text in "[a-z!=, ()in]{0,40}") {
            if let Ok(selector) = text.parse::<Selector>() {
                prop_assert_eq!(selector.to_string().parse::<Selector>(), Ok(selector));
            }
        }
    }
}
