//! What one user, and all together, may take; and that the others go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rollcast::app::Budget;
use rollcast::sim::{Identity, Rule, Subject};

use crate::client::Client;
use crate::world::{STREAM, World, web};

async fn read(world: &World, token: &str) -> http::Response<axum::body::Body> {
    let token = format!("Bearer {token}");
    let headers = [("authorization", token.as_str()), ("accept", "text/event-stream")];
    world.get(STREAM, &headers).await
}

#[tokio::test(start_paused = true)]
async fn a_user_with_too_many_streams_is_told_so_and_others_read_on() {
    let world = World::with_tokens_and(21, |plan| plan.streams.per_user = Some(2));
    world.sim.apply(web(1, 20.0, None));
    for user in ["ann", "bob"] {
        let audiences = vec!["rollcast".to_owned()];
        let identity = Identity { user: user.to_owned(), audiences, ..Identity::default() };
        world.sim.add_token(user, identity);
        let subject = Subject::User(user.to_owned());
        world.sim.add_rule(Rule::new(subject, "get", "pods/log", Some("shop")));
    }
    world.synced().await;
    let mut first = Client::new(read(&world, "ann").await.into_body());
    first.until("live").await;
    let second = read(&world, "ann").await;
    let third = read(&world, "ann").await;
    assert_eq!(third.status(), 429);
    assert!(third.headers().contains_key("retry-after"));
    let body = axum::body::to_bytes(third.into_body(), 4096).await.unwrap();
    let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(problem["type"], "urn:rollcast:problem:limited");
    // Neither ann's open streams nor bob's are affected.
    first.until("log").await;
    let mut other = Client::new(read(&world, "bob").await.into_body());
    other.until("log").await;
    drop(second);
    assert_eq!(read(&world, "ann").await.status(), 200, "a place was given back");
    let series = "rollcast_limits_reached_total{limit=\"streams_per_user\"}";
    assert_eq!(world.exposition.value(series), Some(1.0));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let world = World::new(24);
    world.synced().await;
    let body = axum::body::Body::from_stream(futures_util::stream::pending::<
        Result<&str, std::io::Error>,
    >());
    let request = http::Request::post("/api/v1/stream").header("host", "localhost");
    let request = request.header("content-type", "application/json").body(body).unwrap();
    let begun = tokio::time::Instant::now();
    let answer = world.send(request).await;
    assert_eq!(
        (answer.status(), begun.elapsed().as_secs()),
        (http::StatusCode::REQUEST_TIMEOUT, 10)
    );
    assert_eq!(answer.headers()["connection"], "close");
    let series = "rollcast_limits_reached_total{limit=\"request_body_time\"}";
    assert_eq!(world.exposition.value(series), Some(1.0));
}

#[tokio::test(start_paused = true)]
async fn memory_that_runs_short_costs_history_first_then_new_streams_then_the_slowest() {
    let used = Arc::new(AtomicU64::new(10));
    let read = used.clone();
    let measured = Arc::new(move || Ok(read.load(Ordering::Relaxed)));
    let world = World::with(22, |plan| plan.memory = Some(Budget::new(100, measured)));
    world.sim.apply(web(1, 50.0, None));
    world.synced().await;
    let look = Duration::from_secs(2);
    let mut reader = world.stream(STREAM, None).await;
    reader.until("live").await;
    // Takes nothing from here on, so that it falls behind.
    let mut laggard = world.stream(STREAM, None).await;
    laggard.until("live").await;

    used.store(72, Ordering::Relaxed);
    reader.drain_for(look).await;
    assert_eq!(world.exposition.value("rollcast_memory_pressure"), Some(1.0));
    drop(world.stream(STREAM, None).await);

    used.store(86, Ordering::Relaxed);
    reader.drain_for(look).await;
    let (status, problem) = world.json(STREAM, &[]).await;
    assert_eq!((status, &problem["type"]), (503, &"urn:rollcast:problem:limited".into()));
    assert_eq!(world.get(STREAM, &[]).await.headers()["retry-after"], "15");
    reader.until("log").await;

    used.store(96, Ordering::Relaxed);
    let events = reader.drain_for(look).await;
    assert!(events.iter().all(|event| event.name != "bye"), "the one that reads stays");
    let rest = laggard.drain(look).await;
    let bye = rest.last().unwrap();
    assert_eq!((bye.name.as_str(), &bye.data["reason"]), ("bye", &"limit".into()));
    drop(laggard);
    let ended = "rollcast_stream_duration_seconds_count{end=\"limit\"}";
    assert_eq!(world.exposition.value(ended), Some(1.0));

    used.store(10, Ordering::Relaxed);
    reader.drain_for(look).await;
    world.stream(STREAM, None).await.until("live").await;
    reader.until("log").await;
    assert_eq!(world.exposition.value("rollcast_memory_pressure"), Some(0.0));
}
