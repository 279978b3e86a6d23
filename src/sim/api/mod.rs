//! The simulated API server: paths to answers.

mod body;
mod list;
mod log;
mod query;
mod status;
mod watch;

use std::sync::Arc;

use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use serde_json::{Value, json};

pub(super) use self::watch::expired_event;

use self::body::{Body, full};
use self::query::Query;
use self::status::Failure;
use super::faults::{Ask, Effect, RequestKind};
use super::resource::Resource;
use super::shared::Shared;

/// A review's body is a token and some words; the real limit is 3 MiB.
const MAX_REQUEST_BODY: usize = 64 * 1024;

/// Answers one request; never fails, for errors are answers.
pub(super) async fn answer<B>(shared: Arc<Shared>, request: Request<B>) -> Response<Body>
where
    B: http_body::Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (parts, incoming) = request.into_parts();
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let Some((mut ask, route)) = find(&parts.method, parts.uri.path(), &query) else {
        return Failure::no_such_path().into_response();
    };
    if let Route::Log = route {
        ask.node = log::node_of(&shared, &ask);
    }
    *shared.counters.lock().requests.total.entry(ask.kind).or_default() += 1;
    if ask.resource == Some(Resource::Rollouts) && !shared.with(|world| world.has_rollouts) {
        return Failure::no_such_path().into_response();
    }
    let (effect, seed) = {
        let mut faults = shared.faults.lock();
        (faults.decide(&ask), faults.seed())
    };
    if let Some(effect) = &effect {
        if let Effect::Delay(time) = effect {
            tokio::time::sleep(*time).await;
        }
        if let Some(failure) = status::of_effect(effect, &ask) {
            return failure.into_response();
        }
    }
    if let Some(node) = &ask.node
        && let Err(failure) = log::reach(&shared, node, &ask).await
    {
        return failure.into_response();
    }
    let open = shared.open(ask.clone());
    let result = match route {
        Route::Text(text) => Ok(text_response(text)),
        Route::Json(value) => Ok(json_response(StatusCode::OK, &value)),
        Route::Namespace(name) => {
            let annotations = shared.with(|world| world.namespaces.get(&*name).cloned());
            let metadata = json!({"name": name, "annotations": annotations.unwrap_or_default()});
            let namespace = json!({"kind": "Namespace", "apiVersion": "v1", "metadata": metadata});
            Ok(json_response(StatusCode::OK, &namespace))
        }
        Route::List => list::list(&shared, &ask, &query),
        Route::Get => list::get(&shared, &ask),
        Route::Watch => watch::watch(&shared, &ask, &query, effect.as_ref()),
        Route::Log => log::log(&shared, &ask, &query, seed),
        Route::Review => match Limited::new(incoming, MAX_REQUEST_BODY).collect().await {
            Ok(body) => review(&shared, &ask, parts.uri.path(), &body.to_bytes()),
            Err(_) => Err(Failure::bad_request("request body too large or broken".to_owned())),
        },
    };
    match result {
        Ok(response) => {
            let odd = shared.odd_chunks && ask.kind == RequestKind::Log;
            response.map(|inner| body::shape(inner, effect, open, odd.then_some(seed)))
        }
        Err(failure) => failure.into_response(),
    }
}

/// What kind of answer a request gets.
enum Route {
    Text(&'static str),
    Json(Value),
    Namespace(String),
    List,
    Get,
    Watch,
    Log,
    Review,
}

fn find(method: &Method, path: &str, query: &Query) -> Option<(Ask, Route)> {
    let words: Vec<&str> = path.trim_matches('/').split('/').collect();
    let other = |kind| Ask {
        kind,
        resource: None,
        namespace: None,
        name: None,
        container: None,
        node: None,
        follow: false,
    };
    match words[..] {
        ["readyz" | "livez" | "healthz"] => {
            return Some((other(RequestKind::Other), Route::Text("ok")));
        }
        ["api", "v1", "namespaces", name] if method == Method::GET => {
            let ask = Ask { name: Some(name.to_owned()), ..other(RequestKind::Get) };
            return Some((ask, Route::Namespace(name.to_owned())));
        }
        ["apis", "argoproj.io", "v1alpha1"] if method == Method::GET => {
            let resource = Some(Resource::Rollouts);
            let ask = Ask { resource, ..other(RequestKind::Discovery) };
            return Some((ask, Route::Json(discovery(Resource::Rollouts))));
        }
        ["version"] => return Some((other(RequestKind::Other), Route::Json(version()))),
        ["apis", _, "v1", what] if method == Method::POST => {
            let kind = match what {
                "tokenreviews" => RequestKind::TokenReview,
                "subjectaccessreviews" | "selfsubjectaccessreviews" => RequestKind::AccessReview,
                _ => return None,
            };
            return Some((other(kind), Route::Review));
        }
        _ => {}
    }
    if method != Method::GET {
        return None;
    }
    let (group, rest) = match &words[..] {
        ["api", "v1", rest @ ..] => ("", rest),
        ["apis", "argoproj.io", "v1alpha1", rest @ ..] => ("argoproj.io", rest),
        ["apis", group, "v1", rest @ ..] if *group != "argoproj.io" => (*group, rest),
        _ => return None,
    };
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some(*namespace), rest),
        _ => (None, rest),
    };
    let (plural, name, log) = match rest {
        [plural] => (*plural, None, false),
        [plural, name] => (*plural, Some(*name), false),
        ["pods", name, "log"] => ("pods", Some(*name), true),
        _ => return None,
    };
    let resource = Resource::find(group, plural)?;
    if resource.namespaced() != namespace.is_some() && (name.is_some() || namespace.is_some()) {
        return None;
    }
    let watches = query.flag("watch") && name.is_none();
    let (kind, route) = match name {
        Some(_) if log => (RequestKind::Log, Route::Log),
        Some(_) => (RequestKind::Get, Route::Get),
        None if watches => (RequestKind::Watch, Route::Watch),
        None => (RequestKind::List, Route::List),
    };
    let ask = Ask {
        kind,
        resource: Some(resource),
        namespace: namespace.map(str::to_owned),
        name: name.map(str::to_owned),
        node: None,
        container: query.get("container").filter(|_| log).map(str::to_owned),
        follow: log && query.flag("follow"),
    };
    Some((ask, route))
}

fn review(
    shared: &Arc<Shared>,
    ask: &Ask,
    path: &str,
    body: &[u8],
) -> Result<Response<Body>, Failure> {
    let request: Value = serde_json::from_slice(body)
        .map_err(|error| Failure::bad_request(format!("the object is not JSON: {error}")))?;
    let answer = shared.with(|world| match ask.kind {
        RequestKind::TokenReview => world.reviews.review_token(&request),
        // Our own account may do everything, unless a fault says otherwise.
        _ if path.ends_with("/selfsubjectaccessreviews") => json!({
            "kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1",
            "metadata": {}, "spec": request["spec"], "status": {"allowed": true},
        }),
        _ => world.reviews.review_access(&request),
    });
    Ok(json_response(StatusCode::CREATED, &answer))
}

/// What a group has; here that is one kind.
fn discovery(resource: Resource) -> Value {
    json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": resource.api_version(),
        "resources": [{
            "name": resource.plural(), "singularName": "", "namespaced": true,
            "kind": resource.kind(), "verbs": ["get", "list", "watch"],
        }],
    })
}

fn version() -> Value {
    json!({
        "major": "1", "minor": "37", "gitVersion": "v1.37.2", "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "2026-11-10T00:00:00Z", "goVersion": "go1.26", "compiler": "gc",
        "platform": "linux/amd64",
    })
}

fn json_response(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = Response::new(full(value.to_string().into()));
    *response.status_mut() = status;
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

fn text_response(text: &'static str) -> Response<Body> {
    let mut response = Response::new(full(text.into()));
    let plain = header::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}
