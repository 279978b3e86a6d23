//! The program, started as a user starts it.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::client::Client;
use crate::cluster::{eventually, kubeconfig, run};

/// A running `rollcast serve`. Dropping it ends the process.
pub struct Service {
    pub address: SocketAddr,
    pub admin: SocketAddr,
    child: Child,
    options: Vec<String>,
    pub log: PathBuf,
}

/// The program under test: `ROLLCAST_BIN`, else what cargo built along.
pub fn binary() -> PathBuf {
    match std::env::var_os("ROLLCAST_BIN").filter(|path| !path.is_empty()) {
        Some(path) => path.into(),
        None => env!("CARGO_BIN_EXE_rollcast").into(),
    }
}

/// `rollcast` without anything of our own environment that would configure it.
pub fn rollcast(arguments: &[&str]) -> Command {
    let mut command = cleaned(Command::new(binary()));
    command.args(arguments);
    command
}

/// The same as a member of these control groups from its first instruction on: it reads its limits when
/// it starts.
fn confined(arguments: &[&str], groups: &[&Path]) -> Command {
    let mut command = cleaned(Command::new("sh"));
    let join = "while [ \"$1\" != -- ]; do echo $$ >\"$1/cgroup.procs\" || exit 97; shift; done";
    command.arg("-c").arg(format!("{join}; shift; exec \"$@\"")).arg("sh");
    command.args(groups).arg("--").arg(binary()).args(arguments);
    command
}

fn cleaned(mut command: Command) -> Command {
    let ours = |name: &str| name.starts_with("ROLLCAST_") || name.starts_with("OTEL_");
    for (name, _) in std::env::vars().filter(|(name, _)| ours(name)) {
        command.env_remove(name);
    }
    if let Ok(filter) = std::env::var("ROLLCAST_TEST_LOG") {
        command.env("ROLLCAST_LOG", filter);
    }
    command.stdin(Stdio::null());
    command
}

/// An address on loopback that is free now.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// One request on a connection of its own.
pub async fn get(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Response<Incoming> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    // Its end reaches the body.
    tokio::spawn(connection);
    let mut request = Request::get(path).header("host", address.to_string());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap()
}

/// Status and whole body.
pub async fn fetch(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let response = get(address, path, headers).await;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

/// Opens a stream as Server-Sent Events.
///
/// # Panics
/// If the answer is an error.
pub async fn stream(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Client {
    let accept = ("accept", "text/event-stream");
    let response = get(address, path, &[&[accept], headers].concat()).await;
    let status = response.status();
    if status != 200 {
        let body = response.into_body().collect().await.unwrap().to_bytes();
        panic!("{path}: {status}: {}", String::from_utf8_lossy(&body));
    }
    Client::new(Body::new(response.into_body()))
}

/// The path of a Deployment's stream.
pub fn stream_path(namespace: &str, deployment: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/deployment/{deployment}/stream")
}

// === impl Service ===

impl Service {
    /// Starts it without login in front of the cluster under test and waits until it is ready.
    pub async fn open(name: &str, options: &[&str]) -> Self {
        Service::start(name, &[&["--auth", "none"], options].concat()).await
    }

    /// Starts it in front of the cluster under test and waits until it is ready.
    pub async fn start(name: &str, options: &[&str]) -> Self {
        Service::start_with(name, &kubeconfig().unwrap(), options).await
    }

    /// The same with another kubeconfig.
    pub async fn start_with(name: &str, kubeconfig: &Path, options: &[&str]) -> Self {
        let mut service = Service::spawn(
            name,
            &[&["--kubeconfig", kubeconfig.to_str().unwrap()], options].concat(),
        );
        service.ready().await;
        service
    }

    async fn ready(&mut self) {
        eventually("rollcast to be ready", Duration::from_secs(30), async || {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "rollcast ended: {ended:?}\n{}", self.log());
            let connected = TcpStream::connect(self.admin).await.is_ok();
            (connected && fetch(self.admin, "/readyz", &[]).await.0 == 200).then_some(())
        })
        .await;
    }

    /// Ends it by a signal, such as `-KILL`, and starts it again with the same options and addresses
    /// after a while.
    pub async fn again(&mut self, signal: &str, pause: Duration) {
        self.end(signal).await;
        tokio::time::sleep(pause).await;
        self.start_again().await;
    }

    /// Ends it by a signal, and waits until it has ended.
    pub async fn end(&mut self, signal: &str) {
        run(Command::new("kill").args([signal, &self.child.id().to_string()]), None).unwrap();
        eventually("rollcast to end", Duration::from_secs(30), async || {
            self.child.try_wait().unwrap().map(|_| ())
        })
        .await;
    }

    /// Starts it as before, and waits until it is ready.
    pub async fn start_again(&mut self) {
        let file = File::options().append(true).open(&self.log).unwrap();
        let options: Vec<&str> = self.options.iter().map(String::as_str).collect();
        self.child = rollcast(&options).stdout(Stdio::null()).stderr(file).spawn().unwrap();
        self.ready().await;
    }

    /// Starts it inside control groups and waits until it is ready.
    #[allow(dead_code, reason = "only the end-to-end suite confines it")]
    pub async fn confined(name: &str, options: &[&str], groups: &[&Path]) -> Self {
        let mut service = Service::begin(name, options, |options| confined(options, groups));
        service.ready().await;
        service
    }

    /// Starts it and does not wait.
    pub fn spawn(name: &str, options: &[&str]) -> Self {
        Service::begin(name, options, rollcast)
    }

    fn begin(name: &str, options: &[&str], command: impl Fn(&[&str]) -> Command) -> Self {
        let (address, admin) = (free_address(), free_address());
        let log =
            std::env::temp_dir().join(format!("rollcast-e2e-{name}-{}.log", std::process::id()));
        let file = File::create(&log).unwrap();
        let (listen, admin_listen) = (address.to_string(), admin.to_string());
        let listeners = ["serve", "--listen", &listen, "--admin-listen", &admin_listen];
        let options = [&listeners, options].concat();
        let child = command(&options).stdout(Stdio::null()).stderr(file).spawn().unwrap();
        let options = options.into_iter().map(Into::into).collect();
        Service { address, admin, child, options, log }
    }

    /// Its process id.
    #[allow(dead_code, reason = "the soak looks at the process")]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Keeps its log in a file beside the program when it is dropped, and says where.
    pub fn keep_log(&self) {
        let kept = std::env::current_exe().unwrap().with_file_name(self.log.file_name().unwrap());
        match std::fs::copy(&self.log, &kept) {
            Ok(_) => eprintln!("the log of rollcast is in {}", kept.display()),
            Err(error) => eprintln!("the log of rollcast is lost: {error}"),
        }
    }

    pub async fn fetch(&self, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
        fetch(self.address, path, headers).await
    }

    /// An answer in JSON.
    pub async fn json(&self, path: &str, headers: &[(&str, &str)]) -> (u16, Value) {
        let (status, body) = self.fetch(path, headers).await;
        (status, serde_json::from_str(&body).unwrap_or_else(|_| panic!("{path}: {body:?}")))
    }

    /// A number of its own metrics, all label sets together.
    pub async fn metric(&self, name: &str) -> f64 {
        let (_, text) = fetch(self.admin, "/metrics", &[]).await;
        crate::reader::sum_of(&text, name, &[])
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the log of rollcast is in {}", self.log.display());
        } else {
            let _ = std::fs::remove_file(&self.log);
        }
    }
}
