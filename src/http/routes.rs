//! The routes under `/api/v1`.

use std::time::Duration;

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use http::header;

use super::auth::Caller;
use super::problem::Problem;
use super::rollouts::rollouts;
use super::target::{authorize, find};
use super::{Service, logs, openapi, query_pairs, streams, verdict, workloads};
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
        .route("/api/v1/namespaces/{namespace}/{kind}/{name}/rollouts", get(rollouts))
        .route("/api/v1/namespaces/{namespace}/{kind}/{name}/verdict", get(verdict::verdict))
        .merge(openapi::routes())
        .with_state(service)
}

/// The state of the newest rollout, and how it ended.
async fn rollout(
    State(service): State<Service>,
    Path((namespace, kind, name)): Path<(String, String, String)>,
    RawQuery(query): RawQuery,
    caller: Caller,
) -> Result<Response, Problem> {
    nothing_asked(query.as_deref())?;
    authorize(&service, &caller, &namespace, &kind, &name).await?;
    let target = find(&service, &namespace, &kind, &name)?;
    let (status, result) = {
        let model = service.model.lock();
        let course = model.course(&target.workload);
        (model.current(&target.workload), course.and_then(|course| course.said().cloned()))
    };
    let status = status.ok_or_else(|| {
        Problem::unavailable(
            "the state of this workload is not known yet; try again in a moment",
            Duration::from_secs(1),
            "no rollout state",
        )
    })?;
    Ok(json(rollout_json(&target.workload, &status, result.as_deref())))
}

pub(super) fn nothing_asked(query: Option<&str>) -> Result<(), Problem> {
    match query_pairs(query).first() {
        Some((name, _)) => {
            Err(Problem::bad_request(name, "unknown parameter; a rollout takes none"))
        }
        None => Ok(()),
    }
}

pub(super) fn json(body: Vec<u8>) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (headers, body).into_response()
}
