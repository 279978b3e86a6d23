//! Recordings: those of real clusters and by hand give what is expected of them, and what is recorded of
//! the simulated cluster gives what the service told meanwhile.
//!
//! `tests/recorded/KIND/ROW.jsonl` is played, and what was told must be what `ROW.json` says; `UPDATE=1`
//! writes that anew. See `tests/recorded/README.md`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rollcast::app::{Recorded, Told, Wish, gather, replay};
use rollcast::cluster::Cluster;
use rollcast::ids::{Kind, WorkloadId};
use rollcast::rollout::Graces;
use rollcast::sim::{Container, Deployment, Program, Pull, Ready, Resource, Template};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::world::{STREAM, World};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded")
}

/// All recordings, sorted.
fn recordings() -> Vec<PathBuf> {
    let inside = |folder: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    };
    let kinds = inside(&folder()).into_iter().filter(|path| path.is_dir());
    let mut all: Vec<_> = kinds.flat_map(|kind| inside(&kind)).collect();
    all.retain(|path| path.extension().is_some_and(|it| it == "jsonl"));
    all.sort_unstable();
    all
}

fn name(path: &Path) -> String {
    path.strip_prefix(folder()).unwrap().display().to_string()
}

#[test]
fn every_recording_gives_what_is_expected_of_it() {
    let (all, mut wrong) = (recordings(), Vec::new());
    assert!(all.len() > 10, "found {}, so this looks in the wrong place", all.len());
    for path in &all {
        let (_, told) = replay(&fs::read_to_string(path).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", name(path)));
        let given = told.summary();
        let expectation = path.with_extension("json");
        if std::env::var_os("UPDATE").is_some() {
            let text = serde_json::to_string_pretty(&given).unwrap();
            fs::write(&expectation, text + "\n").unwrap();
        }
        let text = fs::read_to_string(&expectation).unwrap_or_default();
        let expected: Value = serde_json::from_str(&text).unwrap_or_default();
        if given != expected {
            wrong.push(format!("{}\n expected {expected}\n    given {given}", name(path)));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// The same lines once more: nothing hangs on the hour, nor on the order of a hash table.
#[test]
fn a_recording_gives_the_same_each_time_and_at_each_place() {
    for path in recordings() {
        let text = fs::read_to_string(&path).unwrap();
        let told = |text: &str| {
            let (_, told) = replay(text).unwrap();
            format!("{:?} {:?}", told.states, told.results)
        };
        assert_eq!(told(&text), told(&text), "{}", name(&path));
    }
}

#[test]
fn a_recording_lies_with_its_kind_and_one_by_hand_says_where_kubernetes_does_that() {
    for path in recordings() {
        let text = fs::read_to_string(&path).unwrap();
        let (head, told) = replay(&text).unwrap();
        let kind = head.workload().unwrap().kind;
        assert!(path.parent().unwrap().ends_with(kind.as_str()), "{}", name(&path));
        assert!(!told.states.is_empty() && !told.rollouts.is_empty(), "{}", name(&path));
        match &head.synthetic {
            Some(source) => assert!(source.contains(".go: "), "{}: {source}", name(&path)),
            // A cluster's uids are of another form than those that people write.
            None => assert!(!text.contains("\"uid-"), "{}: no source", name(&path)),
        }
    }
}

/// Each cause of a rollout that stands still, with the recordings that show it and the code that it is told
/// by; `REAL` of a real cluster, `HAND` where no test cluster does it.
const CAUSES: &[Cause] = &[
    ("InvalidImageName", "invalid_image_name", &[("deployment/invalid_image_name", REAL)]),
    ("ErrImageNeverPull", "image_never_pull", &[("deployment/image_never_pull", REAL)]),
    (
        "ErrImagePull: not found",
        "image_not_found",
        &[
            ("deployment/image", REAL),
            ("statefulset/outcomes_image_not_found", REAL),
            ("statefulset/stuck_image_not_found", REAL),
            ("daemonset/image", REAL),
            ("pod/image", REAL),
            ("rollout/image", REAL),
        ],
    ),
    ("ErrImagePull: denied", "image_denied", &[("deployment/image_denied", HAND)]),
    (
        "ErrImagePull: limited",
        "registry_limited",
        &[("deployment/registry_limited", HAND), ("deployment/registry_limited_for_ever", HAND)],
    ),
    ("RegistryUnavailable", "image_pull", &[("deployment/registry_unavailable", HAND)]),
    ("ImageInspectError", "image_pull", &[("deployment/image_inspect", HAND)]),
    (
        "CreateContainerConfigError",
        "config_missing",
        &[("deployment/config", REAL), ("deployment/secret_succeeded", REAL)],
    ),
    ("... failed to sync cache", "cannot_start", &[("deployment/cache_sync", HAND)]),
    ("CreateContainerError, StartError", "invalid_command", &[("deployment/command", REAL)]),
    ("ContainerCannotRun", "invalid_command", &[("deployment/cannot_run_command", HAND)]),
    ("ContainerCannotRun", "cannot_start", &[("deployment/cannot_run_device", HAND)]),
    (
        "exit code 128",
        "cannot_start",
        &[("deployment/exit_128", HAND), ("daemonset/exit_128", HAND)],
    ),
    (
        "CrashLoopBackOff",
        "crash_loop",
        &[
            ("deployment/crash", REAL),
            ("deployment/flaps", REAL),
            ("deployment/sidecar", REAL),
            ("deployment/recovers_crash_loop", REAL),
            ("statefulset/crash", REAL),
            ("daemonset/crash", REAL),
        ],
    ),
    ("OOMKilled", "oom_killed", &[("deployment/memory", REAL)]),
    ("an init container fails", "init_failed", &[("deployment/init", REAL)]),
    (
        "Unschedulable",
        "unschedulable",
        &[
            ("deployment/nowhere", REAL),
            ("deployment/scale_up", HAND),
            ("deployment/scale_up_not", HAND),
        ],
    ),
    ("FailedMount", "volume_failed", &[("deployment/volume", REAL)]),
    (
        "FailedAttachVolume",
        "volume_failed",
        &[
            ("deployment/attach_volume", HAND),
            ("deployment/attach_volume_late", HAND),
            ("statefulset/attach_volume", HAND),
        ],
    ),
    (
        "FailedCreatePodSandBox",
        "sandbox_failed",
        &[("deployment/sandbox", HAND), ("deployment/sandbox_late", HAND)],
    ),
    ("FailedCreate: quota", "quota", &[("deployment/quota", REAL), ("daemonset/quota", HAND)]),
    ("FailedCreate: Pod Security", "refused", &[("deployment/strict_refused", REAL)]),
    ("FailedCreate: a webhook", "refused", &[("deployment/webhook", HAND), ("job/refused", HAND)]),
    ("a webhook that is away", "cannot_create", &[("deployment/webhook_away", HAND)]),
    ("readiness", "readiness_failed", &[("deployment/unready", REAL)]),
    ("liveness", "liveness_failed", &[("deployment/unwell", REAL)]),
    ("startup probe", "liveness_failed", &[("deployment/startup_probe", REAL)]),
    (
        "evicted",
        "evicted",
        &[
            ("deployment/evicted", HAND),
            ("pod/evicted", HAND),
            ("job/evicted", HAND),
            ("cronjob/evicted", HAND),
        ],
    ),
    ("preempted", "evicted", &[("deployment/preempted", HAND)]),
    ("shut down", "evicted", &[("deployment/node_shutdown", HAND)]),
    (
        "node lost",
        "node_lost",
        &[
            ("deployment/node_lost", HAND),
            ("deployment/node_back", HAND),
            ("statefulset/node_lost", HAND),
            ("daemonset/node_lost", HAND),
            ("daemonset/cutoff_succeeded", REAL),
        ],
    ),
    ("no change at all", "progress_deadline", &[("deployment/no_change", HAND)]),
    ("a job fails", "job_failed", &[("job/migrate", REAL), ("cronjob/failed", REAL)]),
    ("a pod fails", "crash_loop", &[("pod/failed", REAL)]),
    (
        "an old pod is in the way",
        "stuck_on_old_pod",
        &[("statefulset/stuck_stuck_on_old_pod", REAL)],
    ),
    ("an update is aborted", "aborted", &[("rollout/aborted", REAL)]),
];

/// What ends well, of each kind, and what is no end of its own.
const ENDS: &[(&str, &[&str])] = &[
    (
        "succeeded",
        &[
            "deployment/good",
            "deployment/old",
            "deployment/recreate",
            "deployment/scaled_to_zero",
            "deployment/paused",
            "statefulset/good",
            "statefulset/parallel",
            "daemonset/good",
            "daemonset/cordoned_succeeded",
            "job/done",
            "cronjob/good",
            "pod/good",
            "rollout/good",
            "rollout/back",
            "rollout/promoted",
            "rollout/blue_green",
        ],
    ),
    ("superseded", &["deployment/newer", "deployment/rollback_superseded"]),
];

use Origin::{Hand as HAND, Real as REAL};

/// What Kubernetes says, our code for it, and where it is recorded.
type Cause = (&'static str, &'static str, &'static [(&'static str, Origin)]);

/// Where a recording comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Origin {
    Real,
    Hand,
}

#[test]
fn every_cause_and_every_kind_is_recorded() {
    let mut wrong = Vec::new();
    let read = |file: &str| fs::read_to_string(folder().join(file).with_extension("jsonl"));
    for (cause, code, files) in CAUSES {
        for (file, origin) in *files {
            let Ok(text) = read(file) else {
                wrong.push(format!("{cause}: there is no {file}"));
                continue;
            };
            let (head, told) = replay(&text).unwrap();
            let is = if head.synthetic.is_some() { HAND } else { REAL };
            let summary = told.summary();
            let codes = summary["codes"].as_array().unwrap();
            if is != *origin || !codes.iter().any(|told| told == code) {
                wrong.push(format!("{cause}: {file} is {is:?} and tells {codes:?}, not {code}"));
            }
        }
    }
    for (outcome, files) in ENDS {
        for file in *files {
            let ends = match read(file) {
                Ok(text) => replay(&text).unwrap().1.results,
                Err(_) => Vec::new(),
            };
            if !ends.iter().any(|end| end.outcome.as_str() == *outcome) {
                wrong.push(format!("{file} is not there, or no rollout of it is {outcome}"));
            }
        }
    }
    // Nothing lies there that nobody looks for.
    let listed = CAUSES.iter().flat_map(|(_, _, files)| files.iter().map(|(file, _)| *file));
    let listed: Vec<_> =
        listed.chain(ENDS.iter().flat_map(|(_, files)| files.iter().copied())).collect();
    let all = recordings().into_iter().map(|path| name(&path.with_extension("")));
    wrong.extend(all.filter(|it| !listed.contains(&&**it)).map(|it| format!("{it} is not listed")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A watch that begins anew tells what it told before: that is no news. What it may lose meanwhile is the matter of
/// the reference model (`rollout::tests::reference`).
#[test]
fn a_recording_whose_lines_come_twice_gives_the_same() {
    for path in recordings() {
        let text = fs::read_to_string(&path).unwrap();
        let twice: Vec<&str> = text
            .lines()
            .flat_map(|line| {
                let again = line.contains("\"applied\"") || line.contains("\"listed\"");
                std::iter::repeat_n(line, 1 + usize::from(again))
            })
            .collect();
        let (_, once) = replay(&text).unwrap();
        let (_, told) = replay(&twice.join("\n")).unwrap();
        assert_eq!(told.summary(), once.summary(), "{}", name(&path));
    }
}

#[test]
fn what_is_no_recording_is_refused_with_its_line() {
    let head = r#"{"recording":1,"namespace":"shop","workload":"deployment/web"}"#;
    let began = r#"{"at":"2026-11-22T14:00:00Z","watch":"pods","step":"began"}"#;
    for (text, words) in [
        (String::new(), "no head"),
        ("{}".to_owned(), "no head"),
        (head.to_owned(), "no line but its head"),
        (head.replace('1', "2"), "form 2 is not known"),
        (head.replace("deployment/web", "web"), "\"web\" is no kind/name"),
        (format!("{head}\n{began}\nnonsense"), "line 3: "),
        (format!("{head}\n{began}\n{}", began.replace("2026", "9999")), "line 3: "),
        (format!("{head}\n{began}\n{}", began.replace("-22T", "-29T")), "line 3 is more than"),
    ] {
        let error = replay(&text).unwrap_err().to_string();
        assert!(error.contains(words), "{text}: {error}");
    }
}

/// Records until the rollout is over.
async fn record(world: &World) -> Recorded {
    let cluster = Cluster::from_client(world.sim.client(), world.sim.client(), "sim");
    let wish = Wish {
        workload: WorkloadId::new("shop", Kind::Deployment, "web"),
        graces: Graces::default(),
        longest: Duration::from_secs(900),
        after: Duration::from_secs(5),
    };
    gather(&cluster, &wish, &CancellationToken::new()).await
}

/// The results that a viewer of the service is told of.
async fn told(world: &World) -> Vec<Value> {
    let mut client = world.stream(&format!("{STREAM}?until=result"), None).await;
    let mut results = Vec::new();
    while let Some(event) = client.next().await {
        if event.name == "result" {
            results.push(event.data);
        }
    }
    results
}

fn words(told: &Told) -> (String, Option<&'static str>, String) {
    let result = told.results.last().unwrap();
    let reason = result.reason.map(rollcast::ids::Reason::as_str);
    (result.outcome.as_str().to_owned(), reason, result.message.clone())
}

#[test]
fn what_is_recorded_gives_what_the_service_told() {
    let fails = |message: &str| Pull::Fails { message: message.to_owned() };
    let probed = |ready| Program { ready, ..Program::default() };
    // In whole seconds, as the API has times.
    let crash = rollcast::sim::Exit::After(Duration::from_millis(2_000), 1);
    let programs = [
        probed(Ready::After(Duration::from_secs(2))),
        probed(Ready::Never),
        Program { pull: fails("shop/web:2: not found"), ..Program::default() },
        Program { pull: fails("dial tcp: i/o timeout"), ..Program::default() },
        Program { exit: crash, ..Program::default() },
        Program { missing: Some("secret \"db\" not found".to_owned()), ..Program::default() },
    ];
    for (seed, program) in programs.into_iter().enumerate() {
        crate::rig::alone(seed as u64, async |seed| {
            let world = World::new(seed);
            let good = probed(Ready::After(Duration::from_secs(1)));
            let app = Container::new("app", "shop/web:1", good);
            world.sim.apply(Deployment::new("shop", "web", 2, Template::new([app])));
            world.sim.register_image("shop/web:2", program);
            world.synced().await;
            tokio::time::sleep(Duration::from_secs(20)).await;
            let change = async {
                tokio::time::sleep(Duration::from_secs(5)).await;
                world.sim.set_image(Resource::Deployments, "shop", "web", "app", "shop/web:2");
                told(&world).await
            };
            let (recorded, results) = tokio::join!(record(&world), change);
            let live = words(&recorded.told);
            let (_, again) = replay(&recorded.text).unwrap();
            assert_eq!(again.summary(), recorded.told.summary(), "seed {seed}");
            assert_eq!(results.len(), 1, "seed {seed}: {results:?}");
            let service = &results[0];
            assert_eq!(service["outcome"], *live.0, "seed {seed}");
            assert_eq!(service["reason"].as_str(), live.1, "seed {seed}");
            assert_eq!(service["message"].as_str().unwrap_or_default(), live.2, "seed {seed}");
        });
    }
}
