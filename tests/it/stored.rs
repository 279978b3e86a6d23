//! A server that is started again with its history in files.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use rollcast::sim::{Sim, SimOptions};
use rollcast::time;

use crate::client::{Event, listen};
use crate::oracle::{complete, hear, increasing, told, without_gaps};
use crate::resume::seeds;
use crate::world::{STREAM, World, web};

/// A cluster and a server with a store, which has been read for a while; what was heard, and the id.
async fn read(seed: u64, folder: &Path) -> (Sim, World, Vec<Event>, String) {
    let sim = Sim::new(SimOptions { seed, start_time: time::now(), ..SimOptions::default() });
    let world = World::stored(sim.clone(), seed, folder).await;
    sim.apply(web(2, 40.0, None));
    world.synced().await;
    let mut client = world.stream(&format!("{STREAM}?since=1h"), None).await;
    let events = listen(&mut client, Duration::from_millis(6_000 + seed * 77)).await;
    let id = client.last_id.clone().expect("there were lines");
    (sim, world, events, id)
}

/// Ends a server as SIGTERM does.
async fn end(world: World) {
    world.shutdown.stop();
    world.rooms.ended().await;
}

/// The stream goes on behind the id as if nothing had been, with what was written meanwhile.
#[tokio::test(start_paused = true)]
async fn a_stream_resumes_exactly_over_a_restart() {
    for seed in 0..seeds() {
        let folder = tempfile::tempdir().unwrap();
        let (sim, world, mut events, id) = read(seed, folder.path()).await;
        end(world).await;
        tokio::time::sleep(Duration::from_millis(3_000 + seed * 131)).await;
        let world = World::stored(sim, seed + 1_000, folder.path()).await;
        world.synced().await;
        let mut client = world.stream(STREAM, Some(&id)).await;
        let again = listen(&mut client, Duration::from_secs(6)).await;
        assert_eq!(again[0].data["resumed"], "exact", "seed {seed}");
        let before = events.len();
        events.extend(again);
        without_gaps(&events);
        let heards = hear(&events);
        assert_eq!(heards.len(), 4, "{}", told(&events));
        complete(&heards);
        increasing(&events);
        let lines = events[before..].iter().filter(|event| event.name == "log").count();
        // Eighty lines a second, for at least eight seconds.
        assert!(lines > 600, "seed {seed}: {lines}");
        end(world).await;
    }
}

/// A copy of the files of a running server is what a process leaves that is killed.
#[tokio::test(start_paused = true)]
async fn who_comes_back_to_a_server_that_was_killed_misses_nothing_unsaid() {
    let mut exact = 0;
    for seed in 0..seeds() {
        let folder = tempfile::tempdir().unwrap();
        let (sim, world, mut events, id) = read(seed, folder.path()).await;
        let left = tempfile::tempdir().unwrap();
        for file in std::fs::read_dir(folder.path()).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), left.path().join(file.file_name())).unwrap();
        }
        end(world).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let world = World::stored(sim, seed + 1_000, left.path()).await;
        world.synced().await;
        let mut client = world.stream(STREAM, Some(&id)).await;
        let again = listen(&mut client, Duration::from_secs(6)).await;
        exact += usize::from(again[0].data["resumed"] == "exact");
        let key = |event: &Event| event.data["key"].to_string();
        let mut known: HashSet<String> =
            events.iter().filter(|event| event.name == "log").map(key).collect();
        let new = |event: &Event| event.name != "log" || known.insert(key(event));
        events.extend(again.into_iter().filter(new));
        complete(&hear(&events));
        without_gaps(&events);
        end(world).await;
    }
    println!("{exact} of {} exact", seeds());
}

/// Nobody read the end of their logs, and nobody can.
#[tokio::test(start_paused = true)]
async fn logs_of_pods_that_went_meanwhile_are_told_as_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (sim, world, _, id) = read(3, folder.path()).await;
    end(world).await;
    let gone = sim.pods("shop", "web")[0].name.clone();
    assert!(sim.delete_pod("shop", &gone, Some(0)));
    tokio::time::sleep(Duration::from_secs(5)).await;
    let world = World::stored(sim, 4, folder.path()).await;
    world.synced().await;
    let mut client = world.stream(STREAM, Some(&id)).await;
    let again = listen(&mut client, Duration::from_secs(6)).await;
    assert_eq!(again[0].data["resumed"], "exact");
    let of_it = |event: &&Event| event.data["pod"] == gone.as_str();
    let gaps: Vec<_> = again.iter().filter(|event| event.name == "gap").collect();
    assert_eq!(gaps.len(), 1, "{}", told(&again));
    assert_eq!(gaps[0].data["reason"], "pod_removed");
    let end = again.iter().filter(of_it).find(|event| event.data["state"] == "ended");
    let end = end.unwrap_or_else(|| panic!("{}", told(&again)));
    assert_eq!(end.data["complete"], false);
    assert!(again.iter().filter(of_it).all(|event| event.name != "log"), "{}", told(&again));
}
