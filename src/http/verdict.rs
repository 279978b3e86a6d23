//! `GET …/verdict`: how the rollout ended, for scripts. 200 is success, 424 any other end, 429 that it
//! still runs.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use http::{StatusCode, header};
use tokio::time::{Instant, timeout_at};

use super::auth::Caller;
use super::pin::{self, Waiter, catch_up};
use super::problem::Problem;
use super::target::{authorize, find};
use super::{Service, query_pairs};
use crate::ids::{Kind, Outcome, RolloutPhase, WorkloadId};
use crate::rollout::Pin;
use crate::wire::result_json;

/// The longest that an answer is waited for: under what proxies give a request, mostly.
const LONGEST: Duration = Duration::from_secs(55);
/// How long the API server may take where nothing is to be waited for.
const LEAST: Duration = Duration::from_secs(3);
/// What does not depend on news is looked at so often.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    pin: Pin,
    wait: Duration,
}

/// Answers with the verdict.
pub(super) async fn verdict(
    State(service): State<Service>,
    Path((namespace, kind, name)): Path<(String, String, String)>,
    RawQuery(query): RawQuery,
    caller: Caller,
) -> Result<Response, Problem> {
    let Wanted { pin, wait } = Wanted::parse(&query_pairs(query.as_deref()))?;
    let began = Instant::now();
    let until = began + wait;
    authorize(&service, &caller, &namespace, &kind, &name).await?;
    let workload = known(&service, &namespace, &kind, &name).await?;
    let mut news = service.news.subscribe();
    let mut waiter = Waiter::new(workload, pin);
    loop {
        // Running out of time is no error: then it is not sure yet.
        let _ = timeout_at(until.max(began + LEAST), waiter.make_sure(&service)).await;
        let ended = waiter.look(&service.model.lock());
        if let Some(ended) = ended {
            let status = match ended.result.outcome {
                Outcome::Succeeded => StatusCode::OK,
                _ => StatusCode::FAILED_DEPENDENCY,
            };
            let body = result_json(&waiter.workload, &ended.result);
            let headers =
                [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
            return Ok((status, headers, body).into_response());
        }
        let now = Instant::now();
        if now >= until {
            return Err(running(&service, &waiter));
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

fn running(service: &Service, waiter: &Waiter) -> Problem {
    let workload = &waiter.workload;
    let status = service.model.lock().current(workload);
    let detail = match status {
        // What runs now may be another one.
        _ if waiter.is_without() => {
            format!("the rollout of {workload} that you ask for has not been seen yet")
        }
        Some(status) if !status.message.is_empty() => {
            format!("{workload} is still rolling out: {}", status.message)
        }
        Some(status) => {
            let (ready, desired) = (status.ready, status.desired);
            let holds = match status.phase {
                RolloutPhase::Complete => ", which has to hold for a moment",
                _ => "",
            };
            format!("{workload} is still rolling out: {ready} of {desired} pods are ready{holds}")
        }
        None => format!("the state of {workload} is not known yet"),
    };
    Problem::running(detail, Duration::from_secs(1))
}

// === impl Wanted ===

impl Wanted {
    fn parse(pairs: &[(String, String)]) -> Result<Self, Problem> {
        let mut wanted = Wanted::default();
        let mut seen: Vec<&str> = Vec::new();
        for (name, value) in pairs {
            if seen.contains(&name.as_str()) {
                return Err(Problem::bad_request(name, "given twice; it takes one value"));
            }
            seen.push(name);
            if name == "wait" {
                wanted.wait = wait(value)?;
            } else if !pin::take(&mut wanted.pin, name, value)? {
                let known = pin::PARAMETERS.join(", ");
                let words = format!("unknown parameter; a verdict takes {known}, wait");
                return Err(Problem::bad_request(name, &words));
            }
        }
        pin::check(&wanted.pin)?;
        Ok(wanted)
    }
}

fn wait(value: &str) -> Result<Duration, Problem> {
    let seconds = value.strip_suffix('s').and_then(|number| number.parse().ok());
    let wait = seconds.map(Duration::from_secs).filter(|wait| *wait <= LONGEST);
    wait.ok_or_else(|| {
        let words = format!("expected seconds from 0s to {}s", LONGEST.as_secs());
        Problem::bad_request("wait", &words)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<Wanted, Problem> {
        let pairs: Vec<_> =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Wanted::parse(&pairs)
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
}
