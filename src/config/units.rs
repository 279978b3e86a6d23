//! Durations and sizes as people write them: `10s`, `5m`, `64KiB`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A duration with its unit, such as `250ms`, `10s`, `5m` or `24h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// A number of bytes with its unit, such as `256KiB` or `128MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

const SPANS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
const SIZES: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

// === impl Span ===

impl Span {
    /// Whole seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Span(Duration::from_secs(seconds))
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text, &SPANS)
            .map(|millis| Span(Duration::from_millis(millis)))
            .ok_or_else(|| "expected a whole number and a unit: 250ms, 10s, 5m or 24h".to_owned())
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Up to an hour people say 3600s, as the documents do; whole hours beyond it.
        let millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        match millis {
            0 => f.write_str("0s"),
            millis if millis > 3_600_000 => write(f, millis, &SPANS),
            millis if millis.is_multiple_of(1000) => write!(f, "{}s", millis / 1000),
            millis => write!(f, "{millis}ms"),
        }
    }
}

// === impl Size ===

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text, &SIZES).map(Size).ok_or_else(|| {
            "expected a whole number and a unit: 512B, 64KiB, 16MiB or 1GiB".to_owned()
        })
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, self.0, &SIZES)
    }
}

/// A parser of plain numbers within bounds, for options that count something.
pub(super) fn whole<T>(
    least: u64,
    most: u64,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: TryFrom<u64>,
{
    move |text| {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.then(|| text.parse().ok()).flatten();
        number
            .filter(|number| (least..=most).contains(number))
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| format!("expected a whole number from {least} to {most}"))
    }
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let split = text.find(|byte: char| !byte.is_ascii_digit())?;
    let (number, unit) = text.split_at(split);
    let (_, scale) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*scale)
}

/// In the largest unit that divides the value.
fn write(f: &mut fmt::Formatter<'_>, value: u64, units: &[(&str, u64)]) -> fmt::Result {
    let fits = units.iter().find(|(_, scale)| value.is_multiple_of(*scale) && value > 0);
    let (name, scale) = fits.or(units.last()).copied().unwrap_or(("", 1));
    write!(f, "{}{name}", value / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for text in ["250ms", "10s", "90s", "3600s", "24h", "0s"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
        for text in ["512B", "64KiB", "256KiB", "16MiB", "3GiB", "0B"] {
            assert_eq!(text.parse::<Size>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_whole_number_is_read_within_its_bounds_and_without_decoration() {
        let read = whole::<u32>(1, 70_000);
        assert_eq!(read("70000"), Ok(70_000));
        for text in ["", "0", "70001", "+1", "-1", "1.0", " 1", "x", "99999999999999999999"] {
            let error = read(text).unwrap_err();
            assert_eq!(error, "expected a whole number from 1 to 70000", "{text}");
        }
    }

    #[test]
    fn a_number_without_its_unit_is_refused() {
        for text in ["", "10", "s", "-1s", "1.5s", "10 s", "10S", "10d", "99999999999999999h"] {
            text.parse::<Span>().unwrap_err();
        }
        for text in ["", "10", "KiB", "1KB", "1kib", "1.5MiB", "99999999999999999GiB"] {
            text.parse::<Size>().unwrap_err();
        }
    }
}
