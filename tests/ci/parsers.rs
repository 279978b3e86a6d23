//! What a container prints, as six parsers of Server-Sent Events that others wrote read it: every byte, every
//! pair of bytes, every Unicode scalar and what forges events, through the whole service and a proxy that
//! hands on pieces of any size.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use eventsource_stream::Eventsource as _;
use futures_util::StreamExt as _;
use rollcast::sim::Pipe;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::stage::{HOSTILE, Stage};

/// More than the slowest reader takes for all of it on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// Scalars in a line: some lines of a few kilobytes are a corpus that nobody has to wait for.
const SCALARS: usize = 512;

/// What would be fields, events or ends of lines to somebody, if it stood as it is.
const FORGED: [&str; 14] = [
    "data: x",
    "event: result",
    "id: 7k2m9q-9-9",
    ": comment",
    "retry: 1",
    "\revent: result\rdata: {\"outcome\":\"succeeded\"}\r\r",
    "\r\n\r\nevent: bye\r\ndata: {}\r\n\r\n",
    "\u{feff}data: behind a byte order mark",
    "\u{2028}data: behind a line separator\u{2029}\u{85}\u{b}\u{c}",
    "\u{0}id: \u{0}",
    "\",\"text\":\"twice\",\"key\":\"x",
    "\\u000aevent: result\\n\\",
    "</script><script>alert(1)</script>",
    "{\"level\":\"error\",\"msg\":\"\\\"quoted\\\"\"}",
];

/// What is printed, piece by piece; each ends a line.
fn corpus() -> Vec<Vec<u8>> {
    let mut printed: Vec<Vec<u8>> = (0..=255).map(|byte| vec![b'<', byte, b'>', b'\n']).collect();
    for first in 0..=255u8 {
        let pairs = (0..=255).flat_map(|second| [first, second, b'|']);
        printed.push(pairs.chain([b'\n']).collect());
    }
    let scalars: Vec<char> = ('\u{0}'..=char::MAX).filter(|c| *c != '\n').collect();
    let line = |some: &[char]| some.iter().chain(&['\n']).collect::<String>().into_bytes();
    printed.extend(scalars.chunks(SCALARS).map(line));
    let hostile = FORGED.iter().chain(&HOSTILE);
    printed.extend(hostile.map(|text| format!("{text}\n").into_bytes()));
    printed
}

/// The lines that this makes, as a reader is to see them. containerd takes a carriage return before the end
/// of a line for a part of that end.
fn lines(printed: &[Vec<u8>]) -> Vec<String> {
    let all = printed.concat();
    let lines = all.strip_suffix(b"\n").unwrap().split(|byte| *byte == b'\n');
    let kept = |line: &'_ [u8]| -> String {
        String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned()
    };
    lines.map(kept).collect()
}

/// Hands on to the service; what it answers comes in pieces from one byte to a few thousand, each in a packet
/// of its own.
async fn splitter(service: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for seed in 0.. {
            let (client, _) = listener.accept().await.unwrap();
            tokio::spawn(split(client, service, fastrand::Rng::with_seed(seed)));
        }
    });
    address
}

async fn split(client: TcpStream, service: SocketAddr, mut random: fastrand::Rng) -> Option<()> {
    client.set_nodelay(true).ok()?;
    let (mut asks, mut hears) = client.into_split();
    let (mut answers, mut asked) = TcpStream::connect(service).await.ok()?.into_split();
    tokio::spawn(async move { tokio::io::copy(&mut asks, &mut asked).await });
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = answers.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
        let mut rest = &buffer[..read];
        while !rest.is_empty() {
            // As likely between one and two bytes as between two and four thousand.
            let size = 1usize << random.u32(0..12);
            let (piece, behind) = rest.split_at(random.usize(size..=2 * size).min(rest.len()));
            hears.write_all(piece).await.ok()?;
            rest = behind;
        }
    }
}

/// A program that reads so many events from a URL.
struct Reader {
    name: &'static str,
    program: &'static str,
    file: &'static str,
}

const READERS: [Reader; 5] = [
    Reader { name: "EventSource of Chromium", program: "node", file: "chromium.mjs" },
    Reader { name: "eventsource-parser, Node.js", program: "node", file: "node.mjs" },
    Reader { name: "httpx-sse, Python", program: "python3", file: "httpx_reader.py" },
    Reader { name: "sseclient-py, Python", program: "python3", file: "plain_reader.py" },
    Reader { name: "go-sse, Go", program: "go-reader", file: "" },
];

/// Id and data of each `log` event.
type Read = Vec<(String, String)>;

impl Reader {
    fn read(&self, url: &str, wanted: usize) -> Read {
        let folder = folder();
        let mut command = match self.file {
            "" => Command::new(folder.join(self.program)),
            file => {
                let mut command = Command::new(self.program);
                command.arg(folder.join(file));
                command
            }
        };
        command.args([url, &wanted.to_string()]).env("PYTHONPATH", folder.join("python"));
        let output = self.run(&mut command);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {}\n{said}", self.name, output.status);
        let text = String::from_utf8(output.stdout).unwrap();
        let read = |line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line:?}: {said}"));
        text.lines().map(read).collect()
    }

    /// Runs it to its end, or ends it.
    fn run(&self, command: &mut Command) -> Output {
        let out = tempfile::NamedTempFile::new().unwrap();
        command.stdin(Stdio::null()).stdout(out.reopen().unwrap()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let began = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if began.elapsed() > PATIENCE {
                child.kill().unwrap();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let output = child.wait_with_output().unwrap();
        Output { stdout: std::fs::read(out.path()).unwrap(), ..output }
    }
}

fn folder() -> PathBuf {
    PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache/rollcast/readers")
}

/// The bytes of a stream, without the framing of HTTP, until so many `log` events are whole.
async fn wire(address: SocketAddr, path: &str, wanted: usize) -> Vec<u8> {
    let mut socket = TcpStream::connect(address).await.unwrap();
    // HTTP/1.0: the body is what comes until the end.
    let head = format!("Host: {address}\r\nAccept: text/event-stream");
    let request = format!("GET {path} HTTP/1.0\r\n{head}\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut all = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    let mark = b"\nevent: log\n";
    let (mut seen, mut looked) = (0, 0);
    while seen < wanted || !all.ends_with(b"\n\n") {
        let read = socket.read(&mut buffer).await.unwrap();
        assert!(read > 0, "the stream ended after {seen} of {wanted} events");
        all.extend_from_slice(&buffer[..read]);
        seen += memchr::memmem::find_iter(&all[looked..], mark).count();
        looked = all.len().saturating_sub(mark.len() - 1).max(looked);
    }
    let head = memchr::memmem::find(&all, b"\r\n\r\n").unwrap() + 4;
    all.split_off(head)
}

/// What the parser of Rust makes of it, in pieces of any size, and how many events there are of each name.
async fn rust(bytes: &[u8]) -> (Read, BTreeMap<String, usize>) {
    let mut random = fastrand::Rng::with_seed(1);
    let mut pieces = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(random.usize(1..=4096).min(rest.len()));
        pieces.push(Ok::<_, std::io::Error>(piece.to_vec()));
        rest = behind;
    }
    let mut events = futures_util::stream::iter(pieces).eventsource();
    let (mut read, mut names) = (Vec::new(), BTreeMap::new());
    while let Some(event) = events.next().await {
        let event = event.unwrap();
        if event.event == "log" {
            read.push((event.id, event.data));
        }
        *names.entry(event.event).or_default() += 1;
    }
    (read, names)
}

fn check(name: &str, expected: &[String], read: &Read, first: &Read) {
    assert_eq!(read.len(), expected.len(), "{name}");
    for (at, ((_, data), text)) in read.iter().zip(expected).enumerate() {
        let event: Value = serde_json::from_str(data).unwrap_or_else(|error| {
            panic!("{name}: event {at} is no JSON: {error}\n{data}");
        });
        assert!(event["text"] == text.as_str(), "{name}: event {at}\nis  {data}\nnot {text:?}");
        let fields: Vec<_> = event.as_object().unwrap().keys().map(String::as_str).collect();
        let known =
            ["attempt", "container", "key", "level", "lossy", "pod", "side", "text", "time"];
        // The log was opened later than a second after its start: what is first in a file may have begun
        // in the one before, and nothing tells that it has not.
        let known = |field: &&str| known.contains(field) || at == 0 && **field == *"partial_head";
        assert!(fields.iter().all(known), "{name}: {fields:?}");
    }
    // The same events have the same ids and bytes, whoever reads them.
    let other = read.iter().zip(first).position(|(one, other)| one != other);
    assert_eq!(other, None, "{name}: {:?}", other.map(|at| (&read[at], &first[at])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_printed_is_what_every_parser_reads() {
    if !crate::has(&["readers", "browser"]) {
        return;
    }
    let stage = Stage::open(&["--auth", "none", "--journal-workload-bytes", "64MiB"]).await;
    stage.settle(&["web"]).await;
    let pod = stage.sim.pods("shop", "web")[0].name.clone();
    let printed = corpus();
    for piece in &printed {
        assert!(stage.sim.print("shop", &pod, "app", Pipe::Out, piece));
    }
    let mut expected = lines(&printed);
    // What the program says by itself when it starts.
    expected.insert(0, "starting web".to_owned());
    let wanted = expected.len();

    let path = "/api/v1/namespaces/shop/deployment/web/stream?since=1h&events=none";
    let bytes = tokio::time::timeout(PATIENCE, wire(stage.address, path, wanted)).await;
    let bytes = bytes.expect("all of it comes");
    let raw = bytes.iter().find(|byte| (**byte < 0x20 && **byte != b'\n') || **byte == 0x7f);
    assert_eq!(raw, None, "a control stands raw on the wire");
    let text = std::str::from_utf8(&bytes).unwrap();
    let odd = text
        .chars()
        .find(|c| matches!(c, '\u{80}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}'));
    assert_eq!(odd, None, "something stands raw on the wire that ends a line for somebody");
    let (first, names) = rust(&bytes).await;
    let known = ["hello", "live", "log", "pod", "result", "rollout", "source"];
    assert!(names.keys().all(|name| known.contains(&name.as_str())), "{names:?}");
    // Those of the service itself; a pod has added none.
    assert_eq!((names["hello"], names["result"]), (1, 1), "{names:?}");
    check("eventsource-stream, Rust", &expected, &first, &first);
    eprintln!("{wanted} lines, {} bytes on the wire", bytes.len());

    let url = format!("http://{}{path}", splitter(stage.address).await);
    for reader in &READERS {
        let began = Instant::now();
        let url = url.clone();
        let read = tokio::task::spawn_blocking(move || reader.read(&url, wanted)).await.unwrap();
        check(reader.name, &expected, &read, &first);
        eprintln!("{:<28} {} events, {:?}", reader.name, read.len(), began.elapsed());
    }
}
