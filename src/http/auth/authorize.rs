//! From an identity to the namespaces whose logs it may read.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::time::Instant;

use super::Caller;
use super::cache::{Cache, Dated, Failed};
use super::review::Reviews;
use crate::cluster::Identity;
use crate::http::problem::Problem;

/// How long a right is believed without asking again.
const ALLOWED: Duration = Duration::from_secs(10);
/// How long a refusal is.
const REFUSED: Duration = Duration::from_secs(5);
/// When to come back while reviews fail.
const RETRY: Duration = Duration::from_secs(2);
/// Namespaces reviewed at a time for one caller; few, since callers share the places in flight.
const AT_ONCE: usize = 8;

/// What was proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The logs of every namespace.
    Everything,
    /// The logs of these namespaces.
    Namespaces(BTreeSet<Arc<str>>),
}

/// Proof that a caller may read the logs of a scope. Only a review makes one: whoever reads lines
/// asks for it by type.
#[derive(Clone, Debug)]
pub struct Proof {
    caller: Caller,
    scope: Scope,
    /// When the oldest of its reviews was asked for.
    at: Instant,
}

/// No proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// The caller may not, as far as the API server says.
    Refused,
    /// It cannot be found out; the text is private.
    Unavailable(Arc<str>),
}

/// Authorises callers. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Authorizer {
    reviews: Reviews,
    /// By identity with all its groups and extras, and namespace (`None` is all).
    known: Cache<(Arc<Identity>, Option<Arc<str>>), bool>,
}

// === impl Scope ===

impl Scope {
    /// Whether a namespace lies in it.
    pub fn covers(&self, namespace: &str) -> bool {
        match self {
            Scope::Everything => true,
            Scope::Namespaces(namespaces) => namespaces.contains(namespace),
        }
    }
}

// === impl Proof ===

impl Proof {
    /// What was proven.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Whether the logs of a namespace may be read.
    pub fn covers(&self, namespace: &str) -> bool {
        self.scope.covers(namespace)
    }

    /// For whom.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Without login.
    pub(super) fn for_everything(caller: &Caller) -> Self {
        Proof { caller: caller.clone(), scope: Scope::Everything, at: Instant::now() }
    }

    pub(super) fn at(&self) -> Instant {
        self.at
    }
}

// === impl Denied ===

impl Denied {
    /// The answer. `absent` are the words for a thing that is not there; a refusal says the same.
    pub fn into_problem(self, absent: impl FnOnce() -> String) -> Problem {
        match self {
            Denied::Refused => Problem::not_found(absent()),
            Denied::Unavailable(cause) => {
                Problem::unavailable("rights cannot be checked at the moment", RETRY, cause)
            }
        }
    }
}

// === impl Authorizer ===

impl Authorizer {
    pub(super) fn new(reviews: Reviews) -> Self {
        let keep = |allowed: &bool| if *allowed { ALLOWED } else { REFUSED };
        Authorizer { reviews, known: Cache::new(keep) }
    }

    pub(super) async fn authorize(
        &self,
        caller: &Caller,
        namespace: &str,
    ) -> Result<Proof, Denied> {
        // An empty namespace would ask for all of them; other malformed names cannot exist.
        let valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !(1..=63).contains(&namespace.len()) || !namespace.bytes().all(valid) {
            return Err(Denied::Refused);
        }
        let namespace: Arc<str> = namespace.into();
        let answer = self.review(&caller.identity, Some(&namespace), None).await?;
        if !answer.value {
            return Err(Denied::Refused);
        }
        let scope = Scope::Namespaces(BTreeSet::from([namespace]));
        Ok(Proof { caller: caller.clone(), scope, at: answer.at })
    }

    pub(super) async fn visible<'a>(
        &self,
        caller: &Caller,
        namespaces: impl IntoIterator<Item = &'a str>,
    ) -> Result<Proof, Denied> {
        let proof = |scope, at| Proof { caller: caller.clone(), scope, at };
        // One review answers for most people who may see much.
        let all = self.review(&caller.identity, None, None).await?;
        if all.value {
            return Ok(proof(Scope::Everything, all.at));
        }
        let namespaces: Vec<Arc<str>> = namespaces.into_iter().map(Arc::from).collect();
        let reviews = namespaces.into_iter().map(|namespace| async {
            let answer = self.review(&caller.identity, Some(&namespace), None).await?;
            Ok::<_, Denied>((namespace, answer))
        });
        let answers: Vec<_> = stream::iter(reviews).buffer_unordered(AT_ONCE).try_collect().await?;
        let allowed = || answers.iter().filter(|(_, answer)| answer.value);
        let at = allowed().map(|(_, answer)| answer.at).min().unwrap_or(all.at);
        let namespaces = allowed().map(|(namespace, _)| Arc::clone(namespace)).collect();
        Ok(proof(Scope::Namespaces(namespaces), at))
    }

    /// Whether logs may be read, by an answer asked for no earlier than `oldest`.
    pub(super) async fn review(
        &self,
        who: &Arc<Identity>,
        namespace: Option<&Arc<str>>,
        oldest: Option<Instant>,
    ) -> Result<Dated<bool>, Failed> {
        let key = (Arc::clone(who), namespace.cloned());
        let ask = || {
            let (reviews, (who, namespace)) = (self.reviews.clone(), key.clone());
            async move { reviews.logs(&who, namespace.as_deref()).await }
        };
        self.known.get(key.clone(), oldest, ask).await
    }
}

impl From<Failed> for Denied {
    fn from(failed: Failed) -> Self {
        Denied::Unavailable(failed.0)
    }
}
