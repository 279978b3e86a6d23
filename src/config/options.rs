//! What the user may type. Doc comments here are the help and, through `reference`, the document
//! `docs/options.md`: each says the unit and the bounds.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::address::Address;
use super::follow::FollowOptions;
use super::graces::GraceOptions;
use super::limits::LimitOptions;
use super::recording::RecordOptions;
use super::units::{Size, Span, whole};
use crate::telemetry::LogFormat;

/// Streams the logs and the rollout progress of Kubernetes workloads as Server-Sent Events.
#[derive(Debug, Parser)]
#[command(name = "rollcast", version, disable_help_subcommand = true, max_term_width = 100)]
pub(super) struct Options {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Watches a cluster and serves its logs and rollouts.
    Serve(Box<ServeOptions>),
    /// Serves a simulated shop: no cluster, no login, no configuration.
    Demo(DemoOptions),
    /// Records what the cluster says of one rollout, for tests and reports of bugs: one JSON object a
    /// line, without values of variables, without commands and without logs.
    Record(Box<RecordOptions>),
    /// Follows rollouts to their ends, and exits with what came of them.
    ///
    /// Exits with 0 if every rollout succeeded, 1 if one failed, timed out or was deleted, 2 if the command
    /// makes no sense or is not allowed, 3 if --timeout passed, 4 if a newer change came before one was
    /// over, 5 if the server was not heard of for --patience, or does not know either. Nothing but 0 is a
    /// success.
    Follow(Box<FollowOptions>),
}

/// What is followed although nobody watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum RecordMode {
    /// Nothing.
    Off,
    /// The new pods of rollouts that run.
    Rollouts,
    /// The newest pods of every workload, always.
    All,
}

/// Where history outlives the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum StoreKind {
    /// Nowhere: a restart begins with an empty history.
    None,
    /// In files on a volume that only this process has.
    File,
}

/// How callers prove who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum AuthMode {
    /// Bearer tokens, reviewed by the API server; its RBAC decides what they may read.
    Token,
    /// Nobody has to; only for a loopback address.
    None,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Log of the program")]
pub(super) struct LogOptions {
    /// What to log: a level, or levels per module such as `info,rollcast::tail=debug`.
    #[arg(long, env = "ROLLCAST_LOG", value_name = "FILTER", default_value = "info")]
    pub(super) log: String,

    /// How to write the log to standard error.
    #[arg(long, env = "ROLLCAST_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub(super) log_format: LogFormat,
}

#[derive(Debug, Args)]
pub(super) struct ServeOptions {
    /// The kubeconfig file. If absent: $KUBECONFIG, then the pod's own service account, then
    /// ~/.kube/config.
    #[arg(long, env = "ROLLCAST_KUBECONFIG", value_name = "FILE", help_heading = "Cluster")]
    pub(super) kubeconfig: Option<PathBuf>,

    /// The context of the kubeconfig to use; its current context if absent.
    #[arg(long, env = "ROLLCAST_CONTEXT", value_name = "NAME", help_heading = "Cluster")]
    pub(super) context: Option<String>,

    /// A namespace to watch; repeat it or separate several by commas. All namespaces if absent.
    #[arg(
        long,
        env = "ROLLCAST_NAMESPACE",
        value_name = "NAME",
        value_delimiter = ',',
        help_heading = "Cluster"
    )]
    pub(super) namespace: Vec<String>,

    /// The cluster's name, shown to people and attached to telemetry.
    #[arg(long, env = "ROLLCAST_CLUSTER_NAME", value_name = "NAME", help_heading = "Cluster")]
    pub(super) cluster_name: Option<String>,

    /// Where to serve streams and the page. Port 0 takes a free one.
    #[arg(
        long,
        env = "ROLLCAST_LISTEN",
        value_name = "HOST:PORT",
        default_value = "[::]:8080",
        help_heading = "Listeners"
    )]
    pub(super) listen: Address,

    /// Where to serve /livez, /readyz, /metrics and /status. Port 0 takes a free one.
    #[arg(
        long,
        env = "ROLLCAST_ADMIN_LISTEN",
        value_name = "HOST:PORT",
        default_value = "[::]:9090",
        help_heading = "Listeners"
    )]
    pub(super) admin_listen: Address,

    /// How callers prove who they are. `none` is refused unless --listen is a loopback address.
    #[arg(
        long,
        env = "ROLLCAST_AUTH",
        value_name = "MODE",
        default_value = "token",
        help_heading = "Who may read"
    )]
    pub(super) auth: AuthMode,

    /// The audience that tokens must be made for; empty takes the API server's own.
    #[arg(
        long,
        env = "ROLLCAST_TOKEN_AUDIENCE",
        value_name = "AUDIENCE",
        default_value = "rollcast",
        help_heading = "Who may read"
    )]
    pub(super) token_audience: String,

    /// Longest time that an open stream outlives the right to read it. 12s to 30s.
    #[arg(
        long,
        env = "ROLLCAST_REAUTHORIZE",
        value_name = "DURATION",
        default_value = "30s",
        help_heading = "Who may read"
    )]
    pub(super) reauthorize: Span,

    /// Longest silence on a stream before a heartbeat is sent. 1s to 60s.
    #[arg(
        long,
        env = "ROLLCAST_HEARTBEAT",
        value_name = "DURATION",
        default_value = "10s",
        help_heading = "Streams"
    )]
    pub(super) heartbeat: Span,

    /// Life of a stream, give or take a tenth; then it says `bye` and the client resumes. 10s to 24h;
    /// 0s is for ever.
    #[arg(
        long,
        env = "ROLLCAST_STREAM_LIFETIME",
        value_name = "DURATION",
        default_value = "3600s",
        help_heading = "Streams"
    )]
    pub(super) stream_lifetime: Span,

    /// After SIGTERM: time from not being ready until streams say `bye`. 0s to 600s.
    #[arg(
        long,
        env = "ROLLCAST_DRAIN_DELAY",
        value_name = "DURATION",
        default_value = "5s",
        help_heading = "Streams"
    )]
    pub(super) drain_delay: Span,

    /// After the drain delay: time over which the goodbyes are spread. 0s to 600s.
    #[arg(
        long,
        env = "ROLLCAST_DRAIN_WINDOW",
        value_name = "DURATION",
        default_value = "10s",
        help_heading = "Streams"
    )]
    pub(super) drain_window: Span,

    /// Memory for encoded pieces that viewers share. 1MiB to 64GiB.
    #[arg(
        long,
        env = "ROLLCAST_VIEW_CACHE_BYTES",
        value_name = "SIZE",
        default_value = "64MiB",
        help_heading = "Streams"
    )]
    pub(super) view_cache_bytes: Size,

    /// Past lines asked for when a log is opened for the first time. 0 to 1000000.
    #[arg(
        long,
        env = "ROLLCAST_BACKFILL_LINES",
        value_name = "NUMBER",
        default_value_t = 10_000,
        value_parser = whole::<u32>(0, 1_000_000),
        help_heading = "Logs"
    )]
    pub(super) backfill_lines: u32,

    /// Longest line that is kept whole; longer ones are cut and say so. 1KiB to 4MiB.
    #[arg(
        long,
        env = "ROLLCAST_MAX_LINE_BYTES",
        value_name = "SIZE",
        default_value = "256KiB",
        help_heading = "Logs"
    )]
    pub(super) max_line_bytes: Size,

    /// Logs followed at a time; further ones wait their turn and say so. 1 to 100000.
    #[arg(
        long,
        env = "ROLLCAST_MAX_FOLLOWERS",
        value_name = "NUMBER",
        default_value_t = 5000,
        value_parser = whole::<u32>(1, 100_000),
        help_heading = "Logs"
    )]
    pub(super) max_followers: u32,

    /// Logs followed at a time on one node; each costs its kubelet an inotify instance. 1 to 10000.
    #[arg(
        long,
        env = "ROLLCAST_MAX_FOLLOWERS_PER_NODE",
        value_name = "NUMBER",
        default_value_t = 64,
        value_parser = whole::<u32>(1, 10_000),
        help_heading = "Logs"
    )]
    pub(super) max_followers_per_node: u32,

    /// Log streams opened a second at the API server. 1 to 10000.
    #[arg(
        long,
        env = "ROLLCAST_OPENS_PER_SECOND",
        value_name = "NUMBER",
        default_value_t = 50,
        value_parser = whole::<u32>(1, 10_000),
        help_heading = "Logs"
    )]
    pub(super) opens_per_second: u32,

    /// How long a log is followed after its last viewer left. 0s to 1h.
    #[arg(
        long,
        env = "ROLLCAST_FOLLOWER_LINGER",
        value_name = "DURATION",
        default_value = "30s",
        help_heading = "Logs"
    )]
    pub(super) follower_linger: Span,

    /// What is followed although nobody watches, so that late comers have it. The annotation rollcast.dev/record
    /// of a workload, else that of its namespace, overrules it.
    #[arg(
        long,
        env = "ROLLCAST_RECORD",
        value_name = "WHAT",
        default_value = "rollouts",
        help_heading = "Logs"
    )]
    pub(super) record: RecordMode,

    /// Logs of one workload that are recorded at a time, failing pods first. 1 to 1000.
    #[arg(
        long,
        env = "ROLLCAST_RECORD_SOURCES",
        value_name = "NUMBER",
        default_value_t = 20,
        value_parser = clap::value_parser!(u32).range(1..=1000),
        help_heading = "Logs"
    )]
    pub(super) record_sources: u32,

    /// How long a pod that is gone is still shown. 0s to 24h.
    #[arg(
        long,
        env = "ROLLCAST_POD_GRACE",
        value_name = "DURATION",
        default_value = "60s",
        help_heading = "History"
    )]
    pub(super) pod_grace: Span,

    /// Memory for history, all workloads together. 1MiB to 1024GiB.
    #[arg(
        long,
        env = "ROLLCAST_JOURNAL_BYTES",
        value_name = "SIZE",
        default_value = "128MiB",
        help_heading = "History"
    )]
    pub(super) journal_bytes: Size,

    /// Memory for the history of one workload. 64KiB, and twice --max-line-bytes, to --journal-bytes;
    /// the default is no more than that.
    #[arg(
        long,
        env = "ROLLCAST_JOURNAL_WORKLOAD_BYTES",
        value_name = "SIZE",
        default_value = "16MiB",
        help_heading = "History"
    )]
    pub(super) journal_workload_bytes: Size,

    /// Age at which history is forgotten. 60s to 720h.
    #[arg(
        long,
        env = "ROLLCAST_JOURNAL_AGE",
        value_name = "DURATION",
        default_value = "24h",
        help_heading = "History"
    )]
    pub(super) journal_age: Span,

    /// Where history is stored beside memory, so that streams resume exactly after a restart.
    #[arg(
        long,
        env = "ROLLCAST_STORE",
        value_name = "KIND",
        default_value = "none",
        help_heading = "History"
    )]
    pub(super) store: StoreKind,

    /// The directory of `--store file`, on a volume that outlives the pod. It is made if it does not
    /// exist, and must hold nothing else.
    #[arg(long, env = "ROLLCAST_STORE_PATH", value_name = "DIR", help_heading = "History")]
    pub(super) store_path: Option<PathBuf>,

    /// Room for stored history. At least twice --journal-bytes, so that what memory holds can be
    /// carried on when old files go; the default grows with it. 2MiB to 1024GiB.
    #[arg(
        long,
        env = "ROLLCAST_STORE_BYTES",
        value_name = "SIZE",
        default_value = "256MiB",
        help_heading = "History"
    )]
    pub(super) store_bytes: Size,

    /// Longest time until stored history is on the disk: what a power loss may cost. The end of the
    /// process alone costs less. 0s waits for the disk after each write; to 60s.
    #[arg(
        long,
        env = "ROLLCAST_STORE_SYNC",
        value_name = "DURATION",
        default_value = "1s",
        help_heading = "History"
    )]
    pub(super) store_sync: Span,

    #[command(flatten)]
    pub(super) limits: LimitOptions,

    #[command(flatten)]
    pub(super) graces: GraceOptions,

    #[command(flatten)]
    pub(super) log: LogOptions,

    /// Where to push traces and metrics by OTLP over gRPC, such as `http://collector:4317`.
    /// $OTEL_EXPORTER_OTLP_ENDPOINT is taken if this is absent; nothing is pushed if both are.
    #[arg(long, env = "ROLLCAST_OTLP_ENDPOINT", value_name = "URL", help_heading = "Telemetry")]
    pub(super) otlp_endpoint: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct DemoOptions {
    /// Where to serve; a loopback address, for nobody has to log in. Port 0 takes a free one.
    #[arg(
        long,
        env = "ROLLCAST_LISTEN",
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:8080"
    )]
    pub(super) listen: Address,

    /// The same number gives the same shop.
    #[arg(
        long,
        env = "ROLLCAST_SEED",
        value_name = "NUMBER",
        default_value_t = 1,
        value_parser = whole::<u64>(0, u64::MAX)
    )]
    pub(super) seed: u64,

    #[command(flatten)]
    pub(super) log: LogOptions,
}
