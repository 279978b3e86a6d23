//! Writes times and numbers into a buffer without allocating; this runs once for every line.

use std::ops::Range;

use crate::time::SECOND;

/// Appends `2026-11-22T14:02:38.`: a second since 1970, up to its nine digits as the kubelet has them.
pub(super) fn push_second(out: &mut Vec<u8>, second: i64) {
    let (year, month, day) = civil_from_days(second.div_euclid(86_400));
    push_padded(out, year, 4);
    out.push(b'-');
    push_padded(out, month, 2);
    out.push(b'-');
    push_padded(out, day, 2);
    out.push(b'T');
    push_time_of_day(out, second.rem_euclid(86_400) as u64);
    out.push(b'.');
}

/// Appends nanoseconds of a second, always nine digits; gives where they stand.
pub(super) fn push_sub_second(out: &mut Vec<u8>, nanos: u32) -> Range<usize> {
    let mut digits = [b'0'; 9];
    let mut rest = nanos;
    for pair in digits.rchunks_exact_mut(2) {
        pair.copy_from_slice(&PAIRS[(rest % 100) as usize]);
        rest /= 100;
    }
    digits[0] = b'0' + (rest % 10) as u8;
    let start = out.len();
    out.extend_from_slice(&digits);
    start..out.len()
}

/// `00` to `99`: two digits for one division.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut at = 0;
    while at < 100 {
        pairs[at] = [b'0' + (at / 10) as u8, b'0' + (at % 10) as u8];
        at += 1;
    }
    pairs
};

/// Appends the time of day in UTC: `14:02:38`.
pub(super) fn push_clock(out: &mut Vec<u8>, time: i64) {
    push_time_of_day(out, time.div_euclid(SECOND).rem_euclid(86_400) as u64);
}

fn push_time_of_day(out: &mut Vec<u8>, second: u64) {
    push_padded(out, second / 3600, 2);
    out.push(b':');
    push_padded(out, second / 60 % 60, 2);
    out.push(b':');
    push_padded(out, second % 60, 2);
}

/// Appends a number in decimal.
pub(super) fn push_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
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
            push_second(&mut out, time.div_euclid(SECOND));
            let nanos = push_sub_second(&mut out, time.rem_euclid(SECOND) as u32);
            prop_assert_eq!(nanos.len(), 9);
            out.push(b'Z');
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
