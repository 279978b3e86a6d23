//! Answers of reviews, kept for seconds, asked once for all who wait.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use tokio::time::Instant;

/// Entries of one cache: 10,000 identities or tokens within ten seconds are more than any limit on
/// connections lets in.
const LIMIT: usize = 10_000;

/// A review could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Failed(pub(super) Arc<str>);

/// An answer, with the time when it was asked for: what it says held no earlier and may have ended
/// right after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dated<V> {
    pub(super) value: V,
    pub(super) at: Instant,
}

type Flight<V> = Shared<BoxFuture<'static, Result<Dated<V>, Failed>>>;

enum Slot<V> {
    Known { answer: Dated<V>, until: Instant },
    Asked { flight: Flight<V>, at: Instant },
}

/// A cache with single flight: who asks for what is being asked waits for that answer.
pub(super) struct Cache<K, V> {
    slots: Arc<Mutex<HashMap<K, Slot<V>>>>,
    keep: fn(&V) -> Duration,
}

// === impl Cache ===

impl<K, V> Cache<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// `keep` says how long an answer is believed.
    pub(super) fn new(keep: fn(&V) -> Duration) -> Self {
        Cache { slots: Arc::new(Mutex::new(HashMap::new())), keep }
    }

    /// The answer for `key`, asked for no earlier than `oldest`; `ask` is called if there is none.
    /// Errors are not kept.
    pub(super) async fn get<F>(
        &self,
        key: K,
        oldest: Option<Instant>,
        ask: impl FnOnce() -> F,
    ) -> Result<Dated<V>, Failed>
    where
        F: Future<Output = Result<V, Failed>> + Send + 'static,
    {
        let flight = {
            let now = Instant::now();
            let mut slots = self.slots.lock();
            let fresh = |at: Instant| oldest.is_none_or(|oldest| at >= oldest);
            match slots.get(&key) {
                Some(Slot::Known { answer, until }) if *until > now && fresh(answer.at) => {
                    return Ok(answer.clone());
                }
                // A flight whose waiters all left makes no progress; it is joined only while one of
                // them may still be there.
                Some(Slot::Asked { flight, at })
                    if fresh(*at) && now - *at <= super::REVIEW_LIMIT =>
                {
                    flight.clone()
                }
                _ => {
                    let flight = self.flight(key.clone(), now, ask());
                    make_room(&mut slots, now);
                    slots.insert(key, Slot::Asked { flight: flight.clone(), at: now });
                    flight
                }
            }
        };
        flight.await
    }

    /// The answer for `key` that is believed now, if there is one.
    pub(super) fn peek(&self, key: &K) -> Option<V> {
        match self.slots.lock().get(key) {
            Some(Slot::Known { answer, until }) if *until > Instant::now() => {
                Some(answer.value.clone())
            }
            _ => None,
        }
    }

    fn flight<F>(&self, key: K, at: Instant, asked: F) -> Flight<V>
    where
        F: Future<Output = Result<V, Failed>> + Send + 'static,
    {
        let (slots, keep) = (Arc::clone(&self.slots), self.keep);
        let flight = async move {
            let answer = asked.await.map(|value| Dated { value, at });
            let mut slots = slots.lock();
            // A newer flight may have taken the place; its answer is the better one.
            if let Entry::Occupied(mut slot) = slots.entry(key)
                && matches!(slot.get(), Slot::Asked { at: asked_at, .. } if *asked_at == at)
            {
                match &answer {
                    Ok(answer) => {
                        let until = at + keep(&answer.value);
                        slot.insert(Slot::Known { answer: answer.clone(), until });
                    }
                    Err(_) => drop(slot.remove()),
                }
            }
            answer
        };
        flight.boxed().shared()
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.slots.lock().len()
    }
}

/// Drops what is over, and if that is not enough the answer that is over next.
fn make_room<K: Clone + Eq + Hash, V>(slots: &mut HashMap<K, Slot<V>>, now: Instant) {
    if slots.len() < LIMIT {
        return;
    }
    let end = |slot: &Slot<V>| match slot {
        Slot::Known { until, .. } => *until,
        Slot::Asked { at, .. } => *at + super::REVIEW_LIMIT,
    };
    slots.retain(|_, slot| end(slot) > now);
    if slots.len() >= LIMIT {
        let first = slots.iter().min_by_key(|(_, slot)| end(slot)).map(|(key, _)| key.clone());
        first.and_then(|key| slots.remove(&key));
    }
}

impl<K, V> Clone for Cache<K, V> {
    fn clone(&self) -> Self {
        Cache { slots: Arc::clone(&self.slots), keep: self.keep }
    }
}

impl<K, V> fmt::Debug for Cache<K, V> {
    /// The number of entries; what they hold is nobody's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("len", &self.slots.lock().len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn keep(allowed: &bool) -> Duration {
        Duration::from_secs(if *allowed { 10 } else { 5 })
    }

    async fn ask(
        cache: &Cache<u32, bool>,
        count: &Arc<AtomicU32>,
        key: u32,
        answer: Result<bool, Failed>,
        takes: Duration,
    ) -> Result<bool, Failed> {
        let count = Arc::clone(count);
        let ask = || async move {
            count.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(takes).await;
            answer
        };
        cache.get(key, None, ask).await.map(|dated| dated.value)
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_believed_for_its_time_and_no_longer() {
        let (cache, count) = (Cache::new(keep), Arc::new(AtomicU32::new(0)));
        for (answer, seconds) in [(true, 10), (false, 5)] {
            let key = seconds;
            count.store(0, Ordering::Relaxed);
            ask(&cache, &count, key, Ok(answer), Duration::ZERO).await.unwrap();
            tokio::time::advance(Duration::from_secs(u64::from(seconds) - 1)).await;
            ask(&cache, &count, key, Ok(answer), Duration::ZERO).await.unwrap();
            assert_eq!(count.load(Ordering::Relaxed), 1);
            tokio::time::advance(Duration::from_secs(2)).await;
            ask(&cache, &count, key, Ok(answer), Duration::ZERO).await.unwrap();
            assert_eq!(count.load(Ordering::Relaxed), 2);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_who_ask_at_once_cost_one_review() {
        let (cache, count) = (Cache::new(keep), Arc::new(AtomicU32::new(0)));
        let asks = (0..100).map(|_| ask(&cache, &count, 1, Ok(true), Duration::from_millis(50)));
        let answers = futures_util::future::join_all(asks).await;
        assert!(answers.into_iter().all(|answer| answer == Ok(true)));
        assert_eq!(count.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_is_not_kept() {
        let (cache, count) = (Cache::new(keep), Arc::new(AtomicU32::new(0)));
        let failed = Failed("away".into());
        ask(&cache, &count, 1, Err(failed), Duration::ZERO).await.unwrap_err();
        ask(&cache, &count, 1, Ok(true), Duration::ZERO).await.unwrap();
        assert_eq!(count.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_does_not_take_the_answer_from_those_who_wait() {
        let (cache, count) = (Cache::new(keep), Arc::new(AtomicU32::new(0)));
        let first = ask(&cache, &count, 1, Ok(true), Duration::from_secs(1));
        let second = ask(&cache, &count, 1, Ok(true), Duration::from_secs(1));
        let (first, answer) =
            tokio::join!(tokio::time::timeout(Duration::from_millis(10), first), second);
        first.unwrap_err();
        assert_eq!((answer, count.load(Ordering::Relaxed)), (Ok(true), 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_recheck_asks_anew_and_its_answer_serves_the_others() {
        let (cache, count) = (Cache::new(keep), Arc::new(AtomicU32::new(0)));
        ask(&cache, &count, 1, Ok(true), Duration::ZERO).await.unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        let anew = cache.get(1, Some(Instant::now()), || async { Ok(false) }).await.unwrap();
        assert!(!anew.value);
        assert_eq!(ask(&cache, &count, 1, Ok(true), Duration::ZERO).await, Ok(false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_keys_stays_within_the_limit() {
        let (cache, count) = (Cache::new(keep), Arc::new(AtomicU32::new(0)));
        for key in 0..u32::try_from(LIMIT).unwrap() + 50 {
            ask(&cache, &count, key, Ok(false), Duration::ZERO).await.unwrap();
        }
        assert!(cache.len() <= LIMIT, "{}", cache.len());
    }
}
