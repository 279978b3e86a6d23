//! What the server says of itself is what it does. `UPDATE=1` writes `docs/openapi.json` and the reference of
//! the wire, `docs/wire.md`, anew.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use axum::body::Body;
use http::{Method, Request};
use rollcast::http::openapi;
use rollcast::wire::reference;
use serde_json::Value;

use crate::results::settled;

/// Holds what is made against what is committed.
fn committed(file: &str, made: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(file);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, made).unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(text == made, "docs/{file} is not what the code makes; UPDATE=1 writes it anew");
}

#[tokio::test(start_paused = true)]
async fn the_document_is_as_committed() {
    let world = settled(31).await;
    let (status, served) = world.json("/api/v1/openapi.json", &[]).await;
    assert_eq!((status, &served), (200, &openapi::document()));
    committed("openapi.json", &(serde_json::to_string_pretty(&served).unwrap() + "\n"));
}

/// The rows of a table of properties, those of objects inside them below them.
fn rows(out: &mut String, schema: &Value, prefix: &str) {
    let Some(properties) = schema["properties"].as_object() else { return };
    let required: BTreeSet<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, property) in properties {
        let kind = match &property["type"] {
            Value::String(kind) => kind.clone(),
            Value::Array(kinds) => {
                kinds.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or ")
            }
            _ if property.get("oneOf").is_some() => "string".to_owned(),
            _ => "object".to_owned(),
        };
        // A row of a table is one line.
        let mut about = property["description"].as_str().unwrap_or_default().replace('\n', " ");
        if let Some(words) = property["enum"].as_array() {
            let words: Vec<_> = words.iter().filter_map(Value::as_str).collect();
            let _ = write!(about, " One of `{}`.", words.join("`, `"));
        }
        for one in property["oneOf"].as_array().into_iter().flatten() {
            let (word, meaning) = (one["const"].as_str(), one["description"].as_str());
            let _ = write!(about, " `{}`: {}", word.unwrap(), meaning.unwrap().replace('\n', " "));
        }
        let there = if required.contains(&**name) { "always" } else { "" };
        let _ = writeln!(out, "| `{prefix}{name}` | {kind} | {there} | {} |", about.trim());
        if kind == "array" {
            rows(out, &property["items"], &format!("{prefix}{name}[]."));
        } else if let Some(values) = property.get("additionalProperties") {
            rows(out, values, &format!("{prefix}{name}.*."));
        } else {
            rows(out, property, &format!("{prefix}{name}."));
        }
    }
}

/// The reference for people, made from the same types.
#[test]
fn the_reference_of_the_wire_is_as_committed() {
    let mut page = "# The wire\n\n\
        Made from the types that write it (`UPDATE=1 cargo test --test it openapi::`); examples of every event \
        in every format\nare in `tests/wire`, and [openapi.json](openapi.json) says the same for programs. \
        Adding fields is free; renaming\nor removing one is a new version of the API. `always` means that a \
        field is there in each object of its kind;\nwhat is not known is `null` or absent.\n\n\
        In SSE an event is `event:` its name, `id:` and `data:` its object; in NDJSON the object has `type` \
        and `id` first.\nIn a stream over several workloads each object also has `workload`.\n"
        .to_owned();
    for event in reference::events() {
        let _ = write!(page, "\n## `{}`\n\n{}\n\n", event.name, event.about);
        page.push_str("| field | type | there | meaning |\n| --- | --- | --- | --- |\n");
        rows(&mut page, &event.schema, "");
    }
    committed("wire.md", &page);
}

/// Whether a value is what a schema says, and has nothing that it does not say.
fn fits(value: &Value, schema: &Value, at: &str, wrong: &mut Vec<String>) {
    let is = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let kinds = match &schema["type"] {
        Value::String(kind) => vec![kind.as_str()],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !kinds.is_empty() && !kinds.contains(&is) {
        wrong.push(format!("{at} is of type {is}, not {kinds:?}"));
    }
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(value)
    {
        wrong.push(format!("{at} is {value}, none of {words:?}"));
    }
    let Value::Object(fields) = value else {
        for item in value.as_array().into_iter().flatten() {
            fits(item, &schema["items"], &format!("{at}[]"), wrong);
        }
        return;
    };
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !fields.contains_key(name) {
            wrong.push(format!("{at} lacks {name}"));
        }
    }
    for (name, field) in fields {
        let of = schema["properties"].get(name).or(schema.get("additionalProperties"));
        match of {
            Some(of) => fits(field, of, &format!("{at}.{name}"), wrong),
            None => wrong.push(format!("{at} has {name}, of which nothing is said")),
        }
    }
}

#[test]
fn the_committed_examples_fit_the_reference_and_show_each_event() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire/stream.ndjson");
    let events = reference::events();
    let (mut seen, mut wrong) = (BTreeSet::new(), Vec::new());
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let mut object: Value = serde_json::from_str(line).unwrap();
        let fields = object.as_object_mut().unwrap();
        let name = fields.remove("type").unwrap().as_str().unwrap().to_owned();
        fields.remove("id");
        let Some(event) = events.iter().find(|event| event.name == name) else {
            assert_eq!(name, "ping");
            continue;
        };
        fits(&object, &event.schema, &name, &mut wrong);
        seen.insert(name);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(seen.len(), events.len(), "{seen:?}");
}

/// Each path is there; each parameter is taken; and what is refused as unknown is told with the same names.
#[tokio::test(start_paused = true)]
async fn the_server_does_what_the_document_says() {
    let world = settled(32).await;
    let document = openapi::document();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let path = path
                .replace("{namespace}", "shop")
                .replace("{kind}", "deployment")
                .replace("{name}", "web");
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let ask = async |query: &str| {
                let body = if method == Method::POST { "[\"shop/deployment/web\"]" } else { "" };
                let request = Request::builder()
                    .method(method.clone())
                    .uri(format!("{path}?{query}"))
                    .header("host", "localhost")
                    .header("content-type", "application/json")
                    .body(Body::from(body))
                    .unwrap();
                let answer = world.send(request).await;
                let status = answer.status().as_u16();
                if status == 200 {
                    return (status, String::new());
                }
                let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
                (status, String::from_utf8(body.to_vec()).unwrap())
            };
            let (status, body) = ask("").await;
            assert_eq!(status, 200, "{method} {path}: {body}");
            let parameters = operation["parameters"].as_array().unwrap();
            let mut names = BTreeSet::new();
            for parameter in parameters.iter().filter(|it| it["in"] == "query") {
                let name = parameter["name"].as_str().unwrap();
                names.insert(name);
                let example = parameter["example"].as_str().unwrap_or("x");
                let mut query = form_urlencoded::Serializer::new(String::new());
                query.append_pair(name, example);
                let (status, body) = ask(&query.finish()).await;
                assert_ne!(status, 404, "{path} {name}: {body}");
                assert!(!body.contains("unknown parameter"), "{path} {name}: {body}");
            }
            if path.ends_with("openapi.json") {
                continue;
            }
            let (status, body) = ask("nonsense=1").await;
            assert_eq!(status, 400, "{path}: {body}");
            let problem: Value = serde_json::from_str(&body).unwrap();
            let detail = problem["detail"].as_str().unwrap();
            for name in names {
                let told = detail.split([' ', ',']).any(|word| word == name);
                assert!(told, "{path} takes {name} and does not say so: {detail}");
            }
        }
    }
}
