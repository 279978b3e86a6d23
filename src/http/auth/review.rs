//! Reviews asked of the API server: bounded in time and number, counted, and behind a trait so that
//! tests can be the API server.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;

use super::REVIEW_LIMIT;
use super::cache::Failed;
use crate::cluster::{Access, Cluster, Error, Identity};
use crate::telemetry::Metrics;

/// Reviews in flight at a time, of each kind: a flood of invented tokens costs the API server this
/// much and no more.
const IN_FLIGHT: usize = 32;

/// Who answers reviews.
pub trait Reviewer: Send + Sync + 'static {
    /// Whose token it is; `None` if it is nobody's, or not made for `audiences`.
    fn review_token<'a>(
        &'a self,
        token: &'a str,
        audiences: &'a [String],
    ) -> BoxFuture<'a, Result<Option<Identity>, Error>>;

    /// Whether `who` may do `access`.
    fn review_access<'a>(
        &'a self,
        who: &'a Identity,
        access: Access<'a>,
    ) -> BoxFuture<'a, Result<bool, Error>>;

    /// Whether the API server calls itself ready. One that has just started refuses everybody.
    fn ready(&self) -> BoxFuture<'_, bool>;
}

impl Reviewer for Cluster {
    fn review_token<'a>(
        &'a self,
        token: &'a str,
        audiences: &'a [String],
    ) -> BoxFuture<'a, Result<Option<Identity>, Error>> {
        Box::pin(self.review_token(token, audiences))
    }

    fn review_access<'a>(
        &'a self,
        who: &'a Identity,
        access: Access<'a>,
    ) -> BoxFuture<'a, Result<bool, Error>> {
        Box::pin(async move { self.review_access(who, &access).await })
    }

    fn ready(&self) -> BoxFuture<'_, bool> {
        Box::pin(self.ready())
    }
}

/// A reviewer with the bounds that callers rely on.
#[derive(Clone)]
pub(super) struct Reviews {
    reviewer: Arc<dyn Reviewer>,
    metrics: Arc<Metrics>,
    tokens: Arc<Semaphore>,
    accesses: Arc<Semaphore>,
}

// === impl Reviews ===

impl Reviews {
    pub(super) fn new(reviewer: Arc<dyn Reviewer>, metrics: Arc<Metrics>) -> Self {
        let places = || Arc::new(Semaphore::new(IN_FLIGHT));
        Reviews { reviewer, metrics, tokens: places(), accesses: places() }
    }

    /// Whose token it is, within [`REVIEW_LIMIT`].
    pub(super) async fn token(
        &self,
        token: &str,
        audiences: &[String],
    ) -> Result<Option<Arc<Identity>>, Failed> {
        let asked = self.reviewer.review_token(token, audiences);
        let answer = bounded(&self.tokens, asked).await;
        self.count("token", answer.as_ref().map(Option::is_some).ok());
        answer.map(|identity| identity.map(Arc::new))
    }

    /// Whether `who` may read the logs of `namespace`, or of all namespaces, within
    /// [`REVIEW_LIMIT`].
    pub(super) async fn logs(
        &self,
        who: &Identity,
        namespace: Option<&str>,
    ) -> Result<bool, Failed> {
        let access = Access {
            verb: "get",
            group: "",
            resource: "pods",
            subresource: Some("log"),
            namespace,
            name: None,
        };
        let answer = bounded(&self.accesses, self.reviewer.review_access(who, access)).await;
        self.count("access", answer.as_ref().copied().ok());
        answer
    }

    /// Whether a refusal can be believed.
    pub(super) async fn ready(&self) -> bool {
        tokio::time::timeout(REVIEW_LIMIT, self.reviewer.ready()).await.unwrap_or(false)
    }

    fn count(&self, kind: &'static str, allowed: Option<bool>) {
        let result = match allowed {
            Some(true) => "allowed",
            Some(false) => "refused",
            None => "error",
        };
        self.metrics.auth_review(kind, result);
    }
}

impl fmt::Debug for Reviews {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reviews")
    }
}

/// Waits for a place and the answer, both within the limit.
async fn bounded<T>(
    places: &Semaphore,
    asked: impl Future<Output = Result<T, Error>>,
) -> Result<T, Failed> {
    let answer = async {
        // Closed never: the semaphore lives as long as the gate.
        let _place = places.acquire().await;
        asked.await.map_err(|error| Failed(error.to_string().into()))
    };
    match tokio::time::timeout(REVIEW_LIMIT, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(Failed("the review was not answered in time".into())),
    }
}
