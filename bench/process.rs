//! Other processes: this program in other roles, spoken to by lines, and what they cost.

use std::collections::HashMap;
use std::future::Future;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::str::FromStr;

use crate::Outcome;

/// Clock ticks in a second, as Linux shows CPU times to programs on every architecture.
const TICKS: f64 = 100.0;

/// `name=value` words.
#[derive(Clone, Debug, Default)]
pub struct Args(HashMap<String, String>);

/// Another process, ended with this value.
pub struct Role {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    name: String,
}

impl Args {
    pub fn of(words: &[String]) -> Args {
        let pairs = words.iter().filter_map(|word| word.split_once('='));
        Args(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// The value, or what it usually is.
    pub fn get<T: FromStr>(&self, name: &str, usual: T) -> T {
        self.0.get(name).and_then(|value| value.parse().ok()).unwrap_or(usual)
    }

    pub fn word(&self, name: &str) -> String {
        self.0.get(name).cloned().unwrap_or_default()
    }
}

impl Role {
    /// Starts this program in a role.
    pub fn start(role: &str, args: &[String]) -> Outcome<Role> {
        let program = std::env::current_exe()?;
        let words = std::iter::once(format!("role-{role}")).chain(args.iter().cloned());
        Role::spawn(role, Command::new(program).args(words))
    }

    /// Starts any program.
    pub fn spawn(name: &str, command: &mut Command) -> Outcome<Role> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().ok_or("no stdout")?;
        Ok(Role { child, stdin, stdout: BufReader::new(stdout), name: name.to_owned() })
    }

    pub fn tell(&mut self, line: &str) -> Outcome {
        let stdin = self.stdin.as_mut().ok_or("no stdin")?;
        writeln!(stdin, "{line}")?;
        Ok(stdin.flush()?)
    }

    /// The next line that begins with this word, without the word.
    pub fn hear(&mut self, word: &str) -> Outcome<String> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.stdout.read_line(&mut line)? == 0 {
                return Err(format!("{} ended without saying {word}", self.name).into());
            }
            let rest = line.trim_end().strip_prefix(word);
            if let Some(rest) = rest.filter(|rest| rest.is_empty() || rest.starts_with(' ')) {
                return Ok(rest.trim().to_owned());
            }
        }
    }

    /// The next line that begins with this word, as `name=value` words.
    pub fn hear_args(&mut self, word: &str) -> Outcome<Args> {
        let words = self.hear(word)?;
        Ok(Args::of(&words.split(' ').map(str::to_owned).collect::<Vec<_>>()))
    }

    /// CPU seconds so far, user and system.
    pub fn cpu(&self) -> f64 {
        cpu(&self.child.id().to_string())
    }

    /// A field of `/proc/PID/status` in KiB.
    pub fn status_kib(&self, field: &str) -> f64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let text = text.unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(field));
        let number = line.and_then(|line| line.trim_matches(':').split_whitespace().next());
        number.and_then(|number| number.parse().ok()).unwrap_or(f64::NAN)
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// CPU seconds of a process, or of `self`.
pub fn cpu(process: &str) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields = text.rsplit(") ").next().unwrap_or_default();
    let times = fields.split(' ').skip(11).take(2);
    times.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / TICKS
}

/// A port that was free just now.
pub fn free_port() -> Outcome<u16> {
    Ok(TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?.local_addr()?.port())
}

/// Runs a role on the runtime that the service has.
pub fn block_on<T>(work: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}

/// The lines of stdin. The thread that reads them ends with the process.
pub fn orders() -> tokio::sync::mpsc::Receiver<String> {
    let (sender, receiver) = tokio::sync::mpsc::channel(16);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Waits without a runtime.
#[allow(clippy::disallowed_methods, reason = "the conductor has no runtime that it could block")]
pub fn wait(time: std::time::Duration) {
    std::thread::sleep(time);
}

/// Says a line to whoever started this process.
#[allow(clippy::print_stdout, reason = "the processes of a bench speak over their stdout")]
pub fn say(line: &str) {
    println!("{line}");
}

/// Says to people what went wrong or goes on.
#[allow(clippy::print_stderr, reason = "a bench has no log")]
pub fn complain(line: &str) {
    eprintln!("{line}");
}
