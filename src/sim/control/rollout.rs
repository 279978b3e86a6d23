//! Argo Rollouts and their ReplicaSets: canary steps, blue-green, pause, promotion, abort.
//!
//! Follows the controller of Argo Rollouts 1.10 (`rollout/sync.go`, `canary.go`, `bluegreen.go`) as far
//! as that can be seen in its status. There is no traffic: weights are numbers of pods.

mod plan;
mod render;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::sets::Condition;
use super::{Counts, template};
use crate::sim::kubelet::PodRequest;
use crate::sim::pod::{Owner, PodId};
use crate::sim::resource::Resource;
use crate::sim::spec::{Rollout, Template};
use crate::sim::store::{Labels, Name};
use crate::sim::world::{Action, World};
use crate::time::SECOND;

/// All Rollouts.
pub(in crate::sim) type Rollouts = BTreeMap<Name, State>;

/// One Rollout.
#[derive(Debug)]
pub(in crate::sim) struct State {
    spec: Rollout,
    uid: Arc<str>,
    created: i64,
    generation: i64,
    observed: i64,
    /// Oldest first.
    sets: Vec<Set>,
    revision: u64,
    /// Hash of the template that is wanted.
    current: String,
    /// Hash of the one that was promoted last.
    stable: String,
    /// Hash of the one with the traffic; blue-green only.
    active: String,
    step: usize,
    aborted: Option<i64>,
    /// It waits since then.
    pause: Option<i64>,
    /// It paused, and may have been told to go on since.
    paused: bool,
    progressing: Option<Condition>,
    status: Status,
}

/// One ReplicaSet.
#[derive(Debug)]
struct Set {
    name: Arc<str>,
    uid: Arc<str>,
    hash: String,
    labels: Labels,
    template: Arc<Template>,
    created: i64,
    revision: u64,
    /// Revisions that it had before it was used again.
    former: Vec<u64>,
    /// Its workload's as they were last while it was the newest.
    annotations: BTreeMap<String, String>,
    /// `spec.replicas`.
    replicas: u32,
    counts: Counts,
    /// It is scaled down at this time.
    leaves: Option<i64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Status {
    replicas: u32,
    updated: u32,
    ready: u32,
    available: u32,
    step: usize,
}

// === impl World ===

impl World {
    pub(super) fn apply_rollout(&mut self, mut spec: Rollout) {
        template::run_known(&self.programs, &mut spec.template);
        self.ensure_namespace(&spec.namespace);
        let name: Name = (spec.namespace.as_str().into(), spec.name.as_str().into());
        if self.rollouts.contains_key(&name) {
            self.edit_rollout(&name, |old| *old = spec);
            return;
        }
        let state = State {
            uid: self.uid(),
            created: self.now,
            generation: 1,
            observed: 0,
            sets: Vec::new(),
            revision: 0,
            current: String::new(),
            stable: String::new(),
            active: String::new(),
            step: 0,
            aborted: None,
            pause: None,
            paused: false,
            progressing: None,
            status: Status::default(),
            spec,
        };
        self.store.put(Resource::Rollouts, state.render());
        self.rollouts.insert(name.clone(), state);
        self.reconcile_soon(Resource::Rollouts, &name);
    }

    pub(in crate::sim) fn edit_rollout(
        &mut self,
        name: &Name,
        edit: impl FnOnce(&mut Rollout),
    ) -> bool {
        let Some(state) = self.rollouts.get_mut(name) else { return false };
        let interest = |spec: &Rollout| {
            let hash = template::hash(&spec.name, &spec.template);
            (spec.replicas, spec.plan.clone(), spec.paused, spec.progress_deadline_seconds, hash)
        };
        let before = interest(&state.spec);
        edit(&mut state.spec);
        // Annotations alone do not raise the generation.
        if interest(&state.spec) != before {
            state.generation += 1;
        }
        self.store.put(Resource::Rollouts, state.render());
        self.reconcile_soon(Resource::Rollouts, name);
        true
    }

    /// As `kubectl argo rollouts promote` and `… abort` do: by the status, so the generation stays.
    pub(in crate::sim) fn steer_rollout(&mut self, name: &Name, abort: bool) -> bool {
        let now = self.now;
        let Some(state) = self.rollouts.get_mut(name) else { return false };
        if abort {
            state.aborted = state.aborted.or(Some(now));
        }
        state.pause = None;
        self.store.put(Resource::Rollouts, state.render());
        self.reconcile_soon(Resource::Rollouts, name);
        true
    }

    pub(in crate::sim) fn forget_rollout(&mut self, name: &Name) -> Vec<Arc<str>> {
        let Some(state) = self.rollouts.remove(name) else { return Vec::new() };
        for set in &state.sets {
            self.store.remove(Resource::ReplicaSets, &name.0, &set.name);
        }
        state.sets.into_iter().map(|set| set.uid).collect()
    }

    pub(in crate::sim) fn reconcile_rollout(&mut self, name: &Name) {
        let Some(mut state) = self.rollouts.remove(name) else { return };
        state.count(self);
        let new = self.find_set(name, &mut state);
        let before = (state.step, state.stable.clone());
        if !state.spec.paused {
            state.advance(new, self.now);
        }
        for at in 0..state.sets.len() {
            self.fill_rollout_set(name, &state, at);
        }
        state.count(self);
        state.sync_status(new, self.now);
        for set in &state.sets {
            self.store.put(Resource::ReplicaSets, set.render(&state));
        }
        self.store.put(Resource::Rollouts, state.render());
        if let Some(at) = state.next_look(self.now) {
            self.plan_at(at, Action::Reconcile(Resource::Rollouts, name.clone()));
        }
        // The next step is taken by the next look, as Argo's controller does.
        if before != (state.step, state.stable.clone()) {
            self.reconcile_soon(Resource::Rollouts, name);
        }
        self.rollouts.insert(name.clone(), state);
    }

    /// The set of the wanted template; made if it is missing.
    fn find_set(&mut self, name: &Name, state: &mut State) -> usize {
        state.observed = state.generation;
        let hash = template::hash(&state.spec.name, &state.spec.template);
        if state.current != hash {
            state.begin(&hash);
        }
        if let Some(at) = state.sets.iter().position(|set| set.hash == hash) {
            state.sets[at].template = Arc::new(state.spec.template.clone());
            state.sets[at].annotations.clone_from(&state.spec.annotations);
            if state.sets[at].revision < state.revision {
                state.revision += 1;
                let former = std::mem::replace(&mut state.sets[at].revision, state.revision);
                state.sets[at].former.push(former);
                state.sets[at].former.truncate(200);
            }
            return at;
        }
        state.revision += 1;
        let revision = [("rollouts-pod-template-hash", hash.as_str())];
        state.sets.push(Set {
            name: format!("{}-{hash}", name.1).into(),
            uid: self.uid(),
            labels: template::labels(&state.spec.name, &state.spec.template, &revision),
            template: Arc::new(state.spec.template.clone()),
            created: self.now,
            revision: state.revision,
            former: Vec::new(),
            annotations: state.spec.annotations.clone(),
            replicas: 0,
            counts: Counts::default(),
            leaves: None,
            hash,
        });
        state.sets.len() - 1
    }

    /// Creates or deletes pods so that a set has as many as it is asked for.
    fn fill_rollout_set(&mut self, name: &Name, state: &State, at: usize) {
        let set = &state.sets[at];
        let (wanted, active) = (set.replicas, set.counts.active);
        let owner =
            Owner { kind: Resource::ReplicaSets, name: set.name.clone(), uid: set.uid.clone() };
        for _ in active..wanted {
            let request = PodRequest {
                namespace: name.0.clone(),
                name: format!("{}-{}", set.name, self.suffix(5)).into(),
                owner: Some(owner.clone()),
                labels: set.labels.clone(),
                template: set.template.clone(),
                restarts: true,
                node: None,
            };
            self.create_pod(request);
        }
        let mut pods: Vec<PodId> = self.pods_of(&owner.uid);
        pods.retain(|id| self.pods[id].deletion.is_none() && self.pods[id].published.active());
        for id in pods.into_iter().rev().take(active.saturating_sub(wanted) as usize) {
            self.delete_pod(id, None);
        }
    }
}

// === impl State ===

impl State {
    fn count(&mut self, world: &World) {
        for set in &mut self.sets {
            set.counts = world.counts(&set.uid, 0);
        }
    }

    /// Another template is wanted: the plan begins anew, or is skipped on the way back.
    fn begin(&mut self, hash: &str) {
        hash.clone_into(&mut self.current);
        self.step = if *hash == self.stable { self.steps() } else { 0 };
        (self.aborted, self.pause, self.paused) = (None, None, false);
        self.progressing = None;
    }

    /// When something changes by itself.
    fn next_look(&self, now: i64) -> Option<i64> {
        let deadline = self.progressing.as_ref().map(|condition| {
            condition.updated + i64::from(self.spec.progress_deadline_seconds) * SECOND
        });
        let leaves = self.sets.iter().filter_map(|set| set.leaves);
        leaves.chain(self.pause_ends()).chain(deadline).filter(|at| *at > now).min()
    }
}
