//! The log of the program itself, on standard error.

use opentelemetry_sdk::trace::SdkTracer;
use tracing_subscriber::filter::{EnvFilter, LevelFilter, Targets};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::{LogFormat, Options, TelemetryError};

/// kube reports every broken log stream at ERROR and every ended watch at WARN. They are everyday
/// business, which we log ourselves with names and reasons.
const NOISY: &str = "kube_client=off,kube_runtime=off";

/// What must stay out of traces: exporting a span makes spans in these.
const TRANSPORT: [&str; 5] = ["h2", "hyper", "tonic", "tower", "opentelemetry"];

/// Checks a log filter without installing it.
///
/// # Errors
/// If it cannot be parsed.
pub fn check_filter(filter: &str) -> Result<(), TelemetryError> {
    parse(filter).map(drop)
}

/// Makes the log, and the traces if there is a tracer, the process' own.
pub(super) fn install(options: &Options, tracer: Option<SdkTracer>) -> Result<(), TelemetryError> {
    let filter = parse(&options.filter)?;
    let fmt = tracing_subscriber::fmt::layer::<Registry>().with_writer(std::io::stderr);
    let log = match options.format {
        LogFormat::Text => {
            fmt.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).boxed()
        }
        LogFormat::Json => fmt.json().flatten_event(true).with_current_span(false).boxed(),
    };
    let traces = tracer.map(|tracer| {
        let mut targets = Targets::new().with_default(LevelFilter::INFO);
        for target in TRANSPORT {
            targets = targets.with_target(target, LevelFilter::OFF);
        }
        tracing_opentelemetry::layer().with_tracer(tracer).with_location(false).with_filter(targets)
    });
    tracing_subscriber::registry()
        .with(log.with_filter(filter))
        .with(traces)
        .try_init()
        .map_err(|_| TelemetryError::Installed)
}

fn parse(filter: &str) -> Result<EnvFilter, TelemetryError> {
    // What the user says about them wins over our default.
    let directives =
        if filter.contains("kube_") { filter.to_owned() } else { format!("{NOISY},{filter}") };
    EnvFilter::builder().parse(directives).map_err(|error| TelemetryError::Filter {
        filter: filter.to_owned(),
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_cannot_be_read_is_refused_with_its_text() {
        let error = check_filter("rollcast=loud").unwrap_err().to_string();
        assert!(error.contains("rollcast=loud"), "{error}");
        check_filter("info,rollcast::tail=debug").unwrap();
    }

    #[test]
    fn noisy_targets_are_off_unless_the_user_names_one() {
        assert!(parse("info").unwrap().to_string().contains("kube_client=off"));
        let named = parse("info,kube_client=debug").unwrap().to_string();
        assert!(!named.contains("off"), "{named}");
    }
}
