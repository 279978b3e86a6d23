//! What a stream request asks for.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;

use crate::http::accept::{self, Accepted};
use crate::http::pin;
use crate::http::problem::{Kind, Problem};
use crate::rollout::Pin;
use crate::subscribe::{Events, Filter, Logs, UnknownLevel, UnknownWord};
use crate::time::parse_stamp;
use crate::wire::{EventId, Format, MAX_ID_BYTES};

/// The parameters that a stream takes, for the message about one that it does not.
const PARAMETERS: &str = "after, container, deploy, events, exclude, fail, format, generation, \
                          image, last_event_id, level, logs, match, pod, previous, revision, \
                          since, tail, uid, until";
/// More lines than this are history, not a tail.
const MAX_TAIL: usize = 1_000_000;

/// A checked stream request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// How it is written.
    pub format: Format,
    /// Which pods' lines.
    pub logs: Logs,
    /// Only this pod's records, by name.
    pub pod: Option<String>,
    /// Only this container's lines.
    pub container: Option<String>,
    /// Only these lines, by their text.
    pub filter: Option<Arc<Filter>>,
    /// Which Kubernetes events.
    pub events: Events,
    /// Only attempts before the newest (`true`), or only from the newest on.
    pub previous: Option<bool>,
    /// The last of so many lines first.
    pub tail: Option<usize>,
    /// Lines since then first.
    pub since: Option<Since>,
    /// Go on behind this.
    pub resume: Option<EventId>,
    /// When it ends by itself.
    pub until: Until,
    /// A success is told only when no pod of an older revision is left, terminating ones included.
    pub gone: bool,
    /// Break the connection after a result that is no success: an extra signal for clients that look at
    /// nothing else.
    pub abort: bool,
    /// Which rollout's result ends it.
    pub pin: Pin,
}

/// When a stream ends by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Until {
    /// Only with its lifetime.
    #[default]
    Never,
    /// With the results of the rollouts of its workloads.
    Result,
}

/// From when on lines are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// The start of the newest rollout.
    Rollout,
    /// So long ago.
    Ago(Duration),
    /// This time, in nanoseconds since 1970.
    Time(i64),
}

// === impl Query ===

impl Query {
    /// Checks the decoded query `pairs` and the headers.
    ///
    /// # Errors
    /// 400 naming the parameter and what it may be; 406 if no format of ours is accepted.
    pub fn parse(pairs: &[(String, String)], headers: &HeaderMap) -> Result<Self, Problem> {
        let mut seen: Vec<&str> = Vec::new();
        let mut format = None;
        let mut logs = None;
        let mut query = Query {
            format: Format::Text,
            logs: Logs::All,
            pod: None,
            container: None,
            filter: None,
            events: Events::All,
            previous: None,
            tail: None,
            since: None,
            resume: None,
            until: Until::Never,
            gone: false,
            abort: false,
            pin: Pin::default(),
        };
        let mut resume = None;
        let mut filter = Filter::default();
        for (name, value) in pairs {
            if seen.contains(&name.as_str()) {
                return Err(Problem::bad_request(name, "given twice; it takes one value"));
            }
            seen.push(name);
            match name.as_str() {
                "format" => {
                    let word = value.parse::<Format>();
                    format = Some(word.map_err(|error| bad("format", &error))?);
                }
                "logs" => {
                    logs = Some(value.parse::<Logs>().map_err(|error| bad("logs", &error))?);
                }
                "container" => query.container = Some(container(value)?),
                "pod" => query.pod = Some(pod(value)?),
                "match" => {
                    filter = filter.include(value).map_err(|error| bad("match", &error))?;
                }
                "exclude" => {
                    filter = filter.exclude(value).map_err(|error| bad("exclude", &error))?;
                }
                "level" => {
                    let level = value.parse().map_err(|error: UnknownLevel| bad("level", &error));
                    filter = filter.at_least(level?);
                }
                "events" => {
                    query.events =
                        value.parse().map_err(|error: UnknownWord| bad("events", &error))?;
                }
                "previous" => {
                    let word = value.parse().ok();
                    let previous = word.ok_or_else(|| bad("previous", &"expected true or false"));
                    query.previous = Some(previous?);
                }
                "tail" => query.tail = Some(tail(value)?),
                "since" => query.since = Some(since(value)?),
                "last_event_id" => resume = Some(value.as_str()),
                "until" => {
                    (query.until, query.gone) = match value.as_str() {
                        "never" => (Until::Never, false),
                        "result" => (Until::Result, false),
                        "gone" => (Until::Result, true),
                        _ => return Err(bad("until", &"expected never, result or gone")),
                    };
                }
                "fail" => {
                    query.abort = match value.as_str() {
                        "abort" => true,
                        "end" => false,
                        _ => return Err(bad("fail", &"expected abort or end")),
                    };
                }
                _ if pin::take(&mut query.pin, name, value)? => {}
                _ => {
                    let known = format!(
                        "unknown parameter; a stream takes {PARAMETERS}, that of a namespace \
                         also selector, and a page of logs also before"
                    );
                    return Err(Problem::bad_request(name, &known));
                }
            }
        }
        if query.tail.is_some() && query.since.is_some() {
            return Err(Problem::bad_request("tail", "cannot be combined with since; give one"));
        }
        query.check_end(&seen)?;
        query.format = match format {
            Some(format) => format,
            None => accepted(headers)?,
        };
        // A page wants to see everything; a text is mostly a CI log, which wants the new pods.
        let usual = if query.format.is_text() { Logs::New } else { Logs::All };
        query.logs = logs.unwrap_or(usual);
        query.filter = (!filter.is_empty()).then(|| Arc::new(filter));
        query.resume = resume_id(headers, resume)?;
        Ok(query)
    }

    /// What is about the end makes sense only for a stream that has one.
    fn check_end(&self, seen: &[&str]) -> Result<(), Problem> {
        if self.until == Until::Result {
            return pin::check(&self.pin);
        }
        let is_of_end = |name: &&&str| **name == "fail" || pin::PARAMETERS.contains(*name);
        match seen.iter().find(is_of_end) {
            Some(name) => Err(Problem::bad_request(name, "only together with until=result")),
            None => Ok(()),
        }
    }
}

fn bad(parameter: &str, error: &dyn std::fmt::Display) -> Problem {
    Problem::bad_request(parameter, &error.to_string())
}

fn container(value: &str) -> Result<String, Problem> {
    let valid = !value.is_empty()
        && value.len() <= 63
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if valid {
        return Ok(value.to_owned());
    }
    Err(Problem::bad_request("container", "expected the name of a container"))
}

fn pod(value: &str) -> Result<String, Problem> {
    let valid =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    if (1..=253).contains(&value.len()) && value.bytes().all(valid) {
        return Ok(value.to_owned());
    }
    Err(Problem::bad_request("pod", "expected the name of a pod"))
}

fn tail(value: &str) -> Result<usize, Problem> {
    let lines = value.parse::<usize>().ok().filter(|lines| *lines <= MAX_TAIL);
    lines.ok_or_else(|| {
        Problem::bad_request("tail", &format!("expected a number of lines from 0 to {MAX_TAIL}"))
    })
}

fn since(value: &str) -> Result<Since, Problem> {
    if value == "rollout" {
        return Ok(Since::Rollout);
    }
    if let Some((time, len)) = parse_stamp(value.as_bytes())
        && len == value.len()
    {
        return Ok(Since::Time(time));
    }
    let span = || -> Option<Duration> {
        let at = value.find(|c: char| !c.is_ascii_digit())?;
        let (number, unit) = value.split_at(at);
        let number: u64 = number.parse().ok()?;
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return None,
        };
        // Ten years are more than any journal keeps, and far from where times overflow.
        let total = number.checked_mul(seconds).filter(|total| *total < 315_360_000)?;
        Some(Duration::from_secs(total))
    };
    span().map(Since::Ago).ok_or_else(|| {
        Problem::bad_request(
            "since",
            "expected rollout, a span such as 90s, 10m, 2h or 1d, or a time such as \
             2026-11-22T14:02:38Z",
        )
    })
}

/// The header wins: an `EventSource` that reconnects sends it with the address it was opened with.
fn resume_id(headers: &HeaderMap, parameter: Option<&str>) -> Result<Option<EventId>, Problem> {
    let header = headers.get("last-event-id").map(|value| value.as_bytes());
    let Some(value) = header.or(parameter.map(str::as_bytes)).filter(|value| !value.is_empty())
    else {
        return Ok(None);
    };
    let text = (value.len() <= MAX_ID_BYTES).then(|| std::str::from_utf8(value).ok()).flatten();
    match text.and_then(|text| text.parse().ok()) {
        Some(id) => Ok(Some(id)),
        None => Err(Problem::bad_request(
            "last_event_id",
            "not an id that rollcast issued; leave it out to begin anew",
        )),
    }
}

/// The format that `Accept` asks for. Text also for `*/*`, which is what curl sends.
fn accepted(headers: &HeaderMap) -> Result<Format, Problem> {
    let accepted = accept::best(headers, |media| match media {
        "text/event-stream" => Some(Format::Sse),
        "application/x-ndjson" | "application/ndjson" => Some(Format::Ndjson),
        "text/plain" | "text/*" | "*/*" => Some(Format::Text),
        _ => None,
    });
    match accepted {
        Accepted::This(format) => Ok(format),
        Accepted::Anything => Ok(Format::Text),
        Accepted::Nothing => Err(Problem::new(
            Kind::NotAcceptable,
            "a stream is text/event-stream, application/x-ndjson or text/plain; ask for one with \
             Accept or with format=sse, ndjson or text",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &[(&str, &str)], headers: &[(&'static str, &str)]) -> Result<Query, Problem> {
        let pairs: Vec<_> =
            query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        Query::parse(&pairs, &map)
    }

    #[test]
    fn curl_gets_text_of_the_new_pods_and_an_event_source_gets_everything() {
        let curl = parse(&[], &[("accept", "*/*")]).unwrap();
        assert_eq!((curl.format, curl.logs), (Format::Text, Logs::New));
        let page = parse(&[], &[("accept", "text/event-stream")]).unwrap();
        assert_eq!((page.format, page.logs), (Format::Sse, Logs::All));
    }

    #[test]
    fn the_format_is_negotiated_by_quality_and_overruled_by_the_parameter() {
        let accept = [("accept", "text/plain;q=0.1, application/x-ndjson;q=0.9, image/png")];
        assert_eq!(parse(&[], &accept).unwrap().format, Format::Ndjson);
        assert_eq!(parse(&[("format", "sse")], &accept).unwrap().format, Format::Sse);
        let none = parse(&[], &[("accept", "image/png")]).unwrap_err();
        assert_eq!(none.kind(), Kind::NotAcceptable);
    }

    #[test]
    fn what_is_malformed_is_named() {
        for (name, value) in [
            ("tail", "-1"),
            ("tail", "x"),
            ("since", "yesterday"),
            ("since", "9999999999999999999d"),
            ("logs", "some"),
            ("format", "xml"),
            ("container", "a/b"),
            ("pod", "Web"),
            ("match", "("),
            ("exclude", ""),
            ("level", "loud"),
            ("events", "some"),
            ("previous", "yes"),
            ("last_event_id", "nonsense"),
            ("until", "tomorrow"),
            ("fail", "abort"),
            ("deploy", "b-17"),
            ("tial", "5"),
        ] {
            let problem = parse(&[(name, value)], &[]).unwrap_err();
            assert_eq!(problem.kind(), Kind::BadRequest, "{name}={value}");
            assert!(problem.detail().starts_with(name), "{}", problem.detail());
        }
        let long = "1".repeat(65_536);
        assert!(parse(&[("last_event_id", &long)], &[]).is_err());
    }

    #[test]
    fn times_and_spans_are_read() {
        let since = |value| parse(&[("since", value)], &[]).unwrap().since;
        assert_eq!(since("rollout"), Some(Since::Rollout));
        assert_eq!(since("10m"), Some(Since::Ago(Duration::from_secs(600))));
        assert_eq!(since("1970-01-01T00:00:01Z"), Some(Since::Time(crate::time::SECOND)));
    }

    #[test]
    fn the_header_wins_over_the_parameter() {
        let query =
            parse(&[("last_event_id", "aaaaaa-1-2")], &[("last-event-id", "bbbbbb-3-4")]).unwrap();
        assert_eq!(query.resume.unwrap().to_string(), "bbbbbb-3-4");
    }
}
