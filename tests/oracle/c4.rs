//! C4, faithful: the text equals the bytes that the kubelet served; what is cut or replaced says so.

use super::table::Row;
use super::truth::Line;
use super::{Event, Fault, Matched, fault};
use rollcast::sim::read_numbered;
use xxhash_rust::xxh3::xxh3_64;

pub fn c4(matched: &Matched<'_>, row: &mut Row) -> Vec<Fault> {
    let mut faults: Vec<Fault> = Vec::new();
    for strange in &matched.strange {
        row.damaged += 1;
        faults.push(fault("C4", format!("{}: {strange}", matched.name())));
    }
    for (_, event, place) in &matched.logs {
        let Some((id, at)) = place else { continue };
        let attempt = &matched.truth.attempts[*id];
        let (stamp, text) = (event.time("time").unwrap_or(i64::MIN), event.word("text"));
        let torn = attempt.is_torn(*at, stamp, text.unwrap_or_default().as_bytes());
        if !torn && let Err(why) = faithful(event, &attempt.lines[*at]) {
            row.damaged += 1;
            faults.push(fault("C4", format!("{}: {id}: {why}: {}", matched.name(), event.data)));
        }
        if !matched.wants(id) {
            faults.push(fault("C4", format!("{}: not asked for: {}", matched.name(), event.data)));
        }
    }
    faults
}

fn faithful(event: &Event, line: &Line) -> Result<(), String> {
    let text = event.word("text").unwrap_or_default();
    if event.time("time") != Some(line.stamp) {
        return Err(format!("stamped {} in the log", rollcast::time::rfc3339(line.stamp)));
    }
    let flagged = |field: &str| event.data[field].as_bool() == Some(true);
    if flagged("partial") != line.partial {
        return Err(format!("partial is {} in the log", line.partial));
    }
    let truncated = event.data["truncated_bytes"].as_u64();
    let Some(written) = &line.text else {
        let whole =
            xxh3_64(text.as_bytes()) == line.hash && read_numbered(text.as_bytes()).is_some();
        let plain = truncated.is_none() && !flagged("lossy");
        return if whole && plain { Ok(()) } else { Err("altered".to_owned()) };
    };
    if let Some(bytes) = truncated
        && bytes != line.len as u64
    {
        return Err(format!("{} bytes long in the log", line.len));
    }
    let lossy = String::from_utf8_lossy(written);
    let is_lossy = matches!(lossy, std::borrow::Cow::Owned(_));
    let same = match truncated {
        None => text == lossy,
        // A cut may lie inside a character, which then counts as replaced.
        Some(_) => lossy.starts_with(text.trim_end_matches('\u{fffd}')) && text.len() < line.len,
    };
    if !same {
        return Err(format!("altered from {:?}", &lossy.chars().take(200).collect::<String>()));
    }
    if truncated.is_none() && flagged("lossy") != is_lossy {
        return Err(format!("lossy is {is_lossy} in the log"));
    }
    Ok(())
}
