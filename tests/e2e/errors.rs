//! Bad input and clusters that refuse: a clear error that says what to do, and no panic.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use crate::cluster::{eventually, kubectl, namespace, run};
use crate::service::{Service, fetch, free_address, rollcast, stream_path};
use crate::writers::Writers;

/// Runs the program, which must refuse to start; what it said.
fn refused(arguments: &[&str], words: &[&str]) {
    let said = run(&mut rollcast(arguments), None).expect_err("it started");
    assert!(!said.contains("panicked"), "{said}");
    for word in words {
        assert!(said.contains(word), "{arguments:?}: no {word:?} in: {said}");
    }
}

/// A kubeconfig for a server and a token, in a file.
fn kubeconfig(name: &str, server: &str, authority: Option<&str>, token: &str) -> PathBuf {
    let cluster = match authority {
        Some(data) => json!({"server": server, "certificate-authority-data": data}),
        None => json!({"server": server}),
    };
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "it",
        "clusters": [{"name": "it", "cluster": cluster}],
        "users": [{"name": "it", "user": {"token": token}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
    });
    let path =
        std::env::temp_dir().join(format!("rollcast-e2e-{name}-{}.json", std::process::id()));
    std::fs::write(&path, config.to_string()).unwrap();
    path
}

/// Waits until the program's log has these words.
async fn says(service: &Service, words: &[&str]) {
    let what = format!("{words:?} in the log {:?}", service.log);
    eventually(&what, Duration::from_secs(20), async || {
        let log = service.log();
        log.lines().any(|line| words.iter().all(|word| line.contains(word))).then_some(())
    })
    .await;
}

#[test]
fn wrong_options_are_named() {
    if namespace("options").is_none() {
        return;
    }
    refused(&["serve", "--nonsense"], &["--nonsense", "--help"]);
    refused(&["serve", "--listen", "nowhere"], &["--listen", "nowhere"]);
    refused(&["serve", "--heartbeat", "1h"], &["heartbeat", "60s"]);
    refused(&["serve", "--auth", "none", "--listen", "0.0.0.0:0"], &["--auth none", "loopback"]);
    let missing = "/nonexistent/kubeconfig";
    refused(
        &["serve", "--auth", "none", "--listen", "127.0.0.1:0", "--kubeconfig", missing],
        &[missing],
    );
    let config = crate::cluster::kubeconfig().unwrap();
    let context = ["--context", "nobody", "--kubeconfig", config.to_str().unwrap()];
    let listen =
        ["serve", "--auth", "none", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    refused(&[&listen[..], &context].concat(), &["nobody"]);
}

/// It waits for the cluster instead of ending, says so, and is not ready meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_does_not_answer_is_waited_for() {
    if namespace("nobody").is_none() {
        return;
    }
    let nobody: SocketAddr = free_address();
    let config = kubeconfig("nobody", &format!("https://{nobody}"), None, "none");
    let options = ["--auth", "none", "--kubeconfig", config.to_str().unwrap()];
    let service = Service::spawn("nobody", &options);
    says(&service, &["not connected yet", &nobody.to_string()]).await;
    assert_eq!(fetch(service.admin, "/livez", &[]).await.0, 200);
    let (status, body) = fetch(service.admin, "/readyz", &[]).await;
    assert_eq!(status, 503, "{body}");
    eventually("the service", Duration::from_secs(10), async || {
        tokio::net::TcpStream::connect(service.address).await.ok()
    })
    .await;
    let (status, body) = service.fetch(&stream_path("shop", "web"), &[]).await;
    assert_eq!(status, 503, "{body}");
    assert!(body.contains("urn:rollcast:problem:unavailable"), "{body}");
    let _ = std::fs::remove_file(config);
}

/// An account without rights: verb, resource and namespace of what is missing are named.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_rights_are_named() {
    let Some(namespace) = namespace("poor") else { return };
    namespace.kubectl(&["create", "serviceaccount", "poor"]);
    let view = |jsonpath: &str| {
        kubectl(&["config", "view", "--raw", "--minify", "-o", &format!("jsonpath={jsonpath}")])
    };
    let authority = view("{.clusters[0].cluster.certificate-authority-data}");
    let server = view("{.clusters[0].cluster.server}");
    let token = namespace.token("poor", None);
    let config = kubeconfig("poor", &server, Some(&authority), &token);
    let kubeconfig = config.to_str().unwrap();

    // Without the right to review tokens it does not start.
    let listen = free_address().to_string();
    let options = ["serve", "--listen", &listen, "--admin-listen", "127.0.0.1:0"];
    let options = [&options[..], &["--kubeconfig", kubeconfig]].concat();
    refused(&options, &["create", "tokenreviews", "system:auth-delegator"]);

    let options = ["--auth", "none", "--namespace", &namespace.name, "--kubeconfig", kubeconfig];
    let service = Service::spawn("poor", &options);
    says(&service, &["list", "pods", &namespace.name]).await;
    assert_eq!(fetch(service.admin, "/livez", &[]).await.0, 200);
    eventually("the missing right in /readyz", Duration::from_secs(20), async || {
        let (status, body) = fetch(service.admin, "/readyz", &[]).await;
        assert_eq!(status, 503, "{body}");
        let grant = ["cannot list", "grant", "verbs list and watch", &namespace.name];
        grant.iter().all(|word| body.contains(word)).then_some(())
    })
    .await;
    let _ = std::fs::remove_file(config);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_absent_or_malformed_is_a_problem_document() {
    let Some(namespace) = namespace("absent") else { return };
    let web = Writers { name: "web", replicas: 1, run: "errors", options: "--rate 1" };
    namespace.apply(&web.object());
    namespace.rolled_out("web");
    let service = Service::open("absent", &["--namespace", &namespace.name]).await;
    let ns = &namespace.name;
    let stream = stream_path(ns, "web");
    let cases = [
        (stream_path("no-such-namespace", "web"), 404, "no-such-namespace"),
        (stream_path(ns, "wep"), 404, "wep"),
        (stream.replace("deployment", "unicorn"), 400, "unicorn"),
        (stream.replace("/deployment/", "/job/"), 404, "job"),
        (format!("{stream}?since=yesterday"), 400, "since"),
        (format!("{stream}?tail=-1"), 400, "tail"),
        (format!("{stream}?tail=5&since=1h"), 400, "tail"),
        (format!("{stream}?format=xml"), 400, "format"),
        (format!("{stream}?logs=some"), 400, "logs"),
        (format!("{stream}?colour=red"), 400, "colour"),
        (format!("{stream}?last_event_id=7"), 400, "last_event_id"),
        (format!("{stream}?container=a%2Fb"), 400, "container"),
        ("/api/v1/workloads?limit=0".to_owned(), 400, "limit"),
        ("/api/v1/nothing".to_owned(), 404, "no such path"),
    ];
    for (path, status, word) in cases {
        let response = crate::service::get(service.address, &path, &[]).await;
        let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
        assert_eq!(
            (response.status().as_u16(), &*kind),
            (status, "application/problem+json"),
            "{path}"
        );
        let (_, problem) = service.json(&path, &[]).await;
        assert_eq!(problem["status"], status, "{path}: {problem}");
        assert!(problem["request_id"].is_string(), "{path}: {problem}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(word), "{path}: no {word:?} in {detail:?}");
    }
    assert_eq!(service.metric("rollcast_panics_total").await, 0.0);
}
