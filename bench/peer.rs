//! The servers beside which the fan-out stands: axum's own `Sse` behind a broadcast channel, and a
//! bare loop of sends.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::response::sse::{Event, Sse};
use axum::routing::get;
use futures_util::io::AsyncBufReadExt as _;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::LogParams;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio_util::task::TaskTracker;

use crate::Outcome;
use crate::cluster::{CONTAINER, NAMESPACE};
use crate::process::{Args, complain, orders, say};
use crate::tails::pods;

/// Lines that the channel holds: six seconds of them.
const CHANNEL: usize = 65_536;

/// One message of the channel: an id, and a line or several joined by LF.
type Message = (u64, Arc<str>);

/// Where followers put their lines.
struct Hub {
    sender: broadcast::Sender<Message>,
    /// Number of the last line, and lines that wait to be sent together.
    gathered: Mutex<(u64, String)>,
    /// Lines are sent together that come within this time; one by one if zero.
    tick: Duration,
    lagged: AtomicU64,
}

/// kube's log streams, split into lines, through a broadcast channel to axum's `Sse`.
pub async fn sse(args: &Args) -> Outcome {
    let hub = Arc::new(Hub {
        sender: broadcast::Sender::new(CHANNEL),
        gathered: Mutex::default(),
        tick: Duration::from_millis(args.get("tick", 0)),
        lagged: AtomicU64::new(0),
    });
    let tasks = TaskTracker::new();
    let (args, told) = (args.clone(), hub.clone());
    tasks.spawn(async move {
        if let Err(error) = follow(&args, told).await {
            complain(&format!("peer: {error}"));
        }
    });
    let flusher = hub.clone();
    if !hub.tick.is_zero() {
        tasks.spawn(async move {
            loop {
                tokio::time::sleep(flusher.tick).await;
                flusher.flush();
            }
        });
    }
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    say(&format!("listens {}", listener.local_addr()?.port()));
    let router = Router::new().route("/", get(move || async move { Sse::new(events(hub)) }));
    Ok(axum::serve(listener, router).await?)
}

fn events(hub: Arc<Hub>) -> impl Stream<Item = Result<Event, Infallible>> {
    let receiver = hub.sender.subscribe();
    let live = futures_util::stream::iter([Ok(Event::default().event("live").data("{}"))]);
    let lines = futures_util::stream::unfold((receiver, hub), |(mut receiver, hub)| async {
        loop {
            match receiver.recv().await {
                Ok((id, text)) => {
                    let event = Event::default().id(id.to_string()).event("log").data(&*text);
                    return Some((Ok(event), (receiver, hub)));
                }
                Err(RecvError::Lagged(count)) => {
                    hub.lagged.fetch_add(count, Ordering::Relaxed);
                }
                Err(RecvError::Closed) => return None,
            }
        }
    });
    live.chain(lines)
}

/// Finds the pods as they come and follows each.
async fn follow(args: &Args, hub: Arc<Hub>) -> Outcome {
    let wanted: usize = args.get("pods", 1);
    let tasks = TaskTracker::new();
    let (client, names) = loop {
        let (client, names) = pods(args).await?;
        if names.len() >= wanted {
            break (client, names);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    for name in names {
        let api: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
        let hub = hub.clone();
        tasks.spawn(async move {
            let options = LogParams {
                container: Some(CONTAINER.to_owned()),
                follow: true,
                timestamps: true,
                ..LogParams::default()
            };
            // Until the container runs, its log is refused, or empty while no node has the pod.
            let mut come = false;
            while !come {
                if let Ok(stream) = api.log_stream(&name, &options).await {
                    let mut lines = stream.lines();
                    while let Ok(Some(line)) = lines.try_next().await {
                        come = true;
                        hub.take(line);
                    }
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
    }
    tasks.close();
    tasks.wait().await;
    Ok(())
}

impl Hub {
    fn take(&self, line: String) {
        let mut gathered = self.gathered.lock();
        gathered.0 += 1;
        if self.tick.is_zero() {
            // Nobody may be there yet.
            let _ = self.sender.send((gathered.0, line.into()));
        } else {
            if !gathered.1.is_empty() {
                gathered.1.push('\n');
            }
            gathered.1.push_str(&line);
        }
    }

    fn flush(&self) {
        let mut gathered = self.gathered.lock();
        if !gathered.1.is_empty() {
            let text = std::mem::take(&mut gathered.1);
            let _ = self.sender.send((gathered.0, text.into()));
        }
    }
}

/// The floor: nothing but sends, of the same bytes at the same rate in the same ticks, from one
/// buffer to every socket.
pub async fn send(args: &Args) -> Outcome {
    let (rate, length) = (args.get("rate", 10_000.0f64), args.get("length", 400usize));
    let tick = Duration::from_millis(args.get("tick", 20));
    let viewers = args.get("viewers", 1_000usize);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    say(&format!("listens {}", listener.local_addr()?.port()));
    let mut sockets: Vec<(TcpStream, usize)> = Vec::new();
    while sockets.len() < viewers {
        let (mut socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let mut request = [0; 1024];
        let _ = socket.read(&mut request).await?;
        socket.write_all(b"HTTP/1.1 200 OK\r\n\r\nevent: live\ndata: {}\n\n").await?;
        sockets.push((socket, 0));
    }
    let mut line = b"data: W1 ".to_vec();
    line.resize(length - 2, b'x');
    line.extend_from_slice(b"\n\n");
    let most = line.len() * 16_384;
    let buffer: Vec<u8> = line.iter().copied().cycle().take(most).collect();
    if orders().recv().await.is_none() {
        return Ok(());
    }
    let begun = tokio::time::Instant::now();
    let mut at = begun;
    loop {
        at += tick;
        tokio::time::sleep_until(at).await;
        let due = (begun.elapsed().as_secs_f64() * rate) as usize * line.len();
        for (socket, sent) in &mut sockets {
            while *sent < due {
                let from = *sent % most;
                let piece = &buffer[from..(from + due - *sent).min(most)];
                match socket.try_write(piece) {
                    Ok(n) => *sent += n,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // The client has seen enough.
                    Err(_) => return Ok(()),
                }
            }
        }
    }
}
