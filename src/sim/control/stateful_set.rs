//! StatefulSets: one pod after the other, up in order, updated from the highest ordinal down.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::template;
use crate::sim::kubelet::PodRequest;
use crate::sim::pod::{Owner, PodId};
use crate::sim::resource::Resource;
use crate::sim::spec::{StatefulSet, Template};
use crate::sim::store::Name;
use crate::sim::world::World;
use crate::time::rfc3339_seconds;

/// All StatefulSets.
pub(in crate::sim) type StatefulSets = BTreeMap<Name, State>;

/// One StatefulSet.
#[derive(Debug)]
pub(in crate::sim) struct State {
    spec: StatefulSet,
    uid: Arc<str>,
    created: i64,
    generation: i64,
    observed: i64,
    /// Hash and template of the revision that everything ran last.
    current: (String, Arc<Template>),
    update: (String, Arc<Template>),
    revision: u64,
    /// Hashes of the ControllerRevisions, oldest first.
    kept: Vec<String>,
}

// === impl World ===

impl World {
    pub(super) fn apply_stateful_set(&mut self, spec: StatefulSet) {
        self.ensure_namespace(&spec.namespace);
        let name: Name = (spec.namespace.as_str().into(), spec.name.as_str().into());
        if self.stateful_sets.contains_key(&name) {
            self.edit_stateful_set(&name, |old| *old = spec);
            return;
        }
        let first = (template::hash(&spec.name, &spec.template), Arc::new(spec.template.clone()));
        let state = State {
            uid: self.uid(),
            created: self.now,
            generation: 1,
            observed: 0,
            current: first.clone(),
            update: first,
            revision: 0,
            kept: Vec::new(),
            spec,
        };
        self.stateful_sets.insert(name.clone(), state);
        self.reconcile_stateful_set(&name);
    }

    pub(super) fn edit_stateful_set(
        &mut self,
        name: &Name,
        edit: impl FnOnce(&mut StatefulSet),
    ) -> bool {
        let Some(state) = self.stateful_sets.get_mut(name) else { return false };
        edit(&mut state.spec);
        state.generation += 1;
        self.reconcile_soon(Resource::StatefulSets, name);
        true
    }

    pub(super) fn forget_stateful_set(&mut self, name: &Name) -> Vec<Arc<str>> {
        self.stateful_sets.remove(name).map(|state| state.uid).into_iter().collect()
    }

    pub(in crate::sim) fn reconcile_stateful_set(&mut self, name: &Name) {
        let Some(mut state) = self.stateful_sets.remove(name) else { return };
        state.observed = state.generation;
        let owner = state.owner();
        let hash = template::hash(&state.spec.name, &state.spec.template);
        if hash != state.update.0 || state.revision == 0 {
            state.revision += 1;
            state.update = (hash.clone(), Arc::new(state.spec.template.clone()));
            let labels = template::labels(&name.1, &state.spec.template, &[]);
            let revision = (hash.as_str(), state.revision);
            self.put_controller_revision(
                &owner,
                &name.0,
                &labels,
                revision,
                (&state.spec.template, &serde_json::Value::Null),
                &mut state.kept,
            );
        }
        self.step_stateful_set(name, &mut state);
        let pods = self.pods_of(&state.uid);
        let (mut ready, mut updated, mut current) = (0, 0, 0);
        for pod in pods.iter().filter_map(|id| self.pods.get(id)) {
            let revision = pod.labels.get("controller-revision-hash").map(String::as_str);
            let hash = |hash: &str| revision == Some(&format!("{}-{hash}", name.1));
            ready += u32::from(pod.published.ready_since.is_some());
            updated += u32::from(hash(&state.update.0) && pod.deletion.is_none());
            current += u32::from(hash(&state.current.0) && pod.deletion.is_none());
        }
        let rolls = state.spec.partition == 0 && !state.spec.on_delete;
        if updated == state.spec.replicas && ready == updated && rolls {
            state.current = state.update.clone();
            current = updated;
        }
        let labels = template::labels(&name.1, &state.spec.template, &[]);
        let strategy = match state.spec.on_delete {
            true => json!({"type": "OnDelete"}),
            false => json!({
                "type": "RollingUpdate",
                "rollingUpdate": {"partition": state.spec.partition},
            }),
        };
        let object = json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet",
            "metadata": {
                "name": &*name.1, "namespace": &*name.0, "uid": &*state.uid,
                "generation": state.generation, "labels": {"app": &*name.1},
                "creationTimestamp": rfc3339_seconds(state.created),
            },
            "spec": {
                "replicas": state.spec.replicas, "serviceName": &*name.1,
                "selector": {"matchLabels": {"app": &*name.1}},
                "template": template::render(&labels, &state.spec.template),
                "podManagementPolicy": "OrderedReady", "revisionHistoryLimit": 10,
                "updateStrategy": strategy,
            },
            "status": {
                "observedGeneration": state.observed, "replicas": pods.len(),
                "readyReplicas": ready, "availableReplicas": ready,
                "currentReplicas": current, "updatedReplicas": updated, "collisionCount": 0,
                "currentRevision": format!("{}-{}", name.1, state.current.0),
                "updateRevision": format!("{}-{}", name.1, state.update.0),
            },
        });
        self.store.put(Resource::StatefulSets, object);
        self.stateful_sets.insert(name.clone(), state);
    }

    /// Takes at most one step, and none while any pod is not ready: so a broken pod of an older
    /// revision blocks for ever, as it does in Kubernetes.
    fn step_stateful_set(&mut self, name: &Name, state: &mut State) {
        let mut pods: BTreeMap<u32, PodId> = BTreeMap::new();
        for id in self.pods_of(&state.uid) {
            let ordinal = self.pods[&id].name.rsplit_once('-').and_then(|(_, at)| at.parse().ok());
            pods.extend(ordinal.map(|ordinal| (ordinal, id)));
        }
        for ordinal in 0..state.spec.replicas {
            let Some(id) = pods.get(&ordinal) else {
                let old = ordinal < state.spec.partition;
                let (hash, template) = if old { &state.current } else { &state.update };
                let revision = format!("{}-{hash}", name.1);
                let pod: Arc<str> = format!("{}-{ordinal}", name.1).into();
                let labels = [
                    ("controller-revision-hash", revision.as_str()),
                    ("statefulset.kubernetes.io/pod-name", &pod),
                    ("apps.kubernetes.io/pod-index", &ordinal.to_string()),
                ];
                self.create_pod(PodRequest {
                    namespace: name.0.clone(),
                    labels: template::labels(&name.1, template, &labels),
                    name: pod,
                    owner: Some(state.owner()),
                    template: template.clone(),
                    restarts: true,
                    node: None,
                });
                return;
            };
            let pod = &self.pods[id];
            if pod.deletion.is_some() || pod.published.ready_since.is_none() {
                return;
            }
        }
        if let Some((_, id)) = pods.range(state.spec.replicas..).next_back() {
            self.delete_pod(*id, None);
            return;
        }
        if state.spec.on_delete {
            return;
        }
        let update = format!("{}-{}", name.1, state.update.0);
        for (_, id) in pods.range(state.spec.partition..).rev() {
            if self.pods[id].labels.get("controller-revision-hash") != Some(&update) {
                self.delete_pod(*id, None);
                return;
            }
        }
    }
}

// === impl State ===

impl State {
    fn owner(&self) -> Owner {
        let name = self.spec.name.as_str().into();
        Owner { kind: Resource::StatefulSets, name, uid: self.uid.clone() }
    }
}
