//! C1, complete or marked: between an attempt's start and its end every line was delivered, or a gap
//! stands where lines are missing. A gap where nothing is missing is a fault too.

use super::table::Row;
use super::truth::Attempt;
use super::{AttemptId, Fault, Hit, Matched, Rules, fault};

/// Lines that are missing in a row.
struct Hole {
    /// Indexes of lines, the end excluded.
    lines: std::ops::Range<usize>,
    /// Positions in the transcript between which a gap must stand.
    between: (Option<usize>, Option<usize>),
}

/// Stamps of the two streams race by a few milliseconds, so bounds cannot be closer than that.
const RACE: i64 = 100_000_000;

pub fn c1(matched: &Matched<'_>, rules: &Rules, row: &mut Row) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut explained = vec![0u64; matched.marks.len()];
    let mut shares = Shares::new(matched.marks.len());
    for (id, attempt) in &matched.truth.attempts {
        if !matched.wants(id) {
            continue;
        }
        let hits = matched.hits.get(id).map_or(&[][..], Vec::as_slice);
        let known = !hits.is_empty() || is_named(matched, id);
        if !known && (!rules.every_attempt || matched.transcript.late) {
            row.unheard += attempt.lines.len();
            continue;
        }
        for hole in holes(matched, id, attempt, hits, rules) {
            let withheld = withheld(attempt, &hole);
            let missing = hole.lines.len();
            shares.join(&gaps_for(matched, id, attempt, &hole));
            if withheld == missing {
                row.withheld += missing;
                // The kubelet never gave them: a gap may say so, and need not.
                if let Some(at) = gap_for(matched, id, attempt, &hole, &explained) {
                    explained[at] += missing as u64;
                }
                continue;
            }
            match gap_for(matched, id, attempt, &hole, &explained) {
                Some(at) => {
                    explained[at] += missing as u64;
                    row.lost_marked += missing;
                }
                None => {
                    row.lost += missing;
                    faults.push(unmarked(matched, id, attempt, &hole));
                }
            }
        }
    }
    for (at, mark) in matched.marks.iter().enumerate() {
        let explained = explained_by(at, &matched.marks, &explained, &shares);
        // A gap of a log that the client does not read explains nothing to it.
        let mut about = matched.truth.attempts.keys().filter(|id| mark.is_about(id)).peekable();
        if about.peek().is_some() && about.all(|id| !matched.wants(id)) {
            continue;
        }
        let place = format!("{}: gap {mark:?}", matched.name());
        if explained > 0 {
            row.gaps += 1;
        } else {
            row.gaps_false += 1;
        }
        if !rules.gaps.contains(&&*mark.reason) && !rules.doubtful.contains(&&*mark.reason) {
            faults.push(fault("C1", format!("{place} in a run that needs none of its kind")));
        } else if explained == 0 && !rules.doubtful.contains(&&*mark.reason) {
            faults.push(fault("C1", format!("{place} where nothing is missing")));
        } else if let Some(count) = mark.count
            && count != explained
        {
            faults.push(fault("C1", format!("{place} where {explained} lines are missing")));
        }
    }
    faults
}

/// Whether anything that the client received names this attempt.
fn is_named(matched: &Matched<'_>, id: &AttemptId) -> bool {
    matched.transcript.named("source").any(|event| {
        event.word("pod") == Some(&id.pod)
            && event.word("container") == Some(&id.container)
            && event.data["attempt"].as_u64() == Some(u64::from(id.attempt))
    })
}

/// Whether the service claimed to read this attempt from its first line on.
fn claims_start(matched: &Matched<'_>, id: &AttemptId) -> bool {
    let is_ours = |value: &serde_json::Value| {
        value["pod"].as_str() == Some(&id.pod)
            && value["container"].as_str() == Some(&id.container)
            && value["attempt"].as_u64() == Some(u64::from(id.attempt))
            && value["from_start"].as_bool() == Some(true)
    };
    let told = matched.transcript.named("source").any(|event| is_ours(&event.data));
    let covered = |event: &super::Event| {
        event.data["coverage"].as_array().is_some_and(|all| all.iter().any(is_ours))
    };
    told || matched.transcript.named("hello").any(covered)
}

fn holes(
    matched: &Matched<'_>,
    id: &AttemptId,
    attempt: &Attempt,
    hits: &[Hit],
    rules: &Rules,
) -> Vec<Hole> {
    // Where each line first came.
    let mut came = vec![None; attempt.lines.len()];
    for hit in hits {
        came[hit.line].get_or_insert(hit.pos);
    }
    let whole = (rules.from_start || claims_start(matched, id)) && !matched.transcript.late;
    let first = came.iter().position(Option::is_some).unwrap_or(came.len());
    let last = came.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
    let from = if whole { 0 } else { first };
    let to = if rules.settled { came.len() } else { last };
    let mut holes: Vec<Hole> = Vec::new();
    let mut at = from;
    while at < to {
        if came[at].is_some() {
            at += 1;
            continue;
        }
        let end = (at..to).find(|next| came[*next].is_some()).unwrap_or(to);
        // What came before the hole, and what came behind it, in the order of the file.
        let before = came[..at].iter().rev().flatten().next().copied();
        let behind = came[end..].iter().flatten().next().copied();
        holes.push(Hole { lines: at..end, between: (before, behind) });
        at = end;
    }
    holes
}

fn withheld(attempt: &Attempt, hole: &Hole) -> usize {
    let lines = attempt.withheld.get(hole.lines.clone()).unwrap_or_default();
    lines.iter().filter(|withheld| **withheld).count()
}

/// Gaps that share holes: where an attempt brought nothing between two of them, nobody can tell which of
/// its missing lines each one counts. Their counts are right if their sum is.
struct Shares(Vec<usize>);

impl Shares {
    fn new(gaps: usize) -> Self {
        Shares((0..gaps).collect())
    }

    fn join(&mut self, gaps: &[usize]) {
        for pair in gaps.windows(2) {
            let (one, other) = (self.root(pair[0]), self.root(pair[1]));
            self.0[other] = one;
        }
    }

    fn root(&self, mut at: usize) -> usize {
        while self.0[at] != at {
            at = self.0[at];
        }
        at
    }
}

/// How many lines this gap explains: what was laid to it, or its own count where those that share holes
/// with it count rightly in sum.
fn explained_by(at: usize, marks: &[super::Mark], explained: &[u64], shares: &Shares) -> u64 {
    let Some(own) = marks[at].count else { return explained[at] };
    let root = shares.root(at);
    let together = || (0..marks.len()).filter(|other| shares.root(*other) == root);
    let told: Option<u64> = together().map(|other| marks[other].count).sum();
    let lost: u64 = together().map(|other| explained[other]).sum();
    if told == Some(lost) && own > 0 { own } else { explained[at] }
}

/// The gap that explains a hole. One that explains nothing yet is meant before one that already does.
fn gap_for(
    matched: &Matched<'_>,
    id: &AttemptId,
    attempt: &Attempt,
    hole: &Hole,
    explained: &[u64],
) -> Option<usize> {
    let fit = gaps_for(matched, id, attempt, hole);
    fit.iter().find(|at| explained[**at] == 0).or(fit.first()).copied()
}

/// The gaps that may explain a hole: about its attempt, in its place, and with bounds around it.
fn gaps_for(matched: &Matched<'_>, id: &AttemptId, attempt: &Attempt, hole: &Hole) -> Vec<usize> {
    let lines = &attempt.lines[hole.lines.clone()];
    let oldest = lines.iter().map(|line| line.stamp).min().unwrap_or(i64::MAX);
    let newest = lines.iter().map(|line| line.stamp).max().unwrap_or(i64::MIN);
    let (before, behind) = hole.between;
    let fits = |mark: &super::Mark| {
        mark.is_about(id)
            && before.is_none_or(|before| mark.pos > before)
            && behind.is_none_or(|behind| mark.pos < behind)
            && mark.from.is_none_or(|from| from <= oldest + RACE)
            && mark.to.is_none_or(|to| to >= newest - RACE)
            && (mark.reason != "rotation_unproven" || is_close(attempt, hole, mark))
    };
    (0..matched.marks.len()).filter(|at| fits(&matched.marks[*at])).collect()
}

/// Whether both bounds are told, and lie at the lines that were delivered around the hole.
fn is_close(attempt: &Attempt, hole: &Hole, mark: &super::Mark) -> bool {
    let before = hole.lines.start.checked_sub(1).map(|at| attempt.lines[at].stamp);
    let behind = attempt.lines.get(hole.lines.end).map(|line| line.stamp);
    mark.from.is_some_and(|from| before.is_none_or(|before| from >= before - RACE))
        && mark.to.is_some_and(|to| behind.is_none_or(|behind| to <= behind + RACE))
}

fn unmarked(matched: &Matched<'_>, id: &AttemptId, attempt: &Attempt, hole: &Hole) -> Fault {
    let (first, last) = (hole.lines.start, hole.lines.end - 1);
    let stamps = (attempt.lines[first].stamp, attempt.lines[last].stamp);
    let what = format!(
        "{}: {id}: {} lines of {} missing without a gap: {} to {}, stamped {} to {}",
        matched.name(),
        hole.lines.len(),
        attempt.lines.len(),
        attempt.named(first),
        attempt.named(last),
        rollcast::time::rfc3339(stamps.0),
        rollcast::time::rfc3339(stamps.1),
    );
    fault("C1", what)
}
