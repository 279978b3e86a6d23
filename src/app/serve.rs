//! `rollcast serve`.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::TaskTracker;

use super::memory::Budget;
use super::rooms::{Plan, Rooms};
use super::{AppError, files, history, router};
use crate::admin::Admin;
use crate::cluster::{self, Cluster};
use crate::config;
use crate::http::StreamOptions;
use crate::http::auth::Gate;
use crate::http::edge::Doors;
use crate::http::serve::{self, Bounds, Closes, Serving};
use crate::journal::Limits;
use crate::rollout::Graces;
use crate::shutdown::{Ending, Shutdown, Signal, Signals};
use crate::telemetry::{Exposition, Metrics};
use crate::watch::WatchOptions;

/// Serves a cluster until a signal comes; tells how it ended.
///
/// # Errors
/// If there is no usable configuration of a cluster, or an address is taken. A cluster that does
/// not answer is no error: it is said, and tried again.
pub async fn serve(
    config: config::Serve,
    metrics: Arc<Metrics>,
    exposition: Exposition,
) -> Result<Ending, AppError> {
    let mut signals = Signals::listen()?;
    let options = cluster::ClusterOptions {
        kubeconfig: config.cluster.kubeconfig.clone(),
        context: config.cluster.context.clone(),
    };
    let cluster = Cluster::connect(&options).await?;
    let listener = serve::listen(config.listen.0, "--listen")?;
    let admin_listener = serve::listen(config.admin_listen.0, "--admin-listen")?;
    // Port 0 was asked for, and another one was given.
    let addresses = (listener.local_addr()?, admin_listener.local_addr()?);
    #[allow(clippy::disallowed_methods, reason = "the process draws its one seed here")]
    let seed = fastrand::u64(..);
    let shutdown = Shutdown::new(config.drain);
    let admin = Admin::new(shutdown.clone(), exposition);
    // Probes are answered from here on, also while the cluster is away; ready it is when it serves.
    let starting = admin.wait_for("the first answers of the cluster");
    let limits = config.limits.clone();
    let bounds = Bounds { connections: ADMIN_CONNECTIONS, ..Bounds::default() };
    let operators = Serving { bounds, closes: Closes::WhenStopped, metrics: None };
    let operators = serve::run(admin_listener, admin.clone().routes(), operators, shutdown.clone());
    let listeners = TaskTracker::new();
    listeners.spawn(operators);
    let login = config.auth != config::Auth::None;
    tokio::select! {
        met = meet(&cluster, login) => met?,
        signal = signals.next() => return Ok(stopped_early(signal, &shutdown, &listeners).await),
    }
    let plan = Plan {
        cluster,
        watch: WatchOptions {
            namespaces: config.cluster.namespaces.clone(),
            grace: config.history.pod_grace,
        },
        graces: graces(&config.graces),
        logs: config.logs.clone(),
        journal: Limits {
            workload_bytes: config.history.journal_workload_bytes,
            total_bytes: config.history.journal_bytes,
            age: config.history.journal_age,
        },
        streams: StreamOptions {
            heartbeat: config.streams.heartbeat,
            lifetime: config.streams.lifetime,
            per_user: limits.streams_per_user,
        },
        view_cache_bytes: config.streams.view_cache_bytes,
        memory: Budget::find(limits.memory),
        seed,
    };
    warn_of_little_memory(&plan);
    let (doors, gate) = match config.auth.clone() {
        config::Auth::Token { audience } => {
            let reviewer = Arc::new(plan.cluster.clone());
            let gate = Gate::tokens(reviewer, audience, config.reauthorize, metrics.clone())?;
            (Doors::for_tokens(), gate.limiting_failures(limits.token_failures))
        }
        config::Auth::None => (Doors::for_loopback(), Gate::open(metrics.clone())),
    };
    let store = config.history.store.clone();
    let begin =
        history::begin(store, plan.journal, plan.logs.linger, plan.epoch(), metrics.clone());
    let history = tokio::select! {
        history = begin => history?,
        // The reading is given up, and the store is as it was.
        signal = signals.next() => return Ok(stopped_early(signal, &shutdown, &listeners).await),
    };
    let rooms = Rooms::start_with(history, plan, metrics.clone(), shutdown.clone(), gate);
    rooms.report_to(&admin);
    let doors = doors.with_bounds(limits.head_bytes, limits.body_bytes);
    let router = router(&rooms, doors, seed);
    let (listen, admin) = addresses;
    tracing::info!(%listen, %admin, "serving");
    let bounds = Bounds {
        connections: files::connections(limits.max_connections),
        per_source: limits.connections_per_source,
        streams: limits.streams_per_connection,
        stall: limits.stall,
        head: limits.head,
        head_bytes: u32::try_from(limits.head_bytes).unwrap_or(u32::MAX),
        idle: limits.idle,
    };
    let public = Serving { bounds, closes: Closes::WhenDraining, metrics: Some(metrics) };
    let serving = listeners.spawn(serve::run(listener, router, public, shutdown.clone()));
    drop(starting);
    // A listener that panicked was counted where it happened; the process ends as if it were idle.
    let idle = async { drop(serving.await) };
    let ending = shutdown.on_signals(signals, idle).await;
    tracing::info!(?ending, "stopped");
    // Who asks twice does not want to wait.
    if ending == Ending::Drained {
        rooms.ended().await;
        listeners.close();
        listeners.wait().await;
    }
    Ok(ending)
}

/// Somebody wants the process to end before it serves.
async fn stopped_early(signal: Signal, shutdown: &Shutdown, listeners: &TaskTracker) -> Ending {
    tracing::info!(signal = signal.name(), "stopped before serving");
    shutdown.stop();
    listeners.close();
    listeners.wait().await;
    Ending::Drained
}

/// A cgroup's limit is not seen before the start, so what does not fit is said, not refused.
fn warn_of_little_memory(plan: &Plan) {
    let Some(limit) = plan.memory.as_ref().map(Budget::limit) else { return };
    let fixed = (plan.journal.total_bytes + plan.view_cache_bytes) as u64;
    tracing::info!(limit, "memory is limited");
    if fixed > limit / 10 * 7 {
        tracing::warn!(
            limit,
            fixed,
            "--journal-bytes and --view-cache-bytes may take more than 70 % of the memory: raise the \
             limit or lower them, or history will stop short of them"
        );
    }
}

/// The first talk with the cluster: which it is, and whether it reviews for us where `login` needs it.
async fn meet(cluster: &Cluster, login: bool) -> Result<(), AppError> {
    greet(cluster).await;
    if login { check_reviews(cluster).await } else { Ok(()) }
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

/// Without the right to ask for reviews nobody could log in, and nobody would be told why: the start
/// fails and names it. A refusal is believed when it is repeated while the API server says ready.
async fn check_reviews(cluster: &Cluster) -> Result<(), AppError> {
    let mut refused = 0;
    for _ in 0..REVIEW_TRIES {
        let none = cluster::Identity { user: "rollcast:self-check".into(), ..Default::default() };
        let access = cluster::Access {
            verb: "get",
            group: "",
            resource: "pods",
            subresource: Some("log"),
            namespace: Some("default"),
            name: None,
        };
        let answers = (
            cluster.review_token("rollcast-self-check", &[]).await.map(drop),
            cluster.review_access(&none, &access).await.map(drop),
        );
        let error = match answers {
            (Err(error @ cluster::Error::Forbidden { .. }), _)
            | (_, Err(error @ cluster::Error::Forbidden { .. })) => error,
            _ => return Ok(()),
        };
        refused += 1;
        if refused == REVIEW_TRIES && cluster.ready().await {
            return Err(AppError::Reviews(error));
        }
        tokio::time::sleep(REVIEW_PAUSE).await;
    }
    Ok(())
}

/// Refusals in a row that are believed, and the pause between two: an API server that has just
/// started refuses everybody for about a second.
const REVIEW_TRIES: u32 = 3;
const REVIEW_PAUSE: Duration = Duration::from_secs(2);
/// Probes and scrapers; more is a mistake.
const ADMIN_CONNECTIONS: usize = 64;

pub(super) fn graces(config: &config::Graces) -> Graces {
    let nanos = |span: Duration| i64::try_from(span.as_nanos()).unwrap_or(i64::MAX);
    Graces {
        settle: nanos(config.settle),
        restarts: config.crash_restarts,
        config: nanos(config.config),
        pull: nanos(config.pull),
        quota: nanos(config.quota),
        unschedulable: nanos(config.unschedulable),
        start: nanos(config.start),
        readiness: nanos(config.deadline),
    }
}
