//! The reference of the wire: what each event holds, as JSON Schema made from the types that write them, with
//! the closed lists of their words.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde_json::{Value, json};

use super::encoder::{ByeJson, HelloJson, LiveJson};
use super::json::{self, WorkloadSummary};
use super::result::ResultJson;
use crate::ids::{GapReason, Kind, Outcome, PodPhase, Reason, RolloutPhase};

/// An event of the stream.
#[derive(Clone, Debug)]
pub struct Described {
    /// Its name: `event:` of SSE, `type` of NDJSON.
    pub name: &'static str,
    /// What it says.
    pub about: &'static str,
    /// Its object.
    pub schema: Value,
}

/// A line of a log. It is written by hand, for it is written for each line; the examples in `tests/wire` are
/// held against this.
#[derive(Serialize, JsonSchema)]
#[allow(dead_code, reason = "only its schema is wanted")]
struct Log {
    /// The node's stamp, as fine as it is.
    time: String,
    /// The pod's name.
    pod: String,
    /// The container's name.
    container: String,
    /// Which of its runs, from 1.
    attempt: u32,
    /// Whether the pod belongs to the newest revision.
    side: String,
    /// The level that the line names, if it names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<String>,
    /// The line, without its end.
    text: String,
    /// Its true size, if it was cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    truncated_bytes: Option<u64>,
    /// What is no UTF-8 was replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    lossy: Option<bool>,
    /// It has no line end yet, at a clean end of its log.
    #[serde(skip_serializing_if = "Option::is_none")]
    partial: Option<bool>,
    /// Its beginning was not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    partial_head: Option<bool>,
    /// Equal for the same line on every replica and after every restart.
    key: String,
}

const ROLLOUT_PHASES: [RolloutPhase; 9] = [
    RolloutPhase::Waiting,
    RolloutPhase::Progressing,
    RolloutPhase::Paused,
    RolloutPhase::WaitingForDelete,
    RolloutPhase::Stalled,
    RolloutPhase::Complete,
    RolloutPhase::ScaledToZero,
    RolloutPhase::Deleted,
    RolloutPhase::Unknown,
];

const POD_PHASES: [PodPhase; 10] = [
    PodPhase::Unscheduled,
    PodPhase::Pulling,
    PodPhase::Init,
    PodPhase::Starting,
    PodPhase::Running,
    PodPhase::Ready,
    PodPhase::Failing,
    PodPhase::Succeeded,
    PodPhase::Terminating,
    PodPhase::Gone,
];

const GAP_REASONS: [GapReason; 11] = [
    GapReason::RotationUnproven,
    GapReason::FollowLost,
    GapReason::AttemptCollected,
    GapReason::PodRemoved,
    GapReason::NodeUnreachable,
    GapReason::ViewerTooSlow,
    GapReason::HistoryEvicted,
    GapReason::ServerRestart,
    GapReason::LimitReached,
    GapReason::ClockStep,
    GapReason::UpstreamError,
];

/// All events, in the order in which a stream may have them first.
pub fn events() -> Vec<Described> {
    let all = |name, about, schema| Described { name, about, schema };
    vec![
        all("hello", "The stream begins.", schema::<HelloJson<'static>>()),
        all(
            "rollout",
            "The state of a rollout, also as it stands when a stream begins.",
            rollout(),
        ),
        all("pod", "The state of a pod, also as it stands when a stream begins.", pod()),
        all("log", "A line of a log.", log()),
        all("event", "What Kubernetes says of the workload or of a pod of it.", event()),
        all("source", "A log is followed, waits or has ended.", source()),
        all(
            "gap",
            "Lines are missing, or may be. Without a pod it is about the whole selection.",
            gap(),
        ),
        all("live", "All that was is told; what follows is new.", schema::<LiveJson>()),
        all("result", "A rollout is over.", result()),
        all("bye", "The server ends the stream.", schema::<ByeJson>()),
    ]
}

/// The object of a workload in a list.
pub fn workload() -> Value {
    let mut schema = schema::<WorkloadSummary<'static>>();
    words(&mut schema, "kind", Kind::ALL.map(Kind::as_str));
    words(&mut schema, "phase", ROLLOUT_PHASES.map(json::phase_word));
    schema
}

/// The object of `rollout`.
pub fn rollout() -> Value {
    let mut schema = schema::<json::Rollout<'static>>();
    words(&mut schema, "phase", ROLLOUT_PHASES.map(json::phase_word));
    if let Some(why) = schema.pointer_mut("/properties/reasons/items") {
        words(why, "code", Reason::ALL.map(Reason::as_str));
    }
    if let Some(ended) = schema.pointer_mut("/properties/result") {
        *ended = result();
    }
    schema
}

/// The object of `result`.
pub fn result() -> Value {
    let mut schema = schema::<ResultJson<'static>>();
    words(&mut schema, "outcome", Outcome::ALL.map(Outcome::as_str));
    words(&mut schema, "reason", Reason::ALL.map(Reason::as_str));
    words(&mut schema, "pinned", ["inferred"]);
    schema
}

fn pod() -> Value {
    let mut schema = schema::<json::Pod<'static>>();
    words(&mut schema, "side", ["new", "old"]);
    words(&mut schema, "phase", POD_PHASES.map(json::pod_phase_word));
    if let Some(container) = schema.pointer_mut("/properties/containers/items") {
        words(container, "kind", ["app", "init", "sidecar", "ephemeral"]);
        words(container, "state", ["waiting", "running", "terminated"]);
    }
    schema
}

fn log() -> Value {
    let mut schema = schema::<Log>();
    words(&mut schema, "side", ["new", "old"]);
    words(&mut schema, "level", ["trace", "debug", "info", "warn", "error"]);
    schema
}

fn event() -> Value {
    let mut schema = schema::<json::Event<'static>>();
    words(&mut schema, "type", ["Normal", "Warning"]);
    words(&mut schema, "event_type", ["Normal", "Warning"]);
    schema
}

fn source() -> Value {
    let mut schema = schema::<json::Source<'static>>();
    words(&mut schema, "state", ["waiting", "following", "ended"]);
    schema
}

fn gap() -> Value {
    let mut schema = schema::<json::GapEvent<'static>>();
    words(&mut schema, "reason", GAP_REASONS.map(GapReason::as_str));
    schema
}

fn schema<T: JsonSchema>() -> Value {
    let mut settings = SchemaSettings::draft2020_12().for_serialize();
    (settings.inline_subschemas, settings.meta_schema) = (true, None);
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    // The names of our types, and what their docs say to those who change them, are nobody else's business.
    if let Some(object) = schema.as_object_mut() {
        object.remove("title");
        object.remove("description");
    }
    schema
}

/// Names the closed list of a property's words.
fn words<const N: usize>(schema: &mut Value, property: &str, words: [&str; N]) {
    let Some(property) = schema.pointer_mut(&format!("/properties/{property}")) else { return };
    let may_be_null = property["type"].as_array().is_some();
    let null = may_be_null.then_some(Value::Null);
    let all: Vec<Value> = words.into_iter().map(|word| json!(word)).chain(null).collect();
    property["enum"] = Value::Array(all);
}
