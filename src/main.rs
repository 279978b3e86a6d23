//! The program: reads options, installs what the process needs once, runs, and maps the result to
//! an exit code.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the program speaks to whoever runs it"
)]

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use rollcast::app::{self, Followed};
use rollcast::client::Exit;
use rollcast::config::{self, Config, Stop};
use rollcast::shutdown::Ending;
use rollcast::telemetry::Telemetry;

/// Gives memory back after a storm of viewers; glibc's allocator keeps it.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How long the last traces and metrics may take to leave.
const FAREWELL: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    let config = match config::from_args(std::env::args_os()) {
        Ok(config) => config,
        Err(stop) => return say(&stop),
    };
    let follows = matches!(config, Config::Follow(_));
    match run(config) {
        Ok(Ended::Served(Ending::Drained)) => ExitCode::SUCCESS,
        Ok(Ended::Served(Ending::Aborted(signal))) => ExitCode::from(signal.status()),
        Ok(Ended::Followed(Followed::Ended(exit))) => ExitCode::from(exit.code()),
        Ok(Ended::Followed(Followed::Stopped(signal))) => ExitCode::from(signal.status()),
        Err(error) => {
            eprintln!("error: {error:#}");
            // What kept it from beginning is no failed rollout.
            if follows { ExitCode::from(Exit::Refused.code()) } else { ExitCode::FAILURE }
        }
    }
}

/// How a subcommand ended.
enum Ended {
    Served(Ending),
    Followed(Followed),
}

fn say(stop: &Stop) -> ExitCode {
    if stop.code == 0 {
        print!("{}", stop.text);
    } else {
        eprint!("{}", stop.text);
    }
    ExitCode::from(stop.code)
}

fn run(config: Config) -> anyhow::Result<Ended> {
    // Two TLS providers may be linked by accident; without a choice the first handshake panics.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        anyhow::bail!("another TLS provider is installed already");
    }
    // Each viewer and each log that is followed is a file of the process, and containers are often begun with
    // room for 1,024 (the soft limit), though more is allowed. What cannot be had shows in the listener.
    let _ = rlimit::increase_nofile_limit(rlimit::INFINITY);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the async runtime")?;
    let ended = runtime.block_on(async {
        let options = match &config {
            Config::Serve(serve) => &serve.telemetry,
            Config::Demo(demo) => &demo.telemetry,
            Config::Record(recording) => &recording.telemetry,
            Config::Follow(follow) => &follow.telemetry,
        };
        let telemetry = Telemetry::install(options)?;
        let metrics = telemetry.metrics();
        let ended = match config {
            Config::Serve(serve) => {
                tracing::info!(settings = %serve.effective, "starting");
                app::serve(*serve, metrics, telemetry.exposition()).await.map(Ended::Served)
            }
            Config::Demo(demo) => app::demo(demo, metrics).await.map(Ended::Served),
            Config::Record(recording) => app::record(*recording).await.map(Ended::Served),
            Config::Follow(follow) => app::follow(*follow, metrics).await.map(Ended::Followed),
        };
        if matches!(ended, Ok(Ended::Served(Ending::Drained)) | Err(_)) {
            telemetry.shutdown(FAREWELL).await;
        }
        ended.map_err(anyhow::Error::from)
    });
    if !matches!(ended, Ok(Ended::Served(Ending::Drained))) {
        // Does not wait for name lookups and whatever else blocks a thread.
        runtime.shutdown_background();
    }
    ended
}
