//! A minute of more than 100,000 lines a second through the whole path: 500 pods of one workload, their
//! followers, the journal, and five viewers that check every line.

use std::time::Duration;

use crate::Outcome;
use crate::cluster::{Cluster, Writers};
use crate::fanout::serve_with;
use crate::process::{Args, Role};
use crate::report::Row;

const PODS: u32 = 500;
/// Lines a second of each pod: 105,000 together.
const RATE: f64 = 210.0;
const TICK: Duration = Duration::from_millis(50);
const VIEWERS: u64 = 5;
/// All pods are new at once: with the usual fifty a second their logs are opened ten seconds long, which
/// would be measured instead.
const LIMITS: [&str; 2] = ["--opens-per-second", "1000"];
/// Seconds for the pods to start and the followers to connect, before the window and after it.
const AROUND: u64 = 6;

pub fn run(args: &Args) -> Outcome<Vec<Row>> {
    let minute: u64 = args.get("minute", 60);
    let lines = (RATE * (minute + AROUND) as f64) as u64;
    let total = lines * u64::from(PODS);
    let writers = Writers { name: "web", pods: 0, rate: RATE, lines, binary: false };
    let mut cluster = Cluster::start(&[writers], TICK, Duration::ZERO)?;
    let server = serve_with(&cluster, &LIMITS)?;
    let args = [
        format!("port={}", server.port),
        format!("viewers={VIEWERS}"),
        format!("window={minute}"),
        "warm=3".to_owned(),
        "path=/api/v1/namespaces/bench/deployment/web/stream?tail=0".to_owned(),
        format!("lines={total}"),
    ];
    let mut client = Role::start("load", &args)?;
    client.hear("live")?;
    cluster.scale("web", PODS)?;
    client.hear("begin")?;
    let before = (server.role.cpu(), client.cpu(), cluster.cpu());
    client.hear("end")?;
    let cpu = (server.role.cpu() - before.0, client.cpu() - before.1, cluster.cpu() - before.2);
    let told = client.hear_args("window")?;
    let checked = client.hear_args("checked")?;
    let (wrong, lines) = (checked.get("wrong", 1u64), checked.get("lines", 0u64));
    if wrong != 0 || lines != total * VIEWERS {
        let words = format!("{lines} of {} lines came, {wrong} wrong", total * VIEWERS);
        return Err(words.into());
    }
    let seconds = told.get("seconds", f64::NAN);
    let row = Row::new("through, 500 pods to 5 checked viewers, one minute", "rollcast")
        .figure("lines/s", told.get("deliveries", f64::NAN) / VIEWERS as f64 / seconds)
        .figure("MiB resident at most", server.role.status_kib("VmHWM") / 1024.0)
        .figure("ms p50", told.get("p50", f64::NAN))
        .figure("ms p99", told.get("p99", f64::NAN))
        .note(&format!(
            "target 100,000 and 256 MiB; {total} lines once and in order to each; service {:.0} %, \
             clients {:.0} %, simulation {:.0} % of a core",
            cpu.0 / seconds * 100.0,
            cpu.1 / seconds * 100.0,
            cpu.2 / seconds * 100.0
        ));
    Ok(vec![row])
}
