//! One watch: list, then follow, for ever, with back-off.

use std::fmt::Debug;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use kube::Api;
use kube::core::NamespaceResourceScope;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::DefaultBackoff;
use kube::runtime::{WatchStreamExt, watcher};
use serde::de::DeserializeOwned;

use super::Cluster;
use super::error::chain_of;
use super::guard::{Answers, guarded};

/// The server ends a watch after this many seconds; one that is silent five seconds longer is dead.
const WATCH_SECONDS: u32 = 60;
/// Longest pause between two tries, whatever went before: a pod that is new after an outage is to be
/// heard within ten seconds of its end, and one try in five seconds hammers nobody.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// kube's back-off, which would go up to a minute, cut at [`LONGEST_PAUSE`].
#[derive(Default)]
pub(super) struct Prompt(DefaultBackoff);

/// What a watch brings. After a [`Step::Began`] everything that exists is listed, to the
/// [`Step::Complete`]; what is not among it exists no more, and nobody says so otherwise.
#[derive(Clone, Debug)]
pub(crate) enum Step<T> {
    /// A list begins, the first one or one after the watch had to be given up.
    Began,
    /// An object that exists.
    Listed(T),
    /// The list is complete; changes follow.
    Complete,
    /// An object is new or was changed.
    Applied(T),
    /// An object was deleted; this is its last state.
    Deleted(T),
    /// It broke, and is tried again after a while.
    Failed(Failure),
    /// The cluster has no such kind, or none any more. Only of kinds that a cluster may lack.
    Absent,
}

/// Why a watch broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// `list`, `watch`, or `discover` for a kind that a cluster may lack.
    pub(crate) verb: &'static str,
    /// Our account may not (401, 403).
    pub(crate) refused: bool,
    /// There is nothing of that name (404): for a list or a watch, no such kind.
    pub(crate) absent: bool,
    /// What was said.
    pub(crate) message: String,
}

/// A kind that can be watched.
pub(crate) trait Watched:
    kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>
    + Clone
    + Debug
    + DeserializeOwned
    + Send
    + 'static
{
}

impl<K> Watched for K where
    K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + 'static
{
}

impl Cluster {
    /// Watches one kind in one namespace, or in all of them. It never ends. Beside the steps it gives
    /// the count of its successful answers.
    pub(crate) fn watch<K: Watched>(
        &self,
        namespace: Option<&str>,
    ) -> (BoxStream<'static, Step<K>>, Answers) {
        let answers = Answers::default();
        (watched(self, namespace, &answers), answers)
    }
}

/// The steps of one watch, with its successful answers counted.
pub(super) fn watched<K: Watched>(
    cluster: &Cluster,
    namespace: Option<&str>,
    answers: &Answers,
) -> BoxStream<'static, Step<K>> {
    let client = guarded(&cluster.shared.watch, answers);
    let api: Api<K> = match namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    let config = watcher::Config::default().timeout(WATCH_SECONDS);
    // Without the back-off an error is followed by the next try at once.
    watcher(api, config).backoff(Prompt::default()).map(Step::from).boxed()
}

// === impl Prompt ===

impl Iterator for Prompt {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.0.next().map(|pause| pause.min(LONGEST_PAUSE))
    }
}

impl Backoff for Prompt {
    fn reset(&mut self) {
        self.0.reset();
    }
}

impl<T> Step<T> {
    /// The same step with another object.
    pub(crate) fn map<U>(self, object: impl FnOnce(T) -> U) -> Step<U> {
        match self {
            Step::Began => Step::Began,
            Step::Listed(item) => Step::Listed(object(item)),
            Step::Complete => Step::Complete,
            Step::Applied(item) => Step::Applied(object(item)),
            Step::Deleted(item) => Step::Deleted(object(item)),
            Step::Failed(failure) => Step::Failed(failure),
            Step::Absent => Step::Absent,
        }
    }
}

impl<T> From<watcher::Result<watcher::Event<T>>> for Step<T> {
    fn from(event: watcher::Result<watcher::Event<T>>) -> Self {
        match event {
            Ok(watcher::Event::Init) => Step::Began,
            Ok(watcher::Event::InitApply(item)) => Step::Listed(item),
            Ok(watcher::Event::InitDone) => Step::Complete,
            Ok(watcher::Event::Apply(item)) => Step::Applied(item),
            Ok(watcher::Event::Delete(item)) => Step::Deleted(item),
            Err(error) => Step::Failed(Failure::from(error)),
        }
    }
}

impl From<watcher::Error> for Failure {
    fn from(error: watcher::Error) -> Self {
        let verb = match error {
            watcher::Error::InitialListFailed(_) => "list",
            _ => "watch",
        };
        let (code, message) = match error {
            watcher::Error::InitialListFailed(kube::Error::Api(status))
            | watcher::Error::WatchStartFailed(kube::Error::Api(status))
            | watcher::Error::WatchFailed(kube::Error::Api(status))
            | watcher::Error::WatchError(status) => (status.code, status.message),
            watcher::Error::InitialListFailed(error)
            | watcher::Error::WatchStartFailed(error)
            | watcher::Error::WatchFailed(error) => (0, chain_of(&error)),
            other => (0, other.to_string()),
        };
        Failure { verb, refused: matches!(code, 401 | 403), absent: code == 404, message }
    }
}
