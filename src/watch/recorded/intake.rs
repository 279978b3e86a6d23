//! What was received, applied as the service applies it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Received;
use crate::cluster::Answers;
use crate::telemetry::Metrics;
use crate::watch::problem::Resource;
use crate::watch::run::Applier;
use crate::watch::{Change, Index, Now};

/// The tables of one namespace behind its watches. Time comes from outside.
pub struct Intake {
    applier: Applier,
    /// The same moment by two clocks; only what has passed since counts.
    began: (i64, Instant),
}

// === impl Intake ===

impl Intake {
    /// Nothing has been received yet.
    pub fn new(namespace: &str, began: i64) -> Intake {
        let scope = |watch| ((watch, Some(namespace.to_owned())), Answers::default());
        let watches = Resource::ALL.map(scope).into();
        let start = Instant::now();
        let applier = Applier::new(Index::new(), Arc::new(Metrics::noop()), watches, start);
        Intake { applier, began: (began, start) }
    }

    /// Applies what a watch brought, and gives what changed by it.
    pub fn take(&mut self, received: Received) -> Vec<Change> {
        let now = self.now(received.at);
        // One watch a kind, in this order.
        let watch = Resource::ALL.iter().position(|it| *it == received.watch).unwrap_or_default();
        self.applier.take(watch, received.step, now)
    }

    /// Does what time brings; to be called about once a second.
    pub fn tick(&mut self, at: i64) -> Vec<Change> {
        self.applier.tick(self.now(at))
    }

    fn now(&self, wall: i64) -> Now {
        let (began, start) = self.began;
        let passed = u64::try_from(wall.saturating_sub(began)).unwrap_or(0);
        let steady = start.checked_add(Duration::from_nanos(passed)).unwrap_or(start);
        Now { wall, steady }
    }
}
