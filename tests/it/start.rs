//! Where a stream begins if nothing else was asked for.

use std::time::Duration;

use rollcast::ids::{Kind, RolloutPhase, WorkloadId};
use tokio::time::sleep;

use crate::world::{STREAM, World, web};

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_not_ready_for_a_moment_makes_no_stream_begin_at_the_rollout() {
    let world = World::new(11);
    world.sim.apply(web(2, 50.0, Some(400)));
    world.synced().await;
    // Somebody reads, so the journal holds the whole rollout.
    let mut first = world.stream(&format!("{STREAM}?since=1h"), None).await;
    first.drain(Duration::from_secs(25)).await;
    let name = WorkloadId::new("shop", Kind::Deployment, "web");
    let state = || world.rooms.service.model.lock().current(&name).unwrap();
    assert_eq!(state().phase, RolloutPhase::Complete);

    let pod = world.sim.pods("shop", "web")[0].name.clone();
    assert!(world.sim.set_ready("shop", &pod, "app", Some(false)));
    sleep(Duration::from_secs(3)).await;
    assert_eq!(state().ready, 1, "the state shows that one is missing");
    let mut late = world.stream(STREAM, None).await;
    let events = late.drain(Duration::from_secs(15)).await;
    let lines = events.iter().filter(|event| event.name == "log").count();
    assert_eq!(lines, 100, "the usual tail, not the 800 lines since the rollout began");
}
