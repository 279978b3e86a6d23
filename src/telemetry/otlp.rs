//! Traces and metrics pushed by OTLP over gRPC, and W3C trace context taken from requests.
//!
//! The exporters run on threads of their own and hold bounded buffers; a collector that is away
//! costs telemetry, never a line of a log.

use opentelemetry_otlp::{MetricExporter, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::PeriodicReader;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;

use super::TelemetryError;

/// A reader that pushes all metrics once a minute (`OTEL_METRIC_EXPORT_INTERVAL` overrides).
pub(super) fn metric_reader(
    endpoint: &str,
) -> Result<PeriodicReader<MetricExporter>, TelemetryError> {
    let exporter = MetricExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .map_err(|error| refused(endpoint, &error))?;
    Ok(PeriodicReader::builder(exporter).build())
}

/// A provider that pushes spans in batches.
pub(super) fn tracer_provider(
    endpoint: &str,
    resource: Resource,
) -> Result<SdkTracerProvider, TelemetryError> {
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .map_err(|error| refused(endpoint, &error))?;
    Ok(SdkTracerProvider::builder().with_resource(resource).with_batch_exporter(exporter).build())
}

/// Lets spans continue the trace that a request names in `traceparent`.
pub(super) fn install_propagator() {
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
}

fn refused(endpoint: &str, error: &dyn std::fmt::Display) -> TelemetryError {
    TelemetryError::Otlp { endpoint: endpoint.to_owned(), reason: error.to_string() }
}
