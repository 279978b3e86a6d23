//! The memory budget: measured ten times a second, and what follows from it.
//!
//! The order is fixed: history and shared pieces stop growing first, since they are forgotten with a
//! mark and nobody is cut; then history gives up a quarter and new streams are refused; only then are
//! open ones asked to leave.

mod cgroup;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::http::limits::{Limits, Pressure};
use crate::journal::Journal;
use crate::telemetry::Metrics;
use crate::view::Views;

/// How often memory is looked at. Between the first step and the limit lie 30 % of it, 38 MiB in the
/// smallest install: at 70 MB/s of growth (34 MB/s of lines, and the same encoded) half a second. Two
/// files are read each time.
const LOOK: Duration = Duration::from_millis(100);
/// Between two rounds of goodbyes. The allocator gives memory back some seconds after it was freed,
/// so a few streams more than needed may leave; waiting for it could cost all of them.
const BETWEEN_SHEDS: Duration = Duration::from_secs(2);

/// Tells how many bytes are in use.
pub type Used = Arc<dyn Fn() -> io::Result<u64> + Send + Sync>;

/// How much memory there is, and how it is measured. Cheap to clone.
#[derive(Clone)]
pub struct Budget {
    limit: u64,
    used: Used,
}

/// What the budget acts on.
#[derive(Clone)]
pub(super) struct Valves {
    pub(super) journal: Journal,
    pub(super) views: Views,
    pub(super) limits: Limits,
    pub(super) metrics: Arc<Metrics>,
}

// === impl Budget ===

impl Budget {
    /// `limit` bytes, measured by `used`.
    pub fn new(limit: u64, used: Used) -> Self {
        Budget { limit, used }
    }

    /// `limit` bytes for this process, or what its cgroup allows; none if neither is there.
    pub fn find(limit: Option<u64>) -> Option<Self> {
        if let Some(limit) = limit {
            return Some(Budget::new(limit, Arc::new(cgroup::resident)));
        }
        let group = cgroup::Group::of_this_process()?;
        Some(Budget::new(group.limit(), Arc::new(move || group.used())))
    }

    /// What may be used, in bytes.
    pub fn limit(&self) -> u64 {
        self.limit
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget").field("limit", &self.limit).finish_non_exhaustive()
    }
}

/// Keeps the process inside its budget, for ever.
pub(super) async fn watch(budget: Budget, valves: Valves) {
    valves.metrics.memory_limit.set(budget.limit);
    let mut pressure = valves.limits.pressure();
    valves.metrics.memory_pressure.set(u64::from(pressure.level()));
    let mut shed: Option<Instant> = None;
    let mut blind = false;
    loop {
        match (budget.used)() {
            Ok(used) => {
                blind = false;
                valves.metrics.memory.set(used);
                let next = pressure.step(used, budget.limit);
                if next != pressure {
                    valves.turn(pressure, next, used, budget.limit);
                    pressure = next;
                }
            }
            // The last decision holds; said once.
            Err(error) if !blind => {
                blind = true;
                tracing::warn!(%error, "memory in use cannot be read");
            }
            Err(_) => {}
        }
        let rested = shed.is_none_or(|last| last.elapsed() >= BETWEEN_SHEDS);
        if pressure == Pressure::Critical && rested {
            shed = Some(Instant::now());
            let journal = &valves.journal;
            journal.shrink();
            let head = |workload: Option<&_>| {
                workload.map_or_else(|| journal.head(), |workload| journal.shelf(workload).head())
            };
            let asked = valves.limits.shed(head);
            if asked > 0 {
                tracing::warn!(asked, "memory is nearly used up: streams are asked to leave");
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

// === impl Valves ===

impl Valves {
    fn turn(&self, from: Pressure, to: Pressure, used: u64, limit: u64) {
        self.metrics.memory_pressure.set(u64::from(to.level()));
        self.limits.set_pressure(to);
        if (from == Pressure::Calm) != (to == Pressure::Calm) {
            self.journal.hold(to != Pressure::Calm);
            self.views.hold(to != Pressure::Calm);
        }
        if to > from && to >= Pressure::Full {
            // That it grew no further was not enough.
            self.journal.shrink();
        }
        let (from, to) = (from.as_str(), to.as_str());
        tracing::warn!(from, to, used, limit, "memory pressure changed");
    }
}
