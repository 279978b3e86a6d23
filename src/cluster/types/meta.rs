//! Metadata, conditions and times, read without what nobody needs.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::ser::{SerializeMap as _, Serializer};

use crate::time;

/// Names of the labels that mean something to this program.
pub mod label {
    /// Of a pod or ReplicaSet of a Deployment.
    pub const POD_TEMPLATE_HASH: &str = "pod-template-hash";
    /// Of a pod of a StatefulSet or DaemonSet, and of a ControllerRevision.
    pub const CONTROLLER_REVISION_HASH: &str = "controller-revision-hash";
    /// Of a pod of a DaemonSet.
    pub const POD_TEMPLATE_GENERATION: &str = "pod-template-generation";
}

/// Names of the annotations that are kept.
pub mod annotation {
    /// Of a static pod: what stays the same when its mirror object is replaced.
    pub const CONFIG_HASH: &str = "kubernetes.io/config.hash";
    /// Of a Deployment and its ReplicaSets: the revision's number.
    pub const REVISION: &str = "deployment.kubernetes.io/revision";
    /// Of a ReplicaSet that was used again by a rollback: its former revisions.
    pub const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
    /// Written by kubectl and by people.
    pub const CHANGE_CAUSE: &str = "kubernetes.io/change-cause";
    /// Of a DaemonSet: the generation of its template.
    pub const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";
    /// Names the deploy that somebody waits for.
    pub const DEPLOY: &str = "rollcast.dev/deploy";
    /// What the recorder does for this workload.
    pub const RECORD: &str = "rollcast.dev/record";
}

const ANNOTATIONS: [&str; 15] = [
    annotation::CONFIG_HASH,
    annotation::REVISION,
    annotation::REVISION_HISTORY,
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
struct SlimMeta {
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
}

/// Reads object metadata without managed fields and without annotations that nobody here reads.
/// `managedFields` alone are a third of a pod's bytes.
pub(super) fn slim<'de, D: Deserializer<'de>>(input: D) -> Result<ObjectMeta, D::Error> {
    let slim = SlimMeta::deserialize(input)?;
    Ok(ObjectMeta {
        name: slim.name,
        namespace: slim.namespace,
        uid: slim.uid,
        resource_version: slim.resource_version,
        generation: slim.generation,
        creation_timestamp: slim.creation_timestamp,
        deletion_timestamp: slim.deletion_timestamp,
        labels: slim.labels,
        annotations: slim.annotations,
        owner_references: slim.owner_references,
        ..ObjectMeta::default()
    })
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
/// 9999, and one object that cannot be decoded would cost the whole list.
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
