//! Which rollout an answer is about: pins, and the newest run of what is run once or again and again.

use std::time::Duration;

use rollcast::sim::{
    BarePod, Container, CronJob, Deployment, Effect, Exit, Job, Match, Output, Pipe, Program, Pull,
    RequestKind, Resource, Template,
};
use rollcast::time;
use tokio::time::Instant;

use crate::results::{VERDICT, follow, result, set, settled, to_the_end};
use crate::world::{STREAM, World};

const REPORT: &str = "/api/v1/namespaces/shop/cronjob/report/verdict";
const MIGRATE: &str = "/api/v1/namespaces/shop/job/migrate";

/// Says a line and ends after two seconds.
fn ends(code: i32) -> Program {
    let lines = [(Duration::ZERO, Pipe::Out, format!("will end with {code}"))];
    let exit = Exit::After(Duration::from_secs(2), code);
    Program { output: vec![Output::Script(lines.into())], exit, ..Program::default() }
}

fn template(image: &str, program: Program) -> Template {
    Template::new([Container::new("app", image, program)])
}

fn migrate(code: i32) -> Job {
    Job {
        namespace: "shop".to_owned(),
        name: "migrate".to_owned(),
        completions: 1,
        backoff_limit: 0,
        template: template("shop/migrate:1", ends(code)),
    }
}

/// A CronJob whose first Job begins after a quarter of `every`.
fn report(every: Duration, history: usize) -> CronJob {
    CronJob {
        namespace: "shop".to_owned(),
        name: "report".to_owned(),
        schedule: "* * * * *".to_owned(),
        every,
        history,
        template: template("shop/report:1", ends(0)),
    }
}

fn now() -> String {
    time::rfc3339(time::now())
}

/// `truths.md` 14.
#[tokio::test(start_paused = true)]
async fn after_a_time_without_a_rollout_the_answer_is_unknown_when_a_minute_is_over() {
    let world = settled(40).await;
    let (after, began) = (now(), Instant::now());
    let (status, problem) = world.json(&format!("{VERDICT}?after={after}&wait=5s"), &[]).await;
    assert_eq!((status, &problem["type"]), (429, &"urn:rollcast:problem:running".into()));
    let events = follow(&world, &format!("&after={after}"), 100).await;
    assert_eq!(result(&events).data["outcome"], "unknown");
    // A minute of the wall's time, which is two clocks read one after the other.
    let took = began.elapsed().as_secs_f64();
    assert!((59.9..67.0).contains(&took), "{took} s");
    let (status, verdict) = world.json(&format!("{VERDICT}?after={after}"), &[]).await;
    assert_eq!((status, &verdict["outcome"]), (424, &"unknown".into()));
}

#[tokio::test(start_paused = true)]
async fn after_leads_to_what_began_then_and_image_to_what_sets_it() {
    let world = settled(41).await;
    let after = now();
    let path = format!("{STREAM}?until=result&after={after}&image=shop/web:2");
    let mut client = world.stream(&path, None).await;
    client.until("live").await;
    set(&world, "shop/web:quiet");
    tokio::time::sleep(Duration::from_secs(5)).await;
    set(&world, "shop/web:2");
    let events = to_the_end(&mut client, Duration::from_secs(60)).await;
    let data = &result(&events).data;
    assert_eq!((&data["outcome"], &data["revision"]), (&"succeeded".into(), &"3".into()), "{data}");
    for (query, status, revision, outcome) in [
        ("", 200, "3", "succeeded"),
        ("&image=shop/web:2", 200, "3", "succeeded"),
        ("&image=shop/web:quiet", 424, "2", "superseded"),
    ] {
        let (said, verdict) = world.json(&format!("{VERDICT}?after={after}{query}"), &[]).await;
        assert_eq!((said, &verdict["outcome"]), (status, &outcome.into()), "{query}: {verdict}");
        assert_eq!(verdict["revision"], revision, "{query}");
    }
    let none = format!("{VERDICT}?after={}&image=shop/web:1", now());
    assert_eq!(world.get(&none, &[]).await.status(), 429);
    // Alone it says too little, however it is asked.
    for path in [format!("{VERDICT}?image=x:1"), format!("{STREAM}?until=result&image=x:1")] {
        assert_eq!(world.get(&path, &[]).await.status(), 400, "{path}");
    }
}

/// `truths.md` 21; a Job with a TTL of zero is removed in the second in which it ends.
#[tokio::test(start_paused = true)]
async fn a_job_that_is_removed_in_the_moment_of_its_end_keeps_its_result() {
    for (code, outcome, status) in [(0, "succeeded", 200), (1, "failed", 424)] {
        let world = World::new(42);
        world.synced().await;
        world.sim.apply(migrate(code));
        let mut client = world.stream(&format!("{MIGRATE}/stream?until=result"), None).await;
        let ended = || {
            let job = world.sim.object(Resource::Jobs, "shop", "migrate").unwrap();
            job["status"]["conditions"].is_array()
        };
        while !ended() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(world.sim.delete(Resource::Jobs, "shop", "migrate"));
        let events = to_the_end(&mut client, Duration::from_secs(20)).await;
        assert_eq!(result(&events).data["outcome"], outcome);
        tokio::time::sleep(Duration::from_secs(30)).await;
        let (said, verdict) = world.json(&format!("{MIGRATE}/verdict"), &[]).await;
        assert_eq!((said, &verdict["outcome"]), (status, &outcome.into()), "{verdict}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_removed_before_its_end_is_deleted() {
    let world = World::new(43);
    world.synced().await;
    world.sim.apply(migrate(0));
    let mut client = world.stream(&format!("{MIGRATE}/stream?until=result"), None).await;
    client.until("live").await;
    assert!(world.sim.delete(Resource::Jobs, "shop", "migrate"));
    let events = to_the_end(&mut client, Duration::from_secs(20)).await;
    assert_eq!(result(&events).data["outcome"], "deleted");
}

/// Without a history each Job is removed when it has ended.
#[tokio::test(start_paused = true)]
async fn a_cron_job_whose_jobs_are_gone_still_says_how_the_last_one_ended() {
    let world = World::new(44);
    world.synced().await;
    world.sim.apply(report(Duration::from_secs(100), 0));
    assert_eq!(world.get(REPORT, &[]).await.status(), 429, "nothing has run yet");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(world.sim.pods("shop", "report").is_empty());
    let (status, verdict) = world.json(REPORT, &[]).await;
    assert_eq!((status, &verdict["outcome"]), (200, &"succeeded".into()), "{verdict}");
    world.sim.register_image("shop/report:1", ends(1));
    tokio::time::sleep(Duration::from_secs(100)).await;
    let (status, verdict) = world.json(REPORT, &[]).await;
    assert_eq!((status, &verdict["reason"]), (424, &"job_failed".into()), "{verdict}");
}

/// `kubectl annotate`, and `kubectl set image` behind it: the answer was the success of the rollout before.
#[tokio::test(start_paused = true)]
async fn an_id_that_was_set_before_its_change_is_no_success_of_the_rollout_before() {
    let world = settled(48).await;
    let annotate = |id: &str| {
        let set = |spec: &mut Deployment| {
            spec.annotations.insert("rollcast.dev/deploy".to_owned(), id.to_owned());
        };
        assert!(world.sim.edit_deployment("shop", "web", set));
    };
    annotate("b-17");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let path = format!("{VERDICT}?deploy=b-17");
    let (status, _) = world.json(&path, &[]).await;
    assert_eq!(status, 200, "an apply that changed nothing else answers at once");
    set(&world, "shop/web:none");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (status, verdict) = world.json(&format!("{path}&wait=5s"), &[]).await;
    assert_eq!((status, &verdict["outcome"]), (424, &"unknown".into()), "{verdict}");
    let message = verdict["message"].as_str().unwrap_or_default();
    assert!(message.contains("only if it is set in it"), "{message}");
    annotate("b-18");
    let (status, verdict) = world.json(&format!("{VERDICT}?deploy=b-18&wait=50s"), &[]).await;
    assert_eq!((status, &verdict["outcome"]), (424, &"failed".into()), "{verdict}");
}

/// Changing a CronJob begins no run, so an id would name the one before the change.
#[tokio::test(start_paused = true)]
async fn a_deploy_of_a_cron_job_is_refused_with_what_to_ask_for() {
    let world = settled(47).await;
    world.sim.apply(report(Duration::from_secs(100), 3));
    tokio::time::sleep(Duration::from_secs(60)).await;
    let stream = REPORT.replace("verdict", "stream");
    for path in [format!("{REPORT}?deploy=b-17"), format!("{stream}?until=result&deploy=b-17")] {
        let (status, problem) = world.json(&path, &[]).await;
        assert_eq!(status, 400, "{path}");
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(detail.starts_with("deploy: names no run of shop/cronjob/report: "), "{detail}");
    }
    let path = format!("{REPORT}?after={}", now());
    let (status, _) = world.json(&path, &[]).await;
    assert_eq!(status, 429, "the next run is still to come");
    tokio::time::sleep(Duration::from_secs(62)).await;
    let (status, _) = world.json(&path, &[]).await;
    assert_eq!(status, 429, "a schedule takes longer than a change");
    let (status, verdict) = world.json(&format!("{path}&wait=50s"), &[]).await;
    assert_eq!((status, &verdict["outcome"]), (200, &"succeeded".into()), "{verdict}");
    // Where it is one of several that are selected, there is nothing of it to wait for.
    world.sim.edit_deployment("shop", "web", |spec| {
        spec.annotations.insert("rollcast.dev/deploy".to_owned(), "b-17".to_owned());
    });
    let path = "/api/v1/namespaces/shop/stream?until=result&deploy=b-17";
    let mut client = world.stream(path, None).await;
    let events = to_the_end(&mut client, Duration::from_secs(60)).await;
    assert_eq!(result(&events).data["outcome"], "succeeded");
}

/// Our watch of these objects brings nothing for three seconds.
fn hold(world: &World, resource: Resource) {
    let watch = Match { resource: Some(resource), ..Match::kind(RequestKind::Watch) };
    assert!(world.sim.disturb(&watch, &Effect::Stall(Duration::from_secs(3))) > 0);
}

/// The request comes before our watch has brought the next run: that one is waited for.
#[tokio::test(start_paused = true)]
async fn the_newest_run_of_a_cron_job_is_the_one_that_the_api_server_has() {
    let world = World::new(45);
    world.synced().await;
    world.sim.apply(report(Duration::from_secs(80), 3));
    tokio::time::sleep(Duration::from_secs(70)).await;
    let (status, _) = world.json(REPORT, &[]).await;
    assert_eq!(status, 200, "the first one is good");
    world.sim.register_image("shop/report:1", ends(1));
    tokio::time::sleep(Duration::from_secs(29)).await;
    hold(&world, Resource::Jobs);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (status, verdict) = world.json(&format!("{REPORT}?wait=40s"), &[]).await;
    assert_eq!((status, &verdict["reason"]), (424, &"job_failed".into()), "{verdict}");
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_was_made_again_a_moment_ago_is_the_one() {
    const VERDICT: &str = "/api/v1/namespaces/shop/pod/tool/verdict";
    let tool = |image: &str, program| BarePod {
        namespace: "shop".to_owned(),
        name: "tool".to_owned(),
        template: template(image, program),
    };
    let refused = Program {
        pull: Pull::Fails { message: "shop/tool:none: not found".to_owned() },
        ..Program::default()
    };
    for held in [false, true] {
        let world = World::new(46);
        world.synced().await;
        world.sim.apply(tool("shop/tool:1", Program::default()));
        let (status, _) = world.json(&format!("{VERDICT}?wait=40s"), &[]).await;
        assert_eq!(status, 200);
        if held {
            hold(&world, Resource::Pods);
        }
        assert!(world.sim.delete_pod("shop", "tool", Some(0)));
        while !world.sim.pods("shop", "tool").is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        world.sim.apply(tool("shop/tool:none", refused.clone()));
        let (status, verdict) = world.json(&format!("{VERDICT}?wait=40s"), &[]).await;
        let reason = &verdict["reason"];
        assert_eq!((status, reason), (424, &"image_not_found".into()), "{held}: {verdict}");
    }
}
