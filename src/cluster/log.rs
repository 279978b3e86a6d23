//! Opens the log of a container and hands on its bytes.

use std::fmt::Write as _;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderMap, Request};
use http_body::Body as _;
use http_body_util::BodyExt;
use kube::client::Body;
use tokio::time::Sleep;

use super::Cluster;
use super::error::chain_of;
use crate::time;

/// The answer's headers come before the first line, so this bounds a hanging server and not a quiet
/// container.
/// A server that asks for more than this is asked again all the same: who waits longer for its answer
/// than a browser for a page takes it for dead.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(30);
const OPEN_LIMIT: Duration = Duration::from_secs(10);
/// A read without follow has all its bytes at hand; a server that stops in between hangs.
const READ_IDLE_LIMIT: Duration = Duration::from_secs(30);
/// The words of a refusal are short; more than this is not from an API server.
const REFUSAL_BYTES: usize = 64 * 1024;

/// Which log to open, and from where. Timestamps are always asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRequest {
    /// The pod's namespace.
    pub namespace: Arc<str>,
    /// The pod's name.
    pub pod: Arc<str>,
    /// The container's name.
    pub container: Arc<str>,
    /// Stay and hand on what is written later.
    pub follow: bool,
    /// The attempt before the present one.
    pub previous: bool,
    /// Only what is as late or later, in nanoseconds. The API server knows whole seconds only: it is
    /// floored here, never rounded up, so up to a second of older lines comes with it.
    pub since: Option<i64>,
    /// Only so many of the last *stored pieces* (a long line is several). Never with a resume: it
    /// goes before `since`.
    pub tail_lines: Option<u32>,
    /// Only so many bytes, cut anywhere: enough for a look at a stamp.
    pub limit_bytes: Option<u32>,
}

/// Why a log cannot be read, or no further.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// The container has not started yet (400); the next change of the pod tells more.
    #[error("the container has no log yet: {0}")]
    Waiting(String),
    /// There is no such pod, container or attempt.
    #[error("there is no such log: {0}")]
    NotFound(String),
    /// Our account may not read it; believed only when it is repeated.
    #[error("reading the log is refused: {0}; grant rollcast's account `get` on `pods/log`")]
    Forbidden(String),
    /// The API server asks for a pause (429).
    #[error("the API server is busy and asks for a pause")]
    Busy {
        /// How long, if it said so.
        retry_after: Option<Duration>,
    },
    /// Any other answer; 5xx is often the kubelet's or the way to it.
    #[error("the API server answered {status}: {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Its words.
        message: String,
    },
    /// The connection could not be made, or broke.
    #[error("the connection failed: {0}")]
    Transport(String),
}

/// The bytes of a log as the connection hands them over: pieces of any length, not lines.
///
/// It ends with `None` after a clean end, which says nothing about the container, and after an
/// error.
#[derive(Debug)]
pub struct LogBody {
    body: Option<Body>,
    /// Runs out when a read without follow stops in between; `None` for a follow.
    idle: Option<Pin<Box<Sleep>>>,
}

impl LogRequest {
    /// The path and query that ask for it.
    fn url(&self) -> String {
        let mut url = format!(
            "/api/v1/namespaces/{}/pods/{}/log?container={}&timestamps=true",
            escaped(&self.namespace),
            escaped(&self.pod),
            escaped(&self.container)
        );
        if self.follow {
            url.push_str("&follow=true");
        }
        if self.previous {
            url.push_str("&previous=true");
        }
        if let Some(since) = self.since {
            let _ = write!(url, "&sinceTime={}", time::rfc3339_seconds(since));
        }
        if let Some(lines) = self.tail_lines {
            let _ = write!(url, "&tailLines={lines}");
        }
        if let Some(bytes) = self.limit_bytes {
            let _ = write!(url, "&limitBytes={bytes}");
        }
        url
    }
}

/// Escapes what may not stand in a URL. Valid Kubernetes names pass unchanged; the rest must not be
/// able to change the meaning of a request.
fn escaped(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(byte as char);
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

impl Cluster {
    /// Opens a log. Returns once the answer's headers are here, within 10 s.
    ///
    /// # Errors
    ///
    /// See [`LogError`]; `Waiting`, `NotFound` and `Transport` are normal states of a container.
    pub async fn open_log(&self, request: &LogRequest) -> Result<LogBody, LogError> {
        let asked = Request::get(request.url())
            .body(Body::empty())
            .map_err(|error| LogError::Transport(error.to_string()))?;
        let late = |_| LogError::Transport(format!("no answer within {} s", OPEN_LIMIT.as_secs()));
        let opening = async {
            let response = self.shared.log.send(asked).await.map_err(|e| broken(&e))?;
            if response.status().is_success() {
                return Ok(response.into_body());
            }
            let (parts, body) = response.into_parts();
            let limited = http_body_util::Limited::new(body, REFUSAL_BYTES);
            // A refusal whose words are lost in transit is still a refusal with that status.
            let words = limited.collect().await.map(|words| words.to_bytes()).unwrap_or_default();
            Err(refusal(parts.status.as_u16(), &parts.headers, &words))
        };
        let body = tokio::time::timeout(OPEN_LIMIT, opening).await.map_err(late)??;
        let idle = (!request.follow).then(|| Box::pin(tokio::time::sleep(READ_IDLE_LIMIT)));
        Ok(LogBody { body: Some(body), idle })
    }
}

fn broken(error: &kube::Error) -> LogError {
    LogError::Transport(chain_of(error))
}

/// Sorts a refusal by its status and, where Kubernetes leaves no other way, by its words.
fn refusal(status: u16, headers: &HeaderMap, body: &[u8]) -> LogError {
    let message = message_of(body);
    match status {
        // Words of the kubelet (`validateContainerLogStatus`) and of the API server (`LogLocation`)
        // while a pod is on its way.
        400 if message.contains("waiting to start")
            || message.contains("does not have a host assigned")
            || message.contains("is not available") =>
        {
            LogError::Waiting(message)
        }
        400 if message.contains("previous terminated container")
            || message.contains("is not valid for pod") =>
        {
            LogError::NotFound(message)
        }
        403 => LogError::Forbidden(message),
        404 => LogError::NotFound(message),
        429 => LogError::Busy { retry_after: retry_after(headers) },
        status => LogError::Refused { status, message },
    }
}

/// The message of a `Status` object, or the body itself as far as it is text.
fn message_of(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Words {
        message: String,
    }
    match serde_json::from_slice::<Words>(body) {
        Ok(status) => status.message,
        Err(_) => String::from_utf8_lossy(body).trim().chars().take(500).collect(),
    }
}

/// How long the server asks to be left alone, as far as that is heeded.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER))
}

// === impl LogBody ===

impl Stream for LogBody {
    type Item = Result<Bytes, LogError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        loop {
            match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Some(idle) = &mut this.idle {
                        idle.as_mut().reset(tokio::time::Instant::now() + READ_IDLE_LIMIT);
                    }
                    match frame.into_data() {
                        Ok(data) if !data.is_empty() => return Poll::Ready(Some(Ok(data))),
                        // Trailers and empty frames carry nothing.
                        _ => continue,
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    this.body = None;
                    return Poll::Ready(Some(Err(broken(&error))));
                }
                Poll::Ready(None) => {
                    this.body = None;
                    return Poll::Ready(None);
                }
                Poll::Pending => break,
            }
        }
        let idle = this.idle.as_mut().map(|idle| idle.as_mut().poll(cx));
        if idle == Some(Poll::Ready(())) {
            this.body = None;
            let reason = format!("the read stopped for {} s", READ_IDLE_LIMIT.as_secs());
            return Poll::Ready(Some(Err(LogError::Transport(reason))));
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> LogRequest {
        LogRequest {
            namespace: "shop".into(),
            pod: "web-6c9f-x2k9d".into(),
            container: "app".into(),
            follow: true,
            previous: false,
            since: None,
            tail_lines: None,
            limit_bytes: None,
        }
    }

    #[test]
    fn a_start_is_floored_to_the_second_in_the_url() {
        let since = 10 * time::SECOND + 700 * time::MILLISECOND;
        let url = LogRequest { since: Some(since), ..request() }.url();
        assert!(url.ends_with("&follow=true&sinceTime=1970-01-01T00:00:10Z"), "{url}");
    }

    #[test]
    fn a_name_cannot_change_the_meaning_of_a_request() {
        let url = LogRequest { container: "a&follow=false#/../x".into(), ..request() }.url();
        assert_eq!(url.matches('&').count(), 2);
        assert!(!url.contains('#') && url.matches('/').count() == 7, "{url}");
    }

    #[test]
    fn refusals_are_sorted_by_what_to_do_next() {
        let status = |code, message: &str| {
            let body = format!("{{\"kind\":\"Status\",\"message\":{message:?}}}");
            refusal(code, &HeaderMap::new(), body.as_bytes())
        };
        let waits = "container \"app\" in pod \"web\" is waiting to start: ContainerCreating";
        assert!(matches!(status(400, waits), LogError::Waiting(_)));
        assert!(matches!(
            status(400, "previous terminated container \"app\" in pod \"web\" not found"),
            LogError::NotFound(_)
        ));
        assert!(matches!(status(400, "bad sinceTime"), LogError::Refused { status: 400, .. }));
        assert!(matches!(status(404, "pods \"web\" not found"), LogError::NotFound(_)));
        assert!(matches!(status(403, "forbidden"), LogError::Forbidden(_)));
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", "7".parse().unwrap());
        let pause = Some(Duration::from_secs(7));
        assert_eq!(refusal(429, &headers, b""), LogError::Busy { retry_after: pause });
        let plain = refusal(502, &HeaderMap::new(), b"<html>bad gateway</html>");
        assert!(
            matches!(plain, LogError::Refused { status: 502, message } if message.contains("bad"))
        );
    }
}
