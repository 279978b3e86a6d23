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

/// Why a source waits is said in a word of its own, whatever the reason.
#[tokio::test(start_paused = true)]
async fn every_reason_to_wait_is_told_by_its_word() {
    use rollcast::sim::{Effect, Fault, Match, RequestKind};
    let dial = "dial tcp 10.98.0.11:10250: connect: connection refused";
    let message = "failed to create fsnotify watcher: too many open files\n";
    let cases = [
        (Effect::Forbidden, "forbidden"),
        (Effect::TooMany(3), "busy"),
        (Effect::Status(500, dial.to_owned()), "refused"),
        (Effect::Status(404, "pods \"web\" not found".to_owned()), "not_found"),
        (Effect::Cut(0), "retry"),
        (Effect::InBand(0, message.to_owned()), "kubelet_message"),
    ];
    for (effect, word) in cases {
        let world = World::slow(31, |_| {});
        world.sim.apply(one_pipe(1, 20.0));
        world.synced().await;
        let logs = Match::kind(RequestKind::Log);
        let fault = Fault::new(logs.clone(), effect).lasts(Duration::from_secs(12));
        world.sim.add_fault(fault);
        let mut client = world.stream(&format!("{STREAM}?since=1h"), None).await;
        let events = listen(&mut client, Duration::from_secs(35)).await;
        let waits = |event: &&crate::client::Event| {
            event.name == "source" && event.data["state"] == "waiting"
        };
        let words: Vec<_> =
            events.iter().filter(waits).map(|event| &event.data["reason"]).collect();
        assert!(words.iter().any(|told| **told == word), "{word}: {words:?}");
        let states = world.rooms.service.tail.status().states;
        assert_eq!(states.get("following"), Some(&1), "{word}: {states:?}");
        complete(&hear(&events));
        without_gaps(&events);
    }
}
