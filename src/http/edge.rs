//! What every request passes on its way in and out: an id, a span, a count, and the last word on
//! errors.
//!
//! Order, from the outside: request id, span and count, panics caught, doors (`doors`), routes.
//! Every answer, whoever wrote it, leaves with its request's id and `X-Content-Type-Options: nosniff`.

use std::borrow::Cow;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequestParts, MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use tokio::time::Instant;
use tracing::Instrument as _;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::problem::{Kind, MEDIA_TYPE, Problem};
use crate::telemetry::events::{LimitReached, TaskPanicked};
use crate::telemetry::{Metrics, panic_words};

mod doors;

pub use doors::Doors;

/// The header that names a request, taken from a proxy in front if it set a sane one.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// An id of a proxy is kept up to this length, in bytes.
const LONGEST_ID: usize = 64;

/// The id of one request; extract it in handlers that log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(pub Arc<str>);

/// What the edge needs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Edge {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    metrics: Arc<Metrics>,
    doors: Doors,
    seed: u64,
    count: AtomicU64,
}

// === impl Edge ===

impl Edge {
    /// An edge. `seed` makes request ids differ between processes.
    pub fn new(metrics: Arc<Metrics>, doors: Doors, seed: u64) -> Self {
        let count = AtomicU64::new(0);
        Edge { inner: Arc::new(Inner { metrics, doors, seed, count }) }
    }

    /// Puts the edge around all routes. Call it last: what is added later is outside.
    pub fn around(self, router: Router) -> Router {
        let body = DefaultBodyLimit::max(self.inner.doors.body_bytes());
        router.fallback(no_such_path).layer(body).layer(from_fn_with_state(self, pass))
    }

    fn next_id(&self) -> RequestId {
        let count = self.inner.count.fetch_add(1, Ordering::Relaxed);
        let id = xxhash_rust::xxh3::xxh3_64_with_seed(&count.to_le_bytes(), self.inner.seed);
        RequestId(format!("{id:016x}").into())
    }
}

impl Inner {
    /// Counts what was refused for its size.
    fn limit(&self, problem: &Problem) {
        let limit = match problem.kind() {
            Kind::HeadTooLarge => "request_head",
            Kind::TooLarge => "request_body",
            Kind::Slow => "request_body_time",
            _ => return,
        };
        LimitReached { limit, who: &problem.detail() }.emit(&self.metrics);
    }
}

async fn no_such_path() -> Problem {
    Problem::not_found("no such path: the page is at /, the API under /api/v1")
}

/// The way in and out.
async fn pass(State(edge): State<Edge>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = given_id(request.headers()).unwrap_or_else(|| edge.next_id());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!(
        "request",
        otel.name = format!("{} {route}", request.method()),
        otel.kind = "server",
        http.request.method = %request.method(),
        http.route = route,
        http.response.status_code = tracing::field::Empty,
        request_id = &*id.0,
    );
    let parent = opentelemetry::global::get_text_map_propagator(|propagator| {
        propagator.extract(&Carrier(request.headers()))
    });
    // Fails only where no tracer is installed, which is the usual case.
    let _ = span.set_parent(parent);
    request.extensions_mut().insert(id.clone());
    let (version, asks) = (request.version(), request.method() == Method::OPTIONS);
    let answer = match edge.inner.doors.check(&request) {
        Err(problem) => problem.into_response(),
        Ok(()) => guarded(next.run(request), &edge.inner.metrics).instrument(span.clone()).await,
    };
    let answer = methods_named(answer, asks);
    let refused = answer.extensions().get::<Problem>().map(Problem::kind);
    if let Some(problem) = answer.extensions().get::<Problem>() {
        edge.inner.limit(problem);
    }
    let mut answer = explained(answer, &id, &route);
    span.record("http.response.status_code", answer.status().as_u16());
    edge.inner.metrics.http_request(&route, answer.status().as_u16(), began.elapsed());
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        answer.headers_mut().insert(REQUEST_ID, value);
    }
    // Lines of a log are hostile text: no browser may guess that they are a page.
    let nosniff = HeaderValue::from_static("nosniff");
    answer.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    // Where there is too little memory, whoever was refused must not keep a connection, nor who sends his
    // body so slowly. HTTP/2 has no such header, and one connection for all.
    let closes =
        matches!(refused, Some(Kind::Overloaded | Kind::Slow)) && version < Version::HTTP_2;
    if closes {
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

/// A panic in a handler is an answer of 500, and counted.
async fn guarded(answer: impl Future<Output = Response>, metrics: &Metrics) -> Response {
    match AssertUnwindSafe(answer).catch_unwind().await {
        Ok(answer) => answer,
        Err(payload) => {
            let message = panic_words(&*payload);
            TaskPanicked { room: "http", task: "request", message, restart_in: None }.emit(metrics);
            Problem::internal("panic").into_response()
        }
    }
}

/// The routes do not take OPTIONS; what they take is the answer to it (RFC 9110, 9.3.7), and the router names that
/// in `Allow` whatever the status is. It is no leave to read us from another origin: of that nothing is said, so a
/// browser that asks before a request gets none.
fn methods_named(answer: Response, asked: bool) -> Response {
    match answer.status() {
        StatusCode::METHOD_NOT_ALLOWED if asked => StatusCode::NO_CONTENT.into_response(),
        _ => answer,
    }
}

/// Makes every error a problem that names its request, and logs private causes once.
fn explained(answer: Response, id: &RequestId, route: &str) -> Response {
    if let Some(problem) = answer.extensions().get::<Problem>().cloned() {
        if let Some(cause) = problem.cause() {
            let kind = problem.kind().as_str();
            tracing::warn!(request_id = &*id.0, route, kind, cause, "request failed");
        }
        return keep_headers(answer.headers().clone(), problem.into_response_for(Some(&id.0)));
    }
    let status = answer.status();
    let is_problem = answer
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(MEDIA_TYPE.as_bytes()));
    if !(status.is_client_error() || status.is_server_error()) || is_problem {
        return answer;
    }
    let Some(problem) = framework_problem(status) else { return answer };
    keep_headers(answer.headers().clone(), problem.into_response_for(Some(&id.0)))
}

/// What axum answers by itself is plain text; the caller gets our form of it.
fn framework_problem(status: StatusCode) -> Option<Problem> {
    let (kind, detail): (Kind, Cow<'static, str>) = match status {
        StatusCode::BAD_REQUEST => (Kind::BadRequest, "the request cannot be read".into()),
        StatusCode::NOT_FOUND => (Kind::NotFound, "no such path".into()),
        StatusCode::METHOD_NOT_ALLOWED => {
            (Kind::MethodNotAllowed, "this path does not take the method; see Allow".into())
        }
        StatusCode::PAYLOAD_TOO_LARGE => (Kind::TooLarge, "the request body is too large".into()),
        StatusCode::UNSUPPORTED_MEDIA_TYPE | StatusCode::UNPROCESSABLE_ENTITY => {
            (Kind::BadRequest, "the body is not the JSON that this path takes".into())
        }
        StatusCode::INTERNAL_SERVER_ERROR => return Some(Problem::internal("framework")),
        _ => return None,
    };
    Some(Problem::new(kind, detail))
}

/// Carries headers over that the first form of the answer had (`Allow`, `Vary`).
fn keep_headers(from: HeaderMap, mut answer: Response) -> Response {
    for name in [header::ALLOW, header::VARY] {
        if let Some(value) = from.get(&name) {
            answer.headers_mut().insert(name, value.clone());
        }
    }
    answer
}

/// The id that a proxy gave, if it is one that cannot do harm in a log.
fn given_id(headers: &HeaderMap) -> Option<RequestId> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let sane = (1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(plain);
    sane.then(|| RequestId(id.into()))
}

/// Reads W3C trace context from a request.
struct Carrier<'a>(&'a HeaderMap);

impl opentelemetry::propagation::Extractor for Carrier<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

// === impl RequestId ===

impl<S: Sync> FromRequestParts<S> for RequestId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        // Absent only where a handler is called without the edge, in its unit test.
        Ok(parts.extensions.get().cloned().unwrap_or_else(|| RequestId("-".into())))
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::get;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;
    use crate::telemetry::Exposition;

    fn app() -> (Router, Exposition) {
        let (metrics, exposition) = Metrics::readable();
        let edge = Edge::new(Arc::new(metrics), Doors::for_tokens(), 7);
        let routes = Router::new()
            .route("/ok/{name}", get(async |id: RequestId| id.0.to_string()))
            .route("/panic", get(async || -> &'static str { panic!("planned") }))
            .route("/secret", get(async || Problem::internal("the database's password")));
        (edge.around(routes), exposition)
    }

    async fn ask(app: &Router, request: http::request::Builder) -> (Response, String) {
        let request = request.body(Body::empty()).unwrap();
        let mut answer = app.clone().oneshot(request).await.unwrap();
        let body = std::mem::take(answer.body_mut()).collect().await.unwrap().to_bytes();
        (answer, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn every_answer_names_its_request_and_the_handler_knows_the_name() {
        let (app, _) = app();
        let (first, body) = ask(&app, Request::get("/ok/x")).await;
        assert_eq!(first.headers()[&REQUEST_ID], body);
        let (second, _) = ask(&app, Request::get("/nowhere")).await;
        assert_ne!(first.headers()[&REQUEST_ID], second.headers()[&REQUEST_ID]);
    }

    #[tokio::test]
    async fn no_answer_may_be_guessed_to_be_something_else() {
        let (app, _) = app();
        for path in ["/ok/x", "/nowhere", "/panic", "/secret", "/ok/x?token=a"] {
            let (answer, _) = ask(&app, Request::get(path)).await;
            assert_eq!(answer.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff", "{path}");
        }
    }

    #[tokio::test]
    async fn the_id_of_a_proxy_is_kept_only_if_it_is_harmless() {
        let (app, _) = app();
        let (_, body) = ask(&app, Request::get("/ok/x").header(REQUEST_ID, "abc-1")).await;
        assert_eq!(body, "abc-1");
        for id in ["", "a b", "a\u{7f}", &"x".repeat(65)] {
            let Ok(value) = HeaderValue::from_bytes(id.as_bytes()) else { continue };
            let (_, body) = ask(&app, Request::get("/ok/x").header(REQUEST_ID, value)).await;
            assert_eq!(body.len(), 16, "{id}");
        }
    }

    #[tokio::test]
    async fn a_panic_is_an_answer_with_the_id_and_without_the_words() {
        let (app, exposition) = app();
        let (answer, body) = ask(&app, Request::get("/panic")).await;
        assert_eq!(answer.status(), 500);
        assert!(body.contains(answer.headers()[&REQUEST_ID].to_str().unwrap()), "{body}");
        assert!(!body.contains("planned"), "{body}");
        assert_eq!(exposition.value("rollcast_task_panics_total{room=\"http\"}"), Some(1.0));
    }

    #[tokio::test]
    async fn what_the_framework_refuses_is_a_problem_too() {
        let (app, _) = app();
        let (answer, body) = ask(&app, Request::post("/ok/x")).await;
        assert_eq!(answer.status(), 405);
        assert_eq!(answer.headers()[header::ALLOW], "GET,HEAD");
        assert!(body.contains("urn:rollcast:problem:method_not_allowed"), "{body}");
        let (answer, body) = ask(&app, Request::get("/nowhere")).await;
        assert_eq!(answer.status(), 404);
        assert!(body.contains("urn:rollcast:problem:not_found"), "{body}");
    }

    #[tokio::test]
    async fn what_a_path_takes_is_told_and_nothing_is_run_for_it() {
        let (app, exposition) = app();
        for path in ["/ok/x", "/panic"] {
            let request = Request::options(path)
                .header(header::ORIGIN, "https://elsewhere.example")
                .header(header::ACCESS_CONTROL_REQUEST_METHOD, "GET");
            let (answer, body) = ask(&app, request).await;
            assert_eq!((answer.status().as_u16(), body.as_str()), (204, ""), "{path}");
            assert_eq!(answer.headers()[header::ALLOW], "GET,HEAD", "{path}");
            let granted = |name: &HeaderName| name.as_str().starts_with("access-control");
            assert!(!answer.headers().keys().any(granted), "{path}");
        }
        assert_eq!(exposition.value("rollcast_task_panics_total{room=\"http\"}"), None);
        let (answer, _) = ask(&app, Request::options("/nowhere")).await;
        assert_eq!(answer.status(), 404);
    }

    #[tokio::test]
    async fn requests_are_counted_by_pattern_never_by_path() {
        let (app, exposition) = app();
        ask(&app, Request::get("/ok/a")).await;
        ask(&app, Request::get("/ok/b")).await;
        ask(&app, Request::get("/x/1")).await;
        let text = exposition.render();
        let series = "rollcast_http_requests_total{route=\"/ok/{name}\",status=\"200\"}";
        assert_eq!(exposition.value(series), Some(2.0), "{text}");
        assert!(!text.contains("/x/1"), "{text}");
    }

    #[tokio::test]
    async fn a_token_in_the_url_is_refused_before_any_handler() {
        let (app, _) = app();
        let (answer, body) = ask(&app, Request::get("/ok/x?access_token=s3cret")).await;
        assert_eq!(answer.status(), 400);
        assert!(!body.contains("s3cret"), "{body}");
    }
}
