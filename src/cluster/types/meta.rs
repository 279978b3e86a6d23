//! Metadata, conditions and times, read without what nobody needs.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{
    ManagedFieldsEntry, ObjectMeta, OwnerReference, Time,
};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap as _, Serializer};

use crate::time;

/// Names of the labels that mean something to this program.
pub mod label {
    /// Of a pod or ReplicaSet of a Deployment.
    pub const POD_TEMPLATE_HASH: &str = "pod-template-hash";
    /// Of a pod or ReplicaSet of an Argo Rollout.
    pub const ROLLOUTS_POD_TEMPLATE_HASH: &str = "rollouts-pod-template-hash";
    /// Of a pod of a StatefulSet or DaemonSet, and of a ControllerRevision.
    pub const CONTROLLER_REVISION_HASH: &str = "controller-revision-hash";
    /// Of a pod of a DaemonSet.
    pub const POD_TEMPLATE_GENERATION: &str = "pod-template-generation";
}

/// Names of the annotations that are kept.
pub mod annotation {
    /// Of a static pod: what stays the same when its mirror object is replaced.
    pub const CONFIG_HASH: &str = "kubernetes.io/config.hash";
    /// Of the mirror object of a static pod: the same once more.
    pub const CONFIG_MIRROR: &str = "kubernetes.io/config.mirror";
    /// Of a Deployment and its ReplicaSets: the revision's number.
    pub const REVISION: &str = "deployment.kubernetes.io/revision";
    /// Of a ReplicaSet that was used again by a rollback: its former revisions.
    pub const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
    /// Of an Argo Rollout and its ReplicaSets: the revision's number.
    pub const ROLLOUT_REVISION: &str = "rollout.argoproj.io/revision";
    /// Of a ReplicaSet that an Argo Rollout used again: its former revisions.
    pub const ROLLOUT_REVISION_HISTORY: &str = "rollout.argoproj.io/revision-history";
    /// Of an Argo Rollout: the generation of the workload whose template it uses.
    pub const WORKLOAD_GENERATION: &str = "rollout.argoproj.io/workload-generation";
    /// Written by kubectl and by people.
    pub const CHANGE_CAUSE: &str = "kubernetes.io/change-cause";
    /// Of a DaemonSet: the generation of its template.
    pub const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";
    /// Names the deploy that somebody waits for.
    pub const DEPLOY: &str = "rollcast.dev/deploy";
    /// What the recorder does for this workload.
    pub const RECORD: &str = "rollcast.dev/record";
}

const ANNOTATIONS: [&str; 19] = [
    annotation::CONFIG_HASH,
    annotation::CONFIG_MIRROR,
    annotation::REVISION,
    annotation::REVISION_HISTORY,
    annotation::ROLLOUT_REVISION,
    annotation::ROLLOUT_REVISION_HISTORY,
    annotation::WORKLOAD_GENERATION,
    annotation::CHANGE_CAUSE,
    annotation::TEMPLATE_GENERATION,
    annotation::DEPLOY,
    annotation::RECORD,
    // How long rollouts are waited for; `watch` reads them.
    "rollcast.dev/settle",
    "rollcast.dev/crash-restarts",
    "rollcast.dev/grace-config",
    "rollcast.dev/grace-pull",
    "rollcast.dev/grace-quota",
    "rollcast.dev/grace-unschedulable",
    "rollcast.dev/grace-start",
    "rollcast.dev/rollout-deadline",
];

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct SlimMeta<M> {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    #[serde(default, deserialize_with = "time_or_none")]
    creation_timestamp: Option<Time>,
    #[serde(default, deserialize_with = "time_or_none")]
    deletion_timestamp: Option<Time>,
    labels: Option<BTreeMap<String, String>>,
    #[serde(default, deserialize_with = "annotations")]
    annotations: Option<BTreeMap<String, String>>,
    owner_references: Option<Vec<OwnerReference>>,
    #[serde(default)]
    managed_fields: M,
}

/// Reads object metadata without managed fields and without annotations that nobody here reads.
/// `managedFields` alone are a third of a pod's bytes.
pub(super) fn slim<'de, D: Deserializer<'de>>(input: D) -> Result<ObjectMeta, D::Error> {
    let slim = SlimMeta::<IgnoredAny>::deserialize(input)?;
    Ok(slim.into_meta())
}

/// The same, but for the one managed-fields entry that tells who changed the specification last; of
/// that only the manager is kept, as an entry that is read as the same again.
pub(super) fn managed<'de, D: Deserializer<'de>>(input: D) -> Result<ObjectMeta, D::Error> {
    let mut slim = SlimMeta::<Changer>::deserialize(input)?;
    let manager = std::mem::take(&mut slim.managed_fields).manager;
    let kept = |manager| {
        vec![ManagedFieldsEntry {
            manager: Some(manager),
            operation: Some("Update".to_owned()),
            ..ManagedFieldsEntry::default()
        }]
    };
    Ok(ObjectMeta { managed_fields: manager.map(kept), ..slim.into_meta() })
}

impl<M> SlimMeta<M> {
    fn into_meta(self) -> ObjectMeta {
        ObjectMeta {
            name: self.name,
            namespace: self.namespace,
            uid: self.uid,
            resource_version: self.resource_version,
            generation: self.generation,
            creation_timestamp: self.creation_timestamp,
            deletion_timestamp: self.deletion_timestamp,
            labels: self.labels,
            annotations: self.annotations,
            owner_references: self.owner_references,
            ..ObjectMeta::default()
        }
    }
}

/// Who changed an object's specification last.
#[derive(Default)]
struct Changer {
    manager: Option<String>,
}

/// One entry of `managedFields`, read while it is parsed: what the fields are is skipped.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Writing {
    manager: Option<String>,
    operation: Option<String>,
    subresource: Option<String>,
    #[serde(default, deserialize_with = "optional_nanos")]
    time: Option<i64>,
    #[serde(rename = "fieldsV1")]
    fields: Option<Fields>,
}

/// Whether fields of the specification are among an entry's: who annotates an object, or scales it by
/// way of a subresource, has not asked for anything to be rolled out.
struct Fields {
    spec: bool,
}

// === impl Changer ===

impl<'de> Deserialize<'de> for Changer {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_any(Writings)
    }
}

struct Writings;

impl<'de> Visitor<'de> for Writings {
    type Value = Changer;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of managed fields")
    }

    fn visit_unit<E>(self) -> Result<Changer, E> {
        Ok(Changer::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Changer, A::Error> {
        let mut newest: Option<(Option<i64>, String)> = None;
        while let Some(writing) = list.next_element::<Writing>()? {
            let writes = matches!(writing.operation.as_deref(), Some("Apply" | "Update"));
            let whole = writing.subresource.as_deref().unwrap_or_default().is_empty();
            let spec = writing.fields.is_none_or(|fields| fields.spec);
            let Some(manager) = writing.manager.filter(|_| writes && whole && spec) else {
                continue;
            };
            // The times are whole seconds; among equals the later entry is the newer one.
            if newest.as_ref().is_none_or(|(time, _)| writing.time >= *time) {
                newest = Some((writing.time, manager));
            }
        }
        Ok(Changer { manager: newest.map(|(_, manager)| manager) })
    }
}

// === impl Fields ===

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_any(Owned)
    }
}

struct Owned;

impl<'de> Visitor<'de> for Owned {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of fields")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut spec = false;
        while let Some(key) = map.next_key::<String>()? {
            spec |= key == "f:spec";
            map.next_value::<IgnoredAny>()?;
        }
        Ok(Fields { spec })
    }
}

type Words = Option<BTreeMap<String, String>>;

fn annotations<'de, D: Deserializer<'de>>(input: D) -> Result<Words, D::Error> {
    input.deserialize_any(Picked(&ANNOTATIONS))
}

/// Reads a map of strings but keeps only the named keys.
struct Picked(&'static [&'static str]);

impl<'de> Visitor<'de> for Picked {
    type Value = Words;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of strings")
    }

    fn visit_unit<E>(self) -> Result<Words, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Words, A::Error> {
        let mut kept = BTreeMap::new();
        while let Some(key) = map.next_key::<String>()? {
            if self.0.contains(&key.as_str()) {
                kept.insert(key, map.next_value::<String>()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok((!kept.is_empty()).then_some(kept))
    }
}

/// A condition of any kind of object.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    /// Such as `Ready`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False`, `Unknown`.
    pub status: String,
    /// A machine's word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// A sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When the status changed last.
    #[serde(deserialize_with = "time_or_none", skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Time>,
    /// When the controller looked last (Deployments).
    #[serde(deserialize_with = "time_or_none", skip_serializing_if = "Option::is_none")]
    pub last_update_time: Option<Time>,
}

/// A time of the API in nanoseconds since 1970. Years that do not fit are cut to the range.
pub fn nanos(time: &Time) -> i64 {
    let nanos = time.0.as_nanosecond();
    i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
}

/// Reads a time of the API; nothing if it is none that can be held. The API takes any second of the year
/// 9999, our times end a day earlier, and one object that cannot be decoded would cost the whole list.
fn time_or_none<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Time>, D::Error> {
    let text = Option::<String>::deserialize(input)?;
    Ok(text.and_then(|text| text.parse().ok()).map(Time))
}

/// Reads a time of the API, or nothing, into nanoseconds.
pub(super) fn optional_nanos<'de, D: Deserializer<'de>>(input: D) -> Result<Option<i64>, D::Error> {
    let text = Option::<String>::deserialize(input)?;
    Ok(text.and_then(|text| time::parse_stamp(text.as_bytes())).map(|(time, _)| time))
}

/// Writes a time of the API as it was read.
pub(super) fn nanos_or_none<S: Serializer>(
    time: &Option<i64>,
    output: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => output.serialize_str(&time::rfc3339(*time)),
        None => output.serialize_none(),
    }
}

/// Writes that there is something that nobody here reads.
pub(super) fn presence<S: Serializer>(
    _: &Option<IgnoredAny>,
    output: S,
) -> Result<S::Ok, S::Error> {
    output.serialize_map(Some(0))?.end()
}

/// Writes how many there are of what nobody here reads.
pub(super) fn number<S: Serializer>(
    items: &Option<Vec<IgnoredAny>>,
    output: S,
) -> Result<S::Ok, S::Error> {
    output.collect_seq(items.iter().flatten().map(|_| ()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Object {
        #[serde(deserialize_with = "managed")]
        metadata: ObjectMeta,
    }

    fn by(managed_fields: serde_json::Value) -> Option<String> {
        let object =
            serde_json::json!({"metadata": {"name": "web", "managedFields": managed_fields}});
        let object: Object = serde_json::from_str(&object.to_string()).unwrap();
        assert_eq!(object.metadata.name.as_deref(), Some("web"));
        let kept = object.metadata.managed_fields?;
        let [kept] = &kept[..] else { panic!("{kept:?}") };
        assert!(kept.fields_v1.is_none() && kept.time.is_none());
        kept.manager.clone()
    }

    #[test]
    fn a_time_that_cannot_be_held_is_none_and_breaks_nothing() {
        #[derive(serde::Deserialize)]
        struct Conditioned {
            #[serde(deserialize_with = "slim")]
            metadata: ObjectMeta,
            conditions: Vec<Condition>,
        }
        for (stamp, held) in [
            ("9999-12-31T23:59:59Z", false),
            ("9999-12-30T00:00:00Z", true),
            ("never", false),
            ("2026-11-22T14:00:00Z", true),
        ] {
            let object = serde_json::json!({
                "metadata": {"name": "web", "creationTimestamp": stamp, "deletionTimestamp": stamp},
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": stamp,
                    "lastUpdateTime": stamp}, {"type": "Other", "status": "True"}],
            });
            let object: Conditioned = serde_json::from_str(&object.to_string()).unwrap();
            assert_eq!(object.metadata.creation_timestamp.is_some(), held, "{stamp}");
            assert_eq!(object.metadata.deletion_timestamp.is_some(), held, "{stamp}");
            let condition = &object.conditions[0];
            assert_eq!(condition.last_transition_time.is_some(), held, "{stamp}");
            assert_eq!(condition.last_update_time.is_some(), held, "{stamp}");
            assert!(object.conditions[1].last_update_time.is_none());
        }
    }

    #[test]
    fn who_changed_the_specification_last_is_kept_and_nothing_else() {
        use serde_json::json;
        let entry = |manager: &str, operation: &str, time: &str, fields: serde_json::Value| {
            json!({"manager": manager, "operation": operation, "apiVersion": "apps/v1",
                "time": time, "fieldsType": "FieldsV1", "fieldsV1": fields})
        };
        let spec = || json!({"f:metadata": {}, "f:spec": {"f:template": {".": {}}}});
        let notes = json!({"f:metadata": {"f:annotations": {"f:x": {}}}});
        let first = entry("helm", "Apply", "2026-11-22T14:00:00Z", spec());
        let second = entry("ci-deployer", "Update", "2026-11-22T14:02:00Z", spec());
        let note = entry("kubectl-annotate", "Update", "2026-11-22T14:03:00Z", notes);
        let mut scale = entry("autoscaler", "Update", "2026-11-22T14:04:00Z", spec());
        scale["subresource"] = json!("scale");
        let removed = entry("odd", "Delete", "2026-11-22T14:05:00Z", spec());
        let all = json!([first, second, note, scale, removed]);
        assert_eq!(by(all).as_deref(), Some("ci-deployer"));
        assert_eq!(by(json!([second, first])).as_deref(), Some("ci-deployer"));
        // What is missing or makes no sense names nobody.
        assert_eq!(by(json!([note, scale])), None);
        assert_eq!(by(json!([{"time": "never"}, {}])), None);
        assert_eq!(by(json!([])), None);
        assert_eq!(by(json!(null)), None);
    }
}
