//! Who may read: the gate before the handlers, and the end of a right while a stream is open.

use std::time::Duration;

use rollcast::sim::{Identity, Rule, Subject};
use tokio::time::Instant;

use crate::client::Client;
use crate::world::{STREAM, World, web};

fn identity(user: &str, audience: &str) -> Identity {
    let audiences = vec![audience.to_owned()];
    Identity { user: user.to_owned(), audiences, ..Identity::default() }
}

fn may_read(user: &str, namespace: &str) -> Rule {
    Rule::new(Subject::User(user.to_owned()), "get", "pods/log", Some(namespace))
}

async fn world() -> World {
    let world = World::with_tokens(5);
    world.sim.apply(web(1, 20.0, None));
    let mut other = web(1, 1.0, None);
    other.namespace = "edge".to_owned();
    world.sim.apply(other);
    world.sim.add_token("ann", identity("ann", "rollcast"));
    world.sim.add_token("bob", identity("bob", "rollcast"));
    world.sim.add_token("eve", identity("ann", "somebody-else"));
    world.sim.add_rule(may_read("ann", "shop"));
    world.synced().await;
    world
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

#[tokio::test(start_paused = true)]
async fn nobody_reads_without_a_token_for_us() {
    let world = world().await;
    for headers in [
        vec![],
        vec![("authorization", bearer("nonsense"))],
        vec![("authorization", bearer("eve"))],
    ] {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let response = world.get(STREAM, &headers).await;
        assert_eq!(response.status(), 401, "{headers:?}");
        assert!(response.headers().contains_key("www-authenticate"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_read_looks_like_what_is_not_there() {
    let world = world().await;
    let token = bearer("bob");
    let headers = [("authorization", token.as_str())];
    let (refused, mut body) = world.json(STREAM, &headers).await;
    let absent = STREAM.replace("/web/", "/wep/");
    let token = bearer("ann");
    let (missing, other) = world.json(&absent, &[("authorization", token.as_str())]).await;
    assert_eq!((refused, missing), (404, 404));
    let detail = body["detail"].as_str().unwrap().replace("\"web\"", "\"wep\"");
    body["detail"] = detail.into();
    body["request_id"] = other["request_id"].clone();
    assert_eq!(body, other);
}

#[tokio::test(start_paused = true)]
async fn the_list_shows_only_what_may_be_read() {
    let world = world().await;
    for (user, shown) in [("ann", vec!["shop"]), ("bob", vec![])] {
        let token = bearer(user);
        let (status, body) =
            world.json("/api/v1/workloads", &[("authorization", token.as_str())]).await;
        assert_eq!(status, 200);
        let workloads = body["workloads"].as_array().unwrap();
        let namespaces: Vec<_> =
            workloads.iter().map(|workload| workload["namespace"].as_str().unwrap()).collect();
        assert_eq!(namespaces, shown, "{user}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_line_is_sent_thirty_seconds_after_the_right_ended() {
    let world = world().await;
    let token = bearer("ann");
    let headers = [("authorization", token.as_str()), ("accept", "text/event-stream")];
    let response = world.get(STREAM, &headers).await;
    assert_eq!(response.status(), 200);
    let mut client = Client::new(response.into_body());
    client.until("live").await;
    world.sim.remove_rule(&may_read("ann", "shop"));
    let revoked = Instant::now();
    let bye = client.until("bye").await;
    assert_eq!(bye.data["reason"], "revoked");
    assert!(revoked.elapsed() <= Duration::from_secs(30), "{:?}", revoked.elapsed());
    assert!(client.next().await.is_none(), "nothing comes after bye");
    let (status, _) = world.json(STREAM, &headers).await;
    assert_eq!(status, 404);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_taken_back_ends_its_streams() {
    let world = world().await;
    let token = bearer("ann");
    let headers = [("authorization", token.as_str()), ("accept", "text/event-stream")];
    let mut client = Client::new(world.get(STREAM, &headers).await.into_body());
    client.until("live").await;
    world.sim.remove_token("ann");
    let revoked = Instant::now();
    assert_eq!(client.until("bye").await.data["reason"], "expired");
    assert!(revoked.elapsed() <= Duration::from_secs(30), "{:?}", revoked.elapsed());
}

/// A position is no right: whoever takes another's id gets what is his own from there on, or nothing.
#[tokio::test(start_paused = true)]
async fn the_id_of_another_user_opens_nothing() {
    let world = world().await;
    world.sim.add_rule(may_read("bob", "edge"));
    tokio::time::sleep(Duration::from_secs(3)).await;
    let read = async |token: &str, path: &str, after: Option<&str>| {
        let token = bearer(token);
        let mut headers = vec![("authorization", &*token), ("accept", "text/event-stream")];
        headers.extend(after.map(|id| ("last-event-id", id)));
        world.get(path, &headers).await
    };
    let mut ann = Client::new(read("ann", STREAM, None).await.into_body());
    ann.until("log").await;
    let id = ann.last_id.clone().unwrap();
    assert_eq!(read("bob", STREAM, Some(&id)).await.status(), 404);
    let own = STREAM.replace("/shop/", "/edge/");
    let mut bob = Client::new(read("bob", &own, Some(&id)).await.into_body());
    let events = bob.drain_for(Duration::from_secs(5)).await;
    assert_eq!(events[0].data["resumed"], "exact");
    let lines: Vec<_> = events.iter().filter(|event| event.name == "log").collect();
    assert!(!lines.is_empty());
    let pods: Vec<_> = world.sim.pods("edge", "").into_iter().map(|pod| pod.name).collect();
    assert!(lines.iter().all(|line| pods.iter().any(|pod| line.data["pod"] == pod.as_str())));
}
