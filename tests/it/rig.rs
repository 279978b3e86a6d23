//! A simulated cluster, one service after another in front of it, clients that are cut and come back,
//! and the truth of what was written: what the seeded tests are made of.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rollcast::app::Plan;
use rollcast::sim::{Sim, SimOptions};
use rollcast::time;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::client::Client;
use crate::oracle::{AttemptId, Rules, Session, Transcript, Truth, Verdict, Wants, judge};
use crate::world::{STREAM, World};

/// Bytes of each attempt's log that are kept as the truth; more than any test writes.
const KEPT: usize = 64 << 20;

/// How often the cluster is looked at for new attempts.
const LOOK: Duration = Duration::from_millis(20);

/// The longest pause of a client before it comes back.
const RETRY: u64 = 400;

/// Everything of the workload since an hour ago, which is everything.
pub fn all() -> String {
    format!("{STREAM}?since=1h")
}

/// The cluster and what stands before it.
pub struct Rig {
    pub sim: Sim,
    pub seed: u64,
    pub random: fastrand::Rng,
    front: Front,
    seen: Arc<Mutex<Seen>>,
    tasks: TaskTracker,
    done: CancellationToken,
}

/// The service that clients reach at the time.
type Front = Arc<Mutex<Arc<World>>>;

/// The newest attempt of each container that ever was, by pod, uid and container.
type Seen = BTreeMap<(String, String, String), u32>;

/// How a client behaves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manners {
    /// It is cut after about so long, again and again, and comes back with its last id.
    pub cuts: Option<Duration>,
    /// It takes so long over each event.
    pub pause: Option<Duration>,
}

/// A client that reads until it is stopped.
pub struct Viewer {
    heard: Arc<Mutex<Transcript>>,
    stop: CancellationToken,
    cut: Arc<watch::Sender<u64>>,
    still: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

// === impl Rig ===

impl Rig {
    pub fn new(seed: u64) -> Self {
        Rig::with(seed, |_| {}, |_| {})
    }

    /// Changes the cluster's options and the service's plan.
    pub fn with(
        seed: u64,
        options: impl FnOnce(&mut SimOptions),
        plan: impl FnOnce(&mut Plan),
    ) -> Self {
        let (tasks, done) = (TaskTracker::new(), CancellationToken::new());
        let mut sim_options = SimOptions {
            seed,
            start_time: time::now(),
            keep_written: KEPT,
            ..SimOptions::default()
        };
        options(&mut sim_options);
        let sim = Sim::new(sim_options);
        let world = World::around(sim.clone(), seed, plan);
        let front = Arc::new(Mutex::new(Arc::new(world)));
        let seen = Arc::new(Mutex::new(Seen::new()));
        let (looked, notes, over) = (sim.clone(), seen.clone(), done.clone());
        tasks.spawn(async move {
            while !over.is_cancelled() {
                note(&looked, &notes);
                tokio::time::sleep(LOOK).await;
            }
        });
        let random = fastrand::Rng::with_seed(seed ^ 0x0072_6967);
        Rig { sim, seed, random, front, seen, tasks, done }
    }

    /// The service as it runs now.
    pub fn world(&self) -> Arc<World> {
        self.front.lock().clone()
    }

    /// Another service before the same cluster; clients that come back reach it. Gives the last one.
    pub async fn replace(&self, plan: impl FnOnce(&mut Plan)) -> Arc<World> {
        // Ids of two services never share an epoch: the seed is another one.
        let next = World::around(self.sim.clone(), self.seed ^ 0x5eed, plan);
        next.synced().await;
        std::mem::replace(&mut *self.front.lock(), Arc::new(next))
    }

    /// A client of this path with manners of its own.
    pub fn viewer(&mut self, name: &str, path: &str, manners: Manners) -> Viewer {
        let seed = self.random.u64(..);
        let heard = Transcript::new(name);
        Viewer::start(&self.tasks, self.front.clone(), path, manners, seed, heard)
    }

    /// A client that reads everything and is never cut.
    pub fn steady(&mut self) -> Viewer {
        self.viewer("steady", &all(), Manners::default())
    }

    /// A client that reads everything and is cut about so often.
    pub fn cut(&mut self, every: Duration) -> Viewer {
        let manners = Manners { cuts: Some(every), ..Manners::default() };
        self.viewer("cut", &all(), manners)
    }

    /// Lets time pass.
    pub async fn wait(&self, seconds: f64) {
        tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    }

    /// A time between the two, in seconds.
    pub fn between(&mut self, least: f64, most: f64) -> f64 {
        least + (most - least) * self.random.f64()
    }

    /// What was written so far.
    pub fn truth(&self) -> Truth {
        note(&self.sim, &self.seen);
        let mut truth = Truth::default();
        for ((pod, uid, container), newest) in self.seen.lock().iter() {
            // A container may have gone on between two looks.
            for attempt in 1..=newest + 5 {
                let Some(written) = self.sim.written(uid, container, attempt) else { continue };
                let (pod, uid, container) = (pod.clone(), uid.clone(), container.clone());
                let id = AttemptId { pod, uid, container, attempt };
                truth.add(id.clone(), &written.text, written.ended);
                let kept = truth.attempts[&id].lines.len() as u64;
                assert_eq!(kept, written.lines, "the truth of {id} was not kept whole");
            }
        }
        truth
    }

    /// Stops the clients and judges what they heard; fails with the story of the first if a promise
    /// was broken.
    pub async fn holds(&self, viewers: Vec<Viewer>, rules: &Rules) -> Verdict {
        let mut transcripts = Vec::new();
        for viewer in viewers {
            transcripts.push(viewer.stop().await);
        }
        let verdict = judge(&self.truth(), &transcripts, rules);
        let told = transcripts.first().map(Transcript::told).unwrap_or_default();
        let requests = self.sim.requests();
        verdict.holds(&format!("seed {}\n{told}{} log requests", self.seed, requests.logs_total));
        verdict
    }
}

fn note(sim: &Sim, seen: &Mutex<Seen>) {
    let mut seen = seen.lock();
    for namespace in ["shop"] {
        for pod in sim.pods(namespace, "") {
            for container in pod.containers {
                let key = (pod.name.clone(), pod.uid.clone(), container.name);
                let newest = seen.entry(key).or_default();
                *newest = container.attempt.max(*newest);
            }
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.done.cancel();
        self.world().shutdown.stop();
    }
}

// === impl Viewer ===

impl Viewer {
    fn start(
        tasks: &TaskTracker,
        front: Front,
        path: &str,
        manners: Manners,
        seed: u64,
        heard: Transcript,
    ) -> Self {
        let (heard, stop) = (Arc::new(Mutex::new(heard)), CancellationToken::new());
        let cut = Arc::new(watch::Sender::new(0));
        let still = Arc::new(AtomicBool::new(false));
        let reader = Reading {
            front,
            path: path.to_owned(),
            manners,
            random: fastrand::Rng::with_seed(seed),
            heard: heard.clone(),
            stop: stop.clone(),
            cut: cut.clone(),
            still: still.clone(),
        };
        let task = tasks.spawn(reader.run());
        Viewer { heard, stop, cut, still, task }
    }

    /// Says which attempts its path asks for; without it everything.
    pub fn wants(&mut self, wants: Wants) {
        self.heard.lock().wants = Some(wants);
    }

    /// Says that its path asks for the present only.
    pub fn comes_late(&mut self) {
        self.heard.lock().late = true;
    }

    /// Breaks its connection now, if it has one; it comes back.
    pub fn cut(&self) {
        self.cut.send_modify(|cuts| *cuts += 1);
    }

    /// Ends its habit of being cut.
    pub fn hold_still(&self) {
        self.still.store(true, Ordering::Relaxed);
    }

    /// Looks at what it heard so far.
    pub fn look<T>(&self, look: impl FnOnce(&Transcript) -> T) -> T {
        look(&self.heard.lock())
    }

    /// Waits until it has so many lines; fails after so many seconds.
    pub async fn lines(&self, count: usize, seconds: u64) {
        let limit = tokio::time::Instant::now() + Duration::from_secs(seconds);
        while self.look(Transcript::lines) < count {
            assert!(
                tokio::time::Instant::now() < limit && !self.task.is_finished(),
                "{} of {count} lines after {seconds} s\n{}",
                self.look(Transcript::lines),
                self.look(Transcript::told)
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Ends it; what it heard.
    pub async fn stop(self) -> Transcript {
        self.stop.cancel();
        if let Err(error) = self.task.await
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
        Arc::try_unwrap(self.heard)
            .map(Mutex::into_inner)
            .unwrap_or_else(|heard| heard.lock().clone())
    }
}

/// The reading side of a client.
struct Reading {
    front: Front,
    path: String,
    manners: Manners,
    random: fastrand::Rng,
    heard: Arc<Mutex<Transcript>>,
    stop: CancellationToken,
    cut: Arc<watch::Sender<u64>>,
    still: Arc<AtomicBool>,
}

// === impl Reading ===

impl Reading {
    async fn run(mut self) {
        let mut last: Option<String> = None;
        while !self.stop.is_cancelled() {
            let world = self.front.lock().clone();
            let mut headers = vec![("accept", "text/event-stream")];
            headers.extend(last.as_deref().map(|id| ("last-event-id", id)));
            let response = world.get(&self.path, &headers).await;
            if response.status() == 200 {
                let session =
                    Session { after: last.clone(), from: time::now(), ..Session::default() };
                self.heard.lock().sessions.push(session);
                let client = Client::new(response.into_body());
                last = self.session(client, last).await;
            }
            let retry = Duration::from_millis(self.random.u64(0..RETRY));
            tokio::select! {
                () = tokio::time::sleep(retry) => {}
                () = self.stop.cancelled() => {}
            }
        }
    }

    /// One connection; gives the id to come back with.
    async fn session(&mut self, mut client: Client, last: Option<String>) -> Option<String> {
        client.last_id = last;
        let cuts = self.manners.cuts.filter(|_| !self.still.load(Ordering::Relaxed));
        let time = cuts.map(|mean| mean.mul_f64(2.0 * self.random.f64()));
        let end = tokio::time::sleep(time.unwrap_or(Duration::from_secs(86_400)));
        tokio::pin!(end);
        let mut cut_now = self.cut.subscribe();
        let mut cut = true;
        loop {
            let event = tokio::select! {
                event = client.next() => event,
                () = &mut end => break,
                Ok(()) = cut_now.changed() => break,
                () = self.stop.cancelled() => break,
            };
            let Some(event) = event else {
                cut = false;
                break;
            };
            self.with_session(|session| session.events.push(event));
            if let Some(pause) = self.manners.pause {
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = self.stop.cancelled() => {}
                }
            }
        }
        let beats = std::mem::take(&mut client.beats);
        self.with_session(|session| {
            (session.to, session.cut, session.beats) = (time::now(), cut, beats);
        });
        client.last_id
    }

    fn with_session(&self, work: impl FnOnce(&mut Session)) {
        work(self.heard.lock().sessions.last_mut().expect("a connection was opened"));
    }
}

/// Runs a test once for each seed, each in a runtime of its own with paused time: at least 20 seeds,
/// more with `ROLLCAST_TEST_SEEDS`.
pub fn seeded(test: impl AsyncFn(u64)) {
    for seed in 0..seeds() {
        alone(seed, &test);
    }
}

/// Runs a test with one seed in a runtime of its own.
pub fn alone(seed: u64, test: impl AsyncFnOnce(u64)) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        // The same seed meets the same second: what rounds to seconds is part of the story.
        let round = 10 * time::SECOND;
        let rest = round - time::now().rem_euclid(round);
        tokio::time::advance(Duration::from_nanos(rest.unsigned_abs())).await;
        test(seed).await;
    });
}

fn seeds() -> u64 {
    std::env::var("ROLLCAST_TEST_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(20)
}
