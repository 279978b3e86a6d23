//! A simulated cluster and the service in front of it.

use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Request, Response};
use rollcast::app::{History, Plan, Rooms};
use rollcast::cluster::Cluster;
use rollcast::config::{Logs, Record};
use rollcast::http::auth::Gate;
use rollcast::http::edge::{Doors, Edge};
use rollcast::http::{StreamOptions, routes};
use rollcast::journal::{Epoch, FileOptions, Limits, open_files};
use rollcast::rollout::Graces;
use rollcast::shutdown::{Shutdown, Timing};
use rollcast::sim::{Container, Deployment, Numbers, Output, Program, Sim, SimOptions, Template};
use rollcast::telemetry::{Exposition, Metrics};
use rollcast::time;
use rollcast::watch::WatchOptions;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tower::ServiceExt as _;

use crate::client::Client;

pub struct World {
    pub sim: Sim,
    pub rooms: Rooms,
    pub shutdown: Shutdown,
    pub exposition: Exposition,
    pub metrics: Arc<Metrics>,
    pub router: Router,
}

pub const LOGS: Logs = Logs {
    backfill_lines: 10_000,
    max_line_bytes: 256 << 10,
    max_followers: 5_000,
    max_followers_per_node: 5_000,
    opens_per_second: 500,
    linger: Duration::from_secs(30),
    record: Record::Off,
    record_sources: 20,
};

const JOURNAL: Limits =
    Limits { workload_bytes: 64 << 20, total_bytes: 256 << 20, age: Duration::from_secs(86_400) };

impl World {
    pub fn new(seed: u64) -> World {
        World::with(seed, |_| {})
    }

    pub fn with(seed: u64, change: impl FnOnce(&mut Plan)) -> World {
        let sim = Sim::new(SimOptions { seed, start_time: time::now(), ..SimOptions::default() });
        World::around(sim, seed, change)
    }

    /// Pods write ten times a second instead of a hundred times: for tests that last long.
    pub fn slow(seed: u64, change: impl FnOnce(&mut Plan)) -> World {
        World::around(Sim::new(slow(seed)), seed, change)
    }

    /// With login: bearer tokens for the audience `rollcast`.
    pub fn with_tokens(seed: u64) -> World {
        World::with_tokens_and(seed, |_| {})
    }

    pub fn with_tokens_and(seed: u64, change: impl FnOnce(&mut Plan)) -> World {
        let sim = Sim::new(SimOptions { seed, start_time: time::now(), ..SimOptions::default() });
        World::made(sim, seed, change, true)
    }

    pub fn around(sim: Sim, seed: u64, change: impl FnOnce(&mut Plan)) -> World {
        World::made(sim, seed, change, false)
    }

    /// With the history that is in this folder, and kept there.
    pub async fn stored(sim: Sim, seed: u64, folder: &Path) -> World {
        let (bytes, sync) = (1 << 30, Duration::ZERO);
        let options = FileOptions { path: folder.to_owned(), bytes, sync, age: JOURNAL.age };
        let fresh = Epoch::draw(&mut fastrand::Rng::with_seed(seed));
        let metrics = Arc::new(Metrics::readable().0);
        let opened = open_files(options, fresh, metrics).unwrap();
        let history =
            History::restore(opened, JOURNAL, LOGS.linger, &AtomicBool::new(false)).unwrap();
        World::made_with(sim, seed, |_| {}, false, Some(history))
    }

    fn made(sim: Sim, seed: u64, change: impl FnOnce(&mut Plan), tokens: bool) -> World {
        World::made_with(sim, seed, change, tokens, None)
    }

    fn made_with(
        sim: Sim,
        seed: u64,
        change: impl FnOnce(&mut Plan),
        tokens: bool,
        history: Option<History>,
    ) -> World {
        let timing = Timing { delay: Duration::from_secs(5), window: Duration::from_secs(10) };
        let shutdown = Shutdown::new(timing);
        let mut plan = Plan {
            cluster: Cluster::from_client(sim.client(), sim.client(), "sim"),
            watch: WatchOptions::default(),
            graces: Graces::default(),
            logs: LOGS,
            journal: JOURNAL,
            streams: StreamOptions {
                heartbeat: Duration::from_secs(10),
                lifetime: None,
                per_user: None,
            },
            view_cache_bytes: 64 << 20,
            memory: None,
            seed,
        };
        change(&mut plan);
        let (metrics, exposition) = Metrics::readable();
        let metrics = Arc::new(metrics);
        let (gate, doors) = if tokens {
            let reviewer = Arc::new(plan.cluster.clone());
            let (audience, bound) = (Some("rollcast".to_owned()), Duration::from_secs(30));
            let gate = Gate::tokens(reviewer, audience, bound, metrics.clone()).unwrap();
            (gate, Doors::for_tokens())
        } else {
            (Gate::open(metrics.clone()), Doors::for_loopback())
        };
        let (counted, stopping) = (metrics.clone(), shutdown.clone());
        let rooms = match history {
            Some(history) => Rooms::start_with(history, plan, counted, stopping, gate),
            None => Rooms::start(plan, counted, stopping, gate),
        };
        let edge = Edge::new(metrics.clone(), doors, seed);
        let router = edge.around(routes(rooms.service.clone()));
        World { sim, rooms, shutdown, exposition, metrics, router }
    }

    /// Waits until the service has read the cluster.
    pub async fn synced(&self) {
        while !self.rooms.service.index.synced() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Response<Body> {
        let mut request = Request::get(path).header("host", "localhost");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }

    pub async fn send(&self, request: Request<Body>) -> Response<Body> {
        self.router.clone().oneshot(request).await.unwrap()
    }

    /// The status and the JSON body of an answer that ends.
    pub async fn json(&self, path: &str, headers: &[(&str, &str)]) -> (u16, serde_json::Value) {
        let response = self.get(path, headers).await;
        let status = response.status().as_u16();
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    /// Opens a stream as Server-Sent Events, behind an id if there is one.
    pub async fn stream(&self, path: &str, after: Option<&str>) -> Client {
        let mut headers = vec![("accept", "text/event-stream")];
        headers.extend(after.map(|id| ("last-event-id", id)));
        let response = self.get(path, &headers).await;
        assert_eq!(response.status(), 200, "{path}");
        Client::new(response.into_body())
    }
}

pub const STREAM: &str = "/api/v1/namespaces/shop/deployment/web/stream";

/// A Deployment `web` in `shop` whose pods write numbered lines on both streams.
pub fn web(replicas: u32, rate: f64, lines: Option<u64>) -> Deployment {
    let numbers = Numbers { both: true, length: (40, 400), lines, ..Numbers::new("run", rate) };
    let program = Program { output: vec![Output::Numbered(numbers)], ..Program::default() };
    let template = Template::new([Container::new("app", "shop/web:1", program)]);
    Deployment::new("shop", "web", replicas, template)
}

/// A Deployment `web` in `shop` whose pods write numbered lines on standard output, without end.
pub fn one_pipe(replicas: u32, rate: f64) -> Deployment {
    let program = Program::numbered("run", rate);
    let template = Template::new([Container::new("app", "shop/web:1", program)]);
    Deployment::new("shop", "web", replicas, template)
}

/// A cluster whose pods write ten times a second.
pub fn slow(seed: u64) -> SimOptions {
    let write_tick = Duration::from_millis(100);
    SimOptions { seed, start_time: time::now(), write_tick, ..SimOptions::default() }
}
