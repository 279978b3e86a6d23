//! The program as it is built, under random faults on both sides for as long as one likes: the
//! simulated cluster over sockets behind a fault proxy,
//! clients behind another. Ends with the oracle's table, and with memory, files and tasks back where
//! they began.
//!
//! `make soak MINUTES=10 SEED=7` runs it; it is no part of a plain `cargo test`.
#![allow(clippy::unwrap_used, reason = "a soak that cannot go on has failed")]
#![allow(clippy::print_stderr, reason = "whoever runs it watches it")]
#![allow(clippy::disallowed_methods, reason = "tasks end with the runtime")]
#![allow(
    dead_code,
    reason = "what is shared with the end-to-end suite is more than is needed here"
)]

#[path = "../it/client.rs"]
mod client;
#[path = "../e2e/cluster.rs"]
mod cluster;
#[path = "../oracle/mod.rs"]
mod oracle;
#[path = "../e2e/reader.rs"]
mod reader;
#[path = "../e2e/service.rs"]
mod service;
#[path = "../proxy/mod.rs"]
mod weather;
#[path = "../e2e/witness.rs"]
mod witness;

mod field;

use std::time::Duration;

use rollcast::time;

use crate::field::Field;
use crate::oracle::{Bounds, Measure, Rules, c8, judge};
use crate::service::{Service, fetch, stream_path};
use crate::weather::{Proxy, Weather};
use crate::witness::Witness;

/// Until the first measurement: caches and the journal have filled by then.
const WARM_UP: Duration = Duration::from_secs(20);
/// From the last fault to the last measurement: back-off and linger are over by then.
const CALM: Duration = Duration::from_secs(45);

/// Bad weather: more passes before a cut than a resume replays, or no reader could get on.
fn storm() -> Weather {
    Weather {
        refuse: 0.15,
        cut: (0.4, 300_000..3_000_000),
        delay: (0.3, 1..60),
        throttle: (0.2, 400_000..4_000_000),
    }
}

fn number(name: &str, usual: f64) -> f64 {
    std::env::var(name).ok().map_or(usual, |text| text.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn soak() {
    let minutes = number("MINUTES", 2.0);
    let seed = number("SEED", 1.0) as u64;
    eprintln!("soak: {minutes} minutes, seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut field = Field::open(seed).await;
    let upstream = Proxy::start(field.address(), seed ^ 1).await;
    let kubeconfig = field.kubeconfig(upstream.address);
    let options =
        ["--auth", "none", "--journal-bytes", "16MiB", "--journal-workload-bytes", "8MiB"];
    let service = Service::start_with("soak", &kubeconfig, &options).await;
    let downstream = Proxy::start(service.address, seed ^ 2).await;
    let path = format!("{}?since=1h", stream_path(field.namespace(), "web"));
    let witnesses = vec![
        Witness::start("direct", service.address, &path, None),
        Witness::start("cut", service.address, &path, Some(Duration::from_secs(5))),
        Witness::start("stormy", downstream.address, &path, None),
        Witness::start("both", downstream.address, &path, Some(Duration::from_secs(20))),
    ];
    witnesses[0].lines(200, Duration::from_secs(60)).await;
    tokio::time::sleep(WARM_UP).await;
    let mut measures = vec![measure(&service).await];

    let end = tokio::time::Instant::now() + Duration::from_secs_f64(minutes * 60.0);
    while tokio::time::Instant::now() < end {
        let side = if random.bool() { &upstream } else { &downstream };
        match random.u8(0..6) {
            0 => side.cut(),
            1 => side.hold(Duration::from_millis(random.u64(200..4_000))),
            2 => side.set(storm()),
            3 => side.set(Weather::default()),
            _ => field.disturb(&mut random),
        }
        tokio::time::sleep(Duration::from_millis(random.u64(500..5_000))).await;
        measures.push(measure(&service).await);
    }
    for side in [&upstream, &downstream] {
        side.set(Weather::default());
        side.cut();
    }
    field.calm();
    let calm = time::now();
    tokio::time::sleep(CALM).await;
    measures.push(measure(&service).await);
    field.end().await;
    witnesses[0].quiet(Duration::from_secs(6), Duration::from_secs(120)).await;

    let mut transcripts = Vec::new();
    for witness in witnesses {
        transcripts.push(witness.stop().await);
    }
    let gaps = &[
        "rotation_unproven",
        "pod_removed",
        "attempt_collected",
        "viewer_too_slow",
        "history_evicted",
    ];
    let rules = Rules {
        from_start: false,
        every_attempt: false,
        calm: Some(calm),
        ..Rules::with_gaps(gaps)
    };
    let mut verdict = judge(&field.truth(), &transcripts, &rules);
    eprintln!("{}", verdict.table);
    let (first, last) = (measures[0], measures[measures.len() - 1]);
    let most = measures.iter().map(|measure| measure.memory).max().unwrap_or(0);
    eprintln!(
        "at the beginning {first:?}\nat the end       {last:?}\nmost memory      {most} bytes"
    );
    // Four clients and a handful of pods; a debug build is larger than a release.
    let bounds = Bounds {
        most: Measure { memory: 256 << 20, files: 400, tasks: 400, streams: 64 },
        growth: Measure { memory: 48 << 20, files: 8, tasks: 12, streams: 4 },
    };
    verdict.faults.extend(c8(&measures, &bounds));
    verdict.holds(&format!("soak with seed {seed}"));
}

/// What the process takes now.
async fn measure(service: &Service) -> Measure {
    let (_, text) = fetch(service.admin, "/status", &[]).await;
    let status: serde_json::Value = serde_json::from_str(&text).unwrap();
    let process = format!("/proc/{}", service.pid());
    let resident = std::fs::read_to_string(format!("{process}/status")).unwrap();
    let resident = resident.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib: u64 = resident.trim().trim_end_matches(" kB").parse().unwrap();
    Measure {
        memory: kib << 10,
        files: std::fs::read_dir(format!("{process}/fd")).unwrap().count() as u64,
        tasks: status["tasks"].as_u64().unwrap(),
        streams: status["rooms"]["tail"]["followers"].as_u64().unwrap(),
    }
}
