//! Limits on what clients may take: the options, and their check.

use clap::Args;

use super::check::{size, within};
use super::effective::Effective;
use super::units::{Size, Span, whole};
use super::{Auth, ConfigError, Limits};

/// What may be typed.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(super) struct LimitOptions {
    /// Streams of one user at a time; more are answered 429. 1 to 100000; 0 is no limit. There is
    /// none with --auth none.
    #[arg(
        long,
        env = "ROLLCAST_STREAMS_PER_USER",
        value_name = "NUMBER",
        default_value_t = 20,
        value_parser = whole::<u32>(0, 100_000)
    )]
    streams_per_user: u32,

    /// Client connections served at a time; more are answered 503. 1 to 1000000, and no more than half
    /// of the files that the process may open.
    #[arg(
        long,
        env = "ROLLCAST_MAX_CONNECTIONS",
        value_name = "NUMBER",
        default_value_t = 10_000,
        value_parser = whole::<u32>(1, 1_000_000)
    )]
    max_connections: u32,

    /// Client connections from one address (IPv6: one network of 64 bits) at a time; more are answered
    /// 429. 1 to --max-connections; 0 is no limit, as behind a proxy, where everybody comes from the
    /// proxy's address. Loopback is not counted; there is no limit with --auth none.
    #[arg(
        long,
        env = "ROLLCAST_CONNECTIONS_PER_SOURCE",
        value_name = "NUMBER",
        default_value_t = 200,
        value_parser = whole::<u32>(0, 1_000_000)
    )]
    connections_per_source: u32,

    /// HTTP/2 streams on one connection. 1 to 10000.
    #[arg(
        long,
        env = "ROLLCAST_STREAMS_PER_CONNECTION",
        value_name = "NUMBER",
        default_value_t = 100,
        value_parser = whole::<u32>(1, 10_000)
    )]
    streams_per_connection: u32,

    /// Different tokens from one address that may be refused within a minute; then further ones are
    /// answered 429 without a look until the minute is over. 1 to 1000; 0 is no limit, as behind a
    /// proxy. There is none with --auth none.
    #[arg(
        long,
        env = "ROLLCAST_TOKEN_FAILURES",
        value_name = "NUMBER",
        default_value_t = 10,
        value_parser = whole::<u32>(0, 1000)
    )]
    token_failures: u32,

    /// How long the head of a request may take to come. 1s to 60s.
    #[arg(
        long,
        env = "ROLLCAST_REQUEST_HEAD_TIMEOUT",
        value_name = "DURATION",
        default_value = "10s"
    )]
    request_head_timeout: Span,

    /// Largest head of a request; larger ones are answered 431. Each connection may also have as many
    /// bytes of an answer in memory. 8KiB to 64KiB.
    #[arg(long, env = "ROLLCAST_REQUEST_HEAD_BYTES", value_name = "SIZE", default_value = "16KiB")]
    request_head_bytes: Size,

    /// Largest body of a request; larger ones are answered 413. 1KiB to 1MiB.
    #[arg(long, env = "ROLLCAST_REQUEST_BODY_BYTES", value_name = "SIZE", default_value = "64KiB")]
    request_body_bytes: Size,

    /// How long a connection may wait for its next request. Longer than proxies keep idle
    /// connections, mostly 60s, or they send into one that was just closed. 5s to 1h.
    #[arg(long, env = "ROLLCAST_IDLE_TIMEOUT", value_name = "DURATION", default_value = "75s")]
    idle_timeout: Span,

    /// How long a viewer may take nothing of what it is sent; then its stream is cut, and it resumes by
    /// its last id. 5s to 600s.
    #[arg(long, env = "ROLLCAST_STALL_TIMEOUT", value_name = "DURATION", default_value = "30s")]
    stall_timeout: Span,

    /// Memory that the process may use; if absent the memory limit of its cgroup, if that has one. From
    /// 70 % on history stops growing, from 85 % new streams are answered 503, from 95 % streams are
    /// asked to leave, those furthest behind first. 64MiB to 1024GiB.
    #[arg(long, env = "ROLLCAST_MEMORY_LIMIT", value_name = "SIZE")]
    memory_limit: Option<Size>,
}

/// Checks what was typed. `fixed` is the memory that history and shared pieces may take.
pub(super) fn limits(
    options: &LimitOptions,
    auth: &Auth,
    fixed: usize,
    effective: &Effective,
) -> Result<Limits, ConfigError> {
    let login = *auth != Auth::None;
    for (name, value) in [
        ("streams-per-user", options.streams_per_user),
        ("connections-per-source", options.connections_per_source),
        ("token-failures", options.token_failures),
    ] {
        if !login && value > 0 && effective.is_set(name) {
            return Err(ConfigError::Contradiction {
                first: "--auth none".to_owned(),
                second: format!("--{name} {value}"),
                advice: "without login there is nobody to limit; leave the limit out",
            });
        }
    }
    let some = |number: u32| (login && number > 0).then_some(number as usize);
    let per_source = some(options.connections_per_source);
    if options.connections_per_source > options.max_connections
        && effective.is_set("connections-per-source")
    {
        return Err(ConfigError::Contradiction {
            first: format!("--connections-per-source {}", options.connections_per_source),
            second: format!("--max-connections {}", options.max_connections),
            advice: "one source cannot have more connections than all together",
        });
    }
    // Below, a slow phone could not ask; above, a thousand sockets that dribble are held for free.
    let head = within("--request-head-timeout", options.request_head_timeout, 1, 60)?;
    let idle = within("--idle-timeout", options.idle_timeout, 5, 3600)?;
    if head > idle && effective.is_set("request-head-timeout") {
        return Err(ConfigError::Contradiction {
            first: format!("--request-head-timeout {}", options.request_head_timeout),
            second: format!("--idle-timeout {}", options.idle_timeout),
            advice: "the idle time ends with the next head, so it cannot be the shorter one",
        });
    }
    Ok(Limits {
        streams_per_user: some(options.streams_per_user),
        max_connections: options.max_connections as usize,
        connections_per_source: per_source,
        streams_per_connection: options.streams_per_connection,
        token_failures: some(options.token_failures),
        head: head.min(idle),
        // Below, no token of a large identity provider fits; above, hyper's buffer is full.
        head_bytes: size("--request-head-bytes", options.request_head_bytes, 8 << 10, 64 << 10)?,
        body_bytes: size("--request-body-bytes", options.request_body_bytes, 1 << 10, 1 << 20)?,
        idle,
        // Below, a few lost packets in a row would cut a viewer that reads; above, the dead keep their
        // places and the bytes that wait for them.
        stall: within("--stall-timeout", options.stall_timeout, 5, 600)?,
        memory: memory(options.memory_limit, fixed)?,
    })
}

/// What history and shared pieces may take must fit below the share where they stop growing, or
/// pressure would be the usual state.
fn memory(limit: Option<Size>, fixed: usize) -> Result<Option<u64>, ConfigError> {
    let Some(limit) = limit else { return Ok(None) };
    let bytes = size("--memory-limit", limit, 64 << 20, 1 << 40)? as u64;
    if fixed as u64 > bytes / 10 * 7 {
        return Err(ConfigError::Contradiction {
            first: format!("--memory-limit {limit}"),
            second: "--journal-bytes and --view-cache-bytes".to_owned(),
            advice: "together they may take 70 % of the memory; raise it or lower them",
        });
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Serve, Span, USAGE, from_args};

    fn served(args: &str) -> Serve {
        match from_args(["rollcast", "serve"].into_iter().chain(args.split_whitespace())) {
            Ok(Config::Serve(serve)) => *serve,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn limits_on_people_hold_with_login_only() {
        let limits = served("").limits;
        assert_eq!(limits.streams_per_user, Some(20));
        assert_eq!(limits.connections_per_source, Some(200));
        assert_eq!(limits.token_failures, Some(10));
        let open = "--auth none --listen 127.0.0.1:0";
        let limits = served(open).limits;
        assert_eq!((limits.streams_per_user, limits.token_failures), (None, None));
        assert_eq!(limits.connections_per_source, None);
        // Off is what it is without login anyway.
        served(&format!("{open} --streams-per-user 0"));
    }

    #[test]
    fn zero_is_no_limit() {
        let limits =
            served("--streams-per-user 0 --connections-per-source 0 --token-failures 0").limits;
        assert_eq!((limits.streams_per_user, limits.token_failures), (None, None));
        assert_eq!(limits.connections_per_source, None);
    }

    #[test]
    fn the_memory_limit_must_hold_what_is_kept() {
        assert_eq!(served("").limits.memory, None);
        assert_eq!(served("--memory-limit 512MiB").limits.memory, Some(512 << 20));
        served("--memory-limit 64MiB --journal-bytes 32MiB --view-cache-bytes 8MiB");
    }

    #[test]
    fn what_cannot_work_is_refused() {
        for (args, words) in [
            ("--auth none --listen [::1]:0 --streams-per-user 5", "--streams-per-user 5"),
            ("--auth none --listen [::1]:0 --token-failures 5", "--token-failures 5"),
            ("--max-connections 10 --connections-per-source 20", "--max-connections 10"),
            ("--memory-limit 128MiB", "--journal-bytes and --view-cache-bytes"),
            ("--memory-limit 1MiB", "from 64MiB"),
            ("--stall-timeout 1s", "from 5s to 600s"),
            ("--idle-timeout 1s", "from 5s to 3600s"),
            ("--idle-timeout 5s --request-head-timeout 20s", "--idle-timeout 5s contradict"),
            ("--request-head-timeout 0s", "from 1s to 60s"),
            ("--request-head-bytes 1MiB", "from 8KiB to 64KiB"),
            ("--request-body-bytes 1GiB", "from 1KiB to 1MiB"),
            ("--streams-per-connection 0", "from 1 to 10000"),
        ] {
            let args = ["rollcast", "serve"].into_iter().chain(args.split_whitespace());
            let stop = from_args(args.clone()).unwrap_err();
            assert_eq!(stop.code, USAGE);
            assert!(stop.text.contains(words), "{:?}: {}", args.collect::<Vec<_>>(), stop.text);
        }
    }

    #[test]
    fn defaults_are_those_of_the_listener() {
        let limits = served("").limits;
        let usual = crate::http::serve::Bounds::default();
        assert_eq!(limits.stall, usual.stall);
        assert_eq!(limits.head, usual.head);
        assert_eq!(limits.head_bytes, usual.head_bytes as usize);
        assert_eq!(limits.idle, usual.idle);
        assert_eq!(served("--idle-timeout 5s").limits.head, Span::seconds(5).0);
        assert_eq!(limits.max_connections, usual.connections);
        assert_eq!(limits.streams_per_connection, usual.streams);
    }
}
