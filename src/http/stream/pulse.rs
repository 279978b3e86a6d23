//! When a stream says that it is alive, and a text how its rollout stands.

use std::time::Duration;

use tokio::time::Instant;

/// A text says how its rollout stands at least so often, also between lines of logs (`ui-ci.md` 2.5): a
/// CI system may take a job that says nothing for one that hangs.
pub const PROGRESS: Duration = Duration::from_secs(15);

/// What was sent last, and when.
#[derive(Debug)]
pub(super) struct Pulse {
    heartbeat: Duration,
    /// For a text: when it was told how the rollout stands.
    told: Option<Instant>,
    sent: Instant,
}

// === impl Pulse ===

impl Pulse {
    /// Of a stream that begins now.
    pub(super) fn new(heartbeat: Duration, is_text: bool) -> Pulse {
        let now = Instant::now();
        Pulse { heartbeat, told: is_text.then_some(now), sent: now }
    }

    /// Something was sent.
    pub(super) fn sent(&mut self) {
        self.sent = Instant::now();
    }

    /// How the rollout stands was told, or there is nothing to tell of it.
    pub(super) fn told(&mut self) {
        self.told = self.told.map(|_| Instant::now());
    }

    /// When a sign of life is due, if nothing is sent before.
    pub(super) fn due(&self) -> Instant {
        let alive = self.sent + self.heartbeat;
        self.told.map_or(alive, |told| alive.min(told + PROGRESS))
    }

    /// Whether it is to be told how the rollout stands, whatever else there is to send.
    pub(super) fn is_late(&self) -> bool {
        self.told.is_some_and(|told| told + PROGRESS <= Instant::now())
    }
}
