//! Pod templates as they stand in workloads, and their hashes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_64;

use crate::sim::pod::render_containers;
use crate::sim::resource::Resource;
use crate::sim::spec::{Program, Template};
use crate::sim::store::Labels;
use crate::sim::world::World;
use crate::time::rfc3339_seconds;

/// Old ControllerRevisions that are kept (`revisionHistoryLimit`).
const HISTORY: usize = 10;

/// The labels of a workload's pods: its name as `app`, the template's own, and one that tells
/// revisions apart.
pub(super) fn labels(app: &str, template: &Template, revision: &[(&str, &str)]) -> Labels {
    let mut labels = BTreeMap::from([("app".to_owned(), app.to_owned())]);
    labels.extend(template.labels.clone());
    labels.extend(revision.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    Arc::new(labels)
}

/// Has the containers do what is known of their images.
pub(super) fn run_known(programs: &HashMap<String, Arc<Program>>, template: &mut Template) {
    for container in &mut template.containers {
        if let Some(program) = programs.get(&container.image) {
            container.program = (**program).clone();
        }
    }
}

/// The template with these labels, as it stands in an object's `spec.template`.
pub(super) fn render(labels: &Labels, template: &Template) -> Value {
    let mut metadata = json!({"labels": &**labels});
    if !template.annotations.is_empty() {
        metadata["annotations"] = json!(template.annotations);
    }
    json!({"metadata": metadata, "spec": render_containers(template)})
}

/// A hash of the template as Kubernetes writes it, in letters without vowels. What the programs do
/// is not part of it: Kubernetes does not know it either.
pub(super) fn hash(app: &str, template: &Template) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut bits = xxh3_64(render(&labels(app, template, &[]), template).to_string().as_bytes());
    let mut text = String::new();
    while text.len() < 10 {
        text.push(char::from(LETTERS[(bits % 27) as usize]));
        bits /= 27;
    }
    text
}

impl World {
    /// Writes the ControllerRevision of a StatefulSet or DaemonSet, and removes the oldest beyond
    /// the history. `kept` are the hashes of those that exist, oldest first.
    pub(super) fn put_controller_revision(
        &mut self,
        owner: &crate::sim::pod::Owner,
        namespace: &str,
        labels: &Labels,
        (hash, revision): (&str, u64),
        (template, annotations): (&Template, &Value),
        kept: &mut Vec<String>,
    ) {
        kept.retain(|one| one != hash);
        kept.push(hash.to_owned());
        if kept.len() > HISTORY + 1 {
            let oldest = format!("{}-{}", owner.name, kept.remove(0));
            self.store.remove(Resource::ControllerRevisions, namespace, &oldest);
        }
        let mut labels = (**labels).clone();
        let key = match owner.kind {
            Resource::DaemonSets => "controller-revision-hash",
            _ => "controller.kubernetes.io/hash",
        };
        labels.insert(key.to_owned(), hash.to_owned());
        let labels = Arc::new(labels);
        let name = format!("{}-{hash}", owner.name);
        let stamp = match self.store.get(Resource::ControllerRevisions, namespace, &name) {
            // A rollback raises the number of the revision that exists.
            Some(object) => serde_json::from_slice::<Value>(&object.body)
                .map(|old| old["metadata"].clone())
                .unwrap_or_default(),
            None => json!({
                "uid": &*self.uid(), "creationTimestamp": rfc3339_seconds(self.now),
                "annotations": annotations,
            }),
        };
        let object = json!({
            "apiVersion": "apps/v1", "kind": "ControllerRevision",
            "metadata": {
                "name": name, "namespace": namespace, "labels": &*labels,
                "uid": stamp["uid"], "creationTimestamp": stamp["creationTimestamp"],
                "annotations": stamp["annotations"],
                "ownerReferences": owner.render(),
            },
            "data": {"spec": {"template": render(&labels, template)}},
            "revision": revision,
        });
        self.store.put(Resource::ControllerRevisions, object);
    }
}
