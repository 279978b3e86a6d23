//! `GET /api/v1/openapi.json`: what this server answers, as OpenAPI 3.1.
//!
//! It is as public as the page, and the same for all. Events and results come from the types that write
//! them (`wire::reference`); `tests/it/openapi.rs` asks the server for all that is said here.

use std::sync::LazyLock;

use axum::Router;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::header;
use serde_json::{Map, Value, json};

use super::problem;
use crate::wire::reference;

/// A parameter of a query.
struct Parameter {
    name: &'static str,
    about: &'static str,
    /// A value that it takes.
    example: &'static str,
}

const fn parameter(name: &'static str, about: &'static str, example: &'static str) -> Parameter {
    Parameter { name, about, example }
}

/// What chooses lines.
const LINES: [Parameter; 9] = [
    parameter("container", "Only the lines of this container.", "app"),
    parameter("pod", "Only this pod's records, by its name.", "web-6c9f-p7wqm"),
    parameter(
        "logs",
        "Whose lines: all, new, failed or none. A text has new, all else all.",
        "new",
    ),
    parameter("match", "Only lines in which this regular expression is found.", "timeout"),
    parameter("exclude", "No lines in which this regular expression is found.", "healthz"),
    parameter(
        "level",
        "Only lines of this level or a worse one: trace, debug, info, warn, error.",
        "warn",
    ),
    parameter(
        "previous",
        "Only attempts before the newest (true), or none of them (false).",
        "false",
    ),
    parameter("tail", "So many lines that were there already.", "100"),
    parameter("since", "Lines since then: rollout, a span such as 10m, or a time.", "10m"),
];

/// Of these, what is otherwise where lines are given by the page.
const OF_A_PAGE: [Parameter; 2] = [
    parameter("logs", "Whose lines: all, new, failed or none; all if not given.", "new"),
    parameter("tail", "So many lines, the last ones: 1 to 10000, 1000 if not given.", "100"),
];

/// What is about a stream's course.
const STREAM: [Parameter; 5] = [
    parameter(
        "format",
        "sse, ndjson, text, text_ids, or a text for github, gitlab, buildkite, azure or teamcity; else by Accept.",
        "sse",
    ),
    parameter("events", "Which Kubernetes events: all, warning or none.", "warning"),
    parameter(
        "last_event_id",
        "Go on behind this id, where the header Last-Event-ID cannot be set.",
        "",
    ),
    parameter(
        "until",
        "never; result: end with the result of the rollout; gone: the same, but a success only when no \
         pod of an older revision is left, terminating ones included.",
        "result",
    ),
    parameter(
        "fail",
        "With until=result: abort breaks the connection after a result that is no success.",
        "abort",
    ),
];

/// Which rollout is meant.
const PINS: [Parameter; 6] = [
    parameter(
        "deploy",
        "The one for which the annotation rollcast.dev/deploy became this.",
        "b-17",
    ),
    parameter("revision", "The one with this revision.", "42"),
    parameter("generation", "The one of this generation of the object.", "17"),
    parameter("after", "One that began then or later.", "2026-11-22T14:02:11Z"),
    parameter(
        "uid",
        "Only of the object with this uid: one that was made again has another.",
        "0c1f6a52",
    ),
    parameter(
        "image",
        "Together with one of the others: it sets this image, too.",
        "shop/web:1.9.0",
    ),
];

static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let mut text = serde_json::to_string_pretty(&document()).unwrap_or_default();
    text.push('\n');
    text
});

/// The route of the document.
pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/api/v1/openapi.json", get(answer))
}

async fn answer() -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-cache")];
    (headers, DOCUMENT.as_str()).into_response()
}

/// The whole document.
pub fn document() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "rollcast",
            "version": "1",
            "summary": "Logs of workloads and the progress of their rollouts, as streams.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"bearer": []}, {}],
        "paths": paths(),
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer",
                "description": "A token of Kubernetes for the audience of this server, where it asks for one."}},
            "schemas": schemas(),
            "responses": {"problem": {
                "description": "What is wrong, and what to do.",
                "content": {problem::MEDIA_TYPE: {"schema": reference("problem")}},
            }},
        },
    })
}

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

fn schemas() -> Map<String, Value> {
    let mut all = Map::new();
    for event in reference::events() {
        let mut schema = event.schema;
        schema["description"] = event.about.into();
        all.insert(event.name.to_owned(), schema);
    }
    all.insert("workload".to_owned(), reference::workload());
    all.insert(
        "problem".to_owned(),
        json!({"type": "object", "description": "RFC 9457; clients act on `type`.",
            "required": ["type", "title", "status", "detail"],
            "properties": {
                "type": {"type": "string", "description": "`urn:rollcast:problem:` and a word of a closed list.",
                    "enum": problem::Kind::words().map(|word| format!("urn:rollcast:problem:{word}"))
                        .collect::<Vec<_>>()},
                "title": {"type": "string", "description": "The same for people."},
                "status": {"type": "integer", "description": "The HTTP status."},
                "detail": {"type": "string", "description": "What is wrong with this request."},
                "request_id": {"type": "string", "description": "As the server's log has it."},
                "revision": {"type": "string", "description": "Of `running`: the rollout that runs."},
                "generation": {"type": "integer", "description": "Of `running`: the generation of its workload."},
                "uid": {"type": "string", "description": "Of `running`: the uid of that object."},
                "pinned": {"type": "string", "enum": ["inferred"],
                    "description": "Of `running`: that this is the one that is meant was not seen here."},
            }}),
    );
    all
}

fn paths() -> Value {
    let workload = ["namespace", "kind", "name"];
    let of = |what: &str| format!("/api/v1/namespaces/{{namespace}}/{{kind}}/{{name}}/{what}");
    let selector = parameter(
        "selector",
        "Only workloads with these labels, as kubectl takes them.",
        "app=web",
    );
    let before = parameter("before", "The page before this one.", "");
    let page_format = parameter("format", "json, ndjson or text; else by Accept.", "json");
    let verdict = [
        parameter("wait", "Wait for the result for so long: seconds up to 55s.", "0s"),
        parameter("format", "json or text; else by Accept.", "json"),
    ];
    let list = [
        parameter("namespace", "Only workloads of this namespace.", "shop"),
        parameter("limit", "So many at most: up to 1000, 500 if not given.", "500"),
        parameter("next", "The page behind this one.", ""),
    ];
    let stream = || LINES.iter().chain(&STREAM).chain(&PINS);
    let own =
        |it: &'static Parameter| OF_A_PAGE.iter().find(|own| own.name == it.name).unwrap_or(it);
    let page = || LINES.iter().map(own).chain([&page_format, &before]);
    json!({
        "/api/v1/workloads": {"get": operation(
            "The workloads that the caller may read, by namespace, kind and name.", &[], list.iter(),
            &ok("application/json", &json!({"type": "object", "required": ["workloads", "next"],
                "properties": {"workloads": {"type": "array", "items": reference("workload")},
                    "next": {"type": ["string", "null"], "description": "For the page behind this one."}}})),
        )},
        of("stream"): {"get": operation(
            "All of one workload, or of one pod, as it happens.", &workload, stream(), &streams())},
        "/api/v1/namespaces/{namespace}/stream": {"get": operation(
            "The same of all workloads of a namespace that a selector selects.",
            &["namespace"], stream().chain([&selector]), &streams())},
        "/api/v1/stream": {"post": with_body(operation(
            "The same of a list of workloads and selectors.", &[], stream(), &streams()))},
        of("logs"): {"get": operation(
            "A page of the lines that are kept, by their times.", &workload, page(),
            &ok("application/json", &json!({"type": "object", "required": ["lines", "before"],
                "properties": {"lines": {"type": "array", "items": reference("log")},
                    "before": {"type": ["string", "null"], "description": "For the page before this one."}}})),
        )},
        of("rollout"): {"get": operation(
            "The state of the newest rollout, and how it ended.", &workload, [].iter(),
            &ok("application/json", &reference("rollout")))},
        of("rollouts"): {"get": operation(
            "The last 20 rollouts with their results, newest first.", &workload, [].iter(),
            &ok("application/json", &json!({"type": "object", "required": ["rollouts"],
                "properties": {"rollouts": {"type": "array", "items": reference("rollout")}}})),
        )},
        of("verdict"): {"get": operation(
            "How the rollout ended, for scripts.", &workload, PINS.iter().chain(&verdict), &verdicts())},
        "/api/v1/openapi.json": {"get": operation(
            "This document.", &[], [].iter(), &ok("application/json", &json!({"type": "object"})))},
    })
}

fn operation<'a>(
    summary: &str,
    path: &[&str],
    query: impl Iterator<Item = &'a Parameter>,
    responses: &Value,
) -> Value {
    let about = |name: &str| match name {
        "kind" => "Kubernetes' kind in lower case, its plural, or kubectl's short name.",
        "name" => "The name of the workload.",
        _ => "The namespace.",
    };
    let in_path = path.iter().map(|name| {
        json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"},
            "description": about(name)})
    });
    let in_query = query.map(|it| {
        let mut value = json!({"name": it.name, "in": "query", "schema": {"type": "string"},
            "description": it.about});
        if !it.example.is_empty() {
            value["example"] = it.example.into();
        }
        value
    });
    json!({"summary": summary, "parameters": in_path.chain(in_query).collect::<Vec<_>>(),
        "responses": responses})
}

fn with_body(mut operation: Value) -> Value {
    let text = json!({"type": "string"});
    operation["requestBody"] = json!({"required": true, "content": {"application/json": {"schema": {
        "type": "array", "maxItems": 100, "items": {"oneOf": [
            {"type": "string", "description": "namespace/kind/name"},
            {"type": "object", "required": ["namespace"], "properties": {"namespace": text, "kind": text,
                "name": text, "selector": text}}]}}}}});
    operation
}

fn ok(media: &str, schema: &Value) -> Value {
    json!({"200": {"description": "As asked for.", "content": {media: {"schema": schema}}},
        "default": {"$ref": "#/components/responses/problem"}})
}

/// A stream is one event after another; each is one of these objects.
fn streams() -> Value {
    let names = reference::events().into_iter().map(|event| reference(event.name));
    let schema = json!({"type": "string", "description": "Events, each with one of these objects. In a stream \
        over several workloads each also has `workload`.", "x-events": names.collect::<Vec<_>>()});
    json!({
        "200": {"description": "Until the stream's lifetime is over, or the result was told.",
            "content": {"text/event-stream": {"schema": schema}, "application/x-ndjson": {"schema": schema},
                "text/plain": {"schema": {"type": "string"}}}},
        "204": {"description": "The result that was asked for was told already; do not come back."},
        "default": {"$ref": "#/components/responses/problem"},
    })
}

fn verdicts() -> Value {
    let given = |words: &str| {
        json!({"description": words, "content": {
        "application/json": {"schema": reference("result")}, "text/plain": {"schema": {"type": "string"}}}})
    };
    json!({
        "200": given("It succeeded."),
        "424": given("It ended in another way."),
        "429": {"description": "It still runs (`urn:rollcast:problem:running`), or a limit was reached.",
            "headers": {"Retry-After": {"schema": {"type": "integer"}}},
            "content": {problem::MEDIA_TYPE: {"schema": reference("problem")}}},
        "default": {"$ref": "#/components/responses/problem"},
    })
}
