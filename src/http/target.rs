//! What a request is about: from its path or its body to workloads, with the right to read them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::Service;
use super::auth::{Caller, Proof};
use super::problem::Problem;
use super::stream::{Query, Until};
use crate::ids::{Kind, WorkloadId};
use crate::subscribe::{Attempts, Newest, OnePod, Scope, Selection};

/// A workload, and the one pod of it that the path names, if it names a pod.
pub(super) struct Target {
    pub(super) workload: Arc<WorkloadId>,
    pub(super) pod: Option<Arc<str>>,
}

/// The workload, or the pod, that a path names.
///
/// # Errors
/// 400 for an unknown kind, 404 if there is none, 503 while the cluster is still being read.
pub(super) fn find(
    service: &Service,
    namespace: &str,
    kind: &str,
    name: &str,
) -> Result<Target, Problem> {
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
    Err(missing(service, absent(kind, name, namespace)))
}

/// Nothing of that name is known: absent, or not read yet.
pub(super) fn missing(service: &Service, absent: String) -> Problem {
    if service.index.synced() {
        return Problem::not_found(absent);
    }
    Problem::unavailable(
        "the cluster is still being read; try again in a moment",
        Duration::from_secs(1),
        "index not synced",
    )
}

/// Refuses a container that neither the template nor any pod has: a stream that stays silent for a
/// misspelt name would say that all is well.
pub(super) fn check_container(
    service: &Service,
    target: &Target,
    wanted: &str,
) -> Result<(), Problem> {
    let Target { workload, pod } = target;
    let mut names = BTreeSet::new();
    if let Some(entry) = service.index.workload(workload) {
        names.extend(entry.template.containers.iter().map(|container| container.name.clone()));
    }
    let wants = |uid: &str| pod.as_deref().is_none_or(|pod| pod == uid);
    for pod in service.index.pods_of(workload).iter().filter(|pod| wants(&pod.uid)) {
        names.extend(pod.containers.iter().map(|container| container.name.clone()));
    }
    if names.is_empty() || names.contains(wanted) || was_heard(service, workload, wanted) {
        return Ok(());
    }
    let names = names.iter().map(|name| &**name).collect::<Vec<_>>().join(", ");
    let detail = format!("no container \"{wanted}\" in {workload}; it has {names}");
    Err(Problem::not_found(detail))
}

/// The right to read the logs of a namespace. A refusal says what absence says.
pub(super) async fn authorize(
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

pub(super) fn absent(kind: Kind, name: &str, namespace: &str) -> String {
    format!("no {kind} \"{name}\" in namespace \"{namespace}\", or you may not read it")
}

/// Whether lines of such a container are kept, of pods that may be gone.
fn was_heard(service: &Service, workload: &Arc<WorkloadId>, container: &str) -> bool {
    let mut last = Vec::new();
    let of = |lines: &crate::ids::Lines| &*lines.source.key.container == container;
    service.journal.shelf(workload).last_lines(u64::MAX, 1, of, |_, _| true, &mut last);
    !last.is_empty()
}

/// What is selected of a scope.
pub(super) fn selection(
    service: &Service,
    scope: Scope,
    pod: Option<Arc<str>>,
    query: &Query,
) -> Selection {
    let attempts = match query.previous {
        None => Attempts::All,
        Some(true) => Attempts::Previous(newest(service, &scope)),
        Some(false) => Attempts::Current(newest(service, &scope)),
    };
    let by_name = || query.pod.as_deref().map(|name| OnePod::Name(name.into()));
    Selection {
        scope,
        pod: pod.map(OnePod::Uid).or_else(by_name),
        container: query.container.as_deref().map(Into::into),
        logs: query.logs,
        filter: query.filter.clone(),
        events: query.events,
        attempts,
        results: query.until == Until::Never,
    }
}

/// The newest attempt of every container that runs or ran, sorted.
fn newest(service: &Service, scope: &Scope) -> Arc<[Newest]> {
    let workloads = scope.resolve(&service.index).workloads;
    let mut newest = Vec::new();
    for pod in workloads.iter().flat_map(|workload| service.index.pods_of(workload)) {
        newest.extend(pod.containers.iter().map(|container| Newest {
            uid: pod.uid.clone(),
            container: container.name.clone(),
            attempt: container.restarts + 1,
        }));
    }
    newest.sort_unstable();
    newest.into()
}
