//! What is shown of the rollouts that are followed: events in, lines and a block out.
//!
//! What holds here: the same events at the same times draw the same; what is drawn is plain text but
//! for colours, whatever a pod said; nothing here decides how following ends. Pure: no I/O, and the
//! clock is handed in.

mod block;
mod closing;
mod line;
mod lines;
mod row;
#[cfg(test)]
mod tests;

pub(super) use closing::{headline, reason};

use self::line::{Line, Look};
use self::row::Row;
use super::chase::Told;
use super::event::Event;
use crate::ids::WorkloadId;
use crate::time::{MILLISECOND, SECOND, parse_stamp};

/// How each rollout stands is said at least so often, whatever its logs say: without a line a CI system calls a
/// job dead, and of lines of logs alone a person does not see whether it comes on.
pub const LONGEST_SILENCE: i64 = 15 * SECOND;

/// Where it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Lines only, each for ever.
    Lines,
    /// A terminal: lines above a block that is drawn anew in place.
    Screen(Size),
}

/// The size of a terminal in cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Across.
    pub width: usize,
    /// Down.
    pub height: usize,
}

/// What is shown.
#[derive(Debug)]
pub struct View {
    mode: Mode,
    colour: bool,
    rows: Vec<Row>,
    /// How far the server's clock is ahead of ours.
    ahead: i64,
    /// Lines that were not taken yet.
    out: String,
}

// === impl View ===

impl View {
    /// Nothing is known yet of these workloads.
    pub fn new(mode: Mode, colour: bool, workloads: &[WorkloadId], now: i64) -> Self {
        let rows = workloads.iter().cloned().map(|workload| Row::new(workload, now)).collect();
        View { mode, colour, rows, ahead: 0, out: String::new() }
    }

    /// The terminal has another size now.
    pub fn resize(&mut self, size: Size) {
        if let Mode::Screen(old) = &mut self.mode {
            *old = size;
        }
    }

    /// Lines since they were taken last, each with its end.
    pub fn take_lines(&mut self) -> String {
        std::mem::take(&mut self.out)
    }

    /// The block below the lines, line by line; empty where there is none.
    pub fn block(&self, now: i64) -> Vec<String> {
        let Mode::Screen(size) = self.mode else { return Vec::new() };
        let lines = block::draw(&self.rows, size, now + self.ahead);
        lines.into_iter().map(|line| line.text(self.colour)).collect()
    }

    /// Takes in what was told about one of the workloads.
    pub fn step(&mut self, at: usize, told: &Told, now: i64) {
        let named = self.rows.len() > 1;
        let screen = matches!(self.mode, Mode::Screen(_));
        let clock = now + self.ahead;
        let Some(row) = self.rows.get_mut(at) else { return };
        let mut lines = Vec::new();
        match told {
            Told::Event { event: Event::Live(live), .. } => {
                if let Some(time) = nanos(&live.time) {
                    self.ahead = time - now;
                }
                row.settle();
                if !screen {
                    let clock = now + self.ahead;
                    lines.extend(lines::heading(row, clock));
                    lines.extend(lines::progress_if_new(row, named, clock));
                }
            }
            Told::Event { event, state } => {
                lines::of_event(row, event, *state, named, screen, clock, &mut lines);
            }
            Told::TooLong => {
                lines.push(lines::notice(
                    clock,
                    Look::Yellow,
                    "an event was too long, and is left out",
                ));
            }
            Told::Away(words) => {
                if row.away.as_ref() != Some(words) && !screen {
                    let words = format!("no contact: {words}; trying again");
                    lines.push(lines::notice(clock, Look::Yellow, &words));
                }
                row.away = Some(words.clone());
            }
            Told::Back => {
                if row.away.take().is_some() && !screen {
                    lines.push(lines::notice(clock, Look::Plain, "in contact again"));
                }
            }
            Told::Unseen(words) => {
                let words = format!("no stream: {words}; waiting for how it ends");
                lines.push(lines::notice(clock, Look::Yellow, &words));
            }
            Told::End(end) => {
                row.end = Some(end.clone());
                if named && !screen {
                    let words = format!("{} {}", row.workload, headline(end).to_lowercase());
                    lines.push(lines::notice(clock, Look::Plain, &words));
                }
            }
        }
        row.told.get_or_insert(now);
        self.say_all(lines);
    }

    /// Time passes: says how things stand if that was not said for long.
    pub fn tick(&mut self, now: i64) {
        if self.mode != Mode::Lines {
            return;
        }
        let (named, clock) = (self.rows.len() > 1, now + self.ahead);
        let mut lines = Vec::new();
        for row in self.rows.iter_mut().filter(|row| row.end.is_none()) {
            if now - *row.told.get_or_insert(now) >= LONGEST_SILENCE {
                lines.push(lines::progress(row, named, clock));
                row.told = Some(now);
            }
        }
        self.say_all(lines);
    }

    /// What is said at the end: of each workload how it ended, and last of the one that the status is of,
    /// for there are programs that read the last line alone. `page` is where more can be seen.
    pub fn close(&mut self, page: Option<&str>) {
        let named = self.rows.len() > 1;
        let ended = self.rows.iter().filter_map(|row| row.end.as_ref().map(|end| (row, end)));
        let mut ended: Vec<_> = ended.collect();
        ended.sort_by_key(|(_, end)| end.exit().weight());
        let drawn = ended.into_iter().map(|(row, end)| {
            (closing::draw(row, end, named, page), closing::last(&row.workload, end))
        });
        for (lines, last) in drawn.collect::<Vec<_>>() {
            self.say_all(lines);
            // For programs: it is not wrapped, however narrow the terminal is.
            self.say(&last);
        }
    }

    /// Says something of our own, with the time.
    pub fn notice(&mut self, words: &str, now: i64) {
        let line = lines::notice(now + self.ahead, Look::Plain, words);
        self.say_all(vec![line]);
    }

    /// Writes a line that is no line for people, if there is one: a command for the system that keeps
    /// the log. It is the caller who answers for what is in it.
    pub(super) fn command_if(&mut self, line: Option<String>) {
        if let Some(line) = line {
            self.out.push_str(&line);
            self.out.push('\n');
        }
    }

    /// Cells across; lines elsewhere than on a terminal have no end.
    pub(super) fn width(&self) -> usize {
        match self.mode {
            Mode::Lines => usize::MAX,
            Mode::Screen(size) => size.width,
        }
    }

    fn say_all(&mut self, lines: Vec<Line>) {
        for line in lines {
            match self.mode {
                Mode::Lines => self.say(&line),
                Mode::Screen(size) => {
                    line.wrapped(size.width).iter().for_each(|part| self.say(part));
                }
            }
        }
    }

    fn say(&mut self, line: &Line) {
        self.out.push_str(&line.text(self.colour));
        self.out.push('\n');
    }

    /// What is known of each workload at the end, for a summary.
    pub(super) fn facts(&self) -> impl Iterator<Item = closing::Facts<'_>> {
        self.rows.iter().map(closing::Facts::of)
    }
}

/// A time of the wire in nanoseconds.
fn nanos(text: &str) -> Option<i64> {
    parse_stamp(text.as_bytes()).map(|(time, _)| time)
}

/// The time of day in UTC, with milliseconds or without.
fn clock(time: i64, fine: bool) -> String {
    let second = time.div_euclid(SECOND).rem_euclid(86_400);
    let mut text = format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60);
    if fine {
        text.push_str(&format!(".{:03}", time.rem_euclid(SECOND) / MILLISECOND));
    }
    text
}
