//! Three ways to read the logs of a Deployment: the service's rooms, kube's own stream split into
//! lines, and a socket whose line ends are counted.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::TryStreamExt as _;
use futures_util::io::AsyncBufReadExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, LogParams};
use kube::{Api, Client};
use rollcast::cluster::{Cluster, ClusterOptions};
use rollcast::ids::{Entry, Kind, Side, WorkloadId};
use rollcast::journal::{Epoch, Journal, Limits};
use rollcast::sim::Sim;
use rollcast::tail::{Options, Sink, Tail, Waters, Wiring};
use rollcast::telemetry::Metrics;
use rollcast::time;
use rollcast::watch::{self, Change, Index, WatchOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Outcome;
use crate::check::Check;
use crate::cluster::{CONTAINER, NAMESPACE};
use crate::process::{Args, cpu, say};

/// How often is looked whether all has come.
const LOOK: Duration = Duration::from_millis(5);
/// A run that has not ended by then has lost something.
const LATEST: Duration = Duration::from_secs(60);

/// The journal as `serve` has it by default.
const LIMITS: Limits =
    Limits { workload_bytes: 16 << 20, total_bytes: 128 << 20, age: Duration::from_secs(86_400) };

/// Something that is read from.
trait Reader {
    fn lines(&self) -> u64;
}

impl Reader for Check {
    fn lines(&self) -> u64 {
        Check::lines(self)
    }
}

impl Reader for AtomicU64 {
    fn lines(&self) -> u64 {
        self.load(Ordering::Relaxed)
    }
}

/// Cluster, watches, followers, journal: the service without its HTTP side.
pub async fn ours(args: &Args) -> Outcome {
    let options =
        ClusterOptions { kubeconfig: Some(PathBuf::from(args.word("kubeconfig"))), context: None };
    let cluster = Cluster::connect(&options).await?;
    let (tracker, shutdown) = (TaskTracker::new(), CancellationToken::new());
    let (index, metrics) = (Index::new(), Arc::new(Metrics::noop()));
    let journal = Journal::new(Epoch::draw(&mut fastrand::Rng::with_seed(1)), LIMITS);
    let check = Arc::new(Check::default());
    let (sender, mut changes) = tokio::sync::mpsc::channel(1024);
    let tail = Tail::new(
        Wiring {
            cluster: cluster.clone(),
            index: index.clone(),
            sink: sink(journal.clone(), check.clone()),
            waters: Waters::new(shutdown.clone()),
            proven: Arc::new(|_| {}),
            metrics: metrics.clone(),
            tracker: tracker.clone(),
            shutdown: shutdown.clone(),
        },
        Options {
            backfill_lines: 100_000_000,
            max_line_bytes: 256 << 10,
            max_followers: 5_000,
            max_followers_per_node: 5_000,
            opens_per_second: args.get("opens", 100_000),
            linger: Duration::from_secs(30),
            kept: Duration::from_secs(3600),
            seed: 1,
        },
    );
    let watching = watch::run(
        cluster,
        WatchOptions::default(),
        index.clone(),
        sender,
        metrics,
        shutdown.clone(),
    );
    tracker.spawn(watching);
    let told = tail.clone();
    tracker.spawn(async move {
        while let Some(change) = changes.recv().await {
            if let Change::PodApplied(pod) | Change::PodGone(pod) = change {
                told.pods(&[(pod, Side::New)]);
            }
        }
    });
    let workload = Arc::new(WorkloadId::new(NAMESPACE, Kind::Deployment, &args.word("name")));
    let present: usize = args.get("present", 0);
    while !index.synced() || index.pods_of(&workload).len() < present {
        tokio::time::sleep(LOOK).await;
    }
    say("ready");
    let begun = Begun::now();
    let lease = tail.lease(&workload);
    let window = args.get("window", 0u64);
    if window > 0 {
        steady(args, &check, Duration::from_secs(window)).await?;
    }
    let outcome = all_read(&*check, args, begun).await;
    // What came too much would come now.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (least, most) = check.spread();
    let (lines, head) = (check.lines(), journal.head());
    say(&format!(
        "checked wrong={} lines={lines} head={head} least={least} most={most}",
        check.wrong()
    ));
    drop(lease);
    outcome
}

fn sink(journal: Journal, check: Arc<Check>) -> Sink {
    Arc::new(move |workload, entry| {
        match &entry {
            Entry::Lines(batch) => {
                let lines = batch.lines.iter().map(|line| batch.bytes_of(line));
                check.take(&batch.source.pod, lines);
            }
            Entry::Gap(_) => check.blame(),
            _ => {}
        }
        journal.append(workload, entry, time::now());
    })
}

/// What kube's documentation shows: each log a stream of lines, each line a string.
pub async fn naive(args: &Args) -> Outcome {
    let (client, pods) = pods(args).await?;
    let check = Arc::new(Check::default());
    let tasks = TaskTracker::new();
    say("ready");
    let begun = Begun::now();
    for pod in pods {
        let api: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
        let check = check.clone();
        tasks.spawn(async move {
            let options = LogParams {
                container: Some(CONTAINER.to_owned()),
                follow: true,
                timestamps: true,
                ..LogParams::default()
            };
            let Ok(stream) = api.log_stream(&pod, &options).await else { return check.blame() };
            let mut lines = stream.lines();
            let mut next = 0;
            while let Ok(Some(line)) = lines.try_next().await {
                let text = line.split_once(' ').map_or("", |(_, text)| text);
                check.take_from(&mut next, std::iter::once(text.as_bytes()));
            }
        });
    }
    let outcome = all_read(&*check, args, begun).await;
    say(&format!("checked wrong={} lines={}", check.wrong(), check.lines()));
    outcome
}

/// Bytes off the socket, and the line ends among them: what no reader can go below.
pub async fn floor(args: &Args) -> Outcome {
    let (_, pods) = pods(args).await?;
    let port: u16 = args.get("port", 0);
    let total = Arc::new(AtomicU64::new(0));
    let tasks = TaskTracker::new();
    say("ready");
    let begun = Begun::now();
    for pod in pods {
        let total = total.clone();
        tasks.spawn(async move {
            let _ = count(port, &pod, &total).await;
        });
    }
    let outcome = all_read(&*total, args, begun).await;
    say(&format!("checked wrong=0 lines={}", total.lines()));
    outcome
}

async fn count(port: u16, pod: &str, total: &AtomicU64) -> Outcome {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await?;
    let request = format!(
        "GET /api/v1/namespaces/{NAMESPACE}/pods/{pod}/log?container={CONTAINER}&follow=true\
         &timestamps=true HTTP/1.1\r\nhost: sim\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await?;
    let mut buffer = vec![0; 64 * 1024];
    let mut last = 0;
    loop {
        let n = socket.read(&mut buffer).await?;
        if n == 0 {
            return Ok(());
        }
        let bytes = &buffer[..n];
        // HTTP's own lines, of the head and of the chunks, end with CR LF; the log's with LF.
        let before = |at: usize| if at == 0 { last } else { bytes[at - 1] };
        let ends = memchr::memchr_iter(b'\n', bytes).filter(|at| before(*at) != b'\r').count();
        last = bytes[n - 1];
        total.fetch_add(ends as u64, Ordering::Relaxed);
    }
}

/// The pods of the Deployment, by kube's client as it comes.
pub async fn pods(args: &Args) -> Outcome<(Client, Vec<String>)> {
    let address = ([127, 0, 0, 1], args.get("port", 0u16)).into();
    let config = Sim::config(address).ok_or("no configuration")?;
    let client = Client::try_from(config)?;
    let api: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let begins = format!("{}-", args.word("name"));
    let pods = api.list(&ListParams::default()).await?.items;
    let names = pods.into_iter().filter_map(|pod| pod.metadata.name);
    Ok((client, names.filter(|name| name.starts_with(&begins)).collect()))
}

struct Begun {
    at: Instant,
    cpu: f64,
}

impl Begun {
    fn now() -> Begun {
        Begun { at: Instant::now(), cpu: cpu("self") }
    }

    fn told(&self, word: &str, lines: u64) {
        let (seconds, cpu) = (self.at.elapsed().as_secs_f64(), cpu("self") - self.cpu);
        say(&format!("{word} lines={lines} seconds={seconds} cpu={cpu}"));
    }
}

/// Waits until every line has come, and says what it took.
async fn all_read(reader: &impl Reader, args: &Args, begun: Begun) -> Outcome {
    let wanted: u64 = args.get("lines", 0);
    while reader.lines() < wanted {
        if begun.at.elapsed() > LATEST {
            return Err(format!("{} of {wanted} lines came", reader.lines()).into());
        }
        tokio::time::sleep(LOOK).await;
    }
    begun.told("read", reader.lines());
    Ok(())
}

/// Once every source has said something, what a window of this length takes.
async fn steady(args: &Args, check: &Check, window: Duration) -> Outcome {
    let wanted: usize = args.get("followers", 0);
    let begun = Instant::now();
    while check.sources() < wanted {
        if begun.elapsed() > LATEST {
            return Err(format!("{} of {wanted} followers began", check.sources()).into());
        }
        tokio::time::sleep(LOOK).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (begun, before) = (Begun::now(), check.lines());
    say("window");
    tokio::time::sleep(window).await;
    begun.told("steady", check.lines() - before);
    Ok(())
}
