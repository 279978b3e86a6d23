//! Open streams are re-checked by one scheduler: each distinct right once, however many streams rest
//! on it.
//!
//! The bound that users are promised is made of the period, the doubt from the first refusal to the
//! second question, and the second answer; the period is what is left of it.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{BoxFuture, select_all};
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::authenticate::Authenticator;
use super::authorize::{Authorizer, Proof, Scope};
use super::bearer::Digest;
use super::review::Reviews;
use super::standing::{DOUBT, End, Heard, State};
use super::{Caller, REVIEW_LIMIT};

/// Re-checks in flight; more than places for reviews, so that those stay busy.
const IN_FLIGHT: usize = 64;
/// What is left over when the bound is taken apart: for scheduling, and for answers that are used by
/// several re-checks.
const SLACK: Duration = Duration::from_secs(1);
/// Without any answer for so long, streams should hold back lines: the right is not known any more.
const STALE: Duration = Duration::from_secs(60);

/// A right that streams rest on: whose, and where (`None` is every namespace).
type Right = (Digest, Option<Arc<str>>);

/// What streams see of a right.
#[derive(Clone, Copy, Debug)]
struct Seen {
    end: Option<End>,
    /// When the last approval was asked for.
    good: Instant,
}

struct Watched {
    caller: Caller,
    state: State,
    next: Instant,
    seen: watch::Sender<Seen>,
}

#[derive(Default)]
struct Agenda {
    rights: HashMap<Right, Watched>,
    /// The same rights by time; those under review are in none.
    due: BTreeSet<(Instant, Right)>,
}

struct Inner {
    reviews: Reviews,
    authenticator: Authenticator,
    authorizer: Authorizer,
    period: Duration,
    agenda: Mutex<Agenda>,
    earlier: Notify,
}

/// The scheduler. Cheap to clone; run it once.
#[derive(Clone)]
pub struct Rechecks {
    inner: Arc<Inner>,
}

/// A stream's view of the rights it rests on. Kept as long as the stream is open.
#[derive(Debug)]
pub struct Standing {
    rights: Vec<watch::Receiver<Seen>>,
}

// === impl Rechecks ===

impl Rechecks {
    pub(super) fn new(
        reviews: Reviews,
        authenticator: Authenticator,
        authorizer: Authorizer,
        bound: Duration,
    ) -> Self {
        // Token and access are two reviews, each time.
        let period = bound.saturating_sub(DOUBT + 2 * REVIEW_LIMIT + SLACK).max(SLACK);
        let agenda = Mutex::new(Agenda::default());
        let earlier = Notify::new();
        let inner = Inner { reviews, authenticator, authorizer, period, agenda, earlier };
        Rechecks { inner: Arc::new(inner) }
    }

    /// Adds what `proof` rests on to the agenda.
    pub(super) fn watch(&self, proof: &Proof) -> Standing {
        let places: Vec<Option<Arc<str>>> = match proof.scope() {
            Scope::Everything => vec![None],
            Scope::Namespaces(namespaces) => namespaces.iter().cloned().map(Some).collect(),
        };
        let Some(bearer) = &proof.caller().bearer else { return Standing::for_ever() };
        let mut agenda = self.inner.agenda.lock();
        let rights = places
            .into_iter()
            .map(|place| {
                let right = (bearer.digest(), place);
                agenda.join(right, proof, self.inner.period)
            })
            .collect();
        drop(agenda);
        self.inner.earlier.notify_one();
        Standing { rights }
    }

    /// Reviews what is due until `stop`. To be run once for the process, and begun again if it
    /// panics: the agenda survives.
    pub async fn run(&self, stop: CancellationToken) {
        // Rights that were under review when an earlier run ended are due again.
        self.inner.agenda.lock().all_due();
        let mut reviews = FuturesUnordered::new();
        loop {
            let next = self.inner.agenda.lock().due.first().map(|(at, _)| *at);
            let room = reviews.len() < IN_FLIGHT;
            let wake = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                Some(()) = reviews.next() => {}
                () = self.inner.earlier.notified() => {}
                () = wake, if room => {
                    let due = self.inner.agenda.lock().take_due(Instant::now());
                    if let Some((right, caller)) = due {
                        reviews.push(self.review(right, caller));
                    }
                }
            }
        }
    }

    async fn review(&self, right: Right, caller: Caller) {
        let asked = Instant::now();
        let doubted = self.inner.agenda.lock().is_doubted(&right);
        let ready = async { doubted && self.inner.reviews.ready().await };
        let (heard, ready) = tokio::join!(self.ask(&right, &caller, asked), ready);
        self.inner.agenda.lock().heard(right, heard, ready, self.inner.period, asked);
    }

    /// Asks for the token and then for the right. Answers that others got in the last second are as
    /// good: one token that rests on many namespaces is reviewed once.
    async fn ask(&self, (_, place): &Right, caller: &Caller, asked: Instant) -> Heard {
        let Some(bearer) = &caller.bearer else { return Heard::Allowed };
        let oldest = asked.checked_sub(SLACK);
        let token = self.inner.authenticator.review(bearer, oldest).await;
        let identity = match token {
            Ok(known) => match known.value {
                Some(identity) => identity,
                None => return Heard::Refused(End::Expired),
            },
            Err(_) => return Heard::Nothing,
        };
        // The groups of today, not those of the time when the stream was opened.
        match self.inner.authorizer.review(&identity, place.as_ref(), oldest).await {
            Ok(answer) if answer.value => Heard::Allowed,
            Ok(_) => Heard::Refused(End::Revoked),
            Err(_) => Heard::Nothing,
        }
    }
}

impl fmt::Debug for Rechecks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rights = self.inner.agenda.lock().rights.len();
        f.debug_struct("Rechecks").field("rights", &rights).finish_non_exhaustive()
    }
}

// === impl Agenda ===

impl Agenda {
    /// Shares a right that is watched, or adds it.
    fn join(&mut self, right: Right, proof: &Proof, period: Duration) -> watch::Receiver<Seen> {
        if let Some(watched) = self.rights.get(&right)
            && !matches!(watched.state, State::Ended(_))
        {
            return watched.seen.subscribe();
        }
        // An ended right that was proven anew is a new one.
        let (seen, receiver) = watch::channel(Seen { end: None, good: proof.at() });
        // Counted from the review, which may be a cached one, not from now.
        let next = proof.at() + period;
        let watched = Watched { caller: proof.caller().clone(), state: State::Good, next, seen };
        self.due.insert((next, right.clone()));
        self.rights.insert(right, watched);
        receiver
    }

    /// Takes the next right that is due, forgetting those that nobody rests on any more.
    fn take_due(&mut self, now: Instant) -> Option<(Right, Caller)> {
        while let Some((at, right)) = self.due.pop_first() {
            if at > now {
                self.due.insert((at, right));
                return None;
            }
            match self.rights.get(&right) {
                Some(watched) if watched.seen.receiver_count() > 0 => {
                    let caller = watched.caller.clone();
                    return Some((right, caller));
                }
                _ => drop(self.rights.remove(&right)),
            }
        }
        None
    }

    fn is_doubted(&self, right: &Right) -> bool {
        self.rights.get(right).is_some_and(|watched| watched.state == State::Doubted)
    }

    fn heard(&mut self, right: Right, heard: Heard, ready: bool, period: Duration, asked: Instant) {
        let Some(watched) = self.rights.get_mut(&right) else { return };
        // Counted from when it was asked: what the answer says held no later.
        let (state, next) = watched.state.step(heard, ready, period, asked);
        (watched.state, watched.next) = (state, next);
        watched.seen.send_if_modified(|seen| {
            if heard == Heard::Allowed {
                seen.good = asked;
            }
            let State::Ended(end) = state else { return false };
            seen.end = Some(end);
            true
        });
        match state {
            State::Ended(_) => drop(self.rights.remove(&right)),
            _ => drop(self.due.insert((watched.next, right))),
        }
    }

    fn all_due(&mut self) {
        let rights = self.rights.iter();
        self.due = rights.map(|(right, watched)| (watched.next, right.clone())).collect();
    }
}

// === impl Standing ===

impl Standing {
    /// Rests on nothing that could end.
    pub(super) fn for_ever() -> Self {
        Standing { rights: Vec::new() }
    }

    /// Ends when one of the rights has ended, and says why. Can be awaited again and again.
    pub async fn ended(&mut self) -> End {
        if self.rights.is_empty() {
            return std::future::pending().await;
        }
        let ends = self.rights.iter_mut().map(|seen| -> BoxFuture<'_, End> {
            Box::pin(async {
                match seen.wait_for(|seen| seen.end.is_some()).await {
                    Ok(seen) => seen.end.unwrap_or(End::Revoked),
                    // The scheduler is gone, and with it whoever could say that the right holds.
                    Err(_) => End::Revoked,
                }
            })
        });
        select_all(ends).await.0
    }

    /// Why it has ended, if it has.
    pub fn end(&self) -> Option<End> {
        self.rights.iter().find_map(|seen| seen.borrow().end)
    }

    /// Whether nobody could say for a minute that the rights still hold (the API server is away): a
    /// stream keeps its heartbeats then, and holds back lines.
    pub fn is_stale(&self) -> bool {
        self.rights.iter().any(|seen| seen.borrow().good.elapsed() > STALE)
    }
}

#[cfg(test)]
mod tests;
