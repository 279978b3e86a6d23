//! `rollcast follow` before answers that no server should give. What is looked for is a false green: a
//! status of 0, or a line that says so, without a verdict that does.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use futures_util::stream::{self, Stream};
use http::{StatusCode, Uri, header};
use rollcast::app;
use rollcast::client::{Mode, Pins, Pipes, Plan, Reach, Token, Wanted};
use rollcast::ids::{Kind, WorkloadId};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::follow_cli::followed;
use crate::program::rollcast;

/// The status that each case comes to.
const CASES: [(&str, u8); 41] = [
    ("good", 0),
    ("stream says good, verdict says bad", 1),
    ("stream says bad, verdict says good", 0),
    ("timed_out", 1),
    ("deleted", 1),
    ("superseded", 4),
    ("unknown", 5),
    ("exploded", 1),
    ("over", 1),
    ("over, and no verdict", 5),
    ("over, and it still runs", 3),
    ("cut after each hello", 3),
    ("cut before each hello", 5),
    ("cut, then over", 1),
    ("silent", 5),
    ("silent after hello", 5),
    ("a page for a stream", 5),
    ("a page for a verdict", 5),
    ("no JSON", 5),
    ("a verdict that is cut in the middle", 5),
    ("a verdict that is cut at its end", 5),
    ("a verdict that is endless", 5),
    ("a verdict about another workload", 5),
    ("failed but 200", 5),
    ("succeeded but 424", 5),
    ("succeeded but 503", 5),
    ("succeeded but 202", 5),
    ("no content for a verdict", 5),
    ("limited", 5),
    ("unauthorized", 2),
    ("forbidden by a page", 2),
    ("absent", 2),
    ("absent once told", 2),
    ("no stream, and it is good", 0),
    ("no stream, and it is bad", 1),
    ("an id that is refused", 0),
    ("forbidden by a page in the middle", 0),
    ("bad request", 2),
    ("redirect", 2),
    ("absent once", 0),
    ("unavailable thrice", 0),
];

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";
const HELLO: &str =
    "event: hello\nid: abcdef-1-9\ndata: {\"epoch\":\"abcdef\",\"heartbeat_ms\":10000}\n\n";

fn ended(outcome: &str) -> String {
    format!(
        "{{\"outcome\":\"{outcome}\",\"workload\":\"shop/deployment/web\",\"revision\":\"2\",\
         \"ready\":1,\"desired\":1}}"
    )
}

fn told(outcome: &str) -> String {
    format!("{HELLO}event: result\nid: abcdef-2-9\ndata: {}\n\n", ended(outcome))
}

fn answer(status: u16, media: &str, body: impl Into<Body>) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    (status, [(header::CONTENT_TYPE, media)], body.into()).into_response()
}

fn problem(status: u16, name: &str) -> Response {
    let body = format!("{{\"type\":\"urn:rollcast:problem:{name}\",\"detail\":\"as it is\"}}");
    answer(status, "application/problem+json", body)
}

fn page(status: u16) -> Response {
    answer(status, "text/html", "<!doctype html><title>Sign in</title>")
}

fn first(text: String) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static {
    stream::iter([Ok(Bytes::from(text))])
}

/// The connection breaks behind this, a while later: else nothing of it would have left before.
fn cut(text: String) -> Body {
    let broken = stream::once(async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Err(std::io::Error::other("broken"))
    });
    Body::from_stream(first(text).map(|part| part.map_err(std::io::Error::other)).chain(broken))
}

/// Nothing comes behind this, and no end.
fn held(text: &str) -> Body {
    Body::from_stream(first(text.to_owned()).chain(stream::pending()))
}

fn stream_of(case: &str, number: usize, has_id: bool) -> Response {
    let events = |body: Body| answer(200, EVENTS, body);
    match case {
        "stream says bad, verdict says good" => events(told("failed").into()),
        "over" | "over, and no verdict" | "over, and it still runs" => {
            StatusCode::NO_CONTENT.into_response()
        }
        "cut after each hello" => events(cut(HELLO.to_owned())),
        "cut before each hello" => events(cut(String::new())),
        "cut, then over" if number == 1 => events(cut(HELLO.to_owned())),
        "cut, then over" => StatusCode::NO_CONTENT.into_response(),
        "silent" => events(held("")),
        "silent after hello" if number == 1 => events(held(HELLO)),
        "silent after hello" => problem(503, "unavailable"),
        "a page for a stream" => page(200),
        "limited" => problem(429, "limited"),
        "unauthorized" => problem(401, "unauthorized"),
        "forbidden by a page" => page(403),
        "absent" => problem(404, "not_found"),
        "absent once" if number == 1 => problem(404, "not_found"),
        "bad request" => problem(400, "bad_request"),
        "no stream, and it is good" | "no stream, and it is bad" => problem(403, "forbidden"),
        "an id that is refused" | "forbidden by a page in the middle" if number == 1 => {
            events(cut(HELLO.to_owned()))
        }
        "forbidden by a page in the middle" if number < 5 => page(403),
        "an id that is refused" if has_id => problem(400, "bad_request"),
        "redirect" => {
            (StatusCode::FOUND, [(header::LOCATION, "http://elsewhere.example/")]).into_response()
        }
        "unavailable thrice" if number < 4 => problem(503, "unavailable"),
        _ => events(told("succeeded").into()),
    }
}

fn verdict_of(case: &str, number: usize) -> Response {
    let good = ended("succeeded");
    let bad = |outcome: &str| answer(424, JSON, ended(outcome));
    match case {
        "stream says good, verdict says bad" | "over" | "cut, then over" => bad("failed"),
        "timed_out" | "deleted" | "superseded" | "unknown" | "exploded" => bad(case),
        "over, and it still runs" => problem(429, "running"),
        "a page for a verdict" => page(200),
        "no JSON" => answer(200, JSON, "RESULT outcome=succeeded rollout=shop/deployment/web\n"),
        "a verdict that is cut in the middle" => answer(200, JSON, cut(good[..40].to_owned())),
        "a verdict that is cut at its end" => answer(200, JSON, cut(good)),
        "a verdict that is endless" => answer(200, JSON, good + &" ".repeat(4 << 20)),
        "a verdict about another workload" => answer(200, JSON, good.replace("web", "pay")),
        "failed but 200" => answer(200, JSON, ended("failed")),
        "succeeded but 424" => answer(424, JSON, good),
        "succeeded but 503" => answer(503, JSON, good),
        "succeeded but 202" => answer(202, JSON, good),
        "no content for a verdict" => StatusCode::NO_CONTENT.into_response(),
        "absent once told" | "absent" => problem(404, "not_found"),
        "unauthorized" => problem(401, "unauthorized"),
        "forbidden by a page" => page(403),
        "redirect" => {
            (StatusCode::FOUND, [(header::LOCATION, "http://elsewhere.example/")]).into_response()
        }
        "no stream, and it is bad" if number == 1 => problem(429, "running"),
        "no stream, and it is bad" => bad("failed"),
        "limited" => problem(429, "limited"),
        "unavailable thrice" if number >= 4 => answer(200, JSON, good),
        "over, and no verdict"
        | "silent"
        | "silent after hello"
        | "a page for a stream"
        | "cut before each hello"
        | "cut after each hello"
        | "unavailable thrice" => problem(503, "unavailable"),
        _ => answer(200, JSON, good),
    }
}

/// A server that answers as the case has it.
fn server(case: &'static str) -> Router {
    let counts = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    Router::new().fallback(move |uri: Uri, headers: http::HeaderMap| {
        let has_id = headers.contains_key("last-event-id");
        let is_verdict = uri.path().ends_with("/verdict");
        let number = counts[usize::from(is_verdict)].fetch_add(1, Ordering::Relaxed) + 1;
        let answered =
            if is_verdict { verdict_of(case, number) } else { stream_of(case, number, has_id) };
        std::future::ready(answered)
    })
}

#[tokio::test(start_paused = true)]
async fn no_answer_but_the_right_verdict_is_a_success() {
    let mut wrong = Vec::new();
    for (case, code) in CASES {
        let (pipes, taken) = Pipes::new();
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        tracker.spawn(app::listen(taken, server(case), tracker.clone(), stop.clone()));
        let plan = Plan {
            workloads: vec![WorkloadId::new("shop", Kind::Deployment, "web")],
            pins: Pins::default(),
            wanted: Wanted::default(),
            timeout: Some(Duration::from_secs(900)),
            patience: Duration::from_secs(60),
            seed: 3,
            stop: tokio_util::sync::CancellationToken::new(),
        };
        let reach = Reach::memory(pipes, Token::None, tracker.clone());
        let (exit, text, summary) = followed(&plan, reach, Mode::Lines).await;
        stop.cancel();
        let results: Vec<_> = text.lines().filter(|line| line.starts_with("RESULT ")).collect();
        let says_good = text.contains("RESULT outcome=succeeded") || summary.contains('✅');
        if exit.code() != code || results.len() != 1 || says_good != (code == 0) {
            wrong.push(format!("{case}: {} instead of {code}:\n{text}", exit.code()));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// A server that takes connections and answers nothing.
fn mute() -> (std::net::TcpListener, String) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

/// As process 1 of a container nothing else would end it: the kernel keeps such signals from it. A job that is
/// cancelled has its last line, too, and nothing stays open in its log.
#[test]
fn a_signal_ends_it_with_the_signals_status() {
    use std::io::{BufRead as _, Read as _};
    let (_listener, url) = mute();
    for (signal, status) in [("-TERM", 143), ("-INT", 130)] {
        let mut child = rollcast(&["follow", "deployment/web", "-n", "shop", "--server", &url])
            .env("GITLAB_CI", "true")
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // It says what it follows once it listens for signals.
        let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        while !said.contains("-- following shop/deployment/web") {
            assert!(out.read_line(&mut said).unwrap() > 0, "{said}");
        }
        let mut kill = std::process::Command::new("kill");
        assert!(kill.args([signal, &child.id().to_string()]).status().unwrap().success());
        let ended = child.wait().unwrap();
        assert_eq!(ended.code(), Some(status), "{signal}: {ended:?}");
        out.read_to_string(&mut said).unwrap();
        let last = "RESULT outcome=unknown rollout=shop/deployment/web reason=stopped";
        assert_eq!(said.lines().last(), Some(last), "{said}");
        assert!(said.contains("section_start:") && said.contains("section_end:"), "{said}");
        assert!(said.contains("STOPPED: by a signal; the rollout itself goes on"), "{said}");
    }
}

#[test]
fn a_token_file_that_is_of_no_use_is_said_at_once() {
    let (_listener, url) = mute();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let none = folder.path().join("none").to_str().unwrap().to_owned();
    for (path, words) in [
        (none, "No such file"),
        (file("empty", "\n"), "it is empty"),
        (file("two", "a\nb\n"), "more than one token"),
        (file("long", &"a".repeat(70_000)), "too long"),
    ] {
        let arguments = ["follow", "deployment/web", "-n", "shop", "--server", &url];
        let output = rollcast(&arguments).args(["--token-file", &path]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{path}: {said}");
        assert!(said.contains(words) && said.contains(&path), "{path}: {said}");
    }
}
