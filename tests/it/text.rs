//! The text for people: what `curl` shows in a CI job.

use std::time::Duration;

use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};

use crate::follow_cli::counted;
use crate::results::{set, settled};
use crate::several;
use crate::world::{STREAM, World};

/// A CI system takes a job that says nothing of its own for one that hangs, and lines of logs say nothing
/// of how the rollout stands.
#[tokio::test(start_paused = true)]
async fn it_says_how_the_rollout_stands_every_15_seconds_whatever_the_logs_say() {
    for heartbeat in [5, 60] {
        let heartbeat = Duration::from_secs(heartbeat);
        let world = World::with(14, |plan| plan.streams.heartbeat = heartbeat);
        world.sim.apply(counted("shop/web:1", 200));
        world.synced().await;
        let answer = world.get(&format!("{STREAM}?format=text"), &[]).await;
        let (mut body, begin) = (answer.into_body(), Instant::now());
        let (mut last, mut longest, mut lines) = (begin, Duration::ZERO, 0);
        let until = begin + Duration::from_secs(150);
        while let Ok(Some(part)) = timeout_at(until, body.frame()).await {
            let bytes = part.unwrap().into_data().unwrap();
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            assert!(text.ends_with('\n'), "a piece ends in the middle of a line: {text:?}");
            lines += text.matches(" | ").count();
            if text.contains("  rollout  ") {
                longest = longest.max(last.elapsed());
                last = Instant::now();
            }
        }
        assert!(lines > 150, "{lines} lines of logs");
        assert!(longest <= Duration::from_secs(16), "{longest:?} with {heartbeat:?}");
        assert!(last.elapsed() <= Duration::from_secs(16), "{:?}", last.elapsed());
    }
}

/// Of several workloads it says so of each whose rollout runs, by its name.
#[tokio::test(start_paused = true)]
async fn of_several_it_says_how_each_rollout_that_runs_stands() {
    let world = several::settled(22).await;
    several::set(&world, "web", "late");
    let answer = world.get("/api/v1/namespaces/shop/stream?format=text", &[]).await;
    let (mut body, begin) = (answer.into_body(), Instant::now());
    let (mut text, until) = (String::new(), begin + Duration::from_secs(100));
    let mut times = Vec::new();
    while let Ok(Some(part)) = timeout_at(until, body.frame()).await {
        let bytes = part.unwrap().into_data().unwrap();
        let piece = std::str::from_utf8(&bytes).unwrap();
        // How it stands is told with its time; what happened to it, with more.
        if piece.contains("  rollout  shop/deployment/web  revision 2 progressing, ") {
            times.push(begin.elapsed().as_secs());
        }
        assert!(begin.elapsed() < Duration::from_secs(5) || !piece.contains("/pay  "), "{piece}");
        text.push_str(piece);
    }
    let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
    assert!(times.len() >= 6 && gaps.max().is_some_and(|gap| gap <= 16), "{times:?}\n{text}");
}

/// Who waits for a rollout that nobody has asked for yet, or who has mistyped it, is told so.
#[tokio::test(start_paused = true)]
async fn one_that_was_not_seen_yet_is_said_to_be_missing() {
    let world = settled(23).await;
    let answer = world.get(&format!("{STREAM}?format=text&until=result&revision=2"), &[]).await;
    let (mut body, begin) = (answer.into_body(), Instant::now());
    let mut text = String::new();
    let missing = "  rollout  the one that was asked for was not seen yet\n";
    let mut changed = false;
    let until = begin + Duration::from_secs(120);
    while let Ok(Some(part)) = timeout_at(until, body.frame()).await {
        text.push_str(std::str::from_utf8(&part.unwrap().into_data().unwrap()).unwrap());
        if !changed && text.matches(missing).count() == 2 {
            assert!(begin.elapsed() <= Duration::from_secs(32), "{text}");
            set(&world, "shop/web:2");
            changed = true;
        }
    }
    assert!(changed && text.matches(missing).count() == 2, "{text}");
    let last = text.lines().last().unwrap();
    assert!(last.starts_with("RESULT outcome=succeeded") && last.contains("revision=2"), "{text}");
}

/// For a system that runs jobs: the log is folded away, the failure is where that system shows errors, and
/// the result stays the last line.
#[tokio::test(start_paused = true)]
async fn in_a_dialect_the_log_is_folded_away_and_a_failure_is_an_error() {
    let world = settled(21).await;
    set(&world, "shop/web:none");
    let path = format!("{STREAM}?until=result&format=github");
    let body = world.get(&path, &[]).await.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("shop/deployment/web  "), "{text}");
    assert_eq!(lines[1], "::group::shop/deployment/web", "{text}");
    let at = |words: &str| lines.iter().position(|line| line.starts_with(words));
    let error =
        "::error title=shop/deployment/web failed::the new pod cannot start: image shop/web:none";
    assert_eq!(at("::endgroup::").map(|at| at + 1), at(error), "{text}");
    assert!(at("FAILED") > at(error), "{text}");
    assert!(lines.last().unwrap().starts_with("RESULT outcome=failed"), "{text}");
    assert_eq!(text.matches("::group::").count(), 1, "{text}");
}
