//! Random stories: workloads, rollouts, restarts, faults, and viewers that connect, are cut and come
//! back, all drawn from one seed, with paused time. The oracle judges each.
//!
//! `make seeds SEEDS=N FROM=K` runs any number of them and names each that fails.
#![allow(clippy::print_stderr, reason = "whoever runs many seeds is told which of them fail")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rollcast::sim::{
    Container, Deployment, Effect, Exit, Fault, Match, Numbers, Output, Program, RequestKind,
    Resource, SimOptions, Template,
};
use rollcast::time;
use tokio::time::Instant;

use crate::oracle::Rules;
use crate::rig::{Manners, Rig, Viewer, all, alone};
use crate::world::STREAM;

/// Stories that are told when nobody says how many.
const STORIES: u64 = 500;

/// Seeds that failed once: lines behind an id that a restart lost, ends that were called complete for
/// a follow that had broken cleanly before them, logs that looked caught up while their backlog was on
/// the way, and lines of a next attempt of which no status told yet.
const FAILED_ONCE: [u64; 18] = [
    82, 167, 174, 558, 749, 768, 964, 1364, 1500, 2726, 3161, 3711, 4852, 5950, 6059, 7302, 9557,
    9787,
];

/// Failing seeds that are told in full.
const TOLD: usize = 3;

/// Reasons that a story may need, each where the truth agrees: small files are rotated away.
const GAPS: &[&str] = &["rotation_unproven"];

/// Reasons that may stand where nothing is missing: whether a log was read to its end cannot be proven
/// if a fault came in the second in which its container ended, and it cannot be read again; nor that a
/// file which was rotated away ended with the last line that was read, which happens only where files
/// are small.
const DOUBTFUL: &[&str] = &["pod_removed", "node_unreachable", "attempt_collected"];

#[test]
fn random_stories_keep_the_contract() {
    let number = |name: &str, usual| {
        std::env::var(name).ok().map_or(usual, |text| text.parse().expect("a number of seeds"))
    };
    let (from, count) =
        (number("ROLLCAST_TEST_STORIES_FROM", 0), number("ROLLCAST_TEST_STORIES", STORIES));
    let failed = run(from, count);
    assert!(failed.is_empty(), "{} of {count} seeds fail: {failed:?}", failed.len());
}

#[test]
fn seeds_that_failed_once_hold() {
    for seed in FAILED_ONCE {
        alone(seed, story);
    }
}

/// Runs so many seeds on all cores; those that failed.
fn run(from: u64, count: u64) -> Vec<u64> {
    let (next, failed) = (AtomicU64::new(from), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + count {
                        return;
                    }
                    if catch_unwind(AssertUnwindSafe(|| alone(seed, story))).is_err() {
                        let mut failed = failed.lock();
                        failed.push(seed);
                        eprintln!("seed {seed} fails: make seeds SEEDS=1 FROM={seed}");
                        if failed.len() >= TOLD {
                            // The rest would say the same.
                            next.store(from + count, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner();
    failed.sort_unstable();
    failed
}

/// What one seed tells.
struct Story {
    rig: Rig,
    viewers: Vec<Viewer>,
    version: u32,
    restarted: bool,
    /// Follows may be stalled until then.
    stalled: Instant,
}

async fn story(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed ^ 0x0073_746f_7279);
    let small = random.u8(0..4) == 0;
    let lag = random.u64(20..400);
    let rig = Rig::with(
        seed,
        |options: &mut SimOptions| {
            options.status_lag = (Duration::from_millis(10), Duration::from_millis(10 + lag));
            options.follow_end_within = Duration::from_millis(random.u64(50..1_000));
            options.odd_chunks = random.bool();
            if small {
                options.log_max_bytes = 40 << 10;
            }
        },
        |_| {},
    );
    let replicas = random.u32(1..4);
    rig.sim.apply(workload(&mut random, replicas));
    rig.world().synced().await;
    let mut story =
        Story { rig, viewers: Vec::new(), version: 1, restarted: false, stalled: Instant::now() };
    story.open_viewers();
    story.viewers[0].lines(5, 60).await;
    for _ in 0..random.usize(4..10) {
        story.step(&mut random).await;
        let pause = Duration::from_millis(random.u64(100..4_000));
        tokio::time::sleep(pause).await;
    }
    let Story { rig, viewers, restarted, .. } = story;
    rig.sim.clear_faults();
    let calm = Some(time::now());
    rig.wait(12.0).await;
    rig.sim.scale(Resource::Deployments, "shop", "web", 0);
    rig.wait(8.0).await;
    let mut doubtful = DOUBTFUL.to_vec();
    doubtful.extend(restarted.then_some("server_restart"));
    doubtful.extend(small.then_some("rotation_unproven"));
    // A log that was rotated away before anybody asked is not promised from its start.
    let from_start = !small && !restarted;
    // Rules are written as constants everywhere else.
    let rules = Rules { calm, doubtful: doubtful.leak(), from_start, ..Rules::with_gaps(GAPS) };
    rig.holds(viewers, &Rules { every_attempt: false, ..rules }).await;
}

/// A Deployment `web` with one or two containers that write at some rate, and may end.
fn workload(random: &mut fastrand::Rng, replicas: u32) -> Deployment {
    let mut containers = Vec::new();
    for name in ["app", "side"].into_iter().take(random.usize(1..3)) {
        let numbers = Numbers {
            both: random.bool(),
            length: (60, random.usize(60..600)),
            ..Numbers::new("run", 2.0 + 10.0 * random.f64())
        };
        let ends = random.u8(0..4) == 0;
        let exit = if ends { Exit::AfterLines(random.u64(100..300), 1) } else { Exit::Never };
        let output = vec![Output::Numbered(numbers)];
        let stop_after = Duration::from_millis(random.u64(0..1_500));
        let program = Program { output, exit, stop_after, ..Program::default() };
        containers.push(Container::new(name, "shop/web:1", program));
    }
    Deployment::new("shop", "web", replicas, Template::new(containers))
}

// === impl Story ===

impl Story {
    /// One that reads on, some that are cut, and some that want less than everything.
    fn open_viewers(&mut self) {
        let cuts = |mean: f64| Manners { cuts: Some(Duration::from_secs_f64(mean)), pause: None };
        let often = self.rig.between(0.3, 3.0);
        let seldom = self.rig.between(3.0, 10.0);
        self.viewers.push(self.rig.steady());
        self.viewers.push(self.rig.viewer("often", &all(), cuts(often)));
        let app = format!("{}&container=app", all());
        let mut filtered = self.rig.viewer("app only", &app, cuts(seldom));
        filtered.wants(Arc::new(|id| id.container == "app"));
        self.viewers.push(filtered);
        let mut late = self.rig.viewer("late", &format!("{STREAM}?tail=7"), cuts(seldom));
        late.comes_late();
        self.viewers.push(late);
    }

    /// Something happens.
    async fn step(&mut self, random: &mut fastrand::Rng) {
        let (sim, rig) = (self.rig.sim.clone(), &mut self.rig);
        let pods = sim.pods("shop", "web");
        let pod = random.choice(&pods).map(|pod| pod.name.clone()).unwrap_or_default();
        let bytes = random.u64(0..30_000);
        let time = Duration::from_millis(random.u64(200..6_000));
        let effect = match random.u8(0..5) {
            0 => Effect::Cut(bytes),
            1 => Effect::End(bytes),
            2 => Effect::InBand(bytes, "failed to create fsnotify watcher".to_owned()),
            3 => Effect::Stall(time),
            _ => Effect::Drip(random.usize(200..2_000), Duration::from_millis(2)),
        };
        // Two things nobody can see through (README, limits): a follow with lines still under way that
        // is ended as if its container had ended, if the pod goes at once; and one that hangs, if the
        // server is restarted meanwhile.
        let stalled = self.stalled > Instant::now();
        let effect = match effect {
            Effect::End(_) if stalled => Effect::Cut(bytes),
            effect => effect,
        };
        if matches!(effect, Effect::Stall(_)) {
            self.stalled = self.stalled.max(Instant::now() + 2 * time);
        }
        let end = if stalled { Effect::Cut(0) } else { Effect::End(0) };
        let node = ["node-1", "node-2"][random.usize(0..2)].to_owned();
        let on_node = Match { node: Some(node), ..Match::kind(RequestKind::Log) };
        match random.u8(0..16) {
            0 => {
                sim.scale(Resource::Deployments, "shop", "web", random.u32(0..5));
            }
            1 | 2 => {
                self.version += 1;
                let image = format!("shop/web:{}", self.version);
                sim.set_image(Resource::Deployments, "shop", "web", "app", &image);
            }
            3 => {
                let grace = [None, Some(0), Some(2)][random.usize(0..3)];
                sim.delete_pod("shop", &pod, grace);
            }
            4..=6 => {
                sim.disturb(&Match::follow("web"), &effect);
            }
            7 => {
                // Only for a while, and not always: an answer that never gets beyond its replay makes
                // no progress, and no reader could.
                let fault = Fault::new(Match::follow("web"), effect).probability(0.5);
                sim.add_fault(fault.lasts(time));
                sim.disturb(&Match::follow("web"), &end);
            }
            8 => sim.outage(time),
            9 => {
                sim.expire_watches();
            }
            10 => {
                sim.disturb(&Match::kind(RequestKind::Watch), &Effect::Cut(0));
            }
            11 => {
                sim.add_fault(Fault::new(Match::any(), Effect::TooMany(1)).times(random.u64(1..6)));
                sim.disturb(&Match::any(), &Effect::Cut(0));
            }
            12 => {
                sim.outage(Duration::from_millis(300));
                let second = Duration::from_millis(1_400);
                sim.add_fault(Fault::new(Match::any(), Effect::Forbidden).lasts(second));
            }
            13 => {
                let refused = "dial tcp: connect: connection refused".to_owned();
                sim.add_fault(
                    Fault::new(on_node.clone(), Effect::Status(500, refused)).lasts(time),
                );
                sim.disturb(&on_node, &end);
            }
            14 => {
                sim.crash("shop", &pod, "app", 1);
            }
            _ if !self.restarted && !stalled && random.u8(0..2) == 0 => {
                self.restarted = true;
                let killed = rig.replace(|_| {}).await;
                killed.shutdown.stop();
                for viewer in &self.viewers {
                    viewer.hold_still();
                    viewer.cut();
                }
            }
            _ => {
                for viewer in self.viewers.iter().filter(|_| !self.restarted) {
                    viewer.cut();
                }
            }
        }
    }
}
