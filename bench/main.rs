//! The figures of rollcast, each beside its peers and a floor in the same run.
//!
//! `bench/run` builds and runs all. The program starts itself in other roles, so that the service,
//! the simulated cluster, the peers and the clients are processes of their own, whose CPU time is
//! told apart. Figures are never asserted; but a run in which a line was lost, repeated or damaged
//! ends with an error.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a bench speaks to whoever runs it")]

mod binary;
mod check;
mod cluster;
mod encode;
mod fanout;
mod ingest;
mod load;
mod memory;
mod peer;
mod process;
mod replay;
mod report;
mod slow;
mod tails;
mod through;

use std::process::ExitCode;

/// As the program itself has it.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What went wrong, in words.
type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> ExitCode {
    // Cargo adds `--bench`.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let args = process::Args::of(words.get(1..).unwrap_or_default());
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        process::complain("no TLS provider");
        return ExitCode::FAILURE;
    }
    let outcome = match words.first().map(String::as_str) {
        None | Some("all") => report::all(&args),
        Some("ingest") => ingest::run(&args).map(|rows| report::print(&rows)),
        Some("encode") => encode::run(&args).map(|rows| report::print(&rows)),
        Some("fanout") => fanout::run(&args).map(|rows| report::print(&rows)),
        Some("memory") => memory::run(&args).map(|rows| report::print(&rows)),
        Some("through") => through::run(&args).map(|rows| report::print(&rows)),
        Some("replay") => replay::run(&args).map(|rows| report::print(&rows)),
        Some("binary") => binary::run(&args).map(|rows| report::print(&rows)),
        Some("slow") => slow::run(&args).map(|rows| report::print(&rows)),
        Some("role-cluster") => process::block_on(cluster::run(&args)),
        Some("role-ours") => process::block_on(tails::ours(&args)),
        Some("role-naive") => process::block_on(tails::naive(&args)),
        Some("role-floor") => process::block_on(tails::floor(&args)),
        Some("role-sse") => process::block_on(peer::sse(&args)),
        Some("role-send") => process::block_on(peer::send(&args)),
        Some("role-load") => process::block_on(load::run(&args)),
        Some("role-replay") => process::block_on(replay::client(&args)),
        Some("role-index") => process::block_on(memory::index(&args)),
        Some(other) => {
            let known = "all, ingest, encode, fanout, memory, through, replay, slow or binary";
            Err(format!("unknown word {other}: expected {known}").into())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            process::complain(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}
