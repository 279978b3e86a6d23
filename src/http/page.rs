//! The page: files built by `web/`, embedded in the binary.
//!
//! The page is public; what it shows is not: it asks the API like everybody else. Its policy allows
//! nothing inline and nothing from elsewhere, and DOM sinks take only what the policy `rollcast`
//! made (Trusted Types), so that a line of a log cannot become markup.

use std::borrow::Cow;
use std::fmt::Write as _;

use axum::Router;
use axum::extract::Path;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use rust_embed::{EmbeddedFile, RustEmbed};

use super::problem::Problem;

/// The built page. Empty after `cargo build` alone; debug builds read the folder when asked.
#[derive(RustEmbed)]
#[folder = "web/dist"]
#[allow_missing = true]
struct Built;

const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; \
     connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'self'; \
     frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types rollcast",
);

/// Names under `/assets/` carry a hash of their content.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// Asked for again each time, and answered 304 if nothing changed.
pub(super) const REVALIDATED: &str = "no-cache";

/// What `cargo build` alone serves in place of the page.
const MISSING: &str = "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
    <title>rollcast</title>\n<h1>rollcast</h1>\n\
    <p>This binary was built without its page. <code>make build</code> makes the whole program, \
    page included, as <code>target/release/rollcast</code> (it needs Node).</p>\n\
    <p>The API works: <code>curl -N HOST/api/v1/namespaces/NS/deployment/NAME/stream</code>, and \
    <code>curl HOST/api/v1/workloads</code> for what there is.</p>\n</html>\n";

/// The routes of the page.
pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/", get(index))
        .route("/w/{*path}", get(index))
        .route("/assets/{*path}", get(asset))
        .route("/favicon.svg", get(async |headers: HeaderMap| root_file("favicon.svg", &headers)))
        .route("/favicon.ico", get(async |headers: HeaderMap| root_file("favicon.ico", &headers)))
        .route("/robots.txt", get(async || "User-agent: *\nDisallow: /\n"))
}

/// The page itself; which workload it shows is the page's business.
async fn index(headers: HeaderMap) -> Response {
    match Built::get("index.html") {
        Some(file) => answer(file, "index.html", REVALIDATED, &headers),
        None => {
            let html = HeaderValue::from_static("text/html; charset=utf-8");
            let cache = HeaderValue::from_static("no-store");
            let headers = [(header::CONTENT_TYPE, html), (header::CACHE_CONTROL, cache)];
            safe((headers, MISSING).into_response())
        }
    }
}

async fn asset(Path(path): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    // Embedded names cannot climb; a debug build reads files, which could.
    if path.split('/').any(|part| part == "..") {
        return Err(Problem::not_found("no such file of the page"));
    }
    let name = format!("assets/{path}");
    let file = Built::get(&name).ok_or_else(|| Problem::not_found("no such file of the page"))?;
    Ok(answer(file, &name, FOR_EVER, &headers))
}

fn root_file(name: &str, headers: &HeaderMap) -> Result<Response, Problem> {
    let file = Built::get(name).ok_or_else(|| Problem::not_found("no such file of the page"))?;
    Ok(answer(file, name, REVALIDATED, headers))
}

fn answer(file: EmbeddedFile, name: &str, cache: &'static str, asked: &HeaderMap) -> Response {
    let tag = tag(&file);
    let mut answer = if matches(asked, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        match file.data {
            Cow::Borrowed(data) => data.into_response(),
            Cow::Owned(data) => data.into_response(),
        }
    };
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type(name)));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    // Hexadecimal and quotes: always a valid value.
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    safe(answer)
}

/// Half of the file's hash is plenty to tell two builds apart.
fn tag(file: &EmbeddedFile) -> String {
    let mut tag = String::from("\"");
    for byte in &file.metadata.sha256_hash()[..16] {
        let _ = write!(tag, "{byte:02x}");
    }
    tag + "\""
}

/// Whether the client has what carries this tag.
pub(super) fn matches(asked: &HeaderMap, tag: &str) -> bool {
    let known = asked.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    known.is_some_and(|known| {
        known.split(',').any(|known| known.trim().trim_start_matches("W/") == tag)
    })
}

/// The headers of every answer of the page.
fn safe(mut answer: Response) -> Response {
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    for name in ["cross-origin-opener-policy", "cross-origin-resource-policy"] {
        let value = HeaderValue::from_static("same-origin");
        headers.insert(HeaderName::from_static(name), value);
    }
    answer
}

/// The kinds of files that the build makes; nothing is guessed.
fn media_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        Some("json" | "map") => "application/json",
        Some("webmanifest") => "application/manifest+json",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::Request;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;

    async fn ask(path: &str) -> (Response, String) {
        let app: Router = routes();
        let request = Request::get(path).body(Body::empty()).unwrap();
        let mut answer = app.oneshot(request).await.unwrap();
        let body = std::mem::take(answer.body_mut()).collect().await.unwrap().to_bytes();
        (answer, String::from_utf8_lossy(&body).into_owned())
    }

    #[tokio::test]
    async fn every_place_of_the_page_is_the_page_with_its_policy() {
        for path in ["/", "/w/shop/deployment/web"] {
            let (answer, body) = ask(path).await;
            assert_eq!(answer.status(), StatusCode::OK);
            assert!(body.contains("<title>rollcast</title>"), "{body}");
            let policy = answer.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(policy.starts_with("default-src 'none';"), "{policy}");
            assert!(!policy.contains("unsafe"), "{policy}");
            assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
            assert_eq!(answer.headers()["cross-origin-opener-policy"], "same-origin");
        }
    }

    #[tokio::test]
    async fn files_that_are_not_there_are_absent_and_paths_do_not_climb() {
        for path in ["/assets/x.js", "/assets/../index.html", "/assets/..%2f..%2f..%2fCargo.toml"] {
            assert_eq!(ask(path).await.0.status(), StatusCode::NOT_FOUND, "{path}");
        }
    }

    #[test]
    fn a_page_without_its_build_says_how_to_get_it() {
        assert!(MISSING.contains("make build"));
        // The policy allows nothing inline, so the page that stands in must need nothing.
        assert!(!MISSING.contains("style") && !MISSING.contains("script"));
    }

    #[test]
    fn a_known_tag_is_recognised_also_in_a_list_and_weak() {
        let asked =
            |value: &str| HeaderMap::from_iter([(header::IF_NONE_MATCH, value.parse().unwrap())]);
        for value in ["\"ab\"", "W/\"ab\"", "\"x\", \"ab\""] {
            assert!(matches(&asked(value), "\"ab\""), "{value}");
        }
        assert!(!matches(&asked("\"abc\""), "\"ab\""));
        assert!(!matches(&HeaderMap::new(), "\"ab\""));
    }
}
