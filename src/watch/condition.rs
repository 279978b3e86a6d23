//! Conditions, and why something is as it is, in compact form.

use std::sync::Arc;

use super::intern::Words;
use crate::cluster::types;

/// Longer messages are cut: kubelets and registries put whole pages into them.
const MESSAGE_BYTES: usize = 1024;

/// Whether a condition holds. A closed list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Nobody knows, or the condition is missing.
    #[default]
    Unknown,
}

/// A condition of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// Whether it holds.
    pub status: Truth,
    /// When that changed last.
    pub since: Option<i64>,
    /// Why; boxed, since most conditions hold and have no reason.
    pub why: Option<Box<Why>>,
}

/// Why something is as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Why {
    /// A machine's word.
    pub reason: Option<Arc<str>>,
    /// A sentence, at most 1,024 bytes of it.
    pub message: Option<Arc<str>>,
}

impl Condition {
    /// Whether it holds.
    pub fn holds(&self) -> bool {
        self.status == Truth::True
    }

    /// The machine's word, if any.
    pub fn reason(&self) -> Option<&Arc<str>> {
        self.why.as_ref().and_then(|why| why.reason.as_ref())
    }

    /// The sentence, if any.
    pub fn message(&self) -> Option<&Arc<str>> {
        self.why.as_ref().and_then(|why| why.message.as_ref())
    }

    /// Picks one condition out of an object's list.
    pub(super) fn pick(
        list: Option<&Vec<types::Condition>>,
        kind: &str,
        words: &mut Words,
    ) -> Option<Condition> {
        let found = list?.iter().find(|condition| condition.kind == kind)?;
        let status = match found.status.as_str() {
            "True" => Truth::True,
            "False" => Truth::False,
            _ => Truth::Unknown,
        };
        Some(Condition {
            status,
            since: found.last_transition_time.as_ref().map(types::nanos),
            why: Why::of(found.reason.as_deref(), found.message.as_deref(), words),
        })
    }
}

impl Why {
    /// `None` if nothing is said.
    pub(super) fn of(
        reason: Option<&str>,
        message: Option<&str>,
        words: &mut Words,
    ) -> Option<Box<Why>> {
        let reason = words.maybe(reason);
        let message = message.filter(|message| !message.is_empty()).map(cut);
        (reason.is_some() || message.is_some()).then(|| Box::new(Why { reason, message }))
    }

    /// Rough heap size in bytes.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Why>() + self.message.as_ref().map_or(0, |message| message.len() + 16)
    }
}

/// Cuts a message at a character's border.
pub(super) fn cut(message: &str) -> Arc<str> {
    let mut end = message.len().min(MESSAGE_BYTES);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    Arc::from(&message[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let cut = cut(&"ä".repeat(MESSAGE_BYTES));
        assert!(cut.len() <= MESSAGE_BYTES && cut.chars().all(|letter| letter == 'ä'));
    }
}
