//! The instruments. Names are a public interface: dashboards and alerts rely on them.
//!
//! Hot paths add once per batch, never per line: an addition hashes its label.

use std::fmt;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter, MeterProvider as _, UpDownCounter};
use opentelemetry_sdk::metrics::SdkMeterProvider;

use super::Exposition;

/// Bounds of answers that should take milliseconds, in seconds.
const QUICK: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
/// Bounds of streams, which live for up to an hour or a day, in seconds.
const LONG: [f64; 11] = [0.1, 1.0, 5.0, 15.0, 30.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 86_400.0];

/// A number that only grows.
pub struct Count(Counter<u64>);
/// A number that only grows, for each word of a closed list.
pub struct CountBy {
    counter: Counter<u64>,
    label: &'static str,
}
/// A number that goes up and down.
pub struct Level(UpDownCounter<i64>);
/// A number that goes up and down, for each word of a closed list.
pub struct LevelBy {
    counter: UpDownCounter<i64>,
    label: &'static str,
}
/// A number that is set.
pub struct Value(Gauge<u64>);
/// Durations, spread over buckets.
pub struct Seconds(Histogram<f64>);
/// Durations, spread over buckets, for each word of a closed list.
pub struct SecondsBy {
    histogram: Histogram<f64>,
    label: &'static str,
}

/// All instruments of the program. One for the process, shared by the rooms in an `Arc`.
#[derive(Debug)]
pub struct Metrics {
    /// `rollcast_followers`: sources that are followed now.
    pub followers: Level,
    /// `rollcast_log_streams_opened_total`: log streams opened at the API server.
    pub log_streams_opened: Count,
    /// `rollcast_log_stream_failures_total{reason}`: log streams that could not be opened or broke.
    pub log_stream_failures: CountBy,
    /// `rollcast_lines_total`: log lines written to the journal.
    pub lines: Count,
    /// `rollcast_log_bytes_total`: bytes read from log streams.
    pub log_bytes: Count,
    /// `rollcast_gaps_total{reason}`: places where lines are missing.
    pub gaps: CountBy,
    /// `rollcast_resumes_total{result}`: log streams resumed: their overlap was
    /// found (`proven`), was not (`unproven`, with a gap), or nothing came (`nothing_new`).
    pub resumes: CountBy,
    /// `rollcast_journal_records_total`: records appended.
    pub journal_records: Count,
    /// `rollcast_journal_evicted_records_total`: records forgotten.
    pub journal_evicted_records: Count,
    /// `rollcast_journal_bytes`: bytes that the journal holds now.
    pub journal_bytes: Value,
    /// `rollcast_store_bytes`: bytes that the store holds now.
    pub store_bytes: Value,
    /// `rollcast_store_lag_bytes`: bytes that wait to be stored now.
    pub store_lag_bytes: Value,
    /// `rollcast_store_failing`: 1 while the store cannot write, else 0.
    pub store_failing: Value,
    /// `rollcast_store_errors_total`: writes of the store that failed.
    pub store_errors: Count,
    /// `rollcast_store_holes_total`: stretches of records that the store left out.
    pub store_holes: Count,
    /// `rollcast_store_lost_records_total`: records in them.
    pub store_lost_records: Count,
    /// `rollcast_store_damaged_bytes_total`: stored bytes that could not be read.
    pub store_damaged_bytes: Count,
    /// `rollcast_viewers{format}`: open viewer streams.
    pub viewers: LevelBy,
    /// `rollcast_stream_bytes_total{format}`: bytes handed to viewers' connections.
    pub stream_bytes: CountBy,
    /// `rollcast_time_to_first_byte_seconds`: from a stream request to its first bytes.
    pub time_to_first_byte: Seconds,
    /// `rollcast_stream_duration_seconds{end}`: how long viewer streams were open, by how they ended.
    pub stream_duration: SecondsBy,
    /// `rollcast_view_pieces_total{result}`: encoded pieces taken (`hit`) or made (`miss`).
    pub view_pieces: CountBy,
    /// `rollcast_view_bytes`: bytes of the pieces that viewers share.
    pub view_bytes: Value,
    /// `rollcast_sources_waiting`: sources that are wanted and have no place.
    pub sources_waiting: Value,
    /// `rollcast_opens_waiting`: sources that wait for their turn to be opened.
    pub opens_waiting: Value,
    /// `rollcast_node_followers_most`: sources that are followed on the node that has most of them.
    pub node_followers: Value,
    /// `rollcast_task_panics_total{room}`: panics caught in a room's task.
    pub task_panics: CountBy,
    /// `rollcast_watch_restarts_total{kind}`: watches that had to begin anew with a list.
    pub watch_restarts: CountBy,
    /// `rollcast_connections`: open client connections.
    pub connections: Level,
    /// `rollcast_connections_refused_total`: connections answered 503 over the limit.
    pub connections_refused: Count,
    /// `rollcast_limits_reached_total{limit}`: refusals and endings for a limit, by which.
    pub limits_reached: CountBy,
    /// `rollcast_memory_bytes`: memory in use, as the budget counts it.
    pub memory: Value,
    /// `rollcast_memory_limit_bytes`: what may be used; absent without a limit.
    pub memory_limit: Value,
    /// `rollcast_memory_pressure`: 0 calm, 1 history stops growing, 2 no new streams, 3 streams are
    /// asked to leave.
    pub memory_pressure: Value,
    auth_reviews: Counter<u64>,
    requests: Counter<u64>,
    request_duration: Histogram<f64>,
}

// === impl Metrics ===

impl Metrics {
    /// Makes the instruments.
    pub fn new(meter: &Meter) -> Self {
        let count = |name, unit, what| {
            let counter = meter.u64_counter(name).with_unit(unit).with_description(what).build();
            // A series that exists from the start lets rate() see the first event.
            counter.add(0, &[]);
            Count(counter)
        };
        let value = |name, unit, what| {
            Value(meter.u64_gauge(name).with_unit(unit).with_description(what).build())
        };
        let count_by = |name, unit, label, what| CountBy {
            counter: meter.u64_counter(name).with_unit(unit).with_description(what).build(),
            label,
        };
        let level = |name, what| {
            let counter = meter.i64_up_down_counter(name).with_description(what).build();
            counter.add(0, &[]);
            Level(counter)
        };
        let histogram = |name, bounds: &[f64], what| {
            meter
                .f64_histogram(name)
                .with_unit("s")
                .with_boundaries(bounds.to_vec())
                .with_description(what)
                .build()
        };
        Metrics {
            followers: level("rollcast.followers", "Sources that are followed now"),
            log_streams_opened: count(
                "rollcast.log_streams_opened",
                "",
                "Log streams opened at the API server",
            ),
            log_stream_failures: count_by(
                "rollcast.log_stream_failures",
                "",
                "reason",
                "Log streams that could not be opened or broke",
            ),
            lines: count("rollcast.lines", "", "Log lines written to the journal"),
            log_bytes: count("rollcast.log", "By", "Bytes read from log streams"),
            gaps: count_by("rollcast.gaps", "", "reason", "Places where lines are missing"),
            resumes: count_by("rollcast.resumes", "", "result", "Log streams resumed"),
            journal_records: count("rollcast.journal_records", "", "Records appended"),
            journal_evicted_records: count(
                "rollcast.journal_evicted_records",
                "",
                "Records forgotten to stay within the journal's limits",
            ),
            journal_bytes: value("rollcast.journal", "By", "Bytes that the journal holds"),
            store_bytes: value("rollcast.store", "By", "Bytes that the store holds"),
            store_lag_bytes: value("rollcast.store_lag", "By", "Bytes that wait to be stored"),
            store_failing: value("rollcast.store_failing", "", "1 while the store cannot write"),
            store_errors: count("rollcast.store_errors", "", "Writes of the store that failed"),
            store_holes: count("rollcast.store_holes", "", "Stretches that the store left out"),
            store_lost_records: count(
                "rollcast.store_lost_records",
                "",
                "Records that the store left out",
            ),
            store_damaged_bytes: count(
                "rollcast.store_damaged",
                "By",
                "Stored bytes that could not be read",
            ),
            viewers: LevelBy {
                counter: meter
                    .i64_up_down_counter("rollcast.viewers")
                    .with_description("Open viewer streams")
                    .build(),
                label: "format",
            },
            stream_bytes: count_by(
                "rollcast.stream",
                "By",
                "format",
                "Bytes handed to viewers' connections",
            ),
            time_to_first_byte: Seconds(histogram(
                "rollcast.time_to_first_byte",
                &QUICK,
                "From a stream request to its first bytes",
            )),
            stream_duration: SecondsBy {
                histogram: histogram(
                    "rollcast.stream_duration",
                    &LONG,
                    "How long viewer streams were open",
                ),
                label: "end",
            },
            view_bytes: value("rollcast.view", "By", "Bytes of the pieces that viewers share"),
            sources_waiting: value(
                "rollcast.sources_waiting",
                "",
                "Sources that are wanted and have no place",
            ),
            opens_waiting: value(
                "rollcast.opens_waiting",
                "",
                "Sources that wait for their turn to be opened",
            ),
            node_followers: value(
                "rollcast.node_followers_most",
                "",
                "Sources that are followed on the node that has most of them",
            ),
            view_pieces: count_by(
                "rollcast.view_pieces",
                "",
                "result",
                "Encoded pieces taken from the view cache or made",
            ),
            task_panics: count_by("rollcast.task_panics", "", "room", "Panics caught in a task"),
            watch_restarts: count_by(
                "rollcast.watch_restarts",
                "",
                "kind",
                "Watches that began anew with a list",
            ),
            connections: level("rollcast.connections", "Open client connections"),
            connections_refused: count(
                "rollcast.connections_refused",
                "",
                "Connections refused over the limit",
            ),
            limits_reached: count_by(
                "rollcast.limits_reached",
                "",
                "limit",
                "Refusals and endings for a limit",
            ),
            memory: value("rollcast.memory", "By", "Memory in use, as the budget counts it"),
            memory_limit: value("rollcast.memory_limit", "By", "Memory that may be used"),
            memory_pressure: value(
                "rollcast.memory_pressure",
                "",
                "How short memory is: 0 calm, 1 tight, 2 full, 3 critical",
            ),
            auth_reviews: meter
                .u64_counter("rollcast.auth_reviews")
                .with_description("Reviews asked of the API server")
                .build(),
            requests: meter
                .u64_counter("rollcast.http_requests")
                .with_description("Requests answered")
                .build(),
            request_duration: histogram(
                "http.server.request.duration",
                &QUICK,
                "From a request to the head of its answer; streams go on after it",
            ),
        }
    }

    /// Instruments that nobody reads.
    pub fn noop() -> Self {
        Metrics::new(&SdkMeterProvider::default().meter("noop"))
    }

    /// Instruments with a reader of their own, so that a test can look at the values.
    ///
    /// # Panics
    /// Never in practice: a fresh registry takes its first collector.
    #[allow(clippy::expect_used, reason = "a fresh registry takes its first collector")]
    pub fn readable() -> (Self, Exposition) {
        let (exposition, reader) = Exposition::new().expect("a fresh registry takes a collector");
        let meters = SdkMeterProvider::builder().with_reader(reader).build();
        (Metrics::new(&meters.meter("test")), exposition.keeping(meters))
    }

    /// `rollcast_auth_reviews_total{kind,result}`: a review was asked of the API server. `kind` is
    /// `token` or `access`; `result` is `allowed`, `refused` or `error`.
    pub fn auth_review(&self, kind: &'static str, result: &'static str) {
        self.auth_reviews.add(1, &[KeyValue::new("kind", kind), KeyValue::new("result", result)]);
    }

    /// `rollcast_http_requests_total{route,status}` and `http_server_request_duration_seconds`: a
    /// request's answer began after `took`. `route` must be the pattern that matched, never the path
    /// that was asked for, so that clients cannot make series.
    pub fn http_request(&self, route: &str, status: u16, took: Duration) {
        let route = route.to_owned();
        let status = i64::from(status);
        self.requests
            .add(1, &[KeyValue::new("route", route.clone()), KeyValue::new("status", status)]);
        self.request_duration.record(
            took.as_secs_f64(),
            &[
                KeyValue::new("http.route", route),
                KeyValue::new("http.response.status_code", status),
            ],
        );
    }
}

// === impl instruments ===

impl Count {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.add(n, &[]);
    }
}

impl CountBy {
    /// Adds `n` under `word`.
    pub fn add(&self, n: u64, word: &'static str) {
        self.counter.add(n, &[KeyValue::new(self.label, word)]);
    }
}

impl Level {
    /// Moves by `n`, up or down.
    pub fn add(&self, n: i64) {
        self.0.add(n, &[]);
    }
}

impl LevelBy {
    /// Moves by `n`, up or down, under `word`.
    pub fn add(&self, n: i64, word: &'static str) {
        self.counter.add(n, &[KeyValue::new(self.label, word)]);
    }
}

impl Value {
    /// Sets it.
    pub fn set(&self, value: u64) {
        self.0.record(value, &[]);
    }
}

impl Seconds {
    /// Records one duration.
    pub fn record(&self, took: Duration) {
        self.0.record(took.as_secs_f64(), &[]);
    }
}

impl SecondsBy {
    /// Records one duration under `word`.
    pub fn record(&self, took: Duration, word: &'static str) {
        self.histogram.record(took.as_secs_f64(), &[KeyValue::new(self.label, word)]);
    }
}

macro_rules! opaque {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    )*};
}
opaque!(Count, CountBy, Level, LevelBy, Value, Seconds, SecondsBy);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_has_the_name_that_dashboards_know() {
        let (metrics, exposition) = Metrics::readable();
        metrics.followers.add(3);
        metrics.followers.add(-1);
        metrics.log_streams_opened.add(2);
        metrics.log_stream_failures.add(1, "refused");
        metrics.lines.add(7);
        metrics.log_bytes.add(70);
        metrics.gaps.add(1, "server_restart");
        metrics.resumes.add(1, "proven");
        metrics.journal_records.add(9);
        metrics.journal_evicted_records.add(4);
        metrics.journal_bytes.set(1024);
        metrics.store_bytes.set(5);
        metrics.store_lag_bytes.set(6);
        metrics.store_failing.set(1);
        metrics.store_errors.add(1);
        metrics.store_holes.add(2);
        metrics.store_lost_records.add(3);
        metrics.store_damaged_bytes.add(4);
        metrics.viewers.add(1, "sse");
        metrics.stream_bytes.add(5, "text");
        metrics.time_to_first_byte.record(Duration::from_millis(2));
        metrics.stream_duration.record(Duration::from_secs(2), "rotate");
        metrics.view_pieces.add(1, "hit");
        metrics.view_bytes.set(21);
        metrics.sources_waiting.set(22);
        metrics.opens_waiting.set(23);
        metrics.node_followers.set(24);
        metrics.task_panics.add(1, "tail");
        metrics.watch_restarts.add(1, "pod");
        metrics.connections.add(1);
        metrics.limits_reached.add(1, "memory");
        metrics.memory.set(70);
        metrics.memory_limit.set(100);
        metrics.memory_pressure.set(1);
        metrics.auth_review("access", "allowed");
        metrics.http_request("/api/v1/workloads", 200, Duration::from_millis(1));
        for (series, value) in [
            ("rollcast_followers", 2.0),
            ("rollcast_log_streams_opened_total", 2.0),
            ("rollcast_log_stream_failures_total{reason=\"refused\"}", 1.0),
            ("rollcast_lines_total", 7.0),
            ("rollcast_log_bytes_total", 70.0),
            ("rollcast_gaps_total{reason=\"server_restart\"}", 1.0),
            ("rollcast_resumes_total{result=\"proven\"}", 1.0),
            ("rollcast_journal_records_total", 9.0),
            ("rollcast_journal_evicted_records_total", 4.0),
            ("rollcast_journal_bytes", 1024.0),
            ("rollcast_store_bytes", 5.0),
            ("rollcast_store_lag_bytes", 6.0),
            ("rollcast_store_failing", 1.0),
            ("rollcast_store_errors_total", 1.0),
            ("rollcast_store_holes_total", 2.0),
            ("rollcast_store_lost_records_total", 3.0),
            ("rollcast_store_damaged_bytes_total", 4.0),
            ("rollcast_viewers{format=\"sse\"}", 1.0),
            ("rollcast_stream_bytes_total{format=\"text\"}", 5.0),
            ("rollcast_time_to_first_byte_seconds_count", 1.0),
            ("rollcast_stream_duration_seconds_count{end=\"rotate\"}", 1.0),
            ("rollcast_view_pieces_total{result=\"hit\"}", 1.0),
            ("rollcast_view_bytes", 21.0),
            ("rollcast_sources_waiting", 22.0),
            ("rollcast_opens_waiting", 23.0),
            ("rollcast_node_followers_most", 24.0),
            ("rollcast_task_panics_total{room=\"tail\"}", 1.0),
            ("rollcast_watch_restarts_total{kind=\"pod\"}", 1.0),
            ("rollcast_connections", 1.0),
            ("rollcast_connections_refused_total", 0.0),
            ("rollcast_limits_reached_total{limit=\"memory\"}", 1.0),
            ("rollcast_memory_bytes", 70.0),
            ("rollcast_memory_limit_bytes", 100.0),
            ("rollcast_memory_pressure", 1.0),
            ("rollcast_auth_reviews_total{kind=\"access\",result=\"allowed\"}", 1.0),
            ("rollcast_http_requests_total{route=\"/api/v1/workloads\",status=\"200\"}", 1.0),
        ] {
            assert_eq!(exposition.value(series), Some(value), "{series}\n{}", exposition.render());
        }
    }

    #[test]
    fn no_series_carries_scope_or_target_labels() {
        let (metrics, exposition) = Metrics::readable();
        metrics.lines.add(1);
        let text = exposition.render();
        assert!(!text.contains("otel_scope") && !text.contains("target_info"), "{text}");
    }
}
