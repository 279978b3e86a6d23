//! How long a follow may be silent before it is doubted.
//!
//! A connection can stop to bring anything though it stays open, and nothing tells that from a container
//! that is silent but a second read. A log that was busy is looked at soon, one that is silent by habit
//! seldom: each silence that was a true one makes the next look come later.

use std::time::Duration;

/// A busy log is looked at after this silence.
const LEAST: Duration = Duration::from_secs(10);
/// Any log is looked at after this silence.
const MOST: Duration = Duration::from_secs(300);
/// And one with pauses after so many times the longest that it had lately.
const TIMES_LONGEST: u32 = 4;

/// How a follow used to bring what it brought.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cadence {
    /// The longest silence lately; `None` before there was any.
    longest: Option<Duration>,
    /// Between three quarters and five quarters: not all look at once.
    jitter: f64,
}

// === impl Cadence ===

impl Cadence {
    /// Nothing came yet. `random` is between 0 and 1.
    pub(super) fn new(random: f64) -> Self {
        Cadence { longest: None, jitter: 0.75 + random / 2.0 }
    }

    /// Something came live after so long a silence.
    pub(super) fn came(&mut self, silence: Duration) {
        let longest = self.longest.unwrap_or_default();
        self.longest = Some((longest - longest / 16).max(silence));
    }

    /// It was looked at: there was nothing to come for so long.
    pub(super) fn was_quiet(&mut self, silence: Duration) {
        self.longest = self.longest.map(|longest| longest.max(silence));
    }

    /// After which silence to look.
    pub(super) fn patience(&self) -> Duration {
        let usual = self.longest.map_or(MOST, |longest| longest * TIMES_LONGEST);
        usual.clamp(LEAST, MOST).mul_f64(self.jitter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_log_is_looked_at_soon_and_one_with_pauses_later() {
        let mut cadence = Cadence::new(0.5);
        assert_eq!(cadence.patience(), MOST, "nothing is known of it");
        for _ in 0..100 {
            cadence.came(Duration::from_millis(20));
        }
        assert_eq!(cadence.patience(), LEAST);
        cadence.came(Duration::from_secs(20));
        assert_eq!(cadence.patience(), Duration::from_secs(80));
        for _ in 0..100 {
            cadence.came(Duration::from_millis(20));
        }
        assert_eq!(cadence.patience(), LEAST, "that was long ago");
    }

    #[test]
    fn each_true_silence_makes_the_next_look_come_later() {
        let mut cadence = Cadence::new(0.5);
        cadence.came(Duration::ZERO);
        let (mut silent, mut looks) = (Duration::ZERO, 0);
        while silent < Duration::from_secs(3600) {
            silent += cadence.patience();
            cadence.was_quiet(silent);
            looks += 1;
        }
        assert!((12..18).contains(&looks), "{looks} looks in an hour");
    }
}
