use axum::routing::get;
use futures_util::stream;
use hyper_util::rt::TokioExecutor;

use super::*;
use crate::shutdown::Timing;
use crate::telemetry::Exposition;

struct Running {
    address: SocketAddr,
    shutdown: Shutdown,
    exposition: Exposition,
    task: tokio::task::JoinHandle<()>,
}

fn start(connections: usize, delay: Duration, window: Duration) -> Running {
    start_with(Bounds { connections, ..Bounds::default() }, delay, window)
}

#[allow(clippy::disallowed_methods, reason = "the test joins it")]
fn start_with(bounds: Bounds, delay: Duration, window: Duration) -> Running {
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
    let metrics = Some(Arc::new(metrics));
    let serving = Serving { bounds, closes: Closes::WhenDraining, metrics };
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
    let series = "rollcast_limits_reached_total{limit=\"connections\"}";
    assert_eq!(server.exposition.value(series), Some(1.0));
    assert_eq!(server.exposition.value("rollcast_connections"), Some(1.0));
    server.shutdown.stop();
    server.task.await.unwrap();
    assert_eq!(server.exposition.value("rollcast_connections"), Some(0.0));
}

#[tokio::test]
async fn a_head_that_dribbles_is_cut_and_idle_connections_are_not() {
    let head = Duration::from_secs(1);
    let bounds = Bounds { connections: 10, head, ..Bounds::default() };
    let server = start_with(bounds, Duration::ZERO, Duration::ZERO);
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    ask(&mut idle, "/").await;
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    ask(&mut slow, "/").await;
    let begun = tokio::time::Instant::now();
    // A byte at a time, as Slowloris does, until the server has enough.
    for byte in b"GET / HTTP/1.1\r\nhost: a-name-that-takes-for-ever\r\n".iter().cycle() {
        let sent = slow.write_all(&[*byte]).await;
        let mut part = [0; 8];
        let wait = tokio::time::timeout(Duration::from_millis(100), slow.read(&mut part)).await;
        if sent.is_err() || matches!(wait, Ok(Ok(0) | Err(_))) {
            break;
        }
        assert!(begun.elapsed() < head + Duration::from_secs(10), "still open");
    }
    assert!(begun.elapsed() >= head, "{:?}", begun.elapsed());
    let series = "rollcast_limits_reached_total{limit=\"request_head\"}";
    assert_eq!(server.exposition.value(series), Some(1.0));
    assert!(ask(&mut idle, "/").await.contains("200 OK"), "the other may go on");
    server.shutdown.stop();
    server.task.await.unwrap();
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_time() {
    let idle = Duration::from_secs(1);
    let server = start_with(Bounds { idle, ..Bounds::default() }, Duration::ZERO, Duration::ZERO);
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    ask(&mut stream, "/").await;
    let begun = tokio::time::Instant::now();
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(15), stream.read_to_end(&mut rest)).await;
    assert_eq!(closed.unwrap().unwrap(), 0);
    assert!(begun.elapsed() >= idle - Duration::from_millis(100), "{:?}", begun.elapsed());
    let series = "rollcast_limits_reached_total{limit=\"idle_connection\"}";
    assert_eq!(server.exposition.value(series), Some(1.0));
    server.shutdown.stop();
    server.task.await.unwrap();
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

/// The frames that open a stream and reset it at once (RUSTSEC-2023-0034).
fn opened_and_reset(stream: u32) -> Vec<u8> {
    let frame = |kind: u8, flags: u8, stream: u32, payload: &[u8]| {
        let length = (payload.len() as u32).to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    };
    // GET, http and / of the static table; END_STREAM and END_HEADERS; the reset says CANCEL.
    [frame(1, 5, stream, &[0x82, 0x86, 0x84]), frame(3, 0, stream, &[0, 0, 0, 8])].concat()
}

#[tokio::test]
async fn a_flood_of_http2_resets_is_ended_and_counted() {
    let server = start(10, Duration::ZERO, Duration::ZERO);
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    for number in 0..10 * RESETS as u32 {
        bytes.extend(opened_and_reset(2 * number + 1));
    }
    stream.write_all(&bytes).await.unwrap();
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(15), stream.read_to_end(&mut rest)).await;
    // Closed, or reset for what it had not read.
    let _ = ended.expect("the connection is still open");
    let series = "rollcast_limits_reached_total{limit=\"http2_flood\"}";
    server.shutdown.stop();
    server.task.await.unwrap();
    assert_eq!(server.exposition.value(series), Some(1.0));
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
