//! How short memory is: the decision, without clocks and without I/O.

/// How short memory is, as a share of what the process may use. Each step adds to the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pressure {
    /// There is enough.
    #[default]
    Calm,
    /// From 70 %: history and shared pieces grow no further.
    Tight,
    /// From 85 %: history gives up a quarter, and new streams are refused.
    Full,
    /// From 95 %: streams are asked to leave.
    Critical,
}

/// Where each step begins, in percent.
const STEPS: [(u64, Pressure); 3] =
    [(95, Pressure::Critical), (85, Pressure::Full), (70, Pressure::Tight)];
/// A step ends so many percent below where it begins, or it would come and go with every reading.
const BACK: u64 = 5;

// === impl Pressure ===

impl Pressure {
    /// The step after this one when `used` of `limit` bytes are in use.
    pub fn step(self, used: u64, limit: u64) -> Pressure {
        let percent = used.saturating_mul(100) / limit.max(1);
        let at = |percent: u64| {
            let step = STEPS.iter().find(|(from, _)| percent >= *from);
            step.map_or(Pressure::Calm, |(_, pressure)| *pressure)
        };
        match at(percent) {
            higher if higher >= self => higher,
            // Goes down as far as it can without having to go up again at once.
            _ => self.min(at(percent + BACK)),
        }
    }

    /// 0 to 3, for the metric.
    pub fn level(self) -> u8 {
        self as u8
    }

    pub(super) fn from_level(level: u8) -> Pressure {
        match level {
            0 => Pressure::Calm,
            1 => Pressure::Tight,
            2 => Pressure::Full,
            _ => Pressure::Critical,
        }
    }

    /// A word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Pressure::Calm => "calm",
            Pressure::Tight => "tight",
            Pressure::Full => "full",
            Pressure::Critical => "critical",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_begins_where_it_is_promised_and_ends_a_little_below() {
        let mut pressure = Pressure::Calm;
        for (percent, expected) in [
            (69, Pressure::Calm),
            (70, Pressure::Tight),
            (66, Pressure::Tight),
            (64, Pressure::Calm),
            (85, Pressure::Full),
            (81, Pressure::Full),
            (79, Pressure::Tight),
            (95, Pressure::Critical),
            (90, Pressure::Critical),
            (89, Pressure::Full),
            (120, Pressure::Critical),
            (10, Pressure::Calm),
        ] {
            pressure = pressure.step(percent * 10, 1000);
            assert_eq!(pressure, expected, "{percent} %");
            assert_eq!(Pressure::from_level(pressure.level()), pressure);
        }
    }

    #[test]
    fn no_limit_of_zero_divides() {
        assert_eq!(Pressure::Calm.step(1, 0), Pressure::Critical);
    }
}
