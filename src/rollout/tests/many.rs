//! Workloads of very many pods.

use super::pods::waits;
use super::*;
use crate::ids::Outcome;
use crate::rollout::model::{MANY_PODS, TOGETHER};

const ALL: usize = MANY_PODS + 50;

fn pods(ready: bool) -> impl Iterator<Item = Value> {
    (0..ALL).map(move |at| running(pod("a", &at.to_string(), 2), ready))
}

fn web(ready: usize) -> Value {
    let [all, available] = [ALL, ready].map(|count| i64::try_from(count).unwrap());
    let mut web = deployment(V1, [1, 1, all, all, all, available]);
    let reason = if ready == ALL { "NewReplicaSetAvailable" } else { "ReplicaSetUpdated" };
    web["status"]["conditions"] = json!([progressing("True", reason)]);
    web
}

fn stage(ready: bool) -> Stage {
    let mut stage = Stage::new();
    stage.apply(&web(if ready { ALL } else { 0 }));
    let all = i64::try_from(ALL).unwrap();
    stage.apply(&replica_set("a", V1, 1, [all, all, if ready { all } else { 0 }]));
    for pod in pods(ready) {
        stage.apply(&pod);
    }
    stage
}

fn said(records: &[(Arc<crate::ids::WorkloadId>, Entry)]) -> usize {
    records.iter().filter(|(_, entry)| matches!(entry, Entry::Rollout(_))).count()
}

#[test]
fn what_becomes_of_many_pods_is_looked_at_once_for_all_of_a_moment() {
    let mut stage = stage(false);
    let now = stage.world.now;
    stage.feed(&[Change::Synced]);
    stage.model.tick(now + TOGETHER);
    let waiting = waits("ErrImagePull", "x: not found");
    let mut records = Vec::new();
    for at in 0..ALL {
        let broken = with_state(pod("a", &at.to_string(), 2), false, 0, waiting.clone());
        let changes = stage.world.apply(&broken);
        records.extend(changes.iter().flat_map(|change| stage.model.apply(change, now)));
    }
    let told = records.iter().filter(|(_, entry)| matches!(entry, Entry::Pod(_))).count();
    assert_eq!((told, said(&records)), (ALL, 0), "each pod at once, the rollout in a moment");
    assert_eq!(stage.model.due(), Some(now + TOGETHER));
    assert_eq!(said(&stage.model.tick(now + TOGETHER - 1)), 0);
    assert_eq!(said(&stage.model.tick(now + TOGETHER)), 1);
    let status = stage.web();
    assert_eq!(codes(&status), [Reason::ImageNotFound]);
    assert!(status.message.starts_with(&format!("{ALL} of {ALL} new pods")), "{}", status.message);
}

#[test]
fn pods_that_go_are_looked_at_together_too() {
    let mut stage = stage(true);
    let now = stage.world.now;
    stage.model.tick(now + TOGETHER);
    let gone: Vec<_> = pods(true).take(10).collect();
    let records: Vec<_> = gone.iter().flat_map(|pod| stage.delete(pod)).collect();
    assert_eq!(records.len(), 10, "{records:?}");
    assert!(records.iter().all(|record| matches!(record, Entry::Pod(_))));
    assert!(stage.model.due().is_some());
}

#[test]
fn what_was_not_looked_at_yet_is_when_everything_is_known() {
    let mut stage = stage(true);
    stage.feed(&[Change::Synced]);
    let web = id(Kind::Deployment, "web");
    let result = stage.model.course(&web).and_then(|course| course.result.clone());
    assert_eq!(result.map(|result| result.outcome), Some(Outcome::Succeeded));
    assert_eq!(counts(&stage.web())[2], u32::try_from(ALL).unwrap());
}

/// An API server that cannot be asked is asked again later; what came meanwhile does not wait for that.
#[test]
fn a_doubt_does_not_put_off_what_is_to_be_looked_at() {
    let mut stage = stage(false);
    stage.model = std::mem::take(&mut stage.model).that_asks();
    stage.feed(&[Change::Synced]);
    let broken =
        |at: &str| with_state(pod("a", at, 2), false, 0, waits("ErrImagePull", "x: not found"));
    stage.apply(&broken("0"));
    stage.model.tick(stage.world.now + TOGETHER);
    let decision = stage.model.decisions().pop().expect("that image will not come");
    stage.apply(&broken("1"));
    let now = stage.world.now;
    assert_eq!(stage.model.due(), Some(now + TOGETHER));
    assert!(stage.model.doubt(&decision, now, 10 * SECOND).is_none());
    assert_eq!(stage.model.due(), Some(now + TOGETHER));
}
