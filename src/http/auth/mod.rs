//! Who asks, and what they may read.
//!
//! A request passes in three steps, each a type that only the step before can make:
//! [`Caller`] (authenticated, by extraction), [`Proof`] (authorised for a scope, by [`Gate::authorize`]
//! or [`Gate::visible`]), [`Standing`] (still authorised, by [`Gate::watch`], for streams).
//!
//! Invariants:
//! - Deny closed: a refusal is 401 or 404, an error of the API server is 503; a handler without a
//!   [`Proof`] has nothing to read lines with.
//! - A cached answer is at most 10 s old if it allows, 5 s if it refuses. Keys are structured, never
//!   joined text (the class of CVE-2026-39972), and tokens are kept as keyed hashes only; the token
//!   itself is held in memory solely while a stream is open, for its re-check.
//! - There is no way from one authenticator into another: no token is never "anonymous".
//!
//! May use: `cluster` (identities and reviews) and the hallway.

mod authenticate;
mod authorize;
mod bearer;
mod cache;
#[cfg(test)]
mod double;
mod failures;
mod recheck;
mod review;
mod standing;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, FromRef, FromRequestParts};
use http::request::Parts;
use tokio::time::Instant;

pub use authorize::{Denied, Proof, Scope};
pub use bearer::NoRandomness;
pub use recheck::{Rechecks, Standing};
pub use review::Reviewer;
pub use standing::End;

use self::authenticate::{Authenticator, NotAuthenticated};
use self::authorize::Authorizer;
use self::bearer::Bearer;
use super::problem::Problem;
use super::serve::source;
use crate::cluster::Identity;
use crate::telemetry::Metrics;
use crate::telemetry::events::{AccessRefused, LimitReached};

/// How long a caller waits for a review before the answer is 503.
pub const REVIEW_LIMIT: Duration = Duration::from_secs(2);

/// Somebody whom we know.
#[derive(Clone, Debug)]
pub struct Caller {
    identity: Arc<Identity>,
    /// What proved it; `None` without login.
    bearer: Option<Bearer>,
    /// When the answer must be there: both reviews of a request share one limit.
    deadline: Instant,
}

/// The gate that every request passes. Cheap to clone; extract it from the router's state.
#[derive(Clone, Debug)]
pub struct Gate {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    mode: Mode,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
enum Mode {
    /// Everybody on this machine is this one.
    Open(Caller),
    /// Bearer tokens and access reviews.
    Tokens { authenticator: Authenticator, authorizer: Authorizer, rechecks: Rechecks },
}

// === impl Caller ===

impl Caller {
    /// The user's name, for the audit trail.
    pub fn user(&self) -> &str {
        &self.identity.user
    }

    /// Everything that reviews need.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Waits for a review within what the request has left of its time; all of it if that is over
    /// already, since the handler then did something else in between (it read a body).
    async fn in_time<T>(
        &self,
        review: impl Future<Output = Result<T, Denied>>,
    ) -> Result<T, Denied> {
        let now = Instant::now();
        let until = if now < self.deadline { self.deadline } else { now + REVIEW_LIMIT };
        match tokio::time::timeout_at(until, review).await {
            Ok(answer) => answer,
            Err(_) => Err(Denied::Unavailable("the reviews were not answered in time".into())),
        }
    }
}

impl<S> FromRequestParts<S> for Caller
where
    Gate: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        // Absent only where there is no connection, in a test.
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let from = peer.map(|ConnectInfo(peer)| source(peer.ip()));
        Gate::from_ref(state).authenticate(&parts.headers, from).await
    }
}

// === impl Gate ===

impl Gate {
    /// For a server without login, which listens on loopback only.
    pub fn open(metrics: Arc<Metrics>) -> Self {
        let identity = Identity { user: "anonymous".to_owned(), ..Identity::default() };
        let caller =
            Caller { identity: Arc::new(identity), bearer: None, deadline: Instant::now() };
        Gate { inner: Arc::new(Inner { mode: Mode::Open(caller), metrics }) }
    }

    /// For bearer tokens made for `audience` (`None` is the API server's own). `bound` is the longest
    /// time that an open stream may outlive the right to read it, 12 to 30 s.
    ///
    /// [`Rechecks::run`] of [`Gate::rechecks`] must run for the gate's streams to be re-checked.
    ///
    /// # Errors
    /// If the system gives no random bytes for the hash of tokens.
    pub fn tokens(
        reviewer: Arc<dyn Reviewer>,
        audience: Option<String>,
        bound: Duration,
        metrics: Arc<Metrics>,
    ) -> Result<Self, NoRandomness> {
        let reviews = review::Reviews::new(reviewer, Arc::clone(&metrics));
        let authenticator =
            Authenticator::new(reviews.clone(), audience, bearer::Hasher::from_system()?);
        let authorizer = Authorizer::new(reviews.clone());
        let rechecks = Rechecks::new(reviews, authenticator.clone(), authorizer.clone(), bound);
        let mode = Mode::Tokens { authenticator, authorizer, rechecks };
        Ok(Gate { inner: Arc::new(Inner { mode, metrics }) })
    }

    /// The same, with at most `most` different refused tokens a minute of one source; `None` is no
    /// limit. To be called before the gate is cloned.
    pub fn limiting_failures(mut self, most: Option<usize>) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.inner)
            && let Mode::Tokens { authenticator, .. } = &mut inner.mode
        {
            authenticator.limit_failures(most);
        }
        self
    }

    /// The scheduler that re-checks open streams; none without login.
    pub fn rechecks(&self) -> Option<Rechecks> {
        match &self.inner.mode {
            Mode::Open(_) => None,
            Mode::Tokens { rechecks, .. } => Some(rechecks.clone()),
        }
    }

    /// Who sends these headers from this source, if one is known.
    ///
    /// # Errors
    /// 401 for nobody that we know, 400 for a header that cannot be read, 429 for a source of too many
    /// refused tokens, 503 if it cannot be found out within 2 s.
    pub async fn authenticate(
        &self,
        headers: &http::HeaderMap,
        from: Option<IpAddr>,
    ) -> Result<Caller, Problem> {
        match &self.inner.mode {
            Mode::Open(caller) => Ok(caller.clone()),
            Mode::Tokens { authenticator, .. } => {
                authenticator.authenticate(headers, from).await.map_err(|error| {
                    if let (NotAuthenticated::Locked(_), Some(from)) = (&error, &from) {
                        LimitReached { limit: "login_failures", who: from }
                            .emit(&self.inner.metrics);
                    }
                    if let Some(reason) = error.audit() {
                        let refused = AccessRefused { user: None, namespace: None, reason };
                        refused.emit(&self.inner.metrics);
                    }
                    error.into()
                })
            }
        }
    }

    /// Whether `caller` may read the logs of `namespace`.
    ///
    /// # Errors
    /// [`Denied::Refused`] is to be answered exactly as if the thing did not exist:
    /// [`Denied::into_problem`] takes the words for both.
    pub async fn authorize(&self, caller: &Caller, namespace: &str) -> Result<Proof, Denied> {
        match &self.inner.mode {
            Mode::Open(_) => Ok(Proof::for_everything(caller)),
            Mode::Tokens { authorizer, .. } => {
                let proof = caller.in_time(authorizer.authorize(caller, namespace)).await;
                if let Err(Denied::Refused) = proof {
                    let (user, namespace) = (Some(caller.user()), Some(namespace));
                    AccessRefused { user, namespace, reason: "access_refused" }
                        .emit(&self.inner.metrics);
                }
                proof
            }
        }
    }

    /// The part of `namespaces` whose logs `caller` may read; may be empty.
    ///
    /// # Errors
    /// [`Denied::Unavailable`] if a review could not be made.
    pub async fn visible<'a>(
        &self,
        caller: &Caller,
        namespaces: impl IntoIterator<Item = &'a str>,
    ) -> Result<Proof, Denied> {
        match &self.inner.mode {
            Mode::Open(_) => Ok(Proof::for_everything(caller)),
            Mode::Tokens { authorizer, .. } => {
                caller.in_time(authorizer.visible(caller, namespaces)).await
            }
        }
    }

    /// Watches that a proof still holds, for as long as the answer is kept.
    pub fn watch(&self, proof: &Proof) -> Standing {
        match &self.inner.mode {
            Mode::Open(_) => Standing::for_ever(),
            Mode::Tokens { rechecks, .. } => rechecks.watch(proof),
        }
    }
}

#[cfg(test)]
mod tests;
