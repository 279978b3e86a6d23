//! How the service is reached: over the network, or over pipes in memory where it runs in this process.
//!
//! What holds here: a connection is made for each request and ends with its answer; nothing is followed
//! elsewhere (the token goes to the server that was named, and to no other); an answer that is no
//! stream is read up to a bound.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::{Empty, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{CertificateError, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

/// A connection that is not made by then is given up.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// The answer to a request begins by then, beside what the request itself waits for.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(15);
/// Bytes of an answer that is no stream: a result has 64 KiB of lines at most, each byte of which may
/// be written as an escape.
const ANSWER_BYTES: usize = 1 << 20;
/// Bytes of a token; those of large identity providers have some thousands.
const TOKEN_BYTES: u64 = 64 << 10;
/// Bytes that a pipe in memory holds in each direction, as a socket's buffer does.
const PIPE_BYTES: usize = 64 << 10;
/// Connections over pipes that wait to be taken; those that ask then wait.
const WAITING: usize = 16;

/// What keeps the server from being reached at all.
#[derive(Debug, thiserror::Error)]
pub enum ReachError {
    /// The file of certificates cannot be used.
    #[error("the certificates in {path} cannot be used: {reason}")]
    Certificates {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// The token cannot be used.
    #[error("the token in {0} cannot be used: {1}")]
    Token(String, String),
    /// The system has no certificates.
    #[error("no certificate authorities are found on this system ({0}); name some with --ca-file")]
    NoAuthorities(String),
}

/// Why a request had no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error("cannot connect to {0}: {1}")]
    Connect(String, String),
    #[error("{0} does not answer within {1} seconds")]
    Slow(String, u64),
    #[error("{0} broke off: {1}")]
    Broken(String, String),
    #[error("the token file {0} cannot be used: {1}")]
    Token(String, String),
}

/// The secret that proves who asks.
#[derive(Clone, Default)]
pub enum Token {
    /// None: the server knows everybody.
    #[default]
    None,
    /// This one.
    Fixed(String),
    /// What is in this file at the time: tokens that a platform hands out are renewed there.
    File(PathBuf),
}

/// Connections in memory: what the client's side dials, and the server's side takes.
#[derive(Clone, Debug)]
pub struct Pipes(mpsc::Sender<DuplexStream>);

/// How the service is reached.
#[derive(Clone)]
pub struct Reach {
    way: Way,
    token: Token,
    /// Joins what drives each connection.
    tracker: TaskTracker,
}

#[derive(Clone)]
enum Way {
    Network { connector: HttpsConnector<HttpConnector>, base: Arc<Base> },
    Memory(Pipes),
}

/// The address of a server, which may lie below a path.
#[derive(Debug)]
struct Base {
    uri: Uri,
    authority: String,
    prefix: String,
}

trait Pipe: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Pipe for T {}

// === impl Pipes ===

impl Pipes {
    /// Both ends.
    pub fn new() -> (Pipes, mpsc::Receiver<DuplexStream>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Pipes(sender), receiver)
    }
}

// === impl Token ===

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Token::None => f.write_str("None"),
            Token::Fixed(_) => f.write_str("Fixed(…)"),
            Token::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

impl Token {
    /// Whether it can be used now.
    ///
    /// # Errors
    /// If its file cannot be read, or what it is made of is no token.
    pub fn check(&self) -> Result<(), ReachError> {
        match self.header() {
            Err(AskError::Token(origin, why)) => Err(ReachError::Token(origin, why)),
            _ => Ok(()),
        }
    }

    fn header(&self) -> Result<Option<HeaderValue>, AskError> {
        let (secret, origin) = match self {
            Token::None => return Ok(None),
            Token::Fixed(secret) => (secret.clone(), "ROLLCAST_TOKEN".to_owned()),
            Token::File(path) => {
                let origin = path.display().to_string();
                let failed = |words: &dyn std::fmt::Display| {
                    AskError::Token(origin.clone(), words.to_string())
                };
                let size = std::fs::metadata(path).map_err(|error| failed(&error))?.len();
                if size > TOKEN_BYTES {
                    return Err(failed(&"it is too long for a token"));
                }
                (std::fs::read_to_string(path).map_err(|error| failed(&error))?, origin)
            }
        };
        let secret = secret.trim();
        if secret.is_empty() {
            return Err(AskError::Token(origin, "it is empty".to_owned()));
        }
        let mut value = HeaderValue::from_str(&format!("Bearer {secret}"))
            .map_err(|_| AskError::Token(origin, "it holds more than one token".to_owned()))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

// === impl Reach ===

impl Reach {
    /// Over the network. `server` is a URL with host; `authorities` a file of certificates that are
    /// trusted instead of the system's.
    ///
    /// # Errors
    /// If there are no certificates to trust.
    pub fn network(
        server: &Uri,
        authorities: Option<&Path>,
        token: Token,
        tracker: TaskTracker,
    ) -> Result<Reach, ReachError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_LIMIT));
        let builder = HttpsConnectorBuilder::new();
        let builder = match authorities {
            Some(path) => {
                let roots = read_authorities(path)?;
                let config = rustls::ClientConfig::builder()
                    .with_root_certificates(roots)
                    .with_no_client_auth();
                builder.with_tls_config(config)
            }
            // Without TLS none are needed, and a small image has none.
            None if server.scheme_str() == Some("http") => {
                let config = rustls::ClientConfig::builder()
                    .with_root_certificates(RootCertStore::empty())
                    .with_no_client_auth();
                builder.with_tls_config(config)
            }
            None => builder
                .with_native_roots()
                .map_err(|error| ReachError::NoAuthorities(error.to_string()))?,
        };
        let connector = builder.https_or_http().enable_http1().wrap_connector(tcp);
        let base = Base {
            uri: server.clone(),
            authority: server.authority().map_or_else(String::new, |it| {
                // A password in the URL is nobody else's business, and is no host.
                it.as_str().rsplit('@').next().unwrap_or_default().to_owned()
            }),
            prefix: server.path().trim_end_matches('/').to_owned(),
        };
        let way = Way::Network { connector, base: Arc::new(base) };
        Ok(Reach { way, token, tracker })
    }

    /// Over pipes, to a service in this process.
    pub fn memory(pipes: Pipes, token: Token, tracker: TaskTracker) -> Reach {
        Reach { way: Way::Memory(pipes), token, tracker }
    }

    /// The server, as people know it.
    pub(super) fn server(&self) -> &str {
        match &self.way {
            Way::Network { base, .. } => &base.authority,
            Way::Memory(_) => "the service in this process",
        }
    }

    /// Asks for a path, and gives the answer's head as soon as it comes. `extra` is how long the server
    /// may think about it.
    pub(super) async fn ask(
        &self,
        path: &str,
        headers: &[(header::HeaderName, &str)],
        extra: Duration,
    ) -> Result<Response<Incoming>, AskError> {
        let server = || self.server().to_owned();
        let limit = CONNECT_LIMIT + ANSWER_LIMIT + extra;
        let asked = timeout(limit, self.ask_unbounded(path, headers)).await;
        asked.unwrap_or_else(|_| Err(AskError::Slow(server(), limit.as_secs())))
    }

    async fn ask_unbounded(
        &self,
        path: &str,
        headers: &[(header::HeaderName, &str)],
    ) -> Result<Response<Incoming>, AskError> {
        let server = || self.server().to_owned();
        let broken = |error: &dyn Error| AskError::Broken(server(), chain(error));
        let (host, prefix) = match &self.way {
            Way::Network { base, .. } => (base.authority.as_str(), base.prefix.as_str()),
            Way::Memory(_) => ("localhost", ""),
        };
        let mut request = Request::get(format!("{prefix}{path}"))
            .header(header::HOST, host)
            .header(header::USER_AGENT, concat!("rollcast/", env!("CARGO_PKG_VERSION")));
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        if let Some(token) = self.token.header()? {
            request = request.header(header::AUTHORIZATION, token);
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| broken(&error))?;
        let io = self.dial().await.map_err(|error| AskError::Connect(server(), error))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(io).await.map_err(|error| broken(&error))?;
        self.tracker.spawn(async move {
            // Its end reaches the request's own future or body.
            let _ = connection.await;
        });
        sender.send_request(request).await.map_err(|error| broken(&error))
    }

    async fn dial(&self) -> Result<TokioIo<Box<dyn Pipe>>, String> {
        match &self.way {
            Way::Network { connector, base } => {
                let connected = connector.clone().oneshot(base.uri.clone()).await;
                let io = connected.map_err(|error| {
                    let advice = refused_certificate(&*error).and_then(advice).unwrap_or_default();
                    chain(&*error) + advice
                })?;
                let pipe: Box<dyn Pipe> = Box::new(TokioIo::new(io));
                Ok(TokioIo::new(pipe))
            }
            Way::Memory(pipes) => {
                let (near, far) = tokio::io::duplex(PIPE_BYTES);
                pipes.0.send(far).await.map_err(|_| "it has ended".to_owned())?;
                let pipe: Box<dyn Pipe> = Box::new(near);
                Ok(TokioIo::new(pipe))
            }
        }
    }
}

/// Reads an answer that is no stream; what is too long or breaks off is empty.
pub(super) async fn whole(response: Response<Incoming>) -> Vec<u8> {
    use http_body_util::BodyExt as _;
    let body = Limited::new(response.into_body(), ANSWER_BYTES).collect();
    match timeout(ANSWER_LIMIT, body).await {
        Ok(Ok(body)) => body.to_bytes().to_vec(),
        _ => Vec::new(),
    }
}

fn read_authorities(path: &Path) -> Result<RootCertStore, ReachError> {
    let unusable = |reason: &dyn std::fmt::Display| ReachError::Certificates {
        path: path.display().to_string(),
        reason: reason.to_string(),
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unusable(&error))? {
        let certificate = certificate.map_err(|error| unusable(&error))?;
        roots.add(certificate).map_err(|error| unusable(&error))?;
    }
    if roots.is_empty() {
        return Err(unusable(&"there is none in it"));
    }
    Ok(roots)
}

/// Why the server's certificate was refused, if that is what happened.
fn refused_certificate<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a CertificateError> {
    if let Some(rustls::Error::InvalidCertificate(why)) = error.downcast_ref() {
        return Some(why);
    }
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    refused_certificate(match wrapped {
        Some(inner) => inner,
        None => error.source()?,
    })
}

/// What to do about a certificate that curl may well take.
fn advice(why: &CertificateError) -> Option<&'static str> {
    match why {
        CertificateError::UnknownIssuer => {
            Some("; if it is one of your own, name its authority with --ca-file")
        }
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            Some("; it is an authority's own (CA:TRUE), and none for a server")
        }
        _ => None,
    }
}

/// An error with what it comes from; hyper's own words are few.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let words = inner.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_is_refused_comes_with_what_to_do() {
        let said = |why| {
            let error = io::Error::other(rustls::Error::InvalidCertificate(why));
            let outer = io::Error::other(error);
            refused_certificate(&outer).and_then(advice)
        };
        let other = |words: &str| {
            let error = rustls::OtherError(Arc::new(io::Error::other(words.to_owned())));
            said(CertificateError::Other(error))
        };
        assert!(other("CaUsedAsEndEntity").unwrap().contains("CA:TRUE"));
        assert_eq!(other("whatever"), None);
        assert!(said(CertificateError::UnknownIssuer).unwrap().contains("--ca-file"));
        assert_eq!(said(CertificateError::Expired), None);
        assert_eq!(refused_certificate(&io::Error::other("no")).and_then(advice), None);
    }
}
