//! What the watches and the rollout model make of a simulated cluster: real client, real watches,
//! in-memory pipes, paused time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rollcast::cluster::Cluster;
use rollcast::ids::{Entry, Kind, PodPhase, Reason, RolloutPhase, RolloutStatus, Side, WorkloadId};
use rollcast::journal::Epoch;
use rollcast::rollout::Model;
use rollcast::sim::{
    Container, Deployment, Effect, Exit, Fault, Match, Program, Pull, Resource, Sim, SimOptions,
    Template,
};
use rollcast::telemetry::Metrics;
use rollcast::time::SECOND;
use rollcast::watch::{Change, Index, WatchOptions, run};
use rollcast::wire::{Encoder, Format, Position};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What containerd says of an image that the registry does not have.
fn missing() -> Program {
    let message = "failed to pull and unpack image: shop/web:9: not found".to_owned();
    Program { pull: Pull::Fails { message }, ..Program::default() }
}

/// A cluster, its watches and the model behind them.
struct Rig {
    sim: Sim,
    index: Index,
    model: Model,
    changes: mpsc::Receiver<Change>,
    /// Phases that the Deployment went through, without repetitions.
    phases: Vec<RolloutPhase>,
    /// Phases that each pod went through, without repetitions.
    pods: BTreeMap<String, Vec<PodPhase>>,
    /// States of the Deployment, as they were told.
    told: Vec<Arc<RolloutStatus>>,
    /// Lines about pods in the text format, less their times of day.
    lines: Vec<String>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

fn name() -> WorkloadId {
    WorkloadId::new("shop", Kind::Deployment, "web")
}

fn template(image: &str, program: Program) -> Template {
    Template::new([Container::new("app", image, program)])
}

async fn rig(replicas: u32) -> Rig {
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let options = SimOptions { tasks: tasks.clone(), stop: stop.clone(), ..SimOptions::default() };
    let sim = Sim::new(options);
    let first = template("shop/web:1", Program::default());
    sim.apply(Deployment::new("shop", "web", replicas, first));
    tokio::time::sleep(Duration::from_secs(30)).await;
    let cluster = Cluster::from_client(sim.client(), sim.client(), "sim");
    let (sender, changes) = mpsc::channel(256);
    let index = Index::new();
    let metrics = Arc::new(Metrics::noop());
    let options = WatchOptions::default();
    tasks.spawn(run(cluster, options, index.clone(), sender, metrics, stop.clone()));
    let model = Model::new();
    let (phases, pods, told, lines) = (Vec::new(), BTreeMap::new(), Vec::new(), Vec::new());
    Rig { sim, index, model, changes, phases, pods, told, lines, tasks, stop }
}

impl Rig {
    /// Takes changes for so long.
    async fn wait(&mut self, time: Duration) {
        let until = tokio::time::Instant::now() + time;
        while let Ok(Some(change)) = tokio::time::timeout_at(until, self.changes.recv()).await {
            for (workload, entry) in self.model.apply(&change, self.sim.now()) {
                assert_eq!(*workload, name(), "{entry:?}");
                if matches!(entry, Entry::Pod(_)) {
                    let text = Encoder {
                        format: Format::Text,
                        epoch: Epoch::parse("test00").unwrap(),
                        named: false,
                        again: None,
                    };
                    let mut line = Vec::new();
                    let position = Position { seq: 1, time: 0 };
                    text.entry(&mut line, position, &name(), &entry);
                    self.lines.extend(line.get(8..).map(|it| String::from_utf8_lossy(it).into()));
                }
                match entry {
                    Entry::Rollout(status) => {
                        note(&mut self.phases, status.phase);
                        self.told.push(status);
                    }
                    Entry::Pod(pod) => {
                        note(self.pods.entry(pod.pod.to_string()).or_default(), pod.phase);
                    }
                    _ => {}
                }
            }
        }
    }

    fn web(&self) -> Arc<RolloutStatus> {
        self.model.current(&name()).expect("the deployment is known")
    }

    fn update(&self, image: &str, program: Program) {
        self.sim.register_image(image, program);
        assert!(self.sim.set_image(Resource::Deployments, "shop", "web", "app", image));
    }

    async fn end(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

fn note<T: PartialEq>(phases: &mut Vec<T>, phase: T) {
    if phases.last() != Some(&phase) {
        phases.push(phase);
    }
}

fn counts(status: &RolloutStatus) -> [u32; 5] {
    [status.desired, status.updated, status.ready, status.available, status.old]
}

#[tokio::test(start_paused = true)]
async fn a_rolling_update_is_followed_from_beginning_to_end() {
    let mut rig = rig(3).await;
    rig.wait(Duration::from_secs(5)).await;
    assert_eq!(rig.phases, [RolloutPhase::Complete]);
    assert_eq!(counts(&rig.web()), [3, 3, 3, 3, 0]);
    assert_eq!(rig.web().revision.as_deref(), Some("1"));

    rig.phases.clear();
    rig.update("shop/web:2", Program::default());
    rig.wait(Duration::from_secs(60)).await;
    assert_eq!(rig.phases.last(), Some(&RolloutPhase::Complete), "{:?}", rig.phases);
    assert!(rig.phases.contains(&RolloutPhase::Progressing), "{:?}", rig.phases);
    assert_eq!(rig.phases.iter().filter(|phase| **phase == RolloutPhase::Complete).count(), 1);
    let web = rig.web();
    assert_eq!((web.revision.as_deref(), web.previous.as_deref()), (Some("2"), Some("1")));
    assert_eq!(web.images[0].from.as_deref(), Some("shop/web:1"));
    assert!(web.started < web.finished, "{web:?}");
    let pods = rig.model.pods(&name());
    assert_eq!(pods.len(), 3);
    assert!(pods.iter().all(|pod| pod.side == Side::New && pod.phase == PodPhase::Ready));
    for (name, phases) in &rig.pods {
        let last = phases.last();
        assert!(matches!(last, Some(PodPhase::Ready | PodPhase::Gone)), "{name}: {phases:?}");
    }
    rig.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_missing_image_is_said_in_words_and_a_rollback_completes() {
    let mut rig = rig(4).await;
    rig.update("shop/web:9", missing());
    rig.wait(Duration::from_secs(60)).await;
    let web = rig.web();
    assert_eq!(web.phase, RolloutPhase::Progressing);
    let words = "new pods cannot start: image shop/web:9 not found (ImagePullBackOff)";
    assert!(web.message.ends_with(words), "{}", web.message);
    let why = &web.reasons[0];
    assert_eq!((web.reasons.len(), why.code), (1, Reason::ImageNotFound), "{:?}", web.reasons);
    assert!(why.code.is_certain() && !why.pods.is_empty());
    // Not before the pod had a node, and from a time of the API.
    assert!(why.since >= web.started && why.since < Some(web.time), "{why:?}");
    rig.update("shop/web:1", Program::default());
    rig.wait(Duration::from_secs(90)).await;
    let web = rig.web();
    assert_eq!((web.phase, web.message.as_str()), (RolloutPhase::Complete, ""));
    assert_eq!((web.revision.as_deref(), web.previous.as_deref()), (Some("3"), Some("2")));
    rig.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_rollback_is_told_of_once_and_never_under_an_older_number() {
    let mut rig = rig(3).await;
    rig.wait(Duration::from_secs(5)).await;
    rig.update("shop/web:2", Program::default());
    rig.wait(Duration::from_secs(60)).await;
    assert_eq!(rig.web().revision.as_deref(), Some("2"));
    (rig.phases, rig.told) = (Vec::new(), Vec::new());
    let asked = rig.sim.now();
    rig.update("shop/web:1", Program::default());
    rig.wait(Duration::from_secs(60)).await;
    use RolloutPhase::{Complete, Progressing, Waiting};
    assert_eq!(rig.phases, [Waiting, Progressing, Complete]);
    for status in &rig.told {
        assert_ne!(status.revision.as_deref(), Some("1"), "{status:?}");
        assert!(status.started.is_none_or(|started| started >= asked - SECOND), "{status:?}");
    }
    let web = rig.web();
    assert_eq!(web.revision.as_deref(), Some("3"));
    let took = web.elapsed_seconds(web.time).unwrap();
    assert!((1..60).contains(&took), "{took} s");
    rig.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_finished_rollout_stays_finished_whatever_happens_to_its_pods() {
    let mut rig = rig(3).await;
    rig.wait(Duration::from_secs(5)).await;
    let before = rig.web();
    let pod = |rig: &Rig, at: usize| rig.sim.pods("shop", "web")[at].name.clone();
    assert!(rig.sim.set_ready("shop", &pod(&rig, 0), "app", Some(false)));
    rig.wait(Duration::from_secs(10)).await;
    assert_eq!((rig.web().ready, rig.web().phase), (2, RolloutPhase::Complete));
    assert!(rig.sim.set_ready("shop", &pod(&rig, 0), "app", None));
    assert!(rig.sim.delete_pod("shop", &pod(&rig, 1), None));
    rig.wait(Duration::from_secs(60)).await;
    assert!(rig.sim.crash("shop", &pod(&rig, 2), "app", 1));
    rig.wait(Duration::from_secs(60)).await;
    assert!(rig.sim.scale(Resource::Deployments, "shop", "web", 5));
    rig.wait(Duration::from_secs(60)).await;
    let web = rig.web();
    assert_eq!(counts(&web), [5, 5, 5, 5, 0]);
    assert_eq!(rig.phases, [RolloutPhase::Complete]);
    assert_eq!((web.started, web.finished), (before.started, before.finished));
    rig.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_line_about_a_pod_is_written_only_when_it_says_something_new() {
    let mut rig = rig(3).await;
    rig.wait(Duration::from_secs(5)).await;
    rig.update("shop/web:2", Program::default());
    rig.wait(Duration::from_secs(60)).await;
    let mut last = BTreeMap::new();
    for line in &rig.lines {
        let pod = line.split_whitespace().next().unwrap();
        assert_ne!(last.insert(pod, line), Some(line), "twice in a row");
    }
    assert_eq!(last.len(), 6, "{:?}", rig.lines);
    rig.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_loop_is_said_with_code_and_restarts() {
    let mut rig = rig(2).await;
    let crashes = Exit::After(Duration::from_secs(2), 1);
    rig.update("shop/web:2", Program { exit: crashes, ..Program::default() });
    rig.wait(Duration::from_secs(120)).await;
    let message = rig.web().message.clone();
    assert!(message.contains("container app exits with code 1 two seconds after"), "{message}");
    assert!(message.contains("restarts)"), "{message}");
    let first = rig.told.iter().find(|status| !status.reasons.is_empty()).unwrap();
    let (first, last) = (&first.reasons[0], &rig.web().reasons[0]);
    assert_eq!((first.code, last.code), (Reason::CrashLoop, Reason::CrashLoop));
    // The API tells when the newest attempt ended, and no other.
    assert!(first.since.is_some() && first.since <= last.since, "{first:?} {last:?}");
    assert!(!last.code.is_certain() && last.pods.is_sorted());
    assert!(last.message.starts_with("container app exits with code 1"), "{last:?}");
    rig.end().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_wrong_after_faults_in_the_middle_of_a_rollout() {
    let mut rig = rig(3).await;
    rig.wait(Duration::from_secs(5)).await;
    rig.update("shop/web:2", Program::default());
    rig.wait(Duration::from_millis(700)).await;
    rig.sim.outage(Duration::from_secs(20));
    rig.sim.compact();
    rig.wait(Duration::from_secs(120)).await;
    rig.sim.add_fault(Fault::new(Match::any(), Effect::Forbidden).lasts(Duration::from_secs(1)));
    rig.sim.expire_watches();
    rig.wait(Duration::from_secs(200)).await;
    assert_eq!(counts(&rig.web()), [3, 3, 3, 3, 0]);
    assert_eq!(rig.web().phase, RolloutPhase::Complete);
    let pods = rig.model.pods(&name());
    assert_eq!(pods.len(), 3, "{pods:?}");
    let known = rig.sim.pods("shop", "web").len();
    assert_eq!(known, 3);
    assert!(rig.index.problems().is_empty(), "{:?}", rig.index.problems());
    rig.end().await;
}
