//! Deployments and ReplicaSets as the API shows them.

use serde_json::{Value, json};

use super::{Set, State, template};
use crate::sim::control::sets::{annotations, count};
use crate::sim::pod::Owner;
use crate::sim::resource::Resource;
use crate::sim::spec::{Amount, Strategy};
use crate::time::rfc3339_seconds;

/// The annotation that keeps the numbers which a reused ReplicaSet had before.
const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// The annotation that numbers revisions.
const REVISION: &str = "deployment.kubernetes.io/revision";

// === impl State ===

impl State {
    pub(super) fn render(&self) -> Value {
        let spec = &self.spec;
        let labels = template::labels(&spec.name, &spec.template, &[]);
        let mut annotations = spec.annotations.clone();
        if self.revision > 0 {
            annotations.insert(REVISION.to_owned(), self.revision.to_string());
        }
        // Kubernetes takes the failure of the newest set that has one, be it an old one.
        let failure = self.sets.iter().rev().find_map(|set| set.failure.as_ref());
        let all = [
            ("Available", self.available.as_ref()),
            ("Progressing", self.progressing.as_ref()),
            ("ReplicaFailure", failure),
        ];
        let conditions: Vec<Value> =
            all.into_iter().filter_map(|(kind, it)| Some(it?.render(kind))).collect();
        let amount = |amount: Amount| match amount {
            Amount::Count(count) => json!(count),
            Amount::Percent(share) => json!(format!("{share}%")),
        };
        let strategy = match spec.strategy {
            Strategy::RollingUpdate { surge, unavailable } => json!({
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": amount(surge), "maxUnavailable": amount(unavailable)},
            }),
            Strategy::Recreate => json!({"type": "Recreate"}),
        };
        let mut object = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "name": spec.name, "namespace": spec.namespace, "uid": &*self.uid,
                "generation": self.generation, "labels": &*labels,
                "creationTimestamp": rfc3339_seconds(self.created), "annotations": annotations,
            },
            "spec": {
                "replicas": spec.replicas, "selector": {"matchLabels": {"app": spec.name}},
                "template": template::render(&labels, &spec.template), "strategy": strategy,
                "minReadySeconds": spec.min_ready_seconds, "revisionHistoryLimit": super::HISTORY,
                "progressDeadlineSeconds": spec.progress_deadline_seconds,
            },
            "status": {"conditions": conditions, "terminatingReplicas": self.status.terminating},
        });
        if spec.paused {
            object["spec"]["paused"] = true.into();
        }
        let status = &mut object["status"];
        if self.observed > 0 {
            status["observedGeneration"] = self.observed.into();
        }
        let counts = &self.status;
        let all = [
            ("replicas", counts.replicas),
            ("updatedReplicas", counts.updated),
            ("readyReplicas", counts.ready),
            ("availableReplicas", counts.available),
            ("unavailableReplicas", spec.replicas.saturating_sub(counts.available)),
        ];
        count(status, &all);
        object
    }
}

// === impl Set ===

impl Set {
    pub(super) fn render(&self, state: &State) -> Value {
        let spec = &state.spec;
        let owner = Owner {
            kind: Resource::Deployments,
            name: spec.name.as_str().into(),
            uid: state.uid.clone(),
        };
        let names = [REVISION, REVISION_HISTORY];
        let mut annotations = annotations(&self.annotations, names, self.revision, &self.former);
        annotations.insert(
            "deployment.kubernetes.io/desired-replicas".to_owned(),
            spec.replicas.to_string(),
        );
        let counts = &self.counts;
        let mut status = json!({
            "replicas": counts.active, "observedGeneration": self.generation,
            "terminatingReplicas": counts.terminating,
        });
        let all = [
            ("fullyLabeledReplicas", counts.active),
            ("readyReplicas", counts.ready),
            ("availableReplicas", counts.available),
        ];
        count(&mut status, &all);
        if let Some(failure) = &self.failure {
            status["conditions"] = json!([failure.render("ReplicaFailure")]);
        }
        json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {
                "name": &*self.name, "namespace": spec.namespace, "uid": &*self.uid,
                "generation": self.generation, "labels": &*self.labels,
                "creationTimestamp": rfc3339_seconds(self.created), "annotations": annotations,
                "ownerReferences": owner.render(),
            },
            "spec": {
                "replicas": self.replicas, "minReadySeconds": spec.min_ready_seconds,
                "selector": {"matchLabels": {"app": spec.name, "pod-template-hash": self.hash}},
                "template": template::render(&self.labels, &self.template),
            },
            "status": status,
        })
    }
}
