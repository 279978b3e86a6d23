//! When a rollout began. If it uses an old revision again, the API tells only of its pods.

use super::model::Look;
use super::revision::{newest_below, reused, side};
use crate::ids::Side;
use crate::time::SECOND;
use crate::watch::{PodEntry, RevisionEntry};

/// The API's clock and ours tell of the same change within so long: its times are whole seconds, and a watch
/// takes a moment.
const AGREES: i64 = 10 * SECOND;

/// When the rollout of a ControllerRevision began: with its creation, unless a rollback uses it
/// again.
pub(super) fn of_revision(look: &Look<'_>, newest: &RevisionEntry) -> Option<i64> {
    if !reused(look.workload, newest) {
        return Some(newest.created);
    }
    let others = newest_below(look.workload, newest.revision);
    let is_new = |pod: &_| side(Some(look.workload), pod) == Side::New;
    begun_again(look, Some(newest.revision), others, None, is_new)
}

/// When a rollout began that uses an old revision again: the creation of its oldest pod, as far as that pod is there to tell; what was known of the same
/// rollout before stays known.
///
/// `others` is when the newest of the other revisions was made: what is older belongs to the time
/// before the rollback, as is what is older than the rollout before it, which may have used an old revision
/// again, too. `finished` is the rollout's end: what is younger replaced one of its pods.
/// If nothing fits, the begin is unknown rather than wrong. Who saw it asked for knows better: its pods may
/// never have gone away.
pub(super) fn begun_again(
    look: &Look<'_>,
    revision: Option<i64>,
    others: Option<i64>,
    finished: Option<i64>,
    belongs: impl Fn(&PodEntry) -> bool,
) -> Option<i64> {
    let revision = revision?.to_string();
    let same = look.before.filter(|before| before.revision.as_deref() == Some(&*revision));
    let births = look.pods.iter().filter(|pod| belongs(pod)).map(|pod| pod.created);
    let guessed = births
        .chain(same.and_then(|before| before.started))
        .filter(|time| others.is_none_or(|others| *time >= others))
        .filter(|time| look.after.is_none_or(|after| time.saturating_add(SECOND) > after))
        .filter(|time| finished.is_none_or(|finished| *time <= finished))
        .min();
    // A rollback whose pods never went away ends as it begins, and the API cuts its times.
    let seen = match (look.witnessed, finished) {
        (Some(seen), Some(finished)) if seen > finished => {
            Some(finished).filter(|finished| finished.saturating_add(AGREES) >= seen)
        }
        (seen, _) => seen,
    };
    match seen {
        Some(seen) if guessed.is_none_or(|guessed| guessed.saturating_add(AGREES) < seen) => {
            Some(seen)
        }
        _ => guessed,
    }
}
