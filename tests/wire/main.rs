//! The wire, by example: every event in every format, made by the code and compared with what is
//! committed in this folder. `UPDATE=1 cargo test --test wire` writes the files anew; a change in
//! them is a change of the public interface.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rollcast::ids::{
    AttemptKey, Blocked, Blocker, ContainerKind, ContainerState, ContainerStatus, Entry, Gap,
    GapReason, ImageChange, Kind, KubeEvent, LineMeta, Lines, Outcome, PodPhase, PodStatus, Reason,
    RolloutPhase, RolloutResult, RolloutStatus, Side, Source, SourceChange, SourceState,
    WorkloadId,
};
use rollcast::journal::Epoch;
use rollcast::time::{SECOND, parse_stamp};
use rollcast::wire::{Bye, Coverage, Dialect, Encoder, Format, Hello, Position, Resumed};

mod fields;

fn time(text: &str) -> i64 {
    parse_stamp(text.as_bytes()).unwrap().0
}

fn workload() -> Arc<WorkloadId> {
    Arc::new(WorkloadId::new("shop", Kind::Deployment, "web"))
}

fn source() -> Arc<Source> {
    let key = AttemptKey {
        uid: "0c1f6a52-6a30-4b0e-8a3e-3f4f5d1c2b7a".into(),
        container: "app".into(),
        container_id: "containerd://4f0a".into(),
    };
    Arc::new(Source { key, workload: workload(), pod: "web-6c9f-p7wqm".into(), attempt: 1 })
}

fn rollout() -> RolloutStatus {
    RolloutStatus {
        time: time("2026-11-22T14:03:59.040Z"),
        phase: RolloutPhase::Progressing,
        revision: Some("42".into()),
        previous: Some("41".into()),
        generation: 17,
        images: vec![ImageChange {
            container: "app".into(),
            from: Some("shop/web:1.8.2".into()),
            to: "shop/web:1.9.0".into(),
        }],
        desired: 6,
        updated: 4,
        ready: 1,
        available: 1,
        old: 5,
        started: Some(time("2026-11-22T14:02:11.040Z")),
        finished: None,
        deadline_ms: Some(600_000),
        by: Some("ci-deployer".into()),
        change_cause: Some("release 1.9.0".into()),
        recovered: false,
        reasons: vec![Blocker {
            code: Reason::CrashLoop,
            message: "container app exits with code 1 two seconds after its start (4 restarts)"
                .to_owned(),
            pods: vec!["web-6c9f-p7wqm".into(), "web-6c9f-r4t8c".into()],
            since: Some(time("2026-11-22T14:02:38Z")),
        }],
        message: "2 of 4 new pods cannot start: container app exits with code 1".to_owned(),
    }
}

fn pod() -> PodStatus {
    PodStatus {
        time: time("2026-11-22T14:02:26.020Z"),
        pod: "web-6c9f-p7wqm".into(),
        uid: "0c1f6a52-6a30-4b0e-8a3e-3f4f5d1c2b7a".into(),
        node: Some("node-1".into()),
        revision: Some("42".into()),
        side: Side::New,
        phase: PodPhase::Init,
        phase_detail: Some("1/2".into()),
        ready: false,
        restarts: 0,
        reason: None,
        message: None,
        containers: vec![ContainerStatus {
            name: "app".into(),
            kind: ContainerKind::App,
            state: ContainerState::Waiting,
            attempt: 1,
            reason: Some("PodInitializing".into()),
            exit_code: None,
        }],
        quiet: false,
    }
}

/// Lines of every sort: plain, hostile, cut, lossy, without a line end.
fn lines() -> Lines {
    let texts = [
        "FATAL config: DATABASE_URL is not set",
        "\u{1b}[31mred\u{1b}[0m\r::stop-commands::x ##[add-mask]y \u{202e}z \"quoted\" \\ \u{7f}",
        "a very long li",
        "not utf-8: \u{fffd}",
        "no line end",
    ];
    let mut text = String::new();
    let mut metas = Vec::new();
    for (index, line) in texts.iter().enumerate() {
        metas.push(LineMeta {
            time: time("2026-11-22T14:02:38.310164133Z") + index as i64,
            start: text.len() as u32,
            len: line.len() as u32,
            truncated_bytes: if index == 2 { 1_048_576 } else { 0 },
            ordinal: u32::from(index == 1),
            lossy: index == 3,
            partial: index == 4,
            partial_head: index == 4,
        });
        text.push_str(line);
    }
    let (source, side, text) = (source(), Side::New, Bytes::from(text));
    Lines { source, side, failed: false, text, lines: metas.into() }
}

fn gap() -> Gap {
    Gap {
        time: time("2026-11-22T14:03:23Z"),
        reason: GapReason::RotationUnproven,
        source: Some(source()),
        from: Some(time("2026-11-22T14:03:14.2Z")),
        to: Some(time("2026-11-22T14:03:22.8Z")),
        count: None,
    }
}

fn too_slow() -> Gap {
    let (from, to) = (None, None);
    let reason = GapReason::ViewerTooSlow;
    Gap { source: None, reason, from, to, count: Some(4_711), ..gap() }
}

fn event() -> KubeEvent {
    KubeEvent {
        time: time("2026-11-22T14:03:25Z"),
        warning: true,
        reason: "Unhealthy".into(),
        message: "Readiness probe failed: connection refused".into(),
        object_kind: "pod".into(),
        object_name: "web-6c9f-r4t8c".into(),
        count: 3,
    }
}

fn result() -> RolloutResult {
    RolloutResult {
        time: time("2026-11-22T14:03:59Z"),
        outcome: Outcome::Failed,
        revision: Some("42".into()),
        generation: 17,
        ready: 1,
        desired: 6,
        duration_ms: Some(108_000),
        reason: Some(Reason::CrashLoop),
        message: rollout().message,
        pods: vec![Blocked {
            pod: "web-6c9f-p7wqm".into(),
            container: Some("app".into()),
            attempt: Some(4),
            exit_code: Some(1),
            lines: vec![
                "starting web 1.9.0 (commit 5f2c1e7)".to_owned(),
                "RESULT outcome=succeeded \u{1b}[2J\r".to_owned(),
                "FATAL config: DATABASE_URL is not set".to_owned(),
            ],
        }],
        events: vec![Arc::new(event())],
        inferred: false,
    }
}

fn change(state: SourceState) -> SourceChange {
    let ended = state == SourceState::Ended;
    SourceChange {
        time: time("2026-11-22T14:02:40Z"),
        source: source(),
        state,
        from_start: Some(true),
        complete: ended.then_some(true),
        lines: ended.then_some(12),
        reason: (state == SourceState::Waiting).then(|| "budget".into()),
    }
}

/// A whole stream with each event once, about one workload or about several.
fn stream(format: Format, named: bool) -> Vec<u8> {
    let epoch = Epoch::parse("7k2m9q").unwrap();
    let encoder = Encoder { format, epoch, named, again: None };
    let mut out = encoder.preamble(Duration::from_millis(2150));
    let start = time("2026-11-22T14:02:11Z");
    let status = rollout();
    let coverage = Coverage {
        workload: named.then(|| "shop/deployment/web".to_owned()),
        pod: "web-6c9f-x2k9d".into(),
        container: "app".into(),
        attempt: 1,
        from_start: Some(true),
    };
    let workload = workload();
    let hello = Hello {
        epoch: encoder.epoch,
        position: Position { seq: 1041, time: start },
        resumed: Resumed::None,
        heartbeat: Duration::from_secs(10),
        ends_at: start + 3_600 * SECOND,
        selected: if named { &"shop/[app in (pay,web)]" } else { &*workload },
        workloads: named.then_some(2),
        coverage: vec![coverage],
        rollout: Some(&status).filter(|_| !named),
    };
    encoder.hello(&mut out, &hello);
    encoder.group(&mut out, "shop/deployment/web", start);
    let entries = [
        Entry::Rollout(Arc::new(status.clone())),
        Entry::Pod(Arc::new(pod())),
        Entry::Source(Arc::new(change(SourceState::Waiting))),
        Entry::Source(Arc::new(change(SourceState::Following))),
        Entry::Lines(Arc::new(lines())),
        Entry::Event(Arc::new(event())),
        Entry::Source(Arc::new(change(SourceState::Ended))),
        Entry::Gap(Arc::new(gap())),
        Entry::Gap(Arc::new(too_slow())),
    ];
    let mut seq = 1042;
    for entry in &entries {
        let position = Position { seq, time: entry.time() };
        encoder.entry(&mut out, position, &workload, entry);
        seq += entry.count();
    }
    let now = time("2026-11-22T14:03:23.001Z");
    let position = Position { seq: seq - 1, time: now };
    encoder.live(&mut out, position, now);
    encoder.cursor(&mut out, position);
    let standing = [(Arc::clone(&workload), Arc::new(status.clone()))];
    encoder.heartbeat(&mut out, &standing, &[], now + 36 * SECOND);
    let ended = Position { seq, time: now + 36 * SECOND };
    encoder.result(&mut out, ended, &workload, &result());
    encoder.bye(&mut out, Bye::Rotate, Duration::from_millis(2150), now + 37 * SECOND);
    out
}

fn check(format: Format, file: &str) {
    check_one(&stream(format, false), &format!("stream.{file}"));
    check_one(&stream(format, true), &format!("several.{file}"));
}

fn check_one(made: &[u8], file: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire").join(file);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, made).unwrap();
    }
    let committed = std::fs::read(&path).unwrap_or_default();
    assert!(
        committed == made,
        "{file} differs from what the code makes; if the wire is meant to change, write it anew \
         with UPDATE=1:\n{}",
        String::from_utf8_lossy(made)
    );
}

#[test]
fn server_sent_events_are_as_committed() {
    check(Format::Sse, "sse");
}

#[test]
fn ndjson_is_as_committed() {
    check(Format::Ndjson, "ndjson");
}

#[test]
fn text_is_as_committed() {
    check(Format::Text, "txt");
}

#[test]
fn text_with_ids_is_as_committed() {
    check(Format::TextIds, "ids");
}

#[test]
fn dialects_are_as_committed() {
    for dialect in Dialect::ALL {
        let file = format!("stream.{}", dialect.as_str());
        check_one(&stream(Format::Ci(dialect), false), &file);
    }
}

/// The buffer grows a few times at first, and no line needs memory of its own.
#[test]
fn ten_thousand_lines_are_written_without_a_hundred_allocations() {
    let epoch = Epoch::parse("7k2m9q").unwrap();
    let mut batch = lines();
    let metas: Vec<LineMeta> = batch.lines.iter().copied().cycle().take(500).collect();
    batch.lines = metas.into();
    let entry = Entry::Lines(Arc::new(batch));
    let workload = workload();
    for format in [Format::Sse, Format::Ndjson, Format::Text] {
        let encoder = Encoder { format, epoch, named: true, again: None };
        let mut written = 0;
        let counted = allocation_counter::measure(|| {
            let mut out = Vec::new();
            for at in 0..20 {
                out.clear();
                let position = Position { seq: at * 500 + 1, time: entry.time() };
                encoder.entry(&mut out, position, &workload, &entry);
                written += out.len();
            }
        });
        assert!(written > 10_000 * 40, "{format:?}: {written} bytes");
        assert!(counted.count_total < 100, "{format:?}: {} allocations", counted.count_total);
    }
}

/// Only lines are added, and none that a pod could have made; the result stays what is told last.
#[test]
fn a_dialect_is_the_text_with_commands() {
    let text = String::from_utf8(stream(Format::Text, true)).unwrap();
    for dialect in Dialect::ALL {
        let made = String::from_utf8(stream(Format::Ci(dialect), true)).unwrap();
        let (mut plain, mut commands) = (text.lines().peekable(), Vec::new());
        for line in made.lines() {
            if plain.next_if_eq(&line).is_none() {
                commands.push(line.to_owned());
            }
        }
        assert_eq!(plain.next(), None, "{dialect:?}: {made}");
        let now = time("2026-11-22T14:03:59Z");
        let open = dialect.open("shop/deployment/web", time("2026-11-22T14:02:11Z"));
        let message = "2 of 4 new pods cannot start: container app exits with code 1";
        let mut expected = vec![open, dialect.close(now)];
        expected.extend(dialect.error("shop/deployment/web failed", message));
        expected.push(dialect.close(now + SECOND));
        let lines: Vec<String> =
            expected.iter().flat_map(|it| it.lines()).map(str::to_owned).collect();
        assert_eq!(commands, lines, "{dialect:?}");
        let result = made.lines().position(|line| line.starts_with("RESULT ")).unwrap();
        let error = made.lines().position(|line| line.contains("web failed"));
        assert!(error.is_none_or(|error| error < result), "{dialect:?}: {made}");
    }
}

/// Without the ids it is the text, but for lines that are nothing but an id.
#[test]
fn text_with_ids_is_the_text_behind_ids() {
    let made = String::from_utf8(stream(Format::TextIds, false)).unwrap();
    let behind = |line: &str| line.split_once(' ').map(|(_, text)| text.to_owned() + "\n");
    let text: String = made.lines().filter_map(behind).collect();
    assert_eq!(text.into_bytes(), stream(Format::Text, false));
    for line in made.lines() {
        let id = line.split(' ').next().unwrap();
        assert!(id == "-" || id.parse::<rollcast::wire::EventId>().is_ok(), "{line}");
    }
}

#[test]
fn no_byte_of_a_pod_controls_a_sink() {
    for format in [Format::Sse, Format::Ndjson, Format::Text, Format::TextIds] {
        let made = stream(format, true);
        let text = std::str::from_utf8(&made).unwrap();
        assert!(
            text.chars().all(|c| c == '\n' || (c >= ' ' && !('\u{7f}'..='\u{9f}').contains(&c)))
        );
        let starts = |line: &str| line.starts_with("::") || line.starts_with("##[");
        assert!(!text.lines().any(|line| starts(line.trim_start())));
    }
}

#[test]
fn every_line_of_ndjson_and_every_data_is_one_object() {
    let ndjson = stream(Format::Ndjson, true);
    for line in std::str::from_utf8(&ndjson).unwrap().lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(value["type"].is_string(), "{line}");
    }
    let sse = stream(Format::Sse, true);
    for line in std::str::from_utf8(&sse).unwrap().lines() {
        if let Some(data) = line.strip_prefix("data: ") {
            assert!(serde_json::from_str::<serde_json::Value>(data).unwrap().is_object());
        }
    }
}

/// From when on it may, stands behind the position.
#[test]
fn ids_of_a_stream_that_repeats_say_so() {
    let epoch = Epoch::parse("7k2m9q").unwrap();
    let again = Some(time("2026-11-22T14:02:10.5Z"));
    let encoder = Encoder { format: Format::Sse, epoch, named: false, again };
    let mut out = Vec::new();
    encoder.cursor(&mut out, Position { seq: 7, time: time("2026-11-22T14:02:11Z") });
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text, "id: 7k2m9q-7-1795356131000-1795356130500\n\n");
}

/// The API's times are whole seconds, ours are finer.
#[test]
fn elapsed_time_goes_neither_back_nor_on_after_the_end() {
    let encoder = Encoder {
        format: Format::Ndjson,
        epoch: Epoch::parse("7k2m9q").unwrap(),
        named: false,
        again: None,
    };
    let elapsed = |phase, seen: &str, finished: Option<&str>| {
        let mut out = Vec::new();
        let started = Some(time("2026-11-22T14:02:11Z"));
        let finished = finished.map(time);
        let status = RolloutStatus { time: time(seen), phase, started, finished, ..rollout() };
        let position = Position { seq: 1, time: 0 };
        encoder.entry(&mut out, position, &workload(), &Entry::Rollout(Arc::new(status)));
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        value["elapsed_ms"].as_u64()
    };
    let (runs, done) = (RolloutPhase::Progressing, RolloutPhase::Complete);
    let end = Some("2026-11-22T14:02:15Z");
    assert_eq!(elapsed(runs, "2026-11-22T14:02:10.9Z", None), Some(0), "never negative");
    assert_eq!(elapsed(runs, "2026-11-22T14:02:15.95Z", None), Some(4000));
    assert_eq!(elapsed(done, "2026-11-22T14:02:16.02Z", end), Some(4000));
    assert_eq!(elapsed(done, "2026-11-22T15:00:00Z", end), Some(4000));
    assert_eq!(elapsed(done, "2026-11-22T15:00:00Z", None), None, "nobody knows the end");
}

#[test]
fn of_very_many_rollouts_a_text_says_how_many_more_there_are() {
    let epoch = Epoch::parse("7k2m9q").unwrap();
    let encoder = Encoder { format: Format::Text, epoch, named: true, again: None };
    let (now, status) = (time("2026-11-22T14:03:23.001Z"), Arc::new(rollout()));
    for (count, lines, last) in
        [(20, 20, None), (21, 21, Some("1 more")), (250, 21, Some("230 more"))]
    {
        let workload = |number: usize| {
            Arc::new(WorkloadId::new("shop", Kind::Deployment, &format!("web-{number:03}")))
        };
        let standing: Vec<_> =
            (0..count).map(|number| (workload(number), Arc::clone(&status))).collect();
        let mut out = Vec::new();
        encoder.heartbeat(&mut out, &standing, &[], now);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.lines().count(), lines, "{text}");
        let more = text.lines().last().and_then(|line| line.split_once("  rollout  and "));
        assert_eq!(more.map(|(_, more)| more), last, "{text}");
        // The same of those that were not seen yet.
        let unseen: Vec<_> = standing.into_iter().map(|(workload, _)| workload).collect();
        let mut out = Vec::new();
        encoder.heartbeat(&mut out, &[], &unseen, now);
        let text = String::from_utf8(out).unwrap();
        let missing = text.matches("  the one that was asked for was not seen yet\n").count();
        assert_eq!((text.lines().count(), missing), (lines, 20), "{text}");
    }
}

/// The README shows the wire as it is.
#[test]
fn the_excerpts_in_the_readme_are_from_the_committed_streams() {
    let read = |file: &str| {
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
    };
    let committed = read("tests/wire/stream.txt") + &read("tests/wire/stream.sse");
    let readme = read("README.md");
    let mut lines = 0;
    for block in readme.split("\n```\n").skip(1).step_by(2) {
        for line in block.lines() {
            assert!(committed.lines().any(|made| made == line), "not on the wire: {line}");
            lines += 1;
        }
    }
    assert!(lines >= 9, "{lines} lines of excerpts");
}
