//! How rollouts end, as somebody sees it who waits for that: by a stream until the result, and by asking
//! for the verdict.

use std::time::Duration;

use axum::body::to_bytes;
use rollcast::sim::{
    Container, DaemonSet, Deployment, Effect, Exit, Fault, Match, Output, Pipe, Program, Pull,
    Ready, RequestKind, Resource, StatefulSet, Template,
};
use rollcast::time;
use tokio::time::Instant;

use crate::client::{Client, Event};
use crate::world::{STREAM, World};

pub(crate) const VERDICT: &str = "/api/v1/namespaces/shop/deployment/web/verdict";
const ROLLOUT: &str = "/api/v1/namespaces/shop/deployment/web/rollout";
const ROLLOUTS: &str = "/api/v1/namespaces/shop/deployment/web/rollouts";

/// Runs on, and says a line when it starts.
pub(crate) fn good(ready: Ready) -> Program {
    let lines = [(Duration::ZERO, Pipe::Out, "starting".to_owned())];
    Program { ready, output: vec![Output::Script(lines.into())], ..Program::default() }
}

/// Says why, and ends after two seconds.
pub(crate) fn crashing() -> Program {
    let lines = [
        (Duration::ZERO, Pipe::Out, "starting web".to_owned()),
        (Duration::from_secs(2), Pipe::Err, "FATAL config: DATABASE_URL is not set".to_owned()),
    ];
    let exit = Exit::After(Duration::from_millis(2_200), 1);
    Program { output: vec![Output::Script(lines.into())], exit, ..Program::default() }
}

/// Two good pods of version 1 without readiness probe, whose rollout is over.
pub(crate) async fn settled(seed: u64) -> World {
    settled_with(seed, Ready::NoProbe).await
}

/// The same; whether the template has a probe, its first program says.
async fn settled_with(seed: u64, ready: Ready) -> World {
    let world = World::new(seed);
    let probed = Ready::After(Duration::from_secs(1));
    let app = Container::new("app", "shop/web:1", good(ready));
    world.sim.apply(Deployment::new("shop", "web", 2, Template::new([app])));
    for (image, program) in [
        ("shop/web:2", good(probed)),
        ("shop/web:quiet", good(Ready::NoProbe)),
        ("shop/web:crash", crashing()),
        ("shop/web:late", good(Ready::Never)),
        (
            "shop/web:none",
            Program {
                pull: Pull::Fails { message: "shop/web:none: not found".to_owned() },
                ..Program::default()
            },
        ),
    ] {
        world.sim.register_image(image, program);
    }
    world.synced().await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    world
}

pub(crate) fn set(world: &World, image: &str) {
    assert!(world.sim.set_image(Resource::Deployments, "shop", "web", "app", image));
}

/// All events until the stream ends by itself.
pub(crate) async fn to_the_end(client: &mut Client, limit: Duration) -> Vec<Event> {
    let all = async {
        let mut events = Vec::new();
        while let Some(event) = client.next().await {
            events.push(event);
        }
        events
    };
    tokio::time::timeout(limit, all).await.expect("the stream does not end")
}

/// The one result of a stream, which is its last event.
pub(crate) fn result(events: &[Event]) -> &Event {
    let results = events.iter().filter(|event| event.name == "result").count();
    assert_eq!(results, 1, "{events:?}");
    let last = events.last().unwrap();
    assert_eq!(last.name, "result");
    last
}

pub(crate) async fn follow(world: &World, query: &str, limit: u64) -> Vec<Event> {
    let mut client = world.stream(&format!("{STREAM}?until=result{query}"), None).await;
    to_the_end(&mut client, Duration::from_secs(limit)).await
}

#[tokio::test(start_paused = true)]
async fn a_rollout_that_is_over_answers_at_once() {
    let world = settled(1).await;
    let events = follow(&world, "", 3).await;
    let result = result(&events);
    assert_eq!(result.data["outcome"], "succeeded");
    assert_eq!(result.data["workload"], "shop/deployment/web");
    assert_eq!((&result.data["ready"], &result.data["desired"]), (&2.into(), &2.into()));
    let (status, verdict) = world.json(VERDICT, &[]).await;
    assert_eq!((status, &verdict["outcome"]), (200, &result.data["outcome"]));
    let (_, rollout) = world.json(ROLLOUT, &[]).await;
    assert_eq!(rollout["result"]["outcome"], "succeeded");
}

/// The request comes before our watch has brought the change: it is the new rollout that is waited for.
#[tokio::test(start_paused = true)]
async fn the_rollout_that_was_asked_for_a_moment_ago_is_the_one() {
    let world = settled(2).await;
    set(&world, "shop/web:2");
    let events = follow(&world, "", 120).await;
    let result = result(&events);
    assert_eq!(
        (&result.data["outcome"], &result.data["revision"]),
        (&"succeeded".into(), &"2".into())
    );
    let lines = events.iter().filter(|event| event.name == "log" && event.data["side"] == "new");
    assert!(lines.count() >= 2, "the new pods' lines come before it");
    // Who asks afterwards is answered at once.
    let (status, verdict) = world.json(&format!("{VERDICT}?revision=2"), &[]).await;
    assert_eq!((status, &verdict["revision"]), (200, &"2".into()));
}

#[tokio::test(start_paused = true)]
async fn an_image_that_is_not_there_fails_within_seconds() {
    let world = settled(3).await;
    set(&world, "shop/web:none");
    let began = Instant::now();
    let events = follow(&world, "", 60).await;
    let result = result(&events);
    assert_eq!(result.data["outcome"], "failed");
    assert_eq!(result.data["reason"], "image_not_found");
    assert!(
        result.data["message"].as_str().unwrap().contains("shop/web:none not found"),
        "{result:?}"
    );
    assert!(result.data["pods"][0]["pod"].is_string());
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let told = events.iter().rfind(|event| event.name == "rollout").unwrap();
    assert_eq!(told.data["reasons"][0]["code"], "image_not_found");
    assert_eq!(told.data["reasons"][0]["certain"], true);
    let (status, verdict) = world.json(&format!("{VERDICT}?wait=5s"), &[]).await;
    assert_eq!((status, &verdict["reason"]), (424, &"image_not_found".into()));
}

/// `truths.md` 11: kubectl calls it a success after 1.8 s.
#[tokio::test(start_paused = true)]
async fn a_crash_loop_without_probe_is_never_a_success_and_shows_its_last_lines() {
    for seed in 0..crate::resume::seeds() {
        let world = settled(100 + seed).await;
        set(&world, "shop/web:crash");
        let events = follow(&world, "", 300).await;
        let result = result(&events);
        assert_eq!(result.data["outcome"], "failed", "seed {seed}");
        assert_eq!(result.data["reason"], "crash_loop");
        let pod = &result.data["pods"][0];
        assert_eq!(
            (&pod["container"], &pod["exit_code"]),
            (&"app".into(), &1.into()),
            "{result:?}"
        );
        let lines: Vec<_> =
            pod["lines"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
        let said = ["starting web", "FATAL config: DATABASE_URL is not set"];
        assert_eq!(lines, said, "seed {seed}: {result:?}");
        assert!(pod["attempt"].as_u64().unwrap() >= 3, "{result:?}");
    }
}

/// The same as it was measured: `sleep 4; exit 1`, with one pod and with three.
#[tokio::test(start_paused = true)]
async fn who_ends_after_four_seconds_is_never_a_success_however_many_there_are() {
    for replicas in [1, 3] {
        let world = World::new(30 + u64::from(replicas));
        let ends = Program { exit: Exit::After(Duration::from_secs(4), 1), ..good(Ready::NoProbe) };
        world.sim.register_image("shop/web:ends", ends);
        let app = Container::new("app", "shop/web:1", good(Ready::NoProbe));
        world.sim.apply(Deployment::new("shop", "web", replicas, Template::new([app])));
        world.synced().await;
        tokio::time::sleep(Duration::from_secs(30)).await;
        set(&world, "shop/web:ends");
        let events = follow(&world, "", 300).await;
        let told = &result(&events).data;
        assert_eq!((&told["outcome"], &told["reason"]), (&"failed".into(), &"crash_loop".into()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_without_probe_counts_only_after_it_has_held() {
    let world = settled(5).await;
    set(&world, "shop/web:quiet");
    let began = Instant::now();
    let events = follow(&world, "", 60).await;
    let complete = events
        .iter()
        .find(|event| event.name == "rollout" && event.data["phase"] == "complete")
        .expect("it was complete before it counted");
    let result = result(&events);
    assert_eq!(result.data["outcome"], "succeeded");
    // Less what may lie between the two clocks that a wall time is read from.
    assert!(result.at - complete.at >= 4_900 * time::MILLISECOND, "complete is not yet good");
    assert!(began.elapsed() >= Duration::from_secs(10));
}

/// Where each container says itself whether it is ready, that is enough.
#[tokio::test(start_paused = true)]
async fn pods_with_probes_count_as_soon_as_they_are_ready() {
    let world = settled_with(15, Ready::After(Duration::from_secs(1))).await;
    set(&world, "shop/web:2");
    let began = Instant::now();
    let events = follow(&world, "", 60).await;
    assert_eq!(result(&events).data["outcome"], "succeeded");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_newer_change_ends_who_waits_for_the_older() {
    let world = settled(6).await;
    set(&world, "shop/web:late");
    let mut client = world.stream(&format!("{STREAM}?until=result"), None).await;
    client.until("live").await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    set(&world, "shop/web:2");
    let events = to_the_end(&mut client, Duration::from_secs(10)).await;
    assert_eq!(result(&events).data["outcome"], "superseded");
    let (status, _) = world.json(&format!("{VERDICT}?wait=55s"), &[]).await;
    assert_eq!(status, 200, "the newer one is good");
    let (status, verdict) = world.json(&format!("{VERDICT}?revision=2"), &[]).await;
    assert_eq!((status, &verdict["outcome"]), (424, &"superseded".into()));
    let (_, all) = world.json(ROLLOUTS, &[]).await;
    let outcomes: Vec<_> = all["rollouts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rollout| rollout["result"]["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(outcomes, ["succeeded", "superseded", "succeeded"]);
}

#[tokio::test(start_paused = true)]
async fn a_verdict_waits_as_long_as_it_was_asked_to_and_says_that_it_still_runs() {
    let world = settled(7).await;
    set(&world, "shop/web:late");
    let began = Instant::now();
    let response = world.get(&format!("{VERDICT}?wait=25s"), &[]).await;
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "1");
    assert!((24..27).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(problem["type"], "urn:rollcast:problem:running");
}

/// Its readiness never comes: our deadline, for the sim's Deployment has one of ten minutes.
#[tokio::test(start_paused = true)]
async fn what_never_becomes_ready_times_out_with_its_deadline() {
    let world = settled(8).await;
    set(&world, "shop/web:late");
    let events = follow(&world, "", 800).await;
    let result = result(&events);
    assert_eq!(result.data["outcome"], "timed_out", "{result:?}");
    let duration = result.data["duration_ms"].as_u64().unwrap() / 1000;
    assert!((595..620).contains(&duration), "{duration} s");
}

#[tokio::test(start_paused = true)]
async fn a_workload_that_is_deleted_meanwhile_has_a_result() {
    let world = settled(9).await;
    set(&world, "shop/web:late");
    let mut client = world.stream(&format!("{STREAM}?until=result"), None).await;
    client.until("live").await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(world.sim.delete(Resource::Deployments, "shop", "web"));
    let events = to_the_end(&mut client, Duration::from_secs(60)).await;
    assert_eq!(result(&events).data["outcome"], "deleted");
    let (status, verdict) = world.json(VERDICT, &[]).await;
    assert_eq!((status, &verdict["outcome"]), (424, &"deleted".into()));
}

/// A browser that comes back after the end is told that there is nothing more; one that was cut before
/// gets its result.
#[tokio::test(start_paused = true)]
async fn who_comes_back_after_the_result_gets_nothing_more() {
    let world = settled(10).await;
    set(&world, "shop/web:2");
    let mut client = world.stream(&format!("{STREAM}?until=result"), None).await;
    let mut ids = Vec::new();
    while let Some(event) = client.next().await {
        ids.push((event.name, client.last_id.clone().unwrap()));
    }
    assert_eq!(ids.last().unwrap().0, "result");
    tokio::time::sleep(Duration::from_secs(3)).await;
    for (at, (name, id)) in ids.iter().enumerate() {
        let headers = [("accept", "text/event-stream"), ("last-event-id", id.as_str())];
        let response = world.get(&format!("{STREAM}?until=result"), &headers).await;
        if at + 1 == ids.len() {
            assert_eq!(response.status(), 204);
        } else {
            assert_eq!(response.status(), 200, "behind {name} {id}");
            let mut client = Client::new(response.into_body());
            let events = to_the_end(&mut client, Duration::from_secs(60)).await;
            assert_eq!(result(&events).data["revision"], "2", "behind {name} {id}");
        }
    }
    // An id that was kept says nothing of another rollout.
    let headers = [("accept", "text/event-stream"), ("last-event-id", &*ids.last().unwrap().1)];
    for (pin, status) in [("revision=2", 204), ("revision=3", 200)] {
        let response = world.get(&format!("{STREAM}?until=result&{pin}"), &headers).await;
        assert_eq!(response.status(), status, "{pin}");
    }
}

/// Cut in the middle, and back when a newer rollout runs: the result is about the one that was waited for.
#[tokio::test(start_paused = true)]
async fn who_resumes_is_told_of_the_rollout_that_it_waited_for() {
    let world = settled(11).await;
    set(&world, "shop/web:none");
    let mut client = world.stream(&format!("{STREAM}?until=result"), None).await;
    client.until("live").await;
    let id = client.last_id.clone();
    drop(client);
    tokio::time::sleep(Duration::from_secs(20)).await;
    set(&world, "shop/web:2");
    tokio::time::sleep(Duration::from_secs(40)).await;
    let mut client = world.stream(&format!("{STREAM}?until=result"), id.as_deref()).await;
    let events = to_the_end(&mut client, Duration::from_secs(10)).await;
    let result = result(&events);
    assert_eq!(
        (&result.data["outcome"], &result.data["revision"]),
        (&"failed".into(), &"2".into())
    );
}

#[tokio::test(start_paused = true)]
async fn text_ends_with_one_line_for_programs() {
    let world = settled(12).await;
    set(&world, "shop/web:crash");
    let response = world.get(&format!("{STREAM}?until=result"), &[]).await;
    let body = to_bytes(response.into_body(), 1 << 24).await.unwrap();
    let text = String::from_utf8(body.to_vec()).unwrap();
    let lines: Vec<_> = text.lines().collect();
    let results: Vec<_> = lines.iter().filter(|line| line.starts_with("RESULT ")).collect();
    assert_eq!(results.len(), 1, "{text}");
    let last = *lines.last().unwrap();
    let begins = "RESULT outcome=failed rollout=shop/deployment/web revision=2 ready=";
    assert!(last.starts_with(begins) && last.ends_with(" reason=crash_loop"), "{last}");
    assert!(text.contains("\n  FATAL config: DATABASE_URL is not set\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_failure_breaks_the_connection_only_where_that_was_asked_for() {
    let world = settled(13).await;
    set(&world, "shop/web:none");
    for (query, breaks) in [("", false), ("&fail=end", false), ("&fail=abort", true)] {
        let response = world.get(&format!("{STREAM}?until=result{query}"), &[]).await;
        let body = to_bytes(response.into_body(), 1 << 24).await;
        assert_eq!(body.is_err(), breaks, "{query}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_say_which_rollout_is_refused() {
    let world = settled(14).await;
    for path in [
        format!("{VERDICT}?image=shop/web:1"),
        format!("{STREAM}?until=result&image=shop/web:1"),
        format!("{STREAM}?deploy=b-17"),
        format!("{VERDICT}?wait=1h"),
        format!("{STREAM}?until=tomorrow"),
    ] {
        let (status, problem) = world.json(&path, &[]).await;
        assert_eq!(status, 400, "{path}: {problem}");
    }
    let (status, _) = world.json(&VERDICT.replace("web", "wep"), &[]).await;
    assert_eq!(status, 404);
}

/// A watch that hangs without a sign goes on showing what was: the clock alone must not make a success of it.
#[tokio::test(start_paused = true)]
async fn who_crashes_while_the_watch_of_pods_hangs_is_no_success() {
    for pause in [1_500, 2_500, 3_500] {
        let world = settled(77).await;
        set(&world, "shop/web:crash");
        let mut client = world.stream(&format!("{STREAM}?until=result"), None).await;
        let hang = async {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            world.sim.disturb(&Match::watch(Resource::Pods), &Effect::Hang(0));
        };
        let limit = Duration::from_secs(400);
        let (events, ()) = tokio::join!(to_the_end(&mut client, limit), hang);
        let said = &result(&events).data;
        assert_eq!(said["outcome"], "failed", "after {pause} ms: {said}");
    }
}

/// A quota that is raised unseen, because the watch of what it stopped hangs, has failed nothing.
#[tokio::test(start_paused = true)]
async fn a_quota_that_is_raised_while_its_watches_hang_is_no_failure() {
    let world = World::new(78);
    world.sim.set_quota("shop", Some(0));
    let app = Container::new("app", "shop/web:1", good(Ready::After(Duration::from_secs(1))));
    world.sim.apply(Deployment::new("shop", "web", 2, Template::new([app])));
    world.synced().await;
    let mut client = world.stream(&format!("{STREAM}?until=result"), None).await;
    let raise = async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        for resource in [Resource::Deployments, Resource::ReplicaSets] {
            assert!(world.sim.disturb(&Match::watch(resource), &Effect::Hang(0)) > 0);
        }
        tokio::time::sleep(Duration::from_secs(20)).await;
        world.sim.set_quota("shop", None);
    };
    let (events, ()) = tokio::join!(to_the_end(&mut client, Duration::from_secs(900)), raise);
    let said = &result(&events).data;
    assert_eq!(said["outcome"], "succeeded", "{said}");
}

/// What the new version does, and how that ends.
fn fate(random: &mut fastrand::Rng) -> (Program, Option<Program>, &'static str) {
    let probed = Ready::After(Duration::from_millis(random.u64(100..3_000)));
    let refuses = |message: &str| Program {
        pull: Pull::Fails { message: message.to_owned() },
        ..good(probed)
    };
    let lacks = Program { missing: Some("secret \"db\" not found".to_owned()), ..good(probed) };
    match random.u8(0..8) {
        0 => (good(Ready::NoProbe), None, "succeeded"),
        1 => (refuses("shop/web: not found"), None, "failed"),
        2 => (crashing(), None, "failed"),
        // What may pass, and does in time.
        3 => (refuses("toomanyrequests: rate limit"), Some(good(probed)), "succeeded"),
        4 => (refuses("dial tcp: i/o timeout"), Some(good(probed)), "succeeded"),
        5 => (lacks, Some(good(probed)), "succeeded"),
        6 => (lacks, None, "failed"),
        _ => (good(probed), None, "succeeded"),
    }
}

/// A DaemonSet `agent` whose first version is there, on each node.
async fn settled_agent(seed: u64) -> World {
    let world = World::new(seed);
    let app = Container::new("app", "shop/web:1", good(Ready::NoProbe));
    let (namespace, name) = ("shop".to_owned(), "agent".to_owned());
    world.sim.apply(DaemonSet { namespace, name, template: Template::new([app]) });
    world.synced().await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    world
}

/// A StatefulSet `db` whose first version is there, in two pods.
async fn settled_db(seed: u64) -> World {
    let world = World::new(seed);
    let app = Container::new("app", "shop/web:1", good(Ready::After(Duration::from_secs(1))));
    world.sim.apply(StatefulSet {
        namespace: "shop".to_owned(),
        name: "db".to_owned(),
        replicas: 2,
        partition: 0,
        on_delete: false,
        template: Template::new([app]),
    });
    world.synced().await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    world
}

/// Fifty rollouts in a row for each seed, with faults between the service and its cluster and causes that
/// pass or do not: each ends as it must, and none is called what it is not. Of a Deployment, each fourth
/// time of a DaemonSet, and each fourth time of a StatefulSet.
#[tokio::test(start_paused = true)]
async fn no_result_is_false_whatever_happens_meanwhile() {
    for seed in 0..crate::resume::seeds() {
        let (world, resource, name) = match seed % 4 {
            2 => (settled_agent(1_000 + seed).await, Resource::DaemonSets, "agent"),
            3 => (settled_db(1_000 + seed).await, Resource::StatefulSets, "db"),
            _ => (settled(1_000 + seed).await, Resource::Deployments, "web"),
        };
        let path = match resource {
            Resource::DaemonSets => STREAM.replace("deployment/web", "daemonset/agent"),
            Resource::StatefulSets => STREAM.replace("deployment/web", "statefulset/db"),
            _ => STREAM.to_owned(),
        };
        let mut random = fastrand::Rng::with_seed(seed);
        let mut broken = false;
        for round in 0..50 {
            let image = format!("shop/web:r{round}");
            let (program, later, outcome) = fate(&mut random);
            world.sim.register_image(&image, program);
            let deploy = world.sim.clone();
            assert!(world.sim.set_image(resource, "shop", name, "app", &image));
            // Whoever asks the API server for it has its answer first.
            let asked = || {
                let object = world.sim.object(resource, "shop", name).unwrap();
                object["spec"]["template"]["spec"]["containers"][0]["image"] == *image
            };
            while !asked() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            // Its controller waits for broken pods of the revision before, so somebody deletes them.
            if broken && resource == Resource::StatefulSets {
                for pod in ["db-0", "db-1"] {
                    // Not each of them is there at each moment.
                    let _ = world.sim.delete_pod("shop", pod, Some(0));
                }
            }
            broken = outcome == "failed";
            let mut client = world.stream(&format!("{path}?until=result"), None).await;
            let pause = Duration::from_millis(random.u64(200..6_000));
            let fault = random.u8(0..6);
            let span = Duration::from_millis(random.u64(500..5_000));
            let disturb = async {
                tokio::time::sleep(pause).await;
                match fault {
                    0 => deploy.outage(span),
                    1 => drop(deploy.expire_watches()),
                    2 => drop(deploy.disturb(&Match::kind(RequestKind::Watch), &Effect::Cut(0))),
                    3 => drop(deploy.disturb(&Match::any(), &Effect::End(0))),
                    4 => drop(
                        deploy.add_fault(Fault::new(Match::any(), Effect::Delay(span)).lasts(span)),
                    ),
                    _ => {}
                }
                if let Some(later) = later {
                    tokio::time::sleep(Duration::from_secs(8)).await;
                    deploy.register_image(&image, later);
                }
            };
            let limit = Duration::from_secs(400);
            let (events, ()) = tokio::join!(to_the_end(&mut client, limit), disturb);
            let said = &result(&events).data;
            let all = || -> Vec<String> {
                let told = events.iter().filter(|event| event.name != "log");
                told.map(|event| format!("{} {}", event.name, event.data)).collect()
            };
            assert_eq!(
                said["outcome"],
                outcome,
                "seed {seed}, round {round}, {image}, fault {fault}: {said}\n{}",
                all().join("\n")
            );
            let told = said["message"].as_str().unwrap();
            assert!(outcome == "succeeded" || !told.is_empty(), "{said}");
        }
    }
}

/// `truths.md` 21: nobody but the user replaces these pods.
#[tokio::test(start_paused = true)]
async fn a_stateful_set_on_delete_waits_for_whoever_deletes_its_pods() {
    for deleted in [true, false] {
        let world = World::new(16);
        let probed = Ready::After(Duration::from_secs(1));
        world.sim.apply(StatefulSet {
            namespace: "shop".to_owned(),
            name: "db".to_owned(),
            replicas: 2,
            partition: 0,
            on_delete: true,
            template: Template::new([Container::new("app", "shop/db:1", good(probed))]),
        });
        world.sim.register_image("shop/db:2", good(probed));
        world.synced().await;
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert!(world.sim.set_image(Resource::StatefulSets, "shop", "db", "app", "shop/db:2"));
        let path = STREAM.replace("deployment/web", "statefulset/db") + "?until=result";
        let mut client = world.stream(&path, None).await;
        let events = client.drain_for(Duration::from_secs(30)).await;
        let told = &events.iter().rfind(|event| event.name == "rollout").unwrap().data;
        assert_eq!(told["phase"], "waiting_for_delete", "{told}");
        assert_eq!(told["old"], 2);
        if deleted {
            for pod in ["db-0", "db-1"] {
                assert!(world.sim.delete_pod("shop", pod, Some(0)));
                tokio::time::sleep(Duration::from_secs(10)).await;
            }
        }
        let events = to_the_end(&mut client, Duration::from_secs(650)).await;
        let data = &result(&events).data;
        if deleted {
            assert_eq!((&data["outcome"], &data["revision"]), (&"succeeded".into(), &"2".into()));
        } else {
            assert_eq!(data["outcome"], "timed_out");
            let words = "2 old pods wait to be deleted: the update strategy is OnDelete";
            assert_eq!(data["message"], words);
        }
    }
}

/// `truths.md` 15: what is being deleted holds no rollout up, and whoever needs it gone waits for that.
#[tokio::test(start_paused = true)]
async fn until_gone_waits_for_the_pods_before_it() {
    let world = settled(17).await;
    // It takes its time to end.
    let probed = Ready::After(Duration::from_secs(1));
    let slow = Program { stop_after: Duration::from_secs(25), ..good(probed) };
    world.sim.register_image("shop/web:slow", slow);
    set(&world, "shop/web:slow");
    tokio::time::sleep(Duration::from_secs(90)).await;
    let old: Vec<_> = world.sim.pods("shop", "web").into_iter().map(|pod| pod.name).collect();
    set(&world, "shop/web:2");
    let (done, gone) = tokio::join!(follow(&world, "", 120), async {
        let mut client = world.stream(&format!("{STREAM}?until=gone"), None).await;
        to_the_end(&mut client, Duration::from_secs(180)).await
    });
    let left = |events: &[Event]| {
        let told = |name: &String| {
            let mut of_it = events.iter().filter(|it| it.name == "pod" && it.data["pod"] == **name);
            of_it.next_back().is_some_and(|last| last.data["phase"] == "gone")
        };
        old.iter().filter(|name| !told(name)).count()
    };
    for events in [&done, &gone] {
        assert_eq!(result(events).data["outcome"], "succeeded");
    }
    assert!(left(&done) > 0, "the pods before it are still ending");
    assert_eq!(left(&gone), 0);
}
