//! The formats of a stream, by name.

use std::str::FromStr;

/// How a stream is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// `text/event-stream`.
    Sse,
    /// `application/x-ndjson`.
    Ndjson,
    /// `text/plain`, for people and CI logs.
    Text,
    /// The same text for a script that shows it and comes back after a cut: each line begins with its
    /// event's id, or with `-` where there is none, and a space.
    TextIds,
}

/// A word that names no format.
#[derive(Debug, thiserror::Error)]
#[error("unknown format: expected sse, ndjson, text or text_ids")]
pub struct UnknownFormat;

// === impl Format ===

impl Format {
    /// The media type that answers carry.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Sse => "text/event-stream",
            Format::Ndjson => "application/x-ndjson",
            Format::Text | Format::TextIds => "text/plain; charset=utf-8",
        }
    }

    /// The word that `format=` takes.
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Sse => "sse",
            Format::Ndjson => "ndjson",
            Format::Text => "text",
            Format::TextIds => "text_ids",
        }
    }

    /// Whether it is for people, with ids or without.
    pub fn is_text(self) -> bool {
        matches!(self, Format::Text | Format::TextIds)
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let all = [Format::Sse, Format::Ndjson, Format::Text, Format::TextIds];
        all.into_iter().find(|format| format.as_str() == word).ok_or(UnknownFormat)
    }
}
