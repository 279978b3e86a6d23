//! Fewer places than sources, and who gets them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use rollcast::ids::{Kind, SourceState, WorkloadId};
use rollcast::sim::{
    Container, Deployment, Exit, Job, Numbers, Output, Program, Resource, Sim, SimOptions, Template,
};

use crate::client::listen;
use crate::oracle::{complete, hear, told, without_gaps};
use crate::resume::seeds;
use crate::world::{STREAM, World, one_pipe, slow};

fn web() -> Arc<WorkloadId> {
    Arc::new(WorkloadId::new("shop", Kind::Deployment, "web"))
}

/// What waits says so and gets its turn, the oldest first, as soon as a place is free.
#[tokio::test(start_paused = true)]
async fn what_has_no_place_says_so_and_gets_its_turn_in_order() {
    for seed in 0..seeds() {
        let world = World::slow(seed, |plan| plan.logs.max_followers = 1);
        world.synced().await;
        let mut clients = Vec::new();
        for name in ["a", "b", "c"] {
            let exit = Exit::After(Duration::from_secs(8), 0);
            let program = Program { exit, ..Program::numbered("run", 5.0) };
            let template = Template::new([Container::new("app", "shop/job:1", program)]);
            let (namespace, name) = ("shop".to_owned(), name.to_owned());
            let path = format!("/api/v1/namespaces/shop/job/{name}/stream?since=1h");
            let job = Job { namespace, name, completions: 1, backoff_limit: 0, template };
            world.sim.apply(job);
            tokio::time::sleep(Duration::from_secs(2)).await;
            clients.push(world.stream(&path, None).await);
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        let status = world.rooms.service.tail.status();
        assert_eq!((status.followers, status.waiting_for_budget), (1, 2), "{status:?}");
        assert!(status.oldest_waiting_seconds.is_some());
        tokio::time::sleep(Duration::from_secs(60)).await;
        let mut ends = Vec::new();
        for (at, client) in clients.iter_mut().enumerate() {
            let events = listen(client, Duration::from_secs(1)).await;
            assert_eq!(complete_lines(&events), 40, "{}", told(&events));
            let waited = events.iter().any(|event| event.data["reason"] == "budget");
            assert_eq!(waited, at > 0, "{}", told(&events));
            let end = events.iter().find(|event| event.data["state"] == "ended");
            ends.push(end.expect("it ended").data["time"].as_str().unwrap().to_owned());
        }
        assert!(ends.is_sorted(), "{ends:?}");
    }
}

/// Also who opens the workload first, or comes when it was said long ago, is told of a log that waits.
#[tokio::test(start_paused = true)]
async fn whoever_opens_a_stream_is_told_what_waits() {
    let world = World::slow(4, |plan| plan.logs.max_followers = 2);
    world.sim.apply(one_pipe(3, 10.0));
    world.synced().await;
    for query in ["tail=100000", "tail=5", "since=1m"] {
        let mut client = world.stream(&format!("{STREAM}?{query}"), None).await;
        let events = listen(&mut client, Duration::from_secs(5)).await;
        let waits = events.iter().filter(|event| event.name == "source");
        let pods: HashSet<_> = waits
            .filter(|event| event.data["reason"] == "budget" && event.data["state"] == "waiting")
            .map(|event| event.data["pod"].to_string())
            .collect();
        assert_eq!(pods.len(), 1, "{query}: {}", told(&events));
        let heard = hear(&events);
        let waits = |source: &str| pods.iter().any(|pod| source.starts_with(pod.trim_matches('"')));
        assert!(!heard.keys().any(|(source, _)| waits(source)), "{query}");
    }
}

fn complete_lines(events: &[crate::client::Event]) -> usize {
    let heards = hear(events);
    complete(&heards);
    heards.values().map(|heard| heard.numbers.len()).sum()
}

/// New pods take the places of old ones, which go on where they were stopped.
#[tokio::test(start_paused = true)]
async fn the_new_revision_gets_the_places_of_the_old_one() {
    for seed in 0..seeds() {
        let world = World::slow(seed, |plan| plan.logs.max_followers = 2);
        world.sim.apply(one_pipe(2, 10.0));
        world.synced().await;
        let mut client = world.stream(&format!("{STREAM}?since=1h"), None).await;
        let mut events = listen(&mut client, Duration::from_secs(10)).await;
        let old: HashSet<_> =
            world.sim.pods("shop", "web").into_iter().map(|pod| pod.name).collect();
        let slow = rollcast::sim::Ready::After(Duration::from_secs(20));
        world.sim.register_image(
            "shop/web:2",
            Program { ready: slow, ..Program::numbered("run", 10.0) },
        );
        world.sim.set_image(Resource::Deployments, "shop", "web", "app", "shop/web:2");
        events.extend(listen(&mut client, Duration::from_secs(10)).await);
        let heard = |events: &[crate::client::Event]| {
            let logs = events.iter().filter(|event| event.name == "log");
            logs.map(|event| event.data["pod"].as_str().unwrap().to_owned()).collect::<HashSet<_>>()
        };
        assert!(heard(&events).iter().any(|pod| !old.contains(pod)), "{}", told(&events));
        assert!(world.rooms.service.tail.followers() <= 2);
        events.extend(listen(&mut client, Duration::from_secs(60)).await);
        for pod in world.sim.pods("shop", "web") {
            assert!(heard(&events).contains(&pod.name), "{}", told(&events));
        }
    }
}

/// The recorder's lease follows so many sources of the new revision and no more; a reader's follows
/// all, and gives back what the recorder does not need after the linger.
#[tokio::test(start_paused = true)]
async fn a_recording_lease_follows_no_more_than_it_asked_for() {
    let world = World::slow(1, |plan| plan.logs.linger = Duration::from_secs(1));
    world.sim.apply(one_pipe(4, 10.0));
    world.synced().await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let tail = &world.rooms.service.tail;
    let record = tail.record(&web(), 2);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(tail.followers(), 2);
    let read = tail.lease(&web());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(tail.followers(), 4);
    let sources = tail.sources(&web());
    assert_eq!(sources.len(), 4);
    assert!(sources.iter().all(|source| source.state == SourceState::Following), "{sources:?}");
    assert!(sources.iter().all(|source| source.first_time.is_some() && !source.tail_cut));
    drop(read);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(tail.followers(), 2);
    drop(record);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(tail.followers(), 0);
    assert_eq!(tail.low_water(&web()), None, "nothing is wanted");
}

/// A pod that goes while its log waits for a place takes the log with it, and nobody has read it.
#[tokio::test(start_paused = true)]
async fn a_log_whose_pod_went_while_it_waited_is_told_as_lost() {
    for seed in 0..seeds() {
        let world = World::slow(seed, |plan| plan.logs.max_followers = 1);
        world.sim.apply(one_pipe(2, 10.0));
        world.synced().await;
        let mut client = world.stream(&format!("{STREAM}?since=1h"), None).await;
        let mut events = listen(&mut client, Duration::from_secs(10)).await;
        let waits = events.iter().find(|event| event.data["reason"] == "budget");
        let waits = waits.unwrap_or_else(|| panic!("{}", told(&events)));
        let pod = waits.data["pod"].as_str().unwrap().to_owned();
        assert!(world.sim.delete_pod("shop", &pod, Some(0)));
        events.extend(listen(&mut client, Duration::from_secs(5)).await);
        let of = |event: &&crate::client::Event| event.data["pod"] == pod.as_str();
        let lost: Vec<_> = events.iter().filter(of).collect();
        let gap = lost.iter().find(|event| event.name == "gap");
        let gap = gap.unwrap_or_else(|| panic!("{}", told(&events)));
        assert_eq!(gap.data["reason"], "pod_removed");
        let end = lost.iter().find(|event| event.data["state"] == "ended").expect("it ended");
        assert_eq!(
            (&end.data["complete"], &end.data["reason"]),
            (&false.into(), &"pod_removed".into())
        );
        assert!(lost.iter().all(|event| event.name != "log"), "{}", told(&events));
    }
}

/// Row 29: with the limits that an install has, all of 5,000 pods on 80 nodes are followed, and every
/// line of each comes once.
#[tokio::test(start_paused = true)]
async fn five_thousand_pods_are_all_followed() {
    const PODS: u32 = 5_000;
    let options = SimOptions {
        nodes: (1..=80).map(|node| format!("node-{node}")).collect(),
        write_tick: Duration::from_secs(1),
        ..slow(29)
    };
    let world = World::around(Sim::new(options), 29, |plan| {
        plan.logs.max_followers_per_node = 64;
        plan.logs.opens_per_second = 50;
    });
    let numbers = Numbers { lines: Some(6), ..Numbers::new("run", 0.05) };
    let program = Program { output: vec![Output::Numbered(numbers)], ..Program::default() };
    let template = Template::new([Container::new("app", "shop/web:1", program)]);
    world.sim.apply(Deployment::new("shop", "web", PODS, template));
    world.synced().await;
    let mut client = world.stream(&format!("{STREAM}?since=1h"), None).await;
    let mut events = listen(&mut client, Duration::from_secs(120)).await;
    let status = world.rooms.service.tail.status();
    assert_eq!((status.followers, status.waiting_for_budget), (PODS as usize, 0));
    assert!(status.nodes.values().all(|followers| *followers <= 64), "{:?}", status.nodes);
    events.extend(listen(&mut client, Duration::from_secs(60)).await);
    let lines = events.iter().filter(|event| event.name == "log").count();
    assert_eq!(lines, 6 * PODS as usize);
    complete(&hear(&events));
    without_gaps(&events);
}

/// Whoever waits for its turn to be opened says so, and is counted.
#[tokio::test(start_paused = true)]
async fn a_wait_for_the_turn_is_told() {
    let world = World::slow(30, |plan| plan.logs.opens_per_second = 1);
    world.sim.apply(one_pipe(8, 5.0));
    world.synced().await;
    let mut client = world.stream(&format!("{STREAM}?since=1h"), None).await;
    let mut events = listen(&mut client, Duration::from_secs(3)).await;
    let waiting = world.exposition.value("rollcast_opens_waiting");
    assert!(waiting > Some(0.0), "{waiting:?}");
    events.extend(listen(&mut client, Duration::from_secs(20)).await);
    let told_so = events.iter().filter(|event| event.data["reason"] == "pace").count();
    assert!((3..=8).contains(&told_so), "{}", told(&events));
    assert_eq!(world.exposition.value("rollcast_opens_waiting"), Some(0.0));
    let states = world.rooms.service.tail.status().states;
    assert_eq!(states.get("following"), Some(&8), "{states:?}");
    assert_eq!(hear(&events).len(), 8);
    without_gaps(&events);
    complete(&hear(&events));
}
