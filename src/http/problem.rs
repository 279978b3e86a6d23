//! Errors as RFC 9457 problem documents.
//!
//! A problem has a public message, which names what the caller can change, and a private cause,
//! which is logged once with the request's id and never sent: it may name our own rights, our
//! servers, or things that the caller may not know of.

use std::borrow::Cow;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::wire::to_json;

/// The media type of a problem document.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// What kind of problem it is. A closed list; clients act on `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 400: a parameter is wrong. The detail names it and what is allowed.
    BadRequest,
    /// 401: nobody that we know.
    Unauthorized,
    /// 403: refused whoever asks (a foreign host or origin).
    Forbidden,
    /// 404: absent, or not to be read by this caller. Never tells which.
    NotFound,
    /// 405: the path exists, the method does not.
    MethodNotAllowed,
    /// 406: no format of ours is accepted.
    NotAcceptable,
    /// 413: the request is too large.
    TooLarge,
    /// 429: over a limit; try again later.
    Limited,
    /// 429: what is waited for still runs; try again later.
    Running,
    /// 500: our fault.
    Internal,
    /// 431: the head of the request is too large.
    HeadTooLarge,
    /// 408: the body of the request took too long.
    Slow,
    /// 503: cannot be answered now; try again later.
    Unavailable,
    /// 503 of the same type as 429: this replica, not the caller, is over a limit.
    Overloaded,
}

/// One error answer.
#[derive(Clone, Debug)]
pub struct Problem {
    kind: Kind,
    detail: Cow<'static, str>,
    cause: Option<String>,
    retry_after: Option<Duration>,
    running: Option<Box<Running>>,
}

/// Which rollout it is that still runs: who asks again with these asks about the same one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Running {
    /// Its revision, once it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The generation of its workload.
    pub generation: i64,
    /// The uid of the workload's object, of a CronJob the Job's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// `inferred` if it was not seen here that the generation that was asked for is this one's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned: Option<&'static str>,
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(flatten)]
    running: Option<&'a Running>,
}

// === impl Kind ===

impl Kind {
    /// The last part of the problem's `type`.
    pub fn as_str(self) -> &'static str {
        self.parts().0
    }

    /// The HTTP status.
    pub fn status(self) -> StatusCode {
        self.parts().2
    }

    /// The words of all kinds, each once.
    pub fn words() -> impl Iterator<Item = &'static str> {
        const ALL: [Kind; 14] = [
            Kind::BadRequest,
            Kind::Unauthorized,
            Kind::Forbidden,
            Kind::NotFound,
            Kind::MethodNotAllowed,
            Kind::NotAcceptable,
            Kind::TooLarge,
            Kind::Limited,
            Kind::Running,
            Kind::Internal,
            Kind::HeadTooLarge,
            Kind::Slow,
            Kind::Unavailable,
            Kind::Overloaded,
        ];
        let words: std::collections::BTreeSet<_> = ALL.into_iter().map(Kind::as_str).collect();
        words.into_iter()
    }

    fn parts(self) -> (&'static str, &'static str, StatusCode) {
        match self {
            Kind::BadRequest => ("bad_request", "Bad request", StatusCode::BAD_REQUEST),
            Kind::Unauthorized => ("unauthorized", "Unauthorized", StatusCode::UNAUTHORIZED),
            Kind::Forbidden => ("forbidden", "Forbidden", StatusCode::FORBIDDEN),
            Kind::NotFound => ("not_found", "Not found", StatusCode::NOT_FOUND),
            Kind::MethodNotAllowed => {
                ("method_not_allowed", "Method not allowed", StatusCode::METHOD_NOT_ALLOWED)
            }
            Kind::NotAcceptable => ("not_acceptable", "Not acceptable", StatusCode::NOT_ACCEPTABLE),
            Kind::TooLarge => ("too_large", "Too large", StatusCode::PAYLOAD_TOO_LARGE),
            Kind::Limited => ("limited", "Too many requests", StatusCode::TOO_MANY_REQUESTS),
            Kind::Running => ("running", "Still running", StatusCode::TOO_MANY_REQUESTS),
            Kind::Internal => ("internal", "Internal error", StatusCode::INTERNAL_SERVER_ERROR),
            Kind::HeadTooLarge => {
                ("too_large", "Too large", StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
            }
            Kind::Slow => ("slow", "Request timeout", StatusCode::REQUEST_TIMEOUT),
            Kind::Unavailable => ("unavailable", "Unavailable", StatusCode::SERVICE_UNAVAILABLE),
            Kind::Overloaded => ("limited", "Overloaded", StatusCode::SERVICE_UNAVAILABLE),
        }
    }
}

// === impl Problem ===

impl Problem {
    /// A problem with a message for the caller. Control characters in it are written as escapes,
    /// since a detail may repeat what the caller sent.
    pub fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        let detail = printable(detail.into());
        Problem { kind, detail, cause: None, retry_after: None, running: None }
    }

    /// 404. The same words for what is absent and what may not be read.
    pub fn not_found(detail: impl Into<Cow<'static, str>>) -> Self {
        Problem::new(Kind::NotFound, detail)
    }

    /// 400: `parameter` is wrong; `allowed` says what it may be.
    pub fn bad_request(parameter: &str, allowed: &str) -> Self {
        Problem::new(Kind::BadRequest, format!("{parameter}: {allowed}"))
    }

    /// 401.
    pub fn unauthorized(detail: impl Into<Cow<'static, str>>) -> Self {
        Problem::new(Kind::Unauthorized, detail)
    }

    /// 429: `detail` names the limit.
    pub fn limited(detail: impl Into<Cow<'static, str>>, retry_after: Duration) -> Self {
        let mut problem = Problem::new(Kind::Limited, detail);
        problem.retry_after = Some(retry_after);
        problem
    }

    /// 429: `detail` says what still runs, `running` which one, once that is known.
    pub fn running(
        detail: impl Into<Cow<'static, str>>,
        running: Option<Running>,
        retry_after: Duration,
    ) -> Self {
        let mut problem = Problem::new(Kind::Running, detail);
        (problem.retry_after, problem.running) = (Some(retry_after), running.map(Box::new));
        problem
    }

    /// 503: `detail` names what this replica has too little of.
    pub fn overloaded(detail: impl Into<Cow<'static, str>>, retry_after: Duration) -> Self {
        let mut problem = Problem::new(Kind::Overloaded, detail);
        problem.retry_after = Some(retry_after);
        problem
    }

    /// 503: `detail` says what is missing in public words, `cause` in private ones.
    pub fn unavailable(
        detail: impl Into<Cow<'static, str>>,
        retry_after: Duration,
        cause: impl ToString,
    ) -> Self {
        let mut problem = Problem::new(Kind::Unavailable, detail);
        problem.retry_after = Some(retry_after);
        problem.because(cause)
    }

    /// 500: the caller learns nothing but the request's id.
    pub fn internal(cause: impl ToString) -> Self {
        Problem::new(Kind::Internal, "something went wrong on our side; the log has the request id")
            .because(cause)
    }

    /// Adds the private cause.
    pub fn because(mut self, cause: impl ToString) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The public message.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The private cause, for the log.
    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// The answer, naming the request.
    pub fn into_response_for(self, request_id: Option<&str>) -> Response {
        let (name, title, status) = self.kind.parts();
        let document = Document {
            r#type: format!("urn:rollcast:problem:{name}"),
            title,
            status: status.as_u16(),
            detail: &self.detail,
            request_id,
            running: self.running.as_deref(),
        };
        // Safe in the same places as all other JSON: a job prints why it was refused.
        let body = to_json(&document);
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.kind == Kind::Unauthorized {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"rollcast\""),
            );
        }
        if let Some(after) = self.retry_after {
            // Rounded up: a client that comes back too early is refused again.
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl IntoResponse for Problem {
    /// Without a request id: `edge` writes it anew with the id on the way out.
    fn into_response(self) -> Response {
        self.into_response_for(None)
    }
}

/// Escapes what would act on a terminal that shows the detail, and cuts it at a bound.
fn printable(detail: Cow<'static, str>) -> Cow<'static, str> {
    /// A detail is a sentence; what repeats the caller's input needs no more.
    const LONGEST: usize = 1024;
    let plain = |character: char| {
        !character.is_control()
            && !matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if detail.len() <= LONGEST && detail.chars().all(plain) {
        return detail;
    }
    let mut text = String::with_capacity(detail.len().min(LONGEST));
    for character in detail.chars() {
        if text.len() > LONGEST {
            text.push('…');
            break;
        }
        if plain(character) {
            text.push(character);
        } else {
            text.extend(character.escape_default());
        }
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    async fn body(response: Response) -> serde_json::Value {
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[tokio::test]
    async fn a_problem_is_the_document_that_the_wire_shows() {
        let detail = "no deployment \"wep\" in namespace \"shop\", or you may not read it";
        let response = Problem::not_found(detail).into_response_for(Some("4f2a"));
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert_eq!(response.headers()[header::CONTENT_TYPE], MEDIA_TYPE);
        let expected = serde_json::json!({
            "type": "urn:rollcast:problem:not_found",
            "title": "Not found",
            "status": 404,
            "detail": detail,
            "request_id": "4f2a",
        });
        assert_eq!(body(response).await, expected);
    }

    #[tokio::test]
    async fn the_cause_is_never_sent() {
        let problem = Problem::internal("cannot create tokenreviews as system:serviceaccount:x");
        assert!(problem.cause().unwrap().contains("tokenreviews"));
        let text = body(problem.into_response()).await.to_string();
        assert!(!text.contains("tokenreviews"), "{text}");
    }

    #[test]
    fn headers_say_how_to_log_in_and_when_to_come_back() {
        let response = Problem::unauthorized("no token").into_response();
        assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer realm=\"rollcast\"");
        let response = Problem::limited("busy", Duration::from_millis(1200)).into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
        let response = Problem::unavailable("later", Duration::ZERO, "x").into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    }

    #[test]
    fn a_detail_that_repeats_input_cannot_drive_a_terminal_and_is_bounded() {
        let problem = Problem::bad_request("tail", "\u{1b}[31m\u{9b}31m\r\n\u{202e}x");
        assert!(problem.detail().chars().all(|character| (' '..='~').contains(&character)));
        let long = Problem::not_found("x".repeat(100_000));
        assert!(long.detail().len() < 1100);
    }
}
