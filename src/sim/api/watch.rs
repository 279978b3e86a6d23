//! Watches: the history after a version, then what comes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, Response, header};
use serde_json::json;
use tokio::sync::watch::Receiver;
use tokio::time::Instant;

use super::body::{Body, full, streaming};
use super::list::Selector;
use super::query::Query;
use super::status::Failure;
use crate::sim::faults::{Ask, Effect};
use crate::sim::shared::Shared;
use crate::sim::store::{Change, Object, Verb};

/// A watch that says no timeout gets one at random between these; so does the API server.
const DEFAULT_TIMEOUT: (u64, u64) = (1_800, 3_600);

/// How long before the end of a watch its last bookmark comes.
const LAST_BOOKMARK: Duration = Duration::from_secs(2);

/// Bytes in one piece of the answer; one object may go beyond it.
const PIECE: usize = 64 * 1024;

struct Watch {
    shared: Arc<Shared>,
    selector: Selector,
    /// Changes up to here were looked at.
    cursor: u64,
    head: Receiver<u64>,
    ends: Instant,
    /// Time between bookmarks, if they are wanted.
    bookmarks: Option<Duration>,
    next_bookmark: Instant,
    /// Objects that the watch begins with.
    first: Option<Bytes>,
    done: bool,
}

/// Answers a watch.
pub(super) fn watch(
    shared: &Arc<Shared>,
    ask: &Ask,
    query: &Query,
    effect: Option<&Effect>,
) -> Result<Response<Body>, Failure> {
    let selector = Selector::parse(ask, query)?;
    if let Some(Effect::Expired { inline: true }) = effect {
        return Ok(respond(full(error_event(&Failure::expired(1, 2)))));
    }
    let wants_initial = query.flag("sendInitialEvents");
    let version = match query.get("resourceVersion") {
        None | Some("0") => None,
        Some(text) => Some(text.parse::<u64>().map_err(|_| Failure::bad_version(text))?),
    };
    let wants_bookmarks = query.flag("allowWatchBookmarks");
    shared.with(|world| {
        if wants_initial && !world.options.watch_list {
            let why = "sendInitialEvents is forbidden for watch unless the WatchList feature gate \
                       is enabled";
            return Err(list_options("sendInitialEvents", why));
        }
        if wants_initial && query.get("resourceVersionMatch") != Some("NotOlderThan") {
            let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
            return Err(list_options("resourceVersionMatch", why));
        }
        let now = Instant::now();
        let seconds = match query.number("timeoutSeconds") {
            Some(Ok(seconds)) if seconds > 0 => seconds.unsigned_abs(),
            _ => world.rng.u64(DEFAULT_TIMEOUT.0..DEFAULT_TIMEOUT.1),
        };
        let head = world.store.head();
        let mut first = None;
        if wants_initial || version.is_none() {
            let mut events = Vec::new();
            for object in world.store.list(selector.resource, None) {
                if selector.matches(object, &object.labels) {
                    push_event(&mut events, "ADDED", object);
                }
            }
            if wants_initial && wants_bookmarks {
                push_bookmark(&mut events, &selector, head, true);
            }
            first = Some(events.into());
        }
        let every = world.options.bookmark_every;
        let watch = Watch {
            shared: shared.clone(),
            cursor: if first.is_some() { head } else { version.unwrap_or(head) },
            selector,
            head: shared.head.subscribe(),
            ends: now + Duration::from_secs(seconds),
            bookmarks: wants_bookmarks.then_some(every),
            next_bookmark: now + before_end(Duration::from_secs(seconds), every),
            first,
            done: false,
        };
        Ok(respond(streaming(stream::unfold(watch, |mut watch| async {
            let piece = watch.next().await?;
            Some((Ok(piece), watch))
        }))))
    })
}

/// A wrong parameter of a list or watch.
fn list_options(field: &str, why: &str) -> Failure {
    let object = ("ListOptions", json!({"group": "meta.k8s.io"}));
    Failure::invalid(object, field, &format!("Forbidden: {why}"))
}

/// The time until the next bookmark: the usual one, or shortly before the end, so that a client knows
/// where to go on. A watch that ends sooner than that gets none.
fn before_end(left: Duration, every: Duration) -> Duration {
    match left.checked_sub(LAST_BOOKMARK) {
        Some(time) if !time.is_zero() => every.min(time),
        _ => every,
    }
}

fn respond(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// The line of an `ERROR` event.
fn error_event(failure: &Failure) -> Bytes {
    format!("{}\n", json!({"type": "ERROR", "object": failure.status()})).into()
}

/// The `ERROR` event with which a watch is told that its version is too old.
pub(in crate::sim) fn expired_event() -> String {
    format!("{}\n", json!({"type": "ERROR", "object": Failure::expired(1, 2).status()}))
}

fn push_event(out: &mut Vec<u8>, kind: &str, object: &Object) {
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\",\"object\":");
    out.extend_from_slice(&object.body);
    out.extend_from_slice(b"}\n");
}

fn push_bookmark(out: &mut Vec<u8>, selector: &Selector, version: u64, initial: bool) {
    let resource = selector.resource;
    let mut metadata = json!({"resourceVersion": version.to_string(), "creationTimestamp": null});
    if initial {
        metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
    }
    let object = json!({
        "kind": resource.kind(), "apiVersion": resource.api_version(), "metadata": metadata,
    });
    out.extend_from_slice(json!({"type": "BOOKMARK", "object": object}).to_string().as_bytes());
    out.push(b'\n');
}

// === impl Watch ===

impl Watch {
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take().filter(|first| !first.is_empty()) {
            return Some(first);
        }
        loop {
            if self.done {
                return None;
            }
            self.head.borrow_and_update();
            let mut out = Vec::new();
            if let Err(failure) = self.gather(&mut out) {
                self.done = true;
                return Some(error_event(&failure));
            }
            let now = Instant::now();
            self.done = now >= self.ends;
            if let Some(every) = self.bookmarks
                && now >= self.next_bookmark
            {
                self.next_bookmark = now + before_end(self.ends - now, every);
                push_bookmark(&mut out, &self.selector, self.cursor, false);
            }
            if !out.is_empty() {
                return Some(out.into());
            }
            let wake = match self.bookmarks {
                Some(_) => self.next_bookmark.min(self.ends),
                None => self.ends,
            };
            tokio::select! {
                changed = self.head.changed() => self.done |= changed.is_err(),
                () = tokio::time::sleep_until(wake) => {}
            }
        }
    }

    /// Adds the changes after the cursor that are meant.
    fn gather(&mut self, out: &mut Vec<u8>) -> Result<(), Failure> {
        let (selector, cursor) = (&self.selector, &mut self.cursor);
        self.shared.with(|world| {
            let store = &world.store;
            if *cursor < store.floor() {
                return Err(Failure::expired(*cursor, store.floor()));
            }
            for change in store.since(*cursor) {
                if out.len() >= PIECE {
                    return Ok(());
                }
                *cursor = change.object.version;
                if change.resource == selector.resource
                    && let Some(kind) = kind_of(selector, change)
                {
                    push_event(out, kind, &change.object);
                }
            }
            *cursor = store.head().max(*cursor);
            Ok(())
        })
    }
}

/// What a change is to a watch with a selector: an object whose labels change comes or goes.
fn kind_of(selector: &Selector, change: &Change) -> Option<&'static str> {
    let object = &change.object;
    let is = selector.matches(object, &object.labels);
    let was = selector.matches(object, change.before.as_ref().unwrap_or(&object.labels));
    match change.verb {
        Verb::Added => is.then_some("ADDED"),
        Verb::Deleted => is.then_some("DELETED"),
        Verb::Modified => match (was, is) {
            (true, true) => Some("MODIFIED"),
            (false, true) => Some("ADDED"),
            (true, false) => Some("DELETED"),
            (false, false) => None,
        },
    }
}
