//! A stream as HTTP sees it: its first bytes and headers, methods beside GET, the end of its lifetime, and the
//! format of one JSON object a line.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::body::Body;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use rollcast::client::Exit;
use rollcast::sim::{Effect, Fault, Match};
use serde_json::Value;
use tokio::time::{Instant, timeout};

use crate::follow_cli::{before, plan, web as workload};
use crate::results::{set, settled};
use crate::world::{STREAM, World, web};

/// Nothing that waits for another program comes so early, in time that is paused.
const AT_ONCE: Duration = Duration::from_millis(5);

async fn ask(world: &World, method: Method, path: &str) -> Response<Body> {
    let request = Request::builder().method(method).uri(path).header("host", "localhost");
    world.send(request.body(Body::empty()).unwrap()).await
}

#[track_caller]
fn is_for_no_cache_and_no_buffer(headers: &HeaderMap) {
    for (name, value) in [
        ("cache-control", "no-cache, no-transform"),
        ("x-accel-buffering", "no"),
        ("x-content-type-options", "nosniff"),
        ("vary", "Accept"),
    ] {
        assert_eq!(headers.get(name).map(|it| it.to_str().unwrap()), Some(value), "{name}");
    }
    for name in ["content-encoding", "content-length", "etag"] {
        assert!(!headers.contains_key(name), "{name}");
    }
}

/// A proxy's timeouts run from here on, and a person wants to see that something is there.
#[tokio::test(start_paused = true)]
async fn the_first_bytes_wait_for_nobody() {
    for (format, content, first) in [
        ("sse", "text/event-stream", "retry: "),
        ("text", "text/plain; charset=utf-8", "shop/deployment/web  "),
    ] {
        let world = World::new(31);
        world.sim.apply(web(1, 5.0, None));
        world.synced().await;
        // Whatever the API server is asked from now on, it thinks about for half a minute.
        let slow = Effect::Delay(Duration::from_secs(30));
        world.sim.add_fault(Fault::new(Match::any(), slow));
        let begin = Instant::now();
        let answer = world.get(&format!("{STREAM}?format={format}"), &[]).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], content);
        is_for_no_cache_and_no_buffer(answer.headers());
        let mut body = answer.into_body();
        let part = timeout(AT_ONCE, body.frame()).await.expect("something comes at once");
        let part = part.unwrap().unwrap().into_data().unwrap();
        let text = std::str::from_utf8(&part).unwrap();
        assert!(text.starts_with(first) && text.ends_with('\n'), "{text:?}");
        assert!(begin.elapsed() <= AT_ONCE, "{:?}", begin.elapsed());
    }
}

/// What a monitor asks for: the same head, no body, and no place that stays taken.
#[tokio::test(start_paused = true)]
async fn head_is_the_head_of_the_answer_and_keeps_nothing() {
    let world = World::with(32, |plan| plan.streams.per_user = Some(1));
    world.sim.apply(web(1, 5.0, None));
    world.synced().await;
    for _ in 0..3 {
        let answer = ask(&world, Method::HEAD, STREAM).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "text/plain; charset=utf-8");
        is_for_no_cache_and_no_buffer(answer.headers());
        let body = timeout(AT_ONCE, answer.into_body().collect()).await.expect("it ends at once");
        assert!(body.unwrap().to_bytes().is_empty());
    }
    tokio::time::sleep(Duration::from_secs(20)).await;
    for path in ["verdict", "rollout", "rollouts"] {
        let path = STREAM.replace("/stream", &format!("/{path}"));
        let (head, whole) = (ask(&world, Method::HEAD, &path).await, world.get(&path, &[]).await);
        assert_eq!(head.status(), whole.status(), "{path}");
        assert_eq!(head.headers()["content-type"], whole.headers()["content-type"], "{path}");
        assert!(head.into_body().collect().await.unwrap().to_bytes().is_empty(), "{path}");
        assert!(!whole.into_body().collect().await.unwrap().to_bytes().is_empty(), "{path}");
    }
    let mut viewer = world.stream(STREAM, None).await;
    viewer.until("live").await;
}

#[tokio::test(start_paused = true)]
async fn options_name_the_methods_of_every_path() {
    let world = World::new(33);
    world.synced().await;
    let of_web = |what: &str| STREAM.replace("/stream", what);
    for (path, methods) in [
        (STREAM.to_owned(), "GET,HEAD"),
        (of_web("/logs"), "GET,HEAD"),
        (of_web("/rollout"), "GET,HEAD"),
        (of_web("/rollouts"), "GET,HEAD"),
        (of_web("/verdict"), "GET,HEAD"),
        ("/api/v1/namespaces/shop/stream".to_owned(), "GET,HEAD"),
        ("/api/v1/workloads".to_owned(), "GET,HEAD"),
        ("/api/v1/stream".to_owned(), "POST"),
    ] {
        let answer = ask(&world, Method::OPTIONS, &path).await;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT, "{path}");
        assert_eq!(answer.headers()["allow"], methods, "{path}");
        assert!(answer.into_body().collect().await.unwrap().to_bytes().is_empty(), "{path}");
    }
}

/// Those who came together do not go together, and who goes on behind the last id has lost nothing.
#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_its_lifetime_and_is_gone_on_with() {
    let world = World::with(34, |plan| plan.streams.lifetime = Some(Duration::from_secs(60)));
    world.sim.apply(web(1, 5.0, None));
    world.synced().await;
    let (begin, mut ends) = (Instant::now(), BTreeSet::new());
    let mut viewers = Vec::new();
    for _ in 0..20 {
        let mut viewer = world.stream(STREAM, None).await;
        viewer.until("hello").await;
        viewers.push(viewer);
    }
    let mut texts = Vec::new();
    let mut after = None;
    for viewer in &mut viewers {
        let mut heard = Vec::new();
        let bye = loop {
            let event = viewer.next().await.expect("it says bye before it ends");
            match &*event.name {
                "log" => heard.push(event.data["text"].as_str().unwrap().to_owned()),
                "bye" => break event,
                _ => {}
            }
        };
        assert_eq!(bye.data["reason"], "rotate");
        let retry = bye.data["retry_ms"].as_u64().unwrap();
        assert!((2_000..3_000).contains(&retry), "{retry}");
        assert!(viewer.next().await.is_none(), "a clean end");
        ends.insert(begin.elapsed().as_millis());
        // Of those that are read later nothing was pulled for a minute.
        if after.is_none() {
            (texts, after) = (heard, viewer.last_id.clone());
        }
    }
    assert!(texts.len() > 200, "{} lines in a minute", texts.len());
    // They are read one after another: the last one's end is exact, and those before are not later.
    let last = *ends.last().unwrap();
    assert!((54_000..=66_100).contains(&last), "{ends:?}");
    assert!(ends.len() > 1, "each has its own: {ends:?}");
    let mut next = world.stream(STREAM, after.as_deref()).await;
    assert_eq!(next.until("hello").await.data["resumed"], "exact");
    for event in next.drain_for(Duration::from_secs(10)).await {
        if event.name == "log" {
            texts.push(event.data["text"].as_str().unwrap().to_owned());
        }
    }
    let once: BTreeSet<_> = texts.iter().collect();
    assert_eq!(once.len(), texts.len(), "none twice");
    let path = STREAM.replace("/stream", "/logs?format=json&tail=1000");
    let (_, all) = world.json(&path, &[]).await;
    let kept: Vec<_> =
        all["lines"].as_array().unwrap().iter().map(|it| it["text"].as_str().unwrap()).collect();
    let begins = kept.iter().position(|text| *text == texts[0]).expect("it is kept");
    let told: Vec<_> = texts.iter().map(String::as_str).collect();
    assert!(kept[begins..].starts_with(&told), "none is missing: {} of {}", told.len(), kept.len());
}

/// Whoever follows a rollout sees nothing of the lifetimes of its streams.
#[tokio::test(start_paused = true)]
async fn a_rollout_is_followed_through_many_lifetimes() {
    let world = settled(35).await;
    set(&world, "shop/web:late");
    let short = World::around(world.sim.clone(), 36, |plan| {
        plan.streams.lifetime = Some(Duration::from_secs(4));
    });
    short.synced().await;
    let fixed = async {
        tokio::time::sleep(Duration::from_secs(40)).await;
        set(&world, "shop/web:2");
    };
    let followed = plan(vec![workload()]);
    let ((exit, text), ()) = tokio::join!(before(&short, &followed), fixed);
    assert_eq!(exit, Exit::Superseded, "{text}");
    // The first may come before there is a server.
    assert!(text.lines().skip(3).all(|line| !line.contains("no contact")), "{text}");
    let series = "rollcast_stream_duration_seconds_count{end=\"rotate\"}";
    let rotated = short.exposition.value(series);
    assert!(rotated.is_some_and(|rotated| rotated > 3.0), "{rotated:?}\n{text}");
}

fn objects(bytes: &[u8]) -> Vec<Value> {
    let lines = std::str::from_utf8(bytes).unwrap().lines();
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// For `jq` and programs: each line an object with its type, an id to go on behind, and a sign of life.
#[tokio::test(start_paused = true)]
async fn ndjson_is_a_stream_like_the_others() {
    let world = World::new(36);
    world.sim.apply(web(1, 5.0, Some(40)));
    world.synced().await;
    let read = async |path: String, span| {
        let answer = world.get(&path, &[("accept", "application/x-ndjson")]).await;
        assert_eq!(answer.headers()["content-type"], "application/x-ndjson");
        is_for_no_cache_and_no_buffer(answer.headers());
        let (mut body, mut all) = (answer.into_body(), Vec::new());
        let until = Instant::now() + span;
        while let Ok(Some(part)) = tokio::time::timeout_at(until, body.frame()).await {
            all.extend_from_slice(&part.unwrap().into_data().unwrap());
            assert!(all.ends_with(b"\n"), "no object is cut in two");
        }
        objects(&all)
    };
    let all = read(STREAM.to_owned(), Duration::from_secs(60)).await;
    let kinds: Vec<_> = all.iter().map(|it| it["type"].as_str().unwrap()).collect();
    assert_eq!(kinds[0], "hello");
    for kind in ["rollout", "pod", "source", "log", "live", "ping"] {
        assert!(kinds.contains(&kind), "{kind}: {kinds:?}");
    }
    let texts = |all: &[Value]| -> Vec<String> {
        let lines = all.iter().filter(|it| it["type"] == "log");
        lines.map(|it| it["text"].as_str().unwrap().to_owned()).collect()
    };
    let told = texts(&all);
    assert!(told.len() > 30, "{told:?}");
    let middle = all.iter().filter(|it| it["type"] == "log").nth(24).unwrap();
    let id = middle["id"].as_str().unwrap();
    let rest = read(format!("{STREAM}?last_event_id={id}"), Duration::from_secs(5)).await;
    assert_eq!(rest[0]["resumed"], "exact");
    assert_eq!(texts(&rest), told[25..]);
}
