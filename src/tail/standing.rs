//! How an attempt stands, judged from the pod's status and from nothing else.
//!
//! The end of a stream says nothing: the API server ends it cleanly when the kubelet dies, and a
//! container in back-off ends it cleanly while its next attempt is being prepared.

use crate::cluster::types::{ContainerState, ContainerStatus};
use crate::cluster::{self};
use crate::ids::AttemptKey;

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
        /// When, by the node's clock.
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

    /// When it ended, as far as a status told.
    pub(super) fn finished(self) -> Option<i64> {
        match self {
            Standing::Running { .. } => None,
            Standing::Ended { finished } | Standing::Superseded { finished } => finished,
            Standing::Gone { ended } => ended.flatten(),
        }
    }

    /// Judges a pod object that was just read.
    pub(super) fn of(pod: &cluster::Pod, key: &AttemptKey) -> Standing {
        let status = &pod.status;
        let lists = [
            &status.container_statuses,
            &status.init_container_statuses,
            &status.ephemeral_container_statuses,
        ];
        let same_pod = pod.metadata.uid.as_deref() == Some(&*key.uid);
        let container = lists
            .into_iter()
            .flatten()
            .flatten()
            .find(|container| *container.name == *key.container);
        match container {
            Some(container) if same_pod => of_container(container, &key.container_id),
            // Another pod of the same name: ours is gone.
            _ if !same_pod => Standing::Gone { ended: None },
            _ => Standing::Running { started: None },
        }
    }
}

fn of_container(status: &ContainerStatus, id: &str) -> Standing {
    let finished_if_ours = |state: &Option<ContainerState>| {
        let ended = state.as_ref()?.terminated.as_ref()?;
        (ended.container_id.as_deref() == Some(id)).then_some(ended.finished_at)
    };
    let running = status.state.as_ref().and_then(|state| state.running.as_ref());
    let is_ours = status.container_id.as_deref() == Some(id);
    if let Some(running) = running.filter(|_| is_ours) {
        return Standing::Running { started: running.started_at };
    }
    if let Some(finished) = finished_if_ours(&status.state) {
        return Standing::Ended { finished };
    }
    if let Some(finished) = finished_if_ours(&status.last_state) {
        // Between two attempts the container waits and still carries the id of the last one.
        let waits = running.is_none() && is_ours;
        return if waits { Standing::Ended { finished } } else { Standing::Superseded { finished } };
    }
    if is_ours || status.container_id.as_deref().is_none_or(str::is_empty) {
        return Standing::Running { started: None };
    }
    Standing::Superseded { finished: None }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn standing(state: Value, last: Value, id: &str) -> Standing {
        let pod = serde_json::from_value(json!({
            "metadata": {"name": "web-1", "uid": "u"},
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
            (ended("ours"), json!({}), "ours", Standing::Ended { finished: FIVE }),
            (waiting.clone(), ended("ours"), "ours", Standing::Ended { finished: FIVE }),
            (running.clone(), ended("ours"), "next", Standing::Superseded { finished: FIVE }),
            (running, ended("other"), "next", Standing::Superseded { finished: None }),
            (waiting, json!({}), "", Standing::Running { started: None }),
        ];
        for (state, last, id, expected) in cases {
            assert_eq!(standing(state.clone(), last.clone(), id), expected, "{state} {last} {id}");
        }
    }
}
