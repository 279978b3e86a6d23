//! Things of the cluster die, stand still or vanish while pods write; the oracle compares what clients
//! got with the log files on the nodes. Each once and short, longer with `ROLLCAST_E2E_LENGTH=full`.

use std::path::Path;
use std::time::Duration;

use rollcast::time;

use crate::cluster::{Namespace, ctl, eventually, kubeconfig, namespace};
use crate::disk::Disk;
use crate::oracle::{Rules, Verdict, judge};
use crate::service::{Service, stream_path};
use crate::tap::Tap;
use crate::weather::{Proxy, Weather};
use crate::witness::Witness;
use crate::writers::{Writers, container, pod};

/// Whether the long forms are wanted.
pub fn long() -> bool {
    std::env::var("ROLLCAST_E2E_LENGTH").as_deref() == Ok("full")
}

/// Seconds, more of them in the long form.
pub fn seconds(short: u64, full: u64) -> Duration {
    Duration::from_secs(if long() { full } else { short })
}

/// A service before writing pods, clients of it, and the files on disk.
pub struct Scene<'a> {
    name: &'a str,
    namespace: &'a Namespace,
    disk: Disk,
    pub service: Service,
    witnesses: Vec<Witness>,
}

/// Four pods that write 500 lines a second each, without end.
pub const STEADY: &str = "--rate 500 --stream both --length 40-200";
/// The same for minutes, without a file that grows to the size of a rotation: what was on its way on a
/// connection that is cut can be read again only while its file stands.
const SLOWER: &str = "--rate 300 --stream both --length 40-200";

impl<'a> Scene<'a> {
    /// Starts the service with these options, waits for the pods of `web`, and opens two clients: one
    /// that reads on and one that is cut again and again.
    pub async fn open(name: &'a str, namespace: &'a Namespace, service: Service) -> Self {
        let path = format!("{}?since=1h", stream_path(&namespace.name, "web"));
        let witnesses = vec![
            Witness::start("steady", service.address, &path, None),
            Witness::start("cut", service.address, &path, Some(Duration::from_secs(4))),
        ];
        let disk = Disk::watch(namespace);
        Scene { name, namespace, disk, service, witnesses }
    }

    /// With a service of its own and four steady writers.
    async fn steady(name: &'a str, namespace: &'a Namespace) -> Self {
        let service = Service::open(name, &["--namespace", &namespace.name]).await;
        let scene = Scene::open(name, namespace, service).await;
        scene.write(4, STEADY).await;
        scene
    }

    /// Lets so many pods write, and waits for their first lines.
    pub async fn write(&self, replicas: u32, options: &str) {
        let web = Writers { name: "web", replicas, run: "run", options };
        self.namespace.apply(&web.object());
        self.witnesses[0].lines(500, Duration::from_secs(60)).await;
    }

    /// Ends the writers, lets everything arrive, and judges. `calm` is when the last fault was over; what
    /// `tap` shows that the kubelet never sent counts apart.
    pub async fn judge(self, rules: Rules, calm: i64, tap: Option<&Tap>) -> Verdict {
        self.namespace.kubectl(&["scale", "deployment/web", "--replicas=0"]);
        let Scene { name, namespace, disk, service, witnesses } = self;
        eventually("the pods to end", Duration::from_secs(90), async || {
            namespace.list("pods").is_empty().then_some(())
        })
        .await;
        witnesses[0].quiet(Duration::from_secs(5), Duration::from_secs(60)).await;
        assert_eq!(service.fetch("/api/v1/workloads", &[]).await.0, 200);
        let mut transcripts = Vec::new();
        for witness in witnesses {
            transcripts.push(witness.stop().await);
        }
        // Asked now: what came after the last look would count as never sent.
        let given = tap.map(Tap::given);
        let verdict =
            judge(&disk.truth(given.as_ref()), &transcripts, &Rules { calm: Some(calm), ..rules });
        eprintln!("{name}:\n{}", verdict.table);
        if !verdict.faults.is_empty() {
            eprintln!("{}", transcripts[0].told());
            service.keep_log();
        }
        verdict
    }
}

/// On the real cluster a pod may write before anybody can ask for its log, so the first lines count
/// only where the service claims to have them.
pub fn whole() -> Rules {
    Rules { from_start: false, skew: 2 * time::SECOND, ..Rules::whole() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_server_that_is_gone_for_three_seconds_costs_no_line() {
    let Some(namespace) = namespace("api-server") else { return };
    let scene = Scene::steady("api-server", &namespace).await;
    for _ in 0..if long() { 5 } else { 1 } {
        if ctl(&["kill", "kube-apiserver"]).is_none() {
            return;
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
        // The new one refuses everybody for about a second, until it has read its roles.
        ctl(&["start", "kube-apiserver"]);
        ctl(&["wait"]);
        tokio::time::sleep(Duration::from_secs(4)).await;
    }
    let calm = time::now();
    tokio::time::sleep(Duration::from_secs(8)).await;
    scene.judge(whole(), calm, None).await.holds("an API server that is gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarted_kubelets_cost_no_line() {
    let Some(namespace) = namespace("kubelet") else { return };
    let scene = Scene::steady("kubelet", &namespace).await;
    for _ in 0..if long() { 5 } else { 1 } {
        if ctl(&["kill", "kubelet-1", "kubelet-2"]).is_none() {
            return;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        ctl(&["start", "kubelet-1", "kubelet-2"]);
        ctl(&["wait"]);
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    let calm = time::now();
    tokio::time::sleep(Duration::from_secs(8)).await;
    scene.judge(whole(), calm, None).await.holds("kubelets that were killed");
}

/// Two minutes of a kubelet that stands still make the files big enough to be rotated as soon as it goes
/// on. What it skips then, while it still serves what came before, it never sent to anybody: the tap
/// shows it, and only there a gap may stand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubelets_that_stand_still_cost_no_line() {
    let Some(namespace) = namespace("stopped") else { return };
    let tap = Tap::start("stopped").await;
    let options = ["--namespace", &namespace.name, "--auth", "none"];
    let service = Service::start_with("stopped", &tap.kubeconfig, &options).await;
    let scene = Scene::open("stopped", &namespace, service).await;
    scene.write(4, STEADY).await;
    if ctl(&["signal", "STOP", "kubelet-1"]).is_none() {
        return;
    }
    tokio::time::sleep(seconds(12, 120)).await;
    ctl(&["signal", "CONT", "kubelet-1"]);
    ctl(&["wait"]);
    let calm = time::now();
    tokio::time::sleep(Duration::from_secs(12)).await;
    let gaps: &[&str] = if long() { &["rotation_unproven"] } else { &[] };
    let verdict = scene.judge(Rules { gaps, ..whole() }, calm, Some(&tap)).await;
    verdict.holds("a kubelet that stood still");
    for row in &verdict.table.rows {
        assert_eq!(row.lost_marked, 0, "lines that the kubelet did send are missing");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_that_are_deleted_are_read_to_their_end_or_say_so() {
    let Some(namespace) = namespace("deleted") else { return };
    let scene = Scene::steady("deleted", &namespace).await;
    for round in 0..if long() { 10 } else { 2 } {
        let pods = namespace.list("pods");
        let name = pods[round % pods.len()]["metadata"]["name"].as_str().unwrap();
        // Once with time to end, once without any.
        match round % 2 {
            0 => namespace.kubectl(&["delete", "pod", name, "--grace-period=30", "--wait=false"]),
            _ => namespace.kubectl(&["delete", "pod", name, "--grace-period=0", "--force"]),
        };
        tokio::time::sleep(Duration::from_secs(6)).await;
    }
    let calm = time::now();
    tokio::time::sleep(Duration::from_secs(5)).await;
    // Without grace the object is gone before any status could say that the container has ended.
    let rules = Rules { doubtful: &["pod_removed"], ..whole() };
    scene.judge(rules, calm, None).await.holds("pods that were deleted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_that_starts_again_and_again_is_heard_or_said_to_be_missing() {
    let Some(namespace) = namespace("loop") else { return };
    let service = Service::open("loop", &["--namespace", &namespace.name]).await;
    let scene = Scene::open("loop", &namespace, service).await;
    // Node 2 restarts after two seconds at the latest.
    let web = Writers {
        name: "web",
        replicas: 1,
        run: "run",
        options: "--rate 1000 --lines 300 --stream both --exit 1",
    };
    let mut object = web.object();
    object["spec"]["template"]["spec"]["nodeName"] = "node-2".into();
    namespace.apply(&object);
    scene.witnesses[0].lines(1_000, Duration::from_secs(90)).await;
    tokio::time::sleep(seconds(20, 180)).await;
    let calm = time::now();
    let rules = Rules { gaps: &["attempt_collected"], ..whole() };
    let verdict = scene.judge(rules, calm, None).await;
    verdict.holds("a container that starts again and again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_packets_are_dropped_costs_no_line() {
    let Some(namespace) = namespace("dropped") else { return };
    let scene = Scene::steady("dropped", &namespace).await;
    if ctl(&["drop", "2"]).is_none() {
        return;
    }
    tokio::time::sleep(seconds(20, 60)).await;
    ctl(&["heal", "2"]);
    ctl(&["wait"]);
    // The follows of the node wake up long after it is back (TCP's retransmissions have slowed down).
    tokio::time::sleep(seconds(45, 90)).await;
    let calm = time::now();
    scene.judge(whole(), calm, None).await.holds("a node that was cut off");
}

/// The connection to the API server is spoilt by a proxy, TLS and all, and so is one client's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_cut_slowed_and_held_cost_no_line() {
    let Some(namespace) = namespace("proxy") else { return };
    // The certificate of any other cluster is not good for loopback.
    if ctl(&["list"]).is_none() {
        return;
    }
    let target = kube::Config::infer().await.unwrap().cluster_url.authority().unwrap().to_string();
    let upstream = Proxy::start(target.parse().unwrap(), 7).await;
    let text = std::fs::read_to_string(kubeconfig().unwrap()).unwrap();
    assert!(text.contains(&target), "the cluster is not where its kubeconfig says");
    let text = text.replace(&target, &upstream.address.to_string());
    let file = std::env::temp_dir().join(format!("rollcast-e2e-proxy-{}.conf", std::process::id()));
    std::fs::write(&file, text).unwrap();
    let options = ["--namespace", &namespace.name, "--auth", "none"];
    let service = Service::start_with("proxy", &file, &options).await;
    let downstream = Proxy::start(service.address, 8).await;
    let mut scene = Scene::open("proxy", &namespace, service).await;
    let path = format!("{}?since=1h", stream_path(&namespace.name, "web"));
    scene.witnesses.push(Witness::start("spoilt", downstream.address, &path, None));
    scene.write(4, if long() { SLOWER } else { STEADY }).await;
    let weather = Weather {
        refuse: 0.2,
        // More than a resume replays, some 200 KB a pod: else no reader could get on.
        cut: (0.5, 600_000..2_000_000),
        delay: (0.3, 1..40),
        throttle: (0.2, 1_000_000..4_000_000),
    };
    upstream.set(weather.clone());
    downstream.set(weather);
    let rounds = seconds(4, 40).as_secs();
    for round in 0..rounds {
        match round % 4 {
            0 => upstream.cut(),
            1 => downstream.cut(),
            2 => upstream.hold(Duration::from_secs(2)),
            _ => downstream.hold(Duration::from_secs(2)),
        }
        tokio::time::sleep(Duration::from_secs(4)).await;
    }
    upstream.set(Weather::default());
    downstream.set(Weather::default());
    upstream.cut();
    downstream.cut();
    let calm = time::now();
    tokio::time::sleep(Duration::from_secs(12)).await;
    let verdict = scene.judge(whole(), calm, None).await;
    let _ = std::fs::remove_file(&file);
    verdict.holds("connections that were spoilt");
    assert!(upstream.accepted() > 8, "the service went past the proxy");
}

/// Rotates the logs of node 2 at this size until it is dropped.
struct SmallFiles {
    file: &'static Path,
    before: String,
}

impl SmallFiles {
    fn set(size: &str) -> Option<Self> {
        ctl(&["list"])?;
        let file = Path::new("/run/rollcast/node-2/kubelet.yaml");
        let before = std::fs::read_to_string(file).unwrap();
        let changed = before.lines().map(|line| match line.strip_prefix("containerLogMaxSize:") {
            Some(_) => format!("containerLogMaxSize: {size}\n"),
            None => format!("{line}\n"),
        });
        std::fs::write(file, changed.collect::<String>()).unwrap();
        ctl(&["restart", "kubelet-2"])?;
        ctl(&["wait"])?;
        Some(SmallFiles { file, before })
    }
}

impl Drop for SmallFiles {
    fn drop(&mut self) {
        let _ = std::fs::write(self.file, &self.before);
        ctl(&["restart", "kubelet-2"]);
    }
}

/// What the kubelet itself skips at a rotation is counted apart, by what it served.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotation_of_a_writer_of_ten_megabytes_a_second_loses_nothing_on_our_side() {
    let Some(namespace) = namespace("rotation") else { return };
    let Some(_small) = SmallFiles::set("1Mi") else { return };
    let tap = Tap::start("rotation").await;
    let options = ["--namespace", &namespace.name, "--auth", "none"];
    let service = Service::start_with("rotation", &tap.kubeconfig, &options).await;
    let mut scene = Scene::open("rotation", &namespace, service).await;
    scene.witnesses.truncate(1);
    let web = Writers {
        name: "web",
        replicas: 1,
        run: "run",
        options: "--rate 2500 --stream both --length 4000-4100 --start-delay 1",
    };
    let mut object = web.object();
    object["spec"]["template"]["spec"]["nodeName"] = "node-2".into();
    namespace.apply(&object);
    scene.witnesses[0].lines(1_000, Duration::from_secs(60)).await;
    tokio::time::sleep(seconds(12, 60)).await;
    let calm = time::now();
    // The last file is all that can be read after the end: nothing is asked of what came before.
    namespace.kubectl(&["scale", "deployment/web", "--replicas=0"]);
    tokio::time::sleep(Duration::from_secs(8)).await;
    let rules = Rules { gaps: &["rotation_unproven", "pod_removed"], ..whole() };
    let verdict = scene.judge(rules, calm, Some(&tap)).await;
    verdict.holds("rotation at ten megabytes a second");
    for row in &verdict.table.rows {
        assert_eq!(row.lost_marked, 0, "lines that the kubelet did send are missing");
    }
}

/// Without any fault: the whole log of a pod that ends, and its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bare_pod_that_ends_is_complete() {
    let Some(namespace) = namespace("bare") else { return };
    let mut spec = pod(&[container(
        "app",
        "run",
        "--rate 200 --lines 400 --stream both --end --final-partial",
    )]);
    spec["restartPolicy"] = "Never".into();
    let object = serde_json::json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}, "spec": spec,
    });
    let service = Service::open("bare", &["--namespace", &namespace.name]).await;
    let disk = Disk::watch(&namespace);
    namespace.apply(&object);
    eventually("the pod to be known", Duration::from_secs(20), async || {
        let path = format!("/api/v1/namespaces/{}/pods/one/stream", namespace.name);
        (service.fetch(&path.replace("/stream", "/rollout"), &[]).await.0 == 200).then_some(())
    })
    .await;
    let path = format!("/api/v1/namespaces/{}/pods/one/stream?since=1h", namespace.name);
    let witness = Witness::start("one", service.address, &path, None);
    // Neither of the two END lines has a line end: the kubelet makes one line of them.
    witness.lines(401, Duration::from_secs(30)).await;
    witness.quiet(Duration::from_secs(4), Duration::from_secs(30)).await;
    let heard = witness.stop().await;
    let ended = heard.named("source").filter(|event| event.word("state") == Some("ended"));
    assert_eq!(ended.count(), 1);
    judge(&disk.truth(None), &[heard], &whole()).holds("a pod that ends");
}
