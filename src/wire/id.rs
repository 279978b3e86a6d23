//! The event id: `<epoch>-<sequence>-<unix ms>`, and `-<unix ms>` once more in a stream that repeats.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use super::stamp::push_number;
use crate::journal::Epoch;
use crate::time::MILLISECOND;

/// Ids are at most this long; `Last-Event-ID` beyond it is refused before it is looked at.
pub const MAX_ID_BYTES: usize = 128;

/// A position in a journal, as clients hold it. Its bytes are all `[A-Za-z0-9._-]`: a colon would
/// force a CORS preflight, a control byte could break a line of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventId {
    /// Whose sequence it is.
    pub epoch: Epoch,
    /// The record's sequence number.
    pub seq: u64,
    /// Wall time of the position in milliseconds since 1970: from when to read again if the journal
    /// itself is gone.
    pub unix_ms: u64,
    /// What comes behind it may repeat what another process has told, from this time on, in milliseconds
    /// since 1970; nothing older is wanted. `None` if nothing is repeated.
    pub again_ms: Option<u64>,
}

/// Where in a buffer the numbers of an id stand that differ from event to event.
#[derive(Default)]
pub(super) struct Digits {
    pub(super) seq: Range<usize>,
    pub(super) unix_ms: Range<usize>,
}

/// An id that was never issued by any rollcast.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "not an event id: expected <epoch>-<sequence>-<unix ms>[-<unix ms>] of at most {MAX_ID_BYTES} bytes"
)]
pub struct BadId;

// === impl EventId ===

impl FromStr for EventId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > MAX_ID_BYTES {
            return Err(BadId);
        }
        let mut parts = text.split('-');
        let epoch = parts.next().and_then(Epoch::parse).ok_or(BadId)?;
        let seq = parts.next().and_then(number).ok_or(BadId)?;
        let unix_ms = parts.next().and_then(number).ok_or(BadId)?;
        let again_ms = match parts.next() {
            Some(part) => Some(number(part).ok_or(BadId)?),
            None => None,
        };
        if parts.next().is_some() {
            return Err(BadId);
        }
        Ok(EventId { epoch, seq, unix_ms, again_ms })
    }
}

impl EventId {
    /// Writes it; gives where its numbers stand.
    pub(super) fn push(&self, out: &mut Vec<u8>) -> Digits {
        let part = |out: &mut Vec<u8>, value| {
            out.push(b'-');
            let start = out.len();
            push_number(out, value);
            start..out.len()
        };
        out.extend_from_slice(self.epoch.as_str().as_bytes());
        let (seq, unix_ms) = (part(out, self.seq), part(out, self.unix_ms));
        if let Some(again_ms) = self.again_ms {
            part(out, again_ms);
        }
        Digits { seq, unix_ms }
    }
}

// === impl Digits ===

impl Digits {
    /// The same counted from `start`, which is before them.
    pub(super) fn within(self, start: usize) -> Self {
        let from = |range: Range<usize>| range.start - start..range.end - start;
        Digits { seq: from(self.seq), unix_ms: from(self.unix_ms) }
    }
}

/// The wall time of an id.
pub(super) fn unix_ms(time: i64) -> u64 {
    (time.max(0) / MILLISECOND) as u64
}

/// Digits only: `u64::from_str` would also take a plus sign.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.epoch, self.seq, self.unix_ms)?;
        self.again_ms.map_or(Ok(()), |again_ms| write!(f, "-{again_ms}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_issued_is_read_back(
            seq in any::<u64>(),
            unix_ms in any::<u64>(),
            again_ms in any::<Option<u64>>(),
        ) {
            let epoch = Epoch::draw(&mut fastrand::Rng::with_seed(seq));
            let id = EventId { epoch, seq, unix_ms, again_ms };
            let text = id.to_string();
            let mut pushed = Vec::new();
            let digits = id.push(&mut pushed);
            let at = |place: Range<usize>| String::from_utf8_lossy(&pushed[place]).into_owned();
            prop_assert_eq!(at(digits.seq), seq.to_string());
            prop_assert_eq!(at(digits.unix_ms), unix_ms.to_string());
            prop_assert_eq!(pushed, text.as_bytes());
            prop_assert!(text.len() <= MAX_ID_BYTES);
            prop_assert_eq!(text.parse::<EventId>(), Ok(id));
        }

        #[test]
        fn no_input_panics(text in ".*") {
            let _ = text.parse::<EventId>();
        }
    }

    #[test]
    fn what_was_never_issued_is_refused() {
        for text in [
            "",
            "7k2m9q",
            "7k2m9q-1",
            "7k2m9q-1-2-3-4",
            "7k2m9q-1-2-",
            "7k2m9q-1-2-x",
            "7k2m9q-+1-2",
            "7k2m9q-1-99999999999999999999",
            "7K2M9Q-1-2",
            "7k2m9q-1-2\n",
            &"1".repeat(65_536),
        ] {
            assert_eq!(text.parse::<EventId>(), Err(BadId), "{}", &text[..text.len().min(40)]);
        }
    }
}
