//! `GET /ci.sh`: the script that CI jobs follow a deploy with.
//!
//! It is as public as the page: it holds no secret, and asks the API like everybody else. It is the
//! same for all, byte by byte, so that a job can compare it with the checksum in `docs/ci.md` before
//! it runs it.

use axum::Router;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::page::{REVALIDATED, matches};

/// The script itself. `tests/ci` runs it in each shell.
const SCRIPT: &[u8] = include_bytes!("ci.sh");

/// The route of the script.
pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/ci.sh", get(script))
}

async fn script(headers: HeaderMap) -> Response {
    // Tells two versions apart, no more: who must be sure compares the checksum.
    let tag = format!("\"{:032x}\"", xxhash_rust::xxh3::xxh3_128(SCRIPT));
    let mut answer = if matches(&headers, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        SCRIPT.into_response()
    };
    let headers = answer.headers_mut();
    let kind = HeaderValue::from_static("text/x-shellscript; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(REVALIDATED));
    // Hexadecimal and quotes: always a valid value.
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    answer
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::Request;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;

    async fn ask(request: http::request::Builder) -> (Response, Vec<u8>) {
        let app: Router = routes();
        let mut answer = app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let body = std::mem::take(answer.body_mut()).collect().await.unwrap().to_bytes();
        (answer, body.to_vec())
    }

    #[tokio::test]
    async fn it_is_given_whole_with_its_length_and_its_tag() {
        let (answer, body) = ask(Request::get("/ci.sh")).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(body, SCRIPT);
        let headers = answer.headers();
        // Without the length a proxy could cut it, and nobody would know.
        assert_eq!(headers[header::CONTENT_LENGTH], SCRIPT.len().to_string());
        assert_eq!(headers[header::CONTENT_TYPE], "text/x-shellscript; charset=utf-8");
        let (head, empty) = ask(Request::head("/ci.sh")).await;
        assert_eq!((head.status(), empty.len()), (StatusCode::OK, 0));
        assert_eq!(head.headers()[header::ETAG], headers[header::ETAG]);
    }

    #[tokio::test]
    async fn who_has_it_is_told_so() {
        let (first, _) = ask(Request::get("/ci.sh")).await;
        let tag = &first.headers()[header::ETAG];
        let (again, body) = ask(Request::get("/ci.sh").header(header::IF_NONE_MATCH, tag)).await;
        assert_eq!((again.status(), body.len()), (StatusCode::NOT_MODIFIED, 0));
        let other = Request::get("/ci.sh").header(header::IF_NONE_MATCH, "\"x\"");
        assert_eq!(ask(other).await.0.status(), StatusCode::OK);
    }
}
