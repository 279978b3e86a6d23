//! One follow that goes wrong by itself: skipped and repeated files, clocks that are set back.

use std::time::Duration;

use rollcast::sim::{Effect, Match, Sim, SimOptions};
use rollcast::time::SECOND;

use crate::client::{Event, listen};
use crate::oracle::{complete, hear, marked, told, without_gaps};
use crate::resume::seeds;
use crate::world::{STREAM, World, one_pipe, slow};

fn small_files(seed: u64, log_max_bytes: usize) -> World {
    let options = SimOptions { log_max_bytes, ..slow(seed) };
    World::around(Sim::new(options), seed, |_| {})
}

fn reasons(events: &[Event]) -> Vec<&str> {
    let gaps = events.iter().filter(|event| event.name == "gap");
    gaps.map(|gap| gap.data["reason"].as_str().unwrap()).collect()
}

/// A stream that stalls for seconds while files rotate skips some and repeats one: nothing comes
/// twice, and where lines are missing there is a gap from the last to the next, and nowhere else.
#[tokio::test(start_paused = true)]
async fn what_the_kubelet_skips_while_it_lags_is_marked_and_what_it_repeats_is_dropped() {
    let mut gaps = 0;
    for seed in 0..seeds() {
        let world = small_files(seed, 30_000);
        world.sim.apply(one_pipe(1, 100.0));
        world.synced().await;
        let mut client = world.stream(&format!("{STREAM}?since=1h"), None).await;
        let mut events = listen(&mut client, Duration::from_secs(4)).await;
        for stall in [200, 1_500 + 100 * seed, 9_000] {
            let stall = Effect::Stall(Duration::from_millis(stall));
            world.sim.disturb(&Match::follow(""), &stall);
            events.extend(listen(&mut client, Duration::from_secs(12)).await);
        }
        gaps += marked(&events, &format!("seed {seed}"));
        assert!(reasons(&events).iter().all(|reason| *reason == "rotation_unproven"));
    }
    assert!(gaps as u64 >= seeds(), "nothing was ever skipped: {gaps}");
}

/// Files rotate every second and nothing else happens.
#[tokio::test(start_paused = true)]
async fn fast_rotation_alone_leaves_no_gap() {
    for seed in 0..seeds() {
        let world = small_files(seed, 20_000 + 1_000 * seed as usize);
        world.sim.apply(one_pipe(2, 150.0));
        world.synced().await;
        let mut client = world.stream(&format!("{STREAM}?since=1h"), None).await;
        let events = listen(&mut client, Duration::from_secs(15)).await;
        without_gaps(&events);
        complete(&hear(&events));
    }
}

/// A stream that stalls while its log stays in one file has nothing to mark.
#[tokio::test(start_paused = true)]
async fn a_stall_without_rotation_leaves_no_gap_however_sparse_the_log() {
    for seed in 0..seeds() {
        let world = small_files(seed, 1 << 20);
        world.sim.apply(one_pipe(1, [0.7, 3.0, 40.0][seed as usize % 3]));
        world.synced().await;
        let mut client = world.stream(&format!("{STREAM}?since=1h"), None).await;
        let mut events = listen(&mut client, Duration::from_secs(6)).await;
        for _ in 0..3 {
            world.sim.disturb(&Match::follow(""), &Effect::Stall(Duration::from_secs(7)));
            events.extend(listen(&mut client, Duration::from_secs(11)).await);
        }
        without_gaps(&events);
        complete(&hear(&events));
    }
}

/// The clock of a node is set back by an hour, or a little, under an open follow and under one that
/// was resumed and so is deaf to everything below its `sinceTime`. It is said, nothing is lost, and
/// lines come promptly again.
#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_costs_no_line_and_no_gap() {
    for seed in 0..seeds() {
        let resumed = seed % 2 == 1;
        let world = small_files(seed, 1 << 24);
        world.sim.apply(one_pipe(1, [5.0, 60.0][seed as usize / 2 % 2]));
        world.synced().await;
        let mut client = world.stream(&format!("{STREAM}?since=1h"), None).await;
        let mut events = listen(&mut client, Duration::from_secs(8)).await;
        if resumed {
            world.sim.disturb(&Match::follow(""), &Effect::Cut(0));
            events.extend(listen(&mut client, Duration::from_secs(3)).await);
        }
        let step = [3_600, 600, 30, 4][seed as usize % 4] * SECOND;
        for node in ["node-1", "node-2"] {
            world.sim.set_clock(node, -step);
        }
        let before = hear(&events).values().map(|heard| heard.numbers.len()).sum::<usize>();
        let bound = if resumed { 15 } else { 2 };
        events.extend(listen(&mut client, Duration::from_secs(bound)).await);
        let after = hear(&events).values().map(|heard| heard.numbers.len()).sum::<usize>();
        assert!(after > before, "seed {seed}: deaf for {bound} s\n{}", told(&events));
        // The new time is the one that counts: also for what breaks later.
        world.sim.disturb(&Match::follow(""), &Effect::Cut(0));
        events.extend(listen(&mut client, Duration::from_secs(6)).await);
        without_gaps(&events);
        complete(&hear(&events));
        if step > 3 * SECOND {
            let said = events.iter().any(|event| event.data["reason"] == "clock_step");
            assert!(said, "seed {seed}: {}", told(&events));
        }
    }
}
