//! What really happens to a Deployment, as its controllers write it: one update, a rollback to the
//! revision before, a readiness probe that fails for a moment, and more replicas.

use super::*;

/// One write to the API, as a watch tells of it.
pub(super) struct Write {
    pub(super) value: Value,
    pub(super) gone: bool,
    /// Of a Deployment: the revision that is asked for, and whether that has been rolled out.
    pub(super) truth: Option<(&'static str, bool)>,
}

/// Which watch tells of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watch {
    Deployments,
    ReplicaSets,
    Pods,
}

impl Write {
    pub(super) fn watch(&self) -> Watch {
        match self.value["kind"].as_str() {
            Some("Deployment") => Watch::Deployments,
            Some("ReplicaSet") => Watch::ReplicaSets,
            _ => Watch::Pods,
        }
    }

    pub(super) fn uid(&self) -> &str {
        self.value["metadata"]["uid"].as_str().unwrap()
    }
}

/// What the controller writes down about a rollout: why, of which set, and when.
type Noted = (&'static str, &'static str, i64);

/// A Deployment with the number that it carries, and its condition Progressing.
fn web(
    truth: (&'static str, bool),
    image: &str,
    numbers: [i64; 6],
    number: i64,
    noted: Noted,
) -> Write {
    let (reason, set, updated) = noted;
    let mut value = deployment(image, numbers);
    value["metadata"]["annotations"] =
        json!({"deployment.kubernetes.io/revision": number.to_string()});
    let what = match reason {
        "NewReplicaSetAvailable" => {
            format!("ReplicaSet \"web-{set}\" has successfully progressed.")
        }
        "NewReplicaSetCreated" => format!("Created new replica set \"web-{set}\""),
        _ => format!("ReplicaSet \"web-{set}\" is progressing."),
    };
    value["status"]["conditions"] = json!([{"type": "Progressing", "status": "True",
        "reason": reason, "message": what, "lastTransitionTime": stamp(1),
        "lastUpdateTime": stamp(updated)}]);
    Write { value, gone: false, truth: Some(truth) }
}

fn other(value: Value) -> Write {
    Write { value, gone: false, truth: None }
}

fn set_a(numbers: [i64; 3]) -> Write {
    let mut value = replica_set("a", V1, 1, numbers);
    if numbers[0] > 1 {
        value["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"] = json!("1");
    }
    other(value)
}

fn set_b(numbers: [i64; 3]) -> Write {
    other(replica_set("b", V2, 20, numbers))
}

fn up(hash: &str, suffix: &str, created: i64, ready: bool) -> Write {
    other(running(pod(hash, suffix, created), ready))
}

fn leaving(hash: &str, suffix: &str, created: i64) -> [Write; 2] {
    let mut value = running(pod(hash, suffix, created), false);
    value["metadata"]["deletionTimestamp"] = json!(stamp(created + 30));
    let gone = Write { value: value.clone(), gone: true, truth: None };
    [other(value), gone]
}

const DONE: &str = "NewReplicaSetAvailable";
const MOVES: &str = "ReplicaSetUpdated";

/// Two replicas of version 1, done.
pub(super) fn settled() -> Vec<Write> {
    vec![
        web(("1", true), V1, [1, 1, 2, 2, 2, 2], 1, (DONE, "a", 7)),
        set_a([1, 2, 2]),
        up("a", "1", 2, true),
        up("a", "2", 2, true),
    ]
}

/// To version 2.
pub(super) fn update() -> Vec<Write> {
    let asked = ("2", false);
    let mut story = vec![
        web(asked, V2, [2, 1, 2, 2, 2, 2], 1, (DONE, "a", 7)),
        set_b([2, 0, 0]),
        // The number comes in a write of its own, with the status about version 1.
        web(asked, V2, [2, 1, 2, 2, 2, 2], 2, ("NewReplicaSetCreated", "b", 20)),
        web(asked, V2, [2, 2, 2, 2, 0, 2], 2, ("NewReplicaSetCreated", "b", 20)),
        set_b([2, 1, 0]),
        other(pod("b", "1", 21)),
        web(asked, V2, [2, 2, 2, 3, 1, 2], 2, (MOVES, "b", 21)),
        up("b", "1", 21, true),
        set_b([2, 1, 1]),
        set_a([1, 1, 1]),
    ];
    story.extend(leaving("a", "1", 2));
    story.extend([
        web(asked, V2, [2, 2, 2, 2, 1, 2], 2, (MOVES, "b", 24)),
        set_b([2, 2, 1]),
        up("b", "2", 25, true),
        set_b([2, 2, 2]),
        web(asked, V2, [2, 2, 2, 3, 2, 3], 2, (MOVES, "b", 26)),
        set_a([1, 0, 0]),
    ]);
    story.extend(leaving("a", "2", 2));
    story.push(web(("2", true), V2, [2, 2, 2, 2, 2, 2], 2, (DONE, "b", 29)));
    story
}

/// Back to version 1, whose ReplicaSet is used again and gets the number 3.
pub(super) fn rollback() -> Vec<Write> {
    let asked = ("3", false);
    let mut story = vec![
        web(asked, V1, [3, 2, 2, 2, 2, 2], 2, (DONE, "b", 29)),
        set_a([3, 0, 0]),
        // Observed, but what is written down is still about version 2, and so is the number.
        web(asked, V1, [3, 3, 2, 2, 0, 2], 2, (DONE, "b", 29)),
        web(asked, V1, [3, 3, 2, 2, 0, 2], 3, (DONE, "b", 29)),
        set_a([3, 1, 0]),
        other(pod("a", "3", 41)),
        web(asked, V1, [3, 3, 2, 3, 1, 2], 3, (MOVES, "a", 41)),
        up("a", "3", 41, true),
        set_a([3, 1, 1]),
        set_b([2, 1, 1]),
    ];
    story.extend(leaving("b", "1", 21));
    story.extend([
        web(asked, V1, [3, 3, 2, 2, 1, 2], 3, (MOVES, "a", 43)),
        set_a([3, 2, 1]),
        up("a", "4", 44, true),
        set_a([3, 2, 2]),
        set_b([2, 0, 0]),
    ]);
    story.extend(leaving("b", "2", 25));
    story.push(web(("3", true), V1, [3, 3, 2, 2, 2, 2], 3, (DONE, "a", 47)));
    story
}

/// A pod is not ready for a moment; another is evicted and replaced.
pub(super) fn flap() -> Vec<Write> {
    let web = |numbers| web(("3", true), V1, numbers, 3, (DONE, "a", 47));
    let mut story = vec![
        up("a", "3", 41, false),
        set_a([3, 2, 1]),
        web([3, 3, 2, 2, 2, 1]),
        up("a", "3", 41, true),
        set_a([3, 2, 2]),
        web([3, 3, 2, 2, 2, 2]),
    ];
    story.extend(leaving("a", "4", 44));
    story.extend([
        set_a([3, 1, 1]),
        web([3, 3, 2, 1, 1, 1]),
        up("a", "5", 60, false),
        set_a([3, 2, 1]),
        web([3, 3, 2, 2, 2, 1]),
        up("a", "5", 60, true),
        set_a([3, 2, 2]),
        web([3, 3, 2, 2, 2, 2]),
    ]);
    story
}

/// Three replicas instead of two.
pub(super) fn scale() -> Vec<Write> {
    let web = |numbers| web(("3", true), V1, numbers, 3, (DONE, "a", 47));
    vec![
        web([4, 3, 3, 2, 2, 2]),
        set_a([3, 2, 2]),
        web([4, 4, 3, 2, 2, 2]),
        up("a", "6", 70, false),
        set_a([3, 3, 2]),
        web([4, 4, 3, 3, 3, 2]),
        up("a", "6", 70, true),
        set_a([3, 3, 3]),
        web([4, 4, 3, 3, 3, 3]),
    ]
}
