//! The listener for operators: `/livez`, `/readyz`, `/metrics`, `/status`.
//!
//! Invariants:
//! - Ready means: nobody holds a [`Waiting`] any more, and the process is not draining. Whoever has
//!   to be there first takes one before it starts and drops it when it is.
//! - Live means: each main loop beat its [`Pulse`] within the time that it promised. A cluster that
//!   is away makes nothing unlive: a restart would not bring it back.
//! - Nothing here needs a login, so nothing here shows a line of a log or a name of a viewer; the
//!   chart opens the port to probes and to the monitoring only.
//!
//! Outside the rooms: sees what it is handed.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::{HeaderValue, StatusCode, header};
use parking_lot::Mutex;
use tokio::time::Instant;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::shutdown::{Phase, Shutdown};
use crate::telemetry::Exposition;

/// What `/status` shows for one room, as JSON.
pub type StatusOf = Arc<dyn Fn() -> serde_json::Value + Send + Sync>;

/// What operators see. Cheap to clone.
#[derive(Clone)]
pub struct Admin {
    inner: Arc<Inner>,
}

struct Inner {
    shutdown: Shutdown,
    exposition: Exposition,
    began: Instant,
    /// What is waited for, by the number of its [`Waiting`].
    waiting: Mutex<BTreeMap<u64, String>>,
    count: AtomicU64,
    pulses: Mutex<Vec<Beat>>,
    status: Mutex<BTreeMap<&'static str, StatusOf>>,
}

struct Beat {
    name: &'static str,
    within: Duration,
    last: Arc<Mutex<Instant>>,
}

/// Something that has to be there before the process is ready. Dropped when it is.
pub struct Waiting {
    admin: Admin,
    number: u64,
}

/// The heartbeat of one main loop. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Pulse {
    last: Arc<Mutex<Instant>>,
}

// === impl Admin ===

impl Admin {
    /// Nothing waits, nothing beats yet.
    pub fn new(shutdown: Shutdown, exposition: Exposition) -> Self {
        let inner = Inner {
            shutdown,
            exposition,
            began: Instant::now(),
            waiting: Mutex::default(),
            count: AtomicU64::new(0),
            pulses: Mutex::default(),
            status: Mutex::default(),
        };
        Admin { inner: Arc::new(inner) }
    }

    /// Not ready until the answer is dropped. `what` completes the sentence "waits for …".
    pub fn wait_for(&self, what: impl Into<String>) -> Waiting {
        let number = self.inner.count.fetch_add(1, Ordering::Relaxed);
        self.inner.waiting.lock().insert(number, what.into());
        Waiting { admin: self.clone(), number }
    }

    /// Not live if a loop does not beat within this time. A loop that waits for work must wake up
    /// in between to beat.
    pub fn pulse(&self, name: &'static str, within: Duration) -> Pulse {
        let last = Arc::new(Mutex::new(Instant::now()));
        self.inner.pulses.lock().push(Beat { name, within, last: Arc::clone(&last) });
        Pulse { last }
    }

    /// Shows a room's state under its name in `/status`. It is asked at each request and must answer
    /// from memory.
    pub fn show(&self, room: &'static str, status: StatusOf) {
        self.inner.status.lock().insert(room, status);
    }

    /// Whether requests should come here, and in words what is missing, one reason a line.
    pub fn ready(&self) -> Result<(), String> {
        let mut reasons = String::new();
        if self.inner.shutdown.phase() != Phase::Running {
            reasons.push_str("draining\n");
        }
        for what in self.inner.waiting.lock().values() {
            let _ = writeln!(reasons, "waits for {what}");
        }
        if reasons.is_empty() { Ok(()) } else { Err(reasons) }
    }

    /// Whether the main loops run, and which do not, one a line.
    pub fn live(&self) -> Result<(), String> {
        let mut reasons = String::new();
        for Beat { name, within, last } in self.inner.pulses.lock().iter() {
            let since = last.lock().elapsed();
            if since > *within {
                let _ = writeln!(reasons, "{name} has not moved for {} s", since.as_secs());
            }
        }
        if reasons.is_empty() { Ok(()) } else { Err(reasons) }
    }

    /// The routes of the listener.
    pub fn routes(self) -> Router {
        Router::new()
            .route("/livez", get(livez))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .route("/status", get(status))
            .layer(SetResponseHeaderLayer::overriding(
                header::X_CONTENT_TYPE_OPTIONS,
                HeaderValue::from_static("nosniff"),
            ))
            .with_state(self)
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").field("ready", &self.ready()).finish_non_exhaustive()
    }
}

// === impl Waiting ===

impl Waiting {
    /// Says more exactly what is waited for, such as how far it is or why it does not go on.
    pub fn now_for(&self, what: impl Into<String>) {
        self.admin.inner.waiting.lock().insert(self.number, what.into());
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.admin.inner.waiting.lock().remove(&self.number);
    }
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Waiting").field(&self.number).finish()
    }
}

// === impl Pulse ===

impl Pulse {
    /// The loop moves.
    pub fn beat(&self) {
        *self.last.lock() = Instant::now();
    }
}

// === handlers ===

async fn livez(State(admin): State<Admin>) -> Response {
    verdict(admin.live())
}

async fn readyz(State(admin): State<Admin>) -> Response {
    verdict(admin.ready())
}

fn verdict(verdict: Result<(), String>) -> Response {
    let (status, text) = match verdict {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(reasons) => (StatusCode::SERVICE_UNAVAILABLE, reasons),
    };
    (status, [(header::CACHE_CONTROL, "no-store")], text).into_response()
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let text = admin.inner.exposition.render();
    ([(header::CONTENT_TYPE, Exposition::CONTENT_TYPE)], text).into_response()
}

async fn status(State(admin): State<Admin>) -> Response {
    let rooms = admin.inner.status.lock().clone();
    let rooms: serde_json::Map<_, _> =
        rooms.into_iter().map(|(room, status)| (room.to_owned(), status())).collect();
    axum::Json(serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_ms": u64::try_from(admin.inner.began.elapsed().as_millis()).unwrap_or(u64::MAX),
        "ready": admin.ready().is_ok(),
        "tasks": tokio::runtime::Handle::current().metrics().num_alive_tasks(),
        "rooms": rooms,
    }))
    .into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::Request;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;
    use crate::shutdown::Timing;
    use crate::telemetry::Metrics;

    fn admin() -> (Admin, Shutdown, Metrics) {
        let (metrics, exposition) = Metrics::readable();
        let shutdown = Shutdown::new(Timing { delay: Duration::ZERO, window: Duration::ZERO });
        (Admin::new(shutdown.clone(), exposition), shutdown, metrics)
    }

    async fn ask(admin: &Admin, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let answer = admin.clone().routes().oneshot(request).await.unwrap();
        let status = answer.status();
        assert_eq!(answer.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn readiness_says_in_words_what_it_waits_for_until_it_is_there() {
        let (admin, _, _) = admin();
        let pods = admin.wait_for("the list of pods");
        let deployments = admin.wait_for("the list of deployments");
        deployments.now_for("the list of deployments: forbidden in namespace shop");
        let (status, body) = ask(&admin, "/readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        let words = "waits for the list of pods\n\
                     waits for the list of deployments: forbidden in namespace shop\n";
        assert_eq!(body, words);
        drop((pods, deployments));
        assert_eq!(ask(&admin, "/readyz").await, (StatusCode::OK, "ok\n".to_owned()));
    }

    #[tokio::test]
    async fn a_process_that_drains_is_not_ready_but_live() {
        let (admin, shutdown, _) = admin();
        shutdown.drain();
        let (status, body) = ask(&admin, "/readyz").await;
        assert_eq!((status, body.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "draining\n"));
        assert_eq!(ask(&admin, "/livez").await.0, StatusCode::OK);
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_does_not_move_is_named() {
        let (admin, _, _) = admin();
        let (watch, tail) = (
            admin.pulse("watch", Duration::from_secs(30)),
            admin.pulse("tail", Duration::from_secs(30)),
        );
        tokio::time::advance(Duration::from_secs(20)).await;
        watch.beat();
        tokio::time::advance(Duration::from_secs(15)).await;
        let (status, body) = ask(&admin, "/livez").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(body, "tail has not moved for 35 s\n");
        tail.beat();
        assert_eq!(ask(&admin, "/livez").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn metrics_and_status_are_served() {
        let (admin, _, metrics) = admin();
        metrics.lines.add(3);
        admin.show("tail", Arc::new(|| serde_json::json!({"followers": 2})));
        let (_, body) = ask(&admin, "/metrics").await;
        assert!(body.contains("rollcast_lines_total 3"), "{body}");
        let (_, body) = ask(&admin, "/status").await;
        let status: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(status["rooms"]["tail"]["followers"], 2);
        assert_eq!(status["ready"], true);
    }
}
