//! A Kubernetes event.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;

use super::meta;

/// A Kubernetes event (`v1`; those of `events.k8s.io` are the same objects).
#[derive(Clone, Debug, Default, Deserialize, kube::Resource)]
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
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    /// A machine's word.
    #[serde(default)]
    pub reason: Option<String>,
    /// The sentence.
    #[serde(default)]
    pub message: Option<String>,
    /// How often, for events of the old form.
    #[serde(default)]
    pub count: Option<i32>,
    /// Last time, for events of the old form.
    #[serde(default, deserialize_with = "meta::optional_nanos")]
    pub last_timestamp: Option<i64>,
    /// First time, for events of the new form.
    #[serde(default, deserialize_with = "meta::optional_nanos")]
    pub event_time: Option<i64>,
    /// Repetitions, for events of the new form.
    #[serde(default)]
    pub series: Option<EventSeries>,
}

/// What an event is about.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ObjectReference {
    /// Its kind.
    pub kind: Option<String>,
    /// Its namespace.
    pub namespace: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// Its uid; for static pods the hash of their file.
    pub uid: Option<String>,
}

/// Repetitions of an event.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EventSeries {
    /// How often.
    pub count: Option<i32>,
    /// Last time.
    #[serde(deserialize_with = "meta::optional_nanos")]
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
