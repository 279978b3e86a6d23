//! Tables and model behind the watches of one namespace, driven by times of receipt as `director` drives
//! them by the clock.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::ids::{Entry, RolloutResult, RolloutStatus, WorkloadId};
use crate::rollout::{Course, Graces, Model};
use crate::time::{MILLISECOND, SECOND};
use crate::watch::{Change, Intake, Received};
use crate::wire::WorkloadSummary;

/// How often the tables look at what time brings; the same as in `watch`.
const TICK: i64 = SECOND;
/// States that are remembered; a flapping workload has no end of them.
const STATES: usize = 10_000;

/// What is known of one workload while its watches are played.
pub struct Play {
    workload: WorkloadId,
    intake: Intake,
    model: Model,
    began: i64,
    at: i64,
    next_tick: i64,
    states: Vec<Arc<RolloutStatus>>,
    results: Vec<Arc<RolloutResult>>,
}

/// What was told of a workload.
#[derive(Clone, Debug)]
pub struct Told {
    /// When the first of its watches brought something.
    pub began: i64,
    /// The states of its rollouts in order; the first [`STATES`] of them.
    pub states: Vec<Arc<RolloutStatus>>,
    /// The results that were told, in order.
    pub results: Vec<Arc<RolloutResult>>,
    /// Its rollouts as they are known in the end, oldest first.
    pub rollouts: Vec<Course>,
}

// === impl Play ===

impl Play {
    /// Nothing has been received yet.
    pub fn new(workload: WorkloadId, graces: Graces, began: i64) -> Play {
        Play {
            intake: Intake::new(&workload.namespace, began),
            workload,
            model: Model::with(graces).that_asks(),
            began,
            at: began,
            next_tick: began.saturating_add(TICK),
            states: Vec::new(),
            results: Vec::new(),
        }
    }

    /// Takes what a watch brought. What seems to come from before the last was received with it.
    pub fn take(&mut self, received: Received) {
        self.pass(received.at());
        let changes = self.intake.take(received);
        self.feed(&changes);
    }

    /// Lets time pass until then, with all that falls due on the way.
    pub fn pass(&mut self, until: i64) {
        while self.at < until {
            let due = self.model.due().unwrap_or(i64::MAX);
            self.at = due.max(self.at + 1).min(self.next_tick).min(until);
            if self.at >= self.next_tick {
                self.next_tick = self.at.saturating_add(TICK);
                let changes = self.intake.tick(self.at);
                self.feed(&changes);
            }
            let records = self.model.tick(self.at);
            self.hear(records);
        }
    }

    /// Whether a result was told and none is waited for.
    pub fn is_over(&self) -> bool {
        !self.results.is_empty() && !self.model.is_open(&self.workload)
    }

    /// What was told so far.
    pub fn told(&self) -> Told {
        let mut rollouts = self.model.rollouts(&self.workload);
        rollouts.reverse();
        let (states, results) = (self.states.clone(), self.results.clone());
        Told { began: self.began, states, results, rollouts }
    }

    fn feed(&mut self, changes: &[Change]) {
        for change in changes {
            let records = self.model.apply(change, self.at);
            self.hear(records);
        }
    }

    fn hear(&mut self, records: Vec<(Arc<WorkloadId>, Entry)>) {
        for (workload, entry) in records {
            match entry {
                Entry::Rollout(status)
                    if *workload == self.workload && self.states.len() < STATES =>
                {
                    self.states.push(status);
                }
                Entry::Result(result) => self.say(&workload, result),
                _ => {}
            }
        }
        // There are no lines to wait for, and nobody to ask: what the watches told is all there is.
        for decision in self.model.decisions() {
            let result = Arc::new(decision.draft.clone());
            if decision.recovers {
                if let Some(record) = self.model.recover(&decision, &result) {
                    self.hear(vec![(decision.workload, record)]);
                }
            } else if self.model.seal(&decision, &result) {
                self.say(&decision.workload, result);
            }
        }
    }

    fn say(&mut self, workload: &WorkloadId, result: Arc<RolloutResult>) {
        self.model.told(workload, &result, self.results.len() as u64);
        if *workload == self.workload {
            self.results.push(result);
        }
    }
}

// === impl Told ===

impl Told {
    /// What happened, in short: phases and codes in the order in which they were told first or anew, and
    /// how each rollout ended, so many seconds after the first line.
    pub fn summary(&self) -> Value {
        let mut phases: Vec<_> =
            self.states.iter().map(|state| WorkloadSummary::phase(state.phase)).collect();
        phases.dedup();
        let mut known = BTreeSet::new();
        let codes = self.states.iter().flat_map(|state| &state.reasons).map(|it| it.code.as_str());
        let codes: Vec<_> = codes.filter(|code| known.insert(*code)).collect();
        let ends: Vec<_> = self.rollouts.iter().map(|course| self.end(course)).collect();
        json!({"phases": phases, "codes": codes, "rollouts": ends})
    }

    fn end(&self, course: &Course) -> Value {
        let Some(result) = course.before.as_ref().or(course.result.as_ref()) else {
            return json!({"outcome": null});
        };
        let after = (result.time - self.began) / (100 * MILLISECOND);
        let pods = result.pods.iter().map(|pod| &*pod.pod);
        json!({
            "outcome": result.outcome.as_str(),
            "reason": result.reason.map(crate::ids::Reason::as_str),
            "message": result.message,
            "pods": pods.collect::<Vec<_>>(),
            "after_s": after as f64 / 10.0,
            "recovered": course.before.is_some(),
            "news": course.told.is_some(),
        })
    }
}
