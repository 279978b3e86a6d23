//! How a rollout ended, as JSON and as text.

use std::io::Write as _;

use schemars::JsonSchema;
use serde::Serialize;

use super::escape::{push_indented, push_plain, push_word};
use super::json;
use super::stamp::push_clock;
use crate::ids::{Blocked, Outcome, RolloutResult, RolloutStatus, WorkloadId};
use crate::time::rfc3339;

/// The last word of a line for programs about a rollout that a generation led to that was not seen here.
const INFERRED: &[u8] = b" pinned=inferred";

/// The object of the `result` event.
#[derive(Serialize, JsonSchema)]
pub(super) struct ResultJson<'a> {
    /// When it was decided.
    time: String,
    /// How it ended.
    outcome: &'static str,
    /// `namespace/kind/name`.
    workload: String,
    /// Its revision.
    revision: Option<&'a str>,
    /// Pods of it that were ready.
    ready: u32,
    /// Pods that were asked for.
    desired: u32,
    /// How long it took.
    duration_ms: Option<u64>,
    /// What it failed for.
    reason: Option<&'static str>,
    /// `inferred` if the generation that was asked for was not seen here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pinned: Option<&'static str>,
    /// The same in one sentence.
    message: &'a str,
    /// Pods that kept it back, with the last lines of the container to blame.
    pods: Vec<BlockedJson<'a>>,
    /// The last Kubernetes events about it.
    events: Vec<json::Event<'a>>,
}

#[derive(Serialize, JsonSchema)]
struct BlockedJson<'a> {
    /// The pod's name.
    pod: &'a str,
    /// The container to blame.
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<&'a str>,
    /// Which of its runs, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    /// How that ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
    /// Its last lines.
    lines: &'a [String],
}

/// The object of the `result` event, which `GET …/verdict` answers with too.
pub fn result_json(workload: &WorkloadId, result: &RolloutResult) -> Vec<u8> {
    json::to_json(&json(workload, result))
}

/// The same for people, with the line for programs last, as a stream of text ends.
pub fn result_text(workload: &WorkloadId, result: &RolloutResult) -> Vec<u8> {
    let mut out = Vec::new();
    text(&mut out, workload, result);
    // The empty line that sets it off in a stream.
    out.remove(0);
    out
}

/// What a rollout that is not over yet is answered with as text: a sentence, and last the line for
/// programs, which no result begins like. `uid` is that of its object; `inferred`: it was not seen that it is the one that is meant.
pub fn running_text(
    workload: &WorkloadId,
    detail: &str,
    status: Option<&RolloutStatus>,
    uid: Option<&str>,
    inferred: bool,
) -> Vec<u8> {
    let mut out = Vec::new();
    push_plain(&mut out, detail);
    let _ = write!(out, "\nRUNNING rollout={workload}");
    if let Some(status) = status {
        if let Some(revision) = &status.revision {
            out.extend_from_slice(b" revision=");
            push_word(&mut out, revision);
        }
        let RolloutStatus { generation, ready, desired, .. } = status;
        let _ = write!(out, " generation={generation} ready={ready}/{desired}");
    }
    if let Some(uid) = uid {
        out.extend_from_slice(b" uid=");
        push_word(&mut out, uid);
    }
    if inferred {
        out.extend_from_slice(INFERRED);
    }
    out.push(b'\n');
    out
}

pub(super) fn json<'a>(workload: &WorkloadId, result: &'a RolloutResult) -> ResultJson<'a> {
    ResultJson {
        time: rfc3339(result.time),
        outcome: result.outcome.as_str(),
        workload: workload.to_string(),
        revision: result.revision.as_deref(),
        ready: result.ready,
        desired: result.desired,
        duration_ms: result.duration_ms,
        reason: result.reason.map(crate::ids::Reason::as_str),
        pinned: result.inferred.then_some("inferred"),
        message: &result.message,
        pods: result.pods.iter().map(blocked).collect(),
        events: result.events.iter().map(|event| json::event(event, false)).collect(),
    }
}

fn blocked(blocked: &Blocked) -> BlockedJson<'_> {
    BlockedJson {
        pod: &blocked.pod,
        container: blocked.container.as_deref(),
        attempt: blocked.attempt,
        exit_code: blocked.exit_code,
        lines: &blocked.lines,
    }
}

// Writes into a Vec cannot fail, so their results are dropped throughout.

/// What people read at the end of a rollout, and last the line that programs read. Everything that a
/// pod or a controller said is indented, so that it cannot be taken for that line.
pub(super) fn text(out: &mut Vec<u8>, workload: &WorkloadId, result: &RolloutResult) {
    out.push(b'\n');
    out.extend_from_slice(headline(result.outcome).as_bytes());
    if let Some(duration) = result.duration_ms {
        out.extend_from_slice(b" after ");
        out.extend_from_slice(json::span(duration / 1000).as_bytes());
    }
    if !result.message.is_empty() {
        out.extend_from_slice(b": ");
        push_plain(out, &result.message);
    }
    out.push(b'\n');
    if !result.events.is_empty() {
        out.extend_from_slice(b"events:\n");
    }
    for event in &result.events {
        out.extend_from_slice(b"  ");
        push_clock(out, event.time);
        let kind = if event.warning { "Warning" } else { "Normal" };
        let _ = write!(out, "  {kind}  ");
        for part in [&event.reason, &event.object_name] {
            push_plain(out, part);
            out.extend_from_slice(b"  ");
        }
        push_plain(out, &event.message);
        if event.count > 1 {
            let _ = write!(out, " (x{})", event.count);
        }
        out.push(b'\n');
    }
    for pod in result.pods.iter().filter(|pod| !pod.lines.is_empty()) {
        out.extend_from_slice(b"last lines of ");
        push_plain(out, &pod.pod);
        if let Some(container) = &pod.container {
            out.push(b'/');
            push_plain(out, container);
        }
        if let Some(attempt) = pod.attempt {
            let _ = write!(out, ", attempt {attempt}");
        }
        out.extend_from_slice(b":\n");
        for line in &pod.lines {
            out.extend_from_slice(b"  ");
            push_indented(out, line);
            out.push(b'\n');
        }
    }
    let _ = write!(out, "RESULT outcome={} rollout={workload}", result.outcome.as_str());
    if let Some(revision) = &result.revision {
        out.extend_from_slice(b" revision=");
        push_word(out, revision);
    }
    let _ = write!(out, " ready={}/{}", result.ready, result.desired);
    if let Some(duration) = result.duration_ms {
        let _ = write!(out, " duration={}s", duration / 1000);
    }
    if let Some(reason) = result.reason {
        let _ = write!(out, " reason={}", reason.as_str());
    }
    if result.inferred {
        out.extend_from_slice(INFERRED);
    }
    out.push(b'\n');
}

fn headline(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Succeeded => "SUCCEEDED",
        Outcome::Failed => "FAILED",
        Outcome::TimedOut => "TIMED OUT",
        Outcome::Superseded => "SUPERSEDED",
        Outcome::Deleted => "DELETED",
        Outcome::Unknown => "UNKNOWN",
    }
}
