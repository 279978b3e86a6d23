//! The program with little memory, or little time, of its own: real control groups, around it alone. The
//! cluster before it is the simulated one, over sockets, for what a kubelet on a busy machine loses by
//! itself would blur what is asked here.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rollcast::sim::{
    Container, Deployment, Numbers, Output, PodView, Program, Resource, Sim, SimOptions, Template,
};
use rollcast::time;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::cluster::eventually;
use crate::oracle::{AttemptId, Rules, Truth, judge};
use crate::service::{Service, fetch, stream_path};
use crate::witness::Witness;

/// A control group. Dropping it removes it, once its processes have ended.
struct Group(PathBuf);

impl Group {
    /// Nothing where groups of version 1 cannot be made: not root, or another version.
    ///
    /// # Panics
    /// If the suite is required.
    fn new(controller: &str, name: &str, limits: &[(&str, u64)]) -> Option<Self> {
        let name = format!("rollcast-e2e-{name}-{}", std::process::id());
        let folder = Path::new("/sys/fs/cgroup").join(controller).join(name);
        if let Err(error) = fs::create_dir(&folder) {
            let why = format!("{}: {error}", folder.display());
            assert!(std::env::var("ROLLCAST_E2E").as_deref() != Ok("required"), "{why}");
            eprintln!("skipped: {why}");
            return None;
        }
        let group = Group(folder);
        for (file, value) in limits {
            fs::write(group.0.join(file), value.to_string()).unwrap();
        }
        Some(group)
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.0.join(file)).unwrap()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for _ in 0..50 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// The simulated cluster on a socket.
struct Field {
    sim: Sim,
    stop: CancellationToken,
    kubeconfig: tempfile::NamedTempFile,
    /// Pods that were seen, also those that are gone.
    pods: Vec<PodView>,
}

impl Field {
    async fn open() -> Self {
        let sim = Sim::new(SimOptions {
            seed: 36,
            start_time: time::now(),
            // Nothing is rotated away, and all of it is the truth.
            log_max_bytes: 4 << 30,
            keep_written: 4 << 30,
            ..SimOptions::default()
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let kubeconfig = tempfile::NamedTempFile::new().unwrap();
        fs::write(kubeconfig.path(), Sim::kubeconfig(listener.local_addr().unwrap())).unwrap();
        let stop = CancellationToken::new();
        let (serving, stopped) = (sim.clone(), stop.clone());
        tokio::spawn(async move { serving.listen(listener, stopped).await });
        Field { sim, stop, kubeconfig, pods: Vec::new() }
    }

    /// Pods that write so many lines of this length, so many a second each, and then stay.
    async fn write(&mut self, pods: u32, rate: f64, lines: u64, length: (usize, usize)) {
        let numbers =
            Numbers { lines: Some(lines), length, both: true, ..Numbers::new("run", rate) };
        let program = Program { output: vec![Output::Numbered(numbers)], ..Program::default() };
        let template = Template::new([Container::new("app", "shop/web:1", program)]);
        self.sim.apply(Deployment::new("shop", "web", pods, template));
        self.pods = eventually("the pods", Duration::from_secs(20), async || {
            let now = self.sim.pods("shop", "web");
            (now.len() == pods as usize).then_some(now)
        })
        .await;
    }

    /// What was written, once all of it is.
    async fn truth(&self, lines: u64) -> Truth {
        eventually("everything to be written", Duration::from_secs(120), async || {
            let written = self.pods.iter().filter_map(|pod| self.sim.written(&pod.uid, "app", 1));
            (written.map(|log| log.lines).sum::<u64>() >= lines).then_some(())
        })
        .await;
        let mut truth = Truth::default();
        for pod in &self.pods {
            let written = self.sim.written(&pod.uid, "app", 1).unwrap();
            let (name, uid) = (pod.name.clone(), pod.uid.clone());
            let id = AttemptId { pod: name, uid, container: "app".to_owned(), attempt: 1 };
            truth.add(id, &written.text, written.ended);
        }
        truth
    }
}

impl Drop for Field {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Opens a stream and takes nothing of it, with as small a buffer as the kernel allows.
async fn stalled(service: &Service, path: &str) -> TcpStream {
    use tokio::io::AsyncWriteExt as _;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(service.address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", service.address);
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// Row 36: 34 MB a second come in, some viewers take nothing, and 128 MiB are all there is. History is
/// the first to go; nothing is lost to who reads unless it is counted, and the kernel ends nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_and_twenty_eight_mebibytes_are_enough() {
    let limit = ("memory.limit_in_bytes", 128 << 20);
    let Some(group) = Group::new("memory", "memory", &[limit]) else { return };
    let mut field = Field::open().await;
    let options = ["--auth", "none", "--kubeconfig", field.kubeconfig.path().to_str().unwrap()];
    let service = Service::confined("memory", &options, &[&group.0]).await;
    let path = format!("{}?tail=0", stream_path("shop", "web"));
    let witness = Witness::start("reader", service.address, &path, None);
    let mut still = Vec::new();
    for _ in 0..5 {
        still.push(stalled(&service, &path).await);
    }
    // Ten pods, 3.4 MB a second each, for eight seconds.
    let (pods, rate, lines) = (10, 850.0, 6_800);
    field.write(pods, rate, lines, (3_900, 4_100)).await;
    let truth = field.truth(lines * u64::from(pods)).await;
    let calm = time::now();
    witness.quiet(Duration::from_secs(3), Duration::from_secs(60)).await;
    assert_eq!(service.fetch("/api/v1/workloads", &[]).await.0, 200);
    let heard = witness.stop().await;
    let killed = group.read("memory.oom_control");
    assert!(killed.contains("oom_kill 0"), "{killed}");
    let most: u64 = group.read("memory.max_usage_in_bytes").trim().parse().unwrap();
    let gaps = &["viewer_too_slow", "history_evicted"];
    let rules = Rules { calm: Some(calm), ..Rules::with_gaps(gaps) };
    let rules = Rules { from_start: false, every_attempt: false, skew: time::SECOND, ..rules };
    let verdict = judge(&truth, &[heard], &rules);
    assert!(service.log().contains("memory pressure changed"), "it was never short of memory");
    eprintln!("memory: at most {} MiB\n{}", most >> 20, verdict.table);
    verdict.holds("128 MiB");
    drop(still);
}

/// Row 37: a fifth of a core. Lines come late, but every one of them or its gap; heartbeats and
/// probes are answered in time all the while, so that nothing restarts it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fifth_of_a_core_is_slow_and_honest() {
    let quota = [("cpu.cfs_period_us", 100_000), ("cpu.cfs_quota_us", 20_000)];
    let Some(group) = Group::new("cpu", "cpu", &quota) else { return };
    let mut field = Field::open().await;
    let options = ["--auth", "none", "--kubeconfig", field.kubeconfig.path().to_str().unwrap()];
    let service = Service::confined("cpu", &options, &[&group.0]).await;
    let path = format!("{}?tail=0", stream_path("shop", "web"));
    let mut witnesses = vec![
        Witness::start("steady", service.address, &path, None),
        Witness::start("cut", service.address, &path, Some(Duration::from_secs(5))),
    ];
    // Hears nothing but heartbeats, and the rollout's beginning and end.
    let quiet = format!("{}?tail=0&logs=none&events=none", stream_path("shop", "web"));
    witnesses.push(Witness::start("quiet", service.address, &quiet, None));
    let (pods, rate, lines) = (10, 5_000.0, 60_000);
    field.write(pods, rate, lines, (60, 400)).await;
    let begin = Instant::now();
    let mut slowest = Duration::ZERO;
    while begin.elapsed() < Duration::from_secs(22) {
        let asked = Instant::now();
        let (status, body) = fetch(service.admin, "/livez", &[]).await;
        assert_eq!(status, 200, "{body}");
        slowest = slowest.max(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    // What the chart's probe waits for.
    assert!(slowest < Duration::from_secs(5), "{slowest:?} for a probe");
    let truth = field.truth(lines * u64::from(pods)).await;
    for witness in &witnesses[..2] {
        witness.quiet(Duration::from_secs(6), Duration::from_secs(120)).await;
    }
    let quiet = witnesses.pop().unwrap().stop().await;
    let beats: usize = quiet.sessions.iter().map(|session| session.beats.len()).sum();
    assert!(beats >= 1, "no heartbeat in {:?}", begin.elapsed());
    // Heartbeats in time are all that is asked of it.
    judge(&Truth::default(), &[quiet], &Rules::whole()).holds("a quiet stream");
    let mut transcripts = Vec::new();
    for witness in witnesses {
        transcripts.push(witness.stop().await);
    }
    let times: u64 = group
        .read("cpu.stat")
        .lines()
        .find_map(|line| line.strip_prefix("nr_throttled ")?.parse().ok())
        .unwrap();
    let verdict = judge(
        &truth,
        &transcripts,
        &Rules {
            from_start: false,
            every_attempt: false,
            skew: time::SECOND,
            ..Rules::with_gaps(&["viewer_too_slow", "history_evicted"])
        },
    );
    eprintln!("a fifth of a core: held back {times} times, a probe took {slowest:?} at most");
    eprintln!("{}", verdict.table);
    verdict.holds("a fifth of a core");
    assert!(times > 0, "it was never held back: the test asks nothing");
    field.sim.scale(Resource::Deployments, "shop", "web", 0);
}
