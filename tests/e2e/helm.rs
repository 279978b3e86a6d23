//! Installed with Helm: the image, the chart, its own account's rights and nothing more.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpStream;

use crate::cluster::{Namespace, attempt, ctl, eventually, kubectl, namespace, program, run};
use crate::page::Page;
use crate::reader::{Heard, Reader};
use crate::rights::grant;
use crate::service::{binary, fetch, stream, stream_path};
use crate::writers::Writers;

/// The release's name, and so the name of its objects.
const RELEASE: &str = "rollcast";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Builds the image around the program and loads it into the nodes. False in a foreign cluster,
/// whose nodes cannot be reached.
fn load_image() -> bool {
    if ctl(&["list"]).is_none() {
        return false;
    }
    let archive = std::env::temp_dir().join(format!("rollcast-e2e-{}.tar", std::process::id()));
    let scripts = root().join("tests");
    let mut build = Command::new(scripts.join("image/build"));
    run(build.arg(stripped()).arg(&archive), None).unwrap();
    let loaded = run(Command::new(scripts.join("e2e/cluster/load-image")).arg(&archive), None);
    let _ = std::fs::remove_file(archive);
    loaded.unwrap();
    true
}

/// The program without symbols: those of a debug build would only fill the nodes' disks.
fn stripped() -> PathBuf {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rollcast");
    run(Command::new("strip").arg("-o").arg(&out).arg(binary()), None).unwrap();
    out
}

fn helm(namespace: &Namespace, arguments: &[&str]) -> Result<String, String> {
    run(program("helm").args(["--namespace", &namespace.name]).args(arguments), None)
}

/// Installs the chart for these namespaces.
fn install(namespace: &Namespace, watched: &str, more: &[&str]) -> Result<String, String> {
    let chart = root().join("charts/rollcast");
    let watched = format!("rbac.namespaces={{{watched}}}");
    let image = "image.tag=test,image.pullPolicy=Never";
    let install = ["install", RELEASE, chart.to_str().unwrap(), "--set", image, "--set", &watched];
    helm(namespace, &[&install, more].concat())
}

/// Objects of the release anywhere in the cluster, but for those of the namespace of the release
/// that are on their way out.
fn left_of(namespace: &Namespace, watched: &Namespace) -> String {
    let kinds = "deployment,replicaset,service,serviceaccount,role,rolebinding,secret,configmap,\
                 ingress,networkpolicy,persistentvolumeclaim";
    let label = format!("app.kubernetes.io/instance={RELEASE}");
    let list = |scope: &[&str]| {
        let names = ["get", "--ignore-not-found", "-l", &label, "-o", "name"];
        kubectl(&[&names, scope].concat())
    };
    let cluster = list(&["clusterrole,clusterrolebinding"]);
    let cluster: Vec<&str> =
        cluster.lines().filter(|name| name.contains(&namespace.name)).collect();
    let secrets = namespace.kubectl(&["get", "secret", "-l", "owner=helm", "-o", "name"]);
    list(&["-n", &namespace.name, kinds])
        + &list(&["-n", &watched.name, kinds])
        + &secrets
        + &cluster.join("\n")
}

/// Waits until the nodes know the Service's Pod: they learn of it after Helm has found it ready.
async fn leads_to_the_pod(address: SocketAddr) {
    eventually("the Service to lead to the Pod", Duration::from_secs(20), async || {
        TcpStream::connect(address).await.ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_follows_a_rollout_with_its_own_account_and_leaves_nothing() {
    let Some(namespace) = namespace("helm") else { return };
    if !load_image() {
        return;
    }
    let shop = Namespace::create("shop");
    let forever = "--rate 100 --stream both";
    let mut web = Writers { name: "web", replicas: 3, run: "old", options: forever };
    shop.apply(&web.object());
    install(&namespace, &shop.name, &["--wait", "--timeout", "90s"]).unwrap_or_else(|said| {
        let pods = namespace.kubectl(&["describe", "pods"]);
        panic!("{said}\n{pods}")
    });
    grant(&shop, "reader");
    shop.rolled_out("web");
    let ip = namespace.kubectl(&["get", "service", RELEASE, "-o", "jsonpath={.spec.clusterIP}"]);
    let address: SocketAddr = format!("{ip}:8080").parse().unwrap();
    leads_to_the_pod(address).await;
    let path = stream_path(&shop.name, "web");
    assert_eq!(fetch(address, &path, &[]).await.0, 401);
    let token = shop.token("reader", Some("rollcast"));
    let page = Page::open(address, &token, &format!("{}/deployment/web", shop.name)).await;

    let reader = Reader::with_token(address, &path, None, &format!("Bearer {token}"));
    reader.until("live", Duration::from_secs(20), |heard| !heard.named("live").is_empty()).await;
    let options = format!("{forever} --lines 600 --hold");
    web = Writers { run: "new", options: &options, ..web };
    shop.apply(&web.object());
    reader.lines("new", 1_800, Duration::from_secs(60)).await;
    let done = "the rollout's end";
    reader
        .until(done, Duration::from_secs(20), |heard| {
            heard.named("rollout").last().is_some_and(|last| {
                last["phase"] == "complete" && last["revision"] == "2" && last["ready"] == 3
            })
        })
        .await;
    let heard = reader.stop().await;
    heard.exactly("new", 6, 300);
    heard.without_gaps();
    if let Some(page) = page {
        page.rolled_out();
    }

    // Nothing was refused to it: its rights are enough.
    let pod = format!("deployment/{RELEASE}");
    let log = namespace.kubectl(&["logs", &pod]);
    assert!(!log.contains("orbidden") && !log.contains("\"ERROR\""), "{log}");
    // And they are no more than reading.
    let account = format!("system:serviceaccount:{}:{RELEASE}", namespace.name);
    for (verb, what, place) in [
        ("get", "secrets", &shop.name),
        ("delete", "pods", &shop.name),
        ("create", "pods/exec", &shop.name),
        ("get", "pods", &namespace.name),
    ] {
        let may = ["auth", "can-i", verb, what, "--as", &account, "-n", place];
        assert!(attempt(&may, None).is_err(), "{account} may {verb} {what} in {place}");
    }

    helm(&namespace, &["uninstall", RELEASE, "--wait", "--timeout", "60s"]).unwrap();
    eventually("nothing to be left", Duration::from_secs(30), async || {
        left_of(&namespace, &shop).trim().is_empty().then_some(())
    })
    .await;
}

/// A directory of a node as a volume for the claim of a release. Dropping it deletes it.
struct Volume {
    name: String,
    _folder: tempfile::TempDir,
}

impl Volume {
    fn create(namespace: &Namespace) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let here =
            json!({ "key": "kubernetes.io/hostname", "operator": "In", "values": ["node-1"] });
        let object = json!({
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": { "name": namespace.name },
            "spec": {
                "capacity": { "storage": "1Gi" },
                "accessModes": ["ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": "Retain",
                "claimRef": { "namespace": namespace.name, "name": RELEASE },
                "local": { "path": folder.path() },
                "nodeAffinity": {
                    "required": { "nodeSelectorTerms": [{ "matchExpressions": [here] }] },
                },
            },
        });
        attempt(&["apply", "-f", "-"], Some(&object.to_string())).unwrap();
        Volume { name: namespace.name.clone(), _folder: folder }
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let delete = ["delete", "--wait=false", "persistentvolume", &self.name];
        let _ = attempt(&delete, None);
    }
}

/// History is on a volume that the next Pod has too: who comes back there has missed nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_with_a_volume_goes_on_exactly_in_the_next_pod() {
    let Some(namespace) = namespace("helm-store") else { return };
    if !load_image() {
        return;
    }
    let shop = Namespace::create("shop-store");
    let _volume = Volume::create(&namespace);
    let quick = "shutdown.drainDelaySeconds=0,shutdown.drainWindowSeconds=1";
    let wait = ["--set", quick, "--set", "store.kind=file", "--wait", "--timeout", "90s"];
    install(&namespace, &shop.name, &wait).unwrap_or_else(|said| {
        let pods = namespace.kubectl(&["describe", "pods,persistentvolumeclaims"]);
        panic!("{said}\n{pods}")
    });
    grant(&shop, "reader");
    let options = "--rate 100 --stream both --lines 2000 --hold";
    shop.apply(&Writers { name: "web", replicas: 2, run: "run", options }.object());
    shop.rolled_out("web");

    let token = format!("Bearer {}", shop.token("reader", Some("rollcast")));
    let ip = namespace.kubectl(&["get", "service", RELEASE, "-o", "jsonpath={.spec.clusterIP}"]);
    let address: SocketAddr = format!("{ip}:8080").parse().unwrap();
    let path = stream_path(&shop.name, "web");
    leads_to_the_pod(address).await;
    let mut heard = Heard::default();
    let first = format!("{path}?since=1h");
    let mut client = stream(address, &first, &[("authorization", &token)]).await;
    while heard.count("run") < 500 {
        heard.take(client.next().await.expect("the stream goes on"));
    }
    let id = client.last_id.clone().unwrap();
    drop(client);
    let object = format!("deployment/{RELEASE}");
    namespace.kubectl(&["rollout", "restart", &object]);
    namespace.kubectl(&["rollout", "status", &object, "--timeout=60s"]);
    leads_to_the_pod(address).await;
    let headers = [("authorization", &*token), ("last-event-id", &id)];
    let mut client = stream(address, &path, &headers).await;
    let rest = async {
        while heard.count("run") < 4_000 {
            heard.take(client.next().await.expect("the stream goes on"));
        }
    };
    let rest = tokio::time::timeout(Duration::from_secs(60), rest).await;
    assert!(rest.is_ok(), "{} of 4000 lines", heard.count("run"));
    heard.exactly("run", 4, 1_000);
    heard.without_gaps();
    assert_eq!(heard.resumed, 1);

    helm(&namespace, &["uninstall", RELEASE, "--wait", "--timeout", "60s"]).unwrap();
    eventually("nothing to be left", Duration::from_secs(30), async || {
        left_of(&namespace, &shop).trim().is_empty().then_some(())
    })
    .await;
}

/// Without the right to ask who a caller is nobody could log in: the start fails and says why.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_that_may_not_review_tokens_says_what_it_lacks() {
    let Some(namespace) = namespace("helmless") else { return };
    if !load_image() {
        return;
    }
    install(&namespace, &namespace.name, &["--set", "rbac.authDelegator=false"]).unwrap();
    let words = ["create", "tokenreviews.authentication.k8s.io", "system:auth-delegator"];
    eventually("the log to name what is missing", Duration::from_secs(60), async || {
        let selector = "app.kubernetes.io/name=rollcast";
        let logs = ["-n", &namespace.name, "logs", "-l", selector, "--tail=-1"];
        let now = attempt(&logs, None).unwrap_or_default();
        let before = attempt(&[&logs[..], &["--previous"]].concat(), None).unwrap_or_default();
        let log = now + &before;
        words.iter().all(|word| log.contains(word)).then_some(())
    })
    .await;
    let pods = namespace.list("pods");
    let never = pods.iter().all(|pod| pod["status"]["containerStatuses"][0]["ready"] == false);
    assert!(never, "{:?}", pods.iter().map(|pod| &pod["status"]).collect::<Vec<_>>());
    helm(&namespace, &["uninstall", RELEASE]).unwrap();
}
