//! Deployments of pods that write numbered lines.

use serde_json::{Value, json};

/// Built and loaded by the cluster's scripts; see `tests/e2e/writer/writer.c`.
pub const IMAGE: &str = "localhost/rollcast-writer:1";

/// A Deployment of writers.
pub struct Writers<'a> {
    pub name: &'a str,
    pub replicas: u32,
    /// Tells its lines from others; changing it is a rollout.
    pub run: &'a str,
    /// Options of the writer, such as `--rate 500`.
    pub options: &'a str,
}

// === impl Writers ===

impl Writers<'_> {
    /// The object.
    pub fn object(&self) -> Value {
        let Writers { name, replicas, run, options } = self;
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": name},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": name}},
                "template": {
                    "metadata": {"labels": {"app": name}},
                    "spec": pod(&[container("app", run, options)]),
                },
            },
        })
    }
}

/// The spec of a pod.
pub fn pod(containers: &[Value]) -> Value {
    json!({
        "terminationGracePeriodSeconds": 10,
        "automountServiceAccountToken": false,
        "containers": containers,
    })
}

/// A container that writes.
pub fn container(name: &str, run: &str, options: &str) -> Value {
    let arguments: Vec<&str> = options.split_whitespace().collect();
    json!({
        "name": name, "image": IMAGE, "imagePullPolicy": "Never", "args": arguments,
        "env": [
            {"name": "RUN", "value": run},
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ],
    })
}
