//! The oracle itself: each validator fails on a transcript that was tampered with, and all of them
//! hold on one that was not.

use rollcast::sim::push_numbered;
use rollcast::time::{SECOND, rfc3339};
use serde_json::{Value, json};

use crate::oracle::{
    AttemptId, Bounds, Delays, Event, Measure, Rules, Session, Transcript, Truth, c8, c9, judge,
};

const LINES: u64 = 20;
/// 2026-11-22T14:00:00Z
const BEGIN: i64 = 1_795_356_000 * SECOND;

fn stamp(number: u64) -> i64 {
    BEGIN + number as i64 * SECOND / 10
}

fn text(number: u64) -> String {
    let mut line = Vec::new();
    push_numbered(&mut line, ("run", "web-1.7.1"), 'o', number, 80, None);
    String::from_utf8(line).unwrap()
}

fn truth() -> Truth {
    let id = AttemptId {
        pod: "web-1".to_owned(),
        uid: "uid".to_owned(),
        container: "app".to_owned(),
        attempt: 1,
    };
    let served: String =
        (0..LINES).map(|number| format!("{} {}\n", rfc3339(stamp(number)), text(number))).collect();
    let mut truth = Truth::default();
    truth.add(id, served.as_bytes(), true);
    truth
}

fn event(at: i64, name: &str, seq: u64, data: Value) -> Event {
    let id = Some(format!("epoch1-{seq}-{}", at / 1_000_000));
    Event { at, name: name.to_owned(), id, data }
}

fn log(number: u64) -> Event {
    let data = json!({
        "time": rfc3339(stamp(number)), "pod": "web-1", "container": "app", "attempt": 1,
        "text": text(number), "key": format!("uid.app.1.{}.0", stamp(number)),
    });
    event(stamp(number) + 1, "log", 10 + number, data)
}

fn hello(resumed: &str, seq: u64, at: i64) -> Event {
    let data = json!({"epoch": "epoch1", "resumed": resumed, "heartbeat_ms": 10_000});
    event(at, "hello", seq, data)
}

fn source(state: &str, complete: Option<bool>) -> Event {
    let data = json!({
        "time": rfc3339(stamp(LINES)), "pod": "web-1", "container": "app", "attempt": 1,
        "state": state, "from_start": true, "complete": complete,
    });
    let seq = if state == "ended" { 10 + LINES } else { 9 };
    let at = if state == "ended" { stamp(LINES) + SECOND } else { BEGIN };
    event(at, "source", seq, data)
}

fn gap(seq: u64, from: u64, to: u64, count: Option<u64>) -> Event {
    let data = json!({
        "time": rfc3339(stamp(to)), "reason": "rotation_unproven", "pod": "web-1",
        "container": "app", "attempt": 1, "from": rfc3339(stamp(from)), "to": rfc3339(stamp(to)),
        "count": count,
    });
    event(stamp(to), "gap", seq, data)
}

/// Two connections, everything as it should be.
fn honest() -> Vec<Session> {
    let mut first = vec![hello("none", 8, BEGIN), source("following", None)];
    first.extend((0..LINES / 2).map(log));
    let after = first.last().and_then(|event| event.id.clone());
    let (middle, end) = (stamp(LINES / 2), stamp(LINES) + SECOND);
    let mut second = vec![hello("exact", 9 + LINES / 2, middle)];
    second.extend((LINES / 2..LINES).map(log));
    second.push(source("ended", Some(true)));
    vec![
        Session { events: first, from: BEGIN, to: middle, cut: true, ..Session::default() },
        Session { after, events: second, from: middle, to: end, cut: true, ..Session::default() },
    ]
}

/// Judges the honest transcript after it was tampered with.
fn verdict(tamper: impl FnOnce(&mut Vec<Session>), rules: &Rules) -> crate::oracle::Verdict {
    let mut transcript = Transcript::new("doctored");
    transcript.sessions = honest();
    tamper(&mut transcript.sessions);
    judge(&truth(), &[transcript], rules)
}

/// The promises that tampering breaks, each once.
fn broken(rules: &Rules, tamper: impl FnOnce(&mut Vec<Session>)) -> Vec<&'static str> {
    let mut broken: Vec<_> =
        verdict(tamper, rules).faults.iter().map(|fault| fault.promise).collect();
    broken.sort_unstable();
    broken.dedup();
    broken
}

fn place(sessions: &[Session], number: u64) -> (usize, usize) {
    let is_it = |event: &Event| event.word("text") == Some(&text(number));
    let found = sessions
        .iter()
        .enumerate()
        .find_map(|(session, heard)| heard.events.iter().position(is_it).map(|at| (session, at)));
    found.expect("the line is there")
}

fn remove(sessions: &mut [Session], number: u64) {
    let (session, at) = place(sessions, number);
    sessions[session].events.remove(at);
}

fn rotation() -> Rules {
    Rules::with_gaps(&["rotation_unproven"])
}

#[test]
fn an_honest_transcript_holds() {
    let verdict = verdict(|_| {}, &Rules { calm: Some(BEGIN), ..Rules::whole() });
    verdict.holds("honest");
    assert_eq!(verdict.table.rows[0].delivered, LINES as usize);
}

#[test]
fn c1_finds_a_lost_line_at_the_start_inside_and_at_the_end() {
    for lost in [0, 3, LINES - 1] {
        let found = broken(&Rules::whole(), |sessions| remove(sessions, lost));
        assert!(found.contains(&"C1"), "line {lost}: {found:?}");
    }
    // Lost between two connections.
    let found = broken(&Rules::whole(), |sessions| remove(sessions, LINES / 2));
    assert_eq!(found, ["C1"]);
}

#[test]
fn c1_takes_a_gap_only_in_its_place_and_with_its_bounds() {
    let with = |seq, from, to, count, at: usize| {
        broken(&rotation(), |sessions| {
            remove(sessions, 4);
            let (session, place) = place(sessions, 5);
            sessions[session].events.insert(place + at, gap(seq, from, to, count));
        })
    };
    assert!(with(14, 3, 5, None, 0).is_empty());
    assert!(with(14, 3, 5, Some(1), 0).is_empty());
    assert_eq!(with(14, 3, 5, Some(2), 0), ["C1"], "a wrong count");
    assert_eq!(with(15, 3, 5, None, 1), ["C1"], "behind the next line");
    assert_eq!(with(14, 6, 8, None, 0), ["C1"], "bounds of something else");
}

#[test]
fn c1_takes_gaps_with_nothing_between_them_by_the_sum_of_their_counts() {
    let with = |counts: [u64; 2]| {
        broken(&rotation(), |sessions| {
            (4..8).for_each(|number| remove(sessions, number));
            let (session, place) = place(sessions, 8);
            for (at, count) in counts.into_iter().enumerate() {
                let gap = gap(14 + at as u64, 3, 8, Some(count));
                sessions[session].events.insert(place + at, gap);
            }
        })
    };
    assert!(with([3, 1]).is_empty());
    assert!(with([1, 3]).is_empty());
    assert_eq!(with([3, 2]), ["C1"], "one too many");
    assert_eq!(with([2, 1]), ["C1"], "one too few");
    assert_eq!(with([4, 0]), ["C1"], "the second says nothing");
}

#[test]
fn c1_finds_a_gap_where_nothing_is_missing_or_that_was_not_needed() {
    let insert = |sessions: &mut Vec<Session>| sessions[1].events.insert(1, gap(20, 9, 10, None));
    assert!(broken(&rotation(), insert).contains(&"C1"));
    let found = broken(&Rules::whole(), |sessions| {
        remove(sessions, 4);
        let (session, at) = place(sessions, 5);
        sessions[session].events.insert(at, gap(14, 3, 5, None));
    });
    assert_eq!(found, ["C1"], "a reason that this run has no need of");
}

#[test]
fn c1_wants_an_attempt_that_was_never_named() {
    let found = broken(&Rules::whole(), |sessions| {
        for session in sessions {
            session.events.retain(|event| !matches!(&*event.name, "log" | "source"));
        }
    });
    assert_eq!(found, ["C1"]);
}

#[test]
fn c2_finds_a_doubled_line_also_across_connections() {
    for (from, to) in [(0, 0), (0, 1)] {
        let found = broken(&Rules::whole(), |sessions| {
            let copy = sessions[from].events[5].clone();
            let at = sessions[to].events.len() - 2;
            sessions[to].events.insert(at, copy);
        });
        assert!(found.contains(&"C2"), "{found:?}");
    }
}

#[test]
fn c2_allows_an_overlap_under_the_same_key_only_where_the_stream_says_so() {
    let approximate = |sessions: &mut Vec<Session>, key: &str| {
        let after = format!("epoch0-7-{}", stamp(LINES / 2) / 1_000_000);
        sessions[1].events[0].data["resumed"] = json!("approximate");
        sessions[1].events[0].id = Some(after.clone());
        sessions[1].after = Some(after);
        let mut copy = log(LINES / 2 - 1);
        copy.data["key"] = json!(key);
        copy.id = Some(format!("epoch1-18-{}", copy.at / 1_000_000));
        for event in &mut sessions[0].events {
            event.id = event.id.as_deref().map(|id| id.replace("epoch1", "epoch0"));
        }
        sessions[0].events[0].data["epoch"] = json!("epoch0");
        sessions[1].events.insert(1, copy);
    };
    let key = format!("uid.app.1.{}.0", stamp(LINES / 2 - 1));
    assert_eq!(broken(&Rules::whole(), |sessions| approximate(sessions, &key)), Vec::<&str>::new());
    let found = broken(&Rules::whole(), |sessions| approximate(sessions, "uid.app.1.7.0"));
    assert_eq!(found, ["C2"]);
}

#[test]
fn c3_finds_swapped_lines_and_swapped_ids() {
    let lines = broken(&Rules::whole(), |sessions| {
        let events = &mut sessions[0].events;
        let (a, b) = (events[4].data.clone(), events[5].data.clone());
        (events[4].data, events[5].data) = (b, a);
    });
    assert_eq!(lines, ["C3"]);
    let ids = broken(&Rules::whole(), |sessions| {
        let events = &mut sessions[0].events;
        let id = events[4].id.clone();
        events[4].id = events[5].id.clone();
        events[5].id = id;
    });
    assert_eq!(ids, ["C3"]);
}

#[test]
fn c4_finds_an_altered_line_a_wrong_stamp_and_a_flag_that_lies() {
    let alter = |change: fn(&mut Value)| {
        broken(&Rules::whole(), |sessions| change(&mut sessions[0].events[4].data))
    };
    let altered = alter(|data| {
        let text = data["text"].as_str().unwrap().replace("fox", "cat").replace("dog", "cow");
        data["text"] = json!(text);
    });
    assert!(altered.contains(&"C4"), "{altered:?}");
    assert!(alter(|data| data["time"] = json!(rfc3339(BEGIN + 7))).contains(&"C4"));
    assert_eq!(alter(|data| data["lossy"] = json!(true)), ["C4"]);
    assert_eq!(alter(|data| data["truncated_bytes"] = json!(9_000)), ["C4"]);
    assert_eq!(alter(|data| data["partial"] = json!(true)), ["C4"]);
    assert!(alter(|data| data["text"] = json!("never written")).contains(&"C4"));
    assert!(alter(|data| data["pod"] = json!("other")).contains(&"C4"));
}

/// The beginning of a line that was being written when its file was rotated may stand at the end of the
/// file that the kubelet has left.
#[test]
fn c4_takes_the_rest_of_a_line_that_a_rotation_tore_and_nothing_else() {
    let given = honest()[0].events[4].data["text"].as_str().unwrap().to_owned();
    let number = (0..LINES).find(|number| text(*number) == given).unwrap();
    let later = rfc3339(stamp(number) + 1_000);
    let rest = &given[25..];
    let faults = |is_torn: bool, heard: &str| {
        let mut truth = truth();
        let id = truth.attempts.keys().next().unwrap().clone();
        if is_torn {
            let file = format!("{later} stdout F {rest}\n{later} stdout F more\n");
            truth.tear(&id, number as usize, file.as_bytes());
        }
        let mut transcript = Transcript::new("doctored");
        transcript.sessions = honest();
        let data = &mut transcript.sessions[0].events[4].data;
        (data["text"], data["time"]) = (json!(heard), json!(later));
        judge(&truth, &[transcript], &Rules::whole())
    };
    assert!(faults(true, rest).faults.is_empty(), "{:?}", faults(true, rest).faults);
    assert!(faults(false, rest).broke("C4") && faults(false, rest).broke("C1"));
    assert!(faults(true, &rest[1..]).broke("C4") && faults(true, "more").broke("C4"));
}

#[test]
fn c5_finds_a_silent_restart_and_ids_that_are_none() {
    let restarted = broken(&Rules::whole(), |sessions| {
        sessions[1].events[0].data["resumed"] = json!("none");
    });
    assert_eq!(restarted, ["C5"]);
    let elsewhere = broken(&Rules::whole(), |sessions| {
        sessions[1].after = Some("epoch0-19-1".to_owned());
    });
    assert_eq!(elsewhere, ["C5"]);
    let colon = broken(&Rules::whole(), |sessions| {
        sessions[0].events[4].id = Some("epoch1:13:1".to_owned());
    });
    assert_eq!(colon, ["C5"]);
}

#[test]
fn c5_finds_a_stream_that_says_for_ever_that_it_repeats() {
    let calm = Rules { calm: Some(BEGIN), ..Rules::whole() };
    for (seconds, is_found) in [(19, false), (40, true)] {
        let found = broken(&calm, |sessions| {
            let from = sessions[1].from.max(BEGIN);
            let last = sessions[1].events.last_mut().unwrap();
            last.at = from + seconds * SECOND;
            last.id = last.id.as_ref().map(|id| format!("{id}-1"));
            sessions[1].to += 40 * SECOND;
            sessions[1].beats.extend((1..5).map(|beat| from + beat * 10 * SECOND));
        });
        assert_eq!(found.contains(&"C5"), is_found, "{seconds} s: {found:?}");
    }
}

#[test]
fn c5_finds_one_id_that_is_two_lines() {
    let mut one = Transcript::new("one");
    one.sessions = honest();
    let mut two = one.clone();
    for event in two.sessions[0].events.iter_mut().skip(2) {
        let seq = event.seq().unwrap() + 1;
        event.id = Some(format!("epoch1-{seq}-1"));
    }
    two.sessions[1].after = Some("epoch1-20-1".to_owned());
    two.sessions[1].events[0].id = Some("epoch1-20-1".to_owned());
    for event in two.sessions[1].events.iter_mut().skip(1) {
        let seq = event.seq().unwrap() + 1;
        event.id = Some(format!("epoch1-{seq}-1"));
    }
    let verdict = judge(&truth(), &[one, two], &Rules::whole());
    assert!(verdict.broke("C5"), "{:?}", verdict.faults);
}

#[test]
fn c6_finds_silence_late_lines_and_ends_that_are_none() {
    let silent = broken(&Rules::whole(), |sessions| sessions[1].to += 30 * SECOND);
    assert_eq!(silent, ["C6"]);
    let calm = Rules { calm: Some(BEGIN), ..Rules::whole() };
    let late = broken(&calm, |sessions| {
        for event in sessions[1].events.iter_mut().skip(1) {
            event.at += 40 * SECOND;
        }
        sessions[1].to += 40 * SECOND;
        let from = sessions[1].from;
        sessions[1].beats.extend((1..5).map(|beat| from + beat * 10 * SECOND));
    });
    assert_eq!(late, ["C6"]);
    let twice = broken(&Rules::whole(), |sessions| {
        let mut copy = source("ended", Some(true));
        copy.id = Some("epoch1-31-1".to_owned());
        sessions[1].events.push(copy);
    });
    assert_eq!(twice, ["C6"]);
    let incomplete = broken(&rotation(), |sessions| {
        remove(sessions, LINES - 1);
    });
    assert_eq!(incomplete, ["C1", "C6"], "complete, but the last line never came");
    let undecided = broken(&Rules::whole(), |sessions| {
        *sessions[1].events.last_mut().unwrap() = source("ended", None);
    });
    assert_eq!(undecided, ["C6"]);
    let mut running = truth();
    running.attempts.values_mut().for_each(|attempt| attempt.ended = false);
    let mut transcript = Transcript::new("doctored");
    transcript.sessions = honest();
    assert!(judge(&running, &[transcript], &Rules::whole()).broke("C6"), "it goes on");
}

#[test]
fn c8_finds_what_passes_its_limit_and_what_does_not_come_back() {
    let measure = |memory| Measure { memory, files: 10, tasks: 5, streams: 1 };
    let bounds =
        Bounds { most: measure(100), growth: Measure { memory: 10, ..Measure::default() } };
    assert!(c8(&[measure(50), measure(90), measure(55)], &bounds).is_empty());
    assert_eq!(c8(&[measure(50), measure(101), measure(55)], &bounds).len(), 1);
    assert_eq!(c8(&[measure(50), measure(90), measure(70)], &bounds).len(), 1);
    assert_eq!(c8(&[], &bounds).len(), 1, "nothing measured is nothing proven");
}

#[test]
fn c9_finds_that_somebody_else_is_slowed() {
    let delays = |millis: i64| Delays((0..1_000).map(|at| millis * 1_000_000 + at).collect());
    assert!(c9(&delays(100), &delays(115)).is_empty());
    assert_eq!(c9(&delays(100), &delays(130)).len(), 1);
    assert_eq!(c9(&delays(100), &Delays::default()).len(), 1, "nothing measured");
}
