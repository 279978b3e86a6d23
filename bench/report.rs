//! The table.

use std::fmt::Write as _;
use std::process::Command;

use rollcast::time;

use crate::process::{Args, complain, say};
use crate::{Outcome, binary, encode, fanout, ingest, memory, replay, slow, through};

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Row {
    what: String,
    who: String,
    figures: Vec<String>,
    note: String,
}

// === impl Row ===

impl Row {
    pub fn new(what: &str, who: &str) -> Row {
        Row { what: what.into(), who: who.into(), figures: Vec::new(), note: String::new() }
    }

    #[must_use]
    pub fn figure(mut self, unit: &str, value: f64) -> Row {
        self.figures.push(format!("{} {unit}", number(value)));
        self
    }

    /// A multiple, unless it is that of something to itself.
    #[must_use]
    pub fn ratio(mut self, unit: &str, value: f64) -> Row {
        if value != 1.0 {
            self.figures.push(format!("{value:.2}× {unit}"));
        }
        self
    }

    #[must_use]
    pub fn note(mut self, text: &str) -> Row {
        self.note = text.into();
        self
    }
}

/// The middle one; the mean of the two in the middle.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n => (values[(n - 1) / 2] + values[n / 2]) / 2.0,
    }
}

/// Digits as people read them.
fn number(value: f64) -> String {
    if value.abs() < 100.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Runs all and writes the table to the file that `out` names.
pub fn all(args: &Args) -> Outcome {
    let load = load();
    let mut rows = Vec::new();
    for (name, bench) in [
        ("ingest", ingest::run as fn(&Args) -> Outcome<Vec<Row>>),
        ("encode", encode::run),
        ("fanout", fanout::run),
        ("memory", memory::run),
        ("through", through::run),
        ("replay", replay::run),
        ("slow", slow::run),
        ("binary", binary::run),
    ] {
        complain(&format!("{name} …"));
        rows.extend(bench(args)?);
    }
    let text = page(&rows, &load);
    say(&text);
    let out = args.word("out");
    if !out.is_empty() {
        std::fs::write(out, text)?;
    }
    Ok(())
}

pub fn print(rows: &[Row]) {
    say(&table(rows));
}

fn table(rows: &[Row]) -> String {
    let mut text =
        String::from("| What | Who | Figures (medians) | |\n| --- | --- | --- | --- |\n");
    for Row { what, who, figures, note } in rows {
        let _ = writeln!(text, "| {what} | {who} | {} | {note} |", figures.join("; "));
    }
    text
}

fn page(rows: &[Row], load: &str) -> String {
    let date = time::rfc3339_seconds(time::now());
    let commit = Command::new("git").args(["rev-parse", "--short", "HEAD"]).output();
    let commit = commit.map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = memory.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok());
    format!(
        "# Results\n\n\
         Written by `bench/run`; `bench/main.rs` says what is measured. {date}, commit {}, {cores} \
         cores, {:.0} GiB, Linux; load before the run {load}. All processes of a run share these \
         cores, and CPU is user and system time of the process named. Compare within a run only.\n\n{}",
        commit.unwrap_or_default(),
        kib.unwrap_or(f64::NAN) / f64::from(1 << 20),
        table(rows)
    )
}

fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}
