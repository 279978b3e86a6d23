//! One upstream stream, whatever the number of viewers.

use std::time::Duration;

use crate::oracle::{complete, hear};
use crate::world::{STREAM, World, web};

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
    assert!(requests.logs_open_most <= 2 && requests.logs_total < 20, "{requests:?}");
}
