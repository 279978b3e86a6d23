//! A kind that a cluster may lack: it is watched only while it is there.
//!
//! Who may not list a kind is refused (403) before anybody looks whether it exists, so existence is
//! asked for by itself: discovery is open to every account.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use kube::runtime::utils::Backoff;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

use super::client::ANSWER_LIMIT;
use super::guard::{Answers, guarded};
use super::watch::{Prompt, watched};
use super::{Cluster, Failure, Step, Watched};

/// A kind that was absent is looked for again after so long. Who installs it sees its first workloads
/// at most a minute later, and one small request a minute burdens no API server.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// Whether the cluster has a kind, asked for once in a while for all the watches of it.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    /// When it was asked for last, and what was said.
    last: Mutex<Option<(Instant, bool)>>,
}

/// One watch of such a kind.
struct Cautious<K> {
    cluster: Cluster,
    namespace: Option<String>,
    presence: Arc<Presence>,
    answers: Answers,
    pause: Prompt,
    /// Not to be asked again before.
    rest: Instant,
    /// That it is absent was said.
    told: bool,
    /// While it is there.
    steps: Option<BoxStream<'static, Step<K>>>,
}

impl Cluster {
    /// Watches a kind that the cluster may lack. As [`Cluster::watch`], but while the kind is absent
    /// nothing is listed, and [`Step::Absent`] says so once.
    pub(crate) fn watch_if_known<K: Watched>(
        &self,
        namespace: Option<&str>,
        presence: &Arc<Presence>,
    ) -> (BoxStream<'static, Step<K>>, Answers) {
        let answers = Answers::default();
        let cautious: Cautious<K> = Cautious {
            cluster: self.clone(),
            namespace: namespace.map(str::to_owned),
            presence: Arc::clone(presence),
            answers: answers.clone(),
            pause: Prompt::default(),
            rest: Instant::now(),
            told: false,
            steps: None,
        };
        let steps = stream::unfold(cautious, |mut cautious| async move {
            let step = cautious.step().await?;
            Some((step, cautious))
        });
        (steps.boxed(), answers)
    }
}

// === impl Presence ===

impl Presence {
    /// Whether the kind is there, and when that was asked for. Watches that ask at about the same time
    /// share one request.
    async fn ask<K: Watched>(
        &self,
        cluster: &Cluster,
        answers: &Answers,
    ) -> Result<(bool, Instant), Failure> {
        let mut last = self.last.lock().await;
        if let Some((asked, there)) = *last
            && asked.elapsed() < LOOK_AGAIN
        {
            return Ok((there, asked));
        }
        let client = guarded(&cluster.shared.watch, answers);
        let version = format!("{}/{}", K::group(&()), K::version(&()));
        let listed = client.list_api_group_resources(&version);
        let there = match tokio::time::timeout(ANSWER_LIMIT, listed).await {
            Ok(Ok(list)) => list.resources.iter().any(|it| it.name == K::plural(&())),
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => false,
            // Then the list itself must tell.
            Ok(Err(kube::Error::Api(status))) if matches!(status.code, 401 | 403) => true,
            Ok(Err(error)) => return Err(undiscovered(super::error::chain_of(&error))),
            Err(_) => {
                let limit = ANSWER_LIMIT.as_secs();
                return Err(undiscovered(format!("no answer within {limit} s")));
            }
        };
        let asked = Instant::now();
        *last = Some((asked, there));
        Ok((there, asked))
    }

    /// A list or a watch has found that it is gone.
    async fn lost(&self) -> Instant {
        let asked = Instant::now();
        *self.last.lock().await = Some((asked, false));
        asked
    }
}

fn undiscovered(message: String) -> Failure {
    Failure { verb: "discover", refused: false, absent: false, message }
}

// === impl Cautious ===

impl<K: Watched> Cautious<K> {
    async fn step(&mut self) -> Option<Step<K>> {
        loop {
            if let Some(steps) = &mut self.steps {
                match steps.next().await? {
                    Step::Failed(failure) if failure.absent => {
                        self.steps = None;
                        self.rest = self.presence.lost().await + LOOK_AGAIN;
                    }
                    step => return Some(step),
                }
            } else {
                sleep_until(self.rest).await;
                match self.presence.ask::<K>(&self.cluster, &self.answers).await {
                    Ok((true, _)) => {
                        self.pause.reset();
                        self.told = false;
                        let namespace = self.namespace.as_deref();
                        self.steps = Some(watched(&self.cluster, namespace, &self.answers));
                        continue;
                    }
                    Ok((false, asked)) => self.rest = asked + LOOK_AGAIN,
                    Err(failure) => {
                        let pause = self.pause.next().unwrap_or(LOOK_AGAIN);
                        self.rest = Instant::now() + pause;
                        return Some(Step::Failed(failure));
                    }
                }
            }
            if !std::mem::replace(&mut self.told, true) {
                return Some(Step::Absent);
            }
        }
    }
}
