//! Recordings of the real cluster for `tests/recorded`: with `ROLLCAST_E2E_RECORD=FOLDER` what the scenarios
//! of `outcomes` and those here do is recorded beside them, by the program as its users record. Without it
//! nothing here runs.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::cluster::{Namespace, kubeconfig, namespace};
use crate::outcomes::{CRASHES, GRACES, STAYS, again, bad_image, deployment, good, one, restless};
use crate::service::rollcast;

/// The program, recording one workload.
pub struct Recording {
    child: Child,
    file: PathBuf,
}

/// Whether scenarios are to be recorded, and where.
pub fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("ROLLCAST_E2E_RECORD").filter(|folder| !folder.is_empty())?;
    Some(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder))
}

impl Recording {
    /// Begins to record `kind/name` as the row of this name; nothing unless that was asked for. The
    /// cluster has been read when this returns, mostly: a recording that begins later is good, too.
    pub async fn begin(namespace: &str, workload: &str, row: &str) -> Option<Recording> {
        let folder = folder()?.join(workload.split_once('/')?.0);
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join(format!("{row}.jsonl"));
        let (to, config) = (file.to_str().unwrap().to_owned(), kubeconfig().unwrap());
        let own = ["record", workload, "-n", namespace, "--out", &*to, "--longest", "240s"];
        let mut command = rollcast(&[&own[..], &["--after", "6s"], &GRACES[..]].concat());
        command.env("KUBECONFIG", config).env("ROLLCAST_LOG", "warn").stdout(Stdio::null());
        let child = command.spawn().unwrap();
        tokio::time::sleep(Duration::from_secs(4)).await;
        Some(Recording { child, file })
    }

    /// Waits until it has seen the result.
    pub async fn end(mut self) {
        let status = tokio::task::spawn_blocking(move || {
            let status = self.child.wait().unwrap();
            (status, std::fs::read_to_string(&self.file).unwrap())
        });
        let (status, text) = status.await.unwrap();
        assert!(status.success(), "{status}");
        let (_, told) = rollcast::app::replay(&text).unwrap();
        assert!(!told.results.is_empty(), "no result was recorded: {}", told.summary());
        eprintln!("recorded: {}", told.summary());
    }
}

/// What is there before, and what is asked for then.
struct Scene {
    workload: &'static str,
    row: &'static str,
    before: Option<Value>,
    then: Value,
}

fn set(kind: &str, name: &str, spec: Value) -> Value {
    let mut set = deployment(name, 2, spec);
    set["kind"] = kind.into();
    let fields = set["spec"].as_object_mut().unwrap();
    fields.remove("progressDeadlineSeconds");
    if kind == "DaemonSet" {
        fields.remove("replicas");
    } else {
        fields.insert("serviceName".to_owned(), name.into());
    }
    set
}

fn ends(options: &str) -> Value {
    let mut spec = restless(one(options, |_| {}));
    spec["restartPolicy"] = "Never".into();
    spec
}

fn nightly(name: &str, options: &str) -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name},
        "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {
            "backoffLimit": 0, "template": {"spec": ends(options)}}}},
    })
}

fn alone(name: &str, spec: Value) -> Value {
    // No label of others: a controller would take it over, or away.
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"alone": name}},
        "spec": spec})
}

/// What `outcomes` has no scenario for.
fn scenes() -> Vec<Scene> {
    let scene = |workload, row, before, then| Scene { workload, row, before, then };
    let changed = |kind, name, spec| (Some(set(kind, name, good())), set(kind, name, spec));
    let image = |image: &str, policy: &str| {
        one(STAYS, |app| {
            app["image"] = image.into();
            app["imagePullPolicy"] = policy.into();
        })
    };
    let of = |workload: &'static str, row, (before, then)| scene(workload, row, before, then);
    let web = |name, spec| (Some(deployment(name, 2, good())), deployment(name, 2, spec));
    let with = |mut object: Value, key: &str, value: Value| {
        object["spec"][key] = value;
        object
    };
    let recreate =
        |spec| with(deployment("recreate", 2, spec), "strategy", json!({"type": "Recreate"}));
    let mut sidecar = good();
    let mut crashes = crate::writers::container("beside", "outcome", CRASHES);
    crashes["restartPolicy"] = "Always".into();
    sidecar["initContainers"] = json!([crashes]);
    let startup = restless(one("--rate 2 --hold --term-exit 3", |app| {
        app["startupProbe"] =
            json!({"tcpSocket": {"port": 1}, "periodSeconds": 1, "failureThreshold": 2});
    }));
    vec![
        of(
            "deployment/never",
            "image_never_pull",
            web("never", image("nowhere/nothing:1", "Never")),
        ),
        of(
            "deployment/name",
            "invalid_image_name",
            web("name", image("No Such:Name", "IfNotPresent")),
        ),
        of("deployment/startup", "startup_probe", web("startup", startup)),
        of("deployment/sidecar", "sidecar", web("sidecar", restless(sidecar))),
        of("deployment/zero", "scaled_to_zero", {
            (Some(deployment("zero", 2, good())), deployment("zero", 0, again(good())))
        }),
        scene("deployment/recreate", "recreate", Some(recreate(good())), recreate(again(good()))),
        of("statefulset/ordered", "good", changed("StatefulSet", "ordered", again(good()))),
        of("statefulset/crash", "crash", {
            changed("StatefulSet", "crash", restless(one(CRASHES, |_| {})))
        }),
        scene(
            "statefulset/parallel",
            "parallel",
            Some(with(
                set("StatefulSet", "parallel", good()),
                "podManagementPolicy",
                "Parallel".into(),
            )),
            with(
                set("StatefulSet", "parallel", again(good())),
                "podManagementPolicy",
                "Parallel".into(),
            ),
        ),
        of("daemonset/good", "good", changed("DaemonSet", "good", again(good()))),
        of("daemonset/image", "image", changed("DaemonSet", "image", bad_image())),
        of("daemonset/crash", "crash", {
            changed("DaemonSet", "crash", restless(one(CRASHES, |_| {})))
        }),
        scene("cronjob/nightly", "good", None, nightly("nightly", "--rate 50 --lines 5")),
        scene("cronjob/broken", "failed", None, nightly("broken", CRASHES)),
        scene("pod/good", "good", None, alone("good", good())),
        scene("pod/failed", "failed", None, alone("failed", ends(CRASHES))),
        scene("pod/image", "image", None, alone("image", bad_image())),
    ]
}

async fn play(shop: &Namespace, scene: &Scene) {
    let Some(recording) = Recording::begin(&shop.name, scene.workload, scene.row).await else {
        return;
    };
    let (namespace, object) = (shop.name.clone(), scene.then.to_string());
    let ask = move || {
        crate::cluster::attempt(&["-n", &namespace, "apply", "-f", "-"], Some(&object)).unwrap();
    };
    tokio::task::spawn_blocking(ask).await.unwrap();
    recording.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_outcomes_has_no_scenario_for_is_recorded() {
    if folder().is_none() {
        return;
    }
    let Some(shop) = namespace("recordings") else { return };
    let scenes = scenes();
    scenes.iter().filter_map(|scene| scene.before.as_ref()).for_each(|before| shop.apply(before));
    for scene in scenes.iter().filter(|scene| scene.before.is_some()) {
        shop.kubectl(&["rollout", "status", scene.workload, "--timeout=120s"]);
    }
    // A few at a time: each is a process beside the cluster.
    for some in scenes.chunks(6) {
        futures_util::future::join_all(some.iter().map(|scene| play(&shop, scene))).await;
    }
}
