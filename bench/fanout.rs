//! 1,000 viewers of one workload at 10,000 lines a second, beside axum's own `Sse`.

use std::process::Command;
use std::time::Duration;

use crate::Outcome;
use crate::cluster::{Cluster, Writers};
use crate::process::{Args, Role, free_port, wait};
use crate::report::{Row, median};

const VIEWERS: u32 = 1_000;
const PODS: u32 = 10;
/// Lines a second of each of the ten pods.
const RATE: f64 = 1_000.0;
const TICK: Duration = Duration::from_millis(10);

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Rollcast,
    /// axum's `Sse`, one event a line.
    Sse,
    /// axum's `Sse`, lines of 20 ms in one event.
    Batched,
    /// Nothing but sends.
    Floor,
}

/// One run.
#[derive(Clone, Copy, Debug, Default)]
struct Took {
    /// Line deliveries by CPU second of the server.
    efficiency: f64,
    /// Line deliveries a second.
    rate: f64,
    per_line: f64,
    p50: f64,
    p99: f64,
    server: f64,
    client: f64,
}

pub fn run(args: &Args) -> Outcome<Vec<Row>> {
    let (repeats, window) = (args.get("repeats", 3), args.get("window", 5));
    let all = [Who::Rollcast, Who::Sse, Who::Batched, Who::Floor];
    let mut took: [Vec<Took>; 4] = Default::default();
    for _ in 0..repeats {
        for (at, who) in all.into_iter().enumerate() {
            let length = took[0].last().map_or(400.0, |run| run.per_line);
            took[at].push(once(who, window, length)?);
        }
    }
    let of = |runs: &[Took], what: fn(&Took) -> f64| median(runs.iter().map(what));
    let ours = of(&took[0], |run| run.efficiency);
    let rows = all.into_iter().zip(&took).map(|(who, runs)| {
        let name = match who {
            Who::Rollcast => "rollcast",
            Who::Sse => "axum `Sse`, broadcast channel",
            Who::Batched => "axum `Sse`, batched by hand at 20 ms",
            Who::Floor => "floor: sends only",
        };
        let row = Row::new("fan-out, 1,000 viewers, 10,000 lines/s", name)
            .figure("deliveries/CPU-s", of(runs, |run| run.efficiency))
            .ratio("rollcast's", of(runs, |run| run.efficiency) / ours)
            .figure("GB/CPU-s", of(runs, |run| run.efficiency * run.per_line) / 1e9)
            .figure("deliveries/s", of(runs, |run| run.rate));
        let row = if who == Who::Floor {
            row
        } else {
            row.figure("ms p50", of(runs, |run| run.p50)).figure("ms p99", of(runs, |run| run.p99))
        };
        row.note(&format!(
            "{:.0} B/line; server {:.0} %, client {:.0} % of a core{}",
            of(runs, |run| run.per_line),
            of(runs, |run| run.server) * 100.0,
            of(runs, |run| run.client) * 100.0,
            if who == Who::Rollcast { "; every line once to every viewer" } else { "" },
        ))
    });
    Ok(rows.collect())
}

fn once(who: Who, window: u64, length: f64) -> Outcome<Took> {
    let lines = (RATE * (window + 3) as f64) as u64;
    let mut cluster = Cluster::start(
        &[Writers { name: "web", pods: 0, rate: RATE, lines, binary: false }],
        TICK,
        Duration::ZERO,
    )?;
    let (mut server, port) = start(who, &cluster, length)?;
    let mut args = vec![format!("port={port}"), format!("viewers={VIEWERS}")];
    args.push(format!("window={window}"));
    let path = match who {
        Who::Rollcast => "/api/v1/namespaces/bench/deployment/web/stream?tail=0",
        _ => "/",
    };
    args.push(format!("path={path}"));
    match who {
        Who::Rollcast => args.push(format!("lines={}", lines * u64::from(PODS))),
        // Who lags loses lines: they are not delivered, and that is what is counted.
        Who::Sse | Who::Batched => {}
        Who::Floor => args.push("check=false".to_owned()),
    }
    let mut client = Role::start("load", &args)?;
    client.hear("live")?;
    if who == Who::Floor {
        server.tell("go")?;
    } else {
        cluster.scale("web", PODS)?;
    }
    client.hear("begin")?;
    let before = (server.cpu(), client.cpu());
    client.hear("end")?;
    let cpu = (server.cpu() - before.0, client.cpu() - before.1);
    let told = client.hear_args("window")?;
    let (seconds, deliveries) = (told.get("seconds", f64::NAN), told.get("deliveries", f64::NAN));
    let checked = client.hear_args("checked")?;
    if who == Who::Rollcast {
        let (wrong, unequal) = (checked.get("wrong", 1u64), checked.get("unequal", 1u64));
        let (lines, wanted) = (checked.get("lines", 0u64), checked.get("wanted", 1u64));
        if wrong != 0 || unequal != 0 || lines != wanted {
            let words = format!("{lines} of {wanted} sampled lines, {wrong} wrong");
            return Err(format!("{words}, {unequal} viewers got other bytes").into());
        }
    }
    Ok(Took {
        efficiency: deliveries / cpu.0,
        rate: deliveries / seconds,
        per_line: told.get("per_line", f64::NAN),
        p50: told.get("p50", f64::NAN),
        p99: told.get("p99", f64::NAN),
        server: cpu.0 / seconds,
        client: cpu.1 / seconds,
    })
}

fn start(who: Who, cluster: &Cluster, length: f64) -> Outcome<(Role, u16)> {
    let mut args = cluster.args();
    args.push("name=web".to_owned());
    args.push(format!("pods={PODS}"));
    let mut role = match who {
        Who::Rollcast => return serve(cluster).map(|serving| (serving.role, serving.port)),
        Who::Sse => Role::start("sse", &args)?,
        Who::Batched => {
            args.push("tick=20".to_owned());
            Role::start("sse", &args)?
        }
        Who::Floor => {
            let rate = RATE * f64::from(PODS);
            args.extend([format!("rate={rate}"), format!("length={length:.0}")]);
            args.push(format!("viewers={VIEWERS}"));
            Role::start("send", &args)?
        }
    };
    let port = role.hear("listens")?.parse()?;
    Ok((role, port))
}

/// The program itself.
pub struct Serving {
    pub role: Role,
    pub port: u16,
}

/// Starts `rollcast serve` with its defaults and waits until it is ready.
pub fn serve(cluster: &Cluster) -> Outcome<Serving> {
    serve_with(cluster, &[])
}

/// The same with further options.
pub fn serve_with(cluster: &Cluster, options: &[&str]) -> Outcome<Serving> {
    let (port, admin) = (free_port()?, free_port()?);
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollcast"));
    command.args(["serve", "--auth", "none", "--log", "error", "--kubeconfig"]);
    command.arg(cluster.kubeconfig.path());
    command.args(["--listen", &format!("127.0.0.1:{port}")]);
    command.args(["--admin-listen", &format!("127.0.0.1:{admin}")]).args(options);
    let role = Role::spawn("serve", &mut command)?;
    for _ in 0..600 {
        if ready(admin) {
            return Ok(Serving { role, port });
        }
        wait(Duration::from_millis(50));
    }
    Err("rollcast serve does not become ready".into())
}

fn ready(port: u16) -> bool {
    use std::io::{Read, Write};
    let Ok(mut socket) = std::net::TcpStream::connect(("127.0.0.1", port)) else { return false };
    let request = b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let mut answer = String::new();
    socket.write_all(request).is_ok()
        && socket.read_to_string(&mut answer).is_ok()
        && answer.starts_with("HTTP/1.1 200")
}
