//! Proves continuity when a log is read again.
//!
//! A log can only be asked for "from this second on", so a reader that resumes is given lines it
//! has already delivered, then new ones. Stamps within a file may be equal and may go backwards
//! (stdout and stderr are stamped by two goroutines), so neither a high-water mark nor a set tells
//! them apart. What does is the order: the [`Fingerprint`] keeps the last lines as they were read,
//! and an [`Alignment`] finds where the replay runs past the last of them.
//!
//! Pure: no clock, no I/O.

use std::collections::{BTreeSet, HashSet, VecDeque};

use crate::time::SECOND;

/// How much of the past is remembered. A resume asks from the second of the newest stamp minus one
/// more, so a replay covers less than two seconds; the third absorbs stamps that go backwards.
const WINDOW: i64 = 3 * SECOND;
/// Lines that are remembered at most: 1.5 MiB for a container that writes 20,000 lines a second.
pub(super) const MAX_MARKS: usize = 65_536;
/// How far before the high-water mark an equal line is looked for within one answer.
const RACE: i64 = SECOND / 10;
/// A line so much older than the newest is not late: the node's clock was set back.
const STEP: i64 = SECOND;

/// What is remembered of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Mark {
    /// The node's stamp.
    pub(super) time: i64,
    /// Hash of the whole text.
    pub(super) hash: u64,
    /// Length of the whole text.
    pub(super) len: u32,
}

impl Mark {
    /// A line of which only the stamp is known. No text has this hash and this length.
    pub(super) fn blurred(time: i64) -> Mark {
        Mark { time, hash: 0, len: 0 }
    }

    fn is_blurred(self) -> bool {
        self == Mark::blurred(self.time)
    }
}

/// The last lines that were delivered, in the order of the file.
#[derive(Clone, Debug, Default)]
pub(super) struct Fingerprint {
    marks: VecDeque<Mark>,
    /// The newest stamp since the clock was last set back.
    newest: i64,
    /// The newest stamp before the clock was last set back: until it is reached again, older lines
    /// of the file carry newer stamps.
    stepped_from: Option<i64>,
    /// Lines with this stamp or an older one may precede what is remembered: they were dropped for
    /// their number, or the log's beginning was never read.
    unseen: Option<i64>,
    /// Reading began somewhere inside the log.
    inside: bool,
    /// Lines were forgotten for their age or number.
    forgot: bool,
    /// Stamps of lines whose text was not kept as it was read: they are known by their stamp alone.
    blurred: BTreeSet<i64>,
}

/// Where one line of a replay belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It was delivered before.
    Known,
    /// It is not known, but the anchor may still come: keep it until the alignment is settled.
    Held,
    /// The alignment is settled: see [`Alignment::settled`]. This line is new.
    New,
}

/// How an alignment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// The last delivered line was found; of the held lines, those from this index on are new.
    Found {
        /// Index into the held lines.
        from: usize,
    },
    /// It was not found: every held line is new, and lines may be missing before them.
    Lost,
}

/// Compares one replay with what was delivered.
#[derive(Debug)]
pub(super) struct Alignment {
    expected: Vec<Mark>,
    newest: i64,
    /// The expected lines, for look-ups once the replay does not run along with them.
    lookup: Option<HashSet<Mark>>,
    /// What is remembered reaches back beyond the start of the replay, so both begin with the same
    /// line; only a rotated file begins later.
    covered: bool,
    /// An older line stands before everything that is remembered: it was delivered, or lies before
    /// the place where reading began.
    before: i64,
    /// What `before` is once it is sure that the file is read again.
    oldest: i64,
    /// Lines before the anchor may carry newer stamps than it.
    stepped: bool,
    /// Positions in `expected` at which the last line of the replay may stand.
    candidates: Vec<usize>,
    fed: usize,
    held: usize,
    /// Held lines when the anchor was last matched.
    matched: Option<usize>,
    settled: Option<Settled>,
}

// === impl Fingerprint ===

impl Fingerprint {
    /// Notes that reading begins inside the log: a replay may show lines before the first one.
    pub(super) fn begin_inside(&mut self) {
        self.inside = true;
    }

    /// Notes that of lines with this stamp only the stamp is known.
    pub(super) fn blur(&mut self, time: i64) {
        self.blurred.insert(time);
    }

    /// The mark by which a line is compared with what is remembered.
    pub(super) fn seen_as(&self, mark: Mark) -> Mark {
        if self.is_blurred(mark.time) { Mark::blurred(mark.time) } else { mark }
    }

    /// Whether lines with this stamp are known by it alone.
    pub(super) fn is_blurred(&self, time: i64) -> bool {
        !self.blurred.is_empty() && self.blurred.contains(&time)
    }

    /// Remembers a delivered line.
    pub(super) fn push(&mut self, mark: Mark) {
        if !self.marks.is_empty() && mark.time < self.newest - STEP {
            self.step_back();
        }
        if self.stepped_from.is_some_and(|from| mark.time > from) {
            self.stepped_from = None;
        }
        if self.marks.is_empty() {
            self.newest = mark.time;
            self.unseen = self.inside.then_some(mark.time);
        }
        self.newest = self.newest.max(mark.time);
        self.marks.push_back(self.seen_as(mark));
        let horizon = self.newest - WINDOW;
        while self.blurred.first().is_some_and(|time| *time < horizon) {
            self.blurred.pop_first();
        }
        while let Some(oldest) = self.marks.front().filter(|_| self.marks.len() > 1) {
            let too_many = self.marks.len() > MAX_MARKS;
            if !too_many && oldest.time >= horizon {
                break;
            }
            if too_many {
                self.unseen = self.unseen.max(Some(oldest.time));
            }
            self.marks.pop_front();
            self.forgot = true;
        }
    }

    /// The clock was set back: what was remembered tells nothing about the lines that follow.
    fn step_back(&mut self) {
        self.stepped_from = self.stepped_from.max(Some(self.newest));
        self.marks.clear();
        (self.inside, self.forgot) = (true, true);
    }

    /// The newest stamp since the clock was last set back; `None` if nothing was delivered yet.
    pub(super) fn newest(&self) -> Option<i64> {
        (!self.marks.is_empty()).then_some(self.newest)
    }

    /// The clock was set back, and has not caught up yet.
    pub(super) fn is_stepped(&self) -> bool {
        self.stepped_from.is_some()
    }

    /// The last delivered line.
    pub(super) fn last(&self) -> Option<Mark> {
        self.marks.back().copied()
    }

    /// From when a resume asks: the second before that of the newest stamp. `None` if nothing was
    /// delivered yet.
    pub(super) fn since(&self) -> Option<i64> {
        (!self.marks.is_empty()).then(|| (self.newest.div_euclid(SECOND) - 1) * SECOND)
    }

    /// The stamp of the last delivered line.
    pub(super) fn last_time(&self) -> Option<i64> {
        self.marks.back().map(|mark| mark.time)
    }

    /// How many remembered lines carry this stamp: the ordinal of the next one.
    pub(super) fn equal_stamps(&self, time: i64) -> u32 {
        if self.marks.is_empty() || time > self.newest {
            return 0;
        }
        let near = self.marks.iter().rev().take_while(|mark| mark.time >= time - RACE);
        near.filter(|mark| mark.time == time).count() as u32
    }

    /// Whether this line goes back in time *and* was delivered already, or is older than everything
    /// that is remembered: then the kubelet began to read the file again within one answer
    /// (cri-client `logs.go` reopens on every create event).
    pub(super) fn repeats(&self, mark: Mark) -> bool {
        if self.last_time().is_none_or(|last| mark.time >= last) {
            return false;
        }
        // Not for the few milliseconds by which stdout and stderr race.
        if self.forgot && self.begins_inside().is_some_and(|oldest| mark.time < oldest - RACE) {
            return true;
        }
        self.marks
            .iter()
            .rev()
            .take_while(|old| old.time >= mark.time - RACE)
            .any(|old| *old == mark)
    }

    /// The stamp of the first remembered line, if others stand before it in the log.
    fn begins_inside(&self) -> Option<i64> {
        let oldest = self.marks.front().filter(|_| self.forgot || self.inside)?;
        Some(oldest.time)
    }

    /// Begins to compare lines that go back in time within one answer: the file is being read again
    /// from wherever, or the clock was set back. Until [`Alignment::repeats`] they are held.
    pub(super) fn align_again(&self) -> Alignment {
        Alignment { before: i64::MIN, ..self.align_whole() }
    }

    /// Begins to compare a replay of the whole file.
    pub(super) fn align_whole(&self) -> Alignment {
        let mut alignment = self.align(i64::MIN);
        alignment.covered = !self.forgot && self.unseen.is_none();
        alignment.oldest = alignment.before;
        alignment
    }

    /// Begins to compare a replay that was asked from `since` on.
    pub(super) fn align(&self, since: i64) -> Alignment {
        let expected: Vec<_> =
            self.marks.iter().copied().filter(|mark| mark.time >= since).collect();
        let settled = expected.is_empty().then_some(Settled::Lost);
        Alignment {
            expected,
            newest: self.newest,
            lookup: None,
            covered: !self.is_stepped() && self.unseen.is_none_or(|unseen| unseen < since),
            before: self.begins_inside().map_or(i64::MIN, |oldest| oldest - RACE),
            oldest: i64::MIN,
            stepped: self.is_stepped(),
            candidates: Vec::new(),
            fed: 0,
            held: 0,
            matched: None,
            settled,
        }
    }
}

// === impl Alignment ===

impl Alignment {
    /// Takes the next line of the replay and says where it belongs. A line that is
    /// [`Place::Held`] must be kept by the caller, in order.
    pub(super) fn feed(&mut self, mark: Mark) -> Place {
        if self.settled.is_some() {
            return Place::New;
        }
        let mut next = Vec::with_capacity(self.candidates.len() + 1);
        let first = self.fed == 0;
        self.fed += 1;
        for at in &self.candidates {
            if self.expected.get(at + 1) == Some(&mark) {
                next.push(at + 1);
            }
        }
        // The replay begins inside what is known, or what is known begins inside the replay.
        // A line that is known by its stamp alone has its place in a run by its number, and more of the
        // stamp may follow: there is no second beginning.
        let runs_on = mark.is_blurred() && !self.candidates.is_empty();
        let starts = match (first, self.covered) {
            (true, _) => self.expected.len(),
            (false, false) => usize::from(!runs_on),
            (false, true) => 0,
        };
        for at in 0..starts {
            if self.expected[at] == mark && !next.contains(&at) {
                next.push(at);
            }
        }
        self.candidates = next;
        if self.candidates.contains(&(self.expected.len() - 1)) {
            self.matched = Some(self.held);
            // An equal line later on may be the true anchor while a longer overlap is open.
            if self.candidates.len() == 1 {
                self.settle();
            }
            return Place::Known;
        }
        if !self.candidates.is_empty() {
            return Place::Known;
        }
        if self.matched.is_some() {
            self.settle();
            return Place::New;
        }
        if mark.time < self.before {
            return Place::Known;
        }
        let lookup = self.lookup.get_or_insert_with(|| self.expected.iter().copied().collect());
        if lookup.contains(&mark) {
            return Place::Known;
        }
        if mark.time >= self.newest + SECOND && !self.stepped {
            // The file is in order but for races of milliseconds: the anchor will not come.
            self.settled = Some(Settled::Lost);
            return Place::New;
        }
        self.held += 1;
        Place::Held
    }

    /// How it ended, once it has.
    pub(super) fn settled(&self) -> Option<Settled> {
        self.settled
    }

    /// Ends the comparison with what is known now: the replay is over, or waiting was enough.
    pub(super) fn finish(&mut self) -> Settled {
        self.settle();
        self.settled.unwrap_or(Settled::Lost)
    }

    /// Whether the replay has shown anything but known lines.
    pub(super) fn holds(&self) -> bool {
        self.held > 0
    }

    /// It is the file that is read again, not the clock that was set back.
    pub(super) fn repeats(&mut self) {
        self.before = self.before.max(self.oldest);
    }

    /// There is no room to hold more. Gives whether what is held may be forgotten rather than judged:
    /// after a clock step the whole part of the file before it looks newer than the anchor.
    pub(super) fn make_room(&mut self) -> bool {
        let room = self.stepped && self.matched.is_none();
        if room {
            self.held = 0;
        }
        room
    }

    fn settle(&mut self) {
        if self.settled.is_none() {
            self.settled = Some(match self.matched {
                Some(from) => Settled::Found { from },
                None => Settled::Lost,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mark(time: i64, hash: u64) -> Mark {
        Mark { time, hash, len: 1 }
    }

    fn known(marks: &[Mark]) -> Fingerprint {
        remembered(Fingerprint::default(), marks)
    }

    fn remembered(mut fingerprint: Fingerprint, marks: &[Mark]) -> Fingerprint {
        for mark in marks {
            fingerprint.push(*mark);
        }
        fingerprint
    }

    /// Replays `replay` against `delivered`; gives what would be delivered and how it settled.
    fn check(delivered: &[Mark], since: i64, replay: &[Mark]) -> (Vec<Mark>, Settled) {
        check_with(&known(delivered), since, replay)
    }

    fn check_with(known: &Fingerprint, since: i64, replay: &[Mark]) -> (Vec<Mark>, Settled) {
        let mut alignment = known.align(since);
        let (mut held, mut out) = (Vec::new(), Vec::new());
        let mut flushed = false;
        for mark in replay {
            let place = alignment.feed(*mark);
            if let (Some(settled), false) = (alignment.settled(), flushed) {
                flushed = true;
                release(&mut held, &mut out, settled);
            }
            match place {
                Place::Known => {}
                Place::Held => held.push(*mark),
                Place::New => out.push(*mark),
            }
        }
        let settled = alignment.finish();
        if !flushed {
            release(&mut held, &mut out, settled);
        }
        (out, settled)
    }

    fn release(held: &mut Vec<Mark>, out: &mut Vec<Mark>, settled: Settled) {
        match settled {
            Settled::Found { from } => out.extend(held.drain(..).skip(from)),
            Settled::Lost => out.append(held),
        }
    }

    #[test]
    fn the_overlap_is_dropped_and_the_rest_is_new() {
        let file = [mark(1, 1), mark(2, 2), mark(3, 3), mark(4, 4), mark(5, 5)];
        let (new, settled) = check(&file[..3], 0, &file);
        assert_eq!(new, &file[3..]);
        assert!(matches!(settled, Settled::Found { .. }));
    }

    #[test]
    fn equal_lines_with_equal_stamps_are_counted() {
        let a = mark(7, 7);
        for delivered in 1..4 {
            for total in delivered..5 {
                let (new, _) = check(&vec![a; delivered], 0, &vec![a; total]);
                assert_eq!(new.len(), total - delivered, "{delivered} of {total}");
            }
        }
    }

    #[test]
    fn stamps_that_go_backwards_do_not_lose_a_line() {
        let file = [mark(5, 1), mark(3, 2), mark(6, 3), mark(4, 4), mark(5, 5)];
        for cut in 1..file.len() {
            let (new, _) = check(&file[..cut], 0, &file);
            assert_eq!(new, &file[cut..], "cut at {cut}");
        }
    }

    #[test]
    fn a_rotated_file_that_begins_inside_what_is_known_is_proven() {
        let file: Vec<_> = (0..10).map(|time| mark(time, time as u64)).collect();
        let (new, settled) = check(&file[..6], 0, &file[4..]);
        assert_eq!(new, &file[6..]);
        assert!(matches!(settled, Settled::Found { .. }));
    }

    #[test]
    fn a_file_without_the_anchor_is_lost_and_delivered_whole() {
        let file: Vec<_> = (0..10).map(|time| mark(time, time as u64)).collect();
        let (new, settled) = check(&file[..4], 0, &file[6..]);
        assert_eq!(new, &file[6..]);
        assert_eq!(settled, Settled::Lost);
    }

    #[test]
    fn what_is_known_too_late_begins_inside_the_replay() {
        // The fingerprint forgot the first lines; the replay shows them again.
        let file: Vec<_> = (0..10).map(|time| mark(time, time as u64)).collect();
        let mut fingerprint = Fingerprint::default();
        fingerprint.begin_inside();
        let (new, settled) = check_with(&remembered(fingerprint, &file[3..6]), 0, &file);
        assert_eq!(new, &file[6..]);
        assert!(matches!(settled, Settled::Found { .. }));
    }

    #[test]
    fn what_lies_before_the_place_where_reading_began_is_neither_held_nor_delivered() {
        let file: Vec<_> = (0..100_000).map(|at| mark(at * 20_000, at as u64)).collect();
        let mut fingerprint = Fingerprint::default();
        fingerprint.begin_inside();
        let fingerprint = remembered(fingerprint, &file[90_000..95_000]);
        let mut alignment = fingerprint.align(0);
        let held = file[..90_000].iter().filter(|one| alignment.feed(**one) == Place::Held).count();
        assert!(held <= 5_000, "{held}: only what may be a race is in doubt");
        let (new, settled) = check_with(&fingerprint, 0, &file);
        assert_eq!(new, &file[95_000..]);
        assert!(matches!(settled, Settled::Found { .. }));
    }

    #[test]
    fn a_resume_asks_from_the_second_before_the_newest_stamp() {
        let fingerprint = known(&[mark(10 * SECOND + 999, 1), mark(10 * SECOND, 2)]);
        assert_eq!(fingerprint.since(), Some(9 * SECOND));
        assert_eq!(Fingerprint::default().since(), None);
    }

    #[test]
    fn a_repetition_within_one_answer_is_noticed_but_a_race_is_not() {
        let fingerprint = known(&[mark(100, 1), mark(105, 2), mark(103, 3), mark(106, 4)]);
        assert!(fingerprint.repeats(mark(105, 2)));
        assert!(!fingerprint.repeats(mark(104, 9)), "another line that is only late");
        assert!(!fingerprint.repeats(mark(106, 4)), "an equal line right behind is a new line");
    }

    #[test]
    fn a_line_older_than_all_that_is_remembered_is_a_repetition() {
        let mut fingerprint = known(&[mark(0, 1), mark(SECOND, 2)]);
        assert!(!fingerprint.repeats(mark(-1, 9)), "nothing was forgotten: it is only late");
        fingerprint.push(mark(10 * SECOND, 3));
        assert!(fingerprint.repeats(mark(0, 1)));
        assert!(!fingerprint.repeats(mark(10 * SECOND - 5, 4)), "two streams race after a pause");
    }

    #[test]
    fn after_a_clock_step_a_resume_asks_from_the_new_time_and_finds_its_anchor() {
        let hour = 3_600 * SECOND;
        let before: Vec<_> =
            (0..50).map(|at| mark(2 * hour + at * SECOND / 10, at as u64)).collect();
        let after: Vec<_> =
            (0..50).map(|at| mark(hour + at * SECOND / 10, 100 + at as u64)).collect();
        for cut in 1..after.len() {
            let known = remembered(known(&before), &after[..cut]);
            let since = known.since().unwrap();
            assert!(since <= hour + cut as i64 * SECOND / 10);
            let file = before.iter().chain(&after).copied();
            let replay: Vec<_> = file.filter(|mark| mark.time >= since).collect();
            let (new, settled) = check_with(&known, since, &replay);
            assert_eq!(new, &after[cut..], "cut at {cut}");
            assert!(matches!(settled, Settled::Found { .. }));
        }
    }

    proptest! {
        /// Any file with few different stamps and texts, cut anywhere, read again from any second
        /// that the fingerprint covers: every line is delivered exactly once.
        #[test]
        fn every_line_comes_exactly_once(
            steps in prop::collection::vec((-2i64..6, 0u64..3), 1..60),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut time = 10 * SECOND;
            let file: Vec<_> = steps
                .iter()
                .map(|(step, hash)| { time += step * SECOND / 20; mark(time, *hash) })
                .collect();
            let cut = cut.index(file.len()) + 1;
            let since = known(&file[..cut]).since().unwrap();
            let replay: Vec<_> = file.iter().copied().filter(|mark| mark.time >= since).collect();
            let (new, settled) = check(&file[..cut], since, &replay);
            let expected: Vec<_> =
                file[cut..].iter().copied().filter(|mark| mark.time >= since).collect();
            prop_assert_eq!(new, expected);
            let found = matches!(settled, Settled::Found { .. });
            prop_assert!(found);
        }
    }
}
