//! The second step: bounds, contradictions, and the program's own types.

use std::time::Duration;

use super::follow::follow;
use super::graces::graces;
use super::limits::limits;
use super::options::{
    AuthMode, Command, DemoOptions, LogOptions, Options, RecordMode, ServeOptions, StoreKind,
};
use super::recording::recording;
use super::units::{Size, Span};
use super::{
    Auth, Cluster, Config, ConfigError, Demo, Effective, History, Logs, Record, Serve, Store,
    Streams,
};
use crate::ids::is_label;
use crate::{shutdown, telemetry};

/// Largest size that any option takes; keeps `usize` conversions exact.
const TERABYTE: u64 = 1 << 40;

/// The variable that OpenTelemetry's own programs read, taken where our option is absent.
pub(super) const OTEL_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// Checks what was typed. `otlp_fallback` is the value of [`OTEL_ENDPOINT`].
pub(super) fn check(
    options: Options,
    effective: Effective,
    otlp_fallback: Option<String>,
) -> Result<Config, ConfigError> {
    match options.command {
        Command::Serve(options) => {
            serve(*options, effective, otlp_fallback).map(|serve| Config::Serve(Box::new(serve)))
        }
        Command::Demo(options) => demo(options, effective).map(Config::Demo),
        Command::Record(options) => {
            recording(*options).map(|recording| Config::Record(Box::new(recording)))
        }
        Command::Follow(options) => {
            follow(*options, &effective).map(|follow| Config::Follow(Box::new(follow)))
        }
    }
}

fn serve(
    options: ServeOptions,
    effective: Effective,
    otlp_fallback: Option<String>,
) -> Result<Serve, ConfigError> {
    let auth = auth(&options, &effective)?;
    if options.listen == options.admin_listen && options.listen.0.port() != 0 {
        return Err(ConfigError::Contradiction {
            first: format!("--listen {}", options.listen),
            second: format!("--admin-listen {}", options.admin_listen),
            advice: "give each its own port",
        });
    }
    let streams = Streams {
        heartbeat: within("--heartbeat", options.heartbeat, 1, 60)?,
        lifetime: match options.stream_lifetime.0 {
            Duration::ZERO => None,
            // Some load balancers cut everything after 30 s; a stream must be able to end before.
            _ => Some(within("--stream-lifetime", options.stream_lifetime, 10, 86_400)?),
        },
        view_cache_bytes: size("--view-cache-bytes", options.view_cache_bytes, 1 << 20, 64 << 30)?,
    };
    let logs = logs(&options, &effective)?;
    let history = history(&options, &effective)?;
    // A segment must hold the longest line with room to spare, or nothing could be kept of it.
    let workload = history.journal_workload_bytes as u64;
    if logs.max_line_bytes as u64 * 2 > workload {
        return Err(ConfigError::Contradiction {
            first: format!("--max-line-bytes {}", options.max_line_bytes),
            second: format!("--journal-workload-bytes {}", Size(workload)),
            advice: "keep at least two of the longest lines for a workload",
        });
    }
    let fixed = history.journal_bytes + streams.view_cache_bytes;
    let limits = limits(&options.limits, &auth, fixed, &effective)?;
    let cluster = Cluster {
        kubeconfig: options.kubeconfig.filter(|path| !path.as_os_str().is_empty()),
        context: given(options.context),
        namespaces: namespaces(options.namespace, &effective)?,
        name: given(options.cluster_name),
    };
    let otlp = otlp(given(options.otlp_endpoint), given(otlp_fallback))?;
    Ok(Serve {
        telemetry: telemetry(options.log, otlp, cluster.name.clone())?,
        cluster,
        listen: options.listen,
        admin_listen: options.admin_listen,
        auth,
        reauthorize: within("--reauthorize", options.reauthorize, 12, 30)?,
        streams,
        logs,
        history,
        limits,
        graces: graces(&options.graces)?,
        drain: shutdown::Timing {
            delay: within("--drain-delay", options.drain_delay, 0, 600)?,
            window: within("--drain-window", options.drain_window, 0, 600)?,
        },
        effective,
    })
}

fn demo(options: DemoOptions, effective: Effective) -> Result<Demo, ConfigError> {
    if !options.listen.is_loopback() {
        return Err(ConfigError::Invalid {
            option: "--listen".into(),
            value: options.listen.to_string(),
            reason: "the demo has no login, so it takes only a loopback address such as \
                     127.0.0.1:8080"
                .to_owned(),
        });
    }
    Ok(Demo {
        listen: options.listen,
        seed: options.seed,
        telemetry: telemetry(options.log, None, None)?,
        effective,
    })
}

fn auth(options: &ServeOptions, effective: &Effective) -> Result<Auth, ConfigError> {
    match options.auth {
        AuthMode::Token => {
            Ok(Auth::Token { audience: given(Some(options.token_audience.clone())) })
        }
        AuthMode::None if !options.listen.is_loopback() => Err(ConfigError::Contradiction {
            first: "--auth none".to_owned(),
            second: format!("--listen {}", options.listen),
            advice: "without login only a loopback address such as 127.0.0.1:8080 may be served",
        }),
        AuthMode::None if effective.is_set("token-audience") => Err(ConfigError::Contradiction {
            first: "--auth none".to_owned(),
            second: format!("--token-audience {}", options.token_audience),
            advice: "leave the audience out, or use --auth token",
        }),
        AuthMode::None => Ok(Auth::None),
    }
}

fn logs(options: &ServeOptions, effective: &Effective) -> Result<Logs, ConfigError> {
    let exceeds = options.max_followers_per_node > options.max_followers;
    // The default for a node exceeds a small total; only a given value is a contradiction.
    if exceeds && effective.is_set("max-followers-per-node") {
        return Err(ConfigError::Contradiction {
            first: format!("--max-followers-per-node {}", options.max_followers_per_node),
            second: format!("--max-followers {}", options.max_followers),
            advice: "a node cannot have more followers than all nodes together",
        });
    }
    Ok(Logs {
        backfill_lines: options.backfill_lines,
        max_line_bytes: size("--max-line-bytes", options.max_line_bytes, 1 << 10, 4 << 20)?,
        max_followers: options.max_followers as usize,
        max_followers_per_node: options.max_followers_per_node.min(options.max_followers) as usize,
        opens_per_second: options.opens_per_second,
        linger: within("--follower-linger", options.follower_linger, 0, 3600)?,
        record: match options.record {
            RecordMode::Off => Record::Off,
            RecordMode::Rollouts => Record::Rollouts,
            RecordMode::All => Record::All,
        },
        record_sources: options.record_sources as usize,
    })
}

fn history(options: &ServeOptions, effective: &Effective) -> Result<History, ConfigError> {
    let journal_bytes = size("--journal-bytes", options.journal_bytes, 1 << 20, TERABYTE)?;
    let journal_workload_bytes =
        size("--journal-workload-bytes", options.journal_workload_bytes, 64 << 10, TERABYTE)?;
    // The default for a workload exceeds a small total; only a given value is a contradiction.
    if journal_workload_bytes > journal_bytes && effective.is_set("journal-workload-bytes") {
        return Err(ConfigError::Contradiction {
            first: format!("--journal-workload-bytes {}", options.journal_workload_bytes),
            second: format!("--journal-bytes {}", options.journal_bytes),
            advice: "one workload cannot have more history than all together",
        });
    }
    Ok(History {
        pod_grace: within("--pod-grace", options.pod_grace, 0, 86_400)?,
        journal_bytes,
        journal_workload_bytes: journal_workload_bytes.min(journal_bytes),
        journal_age: within("--journal-age", options.journal_age, 60, 720 * 3600)?,
        store: store(options, effective, journal_bytes as u64)?,
    })
}

fn store(
    options: &ServeOptions,
    effective: &Effective,
    journal_bytes: u64,
) -> Result<Option<Store>, ConfigError> {
    // An empty variable is an unset one.
    let path = options.store_path.clone().filter(|path| !path.as_os_str().is_empty());
    if options.store == StoreKind::None {
        let path = path.map(|path| format!("--store-path {}", path.display()));
        let bytes = || format!("--store-bytes {}", options.store_bytes);
        let sync = || format!("--store-sync {}", options.store_sync);
        let second = path
            .or_else(|| effective.is_set("store-bytes").then(bytes))
            .or_else(|| effective.is_set("store-sync").then(sync));
        return match second {
            None => Ok(None),
            Some(second) => Err(ConfigError::Contradiction {
                first: "--store none".to_owned(),
                second,
                advice: "history is stored with --store file only",
            }),
        };
    }
    let Some(path) = path else {
        return Err(ConfigError::Contradiction {
            first: "--store file".to_owned(),
            second: "no --store-path".to_owned(),
            advice: "name a directory on a volume that outlives the process",
        });
    };
    let bytes = size("--store-bytes", options.store_bytes, 2 << 20, TERABYTE)? as u64;
    let least = journal_bytes.saturating_mul(2);
    // The default is too small for a large journal; only a given value is a contradiction.
    if bytes < least && effective.is_set("store-bytes") {
        return Err(ConfigError::Contradiction {
            first: format!("--store-bytes {}", options.store_bytes),
            second: format!("--journal-bytes {}", options.journal_bytes),
            advice: "store at least twice what memory may hold",
        });
    }
    let sync = within("--store-sync", options.store_sync, 0, 60)?;
    Ok(Some(Store { path, bytes: bytes.max(least), sync }))
}

pub(super) fn telemetry(
    options: LogOptions,
    otlp_endpoint: Option<String>,
    cluster_name: Option<String>,
) -> Result<telemetry::Options, ConfigError> {
    telemetry::check_filter(&options.log).map_err(|error| ConfigError::Invalid {
        option: "--log".into(),
        value: options.log.clone(),
        reason: format!("{error}; expected a level such as info, or TARGET=LEVEL,…"),
    })?;
    Ok(telemetry::Options {
        filter: options.log,
        format: options.log_format,
        otlp_endpoint,
        cluster_name,
    })
}

fn otlp(option: Option<String>, fallback: Option<String>) -> Result<Option<String>, ConfigError> {
    let name = if option.is_some() { "--otlp-endpoint" } else { OTEL_ENDPOINT };
    let Some(endpoint) = option.or(fallback) else { return Ok(None) };
    let uri = endpoint.parse::<http::Uri>().ok();
    let valid = uri.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some()
    });
    if valid {
        return Ok(Some(endpoint));
    }
    Err(ConfigError::Invalid {
        option: name.into(),
        value: super::effective::redact(&endpoint),
        reason: "expected a URL such as http://collector:4317".to_owned(),
    })
}

fn namespaces(given: Vec<String>, effective: &Effective) -> Result<Vec<String>, ConfigError> {
    // An empty variable is an unset one; an empty flag is a mistake, and must not mean "all".
    let unset = given.iter().all(String::is_empty) && !effective.is_typed("namespace");
    if unset {
        return Ok(Vec::new());
    }
    let mut namespaces = given;
    for namespace in &namespaces {
        if !is_label(namespace) {
            return Err(ConfigError::Invalid {
                option: "--namespace".into(),
                value: namespace.chars().take(64).collect(),
                reason: "a namespace has 1 to 63 of a-z, 0-9 and -, and begins and ends with a \
                         letter or digit; leave the option out for all namespaces"
                    .to_owned(),
            });
        }
    }
    namespaces.sort_unstable();
    namespaces.dedup();
    Ok(namespaces)
}

/// Empty is absent: charts and shells set variables to nothing.
pub(super) fn given(value: Option<String>) -> Option<String> {
    value.filter(|value| !value.is_empty())
}

pub(super) fn within(
    option: &'static str,
    value: Span,
    least: u64,
    most: u64,
) -> Result<Duration, ConfigError> {
    let (low, high) = (Span::seconds(least), Span::seconds(most));
    if (low..=high).contains(&value) {
        return Ok(value.0);
    }
    Err(ConfigError::Bounds {
        option: option.into(),
        value: value.to_string(),
        least: low.to_string(),
        most: high.to_string(),
    })
}

pub(super) fn size(
    option: &'static str,
    value: Size,
    least: u64,
    most: u64,
) -> Result<usize, ConfigError> {
    let bounds = ConfigError::Bounds {
        option: option.into(),
        value: value.to_string(),
        least: Size(least).to_string(),
        most: Size(most).to_string(),
    };
    if !(least..=most).contains(&value.0) {
        return Err(bounds);
    }
    usize::try_from(value.0).map_err(|_| bounds)
}

#[cfg(test)]
mod tests {
    use super::super::{Stop, USAGE, from_args};
    use super::*;

    fn parse(args: &str) -> Result<Config, Stop> {
        from_args(std::iter::once("rollcast").chain(args.split_whitespace()))
    }

    fn served(args: &str) -> Serve {
        match parse(&format!("serve {args}")) {
            Ok(Config::Serve(serve)) => *serve,
            other => panic!("{other:?}"),
        }
    }

    fn refused(args: &str) -> String {
        let stop = parse(args).unwrap_err();
        assert_eq!(stop.code, USAGE, "{args}: {}", stop.text);
        stop.text
    }

    #[test]
    fn serve_needs_no_option() {
        let serve = served("");
        assert_eq!(serve.auth, Auth::Token { audience: Some("rollcast".to_owned()) });
        assert_eq!(serve.listen.to_string(), "[::]:8080");
        assert_eq!(serve.streams.heartbeat, Duration::from_secs(10));
        assert_eq!(serve.history.journal_bytes, 128 << 20);
        assert_eq!(serve.logs.max_line_bytes, 256 << 10);
        assert_eq!(serve.history.journal_age, Duration::from_secs(86_400));
        assert!(serve.cluster.namespaces.is_empty());
    }

    #[test]
    fn namespaces_are_sorted_and_each_is_taken_once() {
        let serve = served("--namespace shop --namespace web,auth --namespace shop");
        assert_eq!(serve.cluster.namespaces, ["auth", "shop", "web"]);
    }

    #[test]
    fn an_empty_namespace_flag_never_means_all_namespaces() {
        let stop = from_args(["rollcast", "serve", "--namespace", ""]).unwrap_err();
        assert!(stop.text.contains("--namespace"), "{}", stop.text);
        let stop = from_args(["rollcast", "serve", "--namespace", "shop,"]).unwrap_err();
        assert_eq!(stop.code, USAGE);
    }

    #[test]
    fn an_empty_audience_is_the_api_servers_own() {
        let Ok(Config::Serve(serve)) = from_args(["rollcast", "serve", "--token-audience", ""])
        else {
            panic!("refused")
        };
        assert_eq!(serve.auth, Auth::Token { audience: None });
    }

    #[test]
    fn every_refusal_names_the_option_and_what_is_allowed() {
        for (args, words) in [
            ("serve --heartbeat 90s", &["--heartbeat", "90s", "1s", "60s"][..]),
            ("serve --heartbeat 10", &["--heartbeat", "a unit"]),
            ("serve --stream-lifetime 5s", &["--stream-lifetime", "10s", "24h"]),
            ("serve --reauthorize 60s", &["--reauthorize", "12s", "30s"]),
            ("serve --max-followers x", &["--max-followers is \"x\"", "from 1 to 100000"]),
            ("serve --auth ldap", &["--auth is \"ldap\"", "token or none"]),
            (
                "demo --seed x",
                &["--seed is \"x\"", "a whole number from 0 to 18446744073709551615"],
            ),
            ("serve --journal-bytes 1KiB", &["--journal-bytes", "1MiB"]),
            (
                "serve --journal-workload-bytes 1GiB",
                &["--journal-workload-bytes", "--journal-bytes"],
            ),
            ("serve --max-line-bytes 4MiB --journal-workload-bytes 4MiB", &["--max-line-bytes"]),
            (
                "serve --max-line-bytes 1MiB --journal-bytes 1MiB",
                &["--max-line-bytes 1MiB", "--journal-workload-bytes 1MiB"],
            ),
            ("serve --max-followers 10 --max-followers-per-node 20", &["--max-followers-per-node"]),
            ("serve --max-connections 0", &["--max-connections"]),
            ("serve --auth none", &["--auth none", "--listen", "loopback"]),
            ("serve --auth none --listen 127.0.0.1:0 --token-audience x", &["--token-audience"]),
            ("serve --listen :8080 --admin-listen :8080", &["--listen", "--admin-listen"]),
            ("serve --listen example.com:80", &["--listen"]),
            ("serve --log rollcast=loud", &["--log"]),
            ("serve --otlp-endpoint collector:4317", &["--otlp-endpoint", "http://"]),
            ("serve --namespace Shop", &["--namespace", "Shop"]),
            ("serve --colour red", &["--colour"]),
            ("demo --listen 0.0.0.0:8080", &["--listen", "loopback"]),
            ("watch", &["watch"]),
        ] {
            let text = refused(args);
            for word in words {
                assert!(text.contains(word), "{args}: {text}");
            }
        }
    }

    #[test]
    fn a_store_of_files_needs_a_directory_and_room() {
        assert_eq!(served("").history.store, None);
        let store = |args: &str| served(&format!("--store file --store-path /data {args}"));
        let usual = store("").history.store.unwrap();
        assert_eq!((usual.path.as_os_str().to_str(), usual.bytes), (Some("/data"), 256 << 20));
        assert_eq!(usual.sync, Duration::from_secs(1));
        assert_eq!(store("--journal-bytes 1GiB").history.store.unwrap().bytes, 2 << 30);
        for (args, words) in [
            ("--store file", ["--store file", "--store-path"]),
            ("--store-path /data", ["--store none", "--store-path /data"]),
            ("--store-bytes 1GiB", ["--store none", "--store-bytes 1GiB"]),
            ("--store-sync 5s", ["--store none", "--store-sync 5s"]),
            (
                "--store file --store-path /data --store-bytes 200MiB",
                ["--store-bytes 200MiB", "--journal-bytes 128MiB"],
            ),
            ("--store file --store-path /data --store-sync 2m", ["--store-sync", "60s"]),
            ("--store redis", ["--store", "file"]),
        ] {
            let text = refused(&format!("serve {args}"));
            assert!(words.iter().all(|word| text.contains(word)), "{args}: {text}");
        }
    }

    #[test]
    fn no_login_is_taken_on_loopback() {
        assert_eq!(served("--auth none --listen 127.0.0.1:8080").auth, Auth::None);
        assert_eq!(served("--auth none --listen [::1]:8080").auth, Auth::None);
    }

    #[test]
    fn a_small_budget_takes_the_default_of_a_node_with_it() {
        assert_eq!(served("--max-followers 10").logs.max_followers_per_node, 10);
        assert_eq!(served("--journal-bytes 1MiB").history.journal_workload_bytes, 1 << 20);
    }

    #[test]
    fn the_otel_variable_is_taken_where_our_own_is_absent() {
        let endpoint = |option: Option<&str>, fallback: Option<&str>| {
            otlp(option.map(str::to_owned), fallback.map(str::to_owned)).unwrap()
        };
        assert_eq!(endpoint(None, Some("http://a:1")).as_deref(), Some("http://a:1"));
        assert_eq!(endpoint(Some("http://b:1"), Some("http://a:1")).as_deref(), Some("http://b:1"));
        assert_eq!(endpoint(None, None), None);
        let error = otlp(None, Some("collector".to_owned())).unwrap_err().to_string();
        assert!(error.starts_with("OTEL_EXPORTER_OTLP_ENDPOINT is"), "{error}");
    }

    #[test]
    fn help_and_version_are_no_errors() {
        for args in ["--help", "--version", "serve --help"] {
            let stop = parse(args).unwrap_err();
            assert_eq!(stop.code, 0, "{}", stop.text);
        }
        assert_eq!(parse("").unwrap_err().code, USAGE);
    }
}
