//! Pods and containers end.

use std::collections::BTreeMap;
use std::time::Duration;

use rollcast::sim::{
    Container, Deployment, Effect, Exit, Fault, Job, Match, Numbers, Output, Program, RequestKind,
    Resource, StatefulSet, Template,
};
use rollcast::time;

use super::story;
use crate::client::{Client, Event, listen};
use crate::oracle::{Rules, told};
use crate::resume::seeds;
use crate::rig::{Manners, Rig, seeded};
use crate::world::{STREAM, World, web};

/// Row 20.
#[test]
fn pods_that_are_deleted_with_grace_are_read_to_their_end() {
    seeded(async |seed| {
        story(Rig::new(seed), web(2, 20.0, None), Rules::whole(), async |rig| {
            for _ in 0..3 {
                let pods = rig.sim.pods("shop", "web");
                let pod = rig.random.choice(&pods).expect("there are pods");
                rig.sim.delete_pod("shop", &pod.name, Some(30));
                rig.wait(5.0).await;
            }
        })
        .await;
    });
}

/// Row 20: the object goes at once, and with it the log. No status ever says that the container has
/// ended, so a gap may stand where nothing is missing.
#[test]
fn pods_that_are_deleted_without_grace_are_complete_or_say_so() {
    seeded(async |seed| {
        let rules = Rules { doubtful: &["pod_removed"], ..Rules::whole() };
        story(Rig::new(seed), web(2, 20.0, None), rules, async |rig| {
            for _ in 0..3 {
                let pods = rig.sim.pods("shop", "web");
                let pod = rig.random.choice(&pods).expect("there are pods");
                rig.sim.delete_pod("shop", &pod.name, Some(0));
                rig.wait(5.0).await;
            }
        })
        .await;
    });
}

/// Row 21.
#[test]
fn a_pod_of_the_same_name_is_another_pod() {
    seeded(async |seed| {
        let mut rig = Rig::new(seed);
        let numbers = Numbers { both: true, ..Numbers::new("run", 20.0) };
        let program = Program { output: vec![Output::Numbered(numbers)], ..Program::default() };
        let template = Template::new([Container::new("app", "shop/db:1", program)]);
        rig.sim.apply(StatefulSet {
            namespace: "shop".to_owned(),
            name: "db".to_owned(),
            replicas: 2,
            partition: 0,
            on_delete: false,
            template,
        });
        rig.world().synced().await;
        let path = STREAM.replace("deployment/web", "statefulset/db") + "?since=1h";
        let path = path.as_str();
        let mut viewers = Vec::new();
        for cuts in [None, Some(Duration::from_secs(3))] {
            viewers.push(rig.viewer("db", path, Manners { cuts, ..Manners::default() }));
        }
        viewers[0].lines(20, 30).await;
        for _ in 0..3 {
            let pods = rig.sim.pods("shop", "db");
            let pod = rig.random.choice(&pods).expect("there are pods");
            rig.sim.delete_pod("shop", &pod.name, None);
            rig.wait(6.0).await;
        }
        let calm = Some(time::now());
        rig.wait(11.0).await;
        rig.sim.scale(Resource::StatefulSets, "shop", "db", 0);
        rig.wait(20.0).await;
        rig.holds(viewers, &Rules { calm, ..Rules::whole() }).await;
    });
}

/// Row 22.
#[test]
fn a_drained_node_ends_every_log_and_new_pods_join_at_once() {
    seeded(async |seed| {
        story(Rig::new(seed), web(12, 4.0, None), Rules::whole(), async |rig| {
            let pods = rig.sim.pods("shop", "web");
            for pod in pods.iter().filter(|pod| pod.node.as_deref() == Some("node-1")) {
                rig.sim.delete_pod("shop", &pod.name, None);
            }
            rig.wait(10.0).await;
        })
        .await;
    });
}

/// Row 22, with fifty pods on the node: the new ones are heard within two seconds of their start.
#[test]
fn fifty_pods_of_a_drained_node_are_followed_elsewhere_within_two_seconds() {
    seeded(async |seed| {
        story(Rig::new(seed), web(50, 2.0, None), Rules::whole(), async |rig| {
            let watch = rig.viewer("watch", &format!("{STREAM}?tail=0"), Manners::default());
            rig.wait(1.0).await;
            let old = rig.sim.pods("shop", "web");
            for pod in &old {
                rig.sim.delete_pod("shop", &pod.name, None);
            }
            rig.wait(15.0).await;
            let mut delays = BTreeMap::new();
            watch.look(|heard| {
                for event in heard.named("log") {
                    let pod = event.word("pod").unwrap().to_owned();
                    let delay = event.at - event.time("time").unwrap();
                    delays.entry(pod).or_insert(delay);
                }
            });
            delays.retain(|name, _| old.iter().all(|pod| pod.name != *name));
            assert_eq!(delays.len(), 50, "seed {seed}: new pods that were heard");
            let most = delays.values().max().unwrap() / 1_000_000;
            assert!(most <= 2_000, "seed {seed}: the first line of a new pod after {most} ms");
        })
        .await;
    });
}

/// Row 30, at full rate: ten thousand changes of pods a second, and nothing is late or lost.
#[tokio::test(start_paused = true)]
async fn ten_thousand_changes_of_pods_a_second_cost_nothing() {
    story(Rig::new(30), web(100, 1.0, None), Rules::whole(), async |rig| {
        let watch = rig.viewer("watch", &format!("{STREAM}?tail=0"), Manners::default());
        rig.wait(1.0).await;
        let pods = rig.sim.pods("shop", "web");
        for round in 0..200 {
            for pod in &pods {
                assert!(rig.sim.set_ready("shop", &pod.name, "app", Some(round % 2 == 1)));
            }
            rig.wait(0.01).await;
        }
        rig.wait(2.0).await;
        // The last that is told of each is how it is.
        let mut told = BTreeMap::new();
        watch.look(|heard| {
            for event in heard.named("pod") {
                told.insert(event.word("pod").unwrap().to_owned(), event.data["ready"].clone());
            }
        });
        assert_eq!(told.len(), 100);
        assert!(told.values().all(|ready| *ready == true), "{told:?}");
    })
    .await;
}

/// A rolling update under load, again and again.
#[test]
fn rollouts_lose_nothing_of_old_and_new_pods() {
    seeded(async |seed| {
        story(Rig::new(seed), web(3, 15.0, None), Rules::whole(), async |rig| {
            for version in 2..5 {
                let image = format!("shop/web:{version}");
                rig.sim.set_image(Resource::Deployments, "shop", "web", "app", &image);
                let pause = rig.between(2.0, 12.0);
                rig.wait(pause).await;
            }
        })
        .await;
    });
}

/// Row 19: attempts so short that some are collected before anybody can read them; each is whole or
/// said to be gone.
#[test]
fn containers_that_exit_after_a_moment_are_whole_or_said_to_be_gone() {
    seeded(async |seed| {
        let restless = |options: &mut rollcast::sim::SimOptions| {
            options.backoff_base = Duration::from_millis(200);
            options.backoff_cap = Duration::from_secs(2);
        };
        let numbers = Numbers { lines: Some(30), both: true, ..Numbers::new("run", 400.0) };
        let program = Program {
            output: vec![Output::Numbered(numbers)],
            exit: Exit::After(Duration::from_millis(200), 1),
            ..Program::default()
        };
        let template = Template::new([Container::new("app", "shop/web:1", program)]);
        let workload = Deployment::new("shop", "web", 2, template);
        // The newest attempt can be over and its pod gone before a status names it.
        let rules = Rules::with_gaps(&["attempt_collected", "pod_removed"]);
        story(Rig::with(seed, restless, |_| {}), workload, rules, async |rig| {
            for _ in 0..6 {
                let few = rig.random.u64(0..2_000);
                rig.sim.disturb(&Match::follow("web"), &Effect::Cut(few));
                rig.wait(5.0).await;
            }
        })
        .await;
    });
}

/// Row 30: revisions follow each other faster than any of them can complete.
#[test]
fn pods_that_come_and_go_all_the_time_cost_nothing() {
    seeded(async |seed| {
        // Without grace a pod can be gone before its object ever says that its containers run.
        let rules = Rules { doubtful: &["pod_removed"], every_attempt: false, ..Rules::whole() };
        story(Rig::new(seed), web(30, 2.0, None), rules, async |rig| {
            for version in 2..14 {
                let image = format!("shop/web:{version}");
                rig.sim.set_image(Resource::Deployments, "shop", "web", "app", &image);
                for pod in rig.sim.pods("shop", "web") {
                    if rig.random.u8(..) < 80 {
                        rig.sim.delete_pod("shop", &pod.name, Some(rig.random.u32(0..3)));
                    }
                }
                let pause = rig.between(0.1, 1.5);
                rig.wait(pause).await;
            }
            rig.wait(8.0).await;
        })
        .await;
    });
}

/// A container that ends by itself: its log is read to the end, the next attempt is another source.
#[test]
fn containers_that_end_and_start_again_are_whole_attempt_by_attempt() {
    seeded(async |seed| {
        let numbers = Numbers { both: true, ..Numbers::new("run", 40.0) };
        let exit = rollcast::sim::Exit::AfterLines(200, 1);
        let program =
            Program { output: vec![Output::Numbered(numbers)], exit, ..Program::default() };
        let template = Template::new([Container::new("app", "shop/web:1", program)]);
        let workload = Deployment::new("shop", "web", 2, template);
        story(Rig::new(seed), workload, Rules::whole(), async |rig| rig.wait(60.0).await).await;
    });
}

/// A job that ends after so many seconds, heard for six, whose log no new request finds any more.
async fn removed(seed: u64, seconds: u64) -> (World, Client, Vec<Event>, Match) {
    let world = World::slow(seed, |_| {});
    let exit = Exit::After(Duration::from_secs(seconds), 0);
    let program = Program { exit, ..Program::numbered("run", 20.0) };
    let template = Template::new([Container::new("app", "shop/job:1", program)]);
    let (namespace, name) = ("shop".to_owned(), "once".to_owned());
    world.sim.apply(Job { namespace, name, completions: 1, backoff_limit: 0, template });
    world.synced().await;
    let path = "/api/v1/namespaces/shop/job/once/stream?since=1h";
    let mut client = world.stream(path, None).await;
    let events = listen(&mut client, Duration::from_secs(6)).await;
    let word = "unable to retrieve container logs for containerd://0123";
    let logs = Match::kind(RequestKind::Log);
    world.sim.add_fault(Fault::new(logs.clone(), Effect::InBand(0, word.to_owned())));
    (world, client, events, logs)
}

/// The follow was cut, and before the log could be read again the kubelet had removed it: its end was
/// seen by nobody, and no word of a kubelet that finds no file is a line or an end.
#[tokio::test(start_paused = true)]
async fn a_log_that_is_gone_before_its_last_read_is_not_called_complete() {
    for seed in 0..seeds() {
        let (world, mut client, mut events, logs) = removed(seed, 10).await;
        world.sim.disturb(&logs, &Effect::Cut(0));
        events.extend(listen(&mut client, Duration::from_secs(40)).await);
        let end = events.iter().find(|event| event.data["state"] == "ended");
        let end = end.unwrap_or_else(|| panic!("{}", told(&events)));
        assert_eq!(end.data["complete"], false, "{}", told(&events));
        assert!(events.iter().any(|event| event.name == "gap"), "{}", told(&events));
        let lines = events.iter().filter(|event| event.name == "log");
        assert!(lines.clone().count() > 20, "{}", told(&events));
        for line in lines {
            assert!(!line.data["text"].as_str().unwrap().starts_with("unable"), "{line:?}");
        }
    }
}

/// A kubelet that hung while the container ended, and was then ended itself: the API server ends the
/// follow as cleanly as if all had been said, and the pod is gone before it can be read again.
#[tokio::test(start_paused = true)]
async fn a_follow_that_was_silent_until_its_end_is_not_called_complete() {
    for seed in 0..seeds() {
        let (world, mut client, mut events, logs) = removed(seed, 12).await;
        assert_eq!(world.sim.disturb(&logs, &Effect::Stall(Duration::from_secs(14))), 1);
        events.extend(listen(&mut client, Duration::from_secs(13)).await);
        assert_eq!(world.sim.disturb(&logs, &Effect::End(0)), 1);
        events.extend(listen(&mut client, Duration::from_secs(40)).await);
        let end = events.iter().find(|event| event.data["state"] == "ended");
        let end = end.unwrap_or_else(|| panic!("{}", told(&events)));
        assert_eq!(end.data["complete"], false, "{}", told(&events));
        assert!(events.iter().any(|event| event.name == "gap"), "{}", told(&events));
    }
}
