//! A reader that stays away for longer than its logs are followed for it, and what it is told of those
//! that went meanwhile.

use std::time::Duration;

use rollcast::sim::{Sim, SimOptions};

use crate::client::{Event, listen};
use crate::oracle::{complete, hear, told, without_gaps};
use crate::resume::seeds;
use crate::world::{STREAM, World, slow, web};

/// Longer than the linger, and than it takes to notice.
const AWAY: Duration = Duration::from_secs(8);

/// A service that waits a second for readers, and what one of them read before it went away.
async fn read(seed: u64) -> (World, Vec<Event>, String) {
    let options = SimOptions {
        backoff_base: Duration::from_millis(200),
        backoff_cap: Duration::from_secs(2),
        ..slow(seed)
    };
    let world = World::around(Sim::new(options), seed, |plan| {
        plan.logs.linger = Duration::from_secs(1);
    });
    world.sim.apply(web(2, 10.0, None));
    world.synced().await;
    let mut client = world.stream(&format!("{STREAM}?since=1h"), None).await;
    let events = listen(&mut client, Duration::from_millis(6_000 + seed * 77)).await;
    let id = client.last_id.clone().expect("there were lines");
    drop(client);
    tokio::time::sleep(AWAY).await;
    assert_eq!(world.rooms.service.tail.followers(), 0);
    (world, events, id)
}

async fn back(world: &World, id: &str) -> Vec<Event> {
    let mut client = world.stream(STREAM, Some(id)).await;
    let again = listen(&mut client, Duration::from_secs(6)).await;
    assert_eq!(again[0].data["resumed"], "exact");
    again
}

fn reasons(events: &[Event]) -> Vec<(&str, &str)> {
    let gaps = events.iter().filter(|event| event.name == "gap");
    gaps.map(|gap| (gap.data["reason"].as_str().unwrap(), gap.data["pod"].as_str().unwrap()))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_still_there_is_read_on_without_a_gap() {
    for seed in 0..seeds() {
        let (world, mut events, id) = read(seed).await;
        events.extend(back(&world, &id).await);
        without_gaps(&events);
        complete(&hear(&events));
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_went_is_told_as_lost_once() {
    for seed in 0..seeds() {
        let (world, _, id) = read(seed).await;
        let gone = world.sim.pods("shop", "web")[0].name.clone();
        assert!(world.sim.delete_pod("shop", &gone, Some(seed as u32 % 3)));
        tokio::time::sleep(AWAY).await;
        for _ in 0..2 {
            let again = back(&world, &id).await;
            assert_eq!(reasons(&again), [("pod_removed", &*gone)], "{}", told(&again));
            let ends = again.iter().filter(|event| event.data["state"] == "ended");
            let ends: Vec<_> = ends.map(|end| (&end.data["pod"], &end.data["complete"])).collect();
            assert_eq!(ends.len(), 1, "{}", told(&again));
            assert_eq!(*ends[0].1, false);
        }
    }
}

/// The kubelet keeps the attempt before the newest, and no other.
#[tokio::test(start_paused = true)]
async fn an_attempt_that_was_collected_is_told_as_lost_and_one_before_it_is_read() {
    for seed in 0..seeds() {
        let (world, mut events, id) = read(seed).await;
        let pods = world.sim.pods("shop", "web");
        let (once, twice) = (pods[0].name.clone(), pods[1].name.clone());
        assert!(world.sim.crash("shop", &once, "app", 1));
        assert!(world.sim.crash("shop", &twice, "app", 1));
        tokio::time::sleep(AWAY).await;
        assert!(world.sim.crash("shop", &twice, "app", 1));
        tokio::time::sleep(AWAY).await;
        let again = back(&world, &id).await;
        assert_eq!(reasons(&again), [("attempt_collected", &*twice)], "{}", told(&again));
        events.extend(again.into_iter().filter(|event| event.data["pod"] == once.as_str()));
        events.retain(|event| event.data["pod"] == once.as_str());
        let heards = hear(&events);
        assert_eq!(heards.len(), 4, "two attempts on two pipes");
        complete(&heards);
    }
}
