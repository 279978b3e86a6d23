//! The text format: what `curl` shows to people and what a CI log keeps.
//!
//! Every line begins with a time of day and names its object, so that nothing a pod prints stands
//! at the start of a line.

use std::io::Write as _;
use std::sync::Arc;

use super::bye::Bye;
use super::encoder::{Hello, Rolling};
use super::escape::push_plain;
use super::json::{phase_word, pod_phase_word, span};
use super::stamp::push_clock;
use crate::ids::{
    Gap, ImageChange, KubeEvent, LineMeta, Lines, PodStatus, RolloutPhase, RolloutStatus, Source,
    SourceChange, SourceState, WorkloadId,
};
use crate::time::{MILLISECOND, rfc3339};

/// How many rollouts a text tells of each time that it says how they stand: of more nobody reads each.
const MOST_TOLD: usize = 20;
const UNSEEN: &[u8] = b"the one that was asked for was not seen yet";

// Writes into a Vec cannot fail, so their results are dropped throughout.

pub(super) fn hello(out: &mut Vec<u8>, hello: &Hello<'_>) {
    push_plain(out, &hello.selected.to_string());
    out.extend_from_slice(b"  ");
    match (hello.rollout, hello.workloads) {
        (_, Some(1)) => out.extend_from_slice(b"1 workload"),
        (_, Some(count)) => drop(write!(out, "{count} workloads")),
        (Some(status), None) => {
            let _ = write!(out, "{}  ", phase_word(status.phase));
            if let Some(revision) = &status.revision {
                out.extend_from_slice(b"revision ");
                push_plain(out, revision);
                out.extend_from_slice(b"  ");
            }
            let _ = write!(out, "{}/{} ready", status.ready, status.desired);
        }
        (None, None) => out.extend_from_slice(b"state not known yet"),
    }
    out.extend_from_slice(b"  (times in UTC)\n");
}

/// `pod/container`; names are the API server's, which is no reason to write them down unseen.
fn push_source(out: &mut Vec<u8>, source: &Source) {
    push_plain(out, &source.pod);
    out.push(b'/');
    push_plain(out, &source.key.container);
}

pub(super) fn line(out: &mut Vec<u8>, lines: &Lines, line: &LineMeta, text: &str) {
    push_clock(out, line.time);
    out.extend_from_slice(b"  ");
    push_source(out, &lines.source);
    out.extend_from_slice(b" | ");
    push_plain(out, text);
    if line.truncated_bytes > 0 {
        let _ = write!(out, " … (cut, {} bytes in all)", line.truncated_bytes);
    }
    out.push(b'\n');
}

pub(super) fn rollout(out: &mut Vec<u8>, named: Option<&WorkloadId>, status: &RolloutStatus) {
    push_clock(out, status.time);
    out.extend_from_slice(b"  rollout  ");
    if let Some(workload) = named {
        push_plain(out, &workload.to_string());
        out.extend_from_slice(b"  ");
    }
    progress(out, status, status.time);
    for (at, image) in status.images.iter().enumerate() {
        // Init containers and sidecars often share the image of the application.
        let same = |other: &ImageChange| (&other.from, &other.to) == (&image.from, &image.to);
        if status.images[..at].iter().any(same) {
            continue;
        }
        if let Some(from) = &image.from
            && status.phase == RolloutPhase::Progressing
        {
            out.extend_from_slice(b", ");
            push_plain(out, from);
            out.extend_from_slice(b" -> ");
            push_plain(out, &image.to);
        }
    }
    if let Some(by) = status.by.as_deref().filter(|_| status.phase == RolloutPhase::Progressing) {
        out.extend_from_slice(b", by ");
        push_plain(out, by);
    }
    if !status.message.is_empty() {
        out.extend_from_slice(b": ");
        push_plain(out, &status.message);
    }
    out.push(b'\n');
}

fn progress(out: &mut Vec<u8>, status: &RolloutStatus, now: i64) {
    if let Some(revision) = &status.revision {
        out.extend_from_slice(b"revision ");
        push_plain(out, revision);
        out.push(b' ');
    }
    let word = phase_word(status.phase).replace('_', " ");
    let _ = write!(out, "{word}, {}/{} ready", status.ready, status.desired);
    if status.old > 0 {
        let _ = write!(out, ", {} old", status.old);
    }
    if let Some(seconds) = status.elapsed_seconds(now) {
        let _ = write!(out, " ({})", span(seconds));
    }
}

/// A line only if it says something new: the rollout's line tells how many pods are old.
pub(super) fn pod(out: &mut Vec<u8>, status: &PodStatus) {
    if status.quiet {
        return;
    }
    push_clock(out, status.time);
    out.extend_from_slice(b"  pod/");
    push_plain(out, &status.pod);
    let _ = write!(out, "  {}", pod_phase_word(status.phase));
    if let Some(detail) = &status.phase_detail {
        out.push(b' ');
        push_plain(out, detail);
    }
    if status.restarts > 0 {
        let _ = write!(out, ", {} restarts", status.restarts);
    }
    for (mark, text) in [(": ", &status.reason), (", ", &status.message)] {
        if let Some(text) = text {
            out.extend_from_slice(mark.as_bytes());
            push_plain(out, text);
        }
    }
    out.push(b'\n');
}

pub(super) fn event(out: &mut Vec<u8>, event: &KubeEvent) {
    push_clock(out, event.time);
    let kind = if event.warning { "Warning" } else { "Normal" };
    let _ = write!(out, "  {kind}  ");
    push_plain(out, &event.reason);
    out.extend_from_slice(b"  ");
    push_plain(out, &event.object_kind);
    out.push(b'/');
    push_plain(out, &event.object_name);
    out.extend_from_slice(b"  ");
    push_plain(out, &event.message);
    if event.count > 1 {
        let _ = write!(out, " (x{})", event.count);
    }
    out.push(b'\n');
}

/// What is wrong with the clock of a source's node, for people.
fn clock_words(reason: &str) -> Option<&'static [u8]> {
    match reason {
        "clock_ahead" => {
            Some(b"; the clock of its node is ahead, so its lines look newer than they are\n")
        }
        "clock_behind" => {
            Some(b"; its lines come long after their time: the clock of its node is behind, or the reading\n")
        }
        "clock_step" => Some(b"; the clock of its node was set back\n"),
        _ => None,
    }
}

pub(super) fn source(out: &mut Vec<u8>, change: &SourceChange) {
    push_clock(out, change.time);
    let source = &change.source;
    out.extend_from_slice(b"  ");
    push_source(out, source);
    out.extend_from_slice(b"  log ");
    match change.state {
        SourceState::Waiting => out.extend_from_slice(b"waits"),
        SourceState::Following => {
            let _ = write!(out, "followed, attempt {}", source.attempt);
            if let Some(words) = change.reason.as_deref().and_then(clock_words) {
                out.extend_from_slice(words);
                return;
            }
        }
        SourceState::Ended => {
            let _ = write!(out, "of attempt {} ended", source.attempt);
            out.extend_from_slice(match change.complete {
                Some(true) => b", complete".as_slice(),
                Some(false) => b", not complete",
                None => b"",
            });
            if let Some(lines) = change.lines {
                let _ = write!(out, ", {lines} lines");
            }
        }
    }
    if let Some(reason) = &change.reason {
        out.extend_from_slice(b": ");
        push_plain(out, reason);
    }
    out.push(b'\n');
}

pub(super) fn gap(out: &mut Vec<u8>, gap: &Gap) {
    push_clock(out, gap.time);
    out.extend_from_slice(b"  gap  ");
    if let Some(source) = &gap.source {
        push_source(out, source);
        out.extend_from_slice(b"  ");
    }
    match gap.count {
        Some(1) => out.extend_from_slice(b"1 line is missing"),
        Some(count) => {
            let _ = write!(out, "{count} lines are missing");
        }
        None => out.extend_from_slice(b"lines may be missing"),
    }
    if let (Some(from), Some(to)) = (gap.from, gap.to) {
        let _ = write!(out, " between {} and {}", rfc3339(from), rfc3339(to));
    }
    let _ = writeln!(out, " ({})", gap.reason.as_str());
}

pub(super) fn live(out: &mut Vec<u8>, now: i64) {
    push_clock(out, now);
    out.extend_from_slice(b"  -- everything so far is above; following\n");
}

pub(super) fn bye(out: &mut Vec<u8>, reason: Bye, now: i64) {
    push_clock(out, now);
    out.extend_from_slice(match reason {
        Bye::Rotate => b"  -- end of this stream's lifetime; connect again to go on\n".as_slice(),
        Bye::Drain => b"  -- this replica is shutting down; connect again to go on\n",
        Bye::Expired => b"  -- the token has expired; sign in again\n",
        Bye::Revoked => b"  -- the right to read these logs was taken away\n",
        Bye::Limit => b"  -- a limit was reached; try again later\n",
    });
}

/// How each rollout that runs stands, of which workloads the one that was asked for was not seen yet, and of very
/// many how many more there are; an empty line if there is nothing to say.
pub(super) fn heartbeat(
    out: &mut Vec<u8>,
    named: bool,
    rollouts: &[Rolling],
    unseen: &[Arc<WorkloadId>],
    now: i64,
) {
    let begin = out.len();
    let now = now - now.rem_euclid(MILLISECOND);
    let line = |out: &mut Vec<u8>, workload: &WorkloadId, words: &dyn Fn(&mut Vec<u8>)| {
        push_clock(out, now);
        out.extend_from_slice(b"  rollout  ");
        if named {
            push_plain(out, &workload.to_string());
            out.extend_from_slice(b"  ");
        }
        words(out);
        out.push(b'\n');
    };
    let running = || rollouts.iter().filter(|(_, status)| status.phase.runs());
    for (workload, status) in running().take(MOST_TOLD) {
        line(out, workload, &|out| progress(out, status, now));
    }
    for workload in unseen.iter().take(MOST_TOLD) {
        line(out, workload, &|out| out.extend_from_slice(UNSEEN));
    }
    let more = [running().count(), unseen.len()].map(|count| count.saturating_sub(MOST_TOLD));
    let more: usize = more.iter().sum();
    if more > 0 {
        push_clock(out, now);
        out.extend_from_slice(format!("  rollout  and {more} more\n").as_bytes());
    }
    if out.len() == begin {
        out.push(b'\n');
    }
}
