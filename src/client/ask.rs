//! What is asked of the service, and what its answers mean.
//!
//! What holds here: an answer counts only if it is the service's own. A page of some proxy is no
//! verdict and no refusal, whatever its status; and a verdict is good only if status, outcome and
//! workload all say so.

use std::time::Duration;

use http::{HeaderMap, Response, StatusCode, header};
use hyper::body::Incoming;
use serde::Deserialize;

use super::event::Ended;
use super::pursuit::{Hold, Pinned, Refusal, Trouble};
use super::reach::{Reach, whole};
use crate::ids::WorkloadId;

/// Which rollout is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pins {
    /// The one that was asked for when annotation `rollcast.dev/deploy` had this value.
    pub deploy: Option<String>,
    /// The one with this revision.
    pub revision: Option<String>,
    /// The one of this generation.
    pub generation: Option<u64>,
    /// It sets this image, too. By itself it says too little.
    pub image: Option<String>,
    /// One that began at this time or later, as RFC 3339.
    pub after: Option<String>,
}

/// What of the logs is wanted, by the words of the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// `all`, `new`, `failed` or `none`.
    pub logs: Option<String>,
    /// Only this container.
    pub container: Option<String>,
}

/// Asks about one workload.
#[derive(Clone)]
pub(super) struct Asker {
    pub(super) reach: Reach,
    pub(super) workload: WorkloadId,
    pub(super) pins: Pins,
    pub(super) wanted: Wanted,
}

/// What came of asking for the stream.
pub(super) enum Stream {
    Open(Incoming),
    Over,
    Failed(Trouble),
    Refused(Refusal),
}

/// What came of asking for the verdict.
pub(super) enum Verdict {
    Given(Box<Ended>),
    Running(Hold),
    Failed(Trouble),
    Refused(Refusal),
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    r#type: String,
    detail: String,
    revision: Option<String>,
    generation: Option<u64>,
    uid: Option<String>,
    pinned: Option<String>,
}

/// An answer that is no stream.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

// === impl Pins ===

impl Pins {
    /// How much they say.
    pub(super) fn pinned(&self) -> Pinned {
        let Pins { deploy, revision, generation, after, image: _ } = self;
        if deploy.is_some() || revision.is_some() || generation.is_some() {
            return Pinned::Exactly;
        }
        if after.is_some() { Pinned::After } else { Pinned::No }
    }

    /// As parameters; `hold` is what is known beside them.
    fn push(&self, query: &mut form_urlencoded::Serializer<'_, String>, hold: &Hold) {
        let generation = self.generation.or(hold.generation).map(|number| number.to_string());
        for (name, value) in [
            ("deploy", self.deploy.as_deref()),
            ("revision", self.revision.as_deref().or(hold.revision.as_deref())),
            ("generation", generation.as_deref()),
            ("image", self.image.as_deref()),
            ("after", self.after.as_deref()),
            ("uid", hold.uid.as_deref()),
        ] {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
    }
}

// === impl Asker ===

impl Asker {
    /// Asks for the stream until the result, behind an id if there is one.
    pub(super) async fn stream(&self, after: Option<&str>, hold: &Hold) -> Stream {
        let mut query = form_urlencoded::Serializer::new(String::new());
        // Ordinary events are what the pods' phases tell already.
        query.append_pair("until", "result").append_pair("events", "warning");
        query.append_pair("logs", self.wanted.logs.as_deref().unwrap_or("new"));
        if let Some(container) = &self.wanted.container {
            query.append_pair("container", container);
        }
        self.pins.push(&mut query, hold);
        let mut headers = vec![(header::ACCEPT, "text/event-stream")];
        headers.extend(after.map(|id| (header::HeaderName::from_static("last-event-id"), id)));
        let path = self.path("stream", &query.finish());
        let response = match self.reach.ask(&path, &headers, Duration::ZERO).await {
            Ok(response) => response,
            Err(error) => return Stream::Failed(Trouble { words: error.to_string(), after: None }),
        };
        if response.status() == StatusCode::NO_CONTENT {
            return Stream::Over;
        }
        if response.status() == StatusCode::OK && is(response.headers(), "text/event-stream") {
            return Stream::Open(response.into_body());
        }
        match self.neither(&Answer::read(response).await) {
            Err(refusal) => Stream::Refused(refusal),
            Ok(trouble) => Stream::Failed(trouble),
        }
    }

    /// Asks for the verdict, and lets the server wait for it.
    pub(super) async fn verdict(&self, wait: Duration, hold: &Hold) -> Verdict {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("wait", &format!("{}s", wait.as_secs()));
        self.pins.push(&mut query, hold);
        let path = self.path("verdict", &query.finish());
        let headers = [(header::ACCEPT, "application/json")];
        let answer = match self.reach.ask(&path, &headers, wait).await {
            Ok(response) => Answer::read(response).await,
            Err(error) => {
                return Verdict::Failed(Trouble { words: error.to_string(), after: None });
            }
        };
        if let Some(mut ended) = self.ended(&answer) {
            // By a generation alone that we took up ourselves a server that was started since may take
            // another rollout for it.
            let named = self.pins.generation.is_some()
                || self.pins.revision.is_some()
                || hold.revision.is_some();
            if ended.pinned.is_some() && !named {
                ended.outcome = "unknown".to_owned();
            }
            return Verdict::Given(Box::new(ended));
        }
        let running = |it: &Problem| it.r#type == "urn:rollcast:problem:running";
        if let Some(Problem { revision, generation, uid, pinned, .. }) =
            answer.problem().filter(running)
        {
            // What is only inferred is no knowledge.
            let hold = Hold { revision, generation, uid };
            return Verdict::Running(if pinned.is_none() { hold } else { Hold::default() });
        }
        match self.neither(&answer) {
            Err(refusal) => Verdict::Refused(refusal),
            Ok(trouble) => Verdict::Failed(trouble),
        }
    }

    fn path(&self, what: &str, query: &str) -> String {
        let WorkloadId { namespace, kind, name } = &self.workload;
        format!("/api/v1/namespaces/{namespace}/{kind}/{name}/{what}?{query}")
    }

    /// The verdict in an answer, if it is one, about our workload, and does not contradict itself.
    fn ended(&self, answer: &Answer) -> Option<Ended> {
        let good = match answer.status {
            StatusCode::OK => true,
            StatusCode::FAILED_DEPENDENCY => false,
            _ => return None,
        };
        if !is(&answer.headers, "application/json") {
            return None;
        }
        let ended: Ended = serde_json::from_slice(&answer.body).ok()?;
        let ours = ended.workload == self.workload.to_string();
        let agrees = (ended.outcome == "succeeded") == good && !ended.outcome.is_empty();
        (ours && agrees).then_some(ended)
    }

    /// What an answer means that gives nothing of what was asked for: a refusal, or trouble that may
    /// pass.
    fn neither(&self, answer: &Answer) -> Result<Trouble, Refusal> {
        let (status, server) = (answer.status, self.reach.server());
        let problem = answer.problem();
        let said = problem.as_ref().map(|problem| problem.detail.clone());
        let own = said.is_some();
        let refused = |words: String, for_good| Err(Refusal { words, for_good, own });
        let token = "give a token by --token-file or ROLLCAST_TOKEN";
        match (status, said) {
            (StatusCode::UNAUTHORIZED, said) => {
                let said = said.unwrap_or_else(|| format!("{server} wants a login"));
                refused(format!("{said}; {token}"), false)
            }
            (StatusCode::FORBIDDEN, said) => {
                refused(said.unwrap_or_else(|| format!("{server} does not allow it")), false)
            }
            (StatusCode::NOT_FOUND, Some(said)) => refused(said, false),
            (status, Some(said))
                if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS =>
            {
                refused(said, true)
            }
            (status, _) if status.is_redirection() => {
                let to = answer.headers.get(header::LOCATION).and_then(|to| to.to_str().ok());
                let to = to.unwrap_or("nowhere");
                refused(format!("{server} redirects to {to}; name that server, or log in"), false)
            }
            (status, said) => {
                let after = answer.headers.get(header::RETRY_AFTER);
                let after = after.and_then(|value| value.to_str().ok()?.parse().ok());
                let words = said.unwrap_or_else(|| {
                    format!("{server} answers with status {} and nothing of ours", status.as_u16())
                });
                Ok(Trouble { words, after: after.map(Duration::from_secs) })
            }
        }
    }
}

// === impl Answer ===

impl Answer {
    async fn read(response: Response<Incoming>) -> Answer {
        let (status, headers) = (response.status(), response.headers().clone());
        Answer { status, headers, body: whole(response).await }
    }

    /// The problem that it tells of, if it is one of the service's own.
    fn problem(&self) -> Option<Problem> {
        if !is(&self.headers, "application/problem+json") {
            return None;
        }
        let problem: Problem = serde_json::from_slice(&self.body).ok()?;
        problem.r#type.starts_with("urn:rollcast:problem:").then_some(problem)
    }
}

fn is(headers: &HeaderMap, media: &str) -> bool {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    given.and_then(|value| value.split(';').next()).is_some_and(|it| it.trim() == media)
}

#[cfg(test)]
mod tests {
    use tokio_util::task::TaskTracker;

    use super::super::reach::{Pipes, Token};
    use super::*;
    use crate::ids::Kind;

    fn asker() -> Asker {
        Asker {
            reach: Reach::memory(Pipes::new().0, Token::None, TaskTracker::new()),
            workload: WorkloadId::new("shop", Kind::Deployment, "web"),
            pins: Pins::default(),
            wanted: Wanted::default(),
        }
    }

    fn answer(status: u16, media: &'static str, body: &str) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(media));
        let status = StatusCode::from_u16(status).unwrap();
        Answer { status, headers, body: body.as_bytes().to_vec() }
    }

    const JSON: &str = "application/json";
    const PROBLEM: &str = "application/problem+json";
    const GOOD: &str = r#"{"outcome":"succeeded","workload":"shop/deployment/web"}"#;

    #[test]
    fn only_a_whole_verdict_about_our_workload_is_one() {
        let given = |status, media, body: &str| asker().ended(&answer(status, media, body));
        assert!(given(200, "application/json; charset=utf-8", GOOD).is_some());
        let bad = GOOD.replace("succeeded", "failed");
        assert!(given(424, JSON, &bad).is_some());
        for (status, media, body) in [
            (200, "text/html", GOOD),
            (200, JSON, ""),
            (200, JSON, "{}"),
            (200, JSON, bad.as_str()),
            (424, JSON, GOOD),
            (206, JSON, GOOD),
            (302, JSON, GOOD),
            (500, JSON, GOOD),
            (200, JSON, &GOOD.replace("web", "pay")),
            (200, JSON, &GOOD[..20]),
            (424, JSON, r#"{"workload":"shop/deployment/web"}"#),
        ] {
            assert_eq!(given(status, media, body), None, "{status} {media} {body}");
        }
    }

    #[test]
    fn a_refusal_is_the_services_own_and_all_else_may_pass() {
        let neither = |status, media, body: &str| asker().neither(&answer(status, media, body));
        let problem = |name: &str| {
            format!(r#"{{"type":"urn:rollcast:problem:{name}","detail":"the words"}}"#)
        };
        for (status, media, name, for_good) in [
            (401, PROBLEM, "unauthorized", false),
            (403, PROBLEM, "forbidden", false),
            (404, PROBLEM, "not_found", false),
            (400, PROBLEM, "bad_request", true),
            (431, PROBLEM, "too_large", true),
            (401, "text/html", "", false),
            (403, "text/html", "", false),
            (302, "text/html", "", false),
        ] {
            let refusal = neither(status, media, &problem(name)).unwrap_err();
            assert_eq!(refusal.for_good, for_good, "{status} {media}");
            assert_eq!(refusal.own, media == PROBLEM, "{status} {media}");
            assert_eq!(refusal.words.starts_with("the words"), media == PROBLEM);
        }
        for (status, media, name) in [
            (200, "text/html", ""),
            (404, "text/html", ""),
            (429, PROBLEM, "limited"),
            (503, PROBLEM, "unavailable"),
            (502, "text/html", ""),
            (400, "text/html", ""),
        ] {
            assert!(neither(status, media, &problem(name)).is_ok(), "{status} {media}");
        }
    }

    #[test]
    fn pins_are_written_as_the_service_reads_them() {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let after = Some("2026-11-22T14:02:11Z".to_owned());
        let (deploy, image) = (Some("b 17&x".to_owned()), Some("web:2".to_owned()));
        let pins = Pins { deploy, image, after, ..Pins::default() };
        pins.push(
            &mut query,
            &Hold { revision: Some("42".to_owned()), generation: Some(7), uid: None },
        );
        let text = query.finish();
        let expected =
            "deploy=b+17%26x&revision=42&generation=7&image=web%3A2&after=2026-11-22T14%3A02%3A11Z";
        assert_eq!(text, expected);
        assert_eq!(pins.pinned(), Pinned::Exactly);
    }
}
