//! When a right that was proven has ended: the decision, without clocks and without I/O.
//!
//! A refusal alone ends nothing: an API server that has just started refuses everybody for a second,
//! and would end every stream of every viewer. A second refusal some seconds later ends the right,
//! if the API server calls itself ready meanwhile.

use std::time::Duration;

use tokio::time::Instant;

/// From the first refusal to the second review.
pub(super) const DOUBT: Duration = Duration::from_secs(5);
/// Until the next try, when a review failed or was not believed.
const AGAIN: Duration = Duration::from_secs(1);

/// Why a right ended. A closed list; the words are the `bye` reasons of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The token is no longer valid.
    Expired,
    /// The right was taken away.
    Revoked,
}

/// What a review said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Allowed,
    Refused(End),
    /// The review failed.
    Nothing,
}

/// Where a right stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// As far as is known.
    Good,
    /// Refused once.
    Doubted,
    /// Refused twice.
    Ended(End),
}

// === impl End ===

impl End {
    /// The `bye` reason.
    pub fn as_str(self) -> &'static str {
        match self {
            End::Expired => "expired",
            End::Revoked => "revoked",
        }
    }
}

// === impl State ===

impl State {
    /// The state after a review, and when to review again. `ready` is whether the API server calls
    /// itself ready; it is asked only for a repeated refusal.
    pub(super) fn step(
        self,
        heard: Heard,
        ready: bool,
        period: Duration,
        now: Instant,
    ) -> (State, Instant) {
        match (self, heard) {
            (State::Ended(end), _) => (State::Ended(end), now),
            (_, Heard::Allowed) => (State::Good, now + period),
            (State::Good, Heard::Refused(_)) => (State::Doubted, now + DOUBT),
            (State::Doubted, Heard::Refused(end)) if ready => (State::Ended(end), now),
            (state, Heard::Refused(_) | Heard::Nothing) => (state, now + AGAIN),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_secs(20);

    fn walk(heard: &[(Heard, bool)]) -> (State, Duration) {
        let start = Instant::now();
        let mut state = State::Good;
        let mut now = start;
        for (heard, ready) in heard {
            let (next, at) = state.step(*heard, *ready, PERIOD, now);
            (state, now) = (next, at);
        }
        (state, now - start)
    }

    const REFUSED: Heard = Heard::Refused(End::Revoked);

    #[test]
    fn a_refusal_that_is_repeated_ends_the_right_after_five_seconds() {
        assert_eq!(walk(&[(REFUSED, true)]), (State::Doubted, DOUBT));
        assert_eq!(walk(&[(REFUSED, true), (REFUSED, true)]), (State::Ended(End::Revoked), DOUBT));
    }

    #[test]
    fn one_refusal_among_approvals_ends_nothing() {
        let heard = [(REFUSED, true), (Heard::Allowed, true), (REFUSED, true)];
        assert_eq!(walk(&heard).0, State::Doubted);
        let heard = [(REFUSED, true), (Heard::Allowed, true)];
        assert_eq!(walk(&heard), (State::Good, DOUBT + PERIOD));
    }

    #[test]
    fn a_server_that_is_not_ready_is_not_believed() {
        let heard = [(REFUSED, false), (REFUSED, false), (REFUSED, false)];
        assert_eq!(walk(&heard), (State::Doubted, DOUBT + AGAIN * 2));
    }

    #[test]
    fn failed_reviews_change_nothing_and_are_tried_again_soon() {
        assert_eq!(walk(&[(Heard::Nothing, true)]), (State::Good, AGAIN));
        let heard = [(REFUSED, true), (Heard::Nothing, true), (REFUSED, true)];
        assert_eq!(walk(&heard).0, State::Ended(End::Revoked));
    }
}
