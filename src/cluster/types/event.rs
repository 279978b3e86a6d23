//! A Kubernetes event.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

use super::meta;

/// A Kubernetes event (`v1`; those of `events.k8s.io` are the same objects).
#[derive(Clone, Debug, Default, Deserialize, Serialize, kube::Resource)]
#[resource(inherit = "k8s_openapi::api::core::v1::Event")]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Name and uid.
    #[serde(deserialize_with = "meta::slim")]
    pub metadata: ObjectMeta,
    /// What it is about.
    #[serde(default)]
    pub involved_object: ObjectReference,
    /// `Normal` or `Warning`.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// A machine's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How often, for events of the old form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<i32>,
    /// Last time, for events of the old form.
    #[serde(
        default,
        deserialize_with = "meta::optional_nanos",
        serialize_with = "meta::nanos_or_none",
        skip_serializing_if = "Option::is_none"
    )]
    pub last_timestamp: Option<i64>,
    /// First time, for events of the new form.
    #[serde(
        default,
        deserialize_with = "meta::optional_nanos",
        serialize_with = "meta::nanos_or_none",
        skip_serializing_if = "Option::is_none"
    )]
    pub event_time: Option<i64>,
    /// Repetitions, for events of the new form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<EventSeries>,
}

/// What an event is about.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct ObjectReference {
    /// Its kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Its namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its uid; for static pods the hash of their file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
}

/// Repetitions of an event.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EventSeries {
    /// How often.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<i32>,
    /// Last time.
    #[serde(
        deserialize_with = "meta::optional_nanos",
        serialize_with = "meta::nanos_or_none",
        skip_serializing_if = "Option::is_none"
    )]
    pub last_observed_time: Option<i64>,
}

impl Event {
    /// When it happened last: the forms of an event name this differently.
    pub fn time(&self) -> Option<i64> {
        let series = self.series.as_ref().and_then(|series| series.last_observed_time);
        let created = self.metadata.creation_timestamp.as_ref().map(meta::nanos);
        series.or(self.last_timestamp).or(self.event_time).or(created)
    }

    /// How often it happened; at least once.
    pub fn times(&self) -> u32 {
        let series = self.series.as_ref().and_then(|series| series.count);
        let count = series.or(self.count).unwrap_or(1);
        u32::try_from(count).unwrap_or(1).max(1)
    }
}
