//! The way to the end of one rollout: what to do next, decided from what happened.
//!
//! What holds here:
//! - Only a verdict ends it well. A `result` event, the end of a stream or a text never do: they make us
//!   ask for the verdict, about the revision that the result named.
//! - A verdict is asked for before there is a result only where the answer cannot be another
//!   rollout's: by the caller's own pin, while no stream has ever been given to us, or by what is held.
//! - What an answer says that it still runs is held from then on: the next must be about the same.
//! - Who gave no pin and comes back after a cut holds what was followed: it may come to another process,
//!   also one with the same history, which would take the newest. Who gave a pin learns nothing from the
//!   states of a stream, which may be told of another rollout before the one that is meant is seen.
//! - The server is given up only when it was away for as long as the caller is patient, counted from the
//!   first cut or failure since it was heard of: before that it may only have had nothing to say. It is
//!   refused by only when it refused twice. Where it refuses the stream, the verdict may be allowed.
//!
//! Pure: events in, moves out; the clock is handed in, and so is the source of jitter.

use std::time::Duration;

use tokio::time::Instant;

use super::event::{Ended, Event};
use super::exit::End;

/// The first pause after a cut; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause, unless the server asks for a longer one.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// The longest that a server may make us wait.
const LONGEST_ASKED: Duration = Duration::from_secs(60);
/// A refusal is believed when it is repeated after this long: an API server that has just started
/// refuses everybody for a moment, and so does who was just given a right.
const BELIEVED_AFTER: Duration = Duration::from_secs(2);
/// How long a verdict is waited for in one request: less than proxies let a request be silent.
pub(super) const VERDICT_WAIT: Duration = Duration::from_secs(25);
/// The silence of a stream that is a cut, until its server says how often it gives a sign of life.
const SILENCE: Duration = Duration::from_secs(45);
/// Heartbeats that may be missing.
const MISSED_BEATS: u32 = 3;
/// No server gives a sign of life less often, whatever it claims: as seldom as `--heartbeat` can be.
const LONGEST_BEAT: Duration = Duration::from_secs(60);
/// No shorter silence is a cut: a proxy may hold bytes back for a moment.
const LEAST_SILENCE: Duration = Duration::from_secs(10);

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Move {
    /// Ask for the stream, behind the last id.
    Open,
    /// Read on.
    Read,
    /// Ask for the verdict, and wait for so long in the request.
    Ask(Duration),
    /// Do nothing for so long.
    Rest(Duration),
    /// It is over.
    End(End),
}

/// What tells the rollout that is followed from others, beside what the caller said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hold {
    /// Its revision.
    pub(super) revision: Option<String>,
    /// The generation of its workload.
    pub(super) generation: Option<u64>,
    /// The uid of its object.
    pub(super) uid: Option<String>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum News<'a> {
    /// Nothing yet.
    Begun,
    /// The stream is open.
    Opened,
    /// There is nothing to stream any more: the result was told already.
    Over,
    /// The stream gave a sign of life.
    Beat,
    /// An event came.
    Event(&'a Event),
    /// The stream broke, ended or is silent.
    Cut,
    /// There was no answer that one can go by: a connection failed, or a server is not well.
    Failed(Trouble),
    /// The server refuses.
    Refused(Refusal),
    /// The verdict is there.
    Verdict(Box<Ended>),
    /// It still runs: this one, as far as the server knows.
    Running(Hold),
    /// The pause is over.
    Rested,
}

/// Why there was no answer to go by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) words: String,
    /// When the server wants to be asked again.
    pub(super) after: Option<Duration>,
}

/// What the server refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) words: String,
    /// It is the request that makes no sense: it will not make more later.
    pub(super) for_good: bool,
    /// It is the service's own, and not that of something between us.
    pub(super) own: bool,
}

/// How the caller said which rollout is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pinned {
    /// Not at all: the newest one when it was asked.
    No,
    /// By a time, which later ones have, too.
    After,
    /// By a name that no other has.
    Exactly,
}

/// How far following one rollout has come.
#[derive(Debug)]
pub(super) struct Pursuit {
    pinned: Pinned,
    patience: Duration,
    random: fastrand::Rng,
    stage: Stage,
    /// Cuts and failures in a row.
    tries: u32,
    /// When contact broke: at the first cut or failure since the server was heard of.
    away_since: Option<Instant>,
    /// It was heard of at all.
    met: bool,
    refused: bool,
    /// What was tried last, in words.
    last_trouble: String,
    /// The pause that the server asked for once.
    pause: Option<Duration>,
    /// The pause that it asks of everybody who was cut.
    retry: Duration,
    heartbeat: Option<Duration>,
    /// The journal that the stream is of.
    epoch: Option<String>,
    /// What was seen to be rolled out.
    running: Hold,
    /// We come back to another process, or were told what runs, and name it ourselves.
    repinned: bool,
    /// The stream is refused: only verdicts are asked for.
    streamless: bool,
    /// What a `result` event named.
    told: Option<Hold>,
}

/// What is done at present, or will be after a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Opening,
    Reading,
    Asking,
}

// === impl Hold ===

impl Hold {
    /// Takes in what is not known yet: the first counts.
    fn add(&mut self, other: &Hold) {
        self.revision = self.revision.take().or_else(|| other.revision.clone());
        self.generation = self.generation.or(other.generation);
        self.uid = self.uid.take().or_else(|| other.uid.clone());
    }
}

// === impl Pursuit ===

impl Pursuit {
    pub(super) fn new(pinned: Pinned, patience: Duration, seed: u64) -> Self {
        Pursuit {
            pinned,
            patience,
            random: fastrand::Rng::with_seed(seed),
            stage: Stage::Opening,
            tries: 0,
            away_since: None,
            met: false,
            refused: false,
            last_trouble: String::new(),
            pause: None,
            retry: Duration::ZERO,
            heartbeat: None,
            epoch: None,
            running: Hold::default(),
            repinned: false,
            streamless: false,
            told: None,
        }
    }

    /// What to pin to beside what the caller said: the result that was told, or the rollout that another
    /// process would not know to be ours.
    pub(super) fn hold(&self) -> Hold {
        match &self.told {
            Some(told) => told.clone(),
            None if self.repinned => self.running.clone(),
            None => Hold::default(),
        }
    }

    /// The silence of an open stream that is a cut. Patience has no say in it once the server has told how
    /// often it gives a sign of life: who is silent between two of them is not away.
    pub(super) fn silence(&self) -> Duration {
        match self.heartbeat {
            Some(beat) => (beat.min(LONGEST_BEAT) * MISSED_BEATS).max(LEAST_SILENCE),
            None => SILENCE.min(self.patience.max(LEAST_SILENCE)),
        }
    }

    /// The server asks those who are cut to stay away for so long.
    pub(super) fn set_retry(&mut self, retry: Duration) {
        self.retry = retry.min(LONGEST_ASKED);
    }

    /// What to do after this.
    pub(super) fn step(&mut self, news: News<'_>, now: Instant) -> Move {
        match news {
            News::Begun => Move::Open,
            News::Opened => {
                self.stage = Stage::Reading;
                Move::Read
            }
            News::Beat => {
                self.hear();
                Move::Read
            }
            News::Event(event) => {
                self.hear();
                self.take(event)
            }
            News::Over => {
                self.hear();
                // Nobody told us what the result is about, but that it is the one that was waited for.
                self.told.get_or_insert_with(|| self.running.clone());
                self.ask(VERDICT_WAIT)
            }
            News::Cut if self.told.is_some() => self.ask(VERDICT_WAIT),
            News::Cut => self.cut(now),
            News::Failed(trouble) => {
                self.last_trouble = trouble.words;
                self.refused = false;
                let asked = trouble.after.map(|after| after.min(LONGEST_ASKED));
                self.pause = asked.or(self.pause);
                self.cut(now)
            }
            // Who was let through once is refused by what stands between us only for a while.
            News::Refused(Refusal { words, own: false, .. }) if self.met => {
                self.step(News::Failed(Trouble { words, after: None }), now)
            }
            News::Refused(refusal) => {
                if refusal.for_good {
                    return Move::End(End::Refused(refusal.words));
                }
                if !std::mem::replace(&mut self.refused, true) {
                    return Move::Rest(BELIEVED_AFTER);
                }
                if self.stage == Stage::Asking {
                    return Move::End(End::Refused(refusal.words));
                }
                // What was followed is not known: the newest may be another one.
                let unknown = self.epoch.is_some() && self.running == Hold::default();
                if self.pinned == Pinned::No && unknown {
                    return Move::End(End::Refused(refusal.words));
                }
                self.comes_back();
                (self.streamless, self.refused) = (true, false);
                self.ask(Duration::ZERO)
            }
            News::Verdict(ended) => Move::End(End::Verdict(ended)),
            News::Running(hold) => {
                self.hear();
                if self.told.is_none() && hold != Hold::default() {
                    match self.pinned {
                        Pinned::No => self.running.add(&hold),
                        // It was asked for with the pin, which nothing held can make better.
                        Pinned::After | Pinned::Exactly => self.running = hold,
                    }
                    self.repinned = true;
                }
                self.stage = if self.asks_alone() { Stage::Asking } else { Stage::Opening };
                self.rest(now)
            }
            News::Rested => match self.stage {
                Stage::Asking if self.asks_alone() => Move::Ask(VERDICT_WAIT),
                Stage::Asking => Move::Ask(Duration::ZERO),
                Stage::Opening | Stage::Reading => Move::Open,
            },
        }
    }

    /// From now on what is followed is named: who is asked next may not know which one that was.
    fn comes_back(&mut self) {
        self.repinned |= self.pinned == Pinned::No && self.running != Hold::default();
    }

    /// There is nothing to come but the verdict.
    fn asks_alone(&self) -> bool {
        self.told.is_some() || self.streamless
    }

    fn hear(&mut self) {
        (self.away_since, self.met) = (None, true);
        self.refused = false;
    }

    fn ask(&mut self, wait: Duration) -> Move {
        self.stage = Stage::Asking;
        Move::Ask(wait)
    }

    fn take(&mut self, event: &Event) -> Move {
        // A server that cuts each stream at its beginning is not come back to at once for ever.
        if !matches!(event, Event::Hello(_) | Event::Bye(_)) {
            self.tries = 0;
        }
        match event {
            Event::Hello(hello) => {
                self.heartbeat = hello.heartbeat_ms.map(Duration::from_millis);
                let known = self.epoch.replace(hello.epoch.clone());
                let other = known.is_some_and(|known| known != hello.epoch);
                let held = self.repinned;
                self.comes_back();
                if other && !held && self.repinned {
                    self.stage = Stage::Opening;
                    return Move::Open;
                }
            }
            Event::Rollout(rollout)
                if self.pinned == Pinned::No && self.running.revision.is_none() =>
            {
                let runs = matches!(rollout.phase.as_str(), "progressing" | "stalled" | "paused");
                let known = self.running.generation;
                let same = known.is_none() || known == rollout.generation;
                if runs && same {
                    let (revision, generation) = (rollout.revision.clone(), rollout.generation);
                    self.running.add(&Hold { revision, generation, uid: None });
                }
            }
            // These are no success whatever comes, and what is asked about next may be another object.
            Event::Result(ended) if matches!(ended.outcome.as_str(), "deleted" | "superseded") => {
                return Move::End(End::Verdict(ended.clone()));
            }
            Event::Result(ended) => {
                // By its revision a rollout is known best; a run has none.
                let revision = ended.revision.clone();
                let generation = self.running.generation.filter(|_| revision.is_none());
                self.told = Some(Hold { revision, generation, uid: self.running.uid.clone() });
                return self.ask(VERDICT_WAIT);
            }
            Event::Bye(bye) => self.pause = bye.retry_ms.map(Duration::from_millis),
            _ => {}
        }
        Move::Read
    }

    /// Contact is broken: tries again after a pause, or gives up.
    fn cut(&mut self, now: Instant) -> Move {
        let since = *self.away_since.get_or_insert(now);
        if now.duration_since(since) >= self.patience {
            return Move::End(End::Lost(self.last_trouble.clone()));
        }
        self.comes_back();
        // Where it is safe, the verdict is asked for in turns with the stream: a proxy may let one
        // through and not the other.
        let known = self.pinned == Pinned::Exactly || self.repinned;
        let safe = known || self.told.is_some() || self.epoch.is_none();
        self.stage = match self.stage {
            _ if self.asks_alone() => Stage::Asking,
            Stage::Opening | Stage::Reading if safe && self.tries > 0 => Stage::Asking,
            Stage::Opening | Stage::Reading | Stage::Asking => Stage::Opening,
        };
        self.rest(now)
    }

    /// A pause that grows with each try, by jitter never the same for two. It ends in time to try once
    /// more before the server is given up.
    fn rest(&mut self, now: Instant) -> Move {
        let grown = FIRST_PAUSE.saturating_mul(1 << self.tries.min(10)).min(LONGEST_PAUSE);
        self.tries = self.tries.saturating_add(1);
        let pause = match self.pause.take() {
            Some(asked) => asked.min(LONGEST_ASKED).mul_f64(1.0 + 0.25 * self.random.f64()),
            None => grown.max(self.retry).mul_f64(0.5 + 0.5 * self.random.f64()),
        };
        let away = self.away_since.map_or(Duration::ZERO, |since| now.duration_since(since));
        let left = self.patience.saturating_sub(away);
        Move::Rest(pause.min(left))
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::{Bye, Hello, Rollout};
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(120);

    fn begun(pinned: Pinned) -> (Pursuit, Instant) {
        let now = Instant::now();
        let mut pursuit = Pursuit::new(pinned, PATIENCE, 1);
        assert_eq!(pursuit.step(News::Begun, now), Move::Open);
        (pursuit, now)
    }

    fn hello(epoch: &str) -> Event {
        Event::Hello(Hello { epoch: epoch.to_owned(), heartbeat_ms: Some(10_000) })
    }

    fn rollout(phase: &str, revision: &str) -> Event {
        let (phase, revision) = (phase.to_owned(), Some(revision.to_owned()));
        Event::Rollout(Box::new(Rollout { phase, revision, ..Rollout::default() }))
    }

    fn ended(outcome: &str, revision: &str) -> Box<Ended> {
        let (outcome, revision) = (outcome.to_owned(), Some(revision.to_owned()));
        Box::new(Ended { outcome, revision, ..Ended::default() })
    }

    fn failed() -> News<'static> {
        News::Failed(Trouble { words: "refused".to_owned(), after: None })
    }

    fn refused(for_good: bool) -> News<'static> {
        News::Refused(Refusal { words: "no deployment".to_owned(), for_good, own: true })
    }

    #[track_caller]
    fn rests(step: Move) -> Duration {
        match step {
            Move::Rest(pause) => pause,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_result_is_no_end_but_its_verdict_is() {
        let (mut pursuit, now) = begun(Pinned::No);
        assert_eq!(pursuit.step(News::Opened, now), Move::Read);
        assert_eq!(pursuit.step(News::Event(&hello("a")), now), Move::Read);
        let result = Event::Result(ended("succeeded", "42"));
        assert_eq!(pursuit.step(News::Event(&result), now), Move::Ask(VERDICT_WAIT));
        assert_eq!(pursuit.hold().revision.as_deref(), Some("42"));
        // Nobody answers, it still runs, nobody answers: it is asked for again, and nothing else.
        for news in [failed(), News::Running(Hold::default()), failed()] {
            rests(pursuit.step(news, now));
            assert_eq!(pursuit.step(News::Rested, now), Move::Ask(VERDICT_WAIT));
        }
        let verdict = ended("failed", "42");
        let end = Move::End(End::Verdict(verdict.clone()));
        assert_eq!(pursuit.step(News::Verdict(verdict), now), end);
    }

    #[test]
    fn who_did_not_pin_asks_for_no_verdict_before_it_is_known_what_is_followed() {
        let (mut pursuit, now) = begun(Pinned::No);
        assert_eq!(pursuit.step(News::Event(&hello("a")), now), Move::Read);
        rests(pursuit.step(News::Cut, now));
        for _ in 0..20 {
            assert_eq!(pursuit.step(News::Rested, now), Move::Open);
            rests(pursuit.step(failed(), now));
        }
        assert_eq!(pursuit.hold(), Hold::default());
        // Nor when the stream is refused: the newest may be another one by now.
        pursuit.step(refused(false), now);
        let end = Move::End(End::Refused("no deployment".to_owned()));
        assert_eq!(pursuit.step(refused(false), now), end);
    }

    /// Whoever comes back may come to another process, also to one with the same history.
    #[test]
    fn what_was_followed_is_held_after_a_cut() {
        for epoch in ["a", "b"] {
            let (mut pursuit, now) = begun(Pinned::No);
            for event in [hello("a"), rollout("progressing", "42")] {
                assert_eq!(pursuit.step(News::Event(&event), now), Move::Read);
            }
            assert_eq!(pursuit.hold(), Hold::default(), "it was asked for without a pin");
            rests(pursuit.step(News::Cut, now));
            assert_eq!(pursuit.hold().revision.as_deref(), Some("42"));
            pursuit.step(News::Rested, now);
            assert_eq!(pursuit.step(News::Event(&hello(epoch)), now), Move::Read);
            // A newer rollout is none of ours.
            assert_eq!(pursuit.step(News::Event(&rollout("progressing", "43")), now), Move::Read);
            assert_eq!(pursuit.hold().revision.as_deref(), Some("42"));
            // Refused, the verdict is asked for about the same.
            pursuit.step(refused(false), now);
            assert_eq!(pursuit.step(refused(false), now), Move::Ask(Duration::ZERO));
            assert_eq!(pursuit.hold().revision.as_deref(), Some("42"));
        }
    }

    /// Before the one that is meant is seen, a stream tells the state of the one before.
    #[test]
    fn who_pinned_learns_from_verdicts_alone_what_is_meant() {
        for pinned in [Pinned::Exactly, Pinned::After] {
            let (mut pursuit, now) = begun(pinned);
            for event in [hello("a"), rollout("stalled", "42"), rollout("progressing", "43")] {
                assert_eq!(pursuit.step(News::Event(&event), now), Move::Read);
            }
            rests(pursuit.step(News::Cut, now));
            assert_eq!(pursuit.step(News::Event(&hello("b")), now), Move::Read);
            assert_eq!(pursuit.hold(), Hold::default());
            for revision in ["42", "43"] {
                let hold = Hold { revision: Some(revision.to_owned()), ..Hold::default() };
                rests(pursuit.step(News::Running(hold.clone()), now));
                assert_eq!(pursuit.hold(), hold, "the newest answer was asked for with the pin");
            }
        }
    }

    /// What is asked about then may be another object of the same name.
    #[test]
    fn what_was_deleted_or_superseded_is_not_asked_about_again() {
        for outcome in ["deleted", "superseded"] {
            let (mut pursuit, now) = begun(Pinned::No);
            let result = Event::Result(ended(outcome, "42"));
            let end = Move::End(End::Verdict(ended(outcome, "42")));
            assert_eq!(pursuit.step(News::Event(&result), now), end);
        }
    }

    #[test]
    fn a_rollout_that_was_over_is_not_taken_for_the_one_that_is_waited_for() {
        let (mut pursuit, now) = begun(Pinned::No);
        for event in [hello("a"), rollout("complete", "41"), hello("b")] {
            assert_eq!(pursuit.step(News::Event(&event), now), Move::Read);
        }
        assert_eq!(pursuit.hold(), Hold::default());
    }

    #[test]
    fn where_it_is_safe_the_verdict_is_asked_for_in_turns_with_the_stream() {
        // Nobody was ever heard, or the caller's pin says it all.
        for pinned in [Pinned::No, Pinned::Exactly] {
            let (mut pursuit, now) = begun(pinned);
            if pinned == Pinned::Exactly {
                pursuit.step(News::Event(&hello("a")), now);
            }
            let mut moves = Vec::new();
            for _ in 0..5 {
                rests(pursuit.step(failed(), now));
                moves.push(pursuit.step(News::Rested, now));
            }
            let ask = Move::Ask(Duration::ZERO);
            assert_eq!(moves, [Move::Open, ask.clone(), Move::Open, ask, Move::Open]);
        }
    }

    #[test]
    fn patience_ends_when_nobody_was_heard_for_so_long() {
        let (mut pursuit, mut now) = begun(Pinned::No);
        let began = now;
        loop {
            now += Duration::from_millis(100);
            match pursuit.step(failed(), now) {
                Move::Rest(pause) => now += pause,
                Move::End(End::Lost(words)) => {
                    assert_eq!(words, "refused");
                    break;
                }
                other => panic!("{other:?}"),
            }
            pursuit.step(News::Rested, now);
        }
        let took = now - began;
        assert!(took >= PATIENCE && took < PATIENCE + Duration::from_secs(1), "{took:?}");
    }

    /// A proxy may cut a stream that is silent for less than the server is between two beats.
    #[test]
    fn silence_before_a_cut_costs_no_patience() {
        let now = Instant::now();
        let patience = Duration::from_secs(5);
        let mut pursuit = Pursuit::new(Pinned::No, patience, 1);
        assert_eq!(pursuit.step(News::Begun, now), Move::Open);
        assert!(pursuit.silence() <= LEAST_SILENCE, "nobody has said what is usual");
        pursuit.step(News::Event(&hello("a")), now);
        let mut now = now;
        for _ in 0..3 {
            assert_eq!(pursuit.step(News::Beat, now), Move::Read);
            assert_eq!(pursuit.silence(), Duration::from_secs(30));
            now += Duration::from_secs(9);
            now += rests(pursuit.step(News::Cut, now));
            assert_eq!(pursuit.step(News::Rested, now), Move::Open);
            assert_eq!(pursuit.step(News::Opened, now), Move::Read);
        }
        // From the cut on it counts, whether a stream opens meanwhile or not.
        rests(pursuit.step(News::Cut, now));
        let later = now + patience;
        assert!(matches!(pursuit.step(News::Cut, later), Move::End(End::Lost(_))));
    }

    #[test]
    fn pauses_grow_and_begin_anew_with_what_comes() {
        let (mut pursuit, now) = begun(Pinned::No);
        let first = rests(pursuit.step(News::Cut, now));
        assert!(first <= FIRST_PAUSE);
        for _ in 0..10 {
            pursuit.step(News::Rested, now);
            rests(pursuit.step(failed(), now));
        }
        assert!(rests(pursuit.step(News::Cut, now)) > Duration::from_secs(5));
        pursuit.step(News::Event(&rollout("progressing", "1")), now);
        assert!(rests(pursuit.step(News::Cut, now)) <= FIRST_PAUSE);
        // What the server asks for is kept, within bounds.
        let bye = Event::Bye(Bye { reason: "drain".to_owned(), retry_ms: Some(5_000) });
        pursuit.step(News::Event(&bye), now);
        assert!(rests(pursuit.step(News::Cut, now)) >= Duration::from_secs(5));
        let long = Trouble { words: String::new(), after: Some(Duration::from_secs(86_400)) };
        assert!(rests(pursuit.step(News::Failed(long), now)) <= PATIENCE);
    }

    #[test]
    fn a_refusal_is_believed_when_it_is_repeated() {
        let (mut pursuit, now) = begun(Pinned::No);
        assert_eq!(rests(pursuit.step(refused(false), now)), BELIEVED_AFTER);
        assert_eq!(pursuit.step(News::Rested, now), Move::Open);
        // The verdict may be allowed.
        assert_eq!(pursuit.step(refused(false), now), Move::Ask(Duration::ZERO));
        assert_eq!(rests(pursuit.step(refused(false), now)), BELIEVED_AFTER);
        assert_eq!(pursuit.step(News::Rested, now), Move::Ask(VERDICT_WAIT));
        let end = Move::End(End::Refused("no deployment".to_owned()));
        assert_eq!(pursuit.step(refused(false), now), end);
        let (mut pursuit, now) = begun(Pinned::No);
        pursuit.step(refused(false), now);
        pursuit.step(News::Opened, now);
        pursuit.step(News::Beat, now);
        assert_eq!(rests(pursuit.step(refused(false), now)), BELIEVED_AFTER);
        let (mut pursuit, now) = begun(Pinned::No);
        assert_eq!(pursuit.step(refused(true), now), end);
    }

    /// Another rollout may begin between two answers.
    #[test]
    fn what_the_first_answer_says_is_held() {
        let (mut pursuit, now) = begun(Pinned::No);
        for _ in 0..2 {
            pursuit.step(refused(false), now);
        }
        let first = Hold { generation: Some(7), uid: Some("u".to_owned()), ..Hold::default() };
        rests(pursuit.step(News::Running(first.clone()), now));
        assert_eq!(pursuit.hold(), first);
        assert_eq!(pursuit.step(News::Rested, now), Move::Ask(VERDICT_WAIT), "there is no stream");
        let second =
            Hold { revision: Some("2".to_owned()), generation: Some(8), ..Hold::default() };
        rests(pursuit.step(News::Running(second), now));
        let both = Hold { revision: Some("2".to_owned()), ..first };
        assert_eq!(pursuit.hold(), both);
        // What a server only infers is no knowledge.
        rests(pursuit.step(News::Running(Hold::default()), now));
        assert_eq!(pursuit.hold(), both);
    }

    #[test]
    fn a_stream_that_is_silent_for_three_heartbeats_is_cut() {
        let (mut pursuit, now) = begun(Pinned::No);
        assert_eq!(pursuit.silence(), SILENCE);
        pursuit.step(News::Event(&hello("a")), now);
        assert_eq!(pursuit.silence(), Duration::from_secs(30));
        // Nobody is waited for as long as somebody claims.
        let never = Hello { epoch: "b".to_owned(), heartbeat_ms: Some(u64::MAX) };
        pursuit.step(News::Event(&Event::Hello(never)), now);
        assert_eq!(pursuit.silence(), LONGEST_BEAT * MISSED_BEATS);
    }
}
