//! The simulated cluster as a process, over TCP.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use rollcast::http::serve::listen;
use rollcast::sim::{
    Container, Deployment, Line, Make, Numbers, Output, Program, Resource, Sim, SimOptions,
    Template,
};
use rollcast::time;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Outcome;
use crate::process::{Args, Role, orders, say};

/// Where benches put their workloads.
pub const NAMESPACE: &str = "bench";
/// The container of every pod.
pub const CONTAINER: &str = "app";
/// Text of a line in bytes; the mean of the container logs that the studies used.
pub const LINE: usize = 169;
/// How a line that is no text begins; its number follows.
pub const BINARY: &str = "B1";
/// Large enough that nothing is rotated: rotation under load loses lines by Kubernetes' own doing.
const FILE: usize = 3 << 30;

/// A cluster that runs in a process of its own.
pub struct Cluster {
    role: Role,
    pub port: u16,
    /// A kubeconfig that leads to it.
    pub kubeconfig: tempfile::NamedTempFile,
}

/// A Deployment whose pods write numbered lines.
#[derive(Clone, Copy, Debug)]
pub struct Writers {
    pub name: &'static str,
    pub pods: u32,
    /// Lines a second of each pod; 0 is none.
    pub rate: f64,
    /// Lines of each pod in all.
    pub lines: u64,
    /// They are followed by bytes that are no text, as a program writes that prints what is binary.
    pub binary: bool,
}

impl Cluster {
    /// Starts it with these workloads. Containers write once in `tick`; the cluster has lived for
    /// `past` when it begins to listen.
    pub fn start(writers: &[Writers], tick: Duration, past: Duration) -> Outcome<Cluster> {
        let mut args = vec![
            format!("tick={}", tick.as_millis()),
            format!("past={}", past.as_secs()),
            format!("count={}", writers.len()),
        ];
        for (at, one) in writers.iter().enumerate() {
            let Writers { name, pods, rate, lines, binary } = one;
            args.push(format!("{at}={name},{pods},{rate},{lines},{binary}"));
        }
        let mut role = Role::start("cluster", &args)?;
        let port: u16 = role.hear("listens")?.parse()?;
        let mut kubeconfig = tempfile::NamedTempFile::new()?;
        let text = Sim::kubeconfig(([127, 0, 0, 1], port).into());
        std::io::Write::write_all(&mut kubeconfig, text.as_bytes())?;
        Ok(Cluster { role, port, kubeconfig })
    }

    pub fn scale(&mut self, name: &str, pods: u32) -> Outcome {
        self.role.tell(&format!("scale {name} {pods}"))
    }

    /// Lines that the pods of a Deployment have written.
    pub fn written(&mut self, name: &str) -> Outcome<u64> {
        self.role.tell(&format!("written {name}"))?;
        Ok(self.role.hear("written")?.parse()?)
    }

    pub fn cpu(&self) -> f64 {
        self.role.cpu()
    }

    /// What roles are told about it.
    pub fn args(&self) -> Vec<String> {
        vec![
            format!("port={}", self.port),
            format!("kubeconfig={}", self.kubeconfig.path().display()),
        ]
    }
}

/// The process itself.
pub async fn run(args: &Args) -> Outcome {
    let past = Duration::from_secs(args.get("past", 0));
    let tasks = TaskTracker::new();
    let stop = CancellationToken::new();
    let sim = Sim::new(SimOptions {
        start_time: time::now() - past.as_nanos() as i64,
        nodes: (1..=50).map(|n| format!("node-{n}")).collect(),
        write_tick: Duration::from_millis(args.get("tick", 50)),
        log_max_bytes: FILE,
        odd_chunks: true,
        tasks: tasks.clone(),
        stop: stop.clone(),
        ..SimOptions::default()
    });
    for at in 0..args.get("count", 0) {
        let word = args.word(&format!("{at}"));
        let fields: Vec<&str> = word.split(',').collect();
        let [name, pods, rate, lines, binary] = fields[..] else {
            return Err("bad writers".into());
        };
        let (pods, rate, lines, binary) =
            (pods.parse()?, rate.parse()?, lines.parse()?, binary.parse()?);
        sim.apply(writers(name, pods, rate, lines, binary));
    }
    if !past.is_zero() {
        sim.fast_forward(past);
    }
    // 500 followers connect at once: a shorter backlog than the service's would cost a second.
    let listener = listen(([127, 0, 0, 1], 0).into(), "the bench")?;
    let port = listener.local_addr()?.port();
    let served = sim.clone();
    let listening = stop.clone();
    tasks.spawn(async move { served.listen(listener, listening).await });
    say(&format!("listens {port}"));
    let mut orders = orders();
    while let Some(order) = orders.recv().await {
        let words: Vec<&str> = order.split(' ').collect();
        match words[..] {
            ["scale", name, pods] => {
                sim.scale(Resource::Deployments, NAMESPACE, name, pods.parse()?);
            }
            ["written", name] => {
                let pods = sim.pods(NAMESPACE, &format!("{name}-"));
                let written = pods.iter().filter_map(|pod| sim.written(&pod.uid, CONTAINER, 1));
                say(&format!("written {}", written.map(|log| log.numbered[0]).sum::<u64>()));
            }
            _ => return Err(format!("unknown order {order}").into()),
        }
    }
    stop.cancel();
    Ok(())
}

fn writers(name: &str, pods: u32, rate: f64, lines: u64, binary: bool) -> Deployment {
    let make: Make = Arc::new(|line: &mut Line<'_>| {
        let _ = write!(line.text, "{BINARY} {} ", line.number);
        // Every byte but the one that ends a line.
        line.text.resize_with(LINE, || match line.rng.u8(..) {
            b'\n' => 0,
            byte => byte,
        });
    });
    if binary {
        let output = vec![Output::Made { rate, lines: Some(lines), make }];
        let program = Program { output, ..Program::default() };
        let template = Template::new([Container::new(CONTAINER, "bench/writer:1", program)]);
        return Deployment::new(NAMESPACE, name, pods, template);
    }
    let numbers =
        Numbers { length: (LINE, LINE), lines: Some(lines), ..Numbers::new("bench", rate) };
    let output = if rate > 0.0 { vec![Output::Numbered(numbers)] } else { Vec::new() };
    let program = Program { output, ..Program::default() };
    let template = Template::new([Container::new(CONTAINER, "bench/writer:1", program)]);
    Deployment::new(NAMESPACE, name, pods, template)
}
