//! Clients that keep everything they receive for the oracle, and come back when they are cut.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::Request;
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rollcast::time;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::client::Client;
use crate::oracle::{Session, Transcript};

/// Pause before it comes back.
const RETRY: Duration = Duration::from_millis(200);

/// A client that reads until it is stopped.
pub struct Witness {
    heard: Arc<Mutex<Transcript>>,
    task: JoinHandle<()>,
}

// === impl Witness ===

impl Witness {
    /// Reads a stream. With `cuts` it breaks the connection after about so long, again and again.
    pub fn start(name: &str, address: SocketAddr, path: &str, cuts: Option<Duration>) -> Self {
        let heard = Arc::new(Mutex::new(Transcript::new(name)));
        let task = tokio::spawn(read(address, path.to_owned(), cuts, heard.clone()));
        Witness { heard, task }
    }

    /// Looks at what it heard so far.
    pub fn look<T>(&self, look: impl FnOnce(&Transcript) -> T) -> T {
        look(&self.heard.lock())
    }

    /// Waits until it has so many lines.
    ///
    /// # Panics
    /// After `limit`.
    pub async fn lines(&self, count: usize, limit: Duration) {
        let begin = Instant::now();
        loop {
            let lines = self.look(Transcript::lines);
            if lines >= count {
                return;
            }
            assert!(begin.elapsed() < limit, "{lines} of {count} lines after {limit:?}");
            assert!(!self.task.is_finished(), "the witness ended");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until nothing more comes for so long; fails after `limit`.
    pub async fn quiet(&self, pause: Duration, limit: Duration) {
        let begin = Instant::now();
        let (mut lines, mut since) = (0, Instant::now());
        while since.elapsed() < pause {
            assert!(begin.elapsed() < limit, "lines still come after {limit:?}");
            let now = self.look(Transcript::lines);
            if now != lines {
                (lines, since) = (now, Instant::now());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Ends it; what it heard.
    pub async fn stop(self) -> Transcript {
        self.task.abort();
        if let Err(error) = self.task.await
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
        let mut heard = self.heard.lock().clone();
        if let Some(open) = heard.sessions.last_mut().filter(|open| open.to == 0) {
            (open.to, open.cut) = (time::now(), true);
        }
        heard
    }
}

async fn read(
    address: SocketAddr,
    path: String,
    cuts: Option<Duration>,
    heard: Arc<Mutex<Transcript>>,
) {
    let mut last: Option<String> = None;
    let mut random = fastrand::Rng::with_seed(1);
    loop {
        let from = time::now();
        let Some(mut client) = open(address, &path, last.as_deref()).await else {
            tokio::time::sleep(RETRY).await;
            continue;
        };
        let session = Session { after: last.clone(), from, ..Session::default() };
        heard.lock().sessions.push(session);
        client.last_id = last;
        let time = cuts.map_or(Duration::MAX, |mean| mean.mul_f64(0.5 + random.f64()));
        let end = tokio::time::sleep(time.min(Duration::from_secs(86_400)));
        tokio::pin!(end);
        let cut = loop {
            let event = tokio::select! {
                event = client.next_or_broken() => event,
                () = &mut end => break true,
            };
            let note = |session: &mut Session| {
                session.beats.append(&mut client.beats);
                match event {
                    Some(Ok(Some(event))) => session.events.push(event),
                    // Only a heartbeat.
                    Some(Ok(None)) => {}
                    Some(Err(_)) | None => return true,
                }
                false
            };
            if with_session(&heard, note) {
                break false;
            }
        };
        with_session(&heard, |session| (session.to, session.cut) = (time::now(), cut));
        last = client.last_id;
        tokio::time::sleep(RETRY).await;
    }
}

fn with_session<T>(heard: &Mutex<Transcript>, work: impl FnOnce(&mut Session) -> T) -> T {
    work(heard.lock().sessions.last_mut().expect("a connection was opened"))
}

/// Opens the stream; nothing if the connection fails or the answer is not a stream.
async fn open(address: SocketAddr, path: &str, last: Option<&str>) -> Option<Client> {
    let stream = TcpStream::connect(address).await.ok()?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    tokio::spawn(connection);
    let mut request = Request::get(path).header("host", address.to_string());
    request = request.header("accept", "text/event-stream");
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let sent = sender.send_request(request.body(Empty::<Bytes>::new()).ok()?).await.ok()?;
    (sent.status() == 200).then(|| Client::new(Body::new(sent.into_body())))
}
