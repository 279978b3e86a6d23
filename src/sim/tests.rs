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

#[tokio::test(start_paused = true)]
async fn an_outage_cuts_follows_and_refuses_until_it_is_over() {
    let sim = sim();
    sim.apply(web("shop/web:1", Program::numbered("run", 50.0)));
    rolled_out(&sim).await;
    let pod = sim.pods("shop", "web-").remove(0).name;
    let params = || LogParams { follow: true, timestamps: true, ..LogParams::default() };
    let reading = sim.tasks.spawn({
        let (client, pod) = (sim.client(), pod.clone());
        async move { follow(client, &pod, params()).await }
    });
    tokio::time::sleep(SECOND).await;
    assert_eq!(sim.requests().logs_open, 1);
    sim.outage(3 * SECOND);
    reading.await.unwrap().unwrap();
    assert_eq!(sim.requests().logs_open, 0);
    let refused = follow(sim.client(), &pod, params()).await;
    assert!(matches!(refused, Err(kube::Error::Service(_))), "{refused:?}");
    tokio::time::sleep(3 * SECOND).await;
    let plain = LogParams { follow: false, ..params() };
    assert!(!follow(sim.client(), &pod, plain).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_cut_off_node_is_silent_and_its_lines_come_late_but_all() {
    let sim = sim();
    sim.apply(web("shop/web:1", Program::numbered("run", 10.0)));
    rolled_out(&sim).await;
    let pod = sim.pods("shop", "web-").remove(0);
    let node = pod.node.clone().unwrap();
    let params = || LogParams { follow: true, timestamps: true, ..LogParams::default() };
    let reading = sim.tasks.spawn({
        let (client, pod) = (sim.client(), pod.name.clone());
        async move { follow(client, &pod, params()).await }
    });
    tokio::time::sleep(SECOND).await;
    sim.partition(&node, 60 * SECOND);
    tokio::time::sleep(45 * SECOND).await;
    match follow(sim.client(), &pod.name, params()).await {
        Err(kube::Error::Api(status)) => assert_eq!(status.code, 500),
        other => panic!("{other:?}"),
    }
    let ready = || {
        let object = sim.object(Resource::Pods, "shop", &pod.name).unwrap();
        object["status"]["conditions"][1]["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(ready(), "False");
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(ready(), "True");
    tokio::time::sleep(60 * SECOND).await;
    sim.delete_pod("shop", &pod.name, None);
    let text = reading.await.unwrap().unwrap();
    assert_eq!(text, sim.written(&pod.uid, "app", 1).unwrap().text);
}

#[tokio::test(start_paused = true)]
async fn quota_and_missing_secrets_recover() {
    let sim = sim();
    sim.set_quota("shop", Some(2));
    let missing = "secret \"web-db\" not found".to_owned();
    let program = Program { missing: Some(missing.clone()), ..Program::default() };
    sim.register_image("shop/web:1", program);
    sim.apply(web("shop/web:1", Program::default()));
    tokio::time::sleep(3 * SECOND).await;
    let failure = condition(&sim, "ReplicaFailure");
    assert_eq!(failure, ("True".to_owned(), "FailedCreate".to_owned()));
    let pod = sim.pods("shop", "web-").remove(0).name;
    let object = sim.object(Resource::Pods, "shop", &pod).unwrap();
    let waiting = &object["status"]["containerStatuses"][0]["state"]["waiting"];
    assert_eq!(waiting["reason"], "CreateContainerConfigError");
    assert_eq!(waiting["message"], missing);
    sim.set_quota("shop", None);
    sim.register_image("shop/web:1", Program::default());
    rolled_out(&sim).await;
    assert_eq!(condition(&sim, "ReplicaFailure").0, "");
}

#[tokio::test(start_paused = true)]
async fn recreate_starts_no_new_pod_before_the_last_old_one_is_gone() {
    let sim = sim();
    let program = Program { stop_after: 3 * SECOND, ..Program::default() };
    sim.apply(Deployment { strategy: Strategy::Recreate, ..web("shop/web:1", program) });
    rolled_out(&sim).await;
    let old: Vec<_> = sim.pods("shop", "web-").into_iter().map(|pod| pod.uid).collect();
    sim.set_image(Resource::Deployments, "shop", "web", "app", "shop/web:2");
    wait_until("new pods run", || {
        let pods = sim.pods("shop", "web-");
        let olds = pods.iter().filter(|pod| old.contains(&pod.uid)).count();
        assert!(olds == 0 || olds == pods.len());
        olds == 0 && pods.len() == 3
    })
    .await;
    rolled_out(&sim).await;
}

#[tokio::test(start_paused = true)]
async fn a_stateful_set_goes_in_order_and_a_broken_old_pod_blocks_its_rollback() {
    let sim = sim();
    let set = |image: &str, program| StatefulSet {
        namespace: "data".to_owned(),
        name: "index".to_owned(),
        replicas: 3,
        partition: 0,
        template: Template::new([Container::new("app", image, program)]),
    };
    let good = Program { ready: Ready::After(SECOND), ..Program::default() };
    sim.apply(set("index:1", good.clone()));
    let status = || sim.object(Resource::StatefulSets, "data", "index").unwrap()["status"].clone();
    wait_until("all three are ready", || status()["readyReplicas"] == 3).await;
    let names: Vec<_> = sim.pods("data", "index").into_iter().map(|pod| pod.name).collect();
    assert_eq!(names, ["index-0", "index-1", "index-2"]);
    sim.apply(set("index:2", Program { ready: Ready::Never, ..good.clone() }));
    wait_until("the highest is replaced", || status()["updatedReplicas"] == 1).await;
    tokio::time::sleep(10 * SECOND).await;
    sim.apply(set("index:1", good));
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(status()["readyReplicas"], 2, "the broken pod stands in the way");
    sim.delete_pod("data", "index-2", None);
    wait_until("all three are ready again", || {
        status()["readyReplicas"] == 3 && status()["updatedReplicas"] == 3
    })
    .await;
    assert_eq!(status()["currentRevision"], status()["updateRevision"]);
}

#[tokio::test(start_paused = true)]
async fn init_containers_run_to_their_end_before_the_sidecar_and_the_others() {
    use crate::ids::ContainerKind;
    let sim = sim();
    let init = Program { exit: Exit::After(SECOND, 0), ..Program::script([(SECOND / 2, "hi")]) };
    let containers = [
        Container::new("app", "a:1", Program::default()),
        Container::new("prepare", "p:1", init).of_kind(ContainerKind::Init),
        Container::new("proxy", "x:1", Program::default()).of_kind(ContainerKind::Sidecar),
    ];
    sim.apply(BarePod {
        namespace: "shop".to_owned(),
        name: "lone".to_owned(),
        template: Template::new(containers),
    });
    let mut order = Vec::new();
    wait_until("the pod is ready", || {
        for container in &sim.pods("shop", "lone")[0].containers {
            if container.running && !order.contains(&container.name) {
                order.push(container.name.clone());
            }
        }
        let object = sim.object(Resource::Pods, "shop", "lone").unwrap();
        object["status"]["conditions"][1]["status"] == "True"
    })
    .await;
    assert_eq!(order, ["prepare", "proxy", "app"]);
    let object = sim.object(Resource::Pods, "shop", "lone").unwrap();
    let init = &object["status"]["initContainerStatuses"];
    assert_eq!(init[0]["state"]["terminated"]["reason"], "Completed");
    assert_eq!(init[1]["state"]["running"]["startedAt"].as_str().unwrap().len(), 20);
    let error = follow(sim.client(), "lone", LogParams { previous: true, ..LogParams::default() });
    match error.await {
        Err(kube::Error::Api(status)) => assert_eq!(status.code, 400),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn reviews_follow_the_table_and_a_revoked_right_is_gone() {
    use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
    use k8s_openapi::api::authorization::v1 as authorization;
    use kube::api::PostParams;

    let sim = sim();
    sim.add_token(
        "t0ken",
        Identity {
            user: "alice".to_owned(),
            groups: vec!["devs".to_owned()],
            audiences: vec!["rollcast".to_owned()],
        },
    );
    let rule = Rule::new(Subject::Group("devs".to_owned()), "get", "pods/log", Some("shop"));
    sim.add_rule(rule.clone());
    let tokens: Api<TokenReview> = Api::all(sim.client());
    let review = async |token: &str, audiences: &[&str]| {
        let spec = TokenReviewSpec {
            token: token.to_owned(),
            audiences: Some(audiences.iter().map(|one| (*one).to_owned()).collect()),
        };
        let review = TokenReview { spec, ..TokenReview::default() };
        tokens.create(&PostParams::default(), &review).await.unwrap().status.unwrap()
    };
    let status = review("t0ken", &["rollcast"]).await;
    assert_eq!(status.authenticated, Some(true));
    assert_eq!(status.audiences, Some(vec!["rollcast".to_owned()]));
    let groups = status.user.unwrap().groups.unwrap();
    assert_eq!(groups, ["devs", "system:authenticated"]);
    assert_eq!(review("t0ken", &["other"]).await.authenticated, Some(false));
    assert_eq!(review("wrong", &["rollcast"]).await.authenticated, Some(false));

    let accesses: Api<authorization::SubjectAccessReview> = Api::all(sim.client());
    let allowed = async |namespace: &str| {
        let spec = authorization::SubjectAccessReviewSpec {
            user: Some("alice".to_owned()),
            groups: Some(groups.clone()),
            resource_attributes: Some(authorization::ResourceAttributes {
                namespace: Some(namespace.to_owned()),
                verb: Some("get".to_owned()),
                resource: Some("pods".to_owned()),
                subresource: Some("log".to_owned()),
                ..Default::default()
            }),
            ..Default::default()
        };
        let review = authorization::SubjectAccessReview { spec, ..Default::default() };
        accesses.create(&PostParams::default(), &review).await.unwrap().status.unwrap().allowed
    };
    assert!(allowed("shop").await && !allowed("data").await);
    sim.remove_rule(&rule);
    assert!(!allowed("shop").await);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_answer_stays_open_and_a_dripping_one_comes_slowly() {
    let sim = sim();
    sim.apply(web("shop/web:1", Program::numbered("run", 50.0)));
    rolled_out(&sim).await;
    tokio::time::sleep(SECOND).await;
    let pod = sim.pods("shop", "web-").remove(0).name;
    let params = |follow| LogParams { follow, timestamps: true, ..LogParams::default() };
    sim.add_fault(Fault::new(Match::follow(""), Effect::Hang(500)).times(1));
    let hanging = follow(sim.client(), &pod, params(true));
    assert!(tokio::time::timeout(300 * SECOND, hanging).await.is_err());
    let drip = Effect::Drip(100, Duration::from_millis(100));
    sim.add_fault(Fault::new(Match::kind(RequestKind::Log), drip).times(1));
    let before = tokio::time::Instant::now();
    let plain = LogParams { limit_bytes: Some(1_000), ..params(false) };
    assert_eq!(follow(sim.client(), &pod, plain).await.unwrap().len(), 1_000);
    assert_eq!(before.elapsed(), SECOND);
}

#[tokio::test]
async fn over_tcp_a_follow_is_live_and_the_listener_ends_with_its_token() {
    let sim = sim();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let listening = sim.tasks.spawn({
        let (sim, stop) = (sim.clone(), stop.clone());
        async move { sim.listen(listener, stop).await }
    });
    sim.apply(web("shop/web:1", Program::numbered("run", 200.0)));
    wait_until("a pod runs", || {
        sim.pods("shop", "web-").first().is_some_and(|pod| pod.containers[0].running)
    })
    .await;
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let client = kube::Client::try_from(Sim::config(address).unwrap()).unwrap();
    let pod = sim.pods("shop", "web-").remove(0).name;
    let params = LogParams { follow: true, limit_bytes: Some(20_000), ..LogParams::default() };
    assert_eq!(follow(client, &pod, params).await.unwrap().len(), 20_000);
    stop.cancel();
    listening.await.unwrap();
}

/// A measure, not a test: `cargo test --release --lib sim:: -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures speed for ten seconds"]
async fn five_hundred_followed_containers() {
    let sim = Sim::new(SimOptions {
        write_tick: Duration::from_millis(50),
        log_max_bytes: 1 << 20,
        odd_chunks: false,
        ..SimOptions::default()
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    sim.tasks.spawn({
        let sim = sim.clone();
        async move { sim.listen(listener, CancellationToken::new()).await }
    });
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let client = kube::Client::try_from(Sim::config(address).unwrap()).unwrap();
    let spec = web("shop/web:1", Program::numbered("run", 200.0));
    sim.apply(Deployment { replicas: 500, ..spec });
    tokio::time::sleep(3 * SECOND).await;
    let read = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    for pod in sim.pods("shop", "web-") {
        let (client, read) = (client.clone(), read.clone());
        sim.tasks.spawn(async move {
            let api: Api<core::Pod> = Api::namespaced(client, "shop");
            let params = LogParams { follow: true, timestamps: true, ..LogParams::default() };
            let mut body = api.log_stream(&pod.name, &params).await.unwrap();
            let mut piece = vec![0; 64 * 1024];
            while let Ok(count) = body.read(&mut piece).await {
                if count == 0 {
                    return;
                }
                let lines = memchr::memchr_iter(b'\n', &piece[..count]).count();
                read.fetch_add(lines as u64, std::sync::atomic::Ordering::Relaxed);
            }
        });
    }
    tokio::time::sleep(5 * SECOND).await;
    let cpu = || {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let before = (read.load(std::sync::atomic::Ordering::Relaxed), cpu());
    tokio::time::sleep(10 * SECOND).await;
    let lines = read.load(std::sync::atomic::Ordering::Relaxed) - before.0;
    let busy = cpu() - before.1;
    #[allow(clippy::disallowed_macros, reason = "a measure is for reading")]
    {
        println!("{} lines/s, {} % of a core", lines / 10, busy / 10);
    }
}
