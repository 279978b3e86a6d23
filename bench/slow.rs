//! 1,000 viewers at 2,000 lines a second, of which 100 read a trickle and 10 nothing: what the others
//! feel of it, beside a run in which nobody is slow.

use std::time::Duration;

use crate::Outcome;
use crate::cluster::{Cluster, Writers};
use crate::fanout::serve;
use crate::load::{self, Window};
use crate::process::{Args, Role};
use crate::report::{Row, median};

const VIEWERS: u32 = 1_000;
const PODS: u32 = 10;
/// Lines a second of each of the ten pods.
const RATE: f64 = 200.0;
const TICK: Duration = Duration::from_millis(10);
/// Viewers that read 1 KiB/s, and that read nothing.
const SLOW: (u32, u32) = (100, 10);

/// Delays in milliseconds, and the server's share of a core.
#[derive(Clone, Copy, Debug)]
struct Took {
    p50: f64,
    p99: f64,
    server: f64,
}

pub fn run(args: &Args) -> Outcome<Vec<Row>> {
    let (repeats, window) = (args.get("repeats", 3), args.get("window", 8));
    let mut took: [Vec<Took>; 2] = Default::default();
    for _ in 0..repeats {
        took[0].push(once((0, 0), window)?);
        took[1].push(once(SLOW, window)?);
    }
    let of = |runs: &[Took], what: fn(&Took) -> f64| median(runs.iter().map(what));
    let calm = of(&took[0], |run| run.p99);
    let whose = ["nobody slow", "100 at 1 KiB/s, 10 still"];
    let rows = whose.into_iter().zip(&took).map(|(who, runs)| {
        let p99 = of(runs, |run| run.p99);
        Row::new("slow viewers, 1,000 viewers, 2,000 lines/s", &format!("rollcast, {who}"))
            .figure("ms p50", of(runs, |run| run.p50))
            .figure("ms p99", p99)
            .ratio("that without slow ones", p99 / calm)
            .note(&format!(
                "target 1.2×; server {:.0} % of a core; every line once to every other viewer",
                of(runs, |run| run.server) * 100.0
            ))
    });
    Ok(rows.collect())
}

fn once((slow, still): (u32, u32), window: u64) -> Outcome<Took> {
    let lines = (RATE * (window + 3) as f64) as u64;
    let writers = Writers { name: "web", pods: 0, rate: RATE, lines, binary: false };
    let mut cluster = Cluster::start(&[writers], TICK, Duration::ZERO)?;
    let server = serve(&cluster)?;
    let args = [
        format!("port={}", server.port),
        format!("viewers={VIEWERS}"),
        format!("slow={slow}"),
        format!("still={still}"),
        format!("window={window}"),
        "path=/api/v1/namespaces/bench/deployment/web/stream?tail=0".to_owned(),
        format!("lines={}", lines * u64::from(PODS)),
    ];
    let mut client = Role::start("load", &args)?;
    let Window { cpu, told, checked } =
        load::window(&mut client, &mut cluster, PODS, &server.role)?;
    let (wrong, unequal) = (checked.get("wrong", 1u64), checked.get("unequal", 1u64));
    let (lines, wanted) = (checked.get("lines", 0u64), checked.get("wanted", 1u64));
    if wrong != 0 || unequal != 0 || lines != wanted {
        let words = format!("{lines} of {wanted} sampled lines, {wrong} wrong");
        return Err(format!("{words}, {unequal} viewers got other bytes").into());
    }
    let figure = |name: &str| told.get(name, f64::NAN);
    Ok(Took { p50: figure("p50"), p99: figure("p99"), server: cpu / figure("seconds") })
}
