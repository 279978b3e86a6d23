//! Writes times and numbers into a buffer without allocating; this runs once for every line.

use crate::time::SECOND;

/// Appends `2026-11-22T14:02:38.310164133Z`: always nine digits, as the kubelet has them.
pub(super) fn push_rfc3339_nanos(out: &mut Vec<u8>, time: i64) {
    let seconds = time.div_euclid(SECOND);
    let (year, month, day) = civil_from_days(seconds.div_euclid(86_400));
    push_padded(out, year, 4);
    out.push(b'-');
    push_padded(out, month, 2);
    out.push(b'-');
    push_padded(out, day, 2);
    out.push(b'T');
    push_clock(out, time);
    out.push(b'.');
    push_padded(out, time.rem_euclid(SECOND) as u64, 9);
    out.push(b'Z');
}

/// Appends the time of day in UTC: `14:02:38`.
pub(super) fn push_clock(out: &mut Vec<u8>, time: i64) {
    let second = time.div_euclid(SECOND).rem_euclid(86_400) as u64;
    push_padded(out, second / 3600, 2);
    out.push(b':');
    push_padded(out, second / 60 % 60, 2);
    out.push(b':');
    push_padded(out, second % 60, 2);
}

/// Appends a number in decimal.
pub(super) fn push_number(out: &mut Vec<u8>, number: u64) {
    let digits = number.checked_ilog10().map_or(1, |log| log as usize + 1);
    push_padded(out, number, digits);
}

fn push_padded(out: &mut Vec<u8>, mut number: u64, digits: usize) {
    let start = out.len();
    out.resize(start + digits, b'0');
    for place in (start..start + digits).rev() {
        out[place] = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Year, month and day of a day since 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date
/// algorithms"). Years before 0 do not occur in logs and read as 0.
fn civil_from_days(days: i64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year.max(0) as u64, month as u64, day as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::time::parse_stamp;

    proptest! {
        #[test]
        fn a_stamp_is_read_back(time in 0i64..7_000_000_000 * SECOND) {
            let mut out = Vec::new();
            push_rfc3339_nanos(&mut out, time);
            prop_assert_eq!(parse_stamp(&out), Some((time, out.len())));
        }

        #[test]
        fn a_number_is_written_in_decimal(number in any::<u64>()) {
            let mut out = Vec::new();
            push_number(&mut out, number);
            prop_assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
        }
    }
}
