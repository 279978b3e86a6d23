//! One answer of the log API, from its bytes to lines that are known to be new.
//!
//! No I/O and no waiting: chunks in, verdicts out.

use super::align::{Alignment, Fingerprint, Mark, Place, Settled};
use super::batch::{Batch, Line};
use super::lines::{Raw, Splitter};

/// Lines that are held while the overlap is looked for. A replay covers less than two seconds, so
/// this bounds only what a very fast writer or a hostile one makes us hold.
const MAX_HELD_LINES: usize = 65_536;
/// Bytes of held lines.
const MAX_HELD_BYTES: usize = 8 << 20;
/// How much of a kubelet's message is kept for people.
const MAX_MESSAGE: usize = 300;

/// Reads one answer.
pub(super) struct Reading {
    splitter: Splitter,
    alignment: Option<Alignment>,
    held: Vec<Line<Vec<u8>>>,
    held_bytes: usize,
    /// No LF was seen yet, and the answer was asked for with `sinceTime`: unstamped bytes are the
    /// tail of a line whose first piece was filtered out.
    may_begin_inside_a_line: bool,
    /// Lines may be missing before the held ones, and whose they are is not proven: everything is
    /// held until [`Reading::accept_lost`].
    suspect: bool,
    /// A message of the kubelet in the body of a 200 answer.
    message: Option<String>,
    delivered: u64,
}

/// What a reading needs from its owner for each line.
pub(super) struct Desk<'a> {
    /// What was delivered before.
    pub(super) known: &'a mut Fingerprint,
    /// Where new lines go.
    pub(super) batch: &'a mut Batch,
}

// === impl Reading ===

impl Reading {
    /// Starts with the first answer of a source: every line is new.
    pub(super) fn first(cap: usize) -> Self {
        Self::new(cap, None, false)
    }

    /// Starts with the first answer for an attempt that is over: the API names no attempt, so all is
    /// held until a status that is newer than the answer says whose it is.
    pub(super) fn unproven(cap: usize) -> Self {
        Reading { suspect: true, ..Self::new(cap, None, false) }
    }

    /// Starts with a replay that was asked from `since` on.
    pub(super) fn resumed(cap: usize, known: &Fingerprint, since: Option<i64>) -> Self {
        let alignment = since.map(|since| known.align(since));
        Self::new(cap, alignment, since.is_some())
    }

    fn new(cap: usize, alignment: Option<Alignment>, may_begin_inside_a_line: bool) -> Self {
        Reading {
            splitter: Splitter::new(cap),
            alignment,
            held: Vec::new(),
            held_bytes: 0,
            may_begin_inside_a_line,
            suspect: false,
            message: None,
            delivered: 0,
        }
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

    /// Ends the search for the overlap: the answer is over, or waiting was enough. What is proven
    /// goes to the batch; if nothing is, the reading becomes suspect.
    pub(super) fn settle(&mut self, desk: &mut Desk<'_>) {
        if let Some(mut alignment) = self.alignment.take() {
            match alignment.finish() {
                // A replay without a single new line proves nothing and costs nothing.
                Settled::Lost if self.held.is_empty() => {}
                settled => self.settled(settled, desk),
            }
        }
    }

    /// Delivers the held lines of a suspect reading: their attempt is proven, the overlap is not.
    pub(super) fn accept_lost(&mut self, desk: &mut Desk<'_>) {
        self.suspect = false;
        for line in std::mem::take(&mut self.held) {
            self.deliver(&line, desk);
        }
        self.held_bytes = 0;
    }

    /// Lines were read whose attempt must be proven before they are delivered.
    pub(super) fn suspect(&self) -> bool {
        self.suspect
    }

    /// The stamp of the first held line.
    pub(super) fn first_held(&self) -> Option<i64> {
        self.held.first().map(|line| line.mark.time)
    }

    /// The search for the overlap is open and lines wait for it.
    pub(super) fn waits(&self) -> bool {
        !self.suspect && self.alignment.as_ref().is_some_and(Alignment::holds)
    }

    /// What the kubelet said instead of a log line, if it did.
    pub(super) fn message(&self) -> Option<&str> {
        self.message.as_deref()
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
                let text = &raw.text[..raw.text.len().min(MAX_MESSAGE)];
                self.message = Some(String::from_utf8_lossy(text).into_owned());
            }
            return;
        };
        let len = u32::try_from(raw.true_len).unwrap_or(u32::MAX);
        let line = Line { mark: Mark { time, hash: raw.hash, len }, text: raw.text, partial };
        if self.suspect {
            return self.hold(&line, desk);
        }
        if self.alignment.is_none() && desk.known.repeats(line.mark) {
            // The kubelet began to read the file again within this answer (truths: 1).
            self.alignment = Some(desk.known.align_again());
        }
        let Some(alignment) = &mut self.alignment else {
            return self.deliver(&line, desk);
        };
        let place = alignment.feed(line.mark);
        if let Some(settled) = alignment.settled() {
            self.alignment = None;
            self.settled(settled, desk);
        }
        match place {
            Place::Known => {}
            Place::Held => self.hold(&line, desk),
            Place::New if self.suspect => self.hold(&line, desk),
            Place::New => self.deliver(&line, desk),
        }
    }

    fn settled(&mut self, settled: Settled, desk: &mut Desk<'_>) {
        match settled {
            Settled::Found { from } => {
                let held = std::mem::take(&mut self.held);
                self.held_bytes = 0;
                for line in held.into_iter().skip(from) {
                    self.deliver(&line, desk);
                }
            }
            Settled::Lost => self.suspect = true,
        }
    }

    fn hold(&mut self, line: &Line<&[u8]>, desk: &mut Desk<'_>) {
        self.held_bytes += line.text.len();
        self.held.push(Line { mark: line.mark, text: line.text.to_vec(), partial: line.partial });
        if self.held.len() > MAX_HELD_LINES || self.held_bytes > MAX_HELD_BYTES {
            // While suspect nothing is settled here: the owner proves or drops after each chunk, so
            // the bound is passed by one chunk at most.
            if let Some(mut alignment) = self.alignment.take() {
                let settled = alignment.finish();
                self.settled(settled, desk);
            }
        }
    }

    fn deliver<T: AsRef<[u8]>>(&mut self, line: &Line<T>, desk: &mut Desk<'_>) {
        desk.batch.push(line, desk.known);
        self.delivered += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bench {
        known: Fingerprint,
        batch: Batch,
    }

    impl Bench {
        fn read(&mut self, reading: &mut Reading, text: &str) -> usize {
            let before = self.batch_lines();
            reading.push(
                text.as_bytes(),
                &mut Desk { known: &mut self.known, batch: &mut self.batch },
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
        let mut reading = Reading::first(1000);
        assert_eq!(bench.read(&mut reading, &stamped(1, "one")), 1);
        bench.read(&mut reading, "failed to create fsnotify watcher: too many open files\n");
        assert_eq!(bench.read(&mut reading, &stamped(2, "two")), 0);
        assert!(reading.message().is_some_and(|message| message.contains("fsnotify")));
    }

    #[test]
    fn the_tail_of_a_filtered_line_is_dropped_at_the_start_of_a_resume_only() {
        let mut bench = bench();
        let mut first = Reading::first(1000);
        bench.read(&mut first, &stamped(1, "one"));
        let since = bench.known.since();
        let mut reading = Reading::resumed(1000, &bench.known, since);
        let text = format!("end of a long line\n{}{}", stamped(1, "one"), stamped(2, "two"));
        assert_eq!(bench.read(&mut reading, &text), 1);
        assert_eq!(reading.message(), None);
    }

    #[test]
    fn a_replay_without_the_anchor_is_held_until_its_attempt_is_proven() {
        let mut bench = bench();
        bench.read(&mut Reading::first(1000), &stamped(1, "one"));
        let since = bench.known.since();
        let mut reading = Reading::resumed(1000, &bench.known, since);
        assert_eq!(bench.read(&mut reading, &stamped(9, "nine")), 0);
        assert!(reading.suspect());
        assert_eq!(bench.read(&mut reading, &stamped(10, "ten")), 0);
        reading.accept_lost(&mut Desk { known: &mut bench.known, batch: &mut bench.batch });
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
        assert_eq!(bench.read(&mut Reading::first(1000), &read), 200);
        let since = bench.known.since();
        let mut reading = Reading::resumed(1000, &bench.known, since);
        let replay: String = (0..190_000).map(line).collect();
        bench.read(&mut reading, &replay);
        assert!(!reading.suspect());
        assert_eq!(reading.delivered(), 190_000 - 150_200);
    }

    #[test]
    fn a_file_that_is_read_again_within_one_answer_is_not_repeated() {
        let mut bench = bench();
        let mut reading = Reading::first(1000);
        let file: String = (1..=5).map(|n| stamped(n, "x")).collect();
        assert_eq!(bench.read(&mut reading, &file), 5);
        let again: String = (3..=7).map(|n| stamped(n, "x")).collect();
        assert_eq!(bench.read(&mut reading, &again), 2);
    }

    #[test]
    fn a_file_that_is_read_again_from_its_beginning_is_not_repeated() {
        let mut bench = bench();
        let mut reading = Reading::first(1000);
        let file: String = (1..=30).map(|n| stamped(n, "x")).collect();
        assert_eq!(bench.read(&mut reading, &file), 30);
        let again: String = (5..=33).map(|n| stamped(n, "x")).collect();
        assert_eq!(bench.read(&mut reading, &again), 3);
        assert!(!reading.suspect());
    }
}
