//! The accept loop.
//!
//! axum's own has no deadline for the first request, no bound on connections, and no end for a
//! graceful shutdown; this one has. Every constant says what it protects; `stall` ends what a client
//! does not take.

mod heads;
mod sources;
mod stall;

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use futures_util::FutureExt as _;
use http::Version;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tower::Service as _;

use self::heads::{Event, Heads};
use self::sources::Sources;
pub(super) use self::sources::source;
pub use self::stall::Stall;
use self::stall::{Socket as Watched, Streams, Taken};
use crate::shutdown::Shutdown;
use crate::telemetry::events::{LimitReached, TaskPanicked};
use crate::telemetry::{Metrics, panic_words};

/// Connections that wait in the kernel to be accepted: a restart brings all viewers back at once.
const BACKLOG: i32 = 4096;
/// hyper's buffer for each connection, and for each HTTP/2 stream; its default of 400 KiB would be
/// 4 GB for 10,000 viewers that do not read. A request's head must fit, too.
const BUFFER: usize = 16 * 1024;
/// Unsent bytes that the kernel takes before it calls a connection full, and its whole send buffer,
/// which counts against the memory of the pod. What a slow viewer has not read stays in the journal,
/// where all share it, not in a socket of its own.
const UNSENT: usize = 128 * 1024;
/// Headers of one request.
const HEADERS: usize = 64;
/// HTTP/2 window for one request's body; we take small JSON only.
const STREAM_WINDOW: u32 = 64 * 1024;
/// HTTP/2 window for all request bodies of a connection.
const CONNECTION_WINDOW: u32 = 256 * 1024;
/// HTTP/2 resets that a client may have pending (RUSTSEC-2023-0034).
const RESETS: usize = 20;
/// HTTP/2 pings, and TCP keepalive for HTTP/1.1.
const PROBE: Duration = Duration::from_secs(20);
/// Refusals over the limit that are told politely at a time; further connections are just closed.
const REFUSALS: usize = 64;
/// Time for one polite refusal.
const REFUSAL: Duration = Duration::from_secs(1);
/// Pause after an accept that failed for want of files or memory: retrying at once would spin.
const STARVED: Duration = Duration::from_millis(200);

/// The whole is full; without any machinery behind it, as the next one.
const BUSY: Refusal = Refusal {
    status: "503 Service Unavailable",
    problem: "{\"type\":\"urn:rollcast:problem:unavailable\",\"title\":\"Unavailable\",\
              \"status\":503,\"detail\":\"too many connections to this replica; try again later\"}",
};
/// One source has too many.
const GREEDY: Refusal = Refusal {
    status: "429 Too Many Requests",
    problem: "{\"type\":\"urn:rollcast:problem:limited\",\"title\":\"Too many requests\",\
              \"status\":429,\"detail\":\"too many connections from your address; close some\"}",
};

/// An answer to a connection that is not served.
#[derive(Clone, Copy, Debug)]
struct Refusal {
    status: &'static str,
    problem: &'static str,
}

/// Why a listener could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {cause}; choose another address with {option}")]
pub struct ListenError {
    address: SocketAddr,
    option: &'static str,
    cause: io::Error,
}

/// When a listener closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closes {
    /// The drain delay after draining began; open answers are finished within the drain window.
    WhenDraining,
    /// When the process stops: probes and metrics are wanted to the end.
    WhenStopped,
}

/// What clients may take of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Open connections at a time; more are answered 503 and closed.
    pub connections: usize,
    /// Open connections of one source at a time, which is an IPv4 address or an IPv6 network of 64
    /// bits; more are answered 429 and closed. `None` is no limit; loopback is not counted.
    pub per_source: Option<usize>,
    /// HTTP/2 streams on one connection.
    pub streams: u32,
    /// How long a client may take nothing of what it is sent; then it is gone, or might as well be,
    /// and its answer is ended. A viewer resumes by its last id.
    pub stall: Duration,
    /// How long the head of a request may take to come.
    pub head: Duration,
    /// Bytes of a request's head. hyper answers 431 to more, or to more than 32 KiB, by itself.
    pub head_bytes: u32,
    /// How long a connection may wait for its next request.
    pub idle: Duration,
}

impl Default for Bounds {
    /// What the options are by default.
    fn default() -> Self {
        Bounds {
            connections: 10_000,
            per_source: None,
            streams: 100,
            stall: Duration::from_secs(30),
            head: Duration::from_secs(10),
            head_bytes: 16 * 1024,
            idle: Duration::from_secs(75),
        }
    }
}

/// How to serve.
#[derive(Clone, Debug)]
pub struct Serving {
    /// What clients may take.
    pub bounds: Bounds,
    /// When to close.
    pub closes: Closes,
    /// What counts connections; `None` for the listener of operators.
    pub metrics: Option<Arc<Metrics>>,
}

/// Opens a listener. `[::]` takes IPv4 too; on a machine without IPv6 it becomes `0.0.0.0`.
///
/// # Errors
/// Names the address and the `option` that chooses another.
pub fn listen(address: SocketAddr, option: &'static str) -> Result<TcpListener, ListenError> {
    let error = |cause| ListenError { address, option, cause };
    match open(address) {
        Err(cause) if address.ip().is_unspecified() && address.is_ipv6() && no_ipv6(&cause) => {
            let fallback = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port());
            tracing::info!(%address, %fallback, "this machine has no IPv6, listening on IPv4 only");
            open(fallback).map_err(error)
        }
        opened => opened.map_err(error),
    }
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    // A restarted process must not wait for the old connections' TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// The errors of a kernel without IPv6, or with IPv6 switched off.
fn no_ipv6(error: &io::Error) -> bool {
    /// `EAFNOSUPPORT`, which std has no name for.
    const FAMILY: i32 = 97;
    error.raw_os_error() == Some(FAMILY) || error.kind() == io::ErrorKind::AddrNotAvailable
}

/// Serves until the process drains or stops, and returns when the last connection is closed; that
/// is at the end of the drain time at the latest.
pub async fn run(listener: TcpListener, router: Router, serving: Serving, shutdown: Shutdown) {
    let connections = TaskTracker::new();
    let streams = Streams {
        tracker: connections.clone(),
        bound: serving.bounds.stall,
        metrics: serving.metrics.clone(),
    };
    let server = Arc::new(Server {
        router,
        builder: builder(streams, &serving.bounds),
        metrics: serving.metrics,
        closes: serving.closes,
        bounds: serving.bounds,
        shutdown,
    });
    let places = Arc::new(Semaphore::new(serving.bounds.connections));
    let sources = Sources::new(serving.bounds.per_source);
    let refusals = Arc::new(Semaphore::new(REFUSALS));
    let mut closing = std::pin::pin!(server.closing());
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut closing => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if concerns_one_connection(&error) => continue,
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections, trying again");
                tokio::time::sleep(STARVED).await;
                continue;
            }
        };
        let place = match (Arc::clone(&places).try_acquire_owned(), sources.enter(peer.ip())) {
            (Ok(place), Some(own)) => Ok((place, own)),
            (Err(_), _) => Err(("connections", BUSY)),
            (Ok(_), None) => Err(("connections_per_source", GREEDY)),
        };
        match place {
            Ok(place) => {
                let server = Arc::clone(&server);
                connections.spawn(async move {
                    server.serve(stream, peer).await;
                    drop(place);
                });
            }
            Err((limit, refusal)) => {
                if let Some(metrics) = &server.metrics {
                    metrics.connections_refused.add(1);
                    LimitReached { limit, who: &peer.ip() }.emit(metrics);
                }
                if let Ok(place) = Arc::clone(&refusals).try_acquire_owned() {
                    connections.spawn(async move {
                        let _ = tokio::time::timeout(REFUSAL, refuse(stream, refusal)).await;
                        drop(place);
                    });
                }
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// Errors of a connection that died while it waited; the next accept is not affected.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

async fn refuse(mut stream: TcpStream, refusal: Refusal) -> io::Result<()> {
    let Refusal { status, problem } = refusal;
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/problem+json\r\n\
         x-content-type-options: nosniff\r\nretry-after: 5\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{problem}",
        problem.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    // Closing with unread bytes resets the connection, and the answer with it.
    let mut sink = [0; 1024];
    while stream.read(&mut sink).await? > 0 {}
    Ok(())
}

struct Server {
    router: Router,
    builder: auto::Builder<Streams>,
    metrics: Option<Arc<Metrics>>,
    closes: Closes,
    bounds: Bounds,
    shutdown: Shutdown,
}

// === impl Server ===

impl Server {
    async fn closing(&self) {
        match self.closes {
            Closes::WhenDraining => self.shutdown.closing().await,
            Closes::WhenStopped => self.shutdown.stopped().await,
        }
    }

    async fn serve(&self, stream: TcpStream, peer: SocketAddr) {
        let counted = self.metrics.as_deref().map(Open::new);
        if let Err(error) = prepare(&stream, self.bounds.stall) {
            tracing::debug!(%error, "cannot prepare a connection");
            return;
        }
        let served = AssertUnwindSafe(self.connection(stream, peer)).catch_unwind().await;
        if let (Err(payload), Some(metrics)) = (served, &self.metrics) {
            let message = panic_words(&*payload);
            TaskPanicked { room: "http", task: "connection", message, restart_in: None }
                .emit(metrics);
        }
        drop(counted);
    }

    async fn connection(&self, stream: TcpStream, peer: SocketAddr) {
        let heads = Arc::new(Heads::new());
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let stall = Stall::default();
        let socket = TokioIo::new(Watched::new(stream, stall.clone(), heads.clone()));
        let service = service_fn(|request: Request<Incoming>| {
            let http2 = request.version() == Version::HTTP_2;
            heads.note(if http2 { Event::AskedHttp2 } else { Event::Asked });
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            let (mut router, stall, heads) = (self.router.clone(), stall.clone(), heads.clone());
            async move {
                // Asked here, inside the task of an HTTP/2 stream.
                let watched = stall.for_request();
                request.extensions_mut().insert(watched.stall.clone());
                let answer = router.call(request).await.unwrap_or_else(|never| match never {});
                Ok::<_, Infallible>(answer.map(|body| Taken::new(body, watched, heads)))
            }
        });
        let mut connection = std::pin::pin!(self.builder.serve_connection(socket, service));
        let mut closing = std::pin::pin!(self.closing().fuse());
        let mut late = std::pin::pin!(heads.late(self.bounds.head));
        let mut hurried = std::pin::pin!(stall.cut_asked());
        let mut cut = std::pin::pin!(self.shutdown.cut());
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        self.ended(&*error, &heads, peer);
                    }
                    return;
                }
                // Finishes what is open, takes nothing new.
                () = &mut closing => connection.as_mut().graceful_shutdown(),
                () = &mut late => {
                    if let Some(metrics) = &self.metrics {
                        LimitReached { limit: "request_head", who: &peer.ip() }.emit(metrics);
                    }
                    return;
                }
                () = &mut hurried => return,
                () = &mut cut, if self.closes == Closes::WhenDraining => return,
                () = self.shutdown.stopped() => return,
            }
        }
    }
}

impl Server {
    /// Counts a connection that ended for one of our bounds; others end all the time.
    fn ended(&self, error: &(dyn Error + 'static), heads: &Heads, peer: SocketAddr) {
        tracing::trace!(error, "connection ended");
        if let (Some(limit), Some(metrics)) = (bound_of(error, heads), &self.metrics) {
            LimitReached { limit, who: &peer.ip() }.emit(metrics);
        }
    }
}

/// For which of our bounds hyper ended a connection, if for one.
fn bound_of(error: &(dyn Error + 'static), heads: &Heads) -> Option<&'static str> {
    let mut next = Some(error);
    std::iter::from_fn(|| {
        let cause = next?;
        next = cause.source();
        Some(cause)
    })
    .find_map(|cause| {
        if let Some(error) = cause.downcast_ref::<h2::Error>() {
            let calm = error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM);
            return (calm && error.is_library()).then_some("http2_flood");
        }
        let timeout = cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_timeout);
        match timeout {
            true if heads.is_idle() => Some("idle_connection"),
            true if heads.is_http2() => Some("http2_ping"),
            _ => None,
        }
    })
}

/// Counts an open connection until it is dropped, also by a panic.
struct Open<'a>(&'a Metrics);

impl<'a> Open<'a> {
    fn new(metrics: &'a Metrics) -> Self {
        metrics.connections.add(1);
        Open(metrics)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.connections.add(-1);
    }
}

fn prepare(stream: &TcpStream, stall: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_send_buffer_size(UNSENT)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(PROBE).with_interval(PROBE / 2))?;
    #[cfg(target_os = "linux")]
    {
        socket.set_tcp_user_timeout(Some(stall))?;
        socket.set_tcp_notsent_lowat(UNSENT as u32)?;
    }
    Ok(())
}

fn builder(streams: Streams, bounds: &Bounds) -> auto::Builder<Streams> {
    let mut builder = auto::Builder::new(streams);
    builder
        .http1()
        .timer(TokioTimer::new())
        // From the end of the last answer, so the idle time is in it.
        .header_read_timeout(bounds.idle)
        .max_buf_size(BUFFER.max(bounds.head_bytes as usize))
        .max_headers(HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PROBE)
        .keep_alive_timeout(PROBE)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(bounds.streams)
        .max_header_list_size(bounds.head_bytes)
        .max_pending_accept_reset_streams(RESETS)
        .max_send_buf_size(BUFFER);
    builder
}

#[cfg(test)]
mod tests;
