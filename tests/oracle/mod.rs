//! The oracle: judges what clients were given by what was written.
//!
//! It knows the service by its public wire alone. Writers emit numbered, checksummed lines; the
//! [`Truth`] says which lines each attempt's log holds, a [`Transcript`] what one client received over
//! all its connections, and [`judge`] runs the validators over both. They are named after the
//! promises of the contract: [`c1`] complete or marked, [`c2`] unique, [`c3`] ordered, [`c4`]
//! faithful, [`c5`] resumable, [`c6`] live; [`c8`] bounded and [`c9`] isolated judge measurements. What
//! nothing explains is a fault, and so is a gap where nothing is missing.
//!
//! The integration tests, the suite on the real cluster and the soak include this folder.
#![allow(dead_code, unused_imports, reason = "each of those uses a part of it")]

mod c1;
mod c2;
mod c3;
mod c4;
mod c5;
mod c6;
mod c8;
mod c9;
mod heard;
mod matched;
mod simple;
mod table;
mod truth;

pub use c8::{Bounds, Measure, c8};
pub use c9::{Delays, c9};
pub use heard::{Event, Session, Transcript, Wants};
pub use matched::{Hit, Mark, Matched};
pub use simple::{complete, hear, increasing, marked, told, without_gaps};
pub use table::Table;
pub use truth::{Attempt, AttemptId, Line, Truth, cri_text};

/// What a run was like, so what is expected of it.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Everything that was written has had its time to arrive: what is not there is missing.
    pub settled: bool,
    /// Every attempt that wrote must be heard of. Else one that was never named is no loss of ours.
    pub every_attempt: bool,
    /// Every attempt must be heard from its first line on, or a gap must say that it is not. Else that
    /// holds only where `from_start` is claimed: what the kubelet rotated away before is not promised.
    pub from_start: bool,
    /// Gaps that this run may need. Any other is a fault even where lines are missing.
    pub gaps: &'static [&'static str],
    /// Gaps of these reasons may stand where nothing is missing: after a restart nobody can know.
    pub doubtful: &'static [&'static str],
    /// The service was killed: its store may lack the last records that it sent, and streams behind them
    /// resume approximately.
    pub killed: bool,
    /// From then on (nanoseconds since 1970) nothing was wrong any more: fresh lines arrive in time.
    pub calm: Option<i64>,
    /// How late a fresh line may be, in nanoseconds.
    pub fresh: i64,
    /// By how much a node's clock may differ from the client's, in nanoseconds.
    pub skew: i64,
}

/// One thing that breaks a promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The promise, such as `C1`.
    pub promise: &'static str,
    /// What was found.
    pub what: String,
}

/// What came of judging a run.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    pub faults: Vec<Fault>,
    pub table: Table,
}

/// Faults that are printed; the rest is counted.
const SHOWN: usize = 12;

/// Judges everything that clients of one run received.
pub fn judge(truth: &Truth, transcripts: &[Transcript], rules: &Rules) -> Verdict {
    let mut verdict = Verdict::default();
    let matched: Vec<Matched<'_>> =
        transcripts.iter().map(|transcript| Matched::new(truth, transcript)).collect();
    for one in &matched {
        let mut row = table::Row::of(one);
        verdict.faults.extend(c1::c1(one, rules, &mut row));
        verdict.faults.extend(c2::c2(one, &mut row));
        verdict.faults.extend(c3::c3(one, &mut row));
        verdict.faults.extend(c4::c4(one, &mut row));
        verdict.faults.extend(c5::c5(one, rules));
        verdict.faults.extend(c6::c6(one, rules));
        verdict.table.rows.push(row);
    }
    verdict.faults.extend(c5::agree(&matched));
    verdict
}

fn fault(promise: &'static str, what: String) -> Fault {
    Fault { promise, what }
}

// === impl Rules ===

impl Rules {
    /// Nothing is lost: every line from every attempt's start, no gap at all.
    pub fn whole() -> Self {
        Rules {
            settled: true,
            every_attempt: true,
            from_start: true,
            gaps: &[],
            doubtful: &[],
            killed: false,
            calm: None,
            fresh: 10 * rollcast::time::SECOND,
            skew: rollcast::time::SECOND / 5,
        }
    }

    /// The same, but gaps of these reasons may stand where lines are missing.
    pub fn with_gaps(gaps: &'static [&'static str]) -> Self {
        Rules { gaps, ..Rules::whole() }
    }
}

// === impl Verdict ===

impl Verdict {
    /// Whether a promise was broken.
    pub fn broke(&self, promise: &str) -> bool {
        self.faults.iter().any(|fault| fault.promise == promise)
    }

    /// Fails with the table and the faults if anything is unexplained. `context` names the run: test,
    /// seed.
    #[track_caller]
    pub fn holds(&self, context: &str) {
        if self.faults.is_empty() {
            return;
        }
        let shown: Vec<String> = self.faults.iter().take(SHOWN).map(Fault::to_string).collect();
        let more = self.faults.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!("\nand {more} more") } else { String::new() };
        panic!("{context}:\n{}{}{more}", self.table, shown.join("\n"));
    }
}

// === impl Fault ===

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.promise, self.what)
    }
}
