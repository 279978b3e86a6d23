//! What a running container writes: its outputs' clocks, and the lines that are due.

use std::sync::Arc;

use super::lines::push_numbered;
use super::logs::{Batch, Pipe};
use super::spec::{Line, Make, Numbers, Output, Program};
use crate::time::SECOND;

/// Most lines of one output in one turn, so that a turn after a long pause stays short.
const TURN_LINES: u64 = 4_096;

/// Nanoseconds between the lines of one write.
const LINE_STEP: i64 = 1_500;

/// The writing side of one attempt.
#[derive(Debug)]
pub(super) struct Writer {
    outputs: Vec<(Arc<Output>, Progress)>,
    scratch: Vec<u8>,
    rng: fastrand::Rng,
    started: i64,
    /// Names the attempt in numbered lines.
    source: String,
    pod: Arc<str>,
    image: String,
    attempt: u32,
    written: u64,
}

/// How far one output has come.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    /// Its next line's number.
    next: u64,
    /// Numbered lines so far on each pipe.
    numbered: [u64; 2],
}

/// What a turn leaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    /// Lines that the attempt has written in all.
    pub written: u64,
    /// When the next line is due; `None` if no more will come.
    pub next: Option<i64>,
}

// === impl Writer ===

impl Writer {
    /// A writer for an attempt that starts at this time.
    pub(super) fn new(
        program: &Program,
        (pod, image, attempt): (Arc<str>, String, u32),
        started: i64,
        seed: u64,
    ) -> Self {
        // A start that is not a whole second: stamps of real lines have all their digits.
        let started = started + (seed % 997_331) as i64;
        Writer {
            outputs: program
                .output
                .iter()
                .map(|one| (Arc::new(one.clone()), Progress::default()))
                .collect(),
            scratch: Vec::new(),
            rng: fastrand::Rng::with_seed(seed),
            started,
            source: format!("{pod}.{}.{attempt}", started / 1_000),
            pod,
            image,
            attempt,
            written: 0,
        }
    }

    /// Writes what is due by `now`, at most up to `limit` lines of the attempt in all. `skew` is how
    /// far the node's clock is off.
    pub(super) fn turn(&mut self, now: i64, skew: i64, limit: u64, batch: &mut Batch<'_>) -> Turn {
        let mut next: Option<i64> = None;
        for at in 0..self.outputs.len() {
            let (output, mut progress) = self.outputs[at].clone();
            for _ in 0..TURN_LINES {
                let Some(due) = due(&output, progress.next, self.started) else { break };
                if due > now || self.written >= limit {
                    break;
                }
                self.line(&output, &mut progress, due, skew, batch);
                self.written += 1;
            }
            if let Some(due) = due(&output, progress.next, self.started) {
                next = Some(next.map_or(due, |next| next.min(due)));
            }
            self.outputs[at].1 = progress;
        }
        Turn { written: self.written, next }
    }

    /// Writes the last lines of numbered outputs, as the suite's writer does when told to stop.
    pub(super) fn end(&mut self, time: i64, batch: &mut Batch<'_>) {
        for at in 0..self.outputs.len() {
            let (output, progress) = self.outputs[at].clone();
            let Output::Numbered(numbers) = &*output else { continue };
            for (pipe, letter) in [(Pipe::Out, 'o'), (Pipe::Err, 'e')] {
                if pipe == Pipe::Err && !numbers.both {
                    continue;
                }
                self.scratch.clear();
                let number = progress.numbered[pipe as usize];
                let names = (numbers.run.as_str(), self.source.as_str());
                push_numbered(&mut self.scratch, names, letter, number, 0, Some("END"));
                batch.line(pipe, time, &self.scratch);
                batch.count_numbered(pipe);
            }
        }
        self.outputs.clear();
    }

    fn line(
        &mut self,
        output: &Output,
        progress: &mut Progress,
        due: i64,
        skew: i64,
        batch: &mut Batch<'_>,
    ) {
        self.scratch.clear();
        let number = progress.next;
        progress.next += 1;
        match output {
            Output::Numbered(numbers) => {
                let pipe = if numbers.both && number % 2 == 1 { Pipe::Err } else { Pipe::Out };
                self.numbered(numbers, pipe, &mut progress.numbered[pipe as usize]);
                batch.line(pipe, due + skew, &self.scratch);
                batch.count_numbered(pipe);
            }
            Output::Script(lines) => {
                if let Some((_, pipe, text)) = lines.get(number as usize) {
                    batch.line(*pipe, due + skew, text.as_bytes());
                }
            }
            Output::Made { make, .. } => {
                let pipe = self.made(make, number, due);
                // A function may make several lines at once: a stack trace.
                for (at, line) in self.scratch.split(|byte| *byte == b'\n').enumerate() {
                    batch.line(pipe, due + skew + at as i64 * LINE_STEP, line);
                }
            }
        }
    }

    fn numbered(&mut self, numbers: &Numbers, pipe: Pipe, next: &mut u64) {
        let (least, most) = numbers.length;
        let length = if most > least { self.rng.usize(least..=most) } else { least };
        let letter = if pipe == Pipe::Out { 'o' } else { 'e' };
        push_numbered(&mut self.scratch, (&numbers.run, &self.source), letter, *next, length, None);
        *next += 1;
    }

    fn made(&mut self, make: &Make, number: u64, time: i64) -> Pipe {
        let mut line = Line {
            text: &mut self.scratch,
            pipe: Pipe::Out,
            number,
            time,
            pod: &self.pod,
            image: &self.image,
            attempt: self.attempt,
            rng: &mut self.rng,
        };
        make(&mut line);
        line.pipe
    }
}

/// When an output's line of this number is due.
fn due(output: &Output, number: u64, started: i64) -> Option<i64> {
    let at_rate = |rate: f64, lines: Option<u64>| {
        let silent = rate <= 0.0 || lines.is_some_and(|lines| number >= lines);
        (!silent).then(|| started + (number as f64 * SECOND as f64 / rate) as i64)
    };
    match output {
        Output::Numbered(numbers) => at_rate(numbers.rate, numbers.lines),
        Output::Made { rate, lines, .. } => at_rate(*rate, *lines),
        Output::Script(lines) => {
            lines.get(number as usize).map(|(after, ..)| started + after.as_nanos() as i64)
        }
    }
}
