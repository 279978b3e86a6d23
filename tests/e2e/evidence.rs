//! When the API server showed what a reason is made of: watches of the test's own, beside the service's.

use std::sync::Arc;

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::Api;
use kube::runtime::{WatchStreamExt as _, watcher};
use parking_lot::Mutex;
use rollcast::time;
use serde_json::Value;
use tokio::task::JoinHandle;

/// What was received of one pod: which reason it is the evidence of, and when.
struct Shown {
    pod: String,
    code: &'static str,
    at: i64,
}

/// Running watches of a namespace. Dropping them ends them.
pub struct Evidence {
    shown: Arc<Mutex<Vec<Shown>>>,
    tasks: Vec<JoinHandle<()>>,
}

// === impl Evidence ===

impl Evidence {
    /// Watches the pods of a namespace, and the events about them.
    pub async fn watch(namespace: &str) -> Self {
        let client = kube::Client::try_from(kube::Config::infer().await.unwrap()).unwrap();
        let shown: Arc<Mutex<Vec<Shown>>> = Arc::default();
        let note = |shown: &Mutex<Vec<Shown>>, pod: &str, codes: &[&'static str]| {
            let at = time::now();
            let mut shown = shown.lock();
            for code in codes {
                if !shown.iter().any(|it| it.pod == pod && it.code == *code) {
                    shown.push(Shown { pod: pod.to_owned(), code, at });
                }
            }
        };
        let (pods, noted) = (Api::<Pod>::namespaced(client.clone(), namespace), shown.clone());
        let mut changes = watcher(pods, watcher::Config::default()).applied_objects().boxed();
        let of_pods = tokio::spawn(async move {
            while let Some(change) = changes.next().await {
                let Ok(pod) = change else { continue };
                let pod = serde_json::to_value(pod).unwrap();
                let name = pod["metadata"]["name"].as_str().unwrap_or_default();
                note(&noted, name, &of_pod(&pod));
            }
        });
        let (events, noted) = (Api::<Event>::namespaced(client, namespace), shown.clone());
        let mut changes = watcher(events, watcher::Config::default()).applied_objects().boxed();
        let of_events = tokio::spawn(async move {
            while let Some(change) = changes.next().await {
                let Ok(event) = change else { continue };
                let event = serde_json::to_value(event).unwrap();
                let name = event["involvedObject"]["name"].as_str().unwrap_or_default();
                note(&noted, name, &of_event(&event));
            }
        });
        Evidence { shown, tasks: vec![of_pods, of_events] }
    }

    /// When the first evidence of a reason was received, of a pod whose name begins so, since this time.
    pub fn first(&self, begins: &str, code: &str, since: i64) -> Option<i64> {
        let shown = self.shown.lock();
        let is = |it: &&Shown| it.pod.starts_with(begins) && it.code == code && it.at >= since;
        shown.iter().filter(is).map(|it| it.at).min()
    }
}

impl Drop for Evidence {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// What a pod's status is the evidence of.
fn of_pod(pod: &Value) -> Vec<&'static str> {
    let mut codes = Vec::new();
    for (list, init) in [("containerStatuses", false), ("initContainerStatuses", true)] {
        for status in pod["status"][list].as_array().into_iter().flatten() {
            match status["state"]["waiting"]["reason"].as_str().unwrap_or_default() {
                "ErrImagePull" | "ImagePullBackOff" => codes.push("image_not_found"),
                "CreateContainerConfigError" => codes.push("config_missing"),
                "RunContainerError" | "StartError" => codes.push("invalid_command"),
                _ => {}
            }
            for state in ["state", "lastState"] {
                let ended = &status[state]["terminated"];
                match (ended["exitCode"].as_i64(), ended["reason"].as_str()) {
                    (None | Some(0), _) => {}
                    (_, Some("OOMKilled")) => codes.push("oom_killed"),
                    (_, Some("StartError")) => codes.push("invalid_command"),
                    _ if init => codes.push("init_failed"),
                    // Which of the two, an event tells, which came before.
                    _ => codes.extend(["crash_loop", "liveness_failed"]),
                }
            }
        }
    }
    for condition in pod["status"]["conditions"].as_array().into_iter().flatten() {
        if condition["type"] == "PodScheduled" && condition["reason"] == "Unschedulable" {
            codes.push("unschedulable");
        }
    }
    codes
}

fn of_event(event: &Value) -> Vec<&'static str> {
    let says = |words: &str| event["message"].as_str().is_some_and(|said| said.contains(words));
    match event["reason"].as_str() {
        Some("FailedMount") => vec!["volume_failed"],
        Some("Unhealthy") if says("Readiness") => vec!["readiness_failed"],
        _ => Vec::new(),
    }
}
