//! The program itself: what it says and how it exits.

use std::io::BufReader;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

/// `rollcast` without anything in the environment that would configure it.
fn rollcast(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollcast"));
    let ours = |name: &str| name.starts_with("ROLLCAST_") || name.starts_with("OTEL_");
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
fn draining(folder: &tempfile::TempDir) -> (Child, BufReader<std::process::ChildStderr>) {
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
    until(&mut said, "serving");
    (child, said)
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
        let (mut child, mut said) = draining(&folder);
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
