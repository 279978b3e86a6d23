//! Odd lines, odd clocks, many lines.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use rollcast::sim::{
    Container, Deployment, Line, Numbers, Output, Pipe, Program, SimOptions, Template,
};
use rollcast::time::SECOND;

use super::story;
use crate::oracle::Rules;
use crate::rig::{Rig, seeded};
use crate::world::web;

/// A Deployment whose pods write what a function makes, and numbered lines beside it.
fn made(rate: f64, make: impl Fn(&mut Line<'_>) + Send + Sync + 'static) -> Deployment {
    let numbers = Numbers { both: true, ..Numbers::new("run", 10.0) };
    let made = Output::Made { rate, lines: None, make: Arc::new(make) };
    let output = vec![Output::Numbered(numbers), made];
    let template = Template::new([Container::new(
        "app",
        "shop/web:1",
        Program { output, ..Program::default() },
    )]);
    Deployment::new("shop", "web", 2, template)
}

/// Follows break every few seconds, so that what is odd is also aligned.
async fn unsteady(rig: &mut Rig) {
    use rollcast::sim::{Effect, Match};
    for _ in 0..5 {
        let few = rig.random.u64(0..5_000);
        let effect = if rig.random.bool() { Effect::End(few) } else { Effect::Cut(few) };
        rig.sim.disturb(&Match::follow("web"), &effect);
        let pause = rig.between(1.0, 4.0);
        rig.wait(pause).await;
    }
}

/// Row 13.
#[test]
fn a_container_may_print_what_the_kubelet_would_say() {
    seeded(async |seed| {
        let workload = made(5.0, |line| {
            let said = match line.number % 3 {
                0 => "failed to create fsnotify watcher: too many open files".to_owned(),
                1 => {
                    "unable to retrieve container logs for containerd://0123456789abcdef".to_owned()
                }
                // A line that begins like a stamped one.
                _ => format!("2026-11-22T14:02:38.310164133Z {}", line.number),
            };
            line.text.extend_from_slice(said.as_bytes());
        });
        story(Rig::new(seed), workload, Rules::whole(), async |rig| unsteady(rig).await).await;
    });
}

/// Row 23.
#[test]
fn clocks_of_nodes_that_differ_by_ten_minutes_cost_nothing() {
    seeded(async |seed| {
        let rig = Rig::new(seed);
        rig.sim.set_clock("node-1", 600 * SECOND);
        rig.sim.set_clock("node-2", -600 * SECOND);
        let rules = Rules { skew: 700 * SECOND, ..Rules::whole() };
        let said = async |rig: &mut Rig| {
            let viewer = rig.steady();
            unsteady(rig).await;
            rig.wait(40.0).await;
            // Whoever reads two logs as one is told that their order is not that of events.
            for word in ["clock_ahead", "clock_behind"] {
                let told = viewer.look(|heard| {
                    heard.named("source").filter(|event| event.data["reason"] == word).count()
                });
                assert!(told > 0, "seed {seed}: {word} was not said");
            }
            // Mended, it is taken back.
            let before = viewer.look(|heard| heard.named("source").count());
            for node in ["node-1", "node-2"] {
                rig.sim.set_clock(node, 0);
            }
            rig.wait(70.0).await;
            let last: BTreeMap<String, Value> = viewer.look(|heard| {
                let said = heard.named("source").skip(before);
                said.map(|event| (event.data["pod"].to_string(), event.data["reason"].clone()))
                    .collect()
            });
            assert_eq!(last.len(), 2, "seed {seed}: {last:?}");
            assert!(last.values().all(Value::is_null), "seed {seed}: {last:?}");
            viewer.stop().await;
        };
        story(rig, web(2, 20.0, None), rules, said).await;
    });
}

/// Row 24: clocks are set back by up to an hour, more than once, while follows break.
#[test]
fn clocks_that_are_set_back_cost_nothing() {
    seeded(async |seed| {
        let rules = Rules { skew: 3_700 * SECOND, ..Rules::whole() };
        story(Rig::new(seed), web(2, 20.0, None), rules, async |rig| {
            let mut behind = 0;
            for _ in 0..2 {
                behind += rig.random.i64(4..1_800);
                for node in ["node-1", "node-2"] {
                    rig.sim.set_clock(node, -behind * SECOND);
                }
                rig.wait(2.0).await;
                unsteady(rig).await;
            }
            // A follow that was resumed is deaf until the past is over; it is not left so.
            rig.wait(12.0).await;
        })
        .await;
    });
}

/// Row 25: consumed whole, cut at the cap, known again when they are read again.
#[test]
fn lines_beyond_the_cap_are_cut_and_say_so() {
    seeded(async |seed| {
        let workload = made(0.3, |line| {
            let size = if line.number % 4 == 2 { 2 << 20 } else { 300 << 10 };
            let letter = b'a' + (line.number % 26) as u8;
            line.text.extend(std::iter::repeat_n(letter, size));
        });
        story(Rig::new(seed), workload, Rules::whole(), async |rig| {
            for _ in 0..3 {
                let few = rig.random.u64(0..300_000);
                rig.sim.disturb(
                    &rollcast::sim::Match::follow("web"),
                    &rollcast::sim::Effect::Cut(few),
                );
                rig.wait(3.0).await;
            }
        })
        .await;
    });
}

/// Row 25: sixteen mebibytes in one line.
#[test]
fn a_line_of_sixteen_mebibytes_passes() {
    crate::rig::alone(1, async |seed| {
        let workload = made(0.2, |line| line.text.extend(std::iter::repeat_n(b'x', 16 << 20)));
        let large = |options: &mut SimOptions| {
            (options.log_max_bytes, options.keep_written) = (200 << 20, 400 << 20);
        };
        let workload = Deployment { replicas: 1, ..workload };
        story(Rig::with(seed, large, |_| {}), workload, Rules::whole(), async |_| {}).await;
    });
}

/// Row 26: pieces without line ends on both streams; the kubelet glues them, and so do we.
#[test]
fn pieces_of_both_streams_between_each_other_break_nothing() {
    seeded(async |seed| {
        story(Rig::new(seed), web(1, 20.0, None), Rules::whole(), async |rig| {
            for round in 0..20 {
                let pods = rig.sim.pods("shop", "web");
                let text = format!("piece {round} ");
                let long = "y".repeat(rig.random.usize(1..40_000));
                for pipe in [Pipe::Out, Pipe::Err] {
                    rig.sim.print("shop", &pods[0].name, "app", pipe, text.as_bytes());
                    rig.sim.print("shop", &pods[0].name, "app", pipe, long.as_bytes());
                }
                rig.wait(0.2).await;
            }
            unsteady(rig).await;
        })
        .await;
    });
}

/// Row 27.
#[test]
fn binary_output_is_flagged_and_otherwise_like_any_other() {
    seeded(async |seed| {
        let workload = made(30.0, |line| {
            for _ in 0..line.rng.usize(0..200) {
                let byte = line.rng.u8(..);
                line.text.push(if byte == b'\n' { b'N' } else { byte });
            }
        });
        story(Rig::new(seed), workload, Rules::whole(), async |rig| unsteady(rig).await).await;
    });
}

/// Equal and backward stamps, empty lines, equal lines.
#[test]
fn lines_that_are_all_alike_are_counted() {
    seeded(async |seed| {
        let coarse = |options: &mut SimOptions| options.write_tick = Duration::from_millis(250);
        let workload = made(30.0, |line| {
            let word = ["", "", "x", "same", "same"][line.rng.usize(0..5)];
            line.text.extend_from_slice(word.as_bytes());
            line.pipe = if line.rng.bool() { Pipe::Out } else { Pipe::Err };
        });
        story(Rig::with(seed, coarse, |_| {}), workload, Rules::whole(), async |rig| {
            unsteady(rig).await;
        })
        .await;
    });
}

/// Row 28: our side keeps up with a burst.
#[test]
fn a_burst_is_taken_whole() {
    seeded(async |seed| {
        let rig = Rig::new(seed);
        let numbers = Numbers { length: (60, 120), ..Numbers::new("burst", 20_000.0) };
        let numbers = Numbers { lines: Some(8_000), both: true, ..numbers };
        let program = Program { output: vec![Output::Numbered(numbers)], ..Program::default() };
        let template = Template::new([Container::new("app", "shop/web:1", program)]);
        let workload = Deployment::new("shop", "web", 1, template);
        story(rig, workload, Rules::whole(), async |rig| rig.wait(1.0).await).await;
    });
}
