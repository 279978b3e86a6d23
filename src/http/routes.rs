//! The routes under `/api/v1`.

use std::time::Duration;

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use http::header;

use super::auth::Caller;
use super::problem::Problem;
use super::target::{authorize, find};
use super::{Service, logs, query_pairs, streams, workloads};
use crate::wire::rollout_json;

/// The API.
pub fn routes(service: Service) -> Router {
    Router::new()
        .route("/api/v1/workloads", get(workloads::list))
        .route("/api/v1/stream", post(streams::of_list))
        .route("/api/v1/namespaces/{namespace}/stream", get(streams::of_namespace))
        .route("/api/v1/namespaces/{namespace}/{kind}/{name}/stream", get(streams::of_workload))
        .route("/api/v1/namespaces/{namespace}/{kind}/{name}/logs", get(logs::page))
        .route("/api/v1/namespaces/{namespace}/{kind}/{name}/rollout", get(rollout))
        .with_state(service)
}

async fn rollout(
    State(service): State<Service>,
    Path((namespace, kind, name)): Path<(String, String, String)>,
    RawQuery(query): RawQuery,
    caller: Caller,
) -> Result<Response, Problem> {
    if let Some((name, _)) = query_pairs(query.as_deref()).first() {
        return Err(Problem::bad_request(name, "unknown parameter; a rollout takes none"));
    }
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
