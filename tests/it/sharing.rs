//! One upstream stream, whatever the number of viewers.

use std::time::Duration;

use crate::oracle::{complete, hear};
use crate::world::{STREAM, World, web};

/// What is new is encoded once, whoever reads it, and so it is filtered once.
#[tokio::test(start_paused = true)]
async fn what_is_new_is_encoded_once_for_all_who_asked_for_the_same() {
    let world = World::new(4);
    world.sim.apply(web(1, 100.0, None));
    world.synced().await;
    let mut viewers = Vec::new();
    for _ in 0..50 {
        let mut viewer = world.stream(&format!("{STREAM}?tail=0&match=%20e%20"), None).await;
        viewer.until("live").await;
        viewers.push(viewer);
    }
    let made = "rollcast_view_pieces_total{result=\"miss\"}";
    let taken = "rollcast_view_pieces_total{result=\"hit\"}";
    let count = |series: &str| world.exposition.value(series).unwrap_or(0.0);
    let before = (count(made), count(taken));
    let mut texts = Vec::new();
    for viewer in &mut viewers {
        let events = viewer.drain_for(Duration::from_millis(100)).await;
        texts.push(events.len());
    }
    assert!(texts.iter().all(|lines| *lines > 0), "{texts:?}");
    assert_eq!(count(made), before.0, "somebody encoded for itself");
    assert!(count(taken) > before.1 + 50.0);
    assert!(count("rollcast_view_bytes") > 0.0);
}

#[tokio::test(start_paused = true)]
async fn two_hundred_viewers_of_one_pod_cost_one_log_stream() {
    let world = World::new(3);
    world.sim.apply(web(1, 50.0, Some(500)));
    world.synced().await;
    let mut viewers = Vec::new();
    for _ in 0..200 {
        viewers.push(world.stream(&format!("{STREAM}?since=1h"), None).await);
    }
    let mut first = None;
    for viewer in &mut viewers {
        let events = viewer.drain(Duration::from_secs(15)).await;
        let heards = hear(&events);
        complete(&heards);
        let lines: usize = heards.values().map(|heard| heard.numbers.len()).sum();
        assert_eq!(lines, 500);
        first.get_or_insert(lines);
    }
    let requests = world.sim.requests();
    assert_eq!(requests.logs_open, 1, "{requests:?}");
    // Beside it, a look now and then at a log that has been quiet for fifty minutes.
    assert!(requests.logs_open_most <= 2 && requests.logs_total < 25, "{requests:?}");
}
