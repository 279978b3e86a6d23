//! The cluster that a soak runs before: the simulated one, over sockets.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rollcast::sim::{
    Container, Deployment, Effect, Fault, Match, Numbers, Output, Program, RequestKind, Resource,
    Sim, SimOptions, Template,
};
use rollcast::time;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::oracle::{AttemptId, Truth};

/// Bytes of each attempt's log that are kept as the truth.
const KEPT: usize = 256 << 20;

/// Lines a second of each pod.
const RATE: f64 = 60.0;

/// The simulated cluster on a socket.
pub struct Field {
    sim: Sim,
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    stop: CancellationToken,
    version: u32,
}

/// The newest attempt of each container, by pod, uid and container.
type Seen = BTreeMap<(String, String, String), u32>;

// === impl Field ===

impl Field {
    /// Starts the cluster and its writers.
    pub async fn open(seed: u64) -> Self {
        let options = SimOptions {
            seed,
            start_time: time::now(),
            keep_written: KEPT,
            ..SimOptions::default()
        };
        let sim = Sim::new(options);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, seen) = (CancellationToken::new(), Arc::new(Mutex::new(Seen::new())));
        let (serving, stopped) = (sim.clone(), stop.clone());
        tokio::spawn(async move { serving.listen(listener, stopped).await });
        let numbers = Numbers { both: true, length: (60, 400), ..Numbers::new("soak", RATE) };
        let program = Program { output: vec![Output::Numbered(numbers)], ..Program::default() };
        let template = Template::new([Container::new("app", "shop/web:1", program)]);
        sim.apply(Deployment::new("shop", "web", 3, template));
        let (looked, noted) = (sim.clone(), seen.clone());
        tokio::spawn(async move {
            loop {
                note(&looked, &noted);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        Field { sim, address, seen, stop, version: 1 }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn namespace(&self) -> &str {
        "shop"
    }

    /// A kubeconfig that leads through a proxy.
    pub fn kubeconfig(&self, through: SocketAddr) -> PathBuf {
        let file = std::env::temp_dir().join(format!("rollcast-soak-{}.conf", std::process::id()));
        std::fs::write(&file, Sim::kubeconfig(through)).unwrap();
        file
    }

    /// Does something to the cluster.
    pub fn disturb(&mut self, random: &mut fastrand::Rng) {
        let sim = &self.sim;
        let pods = sim.pods("shop", "web");
        let pod = random.choice(&pods).map(|pod| pod.name.clone()).unwrap_or_default();
        let bytes = random.u64(0..200_000);
        match random.u8(0..11) {
            0 => {
                self.version += 1;
                let image = format!("shop/web:{}", self.version);
                sim.set_image(Resource::Deployments, "shop", "web", "app", &image);
            }
            1 => {
                sim.scale(Resource::Deployments, "shop", "web", random.u32(1..5));
            }
            2 => {
                sim.delete_pod("shop", &pod, [None, Some(0), Some(5)][random.usize(0..3)]);
            }
            3 => {
                sim.crash("shop", &pod, "app", 1);
            }
            4 => sim.outage(Duration::from_millis(random.u64(300..6_000))),
            5 => {
                sim.expire_watches();
            }
            6 => {
                sim.disturb(&Match::follow("web"), &Effect::End(bytes));
            }
            7 => {
                sim.disturb(&Match::follow("web"), &Effect::Cut(bytes));
            }
            8 => {
                let message = "failed to create fsnotify watcher: too many open files".to_owned();
                sim.disturb(&Match::follow("web"), &Effect::InBand(bytes, message));
            }
            9 => {
                sim.add_fault(Fault::new(Match::any(), Effect::TooMany(1)).times(5));
            }
            _ => {
                let refused = "dial tcp: connect: connection refused".to_owned();
                let on = Match::kind(RequestKind::Log);
                let time = Duration::from_millis(random.u64(300..4_000));
                sim.add_fault(Fault::new(on, Effect::Status(500, refused)).lasts(time));
            }
        }
    }

    /// Takes every fault away, and brings the workload to the size that it began with.
    pub fn calm(&self) {
        self.sim.clear_faults();
        self.sim.scale(Resource::Deployments, "shop", "web", 3);
    }

    /// Ends every writer.
    pub async fn end(&self) {
        self.sim.scale(Resource::Deployments, "shop", "web", 0);
        while !self.sim.pods("shop", "web").is_empty() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// What was written.
    pub fn truth(&self) -> Truth {
        let mut truth = Truth::default();
        for ((pod, uid, container), newest) in self.seen.lock().iter() {
            for attempt in 1..=newest + 5 {
                let Some(written) = self.sim.written(uid, container, attempt) else { continue };
                let (pod, uid, container) = (pod.clone(), uid.clone(), container.clone());
                let id = AttemptId { pod, uid, container, attempt };
                truth.add(id, &written.text, written.ended);
            }
        }
        assert!(truth.lines() > 0, "nothing was written");
        truth
    }
}

impl Drop for Field {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn note(sim: &Sim, seen: &Mutex<Seen>) {
    let mut seen = seen.lock();
    for pod in sim.pods("shop", "web") {
        for container in pod.containers {
            let key = (pod.name.clone(), pod.uid.clone(), container.name);
            let newest = seen.entry(key).or_default();
            *newest = container.attempt.max(*newest);
        }
    }
}
