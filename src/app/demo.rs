//! `rollcast demo`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::TaskTracker;

use super::memory::Budget;
use super::rooms::{Plan, Rooms};
use super::{AppError, router};
use crate::cluster::Cluster;
use crate::config;
use crate::http::StreamOptions;
use crate::http::auth::Gate;
use crate::http::edge::Doors;
use crate::http::serve::{self, Bounds, Closes, Serving};
use crate::journal::Limits;
use crate::rollout::Graces;
use crate::shutdown::{Ending, Shutdown, Signals};
use crate::sim::{Sim, SimOptions, shop};
use crate::telemetry::Metrics;
use crate::time;
use crate::watch::WatchOptions;

/// Serves the simulated shop until a signal comes; tells how it ended.
///
/// # Errors
/// If the address is taken.
pub async fn demo(config: config::Demo, metrics: Arc<Metrics>) -> Result<Ending, AppError> {
    let signals = Signals::listen()?;
    let listener = serve::listen(config.listen.0, "--listen")?;
    let shutdown = Shutdown::new(DEMO_DRAIN);
    let sim = Sim::new(SimOptions {
        seed: config.seed,
        stop: shutdown.token(),
        ..shop::options(time::now())
    });
    shop::open(&sim);
    // The shop is the same for one seed; the journal's epoch and ids are a new process's own, or a
    // client of the last one would be told that it resumes exactly.
    #[allow(clippy::disallowed_methods, reason = "the process draws its one seed here")]
    let seed = fastrand::u64(..);
    let cluster = Cluster::from_client(sim.client(), sim.client(), "demo");
    let plan = Plan {
        cluster,
        watch: WatchOptions::default(),
        graces: Graces::default(),
        logs: DEMO_LOGS,
        journal: Limits {
            workload_bytes: 16 << 20,
            total_bytes: 128 << 20,
            age: Duration::from_secs(86_400),
        },
        streams: StreamOptions {
            heartbeat: Duration::from_secs(10),
            lifetime: None,
            per_user: None,
        },
        view_cache_bytes: 64 << 20,
        memory: Budget::find(None),
        seed,
    };
    let gate = Gate::open(metrics.clone());
    let rooms = Rooms::start(plan, metrics.clone(), shutdown.clone(), gate);
    let router = router(&rooms, Doors::for_loopback(), seed);
    let bounds = Bounds::default();
    let serving = Serving { bounds, closes: Closes::WhenDraining, metrics: Some(metrics) };
    let address = listener.local_addr()?;
    let serving = TaskTracker::new().spawn(serve::run(listener, router, serving, shutdown.clone()));
    tell(&demo_text(address));
    let idle = async { drop(serving.await) };
    let ending = shutdown.on_signals(signals, idle).await;
    if ending == Ending::Drained {
        rooms.ended().await;
    }
    Ok(ending)
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
    record: config::Record::Rollouts,
    record_sources: 20,
};

fn demo_text(address: SocketAddr) -> String {
    let api = format!("http://{address}/api/v1");
    let stream = format!("{api}/namespaces/shop/deployment");
    format!(
        "rollcast demo: a simulated shop with workloads that roll out, crash and recover.\n\n\
         Open    http://{address}/\n\n\
         Or try, each with Ctrl-C to end:\n\
         \x20 curl -N '{stream}/web/stream'                 a rollout and its new pods' logs\n\
         \x20 curl -N '{stream}/checkout/stream?logs=all'   a crash loop\n\
         \x20 curl -N '{stream}/payments/stream'            an image that does not exist\n\
         \x20 curl -N '{stream}/catalog/stream?format=sse'  as Server-Sent Events\n\
         \x20 curl -s {api}/workloads\n\n\
         Ctrl-C ends the demo.\n"
    )
}

/// Writes for the person who typed the command; if nobody listens the demo goes on.
fn tell(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "{text}");
}
