//! Every way in which a rollout ends, through real proxies, for each client: `ci.sh` with HTTP/1.1 and HTTP/2,
//! the recipe of curl alone, and `rollcast follow`. In `docs/matrix.md` is what the last long run found.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rollcast::sim::{Output, Pipe, Program, Ready, Resource};
use tokio::time::sleep;

use crate::proxies::{Http2, Proxy, Way};
use crate::recipes::alone;
use crate::shells::{Ended, shells};
use crate::stage::Stage;
use crate::{Cell, check_many, root, script};

/// The document around the table.
const MATRIX: &str = "# Clients behind proxies

The exit status of each client for each way in which a rollout ends, through proxies as they are when nobody has
told them anything about streams: `0` a success, `1` a failure, `4` a newer rollout (the recipe of curl alone has
one status for all that is no success); `-` is what the proxy does not have. A status that is not the true one
would read `0 not 1`, and a client that does not end `hung`. What a job shows is checked with it: one `RESULT` line,
the true one, and from curl alone, whose stream may have been cut, no other. In \"idle\" nothing is said for 70 seconds but
heartbeats; in \"restart\" the server is killed and comes back after two seconds with nothing in its memory. `h2` is
HTTP/2 from the client to the proxy. The columns with names of Debian releases are `ci.sh` with the curl of that
release (VERSIONS). Written by

    UPDATE=1 ROLLCAST_E2E_LENGTH=full cargo test --test ci through::

```text
TABLE
```
";

/// Jobs that run at the same time: most of them wait.
const AT_ONCE: usize = 28;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    Script(Curl),
    ScriptHttp2(Curl),
    /// The recipe of curl alone.
    Alone,
    Follow,
}

/// Which curl: this machine's, and those of other Debians (`tests/setup curls`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Curl {
    Own,
    Bullseye,
    Trixie,
    Sid,
}

/// How a rollout goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    Success,
    Failure,
    /// Nothing is said for longer than proxies wait, and it is good in the end.
    Idle,
    /// The server is killed meanwhile, and comes back.
    Restart,
    Superseded,
    Deleted,
}

struct Job {
    stage: Arc<Stage>,
    proxy: Arc<Proxy>,
    client: Client,
    course: Course,
    name: String,
}

// === impl Client ===

impl Client {
    const ALL: [Client; 10] = [
        Client::Script(Curl::Own),
        Client::ScriptHttp2(Curl::Own),
        Client::Script(Curl::Bullseye),
        Client::ScriptHttp2(Curl::Bullseye),
        Client::Script(Curl::Trixie),
        Client::ScriptHttp2(Curl::Trixie),
        Client::Script(Curl::Sid),
        Client::ScriptHttp2(Curl::Sid),
        Client::Alone,
        Client::Follow,
    ];
    /// Those of the short run: the script, which all recipes call.
    const SHORT: [Client; 2] = [Client::Script(Curl::Own), Client::ScriptHttp2(Curl::Own)];

    fn name(self) -> &'static str {
        match self {
            Client::Script(Curl::Own) => "ci.sh",
            Client::ScriptHttp2(Curl::Own) => "ci.sh h2",
            Client::Script(Curl::Bullseye) => "bullseye",
            Client::ScriptHttp2(Curl::Bullseye) => "bullseye h2",
            Client::Script(Curl::Trixie) => "trixie",
            Client::ScriptHttp2(Curl::Trixie) => "trixie h2",
            Client::Script(Curl::Sid) => "sid",
            Client::ScriptHttp2(Curl::Sid) => "sid h2",
            Client::Alone => "curl alone",
            Client::Follow => "follow",
        }
    }

    fn is_http2(self) -> bool {
        matches!(self, Client::ScriptHttp2(_))
    }

    /// The status of a course. The recipe of curl alone has one for all that is no success.
    fn wanted(self, course: Course) -> i32 {
        match course {
            Course::Success | Course::Idle | Course::Restart => 0,
            Course::Superseded if self != Client::Alone => 4,
            Course::Failure | Course::Deleted | Course::Superseded => 1,
        }
    }
}

// === impl Curl ===

impl Curl {
    const ALL: [Curl; 4] = [Curl::Own, Curl::Bullseye, Curl::Trixie, Curl::Sid];

    fn program(self) -> PathBuf {
        let home = PathBuf::from(std::env::var_os("HOME").unwrap());
        let of = |suite: &str| home.join(".cache/rollcast/curls").join(suite).join("curl");
        match self {
            Curl::Own => "/usr/bin/curl".into(),
            Curl::Bullseye => of("bullseye"),
            Curl::Trixie => of("trixie"),
            Curl::Sid => of("sid"),
        }
    }

    /// `7.88.1`.
    fn version(self) -> String {
        let said = Command::new(self.program()).arg("-V").output().unwrap().stdout;
        let said = String::from_utf8(said).unwrap();
        said.split(' ').nth(1).unwrap().to_owned()
    }
}

// === impl Course ===

impl Course {
    const ALL: [Course; 6] = [
        Course::Success,
        Course::Failure,
        Course::Idle,
        Course::Restart,
        Course::Superseded,
        Course::Deleted,
    ];

    fn name(self) -> &'static str {
        match self {
            Course::Success => "success",
            Course::Failure => "failure",
            Course::Idle => "idle",
            Course::Restart => "restart",
            Course::Superseded => "superseded",
            Course::Deleted => "deleted",
        }
    }

    fn image(self) -> &'static str {
        match self {
            Course::Success => "shop/web:2",
            Course::Failure => "shop/web:crash",
            Course::Idle => "shop/web:idle",
            Course::Restart => "shop/web:slow",
            Course::Superseded | Course::Deleted => "shop/web:never",
        }
    }
}

// === impl Job ===

impl Job {
    async fn run(self) -> Cell {
        let Job { stage, proxy, client, course, name } = &self;
        stage.deploy(name, "b-17", course.image());
        let meanwhile = async {
            sleep(Duration::from_secs(4)).await;
            match course {
                Course::Superseded => stage.deploy(name, "b-18", "shop/web:2"),
                Course::Deleted => assert!(stage.sim.delete(Resource::Deployments, "shop", name)),
                _ => {}
            }
        };
        let (ended, ()) = tokio::join!(self.ends(), meanwhile);
        let wanted = client.wanted(*course);
        // One result is told, the true one; what is shown may have been cut before it where only curl is.
        let results: Vec<_> =
            ended.out.lines().filter(|line| line.starts_with("RESULT ")).collect();
        let outcome = match course {
            Course::Superseded => "outcome=superseded",
            _ if wanted == 0 => "outcome=succeeded",
            Course::Deleted => "outcome=deleted",
            _ => "outcome=failed",
        };
        let right = results.iter().all(|line| line.contains(outcome) && line.contains(&**name));
        let many = if *client == Client::Alone { 0..=1 } else { 1..=1 };
        // Who was not cut has not been tried.
        let is_script = matches!(client, Client::Script(_) | Client::ScriptHttp2(_));
        // A proxy may keep who comes back waiting until there is a server again.
        let cut = ["trying again", "going on behind it"];
        let is_tried = !is_script
            || *course != Course::Restart
            || cut.iter().any(|words| ended.err.contains(words));
        let mut complaint = ended.complaint(&[]);
        if !is_tried {
            complaint = Some(format!("was not cut:\n{}\n{}", ended.out, ended.err));
        }
        if !right || !many.contains(&results.len()) {
            complaint = Some(format!("the result is not told as it is:\n{}", ended.out));
        }
        if ended.status != Some(wanted) && complaint.is_none() {
            complaint = Some(format!("says\n{}\n{}", ended.out, ended.err));
        }
        let row = format!("{}: {}", proxy.way.name(), course.name());
        Cell { row, column: client.name(), wanted, came: ended.status, complaint }
    }

    async fn ends(&self) -> Ended {
        let Job { proxy, client, name, .. } = self;
        let workload = format!("deployment/{name}");
        let server =
            ["--server", &proxy.url, "-n", "shop", "--deploy", "b-17", "--timeout", "110s"];
        let arguments = [&server[..], &[&*workload]].concat();
        let certificate = proxy.certificate.as_ref().map(|file| file.to_str().unwrap());
        let mut variables =
            vec![("ROLLCAST_SERVER", proxy.url.as_str()), ("ROLLCAST_TOKEN", "none")];
        for variable in ["CURL_CA_BUNDLE", "SSL_CERT_FILE"] {
            variables.extend(certificate.map(|file| (variable, file)));
        }
        // HTTP/2 where it is wanted, and not where TLS would have it.
        let version = match (client, proxy.way.http2()) {
            (Client::ScriptHttp2(_), Http2::Prior) => "--http2-prior-knowledge",
            (Client::ScriptHttp2(_), _) => "--http2",
            _ => "--http1.1",
        };
        let program = match client {
            Client::Script(curl) | Client::ScriptHttp2(curl) => curl.program(),
            Client::Alone | Client::Follow => Curl::Own.program(),
        };
        let curl = format!("#!/bin/sh\nexec {} -q {version} \"$@\"\n", program.display());
        let mut files = BTreeMap::from([("bin/curl", curl)]);
        let shell = &shells()[0];
        let script = script();
        let command = match client {
            Client::Script(_) | Client::ScriptHttp2(_) => {
                [&[script.to_str().unwrap()], &arguments[..]].concat()
            }
            Client::Alone => {
                files.insert("recipe", alone(name, "b-17"));
                vec!["recipe"]
            }
            Client::Follow => {
                let program = env!("CARGO_BIN_EXE_rollcast");
                let text = format!("#!/bin/sh\nexec {program} follow \"$@\"\n");
                files.insert("follow", text);
                [&["follow"], &arguments[..]].concat()
            }
        };
        shell.run(&command, &variables, None, &files).end().await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_client_ends_as_its_rollout_does_behind_every_proxy() {
    let full = std::env::var("ROLLCAST_E2E_LENGTH").as_deref() == Ok("full");
    let needed: &[&str] =
        if full { &["shells", "proxies", "curls"] } else { &["shells", "proxies"] };
    if !crate::has(needed) {
        return;
    }
    let clients: &[Client] = if full { &Client::ALL } else { &Client::SHORT };
    // Longer than nginx (60 s) and HAProxy (50 s) wait for a byte; in the short run, than Envoy takes for all.
    let idle = Duration::from_secs(if full { 70 } else { 18 });
    let (calm, killed) = tokio::join!(stage(idle), stage(idle));
    let mut ways = Vec::new();
    for way in Way::ALL {
        let calm_way = Arc::new(Proxy::start(way, calm.address).await);
        let killed_way = Arc::new(Proxy::start(way, killed.address).await);
        ways.push((way, calm_way, killed_way));
    }
    let mut jobs: Vec<Pin<Box<dyn Future<Output = Cell> + Send>>> = Vec::new();
    let mut restarts: Vec<Pin<Box<dyn Future<Output = Cell> + Send>>> = Vec::new();
    let (mut names, mut names_killed) = (Vec::new(), Vec::new());
    for (at, (way, calm_way, killed_way)) in ways.iter().enumerate() {
        for (number, client) in clients.iter().enumerate() {
            if client.is_http2() && way.http2() == Http2::Never {
                continue;
            }
            for course in Course::ALL {
                let is_killed = course == Course::Restart;
                let name = format!("{}-{at}-{number}", course.name());
                let (stage, proxy) =
                    if is_killed { (&killed, killed_way) } else { (&calm, calm_way) };
                let (stage, proxy) = (stage.clone(), proxy.clone());
                if is_killed { &mut names_killed } else { &mut names }.push(name.clone());
                let job = Job { stage, proxy, client: *client, course, name };
                if is_killed { &mut restarts } else { &mut jobs }.push(Box::pin(job.run()));
            }
        }
    }
    let settle = |stage: Arc<Stage>, names: Vec<String>| async move {
        stage.settle(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    };
    tokio::join!(settle(calm, names), settle(killed.clone(), names_killed));
    let mut cells = Vec::new();
    while !restarts.is_empty() {
        let some: Vec<_> = restarts.drain(..restarts.len().min(AT_ONCE)).collect();
        let killing = async {
            sleep(Duration::from_secs(4)).await;
            killed.restart(Duration::from_secs(2)).await;
        };
        // All of these at once, since the server is killed once for them.
        let (ended, ()) = tokio::join!(check_many(some.len(), some), killing);
        cells.extend(ended);
    }
    cells.extend(check_many(AT_ONCE, jobs).await);
    let title = "clients behind proxies";
    crate::judge(title, &cells);
    if full && std::env::var_os("UPDATE").is_some() {
        let versions =
            Curl::ALL.map(|curl| format!("{curl:?}: curl {}", curl.version()).to_lowercase());
        let table = crate::table(title, &cells);
        let text = MATRIX.replace("TABLE", &table).replace("VERSIONS", &versions.join(", "));
        std::fs::write(root().join("docs/matrix.md"), text).unwrap();
    }
}

async fn stage(idle: Duration) -> Arc<Stage> {
    let stage = Stage::open(&["--auth", "none"]).await;
    let lines = [(Duration::ZERO, Pipe::Out, "starting web".to_owned())];
    let output = vec![Output::Script(lines.into())];
    let program = Program { ready: Ready::After(idle), output, ..Program::default() };
    stage.sim.register_image("shop/web:idle", program);
    Arc::new(stage)
}
