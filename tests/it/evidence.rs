//! What a result shows of why: last lines, events, and how sure it is of which rollout it tells.

use std::time::Duration;

use rollcast::config::Record;
use rollcast::sim::{
    Container, Deployment, Exit, Output, Pipe, Program, Ready, Resource, Template,
};
use rollcast::time::{SECOND, now, parse_stamp, rfc3339};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::results::{crashing, good, set, settled};
use crate::world::{STREAM, World};

/// Longer than any of these takes.
const LIMIT: Duration = Duration::from_secs(300);

/// The verdict of `web`, waited for as a job does; nobody streams meanwhile.
async fn verdict(world: &World, query: &str) -> (u16, Value) {
    verdict_of(world, "web", query).await
}

async fn verdict_of(world: &World, name: &str, query: &str) -> (u16, Value) {
    let path = format!("/api/v1/namespaces/shop/deployment/{name}/verdict?wait=25s{query}");
    let until = Instant::now() + LIMIT;
    loop {
        let (status, answer) = world.json(&path, &[]).await;
        if status != 429 {
            return (status, answer);
        }
        assert!(Instant::now() < until, "{answer}");
        sleep(Duration::from_millis(100)).await;
    }
}

fn lines(pod: &Value) -> Vec<&str> {
    pod["lines"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect()
}

fn time(stamp: &Value) -> i64 {
    parse_stamp(stamp.as_str().unwrap().as_bytes()).unwrap().0
}

/// The service alone records what new pods say, as it does by default.
async fn recording(seed: u64) -> World {
    let world = World::with(seed, |plan| plan.logs.record = Record::Rollouts);
    let app = Container::new("app", "shop/web:1", good(Ready::NoProbe));
    world.sim.apply(Deployment::new("shop", "web", 2, Template::new([app])));
    world.sim.register_image("shop/web:crash", crashing());
    world.synced().await;
    sleep(Duration::from_secs(30)).await;
    world
}

/// Prints so many lines of this length, numbered, and ends.
fn talking(count: usize, length: usize) -> Program {
    let line = |number: usize| format!("{number:0>4} {}", "x".repeat(length - 5));
    let said = (0..count).map(|number| (Duration::ZERO, Pipe::Out, line(number)));
    let exit = Exit::After(Duration::from_millis(1_500), 1);
    Program { output: vec![Output::Script(said.collect())], exit, ..Program::default() }
}

#[tokio::test(start_paused = true)]
async fn the_last_lines_are_there_though_nobody_followed() {
    let world = recording(71).await;
    set(&world, "shop/web:crash");
    sleep(Duration::from_secs(2)).await;
    let (status, told) = verdict(&world, "").await;
    assert_eq!((status, &told["reason"]), (424, &"crash_loop".into()), "{told}");
    let said = ["starting web", "FATAL config: DATABASE_URL is not set"];
    assert_eq!(lines(&told["pods"][0]), said, "{told}");
}

/// A replica that comes in the middle of a crash loop reads what the container before it has left.
#[tokio::test(start_paused = true)]
async fn a_fresh_replica_has_them_too() {
    let world = recording(72).await;
    set(&world, "shop/web:crash");
    sleep(Duration::from_secs(8)).await;
    let fresh = World::around(world.sim.clone(), 73, |plan| plan.logs.record = Record::Rollouts);
    fresh.synced().await;
    let (status, told) = verdict(&fresh, "").await;
    assert_eq!((status, &told["reason"]), (424, &"crash_loop".into()), "{told}");
    assert!(lines(&told["pods"][0]).contains(&"starting web"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn there_are_fifty_lines_at_most_each_of_two_kilobytes_and_64_in_all() {
    for (count, length, kept, cut) in [(120, 40, 50, 40), (60, 5_000, 32, 2_048)] {
        let world = recording(74).await;
        world.sim.register_image("shop/web:loud", talking(count, length));
        set(&world, "shop/web:loud");
        sleep(Duration::from_secs(2)).await;
        let (status, told) = verdict(&world, "").await;
        assert_eq!(status, 424, "{told}");
        let pods = told["pods"].as_array().unwrap();
        let lines: Vec<Vec<&str>> = pods.iter().map(lines).collect();
        assert_eq!(lines[0].len(), kept, "of {count}");
        let numbers = |line: &&str| line[..4].parse::<usize>().unwrap();
        let expected: Vec<_> = (count - kept..count).collect();
        assert_eq!(lines[0].iter().map(numbers).collect::<Vec<_>>(), expected, "the last ones");
        assert!(lines[0].iter().all(|line| line.len() == cut), "{}", lines[0][0].len());
        let all: usize = lines.iter().flatten().map(|line| line.len()).sum();
        assert!(all <= 64 << 10, "{all}");
    }
}

/// Warnings about its pods since it began: each once, with how often it was said.
#[tokio::test(start_paused = true)]
async fn the_warnings_since_it_began_are_told_once_each() {
    let world = settled(75).await;
    set(&world, "shop/web:crash");
    sleep(Duration::from_secs(2)).await;
    let (_, before) = verdict(&world, "").await;
    assert_eq!(before["reason"], "crash_loop", "{before}");
    set(&world, "shop/web:none");
    sleep(Duration::from_secs(2)).await;
    let (status, told) = verdict(&world, "").await;
    assert_eq!((status, &told["reason"]), (424, &"image_not_found".into()), "{told}");
    let path = STREAM.replace("/stream", "/rollout");
    let (_, rollout) = world.json(&path, &[]).await;
    let began = time(&rollout["started"]);
    let events = told["events"].as_array().unwrap();
    assert!((1..=10).contains(&events.len()), "{told}");
    let mut known = Vec::new();
    for event in events {
        assert_eq!(event["type"], "Warning", "{event}");
        assert!(time(&event["time"]) >= began, "{event} is of the one before");
        let said = (event["reason"].clone(), event["object"].clone(), event["message"].clone());
        assert!(!known.contains(&said), "twice: {event}");
        known.push(said);
    }
    let failed = |event: &Value| event["message"].as_str().unwrap().contains("shop/web:none");
    assert!(events.iter().any(failed), "{told}");
}

/// No object says which generation changed the template (`truths.md` 14): a replica that has not seen it says
/// that it only takes it for the running one's, and never that a newer one took its place.
#[tokio::test(start_paused = true)]
async fn a_generation_that_was_not_seen_is_answered_by_inference() {
    let world = settled(76).await;
    set(&world, "shop/web:2");
    sleep(Duration::from_secs(30)).await;
    assert!(world.sim.scale(Resource::Deployments, "shop", "web", 3));
    sleep(Duration::from_secs(30)).await;
    let fresh = World::around(world.sim.clone(), 77, |_| {});
    fresh.synced().await;
    for (asked, server, pinned) in [
        (2, &world, Value::Null),
        (3, &world, Value::Null),
        (2, &fresh, "inferred".into()),
        (3, &fresh, Value::Null),
    ] {
        let (status, told) = verdict(server, &format!("&generation={asked}")).await;
        assert_eq!((status, &told["outcome"]), (200, &"succeeded".into()), "{asked}: {told}");
        assert_eq!(told["pinned"], pinned, "{asked}: {told}");
    }
}

/// What failed is looked at again when it changes, and nothing waits for that: the clock goes on for the others.
#[tokio::test(start_paused = true)]
async fn a_rollout_that_has_failed_holds_up_no_other() {
    let world = World::new(78);
    for name in ["web", "pay"] {
        let image = format!("shop/{name}:1");
        let app = Container::new("app", &image, good(Ready::NoProbe));
        world.sim.apply(Deployment::new("shop", name, 1, Template::new([app])));
    }
    world.sim.register_image("shop/web:crash", crashing());
    world.sim.register_image("shop/pay:2", good(Ready::NoProbe));
    world.synced().await;
    sleep(Duration::from_secs(30)).await;
    set(&world, "shop/web:crash");
    sleep(Duration::from_secs(2)).await;
    let (status, told) = verdict(&world, "").await;
    assert_eq!((status, &told["outcome"]), (424, &"failed".into()), "{told}");
    // Until it is started once more, nothing stirs it.
    sleep(Duration::from_secs(3)).await;
    let begin = Instant::now();
    // It has no probe, so only the clock can say that it has held.
    let set = world.sim.set_image(Resource::Deployments, "shop", "pay", "app", "shop/pay:2");
    assert!(set);
    sleep(Duration::from_secs(2)).await;
    let (status, told) = verdict_of(&world, "pay", "").await;
    assert_eq!((status, &told["revision"]), (200, &"2".into()), "{told}");
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(16), "{took:?}");
}

/// Its ReplicaSet is used again, as is the broken one's between, and its pods were there all the time: nothing of
/// them tells when it was asked for, and the API cuts the time of its end.
#[tokio::test(start_paused = true)]
async fn a_rollback_whose_pods_never_went_away_began_when_it_was_asked_for() {
    let world = settled(79).await;
    let path = STREAM.replace("/stream", "/rollout");
    for round in 1..10u64 {
        for image in ["shop/web:none", "shop/web:1"] {
            sleep(Duration::from_millis(20_000 + 130 * round)).await;
            let asked = now();
            set(&world, image);
            sleep(Duration::from_secs(5)).await;
            let (_, told) = world.json(&path, &[]).await;
            let late = time(&told["started"]) - asked;
            assert!((-SECOND..SECOND).contains(&late), "round {round}, {image}: {late} ns: {told}");
            if image == "shop/web:1" {
                let after = format!("&after={}", rfc3339(asked - asked.rem_euclid(SECOND)));
                let (status, told) = verdict(&world, &after).await;
                assert_eq!((status, &told["outcome"]), (200, &"succeeded".into()), "{told}");
                assert!(told["duration_ms"].as_u64().unwrap() < 3_000, "{told}");
            }
        }
    }
}
