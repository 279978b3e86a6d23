//! The accept loop.
//!
//! axum's own has no deadline for the first request, no bound on connections, and no end for a
//! graceful shutdown; this one has. Every constant says what it protects; `stall` ends what a client
//! does not take.

mod stall;

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use futures_util::FutureExt as _;
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

pub use self::stall::Stall;
use self::stall::{Socket as Watched, Streams, Taken};
use crate::shutdown::Shutdown;
use crate::telemetry::events::TaskPanicked;
use crate::telemetry::{Metrics, panic_words};

/// Connections that wait in the kernel to be accepted: a restart brings all viewers back at once.
const BACKLOG: i32 = 4096;
/// From the connection to its first request; a client that only connects is cut then.
const FIRST_REQUEST: Duration = Duration::from_secs(10);
/// For an idle connection and for each further request's head. Longer than the 60 s after which
/// proxies drop idle upstream connections, so that they never send into one that we just closed.
const NEXT_REQUEST: Duration = Duration::from_secs(75);
/// hyper's buffers for each connection; its default of 400 KiB would be 4 GB for 10,000 viewers that
/// do not read.
const BUFFER: usize = 64 * 1024;
/// Unsent bytes that the kernel takes before it calls a connection full. What a slow viewer has not
/// read stays in the journal, where all share it, not in a socket of its own.
const UNSENT: u32 = 128 * 1024;
/// Headers of one request.
const HEADERS: usize = 64;
/// Bytes of an HTTP/2 header list.
const HEADER_LIST: u32 = 16 * 1024;
/// HTTP/2 streams on one connection, as the API server allows.
const STREAMS: u32 = 100;
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

/// The answer over the limit, without any machinery behind it.
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: application/problem+json\r\nx-content-type-options: nosniff\r\nretry-after: 5\r\ncontent-length: 143\r\n\
    connection: close\r\n\r\n\
    {\"type\":\"urn:rollcast:problem:unavailable\",\"title\":\"Unavailable\",\"status\":503,\
    \"detail\":\"too many connections to this replica; try again later\"}";

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

/// How to serve.
#[derive(Clone, Debug)]
pub struct Serving {
    /// Open connections at a time; more are answered 503 and closed.
    pub max_connections: usize,
    /// When to close.
    pub closes: Closes,
    /// How long a client may take nothing of what it is sent; then it is gone, or might as well be,
    /// and its answer is ended. A viewer resumes by its last id.
    pub stall: Duration,
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
        bound: serving.stall,
        metrics: serving.metrics.clone(),
    };
    let server = Arc::new(Server {
        router,
        builder: builder(streams),
        metrics: serving.metrics,
        closes: serving.closes,
        stall: serving.stall,
        shutdown,
    });
    let places = Arc::new(Semaphore::new(serving.max_connections));
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
        match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => {
                let server = Arc::clone(&server);
                connections.spawn(async move {
                    server.serve(stream, peer).await;
                    drop(place);
                });
            }
            Err(_) => {
                if let Some(metrics) = &server.metrics {
                    metrics.connections_refused.add(1);
                }
                if let Ok(place) = Arc::clone(&refusals).try_acquire_owned() {
                    connections.spawn(async move {
                        let _ = tokio::time::timeout(REFUSAL, refuse(stream)).await;
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

async fn refuse(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(BUSY).await?;
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
    stall: Duration,
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
        if let Err(error) = prepare(&stream, self.stall) {
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
        let asked = AtomicBool::new(false);
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let stall = Stall::default();
        let socket = TokioIo::new(Watched::new(stream, stall.clone()));
        let service = service_fn(|request: Request<Incoming>| {
            asked.store(true, Ordering::Relaxed);
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            let (mut router, stall) = (self.router.clone(), stall.clone());
            async move {
                // Asked here, inside the task of an HTTP/2 stream.
                let watched = stall.for_request();
                request.extensions_mut().insert(watched.stall.clone());
                let answer = router.call(request).await.unwrap_or_else(|never| match never {});
                Ok::<_, Infallible>(answer.map(|body| Taken::new(body, watched)))
            }
        });
        let mut connection = std::pin::pin!(self.builder.serve_connection(socket, service));
        let mut closing = std::pin::pin!(self.closing().fuse());
        let mut late = std::pin::pin!(tokio::time::sleep(FIRST_REQUEST).fuse());
        let mut cut = std::pin::pin!(self.shutdown.cut());
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::trace!(%error, "connection ended");
                    }
                    return;
                }
                // Finishes what is open, takes nothing new.
                () = &mut closing => connection.as_mut().graceful_shutdown(),
                () = &mut late => if !asked.load(Ordering::Relaxed) { return },
                () = &mut cut, if self.closes == Closes::WhenDraining => return,
                () = self.shutdown.stopped() => return,
            }
        }
    }
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
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(PROBE).with_interval(PROBE / 2))?;
    #[cfg(target_os = "linux")]
    {
        socket.set_tcp_user_timeout(Some(stall))?;
        socket.set_tcp_notsent_lowat(UNSENT)?;
    }
    Ok(())
}

fn builder(streams: Streams) -> auto::Builder<Streams> {
    let mut builder = auto::Builder::new(streams);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(NEXT_REQUEST)
        .max_buf_size(BUFFER)
        .max_headers(HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PROBE)
        .keep_alive_timeout(PROBE)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEADER_LIST)
        .max_pending_accept_reset_streams(RESETS)
        .max_send_buf_size(BUFFER);
    builder
}

#[cfg(test)]
mod tests;
