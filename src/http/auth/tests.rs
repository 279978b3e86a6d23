use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use tokio::time::Instant;
use tower::ServiceExt as _;

use super::double::Double;
use super::*;

fn gate() -> (Gate, Arc<Double>) {
    let double = Arc::new(Double::with_people());
    let reviewer: Arc<dyn Reviewer> = Arc::clone(&double) as _;
    let metrics = Arc::new(Metrics::noop());
    let bound = Duration::from_secs(30);
    let gate = Gate::tokens(reviewer, Some("rollcast".to_owned()), bound, metrics).unwrap();
    (gate, double)
}

fn headers(token: &str) -> HeaderMap {
    HeaderMap::from_iter([(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap())])
}

async fn ask(gate: &Gate, path: &str, token: Option<&str>) -> (Response, String) {
    ask_from(gate, path, token, "10.0.0.1:4000").await
}

async fn ask_from(gate: &Gate, path: &str, token: Option<&str>, from: &str) -> (Response, String) {
    async fn read(caller: Caller, State(gate): State<Gate>) -> Result<String, Problem> {
        let absent = || Problem::not_found("no deployment \"web\", or you may not read it");
        let proof = gate.authorize(&caller, "shop").await.map_err(|e| e.into_problem(absent))?;
        Ok(proof.caller().user().to_owned())
    }
    let app = Router::new().route("/", get(read)).with_state(gate.clone());
    let from: SocketAddr = from.parse().unwrap();
    let mut request = Request::get(path).extension(ConnectInfo(from));
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let mut answer = app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let body = std::mem::take(answer.body_mut()).collect().await.unwrap().to_bytes();
    (answer, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_known_token_with_the_right_reads() {
    let (gate, _) = gate();
    let (answer, body) = ask(&gate, "/", Some("dev-token")).await;
    assert_eq!((answer.status(), body.as_str()), (StatusCode::OK, "dev"));
}

#[tokio::test(start_paused = true)]
async fn nobody_gets_401_and_the_challenge() {
    let (gate, _) = gate();
    for token in [None, Some("unknown-token")] {
        let (answer, _) = ask(&gate, "/", token).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(answer.headers()[header::WWW_AUTHENTICATE], "Bearer realm=\"rollcast\"");
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_read_looks_absent() {
    let (gate, double) = gate();
    double.0.lock().rights.clear();
    let (answer, body) = ask(&gate, "/", Some("dev-token")).await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    assert!(body.contains("or you may not read it"), "{body}");
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_away_or_slow_gives_503_within_two_seconds() {
    let (gate, double) = gate();
    let fail: [fn(&mut super::double::Script); 3] = [
        |script| script.away = true,
        |script| script.takes = Duration::from_secs(60),
        // Each review is in time, both together are not.
        |script| script.takes = Duration::from_millis(1500),
    ];
    for fail in fail {
        *double.0.lock() = std::mem::take(&mut *Double::with_people().0.lock());
        fail(&mut double.0.lock());
        let began = Instant::now();
        let (answer, body) = ask(&gate, "/", Some("dev-token")).await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{body}");
        assert!(answer.headers().contains_key(header::RETRY_AFTER));
        assert!(!body.contains("10.0.0.1"), "{body}");
        assert!(began.elapsed() <= Duration::from_secs(2), "{:?}", began.elapsed());
    }
    // The error is not remembered.
    *double.0.lock() = std::mem::take(&mut *Double::with_people().0.lock());
    assert_eq!(ask(&gate, "/", Some("dev-token")).await.0.status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn reviews_are_asked_once_for_many_requests() {
    let (gate, double) = gate();
    for _ in 0..50 {
        ask(&gate, "/", Some("dev-token")).await;
    }
    let script = double.0.lock();
    assert_eq!((script.token_reviews, script.access_reviews), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn malformed_namespaces_are_refused_without_a_review() {
    let (gate, double) = gate();
    let caller = gate.authenticate(&headers("ops-token"), None).await.unwrap();
    for namespace in ["", "Shop", "a/b", "..", "shop ", &"x".repeat(64)] {
        assert_eq!(gate.authorize(&caller, namespace).await.unwrap_err(), Denied::Refused);
    }
    assert_eq!(double.0.lock().access_reviews, 0);
}

#[tokio::test(start_paused = true)]
async fn who_may_read_all_namespaces_needs_one_review() {
    let (gate, double) = gate();
    let caller = gate.authenticate(&headers("ops-token"), None).await.unwrap();
    let proof = gate.visible(&caller, ["shop", "kube-system"]).await.unwrap();
    assert!(proof.covers("kube-system"));
    assert_eq!(double.0.lock().access_reviews, 1);
}

#[tokio::test(start_paused = true)]
async fn others_see_the_namespaces_that_they_may_read() {
    let (gate, _) = gate();
    let caller = gate.authenticate(&headers("dev-token"), None).await.unwrap();
    let proof = gate.visible(&caller, ["shop", "kube-system"]).await.unwrap();
    assert!(proof.covers("shop") && !proof.covers("kube-system"));
}

#[tokio::test(start_paused = true)]
async fn without_login_everybody_is_the_same_and_reads_everything() {
    let gate = Gate::open(Arc::new(Metrics::noop()));
    let (answer, body) = ask(&gate, "/", None).await;
    assert_eq!((answer.status(), body.as_str()), (StatusCode::OK, "anonymous"));
}

#[tokio::test(start_paused = true)]
async fn a_source_of_many_refused_tokens_gets_no_reviews_until_its_minute_is_over() {
    let (gate, double) = gate();
    let gate = gate.limiting_failures(Some(3));
    for token in ["a", "a", "b", "b", "c"] {
        let (answer, _) = ask(&gate, "/", Some(token)).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{token}");
    }
    let reviews = double.0.lock().token_reviews;
    let (answer, body) = ask(&gate, "/", Some("d")).await;
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(body.contains("urn:rollcast:problem:limited"), "{body}");
    let after: u64 = answer.headers()[header::RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert!((50..=60).contains(&after), "{after}");
    // A token of somebody is not reviewed either, as nobody knows that it is one.
    let (answer, _) = ask(&gate, "/", Some("dev-token")).await;
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(double.0.lock().token_reviews, reviews, "the API server was not asked");
    // Others are not affected, and a token that is known passes from everywhere.
    let (answer, _) = ask_from(&gate, "/", Some("dev-token"), "10.0.0.2:4000").await;
    assert_eq!(answer.status(), StatusCode::OK);
    let (answer, _) = ask(&gate, "/", Some("dev-token")).await;
    assert_eq!(answer.status(), StatusCode::OK);
    tokio::time::advance(Duration::from_secs(61)).await;
    let (answer, _) = ask(&gate, "/", Some("dev-token")).await;
    assert_eq!(answer.status(), StatusCode::OK);
}
