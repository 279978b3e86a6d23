//! What makes no sense: a status whose numbers cannot be true together, or a pod in a phase that Kubernetes does
//! not have.
//!
//! What holds here: nobody can tell how such a rollout goes, so it is neither called good nor done; causes that
//! its pods show stay causes, and if it stays so for as long as its deadline, its result is `unknown`. Of Argo's
//! Rollouts see [`argo`](super::argo).

use super::model::Look;
use super::revision::side;
use crate::ids::{RolloutPhase, RolloutStatus, Side};
use crate::watch::{ApiPhase, Detail, PodEntry};

/// Says what makes no sense.
pub(super) fn sentence(what: &str) -> String {
    format!("what the object says makes no sense: {what}")
}

/// The state as it is told: `unknown` if what it is made of makes no sense.
pub(super) fn told(look: &Look<'_>, status: RolloutStatus) -> RolloutStatus {
    // How a Job ended says a condition of its controller; of how it goes, its pods tell.
    let ends = matches!(look.workload.detail, Detail::Job(_) | Detail::CronJob { .. });
    match status.phase {
        RolloutPhase::Progressing => {}
        RolloutPhase::Complete | RolloutPhase::ScaledToZero | RolloutPhase::WaitingForDelete
            if !ends => {}
        _ => return status,
    }
    let is_new = |pod: &&PodEntry| side(Some(look.workload), pod) == Side::New;
    let strange = || look.pods.iter().map(|pod| &***pod).filter(is_new).find_map(strange);
    let what = look.workload.wrong.as_deref().map(str::to_owned).or_else(strange);
    let Some(what) = what else { return status };
    let message = if status.reasons.is_empty() { sentence(&what) } else { status.message.clone() };
    RolloutStatus { phase: RolloutPhase::Unknown, finished: None, message, ..status }
}

/// What is strange about a pod that is to stay.
pub(super) fn strange(pod: &PodEntry) -> Option<String> {
    let stays = pod.deletion.is_none() && pod.gone.is_none();
    let strange = stays && pod.phase == ApiPhase::Unrecognized;
    strange.then(|| format!("status.phase of pod {} is none that Kubernetes has", pod.name))
}
