//! Odd bytes over resumes: whatever a container prints, it is told as the kubelet serves it.

use std::time::Duration;

use rollcast::sim::{Deployment, Effect, Match, Pipe, Program, Sim, SimOptions, Template};
use rollcast::time::{self, parse_stamp};

use crate::client::listen;
use crate::oracle::{told, without_gaps};
use crate::resume::seeds;
use crate::world::{STREAM, World};

/// What a container prints at its nth turn.
type Print = fn(&mut fastrand::Rng, u32) -> Vec<u8>;

const CAP: usize = 40 << 10;

const CASES: &[(&str, Print)] = &[
    ("equal lines", |_, _| b"the same\nthe same\nthe same\n".to_vec()),
    ("empty lines", |random, _| vec![b'\n'; random.usize(1..4)]),
    ("no final line end", |_, turn| format!("begun {turn} ").into_bytes()),
    ("CR", |_, turn| format!("10%\r20%\r{turn}\r\nnext\r\n").into_bytes()),
    ("NUL", |_, turn| format!("a\0b{turn}\0\n\0\n").into_bytes()),
    ("invalid UTF-8", |random, _| {
        let mut bytes: Vec<_> = (0..40).map(|_| random.u8(..)).collect();
        bytes.push(b'\n');
        bytes
    }),
    ("pieces of 16 KiB", |random, turn| {
        let mut bytes =
            vec![b'a' + (turn % 26) as u8; 16_384 * random.usize(1..4) - random.usize(0..2)];
        bytes.push(b'\n');
        bytes
    }),
    ("longer than the cap", |_, turn| {
        // Equal up to the cap and beyond: only the last byte tells them apart.
        let mut bytes = vec![b'x'; 60_000];
        bytes.extend([b'0' + (turn % 10) as u8, b'\n']);
        bytes
    }),
    ("the kubelet's words", |_, turn| {
        format!("unable to retrieve container logs for containerd://{turn}\nfailed to create fsnotify watcher: too many open files\n").into_bytes()
    }),
    ("stamps of its own", |_, turn| {
        format!("2026-11-22T14:02:{:02}.310164133Z not mine\n", turn % 60).into_bytes()
    }),
];

fn world(seed: u64) -> World {
    let options = SimOptions {
        seed,
        start_time: time::now(),
        keep_written: 4 << 20,
        log_max_bytes: 64 << 20,
        ..SimOptions::default()
    };
    World::around(Sim::new(options), seed, |plan| plan.logs.max_line_bytes = CAP)
}

async fn started(world: &World) -> (String, String) {
    let container = rollcast::sim::Container::new("app", "shop/web:1", Program::default());
    world.sim.apply(Deployment::new("shop", "web", 1, Template::new([container])));
    world.synced().await;
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let pods = world.sim.pods("shop", "web");
        if let Some(pod) = pods.iter().find(|pod| pod.containers[0].running) {
            return (pod.name.clone(), pod.uid.clone());
        }
    }
}

/// What is to be told of a served line: its text and its true length if that is longer.
fn expected(line: &[u8]) -> (String, u64) {
    let (_, stamp) = parse_stamp(line).unwrap();
    let text = &line[stamp + 1..];
    if text.len() <= CAP {
        return (String::from_utf8_lossy(text).into_owned(), 0);
    }
    let kept = match std::str::from_utf8(&text[..CAP]) {
        Ok(kept) => kept,
        Err(error) => std::str::from_utf8(&text[..error.valid_up_to()]).unwrap(),
    };
    (kept.to_owned(), text.len() as u64)
}

#[tokio::test(start_paused = true)]
async fn odd_bytes_come_once_and_as_they_are_whatever_breaks() {
    for (name, print) in CASES {
        for seed in 0..seeds() {
            let world = world(seed);
            let (pod, uid) = started(&world).await;
            let mut random = fastrand::Rng::with_seed(seed);
            let mut client = world.stream(&format!("{STREAM}?since=1h"), None).await;
            let mut events = Vec::new();
            for turn in 0..8 {
                let pipe = if random.bool() { Pipe::Out } else { Pipe::Err };
                let bytes = print(&mut random, turn);
                assert!(world.sim.print("shop", &pod, "app", pipe, &bytes));
                let wait = Duration::from_millis(random.u64(0..900));
                events.extend(listen(&mut client, wait).await);
                let effect = match random.u8(0..5) {
                    0 => Effect::Cut(random.u64(0..300)),
                    1 => Effect::End(random.u64(0..300)),
                    2 => Effect::InBand(0, "rpc error: code = Unavailable\n".to_owned()),
                    _ => continue,
                };
                world.sim.disturb(&Match::follow(""), &effect);
            }
            events.extend(listen(&mut client, Duration::from_secs(5)).await);
            world.sim.crash("shop", &pod, "app", 1);
            events.extend(listen(&mut client, Duration::from_secs(8)).await);
            let written = world.sim.written(&uid, "app", 1).unwrap();
            let lines = written.text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            let expected: Vec<_> = lines.map(expected).collect();
            let logs = events
                .iter()
                .filter(|event| event.name == "log" && event.data["attempt"] == 1)
                .map(|event| {
                    let text = event.data["text"].as_str().unwrap().to_owned();
                    (text, event.data["truncated_bytes"].as_u64().unwrap_or(0))
                });
            let logs: Vec<_> = logs.collect();
            let told = told(&events);
            assert_eq!(logs.len(), expected.len(), "{name}, seed {seed}\n{told}");
            for (at, (got, wanted)) in logs.iter().zip(&expected).enumerate() {
                assert!(got == wanted, "{name}, seed {seed}, line {at}\n{told}");
            }
            without_gaps(&events);
        }
    }
}
