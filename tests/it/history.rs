//! Where a stream begins, and what it leaves out.

use std::time::Duration;

use rollcast::sim::{Effect, Fault, Match, RequestKind};
use rollcast::time::{self, SECOND, parse_stamp};

use crate::client::Event;
use crate::world::{STREAM, World, web};

fn lines(events: &[Event]) -> Vec<&Event> {
    events.iter().filter(|event| event.name == "log").collect()
}

fn stamp(event: &Event) -> i64 {
    parse_stamp(event.data["time"].as_str().unwrap().as_bytes()).unwrap().0
}

/// The log of one pod cannot be opened before the stream has caught up with the other.
#[tokio::test(start_paused = true)]
async fn since_holds_for_a_log_that_opens_late() {
    let world = World::new(31);
    world.sim.apply(web(2, 20.0, None));
    world.synced().await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let late = world.sim.pods("shop", "web")[1].name.clone();
    let on = Match { kind: Some(RequestKind::Log), name: Some(late.clone()), ..Match::default() };
    world.sim.add_fault(Fault::new(on, Effect::TooMany(1)).lasts(Duration::from_secs(6)));
    let asked = time::now();
    let mut client = world.stream(&format!("{STREAM}?since=10s"), None).await;
    client.until("live").await;
    let mut heard = 0;
    while heard < 100 {
        let event = client.next().await.unwrap();
        if event.name == "log" {
            assert!(stamp(&event) >= asked - 11 * SECOND, "{event:?}");
            heard += usize::from(event.data["pod"] == late.as_str());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_lines_does_not_repeat_old_states() {
    let world = World::new(32);
    world.sim.apply(web(1, 5.0, None));
    world.synced().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    for image in ["shop/web:2", "shop/web:3", "shop/web:4"] {
        world.sim.register_image(image, Default::default());
        let deployments = rollcast::sim::Resource::Deployments;
        assert!(world.sim.set_image(deployments, "shop", "web", "app", image));
        tokio::time::sleep(Duration::from_secs(90)).await;
    }
    let mut client = world.stream(&format!("{STREAM}?logs=none"), None).await;
    let mut told = Vec::new();
    loop {
        let event = client.next().await.unwrap();
        if event.name == "live" {
            break;
        }
        told.push(event);
    }
    // The state as it stands, and nothing of how it came about.
    let names: Vec<_> = told.iter().map(|event| &*event.name).collect();
    assert_eq!(names, ["hello", "rollout", "pod"]);
}

/// Should the server be gone when a client comes back that heard no more than `hello`, its history
/// must be read again too.
#[tokio::test(start_paused = true)]
async fn the_first_id_carries_the_time_at_which_the_stream_begins() {
    let world = World::new(33);
    world.sim.apply(web(1, 20.0, None));
    world.synced().await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let mut client = world.stream(&format!("{STREAM}?tail=100"), None).await;
    let hello = client.until("hello").await;
    let id = hello.id.unwrap();
    let ms: i64 = id.split('-').nth(2).unwrap().parse().unwrap();
    let first = stamp(&client.until("log").await);
    assert!(ms * 1_000_000 <= first, "{id} is younger than the first line, {first}");
}

/// A small journal that has forgotten most of what a first reader was given.
async fn forgetful(seed: u64) -> (World, Vec<Event>) {
    let world = World::with(seed, |plan| plan.journal.workload_bytes = 200_000);
    world.sim.apply(web(2, 200.0, Some(2_000)));
    world.synced().await;
    let mut first = world.stream(&format!("{STREAM}?since=1h"), None).await;
    let events = first.drain(Duration::from_secs(15)).await;
    assert_eq!(lines(&events).len(), 4_000);
    (world, events)
}

#[tokio::test(start_paused = true)]
async fn what_is_older_than_all_that_is_kept_is_counted() {
    let (world, _) = forgetful(34).await;
    let mut second = world.stream(&format!("{STREAM}?since=1h"), None).await;
    let events = second.drain(Duration::from_secs(5)).await;
    let kept = lines(&events).len();
    assert!(kept < 4_000, "nothing was forgotten");
    let gaps: Vec<_> = events.iter().filter(|event| event.name == "gap").collect();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    let gap = &gaps[0].data;
    assert_eq!(gap["reason"], "history_evicted");
    assert_eq!(gap["count"], 4_000 - kept as u64, "{gap}");
    assert!(gap["from"].is_string() && gap["to"].is_string(), "{gap}");
    // What is asked for and still kept whole has no gap.
    let young = stamp(lines(&events)[0]) + SECOND;
    let since = time::rfc3339(young);
    let mut third = world.stream(&format!("{STREAM}?since={since}"), None).await;
    let events = third.drain(Duration::from_secs(5)).await;
    assert!(!lines(&events).is_empty());
    assert!(events.iter().all(|event| event.name != "gap"), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn a_position_that_was_forgotten_is_answered_with_the_exact_gap() {
    let (world, events) = forgetful(35).await;
    let first = lines(&events)[99];
    let mut second = world.stream(STREAM, first.id.as_deref()).await;
    let again = second.drain(Duration::from_secs(5)).await;
    let gap = &again.iter().find(|event| event.name == "gap").expect("a gap").data;
    assert_eq!(gap["reason"], "history_evicted");
    assert_eq!(gap["count"], 3_900 - lines(&again).len() as u64, "{gap}");
    assert!(gap["from"].is_string() && gap["to"].is_string(), "{gap}");
    let from = parse_stamp(gap["from"].as_str().unwrap().as_bytes()).unwrap().0;
    assert!(
        from >= stamp(first) - 2 * SECOND,
        "{gap}: all up to {:?} was read",
        first.data["time"]
    );
}

/// After a restart the same holds: what the new journal has forgotten since is counted, though the
/// position in the old one cannot be found in it.
#[tokio::test(start_paused = true)]
async fn what_was_forgotten_since_a_restart_is_told_to_who_comes_back() {
    let (world, events) = forgetful(36).await;
    let old = lines(&events)[1_999];
    let millis = stamp(old) / time::MILLISECOND;
    let mut second = world.stream(STREAM, Some(&format!("otherepoch-17-{millis}"))).await;
    let again = second.drain(Duration::from_secs(5)).await;
    let gaps: Vec<_> = again.iter().filter(|event| event.name == "gap").collect();
    let evicted = gaps.iter().find(|gap| gap.data["reason"] == "history_evicted");
    let gap = &evicted.unwrap_or_else(|| panic!("{gaps:?}")).data;
    // How many of them lie behind a time is not known, but that some do, and from when to when.
    assert_eq!(gap["count"], serde_json::Value::Null, "{gap}");
    let of = |name: &str| parse_stamp(gap[name].as_str().unwrap().as_bytes()).unwrap().0;
    let kept = stamp(lines(&again)[0]);
    assert!(of("from") <= stamp(old) && of("to") >= kept, "{gap}, kept from {kept}");
}
