//! Lines to Server-Sent Events with ids, in one thread: our encoder, and beside it what one would write with
//! kube and axum: `lines()` over the bytes of a log, an `Event` for each, axum's `Sse` over them.

use std::convert::Infallible;
use std::sync::Arc;

use axum::response::IntoResponse as _;
use axum::response::sse::{Event, Sse};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::io::{AsyncBufReadExt as _, Cursor};
use http_body_util::BodyExt as _;
use rollcast::ids::{AttemptKey, Kind, LineMeta, Lines, Side, Source, WorkloadId};
use rollcast::journal::Epoch;
use rollcast::time::SECOND;
use rollcast::wire::{Encoder, Format, Position};
use tokio::time::Instant;

use crate::report::{Row, median};
use crate::{Outcome, process};
use process::Args;

/// Lines of a batch, as a busy follower brings them in a tick.
const BATCH: usize = 500;
/// Lines of a run.
const TOTAL: usize = 1_000_000;
/// Bytes of a line, and nanoseconds from one to the next: those of a busy container, and of a quiet one whose
/// log is read from its begin.
const LINES: [(usize, i64); 3] = [(100, 100_000), (400, 100_000), (100, SECOND)];

pub fn run(args: &Args) -> Outcome<Vec<Row>> {
    let repeats: u32 = args.get("repeats", 5);
    let mut rows = Vec::new();
    for (length, apart) in LINES {
        let (lines, text) = batch(length, apart);
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        // In turns, so that what else the machine does falls on both alike.
        for _ in 0..repeats {
            ours.push(encode(&lines)?);
            theirs.push(process::block_on(events(&text, length))?);
        }
        let bytes = (TOTAL * length) as f64;
        let [ours, theirs] = [ours, theirs].map(|runs| median(runs.into_iter()));
        let row = |who: &str, seconds: f64| {
            let often = if apart == SECOND { "one a second" } else { "10,000 a second" };
            Row::new(&format!("encoding, lines of {length} B, {often}, one thread"), who)
                .figure("GB/s of text", bytes / seconds / 1e9)
                .figure("ns/line", seconds / TOTAL as f64 * 1e9)
                .ratio("rollcast's time", seconds / ours)
        };
        rows.push(row("rollcast, SSE with ids and keys", ours).note("target 1 GB/s, 10×"));
        rows.push(row("kube's `lines()`, axum `Event` and `Sse`", theirs).note("no key, no JSON"));
    }
    Ok(rows)
}

/// A batch, and the same lines as a log has them.
fn batch(length: usize, apart: i64) -> (Lines, Bytes) {
    let key = AttemptKey {
        uid: "0c1f6a52-6a30-4b0e-8a3e-3f4f5d1c2b7a".into(),
        container: "app".into(),
        container_id: "containerd://4f0a".into(),
    };
    let workload = Arc::new(WorkloadId::new("shop", Kind::Deployment, "web"));
    let source = Arc::new(Source { key, workload, pod: "web-6c9f-p7wqm".into(), attempt: 1 });
    let (mut text, mut log, mut lines) = (String::new(), String::new(), Vec::new());
    for number in 0..BATCH {
        let mut line = format!("INFO request {number} of \"shop\" took 12 ms, path=/cart/items ");
        while line.len() < length {
            line.push_str("abcdefghij");
        }
        line.truncate(length);
        lines.push(LineMeta {
            time: 1_795_356_131 * SECOND + number as i64 * apart,
            start: text.len() as u32,
            len: length as u32,
            truncated_bytes: 0,
            ordinal: 0,
            lossy: false,
            partial: false,
            partial_head: false,
        });
        text.push_str(&line);
        log.push_str(&line);
        log.push('\n');
    }
    let (text, lines) = (Bytes::from(text), lines.into());
    (Lines { source, side: Side::New, failed: false, text, lines }, log.into())
}

/// Seconds that all lines take, as a stream of a lively log writes them: each id with its line's own time.
fn encode(lines: &Lines) -> Outcome<f64> {
    let epoch = Epoch::parse("7k2m9q").ok_or("no epoch")?;
    let encoder = Encoder { format: Format::Sse, epoch, named: false, again: None };
    let mut out = Vec::new();
    let (begun, mut written, mut seq) = (Instant::now(), 0, 0);
    for _ in 0..TOTAL / BATCH {
        out.clear();
        let mut pen = encoder.pen(&mut out, lines);
        for line in lines.lines.iter() {
            seq += 1;
            pen.line(Position { seq, time: line.time }, line);
        }
        written += out.len();
    }
    let seconds = begun.elapsed().as_secs_f64();
    let mark = b"\ndata: {\"time";
    let events = out.windows(mark.len()).filter(|window| window == mark).count();
    if events != BATCH || written <= TOTAL * lines.text.len() / BATCH {
        return Err(format!("{events} events in a batch, {written} bytes").into());
    }
    Ok(seconds)
}

async fn events(text: &Bytes, length: usize) -> Outcome<f64> {
    let begun = Instant::now();
    let mut came = 0;
    for _ in 0..TOTAL / BATCH {
        let lines = Cursor::new(text.clone()).lines();
        let mut number = 0u64;
        // Nothing can be wrong with bytes in memory; that all came is checked below.
        let events = lines.filter_map(move |line| {
            number += 1;
            let event = |line| Event::default().id(number.to_string()).event("log").data(line);
            std::future::ready(line.ok().map(|line| Ok::<_, Infallible>(event(line))))
        });
        let mut body = Sse::new(events).into_response().into_body();
        while let Some(frame) = body.frame().await {
            came += frame?.into_data().map_or(0, |data| data.len());
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    if came <= TOTAL * length {
        return Err(format!("{came} bytes came").into());
    }
    Ok(seconds)
}
