//! What is said at the end: how each rollout ended, what shows it, and a last line for programs.

use super::super::event::{Ended, Rollout};
use super::super::exit::{End, Exit};
use super::line::{Line, Look};
use super::row::Row;
use super::{clock, nanos};
use crate::ids::WorkloadId;
use crate::wire::{push_indented, span};

/// What is known of one workload at the end.
pub(in crate::client) struct Facts<'a> {
    /// Which.
    pub(in crate::client) workload: &'a WorkloadId,
    /// How following it ended; `None` if something else ended before.
    pub(in crate::client) end: Option<&'a End>,
    /// The last state of its rollout.
    pub(in crate::client) rollout: Option<&'a Rollout>,
}

// === impl Facts ===

impl<'a> Facts<'a> {
    pub(super) fn of(row: &'a Row) -> Self {
        let (end, rollout) = (row.end.as_ref(), row.rollout.as_deref());
        Facts { workload: &row.workload, end, rollout }
    }
}

/// The word for people.
pub(in crate::client) fn headline(end: &End) -> &'static str {
    match end {
        End::Verdict(ended) => match ended.outcome.as_str() {
            "succeeded" => "SUCCEEDED",
            "timed_out" => "TIMED OUT",
            "superseded" => "SUPERSEDED",
            "deleted" => "DELETED",
            "unknown" => "UNKNOWN",
            _ => "FAILED",
        },
        End::Refused(_) => "REFUSED",
        End::Deadline => "NOT OVER IN TIME",
        End::Lost(_) => "CONTACT LOST",
        End::Stopped => "STOPPED",
    }
}

/// The sentence beside it.
pub(in crate::client) fn reason(end: &End) -> String {
    match end {
        End::Verdict(ended) => ended.message.clone(),
        End::Refused(words) => words.clone(),
        End::Deadline => {
            "there was no result of the rollout that is meant before --timeout was over".to_owned()
        }
        End::Lost(words) if words.is_empty() => "the server was not heard of".to_owned(),
        End::Lost(words) => words.clone(),
        End::Stopped => "by a signal; the rollout itself goes on".to_owned(),
    }
}

/// Draws the end of one workload. What a pod or a controller said is indented, so that nothing of it
/// can be taken for the last line.
pub(super) fn draw(row: &Row, end: &End, named: bool, page: Option<&str>) -> Vec<Line> {
    let good = end.exit() == Exit::Succeeded;
    let look = if good { Look::Green } else { Look::Red };
    let mut head = Line::default().add(look, headline(end));
    if named {
        head.push(Look::Plain, &format!(" {}", row.workload));
    }
    let verdict = match end {
        End::Verdict(ended) => Some(ended),
        _ => None,
    };
    if let Some(took) = verdict.and_then(|ended| ended.duration_ms) {
        head.push(Look::Plain, &format!(" after {}", span(took / 1000)));
    }
    let why = reason(end);
    if !why.is_empty() {
        head = head.add(Look::Plain, ": ").add(Look::Bold, &why);
    }
    let mut lines = vec![Line::default(), head];
    if let Some(ended) = verdict {
        evidence(ended, &mut lines);
    }
    if let Some(page) = page {
        let WorkloadId { namespace, kind, name } = &row.workload;
        lines.push(
            Line::default().add(Look::Dim, &format!("see {page}/w/{namespace}/{kind}/{name}")),
        );
    }
    lines
}

fn evidence(ended: &Ended, lines: &mut Vec<Line>) {
    if !ended.events.is_empty() {
        lines.push(Line::default().add(Look::Plain, "events:"));
    }
    for event in &ended.events {
        let time = nanos(&event.time).unwrap_or(0);
        let words = format!("  {}  {}  {}  ", event.kind, event.reason, event.object.name);
        let mut line = Line::default()
            .add(Look::Plain, "  ")
            .add(Look::Dim, &clock(time, false))
            .add(Look::Plain, &words)
            .add(Look::Plain, &event.message);
        if event.count > 1 {
            line.push(Look::Dim, &format!(" (x{})", event.count));
        }
        lines.push(line);
    }
    for pod in ended.pods.iter().filter(|pod| !pod.lines.is_empty()) {
        let mut words = format!("last lines of {}", pod.pod);
        if let Some(container) = &pod.container {
            words.push_str(&format!("/{container}"));
        }
        if let Some(attempt) = pod.attempt {
            words.push_str(&format!(", attempt {attempt}"));
        }
        lines.push(Line::default().add(Look::Plain, &words).add(Look::Plain, ":"));
        for text in &pod.lines {
            lines.push(Line::default().add(Look::Plain, "  ").add(Look::Plain, &harmless(text)));
        }
    }
}

/// A line that is only indented starts no command of a CI system.
fn harmless(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    push_indented(&mut out, text);
    String::from_utf8_lossy(&out).into_owned()
}

/// The line that programs read.
pub(super) fn last(workload: &WorkloadId, end: &End) -> Line {
    let (outcome, reason) = match end {
        End::Verdict(ended) => (word(&ended.outcome), ended.reason.as_deref().map(word)),
        End::Refused(_) => ("unknown".to_owned(), Some("refused".to_owned())),
        End::Deadline => ("unknown".to_owned(), Some("timeout".to_owned())),
        End::Lost(_) => ("unknown".to_owned(), Some("contact_lost".to_owned())),
        End::Stopped => ("unknown".to_owned(), Some("stopped".to_owned())),
    };
    let mut words = format!("RESULT outcome={outcome} rollout={workload}");
    if let End::Verdict(ended) = end {
        if let Some(revision) = &ended.revision {
            words.push_str(&format!(" revision={}", word(revision)));
        }
        words.push_str(&format!(" ready={}/{}", ended.ready, ended.desired));
        if let Some(took) = ended.duration_ms {
            words.push_str(&format!(" duration={}s", took / 1000));
        }
    }
    if let Some(reason) = reason {
        words.push_str(&format!(" reason={reason}"));
    }
    if let End::Verdict(ended) = end
        && ended.pinned.is_some()
    {
        words.push_str(" pinned=inferred");
    }
    Line::default().add(Look::Plain, &words)
}

/// A word of the wire: nothing in it ends a word.
fn word(text: &str) -> String {
    let fits = |letter: &char| letter.is_ascii_alphanumeric() || "_-.".contains(*letter);
    text.chars().filter(fits).take(64).collect()
}
