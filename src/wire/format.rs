//! The formats of a stream, by name.

use std::str::FromStr;

use super::dialect::Dialect;

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
    /// The same text with commands for a system that runs jobs.
    Ci(Dialect),
}

/// A word that names no format.
#[derive(Debug, thiserror::Error)]
#[error(
    "unknown format: expected sse, ndjson, text, text_ids, github, gitlab, buildkite, azure or teamcity"
)]
pub struct UnknownFormat;

// === impl Format ===

impl Format {
    /// The media type that answers carry.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Sse => "text/event-stream",
            Format::Ndjson => "application/x-ndjson",
            Format::Text | Format::TextIds | Format::Ci(_) => "text/plain; charset=utf-8",
        }
    }

    /// The word that `format=` takes.
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Sse => "sse",
            Format::Ndjson => "ndjson",
            Format::Text => "text",
            Format::TextIds => "text_ids",
            Format::Ci(dialect) => dialect.as_str(),
        }
    }

    /// Whether it is for people, with ids or without.
    pub fn is_text(self) -> bool {
        matches!(self, Format::Text | Format::TextIds | Format::Ci(_))
    }

    /// Whether its events have ids, so that a client can go on behind one.
    pub fn has_ids(self) -> bool {
        matches!(self, Format::Sse | Format::Ndjson | Format::TextIds)
    }

    /// The system whose commands it has.
    pub(super) fn dialect(self) -> Option<Dialect> {
        match self {
            Format::Ci(dialect) => Some(dialect),
            _ => None,
        }
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let all = [Format::Sse, Format::Ndjson, Format::Text, Format::TextIds];
        let all = all.into_iter().chain(Dialect::ALL.map(Format::Ci));
        { all }.find(|format| format.as_str() == word).ok_or(UnknownFormat)
    }
}
