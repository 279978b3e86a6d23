//! An API server for tests: whom it knows, what they may, and how it fails.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;

use super::Reviewer;
use crate::cluster::{Access, Error, Identity};

/// What the double does; change it at any time.
#[derive(Debug, Default)]
pub(super) struct Script {
    /// Users by token.
    pub(super) tokens: HashMap<String, &'static str>,
    /// User and namespace; no namespace is all of them.
    pub(super) rights: HashSet<(&'static str, Option<&'static str>)>,
    /// It calls itself not ready.
    pub(super) unready: bool,
    /// Reviews fail.
    pub(super) away: bool,
    /// How long an answer takes.
    pub(super) takes: Duration,
    /// Token reviews asked for.
    pub(super) token_reviews: u32,
    /// Access reviews asked for.
    pub(super) access_reviews: u32,
}

#[derive(Debug, Default)]
pub(super) struct Double(pub(super) Mutex<Script>);

// === impl Double ===

impl Double {
    /// Knows `dev` with the token `dev-token`, who may read `shop`, and `ops` with `ops-token`, who
    /// may read everything.
    pub(super) fn with_people() -> Self {
        let script = Script {
            tokens: HashMap::from([
                ("dev-token".to_owned(), "dev"),
                ("ops-token".to_owned(), "ops"),
            ]),
            rights: HashSet::from([("dev", Some("shop")), ("ops", None)]),
            ..Script::default()
        };
        Double(Mutex::new(script))
    }

    async fn answer<T>(&self, read: impl FnOnce(&mut Script) -> T) -> Result<T, Error> {
        let takes = self.0.lock().takes;
        tokio::time::sleep(takes).await;
        let mut script = self.0.lock();
        let answer = read(&mut script);
        if script.away {
            let server = "10.0.0.1:443".to_owned();
            return Err(Error::Unreachable { server, reason: "planned".to_owned() });
        }
        Ok(answer)
    }
}

impl Reviewer for Double {
    fn review_token<'a>(
        &'a self,
        token: &'a str,
        _audiences: &'a [String],
    ) -> BoxFuture<'a, Result<Option<Identity>, Error>> {
        Box::pin(self.answer(move |script| {
            script.token_reviews += 1;
            let user = script.tokens.get(token)?;
            Some(Identity { user: (*user).to_owned(), ..Identity::default() })
        }))
    }

    fn review_access<'a>(
        &'a self,
        who: &'a Identity,
        access: Access<'a>,
    ) -> BoxFuture<'a, Result<bool, Error>> {
        assert_eq!(
            (access.verb, access.resource, access.subresource),
            ("get", "pods", Some("log"))
        );
        Box::pin(self.answer(move |script| {
            script.access_reviews += 1;
            let may = |namespace| {
                let mut rights = script.rights.iter();
                rights.any(|(user, place)| *user == who.user && *place == namespace)
            };
            may(None) || access.namespace.is_some_and(|namespace| may(Some(namespace)))
        }))
    }

    fn ready(&self) -> BoxFuture<'_, bool> {
        Box::pin(async { !self.0.lock().unready })
    }
}
