//! Who may read: real tokens, real reviews, real RBAC.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::cluster::{Namespace, namespace};
use crate::service::{Service, stream, stream_path};
use crate::writers::Writers;

/// Lets an account read the logs of a namespace; deleting the RoleBinding `reader` takes it back.
pub fn grant(namespace: &Namespace, account: &str) {
    namespace.kubectl(&["create", "serviceaccount", account]);
    namespace.apply(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": {"name": "reader"},
        "rules": [{"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]}],
    }));
    namespace.apply(&json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": "reader"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace.name}],
    }));
}

/// Without what differs between any two answers.
fn comparable(body: &str, name: &str) -> Value {
    let mut body: Value = serde_json::from_str(body).unwrap();
    body.as_object_mut().unwrap().remove("request_id");
    let detail = body["detail"].as_str().unwrap().replace(name, "NAME");
    body["detail"] = detail.into();
    body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_reads_what_its_owner_may_read_and_no_longer_than_that() {
    let Some(mine) = namespace("mine") else { return };
    let other = Namespace::create("other");
    let web = Writers { name: "web", replicas: 1, run: "rights", options: "--rate 20" }.object();
    for namespace in [&mine, &other] {
        namespace.apply(&web);
        namespace.rolled_out("web");
    }
    grant(&mine, "reader");
    let namespaces = format!("{},{}", mine.name, other.name);
    // The shortest that is allowed, so that the test need not wait for half a minute.
    let options = ["--auth", "token", "--namespace", &namespaces, "--reauthorize", "12s"];
    let service = Service::start("rights", &options).await;
    let path = stream_path(&mine.name, "web");
    let header = |token: &str| format!("Bearer {token}");
    let good = header(&mine.token("reader", Some("rollcast")));
    let own = header(&mine.token("reader", None));
    let elsewhere = header(&mine.token("reader", Some("elsewhere")));

    for path in [&*path, "/api/v1/workloads"] {
        assert_eq!(service.fetch(path, &[]).await.0, 401, "no token, {path}");
        for token in [&*own, &*elsewhere, "Bearer nonsense"] {
            let (status, body) = service.fetch(path, &[("authorization", token)]).await;
            assert_eq!(status, 401, "{path}: {body}");
            assert!(body.contains("urn:rollcast:problem:unauthorized"), "{body}");
        }
    }
    let auth = [("authorization", &*good)];
    let (status, hidden) = service.fetch(&stream_path(&other.name, "web"), &auth).await;
    assert_eq!(status, 404, "{hidden}");
    let (status, absent) = service.fetch(&stream_path(&other.name, "nothing"), &auth).await;
    assert_eq!(status, 404, "{absent}");
    assert_eq!(comparable(&hidden, "web"), comparable(&absent, "nothing"));
    let (status, absent) = service.fetch(&stream_path(&mine.name, "nothing"), &auth).await;
    assert_eq!(status, 404, "{absent}");

    let (status, list) = service.json("/api/v1/workloads", &auth).await;
    assert_eq!(status, 200);
    let seen: Vec<_> =
        list["workloads"].as_array().unwrap().iter().map(|w| &w["namespace"]).collect();
    assert_eq!(seen, [&*mine.name], "{list}");

    let mut open = stream(service.address, &path, &auth).await;
    open.until("log").await;
    mine.kubectl(&["delete", "rolebinding", "reader"]);
    let begin = Instant::now();
    let bye = tokio::time::timeout(Duration::from_secs(20), open.until("bye")).await;
    let bye = bye.expect("the stream outlived the right to read it");
    eprintln!("revoked after {:?}", begin.elapsed());
    assert_eq!(bye.data["reason"], "revoked", "{bye:?}");
    assert!(open.next().await.is_none(), "bytes after bye");
    assert_eq!(service.fetch(&path, &auth).await.0, 404);
    let (_, list) = service.json("/api/v1/workloads", &auth).await;
    assert_eq!(list["workloads"], json!([]));
}
