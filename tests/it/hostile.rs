//! Requests that nobody should send, by the table: none may end in a panic or an error of ours, none
//! may be let in, and each is told what is wrong in the form that all errors have.

use std::time::Duration;

use axum::body::Body;
use http::{Method, Request, Response};
use rollcast::http::serve::{Bounds, Closes, Serving, listen, run};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tower::ServiceExt as _;

use crate::world::{STREAM, World, web};

const ROLLOUT: &str = "/api/v1/namespaces/shop/deployment/web/rollout";
const LIST: &str = "/api/v1/workloads";
const LOGS: &str = "/api/v1/namespaces/shop/deployment/web/logs";
const NAMESPACE: &str = "/api/v1/namespaces/shop/stream";
const ENDPOINTS: [&str; 5] = [STREAM, ROLLOUT, LIST, LOGS, NAMESPACE];

/// One request: where to, with which headers (values may hold any byte a header can), and which
/// statuses are right.
struct Case {
    method: Method,
    path: String,
    headers: Vec<(&'static str, Vec<u8>)>,
    right: &'static [u16],
}

fn case(path: impl Into<String>, headers: &[(&'static str, &str)], right: &'static [u16]) -> Case {
    let headers = headers.iter().map(|(name, value)| (*name, value.as_bytes().to_vec()));
    Case { method: Method::GET, path: path.into(), headers: headers.collect(), right }
}

/// Sends it, and checks what every refusal has; what no URI can hold was refused already.
async fn refused(world: &World, case: &Case) -> bool {
    let mut request = Request::builder().method(case.method.clone()).uri(&case.path);
    for (name, value) in &case.headers {
        request = request.header(*name, value.as_slice());
    }
    let Ok(request) = request.body(Body::empty()) else { return false };
    let answer: Response<Body> = world.router.clone().oneshot(request).await.unwrap();
    let shown = format!("{} {:.200} {:.200?}", case.method, case.path, case.headers);
    let status = answer.status().as_u16();
    assert!(case.right.contains(&status), "{shown}: {status}");
    let headers = answer.headers().clone();
    assert_eq!(headers["x-content-type-options"], "nosniff", "{shown}");
    assert_eq!(headers["content-type"], "application/problem+json", "{shown}");
    assert!(!headers.contains_key("location"), "{shown}");
    let body = axum::body::to_bytes(answer.into_body(), 16 << 10).await.unwrap();
    if case.method != Method::HEAD {
        assert!(body.iter().all(|byte| *byte >= b' '), "{shown}: control characters");
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert!(problem["type"].as_str().unwrap().starts_with("urn:rollcast:problem:"), "{shown}");
        assert_eq!(problem["status"], status, "{shown}");
        assert_eq!(problem["request_id"], headers["x-request-id"].to_str().unwrap(), "{shown}");
    }
    true
}

async fn all_refused(world: &World, cases: Vec<Case>) -> usize {
    let mut count = 0;
    for case in &cases {
        count += usize::from(refused(world, case).await);
    }
    count
}

const LOCAL: (&str, &str) = ("host", "localhost:8080");

#[tokio::test(start_paused = true)]
async fn a_server_without_login_refuses_other_names_and_other_sites_everywhere() {
    let world = World::new(31);
    world.synced().await;
    let mut cases = Vec::new();
    let credentials: [&[(&str, &str)]; 4] = [
        &[],
        &[("cookie", "session=x")],
        &[("authorization", "Bearer x")],
        &[("cookie", "session=x"), ("authorization", "Bearer x")],
    ];
    for endpoint in ENDPOINTS {
        for host in [
            "evil.example",
            "localhost.evil.example",
            "evil.example:8080",
            "127.0.0.1.nip.io",
            "127.0.0.1.",
            "2130706433",
            "0x7f.1",
            "0.0.0.0",
            "[::]",
            "10.0.0.1",
            "169.254.169.254",
            "localhost@evil.example",
            "localhost evil.example",
            "localhost, evil.example",
            "localhost/evil",
            "",
        ] {
            cases.push(case(endpoint, &[("host", host)], &[403]));
            cases.push(case(endpoint, &[LOCAL, ("host", host)], &[403]));
        }
        for credential in credentials {
            for origin in [
                "https://evil.example",
                "http://localhost.evil.example",
                "http://localhost@evil.example",
                "http://127.0.0.1.nip.io",
                "null",
                "file://",
                "about:blank",
                "",
                "http://localhost, https://evil.example",
            ] {
                let headers = [&[LOCAL, ("origin", origin)], credential].concat();
                cases.push(case(endpoint, &headers, &[403]));
            }
            for site in
                ["cross-site", "same-site", "CROSS-SITE", "same-origin, cross-site", "x", ""]
            {
                let headers = [&[LOCAL, ("sec-fetch-site", site)], credential].concat();
                cases.push(case(endpoint, &headers, &[403]));
            }
        }
        let absolute = format!("http://evil.example{endpoint}");
        cases.push(case(absolute, &[LOCAL], &[403]));
    }
    let count = all_refused(&world, cases).await;
    assert!(count > 250, "{count}");
}

#[tokio::test(start_paused = true)]
async fn paths_queries_and_methods_that_make_no_sense_are_refused() {
    let world = World::new(32);
    world.sim.apply(web(1, 1.0, None));
    world.synced().await;
    let mut cases = Vec::new();
    let long = "a".repeat(300);
    for name in [
        "..",
        "%2e%2e",
        "%2E%2e%2f%2e%2e",
        "a%2fb",
        "a%252fb",
        "%00",
        "web%00",
        "%0d%0aset-cookie:x",
        "%ff%fe",
        "%c0%ae",
        "%ed%a0%80",
        "%1b%5b31m",
        "%e2%80%ae",
        "WEB",
        "web%20",
        "%20web",
        "*",
        "web;x=1",
        "web.",
        ".web",
        "-",
        "%F0%9F%92%A9",
        "%3Cscript%3E",
        "..%5c..",
        "web%3Ftail=1",
        &long,
    ] {
        for verb in ["stream", "rollout"] {
            let api = "/api/v1/namespaces";
            cases.push(case(format!("{api}/{name}/deployment/web/{verb}"), &[LOCAL], &[400, 404]));
            cases.push(case(format!("{api}/shop/{name}/web/{verb}"), &[LOCAL], &[400, 404]));
            cases.push(case(format!("{api}/shop/deployment/{name}/{verb}"), &[LOCAL], &[400, 404]));
        }
        cases.push(case(format!("/{name}/api"), &[LOCAL], &[400, 404]));
    }
    for path in ["//", "/api", "/api/v1", "/api/v2/workloads", "/api/v1/namespaces///stream", "/x"]
    {
        cases.push(case(path, &[LOCAL], &[404]));
    }
    let many = "a=1&".repeat(2_000);
    for (name, values) in [
        ("tail", &["-1", "+1", "1.5", "1e3", "0x10", "", "%00", "99999999999999999999", "١"][..]),
        (
            "since",
            &[
                "",
                "-1h",
                "1",
                "h",
                "1y",
                "99999999999999999999d",
                "now",
                "2026-13-01T00:00:00Z",
                "2026-11-22T14:02:38",
                "%0a",
                "rollout%00",
                "1h1h",
            ],
        ),
        ("logs", &["", "ALL", "all,new", "%61ll%00", "none;"]),
        ("format", &["", "xml", "SSE", "text/plain", "sse,text", "%0d%0a"]),
        ("container", &["", "a/b", "..", "a%00", "a%20b", &long, "%E2%80%AE", "a_b"]),
        (
            "last_event_id",
            &[
                "-1",
                "a-1-2",
                "aaaaaa-1",
                "aaaaaa--1-2",
                "aaaaaa-1-2-3-4",
                "AAAAAA-1-2",
                "aaaaaa-18446744073709551616-0",
                "aaaaaa-1-x",
                "%00",
                "a%0ab-1-2",
                "aaaaaa-1-2%20",
            ],
        ),
        ("until", &["", "result2", "NEVER", "never,result"]),
        ("access_token", &["", "x"]),
        ("token", &["x"]),
        ("%74oken", &["x"]),
        ("nonsense", &["1"]),
        ("", &["1"]),
        ("tail%00", &["1"]),
    ] {
        for value in values {
            cases.push(case(format!("{STREAM}?{name}={value}"), &[LOCAL], &[400]));
        }
        cases.push(case(format!("{STREAM}?{name}=1&{name}=1"), &[LOCAL], &[400]));
    }
    cases.push(case(format!("{STREAM}?{many}"), &[LOCAL], &[400]));
    cases.push(case(format!("{STREAM}?tail=1&since=1h"), &[LOCAL], &[400]));
    for query in [
        "limit=0",
        "limit=-1",
        "limit=1001",
        "limit=x",
        "limit=",
        "next=",
        "next=a",
        "next=a/b",
        "next=a/gizmo/b",
        "x=1",
        "token=x",
    ] {
        cases.push(case(format!("{LIST}?{query}"), &[LOCAL], &[400]));
    }
    for id in
        ["-1", "x", "a\tb", "aaaaaa-1-2, aaaaaa-1-3", "\u{e9}", "aaaaaa-18446744073709551616-0"]
    {
        cases.push(case(STREAM, &[LOCAL, ("last-event-id", id)], &[400]));
    }
    // Too long for a head is said before anybody looks at it.
    let huge = "1".repeat(64 << 10);
    cases.push(case(STREAM, &[LOCAL, ("last-event-id", &huge)], &[400, 431]));
    cases.push(case(STREAM, &[LOCAL, ("last-event-id", &huge[..20_000])], &[400]));
    for accept in
        ["image/png", "text/html", "application/json", "x", "text", "text/event-stream;q=0"]
    {
        cases.push(case(STREAM, &[LOCAL, ("accept", accept)], &[406]));
    }
    for endpoint in ENDPOINTS {
        for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE", "BREW", "get"] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            cases.push(Case { method, ..case(endpoint, &[LOCAL], &[405]) });
        }
        let body = [LOCAL, ("content-length", "65537")];
        cases.push(Case { method: Method::POST, ..case(endpoint, &body, &[413]) });
        for size in [33_000, 60_000] {
            let cookie = "x".repeat(size);
            cases.push(case(endpoint, &[LOCAL, ("cookie", &cookie)], &[431]));
        }
    }
    let count = all_refused(&world, cases).await;
    assert!(count > 250, "{count}");
}

#[tokio::test(start_paused = true)]
async fn whatever_is_no_token_for_us_is_nobody() {
    let world = World::with_tokens(33);
    world.synced().await;
    let long = format!("Bearer {}", "x".repeat(17_000));
    let huge = format!("Bearer {}", "x".repeat(1 << 20));
    // {"alg":"none"}, and one that says who it is.
    let unsigned = "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.";
    let mut cases = Vec::new();
    for endpoint in ENDPOINTS {
        for value in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer  ",
            "bearer x y",
            "Bearer a,b",
            "Bearer \"a\"",
            "Bearer x;",
            "Bearer \u{e9}",
            "Basic YTpi",
            "Digest x",
            "Negotiate x",
            "x",
            unsigned,
            "Bearer null",
            "Bearer undefined",
            "Bearer ../../etc/passwd",
            "Bearer system:admin",
            &long,
        ] {
            cases.push(case(endpoint, &[("authorization", value)], &[400, 401]));
            let headers = [("authorization", value), ("x-remote-user", "admin")];
            cases.push(case(endpoint, &headers, &[400, 401]));
        }
        cases.push(case(endpoint, &[("authorization", &huge)], &[431]));
        for header in ["cookie", "x-forwarded-user", "impersonate-user", "proxy-authorization"] {
            cases.push(case(endpoint, &[(header, "admin")], &[401]));
        }
        let twice = [("authorization", "Bearer a"), ("authorization", "Bearer b")];
        cases.push(case(endpoint, &twice, &[400]));
    }
    let count = all_refused(&world, cases).await;
    assert!(count > 120, "{count}");
}

/// Sends bytes as they are, closes its side if told to, and gives what comes back.
async fn raw(address: std::net::SocketAddr, bytes: &[u8], half_close: bool) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    // The server may have answered and closed before it took all.
    let _ = socket.write_all(bytes).await;
    if half_close {
        let _ = socket.shutdown().await;
    }
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), socket.read_to_end(&mut answer));
    // A reset is an end, too.
    drop(read.await.expect("the connection ends"));
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn bytes_that_are_no_request_end_their_connection_and_no_other() {
    let world = World::new(34);
    world.synced().await;
    let listener = listen("127.0.0.1:0".parse().unwrap(), "--listen").unwrap();
    let address = listener.local_addr().unwrap();
    let head = Duration::from_secs(1);
    let bounds = Bounds { head, idle: head, ..Bounds::default() };
    let metrics = Some(world.metrics.clone());
    let serving = Serving { bounds, closes: Closes::WhenDraining, metrics };
    let serving = run(listener, world.router.clone(), serving, world.shutdown.clone());
    let get = |headers: &str| format!("GET {LIST} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n");
    let many: String = (0..65).map(|n| format!("x-{n}: 1\r\n")).collect();
    let x = |count: usize| "x".repeat(count);
    let asking = async {
        let mut wrong = Vec::new();
        for (bytes, right) in [
            (get("host: evil.example\r\n"), &["403"][..]),
            (
                format!("GET http://evil.example{LIST} HTTP/1.1\r\nhost: localhost\r\n\r\n"),
                &["403"],
            ),
            (format!("GET {LIST} HTTP/1.1\r\n\r\n"), &["400", "403"]),
            (format!("GET {LIST} HTTP/1.0\r\n\r\n"), &["403"]),
            (get("x: a\0b\r\n"), &["400"]),
            (get("x: a\rb\r\n"), &["400"]),
            (get("x : a\r\n"), &["400"]),
            (get("x\r\n"), &["400"]),
            (get(" folded\r\n"), &["400"]),
            (get(": a\r\n"), &["400"]),
            (get("last-event-id: a\0b\r\n"), &["400"]),
            (get(&many), &["431"]),
            (get(&format!("cookie: {}\r\n", x(40_000))), &["431"]),
            (get(&format!("cookie: {}\r\n", x(200_000))), &["431"]),
            (get("content-length: 1\r\ncontent-length: 2\r\n"), &["400"]),
            (get("content-length: -1\r\n"), &["400"]),
            (get("content-length: 99999999999999999999\r\n"), &["400", "413"]),
            (get("content-length: 65537\r\n"), &["413"]),
            // The chunks count, and the connection ends with the answer, so nothing can be smuggled
            // behind it (RFC 9112, 6.1).
            (
                get("content-length: 3\r\ntransfer-encoding: chunked\r\n")
                    .replace("\r\n\r\n", "\r\n\r\n0\r\n\r\n"),
                &["200"],
            ),
            (get("transfer-encoding: gzip\r\n"), &["400", "501"]),
            // A body that does not say how long it is, too long for a list.
            (
                format!(
                    "POST /api/v1/stream HTTP/1.1\r\nhost: localhost\r\n\
                     content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n\
                     11000\r\n{}\r\n0\r\n\r\n",
                    x(0x11000)
                ),
                &["413"],
            ),
            (format!("GET /{} HTTP/1.1\r\nhost: localhost\r\n\r\n", x(9_000)), &["400", "414"]),
            (format!("GET /{} HTTP/1.1\r\nhost: localhost\r\n\r\n", x(90_000)), &["414", "431"]),
            (format!("{} / HTTP/1.1\r\nhost: localhost\r\n\r\n", x(5_000)), &["405", "400", "404"]),
            ("GET  / HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned(), &["400"]),
            ("GET / HTTP/9.9\r\nhost: localhost\r\n\r\n".to_owned(), &["400"]),
            ("GET relative HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned(), &["403"]),
            (
                "CONNECT evil.example:443 HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned(),
                &["403", "404"],
            ),
            ("nonsense\r\n\r\n".to_owned(), &["400"]),
            // Nothing to answer: cut, and never served.
            ("GET / HT".to_owned(), &[""]),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnonsense".to_owned(), &["", "\0"]),
        ] {
            for half_close in [false, true] {
                // Over one connection each, which an answer that is kept open would hang.
                let answer = raw(address, bytes.as_bytes(), half_close).await;
                let status = answer.strip_prefix("HTTP/1.1 ").or(answer.strip_prefix("HTTP/1.0 "));
                let status = status.map_or_else(
                    || answer.chars().take(1).collect::<String>(),
                    |rest| rest.chars().take(3).collect(),
                );
                // Half closed, hyper may leave without a word.
                let right = right.contains(&status.as_str()) || half_close && status.is_empty();
                if !right {
                    wrong.push(format!("{bytes:.100?} {half_close}: {status:?} {answer:.60?}"));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        let tls = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
        raw(address, tls, false).await;
        raw(address, &(0..=255).cycle().take(4096).collect::<Vec<u8>>(), false).await;
        let good = raw(address, get("connection: close\r\n").as_bytes(), false).await;
        assert!(good.starts_with("HTTP/1.1 200"), "{good:.200}");
        world.shutdown.stop();
    };
    tokio::join!(serving, asking);
    // Each twice: by its length, and as it came.
    let bodies = "rollcast_limits_reached_total{limit=\"request_body\"}";
    assert_eq!(world.exposition.value(bodies), Some(4.0));
    assert_eq!(world.exposition.value("rollcast_task_panics_total{room=\"http\"}"), None);
}
