//! The same requests to the real API server and to the simulated one, over sockets: the same answers.
//!
//! What differs between any two clusters (ids, versions, times) is taken out first; what is left is
//! compared byte for byte. Every case that this finds to differ is a fault of the simulation.

use std::time::Duration;

use http::{Method, Request};
use http_body_util::BodyExt as _;
use kube::client::Body;
use rollcast::sim::{
    BarePod, Container, Exit, Identity, Numbers, Output, Program, Pull, Rule, Sim, SimOptions,
    Subject, Template, read_numbered,
};
use rollcast::time::parse_stamp;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::cluster::{Namespace, ctl, eventually, kubectl, namespace};
use crate::rights::grant;
use crate::writers::{container, pod};

/// One request.
struct Case {
    method: Method,
    path: String,
    body: Value,
    shape: fn(&[u8]) -> String,
}

/// Both clusters.
struct Pair {
    namespace: Namespace,
    real: kube::Client,
    simulated: kube::Client,
    sim: Sim,
    _stop: tokio_util::sync::DropGuard,
}

/// Lines of the pod `steady`, and of each attempt of the pod `crash`.
const STEADY: u64 = 20;
const CRASH: u64 = 5;

async fn pair() -> Option<Pair> {
    let namespace = namespace("conform")?;
    let real = kube::Client::try_from(kube::Config::infer().await.unwrap()).unwrap();
    // Its kubelet has the usual back-off, so that a crashed container stays down for a while.
    let node = kubectl(&["get", "nodes", "-o", "jsonpath={.items[0].metadata.name}"]);
    let steady = format!("--rate 200 --lines {STEADY} --length 100 --hold");
    let crash = format!("--rate 200 --lines {CRASH} --length 100 --exit 1");
    let mut missing = container("app", "run", &steady);
    missing["image"] = "127.0.0.1/nothing:1".into();
    missing["imagePullPolicy"] = "IfNotPresent".into();
    for (name, containers) in [
        ("crash", vec![container("app", "run", &crash)]),
        ("steady", vec![container("app", "run", &steady)]),
        ("two", vec![container("a", "run", &steady), container("b", "run", &steady)]),
        ("waiting", vec![missing]),
    ] {
        let mut spec = pod(&containers);
        spec["nodeName"] = node.clone().into();
        let metadata = json!({"name": name});
        namespace
            .apply(&json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}));
    }

    let stop = CancellationToken::new();
    let options = SimOptions { stop: stop.clone(), ..SimOptions::default() };
    let sim = Sim::new(SimOptions { start_time: rollcast::time::now(), ..options });
    let lines = |lines, exit| Program {
        output: vec![Output::Numbered(Numbers {
            lines: Some(lines),
            ..Numbers::new("run", 200.0)
        })],
        exit,
        ..Program::default()
    };
    let steady = || lines(STEADY, Exit::Never);
    let missing = Pull::Fails { message: "not found".to_owned() };
    for (name, containers) in [
        ("crash", vec![("app", lines(CRASH, Exit::AfterLines(CRASH, 1)))]),
        ("steady", vec![("app", steady())]),
        ("two", vec![("a", steady()), ("b", steady())]),
        ("waiting", vec![("app", Program { pull: missing, ..steady() })]),
    ] {
        let containers = containers.into_iter().map(|(container, program)| {
            Container::new(container, &format!("{name}/{container}"), program)
        });
        let template = Template::new(containers);
        sim.apply(BarePod { namespace: namespace.name.clone(), name: name.to_owned(), template });
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let serving = sim.clone();
    let guard = stop.clone().drop_guard();
    tokio::spawn(async move { serving.listen(listener, stop).await });
    let simulated = kube::Client::try_from(kube::Config::new(uri)).unwrap();
    let pair = Pair { namespace, real, simulated, sim, _stop: guard };
    for client in [&pair.real, &pair.simulated] {
        pair.settled(client).await;
    }
    Some(pair)
}

impl Pair {
    /// Every pod is in the state that its cases are about.
    async fn settled(&self, client: &kube::Client) {
        let path = format!("/api/v1/namespaces/{}/pods", self.namespace.name);
        eventually("the pods to settle", Duration::from_secs(60), async || {
            let case = Case::get(&path, |_| String::new());
            let (_, _, body) = ask(client, &case).await;
            let list: Value = serde_json::from_slice(&body).unwrap();
            let pod = |name: &str| {
                let items = list["items"].as_array().unwrap().iter();
                items.clone().find(|pod| pod["metadata"]["name"] == name).unwrap().clone()
            };
            let state = |name: &str| pod(name)["status"]["containerStatuses"][0]["state"].clone();
            let reason = state("waiting")["waiting"]["reason"].clone();
            let settled = state("steady")["running"].is_object()
                && state("two")["running"].is_object()
                && (reason == "ImagePullBackOff" || reason == "ErrImagePull")
                && state("crash")["running"].is_null()
                && pod("crash")["status"]["containerStatuses"][0]["restartCount"] != 0;
            settled.then_some(())
        })
        .await;
        // The writers write for a tenth of a second.
        tokio::time::sleep(Duration::from_millis(500)).await;
    }

    /// Asks both; what differs, one text a case.
    async fn compare(&self, cases: impl IntoIterator<Item = Case>) -> Vec<String> {
        let mut different = Vec::new();
        for case in cases {
            let (real, simulated) =
                tokio::join!(answer(&self.real, &case), answer(&self.simulated, &case));
            if real != simulated {
                let Case { method, path, body, .. } = &case;
                let said = format!("{method} {path} {body}\n  real {real}\n  sim  {simulated}");
                different.push(said);
            }
        }
        different
    }

    /// One request to one of them, as JSON.
    async fn json(&self, client: &kube::Client, path: &str) -> Value {
        let (_, _, body) = ask(client, &Case::get(path, |_| String::new())).await;
        serde_json::from_slice(&body).unwrap()
    }
}

impl Case {
    fn get(path: &str, shape: fn(&[u8]) -> String) -> Self {
        Case { method: Method::GET, path: path.to_owned(), body: Value::Null, shape }
    }

    fn post(path: &str, body: Value, shape: fn(&[u8]) -> String) -> Self {
        Case { method: Method::POST, path: path.to_owned(), body, shape }
    }
}

async fn ask(client: &kube::Client, case: &Case) -> (u16, String, Vec<u8>) {
    let body = if case.body.is_null() { Vec::new() } else { case.body.to_string().into_bytes() };
    let request = Request::builder().method(case.method.clone()).uri(&case.path);
    let request = request.header("content-type", "application/json");
    let limit = Duration::from_secs(20);
    let response = client.send(request.body(Body::from(body)).unwrap());
    let response = tokio::time::timeout(limit, response).await.expect("no answer").unwrap();
    let kind = response.headers().get("content-type").map_or("", |kind| kind.to_str().unwrap());
    let (status, kind) = (response.status().as_u16(), kind.to_owned());
    let body = tokio::time::timeout(limit, response.into_body().collect()).await;
    let body = body.unwrap_or_else(|_| panic!("{} does not end", case.path)).unwrap().to_bytes();
    (status, kind, body.to_vec())
}

/// Status, type and what the body comes down to.
async fn answer(client: &kube::Client, case: &Case) -> String {
    let (status, kind, body) = ask(client, case).await;
    let failure = serde_json::from_slice::<Value>(&body).ok().filter(|v| v["kind"] == "Status");
    let shape = match failure {
        Some(failure) => without_numbers(&failure),
        None => (case.shape)(&body),
    };
    format!("{status} {kind} {shape}")
}

/// A Status without the versions that its message names in brackets.
fn without_numbers(status: &Value) -> String {
    let mut status = status.clone();
    if let Some(message) = status["message"].as_str()
        && let Some((head, tail)) = message.split_once("version: 1 (")
        && tail.ends_with(')')
    {
        status["message"] = format!("{head}version: 1 (N)").into();
    }
    if let Some(message) = status["message"].as_str()
        && let Some((head, _)) = message.split_once("continue key is not valid")
    {
        status["message"] = format!("{head}continue key is not valid").into();
    }
    // The two take turns while a pull fails.
    let text = status.to_string();
    text.replace("trying and failing to pull image", "image can't be pulled")
}

/// Log lines: whether they are stamped, and their numbers; what is no whole line by its length.
fn log(body: &[u8]) -> String {
    let mut out = String::new();
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        let (line, end) = match line.strip_suffix(b"\n") {
            Some(line) => (line, "$"),
            None => (line, ""),
        };
        let (stamp, line) = match parse_stamp(line) {
            // Nine digits and Z, as RFC3339NanoFixed in UTC has it.
            Some((_, 30)) => ("stamp ", &line[31..]),
            Some((_, length)) => panic!("a stamp of {length} bytes: {line:?}"),
            None => ("", line),
        };
        let text = match read_numbered(line) {
            Some(line) => format!("{}{}", line.stream, line.number),
            None => format!("{} bytes", line.len()),
        };
        out += &format!("[{stamp}{text}{end}]");
    }
    out
}

/// The log of a dead attempt, or the words that it is gone, which one depends on the moment: between
/// the end of an attempt and its back-off the one before counts, and that is collected.
fn previous(body: &[u8]) -> String {
    let gone = b"unable to retrieve container logs for containerd://";
    if body.starts_with(gone) && !body.ends_with(b"\n") {
        return (0..CRASH).map(|number| format!("[stamp o{number}$]")).collect();
    }
    log(body)
}

/// Only the length: where a cut falls depends on the sources' names.
fn length(body: &[u8]) -> String {
    format!("{} bytes", body.len())
}

fn list(body: &[u8]) -> String {
    let list: Value = serde_json::from_slice(body).unwrap();
    let metadata: Vec<_> = list["metadata"].as_object().unwrap().keys().cloned().collect();
    let left = &list["metadata"]["remainingItemCount"];
    let items = list["items"].as_array().unwrap().iter();
    let items: Vec<_> =
        items.map(|item| (&item["metadata"]["name"], item["kind"].is_null())).collect();
    format!("{} {} {metadata:?} left {left} {items:?}", list["kind"], list["apiVersion"])
}

fn object(body: &[u8]) -> String {
    let object: Value = serde_json::from_slice(body).unwrap();
    format!("{} {} {}", object["kind"], object["apiVersion"], object["metadata"]["name"])
}

/// The events of a watch: what, which object, which annotation.
fn events(body: &[u8]) -> String {
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let events = lines.map(|line| {
        let event: Value = serde_json::from_slice(line).unwrap();
        let object = &event["object"];
        match event["type"].as_str().unwrap() {
            "ERROR" => format!("ERROR {}", without_numbers(object)),
            kind => {
                let metadata = &object["metadata"];
                let (name, notes) = (&metadata["name"], &metadata["annotations"]);
                let notes = if kind == "BOOKMARK" { notes } else { &Value::Null };
                format!("{kind} {} {} {name} {notes}", object["kind"], object["apiVersion"])
            }
        }
    });
    events.collect::<Vec<_>>().join("; ")
}

/// What a review says; the words of an error are the API server's own business.
fn review(body: &[u8]) -> String {
    let review: Value = serde_json::from_slice(body).unwrap();
    let status = &review["status"];
    let mut groups: Vec<_> = status["user"]["groups"].as_array().into_iter().flatten().collect();
    groups.sort_by_key(ToString::to_string);
    format!(
        "{} {} authenticated {} audiences {} user {} {groups:?} allowed {} denied {} error {} reason {}",
        review["kind"],
        review["apiVersion"],
        status["authenticated"],
        status["audiences"],
        status["user"]["username"],
        status["allowed"],
        status["denied"],
        status["error"].is_string(),
        status["reason"].is_string(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_simulated_api_server_answers_as_the_real_one() {
    let Some(pair) = pair().await else { return };
    let pods = format!("/api/v1/namespaces/{}/pods", pair.namespace.name);
    let mut different = pair.compare(logs(&pods)).await;
    different.extend(pair.compare(lists(&pair, &pods).await).await);
    different.extend(pair.compare(watches(&pods)).await);
    different.extend(pair.compare(reviews(&pair)).await);
    different.extend(pages(&pair, &pods).await);
    different.extend(bookmarks(&pair, &pods).await);
    assert!(different.is_empty(), "{} differ:\n{}", different.len(), different.join("\n"));
}

fn logs(pods: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = [
        "steady/log",
        "steady/log?timestamps=true",
        "steady/log?container=app&timestamps=true&tailLines=3",
        "steady/log?tailLines=0",
        "steady/log?tailLines=1000",
        "steady/log?tailLines=-1",
        "steady/log?tailLines=abc",
        "steady/log?limitBytes=0",
        "steady/log?sinceTime=nonsense",
        "steady/log?sinceTime=2020-01-01T00:00:00Z&timestamps=true",
        "steady/log?sinceTime=2020-01-01T00:00:00.123456789Z",
        "steady/log?sinceTime=2020-01-01T02:00:00%2B02:00&tailLines=2",
        "steady/log?sinceTime=2050-01-01T00:00:00Z",
        "steady/log?sinceSeconds=3600",
        "steady/log?sinceSeconds=0",
        "steady/log?sinceSeconds=-5",
        "steady/log?sinceSeconds=5&sinceTime=2020-01-01T00:00:00Z",
        "steady/log?container=nope",
        "steady/log?previous=true",
        "steady/log?container=nope&previous=true",
        "nope/log",
        "two/log",
        "two/log?container=b",
        "two/log?container=a&tailLines=1&timestamps=true",
        "waiting/log",
        "waiting/log?follow=true",
        "waiting/log?previous=true",
        "crash/log",
        "crash/log?follow=true&timestamps=true",
        "crash/log?follow=true&tailLines=2",
    ]
    .map(|path| Case::get(&format!("{pods}/{path}"), log))
    .into();
    for path in ["steady/log?limitBytes=150", "steady/log?limitBytes=150&timestamps=true"] {
        cases.push(Case::get(&format!("{pods}/{path}"), length));
    }
    cases.push(Case::get(&format!("{pods}/crash/log?previous=true&timestamps=true"), previous));
    let elsewhere = "/api/v1/namespaces/no-such-namespace/pods/web/log";
    cases.push(Case::get(elsewhere, log));
    cases
}

async fn lists(pair: &Pair, pods: &str) -> Vec<Case> {
    let apps = format!("/apis/apps/v1/namespaces/{}", pair.namespace.name);
    let mut cases: Vec<Case> = ["", "?limit=2", "?limit=100", "?fieldSelector=metadata.name%3Dtwo"]
        .map(|query| Case::get(&format!("{pods}{query}"), list))
        .into();
    for path in [
        format!("{pods}?limit=abc"),
        format!("{pods}?continue=nonsense"),
        format!("{pods}?fieldSelector=spec.colour%3Dred"),
        format!("{apps}/deployments"),
        format!("{apps}/controllerrevisions?limit=1"),
        "/api/v1/namespaces/no-such-namespace/pods".to_owned(),
    ] {
        cases.push(Case::get(&path, list));
    }
    for path in [
        format!("{pods}/steady"),
        format!("{pods}/nope"),
        format!("{apps}/deployments/nope"),
        "/version".to_owned(),
    ] {
        cases.push(Case::get(&path, object));
    }
    let unicorns = pods.replace("/pods", "/unicorns");
    cases.push(Case::get(&unicorns, |body| String::from_utf8_lossy(body).into_owned()));
    cases.push(Case::get("/readyz", |body| String::from_utf8_lossy(body).into_owned()));
    cases
}

fn watches(pods: &str) -> Vec<Case> {
    let watch_list = "watch=true&sendInitialEvents=true&timeoutSeconds=1";
    [
        "watch=true&timeoutSeconds=1".to_owned(),
        "watch=true&timeoutSeconds=1&resourceVersion=0".to_owned(),
        "watch=true&timeoutSeconds=1&fieldSelector=metadata.name%3Dtwo".to_owned(),
        "watch=true&timeoutSeconds=1&resourceVersion=abc".to_owned(),
        watch_list.to_owned(),
        format!("{watch_list}&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"),
        format!("{watch_list}&resourceVersionMatch=NotOlderThan"),
    ]
    .map(|query| Case::get(&format!("{pods}?{query}"), events))
    .into()
}

/// Of tokens and rights. The token is the real one's, and made known to the simulation.
fn reviews(pair: &Pair) -> Vec<Case> {
    let Namespace { name, .. } = &pair.namespace;
    grant(&pair.namespace, "reader");
    let user = format!("system:serviceaccount:{name}:reader");
    let groups =
        ["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{name}")].to_vec();
    let ours = pair.namespace.token("reader", Some("rollcast"));
    let own = pair.namespace.token("reader", None);
    for (token, audiences) in [(&ours, vec!["rollcast".to_owned()]), (&own, Vec::new())] {
        let identity = Identity { user: user.clone(), groups: groups.clone(), audiences };
        pair.sim.add_token(token, identity);
    }
    let subject = Subject::User(user.clone());
    pair.sim.add_rule(Rule::new(subject, "get", "pods/log", Some(name)));
    let mut cases = Vec::new();
    let none = "nonsense".to_owned();
    for token in [&ours, &own, &none] {
        for audiences in [json!(["rollcast"]), json!(["elsewhere", "rollcast"]), json!([])] {
            let body = json!({
                "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
                "spec": {"token": token, "audiences": audiences},
            });
            cases.push(Case::post("/apis/authentication.k8s.io/v1/tokenreviews", body, review));
        }
    }
    for (verb, subresource, namespace) in [
        ("get", "log", name.as_str()),
        ("list", "log", name),
        ("get", "", name),
        ("get", "log", "default"),
        ("get", "log", ""),
    ] {
        let what = json!({
            "verb": verb, "resource": "pods", "subresource": subresource, "namespace": namespace,
        });
        let body = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": {"user": user, "groups": groups, "resourceAttributes": what},
        });
        cases.push(Case::post("/apis/authorization.k8s.io/v1/subjectaccessreviews", body, review));
    }
    cases
}

/// Pages: the second is what the first left.
async fn pages(pair: &Pair, pods: &str) -> Vec<String> {
    let mut seen = Vec::new();
    for client in [&pair.real, &pair.simulated] {
        let first = pair.json(client, &format!("{pods}?limit=3")).await;
        let token = first["metadata"]["continue"].as_str().unwrap();
        let next = Case::get(&format!("{pods}?limit=3&continue={token}"), list);
        seen.push(answer(client, &next).await);
    }
    let same = seen[0] == seen[1];
    (!same)
        .then(|| format!("second page\n  real {}\n  sim  {}", seen[0], seen[1]))
        .into_iter()
        .collect()
}

/// Watches from a version: one that is too short for a bookmark, and one that is too old.
async fn bookmarks(pair: &Pair, pods: &str) -> Vec<String> {
    pair.sim.compact();
    // An API server that has just come up knows no change from before its first list; one that is as
    // old as its cluster still knows them all.
    let forgets = ctl(&["kill", "kube-apiserver"])
        .and_then(|()| ctl(&["start", "kube-apiserver"]))
        .and_then(|()| ctl(&["wait"]));
    if forgets.is_none() {
        return Vec::new();
    }
    let old = Case::get(&format!("{pods}?watch=true&timeoutSeconds=2&resourceVersion=1"), events);
    let mut different = pair.compare([old]).await;
    let mut seen = Vec::new();
    // Objects that nothing happens to.
    let quiet = pods.replace("/api/v1/", "/apis/apps/v1/").replace("/pods", "/deployments");
    for client in [&pair.real, &pair.simulated] {
        let now = pair.json(client, &quiet).await;
        let version = now["metadata"]["resourceVersion"].as_str().unwrap();
        let query = "watch=true&allowWatchBookmarks=true&timeoutSeconds=1&resourceVersion";
        seen.push(answer(client, &Case::get(&format!("{quiet}?{query}={version}"), events)).await);
    }
    if seen[0] != seen[1] {
        different.push(format!("bookmarks\n  real {}\n  sim  {}", seen[0], seen[1]));
    }
    different
}
