//! Merges by time what several logs held when they were opened together.
//!
//! Each log is read as fast as it comes, so without this the history of ten pods would stand in the
//! journal as ten blocks. Nothing is reordered after it was appended: lines are held until every log
//! has shown its backlog, or for a bounded time or size, then appended in one go. The order within a
//! log is kept, also where its stamps go backwards.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::Sink;
use super::level::Level;
use crate::ids::{Entry, LineMeta, Lines, Source, WorkloadId};

/// How long the first viewer of several pods waits for their history to be in order.
pub(super) const MERGE_TIME: Duration = Duration::from_secs(1);
/// What a line costs beside its text, held and later in the journal.
const LINE_COST: usize = 256;
/// What is held; more than a viewer's history is worth.
const MERGE_BYTES: usize = 8 << 20;

/// Where logs that are opened together meet.
pub(super) struct Merge {
    workload: Arc<WorkloadId>,
    sink: Sink,
    state: Mutex<State>,
}

struct State {
    slots: Vec<Slot>,
    bytes: usize,
    open: bool,
}

struct Slot {
    entries: VecDeque<Entry>,
    /// Lines of the first entry that are appended already.
    taken: usize,
    level: Arc<Level>,
    done: bool,
}

/// One log's place in a merge.
pub(super) struct Place {
    merge: Arc<Merge>,
    slot: usize,
}

/// Lines of one log in a row, with the batches that hold their text.
type Run = (Arc<Source>, Vec<(Arc<Lines>, LineMeta)>);

// === impl Merge ===

impl Merge {
    pub(super) fn new(workload: Arc<WorkloadId>, sink: Sink) -> Arc<Self> {
        let state = Mutex::new(State { slots: Vec::new(), bytes: 0, open: true });
        Arc::new(Merge { workload, sink, state })
    }

    /// Takes in a log; its level is told when its history has been appended.
    pub(super) fn join(self: &Arc<Self>, level: Arc<Level>) -> Place {
        let mut state = self.state.lock();
        state.slots.push(Slot { entries: VecDeque::new(), taken: 0, level, done: false });
        Place { merge: self.clone(), slot: state.slots.len() - 1 }
    }

    /// Appends what is held, and holds nothing any more.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        self.flush(&mut state);
    }

    fn flush(&self, state: &mut State) {
        if !std::mem::take(&mut state.open) {
            return;
        }
        // Appended under the lock: a log that goes on by itself comes after its own history.
        let mut run: Option<Run> = None;
        while let Some(index) = earliest(&state.slots) {
            let slot = &mut state.slots[index];
            match slot.entries.front() {
                Some(Entry::Lines(lines)) => {
                    let (lines, line) = (lines.clone(), lines.lines[slot.taken]);
                    slot.taken += 1;
                    slot.level.delivered(line.time);
                    if slot.taken == lines.lines.len() {
                        slot.entries.pop_front();
                        slot.taken = 0;
                    }
                    if run.as_ref().is_some_and(|(source, _)| !Arc::ptr_eq(source, &lines.source)) {
                        self.append_run(run.take());
                    }
                    let (_, collected) =
                        run.get_or_insert_with(|| (lines.source.clone(), Vec::new()));
                    collected.push((lines, line));
                }
                _ => {
                    self.append_run(run.take());
                    if let Some(entry) = slot.entries.pop_front() {
                        (self.sink)(&self.workload, entry);
                    }
                }
            }
        }
        self.append_run(run.take());
        for slot in state.slots.iter().filter(|slot| slot.done) {
            slot.level.catch_up();
        }
    }

    fn append_run(&self, run: Option<Run>) {
        let Some((source, collected)) = run else { return };
        let Some((first, _)) = collected.first() else { return };
        let (side, failed) = (first.side, first.failed);
        let mut text = Vec::new();
        let mut lines = Vec::with_capacity(collected.len());
        for (batch, line) in &collected {
            let start = text.len() as u32;
            text.extend_from_slice(batch.bytes_of(line));
            lines.push(LineMeta { start, ..*line });
        }
        let lines = Lines { source, side, failed, text: text.into(), lines: lines.into() };
        (self.sink)(&self.workload, Entry::Lines(Arc::new(lines)));
    }
}

/// The slot whose next entry is the oldest. What is no line goes at once: it stands before the lines
/// that follow it in its own log.
fn earliest(slots: &[Slot]) -> Option<usize> {
    let next = |slot: &Slot| -> Option<i64> {
        match slot.entries.front()? {
            Entry::Lines(lines) => lines.lines.get(slot.taken).map(|line| line.time),
            _ => Some(i64::MIN),
        }
    };
    let heads = slots.iter().enumerate().filter_map(|(index, slot)| Some((next(slot)?, index)));
    heads.min().map(|(_, index)| index)
}

// === impl Place ===

impl Place {
    /// Holds an entry; gives it back if the merge is over, and then for ever.
    pub(super) fn push(&self, entry: Entry) -> Result<(), Entry> {
        let mut state = self.merge.state.lock();
        if !state.open {
            return Err(entry);
        }
        if let Entry::Lines(lines) = &entry {
            // A line alone may become an entry of its own, which costs more than its text.
            state.bytes += lines.text.len() + lines.lines.len() * LINE_COST;
        }
        state.slots[self.slot].entries.push_back(entry);
        if state.bytes > MERGE_BYTES {
            self.merge.flush(&mut state);
        }
        Ok(())
    }

    /// Ends the merge for all.
    pub(super) fn close(&self) {
        self.merge.close();
    }

    /// This log has shown its backlog.
    pub(super) fn done(&self) {
        let mut state = self.merge.state.lock();
        state.slots[self.slot].done = true;
        if !state.open {
            state.slots[self.slot].level.catch_up();
        } else if state.slots.iter().all(|slot| slot.done) {
            self.merge.flush(&mut state);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{AttemptKey, Kind, Side};

    fn lines(source: &Arc<Source>, times: &[i64]) -> Entry {
        let meta = |time: &i64| LineMeta {
            time: *time,
            start: 0,
            len: 1,
            truncated_bytes: 0,
            ordinal: 0,
            lossy: false,
            partial: false,
            partial_head: false,
        };
        Entry::Lines(Arc::new(Lines {
            source: source.clone(),
            side: Side::New,
            failed: false,
            text: "x".into(),
            lines: times.iter().map(meta).collect(),
        }))
    }

    fn source(pod: &str, workload: &Arc<WorkloadId>) -> Arc<Source> {
        let key = AttemptKey { uid: pod.into(), container: "c".into(), container_id: "i".into() };
        Arc::new(Source { key, workload: workload.clone(), pod: pod.into(), attempt: 1 })
    }

    type Out = Arc<Mutex<Vec<(String, i64)>>>;

    fn bench() -> (Arc<Merge>, Arc<WorkloadId>, Out) {
        let workload = Arc::new(WorkloadId::new("shop", Kind::Deployment, "web"));
        let out = Out::default();
        let seen = out.clone();
        let sink: Sink = Arc::new(move |_, entry| {
            if let Entry::Lines(lines) = entry {
                let pod = lines.source.pod.to_string();
                seen.lock().extend(lines.lines.iter().map(|line| (pod.clone(), line.time)));
            }
        });
        (Merge::new(workload.clone(), sink), workload, out)
    }

    fn level() -> Arc<Level> {
        Level::new(&Arc::default(), 0, None)
    }

    fn times(out: &Out) -> Vec<i64> {
        out.lock().iter().map(|(_, time)| *time).collect()
    }

    #[test]
    fn histories_of_several_logs_are_one_in_the_order_of_time() {
        let (merge, workload, out) = bench();
        let flags: Vec<_> = (0..2).map(|_| level()).collect();
        let (a, b) = (merge.join(flags[0].clone()), merge.join(flags[1].clone()));
        a.push(lines(&source("a", &workload), &[1, 4, 5])).unwrap();
        b.push(lines(&source("b", &workload), &[2, 3, 6])).unwrap();
        a.done();
        assert!(times(&out).is_empty() && !flags[0].caught_up());
        b.done();
        assert_eq!(times(&out), [1, 2, 3, 4, 5, 6]);
        assert!(flags.iter().all(|flag| flag.caught_up()));
        assert!(a.push(lines(&source("a", &workload), &[7])).is_err(), "it goes on by itself");
    }

    #[test]
    fn the_order_within_a_log_is_kept_where_its_stamps_go_backwards() {
        let (merge, workload, out) = bench();
        let (a, b) = (merge.join(level()), merge.join(level()));
        a.push(lines(&source("a", &workload), &[5, 3, 6])).unwrap();
        b.push(lines(&source("b", &workload), &[4])).unwrap();
        merge.close();
        let of_a: Vec<_> =
            out.lock().iter().filter(|(pod, _)| pod == "a").map(|(_, time)| *time).collect();
        assert_eq!(of_a, [5, 3, 6]);
        assert_eq!(times(&out).len(), 4);
    }

    #[test]
    fn a_log_that_is_late_does_not_hold_up_the_others_for_ever() {
        let (merge, workload, out) = bench();
        let late = level();
        let (a, b) = (merge.join(level()), merge.join(late.clone()));
        a.push(lines(&source("a", &workload), &[1])).unwrap();
        merge.close();
        assert_eq!(times(&out), [1]);
        assert!(!late.caught_up());
        b.done();
        assert!(late.caught_up());
    }
}
