//! The last rollouts of a workload: those that this process saw, and before them those that its store tells of.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;

use super::auth::Caller;
use super::problem::Problem;
use super::routes::{json, nothing_asked};
use super::target::authorize;
use super::{Service, verdict};
use crate::ids::{Outcome, RolloutResult, RolloutStatus};
use crate::journal::MOST_ENDS;
use crate::wire::rollouts_json;

/// Newest first.
pub(super) async fn rollouts(
    State(service): State<Service>,
    Path((namespace, kind, name)): Path<(String, String, String)>,
    RawQuery(query): RawQuery,
    caller: Caller,
) -> Result<Response, Problem> {
    nothing_asked(query.as_deref())?;
    authorize(&service, &caller, &namespace, &kind, &name).await?;
    let workload = verdict::known(&service, &namespace, &kind, &name).await?;
    let courses = service.model.lock().rollouts(&workload);
    let seen = courses.iter().filter_map(|course| {
        Some((Arc::clone(course.status.as_ref()?), course.said().map(Arc::clone)))
    });
    let mut all: Vec<(Arc<RolloutStatus>, Option<Arc<RolloutResult>>)> = seen.collect();
    let inherited = service.journal.inherited();
    let before = match inherited {
        0 => Vec::new(),
        through => service.journal.shelf(&workload).ends(through),
    };
    for end in before.into_iter().rev() {
        match all.iter_mut().find(|(status, _)| end.is_of(status)) {
            // What was said of it then is more than what can be seen of it now, unless it came to
            // something else since.
            Some((_, result)) => {
                let outcome = result.as_ref().map(|result| result.outcome);
                if outcome.is_none_or(|is| is == Outcome::Unknown || is == end.result.outcome) {
                    *result = Some(end.result);
                }
            }
            None => all.push((end.status, Some(end.result))),
        }
    }
    all.truncate(MOST_ENDS);
    let told: Vec<_> = all.iter().map(|(status, result)| (&**status, result.as_deref())).collect();
    Ok(json(rollouts_json(&workload, &told)))
}
