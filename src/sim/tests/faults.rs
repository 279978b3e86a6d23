//! What goes wrong on demand.

use super::*;

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
