//! The table that every run ends with.

use std::fmt;

use super::Matched;

/// What came of one client's lines.
#[derive(Clone, Debug, Default)]
pub struct Row {
    pub name: String,
    pub connections: usize,
    pub written: usize,
    pub delivered: usize,
    /// Missing behind a gap.
    pub lost_marked: usize,
    /// Missing without one.
    pub lost: usize,
    /// Never given by the kubelet: not ours.
    pub withheld: usize,
    /// Of attempts that were never named.
    pub unheard: usize,
    pub doubled: usize,
    /// Repeated where a stream resumed approximately, under the same key.
    pub overlapped: usize,
    pub disordered: usize,
    pub damaged: usize,
    /// Gaps that explain something, and gaps that do not.
    pub gaps: usize,
    pub gaps_false: usize,
}

/// One row for each client.
#[derive(Clone, Debug, Default)]
pub struct Table {
    pub rows: Vec<Row>,
}

const HEAD: [&str; 13] = [
    "client",
    "conn",
    "written",
    "delivered",
    "lost+gap",
    "lost",
    "kubelet's",
    "unheard",
    "doubled",
    "overlap",
    "disorder",
    "damaged",
    "gaps ok/false",
];

// === impl Row ===

impl Row {
    pub fn of(matched: &Matched<'_>) -> Self {
        let wanted = matched.truth.attempts.iter().filter(|(id, _)| matched.wants(id));
        Row {
            name: matched.name().to_owned(),
            connections: matched.transcript.sessions.len(),
            written: wanted.map(|(_, attempt)| attempt.lines.len()).sum(),
            delivered: matched.logs.len(),
            ..Row::default()
        }
    }

    fn cells(&self) -> Vec<String> {
        let numbers = [
            self.connections,
            self.written,
            self.delivered,
            self.lost_marked,
            self.lost,
            self.withheld,
            self.unheard,
            self.doubled,
            self.overlapped,
            self.disordered,
            self.damaged,
        ];
        let mut cells = vec![self.name.clone()];
        cells.extend(numbers.iter().map(usize::to_string));
        cells.push(format!("{}/{}", self.gaps, self.gaps_false));
        cells
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = vec![HEAD.map(str::to_owned).to_vec()];
        rows.extend(self.rows.iter().map(Row::cells));
        let widths: Vec<usize> = (0..HEAD.len())
            .map(|at| rows.iter().map(|row| row[at].len()).max().unwrap_or(0))
            .collect();
        for row in rows {
            let cells = row.iter().zip(&widths).enumerate();
            let cells = cells.map(|(at, (cell, width))| match at {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            });
            writeln!(f, "{}", cells.collect::<Vec<_>>().join("  "))?;
        }
        Ok(())
    }
}
