//! Deployments and their ReplicaSets: rolling update and recreate, revisions, conditions.
//!
//! Follows the Deployment controller of Kubernetes 1.37 (`pkg/controller/deployment`): which set is
//! new, how far each is scaled in one step, and when a rollout counts as progressing or done.

mod render;
mod rolling;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::sets::Condition;
use super::{Counts, template};
use crate::sim::events::About;
use crate::sim::kubelet::PodRequest;
use crate::sim::pod::{Owner, PodId};
use crate::sim::resource::Resource;
use crate::sim::spec::{Deployment, Strategy, Template};
use crate::sim::store::{Labels, Name};
use crate::sim::world::{Action, World};
use crate::time::SECOND;

/// Old ReplicaSets that are kept (`revisionHistoryLimit`).
const HISTORY: usize = 10;

/// The time to the next try when a pod was refused.
const CREATE_RETRY: std::time::Duration = std::time::Duration::from_secs(2);

/// All Deployments.
pub(in crate::sim) type Deployments = BTreeMap<Name, State>;

/// One Deployment.
#[derive(Debug)]
pub(in crate::sim) struct State {
    spec: Deployment,
    uid: Arc<str>,
    created: i64,
    generation: i64,
    observed: i64,
    /// Oldest first.
    sets: Vec<Set>,
    revision: u64,
    status: Status,
    progressing: Option<Condition>,
    available: Option<Condition>,
    /// A look at the deadline is planned for this time.
    deadline: Option<i64>,
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
    /// Revisions that it had before a rollback used it again.
    former: Vec<u64>,
    /// Its workload's as they were last while it was the newest.
    annotations: BTreeMap<String, String>,
    /// `spec.replicas`.
    replicas: u32,
    generation: i64,
    counts: Counts,
    /// Its last pod was refused: the words, and since when.
    failure: Option<Condition>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Status {
    replicas: u32,
    updated: u32,
    ready: u32,
    available: u32,
    terminating: u32,
}

// === impl World ===

impl World {
    pub(super) fn apply_deployment(&mut self, mut spec: Deployment) {
        template::run_known(&self.programs, &mut spec.template);
        self.ensure_namespace(&spec.namespace);
        let name: Name = (spec.namespace.as_str().into(), spec.name.as_str().into());
        if self.deployments.contains_key(&name) {
            self.edit_deployment(&name, |old| *old = spec);
            return;
        }
        let state = State {
            uid: self.uid(),
            created: self.now,
            generation: 1,
            observed: 0,
            sets: Vec::new(),
            revision: 0,
            status: Status::default(),
            progressing: None,
            available: None,
            deadline: None,
            spec,
        };
        self.store.put(Resource::Deployments, state.render());
        self.deployments.insert(name.clone(), state);
        self.reconcile_soon(Resource::Deployments, &name);
    }

    pub(in crate::sim) fn edit_deployment(
        &mut self,
        name: &Name,
        edit: impl FnOnce(&mut Deployment),
    ) -> bool {
        let Some(state) = self.deployments.get_mut(name) else { return false };
        let before = state.spec_of_interest();
        edit(&mut state.spec);
        // Annotations alone do not raise the generation.
        if state.spec_of_interest() != before {
            state.generation += 1;
        }
        self.store.put(Resource::Deployments, state.render());
        self.reconcile_soon(Resource::Deployments, name);
        true
    }

    pub(super) fn forget_deployment(&mut self, name: &Name) -> Vec<Arc<str>> {
        let Some(state) = self.deployments.remove(name) else { return Vec::new() };
        for set in &state.sets {
            self.store.remove(Resource::ReplicaSets, &name.0, &set.name);
        }
        state.sets.into_iter().map(|set| set.uid).collect()
    }

    pub(in crate::sim) fn reconcile_deployment(&mut self, name: &Name) {
        let Some(mut state) = self.deployments.remove(name) else { return };
        self.count_sets(&mut state);
        let new = self.find_new_set(name, &mut state);
        if !state.spec.paused || new.is_some() {
            let before: Vec<u32> = state.sets.iter().map(|set| set.replicas).collect();
            match state.spec.strategy {
                _ if state.spec.paused => state.scale_paused(new),
                Strategy::RollingUpdate { .. } => state.roll(new),
                Strategy::Recreate => state.recreate(new),
            }
            for (at, before) in before.into_iter().enumerate() {
                self.say_scaled(name, &state, at, before);
            }
        }
        for at in 0..state.sets.len() {
            self.fill_set(name, &mut state, at);
        }
        self.count_sets(&mut state);
        state.sync_status(new, self.now);
        self.clean_up(name, &mut state);
        for set in &state.sets {
            self.store.put(Resource::ReplicaSets, set.render(&state));
            self.reconcile_when_available(Resource::Deployments, name, &set.counts);
        }
        self.store.put(Resource::Deployments, state.render());
        self.plan_deadline(name, &mut state);
        self.deployments.insert(name.clone(), state);
    }

    fn count_sets(&mut self, state: &mut State) {
        for set in &mut state.sets {
            set.counts = self.counts(&set.uid, state.spec.min_ready_seconds);
        }
    }

    /// The set whose template is the Deployment's; made if it is missing and no pause forbids it.
    fn find_new_set(&mut self, name: &Name, state: &mut State) -> Option<usize> {
        state.observed = state.generation;
        let hash = template::hash(&state.spec.name, &state.spec.template);
        let found = state.sets.iter().position(|set| set.hash == hash);
        if let Some(at) = found {
            // The same template may do something else now; Kubernetes would not notice either.
            state.sets[at].template = Arc::new(state.spec.template.clone());
            state.sets[at].annotations.clone_from(&state.spec.annotations);
            if state.sets[at].revision < state.revision {
                state.revision += 1;
                let former = std::mem::replace(&mut state.sets[at].revision, state.revision);
                // Kubernetes cuts the annotation at 2,000 bytes (`deployment_util.go`).
                state.sets[at].former.push(former);
                state.sets[at].former.truncate(200);
                let message = format!("Found new replica set \"{}\"", state.sets[at].name);
                state.progress(true, "FoundNewReplicaSet", message, self.now);
            }
            return found;
        }
        if state.spec.paused {
            return None;
        }
        state.revision += 1;
        let set_name: Arc<str> = format!("{}-{hash}", name.1).into();
        let revision = [("pod-template-hash", hash.as_str())];
        state.sets.push(Set {
            name: set_name.clone(),
            uid: self.uid(),
            labels: template::labels(&state.spec.name, &state.spec.template, &revision),
            template: Arc::new(state.spec.template.clone()),
            created: self.now,
            revision: state.revision,
            former: Vec::new(),
            annotations: state.spec.annotations.clone(),
            replicas: 0,
            generation: 1,
            counts: Counts::default(),
            failure: None,
            hash,
        });
        let message = format!("Created new replica set \"{set_name}\"");
        state.progress(true, "NewReplicaSetCreated", message, self.now);
        Some(state.sets.len() - 1)
    }

    /// Creates or deletes pods so that a set has as many as it is asked for.
    fn fill_set(&mut self, name: &Name, state: &mut State, at: usize) {
        let set = &mut state.sets[at];
        let (wanted, active) = (set.replicas, set.counts.active);
        let owner =
            Owner { kind: Resource::ReplicaSets, name: set.name.clone(), uid: set.uid.clone() };
        for _ in active..wanted {
            let pod = format!("{}-{}", set.name, self.suffix(5));
            if let Some(why) = self.over_quota(&name.0, &pod) {
                let message = format!("Error creating: {why}");
                Condition::set(&mut set.failure, true, "FailedCreate", why, self.now);
                self.set_event(name, set, true, "FailedCreate", message);
                // The controller comes back with growing pauses; here with an even one.
                let action = Action::Reconcile(Resource::Deployments, name.clone());
                self.plan(CREATE_RETRY, action);
                return;
            }
            let request = PodRequest {
                namespace: name.0.clone(),
                name: pod.as_str().into(),
                owner: Some(owner.clone()),
                labels: set.labels.clone(),
                template: set.template.clone(),
                restarts: true,
                node: None,
            };
            self.create_pod(request);
            self.set_event(name, set, false, "SuccessfulCreate", format!("Created pod: {pod}"));
        }
        set.failure = None;
        if active > wanted {
            let mut pods: Vec<PodId> = self.pods_of(&owner.uid);
            pods.retain(|id| {
                let pod = &self.pods[id];
                pod.deletion.is_none() && pod.published.active()
            });
            // First those that serve nobody, then the youngest.
            pods.sort_by_key(|id| {
                let published = &self.pods[id].published;
                (published.ready_since.is_some(), published.phase.as_str() == "Running", !id.0)
            });
            for id in pods.into_iter().take((active - wanted) as usize) {
                let pod = self.pods[&id].name.clone();
                self.delete_pod(id, None);
                self.set_event(name, set, false, "SuccessfulDelete", format!("Deleted pod: {pod}"));
            }
        }
    }

    /// Removes old empty sets beyond the history, once the rollout is done.
    fn clean_up(&mut self, name: &Name, state: &mut State) {
        let done =
            state.progressing.as_ref().is_some_and(|it| it.reason == "NewReplicaSetAvailable");
        while done && state.sets.len() > HISTORY + 1 {
            let old = state.sets.iter().enumerate().filter(|(_, set)| {
                set.replicas == 0
                    && set.counts == Counts::default()
                    && set.revision != state.revision
            });
            let Some((at, _)) = old.min_by_key(|(_, set)| set.revision) else { break };
            let set = state.sets.remove(at);
            self.store.remove(Resource::ReplicaSets, &name.0, &set.name);
        }
    }

    fn plan_deadline(&mut self, name: &Name, state: &mut State) {
        let Some(progress) = &state.progressing else { return };
        let at = progress.updated + i64::from(state.spec.progress_deadline_seconds) * SECOND;
        let waits =
            !matches!(progress.reason, "NewReplicaSetAvailable" | "ProgressDeadlineExceeded");
        if waits && at > self.now && state.deadline != Some(at) {
            state.deadline = Some(at);
            self.plan_at(at, Action::Reconcile(Resource::Deployments, name.clone()));
        }
    }

    fn say_scaled(&mut self, name: &Name, state: &State, at: usize, before: u32) {
        let set = &state.sets[at];
        if set.replicas == before {
            return;
        }
        let way = if set.replicas > before { "up" } else { "down" };
        let (set_name, now) = (&set.name, set.replicas);
        let message = format!("Scaled {way} replica set {set_name} from {before} to {now}");
        let about = About {
            resource: Resource::Deployments,
            namespace: name.0.clone(),
            name: name.1.clone(),
            uid: state.uid.clone(),
        };
        self.event(&about, "deployment-controller", false, "ScalingReplicaSet", message);
    }

    fn set_event(
        &mut self,
        name: &Name,
        set: &Set,
        warning: bool,
        reason: &'static str,
        message: String,
    ) {
        let about = About {
            resource: Resource::ReplicaSets,
            namespace: name.0.clone(),
            name: set.name.clone(),
            uid: set.uid.clone(),
        };
        self.event(&about, "replicaset-controller", warning, reason, message);
    }
}
