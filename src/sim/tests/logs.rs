//! Logs through the API.

use tokio_util::sync::CancellationToken;

use super::*;

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

#[tokio::test(start_paused = true)]
async fn a_collected_attempt_is_told_in_the_body_without_stamp_or_line_end() {
    let sim = sim();
    sim.apply(web("shop/web:1", Program::numbered("run", 5.0)));
    rolled_out(&sim).await;
    let pod = sim.pods("shop", "web-").remove(0);
    assert!(sim.crash("shop", &pod.name, "app", 3));
    wait_until("the next attempt runs", || {
        sim.pods("shop", &pod.name)[0].containers[0].attempt == 2
    })
    .await;
    let previous = || LogParams { previous: true, timestamps: true, ..LogParams::default() };
    let text = follow(sim.client(), &pod.name, previous()).await.unwrap();
    assert_eq!(text, sim.written(&pod.uid, "app", 1).unwrap().text);
    assert!(sim.collect_previous("shop", &pod.name, "app"));
    let id = pod.containers[0].container_id.clone().unwrap();
    let text = follow(sim.client(), &pod.name, previous()).await.unwrap();
    assert_eq!(
        String::from_utf8(text).unwrap(),
        format!("unable to retrieve container logs for {id}")
    );
}
