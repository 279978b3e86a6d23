//! C2, unique: a line is delivered at most once in a stream, across reconnects too.

use std::collections::BTreeMap;

use rollcast::time::MILLISECOND;

use super::heard::{Event, epoch_of, times_of};
use super::table::Row;
use super::{Fault, Matched, Session, fault};

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
            let session = &matched.transcript.sessions[*session];
            let (after, hello) = (&session.after, hello(session).map(|hello| &hello.data));
            faults.push(fault("C2", format!("{what}; resumed behind {after:?}: {hello:?}")));
        } else if known != key || key.is_empty() {
            faults.push(fault("C2", format!("{what}, and under another key than {known:?}")));
        } else {
            row.overlapped += 1;
        }
    }
    faults
}

/// Whether a line may come again in this connection: it resumed approximately, and the line lies in
/// the overlap that is allowed then. An id of a stream that repeats says itself where that begins; to
/// another journal than its own it says only that it does not begin before.
fn overlaps(matched: &Matched<'_>, session: usize, stamp: Option<i64>) -> bool {
    let session = &matched.transcript.sessions[session];
    let (Some(hello), Some(after)) = (hello(session), session.after.as_deref()) else {
        return false;
    };
    let (position, again) = times_of(after);
    let position = position.map(|millis| millis * MILLISECOND - OVERLAP);
    let again = again.map(|millis| millis * MILLISECOND);
    let own = hello.word("epoch") == epoch_of(after);
    let from = if own { again.or(position) } else { position.max(again) };
    let approximate = hello.word("resumed") == Some("approximate");
    approximate && from.zip(stamp).is_some_and(|(from, stamp)| stamp >= from)
}

fn hello(session: &Session) -> Option<&Event> {
    session.events.iter().find(|event| event.name == "hello")
}
