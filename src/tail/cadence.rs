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

/// How a log used to bring what it brought. It outlives a stream: one that was busy is busy when it is
/// opened again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cadence {
    /// The longest silence lately; `None` before there was any.
    longest: Option<Duration>,
}

// === impl Cadence ===

impl Cadence {
    /// Of a log with these stamps, as far as they are known.
    pub(super) fn of(stamps: impl Iterator<Item = i64>) -> Self {
        let (mut cadence, mut last) = (Cadence::default(), None);
        for stamp in stamps {
            let pause = stamp.saturating_sub(last.replace(stamp).unwrap_or(stamp));
            // What was set back says nothing.
            cadence.came(Duration::from_nanos(u64::try_from(pause).unwrap_or_default()));
        }
        cadence
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

    /// After which silence to look; `random`, between 0 and 1, spreads the looks of many, by a quarter
    /// to either side.
    pub(super) fn patience(&self, random: f64) -> Duration {
        let usual = self.longest.map_or(MOST, |longest| longest.saturating_mul(TIMES_LONGEST));
        usual.clamp(LEAST, MOST).mul_f64(0.75 + random / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_log_is_looked_at_soon_and_one_with_pauses_later() {
        let mut cadence = Cadence::default();
        assert_eq!(cadence.patience(0.5), MOST, "nothing is known of it");
        for _ in 0..100 {
            cadence.came(Duration::from_millis(20));
        }
        assert_eq!(cadence.patience(0.5), LEAST);
        cadence.came(Duration::from_secs(20));
        assert_eq!(cadence.patience(0.5), Duration::from_secs(80));
        for _ in 0..100 {
            cadence.came(Duration::from_millis(20));
        }
        assert_eq!(cadence.patience(0.5), LEAST, "that was long ago");
    }

    #[test]
    fn a_log_that_was_busy_before_is_looked_at_soon() {
        let second = 1_000_000_000;
        assert_eq!(Cadence::of([].into_iter()).patience(0.5), MOST);
        assert_eq!(Cadence::of([1, 2, 3].into_iter()).patience(0.5), LEAST);
        let paused = Cadence::of([0, 20 * second, 19 * second, 21 * second].into_iter());
        assert_eq!(paused.patience(0.5).as_secs(), 70);
    }

    #[test]
    fn each_true_silence_makes_the_next_look_come_later() {
        let mut cadence = Cadence::default();
        cadence.came(Duration::ZERO);
        let (mut silent, mut looks) = (Duration::ZERO, 0);
        while silent < Duration::from_secs(3600) {
            silent += cadence.patience(0.5);
            cadence.was_quiet(silent);
            looks += 1;
        }
        assert!((12..18).contains(&looks), "{looks} looks in an hour");
    }
}
