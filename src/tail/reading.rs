//! One answer of the log API, from its bytes to lines that are known to be new.
//!
//! No I/O and no waiting: chunks in, verdicts out.

use super::align::{Alignment, Fingerprint, Mark, Place, Settled};
use super::batch::{Batch, Line};
use super::lag::Lag;
use super::lines::{Raw, Splitter};

/// Lines that are held while the overlap is looked for. A replay covers less than two seconds, so
/// this bounds only what a very fast writer or a hostile one makes us hold.
const MAX_HELD_LINES: usize = 65_536;
/// Bytes of held lines.
const MAX_HELD_BYTES: usize = 8 << 20;
/// How much of a kubelet's message is kept for people.
const MAX_MESSAGE: usize = 300;

/// How the kubelet says that the runtime has removed the container, or its log
/// (kuberuntime_container.go; cri-client, logs.go).
const UNKNOWN: [&[u8]; 3] = [
    b"unable to retrieve container logs for ",
    b"failed to try resolving symlinks in path ",
    REMOVED,
];
/// How it says so in a follow: at the end of the file it asks the runtime whether the container still
/// runs, and there is none any more (cri-client, logs.go, `waitLogs`).
const REMOVED: &[u8] = b"rpc error: code = NotFound desc = ";

/// Reads one answer.
pub(super) struct Reading {
    splitter: Splitter,
    alignment: Option<Alignment>,
    held: Vec<Line<Vec<u8>>>,
    held_bytes: usize,
    /// No LF was seen yet, and the answer was asked for with `sinceTime`: unstamped bytes are the
    /// tail of a line whose first piece was filtered out.
    may_begin_inside_a_line: bool,
    head: Head,
    /// Lines that are held until their owner has an answer to this: see [`Reading::accept`].
    doubt: Option<Doubt>,
    /// Lines went back in time within this answer, and nobody has said why.
    goes_back: bool,
    lag: Lag,
    /// What the kubelet said at this place before, and an answer was closed for it.
    said: Option<Said>,
    /// A message of the kubelet in the body of a 200 answer.
    message: Option<String>,
    /// The last bytes were a message that was passed over.
    passed_over: bool,
    /// The last message said that the runtime does not know the container any more.
    unknown: bool,
    /// It said so at the end of the file.
    removed: bool,
    /// Older lines were there and not asked for, once that is known.
    tail_cut: Option<bool>,
    /// The answer is the attempt's: it holds its anchor, or a status said so.
    ours: bool,
    delivered: u64,
    /// A line came, whatever became of it.
    fed: bool,
}

/// Whether the first line of an answer may be the end of a longer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// It is whole, or was judged.
    Whole,
    /// The file may have begun inside it: it is flagged.
    MayBePart,
    /// A tail was asked for, which counts pieces. If the file begins with this stamp and so does the
    /// answer, nothing was cut off and the line is flagged; otherwise it is dropped.
    Tail {
        /// The first stamp of the file.
        file: i64,
    },
}

/// What must be known before held lines may be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// Whose they are.
    Attempt,
    /// Whose they are; whoever's they are, lines may be missing before them.
    Overlap,
    /// Whether lines are missing before them.
    Jump,
}

/// A message in an answer, and where it stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Said {
    anchor: Option<Mark>,
    hash: u64,
}

/// What a reading needs from its owner for each line.
pub(super) struct Desk<'a> {
    /// What was delivered before.
    pub(super) known: &'a mut Fingerprint,
    /// Where new lines go.
    pub(super) batch: &'a mut Batch,
    /// When the bytes came, by our clock.
    pub(super) now: i64,
}

// === impl Reading ===

impl Reading {
    /// Starts with the first answer of a source: every line is new.
    pub(super) fn first(cap: usize, head: Head) -> Self {
        Reading { head, ours: true, ..Self::new(cap, None, false) }
    }

    /// Starts with the first answer for an attempt: the API names none, so all is held until a status
    /// that is newer than the answer says whose it is.
    pub(super) fn unproven(cap: usize, head: Head) -> Self {
        Reading { doubt: Some(Doubt::Attempt), ours: false, ..Self::first(cap, head) }
    }

    /// Starts with a replay that was asked from `since` on; of the whole file without it.
    pub(super) fn resumed(cap: usize, known: &Fingerprint, since: Option<i64>) -> Self {
        let alignment = since.map_or_else(|| known.align_whole(), |since| known.align(since));
        Self::new(cap, Some(alignment), since.is_some())
    }

    fn new(cap: usize, alignment: Option<Alignment>, may_begin_inside_a_line: bool) -> Self {
        Reading {
            splitter: Splitter::new(cap),
            alignment,
            held: Vec::new(),
            held_bytes: 0,
            may_begin_inside_a_line,
            head: Head::Whole,
            doubt: None,
            goes_back: false,
            lag: Lag::new(),
            said: None,
            message: None,
            passed_over: false,
            unknown: false,
            removed: false,
            tail_cut: None,
            ours: false,
            delivered: 0,
            fed: false,
        }
    }

    /// Passes over a message for which an answer was closed before, if it stands where it stood.
    pub(super) fn passing_over(self, said: Option<Said>) -> Self {
        Reading { said, ..self }
    }

    /// Takes the next bytes. Lines that are proven new go to the batch.
    pub(super) fn push(&mut self, chunk: &[u8], desk: &mut Desk<'_>) {
        desk.batch.expect(chunk.len());
        let mut splitter = std::mem::replace(&mut self.splitter, Splitter::new(0));
        splitter.push(chunk, |raw| self.line(raw, false, desk));
        self.splitter = splitter;
    }

    /// Takes what came after the last line end for a line, flagged: only at the end of a log that is
    /// known to be over.
    pub(super) fn take_fragment(&mut self, desk: &mut Desk<'_>) {
        let splitter = std::mem::replace(&mut self.splitter, Splitter::new(0));
        if let Some(raw) = splitter.fragment() {
            self.line(raw, true, desk);
        }
    }

    /// The answer is over. The kubelet's word that there is no log any more has no line end of its own;
    /// anything else there may be the beginning of a line that was cut off, or the end of one.
    pub(super) fn hear_the_end(&mut self, desk: &Desk<'_>) {
        let splitter = std::mem::replace(&mut self.splitter, Splitter::new(0));
        if let Some(raw) = splitter.fragment()
            && raw.time.is_none()
            && says_unknown(raw.text)
            && self.message.is_none()
        {
            self.removed = raw.text.starts_with(REMOVED);
            self.hear(raw, desk.known.last());
        }
        self.splitter = splitter;
    }

    /// The backlog was shown: what comes now comes as it is written.
    pub(super) fn go_live(&mut self) {
        self.lag.go_live();
    }

    /// Ends the search for the overlap: the answer is over, or waiting was enough. What is proven
    /// goes to the batch; if nothing is, there is a doubt.
    pub(super) fn settle(&mut self, desk: &mut Desk<'_>) {
        if let Some(mut alignment) = self.alignment.take() {
            self.goes_back = false;
            match alignment.finish() {
                // A replay without a single new line proves nothing and costs nothing.
                Settled::Lost if self.held.is_empty() => {}
                settled => self.settled(settled, desk),
            }
        }
    }

    /// The doubt is over: the held lines are delivered.
    pub(super) fn accept(&mut self, desk: &mut Desk<'_>) {
        self.ours = true;
        let doubt = self.doubt.take();
        if doubt == Some(Doubt::Attempt) {
            // Whatever can happen within an answer may have happened meanwhile.
            self.held_bytes = 0;
            for line in std::mem::take(&mut self.held) {
                self.place(&line, desk);
            }
            return;
        }
        if doubt == Some(Doubt::Overlap)
            && let Some(first) = self.held.first_mut()
        {
            // Only a file that was rotated begins elsewhere, and it may begin inside a line.
            first.partial_head = true;
        }
        self.deliver_held(0, desk);
    }

    /// Nothing was missing before the held lines, and nothing is up to now.
    pub(super) fn vouch(&mut self, now: i64) {
        self.lag.vouch(now);
    }

    /// How much later by our clock the promptest line came than it says; `None` if no line came live.
    pub(super) fn late(&self) -> Option<i64> {
        self.lag.least()
    }

    /// Lines come as they are written, however old they look.
    pub(super) fn is_present(&self) -> bool {
        self.lag.is_present()
    }

    /// A machine's word for a clock of its node that differs much from ours; see [`Lag::skew`].
    pub(super) fn skew(&self) -> Option<Option<&'static str>> {
        self.lag.skew()
    }

    /// How much later than its stamp the promptest line came that came as it was written.
    pub(super) fn least_lag(&self) -> Option<i64> {
        self.lag.least()
    }

    /// Lines are held until their owner has an answer to this.
    pub(super) fn doubt(&self) -> Option<Doubt> {
        self.doubt
    }

    /// Lines went back in time: was the clock set back, or is the file being read again?
    pub(super) fn goes_back(&self) -> bool {
        self.goes_back && self.waits()
    }

    /// The clock was set back: the held lines are new.
    pub(super) fn step_back(&mut self, desk: &mut Desk<'_>) {
        (self.alignment, self.goes_back) = (None, false);
        self.lag.forget();
        self.deliver_held(0, desk);
    }

    /// The file is being read again.
    pub(super) fn repeats(&mut self) {
        self.goes_back = false;
        if let Some(alignment) = &mut self.alignment {
            alignment.repeats();
        }
    }

    /// As many lines are held as may be: their owner answers the doubt before it reads on.
    pub(super) fn is_full(&self) -> bool {
        self.held.len() > MAX_HELD_LINES || self.held_bytes > MAX_HELD_BYTES
    }

    /// The stamp of the first held line.
    pub(super) fn first_held(&self) -> Option<i64> {
        self.held.first().map(|line| line.mark.time)
    }

    /// The search for the overlap is open and lines wait for it.
    pub(super) fn waits(&self) -> bool {
        self.doubt.is_none() && self.alignment.as_ref().is_some_and(Alignment::holds)
    }

    /// Something that stands in the log is still to be handed on, so that silence does not mean that
    /// all was shown: the line that was asked for again, the first one of a log that is known to have
    /// one, or what is held for a doubt.
    pub(super) fn expects(&self) -> bool {
        let held = !self.held.is_empty();
        let begun = self.delivered > 0 || held;
        let first = !begun && matches!(self.head, Head::Tail { .. });
        self.alignment.is_some() || first || held && self.doubt.is_some()
    }

    /// Whether the answer is known to be the attempt's.
    pub(super) fn is_ours(&self) -> bool {
        self.ours
    }

    /// Nothing came, not even a part of a line or a message.
    pub(super) fn is_empty(&self) -> bool {
        let quiet = self.message.is_none() && !self.passed_over && !self.unknown;
        quiet && !self.fed && self.splitter.fragment().is_none()
    }

    /// Everything that came was a line, and ended with a line end.
    pub(super) fn ends_well(&self) -> bool {
        self.ours && !self.passed_over && self.splitter.fragment().is_none()
    }

    /// All lines came, and then the word that the container has been removed: the file was read to its
    /// end after the container's.
    pub(super) fn ends_with_removal(&self) -> bool {
        self.ours && self.removed
    }

    /// What the kubelet said instead of a log line, if it did, and where.
    pub(super) fn message(&self) -> Option<(&str, Option<Said>)> {
        self.message.as_deref().map(|message| (message, self.said))
    }

    /// The kubelet said that the runtime does not know the container any more.
    pub(super) fn says_unknown(&self) -> bool {
        self.unknown
    }

    /// The last that came was a message of the kubelet that was passed over.
    pub(super) fn ends_in_a_message(&self) -> bool {
        self.passed_over
    }

    /// Whether older lines were left out; `None` if no tail was asked for, or no line came.
    pub(super) fn tail_cut(&self) -> Option<bool> {
        self.tail_cut
    }

    /// New lines of this answer so far.
    pub(super) fn delivered(&self) -> u64 {
        self.delivered
    }

    fn line(&mut self, raw: Raw<'_>, partial: bool, desk: &mut Desk<'_>) {
        if self.message.is_some() {
            return;
        }
        let inside = std::mem::take(&mut self.may_begin_inside_a_line);
        let Some(time) = raw.time else {
            if !inside {
                self.hear(raw, desk.known.last());
            }
            return;
        };
        (self.passed_over, self.fed) = (false, true);
        let partial_head = self.head != Head::Whole;
        if partial_head && self.is_cut_off(time) {
            return;
        }
        let len = u32::try_from(raw.true_len).unwrap_or(u32::MAX);
        let mark = Mark { time, hash: raw.hash, len };
        self.place(&Line { mark, text: raw.text, partial, partial_head }, desk);
    }

    /// Finds out where a line belongs.
    fn place<T: AsRef<[u8]>>(&mut self, line: &Line<T>, desk: &mut Desk<'_>) {
        let mark = desk.known.seen_as(line.mark);
        if self.doubt.is_some() {
            return self.hold(line, desk);
        }
        if self.alignment.is_none() && desk.known.repeats(mark) {
            // The kubelet began to read the file again within this answer (truths: 1), or the node's
            // clock was set back (truths: 8).
            self.alignment = Some(desk.known.align_again());
            self.goes_back = true;
        }
        let Some(alignment) = &mut self.alignment else {
            if self.lag.jumps(desk.now, mark.time) {
                self.doubt = Some(Doubt::Jump);
                return self.hold(line, desk);
            }
            return self.deliver(line, desk);
        };
        let place = alignment.feed(mark);
        if let Some(settled) = alignment.settled() {
            (self.alignment, self.goes_back) = (None, false);
            self.settled(settled, desk);
        }
        match place {
            Place::Known => {}
            Place::Held => self.hold(line, desk),
            Place::New if self.doubt.is_some() => self.hold(line, desk),
            Place::New => self.deliver(line, desk),
        }
    }

    /// Takes unstamped bytes for a message of the kubelet. It closes the answer, but not again and
    /// again for what stands in the file: then it is passed over.
    fn hear(&mut self, raw: Raw<'_>, anchor: Option<Mark>) {
        let said = Said { anchor, hash: raw.hash };
        self.unknown = says_unknown(raw.text);
        if self.said == Some(said) {
            self.passed_over = true;
            return;
        }
        self.said = Some(said);
        let text = &raw.text[..raw.text.len().min(MAX_MESSAGE)];
        self.message = Some(String::from_utf8_lossy(text).into_owned());
    }

    /// Judges the first line of an answer: whether it is the end of a line that was cut off with the
    /// rest of the log.
    fn is_cut_off(&mut self, time: i64) -> bool {
        let head = std::mem::replace(&mut self.head, Head::Whole);
        let Head::Tail { file } = head else { return false };
        let cut = time != file;
        self.tail_cut = Some(cut);
        cut
    }

    fn settled(&mut self, settled: Settled, desk: &mut Desk<'_>) {
        match settled {
            Settled::Found { from } => {
                self.ours = true;
                self.deliver_held(from, desk);
            }
            Settled::Lost => self.doubt = Some(Doubt::Overlap),
        }
    }

    fn deliver_held(&mut self, from: usize, desk: &mut Desk<'_>) {
        self.held_bytes = 0;
        for line in std::mem::take(&mut self.held).into_iter().skip(from) {
            self.deliver(&line, desk);
        }
    }

    fn hold<T: AsRef<[u8]>>(&mut self, line: &Line<T>, desk: &mut Desk<'_>) {
        self.held_bytes += line.text.as_ref().len();
        self.held.push(Line {
            mark: line.mark,
            text: line.text.as_ref().to_vec(),
            partial: line.partial,
            partial_head: line.partial_head,
        });
        if self.is_full() {
            // In doubt nothing is settled here: the owner proves or drops after each chunk, so the
            // bound is passed by one chunk at most.
            let Some(mut alignment) = self.alignment.take() else { return };
            if alignment.make_room() {
                self.held.clear();
                self.held_bytes = 0;
                self.alignment = Some(alignment);
                return;
            }
            let settled = alignment.finish();
            self.settled(settled, desk);
        }
    }

    fn deliver<T: AsRef<[u8]>>(&mut self, line: &Line<T>, desk: &mut Desk<'_>) {
        desk.batch.push(line, desk.known);
        self.delivered += 1;
    }
}

fn says_unknown(text: &[u8]) -> bool {
    UNKNOWN.iter().any(|beginning| text.starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{SECOND, parse_stamp};

    struct Bench {
        known: Fingerprint,
        batch: Batch,
    }

    impl Bench {
        fn read(&mut self, reading: &mut Reading, text: &str) -> usize {
            let before = self.batch_lines();
            reading.push(
                text.as_bytes(),
                &mut Desk { known: &mut self.known, batch: &mut self.batch, now: 0 },
            );
            self.batch_lines() - before
        }

        fn batch_lines(&self) -> usize {
            format!("{:?}", self.batch).matches("LineMeta").count()
        }
    }

    fn bench() -> Bench {
        Bench { known: Fingerprint::default(), batch: Batch::default() }
    }

    fn stamped(second: u32, text: &str) -> String {
        format!("2026-11-22T14:02:{second:02}.000000001Z {text}\n")
    }

    #[test]
    fn a_message_of_the_kubelet_is_no_line_and_ends_the_reading() {
        let mut bench = bench();
        let mut reading = Reading::first(1000, Head::Whole);
        assert_eq!(bench.read(&mut reading, &stamped(1, "one")), 1);
        bench.read(&mut reading, "failed to create fsnotify watcher: too many open files\n");
        assert_eq!(bench.read(&mut reading, &stamped(2, "two")), 0);
        assert!(reading.message().is_some_and(|(message, _)| message.contains("fsnotify")));
    }

    #[test]
    fn the_last_word_of_a_kubelet_has_no_line_end() {
        let unknown = "unable to retrieve container logs for containerd://7d8xk";
        let removed = "rpc error: code = NotFound desc = an error occurred when try to find \
                       container \"7d8xk\": not found";
        let watcher = "failed to create fsnotify watcher: too many open files";
        let mut bench = bench();
        let one = stamped(1, "one");
        bench.read(&mut Reading::first(1000, Head::Whole), &one);
        let since = bench.known.since();
        let cases = [
            (format!("{one}{unknown}"), true, true),
            (unknown.to_owned(), true, true),
            ("2026-11-22T14".to_owned(), false, false),
            (format!("{one}{removed}"), true, true),
            (removed.to_owned(), true, true),
            (format!("{one}{watcher}"), false, false),
            (one.clone(), false, false),
        ];
        for (answer, message, gone) in cases {
            let mut reading = Reading::resumed(1000, &bench.known, since);
            bench.read(&mut reading, &answer);
            reading.hear_the_end(&Desk {
                known: &mut bench.known,
                batch: &mut bench.batch,
                now: 0,
            });
            let heard = (reading.message().is_some(), reading.says_unknown());
            assert_eq!(heard, (message, gone), "{answer}");
            assert_eq!(reading.ends_well(), answer == one, "{answer}");
            let whole = answer == format!("{one}{removed}");
            assert_eq!(reading.ends_with_removal(), whole, "{answer}");
        }
    }

    #[test]
    fn the_tail_of_a_filtered_line_is_dropped_at_the_start_of_a_resume_only() {
        let mut bench = bench();
        let mut first = Reading::first(1000, Head::Whole);
        bench.read(&mut first, &stamped(1, "one"));
        let since = bench.known.since();
        let mut reading = Reading::resumed(1000, &bench.known, since);
        let text = format!("end of a long line\n{}{}", stamped(1, "one"), stamped(2, "two"));
        assert_eq!(bench.read(&mut reading, &text), 1);
        assert_eq!(reading.message(), None);
    }

    #[test]
    fn one_answer_is_closed_for_a_message_and_not_another_for_the_same_at_the_same_place() {
        let mut bench = bench();
        let text = format!("{}no stamp\n{}", stamped(1, "one"), stamped(2, "two"));
        let mut first = Reading::first(1000, Head::Whole);
        assert_eq!(bench.read(&mut first, &text), 1);
        let (_, said) = first.message().unwrap();
        let since = bench.known.since();
        let mut again = Reading::resumed(1000, &bench.known, since).passing_over(said);
        assert_eq!(bench.read(&mut again, &text), 1, "two");
        assert_eq!((again.message(), again.ends_in_a_message()), (None, false));
        bench.read(&mut again, "no stamp\n");
        assert!(again.message().is_some(), "the same words at another place");
    }

    #[test]
    fn the_first_line_of_a_tail_is_dropped_if_the_log_goes_back_further_and_flagged_if_not() {
        let time = |second| parse_stamp(stamped(second, "x").as_bytes()).unwrap().0;
        for (file, delivered, cut) in [(time(1), 1, true), (time(5), 2, false)] {
            let mut bench = bench();
            let mut reading = Reading::first(1000, Head::Tail { file });
            let text = format!("{}{}", stamped(5, "a part?"), stamped(6, "whole"));
            assert_eq!(bench.read(&mut reading, &text), delivered);
            assert_eq!(reading.tail_cut(), Some(cut));
            let flagged = format!("{:?}", bench.batch).matches("partial_head: true").count();
            assert_eq!(flagged, usize::from(!cut));
        }
    }

    #[test]
    fn lines_after_a_clock_step_are_delivered_once_somebody_says_so() {
        let mut bench = bench();
        let mut reading = Reading::first(1000, Head::Whole);
        let file: String = (20..=40).map(|n| stamped(n, "x")).collect();
        bench.read(&mut reading, &file);
        assert_eq!(bench.read(&mut reading, &stamped(5, "y")), 0);
        assert!(reading.goes_back());
        reading.step_back(&mut Desk { known: &mut bench.known, batch: &mut bench.batch, now: 0 });
        assert_eq!(bench.batch_lines(), 22);
        assert_eq!(bench.read(&mut reading, &stamped(6, "y")), 1, "the new time is in force");
    }

    #[test]
    fn a_jump_out_of_a_lag_is_held_until_it_is_explained() {
        let mut bench = bench();
        let mut reading = Reading::first(1000, Head::Whole);
        reading.go_live();
        let mut push = |text: &str, late: i64| {
            let now = parse_stamp(text.as_bytes()).unwrap().0 + late;
            let mut desk = Desk { known: &mut bench.known, batch: &mut bench.batch, now };
            reading.push(text.as_bytes(), &mut desk);
            reading.doubt()
        };
        assert_eq!(push(&stamped(1, "x"), 0), None);
        assert_eq!(push(&stamped(1, "y"), 5 * SECOND), None);
        assert_eq!(push(&stamped(4, "x"), 3 * SECOND), Some(Doubt::Jump));
        assert_eq!(reading.first_held(), parse_stamp(stamped(4, "x").as_bytes()).map(|(t, _)| t));
    }

    #[test]
    fn a_replay_without_the_anchor_is_held_until_its_attempt_is_proven() {
        let mut bench = bench();
        bench.read(&mut Reading::first(1000, Head::Whole), &stamped(1, "one"));
        let since = bench.known.since();
        let mut reading = Reading::resumed(1000, &bench.known, since);
        assert_eq!(bench.read(&mut reading, &stamped(9, "nine")), 0);
        assert_eq!(reading.doubt(), Some(Doubt::Overlap));
        assert_eq!(bench.read(&mut reading, &stamped(10, "ten")), 0);
        reading.accept(&mut Desk { known: &mut bench.known, batch: &mut bench.batch, now: 0 });
        assert_eq!(bench.batch_lines(), 3);
        assert_eq!(bench.read(&mut reading, &stamped(11, "eleven")), 1);
    }

    #[test]
    fn a_replay_of_more_lines_than_are_held_finds_an_anchor_that_is_there() {
        let mut bench = bench();
        let line = |at: u32| format!("2026-11-22T14:02:01.{:09}Z x\n", at * 5_000);
        let mut known = Fingerprint::default();
        known.begin_inside();
        bench.known = known;
        let read: String = (150_000..150_200).map(line).collect();
        assert_eq!(bench.read(&mut Reading::first(1000, Head::Whole), &read), 200);
        let since = bench.known.since();
        let mut reading = Reading::resumed(1000, &bench.known, since);
        let replay: String = (0..190_000).map(line).collect();
        bench.read(&mut reading, &replay);
        assert_eq!(reading.doubt(), None);
        assert_eq!(reading.delivered(), 190_000 - 150_200);
    }

    #[test]
    fn a_file_that_is_read_again_within_one_answer_is_not_repeated() {
        let mut bench = bench();
        let mut reading = Reading::first(1000, Head::Whole);
        let file: String = (1..=5).map(|n| stamped(n, "x")).collect();
        assert_eq!(bench.read(&mut reading, &file), 5);
        let again: String = (3..=7).map(|n| stamped(n, "x")).collect();
        assert_eq!(bench.read(&mut reading, &again), 2);
    }

    #[test]
    fn a_file_that_is_read_again_from_its_beginning_is_not_repeated() {
        let mut bench = bench();
        let mut reading = Reading::first(1000, Head::Whole);
        let file: String = (1..=30).map(|n| stamped(n, "x")).collect();
        assert_eq!(bench.read(&mut reading, &file), 30);
        let again: String = (5..=33).map(|n| stamped(n, "x")).collect();
        assert_eq!(bench.read(&mut reading, &again), 3);
        assert_eq!(reading.doubt(), None);
    }
}
