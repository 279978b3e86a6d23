//! `rollcast record`.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::form::{End, Head};
use super::play::{Play, Told};
use crate::app::AppError;
use crate::app::serve::graces;
use crate::cluster::{Cluster, ClusterOptions};
use crate::config;
use crate::ids::WorkloadId;
use crate::rollout::Graces;
use crate::shutdown::{Ending, Shutdown, Signals, Timing};
use crate::time;
use crate::watch::{Gathered, Templates, receive};

/// How often it is looked whether it is over.
const LOOK: Duration = Duration::from_millis(200);
/// Nothing is drained: what was gathered is written at once.
const DRAIN: Timing = Timing { delay: Duration::ZERO, window: Duration::ZERO };

/// What to record.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Whose rollout.
    pub workload: WorkloadId,
    /// How long its causes are waited for until it is over.
    pub graces: Graces,
    /// No longer than this.
    pub longest: Duration,
    /// For so long after its result: it may recover.
    pub after: Duration,
}

/// What was recorded: a file's text, and what a service would have told.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The lines, each with its end.
    pub text: String,
    /// What was told.
    pub told: Told,
}

/// Records one workload until its rollout is over or a signal comes, and writes the file.
///
/// # Errors
/// If there is no usable configuration of a cluster, or the file cannot be written.
pub async fn record(config: config::Recording) -> Result<Ending, AppError> {
    let signals = Signals::listen()?;
    let options = ClusterOptions {
        kubeconfig: config.cluster.kubeconfig.clone(),
        context: config.cluster.context.clone(),
    };
    let cluster = Cluster::connect(&options).await?;
    // What cannot be written should not be waited for.
    let mut out = open(config.out.as_deref())?;
    let wish = Wish {
        workload: config.workload.clone(),
        graces: graces(&config.graces),
        longest: config.longest,
        after: config.after,
    };
    tracing::info!(workload = %wish.workload, server = cluster.server(), "recording");
    let shutdown = Shutdown::new(DRAIN);
    let stop = CancellationToken::new();
    let mut recorded = None;
    let work = async { recorded = Some(gather(&cluster, &wish, &stop).await) };
    let ending = {
        tokio::pin!(work);
        let asked = shutdown.on_signals(signals, std::future::pending());
        tokio::select! {
            () = &mut work => Ending::Drained,
            ending = asked => {
                stop.cancel();
                work.await;
                ending
            }
        }
    };
    let Some(Recorded { text, told }) = recorded else { return Ok(ending) };
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(AppError::Recording)?;
    let last = told.results.last();
    let outcome = last.map_or("no result", |result| result.outcome.as_str());
    let message = last.map_or("", |result| &result.message);
    tracing::info!(workload = %wish.workload, outcome, message, bytes = text.len(), "recorded");
    Ok(ending)
}

fn open(path: Option<&Path>) -> Result<Box<dyn std::io::Write + Send>, AppError> {
    match path {
        Some(path) => {
            let file = std::fs::File::create(path).map_err(AppError::Recording)?;
            Ok(Box::new(file))
        }
        None => Ok(Box::new(std::io::stdout())),
    }
}

/// Watches a workload until its rollout is over and a while longer, or until it is stopped.
pub async fn gather(cluster: &Cluster, wish: &Wish, stop: &CancellationToken) -> Recorded {
    let mut gathered = Gathered::new(wish.workload.clone());
    let mut templates = Templates::default();
    let mut play = Play::new(wish.workload.clone(), wish.graces, time::now());
    let mut steps = receive(cluster, &wish.workload.namespace);
    let until = Instant::now() + wish.longest;
    let mut over: Option<Instant> = None;
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let why = loop {
        tokio::select! {
            () = stop.cancelled() => break "stopped",
            Some(mut received) = steps.next() => {
                received.rename(&mut templates);
                if let Err(error) = gathered.take(&received) {
                    tracing::warn!(%error, "a change was not recorded");
                }
                play.take(received);
            }
            _ = look.tick() => {
                play.pass(time::now());
                over = over.or(Some(Instant::now())).filter(|_| play.is_over());
                if over.is_some_and(|over| over.elapsed() >= wish.after) {
                    break "result";
                }
                if Instant::now() >= until {
                    break "time";
                }
                if gathered.is_full() {
                    break "full";
                }
            }
        }
    };
    let end = time::now();
    play.pass(end);
    let mut text = String::new();
    push(&mut text, &Head::new(&wish.workload, &wish.graces));
    for line in gathered.lines() {
        text.push_str(line);
        text.push('\n');
    }
    push(&mut text, &End::new(end, why));
    Recorded { text, told: play.told() }
}

fn push(text: &mut String, line: &impl serde::Serialize) {
    match serde_json::to_string(line) {
        Ok(line) => {
            text.push_str(&line);
            text.push('\n');
        }
        Err(error) => tracing::warn!(%error, "a line was not written"),
    }
}
