//! Our own clock, whatever pods and the Deployment's controller do meanwhile.

use super::pods::crashed;
use super::*;
use crate::ids::Outcome;

/// The usual deadline of a Deployment, in seconds; that of `deployment`, too.
const DEADLINE: i64 = 600;
/// The longest time between two looks in these tests.
const STEP: i64 = 60;

/// Pods become ready and unready, crash and run again, and each time the controller says that there was
/// progress: the deadline counts from when the rollout was first as good as it ever was.
#[test]
fn a_rollout_that_flaps_is_concluded_by_our_own_clock_whatever_happens() {
    for seed in 0..100 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut stage = settled();
        // Crashes alone would end it sooner.
        stage.model.graces.restarts = u32::MAX;
        stage.world.now = BEGIN + 60 * SECOND;
        stage.feed(&[Change::Synced]);
        stage.apply(&deployment(V2, [2, 1, 2, 2, 2, 2]));
        stage.apply(&replica_set("b", V2, 61, [2, 1, 0]));
        stage.apply(&deployment(V2, [2, 2, 2, 3, 1, 2]));
        stage.apply(&running(pod("b", "1", 62), false));
        let (mut best, mut since) = (0, stage.world.now);
        let mut restarts = 0;
        let decision = loop {
            stage.pass(random.i64(1..STEP));
            if let Some(decision) = stage.model.decisions().pop() {
                break decision;
            }
            let ready = random.bool();
            let mut new = running(pod("b", "1", 62), ready);
            if !ready && random.bool() {
                restarts += 1;
                new = crashed(pod("b", "1", 62), restarts, "Error");
            }
            new["status"]["containerStatuses"][0]["restartCount"] = json!(restarts);
            stage.apply(&new);
            let available = i64::from(ready);
            if available > best {
                (best, since) = (available, stage.world.now);
            }
            stage.apply(&replica_set("b", V2, 61, [2, 1, available]));
            let mut web = deployment(V2, [2, 2, 2, 3, 1, 2 + available]);
            let mut renewed = progressing("True", "ReplicaSetUpdated");
            renewed["lastUpdateTime"] = json!(crate::time::rfc3339(stage.world.now));
            web["status"]["conditions"] = json!([renewed]);
            stage.apply(&web);
        };
        assert_eq!(decision.draft.outcome, Outcome::TimedOut, "seed {seed}");
        let took = (stage.world.now - since) / SECOND;
        // Each object that is applied takes a second.
        assert!((DEADLINE - 4..=DEADLINE + STEP + 4).contains(&took), "seed {seed}: {took} s");
    }
}
