//! The three ways to ask for a stream: of one workload, of what a selector selects in a namespace,
//! and of a list of both.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, FailedToBufferBody};
use axum::extract::{FromRequest as _, FromRequestParts, Path, RawQuery, Request, State};
use axum::response::{IntoResponse as _, Response};
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use tokio::time::{Instant, timeout};

use super::auth::Caller;
use super::edge::RequestId;
use super::open::{Asker, open};
use super::pin::{self, is_final};
use super::problem::{self, Problem};
use super::serve::Stall;
use super::stream::{Asked, Query, Until, check_position};
use super::target::{Target, absent, authorize, check_container, find, missing, selection};
use super::verdict::known;
use super::{Service, query_pairs};
use crate::ids::Kind;
use crate::subscribe::{MAX_WORKLOADS, Scope, Selector, Target as Selected};

/// Time for the body of a request, which is one short list: as long as its head may take.
const BODY: Duration = Duration::from_secs(10);
/// Targets in one list.
const MAX_TARGETS: usize = 100;

impl FromRequestParts<Service> for Asker {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, service: &Service) -> Result<Self, Problem> {
        let asked = Instant::now();
        let caller = Caller::from_request_parts(parts, service).await?;
        let Ok(request_id) = RequestId::from_request_parts(parts, service).await;
        let Ok(stall) = Stall::from_request_parts(parts, service).await;
        Ok(Asker { caller, request_id, stall, asked, version: parts.version })
    }
}

/// `GET /api/v1/namespaces/{ns}/{kind}/{name}/stream`.
pub(super) async fn of_workload(
    State(service): State<Service>,
    Path((namespace, kind, name)): Path<(String, String, String)>,
    RawQuery(query): RawQuery,
    asker: Asker,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let query = Query::parse(&query_pairs(query.as_deref()), &headers)?;
    let proof = authorize(&service, &asker.caller, &namespace, &kind, &name).await?;
    let target = match query.until {
        // A workload that has just been made is waited for, and one that is gone may have a result.
        Until::Result => {
            let workload = known(&service, &namespace, &kind, &name).await?;
            pin::check_for(&query.pin, &workload)?;
            Target { workload, pod: None }
        }
        Until::Never => find(&service, &namespace, &kind, &name)?,
    };
    if let Some(container) = &query.container {
        check_container(&service, &target, container)?;
    }
    check_position(&query, &service.journal)?;
    let scope = Scope::one(target.workload);
    if is_over(&service, &asker, &scope, &query) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let selection = selection(&service, scope, target.pod, &query);
    open(service, asker, &proof, selection, query)
}

/// `GET /api/v1/namespaces/{ns}/stream?selector=`.
pub(super) async fn of_namespace(
    State(service): State<Service>,
    Path(namespace): Path<String>,
    RawQuery(query): RawQuery,
    asker: Asker,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut pairs = query_pairs(query.as_deref());
    let given: Vec<_> = pairs.extract_if(.., |(name, _)| name == "selector").collect();
    let selector = match &given[..] {
        [] => Selector::default(),
        [(_, text)] => selector(text)?,
        _ => return Err(Problem::bad_request("selector", "given twice; it takes one value")),
    };
    let query = Query::parse(&pairs, &headers)?;
    let nothing = || format!("nothing runs in namespace \"{namespace}\", or you may not read it");
    let proof = service.gate.authorize(&asker.caller, &namespace).await;
    let proof = proof.map_err(|denied| denied.into_problem(|| Problem::not_found(nothing())))?;
    if !service.index.namespaces().iter().any(|known| **known == *namespace) {
        return Err(missing(&service, nothing()));
    }
    let selected = Selected::Matching { namespace: namespace.as_str().into(), selector };
    let scope = bounded(&service, Scope::new([selected]))?;
    check_position(&query, &service.journal)?;
    if is_over(&service, &asker, &scope, &query) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let selection = selection(&service, scope, None, &query);
    open(service, asker, &proof, selection, query)
}

/// `POST /api/v1/stream`: a JSON list of workloads and selectors.
pub(super) async fn of_list(
    State(service): State<Service>,
    RawQuery(query): RawQuery,
    asker: Asker,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    let query = Query::parse(&query_pairs(query.as_deref()), &headers)?;
    let Ok(body) = timeout(BODY, Bytes::from_request(request, &())).await else {
        let words = "the list did not come within 10 s; send it at once";
        return Err(Problem::new(problem::Kind::Slow, words));
    };
    let body = body.map_err(|rejected| match rejected {
        BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => {
            let words = "the list is longer than this server takes (--request-body-bytes)";
            Problem::new(problem::Kind::TooLarge, words)
        }
        other => Problem::bad_request("body", &format!("cannot be read: {other}")),
    })?;
    let wanted = list(&headers, &body)?;
    let namespaces: BTreeSet<&str> = wanted.iter().map(Wanted::namespace).collect();
    let proof = service.gate.visible(&asker.caller, namespaces).await;
    let nothing = || Problem::not_found("nothing of this list is here, or you may not read it");
    let proof = proof.map_err(|denied| denied.into_problem(nothing))?;
    let mut targets = Vec::with_capacity(wanted.len());
    for wanted in wanted {
        if !proof.covers(wanted.namespace()) {
            return Err(Problem::not_found(wanted.absent()));
        }
        targets.push(match wanted {
            Wanted::Named { namespace, kind, name } if query.until == Until::Result => {
                let workload = known(&service, &namespace, kind.as_str(), &name).await?;
                pin::check_for(&query.pin, &workload)?;
                Selected::Workload(workload)
            }
            Wanted::Named { namespace, kind, name } => {
                let target = find(&service, &namespace, kind.as_str(), &name)?;
                if target.pod.is_some() {
                    let advice = "a pod of a workload is not streamed in a list; name the workload";
                    return Err(Problem::bad_request("body", advice));
                }
                Selected::Workload(target.workload)
            }
            Wanted::Selected { namespace, selector } => {
                Selected::Matching { namespace: namespace.into(), selector }
            }
        });
    }
    let scope = bounded(&service, Scope::new(targets))?;
    check_position(&query, &service.journal)?;
    if is_over(&service, &asker, &scope, &query) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let selection = selection(&service, scope, None, &query);
    open(service, asker, &proof, selection, query)
}

/// Whether the client has every result that it waits for. An EventSource that comes back after the end
/// stops with 204, and only with this.
fn is_over(service: &Service, asker: &Asker, scope: &Scope, query: &Query) -> bool {
    let Some(id) = query.resume.filter(|_| query.until == Until::Result) else { return false };
    match scope.single() {
        Some(workload) => is_final(&service.model.lock(), workload, &query.pin, &id),
        None => {
            let asked = Asked::new(asker.caller.user(), scope, query);
            id.epoch == service.journal.epoch() && service.waits.is_final(&asked, &id)
        }
    }
}

/// Refuses what selects more than one reader may see.
fn bounded(service: &Service, scope: Scope) -> Result<Scope, Problem> {
    if scope.resolve(&service.index).more {
        let words = format!("selects more than {MAX_WORKLOADS} workloads; narrow it");
        return Err(Problem::bad_request("selector", &words));
    }
    Ok(scope)
}

fn selector(text: &str) -> Result<Selector, Problem> {
    text.parse().map_err(|error| Problem::bad_request("selector", &format!("{error}")))
}

/// One entry of a list.
enum Wanted {
    Named { namespace: String, kind: Kind, name: String },
    Selected { namespace: String, selector: Selector },
}

/// One entry as it is written.
#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "an entry: \"namespace/kind/name\" or an object with namespace and selector"
)]
struct Written {
    namespace: String,
    kind: Option<String>,
    name: Option<String>,
    selector: Option<String>,
}

fn list(headers: &HeaderMap, body: &[u8]) -> Result<Vec<Wanted>, Problem> {
    const EXPECTED: &str = "expected a JSON list such as [\"shop/deployment/web\", \
                            {\"namespace\": \"shop\", \"selector\": \"app=pay\"}]";
    let bad = |words: &str| Problem::bad_request("body", &format!("{words}; {EXPECTED}"));
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media = given.and_then(|value| value.split(';').next()).map(str::trim);
    // A page elsewhere cannot send this type without asking first.
    if media != Some("application/json") {
        return Err(bad("the Content-Type must be application/json"));
    }
    let entries: Vec<serde_json::Value> =
        serde_json::from_slice(body).map_err(|error| bad(&format!("not such a list: {error}")))?;
    if entries.is_empty() || entries.len() > MAX_TARGETS {
        return Err(bad(&format!("a list has 1 to {MAX_TARGETS} entries")));
    }
    entries.into_iter().map(|entry| wanted(entry).map_err(|words| bad(&words))).collect()
}

fn wanted(entry: serde_json::Value) -> Result<Wanted, String> {
    if let Some(text) = entry.as_str() {
        let parts: Vec<_> = text.split('/').collect();
        let [namespace, kind, name] = parts[..] else {
            return Err("a workload is written namespace/kind/name".to_owned());
        };
        return named(namespace, kind, name);
    }
    let Written { namespace, kind, name, selector } =
        serde_json::from_value(entry).map_err(|error| error.to_string())?;
    match (kind, name, selector) {
        (Some(kind), Some(name), None) => named(&namespace, &kind, &name),
        (None, None, Some(text)) => {
            let selector = text.parse().map_err(|error| format!("{error}"))?;
            Ok(Wanted::Selected { namespace, selector })
        }
        _ => Err("an entry has either kind and name, or a selector".to_owned()),
    }
}

fn named(namespace: &str, kind: &str, name: &str) -> Result<Wanted, String> {
    let kind = kind.parse().map_err(|error| format!("{error}"))?;
    Ok(Wanted::Named { namespace: namespace.to_owned(), kind, name: name.to_owned() })
}

// === impl Wanted ===

impl Wanted {
    fn namespace(&self) -> &str {
        match self {
            Wanted::Named { namespace, .. } | Wanted::Selected { namespace, .. } => namespace,
        }
    }

    fn absent(&self) -> String {
        match self {
            Wanted::Named { namespace, kind, name } => absent(*kind, name, namespace),
            Wanted::Selected { namespace, .. } => {
                format!("nothing runs in namespace \"{namespace}\", or you may not read it")
            }
        }
    }
}
