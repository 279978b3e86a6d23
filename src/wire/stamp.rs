//! Writes times and numbers without allocating; this runs once for every line.

use crate::time;

/// Bytes of a stamp up to its nanoseconds.
pub(super) const SECOND: usize = 20;
/// Digits of nanoseconds, as the kubelet has them.
pub(super) const NANOS: usize = 9;

/// `2026-11-22T14:02:38.`: a second since 1970, up to its nanoseconds.
pub(super) fn second(second: i64) -> [u8; SECOND] {
    let (year, month, day) = civil_from_days(second.div_euclid(86_400));
    let of_day = second.rem_euclid(86_400) as u64;
    let mut stamp = *b"0000-00-00T00:00:00.";
    let pairs = [
        (0, year / 100),
        (2, year),
        (5, month),
        (8, day),
        (11, of_day / 3600),
        (14, of_day / 60 % 60),
        (17, of_day % 60),
    ];
    for (at, number) in pairs {
        stamp[at..at + 2].copy_from_slice(&PAIRS[(number % 100) as usize]);
    }
    stamp
}

/// Nanoseconds of a second.
pub(super) fn sub_second(nanos: u32) -> [u8; NANOS] {
    let mut digits = [b'0'; NANOS];
    let mut rest = nanos;
    for pair in digits.rchunks_exact_mut(2) {
        pair.copy_from_slice(&PAIRS[(rest % 100) as usize]);
        rest /= 100;
    }
    digits[0] = b'0' + (rest % 10) as u8;
    digits
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
    out.extend_from_slice(&second(time.div_euclid(time::SECOND))[11..19]);
}

/// Appends a number in decimal.
pub(super) fn push_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
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
    use crate::time::{SECOND, parse_stamp};

    proptest! {
        #[test]
        fn a_stamp_is_read_back(time in 0i64..7_000_000_000 * SECOND) {
            let mut out = second(time.div_euclid(SECOND)).to_vec();
            out.extend_from_slice(&sub_second(time.rem_euclid(SECOND) as u32));
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
