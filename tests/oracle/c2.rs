//! C2, unique: a line is delivered at most once in a stream, across reconnects too.

use std::collections::BTreeMap;

use super::table::Row;
use super::{Fault, Matched, fault};

/// How far before the time of its id a stream that resumes approximately may repeat lines.
const OVERLAP: i64 = 2 * rollcast::time::SECOND;

pub fn c2(matched: &Matched<'_>, row: &mut Row) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut first = BTreeMap::new();
    for (session, event, place) in &matched.logs {
        let Some(place) = place else { continue };
        let key = event.word("key").unwrap_or_default();
        let Some((known, earlier)) = first.insert(*place, (key, *session)) else { continue };
        let what = format!("{}: delivered again: {}", matched.name(), event.data);
        let repeats = earlier < *session && overlaps(matched, *session, event.time("time"));
        if !repeats {
            row.doubled += 1;
            faults.push(fault("C2", what));
        } else if known != key || key.is_empty() {
            faults.push(fault("C2", format!("{what}, and under another key than {known:?}")));
        } else {
            row.overlapped += 1;
        }
    }
    faults
}

/// Whether a line may come again in this connection: it resumed approximately, and the line lies in
/// the overlap that is allowed then.
fn overlaps(matched: &Matched<'_>, session: usize, stamp: Option<i64>) -> bool {
    let session = &matched.transcript.sessions[session];
    let hello = session.events.iter().find(|event| event.name == "hello");
    let approximate = hello.is_some_and(|hello| hello.word("resumed") == Some("approximate"));
    let millis = session.after.as_deref().and_then(|id| id.split('-').nth(2)?.parse::<i64>().ok());
    let from = millis.map(|millis| millis * rollcast::time::MILLISECOND - OVERLAP);
    approximate && from.zip(stamp).is_some_and(|(from, stamp)| stamp >= from)
}
