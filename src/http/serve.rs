//! The accept loop.
//!
//! axum's own has no deadline for the first request, no bound on connections, and no end for a
//! graceful shutdown; this one has. Every constant says what it protects.

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
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tower::Service as _;

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
/// A peer that acknowledges nothing for so long is gone; the stream's viewer resumes elsewhere.
const USER_TIMEOUT: Duration = Duration::from_secs(30);
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
    content-type: application/problem+json\r\nretry-after: 5\r\ncontent-length: 143\r\n\
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
    let server = Arc::new(Server {
        router,
        builder: builder(),
        metrics: serving.metrics,
        closes: serving.closes,
        shutdown,
    });
    let connections = TaskTracker::new();
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
    builder: auto::Builder<TokioExecutor>,
    metrics: Option<Arc<Metrics>>,
    closes: Closes,
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
        if let Err(error) = prepare(&stream) {
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
        let service = service_fn(|request: Request<Incoming>| {
            asked.store(true, Ordering::Relaxed);
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            let mut router = self.router.clone();
            async move { Ok::<_, Infallible>(router.call(request).await.unwrap_or_else(|e| match e {})) }
        });
        let mut connection =
            std::pin::pin!(self.builder.serve_connection(TokioIo::new(stream), service));
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

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(PROBE).with_interval(PROBE / 2))?;
    #[cfg(target_os = "linux")]
    {
        socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
        socket.set_tcp_notsent_lowat(UNSENT)?;
    }
    Ok(())
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
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
mod tests {
    use axum::routing::get;
    use futures_util::stream;

    use super::*;
    use crate::shutdown::Timing;
    use crate::telemetry::Exposition;

    struct Running {
        address: SocketAddr,
        shutdown: Shutdown,
        exposition: Exposition,
        task: tokio::task::JoinHandle<()>,
    }

    #[allow(clippy::disallowed_methods, reason = "the test joins it")]
    fn start(max_connections: usize, delay: Duration, window: Duration) -> Running {
        let (metrics, exposition) = Metrics::readable();
        let listener = listen("127.0.0.1:0".parse().unwrap(), "--listen").unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = Shutdown::new(Timing { delay, window });
        let routes = Router::new().route("/", get(async || "hello")).route(
            "/stream",
            get(async || {
                let first = stream::iter([Ok::<_, Infallible>("first\n")]);
                Body::from_stream(stream::StreamExt::chain(first, stream::pending()))
            }),
        );
        let serving = Serving {
            max_connections,
            closes: Closes::WhenDraining,
            metrics: Some(Arc::new(metrics)),
        };
        let task = tokio::spawn(run(listener, routes, serving, shutdown.clone()));
        Running { address, shutdown, exposition, task }
    }

    async fn ask(stream: &mut TcpStream, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"hello") && !answer.ends_with(b"first\n\r\n") {
            let mut part = [0; 1024];
            let count = stream.read(&mut part).await.unwrap();
            assert!(count > 0, "closed after {:?}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&part[..count]);
        }
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test]
    async fn a_connection_over_the_limit_is_told_so_and_closed() {
        let server = start(1, Duration::ZERO, Duration::ZERO);
        let mut first = TcpStream::connect(server.address).await.unwrap();
        assert!(ask(&mut first, "/").await.contains("200 OK"));
        let mut second = TcpStream::connect(server.address).await.unwrap();
        second.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        second.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 503"), "{head}");
        assert!(head.contains(&format!("content-length: {}", body.len())), "{head} {}", body.len());
        serde_json::from_str::<serde_json::Value>(body).unwrap();
        assert_eq!(server.exposition.value("rollcast_connections_refused_total"), Some(1.0));
        assert_eq!(server.exposition.value("rollcast_connections"), Some(1.0));
        server.shutdown.stop();
        server.task.await.unwrap();
        assert_eq!(server.exposition.value("rollcast_connections"), Some(0.0));
    }

    #[tokio::test]
    async fn http2_without_tls_is_spoken_and_told_to_go_away_when_draining() {
        let server = start(1, Duration::ZERO, Duration::from_secs(3600));
        let stream = TcpStream::connect(server.address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .unwrap();
        let asking = async {
            // Two requests on one connection, which is all that the limit allows.
            for _ in 0..2 {
                let request = Request::get("http://x/").body(Body::empty()).unwrap();
                let answer = sender.send_request(request).await.unwrap();
                assert_eq!(
                    (answer.status(), answer.version()),
                    (http::StatusCode::OK, http::Version::HTTP_2)
                );
            }
            server.shutdown.drain();
        };
        let (_, ended) = tokio::join!(asking, connection);
        ended.unwrap();
        server.task.await.unwrap();
    }

    #[tokio::test]
    async fn draining_refuses_new_connections_and_cuts_streams_at_the_end() {
        let server = start(10, Duration::ZERO, Duration::ZERO);
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        assert!(ask(&mut stream, "/stream").await.contains("first"));
        server.shutdown.drain();
        // The stream is still open until its time is over; then everything is closed.
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        server.task.await.unwrap();
        TcpStream::connect(server.address).await.unwrap_err();
    }

    #[tokio::test]
    async fn an_idle_connection_is_closed_when_draining_begins() {
        let server = start(10, Duration::ZERO, Duration::from_secs(3600));
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        ask(&mut stream, "/").await;
        server.shutdown.drain();
        let mut rest = Vec::new();
        assert_eq!(stream.read_to_end(&mut rest).await.unwrap(), 0);
        // Nothing is open any more, so the window of an hour is not waited for.
        server.task.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_asks_nothing_is_cut() {
        let server = start(10, Duration::ZERO, Duration::ZERO);
        let mut silent = TcpStream::connect(server.address).await.unwrap();
        // Half of HTTP/2's preface is no request either.
        let mut half = TcpStream::connect(server.address).await.unwrap();
        half.write_all(b"PRI * HTTP/2").await.unwrap();
        let mut rest = Vec::new();
        assert_eq!(silent.read_to_end(&mut rest).await.unwrap(), 0);
        // A reset, if the server closed with bytes unread, is an end as well.
        let _ = half.read_to_end(&mut rest).await;
        server.shutdown.stop();
        server.task.await.unwrap();
    }

    #[tokio::test]
    async fn all_addresses_means_ipv4_too() {
        let listener = listen("[::]:0".parse().unwrap(), "--listen").unwrap();
        let port = listener.local_addr().unwrap().port();
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    }

    #[tokio::test]
    async fn a_taken_port_is_refused_with_the_option_that_chooses_another() {
        let first = listen("127.0.0.1:0".parse().unwrap(), "--listen").unwrap();
        let error = listen(first.local_addr().unwrap(), "--admin-listen").unwrap_err().to_string();
        assert!(error.contains("--admin-listen"), "{error}");
    }
}
