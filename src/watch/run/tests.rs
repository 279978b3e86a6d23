//! The watches against an API server in memory, on paused time.

use std::collections::HashMap;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tower::BoxError;

use super::*;
use crate::ids::Kind;
use crate::watch::testing::*;

/// How the server treats one resource.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Manner {
    #[default]
    Well,
    /// 403.
    Refuses,
    /// Takes the request and says nothing.
    Hangs,
    /// Answers a watch and ends it at once.
    EndsWatches,
}

#[derive(Default)]
struct Server {
    objects: HashMap<&'static str, Vec<Value>>,
    manners: HashMap<&'static str, Manner>,
    watchers: HashMap<&'static str, Vec<mpsc::Sender<Bytes>>>,
    requests: Vec<String>,
}

type Shared = Arc<Mutex<Server>>;
type Answer = Response<UnsyncBoxBody<Bytes, BoxError>>;

const RESOURCES: [&str; 9] = [
    "deployments",
    "statefulsets",
    "daemonsets",
    "cronjobs",
    "jobs",
    "replicasets",
    "controllerrevisions",
    "pods",
    "events",
];

fn answer(
    status: u16,
    body: impl http_body::Body<Data = Bytes, Error = BoxError> + Send + 'static,
) -> Answer {
    Response::builder().status(status).body(body.boxed_unsync()).unwrap()
}

fn whole(status: u16, value: &Value) -> Answer {
    let text = Bytes::from(value.to_string());
    answer(status, http_body_util::Full::new(text).map_err(|never| match never {}))
}

impl Server {
    fn answer(&mut self, path: &str, query: &str) -> Option<Answer> {
        // A cluster without Argo Rollouts says so as one that never heard of the path.
        if path == "/apis/argoproj.io/v1alpha1" {
            let text = http_body_util::Full::new(Bytes::from_static(b"404 page not found\n"));
            return Some(answer(404, text.map_err(|never| match never {})));
        }
        self.requests.push(format!("{path}?{query}"));
        let resource = RESOURCES.into_iter().find(|name| path.ends_with(&format!("/{name}")))?;
        let watch = query.contains("watch=true");
        match self.manners.get(resource).copied().unwrap_or_default() {
            Manner::Hangs => return None,
            Manner::Refuses => {
                let words = format!("{resource} is forbidden: no");
                let status = json!({"kind": "Status", "status": "Failure", "code": 403,
                    "reason": "Forbidden", "message": words});
                return Some(whole(403, &status));
            }
            Manner::EndsWatches if watch => {
                let empty = http_body_util::Empty::new().map_err(|never| match never {});
                return Some(answer(200, empty));
            }
            _ => {}
        }
        if !watch {
            let items = self.objects.get(resource).cloned().unwrap_or_default();
            let list = json!({"kind": "List", "apiVersion": "v1",
                "metadata": {"resourceVersion": "10"}, "items": items});
            return Some(whole(200, &list));
        }
        let (sender, receiver) = mpsc::channel(16);
        self.watchers.entry(resource).or_default().push(sender);
        let frames = futures_util::stream::unfold(receiver, |mut receiver| async {
            let line: Bytes = receiver.recv().await?;
            Some((Ok(http_body::Frame::data(line)), receiver))
        });
        Some(answer(200, StreamBody::new(frames)))
    }
}

/// Sends an event to whoever watches.
fn send(server: &Shared, resource: &'static str, kind: &str, object: &Value) {
    let line = Bytes::from(format!("{}\n", json!({"type": kind, "object": object})));
    let mut server = server.lock();
    let watchers = server.watchers.get_mut(resource).expect("nobody watches");
    watchers.retain(|watcher| watcher.try_send(line.clone()).is_ok());
}

struct Rig {
    server: Shared,
    index: Index,
    changes: mpsc::Receiver<Change>,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

#[allow(clippy::disallowed_methods, reason = "the test joins the task itself")]
fn begin(prepare: impl FnOnce(&mut Server), namespaces: &[&str]) -> Rig {
    let server = Shared::default();
    prepare(&mut server.lock());
    let answering = Arc::clone(&server);
    let service = tower::service_fn(move |request: Request<Body>| {
        let uri = request.uri();
        let reply = answering.lock().answer(uri.path(), uri.query().unwrap_or_default());
        async move {
            match reply {
                Some(reply) => Ok::<_, BoxError>(reply),
                None => std::future::pending().await,
            }
        }
    });
    let client = kube::Client::new(service, "default");
    let cluster = Cluster::from_client(client.clone(), client, "memory");
    let (sender, changes) = mpsc::channel(64);
    let (index, shutdown) = (Index::new(), CancellationToken::new());
    let namespaces = namespaces.iter().map(|name| name.to_string()).collect();
    let options = WatchOptions { namespaces, ..WatchOptions::default() };
    let metrics = Arc::new(Metrics::noop());
    let running = run(cluster, options, index.clone(), sender, metrics, shutdown.clone());
    Rig { server, index, changes, shutdown, task: tokio::spawn(running) }
}

impl Rig {
    /// Takes changes until this one was told, and gives all of them.
    async fn until(&mut self, last: &str) -> Vec<String> {
        let mut all = Vec::new();
        while all.last().is_none_or(|told| told != last) {
            let next = tokio::time::timeout(Duration::from_secs(300), self.changes.recv()).await;
            let change = next.unwrap_or_else(|_| panic!("no {last}, only {all:?}"));
            all.push(told(&[change.expect("the watch ended")]).remove(0));
        }
        all
    }

    async fn end(self) {
        self.shutdown.cancel();
        self.task.await.unwrap();
    }
}

fn shop(server: &mut Server) {
    server.objects.insert("deployments", vec![deployment("shop/web:1", [1, 1, 1, 1, 1, 1])]);
    server.objects.insert("replicasets", vec![replica_set("a", "shop/web:1", 1, [1, 1, 1])]);
    server.objects.insert("pods", vec![running(pod("a", "1", 2), true)]);
}

#[tokio::test(start_paused = true)]
async fn the_first_changes_are_a_snapshot_and_what_follows_comes_as_it_happens() {
    let mut rig = begin(shop, &[]);
    let first = rig.until("synced").await;
    let expected = ["workload shop/deployment/web", "pod web-a-1 of shop/deployment/web", "synced"];
    assert_eq!(first, expected);
    assert!(rig.index.synced() && rig.index.problems().is_empty());

    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut next = pod("a", "2", 9);
    next["metadata"]["resourceVersion"] = json!("11");
    send(&rig.server, "pods", "ADDED", &next);
    rig.until("pod web-a-2 of shop/deployment/web").await;
    assert_eq!(rig.index.pods_of(&id(Kind::Deployment, "web")).len(), 2);
    send(&rig.server, "pods", "DELETED", &next);
    rig.until("gone web-a-2").await;
    let lists = rig.server.lock().requests.clone();
    assert!(lists.iter().all(|request| !request.contains("resourceVersion=0")), "{lists:?}");
    rig.end().await;
}

#[tokio::test(start_paused = true)]
async fn only_the_named_namespaces_are_asked_for() {
    let mut rig = begin(|_| {}, &["shop", "pay", "shop"]);
    rig.until("synced").await;
    let requests = rig.server.lock().requests.clone();
    assert!(requests.iter().all(|path| path.contains("/namespaces/")), "{requests:?}");
    let pods = |request: &&String| request.contains("/pods?") && !request.contains("watch=true");
    assert_eq!(requests.iter().filter(pods).count(), 2);
    rig.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_missing_right_is_named_and_holds_nothing_up() {
    let refuse = |server: &mut Server| {
        shop(server);
        server.manners.insert("events", Manner::Refuses);
    };
    let mut rig = begin(refuse, &["shop"]);
    rig.until("synced").await;
    let problems = rig.index.problems();
    assert_eq!(problems.len(), 1);
    assert_eq!((problems[0].resource, problems[0].verb), (Resource::Events, "list"));
    assert_eq!(
        problems[0].to_string(),
        "cannot list events in namespace \"shop\": events is forbidden: no; grant rollcast's \
         account the verbs list and watch on events in namespace \"shop\""
    );
    rig.server.lock().manners.clear();
    tokio::time::sleep(Duration::from_secs(90)).await;
    assert!(rig.index.problems().is_empty());
    rig.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_in_the_first_second_is_not_believed() {
    let refuse = |server: &mut Server| {
        shop(server);
        server.manners.insert("pods", Manner::Refuses);
    };
    let mut rig = begin(refuse, &[]);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(rig.index.problems().is_empty() && !rig.index.synced());
    rig.server.lock().manners.clear();
    let all = rig.until("synced").await;
    assert!(all.contains(&"pod web-a-1 of shop/deployment/web".to_owned()), "{all:?}");
    rig.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_list_that_hangs_does_not_hold_up_the_rest_and_is_a_problem() {
    let hang = |server: &mut Server| {
        shop(server);
        server.manners.insert("jobs", Manner::Hangs);
    };
    let mut rig = begin(hang, &[]);
    let start = Instant::now();
    let all = rig.until("pod web-a-1 of shop/deployment/web").await;
    assert!(start.elapsed() <= HOLD_LIMIT + 2 * TICK, "{all:?}");
    assert!(!rig.index.synced());
    tokio::time::sleep(Duration::from_secs(80)).await;
    let problems = rig.index.problems();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].to_string().contains("no answer within 30 s"), "{}", problems[0]);
    rig.server.lock().manners.clear();
    rig.until("synced").await;
    rig.end().await;
}

#[tokio::test(start_paused = true)]
async fn after_an_expired_watch_what_is_no_longer_listed_is_gone() {
    let mut rig = begin(shop, &[]);
    rig.until("synced").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    rig.server.lock().objects.insert("pods", vec![running(pod("a", "2", 3), true)]);
    let expired = json!({"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired",
        "message": "too old resource version"});
    send(&rig.server, "pods", "ERROR", &expired);
    let all = rig.until("gone web-a-1").await;
    assert_eq!(all, ["pod web-a-2 of shop/deployment/web", "gone web-a-1"]);
    rig.end().await;
}

#[tokio::test(start_paused = true)]
async fn watches_that_end_at_once_are_begun_at_most_once_a_second() {
    let ends = |server: &mut Server| {
        server.manners.insert("pods", Manner::EndsWatches);
    };
    let mut rig = begin(ends, &[]);
    rig.until("synced").await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let requests = rig.server.lock().requests.clone();
    let watches =
        requests.iter().filter(|path| path.contains("/pods?") && path.contains("watch=true"));
    let watches = watches.count();
    assert!((20..=32).contains(&watches), "{watches}");
    rig.end().await;
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_nobody_takes_the_changes_any_more() {
    let mut rig = begin(shop, &[]);
    rig.until("synced").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    rig.changes.close();
    let mut next = pod("a", "2", 9);
    next["metadata"]["resourceVersion"] = json!("11");
    send(&rig.server, "pods", "ADDED", &next);
    rig.task.await.unwrap();
}
