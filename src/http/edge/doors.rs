//! Requests that no handler should see: tokens in URLs, and pages of other sites that reach for a
//! server without login.
//!
//! With tokens a foreign page can do nothing, since no browser adds the `Authorization` header by
//! itself. Without login every page on the machine's browser could read the logs, directly or by
//! DNS rebinding (the class of CVE-2025-59163), so the name asked for and the site that asks are
//! checked.

use axum::extract::Request;
use http::{HeaderMap, header, uri::Authority};

use crate::http::problem::{Kind, Problem};

/// Query parameters by which tokens are often passed. URLs end in logs and histories (RFC 9700).
const TOKEN_PARAMETERS: [&str; 3] = ["access_token", "token", "authorization"];

/// Bytes of a request's head and of its body, as the options have them by default: a token of an
/// identity provider with many groups fits, and a list of selections.
const HEAD: usize = 32 * 1024;
const BODY: usize = 64 * 1024;

/// Longest path and query, in bytes; a selection needs far less.
const LONGEST_URI: usize = 8 * 1024;

/// Which requests are let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doors {
    loopback_only: bool,
    head_bytes: usize,
    body_bytes: usize,
}

// === impl Doors ===

impl Doors {
    /// For callers that log in with tokens.
    pub fn for_tokens() -> Self {
        Doors { loopback_only: false, head_bytes: HEAD, body_bytes: BODY }
    }

    /// For a server without login: only what this machine's own pages and programs ask.
    pub fn for_loopback() -> Self {
        Doors { loopback_only: true, ..Doors::for_tokens() }
    }

    /// The same with other bounds of a request's head and body, in bytes.
    pub fn with_bounds(self, head_bytes: usize, body_bytes: usize) -> Self {
        Doors { head_bytes, body_bytes, ..self }
    }

    /// Bytes that a handler may read of a body.
    pub(super) fn body_bytes(&self) -> usize {
        self.body_bytes
    }

    /// Refuses what no handler should see.
    pub(super) fn check(&self, request: &Request) -> Result<(), Problem> {
        let query = request.uri().query().unwrap_or_default();
        if request.uri().path().len() + query.len() > LONGEST_URI {
            return Err(Problem::bad_request("url", "at most 8 KiB of path and query"));
        }
        let headers = request.headers().iter();
        // As they stand on the wire: with a colon, a space and a line end.
        let head: usize = headers.map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        if head > self.head_bytes {
            let words = format!("at most {} bytes of headers", self.head_bytes);
            return Err(Problem::new(Kind::HeadTooLarge, words));
        }
        let length = request.headers().get(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if length.is_some_and(|length| length > self.body_bytes as u64) {
            let words = format!("at most {} bytes of body", self.body_bytes);
            return Err(Problem::new(Kind::TooLarge, words));
        }
        if let Some(name) = token_parameter(query) {
            let words = "not in URLs, which end up in logs; send Authorization: Bearer TOKEN";
            return Err(Problem::bad_request(name, words));
        }
        if self.loopback_only {
            check_host(request)?;
            check_site(request.headers())?;
        }
        Ok(())
    }
}

/// The name of a parameter that carries a token, with escapes in the name undone.
fn token_parameter(query: &str) -> Option<&'static str> {
    query.split('&').find_map(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        let name = unescaped(name).to_ascii_lowercase();
        TOKEN_PARAMETERS.into_iter().find(|known| *known == name)
    })
}

/// Undoes percent escapes; what is malformed stays as it is.
fn unescaped(name: &str) -> String {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let hex = (byte == b'%').then(|| after.get(..2)).flatten();
        let value = hex
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        out.push(value.unwrap_or(byte));
        rest = if value.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The name asked for must be this machine's own, whatever a DNS server says it is.
fn check_host(request: &Request) -> Result<(), Problem> {
    let mut given = request.headers().get_all(header::HOST).iter();
    let host = match (request.uri().authority(), given.next(), given.next()) {
        (_, Some(_), Some(_)) => None,
        (Some(authority), None, None) => Some(authority.clone()),
        (None, Some(value), None) => Authority::try_from(value.as_bytes()).ok(),
        // Both: HTTP/2 clients may repeat the authority; both must be ours.
        (Some(authority), Some(value), None) => {
            Authority::try_from(value.as_bytes()).ok().filter(|given| given == authority)
        }
        // The iterator is empty, so there is no second one.
        (_, None, Some(_)) | (None, None, None) => None,
    };
    if host.is_some_and(|host| is_own_name(host.host())) {
        return Ok(());
    }
    let words = "without login this server answers only to localhost, 127.0.0.1 and [::1]";
    Err(Problem::new(Kind::Forbidden, words))
}

fn is_own_name(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let by_name = host.eq_ignore_ascii_case("localhost");
    by_name || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// Browsers say which site a request comes from; programs say nothing.
fn check_site(headers: &HeaderMap) -> Result<(), Problem> {
    let refused = || Problem::new(Kind::Forbidden, "without login other sites may not ask");
    if let Some(site) = headers.get("sec-fetch-site") {
        // A link from elsewhere to the page itself is harmless, but then nothing else is needed.
        let own = site == "same-origin" || site == "none";
        let page = headers.get("sec-fetch-mode").is_some_and(|mode| mode == "navigate");
        return if own || page { Ok(()) } else { Err(refused()) };
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let own = origin.to_str().ok().and_then(|origin| origin.parse::<http::Uri>().ok());
    match own.as_ref().and_then(http::Uri::host) {
        Some(host) if is_own_name(host) => Ok(()),
        _ => Err(refused()),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn check(doors: &Doors, uri: &str, headers: &[(&str, &str)]) -> Result<(), Problem> {
        let mut request = Request::get(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        doors.check(&request.body(Body::empty()).unwrap())
    }

    #[test]
    fn tokens_in_urls_are_refused_however_they_are_spelt() {
        for query in ["token=x", "a=b&access_token=x", "access%5Ftoken=x", "TOKEN", "to%6ben=x"] {
            let problem = check(&Doors::for_tokens(), &format!("/?{query}"), &[]).unwrap_err();
            assert_eq!(problem.kind(), Kind::BadRequest, "{query}");
        }
        for query in ["tokens=1", "match=token", "x=access_token", "%zz=1", "%"] {
            check(&Doors::for_tokens(), &format!("/?{query}"), &[]).unwrap();
        }
    }

    #[test]
    fn a_server_without_login_answers_only_to_its_own_names() {
        let doors = Doors::for_loopback();
        for host in ["localhost:8080", "LOCALHOST", "127.0.0.1:8080", "[::1]:8080", "127.9.9.9"] {
            check(&doors, "/", &[("host", host)]).unwrap();
        }
        for host in ["evil.example", "localhost.evil.example", "10.0.0.1", "127.0.0.1.nip.io", ""] {
            check(&doors, "/", &[("host", host)]).unwrap_err();
        }
        check(&doors, "/", &[]).unwrap_err();
        check(&doors, "/", &[("host", "localhost"), ("host", "evil.example")]).unwrap_err();
        check(&doors, "http://evil.example/", &[("host", "localhost")]).unwrap_err();
        check(&Doors::for_tokens(), "/", &[("host", "rollcast.example")]).unwrap();
    }

    #[test]
    fn a_server_without_login_refuses_other_sites() {
        let doors = Doors::for_loopback();
        let host = ("host", "localhost:8080");
        for own in [
            &[("sec-fetch-site", "same-origin")][..],
            &[("sec-fetch-site", "none")],
            &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")],
            &[("origin", "http://localhost:8080")],
        ] {
            check(&doors, "/", &[&[host], own].concat()).unwrap();
        }
        for foreign in [
            &[("sec-fetch-site", "cross-site")][..],
            &[("sec-fetch-site", "same-site"), ("sec-fetch-mode", "cors")],
            &[("origin", "https://evil.example")],
            &[("origin", "null")],
        ] {
            check(&doors, "/", &[&[host], foreign].concat()).unwrap_err();
        }
    }

    #[test]
    fn what_is_too_large_is_refused_before_it_is_read() {
        let doors = Doors::for_tokens().with_bounds(8192, 1024);
        let cookie = "x".repeat(9000);
        let problem = check(&doors, "/", &[("cookie", &cookie)]).unwrap_err();
        assert_eq!(problem.kind(), Kind::HeadTooLarge);
        let problem = check(&doors, "/", &[("content-length", "1025")]).unwrap_err();
        assert_eq!(problem.kind(), Kind::TooLarge);
        check(&doors, "/", &[("content-length", "1024"), ("cookie", &cookie[..4000])]).unwrap();
    }

    #[test]
    fn an_endless_url_is_refused() {
        let uri = format!("/?match={}", "x".repeat(LONGEST_URI));
        check(&Doors::for_tokens(), &uri, &[]).unwrap_err();
    }
}
