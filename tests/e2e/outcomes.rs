//! How rollouts end on a real cluster: for each cause the outcome, the code, the sentence, and how long it
//! took. In the table, `first shown` and `result after` count from the request, `shown after` from when a
//! watch of the test's own showed what the reason is made of.

use std::net::SocketAddr;
use std::time::Duration;

use rollcast::time::{self, MILLISECOND, SECOND};
use serde_json::{Value, json};

use crate::client::Event;
use crate::cluster::{Namespace, eventually, kubectl, namespace};
use crate::evidence::Evidence;
use crate::recordings::Recording;
use crate::service::{Service, fetch, stream};
use crate::writers::{container, pod};

/// Short ones, so that a run does not take a quarter of an hour; the usual ones hold in virtual time.
pub(crate) const GRACES: [&str; 14] = [
    "--grace-config",
    "8s",
    "--grace-quota",
    "12s",
    "--grace-unschedulable",
    "12s",
    "--grace-start",
    "12s",
    "--grace-pull",
    "12s",
    "--rollout-deadline",
    "40s",
    "--settle",
    "6s",
];

/// What a rollout is expected to come to.
pub(crate) struct Case {
    /// The workload, `kind/name`.
    pub(crate) workload: &'static str,
    /// What is there before; it is waited for.
    pub(crate) before: Option<Value>,
    /// What is asked for then, one after another with a pause of some seconds. The stream is opened
    /// after the first.
    pub(crate) then: Vec<Value>,
    pub(crate) outcome: &'static str,
    pub(crate) reason: Option<&'static str>,
    /// Part of the sentence.
    pub(crate) says: &'static str,
    /// A last line of the container to blame contains this.
    pub(crate) line: Option<&'static str>,
}

/// What was heard of one.
pub(crate) struct Heard {
    pub(crate) events: Vec<Event>,
    pub(crate) begun: i64,
}

pub(crate) const STAYS: &str = "--rate 2 --hold";
pub(crate) const CRASHES: &str = "--rate 50 --lines 5 --exit 1";

pub(crate) fn deployment(name: &str, replicas: u32, spec: Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "replicas": replicas, "progressDeadlineSeconds": 30,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": spec},
        },
    })
}

/// One container with these options, changed.
pub(crate) fn one(options: &str, change: impl FnOnce(&mut Value)) -> Value {
    let mut app = container("app", "outcome", options);
    change(&mut app);
    let mut spec = pod(&[app]);
    spec["terminationGracePeriodSeconds"] = 1.into();
    spec
}

/// On the node that restarts crashing containers after two seconds.
pub(crate) fn restless(mut spec: Value) -> Value {
    spec["nodeSelector"] = json!({"kubernetes.io/hostname": "node-2"});
    spec
}

pub(crate) fn good() -> Value {
    one(STAYS, |_| {})
}

/// The same again, but another template.
pub(crate) fn again(mut spec: Value) -> Value {
    spec["terminationGracePeriodSeconds"] = 2.into();
    spec
}

pub(crate) fn tcp_probe() -> Value {
    json!({"tcpSocket": {"port": 1}, "periodSeconds": 1, "failureThreshold": 1})
}

fn stateful_set(spec: Value) -> Value {
    let mut set = deployment("db", 2, spec);
    set["kind"] = "StatefulSet".into();
    set["spec"].as_object_mut().unwrap().remove("progressDeadlineSeconds");
    set["spec"]["serviceName"] = "db".into();
    set
}

pub(crate) fn bad_image() -> Value {
    one(STAYS, |app| {
        app["image"] = "127.0.0.1/nothing:1".into();
        app["imagePullPolicy"] = "IfNotPresent".into();
    })
}

#[allow(clippy::too_many_lines, reason = "a table")]
fn cases() -> Vec<Case> {
    let case = |workload, spec: Value, outcome, reason, says| {
        let name = str::split_once(workload, '/').unwrap().1;
        let (before, then) = (Some(deployment(name, 2, good())), vec![deployment(name, 2, spec)]);
        Case { workload, before, then, outcome, reason, says, line: None }
    };
    let failed = |workload, spec, reason, says| case(workload, spec, "failed", Some(reason), says);
    let mut init = good();
    init["initContainers"] = json!([container("prepare", "outcome", CRASHES)]);
    let mut elsewhere = good();
    elsewhere["nodeSelector"] = json!({"kubernetes.io/hostname": "nowhere"});
    let mut volume = good();
    volume["volumes"] =
        json!([{"name": "data", "hostPath": {"path": "/no/such/folder", "type": "Directory"}}]);
    volume["containers"][0]["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
    let ends = |options| {
        let mut spec = restless(one(options, |_| {}));
        spec["restartPolicy"] = "Never".into();
        spec
    };
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "migrate"},
        "spec": {"backoffLimit": 1, "template": {"spec": ends(CRASHES)}},
    });
    let done = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "done"},
        "spec": {"template": {"spec": ends("--rate 50 --lines 5")}},
    });
    vec![
        case("deployment/good", again(good()), "succeeded", None, ""),
        failed("deployment/image", bad_image(), "image_not_found", "127.0.0.1/nothing:1 not found"),
        failed(
            "deployment/config",
            one(STAYS, |app| {
                app["envFrom"] = json!([{"configMapRef": {"name": "absent"}}]);
            }),
            "config_missing",
            "configmap \"absent\" not found",
        ),
        Case {
            line: Some("W1 outcome"),
            ..failed(
                "deployment/crash",
                restless(one(CRASHES, |_| {})),
                "crash_loop",
                "container app exits with code 1",
            )
        },
        failed(
            "deployment/memory",
            restless(one("--rate 5 --long 1:200000000", |app| {
                app["resources"] = json!({"limits": {"memory": "24Mi"}});
            })),
            "oom_killed",
            "used more memory than its limit",
        ),
        case(
            "deployment/unready",
            one(STAYS, |app| app["readinessProbe"] = tcp_probe()),
            "timed_out",
            Some("readiness_failed"),
            "its readiness probe fails",
        ),
        failed(
            "deployment/unwell",
            restless(one("--rate 2 --hold --term-exit 3", |app| {
                app["livenessProbe"] = tcp_probe();
            })),
            "liveness_failed",
            "its liveness probe fails",
        ),
        failed(
            "deployment/init",
            restless(init),
            "init_failed",
            "container prepare exits with code 1",
        ),
        failed("deployment/nowhere", elsewhere, "unschedulable", "cannot be scheduled"),
        failed("deployment/volume", volume, "volume_failed", "a volume cannot be mounted"),
        failed(
            "deployment/command",
            one(STAYS, |app| app["command"] = json!(["/no/such/program"])),
            "invalid_command",
            "exec: \"/no/such/program\": stat /no/such/program: no such file or directory",
        ),
        // Ready for a second each time: the Deployment's own deadline begins again and again.
        with_min_ready(failed(
            "deployment/flaps",
            restless(one("--rate 20 --lines 60 --exit 1 --ready-after 1", |app| {
                let ready = ["/writer", "check-ready"];
                app["readinessProbe"] = json!({"exec": {"command": ready}, "periodSeconds": 1});
            })),
            "crash_loop",
            "container app exits with code 1",
        )),
        Case {
            before: Some(deployment("old", 2, restless(one(CRASHES, |_| {})))),
            ..case("deployment/old", good(), "succeeded", None, "")
        },
        Case {
            then: vec![
                deployment("newer", 2, one(STAYS, |app| app["readinessProbe"] = tcp_probe())),
                deployment("newer", 2, again(good())),
            ],
            ..case("deployment/newer", good(), "superseded", None, "a newer change began")
        },
        Case {
            workload: "statefulset/db",
            before: Some(stateful_set(good())),
            then: vec![stateful_set(bad_image())],
            outcome: "failed",
            reason: Some("image_not_found"),
            says: "127.0.0.1/nothing:1 not found",
            line: None,
        },
        Case {
            workload: "job/migrate",
            before: None,
            then: vec![job],
            outcome: "failed",
            reason: Some("job_failed"),
            says: "the job failed",
            line: None,
        },
        Case {
            workload: "job/done",
            before: None,
            then: vec![done],
            outcome: "succeeded",
            reason: None,
            says: "",
            line: None,
        },
    ]
}

/// Pods count as available only after they were ready for so long that they never are.
fn with_min_ready(mut case: Case) -> Case {
    case.then.iter_mut().for_each(|object| object["spec"]["minReadySeconds"] = 5.into());
    case
}

pub(crate) fn path(namespace: &str, workload: &str, what: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/{workload}/{what}")
}

/// Creates or changes an object, in a thread of its own: the streams of other cases go on.
pub(crate) async fn apply(namespace: &str, object: &Value) {
    let (namespace, object) = (namespace.to_owned(), object.to_string());
    let run = move || {
        let arguments = ["-n", &namespace, "apply", "-f", "-"];
        crate::cluster::attempt(&arguments, Some(&object)).unwrap();
    };
    tokio::task::spawn_blocking(run).await.unwrap();
}

/// Asks for it, and reads its stream until the result.
pub(crate) async fn play(address: SocketAddr, namespace: &str, case: &Case) -> Heard {
    let row = match case.workload.split_once('/').unwrap().1 {
        // Of one name in several scenes, each in a namespace of its own.
        "web" | "db" | "agent" => {
            let (scene, what) = (crate::cluster::scene(namespace), case.reason);
            let what = what.unwrap_or(case.outcome);
            if what == scene { what.to_owned() } else { format!("{scene}_{what}") }
        }
        name => name.to_owned(),
    };
    let recording = Recording::begin(namespace, case.workload, &row).await;
    let heard = ask(address, namespace, case).await;
    if let Some(recording) = recording {
        recording.end().await;
    }
    heard
}

/// The same, never recorded: of what is over before a recording can begin there is nothing to record.
pub(crate) async fn ask(address: SocketAddr, namespace: &str, case: &Case) -> Heard {
    let begun = time::now();
    let mut then = case.then.iter();
    apply(namespace, then.next().unwrap()).await;
    let until = path(namespace, case.workload, "stream?until=result");
    let mut client = stream(address, &until, &[]).await;
    let read = async {
        let mut events = Vec::new();
        while let Some(event) = client.next().await {
            events.push(event);
        }
        events
    };
    let change = async {
        for object in then {
            tokio::time::sleep(Duration::from_secs(3)).await;
            apply(namespace, object).await;
        }
    };
    let limit = Duration::from_secs(150);
    let (events, ()) = tokio::join!(tokio::time::timeout(limit, read), change);
    let events = events.unwrap_or_else(|_| panic!("{}: no result", case.workload));
    Heard { events, begun }
}

/// Holds what was heard against what was expected; a line of the table.
pub(crate) async fn judge(
    address: SocketAddr,
    namespace: &str,
    case: &Case,
    heard: &Heard,
    evidence: Option<&Evidence>,
) -> String {
    let name = case.workload;
    let result = heard.events.last().unwrap();
    assert_eq!(result.name, "result", "{name}: {result:?}");
    let data = &result.data;
    assert_eq!(data["outcome"], case.outcome, "{name}: {data}");
    assert_eq!(data["reason"].as_str(), case.reason, "{name}: {data}");
    let says = data["message"].as_str().unwrap();
    assert!(says.contains(case.says), "{name}: {says}");
    if let Some(wanted) = case.line {
        let lines = data["pods"][0]["lines"].as_array().unwrap();
        let found = lines.iter().any(|line| line.as_str().unwrap().contains(wanted));
        assert!(found, "{name}: {data}");
    }
    let (status, verdict) = fetch(address, &path(namespace, name, "verdict"), &[]).await;
    if case.outcome != "superseded" {
        assert_eq!(status, if case.outcome == "succeeded" { 200 } else { 424 }, "{verdict}");
    }
    // When the reason was shown first, and when a watch of our own had shown what it is made of.
    let shown = heard.events.iter().filter(|event| event.name == "rollout").find_map(|event| {
        let reasons = event.data["reasons"].as_array()?;
        reasons.iter().find(|it| it["code"].as_str() == case.reason).map(|_| event.at)
    });
    let begins = format!("{}-", name.split_once('/').unwrap().1);
    let received = evidence
        .zip(case.reason)
        .and_then(|(evidence, reason)| evidence.first(&begins, reason, heard.begun));
    let seconds = |nanos: i64| format!("{:.1} s", (nanos / MILLISECOND) as f64 / 1000.0);
    let after = |time: i64| seconds((time - heard.begun).max(0));
    let (first, decided) = match shown {
        Some(at) => (after(at), seconds((result.at - at).max(0))),
        None => ("".to_owned(), "".to_owned()),
    };
    // Two watches race: ours may be the later one.
    let lag = shown.zip(received).map(|(shown, received)| seconds((shown - received).max(0)));
    let lag = lag.unwrap_or_default();
    format!(
        "| {} | `{name}` | {} | {} | {first} | {lag} | {decided} | {} | {says} |",
        crate::cluster::scene(namespace),
        case.outcome,
        case.reason.unwrap_or_default(),
        after(result.at),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_cause_has_its_outcome_its_code_and_its_sentence() {
    let Some(shop) = namespace("outcomes") else { return };
    let cases = cases();
    for case in &cases {
        if let Some(before) = &case.before {
            shop.apply(before);
        }
    }
    for case in cases.iter().filter(|case| case.before.is_some()) {
        let (kind, name) = case.workload.split_once('/').unwrap();
        if name != "old" {
            shop.kubectl(&["rollout", "status", &format!("{kind}/{name}"), "--timeout=120s"]);
        }
    }
    let service =
        Service::open("outcomes", &[&["--namespace", &*shop.name], &GRACES[..]].concat()).await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    let evidence = Evidence::watch(&shop.name).await;
    let all = cases.iter().map(|case| play(service.address, &shop.name, case));
    let heard = futures_util::future::join_all(all).await;
    let mut table = String::from(
        "| scene | workload | outcome | reason | first shown | shown after | then decided after \
         | result after | sentence |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for (case, heard) in cases.iter().zip(&heard) {
        table.push_str(&judge(service.address, &shop.name, case, heard, Some(&evidence)).await);
        table.push('\n');
    }
    eprintln!("{table}");
    keep("outcomes", &table);
}

/// An ordered StatefulSet waits for ever for the broken pod of the revision before (`truths.md` 19).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stateful_set_that_waits_for_a_broken_old_pod_names_it() {
    let Some(shop) = namespace("stuck") else { return };
    shop.apply(&stateful_set(good()));
    shop.kubectl(&["rollout", "status", "statefulset/db", "--timeout=60s"]);
    let service =
        Service::open("stuck", &[&["--namespace", &*shop.name], &GRACES[..]].concat()).await;
    let case = |spec, reason, says| Case {
        workload: "statefulset/db",
        before: None,
        then: vec![stateful_set(spec)],
        outcome: "failed",
        reason: Some(reason),
        says,
        line: None,
    };
    let broken = case(bad_image(), "image_not_found", "not found");
    let heard = play(service.address, &shop.name, &broken).await;
    let mut table = judge(service.address, &shop.name, &broken, &heard, None).await;
    let back = case(again(good()), "stuck_on_old_pod", "pod db-1 of the old revision is broken");
    let heard = play(service.address, &shop.name, &back).await;
    table = format!("{table}\n{}", judge(service.address, &shop.name, &back, &heard, None).await);
    eprintln!("{table}");
    keep("stuck", &table);
    // Doing what it says ends it well, and that is told.
    shop.kubectl(&["delete", "pod", "db-1"]);
    let verdict = path(&shop.name, "statefulset/db", "verdict");
    eventually("the rollout to recover", Duration::from_secs(60), async || {
        (fetch(service.address, &verdict, &[]).await.0 == 200).then_some(())
    })
    .await;
    let (_, rollout) = service.json(&path(&shop.name, "statefulset/db", "rollout"), &[]).await;
    assert_eq!(rollout["recovered"], true, "{rollout}");
}

/// Quota and Pod Security refuse pods before there are any.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_that_cannot_be_created_have_their_reason() {
    let Some(small) = namespace("quota") else { return };
    let strict = Namespace::create("strict");
    small.apply(&json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"},
        "spec": {"hard": {"pods": "1"}},
    }));
    let enforce = "pod-security.kubernetes.io/enforce=restricted";
    kubectl(&["label", "namespace", &strict.name, enforce]);
    let namespaces = format!("{},{}", small.name, strict.name);
    let service =
        Service::open("refused", &[&["--namespace", &*namespaces], &GRACES[..]].concat()).await;
    let case = |name, reason, says| Case {
        workload: name,
        before: None,
        then: vec![deployment("web", 3, good())],
        outcome: "failed",
        reason: Some(reason),
        says,
        line: None,
    };
    let cases = [
        (&small.name, case("deployment/web", "quota", "exceeded quota: small")),
        (&strict.name, case("deployment/web", "refused", "violates PodSecurity")),
    ];
    for (namespace, case) in &cases {
        let heard = play(service.address, namespace, case).await;
        let line = judge(service.address, namespace, case, &heard, None).await;
        eprintln!("{line}");
        keep(case.reason.unwrap(), &line);
    }
}

/// A pause is a state: nothing is decided until it goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_rollout_is_neither_good_nor_bad() {
    let Some(shop) = namespace("paused") else { return };
    shop.apply(&deployment("web", 1, good()));
    shop.rolled_out("web");
    let service =
        Service::open("paused", &[&["--namespace", &*shop.name], &GRACES[..]].concat()).await;
    let recording = Recording::begin(&shop.name, "deployment/web", "paused").await;
    shop.kubectl(&["rollout", "pause", "deployment/web"]);
    shop.apply(&deployment("web", 1, again(good())));
    let verdict = path(&shop.name, "deployment/web", "verdict?wait=10s");
    let (status, said) = fetch(service.address, &verdict, &[]).await;
    assert_eq!(status, 429, "{said}");
    let begun = time::now();
    shop.kubectl(&["rollout", "resume", "deployment/web"]);
    eventually("the rollout to be good", Duration::from_secs(60), async || {
        (fetch(service.address, &verdict, &[]).await.0 == 200).then_some(())
    })
    .await;
    // The kubelet's times are whole seconds.
    let held = time::now() - begun;
    assert!(held >= 5 * SECOND, "good after {} ms", held / MILLISECOND);
    if let Some(recording) = recording {
        recording.end().await;
    }
    let seconds = (held / MILLISECOND) as f64 / 1000.0;
    keep(
        "paused",
        &format!(
            "| paused | `deployment/web` | succeeded |  |  |  |  | {seconds:.1} s after it went on | \
             (no result in the 10 s of the pause) |"
        ),
    );
}

/// Killed in the middle of a failure: the next process decides the same (`truths.md` 17).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_is_killed_meanwhile_decides_the_same() {
    let Some(shop) = namespace("again") else { return };
    shop.apply(&deployment("web", 1, good()));
    shop.rolled_out("web");
    let mut service =
        Service::open("again", &[&["--namespace", &*shop.name], &GRACES[..]].concat()).await;
    shop.apply(&deployment("web", 1, restless(one(CRASHES, |_| {}))));
    tokio::time::sleep(Duration::from_secs(2)).await;
    service.again("-KILL", Duration::from_secs(1)).await;
    let verdict = path(&shop.name, "deployment/web", "verdict?wait=55s");
    let (status, said) = fetch(service.address, &verdict, &[]).await;
    assert_eq!(status, 424, "{said}");
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&said["outcome"], &said["reason"]), (&"failed".into(), &"crash_loop".into()));
}

/// Keeps a table where the long run collects them.
pub(crate) fn keep(name: &str, table: &str) {
    if let Some(folder) = std::env::var_os("ROLLCAST_E2E_TABLES") {
        let path = std::path::Path::new(&folder).join(format!("{name}.md"));
        std::fs::write(path, table).unwrap();
    }
}
