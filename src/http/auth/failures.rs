//! Tokens that were refused, counted by where they came from.
//!
//! A source that tries many tokens is not answered any more until its minute is over; the same
//! refused token again counts once, so that a forgotten job with an old token locks out nobody. What
//! is counted cannot be pushed out: a table that is full counts everybody new as one source (the
//! class of CVE-2024-21662, where a flood emptied the cache that did the counting).

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::bearer::Digest;

/// How long failures count.
const WINDOW: Duration = Duration::from_secs(60);
/// Sources that are counted one by one; a real cluster has fewer Pods with wrong tokens.
const SOURCES: usize = 4096;

/// The failures of all sources. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Failures {
    most: usize,
    table: Arc<Mutex<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    sources: HashMap<IpAddr, Window>,
    /// Of those for whom the table has no room.
    others: Option<Window>,
}

#[derive(Debug)]
struct Window {
    until: Instant,
    /// Refused tokens, at most as many as are allowed.
    tokens: HashSet<Digest>,
}

// === impl Failures ===

impl Failures {
    /// At most `most` different refused tokens a minute of one source.
    pub(super) fn new(most: usize) -> Self {
        Failures { most, table: Arc::default() }
    }

    /// How long `source` is not answered: it reached the limit.
    pub(super) fn locked(&self, source: IpAddr) -> Option<Duration> {
        let now = Instant::now();
        let mut table = self.table.lock();
        let window = table.window(source, now)?;
        let locked = window.until > now && window.tokens.len() >= self.most;
        locked.then(|| window.until - now)
    }

    /// A token of `source` was refused.
    pub(super) fn refused(&self, source: IpAddr, token: Digest) {
        let now = Instant::now();
        let mut table = self.table.lock();
        let window = match table.window(source, now) {
            Some(window) => window,
            None => table.open(source, now),
        };
        if window.until <= now {
            *window = Window::new(now);
        }
        if window.tokens.len() < self.most {
            window.tokens.insert(token);
        }
    }
}

// === impl Table ===

impl Table {
    /// The window that counts for a source, if one is open.
    fn window(&mut self, source: IpAddr, now: Instant) -> Option<&mut Window> {
        if self.sources.contains_key(&source) {
            return self.sources.get_mut(&source);
        }
        if self.sources.len() < SOURCES {
            return None;
        }
        self.others.as_mut().filter(|window| window.until > now)
    }

    /// Opens a window for a source that has none.
    fn open(&mut self, source: IpAddr, now: Instant) -> &mut Window {
        if self.sources.len() >= SOURCES {
            self.sources.retain(|_, window| window.until > now);
        }
        if self.sources.len() < SOURCES {
            return self.sources.entry(source).or_insert_with(|| Window::new(now));
        }
        self.others.insert(Window::new(now))
    }
}

// === impl Window ===

impl Window {
    fn new(now: Instant) -> Self {
        Window { until: now + WINDOW, tokens: HashSet::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(number: u32) -> IpAddr {
        IpAddr::V4(number.into())
    }

    fn token(number: u32) -> Digest {
        let mut digest = Digest::default();
        digest[..4].copy_from_slice(&number.to_be_bytes());
        digest
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_tries_many_tokens_waits_for_the_end_of_its_minute() {
        let failures = Failures::new(3);
        for number in 0..3 {
            assert_eq!(failures.locked(ip(1)), None, "{number}");
            failures.refused(ip(1), token(number));
            tokio::time::advance(Duration::from_secs(5)).await;
        }
        assert_eq!(failures.locked(ip(1)), Some(Duration::from_secs(45)));
        assert_eq!(failures.locked(ip(2)), None, "others are not affected");
        tokio::time::advance(Duration::from_secs(45)).await;
        assert_eq!(failures.locked(ip(1)), None);
        failures.refused(ip(1), token(9));
        assert_eq!(failures.locked(ip(1)), None, "a new minute");
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_token_again_and_again_counts_once() {
        let failures = Failures::new(2);
        for _ in 0..50 {
            failures.refused(ip(1), token(7));
        }
        assert_eq!(failures.locked(ip(1)), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_sources_frees_nobody_and_costs_bounded_memory() {
        let failures = Failures::new(2);
        failures.refused(ip(1), token(1));
        failures.refused(ip(1), token(2));
        for number in 0..20_000 {
            failures.refused(ip(100 + number), token(number));
        }
        assert!(failures.locked(ip(1)).is_some(), "not pushed out");
        assert!(failures.table.lock().sources.len() <= SOURCES);
        assert!(failures.locked(ip(1_000_000)).is_some(), "there is no room: counted as one");
        tokio::time::advance(WINDOW).await;
        failures.refused(ip(1_000_000), token(1));
        assert_eq!(failures.locked(ip(1_000_000)), None, "room again");
        assert_eq!(failures.table.lock().sources.len(), 1);
    }
}
