//! A proxy of TCP connections that spoils them, by seed: between the service and its API server (TLS
//! passes through unread) and between a client and the service.
//!
//! Each connection draws its harm from the [`Weather`] of the time when it is opened; what is open can
//! be cut or held at any time. Bytes are never altered, only late or missing from some byte on.
#![allow(dead_code, reason = "each of those who include it uses a part of it")]

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Bytes taken at a time.
const PIECE: usize = 16 * 1024;

/// What may happen to a connection that is opened now. Chances are 0 to 1 and independent.
#[derive(Clone, Debug, Default)]
pub struct Weather {
    /// Refused: reset right after it was accepted.
    pub refuse: f64,
    /// Cut with a reset after so many bytes from the server, drawn from the range.
    pub cut: (f64, Range<u64>),
    /// Each piece comes so much later, drawn once for the connection, in milliseconds.
    pub delay: (f64, Range<u64>),
    /// At most so many bytes a second from the server, drawn from the range.
    pub throttle: (f64, Range<u64>),
}

/// What was drawn for one connection.
#[derive(Clone, Copy, Debug, Default)]
struct Harm {
    refused: bool,
    cut_after: Option<u64>,
    delay: Option<Duration>,
    bytes_per_second: Option<u64>,
}

/// A running proxy. Dropping it ends it and cuts what is open.
pub struct Proxy {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    target: SocketAddr,
    weather: Mutex<Weather>,
    random: Mutex<fastrand::Rng>,
    /// Connections are held until then.
    held: watch::Sender<Option<Instant>>,
    /// Replaced when everything open is cut.
    open: Mutex<CancellationToken>,
    done: CancellationToken,
    tasks: TaskTracker,
    accepted: AtomicU64,
}

// === impl Weather ===

impl Weather {
    fn draw(&self, random: &mut fastrand::Rng) -> Harm {
        let mut drawn = |(chance, range): &(f64, Range<u64>)| {
            (random.f64() < *chance && !range.is_empty()).then(|| random.u64(range.clone()))
        };
        let (cut_after, delay) = (drawn(&self.cut), drawn(&self.delay));
        let bytes_per_second = drawn(&self.throttle);
        let refused = random.f64() < self.refuse;
        Harm { refused, cut_after, delay: delay.map(Duration::from_millis), bytes_per_second }
    }
}

// === impl Proxy ===

impl Proxy {
    /// Listens on a free port of loopback and hands on to `target`. The weather is fair at first.
    pub async fn start(target: SocketAddr, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            target,
            weather: Mutex::default(),
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
            held: watch::Sender::new(None),
            open: Mutex::default(),
            done: CancellationToken::new(),
            tasks: TaskTracker::new(),
            accepted: AtomicU64::new(0),
        });
        shared.tasks.spawn(accept(listener, shared.clone()));
        Proxy { address, shared }
    }

    /// What happens to connections from now on.
    pub fn set(&self, weather: Weather) {
        *self.shared.weather.lock() = weather;
    }

    /// Cuts everything that is open.
    pub fn cut(&self) {
        std::mem::take(&mut *self.shared.open.lock()).cancel();
    }

    /// Lets nothing through for this time; then what was held goes on.
    pub fn hold(&self, time: Duration) {
        self.shared.held.send_replace(Some(Instant::now() + time));
    }

    /// Connections so far.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.done.cancel();
        self.cut();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.done.cancelled() => return,
        };
        let Ok((socket, _)) = accepted else {
            sleep(Duration::from_millis(10)).await;
            continue;
        };
        shared.accepted.fetch_add(1, Ordering::Relaxed);
        let harm = shared.weather.lock().draw(&mut shared.random.lock());
        let (cut, shared) = (shared.open.lock().clone(), shared.clone());
        let connection = connect(socket, harm, shared.clone(), cut);
        shared.tasks.spawn(connection);
    }
}

async fn connect(mut near: TcpStream, harm: Harm, shared: Arc<Shared>, cut: CancellationToken) {
    let _ = near.set_nodelay(true);
    let connected = if harm.refused { None } else { TcpStream::connect(shared.target).await.ok() };
    let Some(mut far) = connected else {
        let _ = near.set_zero_linger();
        return;
    };
    let _ = far.set_nodelay(true);
    let is_cut = {
        let ((from_near, to_near), (from_far, to_far)) = (near.split(), far.split());
        let asked = Harm { cut_after: None, bytes_per_second: None, ..harm };
        let up = pump(from_near, to_far, asked, &shared);
        let down = pump(from_far, to_near, harm, &shared);
        tokio::pin!(up, down);
        tokio::select! {
            () = cut.cancelled() => true,
            // One side that is closed leaves the other open: an answer may still come.
            is_cut = &mut up => is_cut || down.await,
            is_cut = &mut down => is_cut || up.await,
        }
    };
    if is_cut {
        // A reset, not an end: what is on the way is lost.
        let _ = near.set_zero_linger();
        let _ = far.set_zero_linger();
    }
}

/// Hands bytes on until one side ends (false), or they are to be cut (true).
async fn pump(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, harm: Harm, shared: &Shared) -> bool {
    let mut piece = vec![0; PIECE];
    let mut rest = harm.cut_after.unwrap_or(u64::MAX);
    let most = harm.bytes_per_second.map_or(PIECE as u64, |bytes| (bytes / 10).max(1));
    let most = most.min(PIECE as u64) as usize;
    loop {
        let Ok(read) = from.read(&mut piece[..most]).await else { return true };
        if read == 0 {
            return to.shutdown().await.is_err();
        }
        let until = *shared.held.borrow();
        if let Some(until) = until {
            sleep_until(until).await;
        }
        if let Some(delay) = harm.delay {
            sleep(delay).await;
        }
        if let Some(bytes) = harm.bytes_per_second {
            sleep(Duration::from_secs_f64(read as f64 / bytes as f64)).await;
        }
        let kept = (read as u64).min(rest);
        if to.write_all(&piece[..kept as usize]).await.is_err() {
            return true;
        }
        rest -= kept;
        if rest == 0 {
            return true;
        }
    }
}
