//! Which room may use which.

use super::sources::Source;

/// The rooms in the order in which data walks. Each may use those before it.
const ROOMS: [&str; 9] =
    ["cluster", "watch", "rollout", "tail", "journal", "subscribe", "wire", "view", "http"];
/// May be used by everybody, and use only each other.
const HALLWAY: [&str; 4] = ["ids", "time", "telemetry", "shutdown"];
/// See what they need; no room may use them.
const OUTSIDE: [&str; 7] = ["client", "sim", "admin", "config", "app", "demo", "main"];

/// The forbidden arrows that leave a file.
pub fn forbidden(source: &Source) -> Vec<String> {
    let Some(from) = room_of(&source.path) else { return Vec::new() };
    let Some(from_rank) = rank(&from) else {
        return vec![format!("{}: {from} is no room of the house; see tests/tidy", source.path)];
    };
    let code = source.code();
    let depth =
        source.path.trim_start_matches("src/").trim_end_matches("/mod.rs").matches('/').count() + 1;
    let mut used = named_after(&code, "crate::");
    used.extend(named_after(&code, &"super::".repeat(depth)));
    used.retain(|to| *to != from && is_known(to));
    used.sort_unstable();
    used.dedup();
    let complaint = |to: String| {
        let allowed = match rank(&to) {
            _ if from_rank == Rank::Outside => true,
            Some(Rank::Hallway) => true,
            Some(Rank::Room(to)) => matches!(from_rank, Rank::Room(from) if to < from),
            _ => false,
        };
        (!allowed).then(|| format!("{}: {from} may not use {to}", source.path))
    };
    used.into_iter().filter_map(complaint).collect()
}

#[derive(Clone, Copy, PartialEq)]
enum Rank {
    Room(usize),
    Hallway,
    Outside,
}

fn rank(name: &str) -> Option<Rank> {
    if HALLWAY.contains(&name) {
        return Some(Rank::Hallway);
    }
    if OUTSIDE.contains(&name) {
        return Some(Rank::Outside);
    }
    ROOMS.iter().position(|room| *room == name).map(Rank::Room)
}

fn is_known(name: &str) -> bool {
    rank(name).is_some()
}

/// The room of a file: `src/tail/lines.rs` and `src/tail.rs` are both in `tail`. `lib.rs` only says
/// which rooms there are.
fn room_of(path: &str) -> Option<String> {
    let rest = path.strip_prefix("src/")?;
    let room = rest.split('/').next()?.trim_end_matches(".rs");
    (room != "lib" && room != "bin").then(|| room.to_owned())
}

/// The first names that follow a prefix, in plain paths and in groups: `crate::{a::X, b}`.
fn named_after(code: &str, prefix: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find(prefix) {
        // `super::super::x` must not be taken for `super::x` with a longer chain before it.
        let inside = rest[..at].ends_with("super::") || rest[..at].ends_with(is_name);
        rest = &rest[at + prefix.len()..];
        if inside || rest.starts_with("super::") {
            continue;
        }
        match rest.strip_prefix('{') {
            None => names.push(rest.chars().take_while(|letter| is_name(*letter)).collect()),
            Some(group) => names.extend(group_heads(group)),
        }
    }
    names
}

/// The first names of a group, whose opening brace was taken.
fn group_heads(group: &str) -> Vec<String> {
    let mut heads = Vec::new();
    let (mut depth, mut head, mut at_head) = (1, String::new(), true);
    for letter in group.chars() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 || (depth == 1 && letter == ',') {
            heads.push(std::mem::take(&mut head));
            at_head = true;
        } else if at_head && is_name(letter) {
            head.push(letter);
        } else if !letter.is_whitespace() {
            at_head = false;
        }
        if depth == 0 {
            break;
        }
    }
    heads.retain(|head| !head.is_empty());
    heads
}

fn is_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

#[test]
fn a_forbidden_arrow_is_found_however_it_is_written() {
    for code in [
        "use crate::view::Views;",
        "use crate::{ids::Source, view::Views};",
        "use crate::{\n    ids::{Source, Lines},\n    view,\n};",
        "fn a() { crate::view::encode() }",
        "use super::super::view::Views;",
        "use crate::config::Logs;",
        "type A = Vec<crate::http::Problem>;",
    ] {
        let found = forbidden(&Source::sample("src/tail/lines.rs", code));
        assert_eq!(found.len(), 1, "{code}: {found:?}");
    }
    for (path, code) in [
        ("src/ids/source.rs", "use crate::tail::Tail;"),
        ("src/shutdown.rs", "use crate::config::Serve;"),
        ("src/tail/mod.rs", "use super::view::Views;"),
        ("src/utilities/mod.rs", ""),
    ] {
        assert_eq!(forbidden(&Source::sample(path, code)).len(), 1, "{path}");
    }
}

#[test]
fn arrows_that_follow_the_data_are_free() {
    for (path, code) in [
        ("src/tail/lines.rs", "use crate::{cluster::Pod, ids, time, telemetry::Metrics};"),
        ("src/tail/lines.rs", "use crate::tail::pace::Pace; use super::view_of;"),
        ("src/tail/lines.rs", "//! Unlike [`crate::view`], it knows no viewer.\n// crate::http"),
        ("src/http/mod.rs", "use crate::{view::Views, wire::Bye};"),
        ("src/http/auth/mod.rs", "use super::view::x;"),
        ("src/app.rs", "use crate::{sim, http, config};"),
        ("src/sim/mod.rs", "use crate::cluster::Cluster;"),
        ("src/lib.rs", "use crate::http;"),
    ] {
        assert_eq!(forbidden(&Source::sample(path, code)), Vec::<String>::new(), "{path}");
    }
}
