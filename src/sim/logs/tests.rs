//! The file model against the facts measured on a real kubelet.

use super::*;
use crate::time::{SECOND, rfc3339};

const T0: i64 = 1_795_356_000 * SECOND;

/// The stamp as the kubelet writes it.
fn stamp(time: i64) -> String {
    let text = rfc3339(time);
    if time % SECOND == 0 { text.replace('Z', ".000000000Z") } else { text }
}

fn log(max: usize) -> Log {
    Log::new(max, 1 << 20)
}

fn options() -> ReadOptions {
    ReadOptions { timestamps: true, ..ReadOptions::default() }
}

/// Reads until the reader waits or ends.
fn drain(reader: &mut Reader, log: &Log) -> (String, Step) {
    let mut text = Vec::new();
    loop {
        let mut piece = Vec::new();
        match reader.step(log, &mut piece, 1_000) {
            Step::Data => text.extend_from_slice(&piece),
            step => return (String::from_utf8(text).unwrap(), step),
        }
    }
}

fn read(log: &Log, options: &ReadOptions) -> String {
    drain(&mut Reader::open(log, options), log).0
}

#[test]
fn a_long_line_is_stored_in_pieces_and_joined_with_one_stamp() {
    let log = log(1 << 20);
    let long = "x".repeat(40_000);
    log.batch().line(Pipe::Out, T0 + 1, long.as_bytes());
    log.batch().line(Pipe::Out, T0 + 2, b"next");
    let expected = format!("{} {long}\n{} next\n", stamp(T0 + 1), stamp(T0 + 2));
    assert_eq!(read(&log, &options()), expected);
    let plain = ReadOptions { timestamps: false, ..options() };
    assert_eq!(read(&log, &plain), format!("{long}\nnext\n"));
}

#[test]
fn tail_counts_pieces_so_it_may_begin_inside_a_line_with_a_stamp() {
    let log = log(1 << 20);
    let long = "x".repeat(PIECE_BYTES + 5);
    log.batch().line(Pipe::Out, T0, long.as_bytes());
    log.batch().line(Pipe::Out, T0 + 9_000, b"next");
    let tail = |tail| read(&log, &ReadOptions { tail: Some(tail), ..options() });
    let inside = format!("{} xxxxx\n", stamp(T0 + PIECE_STEP));
    assert_eq!(tail(2), format!("{inside}{} next\n", stamp(T0 + 9_000)));
    assert_eq!(tail(1), format!("{} next\n", stamp(T0 + 9_000)));
    assert_eq!(tail(0), "");
    assert_eq!(tail(99), read(&log, &options()));
}

#[test]
fn since_is_applied_to_each_piece_so_the_rest_of_an_older_line_comes_without_stamp() {
    let log = log(1 << 20);
    let since = T0 + SECOND;
    let long = "x".repeat(PIECE_BYTES + 5);
    // Its first piece is 1 µs too old, its second is not.
    log.batch().line(Pipe::Out, since - PIECE_STEP / 2, long.as_bytes());
    log.batch().line(Pipe::Out, since + SECOND, b"next");
    let text = read(&log, &ReadOptions { since: Some(since), ..options() });
    assert_eq!(text, format!("xxxxx\n{} next\n", stamp(since + SECOND)));
}

#[test]
fn since_is_inclusive_and_a_clock_that_steps_back_makes_the_follow_deaf() {
    let log = log(1 << 20);
    log.batch().line(Pipe::Out, T0 - 1, b"older");
    log.batch().line(Pipe::Out, T0, b"equal");
    let options = ReadOptions { since: Some(T0), follow: true, ..options() };
    let mut reader = Reader::open(&log, &options);
    assert_eq!(drain(&mut reader, &log), (format!("{} equal\n", stamp(T0)), Step::Wait));
    log.batch().line(Pipe::Out, T0 - 60 * SECOND, b"after the step");
    assert_eq!(drain(&mut reader, &log).0, "");
}

#[test]
fn a_prompt_follow_reads_on_across_a_rotation_and_a_fresh_read_sees_the_newest_file_only() {
    let log = log(1 << 20);
    let mut reader = Reader::open(&log, &ReadOptions { follow: true, ..options() });
    log.batch().line(Pipe::Out, T0, b"one");
    log.rotate();
    log.batch().line(Pipe::Out, T0 + 1, b"two");
    let both = format!("{} one\n{} two\n", stamp(T0), stamp(T0 + 1));
    assert_eq!(drain(&mut reader, &log), (both, Step::Wait));
    assert_eq!(read(&log, &options()), format!("{} two\n", stamp(T0 + 1)));
}

#[test]
fn a_follow_that_lags_by_two_rotations_skips_a_file_and_then_repeats_one() {
    let log = log(1 << 20);
    let mut reader = Reader::open(&log, &ReadOptions { follow: true, ..options() });
    for (at, text) in ["one", "two", "three"].into_iter().enumerate() {
        if at > 0 {
            log.rotate();
        }
        log.batch().line(Pipe::Out, T0 + at as i64, text.as_bytes());
    }
    let three = format!("{} three\n", stamp(T0 + 2));
    let expected = format!("{} one\n{three}{three}", stamp(T0));
    assert_eq!(drain(&mut reader, &log), (expected, Step::Wait));
}

#[test]
fn a_file_is_rotated_at_its_size_also_inside_a_long_line() {
    let log = log(20_000);
    let mut reader = Reader::open(&log, &ReadOptions { follow: true, ..options() });
    let long = "x".repeat(PIECE_BYTES * 2 + 7);
    log.batch().line(Pipe::Out, T0, long.as_bytes());
    assert_eq!(log.written().rotations, 1);
    // The follow has both halves; whoever comes now has an end with a stamp of its own.
    assert_eq!(drain(&mut reader, &log).0, format!("{} {long}\n", stamp(T0)));
    assert_eq!(read(&log, &options()), format!("{} xxxxxxx\n", stamp(T0 + 2 * PIECE_STEP)));
}

#[test]
fn bytes_without_line_end_are_kept_back_until_the_line_or_the_container_ends() {
    let log = log(1 << 20);
    let mut reader = Reader::open(&log, &ReadOptions { follow: true, ..options() });
    log.batch().bytes(Pipe::Out, T0, b"half a ");
    assert_eq!(drain(&mut reader, &log), (String::new(), Step::Wait));
    log.batch().bytes(Pipe::Err, T0 + 1, b"an error\n");
    log.batch().bytes(Pipe::Out, T0 + 2, b"line\nrest");
    let text = format!("{} an error\n{} half a line\n", stamp(T0 + 1), stamp(T0 + 2));
    assert_eq!(drain(&mut reader, &log), (text, Step::Wait));
    log.end(T0 + 3);
    assert_eq!(drain(&mut reader, &log), (format!("{} rest", stamp(T0 + 3)), Step::End));
}

#[test]
fn a_carriage_return_before_the_line_end_is_dropped_and_others_stay() {
    let log = log(1 << 20);
    log.batch().bytes(Pipe::Out, T0, b"10%\r20%\r\nnext\n");
    assert_eq!(read(&log, &options()), format!("{0} 10%\r20%\n{0} next\n", stamp(T0)));
}

#[test]
fn limit_bytes_cuts_anywhere() {
    let log = log(1 << 20);
    log.batch().line(Pipe::Out, T0, "grün".as_bytes());
    let options = ReadOptions { limit: Some(34), ..options() };
    let mut reader = Reader::open(&log, &options);
    let mut text = Vec::new();
    assert_eq!(reader.step(&log, &mut text, 1_000), Step::Data);
    assert_eq!(text.len(), 34, "in the middle of the ü");
    assert_eq!(reader.step(&log, &mut Vec::new(), 1_000), Step::End);
}

#[test]
fn the_truth_counts_what_the_file_has_forgotten() {
    let log = log(1_000);
    for number in 0..100 {
        log.batch().line(Pipe::Out, T0 + number, b"a line of some length");
    }
    log.end(T0 + 100);
    let written = log.written();
    assert_eq!((written.lines, written.bytes, written.ended), (100, 2_200, true));
    assert!(written.rotations > 3 && read(&log, &options()).lines().count() < 20);
    assert_eq!(written.text.split(|byte| *byte == b'\n').count(), 101);
}
