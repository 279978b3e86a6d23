//! Heads of requests that come too slowly.
//!
//! hyper bounds the time until a head is complete, but counts the idle time before it too, which
//! must be long. Here a head has its own time from its first byte on; a new connection is in the
//! middle of one. HTTP/2 is left alone after its first request: its frames are no heads, and h2
//! bounds what heads may cost.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A head is expected or has begun to come, since then.
    Coming(Instant),
    /// A request is being answered.
    Busy,
    /// Answered, and no byte of another head is there.
    Idle,
    /// HTTP/2.
    Free,
}

/// What happens on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Bytes came.
    Bytes,
    /// A head was complete.
    Asked,
    /// A head was complete, by HTTP/2.
    AskedHttp2,
    /// The answer was over.
    Answered,
}

/// Watches the heads of one connection.
#[derive(Debug)]
pub(super) struct Heads(Mutex<State>);

// === impl State ===

impl State {
    fn step(self, event: Event, now: Instant) -> State {
        match (self, event) {
            (State::Free, _) | (_, Event::AskedHttp2) => State::Free,
            (_, Event::Asked) => State::Busy,
            (State::Busy, Event::Answered) => State::Idle,
            (State::Idle, Event::Bytes) => State::Coming(now),
            (state, Event::Bytes | Event::Answered) => state,
        }
    }
}

// === impl Heads ===

impl Heads {
    /// Of a connection that was just opened.
    pub(super) fn new() -> Self {
        Heads(Mutex::new(State::Coming(Instant::now())))
    }

    pub(super) fn note(&self, event: Event) {
        let mut state = self.0.lock();
        // Bytes are the common event, and change nothing on a busy connection.
        if event == Event::Bytes && *state != State::Idle {
            return;
        }
        *state = state.step(event, Instant::now());
    }

    /// The last request was answered, and no other has begun.
    pub(super) fn is_idle(&self) -> bool {
        *self.0.lock() == State::Idle
    }

    /// It speaks HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        *self.0.lock() == State::Free
    }

    /// Ends when a head took longer than `bound`.
    pub(super) async fn late(&self, bound: Duration) {
        loop {
            let state = *self.0.lock();
            let until = match state {
                State::Coming(since) if since + bound <= Instant::now() => return,
                State::Coming(since) => since + bound,
                State::Busy | State::Idle | State::Free => Instant::now() + bound,
            };
            tokio::time::sleep_until(until).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_head_that_comes_has_a_time() {
        let now = Instant::now();
        let walk = |state: State, events: &[Event]| {
            events.iter().fold(state, |state, event| state.step(*event, now))
        };
        use Event::{Answered, Asked, AskedHttp2, Bytes};
        let opened = State::Coming(now);
        for (events, expected) in [
            (&[Bytes, Bytes][..], State::Coming(now)),
            (&[Asked, Bytes], State::Busy),
            (&[Asked, Answered], State::Idle),
            (&[Asked, Answered, Bytes], State::Coming(now)),
            (&[Asked, Answered, Bytes, Asked], State::Busy),
            // The answer to a request that came before the last was over.
            (&[Asked, Asked, Answered], State::Idle),
            (&[AskedHttp2, Answered, Bytes], State::Free),
        ] {
            assert_eq!(walk(opened, events), expected, "{events:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_is_late_after_its_bound_and_idle_time_does_not_count() {
        let bound = Duration::from_secs(10);
        let heads = Heads::new();
        heads.note(Event::Asked);
        heads.note(Event::Answered);
        let idle = tokio::time::timeout(Duration::from_secs(60), heads.late(bound)).await;
        idle.unwrap_err();
        heads.note(Event::Bytes);
        let begun = Instant::now();
        heads.late(bound).await;
        assert_eq!(begun.elapsed(), bound);
    }
}
