//! The lines that are said of what happens, in the manner of the text format.

use super::super::event::{Event, Gap, KubeEvent, Log, Pod, Source};
use super::line::{Line, Look};
use super::row::{PodNews, Row};
use super::{clock, nanos};
use crate::wire::span;

/// Says an event, and takes in what it tells. `now` is for what has no time of its own.
pub(super) fn of_event(
    row: &mut Row,
    event: &Event,
    state: bool,
    named: bool,
    screen: bool,
    now: i64,
    out: &mut Vec<Line>,
) {
    match event {
        Event::Hello(_) => row.begin(),
        Event::Log(log) => out.push(of_log(row, log, named, screen)),
        Event::Rollout(rollout) => {
            row.rollout = Some(rollout.clone());
            if !state && !screen {
                let time = nanos(&rollout.time).unwrap_or(now);
                out.extend(heading(row, time));
                out.extend(progress_if_new(row, named, time));
            }
        }
        Event::Pod(pod) => {
            let news = row.take_pod(pod);
            if !state {
                of_pod(row, pod, &news, named, screen, out);
            }
        }
        Event::Kube(event) if event.kind == "Warning" => {
            out.push(of_kube(row, event, named, screen));
        }
        Event::Source(source) => out.extend(of_source(row, source, named, screen)),
        Event::Gap(gap) => out.push(of_gap(row, gap, named, screen, now)),
        Event::Kube(_) | Event::Live(_) | Event::Result(_) | Event::Bye(_) | Event::Other => {}
    }
}

/// Something of our own.
pub(super) fn notice(now: i64, look: Look, words: &str) -> Line {
    stamped(now, false).add(Look::Plain, "-- ").add(look, words)
}

fn stamped(time: i64, fine: bool) -> Line {
    Line::default().add(Look::Dim, &clock(time, fine)).add(Look::Plain, "  ")
}

fn at(time: &str, fine: bool) -> Line {
    stamped(nanos(time).unwrap_or(0), fine)
}

/// Which pod's container.
fn place(row: &Row, pod: &str, container: Option<&str>, named: bool, screen: bool) -> String {
    let pod = if screen { row.short(pod, named) } else { pod };
    container.map_or_else(|| pod.to_owned(), |container| format!("{pod}/{container}"))
}

fn of_log(row: &Row, log: &Log, named: bool, screen: bool) -> Line {
    let place = place(row, &log.pod, Some(&log.container), named, screen);
    let mut line = at(&log.time, screen).add(Look::Plain, &place);
    let level = log.level.as_deref().filter(|_| screen);
    let look = match level {
        Some("error") => Look::Red,
        Some("warn") => Look::Yellow,
        _ => Look::Dim,
    };
    match level {
        Some(level) => line = line.add(Look::Plain, "  ").add(look, level).add(Look::Plain, "  "),
        None => line.push(Look::Plain, " | "),
    }
    line.push(Look::Plain, &log.text);
    if let Some(bytes) = log.truncated_bytes {
        line.push(Look::Dim, &format!(" … (cut, {bytes} bytes in all)"));
    }
    line
}

/// The first line of a rollout: what it changes.
pub(super) fn heading(row: &mut Row, time: i64) -> Option<Line> {
    let rollout = row.rollout.as_deref()?;
    let revision = rollout.revision.as_deref()?;
    if row.headed.as_deref() == Some(revision) {
        return None;
    }
    let headed = Some(revision.to_owned());
    let mut words = format!("revision {revision} of {}", row.workload);
    for (index, image) in rollout.changed().into_iter().enumerate() {
        words.push_str(if index == 0 { ": " } else { ", " });
        match image.from.as_deref().filter(|from| *from != image.to) {
            Some(from) => words.push_str(&format!("{from} -> {}", image.to)),
            None => words.push_str(&image.to),
        }
    }
    if let Some(by) = &rollout.by {
        words.push_str(&format!(", by {by}"));
    }
    row.headed = headed;
    Some(stamped(time, false).add(Look::Plain, "rollout  ").add(Look::Plain, &words))
}

/// How a rollout stands, if that is not what was said last.
pub(super) fn progress_if_new(row: &mut Row, named: bool, time: i64) -> Option<Line> {
    let stands = stands(row);
    (row.said.as_ref() != Some(&stands)).then(|| progress(row, named, time))
}

/// How a rollout stands.
pub(super) fn progress(row: &mut Row, named: bool, time: i64) -> Line {
    let mut line = stamped(time, false).add(Look::Plain, "rollout  ");
    if named {
        line.push(Look::Plain, &format!("{}/{}  ", row.workload.kind, row.workload.name));
    }
    line.push(Look::Plain, &counts(row));
    if let Some(seconds) = row.elapsed(time) {
        line.push(Look::Dim, &format!(" ({})", span(seconds)));
    }
    if let Some(rollout) = row.rollout.as_deref().filter(|rollout| !rollout.message.is_empty()) {
        line = line.add(Look::Plain, ": ").add(Look::Bold, &rollout.message);
    }
    (row.said, row.told) = (Some(stands(row)), None);
    line
}

fn stands(row: &Row) -> String {
    let message = row.rollout.as_deref().map_or("", |rollout| &rollout.message);
    format!("{}: {message}", counts(row))
}

/// `1/6 ready, 2 failing, 1 pulling, 5 old`, behind the phase where that says more.
fn counts(row: &Row) -> String {
    let Some(rollout) = row.rollout.as_deref() else {
        return "nothing is known of it yet".to_owned();
    };
    let mut text = match rollout.phase.as_str() {
        "progressing" => String::new(),
        "waiting" => "waiting for the controller, ".to_owned(),
        phase => format!("{}, ", phase.replace('_', " ")),
    };
    text.push_str(&format!("{}/{} ready", rollout.ready, rollout.desired));
    for (phase, count) in row.phases() {
        text.push_str(&format!(", {count} {phase}"));
    }
    if rollout.old > 0 {
        text.push_str(&format!(", {} old", rollout.old));
    }
    text
}

fn of_pod(row: &Row, pod: &Pod, news: &PodNews, named: bool, screen: bool, out: &mut Vec<Line>) {
    for (container, attempt, code) in &news.exits {
        let place = place(row, &pod.pod, Some(container), named, screen);
        let words = format!("exited with code {code} (attempt {attempt})");
        out.push(match screen {
            true => at(&pod.time, true)
                .add(Look::Plain, &place)
                .add(Look::Red, "  ✗ ")
                .add(Look::Plain, &words),
            false => at(&pod.time, false)
                .add(Look::Plain, &format!("pod/{}  container {container} {words}", pod.pod)),
        });
    }
    let failing = pod.phase == "failing";
    // Old pods come and go; the counts tell of them.
    if !news.phase || (pod.side == "old" && !failing) || (screen && !failing) {
        return;
    }
    let mut line = at(&pod.time, screen);
    if screen {
        line = line.add(Look::Plain, row.short(&pod.pod, named)).add(Look::Red, "  ✗ ");
    } else {
        line.push(Look::Plain, &format!("pod/{}  {}", pod.pod, pod.phase));
        if let Some(detail) = &pod.phase_detail {
            line.push(Look::Plain, &format!(" {detail}"));
        }
    }
    let why: Vec<&str> =
        [&pod.reason, &pod.message].into_iter().flatten().map(String::as_str).collect();
    match (why.is_empty(), screen) {
        (true, true) => line.push(Look::Plain, &pod.phase),
        (true, false) => {}
        (false, true) => line.push(Look::Plain, &why.join(", ")),
        (false, false) => line.push(Look::Plain, &format!(": {}", why.join(", "))),
    }
    out.push(line);
}

fn of_kube(row: &Row, event: &KubeEvent, named: bool, screen: bool) -> Line {
    let mut line = at(&event.time, screen);
    if screen {
        let place = place(row, &event.object.name, None, named, true);
        line = line.add(Look::Plain, &place).add(Look::Yellow, &format!("  {}  ", event.reason));
    } else {
        let (kind, name) = (&event.object.kind, &event.object.name);
        line.push(Look::Plain, &format!("Warning  {}  {kind}/{name}  ", event.reason));
    }
    line.push(Look::Plain, &event.message);
    if event.count > 1 {
        line.push(Look::Dim, &format!(" (x{})", event.count));
    }
    line
}

/// Only what costs lines, or delays them.
fn of_source(row: &Row, source: &Source, named: bool, screen: bool) -> Option<Line> {
    let words = match source.state.as_str() {
        "ended" if source.complete == Some(false) => {
            format!("log of attempt {} ended, not complete", source.attempt)
        }
        "waiting" if source.reason.as_deref() == Some("budget") => "log waits its turn".to_owned(),
        _ => return None,
    };
    let place = place(row, &source.pod, Some(&source.container), named, screen);
    Some(at(&source.time, screen).add(Look::Plain, &place).add(Look::Yellow, &format!("  {words}")))
}

fn of_gap(row: &Row, gap: &Gap, named: bool, screen: bool, now: i64) -> Line {
    let mut line = stamped(nanos(&gap.time).unwrap_or(now), screen).add(Look::Plain, "gap  ");
    if let Some(pod) = &gap.pod {
        let place = place(row, pod, gap.container.as_deref(), named, screen);
        line.push(Look::Plain, &format!("{place}  "));
    }
    let words = match gap.count {
        Some(1) => "1 line is missing".to_owned(),
        Some(count) => format!("{count} lines are missing"),
        None => "lines may be missing".to_owned(),
    };
    line.add(Look::Yellow, &words).add(Look::Dim, &format!(" ({})", gap.reason))
}
