//! Keeps a watch honest against a server that accepts and then hangs, or ends every watch at once.
//!
//! kube's watcher bounds neither the wait for an answer nor a list's body, and begins the next watch
//! without delay when one ends cleanly. TCP keepalive sees nothing of a server that is alive but
//! stuck.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame};
use kube::client::Body;
use parking_lot::Mutex;
use tokio::time::{Instant, Sleep};
use tower::{BoxError, Service};

use super::log::retry_after;

/// A list of 500 objects may take the server a while to collect.
const HEADER_LIMIT: Duration = Duration::from_secs(30);
/// Longer than a watch lasts (60 s) with its grace: kube ends those itself.
const BODY_IDLE_LIMIT: Duration = Duration::from_secs(75);
/// Watches of one kind begin at least this far apart; a healthy one lasts a minute.
const PACE: Duration = Duration::from_secs(1);

/// Counts the successful answers of one watch: the proof that it works again after an error, even
/// if nothing happens that it could tell of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers(Arc<AtomicU64>);

impl Answers {
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Wraps a client for the use of one watch.
pub(super) fn guarded(client: &kube::Client, answers: &Answers) -> kube::Client {
    let (client_of, answers) = (client.clone(), answers.clone());
    let guard = Guard { client: client_of, answers, next_watch: None, busy: Arc::default() };
    kube::Client::new(guard, client.default_namespace().to_owned())
}

struct Guard {
    client: kube::Client,
    answers: Answers,
    next_watch: Option<Instant>,
    /// Until then the server wants to be left alone.
    busy: Arc<Mutex<Option<Instant>>>,
}

#[derive(Debug, thiserror::Error)]
enum Late {
    #[error("no answer within {} s", HEADER_LIMIT.as_secs())]
    Header,
    #[error("the answer stopped for {} s", BODY_IDLE_LIMIT.as_secs())]
    Body,
}

impl Service<Request<Body>> for Guard {
    type Response = Response<Watched>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let is_watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
        let now = Instant::now();
        let begin = self.next_watch.filter(|next| is_watch && *next > now).unwrap_or(now);
        let begin = self.busy.lock().map_or(begin, |busy| begin.max(busy));
        if is_watch {
            self.next_watch = Some(begin + PACE);
        }
        let (client, answers) = (self.client.clone(), self.answers.clone());
        let busy = self.busy.clone();
        Box::pin(async move {
            if begin > now {
                tokio::time::sleep_until(begin).await;
            }
            let answer = tokio::time::timeout(HEADER_LIMIT, client.send(request));
            let response = answer.await.map_err(|_| Late::Header)??;
            // kube's back-off knows nothing of it.
            let asked = retry_after(response.headers()).filter(|_| !response.status().is_success());
            *busy.lock() = asked.map(|after| Instant::now() + after);
            if response.status().is_success() {
                answers.0.fetch_add(1, Ordering::Relaxed);
            }
            Ok(response
                .map(|body| Watched { body, idle: Box::pin(tokio::time::sleep(BODY_IDLE_LIMIT)) }))
        })
    }
}

/// A body that fails when it stops for too long.
pub(super) struct Watched {
    body: Body,
    idle: Pin<Box<Sleep>>,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if frame.is_ready() {
            self.idle.as_mut().reset(Instant::now() + BODY_IDLE_LIMIT);
            return frame.map_err(BoxError::from);
        }
        match self.idle.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Some(Err(Late::Body.into()))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}
