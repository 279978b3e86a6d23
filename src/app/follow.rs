//! `rollcast follow`: the client, before a server or before the same rooms in this process.

use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::rooms::{Plan, Rooms};
use super::{AppError, router};
use crate::client::{self, Ci, End, Exit, Mode, Pins, Pipes, Reach, Size, Token, Wanted};
use crate::cluster::{Cluster, ClusterOptions};
use crate::config::{self, Origin, Record};
use crate::http::StreamOptions;
use crate::http::auth::Gate;
use crate::http::edge::Doors;
use crate::ids::WorkloadId;
use crate::journal::Limits;
use crate::rollout::Graces;
use crate::shutdown::{Shutdown, Signal, Signals, Timing};
use crate::telemetry::Metrics;
use crate::watch::WatchOptions;

/// The terminal where the system does not tell its size.
const USUAL: Size = Size { width: 80, height: 24 };
/// Where GitHub wants a step's summary.
const SUMMARY: &str = "GITHUB_STEP_SUMMARY";
/// How often it is looked whether the cluster was read.
const LOOK: Duration = Duration::from_millis(50);
/// A problem is said if it lasts for so long: an API server that has just started has some.
const LASTS: Duration = Duration::from_secs(5);

/// Signals that come so soon after the first are the same one.
const ONE_SIGNAL: Duration = Duration::from_secs(1);

/// How following ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Followed {
    /// With this status.
    Ended(Exit),
    /// A signal stopped it; the rollouts go on.
    Stopped(Signal),
}

/// Follows rollouts; tells how that ended. Signals are listened for, too, where this is process 1 of a
/// container, which no signal ends by itself. Whoever stops it finds a last line and everything closed that
/// was opened; whoever does so twice, or does not read what is written, does not wait for that.
///
/// # Errors
/// If there is no way to the server or the cluster.
pub async fn follow(config: config::Follow, metrics: Arc<Metrics>) -> Result<Followed, AppError> {
    let mut signals = Signals::listen().map_err(AppError::Signals)?;
    let stop = CancellationToken::new();
    let mut end = std::pin::pin!(to_the_end(config, metrics, stop.clone()));
    let signal = tokio::select! {
        biased;
        signal = signals.next() => signal,
        exit = &mut end => return exit.map(Followed::Ended),
    };
    stop.cancel();
    // Who wraps a command may pass on a signal that its whole group has had already.
    let again = async {
        sleep(ONE_SIGNAL).await;
        signals.next().await
    };
    tokio::select! {
        _ = again => {}
        _ = timeout(client::LAST_WORDS + ONE_SIGNAL, end) => {}
    }
    Ok(Followed::Stopped(signal))
}

async fn to_the_end(
    config: config::Follow,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) -> Result<Exit, AppError> {
    let tracker = TaskTracker::new();
    #[allow(clippy::disallowed_methods, reason = "the process draws its one seed here")]
    let seed = fastrand::u64(..);
    let (reach, usual, page, direct) = match &config.origin {
        Origin::Server { url, token_file, ca_file } => {
            let token = token(token_file.as_deref());
            // Later it may be wrong for a moment; now somebody waits to be told.
            token.check()?;
            let reach = Reach::network(url, ca_file.as_deref(), token, tracker.clone())?;
            let page = url.to_string().trim_end_matches('/').to_owned();
            (reach, None, Some(page), None)
        }
        Origin::Cluster { kubeconfig, context } => {
            let options =
                ClusterOptions { kubeconfig: kubeconfig.clone(), context: context.clone() };
            let cluster = tokio::select! {
                biased;
                () = stop.cancelled() => {
                    let plan = plan(&config, None, seed, stop);
                    let told = client::unfollowed(&plan, &End::Stopped, stage(&config, None)).await;
                    summarise(&told.summary);
                    return Ok(told.exit);
                }
                cluster = Cluster::connect(&options) => cluster?,
            };
            let usual = cluster.default_namespace().to_owned();
            let namespaces = workloads(&config, Some(&usual));
            let namespaces = namespaces.iter().map(|it| it.namespace.to_string()).collect();
            let direct = Direct::start(cluster, namespaces, seed, metrics, &tracker);
            (direct.reach(&tracker), Some(usual), None, Some(direct))
        }
    };
    let (plan, stage) = (plan(&config, usual.as_deref(), seed, stop), stage(&config, page));
    let read = match &direct {
        Some(direct) => tokio::select! {
            biased;
            () = plan.stop.cancelled() => Err(End::Stopped),
            read = direct.read(plan.patience) => read,
        },
        None => Ok(()),
    };
    let outcome = match read {
        Ok(()) => client::follow(&plan, reach, stage).await,
        Err(end) => client::unfollowed(&plan, &end, stage).await,
    };
    summarise(&outcome.summary);
    if let Some(direct) = direct {
        direct.shutdown.stop();
    }
    Ok(outcome.exit)
}

fn workloads(config: &config::Follow, usual: Option<&str>) -> Vec<WorkloadId> {
    let named = config.workloads.iter();
    named
        .map(|named| {
            let namespace = named.namespace.as_deref().or(usual).unwrap_or("default");
            WorkloadId::new(namespace, named.kind, &named.name)
        })
        .collect()
}

fn plan(
    config: &config::Follow,
    usual: Option<&str>,
    seed: u64,
    stop: CancellationToken,
) -> client::Plan {
    client::Plan {
        workloads: workloads(config, usual),
        pins: Pins {
            deploy: config.deploy.clone(),
            revision: config.revision.clone(),
            generation: config.generation,
            image: config.image.clone(),
            after: config.after.clone(),
        },
        wanted: Wanted { logs: Some(config.logs.to_owned()), container: config.container.clone() },
        timeout: config.timeout,
        patience: config.patience,
        seed,
        stop,
    }
}

fn token(file: Option<&Path>) -> Token {
    match (file, variable("ROLLCAST_TOKEN")) {
        (Some(file), _) => Token::File(file.to_owned()),
        (None, Some(token)) => Token::Fixed(token),
        (None, None) => Token::None,
    }
}

/// A variable that is set to something.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn stage(config: &config::Follow, page: Option<String>) -> client::Stage<tokio::io::Stdout> {
    let terminal = std::io::stdout().is_terminal();
    let dumb = variable("TERM").is_none_or(|term| term == "dumb");
    let person = terminal && !dumb && !Ci::is_job(variable);
    let block = config.show.block.unwrap_or(person);
    let colour = config.show.colour.unwrap_or(person && variable("NO_COLOR").is_none());
    client::Stage {
        out: tokio::io::stdout(),
        mode: if block { Mode::Screen(size().unwrap_or(USUAL)) } else { Mode::Lines },
        colour,
        size,
        ci: if block { Ci::Other } else { Ci::detect(variable) },
        page,
    }
}

/// The size of the terminal at present.
fn size() -> Option<Size> {
    let (width, height) = terminal_size::terminal_size_of(std::io::stdout())?;
    let (width, height) = (usize::from(width.0), usize::from(height.0));
    // A terminal that does not know itself says zero.
    (width > 0 && height > 0).then_some(Size { width, height })
}

/// Adds the summary to the file that the job's system names. The status does not depend on it.
fn summarise(text: &str) {
    use std::io::Write as _;
    let Some(path) = variable(SUMMARY) else { return };
    let file = std::fs::OpenOptions::new().create(true).append(true).open(&path);
    if let Err(error) = file.and_then(|mut file| file.write_all(text.as_bytes())) {
        say(&format!("the summary cannot be written to {path}: {error}"));
    }
}

/// Writes for whoever started the command; if nobody listens it goes on.
fn say(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// The same rooms as a server's, in this process, reached by pipes.
pub struct Direct {
    /// The rooms.
    pub rooms: Rooms,
    /// What stops them.
    pub shutdown: Shutdown,
    pipes: Pipes,
}

/// Nobody but us is told of the end.
const AT_ONCE: Timing = Timing { delay: Duration::ZERO, window: Duration::ZERO };
/// The options' defaults, within what one command needs.
const LOGS: config::Logs = config::Logs {
    backfill_lines: 10_000,
    max_line_bytes: 256 << 10,
    max_followers: 1_000,
    max_followers_per_node: 64,
    opens_per_second: 50,
    linger: Duration::from_secs(30),
    record: Record::Rollouts,
    record_sources: 20,
};

// === impl Direct ===

impl Direct {
    /// Starts the rooms for these namespaces of a cluster.
    pub fn start(
        cluster: Cluster,
        namespaces: Vec<String>,
        seed: u64,
        metrics: Arc<Metrics>,
        tracker: &TaskTracker,
    ) -> Direct {
        let shutdown = Shutdown::new(AT_ONCE);
        let mut namespaces = namespaces;
        namespaces.sort_unstable();
        namespaces.dedup();
        let plan = Plan {
            cluster,
            watch: WatchOptions { namespaces, ..WatchOptions::default() },
            graces: Graces::default(),
            logs: LOGS,
            journal: Limits {
                workload_bytes: 16 << 20,
                total_bytes: 64 << 20,
                age: Duration::from_secs(86_400),
            },
            streams: StreamOptions {
                heartbeat: Duration::from_secs(10),
                lifetime: None,
                per_user: None,
            },
            view_cache_bytes: 8 << 20,
            memory: None,
            seed,
        };
        // Whoever may read the kubeconfig may read what it gives.
        let gate = Gate::open(metrics.clone());
        let rooms = Rooms::start(plan, metrics, shutdown.clone(), gate);
        let router = router(&rooms, Doors::for_loopback(), seed);
        let (pipes, taken) = Pipes::new();
        tracker.spawn(listen(taken, router, tracker.clone(), shutdown.token()));
        Direct { rooms, shutdown, pipes }
    }

    /// The way to them.
    pub fn reach(&self, tracker: &TaskTracker) -> Reach {
        Reach::memory(self.pipes.clone(), Token::None, tracker.clone())
    }

    /// Waits until the cluster was read.
    ///
    /// # Errors
    /// How following ends before it begins: if what is needed may not be read, or the cluster does not
    /// answer for as long as `patience` has.
    pub async fn read(&self, patience: Duration) -> Result<(), End> {
        let index = &self.rooms.service.index;
        let (began, mut told) = (Instant::now(), false);
        while !index.synced() {
            let problem = index.problems().into_iter().next();
            let waited = began.elapsed();
            if let Some(problem) = &problem
                && waited >= LASTS
                && !std::mem::replace(&mut told, true)
            {
                say(&format!("no contact: {problem}; trying again"));
            }
            if waited >= patience {
                let words = problem.map_or_else(
                    || "the cluster does not answer".to_owned(),
                    |problem| problem.to_string(),
                );
                return Err(End::Lost(words));
            }
            sleep(LOOK).await;
        }
        // Without pods there is nothing to follow; what else is missing is less, and is said.
        let refused = index.problems().into_iter().filter(|problem| problem.refused);
        for problem in refused {
            if problem.resource == crate::watch::Resource::Pods {
                return Err(End::Refused(problem.to_string()));
            }
            say(&format!("warning: {problem}"));
        }
        Ok(())
    }
}

/// Serves connections over pipes until `stop`.
pub async fn listen(
    mut taken: mpsc::Receiver<DuplexStream>,
    router: Router,
    tracker: TaskTracker,
    stop: CancellationToken,
) {
    loop {
        let pipe = tokio::select! {
            () = stop.cancelled() => return,
            pipe = taken.recv() => pipe,
        };
        let Some(pipe) = pipe else { return };
        let service = TowerToHyperService::new(router.clone());
        let connection = hyper::server::conn::http1::Builder::new()
            // The other end is in this process; and paused time would end it at once.
            .header_read_timeout(None)
            .serve_connection(TokioIo::new(pipe), service);
        let stop = stop.clone();
        tracker.spawn(async move {
            tokio::select! {
                // A broken pipe is the other end's business.
                _ = connection => {}
                () = stop.cancelled() => {}
            }
        });
    }
}
