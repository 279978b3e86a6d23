//! Nodes whose packets are dropped: our own connections look healthy all the time.

use std::time::Duration;

use rollcast::ids::{Kind, WorkloadId};

use crate::client::listen;
use crate::oracle::{complete, hear, told, without_gaps};
use crate::resume::seeds;
use crate::world::{STREAM, World, one_pipe};

/// A node is cut off for half a minute or longer and comes back: it is said, no line is lost and no
/// gap is invented, and lines come within ten seconds although the old stream wakes up much later.
/// Meanwhile the low-water mark stands where reading stopped.
#[tokio::test(start_paused = true)]
async fn a_node_that_was_cut_off_is_read_again_soon_after_it_is_back() {
    let web = WorkloadId::new("shop", Kind::Deployment, "web");
    for seed in 0..seeds() {
        let world = World::slow(seed, |_| {});
        world.sim.apply(one_pipe(2, 20.0));
        world.synced().await;
        let mut client = world.stream(&format!("{STREAM}?since=1h"), None).await;
        let mut events = listen(&mut client, Duration::from_secs(10)).await;
        let tail = &world.rooms.service.tail;
        assert_eq!(tail.low_water(&web), None, "all are read live");
        let cut = Duration::from_secs(33 + seed);
        world.sim.partition("node-1", cut);
        let gone = rollcast::time::now();
        events.extend(listen(&mut client, cut).await);
        let low = tail.low_water(&web).expect("one source is not read live");
        assert!((gone - low).abs() < rollcast::time::SECOND, "{}", gone - low);
        assert_eq!(tail.status().nodes_unreachable.len(), 1);
        events.extend(listen(&mut client, Duration::from_secs(10)).await);
        let now = rollcast::time::now() - 3 * rollcast::time::SECOND;
        assert_eq!(tail.low_water(&web), None, "seed {seed}: {}", told(&events));
        for status in tail.sources(&web) {
            assert_eq!(status.reason, None, "{status:?}");
        }
        let heards = hear(&events);
        assert_eq!(heards.len(), 2);
        complete(&heards);
        without_gaps(&events);
        let waits = |event: &crate::client::Event| event.data["reason"] == "node_unreachable";
        assert_eq!(events.iter().filter(|event| waits(event)).count(), 1, "{}", told(&events));
        for pod in world.sim.pods("shop", "web") {
            let last =
                events.iter().rfind(|event| event.name == "log" && event.data["pod"] == *pod.name);
            let (last, _) = rollcast::time::parse_stamp(
                last.unwrap().data["time"].as_str().unwrap().as_bytes(),
            )
            .unwrap();
            assert!(last > now, "seed {seed}: {} is behind by {}", pod.name, now - last);
        }
    }
}
