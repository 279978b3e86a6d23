//! `GET …/verdict`: how the rollout ended, for scripts. 200 is success, 424 any other end, 429 that it
//! still runs.
//!
//! As JSON, or as text for a script that cannot read JSON: then the last line begins with `RESULT` or
//! `RUNNING`, so that an answer that somebody else made, or that was cut, cannot be taken for one.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::time::{Instant, timeout_at};

use super::accept::{self, Accepted};
use super::auth::Caller;
use super::pin::{self, Waiter, catch_up};
use super::problem::{Problem, Running};
use super::target::{authorize, find};
use super::{Service, query_pairs};
use crate::ids::{Kind, Outcome, RolloutResult, RolloutStatus, WorkloadId};
use crate::rollout::Pin;
use crate::wire::{result_json, result_text, running_text};

/// The longest that an answer is waited for: under what proxies give a request, mostly.
const LONGEST: Duration = Duration::from_secs(55);
/// How long the API server may take where nothing is to be waited for.
const LEAST: Duration = Duration::from_secs(3);
/// What does not depend on news is looked at so often.
const LOOK: Duration = Duration::from_secs(1);

/// The media type of a verdict that is no JSON.
const TEXT: &str = "text/plain; charset=utf-8";
/// When a client should ask again.
const AGAIN: Duration = Duration::from_secs(1);

#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    pin: Pin,
    wait: Duration,
    shape: Shape,
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Shape {
    /// The object of the `result` event, or a problem.
    #[default]
    Json,
    /// For people, and a last line for scripts.
    Text,
}

/// Answers with the verdict.
pub(super) async fn verdict(
    State(service): State<Service>,
    Path((namespace, kind, name)): Path<(String, String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    caller: Caller,
) -> Result<Response, Problem> {
    let Wanted { pin, wait, shape } = Wanted::parse(&query_pairs(query.as_deref()), &headers)?;
    let began = Instant::now();
    let until = began + wait;
    authorize(&service, &caller, &namespace, &kind, &name).await?;
    let workload = known(&service, &namespace, &kind, &name).await?;
    pin::check_for(&pin, &workload)?;
    let mut news = service.news.subscribe();
    let mut waiter = Waiter::new(workload, pin);
    loop {
        // Running out of time is no error: then it is not sure yet.
        let _ = timeout_at(until.max(began + LEAST), waiter.make_sure(&service)).await;
        let ended = waiter.look(&service.model.lock());
        if let Some(ended) = ended {
            return Ok(over(shape, &waiter.workload, &ended.result));
        }
        let now = Instant::now();
        if now >= until {
            return running(&service, shape, &waiter);
        }
        // Either way it is looked again.
        let _ = timeout_at(until.min(now + LOOK), news.changed()).await;
    }
}

/// The workload that a path names. One that the watch has not brought yet is asked for.
///
/// # Errors
/// 400, 404, 503.
pub(super) async fn known(
    service: &Service,
    namespace: &str,
    kind: &str,
    name: &str,
) -> Result<Arc<WorkloadId>, Problem> {
    match find(service, namespace, kind, name) {
        Ok(target) if target.pod.is_none() => Ok(target.workload),
        Ok(_) => {
            let words = "a pod of a workload has no rollout of its own; name the workload";
            Err(Problem::bad_request("name", words))
        }
        Err(problem) => {
            let Ok(kind) = kind.parse::<Kind>() else { return Err(problem) };
            let workload = Arc::new(WorkloadId::new(namespace, kind, name));
            if is_remembered(service, &workload) {
                return Ok(workload);
            }
            catch_up(service, &workload).await?;
            // A CronJob may not have run yet.
            let known = service.model.lock().knows(&workload);
            if known { Ok(workload) } else { Err(problem) }
        }
    }
}

/// Whether a workload that is gone still has an answer: its rollout was cut short, or it is a Job, which is
/// removed when it has ended. That of another one is history.
fn is_remembered(service: &Service, workload: &WorkloadId) -> bool {
    let model = service.model.lock();
    let result = model.course(workload).and_then(|course| course.said());
    result.is_some_and(|it| workload.kind == Kind::Job || it.outcome == Outcome::Deleted)
}

fn over(shape: Shape, workload: &WorkloadId, result: &RolloutResult) -> Response {
    let status = match result.outcome {
        Outcome::Succeeded => StatusCode::OK,
        _ => StatusCode::FAILED_DEPENDENCY,
    };
    let (kind, body) = match shape {
        Shape::Json => ("application/json", result_json(workload, result)),
        Shape::Text => (TEXT, result_text(workload, result)),
    };
    said((status, [(header::CONTENT_TYPE, kind)], body).into_response())
}

/// # Errors
/// 429, unless it is wanted as text: then that is the answer.
fn running(service: &Service, shape: Shape, waiter: &Waiter) -> Result<Response, Problem> {
    let workload = &*waiter.workload;
    let (standing, uid, inferred) = {
        let model = service.model.lock();
        (waiter.standing(&model), waiter.uid(&model), waiter.is_inferred(&model))
    };
    let detail = match &standing {
        Some(status) if !status.message.is_empty() => {
            format!("{workload} is still rolling out: {}", status.message)
        }
        Some(status) => {
            let (ready, desired) = (status.ready, status.desired);
            format!("{workload} is still rolling out: {ready} of {desired} pods are ready")
        }
        None if waiter.sure => format!("the rollout of {workload} that is meant was not seen yet"),
        None => format!("the state of {workload} is not known yet"),
    };
    if shape == Shape::Json {
        let which = |status: &Arc<RolloutStatus>| Running {
            revision: status.revision.as_deref().map(str::to_owned),
            generation: status.generation,
            uid: uid.as_deref().map(str::to_owned),
            pinned: inferred.then_some("inferred"),
        };
        return Err(Problem::running(detail, standing.as_ref().map(which), AGAIN));
    }
    let body = running_text(workload, &detail, standing.as_deref(), uid.as_deref(), inferred);
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(TEXT)),
        (header::RETRY_AFTER, HeaderValue::from(AGAIN.as_secs())),
    ];
    Ok(said((StatusCode::TOO_MANY_REQUESTS, headers, body).into_response()))
}

/// What holds for every verdict: it is about now, and its form is the client's choice.
fn said(mut answer: Response) -> Response {
    let headers = answer.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    answer
}

// === impl Wanted ===

impl Wanted {
    fn parse(pairs: &[(String, String)], headers: &HeaderMap) -> Result<Self, Problem> {
        let mut wanted = Wanted { shape: accepted(headers), ..Wanted::default() };
        let mut seen: Vec<&str> = Vec::new();
        for (name, value) in pairs {
            if seen.contains(&name.as_str()) {
                return Err(Problem::bad_request(name, "given twice; it takes one value"));
            }
            seen.push(name);
            if name == "wait" {
                wanted.wait = wait(value)?;
            } else if name == "format" {
                wanted.shape = match value.as_str() {
                    "json" => Shape::Json,
                    "text" => Shape::Text,
                    _ => return Err(Problem::bad_request(name, "expected json or text")),
                };
            } else if !pin::take(&mut wanted.pin, name, value)? {
                let known = pin::PARAMETERS.join(", ");
                let words = format!("unknown parameter; a verdict takes {known}, format, wait");
                return Err(Problem::bad_request(name, &words));
            }
        }
        pin::check(&wanted.pin)?;
        Ok(wanted)
    }
}

/// JSON unless text is asked for: it is what every client was given before there was a choice.
fn accepted(headers: &HeaderMap) -> Shape {
    let accepted = accept::best(headers, |media| match media {
        "application/json" | "application/*" | "*/*" => Some(Shape::Json),
        "text/plain" | "text/*" => Some(Shape::Text),
        _ => None,
    });
    match accepted {
        Accepted::This(shape) => shape,
        Accepted::Anything | Accepted::Nothing => Shape::Json,
    }
}

fn wait(value: &str) -> Result<Duration, Problem> {
    let seconds = value.strip_suffix('s').and_then(|number| number.parse().ok());
    let wait = seconds.map(Duration::from_secs).filter(|wait| *wait <= LONGEST);
    wait.ok_or_else(|| {
        let words = format!("expected seconds with their unit, from 0s to {}s", LONGEST.as_secs());
        Problem::bad_request("wait", &words)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<Wanted, Problem> {
        let pairs: Vec<_> =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Wanted::parse(&pairs, &HeaderMap::new())
    }

    #[test]
    fn what_is_malformed_is_named() {
        for (name, value) in [
            ("wait", "5"),
            ("wait", "56s"),
            ("wait", "-1s"),
            ("generation", "0"),
            ("generation", "x"),
            ("after", "yesterday"),
            ("deploy", ""),
            ("image", "shop/web:2"),
            ("format", "sse"),
            ("wiat", "5s"),
        ] {
            let problem = parse(&[(name, value)]).unwrap_err();
            assert!(problem.detail().starts_with(name), "{name}={value}: {}", problem.detail());
        }
        assert!(parse(&[("wait", "1s"), ("wait", "2s")]).is_err());
    }

    #[test]
    fn pins_are_read() {
        let wanted = parse(&[("wait", "25s"), ("deploy", "b-17"), ("image", "web:2")]).unwrap();
        assert_eq!(wanted.wait, Duration::from_secs(25));
        assert_eq!(wanted.pin.deploy.as_deref(), Some("b-17"));
        assert!(!wanted.pin.is_free());
    }

    #[test]
    fn json_is_given_unless_text_is_asked_for() {
        let shape = |accept: Option<&'static str>, pairs: &[(&str, &str)]| {
            let pairs: Vec<_> = pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            let accept = accept.map(|it| (header::ACCEPT, HeaderValue::from_static(it)));
            Wanted::parse(&pairs, &HeaderMap::from_iter(accept)).unwrap().shape
        };
        for accept in [None, Some("*/*"), Some("application/json, text/plain"), Some("image/png")] {
            assert_eq!(shape(accept, &[]), Shape::Json, "{accept:?}");
        }
        for accept in ["text/plain", "text/plain, */*;q=0.1", "text/*"] {
            assert_eq!(shape(Some(accept), &[]), Shape::Text, "{accept}");
        }
        assert_eq!(shape(Some("*/*"), &[("format", "text")]), Shape::Text);
        assert_eq!(shape(Some("text/plain"), &[("format", "json")]), Shape::Json);
    }
}
