//! One sentence about what keeps a rollout from going on.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::phase::judge;
use super::revision;
use super::trouble::{Trouble, first_line};
use crate::ids::{PodPhase, Side};
use crate::watch::{PodEntry, WorkloadEntry};

/// What the new pods suffer from: the trouble that most of them have. Empty if none has any.
pub(super) fn of_pods<'a>(
    workload: Option<&WorkloadEntry>,
    pods: impl Iterator<Item = &'a Arc<PodEntry>>,
) -> String {
    let mut all = 0;
    // Sorted, so that among equals the same one is named whatever the order of the pods.
    let mut groups: BTreeMap<(PodRank, String), Group> = BTreeMap::new();
    for pod in pods.filter(|pod| revision::side(workload, pod) == Side::New) {
        let judged = judge(pod);
        let rank = match judged.phase {
            PodPhase::Gone | PodPhase::Terminating => continue,
            PodPhase::Failing => PodRank::Failing,
            PodPhase::Unscheduled => PodRank::Unscheduled,
            _ => PodRank::Lost,
        };
        all += 1;
        let Some(trouble) = judged.trouble else { continue };
        let group = groups
            .entry((rank, trouble.text.clone()))
            .or_insert_with(|| Group { pods: 0, trouble: trouble.clone() });
        group.pods += 1;
        group.trouble.restarts = group.trouble.restarts.max(trouble.restarts);
        // The same failure goes by two words in turn (ErrImagePull, ImagePullBackOff).
        if trouble.reason > group.trouble.reason {
            group.trouble.reason = trouble.reason;
        }
    }
    let first_of_most =
        |best: Option<(PodRank, Group)>, (key, group): ((PodRank, String), Group)| match best {
            Some((rank, best)) if rank != key.0 || best.pods >= group.pods => Some((rank, best)),
            _ => Some((key.0, group)),
        };
    match groups.into_iter().fold(None, first_of_most) {
        Some((rank, group)) => sentence(rank, &group, all),
        None => String::new(),
    }
}

/// What a controller says about pods that it cannot create.
pub(super) fn cannot_create(message: Option<&Arc<str>>) -> String {
    let message = message.map_or("", |message| message);
    format!("new pods cannot be created: {}", first_line(message))
}

/// Which trouble is told of first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum PodRank {
    Failing,
    Unscheduled,
    Lost,
}

#[derive(Clone, Debug)]
struct Group {
    pods: u32,
    trouble: Trouble,
}

fn sentence(rank: PodRank, group: &Group, all: u32) -> String {
    let whom = match (group.pods, all) {
        (1, 1) => "the new pod".to_owned(),
        (pods, all) => format!("{pods} of {all} new pods"),
    };
    let what = match rank {
        PodRank::Failing => "cannot start",
        PodRank::Unscheduled => "cannot be scheduled",
        PodRank::Lost if group.pods == 1 => "is not ready",
        PodRank::Lost => "are not ready",
    };
    let trouble = &group.trouble;
    // A crash's sentence says it all; the other words are what people search for.
    let word = match trouble.restarts {
        Some(_) => String::new(),
        None => format!(" ({})", trouble.reason),
    };
    format!("{whom} {what}: {}{word}", trouble.sentence())
}
