//! How an attempt stands, judged from the pod's status and from nothing else.
//!
//! The end of a stream says nothing: the API server ends it cleanly when the kubelet dies, and a
//! container in back-off ends it cleanly while its next attempt is being prepared.

use crate::cluster::Pod;
use crate::ids::AttemptKey;
use crate::watch::{self, ContainerEntry, ContainerRun, Ended, PodEntry};

/// What the newest known status says about one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It runs, or at least nothing says otherwise.
    Running {
        /// Since when, by the node's clock.
        started: Option<i64>,
    },
    /// It ended and is still the container's latest attempt: an ordinary read gives its log.
    Ended {
        /// Since when it ran, by the node's clock.
        started: Option<i64>,
        /// When it ended, by the node's clock.
        finished: Option<i64>,
    },
    /// A newer attempt exists: only a read of `previous` may give its log.
    Superseded {
        /// When it ended, if the status still says so.
        finished: Option<i64>,
    },
    /// The pod object is gone, and with it every log of the pod.
    Gone {
        /// Whether the last status showed the attempt ended, and when.
        ended: Option<Option<i64>>,
    },
}

// === impl Standing ===

impl Standing {
    /// The attempt is over, whatever became of its log.
    pub(super) fn is_over(self) -> bool {
        !matches!(self, Standing::Running { .. })
    }

    /// When it began, if a status tells of it as the newest.
    pub(super) fn started(self) -> Option<i64> {
        match self {
            Standing::Running { started } | Standing::Ended { started, .. } => started,
            Standing::Superseded { .. } | Standing::Gone { .. } => None,
        }
    }

    /// When it ended, as far as a status told.
    pub(super) fn finished(self) -> Option<i64> {
        match self {
            Standing::Running { .. } => None,
            Standing::Ended { finished, .. } | Standing::Superseded { finished } => finished,
            Standing::Gone { ended } => ended.flatten(),
        }
    }

    /// Judges a pod object that was just read.
    pub(super) fn of(pod: &Pod, key: &AttemptKey) -> Standing {
        if watch::identity(pod) != *key.uid {
            // Another pod of the same name: ours is gone.
            return Standing::Gone { ended: None };
        }
        let containers = watch::containers_of(pod);
        Self::of_container(find(&containers, key), &key.container_id)
    }

    /// Judges what the index knows.
    pub(super) fn of_entry(pod: &PodEntry, key: &AttemptKey) -> Standing {
        let standing = Self::of_container(find(&pod.containers, key), &key.container_id);
        match (pod.gone, standing) {
            (None, standing) => standing,
            (Some(_), Standing::Running { .. }) => Standing::Gone { ended: None },
            (Some(_), over) => Standing::Gone { ended: Some(over.finished()) },
        }
    }

    fn of_container(container: Option<&ContainerEntry>, id: &str) -> Standing {
        let Some(container) = container else { return Standing::Running { started: None } };
        let is_ours = container.container_id.as_deref() == Some(id);
        let ended_as = |ended: &Ended| {
            (ended.container_id.as_deref() == Some(id)).then_some((ended.started, ended.finished))
        };
        match &container.state {
            ContainerRun::Running { started } if is_ours => {
                return Standing::Running { started: *started };
            }
            ContainerRun::Terminated(ended) => {
                if let Some((started, finished)) = ended_as(ended) {
                    return Standing::Ended { started, finished };
                }
            }
            _ => {}
        }
        let waits = matches!(container.state, ContainerRun::Waiting(_));
        match container.last.as_deref().and_then(ended_as) {
            // Between two attempts the container waits and still carries the id of the last one.
            Some((started, finished)) if waits && is_ours => Standing::Ended { started, finished },
            Some((_, finished)) => Standing::Superseded { finished },
            None if is_ours || container.container_id.is_none() => {
                Standing::Running { started: None }
            }
            None => Standing::Superseded { finished: None },
        }
    }
}

fn find<'a>(containers: &'a [ContainerEntry], key: &AttemptKey) -> Option<&'a ContainerEntry> {
    containers.iter().find(|container| *container.name == *key.container)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn standing(state: Value, last: Value, id: &str) -> Standing {
        let pod = serde_json::from_value(json!({
            "metadata": {"name": "web-1", "uid": "u"},
            "spec": {"containers": [{"name": "app", "image": "i"}]},
            "status": {"containerStatuses": [
                {"name": "app", "restartCount": 1, "ready": false, "containerID": id,
                 "state": state, "lastState": last}
            ]}
        }))
        .unwrap();
        let key =
            AttemptKey { uid: "u".into(), container: "app".into(), container_id: "ours".into() };
        Standing::of(&pod, &key)
    }

    fn ended(id: &str) -> Value {
        json!({"terminated": {"exitCode": 1, "containerID": id,
               "finishedAt": "1970-01-01T00:00:05Z"}})
    }

    const FIVE: Option<i64> = Some(5 * crate::time::SECOND);

    #[test]
    fn only_status_tells_how_an_attempt_stands() {
        let running = json!({"running": {"startedAt": "1970-01-01T00:00:05Z"}});
        let waiting = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        let cases = [
            (running.clone(), json!({}), "ours", Standing::Running { started: FIVE }),
            (ended("ours"), json!({}), "ours", Standing::Ended { started: None, finished: FIVE }),
            (
                waiting.clone(),
                ended("ours"),
                "ours",
                Standing::Ended { started: None, finished: FIVE },
            ),
            (running.clone(), ended("ours"), "next", Standing::Superseded { finished: FIVE }),
            (running, ended("other"), "next", Standing::Superseded { finished: None }),
            (waiting, json!({}), "", Standing::Running { started: None }),
        ];
        for (state, last, id, expected) in cases {
            assert_eq!(standing(state.clone(), last.clone(), id), expected, "{state} {last} {id}");
        }
    }
}
