//! One step of an Argo Rollout: how many pods each ReplicaSet shall have next, and what is said of it.

use super::{State, Status};
use crate::sim::control::sets::Condition;
use crate::sim::spec::{CanaryStep, Plan};
use crate::time::SECOND;

/// How long old pods of a blue-green rollout stay after the traffic left them (Argo's default).
const SCALE_DOWN_DELAY: i64 = 30 * SECOND;

// === impl State ===

impl State {
    pub(super) fn steps(&self) -> usize {
        match &self.spec.plan {
            Plan::Canary(steps) => steps.len(),
            Plan::BlueGreen { .. } => 0,
        }
    }

    /// When a pause with an end has it.
    pub(super) fn pause_ends(&self) -> Option<i64> {
        let Plan::Canary(steps) = &self.spec.plan else { return None };
        match steps.get(self.step)? {
            CanaryStep::Pause(Some(time)) => {
                Some(self.pause? + i64::try_from(time.as_nanos()).unwrap_or(i64::MAX))
            }
            _ => None,
        }
    }

    /// Scales, and takes the next step of the plan if this one is done.
    pub(super) fn advance(&mut self, new: usize, now: i64) {
        if self.stable.is_empty() {
            // The first rollout has nobody to be careful with.
            self.stable.clone_from(&self.current);
            self.active.clone_from(&self.current);
            self.step = self.steps();
        }
        match self.spec.plan.clone() {
            Plan::Canary(steps) => self.canary(new, &steps, now),
            Plan::BlueGreen { auto } => self.blue_green(new, auto, now),
        }
    }

    fn canary(&mut self, new: usize, steps: &[CanaryStep], now: i64) {
        let replicas = self.spec.replicas;
        let going_back = self.current == self.stable;
        let so_far = steps.iter().take(self.step + 1).rev();
        let mut weights = so_far.filter_map(|step| match step {
            CanaryStep::Weight(weight) => Some(*weight),
            CanaryStep::Pause(_) => None,
        });
        let weight = if self.aborted.is_some() && !going_back {
            0
        } else if going_back || self.step >= steps.len() {
            100
        } else {
            weights.next().unwrap_or(0)
        };
        let wanted = (replicas * weight).div_ceil(100);
        self.sets[new].replicas = wanted;
        let good = self.sets[new].counts.available.min(wanted);
        let mut others = replicas - good;
        for at in (0..self.sets.len()).rev().filter(|at| *at != new) {
            let set = &mut self.sets[at];
            // The stable set takes what the canary leaves; what is older is on its way out.
            let share = if set.hash == self.stable { others } else { 0 };
            set.replicas = share;
            others -= share;
        }
        if self.aborted.is_some() && !going_back {
            self.step = 0;
            return;
        }
        if self.step < steps.len() {
            let done = match steps[self.step] {
                CanaryStep::Weight(_) => good == wanted,
                CanaryStep::Pause(_) => self.waited(now),
            };
            self.step += usize::from(done);
        } else if good >= replicas {
            self.stable.clone_from(&self.current);
        }
    }

    fn blue_green(&mut self, new: usize, auto: bool, now: i64) {
        let replicas = self.spec.replicas;
        let aborted = self.aborted.is_some() && self.current != self.stable;
        self.sets[new].replicas = if aborted { 0 } else { replicas };
        self.sets[new].leaves = None;
        if self.active != self.current && !aborted {
            let there = self.sets[new].counts.available >= replicas;
            if there && (auto || self.current == self.stable || self.waited(now)) {
                for set in self.sets.iter_mut().filter(|set| set.hash == self.active) {
                    set.leaves = Some(now + SCALE_DOWN_DELAY);
                }
                self.active.clone_from(&self.current);
                self.stable.clone_from(&self.current);
            }
        }
        for set in &mut self.sets {
            let serves = set.hash == self.active || set.hash == self.current;
            if !serves && set.leaves.is_none_or(|at| at <= now) {
                (set.replicas, set.leaves) = (0, None);
            }
        }
    }

    /// Pauses, and tells whether that is over.
    fn waited(&mut self, now: i64) -> bool {
        if !self.paused {
            (self.pause, self.paused) = (Some(now), true);
            return false;
        }
        let over = self.pause.is_none() || self.pause_ends().is_some_and(|at| at <= now);
        if over {
            (self.pause, self.paused) = (None, false);
        }
        over
    }

    /// Counts, then says whether the rollout progresses, is done, or has taken too long.
    pub(super) fn sync_status(&mut self, new: usize, now: i64) {
        let old = self.status;
        let sum = |count: fn(&super::Counts) -> u32| -> u32 {
            self.sets.iter().map(|set| count(&set.counts)).sum()
        };
        let active = self.sets.iter().find(|set| set.hash == self.active);
        let serving = active.filter(|_| matches!(self.spec.plan, Plan::BlueGreen { .. }));
        self.status = Status {
            replicas: sum(|it| it.active),
            updated: self.sets[new].counts.active,
            ready: serving.map_or_else(|| sum(|it| it.ready), |set| set.counts.ready),
            available: serving.map_or_else(|| sum(|it| it.available), |set| set.counts.available),
            step: self.step,
        };
        let status = self.status;
        let set = self.sets[new].name.clone();
        if self.aborted.is_some() && self.current != self.stable {
            let message = format!("Rollout aborted update to revision {}", self.revision);
            return self.progress(false, "RolloutAborted", message, now);
        }
        if self.phase().0 == "Healthy" {
            let message = format!("ReplicaSet \"{set}\" has successfully progressed.");
            return self.progress(true, "NewReplicaSetAvailable", message, now);
        }
        let known = self.progressing.as_ref();
        let at = known.map(|it| it.updated + self.deadline());
        let waits = self.pause.is_some() || self.spec.paused;
        let left = |status: &Status| status.replicas.saturating_sub(status.updated);
        let moves = known.is_none_or(|it| it.reason == "NewReplicaSetAvailable")
            || status.updated > old.updated
            || status.ready > old.ready
            || status.available > old.available
            || status.step > old.step
            || left(&status) < left(&old);
        if moves || waits {
            let message = format!("ReplicaSet \"{set}\" is progressing.");
            self.progress(true, "ReplicaSetUpdated", message, now);
        } else if at.is_some_and(|at| at <= now) {
            let message = format!("ReplicaSet \"{set}\" has timed out progressing.");
            self.progress(false, "ProgressDeadlineExceeded", message, now);
        }
    }

    fn deadline(&self) -> i64 {
        i64::from(self.spec.progress_deadline_seconds) * SECOND
    }

    /// Phase and message, as Argo computes them (`CalculateRolloutPhase`).
    pub(super) fn phase(&self) -> (&'static str, String) {
        let status = &self.status;
        let condition = self.progressing.as_ref().filter(|condition| !condition.holds);
        if let Some(condition) = condition {
            return ("Degraded", format!("{}: {}", condition.reason, condition.message));
        }
        let blue_green = matches!(self.spec.plan, Plan::BlueGreen { .. });
        let (phase, message) = if self.spec.paused {
            ("Paused", "manually paused")
        } else if self.pause.is_some() {
            ("Paused", self.pause_reason())
        } else if status.updated < self.spec.replicas {
            ("Progressing", "more replicas need to be updated")
        } else if status.available < status.updated {
            ("Progressing", "updated replicas are still becoming available")
        } else if blue_green && self.active != self.current {
            ("Progressing", "active service cutover pending")
        } else if !blue_green && status.replicas > status.updated {
            ("Progressing", "old replicas are pending termination")
        } else if self.stable != self.current {
            ("Progressing", "waiting for all steps to complete")
        } else {
            ("Healthy", "")
        };
        (phase, message.to_owned())
    }

    pub(super) fn pause_reason(&self) -> &'static str {
        match self.spec.plan {
            Plan::Canary(_) => "CanaryPauseStep",
            Plan::BlueGreen { .. } => "BlueGreenPause",
        }
    }

    /// Writes the condition Progressing; under way, its time is renewed.
    fn progress(&mut self, holds: bool, reason: &'static str, message: String, now: i64) {
        let before = self.progressing.take();
        let same = before.as_ref().filter(|it| it.reason == reason && it.message == message);
        let renewed = reason == "ReplicaSetUpdated";
        self.progressing = Some(Condition {
            updated: same.filter(|_| !renewed).map_or(now, |it| it.updated),
            changed: before.as_ref().filter(|it| it.holds == holds).map_or(now, |it| it.changed),
            holds,
            reason,
            message,
        });
    }
}
