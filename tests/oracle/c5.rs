//! C5, resumable: every id is continued exactly or answered with a gap.

use std::collections::BTreeMap;

use super::heard::{epoch_of, seq_of, times_of};
use super::{AttemptId, Fault, Matched, Rules, Session, fault};

pub fn c5(matched: &Matched<'_>, rules: &Rules) -> Vec<Fault> {
    let sessions = matched.transcript.sessions.iter().enumerate();
    let wrong = sessions.filter_map(|(at, session)| {
        let why = wrong(session, rules).or_else(|| never_exact(session, rules))?;
        Some((at, why))
    });
    wrong
        .map(|(at, why)| fault("C5", format!("{}: connection {at}: {why}", matched.name())))
        .collect()
}

/// So long after it began, and without faults meanwhile, a stream repeats nothing any more.
const REPEATED: i64 = 20 * rollcast::time::SECOND;

/// An id that says that lines may be repeated when that is over.
fn never_exact(session: &Session, rules: &Rules) -> Option<String> {
    let over = session.from.max(rules.calm?) + REPEATED;
    let late = session.events.iter().filter(|event| event.at > over);
    let ids = late.filter_map(|event| event.id.as_deref());
    let id = ids.into_iter().find(|id| times_of(id).1.is_some())?;
    Some(format!("{id:?} long after it began"))
}

/// What is wrong with how a connection begins.
fn wrong(session: &Session, rules: &Rules) -> Option<String> {
    for id in session.events.iter().filter_map(|event| event.id.as_deref()) {
        let safe = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        if !safe || id.len() > 128 || seq_of(id).is_none() {
            return Some(format!("{id:?} is no id"));
        }
    }
    let Some(hello) = session.events.first() else {
        // It was cut before anything came, which loses nothing.
        return None;
    };
    if hello.name != "hello" {
        return Some(format!("begins with {} instead of hello", hello.name));
    }
    let (resumed, epoch) = (hello.word("resumed"), hello.word("epoch"));
    let id = hello.id.as_deref();
    // Whoever comes from a journal that is gone keeps its id until it is given something.
    let kept = resumed == Some("approximate") && id == session.after.as_deref();
    if epoch != id.and_then(epoch_of) && !kept {
        return Some(format!("hello {id:?} of epoch {epoch:?}"));
    }
    let Some(after) = session.after.as_deref() else {
        return (resumed != Some("none")).then(|| format!("resumed {resumed:?} from nothing"));
    };
    if epoch_of(after) == epoch {
        if rules.killed && kept {
            return None;
        }
        // In the middle of what a process before may have told, it says so again.
        let repeats = times_of(after).1.is_some();
        let right = if repeats { "approximate" } else { "exact" };
        let same = resumed == Some(right) && id.and_then(seq_of) == seq_of(after);
        return (!same).then(|| format!("{after:?} was resumed {resumed:?} at {id:?}"));
    }
    (!kept).then(|| format!("{after:?} of another journal was resumed {resumed:?} at {id:?}"))
}

/// One id is one record, whoever is given it.
pub fn agree(all: &[Matched<'_>]) -> Vec<Fault> {
    let mut known: BTreeMap<&str, (&AttemptId, usize)> = BTreeMap::new();
    let mut faults = Vec::new();
    for matched in all {
        for (_, event, place) in &matched.logs {
            let (Some(id), Some(place)) = (event.id.as_deref(), place) else { continue };
            // The milliseconds are marks of time and may be told anew; the position is not.
            let position = id.match_indices('-').nth(1).map_or(id, |(end, _)| &id[..end]);
            let earlier = known.insert(position, *place);
            if earlier.is_some_and(|earlier| earlier != *place) {
                let what = format!("{}: {id} was another line for somebody else", matched.name());
                faults.push(fault("C5", what));
            }
        }
    }
    faults
}
