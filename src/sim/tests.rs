//! Tests of the whole simulation through a real client, over pipes and under paused time.

use futures_util::{AsyncReadExt, StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1 as apps;
use k8s_openapi::api::core::v1 as core;
use kube::Api;
use kube::api::{ListParams, LogParams, WatchEvent, WatchParams};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn sim() -> Sim {
    Sim::new(SimOptions { keep_written: 1 << 20, ..SimOptions::default() })
}

fn web(image: &str, program: Program) -> Deployment {
    Deployment::new("shop", "web", 3, Template::new([Container::new("app", image, program)]))
}

async fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..6_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never happened: {what}");
}

fn condition(sim: &Sim, kind: &str) -> (String, String) {
    let object = sim.object(Resource::Deployments, "shop", "web").unwrap();
    let conditions = object["status"]["conditions"].as_array().unwrap().clone();
    let one = conditions.into_iter().find(|one| one["type"] == kind).unwrap_or_default();
    let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
    (text("status"), text("reason"))
}

async fn rolled_out(sim: &Sim) {
    wait_until("the rollout is complete", || {
        let object = sim.object(Resource::Deployments, "shop", "web").unwrap();
        object["metadata"]["generation"] == object["status"]["observedGeneration"]
            && condition(sim, "Progressing").1 == "NewReplicaSetAvailable"
    })
    .await;
}

async fn follow(client: kube::Client, pod: &str, params: LogParams) -> kube::Result<Vec<u8>> {
    let api: Api<core::Pod> = Api::namespaced(client, "shop");
    let mut body = api.log_stream(pod, &params).await?;
    let mut out = Vec::new();
    // A broken connection ends the reading, as it ends a follower's.
    let mut piece = [0; 4096];
    while let Ok(count) = body.read(&mut piece).await {
        if count == 0 {
            break;
        }
        out.extend_from_slice(&piece[..count]);
    }
    Ok(out)
}

#[tokio::test(start_paused = true)]
async fn a_deployment_rolls_out_and_its_objects_decode() {
    let sim = sim();
    sim.apply(web("shop/web:1", Program::numbered("run", 10.0)));
    rolled_out(&sim).await;
    let client = sim.client();
    let pods: Api<core::Pod> = Api::namespaced(client.clone(), "shop");
    let list = pods.list(&ListParams::default().labels("app=web")).await.unwrap();
    assert_eq!(list.items.len(), 3);
    for pod in &list.items {
        let status = pod.status.as_ref().unwrap();
        assert_eq!(status.phase.as_deref(), Some("Running"));
        let container = &status.container_statuses.as_ref().unwrap()[0];
        assert!(
            container.ready
                && container.container_id.as_ref().unwrap().starts_with("containerd://")
        );
    }
    let deployments: Api<apps::Deployment> = Api::all(client);
    let deployment = &deployments.list(&ListParams::default()).await.unwrap().items[0];
    assert_eq!(deployment.status.as_ref().unwrap().available_replicas, Some(3));
}

#[tokio::test(start_paused = true)]
async fn a_rolling_update_keeps_three_quarters_available_and_ends_with_new_pods_only() {
    let sim = sim();
    let program = Program { ready: Ready::After(SECOND), ..Program::default() };
    sim.apply(Deployment { replicas: 4, ..web("shop/web:1", program) });
    rolled_out(&sim).await;
    assert!(sim.set_image(Resource::Deployments, "shop", "web", "app", "shop/web:2"));
    let mut least = 4;
    wait_until("the new revision is complete", || {
        let object = sim.object(Resource::Deployments, "shop", "web").unwrap();
        least = least.min(object["status"]["availableReplicas"].as_u64().unwrap_or(0));
        let sets = sim.pods("shop", "web-").iter().filter(|pod| !pod.terminating).count();
        assert!(sets <= 5, "surge of one");
        object["status"]["updatedReplicas"] == 4
            && object["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
            && condition(&sim, "Progressing").1 == "NewReplicaSetAvailable"
    })
    .await;
    assert!(least >= 3, "{least}");
}

#[tokio::test(start_paused = true)]
async fn a_missing_image_ends_in_the_deadline_while_old_pods_serve() {
    let sim = sim();
    let spec =
        Deployment { progress_deadline_seconds: 20, ..web("shop/web:1", Program::default()) };
    sim.apply(spec);
    rolled_out(&sim).await;
    let message = "shop/web:2: not found".to_owned();
    sim.register_image(
        "shop/web:2",
        Program { pull: Pull::Fails { message }, ..Program::default() },
    );
    sim.set_image(Resource::Deployments, "shop", "web", "app", "shop/web:2");
    wait_until("the deadline passes", || {
        condition(&sim, "Progressing")
            == ("False".to_owned(), "ProgressDeadlineExceeded".to_owned())
    })
    .await;
    let object = sim.object(Resource::Deployments, "shop", "web").unwrap();
    assert_eq!(object["status"]["availableReplicas"], 3);
    // Rolled back, it uses the first ReplicaSet again under a new number.
    sim.set_image(Resource::Deployments, "shop", "web", "app", "shop/web:1");
    rolled_out(&sim).await;
    let object = sim.object(Resource::Deployments, "shop", "web").unwrap();
    assert_eq!(object["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "3");
}

#[tokio::test(start_paused = true)]
async fn a_crash_loop_backs_off_and_its_follow_replays_the_dead_attempt() {
    let sim = sim();
    let program = Program { exit: Exit::After(2 * SECOND, 1), ..Program::numbered("run", 5.0) };
    sim.apply(web("shop/web:1", program));
    wait_until("a container backs off", || {
        sim.pods("shop", "web-").first().is_some_and(|pod| {
            let object = sim.object(Resource::Pods, "shop", &pod.name).unwrap();
            let status = &object["status"]["containerStatuses"][0];
            status["state"]["waiting"]["reason"] == "CrashLoopBackOff"
                && status["lastState"]["terminated"]["exitCode"] == 1
                && status["restartCount"] == 1
        })
    })
    .await;
    let pod = sim.pods("shop", "web-").remove(0);
    let params = || LogParams { follow: true, timestamps: true, ..LogParams::default() };
    let first = follow(sim.client(), &pod.name, params()).await.unwrap();
    let second = follow(sim.client(), &pod.name, params()).await.unwrap();
    assert_eq!(first, second);
    assert_eq!(first, sim.written(&pod.uid, "app", 2).unwrap().text);
    let previous = LogParams { previous: true, timestamps: true, ..LogParams::default() };
    assert_eq!(first, follow(sim.client(), &pod.name, previous).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_follow_brings_every_line_across_rotations_in_odd_pieces() {
    let sim = Sim::new(SimOptions {
        keep_written: 8 << 20,
        log_max_bytes: 64 * 1024,
        ..SimOptions::default()
    });
    let numbers = Numbers {
        length: (60, 40_000),
        both: true,
        lines: Some(400),
        ..Numbers::new("run", 100.0)
    };
    let program = Program {
        output: vec![Output::Numbered(numbers)],
        exit: Exit::After(6 * SECOND, 0),
        ..Program::default()
    };
    let spec = Job {
        namespace: "shop".to_owned(),
        name: "one".to_owned(),
        completions: 1,
        backoff_limit: 0,
        template: Template::new([Container::new("app", "shop/one:1", program)]),
    };
    sim.apply(spec);
    wait_until("the pod runs", || {
        sim.pods("shop", "one").first().is_some_and(|pod| pod.containers[0].running)
    })
    .await;
    let pod = sim.pods("shop", "one").remove(0);
    let params = LogParams { follow: true, timestamps: true, ..LogParams::default() };
    let text = follow(sim.client(), &pod.name, params).await.unwrap();
    let written = sim.written(&pod.uid, "app", 1).unwrap();
    assert!(written.ended && written.rotations > 10);
    assert_eq!(written.numbered, [200, 200]);
    // What was rotated away before the follow began is nobody's; from then on nothing is missing.
    let mut next = [None, None];
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let (_, length) = crate::time::parse_stamp(line).unwrap();
        let line = read_numbered(&line[length + 1..]).expect("a whole line");
        let pipe = usize::from(line.stream == 'e');
        assert_eq!(line.number, next[pipe].unwrap_or(line.number));
        assert!(next[pipe].is_some() || line.number < 10);
        next[pipe] = Some(line.number + 1);
    }
    assert_eq!(next, [Some(200), Some(200)]);
}

#[tokio::test(start_paused = true)]
async fn errors_have_the_real_words() {
    let sim = sim();
    let slow = Program { pull: Pull::Arrives(60 * SECOND), ..Program::default() };
    sim.apply(web("shop/web:1", slow));
    tokio::time::sleep(SECOND).await;
    let pod = sim.pods("shop", "web-").remove(0).name;
    let error = |result: kube::Result<Vec<u8>>| match result {
        Err(kube::Error::Api(status)) => (status.code, status.message.clone()),
        other => panic!("{other:?}"),
    };
    let plain = LogParams::default;
    assert_eq!(
        error(follow(sim.client(), "nope", plain()).await),
        (404, "pods \"nope\" not found".to_owned())
    );
    let other = LogParams { container: Some("x".to_owned()), ..plain() };
    assert_eq!(
        error(follow(sim.client(), &pod, other).await),
        (400, format!("container x is not valid for pod {pod}"))
    );
    assert_eq!(
        error(follow(sim.client(), &pod, plain()).await),
        (400, format!("container \"app\" in pod \"{pod}\" is waiting to start: ContainerCreating"))
    );
    let previous = LogParams { previous: true, ..plain() };
    assert_eq!(
        error(follow(sim.client(), &pod, previous).await),
        (400, format!("previous terminated container \"app\" in pod \"{pod}\" not found"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_watch_goes_on_from_a_list_and_ends_at_its_timeout_with_a_bookmark() {
    let sim = sim();
    sim.apply(web("shop/web:1", Program::default()));
    rolled_out(&sim).await;
    let api: Api<core::Pod> = Api::namespaced(sim.client(), "shop");
    let list = api.list(&ListParams::default()).await.unwrap();
    let version = list.metadata.resource_version.unwrap();
    let params = WatchParams::default().timeout(20);
    let mut events = std::pin::pin!(api.watch(&params, &version).await.unwrap());
    let victim = list.items[0].metadata.name.clone().unwrap();
    sim.delete_pod("shop", &victim, None);
    let (mut added, mut deleted, mut last) = (0, Vec::new(), false);
    while let Some(event) = events.try_next().await.unwrap() {
        last = matches!(event, WatchEvent::Bookmark(_));
        match event {
            WatchEvent::Added(_) => added += 1,
            WatchEvent::Deleted(pod) => deleted.push(pod.metadata.name.unwrap()),
            _ => {}
        }
    }
    assert_eq!((added, deleted, last), (1, vec![victim], true));
}

#[tokio::test(start_paused = true)]
async fn a_compacted_version_is_gone_and_the_watcher_lists_again() {
    let sim = sim();
    sim.apply(web("shop/web:1", Program::default()));
    rolled_out(&sim).await;
    sim.compact();
    let api: Api<core::Pod> = Api::all(sim.client());
    let mut events = std::pin::pin!(api.watch(&WatchParams::default(), "101").await.unwrap());
    match events.next().await.unwrap().unwrap() {
        WatchEvent::Error(status) => assert_eq!((status.code, &*status.reason), (410, "Expired")),
        other => panic!("{other:?}"),
    }
    // kube's own watcher comes back with the same three pods.
    let stream = kube::runtime::watcher(api, kube::runtime::watcher::Config::default());
    let mut stream = std::pin::pin!(stream);
    let mut listed = 0;
    let mut rounds = 0;
    while rounds < 2 {
        use kube::runtime::watcher::Event;
        match stream.next().await.unwrap() {
            Ok(Event::InitApply(_)) => listed += 1,
            Ok(Event::InitDone) => {
                rounds += 1;
                assert_eq!(listed, 3 * rounds);
                // Let the watch open before its version goes.
                tokio::time::sleep(SECOND).await;
                sim.tasks.spawn({
                    let sim = sim.clone();
                    async move {
                        tokio::time::sleep(SECOND).await;
                        sim.expire_watches();
                    }
                });
            }
            _ => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn pages_hold_every_object_once() {
    let sim = sim();
    sim.apply(Deployment { replicas: 25, ..web("shop/web:1", Program::default()) });
    rolled_out(&sim).await;
    let api: Api<core::Pod> = Api::all(sim.client());
    let mut names = Vec::new();
    let mut params = ListParams::default().limit(7);
    loop {
        let page = api.list(&params).await.unwrap();
        assert!(page.items.len() <= 7);
        names.extend(page.items.into_iter().map(|pod| pod.metadata.name.unwrap()));
        match page.metadata.continue_ {
            Some(token) => params.continue_token = Some(token),
            None => break,
        }
    }
    let all = names.len();
    names.dedup();
    assert_eq!((all, names.len()), (25, 25));
}

#[tokio::test(start_paused = true)]
async fn faults_cut_end_and_speak_at_their_byte() {
    let sim = sim();
    sim.apply(web("shop/web:1", Program::numbered("run", 100.0)));
    rolled_out(&sim).await;
    let pod = sim.pods("shop", "web-").remove(0).name;
    let params = || LogParams { follow: true, timestamps: true, ..LogParams::default() };
    for effect in [Effect::Cut(777), Effect::End(777)] {
        sim.add_fault(Fault::new(Match::follow("web-"), effect).times(1));
        let text = follow(sim.client(), &pod, params()).await.unwrap();
        assert_eq!(text.len(), 777);
    }
    let said = "failed to watch file: too many open files".to_owned();
    sim.add_fault(Fault::new(Match::follow("web-"), Effect::InBand(100, said.clone())).times(1));
    let text = follow(sim.client(), &pod, params()).await.unwrap();
    assert!(text.len() == 100 + said.len() && text.ends_with(said.as_bytes()));
    sim.add_fault(Fault::new(Match::any(), Effect::TooMany(3)).times(1));
    match follow(sim.client(), &pod, params()).await {
        Err(kube::Error::Api(status)) => assert_eq!(status.code, 429),
        other => panic!("{other:?}"),
    }
    let requests = sim.requests();
    assert_eq!((requests.logs_open, requests.logs_total), (0, 3));
}

#[tokio::test(start_paused = true)]
async fn a_deleted_pods_follow_ends_cleanly_and_then_its_log_is_404() {
    let sim = sim();
    sim.apply(web("shop/web:1", Program::numbered("run", 50.0)));
    rolled_out(&sim).await;
    let pod = sim.pods("shop", "web-").remove(0);
    let params = || LogParams { follow: true, timestamps: true, ..LogParams::default() };
    let reading = sim.tasks.spawn({
        let (client, name) = (sim.client(), pod.name.clone());
        async move { follow(client, &name, params()).await.unwrap() }
    });
    tokio::time::sleep(SECOND).await;
    sim.delete_pod("shop", &pod.name, None);
    let text = reading.await.unwrap();
    let written = sim.written(&pod.uid, "app", 1).unwrap();
    assert_eq!(text, written.text);
    let last = text[..text.len() - 1].rsplit(|byte| *byte == b'\n').next().unwrap();
    assert!(read_numbered(&last[31..]).unwrap().end);
    tokio::time::sleep(SECOND).await;
    match follow(sim.client(), &pod.name, params()).await {
        Err(kube::Error::Api(status)) => assert_eq!(status.code, 404),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn one_seed_gives_one_history() {
    let run = |seed| async move {
        let sim = Sim::new(SimOptions { seed, keep_written: 1 << 16, ..SimOptions::default() });
        sim.apply(web("shop/web:1", Program::numbered("run", 20.0)));
        tokio::time::sleep(5 * SECOND).await;
        let pods = sim.pods("shop", "");
        let logs: Vec<_> =
            pods.iter().map(|pod| sim.written(&pod.uid, "app", 1).unwrap().text).collect();
        (pods, logs)
    };
    let (first, second, other) = (run(7).await, run(7).await, run(8).await);
    assert_eq!(first, second);
    assert_ne!(first.0, other.0);
}
