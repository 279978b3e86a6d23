//! Argo Rollouts on a simulated cluster: as somebody sees them who waits, and what it costs where there
//! are none.

use std::time::Duration;

use rollcast::ids::{Kind, WorkloadId};
use rollcast::sim::{
    CanaryStep, Container, Effect, Fault, Match, Plan, Program, Pull, Ready, RequestKind, Resource,
    Rollout, Sim, SimOptions, Template,
};
use rollcast::time;
use serde_json::{Value, json};

use crate::client::Event;
use crate::world::{World, web};

const ROLLOUT: &str = "/api/v1/namespaces/shop/rollout/web/rollout";
const VERDICT: &str = "/api/v1/namespaces/shop/rollout/web/verdict";
const STREAM: &str = "/api/v1/namespaces/shop/rollout/web/stream?until=result";

fn sim(seed: u64, rollouts: bool) -> Sim {
    Sim::new(SimOptions { seed, rollouts, start_time: time::now(), ..SimOptions::default() })
}

fn good() -> Program {
    Program { ready: Ready::After(Duration::from_secs(1)), ..Program::default() }
}

fn rollout(plan: Plan) -> Rollout {
    let app = Container::new("app", "shop/web:1", good());
    Rollout::new("shop", "web", 5, plan, Template::new([app]))
}

/// 20 %, a pause until somebody promotes, 60 %, a pause of ten seconds.
fn canary() -> Plan {
    Plan::Canary(vec![
        CanaryStep::Weight(20),
        CanaryStep::Pause(None),
        CanaryStep::Weight(60),
        CanaryStep::Pause(Some(Duration::from_secs(10))),
    ])
}

/// Version 1 is everywhere.
async fn settled(seed: u64, plan: Plan) -> World {
    let sim = sim(seed, true);
    sim.apply(rollout(plan));
    for (image, program) in [
        ("shop/web:2", good()),
        (
            "shop/web:none",
            Program {
                pull: Pull::Fails { message: "shop/web:none: not found".to_owned() },
                ..Program::default()
            },
        ),
    ] {
        sim.register_image(image, program);
    }
    let world = World::around(sim, seed, |_| {});
    world.synced().await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    let (_, state) = world.json(ROLLOUT, &[]).await;
    assert_eq!(state["phase"], "complete", "{state}");
    world
}

fn set(world: &World, image: &str) {
    assert!(world.sim.set_image(Resource::Rollouts, "shop", "web", "app", image));
}

async fn state(world: &World) -> Value {
    world.json(ROLLOUT, &[]).await.1
}

/// Everything of a stream that ends with the result.
async fn ended(world: &World, limit: u64) -> Vec<Event> {
    let mut client = world.stream(STREAM, None).await;
    let all = async {
        let mut events = Vec::new();
        while let Some(event) = client.next().await {
            events.push(event);
        }
        events
    };
    let events = tokio::time::timeout(Duration::from_secs(limit), all).await.expect("no result");
    assert_eq!(events.last().unwrap().name, "result", "{events:?}");
    events
}

async fn pause(world: &World, message: &str) {
    let paused = async {
        loop {
            let state = state(world).await;
            if state["phase"] == "paused" {
                return state;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let state = tokio::time::timeout(Duration::from_secs(60), paused).await.expect("no pause");
    assert_eq!(state["message"], message, "{state}");
}

#[tokio::test(start_paused = true)]
async fn a_canary_pauses_until_it_is_promoted_and_then_succeeds() {
    let world = settled(1, canary()).await;
    set(&world, "shop/web:2");
    pause(&world, "paused at step 2 of 4 (canary 20 %)").await;
    let paused = state(&world).await;
    let counts = [&paused["updated"], &paused["ready"], &paused["old"]];
    assert_eq!(counts, [1, 1, 4], "{paused}");
    // It is no failure, however long it lasts.
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!(world.json(VERDICT, &[]).await.0, 429);
    assert!(world.sim.promote("shop", "web"));
    let events = ended(&world, 120).await;
    let result = &events.last().unwrap().data;
    assert_eq!((&result["outcome"], &result["revision"]), (&"succeeded".into(), &"2".into()));
    let phases: Vec<_> = events.iter().filter(|event| event.name == "rollout").collect();
    let timed = "paused at step 4 of 4 (canary 60 %)";
    assert!(phases.iter().any(|event| event.data["message"] == timed), "{phases:?}");
    assert_eq!(world.json(VERDICT, &[]).await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn an_abort_is_a_failure_with_its_own_reason_and_the_way_back_a_rollout() {
    let world = settled(2, canary()).await;
    set(&world, "shop/web:2");
    pause(&world, "paused at step 2 of 4 (canary 20 %)").await;
    assert!(world.sim.abort("shop", "web"));
    let events = ended(&world, 60).await;
    let result = &events.last().unwrap().data;
    assert_eq!((&result["outcome"], &result["reason"]), (&"failed".into(), &"aborted".into()));
    tokio::time::sleep(Duration::from_secs(30)).await;
    set(&world, "shop/web:1");
    let events = ended(&world, 60).await;
    let result = &events.last().unwrap().data;
    assert_eq!((&result["outcome"], &result["revision"]), (&"succeeded".into(), &"3".into()));
}

#[tokio::test(start_paused = true)]
async fn going_back_while_a_canary_runs_supersedes_it() {
    let world = settled(3, canary()).await;
    set(&world, "shop/web:2");
    pause(&world, "paused at step 2 of 4 (canary 20 %)").await;
    set(&world, "shop/web:1");
    let events = ended(&world, 60).await;
    assert_eq!(events.last().unwrap().data["outcome"], "succeeded");
    let (_, all) =
        world.json(&ROLLOUT.replace("/rollout/web/rollout", "/rollout/web/rollouts"), &[]).await;
    let outcomes: Vec<_> =
        all["rollouts"].as_array().unwrap().iter().map(|it| &it["result"]["outcome"]).collect();
    assert_eq!(outcomes, ["succeeded", "superseded", "succeeded"], "{all}");
}

#[tokio::test(start_paused = true)]
async fn a_bad_image_of_a_canary_is_named_within_seconds() {
    let world = settled(4, canary()).await;
    set(&world, "shop/web:none");
    let events = ended(&world, 10).await;
    let result = &events.last().unwrap().data;
    assert_eq!(result["reason"], "image_not_found", "{result}");
    assert!(result["message"].as_str().unwrap().contains("shop/web:none not found"), "{result}");
}

#[tokio::test(start_paused = true)]
async fn blue_green_waits_for_its_promotion_and_leaves_old_pods_for_a_while() {
    let world = settled(5, Plan::BlueGreen { auto: false }).await;
    set(&world, "shop/web:2");
    pause(&world, "paused before the promotion (blue-green)").await;
    assert_eq!(state(&world).await["old"], 5);
    assert!(world.sim.promote("shop", "web"));
    let events = ended(&world, 20).await;
    assert_eq!(events.last().unwrap().data["outcome"], "succeeded");
    assert_eq!(state(&world).await["old"], 5);
    tokio::time::sleep(Duration::from_secs(40)).await;
    assert_eq!((&state(&world).await["old"], world.sim.pods("shop", "web").len()), (&0.into(), 5));
}

#[tokio::test(start_paused = true)]
async fn where_there_is_no_such_kind_it_costs_one_request_a_minute() {
    let world = World::around(sim(6, false), 6, |_| {});
    world.sim.apply(web(1, 1.0, None));
    world.synced().await;
    let asked = || world.sim.requests().total.get(&RequestKind::Discovery).copied().unwrap_or(0);
    assert_eq!(asked(), 1);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!((10..=11).contains(&asked()), "{}", asked());
    assert!(world.rooms.service.index.problems().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_comes_later_is_noticed_and_one_that_goes_is_survived() {
    let world = World::around(sim(7, false), 7, |_| {});
    world.sim.apply(web(1, 1.0, None));
    world.synced().await;
    tokio::time::sleep(Duration::from_secs(90)).await;
    let index = &world.rooms.service.index;
    let id = WorkloadId::new("shop", Kind::Rollout, "canary");
    for round in 0..2 {
        world.sim.set_rollouts(true);
        world.sim.apply(Rollout { name: "canary".to_owned(), ..rollout(canary()) });
        tokio::time::sleep(Duration::from_secs(62)).await;
        let entry = index.workload(&id);
        assert!(entry.is_some(), "round {round}");
        assert_eq!(index.pods_of(&id).len(), 5, "round {round}");
        world.sim.set_rollouts(false);
        tokio::time::sleep(Duration::from_secs(130)).await;
        assert!(index.workload(&id).is_none(), "round {round}");
        assert!(index.problems().is_empty(), "round {round}: {:?}", index.problems());
        let (status, body) = world.json("/api/v1/workloads", &[]).await;
        assert_eq!((status, body["workloads"].as_array().unwrap().len()), (200, 1), "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_missing_right_is_said_once_and_the_others_go_on() {
    let sim = sim(8, true);
    sim.apply(web(1, 1.0, None));
    let lists = Match {
        kind: Some(RequestKind::List),
        resource: Some(Resource::Rollouts),
        ..Match::default()
    };
    let fault = sim.add_fault(Fault::new(lists, Effect::Forbidden));
    let world = World::around(sim, 8, |_| {});
    world.synced().await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let problems = world.rooms.service.index.problems();
    assert_eq!(problems.len(), 1, "{problems:?}");
    let said = problems[0].to_string();
    assert!(
        problems[0].refused && said.contains("verbs list and watch on rollouts.argoproj.io"),
        "{said}"
    );
    let deployment = "/api/v1/namespaces/shop/deployment/web/rollout";
    assert_eq!(world.json(deployment, &[]).await.0, 200);
    world.sim.remove_fault(fault);
    world.sim.apply(Rollout { name: "canary".to_owned(), ..rollout(canary()) });
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(world.rooms.service.index.problems().is_empty());
    let canary = "/api/v1/namespaces/shop/rollout/canary/rollout";
    assert_eq!(world.json(canary, &[]).await.1["phase"], "complete");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_what_it_claims_harms_nobody() {
    let world = World::around(sim(9, true), 9, |_| {});
    world.sim.apply(rollout(Plan::BlueGreen { auto: true }));
    world.synced().await;
    let odd = |name: &str, spec: Value, status: Value| {
        json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
            "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}"),
                "generation": 1, "creationTimestamp": "9999-12-30T00:00:00Z"},
            "spec": spec, "status": status})
    };
    let all = [
        odd("text", json!("replicas"), json!("Healthy")),
        odd("numbers", json!({"replicas": -1e300}), json!({"phase": 7})),
        odd("none", Value::Null, Value::Null),
        odd("lists", json!({"template": [[[]]]}), json!({"conditions": [1, 2, 3]})),
        odd(
            "counts",
            json!({"replicas": 3}),
            json!({"phase": "Healthy", "replicas": -7,
            "observedGeneration": 1, "currentPodHash": "a", "stableRS": "a",
            "updatedReplicas": 2_147_483_647, "availableReplicas": 0}),
        ),
    ];
    for object in all {
        world.sim.put_object(Resource::Rollouts, object);
    }
    tokio::time::sleep(Duration::from_secs(20)).await;
    let problems = world.rooms.service.index.problems();
    assert!(problems.is_empty(), "{problems:?}");
    let (_, body) = world.json("/api/v1/workloads", &[]).await;
    let phases: Vec<_> = body["workloads"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["name"].as_str().unwrap(), it["phase"].as_str().unwrap()))
        .collect();
    let expected = [
        ("counts", "progressing"),
        ("lists", "unknown"),
        ("none", "waiting"),
        ("numbers", "unknown"),
        ("text", "unknown"),
        ("web", "complete"),
    ];
    assert_eq!(phases, expected, "{body}");
    let text = "/api/v1/namespaces/shop/rollout/text/rollout";
    let (_, text) = world.json(text, &[]).await;
    assert_eq!(text["message"], "what the object says makes no sense: spec, status");
}
