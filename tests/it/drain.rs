//! A replica that goes away says so.

use std::time::Duration;

use tokio::time::Instant;

use crate::world::{STREAM, World, web};

#[tokio::test(start_paused = true)]
async fn every_stream_ends_with_bye_spread_over_the_window() {
    let world = World::new(11);
    world.sim.apply(web(1, 5.0, None));
    world.synced().await;
    let mut viewers = Vec::new();
    for _ in 0..50 {
        let mut viewer = world.stream(STREAM, None).await;
        viewer.until("live").await;
        viewers.push(viewer);
    }
    let begin = Instant::now();
    world.shutdown.drain();
    let mut ends = Vec::new();
    for viewer in &mut viewers {
        let bye = viewer.until("bye").await;
        assert_eq!(bye.data["reason"], "drain");
        assert!(bye.data["retry_ms"].as_u64().is_some_and(|retry| retry >= 2_000));
        assert!(viewer.next().await.is_none());
        ends.push(begin.elapsed());
    }
    // Viewers are read one after another, so these are upper bounds, and the last is exact.
    assert!(ends.iter().all(|end| *end <= Duration::from_secs(15)), "{ends:?}");
    assert!(ends.last().is_some_and(|end| *end > Duration::from_secs(10)), "{ends:?}");
}

#[tokio::test(start_paused = true)]
async fn a_quiet_stream_has_a_heartbeat_every_ten_seconds() {
    let world = World::new(12);
    world.sim.apply(web(1, 1.0, Some(1)));
    world.synced().await;
    let mut viewer = world.stream(STREAM, None).await;
    viewer.drain(Duration::from_secs(65)).await;
    assert!((5..=7).contains(&viewer.heartbeats), "{}", viewer.heartbeats);
}
