//! A client that takes nothing of what it is sent.
//!
//! It is noticed where it can be seen. Over HTTP/1.1 the client's kernel acknowledges nothing more;
//! ours measures that (`TCP_USER_TIMEOUT`) and breaks the connection with an error that [`Socket`]
//! knows. Over HTTP/2 the connection goes on, pings are answered, and only one stream's window stays
//! closed: hyper then does not poll that stream's body, so nothing inside the body could notice. Its
//! task, which hyper hands to [`Streams`], has a watch beside it: [`Taken`] notes when bytes were
//! handed out and when more were asked for, and the task is dropped when nothing is asked for within
//! the bound. That resets the one stream and leaves the others of the connection alone.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::extract::FromRequestParts;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::request::Parts;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::rt::Executor;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::heads::{Event, Heads};
use crate::telemetry::events::TaskPanicked;
use crate::telemetry::{Metrics, panic_words};

/// Bytes handed to HTTP/2 at a time, one frame of the usual size: who takes less than this within
/// the bound counts as taking nothing.
const STEP: usize = 16 * 1024;

tokio::task_local! {
    /// The stall of the HTTP/2 stream that this task serves.
    static STREAM: Stall;
}

/// Whether the client stopped taking what it is sent. Cheap to clone; extract it in handlers whose
/// answers are long.
#[derive(Clone, Debug, Default)]
pub struct Stall {
    own: Arc<State>,
    /// That of the connection, for an HTTP/2 stream.
    connection: Option<Arc<State>>,
}

#[derive(Debug, Default)]
struct State {
    stalled: AtomicBool,
    /// Since when handed-out bytes wait: nobody asked for more yet.
    since: Mutex<Option<Instant>>,
    cut: Notify,
}

// === impl Stall ===

impl Stall {
    /// The client took nothing for the bound, and the answer was ended for it.
    pub fn is_set(&self) -> bool {
        let set = |state: &State| state.stalled.load(Ordering::Acquire);
        set(&self.own) || self.connection.as_deref().is_some_and(set)
    }

    /// Bytes were handed out; they wait until more are asked for.
    pub(in crate::http) fn handed(&self) {
        *self.own.since.lock() = Some(Instant::now());
    }

    /// More bytes were asked for, or the answer is over.
    fn asked(&self) {
        *self.own.since.lock() = None;
    }

    /// For how long handed-out bytes have been waiting, if they are.
    pub(in crate::http) fn stuck(&self) -> Option<Duration> {
        self.own.since.lock().map(|since| since.elapsed())
    }

    /// Ends the answer without a word, whatever its client takes: for one who was told to leave and
    /// does not listen. An HTTP/1.1 connection ends with it.
    pub fn cut(&self) {
        self.own.cut.notify_one();
    }

    /// Ends when somebody cut the answer.
    pub(in crate::http) async fn cut_asked(&self) {
        self.own.cut.notified().await;
    }

    /// For one request of the connection that `self` is of: HTTP/2 has a stall for each, and a
    /// watch beside it.
    pub(super) fn for_request(&self) -> Request {
        let stream = STREAM.try_with(|stream| Arc::clone(&stream.own)).ok();
        let watched = stream.is_some();
        let own = stream.unwrap_or_else(|| Arc::clone(&self.own));
        let connection = watched.then(|| Arc::clone(&self.own));
        Request { stall: Stall { own, connection }, watched }
    }

    fn set(&self) {
        self.own.stalled.store(true, Ordering::Release);
    }

    /// Ends when bytes were handed out and nothing more was asked for within `bound`.
    async fn lasts(&self, bound: Duration) {
        loop {
            let since = *self.own.since.lock();
            let until = since.unwrap_or_else(Instant::now) + bound;
            if since.is_some() && until <= Instant::now() {
                self.set();
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Stall {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        // Absent only where a handler is called without a connection, in a test.
        Ok(parts.extensions.get().cloned().unwrap_or_default())
    }
}

/// The stall of one request, and whether a watch looks at it.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) stall: Stall,
    watched: bool,
}

/// Runs the tasks of a listener's HTTP/2 streams, each beside a watch.
#[derive(Clone, Debug)]
pub(super) struct Streams {
    /// Joins the tasks.
    pub(super) tracker: TaskTracker,
    /// How long a client may take nothing.
    pub(super) bound: Duration,
    /// What counts panics.
    pub(super) metrics: Option<Arc<Metrics>>,
}

impl<F> Executor<F> for Streams
where
    F: Future + Send + 'static,
{
    fn execute(&self, stream: F) {
        let (stall, bound, metrics) = (Stall::default(), self.bound, self.metrics.clone());
        let watched = stall.clone();
        let task = async move {
            let served = async move { drop(stream.await) };
            tokio::select! {
                () = served => {}
                () = watched.lasts(bound) => {}
                () = watched.cut_asked() => {}
            }
        };
        self.tracker.spawn(STREAM.scope(stall, async move {
            let served = AssertUnwindSafe(task).catch_unwind().await;
            if let (Err(payload), Some(metrics)) = (served, &metrics) {
                let message = panic_words(&*payload);
                TaskPanicked { room: "http", task: "stream", message, restart_in: None }
                    .emit(metrics);
            }
        }));
    }
}

/// An answer's body that notes what is taken of it.
#[derive(Debug)]
pub(super) struct Taken {
    body: Body,
    /// What the body gave and nobody asked for yet.
    rest: Bytes,
    request: Request,
    heads: Arc<Heads>,
}

// === impl Taken ===

impl Taken {
    pub(super) fn new(body: Body, request: Request, heads: Arc<Heads>) -> Self {
        Taken { body, rest: Bytes::new(), request, heads }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.request.stall.asked();
        self.heads.note(Event::Answered);
    }
}

impl HttpBody for Taken {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        this.request.stall.asked();
        if this.rest.is_empty() {
            match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => this.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                end => return Poll::Ready(end),
            }
        }
        this.request.stall.handed();
        // HTTP/1.1 has no watch that would need to see progress.
        let step = if this.request.watched { STEP } else { usize::MAX }.min(this.rest.len());
        Poll::Ready(Some(Ok(Frame::data(this.rest.split_to(step)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (mut hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}

/// A connection's socket, which notes that bytes came, and that it broke because nothing was
/// acknowledged.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    stall: Stall,
    heads: Arc<Heads>,
}

// === impl Socket ===

impl Socket {
    pub(super) fn new(stream: TcpStream, stall: Stall, heads: Arc<Heads>) -> Self {
        Socket { stream, stall, heads }
    }

    fn note<T>(&self, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &polled
            && error.kind() == io::ErrorKind::TimedOut
        {
            self.stall.set();
        }
        polled
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            this.heads.note(Event::Bytes);
        }
        this.note(polled)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.note(polled)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write_vectored(cx, bytes);
        this.note(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_flush(cx);
        this.note(polled)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_shutdown(cx);
        this.note(polled)
    }
}

#[cfg(test)]
mod tests;
