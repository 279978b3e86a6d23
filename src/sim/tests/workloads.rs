//! Controllers and kubelets: what becomes of what is applied.

use super::*;

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
        on_delete: false,
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
