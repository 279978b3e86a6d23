//! Results of several workloads in one stream: each is told once, also to who is cut and comes back, and
//! with the last of them the stream ends.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use rollcast::sim::{Container, Deployment, Program, Pull, Ready, Resource, Template};
use serde_json::json;

use crate::client::{Client, Event};
use crate::results::{good, to_the_end};
use crate::world::World;

const SELECTED: &str = "/api/v1/namespaces/shop/stream?selector=tier%3Dback&until=result";

fn probed() -> Ready {
    Ready::After(Duration::from_secs(1))
}

fn deployment(name: &str) -> Deployment {
    let image = format!("shop/{name}:1");
    let mut template = Template::new([Container::new("app", &image, good(probed()))]);
    template.labels.insert("tier".to_owned(), "back".to_owned());
    Deployment::new("shop", name, 1, template)
}

/// Deployments `pay` and `web` whose rollouts are over; what their next versions do, their tags say.
pub(crate) async fn settled(seed: u64) -> World {
    let world = World::new(seed);
    for name in ["pay", "web"] {
        world.sim.apply(deployment(name));
        let none = Pull::Fails { message: format!("shop/{name}:none: not found") };
        for (tag, program) in [
            ("2", good(probed())),
            ("late", good(Ready::Never)),
            ("none", Program { pull: none, ..Program::default() }),
        ] {
            world.sim.register_image(&format!("shop/{name}:{tag}"), program);
        }
    }
    world.synced().await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    world
}

pub(crate) fn set(world: &World, name: &str, tag: &str) {
    let image = format!("shop/{name}:{tag}");
    assert!(world.sim.set_image(Resource::Deployments, "shop", name, "app", &image));
}

/// Asks for both by a list, behind an id if there is one.
async fn listed(world: &World, after: Option<&str>) -> Response<Body> {
    let mut request = Request::post("/api/v1/stream?until=result")
        .header("host", "localhost")
        .header("accept", "text/event-stream")
        .header("content-type", "application/json");
    if let Some(id) = after {
        request = request.header("last-event-id", id);
    }
    let list = json!(["shop/deployment/pay", "shop/deployment/web"]);
    world.send(request.body(Body::from(list.to_string())).unwrap()).await
}

/// The same by a selector.
async fn selected(world: &World, after: Option<&str>) -> Response<Body> {
    let mut headers = vec![("accept", "text/event-stream")];
    headers.extend(after.map(|id| ("last-event-id", id)));
    world.get(SELECTED, &headers).await
}

/// What is told of each workload's end: outcome and revision.
fn results(events: &[Event]) -> BTreeMap<String, (String, String)> {
    let mut all = BTreeMap::new();
    for event in events.iter().filter(|event| event.name == "result") {
        let word = |key: &str| event.data[key].as_str().unwrap_or_default().to_owned();
        let said = (word("outcome"), word("revision"));
        assert!(all.insert(word("workload"), said).is_none(), "told twice: {event:?}");
    }
    all
}

fn expected(all: [(&str, &str, &str); 2]) -> BTreeMap<String, (String, String)> {
    let one = |(name, outcome, revision): (&str, &str, &str)| {
        (format!("shop/deployment/{name}"), (outcome.to_owned(), revision.to_owned()))
    };
    all.into_iter().map(one).collect()
}

const LIMIT: Duration = Duration::from_secs(100);

#[tokio::test(start_paused = true)]
async fn each_result_is_told_once_wherever_the_stream_is_cut() {
    for by_list in [true, false] {
        let world = settled(60).await;
        let ask = async |after: Option<&str>| match by_list {
            true => listed(&world, after).await,
            false => selected(&world, after).await,
        };
        // One is over already when the stream begins, and the other runs.
        set(&world, "web", "late");
        let mut client = Client::new(ask(None).await.into_body());
        // A stream goes on only as it is read.
        let mut events = client.drain_for(Duration::from_secs(1)).await;
        let mut cut = Client::new(ask(None).await.into_body());
        let mut heard = Vec::new();
        for _ in 0..6 {
            heard.extend(cut.drain_for(Duration::from_secs(2)).await);
            cut = Client::new(ask(cut.last_id.clone().as_deref()).await.into_body());
        }
        set(&world, "web", "2");
        events.extend(to_the_end(&mut client, LIMIT).await);
        heard.extend(to_the_end(&mut cut, LIMIT).await);
        let wanted = expected([("pay", "succeeded", "1"), ("web", "superseded", "2")]);
        assert_eq!(results(&events), wanted);
        assert_eq!(results(&heard), wanted, "cut again and again");
        assert_eq!(events.last().unwrap().name, "result");
        tokio::time::sleep(Duration::from_secs(30)).await;
        // Behind every id the rest comes, about the same rollouts, although a newer one is over by now.
        for at in 0..events.len() {
            let Some(id) = events[at].id.as_deref() else { continue };
            // What stands under the same id is one piece for a client.
            if events.get(at + 1).is_some_and(|next| next.id.as_deref() == Some(id)) {
                continue;
            }
            let response = ask(Some(id)).await;
            if at + 1 == events.len() {
                assert_eq!(response.status(), 204);
                continue;
            }
            assert_eq!(response.status(), 200, "behind {id}");
            let mut all = results(&events[..=at]);
            let rest = to_the_end(&mut Client::new(response.into_body()), LIMIT).await;
            for (workload, said) in results(&rest) {
                assert!(all.insert(workload, said).is_none(), "again behind {id}: {rest:?}");
            }
            assert_eq!(all, wanted, "behind {id}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_over_several_ends_with_the_last_result_and_not_before() {
    let world = settled(61).await;
    set(&world, "pay", "none");
    set(&world, "web", "late");
    let mut client = Client::new(listed(&world, None).await.into_body());
    let mut events = client.drain_for(Duration::from_secs(40)).await;
    let failed = results(&events);
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed["shop/deployment/pay"].0, "failed");
    assert!(world.sim.delete(Resource::Deployments, "shop", "web"));
    events.extend(to_the_end(&mut client, LIMIT).await);
    let wanted = expected([("pay", "failed", "2"), ("web", "deleted", "2")]);
    assert_eq!(results(&events), wanted);
    let last = events.last().unwrap().id.clone();
    assert_eq!(listed(&world, last.as_deref()).await.status(), 204);
    // Another question is another stream.
    assert_eq!(selected(&world, last.as_deref()).await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_workload_that_is_selected_meanwhile_is_waited_for_too() {
    let world = settled(62).await;
    set(&world, "web", "2");
    let mut client = Client::new(selected(&world, None).await.into_body());
    client.until("live").await;
    world.sim.apply(deployment("late"));
    let events = to_the_end(&mut client, LIMIT).await;
    let told: Vec<_> = results(&events).into_keys().collect();
    assert!(told.contains(&"shop/deployment/late".to_owned()), "{told:?}");
}
