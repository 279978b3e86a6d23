//! Argo's `Rollout` (`argoproj.io/v1alpha1`), read leniently.
//!
//! Its definition is not a part of Kubernetes: it is of any age, and another program may have put
//! something else under its name. So each field is read by itself, and one of a wrong type costs that
//! field, is named, and breaks no list.

use std::borrow::Cow;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::Template;
use super::meta::{self, Condition};
use crate::time;

/// A field that may hold anything.
#[derive(Clone, Debug)]
pub struct Loose<T> {
    /// What it holds, if that is what it should.
    pub value: Option<T>,
    /// It holds something else.
    pub wrong: bool,
}

/// A Rollout.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Rollout {
    /// Name, uid, owners, labels, the kept annotations, and who changed it last.
    #[serde(deserialize_with = "meta::managed")]
    pub metadata: ObjectMeta,
    /// What was asked for.
    #[serde(default, skip_serializing_if = "Loose::is_nothing")]
    pub spec: Loose<RolloutSpec>,
    /// What its controller reports.
    #[serde(default, skip_serializing_if = "Loose::is_nothing")]
    pub status: Loose<RolloutStatus>,
}

/// What a Rollout asks for.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of Argo's API")]
pub struct RolloutSpec {
    #[serde(skip_serializing_if = "Loose::is_nothing")]
    pub replicas: Loose<i32>,
    #[serde(skip_serializing_if = "Loose::is_nothing")]
    pub paused: Loose<bool>,
    #[serde(skip_serializing_if = "Loose::is_nothing")]
    pub progress_deadline_seconds: Loose<i32>,
    #[serde(skip_serializing_if = "Loose::is_nothing")]
    pub strategy: Loose<RolloutStrategy>,
    #[serde(skip_serializing_if = "Loose::is_nothing")]
    pub template: Loose<Template>,
    #[serde(skip_serializing_if = "Loose::is_nothing")]
    pub workload_ref: Loose<WorkloadRef>,
}

/// The workload whose template a Rollout uses instead of its own.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct WorkloadRef {
    /// Its name.
    #[serde(skip_serializing_if = "Loose::is_nothing")]
    pub name: Loose<String>,
}

/// How new pods replace old ones.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RolloutStrategy {
    /// Step by step.
    #[serde(skip_serializing_if = "Loose::is_nothing")]
    pub canary: Loose<Canary>,
    /// All at once, beside the old ones.
    #[serde(skip_serializing_if = "Loose::is_nothing")]
    pub blue_green: Loose<Something>,
}

/// A canary's plan.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Canary {
    /// One after the other.
    #[serde(skip_serializing_if = "Loose::is_nothing")]
    pub steps: Loose<Vec<Loose<CanaryStep>>>,
}

/// One step; exactly one field is set.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of Argo's API")]
pub struct CanaryStep {
    #[serde(skip_serializing_if = "Loose::is_nothing")]
    pub set_weight: Loose<i32>,
    #[serde(skip_serializing_if = "Loose::is_nothing")]
    pub pause: Loose<Something>,
    #[serde(skip_serializing_if = "Loose::is_nothing")]
    pub analysis: Loose<Something>,
    #[serde(skip_serializing_if = "Loose::is_nothing")]
    pub experiment: Loose<Something>,
}

/// What the Rollout controller reports.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(missing_docs, reason = "the fields are those of Argo's API")]
pub struct RolloutStatus {
    #[serde(skip_serializing_if = "Loose::is_nothing")]
    pub phase: Loose<String>,
    #[serde(skip_serializing_if = "Loose::is_nothing")]
    pub observed_generation: Loose<Number>,
    #[serde(skip_serializing_if = "Loose::is_nothing")]
    pub workload_observed_generation: Loose<Number>,
    #[serde(skip_serializing_if = "Loose::is_nothing")]
    pub current_pod_hash: Loose<String>,
    #[serde(rename = "stableRS", skip_serializing_if = "Loose::is_nothing")]
    pub stable_rs: Loose<String>,
    #[serde(skip_serializing_if = "Loose::is_nothing")]
    pub abort: Loose<bool>,
    #[serde(skip_serializing_if = "Loose::is_nothing")]
    pub aborted_at: Loose<String>,
    #[serde(skip_serializing_if = "Loose::is_nothing")]
    pub pause_conditions: Loose<Vec<PauseCondition>>,
    #[serde(skip_serializing_if = "Loose::is_nothing")]
    pub current_step_index: Loose<i32>,
    #[serde(skip_serializing_if = "Loose::is_nothing")]
    pub replicas: Loose<i32>,
    #[serde(skip_serializing_if = "Loose::is_nothing")]
    pub updated_replicas: Loose<i32>,
    #[serde(skip_serializing_if = "Loose::is_nothing")]
    pub ready_replicas: Loose<i32>,
    #[serde(skip_serializing_if = "Loose::is_nothing")]
    pub available_replicas: Loose<i32>,
    #[serde(skip_serializing_if = "Loose::is_nothing")]
    pub conditions: Loose<Vec<Condition>>,
    #[serde(skip_serializing_if = "Loose::is_nothing")]
    pub blue_green: Loose<BlueGreenStatus>,
}

/// Why the controller waits.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct PauseCondition {
    /// Such as `CanaryPauseStep`.
    pub reason: String,
}

/// Where the services of a blue-green rollout point to.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BlueGreenStatus {
    /// The hash of the pods that get the traffic.
    #[serde(skip_serializing_if = "Loose::is_nothing")]
    pub active_selector: Loose<String>,
}

/// A value that is there, and of which nothing more is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Something;

/// A number that Argo writes as a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number(pub i64);

// === impl Loose ===

impl<T> Default for Loose<T> {
    fn default() -> Self {
        Loose { value: None, wrong: false }
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Loose<T> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(input)?;
        if value.is_null() {
            return Ok(Loose::default());
        }
        let value = T::deserialize(value).ok();
        Ok(Loose { wrong: value.is_none(), value })
    }
}

/// Written for a field that holds something else than it should: no field's type takes it.
const WRONG: f64 = 0.5;

impl<T> Loose<T> {
    fn is_nothing(&self) -> bool {
        self.value.is_none() && !self.wrong
    }
}

/// Reads as the same again. What was in a field that was wrong is lost.
impl<T: Serialize> Serialize for Loose<T> {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        match &self.value {
            Some(value) => value.serialize(output),
            None if self.wrong => output.serialize_f64(WRONG),
            None => output.serialize_unit(),
        }
    }
}

// === impl Something ===

impl<'de> Deserialize<'de> for Something {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(input).map(|_| Something)
    }
}

impl Serialize for Something {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        output.serialize_map(Some(0))?.end()
    }
}

// === impl Number ===

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let number = match Value::deserialize(input)? {
            Value::String(text) => text.parse().ok(),
            Value::Number(number) => number.as_i64(),
            _ => None,
        };
        number.map(Number).ok_or_else(|| serde::de::Error::custom("not a number"))
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        output.collect_str(&self.0)
    }
}

// === impl RolloutStatus ===

impl RolloutStatus {
    /// When it was aborted, in nanoseconds since 1970.
    pub fn aborted_at(&self) -> Option<i64> {
        let text = self.aborted_at.value.as_ref()?;
        time::parse_stamp(text.as_bytes()).map(|(time, _)| time)
    }
}

// === impl Rollout ===

impl Rollout {
    /// The fields that hold what they should not, with commas between them; `None` if none does.
    pub fn wrong(&self) -> Option<String> {
        let mut wrong = Vec::new();
        let mut note = |path, is_wrong| {
            if is_wrong {
                wrong.push(path);
            }
        };
        note("spec", self.spec.wrong);
        note("status", self.status.wrong);
        if let Some(spec) = &self.spec.value {
            note("spec.replicas", spec.replicas.wrong);
            note("spec.paused", spec.paused.wrong);
            note("spec.progressDeadlineSeconds", spec.progress_deadline_seconds.wrong);
            note("spec.strategy", spec.strategy.wrong);
            note("spec.template", spec.template.wrong);
            note("spec.workloadRef", spec.workload_ref.wrong);
            let strategy = spec.strategy.value.as_ref();
            let canary = strategy.map(|strategy| &strategy.canary);
            note("spec.strategy.canary", canary.is_some_and(|canary| canary.wrong));
            let steps = canary.and_then(|canary| Some(&canary.value.as_ref()?.steps));
            note("spec.strategy.canary.steps", steps.is_some_and(|steps| steps.wrong));
        }
        if let Some(status) = &self.status.value {
            note("status.phase", status.phase.wrong);
            note("status.observedGeneration", status.observed_generation.wrong);
            note("status.currentPodHash", status.current_pod_hash.wrong);
            note("status.stableRS", status.stable_rs.wrong);
            note("status.abort", status.abort.wrong);
            note("status.pauseConditions", status.pause_conditions.wrong);
            note("status.currentStepIndex", status.current_step_index.wrong);
            note("status.replicas", status.replicas.wrong);
            note("status.updatedReplicas", status.updated_replicas.wrong);
            note("status.readyReplicas", status.ready_replicas.wrong);
            note("status.availableReplicas", status.available_replicas.wrong);
            note("status.conditions", status.conditions.wrong);
            note("status.blueGreen", status.blue_green.wrong);
        }
        (!wrong.is_empty()).then(|| wrong.join(", "))
    }
}

impl kube::Resource for Rollout {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "Rollout".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        "argoproj.io".into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1alpha1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "rollouts".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Rollout {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_wrong_field_costs_that_field_and_is_named() {
        let rollout = read(
            r#"{"metadata":{"name":"web"},"spec":{"replicas":"many","paused":true},
            "status":{"phase":7,"observedGeneration":"3","conditions":"none"}}"#,
        );
        let (spec, status) = (rollout.spec.value.as_ref(), rollout.status.value.as_ref());
        assert_eq!(spec.unwrap().paused.value, Some(true));
        assert_eq!(status.unwrap().observed_generation.value, Some(Number(3)));
        let wrong = "spec.replicas, status.phase, status.conditions";
        assert_eq!(rollout.wrong().as_deref(), Some(wrong));
    }

    #[test]
    fn nothing_but_metadata_is_needed() {
        for text in [
            r#"{"metadata":{}}"#,
            r#"{"metadata":{},"spec":null,"status":null}"#,
            r#"{"metadata":{},"spec":{},"status":{}}"#,
        ] {
            assert_eq!(read(text).wrong(), None, "{text}");
        }
        let upside_down = r#"{"metadata":{},"spec":true,"status":"Healthy"}"#;
        assert_eq!(read(upside_down).wrong().as_deref(), Some("spec, status"));
    }

    #[test]
    fn what_is_written_reads_as_the_same() {
        for text in [
            r#"{"metadata":{"name":"web"}}"#,
            r#"{"metadata":{},"spec":true,"status":"Healthy"}"#,
            r#"{"metadata":{},"spec":{"replicas":2,"paused":true,"progressDeadlineSeconds":"9",
            "strategy":{"canary":{"steps":[{"setWeight":20},{"pause":{"duration":"1h"}},
            {"analysis":{"args":[{"name":"a","value":"hunter2"}]}},7,null]}},
            "workloadRef":{"name":"web"}},
            "status":{"phase":"Paused","observedGeneration":"3","workloadObservedGeneration":4,
            "currentPodHash":"6c9f","stableRS":"7d","abort":"no","pauseConditions":
            [{"reason":"CanaryPauseStep"}],"currentStepIndex":1,"replicas":2,
            "conditions":[{"type":"Progressing","status":"True"}]}}"#,
            r#"{"metadata":{},"spec":{"strategy":{"blueGreen":{"activeService":"hunter2"}}},
            "status":{"blueGreen":{"activeSelector":"6c9f"},"conditions":"hunter2"}}"#,
        ] {
            let first = read(text);
            let written = serde_json::to_string(&first).unwrap();
            assert!(!written.contains("hunter2"), "{written}");
            assert_eq!(format!("{:?}", read(&written)), format!("{first:?}"), "{written}");
        }
    }

    #[test]
    fn the_template_is_read_as_that_of_a_replica_set() {
        let template = r#"{"metadata":{"labels":{"app":"web"LABEL}},"spec":{"containers":[
            {"name":"app","image":"shop/web:1","ports":[{"containerPort":80}]}]}}"#;
        let own = template.replace("LABEL", "");
        let labelled = template.replace("LABEL", r#","rollouts-pod-template-hash":"6c9f""#);
        let rollout = read(&format!(r#"{{"metadata":{{}},"spec":{{"template":{own}}}}}"#));
        let own = rollout.spec.value.unwrap().template.value.unwrap();
        let other: Template = serde_json::from_str(&labelled).unwrap();
        assert_eq!(own, other);
    }
}
