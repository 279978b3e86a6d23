//! The running rooms.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, watch as signal};
use tokio_util::task::TaskTracker;

use super::director::{self, Director};
use super::history::{self, History};
use super::memory::{self, Budget, Valves};
use super::recorder::{Policy, Recorder};
use super::results::{self, Append, Results};
use super::wishes::{self, Wishes};
use crate::admin::{Admin, Waiting};
use crate::cluster::Cluster;
use crate::config;
use crate::http::auth::Gate;
use crate::http::limits::Limits as StreamLimits;
use crate::http::stream::Waits;
use crate::http::{Reads, Service, StreamOptions};
use crate::journal::{Epoch, Journal, Limits};
use crate::rollout::{Graces, Model};
use crate::shutdown::{Restart, Shutdown, Supervisor};
use crate::tail::{self, Tail, Waters, Wiring};
use crate::telemetry::Metrics;
use crate::time;
use crate::view::Views;
use crate::watch::{self, Index, WatchOptions};

/// Changes that wait between the watches and the rooms. When it is full the watches wait, and the
/// API server keeps what was not read.
const CHANGES: usize = 1024;
/// How often the journal forgets what is too old, and its size is told.
const JANITOR: Duration = Duration::from_secs(5);
/// How often readiness is looked at.
const ROUND: Duration = Duration::from_millis(500);
/// A loop that is silent for so long is stuck.
const PULSE_LIMIT: Duration = Duration::from_secs(60);

/// What the rooms are made with.
pub struct Plan {
    /// The cluster.
    pub cluster: Cluster,
    /// Which namespaces, and how long a pod that is gone is remembered.
    pub watch: WatchOptions,
    /// How long what may pass is waited for.
    pub graces: Graces,
    /// Following logs.
    pub logs: config::Logs,
    /// What is kept.
    pub journal: Limits,
    /// Viewers' streams.
    pub streams: StreamOptions,
    /// Bytes of encoded pieces that are shared.
    pub view_cache_bytes: usize,
    /// Memory that the process may use; `None` is no limit.
    pub memory: Option<Budget>,
    /// Seed of everything random.
    pub seed: u64,
}

/// The running rooms.
pub struct Rooms {
    /// What handlers use.
    pub service: Service,
    supervisor: Supervisor,
    recorder: Arc<Mutex<Recorder>>,
}

// === impl Plan ===

impl Plan {
    /// The epoch of a new journal.
    pub fn epoch(&self) -> Epoch {
        Epoch::draw(&mut fastrand::Rng::with_seed(self.seed))
    }
}

// === impl Rooms ===

impl Rooms {
    /// Starts the rooms with a new journal; they run until `shutdown` stops.
    pub fn start(plan: Plan, metrics: Arc<Metrics>, shutdown: Shutdown, gate: Gate) -> Rooms {
        let history = History::new(plan.epoch(), plan.journal);
        Rooms::start_with(history, plan, metrics, shutdown, gate)
    }

    /// Starts the rooms with a journal that is there already.
    pub fn start_with(
        History { journal, before }: History,
        plan: Plan,
        metrics: Arc<Metrics>,
        shutdown: Shutdown,
        gate: Gate,
    ) -> Rooms {
        let tracker = TaskTracker::new();
        let token = shutdown.token();
        let supervisor = Supervisor::new(tracker.clone(), token.clone(), metrics.clone(), "app");
        let mut random = fastrand::Rng::with_seed(plan.seed);
        // The first draw was the epoch of a new journal.
        let _ = Epoch::draw(&mut random);
        let index = Index::new();
        let model = Arc::new(Mutex::new(Model::with(plan.graces).that_asks()));
        let waters = Waters::new(token.clone());
        let append = append(journal.clone(), waters.clone());
        let sink: tail::Sink = {
            let append = append.clone();
            Arc::new(move |workload, entry| {
                append(workload, entry);
            })
        };
        let tail = Tail::new(
            Wiring {
                cluster: plan.cluster.clone(),
                index: index.clone(),
                sink,
                waters,
                proven: proven(journal.clone()),
                metrics: metrics.clone(),
                tracker: tracker.clone(),
                shutdown: token.clone(),
            },
            tail_options(&plan.logs, plan.journal.age, random.u64(..)),
        );
        tail.remember(before, journal.read_until());
        let views = Views::new(
            journal.clone(),
            index.clone(),
            metrics.clone(),
            tracker,
            plan.view_cache_bytes,
        );
        let news = Arc::new(signal::Sender::new(0));
        let service = Service {
            index: index.clone(),
            model: model.clone(),
            journal: journal.clone(),
            tail: tail.clone(),
            views,
            gate,
            limits: StreamLimits::new(plan.streams.per_user, metrics.clone()),
            shutdown,
            metrics: metrics.clone(),
            options: plan.streams,
            cluster: plan.cluster.clone(),
            reads: Reads::default(),
            waits: Waits::default(),
            news: news.clone(),
            random: Arc::new(Mutex::new(random)),
        };

        if let Some(rechecks) = service.gate.rechecks() {
            let stop = token.clone();
            supervisor.for_room("http").keep("rechecks", Restart::Always, move |_| {
                let (rechecks, stop) = (rechecks.clone(), stop.clone());
                async move { rechecks.run(stop).await }
            });
        }
        if let Some(budget) = plan.memory {
            let valves = Valves {
                journal: journal.clone(),
                views: service.views.clone(),
                limits: service.limits.clone(),
                metrics: metrics.clone(),
            };
            supervisor.keep("memory", Restart::AfterPanic, move |_| {
                memory::watch(budget.clone(), valves.clone())
            });
        }
        let (sender, receiver) = mpsc::channel(CHANGES);
        let asked = plan.cluster.clone();
        let wishful = plan.cluster.clone();
        let (cluster, options, watched) = (plan.cluster, plan.watch, index.clone());
        let counted = metrics.clone();
        supervisor.for_room("watch").keep("watch", Restart::Always, move |_| {
            watch::run(
                cluster.clone(),
                options.clone(),
                watched.clone(),
                sender.clone(),
                counted.clone(),
                token.clone(),
            )
        });
        let receiver = Arc::new(tokio::sync::Mutex::new(receiver));
        let policy = Policy { record: plan.logs.record, sources: plan.logs.record_sources };
        let wishes = Wishes::default();
        let recorder = Arc::new(Mutex::new(Recorder::new(tail.clone(), policy, wishes.clone())));
        let recording = recorder.clone();
        let (decided, decisions) = mpsc::channel(results::WAITING);
        let decisions = Arc::new(tokio::sync::Mutex::new(decisions));
        let due = Arc::new(Notify::new());
        let results = Results {
            cluster: asked,
            metrics: metrics.clone(),
            journal: journal.clone(),
            model: model.clone(),
            ended: {
                let (index, model, recorder) = (index.clone(), model.clone(), recorder.clone());
                Arc::new(move |workload| director::look(&index, &model, &recorder, workload))
            },
            due: due.clone(),
            news,
        };
        let (saying, said) = (results.clone(), append.clone());
        supervisor.keep("results", Restart::AfterPanic, move |_| {
            saying.clone().run(decisions.clone(), said.clone())
        });
        let turn = Arc::default();
        let director =
            Director { index, model, append, tail, recorder, results, decided, due, turn };
        let clock = director.clone();
        supervisor.keep("rollouts", Restart::AfterPanic, move |_| {
            let clock = clock.clone();
            async move { clock.watch_the_clock().await }
        });
        let (cluster, told) = (wishful, director.clone());
        supervisor.keep("wishes", Restart::AfterPanic, move |_| {
            let (wishes, cluster, told) = (wishes.clone(), cluster.clone(), told.clone());
            async move {
                loop {
                    for namespace in wishes.read(&cluster, &told.index).await {
                        told.wishes_changed(&namespace);
                    }
                    tokio::time::sleep(wishes::LOOK).await;
                }
            }
        });
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
        Rooms { service, supervisor, recorder: recording }
    }

    /// Tells operators how the rooms stand: ready when the cluster was read, alive while its
    /// main loop goes round.
    pub fn report_to(&self, admin: &Admin) {
        let waiting = Arc::new(Mutex::new(Some(admin.wait_for("the first lists of the cluster"))));
        let pulse = admin.pulse("rounds", PULSE_LIMIT);
        let index = self.service.index.clone();
        self.supervisor.keep("rounds", Restart::AfterPanic, move |_| {
            let (waiting, pulse, index) = (waiting.clone(), pulse.clone(), index.clone());
            async move {
                loop {
                    pulse.beat();
                    look(&index, &mut waiting.lock());
                    tokio::time::sleep(ROUND).await;
                }
            }
        });
        let (tail, journal) = (self.service.tail.clone(), self.service.journal.clone());
        admin.show(
            "journal",
            Arc::new(move || {
                serde_json::json!({
                    "epoch": journal.epoch().as_str(),
                    "head": journal.head(),
                    "bytes": journal.bytes(),
                    "evicted_records": journal.evicted(),
                    "store": journal.store().map(history::show),
                })
            }),
        );
        let limits = self.service.limits.clone();
        admin.show(
            "http",
            Arc::new(move || {
                let (open, pressure) = (limits.open(), limits.pressure().as_str());
                serde_json::json!({"streams": open, "memory_pressure": pressure})
            }),
        );
        let recorder = self.recorder.clone();
        admin.show(
            "recorder",
            Arc::new(move || serde_json::json!({"workloads": recorder.lock().count()})),
        );
        admin.show("tail", Arc::new(move || serde_json::json!(tail.status())));
    }

    /// Waits until every task has ended and the journal's store is closed; call after shutdown has
    /// stopped.
    pub async fn ended(&self) {
        let tracker = self.supervisor.tracker();
        tracker.close();
        tracker.wait().await;
        history::end(self.service.journal.clone()).await;
    }
}

/// Ready once the cluster was read; until then the first problem is what is waited for.
fn look(index: &Index, waiting: &mut Option<Waiting>) {
    if index.synced() {
        *waiting = None;
    } else if let (Some(waiting), Some(problem)) = (waiting, index.problems().first()) {
        waiting.now_for(problem.to_string());
    }
}

fn append(journal: Journal, waters: Waters) -> Append {
    Arc::new(move |workload, entry| {
        let now = time::now();
        let low = waters.low(workload).unwrap_or(now);
        journal.append_with(workload, entry, now, low)
    })
}

fn proven(journal: Journal) -> tail::Proven {
    Arc::new(move |source| journal.proven(&source.workload, &source.key))
}

fn tail_options(logs: &config::Logs, kept: Duration, seed: u64) -> tail::Options {
    tail::Options {
        backfill_lines: logs.backfill_lines,
        max_line_bytes: logs.max_line_bytes,
        max_followers: logs.max_followers,
        max_followers_per_node: logs.max_followers_per_node,
        opens_per_second: logs.opens_per_second,
        linger: logs.linger,
        kept,
        seed,
    }
}

async fn janitor(journal: Journal, metrics: Arc<Metrics>) {
    // What a store gave back was counted by the process that appended it.
    let (mut head, mut evicted) = (journal.head(), journal.evicted());
    loop {
        journal.expire(time::now());
        metrics.journal_bytes.set(journal.bytes());
        if let Some(status) = journal.store() {
            history::measure(&status, &metrics);
        }
        let now = (journal.head(), journal.evicted());
        metrics.journal_records.add(now.0 - head);
        metrics.journal_evicted_records.add(now.1 - evicted);
        (head, evicted) = now;
        tokio::time::sleep(JANITOR).await;
    }
}
