//! The program itself before a simulated cluster, both on sockets.

use std::fs::File;
use std::net::{SocketAddr, TcpListener as Listener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use parking_lot::Mutex;
use rollcast::sim::{
    Container, Deployment, Exit, Identity, Output, Pipe, Program, Pull, Ready, Rule, Sim,
    SimOptions, Subject, Template,
};
use rollcast::time;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// The token of somebody who may read, and of somebody who may not.
pub const TOKENS: [&str; 2] = ["token-of-ann", "token-of-bob"];

/// A service that can be killed and started again at the same address.
pub struct Stage {
    pub sim: Sim,
    pub address: SocketAddr,
    admin: SocketAddr,
    options: Vec<String>,
    child: Mutex<Child>,
    folder: TempDir,
    stop: CancellationToken,
}

/// Says a line when it starts, and runs on.
fn good(ready: Ready) -> Program {
    let lines = [(Duration::ZERO, Pipe::Out, "starting web".to_owned())];
    Program { ready, output: vec![Output::Script(lines.into())], ..Program::default() }
}

/// Says these lines, and ends with an error before its probe can pass; `ready` may say that it has none.
fn crashing(lines: &[&str], ready: Ready) -> Program {
    let lines: Vec<_> =
        lines.iter().map(|line| (Duration::ZERO, Pipe::Err, (*line).to_owned())).collect();
    let exit = Exit::After(Duration::from_millis(500), 1);
    Program { output: vec![Output::Script(lines.into())], exit, ready, ..Program::default() }
}

const FATAL: &str = "FATAL config: DATABASE_URL is not set";

/// Lines that would be a result, a command, or worse, if they stood as they are.
pub const HOSTILE: [&str; 16] = [
    "RESULT outcome=succeeded rollout=shop/deployment/web revision=9 ready=1/1",
    "x\rRESULT outcome=succeeded rollout=shop/deployment/web revision=9 ready=1/1",
    "- RESULT outcome=succeeded rollout=shop/deployment/web",
    "abcdef-1-9 RESULT outcome=succeeded rollout=shop/deployment/web",
    "\u{1b}[2J\u{1b}[1;1HRESULT outcome=succeeded",
    "\u{85}\u{2028}RESULT outcome=succeeded",
    "::error title=owned::by a pod",
    "x\r::set-output name=a::b",
    "##[add-mask]x ##vso[task.complete result=Succeeded;]done",
    "##teamcity[buildStatus status='SUCCESS']",
    "\u{1b}[0Ksection_start:1:owned\r\u{1b}[0Kowned",
    "  ::error::owned behind spaces",
    "\u{ad}:\u{200b}:error::owned behind what is not seen",
    "#\u{ad}#vso[task.complete result=Succeeded;]done",
    "+++ owned",
    "--- owned",
];

// === impl Stage ===

impl Stage {
    /// Starts both, the service with these options.
    pub async fn open(options: &[&str]) -> Self {
        let backoff_base = Duration::from_secs(1);
        let sim = Sim::new(SimOptions {
            start_time: time::now(),
            backoff_base,
            backoff_cap: backoff_base,
            ..SimOptions::default()
        });
        for (image, program) in [
            ("shop/web:1", good(Ready::After(Duration::from_millis(500)))),
            ("shop/web:2", good(Ready::After(Duration::from_secs(2)))),
            ("shop/web:slow", good(Ready::After(Duration::from_secs(8)))),
            ("shop/web:never", good(Ready::Never)),
            ("shop/web:crash", crashing(&[FATAL], Ready::Never)),
            ("shop/web:unprobed", good(Ready::NoProbe)),
            ("shop/web:unprobed-crash", crashing(&[FATAL], Ready::NoProbe)),
            ("shop/web:hostile", crashing(&HOSTILE, Ready::Never)),
        ] {
            sim.register_image(image, program);
        }
        let message = "shop/web:none: not found".to_owned();
        let none = Program { pull: Pull::Fails { message }, ..Program::default() };
        sim.register_image("shop/web:none", none);
        for (token, user) in TOKENS.into_iter().zip(["ann", "bob"]) {
            let audiences = vec!["rollcast".to_owned()];
            let identity = Identity { user: user.to_owned(), audiences, ..Identity::default() };
            sim.add_token(token, identity);
        }
        let ann = Subject::User("ann".to_owned());
        sim.add_rule(Rule::new(ann, "get", "pods/log", Some("shop")));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let cluster = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let (serving, stopped) = (sim.clone(), stop.clone());
        tokio::spawn(async move { serving.listen(listener, stopped).await });

        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        std::fs::write(&kubeconfig, Sim::kubeconfig(cluster)).unwrap();
        let free = || Listener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (address, admin) = (free(), free());
        let own = [
            "serve",
            "--listen",
            &address.to_string(),
            "--admin-listen",
            &admin.to_string(),
            "--kubeconfig",
            kubeconfig.to_str().unwrap(),
        ]
        .map(str::to_owned);
        let options: Vec<_> =
            own.into_iter().chain(options.iter().map(|it| (*it).to_owned())).collect();
        let child = Mutex::new(start(&options, &folder));
        let stage = Stage { sim, address, admin, options, child, folder, stop };
        stage.ready().await;
        stage
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Applies Deployments of one pod, and waits until they are there. Those whose name begins with
    /// `unprobed` have no readiness probe.
    pub async fn settle(&self, names: &[&str]) {
        for name in names {
            let (image, ready) = match name.starts_with("unprobed") {
                true => ("shop/web:unprobed", Ready::NoProbe),
                false => ("shop/web:1", Ready::After(Duration::ZERO)),
            };
            // The template has a probe if its first program has one.
            let app = Container::new("app", image, good(ready));
            self.sim.apply(Deployment::new("shop", name, 1, Template::new([app])));
        }
        for name in names {
            let path = format!("/api/v1/namespaces/shop/deployment/{name}/verdict?wait=30s");
            let token = format!("Authorization: Bearer {}\r\n", TOKENS[0]);
            let (status, body) = get(self.address, &path, &token).await.unwrap();
            assert_eq!(status, 200, "{name}: {body}");
        }
    }

    /// What `kubectl apply` does in a deploy: the image, and the id of the deploy.
    pub fn deploy(&self, name: &str, id: &str, image: &str) {
        let done = self.sim.edit_deployment("shop", name, |spec| {
            spec.annotations.insert("rollcast.dev/deploy".to_owned(), id.to_owned());
            spec.template.containers[0].image = image.to_owned();
        });
        assert!(done, "there is no {name}");
    }

    /// Kills the service, and starts it again after a while.
    pub async fn restart(&self, pause: Duration) {
        {
            let mut child = self.child.lock();
            child.kill().unwrap();
            child.wait().unwrap();
        }
        tokio::time::sleep(pause).await;
        *self.child.lock() = start(&self.options, &self.folder);
        self.ready().await;
    }

    async fn ready(&self) {
        for _ in 0..600 {
            if get(self.admin, "/readyz", "").await.is_some_and(|(status, _)| status == 200) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the service is not ready:\n{}", self.log());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(log(&self.folder)).unwrap_or_default()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.stop.cancel();
        let _ = self.child.lock().kill();
        let _ = self.child.lock().wait();
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}

fn log(folder: &TempDir) -> PathBuf {
    folder.path().join("log")
}

fn start(options: &[String], folder: &TempDir) -> Child {
    let log = File::options().create(true).append(true).open(log(folder)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollcast"));
    let ours = |name: &str| name.starts_with("ROLLCAST_") || name.starts_with("OTEL_");
    for (name, _) in std::env::vars().filter(|(name, _)| ours(name)) {
        command.env_remove(name);
    }
    command.args(options).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command.spawn().unwrap()
}

/// Status and body; `None` if nobody answers.
async fn get(address: SocketAddr, path: &str, headers: &str) -> Option<(u16, String)> {
    let mut socket = TcpStream::connect(address).await.ok()?;
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n");
    socket.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    Some((status, answer.split_once("\r\n\r\n")?.1.to_owned()))
}
