//! One line: what a watch brought, as JSON.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Received;
use crate::cluster::types::{Template, annotation};
use crate::cluster::{Failure, Step};
use crate::time;
use crate::watch::problem::Resource;
use crate::watch::tables::Object;

/// A line that says nothing that could be applied.
#[derive(Debug, thiserror::Error)]
pub enum BadLine {
    /// No JSON, or not of this form.
    #[error("it cannot be read: {0}")]
    Form(#[from] serde_json::Error),
    /// The time is none.
    #[error("\"{0}\" is no time such as 2026-11-22T14:02:38Z")]
    Time(String),
    /// No watch has this name.
    #[error("there is no watch \"{0}\"")]
    Watch(String),
    /// There is no such step, or it lacks its object.
    #[error("a step \"{0}\" like this cannot be")]
    Step(String),
}

/// Numbers for templates, in the order in which they are seen. A digest would let somebody who knows most
/// of a template guess the rest.
#[derive(Debug, Default)]
pub struct Templates(HashMap<u64, u64>);

#[derive(Serialize, Deserialize)]
struct Line<'a, T> {
    at: Cow<'a, str>,
    watch: Cow<'a, str>,
    step: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Said>,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<T>,
}

#[derive(Serialize, Deserialize)]
struct Said {
    verb: String,
    refused: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    absent: bool,
    message: String,
}

// === impl Templates ===

impl Templates {
    fn rename(&mut self, template: &mut Template) {
        let next = self.0.len() as u64 + 1;
        template.digest = *self.0.entry(template.digest).or_insert(next);
    }
}

// === impl Received ===

impl Received {
    /// Takes out what could be guessed from the digest of its template, if it has one, and the cause of its
    /// change: that may be a whole command line, values of variables included.
    pub fn rename(&mut self, templates: &mut Templates) {
        let (Step::Listed(object) | Step::Applied(object) | Step::Deleted(object)) = &mut self.step
        else {
            return;
        };
        let (metadata, template) = match object {
            Object::Deployment(it) => (&mut it.metadata, Some(&mut it.spec.template)),
            Object::ReplicaSet(it) => (&mut it.metadata, Some(&mut it.spec.template)),
            Object::StatefulSet(it) => (&mut it.metadata, Some(&mut it.spec.template)),
            Object::DaemonSet(it) => (&mut it.metadata, Some(&mut it.spec.template)),
            Object::Job(it) => (&mut it.metadata, Some(&mut it.spec.template)),
            Object::CronJob(it) => {
                (&mut it.metadata, Some(&mut it.spec.job_template.spec.template))
            }
            Object::Rollout(it) => {
                let spec = it.spec.value.as_mut();
                (&mut it.metadata, spec.and_then(|spec| spec.template.value.as_mut()))
            }
            Object::Pod(it) => (&mut it.metadata, None),
            Object::ControllerRevision(it) => (&mut it.metadata, None),
            Object::Event(it) => (&mut it.metadata, None),
        };
        if let Some(annotations) = &mut metadata.annotations {
            annotations.remove(annotation::CHANGE_CAUSE);
        }
        metadata.annotations = metadata.annotations.take().filter(|it| !it.is_empty());
        if let Some(template) = template {
            templates.rename(template);
        }
    }

    /// Writes it as one line, without its end.
    ///
    /// # Errors
    /// None that is known: all of it can be written as JSON.
    pub fn write(&self) -> Result<String, BadLine> {
        let failure = match &self.step {
            Step::Failed(Failure { verb, refused, absent, message }) => Some(Said {
                verb: (*verb).into(),
                refused: *refused,
                absent: *absent,
                message: message.clone(),
            }),
            _ => None,
        };
        let line = Line {
            at: time::rfc3339(self.at).into(),
            watch: self.watch.as_str().into(),
            step: word(&self.step).into(),
            failure,
            object: self.object(),
        };
        Ok(serde_json::to_string(&line)?)
    }

    /// Reads a line.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn read(line: &str) -> Result<Received, BadLine> {
        let line: Line<'_, &RawValue> = serde_json::from_str(line)?;
        let Some((at, _)) = time::parse_stamp(line.at.as_bytes()) else {
            return Err(BadLine::Time(short(&line.at)));
        };
        let known = Resource::ALL.into_iter().find(|it| it.as_str() == line.watch);
        let watch = known.ok_or_else(|| BadLine::Watch(short(&line.watch)))?;
        let step = match (&*line.step, line.object, line.failure) {
            ("began", None, None) => Step::Began,
            ("complete", None, None) => Step::Complete,
            ("listed", Some(raw), None) => Step::Listed(object(watch, raw)?),
            ("applied", Some(raw), None) => Step::Applied(object(watch, raw)?),
            ("deleted", Some(raw), None) => Step::Deleted(object(watch, raw)?),
            ("absent", None, None) => Step::Absent,
            ("failed", None, Some(Said { verb, refused, absent, message })) => {
                let verb = match &*verb {
                    "list" => "list",
                    "discover" => "discover",
                    _ => "watch",
                };
                Step::Failed(Failure { verb, refused, absent, message })
            }
            (other, _, _) => return Err(BadLine::Step(short(other))),
        };
        Ok(Received { at, watch, step })
    }
}

fn word(step: &Step<Object>) -> &'static str {
    match step {
        Step::Began => "began",
        Step::Listed(_) => "listed",
        Step::Complete => "complete",
        Step::Applied(_) => "applied",
        Step::Deleted(_) => "deleted",
        Step::Failed(_) => "failed",
        Step::Absent => "absent",
    }
}

/// A word of a file as an error shows it.
fn short(word: &str) -> String {
    word.chars().take(64).collect()
}

/// Decodes an object as its watch does.
fn object(watch: Resource, raw: &RawValue) -> Result<Object, BadLine> {
    fn read<T: DeserializeOwned>(raw: &RawValue) -> Result<Box<T>, BadLine> {
        Ok(Box::new(serde_json::from_str(raw.get())?))
    }
    Ok(match watch {
        Resource::Deployments => Object::Deployment(read(raw)?),
        Resource::StatefulSets => Object::StatefulSet(read(raw)?),
        Resource::DaemonSets => Object::DaemonSet(read(raw)?),
        Resource::CronJobs => Object::CronJob(read(raw)?),
        Resource::Rollouts => Object::Rollout(read(raw)?),
        Resource::Jobs => Object::Job(read(raw)?),
        Resource::ReplicaSets => Object::ReplicaSet(read(raw)?),
        Resource::ControllerRevisions => Object::ControllerRevision(read(raw)?),
        Resource::Pods => Object::Pod(read(raw)?),
        Resource::Events => Object::Event(read(raw)?),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(watch: &str, step: &str, object: &serde_json::Value) -> String {
        json!({"at": "2026-11-22T14:02:38.5Z", "watch": watch, "step": step, "object": object})
            .to_string()
    }

    /// As the API serves it, with what must not be written.
    fn pod() -> serde_json::Value {
        json!({
            "metadata": {"name": "web-1", "namespace": "shop", "uid": "u", "resourceVersion": "7",
                "creationTimestamp": "2026-11-22T14:00:00Z", "labels": {"app": "web"},
                "annotations": {"secret.example.com/note": "hunter2", "rollcast.dev/settle": "4s"},
                "managedFields": [{"manager": "hunter2"}]},
            "spec": {"nodeName": "node-1", "serviceAccountName": "hunter2",
                "readinessGates": [{"conditionType": "hunter2"}],
                "containers": [{"name": "app", "image": "shop/web:1", "readinessProbe": {},
                    "command": ["hunter2"], "env": [{"name": "PASSWORD", "value": "hunter2"}]}]},
            "status": {"phase": "Running", "podIP": "10.0.0.1", "conditions": [{"type": "Ready",
                    "status": "True", "lastTransitionTime": "2026-11-22T14:00:05Z"}],
                "containerStatuses": [{"name": "app", "restartCount": 2, "ready": true,
                    "containerID": "containerd://1", "image": "hunter2",
                    "state": {"running": {"startedAt": "2026-11-22T14:00:03Z"}},
                    "lastState": {"terminated": {"exitCode": 1, "reason": "Error",
                        "startedAt": "2026-11-22T14:00:01Z",
                        "finishedAt": "2026-11-22T14:00:02.5Z"}}}]},
        })
    }

    /// All that is read of any object; each value is read as another type if it is not written right.
    fn workload() -> serde_json::Value {
        json!({
            "metadata": {"name": "web", "namespace": "shop", "uid": "w", "generation": 3,
                "deletionTimestamp": "2026-11-22T14:01:00Z",
                "annotations": {"kubernetes.io/change-cause": "kubectl set env PASSWORD=hunter2",
                    "deployment.kubernetes.io/revision": "3"},
                "managedFields": [{"manager": "helm", "operation": "Apply",
                    "time": "2026-11-22T14:00:00Z", "fieldsV1": {"f:spec": {"f:hunter2": {}}}}],
                "ownerReferences": [{"apiVersion": "batch/v1", "kind": "CronJob", "name": "nightly",
                    "uid": "c", "controller": true}]},
            "spec": {"replicas": 3, "paused": true, "suspend": true, "minReadySeconds": 4,
                "progressDeadlineSeconds": 60, "completions": 2, "podManagementPolicy": "Parallel",
                "strategy": {"type": "Recreate"},
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}},
                "template": {"spec": {"initContainers": [{"name": "prepare", "image": "shop/p:1"}],
                    "containers": [{"name": "app", "image": "shop/web:1",
                    "readinessProbe": {"periodSeconds": 1}, "env": [{"value": "hunter2"}]}]}}},
            "revision": 4,
            "status": {"observedGeneration": 2, "replicas": 3, "updatedReplicas": 2,
                "readyReplicas": 1, "availableReplicas": 1, "currentRevision": "a",
                "updateRevision": "b", "desiredNumberScheduled": 3, "currentNumberScheduled": 3,
                "updatedNumberScheduled": 2, "numberReady": 1, "numberAvailable": 1,
                "active": 1, "ready": 1, "succeeded": 1, "failed": 1,
                "startTime": "2026-11-22T14:00:00Z", "completionTime": "2026-11-22T14:00:09Z",
                "conditions": [{"type": "Progressing", "status": "True", "reason": "R",
                    "message": "M", "lastUpdateTime": "2026-11-22T14:00:07Z"}]},
        })
    }

    fn event() -> serde_json::Value {
        json!({
            "metadata": {"name": "web.1", "namespace": "shop", "uid": "e",
                "creationTimestamp": "2026-11-22T14:00:00Z"},
            "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "web-1", "uid": "u",
                "fieldPath": "hunter2"},
            "type": "Warning", "reason": "Failed", "message": "no", "count": 2,
            "lastTimestamp": "2026-11-22T14:00:08Z", "eventTime": "2026-11-22T14:00:08.123456Z",
            "series": {"count": 5, "lastObservedTime": "2026-11-22T14:00:09.654321Z"},
            "source": {"component": "hunter2"},
        })
    }

    #[test]
    fn what_is_written_reads_as_the_same_and_nothing_else_is_written() {
        for watch in Resource::ALL {
            let value = match watch {
                Resource::Pods => pod(),
                Resource::Events => event(),
                _ => workload(),
            };
            for step in ["listed", "applied", "deleted"] {
                let mut first = Received::read(&line(watch.as_str(), step, &value)).unwrap();
                let mut templates = Templates::default();
                first.rename(&mut templates);
                let written = first.write().unwrap();
                assert!(!written.contains("hunter2") && !written.contains("null,"), "{written}");
                let mut second = Received::read(&written).unwrap();
                // The digest of a stand-in is another, and as good.
                second.rename(&mut Templates::default());
                assert_eq!(format!("{second:?}"), format!("{first:?}"), "{watch}");
            }
        }
    }

    #[test]
    fn steps_without_object_are_read_as_they_were_written() {
        let at = "2026-11-22T14:02:38.123456789Z";
        for (step, failure) in [
            ("began", ""),
            ("complete", ""),
            ("absent", ""),
            ("failed", r#","failure":{"verb":"list","refused":true,"message":"no right"}"#),
            (
                "failed",
                r#","failure":{"verb":"discover","refused":false,"absent":true,"message":"no"}"#,
            ),
        ] {
            let line = format!(r#"{{"at":"{at}","watch":"pods","step":"{step}"{failure}}}"#);
            assert_eq!(Received::read(&line).unwrap().write().unwrap(), line);
        }
    }

    #[test]
    fn a_bad_line_is_refused_with_what_is_wrong() {
        for (line, words) in [
            ("{", "cannot be read"),
            (r#"{"at":"soon","watch":"pods","step":"began"}"#, "\"soon\" is no time"),
            (r#"{"at":"2026-11-22T14:02:38Z","watch":"nodes","step":"began"}"#, "watch \"nodes\""),
            (r#"{"at":"2026-11-22T14:02:38Z","watch":"pods","step":"listed"}"#, "step \"listed\""),
            (
                r#"{"at":"2026-11-22T14:02:38Z","watch":"pods","step":"listed","object":{"metadata":7}}"#,
                "cannot be read",
            ),
        ] {
            let error = Received::read(line).unwrap_err().to_string();
            assert!(error.contains(words), "{line}: {error}");
        }
    }
}
