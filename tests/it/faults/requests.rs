//! The API server is away, refuses, or forgets.

use std::time::Duration;

use rollcast::sim::{Effect, Fault, Match, RequestKind, Resource};

use super::story;
use crate::oracle::Rules;
use crate::rig::{Rig, seeded};
use crate::world::web;

/// Row 1.
#[test]
fn an_api_server_that_is_killed_and_comes_back_costs_nothing() {
    seeded(async |seed| {
        story(Rig::new(seed), web(2, 20.0, None), Rules::whole(), async |rig| {
            for _ in 0..2 {
                rig.sim.outage(Duration::from_secs(5));
                rig.wait(9.0).await;
            }
        })
        .await;
    });
}

/// Row 1: the new one refuses everybody for its first second.
#[test]
fn an_api_server_that_refuses_everybody_for_its_first_second_is_not_believed() {
    seeded(async |seed| {
        story(Rig::new(seed), web(2, 20.0, None), Rules::whole(), async |rig| {
            rig.sim.outage(Duration::from_secs(3));
            rig.wait(3.0).await;
            let second = Duration::from_millis(1_200);
            rig.sim.add_fault(Fault::new(Match::any(), Effect::Forbidden).lasts(second));
            rig.wait(4.0).await;
        })
        .await;
    });
}

/// Row 2: every open answer ends cleanly, new requests are served.
#[test]
fn an_api_server_that_restarts_gracefully_costs_nothing() {
    seeded(async |seed| {
        story(Rig::new(seed), web(2, 20.0, None), Rules::whole(), async |rig| {
            for _ in 0..4 {
                rig.sim.disturb(&Match::any(), &Effect::End(0));
                let pause = rig.between(0.5, 4.0);
                rig.wait(pause).await;
            }
        })
        .await;
    });
}

/// Row 2: whoever follows many logs does not open them all at once again. Three hundred at fifty a second
/// take six seconds.
#[tokio::test(start_paused = true)]
async fn a_graceful_restart_under_many_follows_is_answered_spread_over_seconds() {
    const OPENS: u64 = 50;
    let rig = Rig::with(2, |_| {}, |plan| plan.logs.opens_per_second = OPENS as u32);
    story(rig, web(300, 0.2, None), Rules::whole(), async |rig| {
        let logs =
            |rig: &Rig| rig.sim.requests().total.get(&RequestKind::Log).copied().unwrap_or(0);
        rig.wait(20.0).await;
        rig.sim.disturb(&Match::any(), &Effect::End(0));
        let (mut asked, mut seconds) = (vec![logs(rig)], 0);
        while seconds < 20 {
            rig.wait(1.0).await;
            asked.push(logs(rig));
            seconds += 1;
        }
        let each: Vec<u64> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(each.iter().sum::<u64>() >= 300, "not all were opened again: {each:?}");
        // The burst of the first tenth of a second, and looks beside follows, which have their own bound.
        assert!(each.iter().all(|each| *each <= OPENS + OPENS / 10 + 16), "{each:?}");
        let used = each.iter().filter(|each| **each >= OPENS / 2).count();
        assert!(used >= 5, "spread over five seconds at least: {each:?}");
    })
    .await;
}

/// Row 3.
#[test]
fn ten_minutes_without_an_api_server_cost_nothing_and_hammer_nobody() {
    seeded(async |seed| {
        story(Rig::new(seed), web(2, 2.0, None), Rules::whole(), async |rig| {
            rig.sim.outage(Duration::from_secs(600));
            rig.wait(600.0).await;
            let tries = rig.sim.requests().refused;
            assert!(tries.len() > 5, "seed {seed}: {tries:?}");
            // One in five seconds for each thing that is asked for, and those of the first moments.
            let most = tries.iter().max_by_key(|(_, tries)| **tries).expect("there were some");
            assert!(*most.1 <= 600 / 5 + 15, "seed {seed}: {most:?}");
        })
        .await;
    });
}

/// Row 4.
#[test]
fn watches_that_are_too_old_cost_nothing() {
    seeded(async |seed| {
        story(Rig::new(seed), web(2, 20.0, None), Rules::whole(), async |rig| {
            rig.sim.expire_watches();
            rig.wait(3.0).await;
            let inline = rig.random.bool();
            let expired = Effect::Expired { inline };
            rig.sim.add_fault(Fault::new(Match::kind(RequestKind::Watch), expired).times(3));
            rig.sim.disturb(&Match::kind(RequestKind::Watch), &Effect::End(0));
            rig.wait(1.0).await;
            // A pod that comes meanwhile is not missed.
            rig.sim.scale(Resource::Deployments, "shop", "web", 4);
            rig.wait(20.0).await;
        })
        .await;
    });
}

/// Row 5.
#[test]
fn watches_that_end_all_the_time_are_taken_up_where_they_ended() {
    seeded(async |seed| {
        story(Rig::new(seed), web(2, 10.0, None), Rules::whole(), async |rig| {
            let ends = Effect::End(0);
            let lists = |rig: &Rig| rig.sim.requests().total.get(&RequestKind::List).copied();
            let before = lists(rig);
            for round in 0..60 {
                rig.sim.disturb(&Match::kind(RequestKind::Watch), &ends);
                rig.wait(0.5).await;
                if round == 30 {
                    rig.sim.scale(Resource::Deployments, "shop", "web", 3);
                }
            }
            assert_eq!(lists(rig), before, "a watch that ends is no reason to list again");
        })
        .await;
    });
}

/// Row 5, at full length: a thousand times, with a rollout in the middle.
#[tokio::test(start_paused = true)]
async fn a_thousand_ends_of_watches_are_no_reason_to_list_again() {
    story(Rig::new(5), web(2, 2.0, None), Rules::whole(), async |rig| {
        let count = |rig: &Rig, kind| rig.sim.requests().total.get(&kind).copied().unwrap_or(0);
        let lists = count(rig, RequestKind::List);
        let (mut ended, mut rounds) = (0, 0);
        while ended < 1_000 {
            ended += rig.sim.disturb(&Match::kind(RequestKind::Watch), &Effect::End(0));
            rig.wait(0.4).await;
            rounds += 1;
            assert!(rounds < 1_000, "only {ended} watches were open to be ended");
            if rounds == 40 {
                rig.sim.set_image(Resource::Deployments, "shop", "web", "app", "shop/web:2");
            }
        }
        assert_eq!(count(rig, RequestKind::List), lists, "after {ended} ends");
    })
    .await;
}

/// Row 10.
#[test]
fn an_api_server_that_says_429_is_heeded() {
    seeded(async |seed| {
        story(Rig::new(seed), web(2, 20.0, None), Rules::whole(), async |rig| {
            for kind in [RequestKind::Log, RequestKind::List, RequestKind::Watch] {
                let after = rig.random.u32(1..4);
                let busy = Fault::new(Match::kind(kind), Effect::TooMany(after));
                rig.sim.add_fault(busy.times(3));
            }
            rig.sim.disturb(&Match::any(), &Effect::Cut(0));
            rig.wait(15.0).await;
        })
        .await;
    });
}

/// Row 10: nothing is asked again before the time that it said.
#[test]
fn whoever_is_told_to_come_back_later_does() {
    seeded(async |seed| {
        story(Rig::new(seed), web(2, 20.0, None), Rules::whole(), async |rig| {
            for kind in [RequestKind::Log, RequestKind::Watch] {
                let count = |rig: &Rig| rig.sim.requests().total.get(&kind).copied().unwrap_or(0);
                let busy = Fault::new(Match::kind(kind), Effect::TooMany(6));
                let busy = rig.sim.add_fault(busy);
                rig.sim.disturb(&Match::kind(kind), &Effect::End(0));
                rig.wait(2.0).await;
                let asked = count(rig);
                rig.wait(3.5).await;
                assert_eq!(count(rig), asked, "seed {seed}: {kind:?} was asked before its time");
                rig.sim.remove_fault(busy);
                rig.wait(4.0).await;
                assert!(count(rig) > asked, "seed {seed}: {kind:?} was given up");
            }
        })
        .await;
    });
}

/// Row 11.
#[test]
fn errors_of_the_api_server_are_tried_again() {
    seeded(async |seed| {
        story(Rig::new(seed), web(2, 20.0, None), Rules::whole(), async |rig| {
            for status in [500, 502, 503, 504] {
                let refused = "dial tcp 10.98.0.11:10250: connect: connection refused".to_owned();
                let fault = Fault::new(Match::any(), Effect::Status(status, refused));
                rig.sim.add_fault(fault.probability(0.3).times(6));
            }
            for _ in 0..4 {
                rig.sim.disturb(&Match::any(), &Effect::Cut(0));
                rig.wait(2.0).await;
            }
        })
        .await;
    });
}

/// Row 3: a pod that is new when the API server is back is heard at once, however long it was away.
#[test]
fn a_pod_that_comes_after_a_long_outage_is_heard_in_time() {
    seeded(async |seed| {
        story(Rig::new(seed), web(1, 5.0, None), Rules::whole(), async |rig| {
            rig.sim.outage(Duration::from_secs(200));
            rig.wait(199.0).await;
            rig.sim.scale(Resource::Deployments, "shop", "web", 2);
            rig.wait(1.0).await;
        })
        .await;
    });
}

/// Row 6: watches that are silent though they are open are noticed within a minute and a half.
#[test]
fn watches_that_hang_are_given_up() {
    seeded(async |seed| {
        let rules = Rules::whole();
        story(Rig::new(seed), web(1, 5.0, None), rules, async |rig| {
            rig.sim.disturb(&Match::kind(RequestKind::Watch), &Effect::Hang(0));
            rig.wait(90.0).await;
            rig.sim.scale(Resource::Deployments, "shop", "web", 2);
        })
        .await;
    });
}
