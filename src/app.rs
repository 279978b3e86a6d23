//! Turns a configuration into running rooms, in order, and takes them down in reverse.
//!
//! Only this file and what it hands a tracker to spawns tasks. Every task is kept: a panic is
//! counted and the task started again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use crate::cluster::{self, Cluster};
use crate::config;
use crate::http::auth::{Gate, NoRandomness};
use crate::http::edge::{Doors, Edge};
use crate::http::serve::{self, Closes, Serving};
use crate::http::{self, Service, StreamOptions};
use crate::ids::Side;
use crate::journal::{Epoch, Journal, Limits};
use crate::rollout::Model;
use crate::shutdown::{Restart, Shutdown, Supervisor};
use crate::sim::{self, Sim, SimOptions};
use crate::tail::{self, Tail, Wiring};
use crate::telemetry::{Exposition, Metrics};
use crate::time;
use crate::view::Views;
use crate::watch::{self, Change, Index, PodEntry, WatchOptions};

/// Changes that wait between the watches and the rooms. When it is full the watches wait, and the
/// API server keeps what was not read.
const CHANGES: usize = 1024;
/// How often the journal forgets what is too old, and its size is told.
const JANITOR: Duration = Duration::from_secs(5);

/// What keeps the program from running.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// No cluster can be spoken to.
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] serve::ListenError),
    /// Tokens cannot be hashed.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// Signals cannot be waited for.
    #[error("cannot wait for signals: {0}")]
    Signals(#[from] std::io::Error),
}

/// Serves a cluster until a signal comes.
///
/// # Errors
/// If there is no usable configuration of a cluster, or an address is taken. A cluster that does
/// not answer is no error: it is said, and tried again.
pub async fn serve(
    config: config::Serve,
    metrics: Arc<Metrics>,
    exposition: Exposition,
) -> Result<(), AppError> {
    let options = cluster::ClusterOptions {
        kubeconfig: config.cluster.kubeconfig.clone(),
        context: config.cluster.context.clone(),
    };
    let cluster = Cluster::connect(&options).await?;
    let listener = serve::listen(config.listen.0, "--listen")?;
    let admin = serve::listen(config.admin_listen.0, "--admin-listen")?;
    let seed = fastrand::u64(..);
    let shutdown = Shutdown::new(config.drain);
    greet(&cluster).await;
    let plan = Plan {
        cluster,
        watch: WatchOptions {
            namespaces: config.cluster.namespaces.clone(),
            grace: config.history.pod_grace,
        },
        logs: config.logs.clone(),
        journal: Limits {
            workload_bytes: config.history.journal_workload_bytes,
            total_bytes: config.history.journal_bytes,
            age: config.history.journal_age,
        },
        streams: StreamOptions {
            heartbeat: config.streams.heartbeat,
            lifetime: Some(config.streams.lifetime),
        },
        view_cache_bytes: config.streams.view_cache_bytes,
        seed,
    };
    let (doors, gate) = match config.auth.clone() {
        config::Auth::Token { audience } => {
            let reviewer = Arc::new(plan.cluster.clone());
            let gate = Gate::tokens(reviewer, audience, config.reauthorize, metrics.clone())?;
            (Doors::for_tokens(), gate)
        }
        config::Auth::None => (Doors::for_loopback(), Gate::open(metrics.clone())),
    };
    let rooms = Rooms::start(plan, metrics.clone(), shutdown.clone(), gate);
    let router = router(&rooms, doors, seed);
    tracing::info!(listen = %config.listen, admin = %config.admin_listen, "serving");
    let public = Serving {
        max_connections: config.max_connections,
        closes: Closes::WhenDraining,
        metrics: Some(metrics),
    };
    let _ = (admin, exposition);
    let serving = serve::run(listener, router, public, shutdown.clone());
    let ending = shutdown.on_signals(serving).await?;
    tracing::info!(?ending, "stopped");
    rooms.ended().await;
    Ok(())
}

/// Says which cluster this is, or why it does not answer; it is tried again by whoever needs it.
async fn greet(cluster: &Cluster) {
    match cluster.version().await {
        Ok(version) => {
            tracing::info!(
                cluster = cluster.name(),
                server = cluster.server(),
                version,
                "connected"
            );
        }
        Err(error) => tracing::warn!(cluster = cluster.name(), %error, "not connected yet"),
    }
}

/// All that the public listener answers.
fn router(rooms: &Rooms, doors: Doors, seed: u64) -> Router {
    let edge = Edge::new(rooms.service.metrics.clone(), doors, seed);
    edge.around(http::routes(rooms.service.clone()))
}

/// Serves the simulated shop until a signal comes.
///
/// # Errors
/// If the address is taken.
pub async fn demo(config: config::Demo, metrics: Arc<Metrics>) -> Result<(), AppError> {
    let listener = serve::listen(config.listen.0, "--listen")?;
    let shutdown = Shutdown::new(DEMO_DRAIN);
    let sim = Sim::new(SimOptions {
        seed: config.seed,
        stop: shutdown.token(),
        start_time: time::now(),
        ..SimOptions::default()
    });
    // sim::shop::open(&sim);
    let cluster = Cluster::from_client(sim.client(), sim.client(), "demo");
    let plan = Plan {
        cluster,
        watch: WatchOptions::default(),
        logs: DEMO_LOGS,
        journal: Limits {
            workload_bytes: 16 << 20,
            total_bytes: 128 << 20,
            age: Duration::from_secs(86_400),
        },
        streams: StreamOptions { heartbeat: Duration::from_secs(10), lifetime: None },
        view_cache_bytes: 64 << 20,
        seed: config.seed,
    };
    let gate = Gate::open(metrics.clone());
    let rooms = Rooms::start(plan, metrics.clone(), shutdown.clone(), gate);
    let router = router(&rooms, Doors::for_loopback(), config.seed);
    let serving =
        Serving { max_connections: 10_000, closes: Closes::WhenDraining, metrics: Some(metrics) };
    let address = listener.local_addr()?;
    let serving = serve::run(listener, router, serving, shutdown.clone());
    tell(&demo_text(address));
    shutdown.on_signals(serving).await?;
    rooms.ended().await;
    Ok(())
}

/// Nobody waits for a demo to end.
const DEMO_DRAIN: crate::shutdown::Timing =
    crate::shutdown::Timing { delay: Duration::ZERO, window: Duration::from_millis(200) };
/// The options' defaults, but for limits that only get in a demo's way.
const DEMO_LOGS: config::Logs = config::Logs {
    backfill_lines: 10_000,
    max_line_bytes: 256 << 10,
    max_followers: 5_000,
    max_followers_per_node: 5_000,
    opens_per_second: 500,
    linger: Duration::from_secs(30),
};

fn demo_text(address: SocketAddr) -> String {
    let api = format!("http://{address}/api/v1");
    let stream = format!("{api}/namespaces/shop/deployment");
    format!(
        "rollcast demo: a simulated shop with workloads that roll out, crash and recover.\n\n\
         Open    http://{address}/\n\n\
         Or try, each with Ctrl-C to end:\n\
         \x20 curl -N {stream}/web/stream                 a rollout and its new pods' logs\n\
         \x20 curl -N {stream}/checkout/stream?logs=all   a crash loop\n\
         \x20 curl -N {stream}/payments/stream            an image that does not exist\n\
         \x20 curl -N {stream}/catalog/stream?format=sse  as Server-Sent Events\n\
         \x20 curl -s {api}/workloads\n\n\
         Ctrl-C ends the demo.\n"
    )
}

/// Writes for the person who typed the command.
#[allow(clippy::print_stdout, reason = "the demo's first words are its output, not its log")]
fn tell(text: &str) {
    println!("{text}");
}

/// What the rooms are made with.
pub struct Plan {
    /// The cluster.
    pub cluster: Cluster,
    /// Which namespaces, and how long a pod that is gone is remembered.
    pub watch: WatchOptions,
    /// Following logs.
    pub logs: config::Logs,
    /// What is kept.
    pub journal: Limits,
    /// Viewers' streams.
    pub streams: StreamOptions,
    /// Bytes of encoded pieces that are shared.
    pub view_cache_bytes: usize,
    /// Seed of everything random.
    pub seed: u64,
}

/// The running rooms.
pub struct Rooms {
    /// What handlers use.
    pub service: Service,
    supervisor: Supervisor,
}

// === impl Rooms ===

impl Rooms {
    /// Starts the rooms; they run until `shutdown` stops.
    pub fn start(plan: Plan, metrics: Arc<Metrics>, shutdown: Shutdown, gate: Gate) -> Rooms {
        let tracker = TaskTracker::new();
        let token = shutdown.token();
        let supervisor = Supervisor::new(tracker.clone(), token.clone(), metrics.clone(), "app");
        let mut random = fastrand::Rng::with_seed(plan.seed);
        let journal = Journal::new(Epoch::draw(&mut random), plan.journal);
        let index = Index::new();
        let model = Arc::new(Mutex::new(Model::new()));
        let tail = Tail::new(
            Wiring {
                cluster: plan.cluster.clone(),
                index: index.clone(),
                sink: sink(journal.clone()),
                metrics: metrics.clone(),
                tracker: tracker.clone(),
                shutdown: token.clone(),
            },
            tail_options(&plan.logs, random.u64(..)),
        );
        let views = Views::new(journal.clone(), metrics.clone(), tracker, plan.view_cache_bytes);
        let service = Service {
            index: index.clone(),
            model: model.clone(),
            journal: journal.clone(),
            tail: tail.clone(),
            views,
            gate,
            shutdown,
            metrics: metrics.clone(),
            options: plan.streams,
            random: Arc::new(Mutex::new(random)),
        };

        if let Some(rechecks) = service.gate.rechecks() {
            let stop = token.clone();
            supervisor.for_room("http").keep("rechecks", Restart::Always, move |_| {
                let (rechecks, stop) = (rechecks.clone(), stop.clone());
                async move { rechecks.run(stop).await }
            });
        }
        let (sender, receiver) = mpsc::channel(CHANGES);
        let (cluster, options, watched) = (plan.cluster, plan.watch, index.clone());
        supervisor.for_room("watch").keep("watch", Restart::Always, move |_| {
            watch::run(
                cluster.clone(),
                options.clone(),
                watched.clone(),
                sender.clone(),
                token.clone(),
            )
        });
        let receiver = Arc::new(tokio::sync::Mutex::new(receiver));
        let director = Director { index, model, journal: journal.clone(), tail };
        supervisor.keep("director", Restart::AfterPanic, move |_| {
            let (receiver, director) = (receiver.clone(), director.clone());
            async move {
                let mut changes = receiver.lock().await;
                while let Some(change) = changes.recv().await {
                    director.take(&change);
                }
            }
        });
        supervisor.for_room("journal").keep("janitor", Restart::AfterPanic, move |_| {
            janitor(journal.clone(), metrics.clone())
        });
        Rooms { service, supervisor }
    }

    /// Waits until every task has ended; call after shutdown has stopped.
    pub async fn ended(&self) {
        let tracker = self.supervisor.tracker();
        tracker.close();
        tracker.wait().await;
    }
}

fn sink(journal: Journal) -> tail::Sink {
    Arc::new(move |workload, entry| {
        journal.append(workload, entry, time::now());
    })
}

fn tail_options(logs: &config::Logs, seed: u64) -> tail::Options {
    tail::Options {
        backfill_lines: logs.backfill_lines,
        max_line_bytes: logs.max_line_bytes,
        max_followers: logs.max_followers,
        max_followers_per_node: logs.max_followers_per_node,
        opens_per_second: logs.opens_per_second,
        linger: logs.linger,
        seed,
    }
}

async fn janitor(journal: Journal, metrics: Arc<Metrics>) {
    let (mut head, mut evicted) = (0, 0);
    loop {
        journal.expire(time::now());
        metrics.journal_bytes.set(journal.bytes());
        let now = (journal.head(), journal.evicted());
        metrics.journal_records.add(now.0 - head);
        metrics.journal_evicted_records.add(now.1 - evicted);
        (head, evicted) = now;
        tokio::time::sleep(JANITOR).await;
    }
}

/// Takes each change through the model into the journal and to the followers.
#[derive(Clone)]
struct Director {
    index: Index,
    model: Arc<Mutex<Model>>,
    journal: Journal,
    tail: Tail,
}

// === impl Director ===

impl Director {
    fn take(&self, change: &Change) {
        let now = time::now();
        let (records, pods) = {
            let mut model = self.model.lock();
            let records = model.apply(change, now);
            (records, self.touched(&model, change))
        };
        for (workload, entry) in records {
            self.journal.append(&workload, entry, now);
        }
        for (pod, side) in pods {
            self.tail.pod(&pod, side);
        }
    }

    /// Pods whose followers must know: the pod itself, or all of a workload, whose sides may have
    /// changed with it.
    fn touched(&self, model: &Model, change: &Change) -> Vec<(Arc<PodEntry>, Side)> {
        let pods = match change {
            Change::PodApplied(pod) | Change::PodGone(pod) => vec![pod.clone()],
            Change::Workload(entry) => self.index.pods_of(&entry.id),
            Change::WorkloadGone(_) | Change::Event { .. } | Change::Synced => Vec::new(),
        };
        pods.into_iter().map(|pod| (pod.clone(), model.side(&pod))).collect()
    }
}
