//! Nodes that are cut off: their containers go on, but nobody hears of it.
//!
//! Times are those measured on a real cluster whose packets were dropped: the node is NotReady after
//! 40 s, and a follow that was open wakes only about 0.8 times the length of the cut after its end,
//! for TCP's retransmissions have slowed down by then.

use std::sync::Arc;
use std::time::Duration;

use super::faults::{Effect, Match};
use super::shared::Shared;
use super::world::{Action, World};

/// When the control plane calls a silent node NotReady (`node-monitor-grace-period`).
const LOST_AFTER: Duration = Duration::from_secs(40);

/// The kubelet's first status writes after it is back.
const BACK_AFTER: Duration = Duration::from_secs(1);

/// Cuts a node off for a time.
pub(super) fn partition(shared: &Shared, node: &str, time: Duration) {
    shared.with(|world| {
        let until = world.now + time.as_nanos() as i64;
        let node: Arc<str> = node.into();
        world.cut_off.insert(node.clone(), until);
        world.plan(LOST_AFTER, Action::NodeLost(node.clone()));
        world.plan(time + BACK_AFTER, Action::NodeBack(node));
    });
    let on = Match { node: Some(node.to_owned()), ..Match::any() };
    shared.disturb(&on, &Effect::Stall(time.mul_f64(1.8)));
}

// === impl World ===

impl World {
    /// For how long a node is still cut off, if it is.
    pub(super) fn cut_off_for(&self, node: &str) -> Option<Duration> {
        let left = u64::try_from(self.cut_off.get(node)? - self.now).ok()?;
        (left > 0).then(|| Duration::from_nanos(left))
    }

    pub(super) fn node_lost(&mut self, node: &Arc<str>) {
        if self.cut_off_for(node).is_none() {
            return;
        }
        self.put_node(node, false);
        let now = self.now;
        for id in self.pods_on(node) {
            if let Some(pod) = self.pods.get_mut(&id) {
                pod.lost_since = Some(now);
            }
            self.publish(id);
        }
    }

    pub(super) fn node_back(&mut self, node: &Arc<str>) {
        if self.cut_off_for(node).is_some() {
            return;
        }
        self.cut_off.remove(node);
        self.put_node(node, true);
        for id in self.pods_on(node) {
            if let Some(pod) = self.pods.get_mut(&id) {
                pod.lost_since = None;
            }
            self.sync_soon(id);
        }
    }

    fn pods_on(&self, node: &Arc<str>) -> Vec<super::pod::PodId> {
        let here = self.pods.iter().filter(|(_, pod)| pod.node.as_ref() == Some(node));
        here.map(|(id, _)| *id).collect()
    }
}
