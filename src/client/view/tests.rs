//! What is drawn, compared with drawings: the block at two widths, and lines.

use serde_json::{Value, json};

use super::super::event::Ended;
use super::super::exit::End;
use super::*;
use crate::ids::Kind;

/// 2026-11-22T14:03:59Z, when the drawings are made.
const NOW: i64 = 1_795_356_239 * SECOND;

fn web() -> WorkloadId {
    WorkloadId::new("shop", Kind::Deployment, "web")
}

fn told(name: &str, data: &Value, state: bool) -> Told {
    Told::Event { event: Event::read(name, &data.to_string()).unwrap(), state }
}

fn rollout(message: &str) -> Value {
    json!({
        "time": "2026-11-22T14:03:59Z", "phase": "progressing", "revision": "42", "previous": "41",
        "images": {"app": {"from": "shop/web:1.8.2", "to": "shop/web:1.9.0"}},
        "desired": 6, "updated": 4, "ready": 1, "available": 1, "old": 5,
        "started": "2026-11-22T14:02:11Z", "deadline_ms": 600_000, "by": "ci-deployer",
        "message": message,
    })
}

fn pod(name: &str, phase: &str, exit: Option<i32>) -> Value {
    json!({
        "time": "2026-11-22T14:03:22.377Z", "pod": name, "uid": name, "side": "new", "phase": phase,
        "containers": [{"name": "app", "state": "waiting", "attempt": 4, "exit_code": exit}],
    })
}

fn log(text: &str) -> Value {
    json!({
        "time": "2026-11-22T14:03:22.318164133Z", "pod": "web-6c9f-p7wqm", "container": "app",
        "attempt": 4, "side": "new", "level": "error", "text": text, "key": "k",
    })
}

const WHY: &str = "2 of 4 new pods cannot start: container app exits with code 1 two seconds after \
                   its start (4 restarts)";

/// A crash loop as the wire tells of it.
fn crashing(mode: Mode) -> View {
    let mut view = View::new(mode, false, &[web()], NOW);
    view.step(0, &told("hello", &json!({"epoch": "a"}), false), NOW);
    for (name, phase) in [("p7wqm", "failing"), ("r4t8c", "failing"), ("x2k9d", "ready")] {
        view.step(0, &told("pod", &pod(&format!("web-6c9f-{name}"), phase, None), true), NOW);
    }
    view.step(0, &told("pod", &pod("web-6c9f-aaaaa", "pulling", None), true), NOW);
    view.step(0, &told("rollout", &rollout(WHY), false), NOW);
    view
}

fn screen(width: usize) -> Mode {
    Mode::Screen(Size { width, height: 24 })
}

#[track_caller]
fn draws(view: &View, expected: &[&str]) {
    let block = view.block(NOW);
    assert_eq!(block, expected, "\n{}", block.join("\n"));
}

#[test]
fn the_block_is_the_drawing() {
    draws(
        &crashing(screen(120)),
        &[
            " web  revision 41 → 42   shop/web:1.8.2 → shop/web:1.9.0   by ci-deployer   1m48s of 10m",
            " ███▓▓▓▓▓▓▓▓▓░░░░░░  1/6 ready  2 failing  1 pulling   5 old serving",
            &format!(" ✗ {WHY}"),
        ],
    );
}

#[test]
fn at_80_cells_the_registry_is_left_out() {
    draws(
        &crashing(screen(80)),
        &[
            " web  revision 41 → 42   web:1.8.2 → web:1.9.0   by ci-deployer   1m48s of 10m",
            " ███▓▓▓▓▓▓▓▓▓░░░░░░  1/6 ready  2 failing  1 pulling   5 old serving",
            " ✗ 2 of 4 new pods cannot start: container app exits with code 1 two seconds a…",
        ],
    );
}

#[test]
fn at_40_cells_the_time_is_left() {
    draws(
        &crashing(screen(40)),
        &[
            " web  revision 41 → 42   1m48s of 10m",
            " █▓▓▓▓░░░  1/6 ready  2 failing  1 pul…",
            " ✗ 2 of 4 new pods cannot start: conta…",
        ],
    );
}

#[test]
fn no_block_is_wider_or_higher_than_the_terminal() {
    let workloads: Vec<_> = (0..16)
        .map(|number| WorkloadId::new("shop", Kind::Deployment, &format!("web-{number}")))
        .collect();
    for (width, height) in [(1, 1), (10, 5), (40, 10), (80, 24), (200, 60)] {
        let mut view = View::new(Mode::Screen(Size { width, height }), false, &workloads, NOW);
        for at in 0..workloads.len() {
            view.step(at, &told("rollout", &rollout(WHY), false), NOW);
        }
        let block = view.block(NOW);
        assert!(block.len() <= height.saturating_sub(4).max(1), "{width}x{height}: {block:?}");
        for line in block {
            let cells: usize = line.chars().count();
            assert!(cells <= width.saturating_sub(1).max(1), "{width}x{height}: {line:?}");
        }
    }
}

#[test]
fn lines_scroll_with_short_names_on_a_terminal() {
    let mut view = crashing(screen(80));
    view.take_lines();
    view.step(0, &told("log", &log("FATAL config: DATABASE_URL is not set"), false), NOW);
    let exited = pod("web-6c9f-p7wqm", "failing", Some(1));
    view.step(0, &told("pod", &exited, false), NOW);
    assert_eq!(
        view.take_lines(),
        "14:03:22.318  p7wqm/app  error  FATAL config: DATABASE_URL is not set\n\
         14:03:22.377  p7wqm/app  ✗ exited with code 1 (attempt 4)\n"
    );
}

#[test]
fn elsewhere_lines_are_those_of_the_text_format() {
    let mut view = crashing(Mode::Lines);
    view.step(0, &told("log", &log("FATAL config"), false), NOW);
    view.step(0, &told("pod", &pod("web-6c9f-aaaaa", "init", None), false), NOW);
    view.step(0, &told("pod", &pod("web-6c9f-p7wqm", "failing", Some(1)), false), NOW);
    view.step(0, &told("rollout", &rollout(WHY), false), NOW);
    view.step(0, &told("rollout", &rollout(WHY), false), NOW);
    assert_eq!(
        view.take_lines(),
        format!(
            "14:03:59  rollout  revision 42 of shop/deployment/web: shop/web:1.8.2 -> \
             shop/web:1.9.0, by ci-deployer\n\
             14:03:59  rollout  1/6 ready, 2 failing, 1 pulling, 5 old (1m48s): {WHY}\n\
             14:03:22  web-6c9f-p7wqm/app | FATAL config\n\
             14:03:22  pod/web-6c9f-aaaaa  init\n\
             14:03:22  pod/web-6c9f-p7wqm  container app exited with code 1 (attempt 4)\n\
             14:03:59  rollout  1/6 ready, 2 failing, 1 init, 5 old (1m48s): {WHY}\n"
        )
    );
}

#[test]
fn silence_is_broken_every_15_seconds() {
    let mut view = crashing(Mode::Lines);
    view.take_lines();
    let mut said = 0;
    for second in 1..=60 {
        view.tick(NOW + second * SECOND);
        let lines = view.take_lines();
        assert!(lines.is_empty() || second % 15 == 0, "{second}: {lines}");
        said += usize::from(!lines.is_empty());
    }
    assert_eq!(said, 4);
}

/// Lines of logs say nothing of how the rollout stands; the server's own text counts them as little.
#[test]
fn a_log_that_never_pauses_takes_the_place_of_no_progress() {
    let mut view = crashing(Mode::Lines);
    view.take_lines();
    let mut times = Vec::new();
    for second in 1..=60 {
        let now = NOW + second * SECOND;
        view.step(0, &told("log", &log(&format!("line {second}")), false), now);
        view.tick(now);
        if view.take_lines().contains("  rollout  ") {
            times.push(second);
        }
    }
    assert_eq!(times, [15, 30, 45, 60]);
}

#[test]
fn the_end_is_the_drawing_and_its_last_line_is_for_programs() {
    let mut view = crashing(Mode::Lines);
    view.take_lines();
    let ended = json!({
        "outcome": "failed", "workload": "shop/deployment/web", "revision": "42", "ready": 1,
        "desired": 6, "duration_ms": 108_000, "reason": "crash_loop", "message": "it crashes",
        "pods": [{"pod": "web-6c9f-p7wqm", "container": "app", "attempt": 4,
                  "lines": ["RESULT outcome=succeeded", "\u{1b}[2Jx", " ::error::x"]}],
        "events": [{"time": "2026-11-22T14:03:25Z", "type": "Warning", "reason": "Unhealthy",
                    "message": "probe failed", "object": {"kind": "pod", "name": "web-6c9f-r4t8c"},
                    "count": 3}],
    });
    let ended = serde_json::from_value(ended).unwrap();
    view.step(0, &Told::End(End::Verdict(Box::new(ended))), NOW);
    view.close(Some("https://rollcast.example.org"));
    assert_eq!(
        view.take_lines(),
        "\n\
         FAILED after 1m48s: it crashes\n\
         events:\n\
         \x20 14:03:25  Warning  Unhealthy  web-6c9f-r4t8c  probe failed (x3)\n\
         last lines of web-6c9f-p7wqm/app, attempt 4:\n\
         \x20 RESULT outcome=succeeded\n\
         \x20 \\x1b[2Jx\n\
         \x20  \\x3a:error::x\n\
         see https://rollcast.example.org/w/shop/deployment/web\n\
         RESULT outcome=failed rollout=shop/deployment/web revision=42 ready=1/6 duration=108s \
         reason=crash_loop\n"
    );
}

#[test]
fn what_is_only_inferred_to_be_the_one_that_is_meant_says_so() {
    for (pinned, last) in [(Some("inferred"), " pinned=inferred"), (None, "")] {
        let mut view = View::new(Mode::Lines, false, &[web()], NOW);
        let ended = json!({"outcome": "succeeded", "workload": "shop/deployment/web", "revision": "2",
            "ready": 1, "desired": 1, "pinned": pinned});
        let ended = serde_json::from_value(ended).unwrap();
        view.step(0, &Told::End(End::Verdict(Box::new(ended))), NOW);
        view.close(None);
        let lines = view.take_lines();
        let expected = format!(
            "RESULT outcome=succeeded rollout=shop/deployment/web revision=2 ready=1/1{last}\n"
        );
        assert!(lines.ends_with(&expected), "{lines}");
    }
}

#[test]
fn who_has_no_verdict_has_no_outcome() {
    for (end, last) in [
        (End::Deadline, "reason=timeout"),
        (End::Lost(String::new()), "reason=contact_lost"),
        (End::Stopped, "reason=stopped"),
        (End::Refused("no".to_owned()), "reason=refused"),
    ] {
        let mut view = View::new(Mode::Lines, false, &[web()], NOW);
        view.step(0, &Told::End(end), NOW);
        view.close(None);
        let lines = view.take_lines();
        let expected = format!("RESULT outcome=unknown rollout=shop/deployment/web {last}\n");
        assert!(lines.ends_with(&expected), "{lines}");
    }
}

/// A script that takes the last line must not be green where the status is red.
#[test]
fn the_worst_end_is_told_last() {
    let verdict = |outcome: &str| {
        End::Verdict(Box::new(Ended { outcome: outcome.to_owned(), ..Ended::default() }))
    };
    let ends = [
        verdict("failed"),
        verdict("succeeded"),
        End::Deadline,
        End::Lost(String::new()),
        verdict("superseded"),
        End::Refused(String::new()),
        verdict("succeeded"),
        verdict("timed_out"),
    ];
    let workloads: Vec<_> = (0..ends.len())
        .map(|number| WorkloadId::new("shop", Kind::Deployment, &format!("web-{number}")))
        .collect();
    let mut view = View::new(Mode::Lines, false, &workloads, NOW);
    for (at, end) in ends.iter().enumerate() {
        view.step(at, &Told::End(end.clone()), NOW);
    }
    view.take_lines();
    view.close(None);
    let lines = view.take_lines();
    let results = lines.lines().filter(|line| line.starts_with("RESULT "));
    let order: Vec<_> =
        results.map(|line| line.split("web-").nth(1).unwrap()[..1].to_owned()).collect();
    // Of two that weigh the same, the one that was named first comes first.
    assert_eq!(order, ["1", "6", "4", "2", "3", "5", "0", "7"], "{lines}");
    assert!(lines.lines().last().unwrap().starts_with("RESULT "), "{lines}");
}

/// Whatever a pod says, the terminal is given no control, and no line but the first of a wrapped one
/// begins at the edge.
#[test]
fn no_pod_forges_a_line_or_moves_the_cursor() {
    let hostile = [
        "\u{1b}[2J\u{1b}[1;1HRESULT outcome=succeeded",
        "\r\nRESULT outcome=succeeded rollout=shop/deployment/web",
        "\u{9b}31m\u{8}\u{8}\u{7f}\u{202e}",
        "##vso[task.complete result=Succeeded;] ##[error]x ##teamcity[buildStatus]",
    ];
    let long = format!("{}RESULT outcome=succeeded", "x".repeat(200));
    // Somewhere among these a screen breaks the line right before the command.
    let padded: Vec<_> =
        (0..80).map(|number| format!("{}::error::x", "x".repeat(number))).collect();
    for mode in [Mode::Lines, screen(40)] {
        let mut view = crashing(mode);
        view.take_lines();
        let padded = padded.iter().map(String::as_str);
        for text in hostile.iter().copied().chain([long.as_str()]).chain(padded) {
            view.step(0, &told("log", &log(text), false), NOW);
            let event = json!({
                "time": "2026-11-22T14:03:25Z", "type": "Warning", "reason": text, "message": text,
                "object": {"kind": "pod", "name": text},
            });
            view.step(0, &told("event", &event, false), NOW);
            view.step(0, &told("rollout", &rollout(text), false), NOW);
        }
        let lines = view.take_lines();
        for line in lines.lines().chain(view.block(NOW).iter().map(String::as_str)) {
            assert!(
                !line.contains(|letter: char| letter.is_control() && letter != '\t'),
                "{line:?}"
            );
            assert!(!line.starts_with("RESULT"), "{line:?}");
            assert!(!line.trim_start().starts_with("::"), "{line:?}");
            assert!(!line.contains("##vso[") && !line.contains("##["), "{line:?}");
        }
    }
}
