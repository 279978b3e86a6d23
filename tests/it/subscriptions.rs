//! Streams over several workloads, what filters leave out, and paging back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::Request;
use rollcast::sim::{Container, Deployment, Output, Program, Resource, Template};
use serde_json::{Value, json};

use crate::client::{Client, Event};
use crate::oracle::{complete, hear, increasing, without_gaps};
use crate::world::{STREAM, World, web};

const QUIET: Duration = Duration::from_secs(15);

/// Deployments `web`, `pay` and `stock` in `shop`: 400 lines each, from two pods with 200 lines.
async fn shop(seed: u64) -> World {
    let world = World::new(seed);
    for (name, tier) in [("web", "front"), ("pay", "back"), ("stock", "back")] {
        world.sim.apply(deployment(name, tier));
    }
    world.synced().await;
    world
}

fn deployment(name: &str, tier: &str) -> Deployment {
    let mut deployment = web(2, 50.0, Some(200));
    deployment.name = name.to_owned();
    deployment.template.labels.insert("tier".to_owned(), tier.to_owned());
    deployment
}

fn workloads(events: &[Event]) -> BTreeSet<String> {
    let named = events.iter().filter(|event| event.name != "hello" && event.name != "live");
    named
        .map(|event| {
            let workload = event.data["workload"].as_str();
            workload.unwrap_or_else(|| panic!("no workload in {event:?}")).to_owned()
        })
        .collect()
}

fn logs(events: &[Event]) -> Vec<&Event> {
    events.iter().filter(|event| event.name == "log").collect()
}

async fn post(world: &World, query: &str, list: Value) -> http::Response<Body> {
    let request = Request::post(format!("/api/v1/stream{query}"))
        .header("host", "localhost")
        .header("accept", "text/event-stream")
        .header("content-type", "application/json");
    world.send(request.body(Body::from(list.to_string())).unwrap()).await
}

#[tokio::test(start_paused = true)]
async fn a_selector_streams_every_line_of_what_it_selects_once() {
    let world = shop(61).await;
    let path = "/api/v1/namespaces/shop/stream?selector=tier%3Dback&since=1h";
    let mut client = world.stream(path, None).await;
    // A workload that comes later joins the running stream.
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.sim.apply(deployment("late", "back"));
    world.sim.apply(deployment("other", "front"));
    let mut events = client.drain(QUIET).await;
    let expected = ["late", "pay", "stock"].map(|name| format!("shop/deployment/{name}"));
    assert_eq!(workloads(&events), BTreeSet::from(expected));
    let heards = hear(&events);
    assert_eq!(heards.len(), 12, "three workloads, two pods each, two streams each");
    assert!(heards.values().all(|heard| heard.numbers.len() == 100), "{heards:?}");
    complete(&heards);
    without_gaps(&events);
    increasing(&events);
    // Behind any id the rest comes again, and nothing else.
    let all = logs(&events).len();
    for at in [0, 7, all / 2, all - 1] {
        let id = logs(&events)[at].id.clone();
        let again = world.stream(path, id.as_deref()).await.drain(QUIET).await;
        let texts = |events: &[Event]| -> Vec<String> {
            logs(events).iter().map(|event| event.data["key"].to_string()).collect()
        };
        assert_eq!(texts(&again), texts(&events)[at + 1..], "behind line {at}");
    }
    events.clear();
}

#[tokio::test(start_paused = true)]
async fn a_list_of_workloads_and_selectors_is_one_stream() {
    let world = shop(62).await;
    let list = json!([
        "shop/deploy/web",
        {"namespace": "shop", "kind": "deployment", "name": "web"},
        {"namespace": "shop", "selector": "tier in (back),tier!=front"},
    ]);
    let response = post(&world, "?since=1h", list).await;
    assert_eq!(response.status(), 200);
    let events = Client::new(response.into_body()).drain(QUIET).await;
    assert_eq!(workloads(&events).len(), 3);
    assert_eq!(logs(&events).len(), 3 * 400);
    complete(&hear(&events));
    without_gaps(&events);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_cannot_be_read_says_why() {
    let world = shop(63).await;
    for (list, status, word) in [
        (json!([]), 400, "1 to 100"),
        (json!({"namespace": "shop"}), 400, "list"),
        (json!(["shop/web"]), 400, "namespace/kind/name"),
        (json!(["shop/gizmo/web"]), 400, "gizmo"),
        (json!(["shop/deployment/wep"]), 404, "wep"),
        (json!([{"namespace": "shop"}]), 400, "selector"),
        (json!([{"namespace": "shop", "selector": "a b"}]), 400, "label"),
        (json!([{"namespace": "shop", "selector": "a", "nmae": "x"}]), 400, "nmae"),
    ] {
        let response = post(&world, "", list.clone()).await;
        assert_eq!(response.status(), status, "{list}");
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert!(body["detail"].as_str().unwrap().contains(word), "{list}: {body}");
    }
    let long = json!(["x".repeat(70_000)]);
    assert_eq!(post(&world, "", long).await.status(), 413);
    let path = "/api/v1/namespaces/shpo/stream";
    assert_eq!(world.json(path, &[]).await.0, 404);
}

#[tokio::test(start_paused = true)]
async fn filters_leave_out_lines_and_nothing_else() {
    let world = shop(64).await;
    let mut all = world.stream(&format!("{STREAM}?since=1h"), None).await;
    let all = all.drain(QUIET).await;
    assert_eq!(logs(&all).len(), 400);
    let pod = logs(&all)[0].data["pod"].as_str().unwrap().to_owned();
    let text = |event: &Event| event.data["text"].as_str().unwrap().to_owned();
    type Wanted<'a> = Box<dyn Fn(&Event) -> bool + 'a>;
    let cases: [(String, Wanted<'_>); 5] = [
        (
            "match=%20e%20%5Cd*7%20".to_owned(),
            Box::new(|event| {
                let text = text(event);
                let mut words = text.split(' ').skip(3);
                words.next() == Some("e") && words.next().unwrap().ends_with('7')
            }),
        ),
        ("exclude=%20o%20".to_owned(), Box::new(|event| !text(event).contains(" o "))),
        (format!("pod={pod}"), Box::new(|event| event.data["pod"] == pod.as_str())),
        ("container=app".to_owned(), Box::new(|_| true)),
        (
            "level=warn".to_owned(),
            Box::new(|event| event.data["level"] == "warn" || event.data["level"] == "error"),
        ),
    ];
    for (query, wanted) in cases {
        let mut client = world.stream(&format!("{STREAM}?since=1h&{query}"), None).await;
        let events = client.drain(QUIET).await;
        let expected: Vec<_> =
            logs(&all).into_iter().filter(|event| wanted(event)).map(text).collect();
        let got: Vec<_> = logs(&events).into_iter().map(text).collect();
        assert_eq!(got, expected, "{query}");
        without_gaps(&events);
    }
    // The last lines are counted after the filter.
    let path = format!("{STREAM}?tail=5&match=%20e%20");
    let mut client = world.stream(&path, None).await;
    assert_eq!(logs(&client.drain(QUIET).await).len(), 5);
}

/// One container writes lines with levels and crashes, another only numbered ones; then a new revision
/// comes, whose first container crashes once, too.
async fn eventful() -> World {
    let world = World::slow(66, |_| {});
    let levels = Output::Made {
        rate: 5.0,
        lines: Some(60),
        make: Arc::new(|line| {
            let word =
                ["INFO fine", "WARN slow", "ERROR broken", "plain"][line.number as usize % 4];
            line.text.extend_from_slice(word.as_bytes());
        }),
    };
    let program = Program { output: vec![levels], ..Program::default() };
    let app = Container::new("app", "shop/web:1", program.clone());
    let proxy = Container::new("proxy", "shop/proxy:1", Program::numbered("run", 5.0));
    world.sim.register_image("shop/web:2", program);
    world.sim.apply(Deployment::new("shop", "web", 1, Template::new([app, proxy])));
    world.synced().await;
    let mut reader = world.stream(&format!("{STREAM}?since=1h"), None).await;
    let crash = async |reader: &mut Client| {
        // The second time its kubelet warns and waits.
        for _ in 0..2 {
            reader.drain_for(Duration::from_secs(8)).await;
            let pods = world.sim.pods("shop", "web");
            let young = pods.iter().find(|pod| !pod.terminating).unwrap();
            assert!(world.sim.crash("shop", &young.name, "app", 1));
        }
        reader.drain_for(Duration::from_secs(30)).await;
    };
    crash(&mut reader).await;
    assert!(world.sim.set_image(Resource::Deployments, "shop", "web", "app", "shop/web:2"));
    reader.drain_for(Duration::from_secs(50)).await;
    crash(&mut reader).await;
    world
}

#[tokio::test(start_paused = true)]
async fn filters_by_container_level_attempt_side_and_event_leave_out_the_rest() {
    let world = eventful().await;
    let read = async |query: &str| {
        let mut client = world.stream(&format!("{STREAM}?since=1h{query}"), None).await;
        client.drain_for(Duration::from_millis(50)).await
    };
    let all = read("").await;
    let newest = world.sim.pods("shop", "web")[0].clone();
    let before = |event: &Event| {
        event.data["pod"] == newest.name.as_str()
            && event.data["container"] == "app"
            && event.data["attempt"].as_u64() < Some(3)
    };
    type Wanted<'a> = Box<dyn Fn(&Event) -> bool + 'a>;
    let cases: [(&str, Wanted<'_>); 7] = [
        ("&container=proxy", Box::new(|event| event.data["container"] == "proxy")),
        (
            "&level=warn",
            Box::new(|event| event.data["level"] == "warn" || event.data["level"] == "error"),
        ),
        ("&logs=new", Box::new(|event| event.data["side"] == "new")),
        ("&logs=none", Box::new(|_| false)),
        ("&previous=true", Box::new(before)),
        ("&previous=false", Box::new(|event| !before(event))),
        ("&match=ERROR&container=app", Box::new(|event| event.data["text"] == "ERROR broken")),
    ];
    let ids = |events: &[Event], wanted: &dyn Fn(&Event) -> bool| -> Vec<String> {
        let wanted = logs(events).into_iter().filter(|event| wanted(event));
        wanted.map(|event| event.id.clone().unwrap()).collect()
    };
    let last = ids(&all, &|_| true).pop().unwrap();
    for (query, wanted) in cases {
        let events = read(query).await;
        let expected = ids(&all, &*wanted);
        // What was written since is in it, too.
        let mut got = ids(&events, &|_| true);
        got.truncate(expected.len());
        assert_eq!(got, expected, "{query}");
        let (some, less) = (!expected.is_empty(), expected.len() < logs(&all).len());
        assert!(less && (some || query == "&logs=none"), "{query} leaves out nothing, or all");
    }
    assert!(!last.is_empty());
    let kinds = |events: &[Event]| -> Vec<String> {
        let about = events.iter().filter(|event| event.name == "event");
        about.map(|event| event.data["type"].as_str().unwrap().to_owned()).collect()
    };
    let every = kinds(&all);
    let warnings = kinds(&read("&events=warning").await);
    assert!(every.len() > warnings.len() && !warnings.is_empty(), "{every:?} {warnings:?}");
    assert!(warnings.iter().all(|kind| kind == "Warning"));
    assert!(kinds(&read("&events=none").await).is_empty());
}

#[tokio::test(start_paused = true)]
async fn pages_go_back_without_loss_or_repetition() {
    let world = shop(65).await;
    world.stream(&format!("{STREAM}?since=1h"), None).await.drain(QUIET).await;
    // Others say something after the last line that is paged through.
    let pay = "/api/v1/namespaces/shop/deployment/pay/stream?since=1h";
    world.stream(pay, None).await.drain(QUIET).await;
    let path = "/api/v1/namespaces/shop/deployment/web/logs?format=json&tail=90";
    let (mut keys, mut before, mut pages) = (BTreeSet::new(), String::new(), 0);
    loop {
        let (status, page) = world.json(&format!("{path}{before}"), &[]).await;
        assert_eq!(status, 200, "{page}");
        let lines = page["lines"].as_array().unwrap();
        let times: Vec<_> = lines.iter().map(|line| line["time"].as_str().unwrap()).collect();
        assert!(times.is_sorted(), "ordered by time");
        for line in lines {
            assert!(keys.insert(line["key"].as_str().unwrap().to_owned()), "twice: {line}");
        }
        pages += 1;
        match page["before"].as_str() {
            Some(id) => before = format!("&before={id}"),
            None => break,
        }
        assert!(pages < 20, "paging never ends");
    }
    assert_eq!(keys.len(), 400);
    assert_eq!(pages, 5);
    let text = world.get("/api/v1/namespaces/shop/deployment/web/logs?tail=3", &[]).await;
    assert_eq!(text.headers()["content-type"], "text/plain; charset=utf-8");
    assert!(text.headers().contains_key("rollcast-before"));
    let text = axum::body::to_bytes(text.into_body(), 1 << 20).await.unwrap();
    assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 3);
    for (query, word) in [
        ("tail=0", "tail"),
        ("tail=20000", "tail"),
        ("before=x", "before"),
        ("before=aaaaaa-1-1", "gone"),
        ("until=never", "until"),
        ("format=sse", "format"),
    ] {
        let path = format!("/api/v1/namespaces/shop/deployment/web/logs?{query}");
        let (status, body) = world.json(&path, &[]).await;
        assert_eq!(status, 400, "{query}");
        assert!(body["detail"].as_str().unwrap().contains(word), "{body}");
    }
}
