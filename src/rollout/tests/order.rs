//! Watches have no order among each other: whatever the order, the end is the same.

use proptest::prelude::*;

use super::*;

/// What each kind's watch tells, in its own order, of a rolling update that ends well but for one
/// crashed pod that recovered.
fn watches() -> Vec<Vec<Value>> {
    let crash = json!({"terminated": {"exitCode": 1, "reason": "Error"}});
    let up = |suffix: &str| running(pod("b", suffix, 21), true);
    let mut leaving = running(pod("a", "1", 2), false);
    leaving["metadata"]["deletionTimestamp"] = json!(stamp(50));
    leaving["gone"] = json!(true);
    let mut leaving_too = running(pod("a", "2", 2), false);
    leaving_too["gone"] = json!(true);
    vec![
        vec![
            deployment(V1, [1, 1, 2, 2, 2, 2]),
            deployment(V2, [2, 1, 2, 2, 2, 2]),
            deployment(V2, [2, 2, 2, 3, 1, 2]),
            deployment(V2, [2, 2, 2, 2, 2, 2]),
        ],
        vec![
            replica_set("a", V1, 1, [1, 2, 2]),
            replica_set("b", V2, 20, [2, 1, 0]),
            replica_set("a", V1, 1, [1, 0, 0]),
            replica_set("b", V2, 20, [2, 2, 2]),
        ],
        vec![
            running(pod("a", "1", 2), true),
            running(pod("a", "2", 2), true),
            pod("b", "1", 21),
            with_state(pod("b", "1", 21), false, 0, crash),
            up("2"),
            leaving,
            up("1"),
            leaving_too,
        ],
    ]
}

/// Plays the watches so that `turns` decides which one is next, and gives what is left at the end,
/// less the times at which it was seen.
fn end(turns: &[usize]) -> (RolloutStatus, Vec<PodStatus>) {
    let mut watches: Vec<_> = watches().into_iter().map(Vec::into_iter).collect();
    let mut stage = Stage::new();
    let play = |stage: &mut Stage, value: Value| {
        let records = match value.get("gone") {
            Some(_) => stage.delete(&value),
            None => stage.apply(&value),
        };
        for entry in records {
            let Entry::Rollout(status) = entry else { continue };
            // Never complete while the status is that of the version before.
            let says_two = &*status.images[0].to == V2;
            assert!(!says_two || status.phase != RolloutPhase::Complete || status.updated == 2);
        }
    };
    for turn in turns {
        if let Some(value) = watches[turn % 3].next() {
            play(&mut stage, value);
        }
    }
    for watch in watches {
        for value in watch {
            play(&mut stage, value);
        }
    }
    let rollout = RolloutStatus { time: 0, ..(*stage.web()).clone() };
    let pods = stage.pods();
    (rollout, pods.iter().map(|pod| PodStatus { time: 0, ..(**pod).clone() }).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_order_of_the_watches_ends_in_the_same_state(
        turns in proptest::collection::vec(0usize..3, 0..32),
    ) {
        let (rollout, pods) = end(&turns);
        let (expected, expected_pods) = end(&[]);
        prop_assert_eq!(rollout.phase, RolloutPhase::Complete);
        prop_assert_eq!(pods.len(), 2);
        prop_assert_eq!(rollout, expected);
        prop_assert_eq!(pods, expected_pods);
    }
}
