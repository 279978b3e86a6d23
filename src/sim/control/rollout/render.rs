//! Argo Rollouts and their ReplicaSets as the API shows them.

use serde_json::{Value, json};

use super::{Set, State, template};
use crate::sim::control::sets::{annotations, count};
use crate::sim::pod::Owner;
use crate::sim::resource::Resource;
use crate::sim::spec::{CanaryStep, Plan};
use crate::time::rfc3339_seconds;

const REVISION: &str = "rollout.argoproj.io/revision";
const REVISION_HISTORY: &str = "rollout.argoproj.io/revision-history";

// === impl State ===

impl State {
    pub(super) fn render(&self) -> Value {
        let spec = &self.spec;
        let labels = template::labels(&spec.name, &spec.template, &[]);
        let mut annotations = spec.annotations.clone();
        if self.revision > 0 {
            annotations.insert(REVISION.to_owned(), self.revision.to_string());
        }
        let strategy = match &spec.plan {
            Plan::Canary(steps) => {
                let steps: Vec<Value> = steps.iter().map(step).collect();
                json!({"canary": {"steps": steps}})
            }
            Plan::BlueGreen { auto } => json!({"blueGreen": {
                "activeService": spec.name, "autoPromotionEnabled": auto,
            }}),
        };
        let mut object = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
            "metadata": {
                "name": spec.name, "namespace": spec.namespace, "uid": &*self.uid,
                "generation": self.generation, "labels": &*labels,
                "creationTimestamp": rfc3339_seconds(self.created), "annotations": annotations,
            },
            "spec": {
                "replicas": spec.replicas, "selector": {"matchLabels": {"app": spec.name}},
                "template": template::render(&labels, &spec.template), "strategy": strategy,
                "progressDeadlineSeconds": spec.progress_deadline_seconds,
            },
        });
        if spec.paused {
            object["spec"]["paused"] = true.into();
        }
        if self.observed > 0 {
            object["status"] = self.render_status();
        }
        object
    }

    fn render_status(&self) -> Value {
        let (phase, message) = self.phase();
        let mut status = json!({
            "observedGeneration": self.observed.to_string(), "phase": phase,
            "currentPodHash": self.current, "stableRS": self.stable,
        });
        let counts = &self.status;
        let all = [
            ("replicas", counts.replicas),
            ("updatedReplicas", counts.updated),
            ("readyReplicas", counts.ready),
            ("availableReplicas", counts.available),
        ];
        count(&mut status, &all);
        if !message.is_empty() {
            status["message"] = message.into();
        }
        if self.steps() > 0 {
            status["currentStepIndex"] = self.step.into();
        }
        if let Some(at) = self.aborted.filter(|_| self.current != self.stable) {
            status["abort"] = true.into();
            status["abortedAt"] = rfc3339_seconds(at).into();
        }
        if let Some(since) = self.pause {
            status["pauseConditions"] =
                json!([{"reason": self.pause_reason(), "startTime": rfc3339_seconds(since)}]);
        }
        if self.paused {
            status["controllerPause"] = true.into();
        }
        if !self.active.is_empty() && matches!(self.spec.plan, Plan::BlueGreen { .. }) {
            status["blueGreen"] =
                json!({"activeSelector": self.active, "previewSelector": self.current});
        }
        if let Some(condition) = &self.progressing {
            status["conditions"] = json!([condition.render("Progressing")]);
        }
        status
    }
}

fn step(step: &CanaryStep) -> Value {
    match step {
        CanaryStep::Weight(weight) => json!({"setWeight": weight}),
        CanaryStep::Pause(None) => json!({"pause": {}}),
        CanaryStep::Pause(Some(time)) => json!({"pause": {"duration": time.as_secs()}}),
    }
}

// === impl Set ===

impl Set {
    pub(super) fn render(&self, state: &State) -> Value {
        let spec = &state.spec;
        let owner = Owner {
            kind: Resource::Rollouts,
            name: spec.name.as_str().into(),
            uid: state.uid.clone(),
        };
        let names = [REVISION, REVISION_HISTORY];
        let annotations = annotations(&self.annotations, names, self.revision, &self.former);
        let counts = &self.counts;
        let mut status = json!({"replicas": counts.active});
        let all = [("readyReplicas", counts.ready), ("availableReplicas", counts.available)];
        count(&mut status, &all);
        let hash = &self.hash;
        json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {
                "name": &*self.name, "namespace": spec.namespace, "uid": &*self.uid,
                "generation": 1, "labels": &*self.labels,
                "creationTimestamp": rfc3339_seconds(self.created), "annotations": annotations,
                "ownerReferences": owner.render(),
            },
            "spec": {
                "replicas": self.replicas,
                "selector": {"matchLabels": {"app": spec.name, "rollouts-pod-template-hash": hash}},
                "template": template::render(&self.labels, &self.template),
            },
            "status": status,
        })
    }
}
