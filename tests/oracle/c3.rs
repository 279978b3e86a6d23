//! C3, ordered: journal sequence within a stream, source order within an attempt.

use std::collections::BTreeMap;

use super::heard::{epoch_of, seq_of};
use super::table::Row;
use super::{AttemptId, Fault, Matched, fault};

pub fn c3(matched: &Matched<'_>, row: &mut Row) -> Vec<Fault> {
    let mut faults = Vec::new();
    // Ids of records only grow, across reconnects too as long as the journal is the same.
    let mut last: Option<(String, u64)> = None;
    for (session, heard) in matched.transcript.sessions.iter().enumerate() {
        if let Some(after) = heard.after.as_deref() {
            last = epoch_of(after).map(str::to_owned).zip(seq_of(after));
        }
        for event in heard.events.iter().filter(|event| is_record(&event.name)) {
            let Some((epoch, seq)) =
                event.id.as_deref().and_then(epoch_of).map(str::to_owned).zip(event.seq())
            else {
                continue;
            };
            // The state as it stands is told under the position where a stream begins.
            let state = matches!(&*event.name, "rollout" | "pod" | "source" | "gap");
            if let Some((known, newest)) = &last
                && *known == epoch
                && (seq < *newest || seq == *newest && !state)
            {
                row.disordered += 1;
                let what = format!(
                    "{}: connection {session}: {:?} comes after sequence {newest}",
                    matched.name(),
                    event.id
                );
                faults.push(fault("C3", what));
            }
            last = Some((epoch, seq));
        }
    }
    let mut newest: BTreeMap<(&AttemptId, usize), usize> = BTreeMap::new();
    for (id, hits) in &matched.hits {
        for hit in hits {
            // What a stream that resumes approximately repeats is in order for itself.
            let last = newest.entry((id, approximate_since(matched, hit.session))).or_default();
            if hit.line < *last {
                row.disordered += 1;
                let names = |at| matched.truth.attempts[*id].named(at);
                let what = format!(
                    "{}: {id}: {} comes after {}",
                    matched.name(),
                    names(hit.line),
                    names(*last)
                );
                faults.push(fault("C3", what));
            }
            *last = hit.line.max(*last);
        }
    }
    faults
}

/// Records have ids of their own; `hello` and `live` repeat a position.
fn is_record(name: &str) -> bool {
    !matches!(name, "hello" | "live" | "bye")
}

/// The latest connection up to this one that did not resume exactly.
fn approximate_since(matched: &Matched<'_>, session: usize) -> usize {
    let exact = |at: &usize| {
        let heard = &matched.transcript.sessions[*at];
        let hello = heard.events.iter().find(|event| event.name == "hello");
        hello.is_some_and(|hello| hello.word("resumed") == Some("exact"))
    };
    (0..=session).rev().find(|at| !exact(at)).unwrap_or(0)
}
