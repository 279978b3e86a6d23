//! DaemonSets: one pod on each node, replaced one at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::template;
use crate::sim::kubelet::PodRequest;
use crate::sim::pod::Owner;
use crate::sim::resource::Resource;
use crate::sim::spec::DaemonSet;
use crate::sim::store::Name;
use crate::sim::world::World;
use crate::time::rfc3339_seconds;

/// All DaemonSets.
pub(in crate::sim) type DaemonSets = BTreeMap<Name, State>;

/// One DaemonSet.
#[derive(Debug)]
pub(in crate::sim) struct State {
    spec: DaemonSet,
    uid: Arc<str>,
    created: i64,
    generation: i64,
    /// Raised by another template only (the registry's `PrepareForUpdate`).
    template_generation: i64,
    /// Of the newest revision.
    hash: String,
    revision: u64,
    /// Hashes of the ControllerRevisions, oldest first.
    kept: Vec<String>,
}

// === impl World ===

impl World {
    pub(super) fn apply_daemon_set(&mut self, spec: DaemonSet) {
        self.ensure_namespace(&spec.namespace);
        let name: Name = (spec.namespace.as_str().into(), spec.name.as_str().into());
        if self.daemon_sets.contains_key(&name) {
            self.edit_daemon_set(&name, |old| *old = spec);
            return;
        }
        let (uid, created) = (self.uid(), self.now);
        let state = State {
            spec,
            uid,
            created,
            generation: 1,
            template_generation: 1,
            hash: String::new(),
            revision: 0,
            kept: Vec::new(),
        };
        self.daemon_sets.insert(name.clone(), state);
        self.reconcile_daemon_set(&name);
    }

    pub(super) fn edit_daemon_set(
        &mut self,
        name: &Name,
        edit: impl FnOnce(&mut DaemonSet),
    ) -> bool {
        let Some(state) = self.daemon_sets.get_mut(name) else { return false };
        let before = template::hash(&name.1, &state.spec.template);
        edit(&mut state.spec);
        state.generation += 1;
        if template::hash(&name.1, &state.spec.template) != before {
            state.template_generation += 1;
        }
        self.reconcile_soon(Resource::DaemonSets, name);
        true
    }

    pub(super) fn forget_daemon_set(&mut self, name: &Name) -> Vec<Arc<str>> {
        self.daemon_sets.remove(name).map(|state| state.uid).into_iter().collect()
    }

    pub(in crate::sim) fn reconcile_daemon_set(&mut self, name: &Name) {
        let Some(mut state) = self.daemon_sets.remove(name) else { return };
        let kind = Resource::DaemonSets;
        let owner = Owner { kind, name: name.1.clone(), uid: state.uid.clone() };
        let hash = template::hash(&name.1, &state.spec.template);
        let plain = template::labels(&name.1, &state.spec.template, &[]);
        let generation = state.template_generation.to_string();
        // Kept by what the controller makes (`snapshot`), and so by the revision.
        let annotations = json!({"deprecated.daemonset.template.generation": generation});
        if hash != state.hash {
            state.hash = hash;
            state.revision += 1;
            let revision = (state.hash.as_str(), state.revision);
            self.put_controller_revision(
                &owner,
                &name.0,
                &plain,
                revision,
                (&state.spec.template, &annotations),
                &mut state.kept,
            );
        }
        let pods = self.pods_of(&state.uid);
        let (mut ready, mut updated, mut unavailable, mut old) = (0, 0, 0, Vec::new());
        let mut free: Vec<Arc<str>> = self.nodes.clone();
        for (id, pod) in pods.iter().filter_map(|id| Some((*id, self.pods.get(id)?))) {
            free.retain(|node| Some(node) != pod.node.as_ref());
            let is_ready = pod.published.ready_since.is_some();
            let is_new = pod.labels.get("controller-revision-hash") == Some(&state.hash);
            ready += u32::from(is_ready);
            updated += u32::from(is_new);
            unavailable += u32::from(!is_ready || pod.deletion.is_some());
            if !is_new && pod.deletion.is_none() {
                old.push((is_ready, id));
            }
        }
        let template = Arc::new(state.spec.template.clone());
        for node in &free {
            let revision = [
                ("controller-revision-hash", state.hash.as_str()),
                ("pod-template-generation", generation.as_str()),
            ];
            let pod = format!("{}-{}", name.1, self.suffix(5));
            self.create_pod(PodRequest {
                namespace: name.0.clone(),
                name: pod.into(),
                owner: Some(owner.clone()),
                labels: template::labels(&name.1, &template, &revision),
                template: template.clone(),
                restarts: true,
                node: Some(node.clone()),
            });
        }
        // Broken old pods go at once, working ones while nothing else is missing.
        for (is_ready, id) in old {
            if !is_ready || (unavailable == 0 && free.is_empty()) {
                unavailable += 1;
                self.delete_pod(id, None);
            }
        }
        let desired = self.nodes.len();
        let object = json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet",
            "metadata": {
                "name": &*name.1, "namespace": &*name.0, "uid": &*state.uid,
                "generation": state.generation, "labels": {"app": &*name.1},
                "creationTimestamp": rfc3339_seconds(state.created),
                "annotations": annotations,
            },
            "spec": {
                "selector": {"matchLabels": {"app": &*name.1}}, "revisionHistoryLimit": 10,
                "template": template::render(&plain, &state.spec.template),
                "updateStrategy": {
                    "type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0},
                },
            },
            "status": {
                "observedGeneration": state.generation, "desiredNumberScheduled": desired,
                "currentNumberScheduled": pods.len().min(desired), "numberMisscheduled": 0,
                "numberReady": ready, "numberAvailable": ready, "updatedNumberScheduled": updated,
                "numberUnavailable": desired.saturating_sub(ready as usize),
            },
        });
        self.store.put(kind, object);
        self.daemon_sets.insert(name.clone(), state);
    }
}
