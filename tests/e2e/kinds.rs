//! Pods and containers of the less usual kinds, and lines of the less usual sizes.

use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{Patch, PatchParams};
use rollcast::time;
use serde_json::json;

use crate::cluster::{Namespace, ctl, eventually, namespace};
use crate::disk::Disk;
use crate::faults::long;
use crate::oracle::{Rules, judge};
use crate::service::{Service, stream_path};
use crate::witness::Witness;
use crate::writers::{Writers, container, pod};

/// A file in the folder of static pods of node 2. Dropping it ends the pod.
struct Manifest(PathBuf);

impl Manifest {
    fn write(namespace: &Namespace, spec: &serde_json::Value) -> Self {
        let object = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "one", "namespace": namespace.name}, "spec": spec,
        });
        let file = format!("/run/rollcast/node-2/static-pods/{}.json", namespace.name);
        std::fs::write(&file, object.to_string()).unwrap();
        Manifest(file.into())
    }
}

impl Drop for Manifest {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn rules() -> Rules {
    Rules { from_start: false, skew: 2 * time::SECOND, ..Rules::whole() }
}

/// Waits until the service knows a pod.
async fn known(service: &Service, namespace: &Namespace, pod: &str) {
    eventually("the pod to be known", Duration::from_secs(30), async || {
        let path = format!("/api/v1/namespaces/{}/pods/{pod}/rollout", namespace.name);
        (service.fetch(&path, &[]).await.0 == 200).then_some(())
    })
    .await;
}

/// Its mirror object is deleted and comes back under another uid; the container never stopped, and its
/// log goes on as the same source (`truths.md` 9).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_static_pod_goes_on_when_its_mirror_object_is_replaced() {
    let Some(namespace) = namespace("static") else { return };
    if ctl(&["list"]).is_none() {
        return;
    }
    let service = Service::open("static", &["--namespace", &namespace.name]).await;
    let disk = Disk::watch(&namespace);
    let spec = pod(&[container("app", "run", "--rate 200 --stream both --length 40-200")]);
    let manifest = Manifest::write(&namespace, &spec);
    known(&service, &namespace, "one-node-2").await;
    let path = format!("/api/v1/namespaces/{}/pods/one-node-2/stream?since=1h", namespace.name);
    let witnesses = [
        Witness::start("steady", service.address, &path, None),
        Witness::start("cut", service.address, &path, Some(Duration::from_secs(3))),
    ];
    witnesses[0].lines(500, Duration::from_secs(30)).await;
    let uid = || namespace.list("pods")[0]["metadata"]["uid"].clone();
    for _ in 0..if long() { 3 } else { 1 } {
        let before = uid();
        namespace.kubectl(&["delete", "pod", "one-node-2", "--grace-period=0", "--force"]);
        // The kubelet looks after its mirror objects once in a minute or so.
        eventually("another mirror object", Duration::from_secs(150), async || {
            let pods = namespace.list("pods");
            pods.first().is_some_and(|pod| pod["metadata"]["uid"] != before).then_some(())
        })
        .await;
        tokio::time::sleep(Duration::from_secs(4)).await;
    }
    drop(manifest);
    eventually("the pod to end", Duration::from_secs(60), async || {
        namespace.list("pods").is_empty().then_some(())
    })
    .await;
    witnesses[0].quiet(Duration::from_secs(5), Duration::from_secs(60)).await;
    let mut transcripts = Vec::new();
    for witness in witnesses {
        transcripts.push(witness.stop().await);
    }
    // A mirror object goes together with its pod: no status ever says that the container has ended.
    let rules = Rules { doubtful: &["pod_removed"], ..rules() };
    let verdict = judge(&disk.truth(None), &transcripts, &rules);
    eprintln!("static:\n{}", verdict.table);
    if !verdict.faults.is_empty() {
        eprintln!("{}", transcripts[0].told());
        service.keep_log();
    }
    verdict.holds("a static pod");
    let ended = |event: &&crate::client::Event| event.word("state") == Some("ended");
    assert_eq!(transcripts[0].named("source").filter(ended).count(), 1, "it ended once");
}

/// An ephemeral container joins a running stream and is heard from its first line to its last.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ephemeral_container_joins_a_running_stream() {
    let Some(namespace) = namespace("ephemeral") else { return };
    let service = Service::open("ephemeral", &["--namespace", &namespace.name]).await;
    let disk = Disk::watch(&namespace);
    let mut spec = pod(&[container("app", "run", "--rate 50 --lines 900 --stream both --end")]);
    spec["restartPolicy"] = "Never".into();
    namespace.apply(&json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}, "spec": spec,
    }));
    known(&service, &namespace, "one").await;
    let path = format!("/api/v1/namespaces/{}/pods/one/stream?since=1h", namespace.name);
    let witness = Witness::start("steady", service.address, &path, None);
    witness.lines(50, Duration::from_secs(30)).await;
    let mut probe = container("probe", "probe", "--rate 200 --lines 400 --stream both --end");
    probe["targetContainerName"] = "app".into();
    let client = kube::Client::try_from(kube::Config::infer().await.unwrap()).unwrap();
    let pods: Api<Pod> = Api::namespaced(client, &namespace.name);
    let patch = Patch::Strategic(json!({"spec": {"ephemeralContainers": [probe]}}));
    pods.patch_ephemeral_containers("one", &PatchParams::default(), &patch).await.unwrap();
    // 402 of the one and 902 of the other, their END lines included.
    witness.lines(402 + 902, Duration::from_secs(60)).await;
    witness.quiet(Duration::from_secs(4), Duration::from_secs(30)).await;
    let heard = witness.stop().await;
    let verdict = judge(&disk.truth(None), std::slice::from_ref(&heard), &rules());
    eprintln!("ephemeral:\n{}", verdict.table);
    verdict.holds("an ephemeral container");
    let ended: Vec<_> = heard
        .named("source")
        .filter(|event| event.word("state") == Some("ended"))
        .map(|event| (event.word("container").unwrap(), event.data["complete"].as_bool()))
        .collect();
    assert_eq!(ended.len(), 2, "{}", heard.told());
    assert!(ended.contains(&("probe", Some(true))), "{ended:?}");
}

/// Lines of sixteen mebibytes between small ones, both standard streams racing with lines in pieces and
/// odd bytes, and a reader that is cut: what is over the cap says so, and nothing else suffers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_of_sixteen_mebibytes_and_racing_pipes_are_read_as_they_are() {
    let Some(namespace) = namespace("large") else { return };
    let service = Service::open("large", &["--namespace", &namespace.name]).await;
    let disk = Disk::watch(&namespace);
    let path = format!("{}?since=1h", stream_path(&namespace.name, "web"));
    let witnesses = [
        Witness::start("steady", service.address, &path, None),
        Witness::start("cut", service.address, &path, Some(Duration::from_secs(4))),
    ];
    let odd = "--odd nul,cr,crlf,utf8,esc,empty --odd-every 7 --partial 5:10";
    let large = "--rate 60 --lines 600 --stream both --long 150:16Mi --final-partial --hold";
    let options = format!("{large} {odd}");
    namespace.apply(&Writers { name: "web", replicas: 1, run: "run", options: &options }.object());
    witnesses[0].lines(590, Duration::from_secs(120)).await;
    witnesses[0].quiet(Duration::from_secs(5), Duration::from_secs(60)).await;
    let calm = time::now();
    namespace.kubectl(&["scale", "deployment/web", "--replicas=0"]);
    eventually("the pod to end", Duration::from_secs(90), async || {
        namespace.list("pods").is_empty().then_some(())
    })
    .await;
    witnesses[0].quiet(Duration::from_secs(4), Duration::from_secs(60)).await;
    let mut transcripts = Vec::new();
    for witness in witnesses {
        transcripts.push(witness.stop().await);
    }
    // A last line without a line end runs into the kubelet's words when the container is removed first.
    let rules = Rules { calm: Some(calm), gaps: &["pod_removed"], ..rules() };
    let verdict = judge(&disk.truth(None), &transcripts, &rules);
    eprintln!("large:\n{}", verdict.table);
    if !verdict.faults.is_empty() {
        service.keep_log();
    }
    verdict.holds("large lines");
    let cut =
        transcripts[0].named("log").filter(|event| event.data["truncated_bytes"].is_u64()).count();
    assert!(cut >= 2, "{cut} lines were cut at the cap");
}
