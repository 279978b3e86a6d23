//! What the user typed becomes what the program needs.
//!
//! Two steps: `options` is what may be typed (flags and environment, by clap); [`Config`] is what
//! the program needs, checked, in its own types. Rooms never see an option, only their part of a
//! [`Config`].
//!
//! Invariants:
//! - A [`Config`] is consistent: what contradicts itself was refused with the names of the options.
//! - Every option has a flag, an environment name, and a line of help with unit and bounds;
//!   `docs/options.md` is made from them and compared in `tests/tidy.rs`.
//! - A refusal names what set the value, the flag or the variable, and what is expected.
//! - A value that is printed carries no secret.
//!
//! Outside the rooms; may use `shutdown` and `telemetry` for their settings, `ids` and `time` to read names
//! and times.

mod address;
mod check;
mod effective;
mod follow;
mod graces;
mod limits;
mod options;
mod recording;
mod reference;
mod refused;
mod units;

use std::borrow::Cow;
use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{CommandFactory as _, FromArgMatches as _};

pub use address::Address;
pub use effective::{Effective, Setting};
pub use follow::{Follow, Named, Origin, Show};
pub use graces::Graces;
pub use recording::Recording;
pub use reference::reference;
pub use units::{Size, Span};

use crate::{shutdown, telemetry};

/// The exit code for a command line or environment that makes no sense (`EX_USAGE`).
pub const USAGE: u8 = 64;
/// The same of `follow`, whose statuses are a list of their own ([`crate::client::Exit`]).
const FOLLOW_USAGE: u8 = 2;

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Config {
    /// Serve a cluster.
    Serve(Box<Serve>),
    /// Serve the simulated shop.
    Demo(Demo),
    /// Record what happens to one workload.
    Record(Box<Recording>),
    /// Follow rollouts.
    Follow(Box<Follow>),
}

/// What `serve` needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Serve {
    /// The cluster and what is watched in it.
    pub cluster: Cluster,
    /// The public listener.
    pub listen: Address,
    /// The listener for operators.
    pub admin_listen: Address,
    /// Who may read.
    pub auth: Auth,
    /// Longest time that an open stream outlives the right to read it; 12 to 30 s.
    pub reauthorize: Duration,
    /// Viewers' streams.
    pub streams: Streams,
    /// Following logs.
    pub logs: Logs,
    /// What is kept.
    pub history: History,
    /// What clients may take.
    pub limits: Limits,
    /// How long what may keep a rollout back is waited for.
    pub graces: Graces,
    /// Draining.
    pub drain: shutdown::Timing,
    /// Log, traces and metrics.
    pub telemetry: telemetry::Options,
    /// All settings as they came, for the log and the status page.
    pub effective: Effective,
}

/// Which cluster, and which part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// The kubeconfig named by option; the usual places are searched if absent.
    pub kubeconfig: Option<PathBuf>,
    /// Its context; the current one if absent.
    pub context: Option<String>,
    /// Valid namespace names, sorted, each once. Empty means all namespaces.
    pub namespaces: Vec<String>,
    /// The name for people.
    pub name: Option<String>,
}

/// Who may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Bearer tokens for this audience; `None` is the API server's own.
    Token {
        /// The audience.
        audience: Option<String>,
    },
    /// Everybody on this machine.
    None,
}

/// Viewers' streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Streams {
    /// Longest silence; 1 to 60 s.
    pub heartbeat: Duration,
    /// Mean life; each stream draws its own within a tenth. 10 s to 24 h; `None` is for ever.
    pub lifetime: Option<Duration>,
    /// Bytes of encoded pieces that are shared.
    pub view_cache_bytes: usize,
}

/// Following logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logs {
    /// Past lines asked for at the first opening.
    pub backfill_lines: u32,
    /// Cap of one line's text, in bytes.
    pub max_line_bytes: usize,
    /// Followers at a time.
    pub max_followers: usize,
    /// Followers at a time on one node; at most `max_followers`.
    pub max_followers_per_node: usize,
    /// Log streams opened a second.
    pub opens_per_second: u32,
    /// Time from the last lease to the end of a follower.
    pub linger: Duration,
    /// What is followed although nobody watches.
    pub record: Record,
    /// Logs of one workload that are recorded at a time.
    pub record_sources: usize,
}

/// What is followed although nobody watches. A closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// Nothing.
    Off,
    /// The new pods of rollouts that run.
    Rollouts,
    /// The newest pods of every workload, always.
    All,
}

/// A word that names no [`Record`].
#[derive(Debug, thiserror::Error)]
#[error("expected one of off, rollouts, all")]
pub struct UnknownRecord;

// === impl Record ===

impl FromStr for Record {
    type Err = UnknownRecord;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "off" => Ok(Record::Off),
            "rollouts" => Ok(Record::Rollouts),
            "all" => Ok(Record::All),
            _ => Err(UnknownRecord),
        }
    }
}

/// What is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// How long a pod that is gone is remembered.
    pub pod_grace: Duration,
    /// Bytes of the journal, all workloads together.
    pub journal_bytes: usize,
    /// Bytes of the journal for one workload; at most `journal_bytes`.
    pub journal_workload_bytes: usize,
    /// Age at which records are forgotten.
    pub journal_age: Duration,
    /// Where it is stored beside memory.
    pub store: Option<Store>,
}

/// Files that history is stored in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// Their directory; not empty.
    pub path: PathBuf,
    /// Bytes that they may hold; at least twice `journal_bytes`.
    pub bytes: u64,
    /// Longest time until they are on the disk; 0 to 60 s.
    pub sync: Duration,
}

/// What clients may take. `None` is no limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Streams of one user at a time.
    pub streams_per_user: Option<usize>,
    /// Client connections at a time.
    pub max_connections: usize,
    /// Client connections of one source at a time.
    pub connections_per_source: Option<usize>,
    /// HTTP/2 streams on one connection.
    pub streams_per_connection: u32,
    /// Different tokens of one source that may be refused within a minute.
    pub token_failures: Option<usize>,
    /// Time for a request's head; 1 to 60 s.
    pub head: Duration,
    /// Bytes of a request's head; 8 to 64 KiB.
    pub head_bytes: usize,
    /// Bytes of a request's body; 1 KiB to 1 MiB.
    pub body_bytes: usize,
    /// Time that a connection may wait for its next request; 5 s to 1 h.
    pub idle: Duration,
    /// Time that a viewer may take nothing; 5 to 600 s.
    pub stall: Duration,
    /// Memory of the process; `None` is what its cgroup says.
    pub memory: Option<u64>,
}

/// What `demo` needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Demo {
    /// The listener; loopback.
    pub listen: Address,
    /// Seed of everything that happens in the shop.
    pub seed: u64,
    /// Log of the program.
    pub telemetry: telemetry::Options,
    /// All settings as they came.
    pub effective: Effective,
}

/// Nothing to run: help, version, or an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The exit code: 0 for help and version, [`USAGE`] for errors, 2 for those of `follow`.
    pub code: u8,
    /// What to print: on standard output if the code is 0, else on standard error. Ends with LF.
    pub text: String,
}

/// A setting that cannot be followed. Each says which, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Outside its bounds.
    #[error("{option} is {value}: it must be from {least} to {most}")]
    Bounds {
        /// The flag, or the variable that set it.
        option: Cow<'static, str>,
        /// As given.
        value: String,
        /// Lower bound.
        least: String,
        /// Upper bound.
        most: String,
    },
    /// Two settings exclude each other.
    #[error("{first} and {second} contradict each other: {advice}")]
    Contradiction {
        /// A flag with its value.
        first: String,
        /// The other.
        second: String,
        /// What to do.
        advice: &'static str,
    },
    /// Not a valid value.
    #[error("{option} is \"{value}\": {reason}")]
    Invalid {
        /// The flag, or the variable that set it.
        option: Cow<'static, str>,
        /// As given.
        value: String,
        /// What is expected.
        reason: String,
    },
    /// An environment variable with our prefix that no option reads.
    #[error("unknown environment variable {name}: {advice}")]
    Environment {
        /// Its name.
        name: String,
        /// The nearest known one.
        advice: String,
    },
}

/// Reads the command line (the program's name first) and the environment.
///
/// # Errors
/// [`Stop`] if there is nothing to run: help was asked for, or a setting is wrong.
pub fn from_args<I, T>(args: I) -> Result<Config, Stop>
where
    I: IntoIterator<Item = T>,
    T: Into<OsString>,
{
    let args: Vec<OsString> = args.into_iter().map(Into::into).collect();
    let follows = args.get(1).is_some_and(|word| word == "follow");
    read(&args).map_err(|stop| match stop.code {
        USAGE if follows => Stop { code: FOLLOW_USAGE, ..stop },
        _ => stop,
    })
}

fn read(args: &[OsString]) -> Result<Config, Stop> {
    let mut command = options::Options::command();
    let matches = command.try_get_matches_from_mut(args).map_err(|error| {
        match refused::value(&error, args) {
            Some(error) => Stop::usage(&error),
            None => Stop::from_clap(&error),
        }
    })?;
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    effective::check_environment(&command, names).map_err(|error| Stop::usage(&error))?;
    let options =
        options::Options::from_arg_matches(&matches).map_err(|error| Stop::from_clap(&error))?;
    let effective = Effective::new(&command, &matches);
    let fallback = std::env::var(check::OTEL_ENDPOINT).ok();
    check::check(options, effective.clone(), fallback)
        .map_err(|error| Stop::usage(&refused::by_source(error, &effective)))
}

// === impl Stop ===

impl Stop {
    fn from_clap(error: &clap::Error) -> Self {
        let code = if error.use_stderr() { USAGE } else { 0 };
        Stop { code, text: error.render().to_string() }
    }

    fn usage(error: &ConfigError) -> Self {
        Stop {
            code: USAGE,
            text: format!("error: {error}\n\nFor more information, try '--help'.\n"),
        }
    }
}
