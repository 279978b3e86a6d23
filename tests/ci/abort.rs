//! `fail=abort` with a real curl: a connection that breaks, and before that all that is to be told.

use std::process::{Command, Stdio};

use crate::stage::Stage;

/// curl's status for a body that was not whole: of HTTP/1.1 (`CURLE_PARTIAL_FILE`), of HTTP/2
/// (`CURLE_HTTP2_STREAM`).
const BROKEN: [i32; 2] = [18, 92];

/// Status and output of curl.
async fn curl(version: &str, url: &str) -> (Option<i32>, String) {
    let mut command = Command::new("curl");
    command.args([
        "-q",
        "-sS",
        "-N",
        "--max-time",
        "120",
        "-w",
        "\nstatus %{http_code}\n",
        version,
        url,
    ]);
    command.stdin(Stdio::null());
    let ended = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    (ended.status.code(), String::from_utf8(ended.stdout).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_broken_off_has_told_its_result() {
    if !crate::has(&["shells"]) {
        return;
    }
    let stage = Stage::open(&["--auth", "none"]).await;
    let jobs = [
        ("one", "--http1.1", true),
        ("two", "--http2-prior-knowledge", true),
        ("good", "--http1.1", false),
        ("old", "--http1.0", true),
        ("plain", "--http1.0", true),
    ];
    stage.settle(&jobs.map(|(name, _, _)| name)).await;
    let ended = futures_util::future::join_all(jobs.map(|(name, version, fails)| {
        stage.deploy(name, "b-17", if fails { "shop/web:crash" } else { "shop/web:2" });
        let stream = format!("api/v1/namespaces/shop/deployment/{name}/stream");
        // A body of HTTP/1.0 ends with its connection: there is nothing to break.
        let fail = if name == "plain" { "end" } else { "abort" };
        let url = format!("{}/{stream}?until=result&deploy=b-17&fail={fail}", stage.url());
        async move { (name, version, fails, curl(version, &url).await) }
    }))
    .await;
    for (name, version, fails, (status, said)) in ended {
        let (text, code) = said.rsplit_once("\nstatus ").unwrap();
        if name == "old" {
            assert_eq!((status, code.trim()), (Some(0), "400"), "{said}");
            assert!(text.contains("use HTTP/1.1"), "{said}");
            continue;
        }
        let last = text.trim_end().lines().last().unwrap();
        if name == "plain" {
            assert!(last.starts_with("RESULT outcome=failed "), "{version}: {said}");
            assert_eq!(status, Some(0), "{version}: {said}");
        } else if fails {
            assert!(last.starts_with("RESULT outcome=failed "), "{version}: {said}");
            assert!(BROKEN.contains(&status.unwrap()), "{version}: {status:?}: {said}");
        } else {
            assert!(last.starts_with("RESULT outcome=succeeded "), "{version}: {said}");
            assert_eq!(status, Some(0), "{version}: {said}");
        }
    }
}
