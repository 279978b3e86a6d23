//! The keys of lines that were shown, so that what a server repeats is shown once.

use std::collections::{HashSet, VecDeque};

use xxhash_rust::xxh3::xxh3_128;

/// Lines that are remembered. A server that stands in the place of another repeats the lines of about
/// a second; these are many times as many. What is repeated beyond them is shown twice, never left out.
const REMEMBERED: usize = 100_000;

/// Lines that were shown. Each takes a few bytes, whatever its key.
#[derive(Debug, Default)]
pub(super) struct Seen {
    known: HashSet<u128>,
    order: VecDeque<u128>,
}

// === impl Seen ===

impl Seen {
    /// Whether it is the first line with this key.
    pub(super) fn is_new(&mut self, key: &str) -> bool {
        let hash = xxh3_128(key.as_bytes());
        if !self.known.insert(hash) {
            return false;
        }
        if self.order.len() == REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.order.push_back(hash);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_new_once_and_no_more_are_remembered_than_may_be() {
        let mut seen = Seen::default();
        assert!(seen.is_new("a"));
        assert!(!seen.is_new("a"));
        for number in 0..REMEMBERED {
            assert!(seen.is_new(&number.to_string()));
        }
        assert_eq!((seen.known.len(), seen.order.len()), (REMEMBERED, REMEMBERED));
        assert!(seen.is_new("a"), "forgotten");
    }
}
