//! A server that is started again with its history in files.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use rollcast::sim::{Effect, Fault, Match, Pipe, Program, Pull, Ready, Resource, Sim, SimOptions};
use rollcast::time::{self, SECOND};

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

/// A cluster with one pod that says only this, and a server with a store, which has been read and has
/// ended; the id behind it all.
async fn silent(folder: &Path, says: &[&[u8]]) -> (Sim, String) {
    let sim = Sim::new(SimOptions { seed: 8, start_time: time::now(), ..SimOptions::default() });
    let world = World::stored(sim.clone(), 8, folder).await;
    sim.apply(web(1, 0.0, None));
    world.synced().await;
    let mut client = world.stream(&format!("{STREAM}?since=1h"), None).await;
    listen(&mut client, Duration::from_secs(6)).await;
    let pod = sim.pods("shop", "web")[0].name.clone();
    for text in says {
        assert!(sim.print("shop", &pod, "app", Pipe::Out, text));
    }
    listen(&mut client, Duration::from_secs(2)).await;
    let id = client.last_id.clone().unwrap();
    drop(client);
    end(world).await;
    (sim, id)
}

/// Ends a server as SIGTERM does; its streams are closed by then.
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
        drop(client);
        end(world).await;
    }
}

/// Truth 8, over a restart: while nobody reads, every stamp falls below what was read last. What is written
/// then is above it only in an hour.
#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_while_nobody_reads_costs_no_line() {
    for seed in 0..seeds() {
        let folder = tempfile::tempdir().unwrap();
        let (sim, world, mut events, id) = read(seed, folder.path()).await;
        // Every other time the follow is deaf already when the process ends.
        let behind = [3_600, 600, 30][seed as usize / 2 % 3] * SECOND;
        let set =
            |sim: &Sim| ["node-1", "node-2"].iter().for_each(|node| sim.set_clock(node, -behind));
        if seed % 2 == 1 {
            set(&sim);
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        end(world).await;
        set(&sim);
        tokio::time::sleep(Duration::from_millis(3_000 + seed * 131)).await;
        let world = World::stored(sim, seed + 1_000, folder.path()).await;
        world.synced().await;
        let mut client = world.stream(STREAM, Some(&id)).await;
        events.extend(listen(&mut client, Duration::from_secs(20)).await);
        without_gaps(&events);
        let heards = hear(&events);
        assert_eq!(heards.len(), 4, "{}", told(&events));
        complete(&heards);
        for heard in heards.values() {
            // Twenty lines a second in each pipe, all the time.
            assert!(heard.numbers.len() > 450, "seed {seed}: deaf\n{}", told(&events));
        }
        drop(client);
        end(world).await;
    }
}

/// Copies the files of a running server: that is what a process leaves that is killed. The newest
/// segment lacks so many bytes at its end, as where the volume did not get them in time.
fn kill(world: &World, folder: &Path, lost: u64) -> tempfile::TempDir {
    // Written by a thread, whose clock does not stand still.
    while world.rooms.service.journal.store().unwrap().lag_records > 0 {
        std::thread::yield_now();
    }
    let left = tempfile::tempdir().unwrap();
    let mut newest = None;
    for file in std::fs::read_dir(folder).unwrap() {
        let file = file.unwrap();
        let to = left.path().join(file.file_name());
        std::fs::copy(file.path(), &to).unwrap();
        if file.file_name().to_string_lossy().starts_with("segment-") {
            newest = newest.max(Some(to));
        }
    }
    let newest = std::fs::File::options().write(true).open(newest.unwrap()).unwrap();
    let size = newest.metadata().unwrap().len();
    newest.set_len(size.saturating_sub(lost)).unwrap();
    left
}

/// Every other time the last records are lost with the process, too: the id is of one of them.
#[tokio::test(start_paused = true)]
async fn who_comes_back_to_a_server_that_was_killed_misses_nothing_unsaid() {
    let mut exact = 0;
    for seed in 0..seeds() {
        let folder = tempfile::tempdir().unwrap();
        let (sim, world, mut events, id) = read(seed, folder.path()).await;
        let left = kill(&world, folder.path(), seed % 2 * 3_000);
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
        drop(client);
        end(world).await;
    }
    // Where the records behind the id were lost, it is not.
    assert!(exact > 0 && exact as u64 <= seeds().div_ceil(2), "{exact} of {}", seeds());
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

/// The volume lost the last records of a server that was killed. Who has an id from before them is told
/// nothing, for every log is read again behind its last stored line; also by a server after that.
#[tokio::test(start_paused = true)]
async fn records_that_are_read_again_are_no_gap_however_often_it_is_killed() {
    for seed in 0..seeds() {
        let folder = tempfile::tempdir().unwrap();
        let sim = Sim::new(SimOptions { seed, start_time: time::now(), ..SimOptions::default() });
        let world = World::stored(sim.clone(), seed, folder.path()).await;
        sim.apply(web(2, 40.0, None));
        world.synced().await;
        let mut client = world.stream(&format!("{STREAM}?since=1h"), None).await;
        let mut events = listen(&mut client, Duration::from_secs(3)).await;
        let id = client.last_id.clone().expect("there were lines");
        // Somebody reads on, whose lines are lost.
        listen(&mut client, Duration::from_secs(3)).await;
        let mut left = kill(&world, folder.path(), 3_000);
        drop(client);
        end(world).await;
        for again in 1..3 {
            tokio::time::sleep(Duration::from_secs(2)).await;
            let world = World::stored(sim.clone(), seed + again * 1_000, left.path()).await;
            world.synced().await;
            // The logs are taken up without a reader.
            tokio::time::sleep(Duration::from_secs(5)).await;
            let next = kill(&world, left.path(), 3_000);
            end(world).await;
            left = next;
        }
        let world = World::stored(sim.clone(), seed + 9_000, left.path()).await;
        world.synced().await;
        let mut client = world.stream(STREAM, Some(&id)).await;
        let again = listen(&mut client, Duration::from_secs(6)).await;
        assert_eq!(again[0].data["resumed"], "exact", "seed {seed}");
        events.extend(again);
        without_gaps(&events);
        let heards = hear(&events);
        assert_eq!(heards.len(), 4, "{}", told(&events));
        complete(&heards);
        increasing(&events);
        drop(client);
        end(world).await;
    }
}

/// What the process before followed is followed at once: a pod may go before its reader is back.
#[tokio::test(start_paused = true)]
async fn a_pod_that_goes_before_its_reader_is_back_is_read_to_its_end() {
    for seed in 0..seeds() {
        let folder = tempfile::tempdir().unwrap();
        let (sim, world, mut events, id) = read(seed, folder.path()).await;
        end(world).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let world = World::stored(sim.clone(), seed + 1_000, folder.path()).await;
        world.synced().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let gone = sim.pods("shop", "web")[0].name.clone();
        assert!(sim.delete_pod("shop", &gone, Some(5)));
        tokio::time::sleep(Duration::from_secs(10)).await;
        let mut client = world.stream(STREAM, Some(&id)).await;
        let again = listen(&mut client, Duration::from_secs(6)).await;
        assert_eq!(again[0].data["resumed"], "exact");
        let end_of_it = again
            .iter()
            .find(|event| event.data["pod"] == gone.as_str() && event.data["state"] == "ended");
        let end_of_it = end_of_it.unwrap_or_else(|| panic!("seed {seed}: {}", told(&again)));
        assert_eq!(end_of_it.data["complete"], true, "seed {seed}: {}", told(&again));
        events.extend(again);
        without_gaps(&events);
        complete(&hear(&events));
        drop(client);
        end(world).await;
    }
}

/// Nobody knows whether a pod is gone while the pods cannot be listed.
#[tokio::test(start_paused = true)]
async fn logs_are_not_buried_while_the_pods_cannot_be_listed() {
    let folder = tempfile::tempdir().unwrap();
    let (sim, world, mut events, id) = read(5, folder.path()).await;
    end(world).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let refused = sim.add_fault(Fault::new(Match::list(Resource::Pods), Effect::Forbidden));
    let world = World::stored(sim.clone(), 6, folder.path()).await;
    // Refused for good reason: the service begins without the pods.
    tokio::time::sleep(Duration::from_secs(60)).await;
    world.synced().await;
    sim.remove_fault(refused);
    tokio::time::sleep(Duration::from_secs(120)).await;
    let mut client = world.stream(STREAM, Some(&id)).await;
    let again = listen(&mut client, Duration::from_secs(20)).await;
    assert_eq!(again[0].data["resumed"], "exact");
    events.extend(again);
    without_gaps(&events);
    complete(&hear(&events));
    let told_ended = events.iter().any(|event| event.data["state"] == "ended");
    assert!(!told_ended, "{}", told(&events));
    drop(client);
    end(world).await;
}

/// Nor while its owner is not listed yet: the pod is there, under a workload that is not known.
#[tokio::test(start_paused = true)]
async fn logs_are_not_buried_while_their_owners_are_not_listed() {
    let folder = tempfile::tempdir().unwrap();
    let (sim, world, mut events, id) = read(11, folder.path()).await;
    end(world).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let slow = Effect::Delay(Duration::from_secs(5));
    let late = sim.add_fault(Fault::new(Match::list(Resource::ReplicaSets), slow));
    let world = World::stored(sim.clone(), 12, folder.path()).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let mut client = world.stream(STREAM, Some(&id)).await;
    events.extend(listen(&mut client, Duration::from_secs(3)).await);
    sim.remove_fault(late);
    world.synced().await;
    events.extend(listen(&mut client, Duration::from_secs(20)).await);
    without_gaps(&events);
    complete(&hear(&events));
    let told_ended = events.iter().any(|event| event.data["state"] == "ended");
    assert!(!told_ended, "{}", told(&events));
    let last = events.iter().rfind(|event| event.name == "log").unwrap();
    let stamp = last.data["time"].as_str().unwrap().as_bytes();
    let age = time::now() - time::parse_stamp(stamp).unwrap().0;
    assert!(age < 2 * time::SECOND, "nothing was read any more: {}", told(&events));
    drop(client);
    end(world).await;
}

/// A pod that begins while nobody reads is owed from its first line, also where that is more than a
/// first opening asks for.
#[tokio::test(start_paused = true)]
async fn a_pod_that_began_between_two_processes_is_read_from_its_first_line() {
    let folder = tempfile::tempdir().unwrap();
    let (sim, id) = silent(folder.path(), &[]).await;
    let before = sim.pods("shop", "web")[0].name.clone();
    sim.scale(Resource::Deployments, "shop", "web", 2);
    tokio::time::sleep(Duration::from_secs(8)).await;
    let pods = sim.pods("shop", "web");
    let young = pods.iter().find(|pod| pod.name != before).unwrap().name.clone();
    for number in 0..12_000 {
        let line = format!("young {number}\n");
        assert!(sim.print("shop", &young, "app", Pipe::Out, line.as_bytes()));
    }
    let world = World::stored(sim, 9, folder.path()).await;
    world.synced().await;
    let mut client = world.stream(STREAM, Some(&id)).await;
    let again = listen(&mut client, Duration::from_secs(8)).await;
    assert_eq!(again[0].data["resumed"], "exact");
    let lines = again.iter().filter(|event| event.name == "log").count();
    assert_eq!(lines, 12_000, "{}", told(&again));
    without_gaps(&again);
    drop(client);
    end(world).await;
}

/// The last line is longer than what the journal keeps of it, and is no text: it is found again.
#[tokio::test(start_paused = true)]
async fn a_log_goes_on_behind_a_last_line_that_cannot_be_known_by_its_text() {
    let long = [&b"\xff"[..], &vec![b'x'; 300 << 10], b"\n"].concat();
    let folder = tempfile::tempdir().unwrap();
    let (sim, id) = silent(folder.path(), &[b"first\n", &long]).await;
    let pod = sim.pods("shop", "web")[0].name.clone();
    assert!(sim.print("shop", &pod, "app", Pipe::Out, b"second\n"));
    let world = World::stored(sim, 9, folder.path()).await;
    world.synced().await;
    let mut client = world.stream(STREAM, Some(&id)).await;
    let again = listen(&mut client, Duration::from_secs(8)).await;
    assert_eq!(again[0].data["resumed"], "exact");
    without_gaps(&again);
    let texts: Vec<_> = again
        .iter()
        .filter(|event| event.name == "log")
        .map(|event| event.data["text"].as_str().unwrap())
        .collect();
    assert_eq!(texts, ["second"]);
    drop(client);
    end(world).await;
}

/// It was followed and had said nothing: what it says while nobody reads is all owed.
#[tokio::test(start_paused = true)]
async fn a_log_that_was_empty_is_read_from_its_first_line() {
    let folder = tempfile::tempdir().unwrap();
    let (sim, id) = silent(folder.path(), &[]).await;
    let pod = sim.pods("shop", "web")[0].name.clone();
    for number in 0..12_000 {
        let line = format!("late {number}\n");
        assert!(sim.print("shop", &pod, "app", Pipe::Out, line.as_bytes()));
    }
    let world = World::stored(sim, 9, folder.path()).await;
    world.synced().await;
    let mut client = world.stream(STREAM, Some(&id)).await;
    let again = listen(&mut client, Duration::from_secs(8)).await;
    assert_eq!(again[0].data["resumed"], "exact");
    let lines = again.iter().filter(|event| event.name == "log").count();
    assert_eq!(lines, 12_000, "{}", told(&again));
    without_gaps(&again);
    drop(client);
    end(world).await;
}

/// The model of a process that was started again is new, its history is not: who comes back means the
/// rollout that was told of, and not the one that began since.
#[tokio::test(start_paused = true)]
async fn who_waits_over_a_restart_is_told_of_the_rollout_that_was_followed() {
    for newer in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let sim =
            Sim::new(SimOptions { seed: 9, start_time: time::now(), ..SimOptions::default() });
        let world = World::stored(sim.clone(), 9, folder.path()).await;
        sim.apply(crate::follow_cli::counted("shop/web:1", 1));
        for (image, seconds) in [("shop/web:2", 60), ("shop/web:3", 1)] {
            let ready = Ready::After(Duration::from_secs(seconds));
            sim.register_image(image, crate::results::good(ready));
        }
        let set = |image| sim.set_image(Resource::Deployments, "shop", "web", "app", image);
        world.synced().await;
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert!(set("shop/web:2"));
        let path = format!("{STREAM}?until=result");
        let mut client = world.stream(&path, None).await;
        listen(&mut client, Duration::from_secs(5)).await;
        let id = client.last_id.clone().unwrap();
        drop(client);
        end(world).await;
        assert!(!newer || set("shop/web:3"));
        tokio::time::sleep(Duration::from_secs(20)).await;
        let world = World::stored(sim.clone(), 10, folder.path()).await;
        world.synced().await;
        let mut client = world.stream(&path, Some(&id)).await;
        let events = crate::results::to_the_end(&mut client, Duration::from_secs(300)).await;
        let said = &crate::results::result(&events).data;
        // What became of version 2 while nobody looked is not known.
        let outcome = if newer { "unknown" } else { "succeeded" };
        assert_eq!((&said["outcome"], &said["revision"]), (&outcome.into(), &"2".into()), "{said}");
        drop(client);
        end(world).await;
    }
}

const ROLLOUTS: &str = "/api/v1/namespaces/shop/deployment/web/rollouts";

/// Revision, outcome and reason of each, newest first.
async fn rollouts(world: &World) -> Vec<(String, String, String)> {
    let (status, list) = world.json(ROLLOUTS, &[]).await;
    assert_eq!(status, 200, "{list}");
    let word = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let all = list["rollouts"].as_array().unwrap().iter();
    all.map(|it| {
        let result = &it["result"];
        (word(&it["revision"]), word(&result["outcome"]), word(&result["reason"]))
    })
    .collect()
}

/// Who asks what was rolled out before is answered by a process that was not there.
#[tokio::test(start_paused = true)]
async fn the_rollouts_before_a_restart_stay_listed() {
    let folder = tempfile::tempdir().unwrap();
    let (sim, world, _, _) = read(21, folder.path()).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let none = Pull::Fails { message: "shop/web:none: not found".to_owned() };
    sim.register_image("shop/web:none", Program { pull: none, ..Program::default() });
    for image in ["shop/web:two", "shop/web:four"] {
        sim.register_image(image, Program::default());
    }
    for image in ["shop/web:two", "shop/web:none", "shop/web:two", "shop/web:four"] {
        assert!(sim.set_image(Resource::Deployments, "shop", "web", "app", image));
        tokio::time::sleep(Duration::from_secs(90)).await;
    }
    let before = rollouts(&world).await;
    let told: Vec<_> = before.iter().map(|(_, outcome, reason)| (&**outcome, &**reason)).collect();
    let failed = ("failed", "image_not_found");
    let good = ("succeeded", "");
    assert_eq!(told, [good, good, failed, good, good], "{before:?}");
    end(world).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let world = World::stored(sim.clone(), 1_021, folder.path()).await;
    world.synced().await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    let again = rollouts(&world).await;
    assert_eq!(again, before);
    // What comes now stands before it.
    assert!(sim.set_image(Resource::Deployments, "shop", "web", "app", "shop/web:none"));
    tokio::time::sleep(Duration::from_secs(90)).await;
    let after = rollouts(&world).await;
    assert_eq!(after.len(), 6, "{after:?}");
    assert_eq!((&*after[0].1, &*after[0].2), failed);
    assert_eq!(after[1..], before);
    end(world).await;
}
