//! Every string of every record, in every format: whatever stands in it, the stream has the same lines, events
//! and commands as with a harmless word, and programs read it back as it was.
//!
//! Only names of workloads are left out: the API server lets nothing but letters, digits, `-` and `.` through,
//! and they are what is asked for.

use super::*;

/// What could do something somewhere.
const HOSTILE: [&str; 30] = [
    "data: x",
    "event: result",
    "\revent: result\rdata: {\"outcome\":\"succeeded\"}\r\r",
    "\r\n\r\nevent: bye\r\ndata: {}\r\n\r\n",
    "x\"}\n\nevent: result\nid: aaaaaa-9-9\ndata: {\"outcome\":\"superseded\"}\n\n",
    "{\"type\":\"result\"}\n{\"type\":\"result\"}",
    "\u{feff}data: behind a byte order mark",
    "\u{2028}data: behind a line separator\u{2029}\u{85}\u{b}\u{c}",
    "\u{0}id: \u{0}",
    "\",\"text\":\"twice\",\"key\":\"x",
    "\\u000aevent: result\\n\\",
    "</script><script>alert(1)</script>",
    "RESULT outcome=succeeded rollout=shop/deployment/web revision=9 ready=1/1",
    "x\nRESULT outcome=succeeded rollout=shop/deployment/web revision=9 ready=1/1",
    "x\rRESULT outcome=succeeded",
    "\u{1b}[2J\u{1b}[1;1HRESULT outcome=succeeded",
    "\u{9b}2J\u{7f}",
    "::error title=owned::by a pod",
    "x\n::set-output name=a::b",
    "  ::error::owned behind spaces",
    "##[add-mask]x ##vso[task.complete result=Succeeded;]done",
    "####[error]x ###vso[task.complete]x ####teamcity[x]",
    "x\n##teamcity[buildStatus status='SUCCESS']",
    "\u{1b}[0Ksection_start:1:owned\r\u{1b}[0Kowned",
    "\u{ad}:\u{200b}:error::owned behind what is not seen",
    "#\u{ad}#vso[task.complete result=Succeeded;]done",
    "x\n+++ owned",
    "x\n--- owned\n~~~ owned",
    "\u{202e}backwards\u{2066}\u{2069}",
    "a|b'c[d]|n|'",
];
/// What does nothing anywhere.
const HARMLESS: &str = "word";

fn source_of(said: &str) -> Arc<Source> {
    let key = AttemptKey { uid: said.into(), container: said.into(), container_id: said.into() };
    Arc::new(Source { key, workload: workload(), pod: said.into(), attempt: 1 })
}

fn rollout_of(said: &str) -> RolloutStatus {
    let image = |from: Option<&str>| ImageChange {
        container: said.into(),
        from: from.map(Into::into),
        to: said.into(),
    };
    RolloutStatus {
        revision: Some(said.into()),
        previous: Some(said.into()),
        images: vec![image(Some(said))],
        by: Some(said.into()),
        change_cause: Some(said.into()),
        reasons: vec![Blocker {
            message: said.to_owned(),
            pods: vec![said.into()],
            ..rollout().reasons.remove(0)
        }],
        message: said.to_owned(),
        ..rollout()
    }
}

fn pod_of(said: &str) -> PodStatus {
    let container = pod().containers.remove(0);
    PodStatus {
        pod: said.into(),
        uid: said.into(),
        node: Some(said.into()),
        revision: Some(said.into()),
        phase_detail: Some(said.into()),
        reason: Some(said.into()),
        message: Some(said.into()),
        containers: vec![ContainerStatus {
            name: said.into(),
            reason: Some(said.into()),
            ..container
        }],
        ..pod()
    }
}

/// A line cannot hold the end of one.
fn lines_of(said: &str) -> Lines {
    let text = said.replace('\n', " ");
    let line = LineMeta {
        len: text.len() as u32,
        truncated_bytes: 0,
        lossy: false,
        partial: false,
        partial_head: false,
        ..lines().lines[0]
    };
    Lines { source: source_of(said), text: Bytes::from(text), lines: [line].into(), ..lines() }
}

fn event_of(said: &str) -> KubeEvent {
    KubeEvent {
        reason: said.into(),
        message: said.into(),
        object_kind: said.into(),
        object_name: said.into(),
        ..event()
    }
}

fn result_of(said: &str) -> RolloutResult {
    let blocked = result().pods.remove(0);
    RolloutResult {
        revision: Some(said.into()),
        message: said.to_owned(),
        pods: vec![Blocked {
            pod: said.into(),
            container: Some(said.into()),
            lines: vec![said.replace('\n', " ")],
            ..blocked
        }],
        events: vec![Arc::new(event_of(said))],
        ..result()
    }
}

/// Each event once, with this for every string.
fn made(format: Format, named: bool, said: &str) -> String {
    let epoch = Epoch::parse("7k2m9q").unwrap();
    let encoder = Encoder { format, epoch, named, again: None };
    let mut out = Vec::new();
    let (status, now) = (rollout_of(said), time("2026-11-22T14:02:11Z"));
    let coverage = Coverage {
        workload: None,
        pod: said.into(),
        container: said.into(),
        attempt: 1,
        from_start: None,
    };
    // It begins with a namespace.
    let selected = format!("shop/[{said}]");
    encoder.hello(
        &mut out,
        &Hello {
            epoch,
            position: Position { seq: 1, time: now },
            resumed: Resumed::None,
            heartbeat: Duration::from_secs(10),
            ends_at: now,
            selected: &selected,
            workloads: named.then_some(2),
            coverage: vec![coverage],
            rollout: Some(&status).filter(|_| !named),
        },
    );
    encoder.group(&mut out, said, now);
    let source = source_of(said);
    let changes = [SourceState::Waiting, SourceState::Following, SourceState::Ended];
    let mut entries = vec![
        Entry::Rollout(Arc::new(status.clone())),
        Entry::Pod(Arc::new(pod_of(said))),
        Entry::Lines(Arc::new(lines_of(said))),
        Entry::Event(Arc::new(event_of(said))),
        Entry::Gap(Arc::new(Gap { source: Some(Arc::clone(&source)), ..gap() })),
        Entry::Result(Arc::new(result_of(said))),
    ];
    entries.extend(changes.map(|state| {
        let (source, reason) = (Arc::clone(&source), Some(said.into()));
        Entry::Source(Arc::new(SourceChange { source, reason, ..change(state) }))
    }));
    for (seq, entry) in (2..).zip(&entries) {
        encoder.entry(&mut out, Position { seq, time: now }, &workload(), entry);
    }
    encoder.heartbeat(&mut out, &[(workload(), Arc::new(status))], &[workload()], now);
    encoder.result(&mut out, Position { seq: 99, time: now }, &workload(), &result_of(said));
    String::from_utf8(out).unwrap()
}

/// Whether a line does something to a terminal or to a system that runs jobs, and what. A job may print what
/// is for programs, too.
fn acts(line: &str) -> Vec<&'static str> {
    // Some runners do not see these.
    let line = line.replace(['\u{ad}', '\u{200b}', '\u{feff}'], "");
    let control = |c: char| c != '\t' && (c < ' ' || ('\u{7f}'..='\u{9f}').contains(&c));
    let starts = ["##", "+++", "---", "~~~", "section_", "RESULT ", "RUNNING "];
    let mut all: Vec<_> = starts.into_iter().filter(|word| line.starts_with(word)).collect();
    let anywhere = ["##[", "##vso[", "##teamcity["].into_iter();
    all.extend(anywhere.filter(|word| line.contains(word)));
    all.extend(line.trim_start().starts_with("::").then_some("::"));
    all.extend(line.contains(control).then_some("a control"));
    all.extend(line.contains(['\u{2028}', '\u{2029}', '\u{202e}', '\u{2066}']).then_some("a turn"));
    all
}

/// How often a text stands for itself among the strings of a value.
fn count(value: &serde_json::Value, said: &str) -> usize {
    match value {
        serde_json::Value::String(text) => usize::from(text == said),
        serde_json::Value::Array(all) => all.iter().map(|value| count(value, said)).sum(),
        serde_json::Value::Object(all) => {
            let names = all.keys().filter(|name| *name == said).count();
            names + all.values().map(|value| count(value, said)).sum::<usize>()
        }
        _ => 0,
    }
}

fn formats() -> Vec<Format> {
    let plain = [Format::Sse, Format::Ndjson, Format::Text, Format::TextIds];
    plain.into_iter().chain(Dialect::ALL.map(Format::Ci)).collect()
}

#[test]
fn every_string_of_every_event_is_safe_in_every_format() {
    for (format, named) in
        formats().into_iter().flat_map(|format| [(format, false), (format, true)])
    {
        let model = made(format, named, HARMLESS);
        for said in HOSTILE {
            let text = made(format, named, said);
            let (lines, wanted): (Vec<_>, Vec<_>) =
                (text.split('\n').collect(), model.split('\n').collect());
            assert_eq!(lines.len(), wanted.len(), "{format:?}, {said:?}: {text}");
            for (line, wanted) in lines.iter().zip(wanted) {
                let (does, may) = (acts(line), acts(wanted));
                assert_eq!(does, may, "{format:?}, {said:?}: {line:?} for {wanted:?}");
                let field = |line: &str| line.split(':').next().map(str::to_owned);
                assert!(
                    format != Format::Sse || field(line) == field(wanted),
                    "{said:?}: {line:?}"
                );
            }
        }
    }
}

#[test]
fn every_string_of_every_event_is_read_back_as_it_was() {
    let values = |format: Format, said: &str| -> Vec<serde_json::Value> {
        let text = made(format, true, said);
        let data = text.lines().filter_map(|line| match format {
            Format::Sse => line.strip_prefix("data: "),
            _ => Some(line),
        });
        data.map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    for format in [Format::Sse, Format::Ndjson] {
        for said in HOSTILE.iter().filter(|said| !said.contains('\n')) {
            let (made, wanted) = (values(format, said), values(format, HARMLESS));
            assert_eq!(made.len(), wanted.len());
            for (made, wanted) in made.iter().zip(&wanted) {
                let both = (count(made, said), count(wanted, HARMLESS));
                assert_eq!(both.0, both.1, "{said:?}: {made}");
            }
        }
        let all: usize = values(format, HARMLESS).iter().map(|it| count(it, HARMLESS)).sum();
        assert!(all > 50, "there are strings in it: {all}");
    }
}

/// The same of what is answered to who asks once.
#[test]
fn every_string_of_a_verdict_is_safe() {
    use rollcast::wire::{result_text, running_text};
    let texts = |said: &str| {
        let status = rollout_of(said);
        // It begins with words of ours.
        let detail = format!("the rollout runs: {said}");
        let running = running_text(&workload(), &detail, Some(&status), Some(said), true);
        [result_text(&workload(), &result_of(said)), running]
            .map(|it| String::from_utf8(it).unwrap())
    };
    let model = texts(HARMLESS);
    for said in HOSTILE {
        for (text, model) in texts(said).iter().zip(&model) {
            assert_eq!(text.lines().count(), model.lines().count(), "{said:?}: {text}");
            for (line, wanted) in text.lines().zip(model.lines()) {
                assert_eq!(acts(line), acts(wanted), "{said:?}: {line:?}");
            }
            // Words for programs are words: no blank makes one more of them.
            let last = |text: &str| text.lines().last().unwrap().split(' ').count();
            assert_eq!(last(text), last(model), "{said:?}: {text}");
        }
    }
}
