//! Judges what clients were given: validators named after the contract.

use std::collections::BTreeMap;

use rollcast::sim::read_numbered;

use crate::client::Event;

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
