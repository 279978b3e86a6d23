//! Judges the events of one connection by their numbers alone, where nothing is known of what was
//! written: fewer words for tests whose subject is something else.

use std::collections::{BTreeMap, HashMap};

use rollcast::sim::read_numbered;

use super::Event;

/// What came of one stream of one attempt.
#[derive(Debug, Default)]
pub struct Heard {
    pub numbers: Vec<u64>,
}

/// Lines by attempt and standard stream.
pub type Heards = BTreeMap<(String, char), Heard>;

/// Sorts log events by source; a damaged line fails (C4).
pub fn hear(events: &[Event]) -> Heards {
    let mut heards = Heards::new();
    for event in events.iter().filter(|event| event.name == "log") {
        let text = event.data["text"].as_str().unwrap();
        let line = read_numbered(text.as_bytes())
            .unwrap_or_else(|| panic!("C4: a damaged line: {text:?}"));
        let key = (line.source.to_owned(), line.stream);
        heards.entry(key).or_default().numbers.push(line.number);
    }
    heards
}

/// C1, C2 and C3 within one attempt: from its first line on, every number once and in order.
pub fn complete(heards: &Heards) {
    for (source, heard) in heards {
        for (expected, number) in heard.numbers.iter().enumerate() {
            assert_eq!(
                expected as u64, *number,
                "C1/C2/C3: {source:?} has {number} where {expected} should be"
            );
        }
    }
}

/// No gap where nothing is missing.
pub fn without_gaps(events: &[Event]) {
    let gaps: Vec<_> = events.iter().filter(|event| event.name == "gap").collect();
    assert!(gaps.is_empty(), "C1: gaps where nothing is missing: {gaps:?}");
}

/// C3 and C5: ids of records strictly increase.
pub fn increasing(events: &[Event]) {
    let mut last = 0;
    for event in events.iter().filter(|event| event.name == "log") {
        let id = event.id.as_deref().unwrap();
        let seq: u64 = id.split('-').nth(1).unwrap().parse().unwrap();
        assert!(seq > last, "C3: {id} comes after {last}");
        last = seq;
    }
}

/// What was told of sources and gaps, a line each, for the message of a failure.
pub fn told(events: &[Event]) -> String {
    let said = events.iter().filter(|event| matches!(&*event.name, "source" | "gap"));
    said.map(|event| format!("{} {}\n", event.name, event.data)).collect()
}

/// C1, C2 and C3 where lines were lost upstream, for pods that write on one pipe: numbers rise, and a
/// gap stands exactly where some are missing, from the line before to the line behind. Gives how many.
pub fn marked(events: &[Event], note: &str) -> usize {
    let mut last: HashMap<String, (u64, String)> = HashMap::new();
    let mut gaps: HashMap<String, &Event> = HashMap::new();
    let mut count = 0;
    for event in events {
        let Some(pod) = event.data["pod"].as_str().map(str::to_owned) else { continue };
        match &*event.name {
            "gap" => {
                let before = gaps.insert(pod, event);
                assert!(before.is_none(), "{note}: two gaps in a row: {before:?} {event:?}");
                count += 1;
            }
            "log" => {
                let text = event.data["text"].as_str().unwrap();
                let number = read_numbered(text.as_bytes()).unwrap().number;
                let time = event.data["time"].as_str().unwrap().to_owned();
                let gap = gaps.remove(&pod);
                let (before, from) = last.insert(pod, (number, time.clone())).unzip();
                let Some(before) = before else { continue };
                assert!(number > before, "C2/C3, {note}: {number} comes after {before}");
                assert_eq!(number > before + 1, gap.is_some(), "C1, {note}: {before}, {number}");
                if let Some(gap) = gap {
                    assert_eq!(gap.data["from"], from.unwrap(), "{note}: {gap:?}");
                    assert_eq!(gap.data["to"], time, "{note}: {gap:?}");
                }
            }
            _ => {}
        }
    }
    count
}
