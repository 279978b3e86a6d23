//! A pod that writes ten megabytes a second, to one checked viewer: text, and bytes that are none. What is
//! no text has to be replaced where it is none and escaped where it would do harm; it should not cost
//! more than twice as much.

use std::time::Duration;

use crate::Outcome;
use crate::cluster::{Cluster, LINE, Writers};
use crate::fanout::serve_with;
use crate::load::{self, Window};
use crate::process::{Args, Role};
use crate::report::{Row, median};

/// Bytes a second.
const BYTES: f64 = 10e6;
/// All that is written can be read from its begin, and is kept.
const LIMITS: [&str; 4] = ["--backfill-lines", "1000000", "--journal-workload-bytes", "128MiB"];
const TICK: Duration = Duration::from_millis(50);
/// Seconds for the pod to start and the follower to connect, before the window and after it.
const AROUND: u64 = 5;

/// What a run took.
#[derive(Clone, Copy, Debug)]
struct Took {
    rate: f64,
    cpu_us: f64,
}

pub fn run(args: &Args) -> Outcome<Vec<Row>> {
    let (window, repeats) = (args.get("window", 8), args.get("repeats", 3));
    let mut took = [Vec::new(), Vec::new()];
    // In turns, so that what else the machine does falls on both alike.
    for _ in 0..repeats {
        for (runs, binary) in took.iter_mut().zip([false, true]) {
            runs.push(measure(window, binary)?);
        }
    }
    let [text, binary] = took.map(|runs| Took {
        rate: median(runs.iter().map(|run| run.rate)),
        cpu_us: median(runs.iter().map(|run| run.cpu_us)),
    });
    let row = |what: &str, took: Took| {
        Row::new("one pod, 10 MB/s, one checked viewer", what)
            .figure("MB/s of log", took.rate * LINE as f64 / 1e6)
            .figure("CPU µs/line", took.cpu_us)
            .ratio("CPU of text", took.cpu_us / text.cpu_us)
    };
    let note = "target 2× CPU; each line once and in order";
    Ok(vec![row("rollcast, text", text), row("rollcast, random bytes", binary).note(note)])
}

fn measure(window: u64, binary: bool) -> Outcome<Took> {
    let rate = BYTES / LINE as f64;
    let lines = (rate * (window + AROUND) as f64) as u64;
    let writers = Writers { name: "web", pods: 0, rate, lines, binary };
    let mut cluster = Cluster::start(&[writers], TICK, Duration::ZERO)?;
    // Before its log is opened the pod has written more than the default asks for, and in half a second
    // more than the default keeps.
    let server = serve_with(&cluster, &LIMITS)?;
    let args = [
        format!("port={}", server.port),
        "viewers=1".to_owned(),
        format!("window={window}"),
        "warm=2".to_owned(),
        "path=/api/v1/namespaces/bench/deployment/web/stream?tail=0".to_owned(),
        format!("lines={lines}"),
    ];
    let mut client = Role::start("load", &args)?;
    let Window { cpu, told, checked } = load::window(&mut client, &mut cluster, 1, &server.role)?;
    let (wrong, came) = (checked.get("wrong", 1u64), checked.get("lines", 0u64));
    if wrong != 0 || came != lines {
        return Err(format!("{came} of {lines} lines came, {wrong} wrong").into());
    }
    let (came, seconds) = (told.get("deliveries", f64::NAN), told.get("seconds", f64::NAN));
    Ok(Took { rate: came / seconds, cpu_us: cpu / came * 1e6 })
}
