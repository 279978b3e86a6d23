//! What the shop's programs say: requests, JSON, colours, stack traces, other alphabets, a progress
//! bar, and now and then something wrong.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::sim::logs::Pipe;
use crate::sim::spec::{Line, Make};
use crate::time::{MILLISECOND, rfc3339};

/// Lines at fixed times after a start.
type Script = Arc<[(Duration, Pipe, String)]>;

/// Why there is a new revision of `web`.
pub(super) const WEB_CHANGES: [&str; 5] = [
    "release 1.9: faster product pages",
    "fix the basket badge on small screens",
    "translate the imprint (日本語, Ελληνικά)",
    "raise the cache's time to live to 60 s",
    "turn on the spring banner 🌷",
];

const PATHS: [&str; 8] = [
    "/products?page=3",
    "/cart",
    "/cart/items",
    "/search?q=caf%C3%A9",
    "/products/77",
    "/health",
    "/api/v2/orders/81231",
    "/static/app.4f1c.js",
];
const PEOPLE: [&str; 6] = ["Zoë", "José", "愛子", "Łukasz", "Μαρία", "Sam"];
const TERMS: [&str; 5] = ["café", "grüner Tee", "ラーメン", "чайник", "mug 🫖"];

/// Picks one, by the line's seeded source.
fn pick<'a>(line: &mut Line<'_>, of: &[&'a str]) -> &'a str {
    of[line.rng.usize(..of.len())]
}

/// Appends formatted text; writing to a `Vec` cannot fail.
macro_rules! say {
    ($line:expr, $($text:tt)*) => { let _ = write!($line.text, $($text)*); };
}

pub(super) fn web() -> Make {
    Arc::new(|line| {
        let (path, took) = (pick(line, &PATHS), line.rng.u32(1..60));
        match line.rng.u32(..100) {
            0 => {
                line.pipe = Pipe::Err;
                say!(line, "WARN upstream pay-api timeout after 2000ms, retrying (1 of 3)");
            }
            1 => {
                line.pipe = Pipe::Err;
                say!(line, "ERROR GET {path} 502 {took}ms: upstream closed the connection\n");
                say!(line, "    at Upstream.read (/srv/app/upstream.js:118:13)\n");
                say!(line, "    at Router.handle (/srv/app/router.js:64:9)");
            }
            2..5 => {
                let who = pick(line, &PEOPLE);
                say!(line, "INFO session of {who} renewed");
            }
            5..8 => {
                say!(line, "DEBUG cache hit ratio 0.{}", line.rng.u32(80..99));
            }
            _ => {
                say!(line, "INFO GET {path} 200 {took}ms");
            }
        }
    })
}

pub(super) fn web_start(version: &str) -> Script {
    [
        (50, format!("INFO starting web {version} (commit 5f2c1e7)")),
        (400, "INFO connected to redis:6379".to_owned()),
        (1_900, "INFO listening on :8080".to_owned()),
    ]
    .map(|(at, text)| (Duration::from_millis(at), Pipe::Out, text))
    .into()
}

pub(super) fn migrate() -> Script {
    // A progress bar overwrites itself with CR; it becomes a line when the LF comes.
    let bar = (0..=4).fold(String::new(), |bar, step| {
        let done = "#".repeat(step * 5);
        format!("{bar}\rmigrating [{done:<20}] {}%", step * 25)
    });
    [(100, "3 migrations to run".to_owned()), (1_200, bar), (1_300, "done in 1.2s".to_owned())]
        .map(|(at, text)| (Duration::from_millis(at), Pipe::Out, text))
        .into()
}

pub(super) fn payments() -> Make {
    Arc::new(|line| {
        let order = line.rng.u32(80_000..90_000);
        match line.rng.u32(..40) {
            0 => {
                line.pipe = Pipe::Err;
                say!(
                    line,
                    "level=warn msg=\"card declined\" order={order} code=insufficient_funds"
                );
            }
            1 => {
                line.pipe = Pipe::Err;
                say!(line, "level=error msg=\"bank timeout\" order={order} took=5.001s retry=true");
            }
            _ => {
                let took = line.rng.u32(20..400);
                say!(line, "level=info msg=\"payment captured\" order={order} took={took}ms");
            }
        }
    })
}

pub(super) fn checkout() -> Make {
    Arc::new(|line| {
        let (who, sum) = (pick(line, &PEOPLE), line.rng.u32(300..20_000));
        let (euro, cent) = (sum / 100, sum % 100);
        match line.rng.u32(..30) {
            0 => {
                line.pipe = Pipe::Err;
                say!(line, "WARN  [checkout] basket of {who} is older than 24h, prices refreshed");
            }
            _ => {
                say!(line, "INFO  [checkout] order for {who}: {euro}.{cent:02} €");
            }
        }
    })
}

pub(super) fn checkout_crash(version: &str) -> Script {
    let out = |at, text: String| (Duration::from_millis(at), Pipe::Out, text);
    let err = |at, text: &str| (Duration::from_millis(at), Pipe::Err, text.to_owned());
    [
        out(60, format!("INFO  [main] starting checkout {version}")),
        out(300, "INFO  [db] connecting to postgres:5432".to_owned()),
        err(1_950, "FATAL [config] CURRENCY_TABLE_URL is not set"),
        err(1_951, "java.lang.IllegalStateException: CURRENCY_TABLE_URL is not set"),
        err(1_951, "\tat org.example.checkout.Config.require(Config.java:41)"),
        err(1_951, "\tat org.example.checkout.Currencies.<init>(Currencies.java:23)"),
        err(1_952, "\tat org.example.checkout.Main.main(Main.java:17)"),
        err(1_952, "Caused by: java.util.NoSuchElementException: no value present"),
        err(1_952, "\t... 3 more"),
    ]
    .into()
}

pub(super) fn search() -> Make {
    Arc::new(|line| {
        let term = pick(line, &TERMS);
        match line.rng.u32(..25) {
            0 => {
                line.pipe = Pipe::Err;
                say!(line, "W heap at 87 %, garbage collection took {}ms", line.rng.u32(200..900));
            }
            _ => {
                let (hits, took) = (line.rng.u32(..900), line.rng.u32(1..80));
                say!(line, "I query \"{term}\": {hits} hits in {took}ms");
            }
        }
    })
}

pub(super) fn proxy() -> Make {
    Arc::new(|line| {
        let count = line.rng.u32(10..99);
        say!(line, "[info] proxy: {count} connections, 0 resets");
    })
}

pub(super) fn catalog() -> Make {
    Arc::new(|line| {
        let time = rfc3339(line.time.div_euclid(MILLISECOND) * MILLISECOND);
        let path = pick(line, &PATHS);
        match line.rng.u32(..12) {
            0..3 => {
                let took = line.rng.u32(1..50);
                say!(line, "\x1b[2m{time}\x1b[0m \x1b[32m INFO\x1b[0m \x1b[1mcatalog\x1b[0m: ");
                say!(line, "{path} \x1b[36mtook\x1b[0m={took}ms");
            }
            3 => {
                line.pipe = Pipe::Err;
                say!(line, "\x1b[2m{time}\x1b[0m \x1b[33m WARN\x1b[0m \x1b[1mcatalog\x1b[0m: ");
                say!(line, "picture missing, \x1b[4mplaceholder\x1b[0m sent");
            }
            4 if line.number % 7 == 0 => {
                line.pipe = Pipe::Err;
                say!(line, "\x1b[1;31mERROR\x1b[0m price feed: \x1b[31mconnection refused\x1b[0m");
            }
            level => {
                let level = if level == 5 { "warn" } else { "info" };
                let entry = json!({
                    "ts": time, "level": level, "msg": "product viewed", "path": path,
                    "user": pick(line, &PEOPLE), "took_ms": line.rng.u32(1..90),
                    "trace_id": format!("{:032x}", line.rng.u128(..)),
                });
                say!(line, "{entry}");
            }
        }
    })
}

pub(super) fn gateway() -> Make {
    Arc::new(|line| {
        let (path, status) = (pick(line, &PATHS), pick(line, &["200", "200", "200", "304", "404"]));
        let (from, size) = (line.rng.u8(1..255), line.rng.u32(200..40_000));
        say!(line, "198.51.100.{from} - - \"GET {path} HTTP/2.0\" {status} {size} \"-\" ");
        say!(line, "\"Mozilla/5.0\" rt=0.{:03}", line.rng.u32(1..400));
    })
}

pub(super) fn index() -> Make {
    Arc::new(|line| {
        let (segment, documents) = (line.number, line.rng.u32(100..9_000));
        say!(line, "{} merged segment {segment}: {documents} documents", line.pod);
    })
}

pub(super) fn agent() -> Make {
    Arc::new(|line| {
        let (cpu, memory) = (line.rng.u32(3..80), line.rng.u32(30..70));
        say!(line, "node ok cpu={cpu}% memory={memory}%");
    })
}

pub(super) fn report() -> Script {
    let mut lines = vec![(100, "collecting the day's orders".to_owned())];
    lines.extend((1..=8).map(|part| (part * 1_000, format!("part {part} of 8 written"))));
    lines.push((8_700, "report sent to accounting@example.org".to_owned()));
    let line = |(at, text)| (Duration::from_millis(at), Pipe::Out, text);
    lines.into_iter().map(line).collect()
}
