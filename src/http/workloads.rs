//! `GET /api/v1/workloads`: the workloads that the caller may read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use http::header;
use serde::Serialize;

use super::auth::Caller;
use super::problem::Problem;
use super::target::missing;
use super::{Service, query_pairs};
use crate::ids::{Kind, RolloutPhase, WorkloadId, is_label};
use crate::time::rfc3339;
use crate::watch::WorkloadEntry;
use crate::wire::{WorkloadSummary, to_json};

/// Workloads in one answer when nothing else is asked for, and at most.
const PAGE: (usize, usize) = (500, 1000);

#[derive(Serialize)]
struct Page<'a> {
    workloads: Vec<WorkloadSummary<'a>>,
    next: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    namespace: Option<String>,
    limit: usize,
    after: Option<(String, String, String)>,
}

/// Answers with one page, ordered by namespace, kind and name.
pub(super) async fn list(
    State(service): State<Service>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let wanted = Wanted::parse(&query_pairs(query.as_deref()))?;
    let mut entries = BTreeMap::new();
    for entry in service.index.workloads() {
        let WorkloadId { namespace, kind, name } = &*entry.id;
        if wanted.namespace.as_deref().is_none_or(|wanted| wanted == &**namespace) {
            entries.insert((namespace.clone(), kind.as_str(), name.clone()), entry.clone());
        }
    }
    if entries.is_empty() && !service.index.synced() {
        // That nothing is there cannot be said before the cluster was read.
        return Err(missing(&service, String::new()));
    }
    let namespaces: BTreeSet<_> = entries.keys().map(|(namespace, _, _)| &**namespace).collect();
    let proof = service.gate.visible(&caller, namespaces).await;
    let proof =
        proof.map_err(|denied| denied.into_problem(|| Problem::not_found("nothing to list")))?;
    let mut shown = Vec::new();
    let mut next = None;
    for ((namespace, kind, name), entry) in &entries {
        let passed = wanted.after.as_ref().is_some_and(|(after_ns, after_kind, after_name)| {
            (&**namespace, *kind, &**name) <= (after_ns.as_str(), after_kind.as_str(), after_name)
        });
        if passed || !proof.covers(namespace) {
            continue;
        }
        if shown.len() == wanted.limit {
            next = shown.last().map(|entry: &Arc<WorkloadEntry>| entry.id.to_string());
            break;
        }
        shown.push(entry.clone());
    }
    let statuses: Vec<_> = {
        let model = service.model.lock();
        shown.iter().map(|entry| model.current(&entry.id)).collect()
    };
    let workloads = shown.iter().zip(&statuses).map(|(entry, status)| {
        let status = status.as_deref();
        WorkloadSummary {
            namespace: &entry.id.namespace,
            kind: entry.id.kind.as_str(),
            name: &entry.id.name,
            uid: &entry.uid,
            phase: WorkloadSummary::phase(status.map_or(RolloutPhase::Waiting, |s| s.phase)),
            desired: status.map_or(0, |status| status.desired),
            updated: status.map_or(0, |status| status.updated),
            ready: status.map_or(0, |status| status.ready),
            revision: status.and_then(|status| status.revision.as_deref()),
            images: entry.template.containers.iter().map(|container| &*container.image).collect(),
            changed: status.and_then(|status| status.finished.or(status.started)).map(rfc3339),
            message: status.map_or("", |status| &status.message),
        }
    });
    let page = Page { workloads: workloads.collect(), next };
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, to_json(&page)).into_response())
}

// === impl Wanted ===

impl Wanted {
    fn parse(pairs: &[(String, String)]) -> Result<Self, Problem> {
        let mut wanted = Wanted { namespace: None, limit: PAGE.0, after: None };
        for (name, value) in pairs {
            match name.as_str() {
                "namespace" if is_label(value) => wanted.namespace = Some(value.clone()),
                "namespace" => {
                    let allowed = "expected the name of a namespace: at most 63 lower-case \
                                   letters, digits and dashes";
                    return Err(Problem::bad_request("namespace", allowed));
                }
                "limit" => {
                    let limit = value.parse().ok().filter(|n| (1..=PAGE.1).contains(n));
                    wanted.limit = limit.ok_or_else(|| {
                        let allowed = format!("expected a number from 1 to {}", PAGE.1);
                        Problem::bad_request("limit", &allowed)
                    })?;
                }
                "next" => wanted.after = Some(cursor(value)?),
                _ => {
                    let known = "unknown parameter; this list takes limit, namespace, next";
                    return Err(Problem::bad_request(name, known));
                }
            }
        }
        Ok(wanted)
    }
}

/// A cursor is the last workload of the page before.
fn cursor(text: &str) -> Result<(String, String, String), Problem> {
    let mut parts = text.splitn(3, '/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(namespace), Some(kind), Some(name)) if kind.parse::<Kind>().is_ok() => {
            Ok((namespace.to_owned(), kind.to_owned(), name.to_owned()))
        }
        _ => Err(Problem::bad_request("next", "expected the next of the page before")),
    }
}
