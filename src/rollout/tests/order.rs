//! Watches have no order among each other: whatever the order, the end is the same, and nothing on
//! the way to it is false.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::Index;

use super::story::{self, Watch, Write};
use super::*;

const WATCHES: [Watch; 3] = [Watch::Deployments, Watch::ReplicaSets, Watch::Pods];

/// A stage on which every state that is told is held against what is true.
struct Witness {
    stage: Stage,
    /// What is true of the Deployment that was seen last.
    truth: Option<(&'static str, bool)>,
    told: Vec<RolloutStatus>,
}

impl Witness {
    fn new() -> Witness {
        let mut stage = Stage::new();
        // All that happens in a story has happened: no time of the API lies in the future.
        stage.world.now += 100 * SECOND;
        Witness { stage, truth: None, told: Vec::new() }
    }

    fn see(&mut self, write: &Write) {
        self.truth = write.truth.or(self.truth);
        let records = match write.gone {
            true => self.stage.delete(&write.value),
            false => self.stage.apply(&write.value),
        };
        let statuses = records.into_iter().filter_map(|entry| match entry {
            Entry::Rollout(status) => Some((*status).clone()),
            _ => None,
        });
        for status in statuses {
            let (revision, rolled_out) = self.truth.unwrap();
            assert!(rolled_out || status.phase != RolloutPhase::Complete, "{status:?}");
            assert!(status.revision.as_deref().is_none_or(|told| told == revision), "{status:?}");
            if let Some(before) = self.told.last().filter(|it| it.revision == status.revision) {
                let elapsed = |status: &RolloutStatus| status.elapsed_seconds(status.time);
                assert!(
                    status.phase.is_over() || elapsed(before) <= elapsed(&status),
                    "{before:?} -> {status:?}"
                );
            }
            self.told.push(status);
        }
    }

    /// What is left at the end, less the times at which it was seen.
    fn end(&self) -> (RolloutStatus, Vec<PodStatus>) {
        let rollout = RolloutStatus { time: 0, ..(*self.stage.web()).clone() };
        let pods = self.stage.pods();
        (rollout, pods.iter().map(|pod| PodStatus { time: 0, ..(**pod).clone() }).collect())
    }

    fn phases(&self) -> Vec<RolloutPhase> {
        let mut phases: Vec<_> = self.told.iter().map(|status| status.phase).collect();
        phases.dedup();
        phases
    }
}

/// The first `chapters` of the story.
fn story(chapters: usize) -> Vec<Write> {
    let chapter = [story::settled, story::update, story::rollback, story::flap, story::scale];
    chapter[..chapters].iter().flat_map(|chapter| chapter()).collect()
}

/// What a replica sees that comes at the end of a story: each object once, as it is then.
fn current(story: &[Write]) -> Vec<&Write> {
    let last: BTreeMap<&str, &Write> = story.iter().map(|write| (write.uid(), write)).collect();
    last.into_values().filter(|write| !write.gone).collect()
}

/// Plays writes so that each watch keeps its own order and `turns` decides which is next. Now and
/// then a watch tells once more what it told last.
fn play(writes: &[&Write], turns: &[(usize, bool)]) -> Witness {
    let of = |watch| writes.iter().copied().filter(move |write| write.watch() == watch);
    let mut watches: Vec<_> = WATCHES.map(of).into_iter().map(|watch| (watch, None)).collect();
    let mut witness = Witness::new();
    for (turn, again) in turns {
        let (watch, last) = &mut watches[turn % WATCHES.len()];
        let next = if *again { *last } else { watch.next() };
        if let Some(write) = next {
            *last = Some(write);
            witness.see(write);
        }
    }
    for (watch, _) in watches {
        watch.for_each(|write| witness.see(write));
    }
    witness
}

#[test]
fn each_change_is_told_from_its_beginning_to_its_end_and_no_other() {
    use RolloutPhase::{Complete, Progressing, Waiting};
    let mut witness = Witness::new();
    for (name, chapter, phases) in [
        ("settled", story::settled(), vec![Complete]),
        ("update", story::update(), vec![Waiting, Progressing, Complete]),
        ("rollback", story::rollback(), vec![Waiting, Progressing, Complete]),
        ("flap", story::flap(), vec![Complete]),
        ("scale", story::scale(), vec![Complete]),
    ] {
        witness.told.clear();
        chapter.iter().for_each(|write| witness.see(write));
        assert_eq!(witness.phases(), phases, "{name}");
        let last = witness.told.last().unwrap();
        assert_eq!(last.message, "", "{name}");
        let ready: Vec<_> = witness.told.iter().map(|status| status.ready).collect();
        assert!(name != "flap" || ready.contains(&1), "counts still fall: {ready:?}");
    }
    let web = witness.stage.web();
    assert_eq!(web.started, Some(BEGIN + 41 * SECOND), "the first pod of the rollback");
    assert_eq!(web.finished, Some(BEGIN + 47 * SECOND));
}

fn turns(writes: usize) -> impl Strategy<Value = Vec<(usize, bool)>> {
    let again = prop::bool::weighted(0.2);
    prop::collection::vec((0..WATCHES.len(), again), 0..2 * writes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_order_of_the_watches_ends_in_the_same_state(
        chapters in 1usize..=5,
        turns in turns(70),
    ) {
        let story = story(chapters);
        let writes: Vec<_> = story.iter().collect();
        let mut expected = Witness::new();
        writes.iter().for_each(|write| expected.see(write));
        let (expected, expected_pods) = expected.end();
        prop_assert_eq!(expected.phase, RolloutPhase::Complete);
        let (rollout, pods) = play(&writes, &turns).end();
        prop_assert_eq!(rollout, expected);
        prop_assert_eq!(pods, expected_pods);
    }

    /// At any moment, not only when everything is done. Only when a rollback began, while no pod of it tells,
    /// those alone know who saw it begin.
    #[test]
    fn a_replica_that_comes_late_says_the_same(at in any::<Index>(), turns in turns(12)) {
        let story = story(5);
        let told = &story[..=at.index(story.len())];
        let mut all = Witness::new();
        told.iter().for_each(|write| all.see(write));
        let (rollout, pods) = play(&current(told), &turns).end();
        let (mut expected, expected_pods) = all.end();
        if expected.started != rollout.started {
            prop_assert!(expected.revision.as_deref() == Some("3") && expected.finished.is_none());
            prop_assert!(rollout.started.is_none_or(|known| Some(known) < expected.started));
            expected.started = rollout.started;
        }
        prop_assert_eq!(rollout, expected);
        prop_assert_eq!(pods, expected_pods);
    }
}

/// A DaemonSet's status may say that its controller has seen the new template before its ControllerRevision
/// comes by another watch: the pods that are there are of the one before, however bad they are.
#[test]
fn a_broken_pod_of_a_daemon_set_is_never_blamed_on_the_next_template() {
    for told in [true, false] {
        let mut stage = Stage::new();
        let log = id(Kind::DaemonSet, "log");
        let made = |hash: &str, number: i64| {
            let mut value = revision(("DaemonSet", "log"), hash, number);
            if told {
                value["metadata"]["annotations"] =
                    json!({"deprecated.daemonset.template.generation": number.to_string()});
            }
            value
        };
        let set = |image: &str, generation: i64, updated: i64| {
            let mut value = deployment(image, [generation, generation, 0, 0, 0, 0]);
            (value["kind"], value["metadata"]["name"]) = (json!("DaemonSet"), json!("log"));
            value["metadata"]["uid"] = json!("uid-log");
            value["metadata"]["annotations"] =
                json!({"deprecated.daemonset.template.generation": generation.to_string()});
            value["status"] = json!({"observedGeneration": generation, "numberReady": 0,
                "desiredNumberScheduled": 1, "currentNumberScheduled": 1, "numberAvailable": 0,
                "updatedNumberScheduled": updated});
            value
        };
        let mut bad = super::pods::crashed(bare_pod("log-1", 3), 4, "Error");
        bad["metadata"]["labels"] =
            json!({"controller-revision-hash": "h1", "pod-template-generation": "1"});
        own(&mut bad, "apps/v1", "DaemonSet", "log");
        stage.apply(&made("h1", 1));
        stage.apply(&set(V1, 1, 1));
        stage.apply(&bad);
        assert_eq!(codes(&stage.model.current(&log).unwrap()), [Reason::CrashLoop]);
        stage.apply(&set(V2, 2, 0));
        let status = stage.model.current(&log).unwrap();
        assert_eq!(codes(&status), [], "{told}: {status:?}");
        assert!(stage.model.pods(&log).iter().all(|pod| pod.side == Side::Old), "{told}");
        assert!(!told || status.revision.is_none(), "{status:?}");
        stage.apply(&made("h2", 2));
        let status = stage.model.current(&log).unwrap();
        assert_eq!(status.revision.as_deref(), Some("2"), "{told}");
    }
}
