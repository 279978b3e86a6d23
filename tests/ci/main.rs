//! `ci.sh` and the recipes of `docs/ci.md`, as CI systems run them: real shells and a real curl, before the
//! program itself and a simulated cluster, and before a server that answers what no server should.
//!
//! What is looked for first is a false green: an exit status of 0 without a rollout that succeeded.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::print_stderr, reason = "the tables are for whoever runs it")]
#![allow(
    clippy::disallowed_methods,
    reason = "real processes in real time; tasks end with the runtime"
)]

mod abort;
mod faults;
mod odd;
mod parsers;
mod proxies;
mod recipes;
mod rollouts;
mod shells;
mod stage;
mod through;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Jobs that run at the same time: each is a handful of processes.
const AT_ONCE: usize = 8;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// The script under test.
fn script() -> PathBuf {
    root().join("src/http/ci.sh")
}

/// Sees to what a test needs beside shells. Where that cannot be had it is said, and the test is left out, but
/// for runs that require everything.
fn has(what: &[&str]) -> bool {
    let setup = std::process::Command::new(root().join("tests/setup")).args(what).status();
    let has = setup.is_ok_and(|status| status.success());
    let required = std::env::var("ROLLCAST_E2E").as_deref() == Ok("required");
    assert!(has || !required, "tests/setup {what:?} failed");
    if !has {
        eprintln!("skipped: tests/setup {what:?} failed");
    }
    has
}

/// One field of a table: what was to come, what came, and what it said if that was something else.
struct Cell {
    row: String,
    column: &'static str,
    wanted: i32,
    came: Option<i32>,
    complaint: Option<String>,
}

/// Runs all at the same time, as far as that is sensible, prints the table, and fails with all complaints.
async fn check(title: &str, jobs: Vec<impl Future<Output = Cell> + Send + 'static>) {
    judge(title, &check_many(AT_ONCE, jobs).await);
}

/// Runs all, so many at a time.
async fn check_many(
    at_once: usize,
    jobs: Vec<impl Future<Output = Cell> + Send + 'static>,
) -> Vec<Cell> {
    let places = Arc::new(Semaphore::new(at_once.max(1)));
    let mut running = JoinSet::new();
    for job in jobs {
        let places = places.clone();
        running.spawn(async move {
            let _place = places.acquire_owned().await.unwrap();
            job.await
        });
    }
    running.join_all().await
}

/// Prints the table, and fails with all complaints.
fn judge(title: &str, cells: &[Cell]) {
    eprintln!("\n{}", table(title, cells));
    let wrong: Vec<_> = cells.iter().filter_map(Cell::wrong).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn table(title: &str, cells: &[Cell]) -> String {
    let mut rows: Vec<_> = cells.iter().map(|cell| cell.row.as_str()).collect();
    rows.sort_unstable();
    rows.dedup();
    let mut columns: Vec<_> = cells.iter().map(|cell| cell.column).collect();
    columns.sort_unstable();
    columns.dedup();
    let width = rows.iter().map(|row| row.len()).fold(40, usize::max);
    let mut out = format!("{title:<width$}");
    columns.iter().for_each(|column| write!(out, "{column:>12}").unwrap());
    for row in rows {
        write!(out, "\n{row:<width$}").unwrap();
        for column in &columns {
            let cell = cells.iter().find(|cell| cell.row == row && cell.column == *column);
            let came = cell.map(|cell| match cell.came {
                Some(came) if came == cell.wanted => came.to_string(),
                Some(came) => format!("{came} not {}", cell.wanted),
                None => "hung".to_owned(),
            });
            write!(out, "{:>12}", came.as_deref().unwrap_or("-")).unwrap();
        }
    }
    out
}

// === impl Cell ===

impl Cell {
    fn wrong(&self) -> Option<String> {
        let Cell { row, column, wanted, came, complaint } = self;
        let status = (*came != Some(*wanted)).then(|| format!("{came:?} instead of {wanted}"));
        let why = [status, complaint.clone()].into_iter().flatten().collect::<Vec<_>>().join("; ");
        (!why.is_empty()).then(|| format!("{row}, {column}: {why}"))
    }
}
