//! What a test or the demo asks for: workloads, and what the programs in their containers do.

mod rollout;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use self::rollout::{CanaryStep, Plan, Rollout};

use super::logs::Pipe;
use crate::ids::ContainerKind;

/// A pod template.
#[derive(Clone, Debug)]
pub struct Template {
    /// Labels of the pods, beside `app`, which is the workload's name.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the pods; a change is a new revision, as with `kubectl rollout restart`.
    pub annotations: BTreeMap<String, String>,
    /// Containers, init containers and sidecars included, each group in its order.
    pub containers: Vec<Container>,
    /// Seconds between SIGTERM and SIGKILL.
    pub grace_seconds: u32,
}

/// One container of a template.
#[derive(Clone, Debug)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Its image. A program registered for the image beats the container's own.
    pub image: String,
    /// What it is for; ephemeral is taken as an ordinary container.
    pub kind: ContainerKind,
    /// What it does.
    pub program: Program,
}

/// What a container does from pull to end.
#[derive(Clone, Debug)]
pub struct Program {
    /// How its image is pulled.
    pub pull: Pull,
    /// Something that the container needs is missing, such as a Secret: it waits with
    /// `CreateContainerConfigError` and this message until its image is registered without.
    pub missing: Option<String>,
    /// Time between the pull and the start.
    pub start_after: Duration,
    /// When it is ready.
    pub ready: Ready,
    /// What it writes; all at the same time.
    pub output: Vec<Output>,
    /// When it ends by itself.
    pub exit: Exit,
    /// How long it goes on after SIGTERM; beyond the grace it is killed (exit code 137).
    pub stop_after: Duration,
    /// Exit code after SIGTERM.
    pub stop_code: i32,
    /// A line that it writes when it gets SIGTERM.
    pub farewell: Option<String>,
}

/// How an image is pulled.
#[derive(Clone, Debug)]
pub enum Pull {
    /// It arrives after this time; the second time on a node it is there already.
    Arrives(Duration),
    /// The registry refuses, with this message.
    Fails {
        /// As the container's status says it.
        message: String,
    },
}

/// When a container is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// It has no readiness probe: ready as soon as it runs.
    NoProbe,
    /// Its probe passes this long after the start.
    After(Duration),
    /// Its probe never passes.
    Never,
    /// Its probe passes, fails, and passes again.
    Flaps {
        /// First time, after the start.
        after: Duration,
        /// How long it passes.
        up: Duration,
        /// How long it fails.
        down: Duration,
    },
}

/// When a container ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Never.
    Never,
    /// This long after its start.
    After(Duration, i32),
    /// After it has written this many lines.
    AfterLines(u64, i32),
}

/// What a container writes.
#[derive(Clone)]
pub enum Output {
    /// Numbered lines with a checksum ([`super::read_numbered`]).
    Numbered(Numbers),
    /// Lines at fixed times after the start, each time in order.
    Script(Arc<[(Duration, Pipe, String)]>),
    /// Lines from a function at a steady rate.
    Made {
        /// Lines a second.
        rate: f64,
        /// After this many lines it is silent.
        lines: Option<u64>,
        /// Writes one line without LF.
        make: Make,
    },
}

/// Numbered lines.
#[derive(Clone, Debug)]
pub struct Numbers {
    /// Tells one test from another; without spaces.
    pub run: String,
    /// Lines a second, both pipes together.
    pub rate: f64,
    /// Bytes of a line: between the two, both included.
    pub length: (usize, usize),
    /// Every second line on stderr.
    pub both: bool,
    /// After this many lines it is silent.
    pub lines: Option<u64>,
}

/// Makes one line.
pub type Make = Arc<dyn Fn(&mut Line<'_>) + Send + Sync>;

/// A line that is being made.
pub struct Line<'a> {
    /// Its bytes, without LF. Empty when the function is called.
    pub text: &'a mut Vec<u8>,
    /// Where it goes; stdout unless changed.
    pub pipe: Pipe,
    /// Its number, from 0 in each attempt.
    pub number: u64,
    /// Its time in nanoseconds.
    pub time: i64,
    /// The pod's name.
    pub pod: &'a str,
    /// The container's image.
    pub image: &'a str,
    /// The restart count plus one.
    pub attempt: u32,
    /// Seeded; the same seed gives the same lines.
    pub rng: &'a mut fastrand::Rng,
}

/// A count, or a share of the replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// So many.
    Count(u32),
    /// So many hundredths.
    Percent(u32),
}

/// How a Deployment replaces its pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// New pods come as old ones go.
    RollingUpdate {
        /// Pods above the replicas asked for; shares are rounded up.
        surge: Amount,
        /// Pods that may be missing; shares are rounded down.
        unavailable: Amount,
    },
    /// All old pods go before the first new one comes.
    Recreate,
}

/// A Deployment as it is applied.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// Where.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Annotations of the Deployment itself.
    pub annotations: BTreeMap<String, String>,
    /// Pods asked for.
    pub replicas: u32,
    /// How they are replaced.
    pub strategy: Strategy,
    /// Seconds a pod must be ready to be available.
    pub min_ready_seconds: u32,
    /// Seconds without progress until `ProgressDeadlineExceeded`.
    pub progress_deadline_seconds: u32,
    /// No rollout until resumed.
    pub paused: bool,
    /// The pods.
    pub template: Template,
}

/// A StatefulSet as it is applied.
#[derive(Clone, Debug)]
pub struct StatefulSet {
    /// Where.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Pods asked for.
    pub replicas: u32,
    /// Pods below this ordinal are not updated.
    pub partition: u32,
    /// Pods are replaced only when somebody deletes them.
    pub on_delete: bool,
    /// The pods.
    pub template: Template,
}

/// A DaemonSet as it is applied: one pod a node, replaced one by one.
#[derive(Clone, Debug)]
pub struct DaemonSet {
    /// Where.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The pods.
    pub template: Template,
}

/// A Job as it is applied.
#[derive(Clone, Debug)]
pub struct Job {
    /// Where.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Pods that must succeed.
    pub completions: u32,
    /// Failed pods that are made good by new ones.
    pub backoff_limit: u32,
    /// The pods; they are not restarted in place.
    pub template: Template,
}

/// A CronJob as it is applied.
#[derive(Clone, Debug)]
pub struct CronJob {
    /// Where.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The schedule as people write it; shown, not read.
    pub schedule: String,
    /// The time between two Jobs.
    pub every: Duration,
    /// Finished Jobs that are kept.
    pub history: usize,
    /// What is run.
    pub template: Template,
}

/// A pod without a workload.
#[derive(Clone, Debug)]
pub struct BarePod {
    /// Where.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What runs in it, restarted always.
    pub template: Template,
}

/// Anything that can be applied.
#[derive(Clone, Debug)]
pub enum Workload {
    /// `apps/v1` Deployment.
    Deployment(Deployment),
    /// `apps/v1` StatefulSet.
    StatefulSet(StatefulSet),
    /// `apps/v1` DaemonSet.
    DaemonSet(DaemonSet),
    /// `batch/v1` Job.
    Job(Job),
    /// `batch/v1` CronJob.
    CronJob(CronJob),
    /// `argoproj.io/v1alpha1` Rollout; known only where the cluster has that kind.
    Rollout(Rollout),
    /// `v1` Pod.
    Pod(BarePod),
}

macro_rules! workload_from {
    ($($kind:ident => $variant:ident),*) => {$(
        impl From<$kind> for Workload {
            fn from(spec: $kind) -> Self {
                Workload::$variant(spec)
            }
        }
    )*};
}
workload_from!(
    Deployment => Deployment, StatefulSet => StatefulSet, DaemonSet => DaemonSet,
    Job => Job, CronJob => CronJob, Rollout => Rollout, BarePod => Pod
);

// === impl Template ===

impl Template {
    /// A template with these containers, no labels and the usual grace of 30 s.
    pub fn new(containers: impl IntoIterator<Item = Container>) -> Self {
        Template {
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            containers: containers.into_iter().collect(),
            grace_seconds: 30,
        }
    }
}

// === impl Container ===

impl Container {
    /// An ordinary container.
    pub fn new(name: &str, image: &str, program: Program) -> Self {
        let (name, image) = (name.to_owned(), image.to_owned());
        Container { name, image, kind: ContainerKind::App, program }
    }

    /// The same container for another purpose.
    #[must_use]
    pub fn of_kind(self, kind: ContainerKind) -> Self {
        Container { kind, ..self }
    }
}

// === impl Program ===

impl Default for Program {
    /// Runs for ever, is ready as soon as it runs, writes nothing, ends at once when told to.
    fn default() -> Self {
        Program {
            pull: Pull::Arrives(Duration::from_millis(300)),
            missing: None,
            start_after: Duration::from_millis(200),
            ready: Ready::NoProbe,
            output: Vec::new(),
            exit: Exit::Never,
            stop_after: Duration::from_millis(100),
            stop_code: 0,
            farewell: None,
        }
    }
}

impl Program {
    /// Runs for ever and writes numbered lines of 100 bytes on stdout at this rate.
    pub fn numbered(run: &str, rate: f64) -> Self {
        Program { output: vec![Output::Numbered(Numbers::new(run, rate))], ..Program::default() }
    }

    /// Runs for ever and writes these lines at these times after its start.
    pub fn script<'a>(lines: impl IntoIterator<Item = (Duration, &'a str)>) -> Self {
        let lines = lines.into_iter().map(|(at, line)| (at, Pipe::Out, line.to_owned()));
        Program { output: vec![Output::Script(lines.collect())], ..Program::default() }
    }
}

// === impl Numbers ===

impl Numbers {
    /// Lines of 100 bytes on stdout without end.
    pub fn new(run: &str, rate: f64) -> Self {
        Numbers { run: run.to_owned(), rate, length: (100, 100), both: false, lines: None }
    }
}

// === impl Output ===

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Output::Numbered(numbers) => numbers.fmt(f),
            Output::Script(lines) => write!(f, "Script({} lines)", lines.len()),
            Output::Made { rate, .. } => write!(f, "Made({rate}/s)"),
        }
    }
}

// === impl Amount ===

impl Amount {
    /// Of so many, rounded up.
    pub(super) fn of_up(self, total: u32) -> u32 {
        match self {
            Amount::Count(count) => count,
            Amount::Percent(share) => (total * share).div_ceil(100),
        }
    }

    /// Of so many, rounded down.
    pub(super) fn of_down(self, total: u32) -> u32 {
        match self {
            Amount::Count(count) => count,
            Amount::Percent(share) => total * share / 100,
        }
    }
}

// === impl Strategy ===

impl Default for Strategy {
    /// Kubernetes' default: a quarter above, a quarter below.
    fn default() -> Self {
        Strategy::RollingUpdate { surge: Amount::Percent(25), unavailable: Amount::Percent(25) }
    }
}

// === impl Deployment ===

impl Deployment {
    /// A Deployment with Kubernetes' defaults.
    pub fn new(namespace: &str, name: &str, replicas: u32, template: Template) -> Self {
        Deployment {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            annotations: BTreeMap::new(),
            replicas,
            strategy: Strategy::default(),
            min_ready_seconds: 0,
            progress_deadline_seconds: 600,
            paused: false,
            template,
        }
    }
}
