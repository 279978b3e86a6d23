//! C9, isolated: what one viewer or pod does delays nobody else.

use super::{Fault, Matched, fault};

/// Delays from a line's stamp to its arrival, in nanoseconds.
#[derive(Clone, Debug, Default)]
pub struct Delays(pub Vec<i64>);

/// Below this two delays are the same: a tick of the writer, nanoseconds.
const FLOOR: i64 = 20 * rollcast::time::MILLISECOND;

// === impl Delays ===

impl Delays {
    /// Of all lines of a transcript that were written after it was opened.
    pub fn of(matched: &Matched<'_>) -> Self {
        let mut delays = Vec::new();
        for (id, hits) in &matched.hits {
            let lines = &matched.truth.attempts[*id].lines;
            let fresh =
                hits.iter().filter(|hit| lines[hit.line].stamp >= matched.session(hit).from);
            delays.extend(fresh.map(|hit| hit.at - lines[hit.line].stamp));
        }
        Delays(delays)
    }

    /// The 99th percentile.
    pub fn p99(&self) -> Option<i64> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len().checked_sub(1)? * 99 / 100).copied()
    }
}

/// Compares delays with those of a run without the nuisance: at most a fifth more.
pub fn c9(without: &Delays, with: &Delays) -> Vec<Fault> {
    let (Some(without), Some(with)) = (without.p99(), with.p99()) else {
        return vec![fault("C9", "there are no delays to compare".to_owned())];
    };
    let limit = (without + without / 5).max(without + FLOOR);
    if with <= limit {
        return Vec::new();
    }
    let millis = |nanos: i64| nanos / rollcast::time::MILLISECOND;
    let (with, without) = (millis(with), millis(without));
    vec![fault("C9", format!("p99 of {with} ms, {without} ms when nobody disturbs"))]
}
