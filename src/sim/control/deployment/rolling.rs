//! One step of a rollout: how many pods each ReplicaSet shall have next, and what the conditions say.

use super::{State, Status};
use crate::sim::control::sets::Condition;
use crate::sim::spec::Strategy;
use crate::time::SECOND;

// === impl State ===

impl State {
    /// What raises the generation when it changes.
    pub(super) fn spec_of_interest(&self) -> String {
        let mut spec = self.spec.clone();
        spec.annotations.clear();
        let template = super::template::hash(&spec.name, &spec.template);
        let grace = (spec.min_ready_seconds, spec.progress_deadline_seconds);
        format!("{} {:?} {grace:?} {} {template}", spec.replicas, spec.strategy, spec.paused)
    }

    fn bounds(&self) -> (u32, u32) {
        let Strategy::RollingUpdate { surge, unavailable } = self.spec.strategy else {
            return (0, self.spec.replicas);
        };
        let (surge, unavailable) =
            (surge.of_up(self.spec.replicas), unavailable.of_down(self.spec.replicas));
        // Both zero would never move; Kubernetes then lets one be missing.
        if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable) }
    }

    /// A rolling update's next step.
    pub(super) fn roll(&mut self, new: Option<usize>) {
        let Some(new) = new else { return };
        let (surge, unavailable) = self.bounds();
        let wanted = self.spec.replicas;
        let total: u32 = self.sets.iter().map(|set| set.replicas).sum();
        let set = &mut self.sets[new];
        if set.replicas > wanted {
            set.scale(wanted);
            return;
        }
        if set.replicas < wanted {
            let room = (wanted + surge).saturating_sub(total);
            let more = room.min(wanted - set.replicas);
            if more > 0 {
                let replicas = set.replicas + more;
                set.scale(replicas);
                return;
            }
        }
        let minimum = wanted.saturating_sub(unavailable);
        let missing_new = self.sets[new].replicas.saturating_sub(self.sets[new].counts.available);
        let mut spare = total.saturating_sub(minimum + missing_new);
        // First old pods that serve nobody, then those that do, as far as the minimum allows.
        let order: Vec<usize> = (0..self.sets.len()).filter(|at| *at != new).collect();
        for at in &order {
            let set = &mut self.sets[*at];
            let broken = set.replicas.saturating_sub(set.counts.available).min(spare);
            spare -= broken;
            let replicas = set.replicas - broken;
            set.scale(replicas);
        }
        let available: u32 = self.sets.iter().map(|set| set.counts.available).sum();
        let mut spare = available.saturating_sub(minimum);
        for at in order {
            let set = &mut self.sets[at];
            let gone = set.replicas.min(spare);
            spare -= gone;
            let replicas = set.replicas - gone;
            set.scale(replicas);
        }
    }

    /// Recreate: no new pod before the last old one is gone.
    pub(super) fn recreate(&mut self, new: Option<usize>) {
        let Some(new) = new else { return };
        let mut left = 0;
        for (at, set) in self.sets.iter_mut().enumerate() {
            if at != new {
                set.scale(0);
                left += set.counts.active + set.counts.terminating;
            }
        }
        if left == 0 {
            self.sets[new].scale(self.spec.replicas);
        }
    }

    /// While paused only the number of the running set follows.
    pub(super) fn scale_paused(&mut self, new: Option<usize>) {
        let others: u32 = self.sets.iter().map(|set| set.replicas).sum();
        if let Some(new) = new
            && others == self.sets[new].replicas
        {
            self.sets[new].scale(self.spec.replicas);
        }
    }

    /// Counts, then says whether the rollout progresses, is done, or has taken too long.
    pub(super) fn sync_status(&mut self, new: Option<usize>, now: i64) {
        let old = self.status;
        let sum = |count: fn(&super::Counts) -> u32| -> u32 {
            self.sets.iter().map(|set| count(&set.counts)).sum()
        };
        self.status = Status {
            replicas: sum(|it| it.active),
            updated: new.map_or(0, |new| self.sets[new].counts.active),
            ready: sum(|it| it.ready),
            available: sum(|it| it.available),
            terminating: sum(|it| it.terminating),
        };
        let status = self.status;
        let minimum = self.spec.replicas.saturating_sub(self.bounds().1);
        let (holds, reason, message) = if status.available >= minimum {
            (true, "MinimumReplicasAvailable", "Deployment has minimum availability.")
        } else {
            (false, "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
        };
        Condition::set(&mut self.available, holds, reason, message.to_owned(), now);
        let Some(new) = new else { return };
        let set = self.sets[new].name.clone();
        let known = self.progressing.as_ref().map(|it| (it.reason, it.updated));
        let was_done = known.is_some_and(|(reason, _)| reason == "NewReplicaSetAvailable");
        if was_done && status.replicas == status.updated {
            return;
        }
        let wanted = self.spec.replicas;
        let done = [status.updated, status.replicas, status.available] == [wanted; 3];
        let left = |status: &Status| status.replicas.saturating_sub(status.updated);
        let moves = status.updated > old.updated
            || left(&status) < left(&old)
            || status.ready > old.ready
            || status.available > old.available;
        let deadline = i64::from(self.spec.progress_deadline_seconds) * SECOND;
        if done {
            let message = format!("ReplicaSet \"{set}\" has successfully progressed.");
            self.progress(true, "NewReplicaSetAvailable", message, now);
        } else if moves {
            let message = format!("ReplicaSet \"{set}\" is progressing.");
            self.progress(true, "ReplicaSetUpdated", message, now);
        } else if !self.spec.paused && known.is_some_and(|(_, at)| at + deadline <= now) {
            let message = format!("ReplicaSet \"{set}\" has timed out progressing.");
            self.progress(false, "ProgressDeadlineExceeded", message, now);
        }
    }

    /// Writes the condition Progressing; renews its time even if nothing else changes.
    pub(super) fn progress(&mut self, holds: bool, reason: &'static str, text: String, now: i64) {
        Condition::set(&mut self.progressing, holds, reason, text, now);
        if let Some(condition) = &mut self.progressing
            && holds
        {
            condition.updated = now;
        }
    }
}

// === impl Set ===

impl super::Set {
    fn scale(&mut self, replicas: u32) {
        if self.replicas != replicas {
            self.replicas = replicas;
            self.generation += 1;
        }
    }
}
