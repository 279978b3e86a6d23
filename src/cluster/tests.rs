//! The client against servers on the loopback and in memory.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, StreamBody};
use kube::client::Body;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tower::BoxError;

use super::*;

fn options(yaml: &str, context: Option<&str>) -> (ClusterOptions, tempfile::NamedTempFile) {
    // Tests may run before or after one another; the second installation is refused and harmless.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(yaml.as_bytes()).unwrap();
    let kubeconfig = Some(file.path().to_owned());
    (ClusterOptions { kubeconfig, context: context.map(str::to_owned) }, file)
}

fn kubeconfig(port: u16, extra: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: test\ncontexts:\n- name: test\n  context: \
         {{cluster: here, user: me}}\nclusters:\n- name: here\n  cluster: {{server: \
         'http://127.0.0.1:{port}'{extra}}}\nusers:\n- name: me\n  user: {{token: secret-token}}\n"
    )
}

/// Answers every connection with these bytes, and keeps what was asked.
#[allow(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
async fn server(answer: &'static str) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut buffer = vec![0; 8192];
            let read = socket.read(&mut buffer).await.unwrap_or(0);
            seen.lock().push(String::from_utf8_lossy(&buffer[..read]).into_owned());
            let _ = socket.write_all(answer.as_bytes()).await;
        }
    });
    (port, asked)
}

fn with_length(status: &str, body: &str) -> &'static str {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n");
    Box::leak(format!("{head}\r\n{body}").into_boxed_str())
}

#[tokio::test]
async fn a_kubeconfig_leads_to_its_server_with_its_token() {
    let version = r#"{"major":"1","minor":"37","gitVersion":"v1.37.2","gitCommit":"",
        "gitTreeState":"","buildDate":"","goVersion":"","compiler":"","platform":""}"#;
    let (port, asked) = server(with_length("200 OK", version)).await;
    let (options, _file) = options(&kubeconfig(port, ""), None);
    let cluster = Cluster::connect(&options).await.unwrap();
    assert_eq!(cluster.name(), "test");
    assert_eq!(cluster.server(), format!("127.0.0.1:{port}"));
    assert_eq!(cluster.version().await.unwrap(), "v1.37.2");
    let asked = asked.lock()[0].to_ascii_lowercase();
    assert!(asked.starts_with("get /version http/1.1"), "{asked}");
    assert!(asked.contains("authorization: bearer secret-token"), "{asked}");
}

#[tokio::test]
async fn an_unreachable_server_is_named_with_the_cause() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let (options, _file) = options(&kubeconfig(port, ""), None);
    let error = Cluster::connect(&options).await.unwrap().version().await.unwrap_err().to_string();
    assert!(error.contains(&format!("127.0.0.1:{port} does not answer")), "{error}");
    assert!(error.contains("onnection refused"), "{error}");
    assert_eq!(error.matches("onnection refused").count(), 1, "{error}");
}

#[tokio::test]
async fn a_refusal_names_server_and_action_and_never_the_token() {
    let status = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","code":403,
        "reason":"Forbidden","message":"pods \"x\" is forbidden: User \"u\" cannot get"}"#;
    let (port, _) = server(with_length("403 Forbidden", status)).await;
    let (options, _file) = options(&kubeconfig(port, ""), None);
    let cluster = Cluster::connect(&options).await.unwrap();
    let error = cluster.get_pod("shop", "x").await.unwrap_err();
    assert!(matches!(error, Error::Forbidden { .. }), "{error:?}");
    let words = error.to_string();
    assert!(words.contains("get pods") && words.contains("User \"u\" cannot get"), "{words}");
    assert!(!format!("{words}{error:?}{cluster:?}").contains("secret"));
    assert!(!cluster.ready().await);
}

#[tokio::test]
async fn what_is_wrong_with_a_kubeconfig_is_said() {
    let absent = ClusterOptions { kubeconfig: Some("/nowhere/config".into()), context: None };
    let error = Cluster::connect(&absent).await.unwrap_err().to_string();
    assert!(error.contains("/nowhere/config"), "{error}");
    for (yaml, context, words) in [
        (kubeconfig(1, ""), Some("prod"), "it has no context \"prod\"; it has: test"),
        (kubeconfig(1, ", proxy-url: 'http://p:1'"), None, "asks for a proxy"),
        ("apiVersion: v1\nkind: Config\n".to_owned(), None, "name one with --context"),
        ("{[".to_owned(), None, "parse"),
    ] {
        let (options, _file) = options(&yaml, context);
        let error = Cluster::connect(&options).await.unwrap_err().to_string();
        assert!(error.contains(words), "{words} in {error}");
    }
}

/// A cluster in memory whose answers a function gives; `None` is silence.
fn memory<F, B>(answer: F) -> Cluster
where
    F: Fn(&Request<Body>) -> Option<Response<B>> + Send + 'static,
    B: http_body::Body<Data = Bytes, Error = BoxError> + Send + 'static,
{
    let service = tower::service_fn(move |request: Request<Body>| {
        let reply = answer(&request);
        async move {
            match reply {
                Some(reply) => Ok::<_, BoxError>(reply),
                None => std::future::pending().await,
            }
        }
    });
    let client = kube::Client::new(service, "default");
    Cluster::from_client(client.clone(), client, "memory")
}

fn log_of(follow: bool) -> LogRequest {
    LogRequest {
        namespace: "shop".into(),
        pod: "web".into(),
        container: "app".into(),
        follow,
        previous: false,
        since: None,
        tail_lines: None,
        limit_bytes: None,
    }
}

/// A log whose bytes come through a channel.
fn piped() -> (Cluster, mpsc::Sender<Result<Bytes, BoxError>>) {
    let (sender, receiver) = mpsc::channel(4);
    let receiver = Mutex::new(Some(receiver));
    let cluster = memory(move |_| {
        let frames = futures_util::stream::unfold(receiver.lock().take()?, |mut from| async {
            let piece: Result<Bytes, BoxError> = from.recv().await?;
            Some((piece.map(http_body::Frame::data), from))
        });
        Some(Response::new(StreamBody::new(frames)))
    });
    (cluster, sender)
}

#[tokio::test(start_paused = true)]
async fn a_follow_may_be_silent_for_hours_and_ends_cleanly_or_with_its_error() {
    let (cluster, sender) = piped();
    let mut body = cluster.open_log(&log_of(true)).await.unwrap();
    sender.send(Ok(Bytes::from_static(b"one\n"))).await.unwrap();
    assert_eq!(body.next().await.unwrap().unwrap(), "one\n");
    let silence = tokio::time::timeout(Duration::from_secs(7200), body.next()).await;
    assert!(silence.is_err(), "{silence:?}");
    sender.send(Err("cut".into())).await.unwrap();
    let error = body.next().await.unwrap().unwrap_err();
    assert!(matches!(&error, LogError::Transport(words) if words.contains("cut")), "{error:?}");
    assert!(body.next().await.is_none());

    let (cluster, sender) = piped();
    let mut body = cluster.open_log(&log_of(true)).await.unwrap();
    drop(sender);
    assert!(body.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_read_without_follow_that_stops_is_broken_off() {
    let (cluster, sender) = piped();
    let mut body = cluster.open_log(&log_of(false)).await.unwrap();
    sender.send(Ok(Bytes::from_static(b"one\n"))).await.unwrap();
    assert!(body.next().await.unwrap().is_ok());
    let error = body.next().await.unwrap().unwrap_err();
    assert!(matches!(error, LogError::Transport(_)), "{error:?}");
    assert!(body.next().await.is_none());
    drop(sender);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_is_given_up() {
    let cluster = memory(|_| None::<Response<Never>>);
    let start = tokio::time::Instant::now();
    let error = cluster.open_log(&log_of(true)).await.unwrap_err();
    assert!(matches!(error, LogError::Transport(_)), "{error:?}");
    assert!(start.elapsed() <= Duration::from_secs(11));
    let error = cluster.version().await.unwrap_err();
    assert!(matches!(error, Error::TooSlow { .. }), "{error:?}");
}

type Never = http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>;

#[tokio::test]
async fn a_log_that_waits_and_one_that_is_missing_are_told_apart() {
    let reply = |code: u16, message: &'static str| {
        let cluster = memory(move |_| {
            let body = serde_json::json!({"kind": "Status", "code": code, "message": message});
            let body = Full::new(Bytes::from(body.to_string())).map_err(|never| match never {});
            Response::builder().status(code).body(body).ok()
        });
        async move { cluster.open_log(&log_of(true)).await.unwrap_err() }
    };
    let error = reply(400, "container \"app\" in pod \"web\" is waiting to start: x").await;
    assert!(matches!(error, LogError::Waiting(_)), "{error:?}");
    let error = reply(404, "pods \"web\" not found").await;
    assert_eq!(error, LogError::NotFound("pods \"web\" not found".to_owned()));
    let error = reply(500, "dial tcp: connection refused").await;
    assert!(matches!(error, LogError::Refused { status: 500, .. }), "{error:?}");
}

#[tokio::test]
async fn reviews_carry_everything_and_fail_closed() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let cluster = memory(move |request| {
        seen.lock().push(request.uri().path().to_owned());
        let body = serde_json::json!({"apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview", "metadata": {}, "spec": {},
            "status": {"allowed": true, "denied": true}});
        let body = Full::new(Bytes::from(body.to_string())).map_err(|never| match never {});
        Some(Response::new(body))
    });
    let access = Access {
        verb: "get",
        group: "",
        resource: "pods",
        subresource: Some("log"),
        namespace: Some("shop"),
        name: None,
    };
    let who = Identity { user: "jane".to_owned(), ..Identity::default() };
    assert!(!cluster.review_access(&who, &access).await.unwrap(), "denied goes before allowed");
    assert_eq!(asked.lock()[0], "/apis/authorization.k8s.io/v1/subjectaccessreviews");
    // An answer without a status of a token review authenticates nobody.
    assert_eq!(cluster.review_token("t", &[]).await.ok().flatten(), None);
}
