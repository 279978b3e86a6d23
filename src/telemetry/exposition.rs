//! The metrics in Prometheus' text format.

use opentelemetry_prometheus::PrometheusExporter;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Encoder, Registry, TextEncoder};

use super::TelemetryError;

/// Reads all metrics of the process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Exposition {
    registry: Registry,
    /// A provider that is dropped stops to measure; where nobody else keeps it, the reader does.
    _kept: Option<SdkMeterProvider>,
}

// === impl Exposition ===

impl Exposition {
    /// The content type of [`Exposition::render`].
    pub const CONTENT_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    /// A registry and the reader that fills it.
    pub(super) fn new() -> Result<(Self, PrometheusExporter), TelemetryError> {
        let registry = Registry::new();
        let reader = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            // One scope only: its labels would be the same on every series.
            .scope_info_enabled(false)
            .without_target_info()
            .build()
            .map_err(|error| TelemetryError::Reader(error.to_string()))?;
        Ok((Exposition { registry, _kept: None }, reader))
    }

    /// The same, keeping `provider` alive.
    pub(super) fn keeping(self, provider: SdkMeterProvider) -> Self {
        Exposition { _kept: Some(provider), ..self }
    }

    /// All series, in text format 0.0.4.
    pub fn render(&self) -> String {
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::warn!(%error, "metrics could not be written");
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    /// The value of one series, written as in the text format:
    /// `rollcast_gaps_total{reason="server_restart"}`. For tests and for the status page.
    pub fn value(&self, series: &str) -> Option<f64> {
        self.render().lines().find_map(|line| {
            let value = line.strip_prefix(series)?.strip_prefix(' ')?;
            value.trim().parse().ok()
        })
    }
}
