//! The block on a terminal that is drawn anew in place: for each workload what changes, how far it is,
//! and what keeps it.

use super::super::event::Rollout;
use super::line::{Line, Look};
use super::row::Row;
use super::{Size, headline};
use crate::client::exit::{End, Exit};
use crate::wire::span;

/// Cells of the bar where there is room, and where there is little.
const BAR: usize = 18;
const SHORT_BAR: usize = 8;
/// A narrower terminal has little room.
const NARROW: usize = 60;
/// Lines of the screen that are left to the log, at least.
const LEFT: usize = 4;

/// Draws the block: no line is wider than the terminal, and it is less high.
pub(super) fn draw(rows: &[Row], size: Size, now: i64) -> Vec<Line> {
    // A line that fills its row would let some terminals wrap.
    let width = size.width.saturating_sub(1).max(1);
    let most = size.height.saturating_sub(LEFT).max(1);
    let full: Vec<Line> = rows.iter().flat_map(|row| whole(row, width, now)).collect();
    if full.len() <= most {
        return full.into_iter().map(|line| line.cut(width)).collect();
    }
    // Who runs, and who failed, before who is done.
    let mut order: Vec<&Row> = rows.iter().collect();
    order.sort_by_key(|row| row.end.as_ref().is_some_and(|end| end.exit() == Exit::Succeeded));
    let mut lines: Vec<Line> = order.iter().map(|row| brief(row, now)).collect();
    if lines.len() > most {
        let hidden = lines.len() - most + 1;
        lines.truncate(most - 1);
        lines.push(Line::indented().add(Look::Dim, &format!("… and {hidden} more")));
    }
    lines.into_iter().map(|line| line.cut(width)).collect()
}

/// All that is known of a workload, in up to three lines.
fn whole(row: &Row, width: usize, now: i64) -> Vec<Line> {
    let mut lines = vec![title(row, width, now)];
    if let Some(rollout) = row.rollout.as_deref() {
        let bar = if width < NARROW { SHORT_BAR } else { BAR };
        lines.push(progress(row, rollout, bar, true));
    }
    lines.extend(why(row));
    lines
}

/// The same in one line.
fn brief(row: &Row, now: i64) -> Line {
    let name = Line::indented().add(Look::Bold, &row.workload.name);
    if let Some(end) = &row.end {
        return ended(name.add(Look::Plain, "  "), end);
    }
    let Some(rollout) = row.rollout.as_deref() else {
        return name.add(Look::Dim, "  nothing is known of it yet");
    };
    let mut line = counts(name.add(Look::Plain, "  "), row, rollout);
    if let Some(seconds) = row.elapsed(now) {
        line.push(Look::Dim, &format!("  {}", span(seconds)));
    }
    line
}

/// `web  revision 41 → 42   shop/web:1.8.2 → shop/web:1.9.0   by ci-deployer   1m48s of 10m`: as much
/// of it as there is room for, the time always.
fn title(row: &Row, width: usize, now: i64) -> Line {
    let name = || Line::indented().add(Look::Bold, &row.workload.name);
    let Some(rollout) = row.rollout.as_deref() else {
        return name().add(Look::Dim, "  nothing is known of it yet");
    };
    let revision = match (rollout.previous.as_deref(), rollout.revision.as_deref()) {
        (Some(from), Some(to)) => format!("revision {from} → {to}"),
        (None, Some(to)) => format!("revision {to}"),
        (_, None) => "waiting for its revision".to_owned(),
    };
    let by = rollout.by.as_ref().map(|by| format!("by {by}"));
    let time = row.elapsed(now).map(|seconds| match rollout.deadline_ms {
        Some(limit) if row.end.is_none() => format!("{} of {}", span(seconds), round(limit / 1000)),
        _ => span(seconds),
    });
    let (long, short) = (images(rollout, false), images(rollout, true));
    let tries = [
        [Some(&revision), long.as_ref(), by.as_ref()],
        [Some(&revision), short.as_ref(), by.as_ref()],
        [Some(&revision), short.as_ref(), None],
        [Some(&revision), None, None],
        [None, None, None],
    ];
    let drawn = tries.iter().map(|parts| {
        let mut line = name();
        for (index, part) in parts.iter().flatten().enumerate() {
            let space = if index == 0 { "  " } else { "   " };
            line.push(Look::Plain, &format!("{space}{part}"));
        }
        if let Some(time) = &time {
            line.push(Look::Dim, &format!("   {time}"));
        }
        line
    });
    let mut last = name();
    for line in drawn {
        last = line;
        if last.width() <= width {
            break;
        }
    }
    last
}

/// A deadline: whole minutes without their seconds.
fn round(seconds: u64) -> String {
    if seconds >= 60 && seconds.is_multiple_of(60) && seconds < 3600 {
        return format!("{}m", seconds / 60);
    }
    span(seconds)
}

/// What the rollout changes; `short` leaves the registries out.
fn images(rollout: &Rollout, short: bool) -> Option<String> {
    let name = |image: &str| match short {
        true => image.rsplit('/').next().unwrap_or(image).to_owned(),
        false => image.to_owned(),
    };
    let changed = rollout.changed().into_iter().filter_map(|image| {
        let from = image.from.as_deref().filter(|from| *from != image.to)?;
        Some(format!("{} → {}", name(from), name(&image.to)))
    });
    let changed: Vec<_> = changed.collect();
    let same = || rollout.images.values().next().map(|image| name(&image.to));
    if changed.is_empty() { same() } else { Some(changed.join(", ")) }
}

/// The bar, and what it counts.
fn progress(row: &Row, rollout: &Rollout, bar: usize, old: bool) -> Line {
    let [ready, coming, open] = cells(rollout, bar);
    let line = Line::indented()
        .add(Look::Green, &"█".repeat(ready))
        .add(Look::Plain, &"▓".repeat(coming))
        .add(Look::Dim, &"░".repeat(open))
        .add(Look::Plain, "  ");
    let mut line = counts(line, row, rollout);
    if old && rollout.old > 0 {
        line.push(Look::Plain, &format!("   {} old serving", rollout.old));
    }
    line
}

/// The cells for pods that are ready, for those that come up, and for those that are still to come.
fn cells(rollout: &Rollout, bar: usize) -> [usize; 3] {
    let share = |count: u32| {
        let desired = rollout.desired.max(1) as usize;
        (count as usize * bar / desired).min(bar)
    };
    let ready = share(rollout.ready);
    let coming = share(rollout.updated).max(ready) - ready;
    [ready, coming, bar - ready - coming]
}

fn counts(mut line: Line, row: &Row, rollout: &Rollout) -> Line {
    line.push(Look::Plain, &format!("{}/{} ready", rollout.ready, rollout.desired));
    for (phase, count) in row.phases() {
        let look = if phase == "failing" { Look::Red } else { Look::Plain };
        line.push(Look::Plain, "  ");
        line.push(look, &format!("{count} {phase}"));
    }
    match rollout.phase.as_str() {
        "progressing" | "complete" => {}
        phase => line.push(Look::Yellow, &format!("  {}", phase.replace('_', " "))),
    }
    line
}

/// How it ended, or what keeps it.
fn why(row: &Row) -> Option<Line> {
    if let Some(end) = &row.end {
        return Some(ended(Line::indented(), end));
    }
    if let Some(words) = &row.away {
        let words = format!("no contact: {words}; trying again");
        return Some(Line::indented().add(Look::Yellow, "… ").add(Look::Bold, &words));
    }
    let message = &row.rollout.as_deref()?.message;
    let some = !message.is_empty();
    some.then(|| Line::indented().add(Look::Red, "✗ ").add(Look::Bold, message))
}

fn ended(line: Line, end: &End) -> Line {
    let words = headline(end).to_lowercase();
    match end {
        End::Verdict(ended) if end.exit() == Exit::Succeeded => {
            let took = ended.duration_ms.map(|took| format!(" after {}", span(took / 1000)));
            line.add(Look::Green, "✓ ")
                .add(Look::Plain, &format!("{words}{}", took.unwrap_or_default()))
        }
        End::Verdict(ended) if !ended.message.is_empty() => {
            line.add(Look::Red, "✗ ").add(Look::Bold, &format!("{words}: {}", ended.message))
        }
        _ => line.add(Look::Red, "✗ ").add(Look::Bold, &words),
    }
}
