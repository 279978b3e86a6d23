//! What can go wrong between us and an API server.

use std::error::Error as _;
use std::time::Duration;

/// An API server could not be asked, or said no.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No usable configuration of a cluster was found.
    #[error("cannot read the cluster's configuration from {origin}: {reason}")]
    Config {
        /// Where it was looked for: a file, `KUBECONFIG`, the pod's service account.
        origin: String,
        /// Why it cannot be used, and what to do.
        reason: String,
    },
    /// The server gave no answer.
    #[error(
        "the API server {server} does not answer: {reason}; check that it runs and that this machine can reach it"
    )]
    Unreachable {
        /// Host and port.
        server: String,
        /// The innermost causes, outermost first.
        reason: String,
    },
    /// The server did not answer within the time it was given.
    #[error("the API server {server} did not answer within {} s", limit.as_secs())]
    TooSlow {
        /// Host and port.
        server: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// The server does not know who we are (401).
    #[error(
        "the API server {server} does not accept our credentials: {message}; renew the kubeconfig or the service account token"
    )]
    Unauthenticated {
        /// Host and port.
        server: String,
        /// Its words.
        message: String,
    },
    /// Our own account lacks a right (403).
    #[error(
        "the API server {server} refuses to {action}: {message}; grant rollcast's account this right"
    )]
    Forbidden {
        /// Host and port.
        server: String,
        /// What was tried, as `verb resource`.
        action: String,
        /// Its words; they name verb, resource and namespace.
        message: String,
    },
    /// Any other refusal.
    #[error("the API server {server} answered {status} to {action}: {message}")]
    Refused {
        /// Host and port.
        server: String,
        /// What was tried.
        action: String,
        /// The HTTP status.
        status: u16,
        /// Its words.
        message: String,
    },
    /// The answer could not be understood.
    #[error("the answer of the API server {server} to {action} cannot be read: {reason}")]
    Unreadable {
        /// Host and port.
        server: String,
        /// What was tried.
        action: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Error {
    /// Sorts an error of kube: `action` is what was tried.
    pub(super) fn from_kube(server: &str, action: &str, error: kube::Error) -> Error {
        let (server, action) = (server.to_owned(), action.to_owned());
        match error {
            kube::Error::Api(status) => {
                let message = status.message.clone();
                match status.code {
                    401 => Error::Unauthenticated { server, message },
                    403 => Error::Forbidden { server, action, message },
                    status => Error::Refused { server, action, status, message },
                }
            }
            kube::Error::SerdeError(reason) => {
                Error::Unreadable { server, action, reason: reason.to_string() }
            }
            other => Error::Unreachable { server, reason: chain(&other) },
        }
    }
}

/// An error and its causes in one line. Wrappers repeat their cause's text; what was said is not
/// said again.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        source = cause.source();
    }
    text
}

/// The innermost cause of an error of kube, for a transport failure in one short line.
pub(super) fn chain_of(error: &kube::Error) -> String {
    match error.source() {
        Some(source) => chain(source),
        None => error.to_string(),
    }
}
