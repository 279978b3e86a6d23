//! Containers that end and start again: every line under its attempt.

use std::collections::BTreeMap;
use std::time::Duration;

use rollcast::ids::ContainerKind;
use rollcast::sim::{
    Container, Deployment, Exit, Numbers, Output, Program, Resource, Sim, SimOptions, Template,
    read_numbered,
};

use crate::client::{Event, listen};
use crate::oracle::{complete, hear, told, without_gaps};
use crate::resume::seeds;
use crate::world::{STREAM, World, slow};

/// A cluster whose containers come back soon.
fn restless(seed: u64) -> World {
    let options = SimOptions {
        backoff_base: Duration::from_millis(200),
        backoff_cap: Duration::from_secs(2),
        ..slow(seed)
    };
    World::around(Sim::new(options), seed, |_| {})
}

/// Lines of each attempt; a line under another attempt than the one that wrote it fails.
fn by_attempt(events: &[Event], seed: u64) -> BTreeMap<u64, usize> {
    let mut attempts = BTreeMap::new();
    for event in events.iter().filter(|event| event.name == "log") {
        let line = read_numbered(event.data["text"].as_str().unwrap().as_bytes()).unwrap();
        let attempt = event.data["attempt"].as_u64().unwrap();
        let wrote = line.source.rsplit('.').next().unwrap();
        assert_eq!(wrote, attempt.to_string(), "seed {seed}: {}\n{}", event.data, told(events));
        *attempts.entry(attempt).or_default() += 1;
    }
    attempts
}

/// A container that exits after 200 ms, again and again: each attempt's lines are there, once and
/// under its number, or it is said that they were collected.
#[tokio::test(start_paused = true)]
async fn a_restart_loop_gives_each_attempts_lines_or_says_that_they_are_gone() {
    for seed in 0..seeds() {
        let world = restless(seed);
        let numbers = Numbers { lines: Some(20), ..Numbers::new("run", 150.0) };
        let program = Program {
            output: vec![Output::Numbered(numbers)],
            exit: Exit::After(Duration::from_millis(200), 1),
            ..Program::default()
        };
        let template = Template::new([Container::new("app", "shop/web:1", program)]);
        world.sim.apply(Deployment::new("shop", "web", 1, template));
        world.synced().await;
        let mut client = world.stream(&format!("{STREAM}?since=1h"), None).await;
        let events = listen(&mut client, Duration::from_secs(25)).await;
        let attempts = by_attempt(&events, seed);
        complete(&hear(&events));
        let pod = &world.sim.pods("shop", "web")[0];
        let newest = u64::from(pod.containers[0].attempt);
        assert!(newest > 10, "{newest}");
        let lost: Vec<_> = events
            .iter()
            .filter(|event| event.name == "gap" && event.data["reason"] == "attempt_collected")
            .map(|event| event.data["attempt"].as_u64().unwrap())
            .collect();
        // The newest ones may still be on their way.
        for attempt in 1..newest - 2 {
            let got = attempts.get(&attempt).copied().unwrap_or(0);
            let collected = lost.iter().filter(|lost| **lost == attempt).count();
            assert!(collected <= 1, "seed {seed}: {attempt} was collected twice");
            assert!(
                got == 20 || collected == 1,
                "seed {seed}: attempt {attempt} has {got} lines\n{}",
                told(&events)
            );
            assert!(got < 20 || collected == 0, "seed {seed}: nothing of {attempt} is missing");
        }
        let from_start = |event: &Event| event.data["from_start"] == true;
        assert!(events.iter().any(from_start), "seed {seed}: never sure of a beginning");
        assert!(attempts.len() as u64 > newest / 3, "seed {seed}: {attempts:?} of {newest}");
    }
}

/// Whoever opens a crash loop gets the last words of the attempt before, first.
#[tokio::test(start_paused = true)]
async fn the_attempt_before_is_offered_when_a_crash_loop_is_opened() {
    for seed in 0..seeds() {
        let world = World::slow(seed, |_| {});
        let numbers = Numbers { lines: Some(30), ..Numbers::new("run", 20.0) };
        let program = Program {
            output: vec![Output::Numbered(numbers)],
            exit: Exit::After(Duration::from_secs(3), 1),
            ..Program::default()
        };
        let template = Template::new([Container::new("app", "shop/web:1", program)]);
        world.sim.apply(Deployment::new("shop", "web", 1, template));
        world.synced().await;
        loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let pods = world.sim.pods("shop", "web");
            let app = pods.first().map(|pod| &pod.containers[0]);
            if app.is_some_and(|app| app.attempt == 3 && app.running) {
                break;
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut client = world.stream(&format!("{STREAM}?since=1h"), None).await;
        let events = listen(&mut client, Duration::from_secs(9)).await;
        let attempts = by_attempt(&events, seed);
        assert_eq!(attempts.get(&2), Some(&30), "seed {seed}: {}", told(&events));
        assert_eq!(attempts.get(&3), Some(&30), "seed {seed}: {}", told(&events));
        let order = events.iter().filter(|event| event.name == "log");
        let order: Vec<_> = order.map(|event| event.data["attempt"].as_u64().unwrap()).collect();
        assert!(order.is_sorted(), "seed {seed}: {order:?}");
        without_gaps(&events);
        complete(&hear(&events));
    }
}

/// `logs=failed` shows what containers write once they have failed, live and out of history, and nothing
/// of those beside them.
#[tokio::test(start_paused = true)]
async fn only_containers_that_have_failed_are_heard_where_only_they_are_asked_for() {
    for seed in 0..seeds() {
        let world = World::slow(seed, |_| {});
        let numbers = Numbers { lines: Some(30), ..Numbers::new("run", 20.0) };
        let program = Program {
            output: vec![Output::Numbered(numbers)],
            exit: Exit::After(Duration::from_secs(3), 1),
            ..Program::default()
        };
        let crashing = Container::new("app", "shop/web:1", program);
        let healthy = Container::new("proxy", "shop/proxy:1", Program::numbered("run", 10.0));
        world.sim.apply(Deployment::new("shop", "web", 1, Template::new([crashing, healthy])));
        world.synced().await;
        let mut client = world.stream(&format!("{STREAM}?since=1h"), None).await;
        let path = format!("{STREAM}?since=1h&logs=failed");
        let mut live = world.stream(&path, None).await;
        let (all, live) = tokio::join!(
            listen(&mut client, Duration::from_secs(40)),
            listen(&mut live, Duration::from_secs(40))
        );
        let mut late = world.stream(&path, None).await;
        let late = listen(&mut late, Duration::from_secs(1)).await;
        let ids = |events: &[Event], wanted: &dyn Fn(&Event) -> bool| {
            let lines = events.iter().filter(|event| event.name == "log" && wanted(event));
            lines.map(|event| event.id.clone().unwrap()).collect::<Vec<_>>()
        };
        let crashed = |event: &Event| {
            event.data["container"] == "app" && event.data["attempt"].as_u64() > Some(1)
        };
        let wanted = ids(&all, &crashed);
        assert!(wanted.len() >= 60, "seed {seed}: {}", told(&all));
        // The last words of the first attempt may come after it is known how that ended.
        let first = ids(&all, &|event| event.data["container"] == "app")[0].clone();
        for events in [&live, &late] {
            let others = ids(events, &|event| event.data["container"] != "app");
            assert!(others.is_empty(), "seed {seed}: of another container: {others:?}");
            let heard = ids(events, &|_| true);
            assert!(wanted.iter().all(|id| heard.contains(id)), "seed {seed}: some are missing");
            assert!(!heard.contains(&first), "seed {seed}: from before it failed");
        }
    }
}

/// Init containers, sidecars and ordinary ones are all read, from their first line to their last.
#[tokio::test(start_paused = true)]
async fn containers_of_every_kind_are_read_from_beginning_to_end() {
    for seed in 0..seeds() {
        let world = World::slow(seed, |_| {});
        let short = Program { exit: Exit::AfterLines(40, 0), ..Program::numbered("run", 80.0) };
        let container = |name: &str, kind, program: &Program| {
            Container::new(name, "shop/web:1", program.clone()).of_kind(kind)
        };
        let long = Program::numbered("run", 10.0);
        world.sim.apply(Deployment::new(
            "shop",
            "web",
            1,
            Template::new([
                container("migrate", ContainerKind::Init, &short),
                container("proxy", ContainerKind::Sidecar, &long),
                container("app", ContainerKind::App, &long),
            ]),
        ));
        world.synced().await;
        let mut client = world.stream(&format!("{STREAM}?since=1h"), None).await;
        let mut events = listen(&mut client, Duration::from_secs(15)).await;
        world.sim.scale(Resource::Deployments, "shop", "web", 0);
        events.extend(listen(&mut client, Duration::from_secs(45)).await);
        let heards = hear(&events);
        assert_eq!(heards.len(), 3, "seed {seed}: {}", told(&events));
        complete(&heards);
        without_gaps(&events);
        let ends = events.iter().filter(|event| event.data["state"] == "ended");
        let ends: Vec<_> =
            ends.map(|end| (&end.data["container"], &end.data["complete"])).collect();
        assert_eq!(ends.len(), 3, "seed {seed}: {}", told(&events));
        assert!(ends.iter().all(|(_, complete)| **complete == true), "seed {seed}: {ends:?}");
    }
}
