//! Clients that take nothing, on real sockets.

use std::net::SocketAddr;

use axum::Router;
use axum::routing::get;
use futures_util::stream;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use socket2::{Domain, Socket as RawSocket, Type};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::super::{Bounds, Closes, Serving, listen, run};
use super::*;
use crate::shutdown::{Shutdown, Timing};

/// How long a client may take nothing here.
const BOUND: Duration = Duration::from_secs(2);
/// For timers of the kernel, and for a busy machine.
const LEEWAY: Duration = Duration::from_secs(8);
const CHUNK: &[u8] = &[b'x'; 32 * 1024];

/// Tells, when an answer ends, whether its client had stalled.
struct Told(mpsc::Sender<bool>, Stall);

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.0.try_send(self.1.is_set());
    }
}

struct Running {
    address: SocketAddr,
    shutdown: Shutdown,
    /// One for each answer of `/flood` that ended.
    ends: mpsc::Receiver<bool>,
    task: tokio::task::JoinHandle<()>,
}

/// `/flood` sends as fast as it is taken, `/drip` a little all the time.
#[allow(clippy::disallowed_methods, reason = "the test joins it")]
fn start() -> Running {
    let listener = listen("127.0.0.1:0".parse().unwrap(), "--listen").unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = Shutdown::new(Timing { delay: Duration::ZERO, window: Duration::ZERO });
    let (sender, ends) = mpsc::channel(16);
    let flood = get(async move |stall: Stall| {
        let told = Told(sender.clone(), stall);
        Body::from_stream(stream::unfold(told, |told| async {
            Some((Ok::<_, Infallible>(Bytes::from_static(CHUNK)), told))
        }))
    });
    let drip = get(async || {
        Body::from_stream(stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Some((Ok::<_, Infallible>("drip\n"), ()))
        }))
    });
    let routes = Router::new().route("/flood", flood).route("/drip", drip);
    let bounds = Bounds { stall: BOUND, ..Bounds::default() };
    let metrics = Some(Arc::new(Metrics::noop()));
    let serving = Serving { bounds, closes: Closes::WhenDraining, metrics };
    let task = tokio::spawn(run(listener, routes, serving, shutdown.clone()));
    Running { address, shutdown, ends, task }
}

/// A socket whose kernel takes little for a program that reads nothing.
fn narrow(address: SocketAddr) -> TcpStream {
    let socket = RawSocket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&address.into()).unwrap();
    socket.set_nonblocking(true).unwrap();
    TcpStream::from_std(socket.into()).unwrap()
}

async fn ask(mut socket: TcpStream, path: &str) -> TcpStream {
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    socket
}

/// An HTTP/2 connection whose streams get this window, and the task that drives it.
#[allow(clippy::disallowed_methods, reason = "ends with its connection")]
async fn http2(
    address: SocketAddr,
    window: u32,
) -> hyper::client::conn::http2::SendRequest<http_body_util::Empty<Bytes>> {
    let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(window).initial_connection_window_size(1 << 20);
    let (sender, connection) = builder.handshake(io).await.unwrap();
    tokio::spawn(async move { drop(connection.await) });
    sender
}

fn get_request(path: &str) -> hyper::Request<http_body_util::Empty<Bytes>> {
    hyper::Request::get(format!("http://x{path}")).body(http_body_util::Empty::new()).unwrap()
}

/// Reads a body that drips until `enough` ends; gives the frames.
async fn sip(body: &mut Incoming, enough: impl Future<Output = ()>) -> usize {
    let mut frames = 0;
    let mut enough = std::pin::pin!(enough);
    loop {
        tokio::select! {
            () = &mut enough => return frames,
            frame = body.frame() => {
                frame.expect("the stream goes on").unwrap();
                frames += 1;
            }
        }
    }
}

/// The next answer of `/flood` ends because its client stalled, not before the bound and soon after.
async fn one_stalls(server: &mut Running, since: Instant) {
    let end = tokio::time::timeout(BOUND + LEEWAY, server.ends.recv()).await;
    assert_eq!(end.expect("ended in time"), Some(true), "ended as stalled");
    assert!(since.elapsed() >= BOUND, "{:?}", since.elapsed());
}

async fn stop(server: Running) {
    server.shutdown.stop();
    server.task.await.unwrap();
}

#[tokio::test]
async fn an_http1_client_that_stops_reading_is_cut_and_others_go_on() {
    let mut server = start();
    let since = Instant::now();
    let silent = ask(narrow(server.address), "/flood").await;
    let mut reader = ask(TcpStream::connect(server.address).await.unwrap(), "/drip").await;
    one_stalls(&mut server, since).await;
    // The other one was sent something meanwhile, and is sent more.
    let mut part = [0; 16 * 1024];
    for _ in 0..3 {
        assert!(reader.read(&mut part).await.unwrap() > 0);
    }
    drop(silent);
    stop(server).await;
}

#[tokio::test]
async fn an_http2_stream_whose_window_stays_closed_is_reset_and_its_neighbours_go_on() {
    let mut server = start();
    let mut sender = http2(server.address, 16 * 1024).await;
    let since = Instant::now();
    let mut unread = sender.send_request(get_request("/flood")).await.unwrap().into_body();
    let mut drip = sender.send_request(get_request("/drip")).await.unwrap().into_body();
    assert!(sip(&mut drip, one_stalls(&mut server, since)).await > 5);
    assert!(sip(&mut drip, tokio::time::sleep(BOUND)).await > 5);
    let error = loop {
        match unread.frame().await.expect("reset, never an ordinary end") {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    let reason = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    assert!(reason.contains("no longer needed"), "CANCEL: {error} {reason}");
    stop(server).await;
}

#[tokio::test]
async fn an_http2_client_that_never_opens_a_window_is_ended_too() {
    let mut server = start();
    let mut sender = http2(server.address, 0).await;
    let since = Instant::now();
    let unread = sender.send_request(get_request("/flood")).await.unwrap();
    one_stalls(&mut server, since).await;
    drop(unread);
    stop(server).await;
}

#[tokio::test]
async fn a_client_that_leaves_has_not_stalled() {
    let mut server = start();
    drop(ask(TcpStream::connect(server.address).await.unwrap(), "/flood").await);
    assert_eq!(server.ends.recv().await, Some(false));
    let mut sender = http2(server.address, 16 * 1024).await;
    drop(sender.send_request(get_request("/flood")).await.unwrap());
    assert_eq!(server.ends.recv().await, Some(false));
    stop(server).await;
}

#[tokio::test]
async fn who_takes_a_little_all_the_time_is_not_ended() {
    let mut server = start();
    let mut sender = http2(server.address, 16 * 1024).await;
    let mut body = sender.send_request(get_request("/flood")).await.unwrap().into_body();
    let since = Instant::now();
    while since.elapsed() < BOUND * 2 {
        body.frame().await.unwrap().unwrap();
        tokio::time::sleep(BOUND / 4).await;
    }
    assert!(server.ends.try_recv().is_err(), "nothing ended");
    stop(server).await;
}
