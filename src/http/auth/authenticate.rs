//! From a bearer token to an identity.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;

use super::bearer::{Bearer, Digest, Hasher, Unreadable};
use super::cache::{Cache, Dated, Failed};
use super::failures::Failures;
use super::review::Reviews;
use super::{Caller, REVIEW_LIMIT};
use crate::cluster::Identity;
use crate::http::problem::Problem;

/// How long a token is believed without asking again; the API server keeps its own answers as long.
const KNOWN: Duration = Duration::from_secs(10);
/// How long an unknown token is refused without asking again.
const UNKNOWN: Duration = Duration::from_secs(5);
/// When to come back while reviews fail.
const RETRY: Duration = Duration::from_secs(2);

/// Nobody that we know, or it cannot be found out.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotAuthenticated {
    /// The header is absent or no bearer token.
    Header(Unreadable),
    /// The API server does not know the token, or it is not made for us.
    Refused,
    /// Too many tokens from there were refused; for how long.
    Locked(Duration),
    /// The review failed.
    Unavailable(Failed),
}

/// Authenticates bearer tokens. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Authenticator {
    reviews: Reviews,
    audiences: Arc<[String]>,
    hasher: Hasher,
    known: Cache<Digest, Option<Arc<Identity>>>,
    failures: Option<Failures>,
}

// === impl Authenticator ===

impl Authenticator {
    pub(super) fn new(reviews: Reviews, audience: Option<String>, hasher: Hasher) -> Self {
        let keep = |identity: &Option<_>| if identity.is_some() { KNOWN } else { UNKNOWN };
        let audiences = audience.into_iter().collect();
        Authenticator { reviews, audiences, hasher, known: Cache::new(keep), failures: None }
    }

    /// At most `most` different refused tokens a minute of one source.
    pub(super) fn limit_failures(&mut self, most: Option<usize>) {
        self.failures = most.map(Failures::new);
    }

    /// Whose token the headers hold, which came from `source`, if that is known. A source of too many
    /// refused tokens gets no review; what is known by one that is still believed passes.
    pub(super) async fn authenticate(
        &self,
        headers: &HeaderMap,
        source: Option<IpAddr>,
    ) -> Result<Caller, NotAuthenticated> {
        let deadline = Instant::now() + REVIEW_LIMIT;
        let bearer = Bearer::read(headers, &self.hasher).map_err(NotAuthenticated::Header)?;
        let failures = self.failures.as_ref().zip(source);
        let locked = failures.and_then(|(failures, source)| failures.locked(source));
        if let Some(locked) = locked
            && self.known.peek(&bearer.digest()).is_none()
        {
            return Err(NotAuthenticated::Locked(locked));
        }
        let known = self.review(&bearer, None).await.map_err(NotAuthenticated::Unavailable)?;
        let Some(identity) = known.value else {
            if let Some((failures, source)) = failures {
                failures.refused(source, bearer.digest());
            }
            return Err(NotAuthenticated::Refused);
        };
        Ok(Caller { identity, bearer: Some(bearer), deadline })
    }

    /// Whose token it is, by an answer asked for no earlier than `oldest`.
    pub(super) async fn review(
        &self,
        bearer: &Bearer,
        oldest: Option<Instant>,
    ) -> Result<Dated<Option<Arc<Identity>>>, Failed> {
        let ask = || {
            let (reviews, audiences) = (self.reviews.clone(), Arc::clone(&self.audiences));
            let bearer = bearer.clone();
            async move { reviews.token(bearer.token(), &audiences).await }
        };
        self.known.get(bearer.digest(), oldest, ask).await
    }
}

// === impl NotAuthenticated ===

impl NotAuthenticated {
    /// The word for the audit trail; an error of ours is no refusal.
    pub(super) fn audit(&self) -> Option<&'static str> {
        match self {
            NotAuthenticated::Header(_) => Some("no_token"),
            NotAuthenticated::Refused => Some("token_refused"),
            // Counted only: who floods must not fill the log.
            NotAuthenticated::Locked(_) | NotAuthenticated::Unavailable(_) => None,
        }
    }
}

impl From<NotAuthenticated> for Problem {
    fn from(error: NotAuthenticated) -> Self {
        match error {
            NotAuthenticated::Header(Unreadable::Absent) => Problem::unauthorized(
                "no token: send Authorization: Bearer TOKEN (kubectl create token NAME --audience=rollcast makes one)",
            ),
            NotAuthenticated::Header(Unreadable::Scheme) => {
                Problem::unauthorized("only bearer tokens are taken: Authorization: Bearer TOKEN")
            }
            NotAuthenticated::Header(Unreadable::Malformed) => {
                Problem::bad_request("authorization", "expected once, as Bearer TOKEN")
            }
            NotAuthenticated::Refused => Problem::unauthorized(
                "the token is not valid here: it may have expired or be made for another audience",
            ),
            NotAuthenticated::Locked(left) => Problem::limited(
                "too many tokens from your address were refused within a minute; try again later",
                left,
            ),
            NotAuthenticated::Unavailable(cause) => {
                Problem::unavailable("tokens cannot be checked at the moment", RETRY, cause)
            }
        }
    }
}
