//! The cluster as `kubectl` sees it, and namespaces that are removed again.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

/// Namespaces carry it, so that `run` finds what a killed run left behind.
const LABEL: &str = "rollcast.dev/e2e";

/// A namespace of its own in the cluster. Dropping it deletes it.
pub struct Namespace {
    pub name: String,
}

/// What a namespace of ours was made for.
pub fn scene(namespace: &str) -> &str {
    let rest = namespace.strip_prefix("rollcast-e2e-").unwrap_or(namespace);
    rest.rsplitn(3, '-').last().unwrap_or(rest)
}

/// A namespace for one test, or nothing if there is no cluster: then the test is skipped.
///
/// # Panics
/// If the cluster is required and there is none.
pub fn namespace(subject: &str) -> Option<Namespace> {
    if kubeconfig().is_none() {
        let why = "KUBECONFIG is not set; tests/e2e/run brings a cluster up";
        assert!(std::env::var("ROLLCAST_E2E").as_deref() != Ok("required"), "{why}");
        eprintln!("skipped: {why}");
        return None;
    }
    mend();
    Some(Namespace::create(subject))
}

/// A cluster that a test before has broken, or that broke by itself, is told of and mended, so that one
/// failure is one failure.
fn mend() {
    let answer = attempt(&["get", "--raw", "/readyz", "--request-timeout=5s"], None);
    let listed = ask_ctl(&["list"]).and_then(Result::ok).unwrap_or_default();
    let ended = listed.lines().filter(|line| line.ends_with(" -")).count();
    if answer.is_ok() && ended == 0 {
        return;
    }
    eprintln!("the cluster is not whole: {ended} programs have ended, {answer:?}");
    if let Some(look) = ask_ctl(&["look"]) {
        eprintln!("{}", look.unwrap_or_else(|said| said));
    }
    ctl(&["wait"]);
}

/// The kubeconfig of the cluster under test.
pub fn kubeconfig() -> Option<PathBuf> {
    std::env::var_os("KUBECONFIG").filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// Runs `kubectl`; its standard output.
///
/// # Panics
/// If it fails, with what it said.
#[track_caller]
pub fn kubectl(arguments: &[&str]) -> String {
    attempt(arguments, None).unwrap_or_else(|said| panic!("kubectl {arguments:?}: {said}"))
}

/// Runs `kubectl` with this on its standard input; standard output, or what it complained about.
pub fn attempt(arguments: &[&str], input: Option<&str>) -> Result<String, String> {
    run(program("kubectl").args(arguments), input)
}

/// A program of the cluster's tools, by its name, with the tools in its path.
pub fn program(name: &str) -> Command {
    let mut path = std::env::var("PATH").unwrap_or_default();
    if let Ok(home) = std::env::var("HOME") {
        path = format!("{home}/.cache/rollcast/bin:{path}");
    }
    // The search path of the child counts only if the name is looked up in it: resolve it here.
    let found = path.split(':').map(|folder| Path::new(folder).join(name)).find(|at| at.is_file());
    let mut command = Command::new(found.unwrap_or_else(|| PathBuf::from(name)));
    command.env("PATH", path);
    command
}

/// Runs a command to its end.
pub fn run(command: &mut Command, input: Option<&str>) -> Result<String, String> {
    let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
    let pipes = command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().map_err(|error| format!("cannot be started: {error}"))?;
    if let Some(input) = input {
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    }
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    if output.status.success() {
        return Ok(text(output.stdout));
    }
    Err(format!("{}: {}{}", output.status, text(output.stdout), text(output.stderr)))
}

/// Looks every fifth of a second until something is found.
///
/// # Panics
/// After `limit`, naming what was waited for.
pub async fn eventually<T>(
    what: &str,
    limit: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begin.elapsed() < limit, "waited {limit:?} in vain for {what}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The script that ends and starts programs of the test cluster, if that is the cluster in use.
pub fn ctl(arguments: &[&str]) -> Option<()> {
    let said = ask_ctl(arguments);
    if said.is_none() {
        eprintln!("skipped: programs of a foreign cluster are left alone");
    }
    said?.unwrap_or_else(|said| panic!("ctl {arguments:?}: {said}"));
    Some(())
}

fn ask_ctl(arguments: &[&str]) -> Option<Result<String, String>> {
    let ours = kubeconfig()? == Path::new("/run/rollcast/admin.conf");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/cluster/ctl");
    ours.then(|| run(Command::new(script).args(arguments), None))
}

// === impl Namespace ===

impl Namespace {
    /// Makes one with a name that no other test has.
    pub fn create(subject: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("rollcast-e2e-{subject}-{}-{count}", std::process::id());
        let namespace = Namespace { name };
        let object = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": namespace.name, "labels": {LABEL: "true"}},
        });
        attempt(&["create", "-f", "-"], Some(&object.to_string())).unwrap();
        // Pods are refused until the controller has made the account that they run as.
        let account = ["-n", &namespace.name, "get", "serviceaccount", "default"];
        for _ in 0..100 {
            if attempt(&account, None).is_ok() {
                return namespace;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("no default ServiceAccount in {}", namespace.name);
    }

    /// Runs `kubectl` in it.
    #[track_caller]
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        kubectl(&[&["-n", &self.name], arguments].concat())
    }

    /// Creates or changes an object.
    pub fn apply(&self, object: &Value) {
        attempt(&["-n", &self.name, "apply", "-f", "-"], Some(&object.to_string())).unwrap();
    }

    /// The objects of a kind, as JSON.
    pub fn list(&self, kind: &str) -> Vec<Value> {
        let text = self.kubectl(&["get", kind, "-o", "json"]);
        let list: Value = serde_json::from_str(&text).unwrap();
        list["items"].as_array().unwrap().clone()
    }

    /// Waits until a Deployment's rollout is complete, as kubectl sees it.
    pub fn rolled_out(&self, name: &str) {
        self.kubectl(&["rollout", "status", &format!("deployment/{name}"), "--timeout=90s"]);
    }

    /// A token of an account in it, for an audience.
    pub fn token(&self, account: &str, audience: Option<&str>) -> String {
        let mut arguments = vec!["create", "token", account];
        let audience = audience.map(|audience| format!("--audience={audience}"));
        arguments.extend(audience.as_deref());
        self.kubectl(&arguments).trim().to_owned()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let now = ["delete", "namespace", &self.name, "--wait=false", "--ignore-not-found"];
        if let Err(said) = attempt(&now, None) {
            eprintln!("{} is left behind: {said}", self.name);
        }
        // Writers that nobody reads would take the processor from the next test.
        let pods = ["-n", &self.name, "delete", "pods", "--all", "--force", "--wait=false"];
        let _ = attempt(&pods, None);
    }
}
