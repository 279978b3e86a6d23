//! The routes under `/api/v1`, and how a path names a workload.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::auth::{Caller, Proof};
use super::edge::RequestId;
use super::problem::Problem;
use super::serve::Stall;
use super::stream::{Flow, Opening, Query, check_position};
use super::{Service, query_pairs, workloads};
use crate::ids::{Kind, WorkloadId};
use crate::shutdown::Phase;
use crate::subscribe::Selection;
use crate::telemetry::events::{AccessRefused, ViewerClosed, ViewerOpened};
use crate::time;
use crate::wire::{Bye, rollout_json};

/// After which time a client should come back: between two and three seconds, so that those who were
/// cut together do not come back together.
const RETRY_MS: std::ops::Range<u64> = 2_000..3_000;

/// The API.
pub fn routes(service: Service) -> Router {
    Router::new()
        .route("/api/v1/workloads", get(workloads::list))
        .route("/api/v1/namespaces/{namespace}/{kind}/{name}/stream", get(stream))
        .route("/api/v1/namespaces/{namespace}/{kind}/{name}/rollout", get(rollout))
        .with_state(service)
}

/// A workload, and the one pod of it that the path names, if it names a pod.
struct Target {
    workload: Arc<WorkloadId>,
    pod: Option<Arc<str>>,
}

fn find(service: &Service, namespace: &str, kind: &str, name: &str) -> Result<Target, Problem> {
    let kind: Kind =
        kind.parse().map_err(|error| Problem::bad_request("kind", &format!("{error}")))?;
    let id = WorkloadId::new(namespace, kind, name);
    if let Some(entry) = service.index.workload(&id) {
        return Ok(Target { workload: entry.id.clone(), pod: None });
    }
    if kind == Kind::Pod
        && let Some(pod) = service.index.pod_by_name(namespace, name)
    {
        return Ok(Target { workload: pod.workload.clone(), pod: Some(pod.uid.clone()) });
    }
    if !service.index.synced() {
        return Err(Problem::unavailable(
            "the cluster is still being read; try again in a moment",
            Duration::from_secs(1),
            "index not synced",
        ));
    }
    Err(Problem::not_found(absent(kind, name, namespace)))
}

/// Refuses a container that neither the template nor any pod has: a stream that stays silent for a
/// misspelt name would say that all is well.
fn check_container(service: &Service, target: &Target, wanted: &str) -> Result<(), Problem> {
    let Target { workload, pod } = target;
    let mut names = BTreeSet::new();
    if let Some(entry) = service.index.workload(workload) {
        names.extend(entry.template.containers.iter().map(|container| container.name.clone()));
    }
    let wants = |uid: &str| pod.as_deref().is_none_or(|pod| pod == uid);
    for pod in service.index.pods_of(workload).iter().filter(|pod| wants(&pod.uid)) {
        names.extend(pod.containers.iter().map(|container| container.name.clone()));
    }
    if names.is_empty() || names.contains(wanted) {
        return Ok(());
    }
    let names = names.iter().map(|name| &**name).collect::<Vec<_>>().join(", ");
    let detail = format!("no container \"{wanted}\" in {workload}; it has {names}");
    Err(Problem::not_found(detail))
}

async fn stream(
    State(service): State<Service>,
    Path((namespace, kind, name)): Path<(String, String, String)>,
    RawQuery(query): RawQuery,
    caller: Caller,
    request_id: RequestId,
    stall: Stall,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let asked = Instant::now();
    let query = Query::parse(&query_pairs(query.as_deref()), &headers)?;
    let proof = authorize(&service, &caller, &namespace, &kind, &name).await?;
    let target = find(&service, &namespace, &kind, &name)?;
    if let Some(container) = &query.container {
        check_container(&service, &target, container)?;
    }
    check_position(&query, &service.journal)?;
    let selection = Selection {
        workload: target.workload,
        pod: target.pod,
        container: query.container.as_deref().map(Into::into),
        logs: query.logs,
    };
    let place =
        service.limits.enter(caller.user(), &selection.workload, &stall).inspect_err(|_| {
            let (user, namespace) = (Some(caller.user()), Some(&*namespace));
            AccessRefused { user, namespace, reason: "limited" }.emit(&service.metrics);
        })?;
    let leave = place.leave();
    let left = leave.clone();
    let (lifetime, turn, retry) = draw(&service);
    let ends_at = time::now() + i64::try_from(lifetime.as_nanos()).unwrap_or(i64::MAX / 2);
    let standing = service.gate.watch(&proof);
    let shutdown = service.shutdown.clone();
    let ending = async move {
        tokio::select! {
            () = leave.cancelled() => Bye::Limit,
            () = shutdown.bye(turn) => Bye::Drain,
            () = tokio::time::sleep(lifetime) => Bye::Rotate,
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
        Opening { service, selection, query, ending, standing, ends_at, retry, told, place };
    let bytes = Flow::open(opening).into_stream().map(move |bytes| {
        count.sent(bytes.len());
        Ok::<_, std::convert::Infallible>(bytes)
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

/// The right to read the logs of a namespace. A refusal says what absence says.
async fn authorize(
    service: &Service,
    caller: &Caller,
    namespace: &str,
    kind: &str,
    name: &str,
) -> Result<Proof, Problem> {
    let kind: Kind =
        kind.parse().map_err(|error| Problem::bad_request("kind", &format!("{error}")))?;
    let proof = service.gate.authorize(caller, namespace).await;
    proof
        .map_err(|denied| denied.into_problem(|| Problem::not_found(absent(kind, name, namespace))))
}

fn absent(kind: Kind, name: &str, namespace: &str) -> String {
    format!("no {kind} \"{name}\" in namespace \"{namespace}\", or you may not read it")
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

async fn rollout(
    State(service): State<Service>,
    Path((namespace, kind, name)): Path<(String, String, String)>,
    caller: Caller,
) -> Result<Response, Problem> {
    authorize(&service, &caller, &namespace, &kind, &name).await?;
    let target = find(&service, &namespace, &kind, &name)?;
    let status = service.model.lock().current(&target.workload);
    let status = status.ok_or_else(|| {
        Problem::unavailable(
            "the state of this workload is not known yet; try again in a moment",
            Duration::from_secs(1),
            "no rollout state",
        )
    })?;
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, rollout_json(&status)).into_response())
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
