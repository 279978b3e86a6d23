//! What the program says about itself: its log, its traces and its metrics.
//!
//! There is one instrumentation API. Metrics are OpenTelemetry instruments, read by Prometheus on
//! the admin listener always and pushed by OTLP when an endpoint is set; spans go to OTLP only.
//!
//! Invariants:
//! - No label and no span attribute grows with pods, viewers or request paths: labels are
//!   `&'static str` from closed lists, so that a series per pod cannot be written by accident.
//! - No line of a pod's log, no token and no query string is ever logged.
//! - No span lives as long as a stream; such a span is exported when it ends, or never.
//! - Notable events are structs in [`events`] that log and count in one place.
//!
//! May use: `ids`, and nothing else of the house.

pub mod events;
mod exposition;
mod metrics;
mod otlp;
mod panics;
mod subscriber;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::metrics::MeterProvider as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;

pub use exposition::Exposition;
pub use metrics::{Count, CountBy, Level, LevelBy, Metrics, Seconds, SecondsBy, Value};
pub use panics::words as panic_words;
pub use subscriber::check_filter;

/// Name of the service and of the instrumentation scope.
const SERVICE: &str = "rollcast";

/// How the program's own log is written to standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people: one line an event, coloured on a terminal.
    #[default]
    Text,
    /// For machines: one JSON object a line.
    Json,
}

/// What telemetry needs to know, already checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// A filter in the syntax of `tracing_subscriber::EnvFilter`, such as `info,rollcast::tail=debug`.
    pub filter: String,
    /// Text or JSON.
    pub format: LogFormat,
    /// Where traces and metrics are pushed to by OTLP over gRPC; nowhere if absent.
    pub otlp_endpoint: Option<String>,
    /// The cluster's name, as the resource attribute `k8s.cluster.name`.
    pub cluster_name: Option<String>,
}

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is not valid.
    #[error("log filter \"{filter}\" is not valid: {reason}")]
    Filter {
        /// As it was given.
        filter: String,
        /// What the parser says.
        reason: String,
    },
    /// The exporter could not be built.
    #[error("cannot export telemetry to \"{endpoint}\": {reason}")]
    Otlp {
        /// As it was given.
        endpoint: String,
        /// What the exporter says.
        reason: String,
    },
    /// The Prometheus reader could not be registered.
    #[error("cannot set up the metrics reader: {0}")]
    Reader(String),
    /// Another subscriber is already there.
    #[error("a log subscriber is already installed")]
    Installed,
}

/// Running telemetry. Keep it until the end and give it to [`Telemetry::shutdown`].
pub struct Telemetry {
    metrics: Arc<Metrics>,
    exposition: Exposition,
    meters: SdkMeterProvider,
    tracers: Option<SdkTracerProvider>,
}

// === impl Telemetry ===

impl Telemetry {
    /// Sets up log, traces and metrics for the process. Call it once, inside the tokio runtime (the
    /// OTLP transport needs it).
    ///
    /// # Errors
    /// If the filter or the endpoint is not valid, or a subscriber is already installed.
    pub fn install(options: &Options) -> Result<Self, TelemetryError> {
        let resource = resource(options);
        let (exposition, reader) = Exposition::new()?;
        let mut meters =
            SdkMeterProvider::builder().with_resource(resource.clone()).with_reader(reader);
        let mut tracers = None;
        if let Some(endpoint) = &options.otlp_endpoint {
            meters = meters.with_reader(otlp::metric_reader(endpoint)?);
            tracers = Some(otlp::tracer_provider(endpoint, resource)?);
        }
        let meters = meters.build();
        let tracer = tracers.as_ref().map(|provider| provider.tracer(SERVICE));
        subscriber::install(options, tracer)?;
        otlp::install_propagator();
        panics::install_hook();
        let metrics = Arc::new(Metrics::new(&meters.meter(SERVICE)));
        Ok(Telemetry { metrics, exposition, meters, tracers })
    }

    /// The instruments, to be handed to the rooms.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// What `/metrics` serves.
    pub fn exposition(&self) -> Exposition {
        self.exposition.clone()
    }

    /// Sends what is still buffered, for at most `deadline`. Failures are logged, never returned:
    /// nobody can act on them while the process leaves.
    pub async fn shutdown(self, deadline: Duration) {
        let Telemetry { meters, tracers, .. } = self;
        // The SDK blocks until its own threads are done, which would stall the runtime here.
        let flush = tokio::task::spawn_blocking(move || {
            if let Some(tracers) = tracers
                && let Err(error) = tracers.shutdown_with_timeout(deadline)
            {
                tracing::debug!(%error, "last spans were not sent");
            }
            if let Err(error) = meters.shutdown_with_timeout(deadline) {
                tracing::debug!(%error, "last metrics were not sent");
            }
        });
        if tokio::time::timeout(deadline, flush).await.is_err() {
            tracing::debug!("telemetry was not flushed in time");
        }
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").field("otlp", &self.tracers.is_some()).finish_non_exhaustive()
    }
}

/// Who speaks. `OTEL_RESOURCE_ATTRIBUTES` adds to it, as the SDK's own detector reads it.
fn resource(options: &Options) -> Resource {
    let mut resource = Resource::builder()
        .with_service_name(SERVICE)
        .with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    if let Some(name) = &options.cluster_name {
        resource = resource
            .with_attribute(opentelemetry::KeyValue::new("k8s.cluster.name", name.to_owned()));
    }
    resource.build()
}
