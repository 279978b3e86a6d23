//! Spreads the opening of streams: a rollout of 500 pods must not stampede the API server, whose
//! priority and fairness does not cover log streams.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

/// Hands out permission to open, so many a second, first come first served.
#[derive(Debug)]
pub(super) struct Pace {
    every: Duration,
    /// When the next opening is due. The lock is fair, so waiters go in order.
    next: Mutex<Option<Instant>>,
    /// Openings that may come at once after a quiet time.
    burst: u32,
}

// === impl Pace ===

impl Pace {
    pub(super) fn new(per_second: u32) -> Self {
        let per_second = per_second.max(1);
        Pace {
            every: Duration::from_secs(1) / per_second,
            next: Mutex::new(None),
            // A tenth of a second's worth: a page with a few pods opens without delay.
            burst: (per_second / 10).max(1),
        }
    }

    /// Waits for its turn.
    pub(super) async fn turn(&self) {
        let mut next = self.next.lock().await;
        let now = Instant::now();
        let earliest = now.checked_sub(self.every * self.burst).unwrap_or(now);
        let due = next.map_or(earliest, |next| next.max(earliest));
        sleep_until(due).await;
        *next = Some(due + self.every);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn openings_are_spread_after_a_first_burst() {
        let pace = Pace::new(50);
        let start = Instant::now();
        for _ in 0..105 {
            pace.turn().await;
        }
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(1_950), "{took:?}");
        assert!(took <= Duration::from_millis(2_100), "{took:?}");
    }
}
