//! The text for people: what `curl` shows in a CI job.

use std::time::Duration;

use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};

use crate::follow_cli::counted;
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
