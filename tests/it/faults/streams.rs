//! Log streams end, break, stall and lie.

use std::time::Duration;

use rollcast::sim::{Effect, Fault, Match, RequestKind};

use super::story;
use crate::oracle::{Rules, Transcript};
use crate::rig::{Manners, Rig, seeded};
use crate::world::web;

/// Bytes after which an answer is spoilt. A resume replays up to two seconds, here some 9 KB: an
/// answer that never gets beyond that makes no progress, and no reader could.
fn somewhere(rig: &mut Rig) -> u64 {
    rig.random.u64(12_000..30_000)
}

/// Spoils every log stream by chance for half a minute, and those that are open every few seconds.
async fn spoilt(rig: &mut Rig, effect: fn(u64) -> Effect) {
    for _ in 0..8 {
        let bytes = somewhere(rig);
        let fault = Fault::new(Match::follow("web"), effect(bytes));
        let id = rig.sim.add_fault(fault.probability(0.5));
        let few = rig.random.u64(0..900);
        rig.sim.disturb(&Match::follow("web"), &effect(few));
        let pause = rig.between(1.0, 5.0);
        rig.wait(pause).await;
        rig.sim.remove_fault(id);
    }
}

/// Row 8: at any byte, also inside lines, stamps and characters.
#[test]
fn follows_that_end_cleanly_while_their_container_runs_go_on() {
    seeded(async |seed| {
        story(Rig::new(seed), web(2, 20.0, None), Rules::whole(), async |rig| {
            spoilt(rig, Effect::End).await;
        })
        .await;
    });
}

/// Row 9.
#[test]
fn follows_that_are_reset_go_on() {
    seeded(async |seed| {
        story(Rig::new(seed), web(2, 20.0, None), Rules::whole(), async |rig| {
            spoilt(rig, Effect::Cut).await;
        })
        .await;
    });
}

/// Row 12.
#[test]
fn what_the_kubelet_says_in_the_body_is_no_line() {
    seeded(async |seed| {
        story(Rig::new(seed), web(2, 20.0, None), Rules::whole(), async |rig| {
            spoilt(rig, |bytes| {
                let message = "failed to create fsnotify watcher: too many open files";
                Effect::InBand(bytes, message.to_owned())
            })
            .await;
        })
        .await;
    });
}

/// Row 14: containers go on, follows end cleanly, logs are refused for a while.
#[test]
fn a_kubelet_that_restarts_costs_nothing() {
    seeded(async |seed| {
        story(Rig::new(seed), web(4, 10.0, None), Rules::whole(), async |rig| {
            for node in ["node-1", "node-2", "node-1"] {
                let on = Match { node: Some(node.to_owned()), ..Match::kind(RequestKind::Log) };
                let down = Duration::from_secs_f64(rig.between(0.5, 6.0));
                let refused = "dial tcp 10.98.0.11:10250: connect: connection refused".to_owned();
                let fault = Fault::new(on.clone(), Effect::Status(500, refused));
                rig.sim.add_fault(fault.lasts(down));
                rig.sim.disturb(&on, &Effect::End(0));
                rig.wait(8.0).await;
            }
        })
        .await;
    });
}

/// Row 15: everything comes at last, and once.
#[test]
fn a_kubelet_that_stands_still_for_two_minutes_costs_nothing() {
    seeded(async |seed| {
        story(Rig::new(seed), web(2, 10.0, None), Rules::whole(), async |rig| {
            let on = Match { node: Some("node-1".to_owned()), ..Match::kind(RequestKind::Log) };
            let time = Duration::from_secs_f64(rig.between(20.0, 120.0));
            rig.sim.disturb(&on, &Effect::Stall(time));
            rig.sim.add_fault(Fault::new(on, Effect::Delay(time)).lasts(time));
            rig.wait(time.as_secs_f64()).await;
        })
        .await;
    });
}

/// Row 7: an open follow on which nothing comes, though its container writes, is given up within half
/// a minute.
#[test]
fn follows_that_hang_are_given_up() {
    seeded(async |seed| {
        story(Rig::new(seed), web(2, 20.0, None), Rules::whole(), async |rig| {
            let path = format!("{}?tail=0", crate::world::STREAM);
            let watch = rig.viewer("watch", &path, Manners::default());
            rig.wait(2.0).await;
            let bytes = rig.random.u64(0..2_000);
            let hung = rig.sim.disturb(&Match::follow("web"), &Effect::Hang(bytes));
            assert_eq!(hung, 2, "seed {seed}: each pod is followed");
            // What was let through before it hung.
            rig.wait(1.0).await;
            let before = watch.look(Transcript::lines);
            rig.wait(29.0).await;
            let after = watch.look(Transcript::lines);
            assert!(after > before + 800, "seed {seed}: {} lines in 29 s", after - before);
        })
        .await;
    });
}

/// Row 7: the same where the others of its node are as loud as ever, and cost nothing.
#[test]
fn one_follow_that_hangs_among_busy_ones_is_given_up() {
    seeded(async |seed| {
        story(Rig::new(seed), web(6, 40.0, None), Rules::whole(), async |rig| {
            let pods = rig.sim.pods("shop", "web");
            let pod = rig.random.choice(&pods).expect("there are pods").name.clone();
            let path = format!("{}?tail=0&pod={pod}", crate::world::STREAM);
            let watch = rig.viewer("watch", &path, Manners::default());
            rig.wait(2.0).await;
            let hung = rig.sim.disturb(&Match::follow(&pod), &Effect::Hang(0));
            assert_eq!(hung, 1, "seed {seed}: only {pod} is to hang");
            rig.wait(1.0).await;
            let before = watch.look(Transcript::lines);
            rig.wait(29.0).await;
            let after = watch.look(Transcript::lines);
            assert!(after > before + 800, "seed {seed}: {} lines in 29 s", after - before);
        })
        .await;
    });
}

/// Row 16: the node comes back, and everything that its pods wrote meanwhile.
#[test]
fn nodes_that_are_cut_off_for_a_minute_cost_nothing() {
    seeded(async |seed| {
        story(Rig::new(seed), web(4, 10.0, None), Rules::whole(), async |rig| {
            let cut = rig.between(30.0, 60.0);
            rig.sim.partition("node-2", Duration::from_secs_f64(cut));
            rig.wait(cut + 3.0).await;
        })
        .await;
    });
}

/// Row 17: our side loses nothing, however fast the files are rotated away.
#[test]
fn rotation_under_a_healthy_follow_loses_nothing() {
    seeded(async |seed| {
        let small = |options: &mut rollcast::sim::SimOptions| options.log_max_bytes = 64 << 10;
        let rig = Rig::with(seed, small, |_| {});
        story(rig, web(2, 800.0, Some(2_500)), Rules::whole(), async |rig| rig.wait(4.0).await)
            .await;
    });
}

/// Row 18: what is lost is said, and nothing else is.
#[test]
fn two_rotations_while_nobody_can_read_are_a_gap_with_its_bounds() {
    seeded(async |seed| {
        let small = |options: &mut rollcast::sim::SimOptions| options.log_max_bytes = 60 << 10;
        let rig = Rig::with(seed, small, |_| {});
        let rules = Rules::with_gaps(&["rotation_unproven"]);
        let verdict = story(rig, web(2, 60.0, None), rules, async |rig| {
            // Both logs are followed from their start by now.
            rig.wait(3.0).await;
            rig.sim.outage(Duration::from_secs(15));
            rig.wait(15.0).await;
        })
        .await;
        let row = &verdict.table.rows[0];
        assert!(
            row.lost_marked > 0 && row.gaps == 2,
            "seed {seed}: nothing was lost:\n{}",
            verdict.table
        );
    });
}
