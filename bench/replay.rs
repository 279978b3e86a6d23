//! A journal of a million lines is read again: from its beginning, its middle and its end, by one viewer
//! and by a hundred at once.

use std::sync::Arc;
use std::time::Duration;

use rollcast::time;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::Outcome;
use crate::cluster::{Cluster, LINE, Writers};
use crate::fanout::{Serving, serve_with};
use crate::load::{Board, LIVE, Parser};
use crate::process::{Args, Role, say, wait};
use crate::report::{Row, median};

const PODS: u32 = 10;
const LINES: u64 = 1_000_000;
/// Time in which they were written.
const PAST: Duration = Duration::from_secs(40);
const TICK: Duration = Duration::from_millis(50);
/// Viewers that come back at once.
const CROWD: u64 = 100;
/// Bytes of one read.
const READ: usize = 256 * 1024;
/// The lines, and what the journal keeps with each.
const JOURNAL: [&str; 4] = ["--journal-bytes", "512MiB", "--journal-workload-bytes", "512MiB"];
/// What ids begin with in a stream.
const ID: &[u8] = b"\nid: ";
const PATH: &str = "/api/v1/namespaces/bench/deployment/web/stream";

pub fn run(args: &Args) -> Outcome<Vec<Row>> {
    let repeats = args.get("repeats", 3);
    let each = LINES / u64::from(PODS);
    let writers =
        Writers { name: "web", pods: PODS, rate: each as f64 / 30.0, lines: each, binary: false };
    let cluster = Cluster::start(&[writers], TICK, PAST)?;
    let options = [&JOURNAL[..], &["--backfill-lines", "1000000"]].concat();
    let server = serve_with(&cluster, &options)?;
    // Reads the logs, so that the journal has them, and checks that it has all.
    let filled = replay(&server, &format!("{PATH}?since=1h"), "", 1, true)?;
    let (lines, wrong) = (filled.get("lines", 0u64), filled.get("wrong", 1u64));
    if lines != LINES || wrong != 0 {
        return Err(format!("{lines} of {LINES} lines were read, {wrong} wrong").into());
    }
    let places = [("start", "before"), ("middle", "middle"), ("end", "last")];
    let mut rows = Vec::new();
    for (name, id) in places {
        let id = filled.word(id);
        let mut took = Vec::new();
        for _ in 0..repeats {
            took.push(replay(&server, PATH, &id, 1, false)?);
        }
        let of = |what: &str| median(took.iter().map(|one| one.get(what, f64::NAN)));
        let row = Row::new(&format!("replay, 1,000,000 lines, from the {name}"), "rollcast")
            .figure("ms to the first byte", of("first"));
        rows.push(if name == "end" {
            row.note("target 10 ms")
        } else {
            let part = if name == "start" { LINES } else { LINES / 2 };
            let text = part as f64 * LINE as f64 / of("seconds") / 1e6;
            row.figure("MB/s", of("bytes") / of("seconds") / 1e6)
                .figure("MB/s of text", text)
                .note("target 10 ms, 300 MB/s")
        });
    }
    let again = replay(&server, PATH, &filled.word("before"), 1, true)?;
    if (again.get("lines", 0u64), again.get("wrong", 1u64)) != (LINES, 0) {
        return Err("a replay was not what was read at first".into());
    }
    rows.push(crowd(&server, &filled.word("before"))?);
    Ok(rows)
}

/// A hundred at once, and what they cost in memory.
fn crowd(server: &Serving, id: &str) -> Outcome<Row> {
    let before = server.role.status_kib("VmRSS");
    let mut client = start(server, PATH, id, CROWD, false)?;
    let mut most = before;
    let mut samples = 0;
    let told = std::thread::scope(|scope| {
        let told = scope.spawn(move || client.hear_args("replayed"));
        while !told.is_finished() {
            most = most.max(server.role.status_kib("VmRSS"));
            samples += 1;
            wait(Duration::from_millis(10));
        }
        told.join().map_err(|_| "the clients' thread failed")
    })??;
    Ok(Row::new("replay, 100 viewers at once from the start", "rollcast")
        .figure("KiB more for each", (most - before).max(0.0) / CROWD as f64)
        .figure("MB/s", told.get("bytes", f64::NAN) / told.get("seconds", f64::NAN) / 1e6)
        .figure("ms to the first byte", told.get("first", f64::NAN))
        .note(&format!(
            "target 64 KiB; {:.0} MiB resident before; {samples} looks",
            before / 1024.0
        )))
}

fn start(server: &Serving, path: &str, id: &str, viewers: u64, check: bool) -> Outcome<Role> {
    let args = [
        format!("port={}", server.port),
        format!("path={path}"),
        format!("id={id}"),
        format!("viewers={viewers}"),
        format!("check={check}"),
    ];
    Role::start("replay", &args)
}

fn replay(server: &Serving, path: &str, id: &str, viewers: u64, check: bool) -> Outcome<Args> {
    start(server, path, id, viewers, check)?.hear_args("replayed")
}

/// What one viewer saw until it was live, or one that checks until it had every line.
#[derive(Debug, Default)]
struct Seen {
    /// Until the first byte of the body, in milliseconds.
    first: f64,
    bytes: u64,
    /// Ids of the record before the first line, of the line in the middle, and of the last.
    ids: [String; 3],
}

/// The viewers' process.
pub async fn client(args: &Args) -> Outcome {
    let board = Arc::new(Board::checking());
    let (port, check) = (args.get("port", 0u16), args.get("check", false));
    let (path, id) = (args.word("path"), args.word("id"));
    let begun = Instant::now();
    let mut viewers = JoinSet::new();
    for _ in 0..args.get("viewers", 1) {
        let (path, id, board) = (path.clone(), id.clone(), board.clone());
        viewers.spawn(async move { view(port, &path, &id, check.then_some(&*board)).await });
    }
    let mut seen = Vec::new();
    while let Some(one) = viewers.join_next().await {
        seen.push(one??);
    }
    let seconds = begun.elapsed().as_secs_f64();
    let [before, middle, last] = seen.last().map(|one| one.ids.clone()).unwrap_or_default();
    say(&format!(
        "replayed seconds={seconds} before={before} middle={middle} last={last} first={} bytes={} \
         lines={} wrong={}",
        median(seen.iter().map(|one| one.first)),
        seen.iter().map(|one| one.bytes).sum::<u64>(),
        board.lines(),
        board.wrong(),
    ));
    Ok(())
}

async fn view(port: u16, path: &str, id: &str, board: Option<&Board>) -> Outcome<Seen> {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await?;
    let resume = if id.is_empty() { String::new() } else { format!("last-event-id: {id}\r\n") };
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n{resume}\r\n"
    );
    let begun = Instant::now();
    socket.write_all(request.as_bytes()).await?;
    let mut buffer = vec![0; READ];
    let mut seen = Seen::default();
    let mut parser = Parser::default();
    let mut carried = 0;
    loop {
        // The first reader may be live before the logs have been read to their ends.
        if board.is_some_and(|board| board.lines() >= LINES) {
            return Ok(seen);
        }
        let n = socket.read(&mut buffer[carried..]).await?;
        if n == 0 {
            return Err("the server ended the stream".into());
        }
        if seen.bytes == 0 {
            seen.first = begun.elapsed().as_secs_f64() * 1e3;
        }
        seen.bytes += n as u64;
        let end = carried + n;
        if let Some(board) = board {
            let new = &buffer[carried..end];
            parser.push(new, time::now(), board);
            seen.note_ids(new, board.lines());
        }
        if board.is_none() && memchr::memmem::find(&buffer[..end], LIVE).is_some() {
            return Ok(seen);
        }
        // The words may be cut in two by the end of the buffer.
        carried = (LIVE.len() - 1).min(end);
        buffer.copy_within(end - carried..end, 0);
    }
}

/// The id whose field begins here.
fn id_at(bytes: &[u8], at: usize) -> Option<String> {
    let rest = &bytes[at + ID.len()..];
    Some(String::from_utf8_lossy(&rest[..memchr::memchr(b'\n', rest)?]).into_owned())
}

// === impl Seen ===

impl Seen {
    /// Remembers the ids that are wanted, if they stand whole in what was received.
    fn note_ids(&mut self, bytes: &[u8], lines: u64) {
        if self.ids[0].is_empty() {
            let first = memchr::memmem::find(bytes, ID).and_then(|at| id_at(bytes, at));
            self.ids[0] = first.unwrap_or_default();
        }
        let last = memchr::memmem::rfind(bytes, ID).and_then(|at| id_at(bytes, at));
        let Some(id) = last else { return };
        if lines <= LINES / 2 {
            self.ids[1].clone_from(&id);
        }
        self.ids[2] = id;
    }
}
