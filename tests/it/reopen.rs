//! A workload that nobody read for a while is opened again.

use std::time::Duration;

use rollcast::sim::{Pipe, Sim, SimOptions};
use rollcast::time;

use crate::client::{Event, listen};
use crate::oracle::{complete, hear, told, without_gaps};
use crate::resume::seeds;
use crate::world::{STREAM, World, web};

/// What was written in between is more than a first opening asks for: the resume asks for all of
/// it, finds its anchor and has nothing to mark, however little of the log had been read before.
#[tokio::test(start_paused = true)]
async fn a_log_that_grew_by_more_than_a_backfill_has_no_gap_when_it_is_opened_again() {
    for seed in 0..seeds() {
        let world = rarely_read(seed, 1 << 30);
        let rate = [20.0, 100.0, 400.0][seed as usize % 3];
        world.sim.apply(web(1, rate, None));
        world.synced().await;
        let events = read_twice(&world, Duration::from_millis(3_000 + 131 * seed)).await;
        without_gaps(&events);
        let mut heards = hear(&events);
        assert_eq!(heards.len(), 2, "seed {seed}: {}", told(&events));
        for heard in heards.values_mut() {
            let first = heard.numbers[0];
            heard.numbers.iter_mut().for_each(|number| *number -= first);
        }
        complete(&heards);
    }
}

/// What the kubelet rotated away in between is gone: one gap stands there, from the last line that
/// was read to the first that is left.
#[tokio::test(start_paused = true)]
async fn a_log_that_was_rotated_past_its_anchor_has_one_gap_when_it_is_opened_again() {
    let world = rarely_read(1, 50_000);
    world.sim.apply(web(1, 100.0, None));
    world.synced().await;
    let events = read_twice(&world, Duration::from_secs(20)).await;
    let gaps: Vec<_> = events.iter().filter(|event| event.name == "gap").collect();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert_eq!(gaps[0].data["reason"], "rotation_unproven");
    let times = events.iter().filter(|event| event.name == "log").map(|event| &event.data["time"]);
    let times: Vec<_> = times.map(|time| time.as_str().unwrap()).collect();
    let (from, to) = (gaps[0].data["from"].as_str().unwrap(), gaps[0].data["to"].as_str().unwrap());
    let at = times.iter().position(|time| *time == to).unwrap();
    assert_eq!(times[at - 1], from);
}

/// Reads for a moment, lets the log grow for `away` with nobody there, and reads again.
async fn read_twice(world: &World, away: Duration) -> Vec<Event> {
    tokio::time::sleep(Duration::from_secs(4)).await;
    let path = format!("{STREAM}?since=1h");
    let mut client = world.stream(&path, None).await;
    client.until("live").await;
    drop(client);
    tokio::time::sleep(away).await;
    assert_eq!(world.rooms.service.tail.followers(), 0);
    let mut client = world.stream(&path, None).await;
    let mut events = Vec::new();
    let until = tokio::time::Instant::now() + Duration::from_secs(2);
    while let Ok(event) = tokio::time::timeout_at(until, client.next()).await {
        events.push(event.unwrap());
    }
    events
}

/// A service with a short linger and a small backfill, before a cluster with log files of this size.
fn rarely_read(seed: u64, log_max_bytes: usize) -> World {
    let options =
        SimOptions { seed, start_time: time::now(), log_max_bytes, ..SimOptions::default() };
    World::around(Sim::new(options), seed, |plan| {
        plan.logs.backfill_lines = 200;
        plan.logs.linger = Duration::from_secs(1);
    })
}

/// A log that was empty when it was last read has no line to be known by: what a second reading
/// finds may not be its beginning, and is not called so.
#[tokio::test(start_paused = true)]
async fn a_log_that_was_empty_is_opened_again_as_if_never_read() {
    let world = rarely_read(1, 1 << 30);
    world.sim.apply(web(1, 0.0, None));
    world.synced().await;
    let path = format!("{STREAM}?since=1h");
    let mut client = world.stream(&path, None).await;
    let events = listen(&mut client, Duration::from_secs(6)).await;
    assert!(events.iter().all(|event| event.name != "log"), "{}", told(&events));
    drop(client);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(world.rooms.service.tail.followers(), 0);
    let pod = world.sim.pods("shop", "web")[0].name.clone();
    for number in 0..1_000 {
        let line = format!("late {number}\n");
        assert!(world.sim.print("shop", &pod, "app", Pipe::Out, line.as_bytes()));
    }
    let mut client = world.stream(&path, None).await;
    let events = listen(&mut client, Duration::from_secs(3)).await;
    let lines = events.iter().filter(|event| event.name == "log").count();
    let followed = events.iter().rfind(|event| event.data["state"] == "following");
    let followed = followed.unwrap_or_else(|| panic!("{}", told(&events)));
    assert_eq!(
        (lines, &followed.data["from_start"]),
        (200, &serde_json::Value::Null),
        "{}",
        told(&events)
    );
}
