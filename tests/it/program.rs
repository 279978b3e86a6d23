//! The program itself: what it says and how it exits.

use std::ffi::OsStr;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

/// `rollcast` without anything in the environment that would configure it.
pub(crate) fn rollcast(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollcast"));
    let ours = |name: &str| {
        let begins = ["ROLLCAST_", "OTEL_", "GITHUB_"].iter().any(|it| name.starts_with(it));
        // What tells of the system that runs this test, too.
        let systems =
            ["CI", "GITLAB_CI", "BUILDKITE", "TF_BUILD", "TEAMCITY_VERSION", "JENKINS_URL"];
        begins || systems.contains(&name)
    };
    for (name, _) in std::env::vars().filter(|(name, _)| ours(name)) {
        command.env_remove(name);
    }
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// What it says on standard error, which must be a refusal.
fn refused(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(64), "{command:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_wrong_value_is_named_with_what_set_it_and_what_is_expected() {
    for (arguments, variables, words) in [
        (&["demo", "--seed", "x"][..], &[][..], "--seed is \"x\": expected a whole number from 0"),
        (&["demo"], &[("ROLLCAST_SEED", "x")], "ROLLCAST_SEED is \"x\": expected a whole number"),
        (&["serve"], &[("ROLLCAST_HEARTBEAT", "abc")], "ROLLCAST_HEARTBEAT is \"abc\": expected a"),
        (&["serve"], &[("ROLLCAST_HEARTBEAT", "")], "ROLLCAST_HEARTBEAT is \"\": expected a"),
        (
            &["serve"],
            &[("ROLLCAST_HEARTBEAT", "90s")],
            "ROLLCAST_HEARTBEAT is 90s: it must be from 1s to 60s",
        ),
        (&["serve"], &[("ROLLCAST_AUTH", "ldap")], "ROLLCAST_AUTH is \"ldap\": expected token or"),
        (&["serve"], &[("ROLLCAST_LISTEN", "here")], "ROLLCAST_LISTEN is \"here\": expected HOST:"),
        (&["serve"], &[("ROLLCAST_NAMESPACE", "Shop")], "ROLLCAST_NAMESPACE is \"Shop\": a name"),
        (&["serve"], &[("ROLLCAST_AUTH", "none")], "ROLLCAST_AUTH=none and --listen [::]:8080"),
        // The flag wins, also in what is said.
        (&["serve", "--heartbeat=x"], &[("ROLLCAST_HEARTBEAT", "abc")], "--heartbeat is \"x\":"),
    ] {
        let mut command = rollcast(arguments);
        command.envs(variables.iter().copied());
        let said = refused(&mut command);
        assert!(
            said.starts_with(&format!("error: {words}")),
            "{arguments:?} {variables:?}: {said}"
        );
    }
}

/// A server for a cluster that is away, which drains for long, and what it says from now on.
fn draining(folder: &tempfile::TempDir) -> (Child, BufReader<std::process::ChildStderr>, String) {
    let kubeconfig = folder.path().join("kubeconfig");
    let away = "apiVersion: v1\nkind: Config\ncurrent-context: away\n\
        clusters: [{name: away, cluster: {server: 'http://127.0.0.1:1'}}]\n\
        contexts: [{name: away, context: {cluster: away, user: nobody}}]\n\
        users: [{name: nobody, user: {}}]\n";
    std::fs::write(&kubeconfig, away).unwrap();
    let local = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--auth", "none"];
    let mut child = rollcast(&["serve", "--drain-delay", "600s"])
        .args(local)
        .arg("--kubeconfig")
        .arg(&kubeconfig)
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let serving = until(&mut said, "serving");
    (child, said, serving)
}

fn until(said: &mut impl std::io::BufRead, word: &str) -> String {
    let mut line = String::new();
    while !line.contains(word) {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "ended without saying {word}");
    }
    line
}

fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
}

#[test]
fn a_second_signal_ends_it_at_once_with_the_signals_status() {
    let folder = tempfile::tempdir().unwrap();
    for (second, status) in [("TERM", 143), ("INT", 130)] {
        let (mut child, mut said, _) = draining(&folder);
        signal(&child, "TERM");
        until(&mut said, "draining");
        let asked = Instant::now();
        signal(&child, second);
        let line = until(&mut said, "second signal");
        assert!(line.contains(&format!("SIG{second}")), "{line}");
        assert_eq!(child.wait().unwrap().code(), Some(status));
        assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    }
}

/// Ports that the system chose are said as what they became.
#[test]
fn the_ports_that_it_listens_on_are_said() {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, mut said, line) = draining(&folder);
    let zero = line.match_indices("127.0.0.1:").any(|(at, found)| {
        !line[at + found.len()..].starts_with(|digit: char| ('1'..='9').contains(&digit))
    });
    assert!(line.contains("127.0.0.1:") && !zero, "{line}");
    signal(&child, "TERM");
    // Two that come before either is heard are one.
    until(&mut said, "draining");
    signal(&child, "TERM");
    child.wait().unwrap();
}

/// PowerShell's `>` writes UTF-16, and half of a character at its end is what kube panics at.
#[test]
fn a_kubeconfig_in_utf_16_is_refused_wherever_it_lies() {
    let folder = tempfile::tempdir().unwrap();
    let usual = folder.path().join(".kube");
    std::fs::create_dir(&usual).unwrap();
    let file = usual.join("config");
    std::fs::write(&file, b"\xff\xfea\0p\0i").unwrap();
    let nowhere = tempfile::tempdir().unwrap();
    for (home, variable, option) in [
        (folder.path(), None, None),
        (nowhere.path(), Some(&file), None),
        (nowhere.path(), None, Some(&file)),
    ] {
        let said = not_configured(home, variable, option);
        assert!(said.contains("is in UTF-16; save it as UTF-8"), "{said}");
    }
}

/// Most managed clusters have a command in the kubeconfig that fetches the credentials.
#[test]
fn a_command_that_gives_no_credentials_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kubeconfig");
    for (command, why) in [("rollcast-no-such-plugin", "No such file"), ("false", "failed")] {
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: away\n\
             clusters: [{{name: away, cluster: {{server: 'http://127.0.0.1:1'}}}}]\n\
             contexts: [{{name: away, context: {{cluster: away, user: fetched}}}}]\n\
             users: [{{name: fetched, user: {{exec: {{apiVersion: client.authentication.k8s.io/v1, \
             command: {command}, interactiveMode: Never}}}}}}]\n"
        );
        std::fs::write(&file, text).unwrap();
        let said = not_configured(folder.path(), None, Some(&file));
        assert!(said.contains(&format!("the command \"{command}\"")), "{said}");
        assert!(said.contains(why), "{said}");
    }
}

/// What `serve` says when it finds no cluster that it can use.
fn not_configured(home: &Path, variable: Option<&PathBuf>, option: Option<&PathBuf>) -> String {
    let mut command =
        rollcast(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    command.env("HOME", home).env_remove("KUBECONFIG").env_remove("KUBERNETES_SERVICE_HOST");
    command.envs(variable.map(|file| ("KUBECONFIG", file)));
    command.args(option.iter().flat_map(|file| [OsStr::new("--kubeconfig"), file.as_os_str()]));
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{command:?}");
    String::from_utf8(output.stderr).unwrap()
}
