//! Rules of the house that no compiler checks: arrows between rooms, sizes, documents in step with
//! the code. Each check is tried on a bad sample first, so that it is known to be able to fail.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

#[path = "tidy/arrows.rs"]
mod arrows;
#[path = "tidy/sources.rs"]
mod sources;

use sources::{Source, rust_files};

/// Longest file without its tests, in lines.
const LONGEST: usize = 500;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Fails with all complaints at once, one a line.
#[track_caller]
fn none(complaints: impl IntoIterator<Item = String>) {
    let complaints: Vec<_> = complaints.into_iter().collect();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn no_arrow_goes_back_through_the_rooms() {
    let sources: Vec<Source> = rust_files(&root().join("src"));
    assert!(
        sources.len() > 30,
        "found {} files, so this test looks in the wrong place",
        sources.len()
    );
    none(sources.iter().flat_map(arrows::forbidden));
}

#[test]
fn no_file_is_longer_than_a_reader_can_hold() {
    none(rust_files(&root().join("src")).iter().filter_map(too_long));
}

fn too_long(source: &Source) -> Option<String> {
    let lines = source.lines_without_tests();
    (lines > LONGEST).then(|| format!("{}: {lines} lines, at most {LONGEST}", source.path))
}

#[test]
fn a_file_that_is_too_long_is_found() {
    let long = "fn a() {}\n".repeat(LONGEST + 1);
    assert!(too_long(&Source::sample("src/tail/x.rs", &long)).is_some());
    let tests = format!("fn a() {{}}\n#[cfg(test)]\nmod tests {{\n{long}}}\n");
    assert!(too_long(&Source::sample("src/tail/x.rs", &tests)).is_none());
}

#[test]
fn every_file_says_what_it_is_for_and_every_exception_why() {
    none(rust_files(&root().join("src")).iter().flat_map(unexplained));
}

fn unexplained(source: &Source) -> Vec<String> {
    let mut complaints = Vec::new();
    if !source.is_test() && !source.text.starts_with("//!") {
        complaints.push(format!("{}: no module doc", source.path));
    }
    let name = source.path.rsplit('/').next().unwrap_or_default();
    if ["utils.rs", "util.rs", "helpers.rs", "helper.rs", "common.rs", "misc.rs"].contains(&name) {
        complaints.push(format!("{}: a name that says nothing", source.path));
    }
    let code = source.code();
    let mut rest = code.as_str();
    while let Some(at) = rest.find("[allow(") {
        rest = &rest[at + "[allow(".len()..];
        let end = rest.find(")]").unwrap_or(rest.len());
        if !rest[..end].contains("reason") {
            complaints.push(format!("{}: allow({}) without a reason", source.path, &rest[..end]));
        }
    }
    complaints
}

#[test]
fn a_file_without_doc_or_reason_is_found() {
    let bad = "#[allow(dead_code)]\nfn a() {}\n";
    assert_eq!(unexplained(&Source::sample("src/utils.rs", bad)).len(), 3);
    let good = "//! Doc.\n#[allow(dead_code, reason = \"shown\")]\nfn a() {}\n";
    assert_eq!(unexplained(&Source::sample("src/a.rs", good)), Vec::<String>::new());
}

#[test]
fn every_option_is_documented() {
    let (text, flaws) = rollcast::config::reference();
    none(flaws);
    let path = root().join("docs/options.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == text, "docs/options.md is out of step: UPDATE=1 cargo test --test tidy");
}

#[test]
fn every_outcome_and_every_reason_is_documented_and_no_other() {
    use rollcast::ids::{Outcome, Reason};
    let text = std::fs::read_to_string(root().join("docs/results.md")).unwrap();
    let word = |line: &str| line.strip_prefix("| `")?.split('`').next().map(str::to_owned);
    let is_word = |word: &String| word.bytes().all(|c| c == b'_' || c.is_ascii_lowercase());
    let tables =
        text.split("\n## ").filter(|it| it.starts_with("Outcomes") || it.starts_with("Reasons"));
    let mut told: Vec<String> =
        tables.flat_map(str::lines).filter_map(word).filter(is_word).collect();
    let outcomes = Outcome::ALL.iter().map(|it| it.as_str().to_owned());
    let mut known: Vec<String> =
        outcomes.chain(Reason::ALL.iter().map(|it| it.as_str().to_owned())).collect();
    told.sort_unstable();
    known.sort_unstable();
    assert_eq!(told, known, "docs/results.md");
}

/// A job compares the script that it was given with what is written there.
#[test]
fn the_checksum_of_the_ci_script_is_the_one_in_its_document() {
    let path = root().join("docs/ci.md");
    let output =
        std::process::Command::new("sha256sum").arg(root().join("src/http/ci.sh")).output();
    let output = String::from_utf8(output.unwrap().stdout).unwrap();
    let sum = output.split_whitespace().next().unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let (renewed, found) = with_sum(&text, sum);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &renewed).unwrap();
    }
    assert!(found >= 7, "{found} checksums in docs/ci.md");
    let committed = std::fs::read_to_string(&path).unwrap();
    assert!(committed == renewed, "docs/ci.md is out of step: UPDATE=1 cargo test --test tidy");
}

/// The text with this in place of every SHA-256, and how many there were.
fn with_sum(text: &str, sum: &str) -> (String, usize) {
    let (mut out, mut found) = (String::new(), 0);
    for word in text.split_inclusive(|c: char| !c.is_ascii_hexdigit()) {
        let (digits, rest) =
            word.split_at(word.trim_end_matches(|c: char| !c.is_ascii_hexdigit()).len());
        let is_sum = digits.len() == 64;
        found += usize::from(is_sum);
        out += if is_sum { sum } else { digits };
        out += rest;
    }
    (out, found)
}

#[test]
fn a_checksum_of_another_script_is_found() {
    let (old, new) = ("a".repeat(64), "b".repeat(64));
    let text = format!("echo \"{old}  ci.sh\" | sha256sum, abc\n");
    assert_eq!(with_sum(&text, &new), (text.replace(&old, &new), 1));
}

#[test]
fn every_dependency_has_its_reason() {
    none(unreasoned(&std::fs::read_to_string(root().join("Cargo.toml")).unwrap()));
}

/// A comment above a dependency is its reason, also for the lines that follow it directly.
fn unreasoned(manifest: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let (mut inside, mut reasoned) = (false, false);
    for line in manifest.lines() {
        match line.chars().next() {
            Some('[') => (inside, reasoned) = (line.contains("dependencies"), false),
            Some('#') => reasoned = true,
            None => reasoned = false,
            Some(first) if inside && first.is_ascii_alphabetic() && !reasoned => {
                complaints.push(format!("Cargo.toml: no reason for {line}"));
            }
            Some(_) => {}
        }
    }
    complaints
}

#[test]
fn a_dependency_without_reason_is_found() {
    let good = "[dependencies]\n# Why.\na = \"1\"\nb = \"1\"\n";
    assert_eq!(unreasoned(good), Vec::<String>::new());
    assert_eq!(unreasoned("[dependencies]\na = \"1\"\n").len(), 1);
}

#[test]
fn the_rust_version_is_the_highest_that_a_dependency_needs() {
    let output = std::process::Command::new(std::env::var("CARGO").unwrap_or("cargo".to_owned()))
        .args(["metadata", "--offline", "--locked", "--format-version", "1"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let own = metadata["resolve"]["root"].as_str().unwrap();
    let (needed, by) = highest_version(&metadata, own);
    let declared = rust_version(&metadata, own);
    let mut why = String::new();
    write!(why, "rust-version is {declared:?}, {by} needs {needed:?}").unwrap();
    assert_eq!(declared, needed, "{why}");
}

/// Walks what is built into the program, without what only tests need.
fn highest_version(metadata: &serde_json::Value, own: &str) -> ((u32, u32), String) {
    let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
    let (mut seen, mut open) = (BTreeSet::new(), vec![own.to_owned()]);
    let mut highest = ((0, 0), String::new());
    while let Some(id) = open.pop() {
        if !seen.insert(id.clone()) {
            continue;
        }
        if id != own {
            highest = highest.max((rust_version(metadata, &id), id.clone()));
        }
        let node = nodes.iter().find(|node| node["id"] == id.as_str()).unwrap();
        for dependency in node["deps"].as_array().unwrap() {
            let mut kinds = dependency["dep_kinds"].as_array().unwrap().iter();
            if kinds.any(|kind| kind["kind"] != "dev") {
                open.push(dependency["pkg"].as_str().unwrap().to_owned());
            }
        }
    }
    assert!(seen.len() > 100, "found {} crates, so this test looks in the wrong place", seen.len());
    highest
}

fn rust_version(metadata: &serde_json::Value, id: &str) -> (u32, u32) {
    let packages = metadata["packages"].as_array().unwrap();
    let package = packages.iter().find(|package| package["id"] == id).unwrap();
    let Some(version) = package["rust_version"].as_str() else { return (0, 0) };
    let mut parts = version.split('.').map(|part| part.parse().unwrap());
    (parts.next().unwrap(), parts.next().unwrap_or(0))
}

#[test]
fn clippy_and_the_manifest_name_the_same_rust() {
    let read = |name: &str| std::fs::read_to_string(root().join(name)).unwrap();
    let value = |text: &str, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key)).unwrap().to_owned();
        line.split('"').nth(1).unwrap().to_owned()
    };
    assert_eq!(value(&read(".clippy.toml"), "msrv"), value(&read("Cargo.toml"), "rust-version"));
}

/// A path relative to the package, with slashes.
fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).to_string_lossy().replace('\\', "/")
}
