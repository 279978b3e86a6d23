//! `ci.sh` before the program itself: every way in which a rollout ends, and every way in which a job and
//! its server can miss each other.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rollcast::sim::Resource;
use tokio::time::sleep;

use crate::shells::{Ended, Shell, shells};
use crate::stage::{Stage, TOKENS};
use crate::{Cell, check, script};

type Running = Pin<Box<dyn Future<Output = Cell> + Send>>;

/// A job that follows one Deployment.
#[derive(Clone)]
struct Story {
    row: &'static str,
    shell: &'static Shell,
    stage: Arc<Stage>,
    name: String,
}

/// What happens besides, at the same time.
type Meanwhile = Pin<Box<dyn Future<Output = ()> + Send>>;

fn nothing() -> Meanwhile {
    Box::pin(std::future::ready(()))
}

/// The Deployment of one row in one shell.
fn name(row: &str, shell: &Shell) -> String {
    format!("{row}-{}", shell.name)
}

// === impl Story ===

impl Story {
    async fn follow(&self, more: &[&str], variables: &[(&str, &str)], besides: Meanwhile) -> Ended {
        let (url, workload) = (self.stage.url(), format!("deployment/{}", self.name));
        let arguments =
            [&["--server", url.as_str(), "-n", "shop", workload.as_str()], more].concat();
        let job = self.shell.start(&script(), &arguments, variables);
        tokio::join!(job.end(), besides).0
    }

    /// What came of it. A result is told once, as the last line, and is the true one.
    fn cell(&self, wanted: i32, ended: &Ended, words: &[&str]) -> Cell {
        let mut complaint = ended.complaint(words);
        let results: Vec<_> =
            ended.out.lines().filter(|line| line.starts_with("RESULT ")).collect();
        let (is_told, outcome) = match wanted {
            0 => (true, "succeeded"),
            4 => (true, "superseded"),
            1 => (true, ""),
            _ => (false, ""),
        };
        let right = format!("RESULT outcome={outcome}");
        let told = results.len() == 1
            && ended.out.lines().last() == results.first().copied()
            && results[0].starts_with(&right)
            && results[0].contains(&format!(" rollout=shop/deployment/{} ", self.name));
        if is_told && !told || !is_told && !results.is_empty() {
            complaint = Some(format!("the result is not told as it is:\n{}", ended.out));
        }
        let row = self.row.to_owned();
        Cell { row, column: self.shell.name, wanted, came: ended.status, complaint }
    }
}

/// Rows that begin with a rollout that is over, and a deploy of this image under the id `b-17`.
const DEPLOYS: [(&str, &str, i32, &[&str]); 7] = [
    ("succeeds", "shop/web:2", 0, &["starting web", "succeeded"]),
    ("applies-the-same", "shop/web:1", 0, &["succeeded"]),
    ("image-missing", "shop/web:none", 1, &["reason=image_not_found", "shop/web:none not found"]),
    ("crash-loop", "shop/web:crash", 1, &["reason=crash_loop", "FATAL config"]),
    ("unprobed-crash", "shop/web:unprobed-crash", 1, &["reason=crash_loop", "FATAL config"]),
    ("hostile", "shop/web:hostile", 1, &["reason=crash_loop"]),
    ("takes-too-long", "shop/web:never", 3, &["no result after 6s"]),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_end_has_its_status() {
    let stage = Arc::new(Stage::open(&["--auth", "none"]).await);
    let others = [
        "superseded",
        "superseded-without-a-pin",
        "deleted",
        "comes-before-the-deploy",
        "without-a-pin",
        "by-revision",
        "long-over",
        "deploy-never-comes",
    ];
    let rows = DEPLOYS.iter().map(|it| it.0).chain(others);
    let all: Vec<_> =
        rows.flat_map(|row| shells().iter().map(move |shell| name(row, shell))).collect();
    stage.settle(&all.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let mut jobs: Vec<Running> = Vec::new();
    for shell in shells() {
        let story = |row| Story { row, shell, stage: stage.clone(), name: name(row, shell) };
        for (row, image, wanted, words) in DEPLOYS {
            let story = story(row);
            jobs.push(Box::pin(async move {
                story.stage.deploy(&story.name, "b-17", image);
                let timeout = if wanted == 3 { "6s" } else { "60s" };
                let ended =
                    story.follow(&["--deploy", "b-17", "--timeout", timeout], &[], nothing()).await;
                let mut cell = story.cell(wanted, &ended, words);
                let shown = [&ended.out, &ended.err];
                cell.complaint =
                    cell.complaint.or_else(|| shown.into_iter().find_map(|it| acts(it)));
                cell
            }));
        }
        for row in others {
            jobs.push(Box::pin(other(story(row))));
        }
        let absent = story("absent");
        jobs.push(Box::pin(async move {
            let ended = absent.follow(&["--timeout", "60s"], &[], nothing()).await;
            absent.cell(2, &ended, &["not found (404): no deployment"])
        }));
    }
    check("ci.sh before rollouts", jobs).await;
}

async fn other(story: Story) -> Cell {
    let Story { row, stage, name, .. } = &story;
    let (on, it) = (stage.clone(), name.clone());
    let deploy = |id: &str, image: &str| stage.deploy(name, id, image);
    let by = ["--deploy", "b-17", "--timeout", "60s"];
    match *row {
        "superseded" | "superseded-without-a-pin" => {
            deploy("b-17", "shop/web:never");
            let later: Meanwhile = Box::pin(async move {
                sleep(Duration::from_secs(3)).await;
                on.deploy(&it, "b-18", "shop/web:2");
            });
            let pin = if *row == "superseded" { &by[..] } else { &by[2..] };
            let ended = story.follow(pin, &[], later).await;
            story.cell(4, &ended, &["superseded"])
        }
        "deleted" => {
            deploy("b-17", "shop/web:never");
            let later: Meanwhile = Box::pin(async move {
                sleep(Duration::from_secs(3)).await;
                assert!(on.sim.delete(Resource::Deployments, "shop", &it));
            });
            let ended = story.follow(&by, &[], later).await;
            story.cell(1, &ended, &["deleted"])
        }
        // The success before it is not taken for it.
        "comes-before-the-deploy" => {
            let later: Meanwhile = Box::pin(async move {
                sleep(Duration::from_secs(3)).await;
                on.deploy(&it, "b-17", "shop/web:crash");
            });
            let ended = story.follow(&by, &[], later).await;
            story.cell(1, &ended, &["reason=crash_loop"])
        }
        "without-a-pin" => {
            deploy("b-17", "shop/web:2");
            let ended = story.follow(&["--timeout", "60s"], &[], nothing()).await;
            story.cell(0, &ended, &["starting web", "succeeded"])
        }
        "by-revision" => {
            deploy("b-17", "shop/web:2");
            let ended = story.follow(&["--revision=2", "--timeout=60"], &[], nothing()).await;
            story.cell(0, &ended, &["revision=2", "succeeded"])
        }
        "long-over" => {
            let ended = story.follow(&["--revision", "1"], &[], nothing()).await;
            story.cell(0, &ended, &["revision=1", "succeeded"])
        }
        _ => {
            let ended =
                story.follow(&["--deploy", "b-99", "--timeout", "4s"], &[], nothing()).await;
            story.cell(3, &ended, &["after 4s"])
        }
    }
}

/// Whether something in it acts on a terminal or starts a command of a CI system.
pub fn acts(out: &str) -> Option<String> {
    let control =
        |c: char| c != '\n' && c != '\t' && (c < ' ' || ('\u{7f}'..='\u{9f}').contains(&c));
    let starts = ["##", "+++", "---", "~~~", "section_"];
    let anywhere = ["##[", "##vso[", "##teamcity["];
    let bad = |line: &&str| {
        // Some runners do not see these.
        let line = line.replace(['\u{ad}', '\u{200b}'], "");
        line.contains(control)
            || starts.iter().any(|word| line.starts_with(word))
            // GitHub looks behind spaces, too.
            || line.trim_start().starts_with("::")
            || anywhere.iter().any(|word| line.contains(word))
    };
    out.lines().find(bad).map(|line| format!("shows {line:?}"))
}

/// The process is killed while the job waits, and comes back with an empty journal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_and_comes_back_changes_no_status() {
    let stage = Arc::new(Stage::open(&["--auth", "none"]).await);
    let rows =
        [("restart-and-success", "shop/web:slow", 0), ("restart-and-failure", "shop/web:crash", 1)];
    let pairs = || rows.iter().flat_map(|row| shells().iter().map(move |shell| (row, shell)));
    let all: Vec<_> = pairs().map(|((row, ..), shell)| name(row, shell)).collect();
    stage.settle(&all.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for ((row, image, _), shell) in pairs() {
        stage.deploy(&name(row, shell), "b-17", image);
    }
    let killed = stage.clone();
    let killing = tokio::spawn(async move {
        sleep(Duration::from_millis(1_500)).await;
        killed.restart(Duration::from_secs(2)).await;
    });
    let mut jobs: Vec<Running> = Vec::new();
    for (&(row, _, wanted), shell) in pairs() {
        let story = Story { row, shell, stage: stage.clone(), name: name(row, shell) };
        jobs.push(Box::pin(async move {
            let by = ["--deploy", "b-17", "--timeout", "60s"];
            let ended = story.follow(&by, &[], nothing()).await;
            story.cell(wanted, &ended, &["trying again"])
        }));
    }
    check("ci.sh and a restart of the server", jobs).await;
    killing.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_read_is_told_so() {
    let stage = Arc::new(Stage::open(&["--auth", "token"]).await);
    stage.settle(&["web"]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    // As Kubernetes writes it, without a line end.
    std::fs::write(&file, TOKENS[0]).unwrap();
    let file = file.to_str().unwrap().to_owned();
    let mut jobs: Vec<Running> = Vec::new();
    for shell in shells() {
        for (row, token, wanted, words) in [
            ("no-token", None, 2, "who you are is not known (401)"),
            ("wrong-token", Some("nobody"), 2, "who you are is not known (401)"),
            ("no-right", Some(TOKENS[1]), 2, "not found (404): no deployment"),
            ("token", Some(TOKENS[0]), 0, "succeeded"),
            ("token-file", None, 0, "succeeded"),
        ] {
            let story = Story { row, shell, stage: stage.clone(), name: "web".to_owned() };
            let file = file.clone();
            jobs.push(Box::pin(async move {
                let variables: Vec<_> =
                    token.map(|it| ("ROLLCAST_TOKEN", it)).into_iter().collect();
                let by_file = ["--token-file", &file];
                let more = if row == "token-file" { &by_file[..] } else { &[] };
                let ended = story.follow(more, &variables, nothing()).await;
                story.cell(wanted, &ended, &[words])
            }));
        }
    }
    check("ci.sh and tokens", jobs).await;
}
