//! From the simulated API server's bytes to journal records.
//!
//! Two questions. *Catching up*: how fast is a backlog read, by one follower and by 500, beside kube's
//! own lines and a bare socket. *Steady*: do 500 followers keep up with what 500 pods write, together
//! more than 100,000 lines a second, with the simulation on the same cores.

use std::time::Duration;

use crate::Outcome;
use crate::cluster::{Cluster, Writers};
use crate::process::{Args, Role};
use crate::report::{Row, median};

/// Time in which the backlog was written.
const PAST: Duration = Duration::from_secs(40);
/// Containers write this often: the kubelet hands on what lies in the file, and a busy file always
/// has some lines.
const TICK: Duration = Duration::from_millis(50);
/// Lines of each backlog.
const BACKLOG: u64 = 1_000_000;
const FOLLOWERS: u32 = 500;
/// Lines a second of each of the 500 pods while they are followed: 120,000 together.
const RATE: f64 = 240.0;

/// What a reading took.
#[derive(Clone, Copy, Debug)]
struct Took {
    rate: f64,
    cpu_us: f64,
}

pub fn run(args: &Args) -> Outcome<Vec<Row>> {
    let repeats = args.get("repeats", 3);
    let mut rows = catching_up(repeats)?;
    rows.push(steady(args.get("window", 6))?);
    Ok(rows)
}

fn catching_up(repeats: usize) -> Outcome<Vec<Row>> {
    let one = Writers {
        name: "one",
        pods: 1,
        rate: BACKLOG as f64 / 30.0,
        lines: BACKLOG,
        binary: false,
    };
    let each = BACKLOG / u64::from(FOLLOWERS);
    let many = Writers {
        name: "many",
        pods: FOLLOWERS,
        rate: each as f64 / 30.0,
        lines: each,
        binary: false,
    };
    let mut cluster = Cluster::start(&[one, many], TICK, PAST)?;
    let mut rows = Vec::new();
    for writers in [one, many] {
        let written = cluster.written(writers.name)?;
        if written != BACKLOG {
            return Err(format!("{} has {written} lines, not {BACKLOG}", writers.name).into());
        }
        let mut took = [Vec::new(), Vec::new(), Vec::new()];
        // In turns, so that what else the machine does falls on all alike.
        for _ in 0..repeats {
            for (at, role) in ["ours", "naive", "floor"].into_iter().enumerate() {
                took[at].push(read(&cluster, role, writers)?);
            }
        }
        let [ours, naive, floor] = took.map(|runs| Took {
            rate: median(runs.iter().map(|run| run.rate)),
            cpu_us: median(runs.iter().map(|run| run.cpu_us)),
        });
        let what = match writers.pods {
            1 => "ingest, backlog, 1 follower".to_owned(),
            pods => format!("ingest, backlog, {pods} followers"),
        };
        let row = |who: &str, took: Took| {
            Row::new(&what, who)
                .figure("lines/s", took.rate)
                .figure("CPU µs/line", took.cpu_us)
                .ratio("CPU to rollcast", took.cpu_us / ours.cpu_us)
        };
        let to_floor = format!("{:.1}× the floor's CPU", ours.cpu_us / floor.cpu_us);
        rows.push(row("rollcast", ours).note(&format!("every line once and in order; {to_floor}")));
        rows.push(row("kube `log_stream().lines()`", naive).note("lines checked alike, not kept"));
        rows.push(row("floor: read and count LF", floor));
    }
    Ok(rows)
}

fn read(cluster: &Cluster, role: &str, writers: Writers) -> Outcome<Took> {
    let mut args = cluster.args();
    args.push(format!("name={}", writers.name));
    args.push(format!("present={}", writers.pods));
    args.push(format!("lines={BACKLOG}"));
    let mut reader = Role::start(role, &args)?;
    let read = reader.hear_args("read")?;
    checked(&mut reader, BACKLOG)?;
    let (lines, seconds) = (read.get("lines", 0.0), read.get("seconds", f64::NAN));
    Ok(Took { rate: lines / seconds, cpu_us: read.get("cpu", f64::NAN) / lines * 1e6 })
}

fn checked(reader: &mut Role, wanted: u64) -> Outcome {
    let checked = reader.hear_args("checked")?;
    let (wrong, lines) = (checked.get("wrong", 1u64), checked.get("lines", 0u64));
    if wrong != 0 || lines != wanted {
        return Err(format!("{lines} of {wanted} lines, {wrong} of them wrong").into());
    }
    Ok(())
}

fn steady(window: u64) -> Outcome<Row> {
    let lines = (RATE * (window + 8) as f64) as u64;
    let writers = Writers { name: "live", pods: 0, rate: RATE, lines, binary: false };
    let mut cluster = Cluster::start(&[writers], TICK, Duration::ZERO)?;
    let total = lines * u64::from(FOLLOWERS);
    let mut args = cluster.args();
    args.push("name=live".to_owned());
    args.push("opens=500".to_owned());
    args.push(format!("followers={FOLLOWERS}"));
    args.push(format!("lines={total}"));
    args.push(format!("window={window}"));
    let mut reader = Role::start("ours", &args)?;
    reader.hear("ready")?;
    cluster.scale("live", FOLLOWERS)?;
    reader.hear("window")?;
    let before = cluster.cpu();
    let read = reader.hear_args("steady")?;
    let simulation = cluster.cpu() - before;
    reader.hear("read")?;
    checked(&mut reader, total)?;
    let written = cluster.written("live")?;
    if written != total {
        return Err(format!("{written} lines were written, not {total}").into());
    }
    let (lines, seconds) = (read.get("lines", 0.0), read.get("seconds", f64::NAN));
    let cpu: f64 = read.get("cpu", f64::NAN);
    let offered = RATE * f64::from(FOLLOWERS);
    Ok(Row::new(&format!("ingest, steady, {FOLLOWERS} followers"), "rollcast")
        .figure("lines/s", lines / seconds)
        .figure("CPU µs/line", cpu / lines * 1e6)
        .note(&format!(
            "{offered:.0} offered, target 100,000; {total} lines once each; service {:.0} % of a core, \
             simulation {:.0} %",
            cpu / seconds * 100.0,
            simulation / seconds * 100.0
        )))
}
