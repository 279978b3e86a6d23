//! The client of the fan-out: many viewers, few of which look at every byte.
//!
//! A sampled viewer parses events, checks that each line comes once and in order, and notes the time
//! from the line's stamp to its arrival. The others only count bytes, which the kernel discards
//! (`MSG_TRUNC`): so the client does not bound the run. Where all viewers are sent the same bytes,
//! their counts must equal those of a sampled one. The last of them may be slow on purpose, or read
//! nothing at all.

use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rollcast::time::{self, parse_stamp};
use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::{TcpSocket, TcpStream};
use tokio_util::task::TaskTracker;

use crate::Outcome;
use crate::check::right;
use crate::cluster::Cluster;
use crate::process::{Args, Role, complain, say};

/// Linux' flag for "discard what you would copy".
const MSG_TRUNC: i32 = 0x20;
/// Viewers that look at everything.
const SAMPLED: usize = 5;
/// Bytes of one read.
const READ: usize = 256 * 1024;
/// What says that a viewer has caught up.
pub const LIVE: &[u8] = b"event: live\n";
/// Bytes a second that a slow viewer takes.
const TRICKLE: usize = 1024;
/// Bytes that the kernel keeps for a slow viewer: as few as it lets one have, or it would take the
/// whole run for a slow one without the server's noticing.
const SLOW_BUFFER: u32 = 4096;
/// Of so many lines one has its delay noted; a minute of all would fill the memory.
const NOTE_EVERY: u64 = 16;
/// How long stragglers may take after the last line.
const PATIENCE: Duration = Duration::from_secs(15);

/// What all viewers share.
#[derive(Debug, Default)]
pub struct Board {
    live: AtomicUsize,
    /// Bytes since live, of all viewers.
    bytes: AtomicU64,
    /// Lines that the sampled ones saw.
    lines: AtomicU64,
    wrong: AtomicU64,
    /// Nanoseconds from stamp to receipt, while `noting`.
    delays: Mutex<Vec<i64>>,
    noting: AtomicBool,
    /// Whether numbers are looked at; a floor repeats one line.
    checking: bool,
}

/// One viewer's count of bytes since live.
type Counted = Arc<AtomicU64>;

/// How a viewer reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// Everything at once, and looks at it.
    Looking,
    /// Everything at once.
    Counting,
    /// A trickle.
    Slow,
    /// Nothing once it is live.
    Still,
}

pub async fn run(args: &Args) -> Outcome {
    let (port, viewers) = (args.get("port", 0u16), args.get("viewers", 1_000usize));
    let path = args.word("path");
    let (warm, window) = (args.get("warm", 1u64), args.get("window", 6u64));
    let board = Arc::new(Board { checking: args.get("check", true), ..Board::default() });
    let (slow, still) = (args.get("slow", 0usize), args.get("still", 0usize));
    let brisk = viewers - slow - still;
    let tasks = TaskTracker::new();
    let mut counts = Vec::new();
    for at in 0..viewers {
        let counted = Counted::default();
        if at < brisk {
            counts.push(counted.clone());
        }
        let pace = match at {
            _ if at < SAMPLED => Pace::Looking,
            _ if at < brisk => Pace::Counting,
            _ if at < brisk + slow => Pace::Slow,
            _ => Pace::Still,
        };
        let (board, path) = (board.clone(), path.clone());
        tasks.spawn(async move {
            if let Err(error) = view(port, &path, pace, &board, &counted).await {
                complain(&format!("viewer {at}: {error}"));
                board.wrong.fetch_add(1, Ordering::Relaxed);
            }
        });
        // The backlog of a listener is bounded.
        if at % 100 == 99 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    until(|| board.live.load(Ordering::Relaxed) == viewers).await?;
    say("live");
    until(|| board.lines.load(Ordering::Relaxed) > 0).await?;
    tokio::time::sleep(Duration::from_secs(warm)).await;
    let sampled = |counts: &[Counted]| -> u64 {
        counts.iter().take(SAMPLED).map(|count| count.load(Ordering::Relaxed)).sum()
    };
    let read = || (sampled(&counts), board.bytes.load(Ordering::Relaxed), board.lines());
    let before = read();
    board.noting.store(true, Ordering::Relaxed);
    let begun = tokio::time::Instant::now();
    say("begin");
    tokio::time::sleep(Duration::from_secs(window)).await;
    say("end");
    let (seconds, after) = (begun.elapsed().as_secs_f64(), read());
    board.noting.store(false, Ordering::Relaxed);
    let (own, bytes, lines) = (after.0 - before.0, after.1 - before.1, after.2 - before.2);
    let per_line = own as f64 / lines.max(1) as f64;
    let mut delays = std::mem::take(&mut *board.delays.lock());
    delays.sort_unstable();
    let share = |share: f64| {
        let at = (delays.len().saturating_sub(1) as f64 * share) as usize;
        delays.get(at).map_or(f64::NAN, |delay| *delay as f64 / 1e6)
    };
    say(&format!(
        "window seconds={seconds} bytes={bytes} per_line={per_line} deliveries={} p50={} p99={}",
        bytes as f64 / per_line,
        share(0.5),
        share(0.99)
    ));
    let wanted: u64 = args.get("lines", 0);
    let all = wanted * SAMPLED.min(viewers) as u64;
    let equal = || {
        let first = counts[0].load(Ordering::Relaxed);
        counts.iter().filter(|count| count.load(Ordering::Relaxed) != first).count()
    };
    if wanted > 0 {
        let begun = tokio::time::Instant::now();
        while (board.lines() < all || equal() > 0) && begun.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    say(&format!(
        "checked wrong={} lines={} wanted={all} unequal={}",
        board.wrong.load(Ordering::Relaxed),
        board.lines(),
        equal()
    ));
    Ok(())
}

async fn until(what: impl Fn() -> bool) -> Outcome {
    let begun = tokio::time::Instant::now();
    while !what() {
        if begun.elapsed() > Duration::from_secs(40) {
            return Err("the viewers do not get what they wait for".into());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

async fn view(port: u16, path: &str, pace: Pace, board: &Board, counted: &Counted) -> Outcome {
    let socket = TcpSocket::new_v4()?;
    if matches!(pace, Pace::Slow | Pace::Still) {
        socket.set_recv_buffer_size(SLOW_BUFFER)?;
    }
    let mut socket = socket.connect(([127, 0, 0, 1], port).into()).await?;
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n");
    socket.write_all(request.as_bytes()).await?;
    let mut first = Vec::new();
    let mut buffer = vec![0; 16 * 1024];
    let rest = loop {
        let n = socket.read(&mut buffer).await?;
        if n == 0 {
            return Err(String::from_utf8_lossy(&first).into());
        }
        first.extend_from_slice(&buffer[..n]);
        if let Some(at) = memchr::memmem::find(&first, LIVE) {
            // The event ends with an empty line, the chunk that it came in with CR LF.
            break at;
        }
    };
    // All of the chunk that holds the event must be here before bytes are counted.
    while !first[rest..].ends_with(b"\n\n\r\n") && !first[rest..].ends_with(b"\n\n") {
        let n = socket.read(&mut buffer).await?;
        first.extend_from_slice(&buffer[..n]);
    }
    drop(first);
    board.live.fetch_add(1, Ordering::Relaxed);
    match pace {
        Pace::Looking => look(socket, board, counted).await,
        Pace::Counting => skim(socket, board, counted).await,
        Pace::Slow => trickle(socket).await,
        // Holds the socket until the process ends.
        Pace::Still => std::future::pending().await,
    }
}

/// Reads so little that it falls behind.
async fn trickle(mut socket: TcpStream) -> Outcome {
    let mut buffer = vec![0; TRICKLE / 4];
    while socket.read(&mut buffer).await? > 0 {
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    Err("the server ended the stream".into())
}

/// Reads and discards.
async fn skim(socket: TcpStream, board: &Board, counted: &Counted) -> Outcome {
    // `MSG_TRUNC` writes nothing there, so these pages are never touched.
    let mut room: Vec<u8> = Vec::with_capacity(READ);
    let room: &mut [MaybeUninit<u8>] = room.spare_capacity_mut();
    loop {
        socket.readable().await?;
        let read = socket
            .try_io(Interest::READABLE, || SockRef::from(&socket).recv_with_flags(room, MSG_TRUNC));
        match read {
            Ok(0) => return Err("the server ended the stream".into()),
            Ok(n) => {
                counted.fetch_add(n as u64, Ordering::Relaxed);
                board.bytes.fetch_add(n as u64, Ordering::Relaxed);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Reads and looks at every line.
async fn look(mut socket: TcpStream, board: &Board, counted: &Counted) -> Outcome {
    let mut parser = Parser::default();
    let mut buffer = vec![0; READ];
    loop {
        let n = socket.read(&mut buffer).await?;
        if n == 0 {
            return Err("the server ended the stream".into());
        }
        let now = time::now();
        parser.push(&buffer[..n], now, board);
        counted.fetch_add(n as u64, Ordering::Relaxed);
        board.bytes.fetch_add(n as u64, Ordering::Relaxed);
    }
}

/// Finds the lines of a log in chunked SSE.
#[derive(Default)]
pub struct Parser {
    carry: Vec<u8>,
    next: HashMap<Vec<u8>, u64>,
    last_id: Option<u64>,
    delays: Vec<i64>,
    seen: u64,
}

impl Parser {
    /// Takes what was received at this time (nanoseconds since 1970).
    pub fn push(&mut self, bytes: &[u8], now: i64, board: &Board) {
        let mut rest = std::mem::take(&mut self.carry);
        rest.extend_from_slice(bytes);
        let mut from = 0;
        let mut lines = 0;
        for end in memchr::memchr_iter(b'\n', &rest) {
            let line = &rest[from..end];
            from = end + 1;
            if let Some(data) = line.strip_prefix(b"data: ") {
                lines += u64::from(self.data(data, now, board));
            } else if let Some(id) = line.strip_prefix(b"id: ") {
                self.id(id, board);
            }
        }
        rest.drain(..from);
        self.carry = rest;
        board.lines.fetch_add(lines, Ordering::Relaxed);
        if board.noting.load(Ordering::Relaxed) {
            board.delays.lock().append(&mut self.delays);
        }
        self.delays.clear();
    }

    /// Ids must grow: ours are epoch, sequence and time, others' a number.
    fn id(&mut self, id: &[u8], board: &Board) {
        let text = std::str::from_utf8(id).unwrap_or_default();
        let number = text.split('-').nth(1).unwrap_or(text).parse().ok();
        // Private frames repeat the last id.
        if board.checking && (number.is_none() || number < self.last_id) {
            board.wrong.fetch_add(1, Ordering::Relaxed);
        }
        self.last_id = number;
    }

    /// Whether it is a numbered line of a log.
    fn data(&mut self, data: &[u8], now: i64, board: &Board) -> bool {
        // What is no text may contain anything, so it is known by where it begins.
        let binary = memchr::memmem::find(data, b"\"text\":\"B1 ").map(|at| at + 8);
        let numbered = || memchr::memmem::find(data, b"W1 ");
        let Some(start) = binary.or_else(numbered) else { return false };
        if !board.checking {
            return true;
        }
        self.seen += 1;
        let stamp = data.strip_prefix(b"{\"time\":\"").unwrap_or(data);
        let noted = self.seen.is_multiple_of(NOTE_EVERY).then(|| parse_stamp(stamp)).flatten();
        self.delays.extend(noted.map(|(time, _)| now - time));
        let text = &data[start..];
        let text = &text[..memchr::memchr(b'"', text).unwrap_or(text.len())];
        let source = text.split(|byte| *byte == b' ').nth(2).filter(|_| binary.is_none());
        let source = source.unwrap_or_default();
        if let Some(next) = self.next.get_mut(source) {
            board.wrong.fetch_add(u64::from(!right(text, *next)), Ordering::Relaxed);
            *next += 1;
        } else {
            board.wrong.fetch_add(u64::from(!right(text, 0)), Ordering::Relaxed);
            self.next.insert(source.to_vec(), 1);
        }
        true
    }
}

/// What a load did while it was watched.
pub struct Window {
    /// CPU time of the server, in seconds.
    pub cpu: f64,
    pub told: Args,
    pub checked: Args,
}

/// Lets a client that reads live go through its window, in which so many pods of `web` write.
pub fn window(
    client: &mut Role,
    cluster: &mut Cluster,
    pods: u32,
    server: &Role,
) -> Outcome<Window> {
    client.hear("live")?;
    cluster.scale("web", pods)?;
    client.hear("begin")?;
    let before = server.cpu();
    client.hear("end")?;
    let cpu = server.cpu() - before;
    Ok(Window { cpu, told: client.hear_args("window")?, checked: client.hear_args("checked")? })
}

impl Board {
    /// One that looks at every line.
    pub fn checking() -> Board {
        Board { checking: true, ..Board::default() }
    }

    /// Lines so far.
    pub fn lines(&self) -> u64 {
        self.lines.load(Ordering::Relaxed)
    }

    /// Of those, what was wrong.
    pub fn wrong(&self) -> u64 {
        self.wrong.load(Ordering::Relaxed)
    }
}
