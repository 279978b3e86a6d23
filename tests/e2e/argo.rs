//! Argo Rollouts, with the real controller: it is built when this test needs it, and runs only as long.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::client::Event;
use crate::cluster::{Namespace, eventually, kubeconfig, kubectl, namespace, program, run};
use crate::recordings::{Recording, folder};
use crate::service::{Service, fetch, free_address, stream};
use crate::writers::{container, pod};

/// Short graces, as in `outcomes`.
const OPTIONS: [&str; 4] = ["--settle", "4s", "--rollout-deadline", "40s"];
/// A definition that comes later is looked for once a minute; the rest is the controller's.
const NOTICED: Duration = Duration::from_secs(90);
/// A cause that is certain is named, and the rollout failed, within so long of its being asked for: the
/// controller makes the pod, and the kubelet tries to pull.
const AT_ONCE: Duration = Duration::from_secs(15);

/// The definitions and the controller. Dropping it takes both away.
struct Argo {
    child: Child,
    definitions: PathBuf,
}

// === impl Argo ===

impl Argo {
    fn install(namespace: &Namespace) -> Argo {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let build = root.join("tests/e2e/cluster/build");
        run(Command::new(build).arg("argo"), None).unwrap_or_else(|said| panic!("build: {said}"));
        let cache = PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/rollcast");
        let definitions = cache.join("argo");
        // They are larger than what `apply` may note down in an annotation.
        let folder = definitions.to_str().unwrap();
        for file in std::fs::read_dir(&definitions).unwrap() {
            let file = file.unwrap().path();
            if file.extension().is_some_and(|it| it == "yaml") {
                let file = file.to_str().unwrap();
                kubectl(&["apply", "--server-side", "--force-conflicts", "-f", file]);
            }
        }
        kubectl(&["wait", "--for=condition=Established", "--timeout=30s", "-f", folder]);
        let log = std::env::temp_dir().join(format!("argo-{}.log", std::process::id()));
        let log = std::fs::File::create(log).unwrap();
        let port = || free_address().port().to_string();
        let child = program("rollouts-controller")
            .arg("--kubeconfig")
            .arg(kubeconfig().unwrap())
            .args(["--namespaced", "--namespace", &namespace.name, "--leader-elect=false"])
            .args(["--metricsPort", &port(), "--healthzPort", &port()])
            .stdin(Stdio::null())
            .stdout(Stdio::from(log.try_clone().unwrap()))
            .stderr(Stdio::from(log))
            .spawn()
            .unwrap();
        Argo { child, definitions }
    }
}

impl Drop for Argo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let folder = self.definitions.to_str().unwrap();
        let arguments = ["delete", "--ignore-not-found", "--timeout=60s", "-f", folder];
        if let Err(said) = crate::cluster::attempt(&arguments, None) {
            eprintln!("the definitions of Argo Rollouts are left behind: {said}");
        }
    }
}

fn good(run: &str) -> Value {
    let mut spec = pod(&[container("app", run, "--rate 2 --hold")]);
    spec["terminationGracePeriodSeconds"] = 1.into();
    spec
}

fn bad_image() -> Value {
    let mut spec = good("bad");
    spec["containers"][0]["image"] = "127.0.0.1/nothing:1".into();
    spec["containers"][0]["imagePullPolicy"] = "IfNotPresent".into();
    spec
}

fn rollout(name: &str, strategy: &Value, spec: &Value) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": name},
        "spec": {
            "replicas": 4, "progressDeadlineSeconds": 30, "strategy": strategy,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": spec},
        },
    })
}

/// 25 %, then as the test says, then all.
fn canary(pause: &Value) -> Value {
    json!({"canary": {"steps": [{"setWeight": 25}, {"pause": pause}]}})
}

/// A Service of the pods of `blue`.
fn service_object(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"selector": {"app": "blue"}, "ports": [{"port": 80}]},
    })
}

/// Everything around one Rollout.
struct Case<'a> {
    shop: &'a Namespace,
    service: &'a Service,
    name: &'static str,
}

// === impl Case ===

impl Case<'_> {
    fn path(&self, what: &str) -> String {
        format!("/api/v1/namespaces/{}/rollout/{}/{what}", self.shop.name, self.name)
    }

    async fn state(&self) -> Option<Value> {
        let (status, body) = fetch(self.service.address, &self.path("rollout"), &[]).await;
        (status == 200).then(|| serde_json::from_str(&body).unwrap())
    }

    /// Waits until the state is as wanted.
    async fn until(&self, what: &str, limit: Duration, is: impl Fn(&Value) -> bool) -> Value {
        let what = format!("{} to be {what}", self.name);
        eventually(&what, limit, async || self.state().await.filter(&is)).await
    }

    /// Its first version, which is waited for.
    async fn begin(&self, strategy: &Value) {
        self.shop.apply(&rollout(self.name, strategy, &good("one")));
        self.until("complete", NOTICED, |state| state["phase"] == "complete").await;
    }

    /// Asks for another template, and opens its stream until the result. Recordings are recorded as this
    /// row.
    async fn ask(&self, row: &str, strategy: &Value, spec: &Value) -> Asked {
        let workload = format!("rollout/{}", self.name);
        let recording = Recording::begin(&self.shop.name, &workload, row).await;
        self.shop.apply(&rollout(self.name, strategy, spec));
        let client = stream(self.service.address, &self.path("stream?until=result"), &[]).await;
        Asked { client, recording }
    }

    async fn paused(&self, message: &str) {
        let paused = self.until("paused", Duration::from_secs(40), |it| it["phase"] == "paused");
        let state = paused.await;
        assert_eq!(state["message"], message, "{state}");
        let (status, said) = fetch(self.service.address, &self.path("verdict"), &[]).await;
        assert_eq!(status, 429, "a pause is no end: {said}");
    }

    /// Changes the status, as `kubectl argo rollouts` does.
    fn steer(&self, status: &Value) {
        let patch = json!({"status": status}).to_string();
        let what = ["patch", "rollouts.argoproj.io", self.name, "--subresource=status"];
        self.shop.kubectl(&[&what[..], &["--type=merge", "-p", &patch]].concat());
    }
}

/// What was asked for, as it is being told and recorded.
struct Asked {
    client: crate::client::Client,
    recording: Option<Recording>,
}

/// The result of a stream, which is its last event.
async fn result(asked: Asked) -> Event {
    let Asked { mut client, recording } = asked;
    let read = async {
        let mut last = None;
        while let Some(event) = client.next().await {
            last = Some(event);
        }
        last.unwrap()
    };
    let last = tokio::time::timeout(Duration::from_secs(120), read).await.expect("no result");
    assert_eq!(last.name, "result", "{last:?}");
    if let Some(recording) = recording {
        recording.end().await;
    }
    last
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[allow(clippy::too_many_lines, reason = "one cluster-wide definition, so one test after another")]
async fn argo_rollouts_are_told_as_their_controller_rolls_them_out() {
    let Some(shop) = namespace("argo") else { return };
    // Before there is any such kind.
    let options = [&["--namespace", &*shop.name], &OPTIONS[..]].concat();
    let service = Service::open("argo", &options).await;
    let argo = Argo::install(&shop);
    let case = |name| Case { shop: &shop, service: &service, name };
    let promoted = json!({"pauseConditions": null});

    // The first one shows that the definition was noticed.
    let web = case("web");
    let began = Instant::now();
    let free = canary(&json!({"duration": "2s"}));
    web.begin(&free).await;
    eprintln!(
        "the definition was noticed, and the first pods were good, after {:?}",
        began.elapsed()
    );
    let end = result(web.ask("good", &free, &good("two")).await).await;
    assert_eq!(end.data["outcome"], "succeeded", "{end:?}");
    assert_eq!(end.data["revision"], "2", "{end:?}");

    let asked = web.ask("image", &free, &bad_image()).await;
    let began = Instant::now();
    let end = result(asked).await;
    assert_eq!(end.data["outcome"], "failed", "{end:?}");
    assert_eq!(end.data["reason"], "image_not_found", "{end:?}");
    // A recording goes on for a while.
    assert!(folder().is_some() || began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    // Back to what was stable: a rollout of its own, and a good one.
    let end = result(web.ask("back", &free, &good("two")).await).await;
    assert_eq!(end.data["outcome"], "succeeded", "{end:?}");

    let held = canary(&json!({}));
    let paused = case("paused");
    paused.begin(&held).await;
    let client = paused.ask("promoted", &held, &good("two")).await;
    paused.paused("paused at step 2 of 2 (canary 25 %)").await;
    paused.steer(&promoted);
    let end = result(client).await;
    assert_eq!(end.data["outcome"], "succeeded", "{end:?}");

    let client = paused.ask("aborted", &held, &good("three")).await;
    paused.paused("paused at step 2 of 2 (canary 25 %)").await;
    paused.steer(&json!({"abort": true}));
    let end = result(client).await;
    assert_eq!(end.data["outcome"], "failed", "{end:?}");
    assert_eq!(end.data["reason"], "aborted", "{end:?}");
    let said = end.data["message"].as_str().unwrap();
    assert!(said.starts_with("the update was aborted"), "{said}");

    let blue = case("blue");
    for name in ["active", "preview"] {
        shop.apply(&service_object(name));
    }
    let strategy = json!({"blueGreen": {"activeService": "active", "previewService": "preview",
        "autoPromotionEnabled": false, "scaleDownDelaySeconds": 30}});
    blue.begin(&strategy).await;
    let client = blue.ask("blue_green", &strategy, &good("two")).await;
    blue.paused("paused before the promotion (blue-green)").await;
    blue.steer(&promoted);
    let end = result(client).await;
    assert_eq!(end.data["outcome"], "succeeded", "{end:?}");
    let state = blue.state().await.unwrap();
    assert_eq!((&state["ready"], &state["desired"]), (&4.into(), &4.into()), "{state}");

    // The definition goes, and all Rollouts with it; the service goes on.
    drop(argo);
    eventually("the Rollouts to be gone", Duration::from_secs(30), async || {
        let (_, list) = service.json("/api/v1/workloads", &[]).await;
        let all = list["workloads"].as_array().unwrap().clone();
        all.iter().all(|it| it["kind"] != "rollout").then_some(())
    })
    .await;
    assert_eq!(fetch(service.admin, "/readyz", &[]).await.0, 200);
}
