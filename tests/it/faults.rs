//! What goes wrong between the service and its cluster, a test for each row of the fault list, each
//! with many seeds. The oracle judges: what is not said to be missing is there.

mod ends;
mod lines;
mod requests;
mod restarts;
mod streams;
mod viewers;

use std::time::Duration;

use rollcast::sim::{Deployment, Resource};
use rollcast::time;

use crate::oracle::{Rules, Verdict};
use crate::rig::Rig;

/// Two pods write, one client reads on, another is cut again and again; something is done to the
/// cluster meanwhile. Afterwards nothing is wrong any more, fresh lines arrive in time, and the pods
/// end with their logs read to the end.
async fn story(
    mut rig: Rig,
    workload: Deployment,
    rules: Rules,
    harm: impl AsyncFnOnce(&mut Rig),
) -> Verdict {
    rig.sim.apply(workload);
    rig.world().synced().await;
    let viewers = vec![rig.steady(), rig.cut(Duration::from_secs(4))];
    viewers[0].lines(20, 30).await;
    harm(&mut rig).await;
    rig.sim.clear_faults();
    let calm = Some(time::now());
    rig.wait(12.0).await;
    rig.sim.scale(Resource::Deployments, "shop", "web", 0);
    rig.wait(8.0).await;
    rig.holds(viewers, &Rules { calm, ..rules }).await
}
