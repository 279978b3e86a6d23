//! What holds for a journal whatever store it has. Another store joins with a [`Maker`] and a line at
//! the end.

use std::sync::Arc;
use std::time::Duration;

use super::testing::{
    LIMITS, change, kept, lines, lines_of, missing, read_all, rollout, source, words, workload,
};
use super::{Epoch, FileOptions, Journal, Limits, Loss, open_files};
use crate::ids::{Entry, SourceState};
use crate::telemetry::Metrics;

/// Makes journals on one store, one after another.
trait Maker {
    /// What was appended is there again when the journal is opened again.
    const PERSISTS: bool;

    fn open(&mut self, limits: Limits) -> Journal;
    /// The process ends: closed, or as if it was killed at a moment when everything was written.
    fn end(&mut self, journal: Journal, clean: bool);
}

fn draw(random: &mut fastrand::Rng) -> Epoch {
    Epoch::draw(random)
}

/// No store.
struct Memory(fastrand::Rng);

impl Maker for Memory {
    const PERSISTS: bool = false;

    fn open(&mut self, limits: Limits) -> Journal {
        Journal::new(draw(&mut self.0), limits)
    }

    fn end(&mut self, journal: Journal, clean: bool) {
        assert!(!clean || journal.close(Duration::ZERO), "nothing to wait for");
    }
}

/// Segment files.
struct Files(tempfile::TempDir, fastrand::Rng);

impl Maker for Files {
    const PERSISTS: bool = true;

    fn open(&mut self, limits: Limits) -> Journal {
        let options = FileOptions {
            path: self.0.path().join("store"),
            bytes: 2 * limits.total_bytes as u64 + (1 << 20),
            sync: Duration::from_millis(1),
            age: limits.age,
        };
        let opened = open_files(options, draw(&mut self.1), Arc::new(Metrics::noop())).unwrap();
        Journal::restore(opened, limits, 0)
    }

    fn end(&mut self, journal: Journal, clean: bool) {
        if clean {
            assert!(journal.close(Duration::from_secs(30)));
        }
        while journal.store().unwrap().lag_records > 0 && !clean {
            std::thread::yield_now();
        }
        // A batch may be on its way between the queue and the file.
        std::thread::park_timeout(Duration::from_millis(if clean { 0 } else { 100 }));
    }
}

/// Numbers begin at 1 and follow each other, and readers of one workload see its own only.
fn numbers_follow_each_other<M: Maker>(mut maker: M) {
    let journal = maker.open(LIMITS);
    let (web, pay) = (workload("web"), workload("pay"));
    assert_eq!(journal.append(&web, lines(&web, 0..3), 0), 1);
    assert_eq!(journal.append(&pay, lines(&pay, 0..2), 0), 4);
    assert_eq!(journal.append(&web, lines(&web, 3..5), 0), 6);
    assert_eq!(journal.head(), 7);
    assert_eq!(read_all(&journal.shelf(&web), 2), (vec![2, 3, 4], vec![]));
    assert_eq!(read_all(&journal.shelf(&pay), 0), (vec![0, 1], vec![]));
    let epoch = journal.epoch();
    maker.end(journal, true);
    let journal = maker.open(LIMITS);
    assert_eq!(journal.epoch() == epoch, M::PERSISTS, "the same journal, or another one");
    let next = if M::PERSISTS { 8 } else { 1 };
    assert_eq!(journal.append(&web, lines(&web, 5..6), 0), next);
    let numbers = if M::PERSISTS { vec![0, 1, 2, 3, 4, 5] } else { vec![5] };
    assert_eq!(kept(&journal, &web), numbers);
}

/// From every position, a reader gets or is told every line, exactly; before and after a restart.
fn every_line_is_delivered_or_counted<M: Maker>(mut maker: M) {
    let limits = Limits { workload_bytes: 16 << 10, total_bytes: 40 << 10, ..LIMITS };
    let mut journal = maker.open(limits);
    let mut random = fastrand::Rng::with_seed(5);
    let workloads: Vec<_> = ["web", "pay", "auth", "mail"].map(workload).into();
    let mut totals = [0i64; 4];
    // Where each position stands among its workload's lines.
    let mut positions: Vec<(usize, u64, i64)> = Vec::new();
    for round in 0..6 {
        for _ in 0..200 {
            let index = random.usize(..4).min(random.usize(..4));
            let (web, total) = (&workloads[index], &mut totals[index]);
            let count = random.i64(1..12);
            let first = journal.append(web, lines(web, *total..*total + count), 0);
            positions.extend((0..count).map(|at| (index, first + at as u64, *total + at)));
            *total += count;
        }
        if M::PERSISTS && round % 2 == 1 {
            maker.end(journal, true);
            journal = maker.open(limits);
        }
        assert!(journal.bytes() <= limits.total_bytes as u64);
        for (index, after, number) in positions.iter().rev().step_by(7) {
            let shelf = journal.shelf(&workloads[*index]);
            let (numbers, missed) = read_all(&shelf, *after);
            let behind = (totals[*index] - number - 1) as u64;
            let told = missing(&missed);
            assert_eq!(told.map(|told| told + numbers.len() as u64), Some(behind), "round {round}");
            assert!(
                numbers.iter().copied().eq(totals[*index] - numbers.len() as i64..totals[*index])
            );
            assert!(missed.iter().all(|missed| missed.why == Loss::Forgotten));
        }
    }
}

/// Bytes of one workload, bytes of all, and age; the newest are kept.
fn limits_hold<M: Maker>(mut maker: M) {
    let limits = Limits { workload_bytes: 8 << 10, total_bytes: 24 << 10, ..LIMITS };
    let mut journal = maker.open(limits);
    let names: Vec<_> = (0..5).map(|index| workload(&format!("web-{index}"))).collect();
    for number in 0..400 {
        for web in &names {
            journal.append(web, lines(web, number..number + 1), 0);
            assert!(journal.bytes() <= 24 << 10);
        }
    }
    let before: Vec<_> = names.iter().map(|web| kept(&journal, web)).collect();
    for numbers in &before {
        assert_eq!(*numbers.last().unwrap(), 399);
        assert!((10..40).contains(&numbers.len()), "{}", numbers.len());
    }
    if M::PERSISTS {
        maker.end(journal, true);
        journal = maker.open(limits);
        assert!(journal.bytes() <= 24 << 10);
        let after: Vec<_> = names.iter().map(|web| kept(&journal, web)).collect();
        assert_eq!(before, after, "a restart forgets nothing that was kept, and nothing more");
        // Smaller limits hold at once.
        maker.end(journal, true);
        journal = maker.open(Limits { total_bytes: 12 << 10, ..limits });
        assert!(journal.bytes() <= 12 << 10);
        assert!(names.iter().all(|web| kept(&journal, web).last() == Some(&399)));
    }
    let hour = 3600 * crate::time::SECOND;
    journal.append(&names[0], lines(&names[0], 400..401), hour);
    journal.expire(hour + 1);
    assert_eq!(kept(&journal, &names[0]), [400]);
    let missed = read_all(&journal.shelf(&names[0]), 0).1;
    assert_eq!(missing(&missed), Some(400));
}

/// One workload that writes much does not push out what is kept of another.
fn a_chatty_workload_costs_the_others_nothing<M: Maker>(mut maker: M) {
    let limits = Limits { workload_bytes: 32 << 10, total_bytes: 256 << 10, ..LIMITS };
    let journal = maker.open(limits);
    let (web, pay) = (workload("web"), workload("pay"));
    journal.append(&web, lines(&web, 0..20), 0);
    for number in 0..40_000i64 {
        journal.append(&pay, lines(&pay, number * 4..number * 4 + 4), 0);
        if number == 20_000 {
            journal.append(&web, lines(&web, 20..40), 0);
        }
        // What a disk can take.
        while journal.store().is_some_and(|status| status.lag_bytes > 1 << 20) {
            std::thread::yield_now();
        }
    }
    let expected = kept(&journal, &web);
    assert!(expected.starts_with(&[0, 1, 2]));
    if M::PERSISTS {
        maker.end(journal, true);
        let journal = maker.open(limits);
        assert_eq!(kept(&journal, &web), expected);
        assert!(read_all(&journal.shelf(&web), 0).1.is_empty());
    }
}

/// A process that is killed: nothing is issued twice, and readers are told where lines can be missing
/// and nowhere else.
fn a_kill_is_told_where_it_can_have_cost_lines<M: Maker>(mut maker: M) {
    if !M::PERSISTS {
        return;
    }
    let journal = maker.open(LIMITS);
    let (web, pay) = (workload("web"), workload("pay"));
    let (open, over) = (source(&web, 1), source(&pay, 1));
    journal.append(&web, lines_of(&open, 0..5), 0);
    journal.append(&pay, lines_of(&over, 0..5), 0);
    journal.append(&pay, change(&over, SourceState::Ended), 0);
    let (epoch, head) = (journal.epoch(), journal.head());
    maker.end(journal, false);
    let journal = maker.open(LIMITS);
    assert_eq!(journal.epoch(), epoch);
    let restart = journal.restart().unwrap().clone();
    assert_eq!((restart.after, restart.workloads), (head, vec![web.clone()]));
    assert_eq!(journal.append(&web, lines(&web, 5..6), 0), restart.through + 1);
    assert_eq!(read_all(&journal.shelf(&pay), 0), (vec![0, 1, 2, 3, 4], vec![]));
    let (numbers, missed) = read_all(&journal.shelf(&web), 2);
    assert_eq!(numbers, [2, 3, 4, 5]);
    assert_eq!(missed.len(), 1);
    assert_eq!((missed[0].why, missed[0].lines), (Loss::Restart, None));
    assert_eq!((missed[0].through, missed[0].next), (restart.through, Some(5)));
    // Behind the restart nothing is missing.
    assert_eq!(read_all(&journal.shelf(&web), restart.through), (vec![5], vec![]));
    // A client that had more than the store has is told, too.
    assert_eq!(read_all(&journal.shelf(&web), head + 3).1.len(), 1);
    // Its log was heard since: whoever read it went on behind the last line, or said what is missing.
    maker.end(journal, true);
    let journal = maker.open(LIMITS);
    assert!(journal.restart().is_none() && journal.lost(head + 1));
    assert_eq!(read_all(&journal.shelf(&web), 0), ((0..6).collect(), vec![]));
}

/// Whoever reads the logs proves that nothing was lost: then there is no gap.
fn a_proof_closes_the_hole_of_a_kill<M: Maker>(mut maker: M) {
    if !M::PERSISTS {
        return;
    }
    let journal = maker.open(LIMITS);
    let web = workload("web");
    let sources = [source(&web, 1), source(&web, 2)];
    journal.append(&web, lines_of(&sources[0], 0..5), 0);
    journal.append(&web, lines_of(&sources[1], 5..7), 0);
    let head = journal.head();
    maker.end(journal, false);
    let journal = maker.open(LIMITS);
    let mut last: Vec<_> = journal
        .last_lines()
        .iter()
        .map(|attempt| (attempt.source.attempt, attempt.line.unwrap().time, attempt.is_over()))
        .collect();
    last.sort_unstable();
    assert_eq!(last, [(1, 4, false), (2, 6, false)]);
    // A closed store remembers what is not proven.
    let before = journal.restart().unwrap().through;
    maker.end(journal, true);
    let journal = maker.open(LIMITS);
    assert!(journal.restart().is_none());
    journal.proven(&web, &sources[0].key);
    assert_eq!(read_all(&journal.shelf(&web), 0).1.len(), 1);
    journal.proven(&web, &sources[1].key);
    assert_eq!(read_all(&journal.shelf(&web), 0), ((0..7).collect(), vec![]));
    // Killed again: these logs were not heard of, so nothing of them can be lost this time.
    maker.end(journal, false);
    let journal = maker.open(LIMITS);
    let restart = journal.restart().unwrap().clone();
    assert!(restart.workloads.is_empty() && restart.through > before);
    assert!(journal.lost(before) && journal.lost(restart.through), "of every restart");
    assert!(!journal.lost(head) && !journal.lost(restart.through + 1));
    // They were heard since, so what the first kill had lost of them was read or told of; what this
    // one may have lost is another matter.
    for source in &sources {
        journal.append(&web, change(source, SourceState::Following), 0);
    }
    maker.end(journal, false);
    let journal = maker.open(LIMITS);
    let through = journal.restart().unwrap().through;
    let (numbers, missed) = read_all(&journal.shelf(&web), 0);
    assert_eq!(numbers, (0..7).collect::<Vec<_>>());
    assert_eq!(missed.iter().map(|missed| missed.through).collect::<Vec<_>>(), [through]);
    for source in &sources {
        journal.proven(&web, &source.key);
    }
    assert_eq!(read_all(&journal.shelf(&web), 0), ((0..7).collect(), vec![]));
}

/// The last words of an attempt are there although its siblings pushed out what it said, and after a
/// restart; only of the last rollouts, and only the last of them.
fn last_words_outlive_their_siblings<M: Maker>(mut maker: M) {
    let limits = Limits { workload_bytes: 128 << 10, total_bytes: 4 << 20, ..LIMITS };
    let mut journal = maker.open(limits);
    let web = workload("web");
    let (crashed, talker, chatty) = (source(&web, 1), source(&web, 2), source(&web, 3));
    journal.append(&web, lines_of(&crashed, 0..20), 0);
    // Much more than last words are.
    for batch in 0..40 {
        journal.append(&web, lines_of(&talker, batch * 100..batch * 100 + 100), 0);
    }
    journal.append(&web, change(&crashed, SourceState::Ended), 0);
    journal.append(&web, change(&talker, SourceState::Ended), 0);
    for batch in 0..3_000 {
        journal.append(&web, lines_of(&chatty, batch * 50..batch * 50 + 50), 0);
        while journal.store().is_some_and(|status| status.lag_bytes > 1 << 20) {
            std::thread::yield_now();
        }
    }
    for round in 0..2 {
        let shelf = journal.shelf(&web);
        assert!(shelf.oldest().unwrap().1 > 4_100, "the shelf forgot them");
        let said = |source: &Arc<crate::ids::Source>| -> Vec<i64> {
            let mut numbers = Vec::new();
            for slice in journal.last_words(&source.key) {
                let Entry::Lines(lines) = slice.entry else { panic!("a line") };
                assert_eq!(lines.source.key, source.key);
                for line in &lines.lines[slice.from..] {
                    let text = std::str::from_utf8(lines.bytes_of(line)).unwrap();
                    assert_eq!(text, words(&web, line.time));
                    numbers.push(line.time);
                }
            }
            numbers
        };
        assert!(said(&crashed).into_iter().eq(0..20), "round {round}");
        let talked = said(&talker);
        let bytes: usize = talked.iter().map(|number| words(&web, *number).len()).sum();
        assert!((60 << 10..=64 << 10).contains(&bytes), "round {round}: {bytes}");
        assert!(talked.iter().copied().eq(4_000 - talked.len() as i64..4_000), "round {round}");
        assert_eq!(said(&chatty).last(), Some(&149_999));
        let ended: Vec<_> =
            shelf.ended_attempts().iter().map(|ended| ended.change.source.attempt).collect();
        assert_eq!(ended, [1, 2], "round {round}");
        // They are no part of what is read.
        assert!(kept(&journal, &web)[0] > 20);
        if !M::PERSISTS {
            break;
        }
        drop(shelf);
        maker.end(journal, true);
        journal = maker.open(limits);
    }
    for generation in 0..25 {
        journal.append(&web, rollout(generation), 0);
    }
    assert!(journal.last_words(&crashed.key).is_empty());
    assert!(journal.shelf(&web).ended_attempts().is_empty());
}

macro_rules! conforms {
    ($store:ident, $maker:expr, $($test:ident),+) => {
        mod $store {
            use super::*;

            $(#[test]
            fn $test() {
                super::$test($maker);
            })+
        }
    };
    ($store:ident, $maker:expr) => {
        conforms!(
            $store,
            $maker,
            numbers_follow_each_other,
            every_line_is_delivered_or_counted,
            limits_hold,
            a_chatty_workload_costs_the_others_nothing,
            a_kill_is_told_where_it_can_have_cost_lines,
            a_proof_closes_the_hole_of_a_kill,
            last_words_outlive_their_siblings
        );
    };
}

conforms!(memory, Memory(fastrand::Rng::with_seed(1)));
conforms!(files, Files(tempfile::tempdir().unwrap(), fastrand::Rng::with_seed(1)));
