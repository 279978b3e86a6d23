//! What tests of this room share: lines that carry their number, and readers that check them.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{Journal, Limits, Missed, Shelf};
use crate::ids::{
    AttemptKey, Entry, Kind, LineMeta, Lines, RolloutPhase, RolloutStatus, Side, Source,
    SourceChange, SourceState, WorkloadId,
};

pub(super) const LIMITS: Limits =
    Limits { workload_bytes: 1 << 20, total_bytes: 4 << 20, age: Duration::from_secs(3600) };

pub(super) fn workload(name: &str) -> Arc<WorkloadId> {
    Arc::new(WorkloadId::new("shop", Kind::Deployment, name))
}

pub(super) fn source(workload: &Arc<WorkloadId>, attempt: u32) -> Arc<Source> {
    let key = AttemptKey {
        uid: format!("uid-{}", workload.name).into(),
        container: "app".into(),
        container_id: format!("containerd://{attempt}").into(),
    };
    Arc::new(Source { key, workload: workload.clone(), pod: "pod-1".into(), attempt })
}

/// What line number `number` of a workload says.
pub(super) fn words(workload: &WorkloadId, number: i64) -> String {
    let filler = "x".repeat(number.unsigned_abs() as usize % 40);
    format!("{} line {number} {filler}", workload.name)
}

/// Numbered lines of the first attempt; a line's time is its number.
pub(super) fn lines(workload: &Arc<WorkloadId>, numbers: Range<i64>) -> Entry {
    lines_of(&source(workload, 1), numbers)
}

pub(super) fn lines_of(source: &Arc<Source>, numbers: Range<i64>) -> Entry {
    let mut text = Vec::new();
    let lines = numbers
        .map(|number| {
            let start = text.len() as u32;
            text.extend_from_slice(words(&source.workload, number).as_bytes());
            let len = text.len() as u32 - start;
            let (truncated_bytes, ordinal, lossy, partial) = (0, 0, false, false);
            LineMeta {
                time: number,
                start,
                len,
                truncated_bytes,
                ordinal,
                lossy,
                partial,
                partial_head: false,
            }
        })
        .collect();
    let (source, side, text) = (source.clone(), Side::New, Bytes::from(text));
    Entry::Lines(Arc::new(Lines { source, side, failed: false, text, lines }))
}

pub(super) fn change(source: &Arc<Source>, state: SourceState) -> Entry {
    Entry::Source(Arc::new(SourceChange {
        time: 0,
        source: source.clone(),
        state,
        from_start: Some(true),
        complete: None,
        lines: None,
        reason: None,
    }))
}

pub(super) fn rollout(generation: i64) -> Entry {
    Entry::Rollout(Arc::new(RolloutStatus {
        time: 0,
        phase: RolloutPhase::Progressing,
        revision: None,
        previous: None,
        generation,
        images: Vec::new(),
        desired: 1,
        updated: 1,
        ready: 1,
        available: 1,
        old: 0,
        started: None,
        finished: None,
        deadline_ms: None,
        by: None,
        change_cause: None,
        recovered: false,
        reasons: Vec::new(),
        message: String::new(),
    }))
}

/// Everything behind a position: the numbers of the lines, and where lines are missing. Checks that
/// each line says what it should, that sequence numbers rise, and that reading comes to an end.
pub(super) fn read_all(shelf: &Shelf, after: u64) -> (Vec<i64>, Vec<Missed>) {
    let (mut numbers, mut all) = (Vec::new(), Vec::new());
    let (mut at, mut last) = (after, after);
    loop {
        let read = shelf.read(at, 4_000);
        if let Some(missed) = read.missed {
            assert!(missed.through > last, "{missed:?} behind {last}");
            last = missed.through;
            all.push(missed);
        }
        for slice in &read.slices {
            assert!(slice.first > last, "{} behind {last}", slice.first);
            last = slice.first + slice.entry.count() - slice.from as u64 - 1;
            let Entry::Lines(lines) = &slice.entry else { continue };
            for line in &lines.lines[slice.from..] {
                let text = std::str::from_utf8(lines.bytes_of(line)).unwrap();
                assert_eq!(text, words(&lines.source.workload, line.time));
                numbers.push(line.time);
            }
        }
        if read.slices.is_empty() && read.missed.is_none() {
            return (numbers, all);
        }
        assert!(read.next > at, "reading makes progress");
        at = read.next;
    }
}

/// The numbers of all lines that are kept of a workload.
pub(super) fn kept(journal: &Journal, workload: &Arc<WorkloadId>) -> Vec<i64> {
    read_all(&journal.shelf(workload), 0).0
}

/// Lines that are missing behind a position, if each place knows how many.
pub(super) fn missing(missed: &[Missed]) -> Option<u64> {
    missed.iter().map(|missed| missed.lines).sum()
}
