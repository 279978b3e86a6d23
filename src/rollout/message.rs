//! What keeps a rollout from going on, and one sentence about it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::model::Look;
use super::phase::judge;
use super::revision;
use super::signs::Signs;
use super::trouble::{Crash, Trouble, first_line};
use crate::ids::{Blocker, PodPhase, Reason, Side};
use crate::watch::{ApiPhase, Detail, PodEntry, WorkloadEntry};

/// What is said of a rollout.
#[derive(Clone, Debug, Default)]
pub(super) struct Words {
    pub(super) reasons: Vec<Blocker>,
    /// Empty if there is nothing to say.
    pub(super) message: String,
}

/// What the new pods suffer from, and a sentence about the trouble that most of them have. Empty if none
/// has any.
pub(super) fn of_pods(look: &Look<'_>) -> Words {
    let words = of_those(Some(look.workload), look.pods.iter().copied(), look.signs);
    if words.reasons.is_empty() { of_restarts(look) } else { words }
}

/// The same while the numbers say that all is there: pods come by another watch, and are ahead of them. Once it
/// has ended, what becomes of a pod is no matter of the rollout.
pub(super) fn of_done(look: &Look<'_>) -> Words {
    if look.settle.is_some() { of_pods(look) } else { Words::default() }
}

/// That containers of new pods were restarted a moment ago, for as long as their rollout is open and they have
/// not held since: they look as if nothing was wrong, and nothing ends well meanwhile.
fn of_restarts(look: &Look<'_>) -> Words {
    let Look { workload, signs, now, .. } = *look;
    let Some(settle) = look.settle else { return Words::default() };
    let (mut all, mut worst, mut names) = (0u32, None::<Trouble>, Vec::new());
    for pod in look.pods.iter().filter(|pod| revision::side(Some(workload), pod) == Side::New) {
        let signs = signs.get(&pod.uid);
        if pod.deletion.is_some() || pod.gone.is_some() {
            continue;
        }
        all += 1;
        let is_ready = || judge(pod, signs).phase == PodPhase::Ready;
        let lately = Some(pod).filter(|pod| pod.restarts() > 0 && is_ready());
        let Some(trouble) = lately.and_then(|pod| Trouble::lately(pod, signs, now, settle)) else {
            continue;
        };
        names.push(Arc::clone(&pod.name));
        if worst.as_ref().is_none_or(|worst| worst.restarts < trouble.restarts) {
            worst = Some(trouble);
        }
    }
    let Some(trouble) = worst else { return Words::default() };
    let whom = match (names.len(), all) {
        (1, 1) => "the new pod was".to_owned(),
        (1, all) => format!("1 of {all} new pods was"),
        (some, all) => format!("{some} of {all} new pods were"),
    };
    names.sort_unstable();
    names.truncate(Blocker::MOST_PODS);
    let message = format!("{whom} restarted: {}", trouble.sentence());
    let (code, since) = (trouble.code, trouble.since);
    let blocker = Blocker { code, message: trouble.sentence(), pods: names, since };
    Words { reasons: vec![blocker], message }
}

/// The same for kinds whose controllers tell only by events that they cannot create pods.
pub(super) fn of_pods_or_refusal(look: &Look<'_>) -> Words {
    let words = of_pods(look);
    match look.refusal.filter(|_| words.reasons.is_empty()) {
        Some(refusal) => cannot_create(&refusal.said, Some(refusal.since)),
        None => words,
    }
}

/// The same of these pods.
pub(super) fn of_those<'a>(
    workload: Option<&WorkloadEntry>,
    pods: impl Iterator<Item = &'a Arc<PodEntry>>,
    signs: &HashMap<Arc<str>, Signs>,
) -> Words {
    let runs =
        workload.is_some_and(|it| matches!(it.detail, Detail::Job(_) | Detail::CronJob { .. }));
    let mut all = 0;
    let mut crashes = Vec::new();
    // Sorted, so that among equals the same one is named whatever the order of the pods.
    let mut groups: BTreeMap<(PodRank, String), Group> = BTreeMap::new();
    for pod in pods.filter(|pod| revision::side(workload, pod) == Side::New) {
        let judged = judge(pod, signs.get(&pod.uid));
        let rank = match judged.phase {
            PodPhase::Gone | PodPhase::Terminating => continue,
            PodPhase::Failing | PodPhase::Starting | PodPhase::Init => PodRank::Failing,
            PodPhase::Unscheduled => PodRank::Unscheduled,
            _ => PodRank::Lost,
        };
        all += 1;
        crashes.extend(Trouble::crashes(pod, signs.get(&pod.uid)));
        let Some(mut trouble) = judged.trouble else { continue };
        if runs && pod.phase == ApiPhase::Failed {
            // Its controller makes another, counts them, and says when they are too many.
            trouble.since = None;
        }
        let group = groups.entry((rank, trouble.text.clone())).or_insert_with(|| Group {
            pods: 0,
            names: Vec::new(),
            trouble: trouble.clone(),
        });
        group.pods += 1;
        group.names.push(Arc::clone(&pod.name));
        // The first of them.
        group.trouble.since = match (group.trouble.since, trouble.since) {
            (Some(known), Some(since)) => Some(known.min(since)),
            (known, since) => known.or(since),
        };
        group.trouble.restarts = group.trouble.restarts.max(trouble.restarts);
        // The same failure goes by two words in turn (ErrImagePull, ImagePullBackOff).
        if trouble.reason > group.trouble.reason {
            group.trouble.reason = trouble.reason;
        }
    }
    for group in groups.values_mut() {
        group.count_restarts(&crashes);
    }
    let first_of_most =
        |best: Option<(PodRank, Group)>, (key, group): ((PodRank, String), Group)| match best {
            Some((rank, best)) if rank != key.0 || best.pods >= group.pods => Some((rank, best)),
            _ => Some((key.0, group)),
        };
    let mut reasons: Vec<(u32, Blocker)> =
        groups.values().map(|group| (group.pods, group.blocker())).collect();
    // Sorted before, and by no means that would change the order of equals.
    reasons.sort_by_key(|(pods, _)| std::cmp::Reverse(*pods));
    let message = match groups.into_iter().fold(None, first_of_most) {
        Some((rank, group)) => sentence(rank, &group, all),
        None => String::new(),
    };
    Words { reasons: reasons.into_iter().map(|(_, blocker)| blocker).collect(), message }
}

/// What a controller says about pods that it cannot create.
pub(super) fn cannot_create(said: &str, since: Option<i64>) -> Words {
    let message = format!("new pods cannot be created: {}", first_line(said));
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    // Accounts and classes may be made after the workload that uses them, and an API server that has just
    // started admits nobody, nor knows what the controllers may do.
    let comes = says(&[
        "error looking up service account",
        "no PriorityClass",
        "not yet ready to handle request",
        "cannot create resource",
    ]);
    // The controller has not counted yet what a quota that was made a moment ago has left.
    let quota =
        ["exceeded quota", "failed quota", "insufficient quota", "status unknown for quota"];
    let code = if says(&quota) {
        Reason::Quota
    } else if comes {
        Reason::CannotCreate
    } else if says(&["violates PodSecurity", "admission webhook", "is forbidden", "denied"]) {
        Reason::Refused
    } else {
        Reason::CannotCreate
    };
    Words::of(code, message, since)
}

/// That nothing came on within so many seconds.
pub(super) fn late(seconds: u64) -> String {
    format!("no progress within the deadline of {seconds} seconds")
}

/// Pods that are replaced only when somebody deletes them (`OnDelete`, `truths.md` 21).
pub(super) fn waits_for_delete(look: &Look<'_>) -> Words {
    let message = match old_pods(look) {
        1 => "1 old pod waits to be deleted: the update strategy is OnDelete".to_owned(),
        old => format!("{old} old pods wait to be deleted: the update strategy is OnDelete"),
    };
    Words { reasons: Vec::new(), message }
}

/// How many pods of other revisions nobody has deleted.
pub(super) fn old_pods(look: &Look<'_>) -> usize {
    let old = |pod: &&&Arc<PodEntry>| {
        pod.deletion.is_none() && revision::side(Some(look.workload), pod) == Side::Old
    };
    look.pods.iter().filter(old).count()
}

// === impl Words ===

impl Words {
    /// One thing that concerns no pod.
    pub(super) fn of(code: Reason, message: String, since: Option<i64>) -> Words {
        let reason = Blocker { code, message: message.clone(), pods: Vec::new(), since };
        Words { reasons: vec![reason], message }
    }
}

// === impl Group ===

impl Group {
    /// Counts the restarts of all pods that have this trouble: while one waits, another that has crashed
    /// more often may run again, and it is that one for which the rollout fails.
    fn count_restarts(&mut self, crashes: &[Crash]) {
        let trouble = &mut self.trouble;
        let same = |crash: &&Crash| {
            crash.code == trouble.code && trouble.container.as_ref() == Some(&crash.container)
        };
        let most = crashes.iter().filter(same).map(|crash| crash.restarts).max();
        trouble.restarts = trouble.restarts.max(most);
    }

    fn blocker(&self) -> Blocker {
        let mut pods = self.names.clone();
        pods.sort_unstable();
        pods.truncate(Blocker::MOST_PODS);
        let trouble = &self.trouble;
        Blocker { code: trouble.code, message: trouble.sentence(), pods, since: trouble.since }
    }
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
    names: Vec<Arc<str>>,
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
