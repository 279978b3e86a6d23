//! The only source of wall time, and the forms in which times are written.
//!
//! Invariants: a wall time is an `i64` of nanoseconds since 1970 in UTC. Durations come from
//! [`tokio::time::Instant`], which tests can pause; nothing else in the program reads a clock.

use std::time::{Duration, SystemTime};

/// Nanoseconds in a second.
pub const SECOND: i64 = 1_000_000_000;
/// Nanoseconds in a millisecond.
pub const MILLISECOND: i64 = 1_000_000;

/// Now, by the system's clock. A clock before 1970 reads as 1970.
///
/// A test that pauses and advances tokio's clock moves this one by as much, so that the stamps of
/// what it simulates and the service's own times stay together.
#[allow(clippy::disallowed_methods, reason = "this is the one place that reads the clocks")]
pub fn now() -> i64 {
    let wall = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX));
    let lead = |later: Duration| i64::try_from(later.as_nanos()).unwrap_or(i64::MAX);
    let (real, virtual_now) = (std::time::Instant::now(), tokio::time::Instant::now().into_std());
    match virtual_now.checked_duration_since(real) {
        Some(ahead) => wall.saturating_add(lead(ahead)),
        None => wall.saturating_sub(lead(real.duration_since(virtual_now))),
    }
}

/// Reads the stamp at the start of a log line: RFC 3339 in UTC with 0 to 9 digits of fraction, as
/// the kubelet writes it (`2026-11-22T14:02:38.310164133Z`), with or without an offset other than `Z`.
///
/// Gives the time and the length of the stamp in bytes, or `None` if the bytes do not start with one.
pub fn parse_stamp(bytes: &[u8]) -> Option<(i64, usize)> {
    let digits = |range: std::ops::Range<usize>| -> Option<i64> {
        bytes.get(range)?.iter().try_fold(0i64, |value, byte| {
            byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0'))
        })
    };
    let fixed = bytes.get(..19)?;
    if fixed[4] != b'-' || fixed[7] != b'-' || fixed[10] != b'T' {
        return None;
    }
    if fixed[13] != b':' || fixed[16] != b':' {
        return None;
    }
    let (year, month, day) = (digits(0..4)?, digits(5..7)?, digits(8..10)?);
    let (hour, minute, second) = (digits(11..13)?, digits(14..16)?, digits(17..19)?);
    let valid = (1..=12).contains(&month) && (1..=31).contains(&day);
    if !valid || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut at = 19;
    let mut nanos = 0i64;
    if bytes.get(at) == Some(&b'.') {
        at += 1;
        let mut scale = 100_000_000;
        while let Some(byte) = bytes.get(at).filter(|byte| byte.is_ascii_digit()) {
            nanos += i64::from(byte - b'0') * scale;
            scale /= 10;
            at += 1;
            if at > 29 {
                return None;
            }
        }
    }
    let offset = match bytes.get(at)? {
        b'Z' => {
            at += 1;
            0
        }
        sign @ (b'+' | b'-') => {
            let minutes = digits(at + 1..at + 3)? * 60 + digits(at + 4..at + 6)?;
            at += 6;
            if *sign == b'+' { minutes } else { -minutes }
        }
        _ => return None,
    };
    let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    Some(((seconds - offset * 60).checked_mul(SECOND)?.checked_add(nanos)?, at))
}

/// Days since 1970-01-01 of a date of the Gregorian calendar (Howard Hinnant, "chrono-compatible
/// low-level date algorithms").
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Writes a time with the precision it has: none, milliseconds or nanoseconds.
pub fn rfc3339(time: i64) -> String {
    let at = jiff::Timestamp::from_nanosecond(i128::from(time)).unwrap_or_default();
    if time % SECOND == 0 {
        format!("{at:.0}")
    } else if time % MILLISECOND == 0 {
        format!("{at:.3}")
    } else {
        format!("{at:.9}")
    }
}

/// Writes a time cut to whole seconds, as `sinceTime` takes it. Never rounds up: a rounded-up start
/// would lose the lines in between.
pub fn rfc3339_seconds(time: i64) -> String {
    rfc3339(time.div_euclid(SECOND) * SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_with_any_number_of_digits() {
        for (text, nanos) in [
            ("2026-11-22T14:02:38Z", 0),
            ("2026-11-22T14:02:38.3Z", 300_000_000),
            ("2026-11-22T14:02:38.310164133Z", 310_164_133),
            ("2026-11-22T15:02:38.310164133+01:00", 310_164_133),
        ] {
            let (time, len) = parse_stamp(text.as_bytes()).unwrap();
            assert_eq!(time, 1_795_356_158 * SECOND + nanos, "{text}");
            assert_eq!(len, text.len());
        }
    }

    #[test]
    fn what_is_no_stamp_is_refused() {
        for text in [
            "",
            "2026-11-22",
            "unable to retrieve container logs for containerd://1",
            "2026-13-22T14:02:38Z",
            "2026-11-22T14:02:38",
            "2026-11-22 14:02:38Z",
            "2026-11-22T14:02:38.1234567890123Z",
        ] {
            assert_eq!(parse_stamp(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_time_is_written_as_it_was_read() {
        for text in
            ["2026-11-22T14:02:38Z", "2026-11-22T14:02:38.310Z", "2026-11-22T14:02:38.310164133Z"]
        {
            let (time, _) = parse_stamp(text.as_bytes()).unwrap();
            assert_eq!(rfc3339(time), text);
        }
    }

    #[test]
    fn seconds_are_cut_never_rounded_up() {
        let (time, _) = parse_stamp(b"2026-11-22T14:02:38.999999999Z").unwrap();
        assert_eq!(rfc3339_seconds(time), "2026-11-22T14:02:38Z");
    }
}
