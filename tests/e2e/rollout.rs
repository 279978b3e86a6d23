//! A rolling update, as clients see it.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::cluster::namespace;
use crate::reader::{Heard, Reader, contiguous};
use crate::service::{Service, stream_path};
use crate::writers::Writers;

const PODS: usize = 10;
const LINES: u64 = 5_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_line_of_the_new_pods_comes_once_through_a_rolling_update() {
    let Some(namespace) = namespace("rollout") else { return };
    // The first pods write until they are told to end; the second write so many lines and stay.
    let forever = "--rate 500 --stream both --length 40-200";
    let mut web = Writers { name: "web", replicas: PODS as u32, run: "old", options: forever };
    namespace.apply(&web.object());
    namespace.rolled_out("web");
    let service = Service::open("rollout", &["--namespace", &namespace.name]).await;
    let path = stream_path(&namespace.name, "web");
    let steady = Reader::start(service.address, &path, None);
    let cut = Reader::start(service.address, &path, Some(Duration::from_secs(2)));
    for reader in [&steady, &cut] {
        reader
            .until("live", Duration::from_secs(20), |heard| !heard.named("live").is_empty())
            .await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;

    let options = format!("{forever} --lines {LINES} --hold");
    web = Writers { run: "new", options: &options, ..web };
    namespace.apply(&web.object());
    let all = PODS * LINES as usize;
    steady.lines("new", all, Duration::from_secs(90)).await;
    cut.lines("new", all, Duration::from_secs(30)).await;
    for (name, reader) in [("steady", &steady), ("cut", &cut)] {
        let ended = |heard: &Heard| {
            let ended = heard.named("source").into_iter().filter(|end| end["state"] == "ended");
            ended.count() >= PODS && complete(heard)
        };
        let limit = Duration::from_secs(30);
        reader
            .until(&format!("{name}: the old pods' ends\n{}", reader.summary()), limit, ended)
            .await;
    }
    let old: BTreeSet<String> = judge("steady", steady.stop().await);
    assert_eq!(old, judge("cut", cut.stop().await));
}

fn complete(heard: &Heard) -> bool {
    heard.named("rollout").last().is_some_and(|last| last["phase"] == "complete")
}

/// Judges one client; the names of the old pods that it saw end.
fn judge(name: &str, heard: Heard) -> BTreeSet<String> {
    eprintln!(
        "{name}: {} new lines, {} old lines, {} resumes",
        heard.count("new"),
        heard.count("old"),
        heard.resumed
    );
    heard.exactly("new", PODS * 2, LINES / 2);
    heard.without_gaps();
    assert!(name != "cut" || heard.resumed > 5, "only {} resumes", heard.resumed);
    let new_pods: BTreeSet<&str> = heard.of_run("new").map(|(_, lines)| &*lines.pod).collect();
    let old_pods: BTreeSet<&str> = heard.of_run("old").map(|(_, lines)| &*lines.pod).collect();
    assert_eq!((new_pods.len(), old_pods.len()), (PODS, PODS));
    for (source, lines) in heard.of_run("new") {
        assert_eq!(lines.side, "new", "{source:?}");
    }
    for (source, lines) in heard.of_run("old") {
        contiguous(source, &lines.numbers, lines.numbers[0]);
        assert!(lines.ended, "{name}: the last line of {source:?} is missing");
        assert_eq!(lines.side, "old", "{source:?}");
    }
    let ended = heard.named("source").into_iter().filter(|end| end["state"] == "ended");
    let ended: BTreeSet<String> = ended
        .map(|end| {
            assert_eq!(end["complete"], true, "{name}: {end}");
            end["pod"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(ended.iter().map(String::as_str).collect::<BTreeSet<_>>(), old_pods);
    let rollouts = heard.named("rollout");
    let phase = |rollout: &&&serde_json::Value, phase: &str| rollout["phase"] == phase;
    let second = || rollouts.iter().filter(|rollout| rollout["revision"] == "2");
    assert!(second().any(|rollout| phase(&rollout, "progressing")), "{rollouts:#?}");
    let last = rollouts.last().unwrap();
    let summary = [&last["phase"], &last["revision"], &last["previous"]];
    assert_eq!(summary, ["complete", "2", "1"], "{last}");
    assert_eq!([&last["ready"], &last["updated"], &last["desired"]], [PODS; 3], "{last}");
    let pods = heard.named("pod");
    let last_of = |pod: &str| pods.iter().rfind(|event| event["pod"] == pod).unwrap();
    for pod in new_pods {
        let last = last_of(pod);
        assert_eq!([&last["phase"], &last["side"]], ["ready", "new"], "{last}");
    }
    for pod in old_pods {
        let last = last_of(pod);
        assert_eq!(last["side"], "old", "{last}");
        let phase = last["phase"].as_str().unwrap();
        assert!(["terminating", "gone"].contains(&phase), "{last}");
    }
    ended
}
