//! `rollcast follow` before the whole service: what it says, and the status it ends with. Over pipes
//! and with paused time; and once the program itself, in a terminal.

use std::sync::Arc;
use std::time::Duration;

use rollcast::app::{self, Direct};
use rollcast::client::{
    Ci, End, Exit, Mode, Pins, Pipes, Plan, Reach, Size, Stage, Token, Wanted, follow, unfollowed,
};
use rollcast::cluster::Cluster;
use rollcast::ids::{Kind, WorkloadId};
use rollcast::sim::{
    Container, Deployment, Effect, Fault, Identity, Match, Output, Pipe, Program, Ready, Resource,
    Rule, Sim, StatefulSet, Subject, Template,
};
use rollcast::telemetry::Metrics;
use rollcast::wire::Dialect;
use tokio::io::{AsyncReadExt as _, DuplexStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::program::rollcast;
use crate::results::{good, set, settled};
use crate::world::{World, one_pipe};

pub(crate) fn web() -> WorkloadId {
    WorkloadId::new("shop", Kind::Deployment, "web")
}

pub(crate) fn plan(workloads: Vec<WorkloadId>) -> Plan {
    Plan {
        workloads,
        pins: Pins::default(),
        wanted: Wanted::default(),
        timeout: Some(Duration::from_secs(1800)),
        patience: Duration::from_secs(120),
        seed: 7,
        stop: CancellationToken::new(),
    }
}

/// A switch behind which one server after another stands.
struct Switch {
    pipes: Pipes,
    to: mpsc::Sender<Option<axum::Router>>,
}

impl Switch {
    fn new() -> Switch {
        let (pipes, taken) = Pipes::new();
        let (to, servers) = mpsc::channel(4);
        TaskTracker::new().spawn(switch(taken, servers));
        Switch { pipes, to }
    }

    /// Connections go to this server; `None`: nobody takes them. Those that were open are cut.
    async fn set(&self, world: Option<&World>) {
        self.to.send(world.map(|world| world.router.clone())).await.unwrap();
    }

    fn reach(&self, token: Token) -> Reach {
        Reach::memory(self.pipes.clone(), token, TaskTracker::new())
    }
}

async fn switch(
    mut taken: mpsc::Receiver<DuplexStream>,
    mut servers: mpsc::Receiver<Option<axum::Router>>,
) {
    let tracker = TaskTracker::new();
    let mut server: Option<(mpsc::Sender<DuplexStream>, CancellationToken)> = None;
    loop {
        tokio::select! {
            Some(router) = servers.recv() => {
                if let Some((_, stop)) = server.take() {
                    stop.cancel();
                }
                server = router.map(|router| {
                    let (pass, passed) = mpsc::channel(16);
                    let stop = CancellationToken::new();
                    tracker.spawn(app::listen(passed, router, tracker.clone(), stop.clone()));
                    (pass, stop)
                });
            }
            Some(pipe) = taken.recv() => {
                // Without a server the pipe is dropped.
                if let Some((pass, _)) = &server {
                    let _ = pass.send(pipe).await;
                }
            }
            else => return,
        }
    }
}

/// Follows to the end; the status, what was written, and the summary.
pub(crate) async fn followed(plan: &Plan, reach: Reach, mode: Mode) -> (Exit, String, String) {
    followed_in(plan, reach, mode, Ci::Other).await
}

async fn followed_in(plan: &Plan, reach: Reach, mode: Mode, ci: Ci) -> (Exit, String, String) {
    let (stage, far) = stage(mode, ci);
    let (outcome, text) = tokio::join!(follow(plan, reach, stage), written(far));
    (outcome.exit, text, outcome.summary)
}

/// Where it is shown, and the other end of that.
fn stage(mode: Mode, ci: Ci) -> (Stage<DuplexStream>, DuplexStream) {
    let (near, far) = tokio::io::duplex(1 << 16);
    (Stage { out: near, mode, colour: false, size: || None, ci, page: None }, far)
}

async fn written(mut far: DuplexStream) -> String {
    let mut text = Vec::new();
    far.read_to_end(&mut text).await.unwrap();
    String::from_utf8(text).unwrap()
}

pub(crate) async fn before(world: &World, plan: &Plan) -> (Exit, String) {
    let switch = Switch::new();
    switch.set(Some(world)).await;
    let (exit, text, _) = followed(plan, switch.reach(Token::None), Mode::Lines).await;
    (exit, text)
}

#[track_caller]
fn last(text: &str) -> &str {
    text.lines().last().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_good_rollout_ends_with_0() {
    let world = settled(1).await;
    set(&world, "shop/web:2");
    let (exit, text) = before(&world, &plan(vec![web()])).await;
    assert_eq!(exit, Exit::Succeeded, "{text}");
    assert!(text.contains("revision 2 of shop/deployment/web: shop/web:1 -> shop/web:2"), "{text}");
    assert!(text.contains("/app | starting"), "{text}");
    assert!(text.contains("\nSUCCEEDED after "), "{text}");
    let line = last(&text);
    assert!(
        line.starts_with(
            "RESULT outcome=succeeded rollout=shop/deployment/web revision=2 ready=2/2"
        ),
        "{line}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_good_already_ends_at_once() {
    let world = settled(2).await;
    let began = tokio::time::Instant::now();
    let (exit, text) = before(&world, &plan(vec![web()])).await;
    assert_eq!(exit, Exit::Succeeded, "{text}");
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_crash_loop_ends_with_1_and_shows_why() {
    for seed in 0..crate::resume::seeds() {
        let world = settled(100 + seed).await;
        set(&world, "shop/web:crash");
        let switch = Switch::new();
        switch.set(Some(&world)).await;
        let plan = plan(vec![web()]);
        let (exit, text, summary) = followed(&plan, switch.reach(Token::None), Mode::Lines).await;
        assert_eq!(exit, Exit::Failed, "seed {seed}: {text}");
        assert!(text.contains("| FATAL config: DATABASE_URL is not set"), "{text}");
        assert!(text.contains("container app exited with code 1"), "{text}");
        assert!(text.contains("\nFAILED after "), "{text}");
        assert!(text.contains("\n  FATAL config: DATABASE_URL is not set\n"), "{text}");
        assert!(
            last(&text).contains("outcome=failed") && last(&text).contains("reason=crash_loop")
        );
        assert!(summary.contains("| shop/deployment/web | ❌ failed | 2 |"), "{summary}");
        assert!(summary.contains("FATAL config: DATABASE_URL is not set"), "{summary}");
    }
}

#[tokio::test(start_paused = true)]
async fn silence_is_broken_every_15_seconds() {
    let world = settled(3).await;
    set(&world, "shop/web:late");
    let plan = Plan { timeout: Some(Duration::from_secs(60)), ..plan(vec![web()]) };
    let (exit, text) = before(&world, &plan).await;
    assert_eq!(exit, Exit::Deadline, "{text}");
    let seconds = |line: &str| -> i64 {
        line[..8]
            .split(':')
            .map(|part| part.parse::<i64>().unwrap())
            .fold(0, |all, it| all * 60 + it)
    };
    let stamped = text.lines().filter(|line| line.contains("  rollout  "));
    let times: Vec<_> = stamped.map(seconds).collect();
    assert!(times.windows(2).all(|pair| (pair[1] - pair[0]).rem_euclid(86_400) <= 17), "{text}");
    assert!(text.matches("  rollout  ").count() >= 4, "{text}");
    assert_eq!(last(&text), "RESULT outcome=unknown rollout=shop/deployment/web reason=timeout");
}

#[tokio::test(start_paused = true)]
async fn a_newer_change_ends_it_with_4() {
    let world = settled(4).await;
    set(&world, "shop/web:late");
    let newer = async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        set(&world, "shop/web:2");
    };
    let plan = plan(vec![web()]);
    let ((exit, text), ()) = tokio::join!(before(&world, &plan), newer);
    assert_eq!(exit, Exit::Superseded, "{text}");
    assert!(
        last(&text).contains("outcome=superseded") && last(&text).contains("revision=2"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_pin_by_revision_is_about_that_one() {
    let world = settled(5).await;
    set(&world, "shop/web:none");
    tokio::time::sleep(Duration::from_secs(20)).await;
    set(&world, "shop/web:2");
    for (revision, exit) in [("2", Exit::Failed), ("3", Exit::Succeeded)] {
        let pins = Pins { revision: Some(revision.to_owned()), ..Pins::default() };
        let (found, text) = before(&world, &Plan { pins, ..plan(vec![web()]) }).await;
        assert_eq!(found, exit, "{text}");
        assert!(last(&text).contains(&format!("revision={revision}")), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn several_workloads_end_with_the_worst() {
    let world = settled(6).await;
    let probed = Ready::After(Duration::from_secs(1));
    world.sim.apply(StatefulSet {
        namespace: "shop".to_owned(),
        name: "db".to_owned(),
        replicas: 2,
        partition: 0,
        on_delete: false,
        template: Template::new([Container::new("app", "shop/db:1", good(probed))]),
    });
    tokio::time::sleep(Duration::from_secs(20)).await;
    let both = vec![web(), WorkloadId::new("shop", Kind::StatefulSet, "db")];
    set(&world, "shop/web:2");
    let (exit, text) = before(&world, &plan(both.clone())).await;
    assert_eq!(exit, Exit::Succeeded, "{text}");
    assert!(text.contains("RESULT outcome=succeeded rollout=shop/deployment/web"), "{text}");
    assert!(text.contains("RESULT outcome=succeeded rollout=shop/statefulset/db"), "{text}");
    set(&world, "shop/web:none");
    // A script may take the last line alone.
    for workloads in [both.clone(), both.into_iter().rev().collect()] {
        let (exit, text) = before(&world, &plan(workloads)).await;
        assert_eq!(exit, Exit::Failed, "{text}");
        assert!(text.contains("RESULT outcome=succeeded rollout=shop/statefulset/db"), "{text}");
        let wanted = "RESULT outcome=failed rollout=shop/deployment/web";
        assert!(last(&text).starts_with(wanted), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_may_not_read_ends_with_2() {
    let world = World::with_tokens(7);
    world.sim.apply(one_pipe(1, 1.0));
    let audiences = vec!["rollcast".to_owned()];
    for user in ["ann", "bob"] {
        let audiences = audiences.clone();
        let identity = Identity { user: user.to_owned(), audiences, ..Identity::default() };
        world.sim.add_token(user, identity);
    }
    let user = Subject::User("ann".to_owned());
    world.sim.add_rule(Rule::new(user, "get", "pods/log", Some("shop")));
    world.synced().await;
    let switch = Switch::new();
    switch.set(Some(&world)).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "ann\n").unwrap();
    for (token, workload, exit) in [
        (Token::None, "web", Exit::Refused),
        (Token::Fixed("nonsense".to_owned()), "web", Exit::Refused),
        (Token::Fixed("bob".to_owned()), "web", Exit::Refused),
        (Token::File(file.clone()), "wep", Exit::Refused),
        (Token::File(file), "web", Exit::Succeeded),
    ] {
        let plan = plan(vec![WorkloadId::new("shop", Kind::Deployment, workload)]);
        let (found, text, _) = followed(&plan, switch.reach(token), Mode::Lines).await;
        assert_eq!(found, exit, "{text}");
        assert_eq!(last(&text).contains("reason=refused"), exit == Exit::Refused, "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_nobody_hears_of_is_given_up_with_5() {
    // The wall's time is two clocks read one after the other: on a busy machine it is late by what
    // lies between them.
    let began = tokio::time::Instant::now();
    let plan = plan(vec![web()]);
    let (exit, text, _) = followed(&plan, Switch::new().reach(Token::None), Mode::Lines).await;
    assert_eq!(exit, Exit::Lost, "{text}");
    let took = began.elapsed().as_secs();
    assert!((120..150).contains(&took), "{took} s");
    assert!(text.contains("no contact: "), "{text}");
    assert!(last(&text).ends_with("reason=contact_lost"), "{text}");
}

/// The numbers that lines end with, in the order in which they were shown.
fn numbers(text: &str) -> Vec<u64> {
    let lines = text.lines().filter_map(|line| line.split_once("/app | number "));
    lines.map(|(_, number)| number.parse().unwrap()).collect()
}

/// Counts up, a line every tenth of a second, and is ready after a while.
fn counting(ready: Duration) -> Program {
    let line =
        |number: u64| (Duration::from_millis(100 * number), Pipe::Out, format!("number {number}"));
    let lines: Vec<_> = (0..400).map(line).collect();
    Program {
        ready: Ready::After(ready),
        output: vec![Output::Script(lines.into())],
        ..Program::default()
    }
}

pub(crate) fn counted(image: &str, ready: u64) -> Deployment {
    let program = counting(Duration::from_secs(ready));
    Deployment::new("shop", "web", 1, Template::new([Container::new("app", image, program)]))
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_replaced_in_the_middle_costs_no_line_and_repeats_none() {
    for seed in 0..crate::resume::seeds() {
        let world = World::new(800 + seed);
        world.sim.apply(counted("shop/web:1", 30));
        world.synced().await;
        let sim: Sim = world.sim.clone();
        let switch = Switch::new();
        switch.set(Some(&world)).await;
        let replaced = async {
            tokio::time::sleep(Duration::from_millis(6_000 + 370 * seed)).await;
            switch.set(None).await;
            world.shutdown.stop();
            drop(world);
            tokio::time::sleep(Duration::from_secs(3)).await;
            let world = World::around(sim, 900 + seed, |_| {});
            world.synced().await;
            switch.set(Some(&world)).await;
            world
        };
        let plan = plan(vec![web()]);
        let following = followed(&plan, switch.reach(Token::None), Mode::Lines);
        let ((exit, text, _), _world) = tokio::join!(following, replaced);
        assert_eq!(exit, Exit::Succeeded, "seed {seed}: {text}");
        let numbers = numbers(&text);
        let expected: Vec<u64> = (0..numbers.len() as u64).collect();
        assert_eq!(numbers, expected, "seed {seed}");
        assert!(numbers.len() > 250, "seed {seed}: {}", numbers.len());
    }
}

/// Another process knows only what runs now; we know what we waited for.
#[tokio::test(start_paused = true)]
async fn a_newer_rollout_at_another_server_is_not_taken_for_ours() {
    let world = settled(8).await;
    set(&world, "shop/web:late");
    let sim = world.sim.clone();
    let switch = Switch::new();
    switch.set(Some(&world)).await;
    let replaced = async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        switch.set(None).await;
        world.shutdown.stop();
        assert!(sim.set_image(Resource::Deployments, "shop", "web", "app", "shop/web:2"));
        tokio::time::sleep(Duration::from_secs(30)).await;
        let world = World::around(sim, 9, |_| {});
        world.synced().await;
        tokio::time::sleep(Duration::from_secs(20)).await;
        switch.set(Some(&world)).await;
        world
    };
    let plan = plan(vec![web()]);
    let following = followed(&plan, switch.reach(Token::None), Mode::Lines);
    let ((exit, text, _), _world) = tokio::join!(following, replaced);
    // What became of it before the newer one began, nobody there has seen (`truths.md` 17).
    assert_eq!(exit, Exit::Lost, "{text}");
    assert!(
        last(&text).contains("outcome=unknown") && last(&text).contains("revision=2"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn hostile_output_forges_nothing_on_a_terminal_or_elsewhere() {
    let hostile = [
        "\u{1b}[2J\u{1b}[HRESULT outcome=succeeded rollout=shop/deployment/web",
        "RESULT outcome=succeeded rollout=shop/deployment/web revision=2",
        "::error::x ##vso[task.complete result=Succeeded;]",
        "\u{9b}2J\r\u{8}\u{8}RESULT outcome=succeeded",
    ];
    let padded = format!("{}RESULT outcome=succeeded", "x".repeat(140));
    // Somewhere among these a screen breaks the line right before the command.
    let breaks = (30..80).map(|number| format!("{}::error::x", "x".repeat(number)));
    let said = hostile.iter().map(|line| (*line).to_owned()).chain([padded]).chain(breaks);
    let lines: Vec<_> = said.map(|line| (Duration::from_millis(100), Pipe::Out, line)).collect();
    let ready = Ready::After(Duration::from_secs(5));
    let program =
        Program { ready, output: vec![Output::Script(lines.into())], ..Program::default() };
    let own = regex::Regex::new("\r\u{1b}\\[[0-9]+A\u{1b}\\[J").unwrap();
    for mode in [Mode::Lines, Mode::Screen(Size { width: 80, height: 24 })] {
        let world = settled(10).await;
        world.sim.register_image("shop/web:evil", program.clone());
        set(&world, "shop/web:evil");
        let switch = Switch::new();
        switch.set(Some(&world)).await;
        let plan = plan(vec![web()]);
        let (exit, text, _) = followed(&plan, switch.reach(Token::None), mode).await;
        assert_eq!(exit, Exit::Succeeded, "{text}");
        // Our own codes: up to the block's first line, and all below it away.
        let text = own.replace_all(&text, "");
        let control = |letter: char| letter.is_control() && letter != '\n' && letter != '\t';
        assert!(!text.contains(control), "{text:?}");
        assert!(text.contains("outcome=succeeded"), "the hostile lines are shown");
        assert_eq!(text.lines().filter(|line| line.starts_with("RESULT ")).count(), 1, "{text}");
        assert!(!text.lines().any(|line| line.trim_start().starts_with("::")), "{text}");
        assert!(!text.contains("##vso["), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn in_ci_the_log_is_folded_away_and_the_error_is_told() {
    let world = settled(11).await;
    set(&world, "shop/web:none");
    let switch = Switch::new();
    switch.set(Some(&world)).await;
    let plan = plan(vec![web()]);
    let (exit, text, _) =
        followed_in(&plan, switch.reach(Token::None), Mode::Lines, Ci::In(Dialect::GitHub)).await;
    assert_eq!(exit, Exit::Failed, "{text}");
    assert!(text.starts_with("::group::following shop/deployment/web at "), "{text}");
    let folded = text.find("\n::endgroup::\n").unwrap();
    let (_, shown) = text.split_at(folded);
    let error = shown.lines().find(|line| line.starts_with("::error ")).unwrap();
    assert!(error.starts_with("::error title=shop/deployment/web failed::"), "{error}");
    assert!(error.contains("shop/web:none not found"), "{error}");
    assert!(shown.contains("\nFAILED after "), "{text}");
    assert!(last(&text).starts_with("RESULT outcome=failed "), "{text}");
}

/// Without a server: the same rooms in this process, for the one namespace.
#[tokio::test(start_paused = true)]
async fn without_a_server_the_cluster_itself_is_read() {
    let world = settled(12).await;
    let sim = world.sim.clone();
    drop(world);
    for (image, exit) in [("shop/web:2", Exit::Succeeded), ("shop/web:none", Exit::Failed)] {
        assert!(sim.set_image(Resource::Deployments, "shop", "web", "app", image));
        let cluster = Cluster::from_client(sim.client(), sim.client(), "sim");
        let tracker = TaskTracker::new();
        let metrics = Arc::new(Metrics::readable().0);
        let direct = Direct::start(cluster, vec!["shop".to_owned()], 13, metrics, &tracker);
        assert!(direct.read(Duration::from_secs(60)).await.is_ok());
        let plan = plan(vec![web()]);
        let (found, text, _) = followed(&plan, direct.reach(&tracker), Mode::Lines).await;
        assert_eq!(found, exit, "{text}");
        direct.shutdown.stop();
    }
}

/// Without a right to the pods nothing can be followed, and that is told like any other end.
#[tokio::test(start_paused = true)]
async fn a_cluster_that_may_not_be_read_is_an_end_like_any_other() {
    let world = settled(14).await;
    let sim = world.sim.clone();
    drop(world);
    sim.add_fault(Fault::new(Match::list(Resource::Pods), Effect::Forbidden));
    let cluster = Cluster::from_client(sim.client(), sim.client(), "sim");
    let tracker = TaskTracker::new();
    let metrics = Arc::new(Metrics::readable().0);
    let direct = Direct::start(cluster, vec!["shop".to_owned()], 15, metrics, &tracker);
    let end = direct.read(Duration::from_secs(60)).await.unwrap_err();
    direct.shutdown.stop();
    assert!(matches!(&end, End::Refused(words) if words.contains("pods")), "{end:?}");
    let plan = plan(vec![web(), WorkloadId::new("shop", Kind::StatefulSet, "db")]);
    let (stage, far) = stage(Mode::Lines, Ci::In(Dialect::GitHub));
    let (outcome, text) = tokio::join!(unfollowed(&plan, &end, stage), written(far));
    assert_eq!(outcome.exit, Exit::Refused, "{text}");
    assert_eq!(text.matches("\n::error title=shop/").count(), 2, "{text}");
    assert!(!text.contains("group::"), "nothing was folded away: {text}");
    assert_eq!(text.matches("\nREFUSED shop/").count(), 2, "{text}");
    let wanted = "RESULT outcome=unknown rollout=shop/statefulset/db reason=refused";
    assert_eq!(last(&text), wanted, "{text}");
    assert_eq!(outcome.summary.matches("| ❌ refused |").count(), 2, "{}", outcome.summary);
}

/// The demo, until it is dropped, and its address.
struct Demo(std::process::Child, String);

impl Demo {
    fn start() -> Demo {
        use std::io::BufRead as _;
        let mut child = rollcast(&["demo", "--listen", "127.0.0.1:0", "--log", "error"])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let said = std::io::BufReader::new(child.stdout.take().unwrap());
        let is_address = |line: &String| line.trim_start().starts_with("Open ");
        let line = said.lines().map(Result::unwrap).find(is_address).unwrap();
        let address = line.split_whitespace().last().unwrap().trim_end_matches('/').to_owned();
        Demo(child, address)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The program itself: outside a terminal, and in one (by `script` of util-linux).
#[test]
fn the_program_follows_in_a_terminal_and_elsewhere() {
    let demo = Demo::start();
    let follow =
        |workload| ["follow", workload, "-n", "edge", "--server", &demo.1].map(str::to_owned);
    for (workload, code) in [("deployment/gateway", 0), ("deployment/nothing", 2), ("gateway", 2)] {
        let arguments = follow(workload);
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let output = rollcast(&arguments).stdout(std::process::Stdio::piped()).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(code), "{workload}: {text}");
        assert!(!text.contains('\u{1b}'), "{text:?}");
        if code == 0 {
            let wanted = "RESULT outcome=succeeded rollout=edge/deployment/gateway";
            assert!(last(&text).starts_with(wanted), "{text}");
        }
    }
    let command =
        format!("{} {}", env!("CARGO_BIN_EXE_rollcast"), follow("deployment/gateway").join(" "));
    for (variable, block, colours) in
        [(None, true, true), (Some("NO_COLOR"), true, false), (Some("CI"), false, false)]
    {
        let Some(text) = in_a_terminal(&command, variable) else { return };
        assert_eq!(text.contains("\u{1b}[J"), block, "{variable:?}: {text:?}");
        assert_eq!(text.contains("\u{1b}[1m"), colours, "{variable:?}: {text:?}");
        assert!(block || !text.contains('\u{1b}'), "{variable:?}: {text:?}");
        assert!(
            text.contains("RESULT outcome=succeeded rollout=edge/deployment/gateway"),
            "{text}"
        );
    }
}

/// What systems that run jobs set; whoever runs these tests may be in a job.
const SYSTEMS: [&str; 8] = [
    "CI",
    "GITHUB_ACTIONS",
    "GITLAB_CI",
    "BUILDKITE",
    "TF_BUILD",
    "TEAMCITY_VERSION",
    "JENKINS_URL",
    "GITHUB_STEP_SUMMARY",
];

/// Runs `follow` to its end with these variables, and none of a job's beside: its status, what it writes,
/// and what it says to whoever started it.
fn ran(arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let mut command = rollcast(&[&["follow"], arguments].concat());
    SYSTEMS.iter().for_each(|name| {
        command.env_remove(name);
    });
    command.envs(variables.iter().copied()).stdout(std::process::Stdio::piped());
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_program_appends_its_summary_and_an_unwritable_file_changes_no_status() {
    let demo = Demo::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("summary");
    let nowhere = folder.path().join("nowhere/summary");
    let (file, nowhere) = (file.to_str().unwrap(), nowhere.to_str().unwrap());
    std::fs::write(file, "of a step before\n\n").unwrap();
    for (workload, code, row) in [
        ("deployment/gateway", 0, "| edge/deployment/gateway | ✅ succeeded |"),
        ("deployment/nothing", 2, "| edge/deployment/nothing | ❌ refused |"),
    ] {
        let arguments = [workload, "-n", "edge", "--server", &demo.1];
        let (status, text, said) = ran(&arguments, &[("GITHUB_STEP_SUMMARY", file)]);
        assert_eq!(status, Some(code), "{text}{said}");
        assert!(!said.contains("summary"), "{said}");
        let summary = std::fs::read_to_string(file).unwrap();
        assert!(summary.starts_with("of a step before\n\n### Rollouts\n"), "{summary}");
        assert_eq!(summary.matches(row).count(), 1, "{summary}");
        let (status, text, said) = ran(&arguments, &[("GITHUB_STEP_SUMMARY", nowhere)]);
        assert_eq!(status, Some(code), "{text}{said}");
        assert!(said.contains("the summary cannot be written to "), "{said}");
        assert!(last(&text).starts_with("RESULT "), "{text}");
    }
    // Of the first run it is still there.
    assert_eq!(std::fs::read_to_string(file).unwrap().matches("### Rollouts").count(), 2);
}

#[test]
fn the_program_speaks_to_the_system_that_its_environment_names() {
    let demo = Demo::start();
    let arguments = ["deployment/gateway", "-n", "edge", "--server", &demo.1];
    for (variable, value, opens, closes) in [
        ("GITHUB_ACTIONS", "true", "::group::following ", "\n::endgroup::\n"),
        ("GITLAB_CI", "true", "\u{1b}[0Ksection_start:", "\n\u{1b}[0Ksection_end:"),
        ("BUILDKITE", "true", "--- following ", "\n+++ result\n"),
        ("TF_BUILD", "True", "##[group]following ", "\n##[endgroup]\n"),
        ("TEAMCITY_VERSION", "2026.1", "##teamcity[blockOpened ", "\n##teamcity[blockClosed "),
    ] {
        let (status, text, said) = ran(&arguments, &[(variable, value), ("CI", "true")]);
        assert_eq!(status, Some(0), "{variable}: {text}{said}");
        assert!(text.starts_with(opens), "{variable}: {text:?}");
        let (_, shown) = text.split_once(closes).unwrap_or_else(|| panic!("{variable}: {text:?}"));
        assert!(shown.contains("SUCCEEDED"), "{variable}: {text:?}");
        let wanted = "RESULT outcome=succeeded rollout=edge/deployment/gateway ";
        assert!(last(&text).starts_with(wanted), "{variable}: {text:?}");
    }
    let (_, text, _) = ran(&arguments, &[("CI", "true")]);
    assert!(!["::group::", "section_start:", "##"].iter().any(|it| text.contains(it)), "{text}");
}

/// Without a server, and without a cluster that answers.
#[test]
fn the_program_tells_of_a_cluster_that_is_away_as_of_every_end() {
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    let away = "apiVersion: v1\nkind: Config\ncurrent-context: away\n\
        clusters: [{name: away, cluster: {server: 'http://127.0.0.1:1'}}]\n\
        contexts: [{name: away, context: {cluster: away, user: nobody}}]\n\
        users: [{name: nobody, user: {}}]\n";
    std::fs::write(&kubeconfig, away).unwrap();
    let summary = folder.path().join("summary");
    let arguments = ["deployment/web", "statefulset/db", "-n", "shop", "--patience", "5s"];
    let kubeconfig = ["--kubeconfig", kubeconfig.to_str().unwrap()];
    let variables =
        [("GITHUB_STEP_SUMMARY", summary.to_str().unwrap()), ("GITHUB_ACTIONS", "true")];
    let (status, text, said) = ran(&[&arguments[..], &kubeconfig].concat(), &variables);
    assert_eq!(status, Some(5), "{text}{said}");
    assert_eq!(text.matches("\nRESULT outcome=unknown rollout=shop/").count(), 2, "{text}");
    let wanted = "RESULT outcome=unknown rollout=shop/statefulset/db reason=contact_lost";
    assert_eq!(last(&text), wanted, "{text}");
    assert!(text.contains("::error title=shop/deployment/web contact lost::"), "{text}");
    let summary = std::fs::read_to_string(&summary).unwrap();
    assert_eq!(summary.matches("| ❌ contact lost |").count(), 2, "{summary}");
}

/// A kubeconfig as those of cloud providers: a command gives the credentials.
fn with_command(folder: &std::path::Path, server: &str, command: &str) -> String {
    let file = folder.join("kubeconfig");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: here\n\
         clusters: [{{name: here, cluster: {{server: '{server}'}}}}]\n\
         contexts: [{{name: here, context: {{cluster: here, user: ann}}}}]\n\
         users:\n- name: ann\n  user:\n    exec:\n      apiVersion: client.authentication.k8s.io/v1\n      \
         interactiveMode: Never\n      command: sh\n      args: ['-c', '{command}']\n"
    );
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

/// Heads of requests as a cluster gets them that answers 503 to all.
fn heads() -> (String, std::sync::mpsc::Receiver<String>) {
    use std::io::{BufRead as _, BufReader, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let head = lines.map_while(Result::ok).take_while(|line| !line.is_empty());
            let head: Vec<String> = head.collect();
            let answer = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            let _ = stream.write_all(answer);
            if tell.send(head.join("\n").to_lowercase()).is_err() {
                return;
            }
        }
    });
    (url, told)
}

#[test]
fn the_program_has_its_credentials_from_the_command_that_its_kubeconfig_names() {
    let folder = tempfile::tempdir().unwrap();
    let (server, heads) = heads();
    let gives = r#"echo "{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"kind\":\"ExecCredential\",\"status\":{\"token\":\"of-a-command\"}}""#;
    for (command, code) in [(gives, 5), ("echo you are not signed in >&2; exit 3", 2)] {
        let kubeconfig = with_command(folder.path(), &server, command);
        let arguments =
            ["deployment/web", "-n", "shop", "--patience", "5s", "--kubeconfig", &kubeconfig];
        let (status, text, said) = ran(&arguments, &[]);
        assert_eq!(status, Some(code), "{text}{said}");
        if code == 5 {
            let head = heads.recv_timeout(Duration::from_secs(10)).unwrap();
            assert!(head.contains("\nauthorization: bearer of-a-command"), "{head}");
        } else {
            assert!(
                said.contains("\"sh\"") || text.contains("\"sh\""),
                "it says which: {text}{said}"
            );
        }
    }
}

/// What a command writes in a terminal, with this variable set; `None` where there is no `script`.
fn in_a_terminal(command: &str, variable: Option<&str>) -> Option<String> {
    let mut script = std::process::Command::new("script");
    script.args(["-q", "-e", "-c", command, "/dev/null"]).env("TERM", "xterm");
    for name in SYSTEMS.into_iter().chain(["NO_COLOR"]) {
        script.env_remove(name);
    }
    script.envs(variable.map(|name| (name, "1")));
    let output = match script.stdin(std::process::Stdio::null()).output() {
        Ok(output) => output,
        // Not every machine has it.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => panic!("{error}"),
    };
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    Some(text)
}
