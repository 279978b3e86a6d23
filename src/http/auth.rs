//! Interim: everybody on this machine. Replaced when `auth` lands.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::request::Parts;

use super::problem::Problem;
use crate::wire::Bye;

/// Who may read what.
#[derive(Clone, Debug)]
pub struct Auth;

/// Who asks.
#[derive(Clone, Debug)]
pub struct Caller;

/// The right to read a namespace.
#[derive(Clone, Debug)]
pub struct Proof(());

impl Caller {
    /// For the log.
    pub fn name(&self) -> &str {
        "anonymous"
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;
    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Caller)
    }
}

impl Auth {
    /// Whether the caller may read.
    pub async fn may_read(&self, _caller: &Caller, _namespace: &str) -> Result<bool, Problem> {
        Ok(true)
    }

    /// The right to open a stream.
    pub async fn open(
        &self,
        _caller: &Caller,
        _namespace: &str,
        _absent: impl FnOnce() -> Problem,
    ) -> Result<Proof, Problem> {
        Ok(Proof(()))
    }

    /// Resolves when the right is lost.
    pub fn watch(
        &self,
        _caller: &Caller,
        _proof: Proof,
    ) -> impl Future<Output = Bye> + Send + 'static {
        std::future::pending()
    }
}
