//! A client that comes back to another server: the history it knew is gone.

use std::collections::HashSet;
use std::time::Duration;

use rollcast::sim::{Effect, Fault, Match, Sim};
use rollcast::time::{SECOND, parse_stamp};

use crate::client::Event;
use crate::oracle::{complete, hear};
use crate::world::{STREAM, World, web};

const QUIET: Duration = Duration::from_secs(20);
/// Not all of an answer that comes in drops.
const SECONDS: Duration = Duration::from_secs(2);

/// Reads until it has caught up, and `lines` lines more, from a server that then goes away; gives all
/// of them and the last id.
async fn before(world: &World, lines: usize) -> (Vec<Event>, String) {
    let mut client = world.stream(&format!("{STREAM}?since=1h"), None).await;
    let mut events = Vec::new();
    let mut live = None;
    loop {
        let event = client.next().await.unwrap();
        if event.name == "live" {
            live = Some(lines);
        } else if event.name == "log" {
            live = live.map(|left| left - 1);
        }
        events.push(event);
        if live == Some(0) {
            break;
        }
    }
    let id = client.last_id.clone().unwrap();
    (events, id)
}

fn logs(events: &[Event]) -> impl Iterator<Item = &Event> {
    events.iter().filter(|event| event.name == "log")
}

fn stamp(event: &Event) -> i64 {
    parse_stamp(event.data["time"].as_str().unwrap().as_bytes()).unwrap().0
}

/// The keys of what a client knows.
fn keys(events: &[Event]) -> HashSet<String> {
    logs(events).map(|event| event.data["key"].to_string()).collect()
}

/// Adds what came and is not known yet; gives how many lines were.
fn add(events: &mut Vec<Event>, known: &mut HashSet<String>, came: Vec<Event>) -> usize {
    let (before, lines) = (known.len(), logs(&came).count());
    events.extend(
        came.into_iter()
            .filter(|event| event.name != "log" || known.insert(event.data["key"].to_string())),
    );
    lines - (known.len() - before)
}

/// What a server told that went away in the middle of a running stream, the last id with its milliseconds,
/// and the simulation.
async fn gone(seed: u64) -> (Vec<Event>, String, i64, Sim) {
    let (sim, world) = running(seed).await;
    let (events, id) = before(&world, 300 + seed as usize % 50 * 10).await;
    world.shutdown.stop();
    let ms = id.split('-').nth(2).unwrap().parse().unwrap();
    (events, id, ms, sim)
}

/// The next server around it.
async fn next(sim: Sim, seed: u64) -> World {
    let world = World::around(sim, seed + 1_000, |_| {});
    world.synced().await;
    world
}

fn restarts(events: &[Event]) -> Vec<&Event> {
    events.iter().filter(|event| event.data["reason"] == "server_restart").collect()
}

async fn running(seed: u64) -> (Sim, World) {
    let world = World::new(seed);
    world.sim.apply(web(2, 100.0, Some(2_000)));
    world.synced().await;
    // The pods are older than any id.
    tokio::time::sleep(Duration::from_secs(8)).await;
    (world.sim.clone(), world)
}

#[tokio::test(start_paused = true)]
async fn what_a_restart_repeats_is_little_and_known_by_its_key() {
    for seed in 700..720 {
        let (mut events, id, ms, sim) = gone(seed).await;
        let world = next(sim, seed).await;
        let mut client = world.stream(STREAM, Some(&id)).await;
        let again = client.drain(QUIET).await;
        assert_eq!(again[0].data["resumed"], "approximate");
        assert!(restarts(&again).is_empty(), "seed {seed}: {:?}", restarts(&again));
        let oldest = logs(&again).map(stamp).min().unwrap();
        assert!(oldest >= ms * 1_000_000 - 2 * SECOND, "seed {seed}: repeats too much");
        let mut known = keys(&events);
        add(&mut events, &mut known, again);
        let heards = hear(&events);
        assert_eq!(heards.len(), 4);
        assert!(heards.values().all(|heard| heard.numbers.len() == 1_000), "seed {seed}");
        complete(&heards);
    }
}

/// A client that is cut again and again while it is told what it may know: each connection says that it
/// repeats, none goes back further than the first, and once all has passed they are exact again.
#[tokio::test(start_paused = true)]
async fn who_is_cut_in_the_middle_of_a_repetition_is_told_that_it_goes_on() {
    for seed in 750..770 {
        let (mut events, id, ms, sim) = gone(seed).await;
        let world = next(sim, seed).await;
        // Somebody else has all of it read, from the beginning.
        let mut other = world.stream(&format!("{STREAM}?since=1h"), None).await;
        other.drain(Duration::from_secs(1)).await;
        let mut known = keys(&events);
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut id, mut repeated, mut cuts) = (id, 0, 0);
        loop {
            let mut client = world.stream(STREAM, Some(&id)).await;
            let mut left = random.usize(1..60);
            let (mut approximate, mut live) = (false, false);
            while left > 0 && !live {
                let event = client.next().await.unwrap();
                match &*event.name {
                    "hello" => approximate = event.data["resumed"] == "approximate",
                    "live" => live = true,
                    "log" => {
                        let oldest = ms * 1_000_000 - 2 * SECOND;
                        assert!(
                            stamp(&event) >= oldest,
                            "seed {seed}: repeats too much: {event:?}"
                        );
                        if known.insert(event.data["key"].to_string()) {
                            events.push(event);
                        } else {
                            assert!(approximate, "seed {seed}: repeated unsaid: {event:?}");
                            repeated += 1;
                        }
                    }
                    _ => {}
                }
                left -= 1;
            }
            id = client.last_id.clone().unwrap();
            if live {
                break;
            }
            cuts += 1;
        }
        assert!(repeated > 20 && cuts > 1, "seed {seed}: {repeated} lines, {cuts} cuts");
        let mut client = world.stream(STREAM, Some(&id)).await;
        let rest = client.drain(QUIET).await;
        let id = client.last_id.clone().unwrap();
        add(&mut events, &mut known, rest);
        let heards = hear(&events);
        assert!(heards.values().all(|heard| heard.numbers.len() == 1_000), "seed {seed}");
        complete(&heards);
        let last = world.stream(STREAM, Some(&id)).await.drain(Duration::from_secs(15)).await;
        assert_eq!(last[0].data["resumed"], "exact", "seed {seed}: {id}");
    }
}

/// A node that cannot be reached when the client comes back repeats later what it may know, however often
/// the client was cut until then; and so does one whose answers come in drops, with silence in between.
#[tokio::test(start_paused = true)]
async fn a_log_that_comes_late_is_repeated_as_said() {
    for seed in 770..790 {
        let (mut events, id, _, sim) = gone(seed).await;
        let pod = sim.pods("shop", "web").swap_remove(0);
        if seed % 2 == 0 {
            sim.partition(&pod.node.unwrap(), Duration::from_secs(30));
        } else {
            let drip = Effect::Drip(2_000, Duration::from_millis(250));
            sim.add_fault(Fault::new(Match::follow(&pod.name), drip));
        }
        let world = next(sim, seed).await;
        let mut known = keys(&events);
        let (mut id, mut repeated, mut said) = (id, Vec::new(), Vec::new());
        for turn in 0..6 {
            let mut client = world.stream(STREAM, Some(&id)).await;
            let came = client.drain_for(if turn == 0 { SECONDS } else { QUIET }).await;
            id = client.last_id.clone().unwrap();
            said.push(came[0].data["resumed"] == "approximate");
            repeated.push(add(&mut events, &mut known, came));
            let is_right = said[turn] || repeated[turn] == 0;
            assert!(is_right, "seed {seed}: {said:?}: {repeated:?} lines");
        }
        assert!(said[1] && !said[5], "seed {seed}: {said:?} {repeated:?} lines");
        assert!(repeated[1..].iter().any(|lines| *lines > 0), "seed {seed}: {repeated:?} lines");
        let heards = hear(&events);
        assert!(heards.values().all(|heard| heard.numbers.len() == 1_000), "seed {seed}");
        complete(&heards);
    }
}

#[tokio::test(start_paused = true)]
async fn a_log_that_is_not_read_back_far_enough_has_its_gap() {
    let (sim, world) = running(730).await;
    let (_, id) = before(&world, 400).await;
    world.shutdown.stop();
    drop(world);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let world = World::around(sim, 731, |plan| plan.logs.backfill_lines = 50);
    world.synced().await;
    let mut client = world.stream(STREAM, Some(&id)).await;
    let again = client.drain(QUIET).await;
    let gaps = restarts(&again);
    assert_eq!(gaps.len(), 2, "one for each log: {gaps:?}");
    for gap in gaps {
        assert!(gap.data["pod"].is_string() && gap.data["container"] == "app", "{gap:?}");
        let (from, to) = (gap.data["from"].as_str().unwrap(), gap.data["to"].as_str().unwrap());
        assert!(from < to, "{gap:?}");
        assert!(gap.data["count"].is_null());
    }
}

#[tokio::test(start_paused = true)]
async fn pods_that_were_replaced_meanwhile_are_not_passed_over() {
    let (sim, world) = running(740).await;
    let (_, id) = before(&world, 400).await;
    world.shutdown.stop();
    drop(world);
    sim.register_image("shop/web:2", Default::default());
    assert!(sim.set_image(
        rollcast::sim::Resource::Deployments,
        "shop",
        "web",
        "app",
        "shop/web:2"
    ));
    tokio::time::sleep(Duration::from_secs(120)).await;
    let world = World::around(sim, 741, |_| {});
    world.synced().await;
    let again = world.stream(STREAM, Some(&id)).await.drain(QUIET).await;
    let whole = restarts(&again).into_iter().find(|gap| gap.data["pod"].is_null());
    assert!(whole.is_some(), "pods of the old revision are gone with what they said last");
}
