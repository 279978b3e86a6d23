//! One record in, its bytes out, in any of the formats.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::bye::Bye;
use super::format::Format;
use super::id::{Digits, EventId, unix_ms};
use super::json;
use super::pen::Pen;
use super::result;
use super::text;
use crate::ids::{
    Entry, Gap, LineMeta, Lines, PodStatus, RolloutResult, RolloutStatus, WorkloadId,
};
use crate::journal::Epoch;
use crate::time::rfc3339;

/// A position in the journal, as an event id will name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The sequence number.
    pub seq: u64,
    /// Wall time in nanoseconds since 1970.
    pub time: i64,
}

/// How a stream began. A closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Resumed {
    /// Exactly behind the id that the client held.
    Exact,
    /// From the time of the id that the client held, or, in the middle of what that repeats, behind it;
    /// lines may repeat, with equal keys.
    Approximate,
    /// The client held no id.
    None,
}

/// A workload, and how its newest rollout stands.
pub type Rolling = (Arc<WorkloadId>, Arc<RolloutStatus>);

/// The first event of a stream.
pub struct Hello<'a> {
    /// The journal that is read; another one than ids name when a client comes back to a journal that
    /// is gone and was given nothing of this one yet.
    pub epoch: Epoch,
    /// Where the stream starts.
    pub position: Position,
    /// How it starts there.
    pub resumed: Resumed,
    /// Time between heartbeats.
    pub heartbeat: Duration,
    /// When the stream will be ended, wall time.
    pub ends_at: i64,
    /// What is selected, for people.
    pub selected: &'a dyn fmt::Display,
    /// What is read now.
    pub coverage: Vec<Coverage>,
    /// How many workloads that are now, if it is about several.
    pub workloads: Option<usize>,
    /// The rollout's state, for the first line of a text about one.
    pub rollout: Option<&'a RolloutStatus>,
}

/// One source that a stream covers.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Coverage {
    /// The workload, in a stream about several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<String>,
    /// The pod's name.
    pub pod: Arc<str>,
    /// The container's name.
    pub container: Arc<str>,
    /// The attempt, from 1.
    pub attempt: u32,
    /// Whether reading began at the log's first line, if known.
    pub from_start: Option<bool>,
}

/// Writes records of one journal in one format.
#[derive(Clone, Copy, Debug)]
pub struct Encoder {
    /// The format.
    pub format: Format,
    /// The journal that ids name.
    pub epoch: Epoch,
    /// Each event names its workload: the stream is about several.
    pub named: bool,
    /// What it writes may repeat what another process told, from this time on: ids say so.
    pub again: Option<i64>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct HelloJson<'a> {
    /// The journal that ids name.
    epoch: &'a str,
    /// How the stream goes on behind the id that it was asked for with.
    resumed: Resumed,
    /// The longest silence.
    heartbeat_ms: u64,
    /// When its lifetime is over.
    ends_at: String,
    /// The logs that are read now.
    coverage: &'a [Coverage],
}

#[derive(Serialize, JsonSchema)]
pub(super) struct LiveJson {
    /// When that was.
    time: String,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct ByeJson {
    /// Why.
    reason: Bye,
    /// When to come back.
    retry_ms: u64,
}

// === impl Encoder ===

impl Encoder {
    /// What goes out before anything is known about the stream: bytes that get through proxies at
    /// once, and for SSE the time after which a client comes back.
    pub fn preamble(&self, retry: Duration) -> Vec<u8> {
        match self.format {
            Format::Sse => format!(
                "retry: {}\n: rollcast {}\n\n",
                retry.as_millis(),
                env!("CARGO_PKG_VERSION")
            )
            .into_bytes(),
            _ => Vec::new(),
        }
    }

    /// The first event.
    pub fn hello(&self, out: &mut Vec<u8>, hello: &Hello<'_>) {
        let body = HelloJson {
            epoch: hello.epoch.as_str(),
            resumed: hello.resumed,
            heartbeat_ms: hello.heartbeat.as_millis() as u64,
            ends_at: rfc3339(hello.ends_at / crate::time::SECOND * crate::time::SECOND),
            coverage: &hello.coverage,
        };
        match self.format {
            Format::Text | Format::TextIds | Format::Ci(_) => {
                self.text(out, None, |out| text::hello(out, hello))
            }
            _ => self.object(out, "hello", Some(hello.position), &body),
        }
    }

    /// An appended entry; `position` is that of its first record.
    pub fn entry(
        &self,
        out: &mut Vec<u8>,
        position: Position,
        workload: &WorkloadId,
        entry: &Entry,
    ) {
        match entry {
            Entry::Lines(lines) => {
                let mut pen = self.pen(out, lines);
                for (index, line) in lines.lines.iter().enumerate() {
                    let seq = position.seq + index as u64;
                    pen.line(Position { seq, ..position }, line);
                }
            }
            Entry::Rollout(status) => self.rollout(out, position, workload, status),
            Entry::Pod(status) => self.pod(out, position, workload, status),
            Entry::Event(event) => match self.format {
                Format::Text | Format::TextIds | Format::Ci(_) => {
                    self.text(out, Some(position), |out| text::event(out, event));
                }
                format => {
                    let body = json::event(event, format == Format::Ndjson);
                    self.record(out, "event", position, workload, &body);
                }
            },
            Entry::Source(change) => match self.format {
                Format::Text | Format::TextIds | Format::Ci(_) => {
                    self.text(out, Some(position), |out| text::source(out, change));
                }
                _ => self.record(out, "source", position, workload, &json::source(change)),
            },
            Entry::Gap(gap) => self.gap(out, position, Some(workload), gap),
            Entry::Result(result) => {
                self.result(out, position, workload, result);
                // What comes after it is about the next one.
                self.group(out, &workload.to_string(), result.time);
            }
        }
    }

    /// The end of a rollout, from the journal or as a stream's own last event. It names its workload
    /// in every stream.
    pub fn result(
        &self,
        out: &mut Vec<u8>,
        position: Position,
        workload: &WorkloadId,
        result: &RolloutResult,
    ) {
        match self.format {
            Format::Text | Format::TextIds | Format::Ci(_) => {
                self.ends(out, workload, result);
                self.text(out, Some(position), |out| result::text(out, workload, result));
            }
            _ => self.object(out, "result", Some(position), &result::json(workload, result)),
        }
    }

    /// A rollout state, from the journal or as it stands when a stream begins.
    pub fn rollout(
        &self,
        out: &mut Vec<u8>,
        position: Position,
        workload: &WorkloadId,
        status: &RolloutStatus,
    ) {
        match self.format {
            Format::Text | Format::TextIds | Format::Ci(_) => {
                self.text(out, Some(position), |out| {
                    text::rollout(out, self.named.then_some(workload), status);
                })
            }
            _ => self.record(out, "rollout", position, workload, &json::rollout(status)),
        }
    }

    /// A pod state, from the journal or as it stands when a stream begins.
    pub fn pod(
        &self,
        out: &mut Vec<u8>,
        position: Position,
        workload: &WorkloadId,
        status: &PodStatus,
    ) {
        match self.format {
            Format::Text | Format::TextIds | Format::Ci(_) => {
                self.text(out, Some(position), |out| text::pod(out, status));
            }
            _ => self.record(out, "pod", position, workload, &json::pod(status)),
        }
    }

    /// A gap, from the journal or of this viewer only; without a workload it is one of the whole
    /// selection.
    pub fn gap(
        &self,
        out: &mut Vec<u8>,
        position: Position,
        workload: Option<&WorkloadId>,
        gap: &Gap,
    ) {
        match (self.format, workload) {
            (Format::Text | Format::TextIds | Format::Ci(_), _) => {
                self.text(out, Some(position), |out| text::gap(out, gap));
            }
            (_, Some(workload)) => self.record(out, "gap", position, workload, &json::gap(gap)),
            (_, None) => self.object(out, "gap", Some(position), &json::gap(gap)),
        }
    }

    /// The reader has caught up with the present; repeats the last id.
    pub fn live(&self, out: &mut Vec<u8>, position: Position, now: i64) {
        match self.format {
            Format::Text | Format::TextIds | Format::Ci(_) => {
                self.text(out, Some(position), |out| text::live(out, now));
            }
            _ => self.object(out, "live", Some(position), &LiveJson { time: rfc3339(now) }),
        }
    }

    /// The last event.
    pub fn bye(&self, out: &mut Vec<u8>, reason: Bye, retry: Duration, now: i64) {
        match self.format {
            Format::Text | Format::TextIds | Format::Ci(_) => {
                self.ungroup(out, now);
                self.text(out, None, |out| text::bye(out, reason, now));
            }
            _ => {
                let body = ByeJson { reason, retry_ms: retry.as_millis() as u64 };
                self.object(out, "bye", None, &body);
            }
        }
    }

    /// Says that the connection is alive; a text says how those of `rollouts` stand that run, and of which
    /// workloads the rollout that was asked for is `unseen`.
    pub fn heartbeat(
        &self,
        out: &mut Vec<u8>,
        rollouts: &[Rolling],
        unseen: &[Arc<WorkloadId>],
        now: i64,
    ) {
        match self.format {
            Format::Sse => out.extend_from_slice(b": hb\n\n"),
            Format::Ndjson => out.extend_from_slice(b"{\"type\":\"ping\"}\n"),
            Format::Text | Format::TextIds | Format::Ci(_) => {
                self.text(out, None, |out| text::heartbeat(out, self.named, rollouts, unseen, now));
            }
        }
    }

    /// A bare id: moves a client's cursor over records that its selection does not show. Where there
    /// are no ids there is nothing to move.
    pub fn cursor(&self, out: &mut Vec<u8>, position: Position) {
        let (before, after) = match self.format {
            Format::Sse => ("id: ", "\n\n"),
            Format::TextIds => ("", "\n"),
            Format::Ndjson | Format::Text | Format::Ci(_) => return,
        };
        out.extend_from_slice(before.as_bytes());
        self.id(out, position);
        out.extend_from_slice(after.as_bytes());
    }

    /// A pen for the lines of a batch. Written by hand: it runs for every line.
    pub fn pen<'a>(&self, out: &'a mut Vec<u8>, lines: &'a Lines) -> Pen<'a> {
        Pen::new(*self, out, lines)
    }

    /// One log line.
    pub fn line(&self, out: &mut Vec<u8>, position: Position, lines: &Lines, line: &LineMeta) {
        self.pen(out, lines).line(position, line);
    }

    fn object<T: Serialize>(
        &self,
        out: &mut Vec<u8>,
        name: &str,
        position: Option<Position>,
        body: &T,
    ) {
        self.open(out, name, position);
        self.body(out, body);
    }

    /// An object about a workload, which it names if the stream is about several.
    fn record<T: Serialize>(
        &self,
        out: &mut Vec<u8>,
        name: &str,
        position: Position,
        workload: &WorkloadId,
        body: &T,
    ) {
        self.open(out, name, Some(position));
        self.name(out, workload);
        self.body(out, body);
    }

    pub(super) fn name(&self, out: &mut Vec<u8>, workload: &WorkloadId) {
        if self.named {
            let WorkloadId { namespace, kind, name } = workload;
            // Names of objects that exist: letters, digits, dots and dashes.
            out.extend_from_slice(b"\"workload\":\"");
            for part in [namespace, "/", kind.as_str(), "/", name] {
                out.extend_from_slice(part.as_bytes());
            }
            out.extend_from_slice(b"\",");
        }
    }

    fn body<T: Serialize>(&self, out: &mut Vec<u8>, body: &T) {
        // The opening brace is ours, so that NDJSON's type and id can come first.
        let start = out.len();
        json::push_json(out, body);
        debug_assert_eq!(out.get(start), Some(&b'{'));
        out.remove(start);
        self.close(out);
    }

    /// Gives where the digits of its id stand, if it has one.
    pub(super) fn open(&self, out: &mut Vec<u8>, name: &str, position: Option<Position>) -> Digits {
        let mut digits = Digits::default();
        match self.format {
            Format::Sse => {
                out.extend_from_slice(b"event: ");
                out.extend_from_slice(name.as_bytes());
                if let Some(position) = position {
                    out.extend_from_slice(b"\nid: ");
                    digits = self.id(out, position);
                }
                out.extend_from_slice(b"\ndata: {");
            }
            _ => {
                out.extend_from_slice(b"{\"type\":\"");
                out.extend_from_slice(name.as_bytes());
                out.push(b'"');
                if let Some(position) = position {
                    out.extend_from_slice(b",\"id\":\"");
                    digits = self.id(out, position);
                    out.push(b'"');
                }
                out.push(b',');
            }
        }
        digits
    }

    pub(super) fn close(&self, out: &mut Vec<u8>) {
        match self.format {
            Format::Sse => out.extend_from_slice(b"\n\n"),
            _ => out.push(b'\n'),
        }
    }

    /// Lines for people, each behind its id where ids are wanted.
    pub(super) fn text(
        &self,
        out: &mut Vec<u8>,
        position: Option<Position>,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let start = out.len();
        write(out);
        if self.format != Format::TextIds {
            return;
        }
        let mut id = Vec::new();
        match position {
            Some(position) => {
                self.id(&mut id, position);
            }
            None => id.push(b'-'),
        }
        id.push(b' ');
        let lines = out.split_off(start);
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            out.extend_from_slice(&id);
            out.extend_from_slice(line);
        }
    }

    fn id(&self, out: &mut Vec<u8>, position: Position) -> Digits {
        let (unix_ms, again_ms) = (unix_ms(position.time), self.again.map(unix_ms));
        EventId { epoch: self.epoch, seq: position.seq, unix_ms, again_ms }.push(out)
    }
}
