//! Viewers that are slow, are dropped together, or come back elsewhere.

use std::time::Duration;

use rollcast::journal::Limits;
use rollcast::sim::{Resource, SimOptions};
use rollcast::time;

use crate::oracle::{Delays, Matched, Rules, c9};
use crate::rig::{Manners, Rig, all, seeded};
use crate::world::web;

/// Row 31: who reads slowly is told what it missed, exactly, and nobody else notices.
#[test]
fn a_viewer_that_hardly_reads_slows_nobody_and_is_told_what_it_missed() {
    seeded(async |seed| {
        let small = |plan: &mut rollcast::app::Plan| {
            plan.journal = Limits {
                workload_bytes: 192 << 10,
                total_bytes: 8 << 20,
                age: Duration::from_secs(86_400),
            };
            // What is encoded already would still be there for them.
            plan.view_cache_bytes = 1 << 10;
        };
        let mut delays = Vec::new();
        for slow in [0, 3] {
            let mut rig = Rig::with(seed, |_: &mut SimOptions| {}, small);
            rig.sim.apply(web(2, 200.0, Some(1_500)));
            rig.world().synced().await;
            let mut viewers = vec![rig.steady()];
            let pause = Some(Duration::from_millis(30));
            for _ in 0..slow {
                viewers.push(rig.viewer("slow", &all(), Manners { pause, ..Manners::default() }));
            }
            viewers[0].lines(3_000, 120).await;
            // The slow ones read on at their pace until nothing is left for them.
            rig.wait(150.0).await;
            let steady = viewers.remove(0).stop().await;
            let truth = rig.truth();
            let matched = Matched::new(&truth, &steady);
            delays.push(Delays::of(&matched));
            crate::oracle::judge(&truth, &[steady], &Rules::whole()).holds("the steady one");
            let rules = Rules::with_gaps(&["viewer_too_slow", "history_evicted"]);
            let verdict = rig.holds(viewers, &rules).await;
            assert!(verdict.table.rows.iter().all(|row| row.lost_marked > 0), "{}", verdict.table);
        }
        let faults = c9(&delays[0], &delays[1]);
        assert!(faults.is_empty(), "seed {seed}: {faults:?}");
    });
}

/// Row 32.
#[test]
fn viewers_that_are_dropped_together_are_all_back_without_loss() {
    seeded(async |seed| {
        let mut rig = Rig::new(seed);
        rig.sim.apply(web(2, 10.0, None));
        rig.world().synced().await;
        let mut viewers = Vec::new();
        for at in 0..25 {
            viewers.push(rig.viewer(&format!("viewer {at}"), &all(), Manners::default()));
        }
        viewers[0].lines(20, 30).await;
        for _ in 0..3 {
            for viewer in &viewers {
                viewer.cut();
            }
            rig.wait(4.0).await;
        }
        let calm = Some(time::now());
        rig.wait(3.0).await;
        assert_eq!(rig.sim.requests().logs_open, 2, "one stream for each pod, whoever comes back");
        rig.sim.scale(Resource::Deployments, "shop", "web", 0);
        rig.wait(20.0).await;
        rig.holds(viewers, &Rules { calm, ..Rules::whole() }).await;
    });
}

/// Row 32, with a thousand of them: all are back within ten seconds, behind the line they had.
#[tokio::test(start_paused = true)]
async fn a_thousand_viewers_that_are_dropped_together_are_back_within_ten_seconds() {
    let mut rig = Rig::new(32);
    rig.sim.apply(web(2, 2.0, None));
    rig.world().synced().await;
    let mut viewers = Vec::new();
    for at in 0..1_000 {
        viewers.push(rig.viewer(&format!("viewer {at}"), &all(), Manners::default()));
    }
    viewers[999].lines(20, 30).await;
    let cut = time::now();
    for viewer in &viewers {
        viewer.cut();
    }
    rig.wait(10.0).await;
    for viewer in &viewers {
        viewer.look(|heard| {
            let back = heard.sessions.get(1).and_then(|session| session.events.first());
            let back = back.expect("it came back");
            assert_eq!(back.data["resumed"], "exact", "{}: {}", heard.name, back.data);
            assert!(back.at - cut <= 10 * time::SECOND, "{}", heard.name);
        });
    }
    assert_eq!(rig.sim.requests().logs_open, 2, "one stream for each pod, whoever comes back");
    let calm = Some(time::now());
    rig.wait(3.0).await;
    rig.sim.scale(Resource::Deployments, "shop", "web", 0);
    rig.wait(20.0).await;
    rig.holds(viewers, &Rules { calm, ..Rules::whole() }).await;
}
