//! The service itself goes away, and another takes its place.

use rollcast::sim::Resource;
use rollcast::time;

use crate::oracle::Rules;
use crate::rig::{Rig, seeded};
use crate::world::web;

/// After a restart nobody can prove what a stream had seen: a gap may say so where nothing is missing.
fn approximate() -> Rules {
    Rules { doubtful: &["server_restart"], ..Rules::whole() }
}

/// Rows 33 and 35: killed; another service, with nothing in memory, takes over.
#[test]
fn viewers_of_a_service_that_is_killed_go_on_at_the_next() {
    seeded(async |seed| {
        let mut rig = Rig::new(seed);
        rig.sim.apply(web(2, 20.0, None));
        rig.world().synced().await;
        let viewers = vec![rig.steady(), rig.steady()];
        viewers[0].lines(100, 30).await;
        let pause = rig.between(1.0, 6.0);
        rig.wait(pause).await;
        let killed = rig.replace(|_| {}).await;
        killed.shutdown.stop();
        for viewer in &viewers {
            viewer.cut();
        }
        rig.wait(5.0).await;
        let calm = Some(time::now());
        rig.wait(12.0).await;
        rig.sim.scale(Resource::Deployments, "shop", "web", 0);
        rig.wait(8.0).await;
        rig.holds(viewers, &Rules { calm, ..approximate() }).await;
    });
}

/// Row 34: told to go, it says `bye`, and its viewers go on at the next.
#[test]
fn viewers_of_a_service_that_drains_go_on_at_the_next() {
    seeded(async |seed| {
        let mut rig = Rig::new(seed);
        rig.sim.apply(web(2, 20.0, None));
        rig.world().synced().await;
        let viewers = vec![rig.steady(), rig.steady()];
        viewers[0].lines(100, 30).await;
        let old = rig.replace(|_| {}).await;
        old.shutdown.drain();
        rig.wait(20.0).await;
        old.shutdown.stop();
        let calm = Some(time::now());
        rig.wait(12.0).await;
        let byes = viewers[0].look(|heard| heard.named("bye").count());
        assert_eq!(byes, 1, "seed {seed}: a replica that goes says so");
        rig.sim.scale(Resource::Deployments, "shop", "web", 0);
        rig.wait(8.0).await;
        rig.holds(viewers, &Rules { calm, ..approximate() }).await;
    });
}
