//! Opens a stream whose reader and selection are known, and accounts for it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use http::{HeaderName, HeaderValue, Version, header};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Service;
use super::auth::{Caller, Proof};
use super::edge::RequestId;
use super::problem::Problem;
use super::serve::Stall;
use super::stream::{Flow, Opening, Query};
use crate::shutdown::Phase;
use crate::subscribe::Selection;
use crate::telemetry::events::{AccessRefused, ViewerClosed, ViewerOpened};
use crate::time;
use crate::wire::Bye;

/// After which time a client should come back: between two and three seconds, so that those who were
/// cut together do not come back together.
const RETRY_MS: std::ops::Range<u64> = 2_000..3_000;

/// Who asks.
pub(super) struct Asker {
    pub(super) caller: Caller,
    pub(super) request_id: RequestId,
    pub(super) stall: Stall,
    /// When the request came.
    pub(super) asked: Instant,
    pub(super) version: Version,
}

/// Answers with a stream of `selection`, all of which `proof` covers.
///
/// # Errors
/// 400 where the connection cannot be broken as was asked for, 429 when the caller has as many streams as one
/// may have, 503 while memory is short.
pub(super) fn open(
    service: Service,
    asker: Asker,
    proof: &Proof,
    selection: Selection,
    query: Query,
) -> Result<Response, Problem> {
    let Asker { caller, request_id, stall, asked, version } = asker;
    if query.abort && version <= Version::HTTP_10 {
        let words = "a body of HTTP/1.0 ends with its connection, so that a broken one looks whole; use HTTP/1.1";
        return Err(Problem::bad_request("fail", words));
    }
    let user = caller.user().to_owned();
    debug_assert!(selection.scope.namespaces().iter().all(|namespace| proof.covers(namespace)));
    let place = service.limits.enter(caller.user(), selection.scope.single(), &stall);
    let place = place.inspect_err(|_| {
        let namespaces = selection.scope.namespaces();
        let (user, namespace) = (Some(caller.user()), namespaces.first().copied());
        AccessRefused { user, namespace, reason: "limited" }.emit(&service.metrics);
    })?;
    let leave = place.leave();
    let left = leave.clone();
    let (lifetime, turn, retry) = draw(&service);
    // It runs from now on, also while nobody looks yet.
    let over = tokio::time::sleep(lifetime);
    let ends_at = time::now() + i64::try_from(lifetime.as_nanos()).unwrap_or(i64::MAX / 2);
    let standing = service.gate.watch(proof);
    let shutdown = service.shutdown.clone();
    let ending = async move {
        tokio::select! {
            () = leave.cancelled() => Bye::Limit,
            () = shutdown.bye(turn) => Bye::Drain,
            () = over => Bye::Rotate,
        }
    };
    let format = query.format;
    let shown = selection.to_string();
    let opened = ViewerOpened {
        format: format.as_str(),
        user: caller.user(),
        selection: &shown,
        request_id: &request_id.0,
        first_byte: asked.elapsed(),
    };
    opened.emit(&service.metrics);
    let told = Arc::new(OnceLock::new());
    let mut count = Count {
        service: service.clone(),
        format: format.as_str(),
        user: caller.user().to_owned(),
        selection: shown,
        request_id: request_id.0.clone(),
        opened: Instant::now(),
        bytes: 0,
        stall,
        told: told.clone(),
        left,
    };
    let ending = Box::pin(ending);
    let opening =
        Opening { service, selection, query, ending, standing, ends_at, retry, told, place, user };
    let bytes = Flow::open(opening).into_stream().inspect(move |bytes| {
        count.sent(bytes.as_ref().map_or(0, axum::body::Bytes::len));
    });
    let mut response = Body::from_stream(bytes).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    // nginx buffers answers unless it is told not to.
    let accel = HeaderName::from_static("x-accel-buffering");
    headers.insert(accel, HeaderValue::from_static("no"));
    Ok(response)
}

/// This stream's lifetime, its place in a drain, and its client's pause before it comes back.
fn draw(service: &Service) -> (Duration, f64, Duration) {
    /// As good as for ever, and far from where instants overflow.
    const FOREVER: Duration = Duration::from_secs(10 * 365 * 86_400);
    let mut random = service.random.lock();
    let lifetime = match service.options.lifetime {
        Some(mean) => mean.mul_f64(0.9 + 0.2 * random.f64()),
        None => FOREVER,
    };
    (lifetime, random.f64(), Duration::from_millis(random.u64(RETRY_MS)))
}

/// Counts what one viewer gets, and says it when the viewer is gone.
struct Count {
    service: Service,
    format: &'static str,
    user: String,
    selection: String,
    request_id: Arc<str>,
    opened: Instant,
    bytes: u64,
    stall: Stall,
    told: Arc<OnceLock<Bye>>,
    left: CancellationToken,
}

// === impl Count ===

impl Count {
    /// How the stream ended: the client took nothing, or was told, or was cut with the replica, or
    /// left.
    fn end(&self) -> &'static str {
        match self.told.get() {
            _ if self.stall.is_set() => "stalled",
            Some(bye) => bye.as_str(),
            None if self.left.is_cancelled() => Bye::Limit.as_str(),
            None if self.service.shutdown.phase() == Phase::Stopped => Bye::Drain.as_str(),
            None => "client",
        }
    }

    fn sent(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        self.service.metrics.stream_bytes.add(bytes as u64, self.format);
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        let closed = ViewerClosed {
            format: self.format,
            user: &self.user,
            selection: &self.selection,
            request_id: &self.request_id,
            end: self.end(),
            duration: self.opened.elapsed(),
            bytes: self.bytes,
        };
        closed.emit(&self.service.metrics);
    }
}
