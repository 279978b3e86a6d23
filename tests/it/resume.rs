//! Resuming: on our side of the service and on the other.

use std::time::Duration;

use rollcast::sim::{Effect, Fault, Match, RequestKind};

use crate::oracle::{complete, hear, increasing, told, without_gaps};
use crate::world::{STREAM, World, web};

/// The client is cut every few lines and comes back with its last id.
#[tokio::test(start_paused = true)]
async fn a_client_that_is_killed_again_and_again_gets_every_line_once() {
    let world = World::new(1);
    world.sim.apply(web(3, 200.0, Some(600)));
    world.synced().await;
    let path = format!("{STREAM}?since=1h");
    let mut client = world.stream(&path, None).await;
    let mut events = Vec::new();
    let mut cuts = 0;
    let mut random = fastrand::Rng::with_seed(1);
    loop {
        let count = random.usize(1..120);
        let mut silent = false;
        for _ in 0..count {
            match tokio::time::timeout(Duration::from_secs(20), client.next()).await {
                Ok(event) => events.push(event.unwrap()),
                Err(_) => {
                    silent = true;
                    break;
                }
            }
        }
        if silent {
            break;
        }
        cuts += 1;
        let id = client.last_id.clone();
        client = world.stream(&path, id.as_deref()).await;
        let hello = client.until("hello").await;
        assert_eq!(hello.data["resumed"], "exact");
    }
    let heards = hear(&events);
    assert_eq!(heards.len(), 6, "three pods, two streams each");
    assert!(heards.values().all(|heard| heard.numbers.len() == 300));
    assert!(cuts > 10, "{cuts} cuts");
    complete(&heards);
    without_gaps(&events);
    increasing(&events);
}

/// The API server's streams break, end cleanly, tell kubelet errors and hang, at odd places.
#[tokio::test(start_paused = true)]
async fn whatever_breaks_upstream_every_line_comes_once() {
    for seed in 0..seeds() {
        let world = World::new(seed);
        let message = "failed to create fsnotify watcher: too many open files";
        // A resume replays up to two seconds, some 50 KB: an answer that never gets beyond that makes
        // no progress, and no reader could.
        let effects = [
            Effect::Cut(63_000),
            Effect::End(57_777),
            Effect::InBand(72_345, message.to_owned()),
            Effect::Drip(700, Duration::from_millis(3)),
            Effect::TooMany(1),
        ];
        for effect in effects {
            let on = Match { kind: Some(RequestKind::Log), follow: Some(true), ..Match::default() };
            world.sim.add_fault(Fault { probability: 0.3, ..Fault::new(on, effect) });
        }
        world.sim.apply(web(2, 100.0, Some(1_000)));
        world.synced().await;
        let mut client = world.stream(&format!("{STREAM}?since=1h"), None).await;
        let events = client.drain(Duration::from_secs(60)).await;
        let heards = hear(&events);
        assert_eq!(heards.len(), 4, "seed {seed}: two pods, two streams each");
        for (source, heard) in &heards {
            let told = told(&events);
            let requests = world.sim.requests();
            assert_eq!(heard.numbers.len(), 500, "seed {seed}: {source:?}\n{told}\n{requests:#?}");
        }
        complete(&heards);
        without_gaps(&events);
        increasing(&events);
    }
}

/// At least 20; more with `ROLLCAST_TEST_SEEDS`, as `make test-all` sets it.
pub fn seeds() -> u64 {
    std::env::var("ROLLCAST_TEST_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(20)
}
