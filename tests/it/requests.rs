//! What is asked for, and what is answered when it makes no sense.

use crate::world::{STREAM, World, web};

#[tokio::test(start_paused = true)]
async fn what_makes_no_sense_gets_an_error_that_says_what_to_do() {
    let world = World::new(7);
    world.sim.apply(web(1, 1.0, None));
    world.synced().await;
    let future = format!("{}-999999999-0", world.rooms.service.journal.epoch());
    let shop = "/api/v1/namespaces/shop";
    for (path, status, word) in [
        (format!("{shop}/deployment/wep/stream"), 404, "wep"),
        ("/api/v1/namespaces/nowhere/deployment/web/stream".to_owned(), 404, "nowhere"),
        (format!("{shop}/gizmo/web/stream"), 400, "gizmo"),
        (format!("{STREAM}?tail=many"), 400, "tail"),
        (format!("{STREAM}?tail=1&tail=2"), 400, "tail"),
        (format!("{STREAM}?since=yesterday"), 400, "since"),
        (format!("{STREAM}?tail=1&since=1h"), 400, "since"),
        (format!("{STREAM}?format=xml"), 400, "format"),
        (format!("{STREAM}?logs=some"), 400, "logs"),
        (format!("{STREAM}?tial=5"), 400, "tial"),
        (format!("{STREAM}?last_event_id=nonsense"), 400, "last_event_id"),
        (format!("{STREAM}?last_event_id={future}"), 400, "future"),
        (format!("{STREAM}?container=ap"), 404, "it has app"),
        (format!("{STREAM}?token=secret"), 400, "Authorization"),
        ("/api/v1/workloads?limit=0".to_owned(), 400, "limit"),
        ("/api/v1/workloads?namespace=Bad_NS".to_owned(), 400, "name of a namespace"),
        (format!("{shop}/deployment/web/rollout?wait=1"), 400, "wait"),
        ("/api/v1/nothing".to_owned(), 404, ""),
    ] {
        let (got, body) = world.json(&path, &[]).await;
        assert_eq!(got, status, "{path}: {body}");
        assert!(body["type"].as_str().unwrap().starts_with("urn:rollcast:problem:"), "{body}");
        assert!(body["detail"].as_str().unwrap().contains(word), "{path}: {body}");
        assert!(body["request_id"].is_string(), "{body}");
    }
}

/// An empty list would say that nothing is there.
#[tokio::test(start_paused = true)]
async fn nothing_is_listed_before_the_cluster_was_read() {
    let world = World::new(7);
    world.sim.apply(web(1, 1.0, None));
    let (status, body) = world.json("/api/v1/workloads", &[]).await;
    assert_eq!(status, 503, "{body}");
    world.synced().await;
    let (status, body) = world.json("/api/v1/workloads", &[]).await;
    assert_eq!((status, body["workloads"][0]["name"].as_str()), (200, Some("web")), "{body}");
}

#[tokio::test(start_paused = true)]
async fn a_pod_of_a_workload_is_streamed_by_its_name() {
    let world = World::new(8);
    world.sim.apply(web(2, 50.0, Some(100)));
    world.synced().await;
    let index = &world.rooms.service.index;
    let pods = loop {
        let pods = world.sim.pods("shop", "web");
        let known = pods.iter().filter(|pod| index.pod_by_name("shop", &pod.name).is_some());
        if known.count() == 2 {
            break pods;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    let path = format!("/api/v1/namespaces/shop/pods/{}/stream?since=1h", pods[0].name);
    let mut client = world.stream(&path, None).await;
    let events = client.drain(std::time::Duration::from_secs(15)).await;
    let lines: Vec<_> = events.iter().filter(|event| event.name == "log").collect();
    assert_eq!(lines.len(), 100);
    assert!(lines.iter().all(|line| line.data["pod"] == pods[0].name.as_str()));
}

#[tokio::test(start_paused = true)]
async fn the_list_is_paged_without_loss() {
    let world = World::new(9);
    for index in 0..7 {
        let mut deployment = web(0, 1.0, None);
        deployment.name = format!("web-{index}");
        world.sim.apply(deployment);
    }
    world.synced().await;
    let mut names = Vec::new();
    let mut next = String::new();
    loop {
        let path = format!("/api/v1/workloads?limit=3{next}");
        let (status, body) = world.json(&path, &[]).await;
        assert_eq!(status, 200);
        for workload in body["workloads"].as_array().unwrap() {
            names.push(workload["name"].as_str().unwrap().to_owned());
        }
        match body["next"].as_str() {
            Some(cursor) => next = format!("&next={cursor}"),
            None => break,
        }
    }
    let expected: Vec<_> = (0..7).map(|index| format!("web-{index}")).collect();
    assert_eq!(names, expected);
}

#[tokio::test(start_paused = true)]
async fn an_id_of_another_journal_is_answered_approximately_and_with_a_gap() {
    let world = World::new(10);
    world.sim.apply(web(1, 50.0, Some(100)));
    world.synced().await;
    let mut client = world.stream(STREAM, Some("otherepoch-17-1795356131000")).await;
    let events = client.drain(std::time::Duration::from_secs(8)).await;
    let hello = events.iter().find(|event| event.name == "hello").unwrap();
    assert_eq!(hello.data["resumed"], "approximate");
    assert!(
        events
            .iter()
            .any(|event| { event.name == "gap" && event.data["reason"] == "server_restart" })
    );
}
