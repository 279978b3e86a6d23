//! `ci.sh` before answers that no server should give, and before its own options.

use std::sync::Arc;
use std::time::Duration;

use crate::faults::{Asked, Faults, Step, raw, reply};
use crate::rollouts::acts;
use crate::shells::{Ended, Shell, shells};
use crate::{Cell, check, script};

const GOOD: &str = "SUCCEEDED after 3s\n\
    RESULT outcome=succeeded rollout=shop/deployment/web revision=2 ready=1/1 duration=3s\n";
const RUNNING: &str = "shop/deployment/web is still rolling out\n\
    RUNNING rollout=shop/deployment/web revision=2 generation=7 ready=0/1 uid=0c1f-6a52\n";
/// What is left of a shell that died unheard ends within its looks and its grace, and what a busy machine adds.
const UNHEARD: Duration = Duration::from_secs(20);
const PAGE: &str = "<!doctype html>\n<html><title>Sign in</title></html>\n";

/// The status that each case comes to, and what is said. Those that are tried again and again have a second.
const CASES: [(&str, i32, &str); 44] = [
    ("good", 0, "succeeded"),
    ("failed", 1, "failed"),
    ("timed-out", 1, "timed_out"),
    ("deleted", 1, "deleted"),
    ("superseded", 4, "superseded"),
    ("unknown", 5, "unknown"),
    ("new-word", 1, "exploded"),
    ("html", 5, "none of rollcast (200)"),
    ("html-with-a-result-in-it", 5, "none of rollcast (200)"),
    ("empty", 5, "none of rollcast (200)"),
    ("no-content", 5, "none of rollcast (204)"),
    ("accepted", 5, "none of rollcast (202)"),
    ("json-cut", 5, "none of rollcast (200)"),
    ("json-whole", 5, "none of rollcast (200)"),
    ("cut-before-its-end", 5, "no verdict after"),
    ("cut-without-length", 5, "none of rollcast (200)"),
    ("cut-in-chunks", 5, "no verdict after"),
    ("no-line-end", 5, "none of rollcast (200)"),
    ("other-workload", 5, "none of rollcast (200)"),
    ("other-namespace", 5, "none of rollcast (200)"),
    ("failed-but-200", 5, "none of rollcast (200)"),
    ("succeeded-but-424", 5, "contradicts itself"),
    ("succeeded-but-503", 5, "an answer of 503"),
    ("succeeded-but-429", 5, "an answer of 429"),
    ("indented", 5, "none of rollcast (200)"),
    ("not-its-last-line", 5, "none of rollcast (200)"),
    ("compressed", 5, "none of rollcast (200)"),
    ("endless", 5, "no verdict after"),
    ("half-a-head", 5, "no verdict after"),
    ("closed", 5, "no verdict after"),
    ("unavailable", 5, "an answer of 503"),
    ("running-then-unavailable", 5, "an answer of 503"),
    ("running", 3, "no result after 2s: shop/deployment/web is still rolling out"),
    ("redirect", 2, "sent elsewhere (302)"),
    ("unauthorized", 2, "who you are is not known (401): no 'token'"),
    ("forbidden", 2, "refused (403)"),
    ("absent", 2, "not found (404)"),
    ("bad-request", 2, "the request is wrong (400)"),
    ("absent-once", 0, "succeeded"),
    ("unavailable-thrice", 0, "an answer of 503"),
    ("closed-twice", 0, "trying again"),
    ("inferred-success", 5, "deployment/web: unknown"),
    ("in-the-middle", 0, "refused (403); trying again"),
    ("stream-says-otherwise", 1, "RESULT outcome=succeeded"),
];

/// Commands of CI systems behind more signs than they need.
fn marked() -> String {
    let words = ["[error]x", "vso[task.complete result=Succeeded;]x", "teamcity[x]"];
    let all = (2..6).flat_map(|signs| words.map(|word| format!("{}{word}", "#".repeat(signs))));
    all.collect::<Vec<_>>().join(" ")
}

fn result(outcome: &str) -> String {
    GOOD.replace("succeeded", outcome)
}

/// Verdicts and streams of the cases, which are named after what is wrong with them.
fn answers(asked: &Asked) -> Vec<Step> {
    let case = asked.case.split('.').next().unwrap();
    if !asked.is_verdict {
        return stream(case, asked);
    }
    let text = "Content-Type: text/plain\r\n";
    let ok = |body: &str| reply("200 OK", text, body);
    let ended = |outcome: &str| reply("424 Failed Dependency", text, &result(outcome));
    let unavailable =
        || reply("503 Service Unavailable", "Retry-After: 1\r\n", "no healthy upstream");
    let running = || reply("429 Too Many Requests", "Retry-After: 1\r\n", RUNNING);
    let problem = |status: &str, detail: &str| {
        reply(
            status,
            "Content-Type: application/problem+json\r\n",
            &format!("{{\"type\":\"urn:rollcast:problem:x\",\"detail\":\"{detail}\"}}"),
        )
    };
    match case {
        "failed" | "stream-says-otherwise" => ended("failed"),
        "timed-out" => ended("timed_out"),
        "deleted" => ended("deleted"),
        "superseded" => ended("superseded"),
        "unknown" => ended("unknown"),
        "new-word" => ended("exploded"),
        "html" => reply("200 OK", "Content-Type: text/html\r\n", PAGE),
        "html-with-a-result-in-it" => ok(&format!("{PAGE}<pre>{GOOD}</pre>\n")),
        "empty" => ok(""),
        "no-content" => raw("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"),
        "accepted" => reply("202 Accepted", text, GOOD),
        "json-cut" => ok("{\"outcome\":\"succeeded\",\"workload\":\"shop/depl"),
        "json-whole" => ok("{\"outcome\":\"succeeded\",\"workload\":\"shop/deployment/web\"}\n"),
        "cut-before-its-end" => {
            raw(&format!("HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n{GOOD}"))
        }
        "cut-without-length" => raw(&format!("HTTP/1.0 200 OK\r\n\r\n{}", &GOOD[..GOOD.len() - 9])),
        "cut-in-chunks" => raw(&format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{GOOD}\r\n",
            GOOD.len()
        )),
        "no-line-end" => ok(GOOD.trim_end()),
        "other-workload" => ok(&GOOD.replace("/web", "/web-2")),
        "other-namespace" => ok(&GOOD.replace("shop/", "workshop/")),
        "failed-but-200" => ok(&result("failed")),
        "succeeded-but-424" => ended("succeeded"),
        "succeeded-but-503" => reply("503 Service Unavailable", text, GOOD),
        "succeeded-but-429" => reply("429 Too Many Requests", text, GOOD),
        "indented" => ok(&format!("  {}", GOOD.lines().last().unwrap().to_owned() + "\n")),
        "not-its-last-line" => ok(&format!("{GOOD}and more\n")),
        "compressed" => reply("200 OK", "Content-Encoding: gzip\r\n", "\u{1f}\u{8b}garbage"),
        "endless" => {
            let mut steps = raw("HTTP/1.1 200 OK\r\n\r\n");
            steps.extend((0..100).map(|_| Step::Bytes(vec![b'x'; 1 << 20])));
            steps
        }
        "half-a-head" => raw("HTTP/1.1 200 OK\r\nContent-"),
        "closed" => Vec::new(),
        "unavailable" | "unheard" => unavailable(),
        "marked" => problem("404 Not Found", &marked()),
        "running-marked" => reply(
            "429 Too Many Requests",
            "Retry-After: 1\r\n",
            &format!("{}\n{RUNNING}", marked()),
        ),
        "running" => running(),
        "running-then-unavailable" if asked.number == 1 => running(),
        "running-then-unavailable" => unavailable(),
        "redirect" => reply("302 Found", "Location: http://127.0.0.1:1/\r\n", ""),
        "unauthorized" => problem("401 Unauthorized", "no \\\"token\\\""),
        "forbidden" => reply("403 Forbidden", "Content-Type: text/html\r\n", PAGE),
        "absent" => problem("404 Not Found", "no deployment"),
        "bad-request" => problem("400 Bad Request", "after: expected a time"),
        "absent-once" if asked.number == 1 => reply("404 Not Found", "", PAGE),
        "unavailable-thrice" if asked.number < 4 => unavailable(),
        "closed-twice" if asked.number < 3 => Vec::new(),
        "limited" if asked.number < 3 => {
            reply("429 Too Many Requests", "Retry-After: 2\r\n", "slowly")
        }
        "held" if asked.number == 1 => running(),
        "held" if !asked.target.contains("generation=7") => ended("failed"),
        "in-the-middle" if asked.number == 1 => running(),
        "in-the-middle" if asked.number < 6 => {
            reply("403 Forbidden", "Content-Type: text/html\r\n", PAGE)
        }
        "inferred-success" if asked.number == 1 => {
            let line = RUNNING.replace(" revision=2", "");
            reply("429 Too Many Requests", "Retry-After: 1\r\n", &line)
        }
        "inferred-success" => ok(&GOOD.replace("duration=3s", "duration=3s pinned=inferred")),
        "inferred" if asked.number == 1 => {
            let line = RUNNING.replace(" ready=", " pinned=inferred ready=");
            reply("429 Too Many Requests", "Retry-After: 1\r\n", &line)
        }
        "inferred" if asked.number == 2 => running(),
        "slow" => {
            let mut steps = vec![Step::Pause(Duration::from_secs(30))];
            steps.extend(ok(GOOD));
            steps
        }
        "resumed" => {
            let mut steps = vec![Step::Pause(Duration::from_secs(3))];
            steps.extend(ended("failed"));
            steps
        }
        "talks" => {
            let mut steps = vec![Step::Pause(Duration::from_secs(6))];
            steps.extend(ok(GOOD));
            steps
        }
        _ => ok(GOOD),
    }
}

fn stream(case: &str, asked: &Asked) -> Vec<Step> {
    let open = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n";
    match (case, asked.number) {
        ("html" | "html-with-a-result-in-it", _) => reply("200 OK", "", PAGE),
        ("stream-says-otherwise", _) => raw(&format!(
            "{open}- hello\nabcdef-1-9 {}",
            GOOD.lines().last().unwrap().to_owned() + "\n"
        )),
        ("slow" | "unheard", _) => {
            let mut steps = raw(&format!("{open}- hello\n"));
            steps.push(Step::Pause(Duration::from_secs(30)));
            steps
        }
        ("talks", _) => {
            let mut steps = raw(&format!("{open}- hello\n"));
            for number in 1..30 {
                steps.push(Step::Pause(Duration::from_secs(1)));
                steps.extend(raw(&format!("abcdef-{number}-9 line {number}\n")));
            }
            steps
        }
        ("resumed", 1) => raw(&format!(
            "{open}- hello\nabcdef-1-9 12:00:01  web/app | one\nabcdef-2-9\nabcdef-3-9 12:00:02  web/app | two"
        )),
        ("resumed", 2) => raw(&format!(
            "{open}- hello again\nabcdef-3-9 12:00:02  web/app | two whole\n::error::nobody\n\
             ##[command]nobody\n<p>nobody\nnobody\nx-y-\u{1b}[2J nobody\n"
        )),
        _ => raw("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"),
    }
}

fn arguments(url: &str, timeout: &str) -> Vec<String> {
    let all = ["--server", url, "--namespace=shop", "--timeout", timeout, "--", "Deployment/web"];
    all.map(str::to_owned).to_vec()
}

async fn run(shell: &Shell, url: &str, timeout: &str) -> Ended {
    let arguments = arguments(url, timeout);
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    shell.start(&script(), &arguments, &[]).end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_but_the_right_one_is_a_success() {
    let faults = Arc::new(Faults::start(answers).await);
    let mut jobs = Vec::new();
    for (case, wanted, words) in CASES {
        for shell in shells() {
            let faults = faults.clone();
            jobs.push(async move {
                // What is tried again and again costs its whole timeout; what comes right needs a while.
                let timeout = if matches!(wanted, 3 | 5) { "2s" } else { "30s" };
                let ended =
                    run(shell, &faults.url(&format!("{case}.{}", shell.name)), timeout).await;
                let mut complaint = ended.complaint(&[words]);
                let shown = ended.out.contains("Sign in") || ended.err.contains("Sign in");
                if shown {
                    complaint =
                        Some(format!("shows what is not ours:\n{}{}", ended.out, ended.err));
                }
                Cell {
                    row: case.to_owned(),
                    column: shell.name,
                    wanted,
                    came: ended.status,
                    complaint,
                }
            });
        }
    }
    check("ci.sh before odd answers", jobs).await;
}

/// What a problem says may be a name that somebody else chose.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_an_answer_says_is_a_command() {
    for shell in shells() {
        for (case, timeout, status) in [("marked", "30s", 2), ("running-marked", "2s", 3)] {
            let faults = Faults::start(answers).await;
            let ended = run(shell, &faults.url(case), timeout).await;
            let name = format!("{} {case}", shell.name);
            assert_eq!(ended.status, Some(status), "{name}: {}", ended.err);
            assert_eq!(ended.complaint(&["#[error]x #vso[task.complete", "#teamcity[x]"]), None);
            for shown in [&ended.out, &ended.err] {
                assert_eq!(acts(shown), None, "{name}");
            }
        }
    }
}

/// A server that is busy is left alone for as long as it says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_stays_away_for_as_long_as_it_is_asked_to() {
    let faults = Faults::start(answers).await;
    let ended = run(&shells()[0], &faults.url("limited"), "30s").await;
    assert_eq!(ended.status, Some(0), "{}", ended.err);
    assert!(ended.took >= Duration::from_secs(4), "{:?}", ended.took);
}

/// Without a pin it is about the rollout that ran at first, also in later requests.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rollout_of_the_first_answer_is_the_one() {
    let faults = Faults::start(answers).await;
    let ended = run(&shells()[0], &faults.url("held"), "30s").await;
    assert_eq!(ended.status, Some(0), "{}", ended.err);
    let asked = faults.asked("held");
    let verdicts: Vec<_> = asked.iter().filter(|asked| asked.is_verdict).collect();
    assert!(!verdicts[0].target.contains("generation"), "{}", verdicts[0].target);
    for pin in ["&generation=7", "&revision=2", "&uid=0c1f-6a52"] {
        assert!(verdicts[1].target.contains(pin), "{}", verdicts[1].target);
    }
}

/// A server that only infers which one is meant, for it was started since, may be wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollout_that_is_only_inferred_is_not_held() {
    let faults = Faults::start(answers).await;
    let ended = run(&shells()[0], &faults.url("inferred"), "30s").await;
    assert_eq!(ended.status, Some(0), "{}", ended.err);
    let asked = faults.asked("inferred");
    let verdicts: Vec<_> = asked.iter().filter(|asked| asked.is_verdict).collect();
    assert!(!verdicts[1].target.contains("revision"), "{}", verdicts[1].target);
    assert!(verdicts[2].target.contains("&revision=2"), "{}", verdicts[2].target);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_was_cut_goes_on_behind_its_last_whole_line() {
    for shell in shells() {
        let faults = Faults::start(answers).await;
        let ended = run(shell, &faults.url("resumed"), "30s").await;
        assert_eq!(ended.status, Some(1), "{}: {}", shell.name, ended.err);
        let count = |word: &str| ended.out.matches(word).count();
        let shown = (count("one"), count("two"), count("two whole"), count("nobody"));
        assert_eq!(shown, (1, 1, 1, 0), "{}:\n{}", shell.name, ended.out);
        let asked = faults.asked("resumed");
        let streams: Vec<_> = asked.iter().filter(|asked| !asked.is_verdict).collect();
        assert!(!streams[0].head.contains("Last-Event-ID"), "{}", streams[0].head);
        assert!(streams[1].head.contains("Last-Event-ID: abcdef-2-9\r\n"), "{}", streams[1].head);
        assert!(streams[1].target.contains("until=result"), "{}", streams[1].target);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_ends_it_at_once_with_all_that_it_began() {
    for shell in shells() {
        for (signal, status) in [("TERM", 143), ("INT", 130), ("HUP", 129)] {
            let faults = Faults::start(answers).await;
            let url = faults.url("slow");
            let arguments = arguments(&url, "60s");
            let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
            let job = shell.start(&script(), &arguments, &[]);
            let begun = || processes().iter().filter(|(_, it)| it.contains(&url)).count() >= 3;
            eventually(begun).await;
            job.signal(signal);
            let asked = std::time::Instant::now();
            let ended = job.end().await;
            let name = format!("{} {signal}", shell.name);
            assert_eq!(ended.status, Some(status), "{name}: {}", ended.err);
            assert!(asked.elapsed() < Duration::from_secs(5), "{name}: {:?}", asked.elapsed());
            assert_eq!(ended.complaint(&["stopped by a signal"]), None, "{name}");
            eventually(|| processes().iter().all(|(_, it)| !it.contains(&url))).await;
        }
    }
}

/// Nobody is told of KILL; and who dies of saying something that nobody reads could tell nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shell_that_dies_unheard_leaves_nothing_behind() {
    let held = |url: &str| processes().iter().any(|(_, line)| line.contains(url));
    for shell in shells() {
        let faults = Faults::start(answers).await;
        let url = faults.url("slow");
        let all = arguments(&url, "60s");
        let all: Vec<_> = all.iter().map(String::as_str).collect();
        let mut job = shell.start(&script(), &all, &[]);
        // A stream and a verdict are under way.
        eventually(|| faults.asked("slow").len() >= 2).await;
        job.signal("KILL");
        let killed = std::time::Instant::now();
        eventually(|| job.is_over() && !held(&url)).await;
        assert!(killed.elapsed() < UNHEARD, "{}: {:?}", shell.name, killed.elapsed());
        let ended = job.end().await;
        assert_eq!(ended.status, None, "{}", shell.name);
        assert_eq!(ended.complaint(&[]), None, "{}", shell.name);

        let url = faults.url("unheard");
        // When it says something, whoever was to read it has gone.
        let line = format!(
            "{{ sleep 1; exec {} {} {}; }} 2>&1 | head -n 0",
            shell.words(),
            script().display(),
            arguments(&url, "60s").join(" ")
        );
        let none = std::collections::BTreeMap::new();
        let ended = shell.run(&["-c", &line], &[], None, &none).end().await;
        assert!(ended.took < UNHEARD, "{}: {:?}", shell.name, ended.took);
        eventually(|| !held(&url)).await;
        assert_eq!(ended.complaint(&[]), None, "{}", shell.name);
        assert!(!faults.asked("unheard").is_empty(), "{}", shell.name);
    }
}

/// Who reads no more has heard enough; what cannot be written changes no verdict.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_output_that_goes_away_ends_it_and_one_that_is_full_does_not() {
    for shell in shells() {
        let faults = Faults::start(answers).await;
        let url = faults.url("talks");
        let words = format!(
            "{} {} {}",
            shell.words(),
            script().display(),
            arguments(&url, "60s").join(" ")
        );
        let none = std::collections::BTreeMap::new();
        let line = format!("{{ {words}; echo \"status $?\" >&2; }} | head -n 1");
        let ended = shell.run(&["-c", &line], &[], None, &none).end().await;
        assert_eq!(ended.out, "hello\n", "{}", shell.name);
        assert_eq!(ended.complaint(&["status 141"]), None, "{}", shell.name);

        let line = format!("exec {words} >/dev/full");
        let ended = shell.run(&["-c", &line], &[], None, &none).end().await;
        assert_eq!(ended.status, Some(0), "{}: {}", shell.name, ended.err);
        let told = ended.err.matches("what is shown cannot be written any more").count();
        assert_eq!((told, ended.err.contains("was cut")), (1, false), "{}", ended.err);
    }
}

/// Command lines can be read by every process of the machine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_token_is_sent_and_stands_on_no_command_line_and_in_no_file() {
    const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.c2VjcmV0-for_ci.sh~test+/=";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    for shell in shells() {
        for by_file in [false, true] {
            let faults = Faults::start(answers).await;
            let url = faults.url("slow");
            let mut all = arguments(&url, "60s");
            let mut variables = Vec::new();
            if by_file {
                all.extend(["--token-file".to_owned(), file.to_str().unwrap().to_owned()]);
            } else {
                variables.push(("ROLLCAST_TOKEN", TOKEN));
            }
            let all: Vec<_> = all.iter().map(String::as_str).collect();
            let job = shell.start(&script(), &all, &variables);
            eventually(|| faults.asked("slow").len() >= 2).await;
            let ours: Vec<_> =
                processes().into_iter().filter(|(_, line)| line.contains(&url)).collect();
            assert!(ours.len() >= 3, "{ours:?}");
            for (pid, line) in &ours {
                assert!(!line.contains(TOKEN), "{line}");
                if line.contains("curl") {
                    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
                    assert!(!String::from_utf8_lossy(&environment).contains(TOKEN), "{line}");
                }
            }
            for asked in faults.asked("slow") {
                let sent = format!("Authorization: Bearer {TOKEN}\r\n");
                assert!(asked.head.contains(&sent), "{}", asked.head);
            }
            assert!(!job.left_text().contains(TOKEN));
            job.signal("TERM");
            assert_eq!(job.end().await.status, Some(143));
        }
    }
}

fn processes() -> Vec<(u32, String)> {
    let all = std::fs::read_dir("/proc").unwrap();
    let pids = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid: u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        Some((pid, String::from_utf8_lossy(&line).replace('\0', " ")))
    })
    .collect()
}

async fn eventually(mut is: impl FnMut() -> bool) {
    let began = std::time::Instant::now();
    while !is() {
        assert!(began.elapsed() < Duration::from_secs(30), "waited in vain");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn wrong_usage_is_named_before_anything_is_asked() {
    let good = ["--server", "http://127.0.0.1:1", "-n", "shop", "deployment/web"];
    let with = |more: &[&'static str]| [&good[..], more].concat();
    for shell in shells() {
        for (arguments, words) in [
            (vec![], "--server is missing"),
            (good[..2].to_vec(), "--namespace is missing"),
            (good[..4].to_vec(), "a workload is missing"),
            (
                vec!["-s", "rollcast", "-n", "shop", "deployment/web"],
                "--server must begin with http",
            ),
            (vec!["-s", "http://a?b", "-n", "shop", "deployment/web"], "--server must be a plain"),
            (
                vec!["-s", "http://u:p@a", "-n", "shop", "deployment/web"],
                "--server must be a plain",
            ),
            (vec!["-s", "http://a", "-n", "Shop", "deployment/web"], "--namespace is no name"),
            (vec!["-s", "http://a", "-n", "shop", "web"], "KIND/NAME"),
            (vec!["-s", "http://a", "-n", "shop", "deployment/a/b"], "KIND/NAME"),
            (vec!["-s", "http://a", "-n", "shop", "deployment/.."], "KIND/NAME"),
            (vec!["-s", "http://a", "-n", "shop", "./web"], "KIND/NAME"),
            (vec!["-s", "http://a", "-n", "..", "deployment/web"], "--namespace is no name"),
            (vec!["-s", "http://a", "-n", "shop", "--"], "a workload is missing"),
            (vec!["-s", "http://a", "-n", "shop", "deployment/$(id)"], "KIND/NAME"),
            (with(&["deployment/api"]), "one workload is followed"),
            (with(&["--token", "x"]), "can be read by all"),
            (with(&["--deploy", ""]), "--deploy is empty"),
            (with(&["--deploy="]), "--deploy is empty"),
            (with(&["--deploy"]), "--deploy needs a value"),
            (with(&["--timeout", "0"]), "--timeout must be from 1s to 24h"),
            (with(&["--timeout", "25h"]), "--timeout must be from 1s to 24h"),
            (with(&["--timeout", "-1s"]), "--timeout must be from 1s to 24h"),
            (with(&["--timeout", "1 0"]), "--timeout must be from 1s to 24h"),
            (with(&["--logs", "some"]), "--logs must be"),
            (with(&["--token-file", "/nowhere/token"]), "--token-file cannot be read"),
            (with(&["--wait", "5"]), "there is no option --wait"),
        ] {
            let ended = shell.start(&script(), &arguments, &[]).end().await;
            let name = format!("{} {arguments:?}", shell.name);
            assert_eq!(ended.status, Some(2), "{name}: {}", ended.err);
            assert_eq!(ended.complaint(&[words]), None, "{name}");
        }
        let nowhere = [("TMPDIR", "/nowhere")];
        let ended = shell.start(&script(), &good, &nowhere).end().await;
        assert_eq!(ended.status, Some(2), "{}", ended.err);
        assert_eq!(ended.complaint(&["TMPDIR or /tmp must be one"]), None, "{}", shell.name);
        let bad = [("ROLLCAST_TOKEN", "a\nheader = b")];
        let ended = shell.start(&script(), &good, &bad).end().await;
        assert_eq!(ended.status, Some(2), "{}", ended.err);
        let help = shell.start(&script(), &["--help"], &[]).end().await;
        assert_eq!((help.status, help.err.as_str()), (Some(0), ""));
        assert!(help.out.contains("--deploy ID"), "{}", help.out);
    }
}

/// A download can end anywhere; what came is run as it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_that_was_cut_is_no_success() {
    let text = std::fs::read_to_string(script()).unwrap();
    let faults = Faults::start(answers).await;
    let url = faults.url("good");
    let arguments = arguments(&url, "5s");
    let arguments: Vec<_> =
        ["-s", "--"].into_iter().chain(arguments.iter().map(String::as_str)).collect();
    // The guard is the first command; before it is whole nothing can be done.
    let guard = text.match_indices('\n').nth(1).unwrap().0;
    assert!(guard < 100, "the guard comes too late");
    let end = text.trim_end().len();
    let mut cuts: Vec<_> = (guard + 1..end).step_by(331).collect();
    cuts.extend(end - 12..end);
    let none = std::collections::BTreeMap::new();
    for shell in shells() {
        for cut in cuts.iter().filter(|cut| text.is_char_boundary(**cut)) {
            let ended = shell.run(&arguments, &[], Some(&text[..*cut]), &none).end().await;
            assert!(ended.status.is_some_and(|status| status != 0), "{} at {cut}", shell.name);
        }
        let ended = shell.run(&arguments, &[], Some(&text), &none).end().await;
        assert_eq!(ended.status, Some(0), "{}: {}", shell.name, ended.err);
    }
}
