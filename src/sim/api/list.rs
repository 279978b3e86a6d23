//! Single objects and lists, in pages.

use std::fmt::Write;
use std::sync::Arc;

use http::{HeaderValue, Response, header};

use super::body::{Body, full};
use super::query::Query;
use super::status::Failure;
use crate::sim::faults::Ask;
use crate::sim::resource::Resource;
use crate::sim::shared::Shared;
use crate::sim::store::{Labels, Name, Object};

/// Which objects a list or watch is about.
#[derive(Clone, Debug)]
pub(super) struct Selector {
    pub resource: Resource,
    namespace: Option<String>,
    name: Option<String>,
    labels: Vec<(String, Option<String>)>,
}

/// One object.
pub(super) fn get(shared: &Arc<Shared>, ask: &Ask) -> Result<Response<Body>, Failure> {
    let (resource, name) = named(ask)?;
    let namespace = ask.namespace.as_deref().unwrap_or_default();
    let body = shared
        .with(|world| world.store.get(resource, namespace, name).map(|object| object.body.clone()));
    Ok(json(body.ok_or_else(|| Failure::not_found(resource, name))?))
}

/// A page of objects.
pub(super) fn list(
    shared: &Arc<Shared>,
    ask: &Ask,
    query: &Query,
) -> Result<Response<Body>, Failure> {
    let selector = Selector::parse(ask, query)?;
    let limit = match query.number("limit") {
        Some(Ok(limit)) if limit > 0 => usize::try_from(limit).unwrap_or(usize::MAX),
        Some(Err(())) => return Err(Failure::no_number(query.get("limit").unwrap_or_default())),
        _ => usize::MAX,
    };
    let token = query.get("continue").map(Token::parse).transpose()?;
    shared.with(|world| {
        let store = &world.store;
        if token.as_ref().is_some_and(|token| token.version < store.floor()) {
            return Err(Failure::continue_expired());
        }
        // All pages carry the version of the first: a watch from there repeats what changed since.
        let version = token.as_ref().map_or(store.head(), |token| token.version);
        let after = token.map(|token| token.after);
        let mut objects = store
            .list(selector.resource, after.as_ref())
            .filter(|object| selector.matches(object, &object.labels));
        let (kind, api) = (selector.resource.kind(), selector.resource.api_version());
        let kind_first = format!("{{\"apiVersion\":\"{api}\",\"kind\":\"{kind}\",");
        let mut items = Vec::with_capacity(1024);
        let mut last = None;
        for object in objects.by_ref().take(limit) {
            if last.is_some() {
                items.push(b',');
            }
            // The kind stands in the list's own head; its items do not repeat it.
            match object.body.strip_prefix(kind_first.as_bytes()) {
                Some(rest) => {
                    items.push(b'{');
                    items.extend_from_slice(rest);
                }
                None => items.extend_from_slice(&object.body),
            }
            last = Some(object.name.clone());
        }
        let left = if limit == usize::MAX { 0 } else { objects.count() };
        let mut meta = format!("\"resourceVersion\":\"{version}\"");
        if let Some(after) = last.filter(|_| left > 0) {
            let token = Token { version, after }.render();
            // Writing to a `String` cannot fail.
            let _ = write!(meta, ",\"continue\":\"{token}\",\"remainingItemCount\":{left}");
        }
        let head = format!(
            "{{\"kind\":\"{kind}List\",\"apiVersion\":\"{api}\",\"metadata\":{{{meta}}},\"items\":["
        );
        Ok(json([head.as_bytes(), &items, b"]}"].concat().into()))
    })
}

/// The object that a request names.
pub(super) fn named(ask: &Ask) -> Result<(Resource, &str), Failure> {
    ask.resource.zip(ask.name.as_deref()).ok_or_else(Failure::no_such_path)
}

fn json(body: bytes::Bytes) -> Response<Body> {
    let mut response = Response::new(full(body));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// Where a list goes on. Hexadecimal, so that it is opaque as the real one.
struct Token {
    version: u64,
    after: Name,
}

// === impl Token ===

impl Token {
    fn render(&self) -> String {
        let text = format!("{}/{}/{}", self.version, self.after.0, self.after.1);
        text.bytes().fold(String::new(), |mut out, byte| {
            let _ = write!(out, "{byte:02x}");
            out
        })
    }

    fn parse(text: &str) -> Result<Self, Failure> {
        let byte = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
        let read = || {
            let bytes: Option<Vec<u8>> = (0..text.len()).step_by(2).map(byte).collect();
            let text = String::from_utf8(bytes?).ok()?;
            let mut words = text.splitn(3, '/');
            let version = words.next()?.parse().ok()?;
            Some(Token { version, after: (words.next()?.into(), words.next()?.into()) })
        };
        read().ok_or_else(|| {
            Failure::bad_request("invalid continue token: continue key is not valid".to_owned())
        })
    }
}

// === impl Selector ===

impl Selector {
    pub(super) fn parse(ask: &Ask, query: &Query) -> Result<Self, Failure> {
        let resource = ask.resource.ok_or_else(Failure::no_such_path)?;
        let mut selector =
            Selector { resource, namespace: ask.namespace.clone(), name: None, labels: Vec::new() };
        for term in query.get("fieldSelector").into_iter().flat_map(|text| text.split(',')) {
            let (key, value) = term.split_once('=').unwrap_or((term, ""));
            let value = Some(value.trim_start_matches('=').to_owned());
            match key {
                "metadata.name" => selector.name = value,
                "metadata.namespace" => selector.namespace = value,
                _ => {
                    let message = format!("field label not supported: {key}");
                    return Err(Failure::bad_request(message));
                }
            }
        }
        for term in query.get("labelSelector").into_iter().flat_map(|text| text.split(',')) {
            let (key, value) = match term.split_once('=') {
                Some((key, value)) => (key, Some(value.trim_start_matches('=').to_owned())),
                None => (term, None),
            };
            if key.contains(['!', ' ', '(']) {
                return Err(Failure::bad_request(format!("unable to parse requirement: {term}")));
            }
            selector.labels.push((key.to_owned(), value));
        }
        Ok(selector)
    }

    /// Whether an object with these labels is meant.
    pub(super) fn matches(&self, object: &Object, labels: &Labels) -> bool {
        self.namespace.as_deref().is_none_or(|namespace| namespace == &*object.name.0)
            && self.name.as_deref().is_none_or(|name| name == &*object.name.1)
            && self.labels.iter().all(|(key, value)| match (labels.get(key), value) {
                (Some(has), Some(wanted)) => has == wanted,
                (has, _) => has.is_some() && value.is_none(),
            })
    }
}
