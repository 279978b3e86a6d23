//! C6, live: heartbeats, fresh lines in time, and `ended` only where it is true.

use super::{Event, Fault, Matched, Rules, fault};
use rollcast::time::{MILLISECOND, SECOND};

/// How late a heartbeat may be.
const LATE: i64 = 2 * SECOND;

pub fn c6(matched: &Matched<'_>, rules: &Rules) -> Vec<Fault> {
    let mut faults = heartbeats(matched);
    faults.extend(fresh(matched, rules));
    faults.extend(ends(matched));
    faults
}

/// Something comes at least every heartbeat.
fn heartbeats(matched: &Matched<'_>) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (at, session) in matched.transcript.sessions.iter().enumerate() {
        let hello = session.events.iter().find(|event| event.name == "hello");
        let Some(beat) = hello.and_then(|hello| hello.data["heartbeat_ms"].as_i64()) else {
            continue;
        };
        let limit = beat * MILLISECOND + LATE;
        let mut signs: Vec<i64> = session.events.iter().map(|event| event.at).collect();
        signs.extend(&session.beats);
        signs.push(session.to);
        signs.sort_unstable();
        for pair in signs.windows(2) {
            if pair[1] - pair[0] > limit {
                let silence = (pair[1] - pair[0]) / MILLISECOND;
                let what =
                    format!("{}: connection {at} was silent for {silence} ms", matched.name());
                faults.push(fault("C6", what));
            }
        }
    }
    faults
}

/// After the last fault lines arrive in time, for a client that is connected.
fn fresh(matched: &Matched<'_>, rules: &Rules) -> Vec<Fault> {
    let Some(calm) = rules.calm else { return Vec::new() };
    let mut late = Vec::new();
    for (id, hits) in &matched.hits {
        for hit in hits {
            let line = &matched.truth.attempts[*id].lines[hit.line];
            let due = line.stamp.max(calm).max(matched.session(hit).from) + rules.fresh;
            if line.stamp >= calm && hit.at > due + rules.skew {
                late.push((hit.at - line.stamp, *id, hit.line));
            }
        }
    }
    let Some((most, id, line)) = late.iter().max() else { return Vec::new() };
    let named = matched.truth.attempts[*id].named(*line);
    let what = format!(
        "{}: {} fresh lines came late; {named} of {id} after {} ms",
        matched.name(),
        late.len(),
        most / MILLISECOND
    );
    vec![fault("C6", what)]
}

/// `ended` is told once, of an attempt that has ended, and behind its last line.
fn ends(matched: &Matched<'_>) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut told = Vec::new();
    for (pos, event) in matched.transcript.events().enumerate() {
        if event.name != "source" || event.word("state") != Some("ended") {
            continue;
        }
        if let Some(why) = wrong_end(matched, pos, event) {
            faults.push(fault("C6", format!("{}: {why}: {}", matched.name(), event.data)));
        }
        // Once for each attempt of this name: a StatefulSet's pods come again under theirs.
        let epoch = event.id.as_deref().and_then(super::heard::epoch_of);
        let key =
            (epoch, event.word("pod"), event.word("container"), event.data["attempt"].as_u64());
        let named = matched.truth.attempts.keys().filter(|id| is_about(event, id)).count();
        let before = told.iter().filter(|other| **other == key).count();
        if before >= named.max(1) {
            faults.push(fault("C6", format!("{}: ended twice: {}", matched.name(), event.data)));
        }
        told.push(key);
    }
    faults
}

fn wrong_end(matched: &Matched<'_>, pos: usize, event: &Event) -> Option<String> {
    // The same name may come again with another uid: one of them must have ended.
    let found: Vec<_> =
        matched.truth.attempts.iter().filter(|(id, _)| is_about(event, id)).collect();
    if found.is_empty() {
        return Some("an attempt that never was".to_owned());
    }
    if found.iter().all(|(_, attempt)| !attempt.ended) {
        return Some("it goes on".to_owned());
    }
    let [(id, attempt)] = found[..] else { return None };
    let hits = matched.hits.get(id).map_or(&[][..], Vec::as_slice);
    let exact = matched.transcript.sessions.len() == 1;
    if exact && hits.iter().any(|hit| hit.pos > pos) {
        return Some("lines came behind it".to_owned());
    }
    let complete = event.data["complete"].as_bool();
    if complete.is_none() {
        return Some("complete is not said".to_owned());
    }
    let last = attempt.lines.len().checked_sub(1);
    let has_last = last.is_none_or(|last| {
        let withheld = attempt.withheld.get(last) == Some(&true);
        withheld || hits.iter().any(|hit| hit.line == last)
    });
    if complete == Some(true) && !has_last && matched.wants(id) && !matched.transcript.late {
        return Some("said to be complete, but its last line never came".to_owned());
    }
    None
}

fn is_about(event: &Event, id: &super::AttemptId) -> bool {
    event.word("pod") == Some(&id.pod)
        && event.word("container") == Some(&id.container)
        && event.data["attempt"].as_u64() == Some(u64::from(id.attempt))
}
