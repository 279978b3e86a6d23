//! `GET …/logs`: a page of lines that are kept, for history, search and download.
//!
//! A page ends with the newest line asked for and goes back so many lines; its cursor asks for the
//! page before it. Within a page lines are ordered by their time, which a stream never does.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::auth::Caller;
use super::problem::{Kind, Problem};
use super::stream::{BACKLOG, Query, Since, backlog};
use super::target::{authorize, check_container, find, selection};
use super::{Service, query_pairs};
use crate::ids::{Entry, GapReason, LineMeta, Lines};
use crate::journal::Missed;
use crate::subscribe::{Cursor, Item, Scope, Selection, What};
use crate::time::{self, SECOND};
use crate::wire::{Encoder, EventId, Format, Position};

/// Lines in one page when nothing else is asked for, and at most.
const PAGE: (usize, usize) = (1_000, 10_000);
/// Bytes of the journal looked at in one step.
const STEP_BYTES: usize = 256 << 10;
/// Bytes of one page at most; it holds fewer lines then.
const MAX_BYTES: usize = 16 << 20;
/// Carries the cursor of the page before, where the body cannot.
const BEFORE: HeaderName = HeaderName::from_static("rollcast-before");

/// How a page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// One object: `lines`, `before`.
    Json,
    /// A line of JSON for each.
    Ndjson,
    /// For people.
    Text,
}

struct Wanted {
    query: Query,
    shape: Shape,
    limit: usize,
    before: Option<EventId>,
}

/// A line of a page.
struct Line {
    seq: u64,
    lines: Arc<Lines>,
    index: usize,
}

/// Answers with one page.
pub(super) async fn page(
    State(service): State<Service>,
    Path((namespace, kind, name)): Path<(String, String, String)>,
    RawQuery(query): RawQuery,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Wanted { query, shape, limit, before } =
        Wanted::parse(query_pairs(query.as_deref()), &headers)?;
    authorize(&service, &caller, &namespace, &kind, &name).await?;
    let target = find(&service, &namespace, &kind, &name)?;
    if let Some(container) = &query.container {
        check_container(&service, &target, container)?;
    }
    let epoch = service.journal.epoch();
    let through = match before {
        None => service.journal.head(),
        Some(id) if id.epoch == epoch => id.seq.saturating_sub(1).min(service.journal.head()),
        Some(_) => {
            let words = "belongs to a history that is gone; leave it out to begin at the end";
            return Err(Problem::bad_request("before", words));
        }
    };
    // Nobody else may need these logs: they are opened, and stay open for a while.
    let workload = target.workload.clone();
    let _lease = service.tail.lease(&workload);
    backlog(&service.tail, std::slice::from_ref(&workload), BACKLOG).await;
    let through = if before.is_none() { service.journal.head() } else { through };
    let selection = selection(&service, Scope::one(target.workload), target.pod, &query);
    let since = since(&service, &query, &workload);
    let (page, missed, cut) = collect(&service, &Arc::new(selection), through, limit, since);
    let oldest = page.iter().map(|line| (line.seq, line.meta().time)).min();
    let more = oldest.filter(|_| cut || (page.len() == limit && missed.is_none()));
    let before = more.map(|(seq, time)| id(epoch, seq, time));
    Ok(answer(&service, shape, page, missed, before))
}

fn since(service: &Service, query: &Query, workload: &crate::ids::WorkloadId) -> Option<i64> {
    let now = time::now();
    match query.since? {
        Since::Time(time) => Some(time),
        Since::Ago(span) => Some(now - i64::try_from(span.as_nanos()).unwrap_or(i64::MAX / 2)),
        Since::Rollout => {
            let status = service.model.lock().current(workload);
            Some(status.and_then(|status| status.started).unwrap_or(now))
        }
    }
}

/// The last wanted lines up to `through`, ordered by time; and, if the page reaches back to where
/// lines were forgotten, what is known of those; and whether it was cut for its size.
fn collect(
    service: &Service,
    selection: &Arc<Selection>,
    through: u64,
    limit: usize,
    since: Option<i64>,
) -> (Vec<Line>, Option<Missed>, bool) {
    let mut cursor = Cursor::new(&service.journal, &service.index, selection.clone(), 0);
    let wanted = |lines: &Lines, line: &LineMeta| {
        Selection::young_enough(line, since) && selection.wants_line(lines, line)
    };
    let seqs = cursor.shelves().last_lines_through(through, limit, selection, wanted);
    let full = seqs.len() == limit;
    let first = seqs.iter().min().copied().unwrap_or(through + 1);
    let missed = if full {
        None
    } else {
        match since {
            Some(since) => cursor.shelves().position_at(since).1.pop().map(|(_, missed)| missed),
            None => forgotten(&mut cursor),
        }
    };
    cursor.seek(first - 1);
    let (mut page, mut bytes) = (Vec::with_capacity(seqs.len()), 0);
    while cursor.after() < through {
        let from = cursor.after();
        let batch = cursor.read(STEP_BYTES);
        // What lies between here and `through` is other workloads'.
        if batch.through == from {
            break;
        }
        for item in batch.items {
            let What::Record(slice) = item.what else { continue };
            let Entry::Lines(lines) = slice.entry else { continue };
            for (offset, line) in lines.lines[slice.from..].iter().enumerate() {
                let seq = slice.first + offset as u64;
                if seq <= through && wanted(&lines, line) {
                    bytes += line.len as usize;
                    page.push(Line { seq, lines: lines.clone(), index: slice.from + offset });
                }
            }
        }
    }
    // Too much for one answer: the newest part of it is the page, and the rest comes before it.
    let mut kept = page.len();
    while bytes > MAX_BYTES && kept > 1 {
        bytes -= page[page.len() - kept].meta().len as usize;
        kept -= 1;
    }
    let cut = page.len() - kept;
    page.drain(..cut);
    page.sort_by_key(|line| (line.meta().time, line.seq));
    (page, missed.filter(|_| cut == 0), cut > 0)
}

/// What lies before everything that is kept.
fn forgotten(cursor: &mut Cursor) -> Option<Missed> {
    let batch = cursor.read(0);
    batch.items.into_iter().find_map(|item| match item.what {
        What::Forgotten(missed) => Some(missed),
        What::Record(_) => None,
    })
}

fn id(epoch: crate::journal::Epoch, seq: u64, time: i64) -> String {
    let unix_ms = (time.max(0) / (SECOND / 1000)) as u64;
    EventId { epoch, seq, unix_ms, again_ms: None }.to_string()
}

fn answer(
    service: &Service,
    shape: Shape,
    page: Vec<Line>,
    missed: Option<Missed>,
    before: Option<String>,
) -> Response {
    let format = if shape == Shape::Text { Format::Text } else { Format::Ndjson };
    let epoch = service.journal.epoch();
    let encoder = Encoder { format, epoch, named: false, again: None };
    let mut body = Vec::new();
    let now = time::now();
    if let Some(missed) = &missed {
        let gap = Item::gap(GapReason::HistoryEvicted, missed, now);
        let position = Position { seq: missed.through, time: now };
        encoder.gap(&mut body, position, None, &gap);
    }
    for line in &page {
        let position = Position { seq: line.seq, time: line.meta().time };
        encoder.line(&mut body, position, &line.lines, line.meta());
    }
    let (kind, body) = match shape {
        Shape::Text => ("text/plain; charset=utf-8", body),
        Shape::Ndjson => ("application/x-ndjson", body),
        Shape::Json => ("application/json", wrapped(&body, before.as_deref())),
    };
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    // An id has no byte that a header could not carry.
    if let Some(value) = before.and_then(|before| HeaderValue::try_from(before).ok()) {
        headers.insert(BEFORE, value);
    }
    response
}

/// The lines of NDJSON as one object.
fn wrapped(lines: &[u8], before: Option<&str>) -> Vec<u8> {
    let mut out = Vec::with_capacity(lines.len() + 64);
    out.extend_from_slice(b"{\"lines\":[");
    let objects = lines.split(|byte| *byte == b'\n').filter(|object| !object.is_empty());
    for (index, object) in objects.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(object);
    }
    out.extend_from_slice(b"],\"before\":");
    match before {
        Some(before) => {
            out.push(b'"');
            out.extend_from_slice(before.as_bytes());
            out.push(b'"');
        }
        None => out.extend_from_slice(b"null"),
    }
    out.push(b'}');
    out
}

// === impl Line ===

impl Line {
    fn meta(&self) -> &LineMeta {
        &self.lines.lines[self.index]
    }
}

// === impl Wanted ===

impl Wanted {
    fn parse(mut pairs: Vec<(String, String)>, headers: &HeaderMap) -> Result<Self, Problem> {
        let mut take = |name: &str| -> Result<Option<String>, Problem> {
            let mut found =
                pairs.extract_if(.., |(given, _)| given == name).map(|(_, value)| value);
            let (first, second) = (found.next(), found.next());
            match second {
                Some(_) => Err(Problem::bad_request(name, "given twice; it takes one value")),
                None => Ok(first),
            }
        };
        let (format, tail, before) = (take("format")?, take("tail")?, take("before")?);
        for name in ["last_event_id", "until", "events"] {
            if take(name)?.is_some() {
                return Err(Problem::bad_request(name, "is for streams; a page of logs has none"));
            }
        }
        let all = ("logs".to_owned(), "all".to_owned());
        if !pairs.iter().any(|(name, _)| name == "logs") {
            pairs.push(all);
        }
        let limit = tail.map_or(Ok(PAGE.0), |text| {
            let lines = text.parse().ok().filter(|lines| (1..=PAGE.1).contains(lines));
            let expected = format!("expected a number of lines from 1 to {}", PAGE.1);
            lines.ok_or_else(|| Problem::bad_request("tail", &expected))
        })?;
        let before = before.map(|text| {
            let expected = "expected the before of a page, or the id of an event";
            text.parse().map_err(|_| Problem::bad_request("before", expected))
        });
        Ok(Wanted {
            query: Query::parse(&pairs, &HeaderMap::new())?,
            shape: shape(format.as_deref(), headers)?,
            limit,
            before: before.transpose()?,
        })
    }
}

fn shape(format: Option<&str>, headers: &HeaderMap) -> Result<Shape, Problem> {
    match format {
        Some("json") => return Ok(Shape::Json),
        Some("ndjson") => return Ok(Shape::Ndjson),
        Some("text") => return Ok(Shape::Text),
        Some(_) => return Err(Problem::bad_request("format", "expected json, ndjson or text")),
        None => {}
    }
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("*/*");
    let wants = |media: &str| accept.split(',').any(|range| range.trim().starts_with(media));
    if wants("application/json") {
        Ok(Shape::Json)
    } else if wants("application/x-ndjson") {
        Ok(Shape::Ndjson)
    } else if wants("text/") || wants("*/*") {
        Ok(Shape::Text)
    } else {
        Err(Problem::new(
            Kind::NotAcceptable,
            "a page of logs is application/json, application/x-ndjson or text/plain; ask for one \
             with Accept or with format=json, ndjson or text",
        ))
    }
}
