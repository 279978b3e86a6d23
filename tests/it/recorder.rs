//! What is followed although nobody watches.

use std::time::Duration;

use rollcast::config::Record;
use rollcast::sim::{Exit, Numbers, Output, Program, Resource, Sim, SimOptions};
use rollcast::time;

use crate::world::{STREAM, World, web};

/// A revision that says ten lines and crashes two seconds after its start.
fn crashing() -> Program {
    let numbers = Numbers { lines: Some(10), ..Numbers::new("crash", 100.0) };
    let output = vec![Output::Numbered(numbers)];
    Program { output, exit: Exit::After(Duration::from_secs(2), 1), ..Program::default() }
}

async fn rolled_back(record: Record, annotation: Option<&str>) -> World {
    let world = World::with(81, |plan| plan.logs.record = record);
    let mut deployment = web(1, 1.0, None);
    if let Some(word) = annotation {
        deployment.annotations.insert("rollcast.dev/record".to_owned(), word.to_owned());
    }
    world.sim.apply(deployment);
    world.synced().await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    world.sim.register_image("shop/web:2", crashing());
    assert!(world.sim.set_image(Resource::Deployments, "shop", "web", "app", "shop/web:2"));
    tokio::time::sleep(Duration::from_secs(20)).await;
    world.sim.register_image("shop/web:1", Program::numbered("run", 1.0));
    assert!(world.sim.set_image(Resource::Deployments, "shop", "web", "app", "shop/web:1"));
    tokio::time::sleep(Duration::from_secs(120)).await;
    world
}

/// Lines of the crashed revision that somebody is given who comes after all is over.
async fn heard(world: &World) -> usize {
    let mut client = world.stream(&format!("{STREAM}?since=1h"), None).await;
    client.until("live").await;
    let path = format!("{STREAM}?since=1h&match=%20crash%20");
    let mut client = world.stream(&path, None).await;
    let mut lines = 0;
    loop {
        let event = client.next().await.unwrap();
        match &*event.name {
            "log" => lines += 1,
            "live" => return lines,
            _ => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_comes_late_has_the_lines_of_a_pod_that_crashed_and_is_gone() {
    let world = rolled_back(Record::Rollouts, None).await;
    let lines = heard(&world).await;
    assert!(lines >= 10, "{lines} lines");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_recorded_where_it_is_switched_off() {
    let world = rolled_back(Record::Off, None).await;
    assert_eq!(world.sim.requests().logs_total, 0, "{:?}", world.sim.requests().logs);
    assert_eq!(heard(&world).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_workload_may_have_its_own_wish() {
    let world = rolled_back(Record::Off, Some("rollouts")).await;
    assert!(heard(&world).await >= 10);
    let world = rolled_back(Record::Rollouts, Some("off")).await;
    assert_eq!(world.sim.requests().logs_total, 0, "{:?}", world.sim.requests().logs);
    let world = rolled_back(Record::Off, Some("all")).await;
    let requests = world.sim.requests();
    assert!(requests.logs_open >= 1, "followed without any rollout: {requests:?}");
}

/// A namespace wishes for all of its workloads, and a workload's own wish counts before that.
#[tokio::test(start_paused = true)]
async fn a_namespace_may_have_its_own_wish() {
    let world = World::with(82, |plan| plan.logs.record = Record::Off);
    let mut own = web(1, 1.0, None);
    own.name = "own".to_owned();
    own.annotations.insert("rollcast.dev/record".to_owned(), "off".to_owned());
    world.sim.apply(web(2, 1.0, None));
    world.sim.apply(own);
    world.synced().await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(world.rooms.service.tail.followers(), 0);
    world.sim.annotate_namespace("shop", "rollcast.dev/record", Some("all"));
    tokio::time::sleep(Duration::from_secs(70)).await;
    assert_eq!(world.rooms.service.tail.followers(), 2, "those of web, and none of own");
    world.sim.annotate_namespace("shop", "rollcast.dev/record", None);
    tokio::time::sleep(Duration::from_secs(110)).await;
    assert_eq!(world.rooms.service.tail.followers(), 0);
}

/// With fewer places than pods those that fail are recorded, also when they begin to fail later.
#[tokio::test(start_paused = true)]
async fn pods_that_fail_are_recorded_before_those_that_do_not() {
    let world = World::with(83, |plan| {
        (plan.logs.record, plan.logs.record_sources) = (Record::All, 2);
    });
    world.sim.apply(web(6, 1.0, None));
    world.synced().await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    let tail = &world.rooms.service.tail;
    assert_eq!(tail.followers(), 2);
    let id = rollcast::ids::WorkloadId::new("shop", rollcast::ids::Kind::Deployment, "web");
    let followed = || -> Vec<String> {
        let sources = tail.sources(&id).into_iter();
        let live = sources.filter(|it| it.state == rollcast::ids::SourceState::Following);
        live.map(|it| it.source.pod.to_string()).collect()
    };
    let before = followed();
    let pods = world.sim.pods("shop", "web");
    let others: Vec<_> = pods.iter().filter(|pod| !before.contains(&pod.name)).take(2).collect();
    for pod in &others {
        assert!(world.sim.crash("shop", &pod.name, "app", 1));
    }
    tokio::time::sleep(Duration::from_secs(40)).await;
    let after = followed();
    assert_eq!(after.len(), 2, "{after:?}");
    assert!(others.iter().all(|pod| after.contains(&pod.name)), "{after:?}");
}

/// A service that begins among workloads that were complete long ago opens none of their logs.
#[tokio::test(start_paused = true)]
async fn nothing_that_is_complete_is_recorded_at_the_start() {
    let sim = Sim::new(SimOptions { start_time: time::now(), ..SimOptions::default() });
    sim.apply(web(3, 1.0, None));
    tokio::time::sleep(Duration::from_secs(120)).await;
    let world = World::around(sim, 82, |plan| plan.logs.record = Record::Rollouts);
    world.synced().await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(world.sim.requests().logs_total, 0);
}
