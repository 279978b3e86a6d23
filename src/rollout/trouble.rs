//! What keeps a container from starting or makes it crash, in one short sentence.

use std::sync::Arc;

use super::signs::Signs;
use crate::ids::{ContainerKind, Reason};
use crate::time;
use crate::watch::{ContainerEntry, ContainerRun, Ended, PodEntry};

/// What is wrong with a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    /// Our word.
    pub(super) code: Reason,
    /// Kubernetes' word.
    pub(super) reason: Arc<str>,
    /// The sentence, without the number of restarts: pods with the same trouble say the same.
    pub(super) text: String,
    /// Restarts, for crashes.
    pub(super) restarts: Option<u32>,
    /// The container that it is about, if about one.
    pub(super) container: Option<Arc<str>>,
    /// Since when, if a time of the API tells.
    pub(super) since: Option<i64>,
}

/// How often a container of a pod has crashed, whether it runs again at this moment or not.
#[derive(Clone, Debug)]
pub(super) struct Crash {
    pub(super) code: Reason,
    pub(super) container: Arc<str>,
    pub(super) restarts: u32,
}

impl Trouble {
    /// The containers of a pod that were restarted after a crash, with what events say of it.
    pub(super) fn crashes<'a>(
        pod: &'a PodEntry,
        signs: Option<&'a Signs>,
    ) -> impl Iterator<Item = Crash> + 'a {
        let restarted = pod.containers.iter().filter(|it| it.restarts > 0);
        restarted.filter_map(move |container| {
            let ended = match &container.state {
                ContainerRun::Terminated(ended) => ended,
                ContainerRun::Waiting(_) | ContainerRun::Running { .. } => {
                    container.last.as_ref()?
                }
            };
            let probe = signs.and_then(|signs| killing_probe(signs.killed_for(&container.name)?));
            let code = match ended_code(container, ended) {
                Reason::CrashLoop if probe.is_some() => Reason::LivenessFailed,
                code if is_crash(code) => code,
                _ => return None,
            };
            let (container, restarts) = (Arc::clone(&container.name), container.restarts);
            (ended.exit_code != 0).then_some(Crash { code, container, restarts })
        })
    }

    /// What a container of a ready pod crashed with a moment ago: it runs again, and has not held yet.
    pub(super) fn lately(
        pod: &PodEntry,
        signs: Option<&Signs>,
        now: i64,
        settle: i64,
    ) -> Option<Trouble> {
        let lately = |it: &&ContainerEntry| match it.state {
            ContainerRun::Running { started } => {
                started.is_some_and(|started| started.saturating_add(settle) > now)
            }
            ContainerRun::Waiting(_) | ContainerRun::Terminated(_) => false,
        };
        pod.containers.iter().filter(lately).find_map(|it| Trouble::got_over(it, signs))
    }

    /// What a container of a pod that is not ready crashed with: it runs again, and nobody saw it down.
    pub(super) fn restarted(pod: &PodEntry, signs: Option<&Signs>) -> Option<Trouble> {
        pod.containers.iter().find_map(|container| Trouble::got_over(container, signs))
    }

    /// What a container that runs crashed with before. One that could not be started then has been since: what
    /// kept it has passed.
    fn got_over(container: &ContainerEntry, signs: Option<&Signs>) -> Option<Trouble> {
        let runs =
            matches!(container.state, ContainerRun::Running { .. }) && container.restarts > 0;
        let ended = container.last.as_ref().filter(|ended| runs && ended.exit_code != 0)?;
        if !is_crash(ended_code(container, ended)) {
            return None;
        }
        let mut trouble = crash(container, ended, None);
        if let Some(said) = signs.and_then(|signs| signs.killed_for(&container.name)) {
            trouble.is_killed_for(said);
        }
        Some(trouble)
    }

    /// Takes in that the kubelet kills the container for what its probe found.
    pub(super) fn is_killed_for(&mut self, said: &str) {
        if self.code != Reason::CrashLoop {
            return;
        }
        let Some((probe, found)) = killing_probe(said) else { return };
        self.code = Reason::LivenessFailed;
        let (probe, found) = (probe.to_lowercase(), first_line(found));
        self.text = format!("{}, for its {probe} probe fails: {found}", self.text);
    }

    /// The image of the container that it is about.
    pub(super) fn image<'a>(&self, pod: &'a PodEntry) -> Option<&'a str> {
        let name = self.container.as_ref()?;
        pod.containers.iter().find(|it| it.name == *name)?.image.as_deref()
    }

    /// Takes in what the last pull came to, where the status says no more than that it is waited.
    pub(super) fn is_refused(&mut self, pod: &PodEntry, said: &str) {
        if self.code != Reason::ImagePull || &*self.reason != "ImagePullBackOff" {
            return;
        }
        let Some(image) = self.image(pod) else { return };
        let (code, words) = pull_failure(said);
        self.text = format!("image {image} {words}");
        self.code = code;
    }

    /// The sentence about one pod.
    pub(super) fn sentence(&self) -> String {
        match self.restarts {
            Some(1) => format!("{} (1 restart)", self.text),
            Some(restarts) => format!("{} ({restarts} restarts)", self.text),
            None => self.text.clone(),
        }
    }

    /// What is wrong with a container, if anything is.
    pub(super) fn of(container: &ContainerEntry) -> Option<Trouble> {
        match &container.state {
            ContainerRun::Running { .. } => None,
            ContainerRun::Terminated(ended) if ended.exit_code == 0 => None,
            ContainerRun::Terminated(ended) => Some(crash(container, ended, None)),
            ContainerRun::Waiting(why) => {
                let why = why.as_ref()?;
                let reason = why.reason.as_ref()?;
                waiting(container, reason, why.message.as_deref().unwrap_or_default())
            }
        }
    }
}

fn waiting(container: &ContainerEntry, reason: &Arc<str>, message: &str) -> Option<Trouble> {
    let name = &container.name;
    let image = container.image.as_deref().unwrap_or("(none)");
    let (code, text) = match &**reason {
        "ContainerCreating" | "PodInitializing" => return None,
        "CrashLoopBackOff" => match &container.last {
            Some(ended) => return Some(crash(container, ended, Some(reason))),
            None => (crash_code(container), format!("container {name} crashes again and again")),
        },
        "ErrImagePull" | "ImagePullBackOff" | "RegistryUnavailable" | "ImageInspectError" => {
            let (code, words) = pull_failure(message);
            (code, format!("image {image} {words}"))
        }
        "InvalidImageName" => {
            (Reason::InvalidImageName, format!("image {image} is not a valid name"))
        }
        "ErrImageNeverPull" => (
            Reason::ImageNeverPull,
            format!("image {image} is not on the node, and its pull policy is Never"),
        ),
        "CreateContainerConfigError" => (
            // The kubelet that has not read it yet says so in the same word, and goes on.
            if message.contains("failed to sync") {
                Reason::CannotStart
            } else {
                Reason::ConfigMissing
            },
            format!("container {name} cannot be created: {}", first_line(message)),
        ),
        "CreateContainerError" | "RunContainerError" | "StartError" | "ContainerCannotRun" => (
            start_failure(message),
            format!("container {name} cannot be started: {}", first_line(essence(message))),
        ),
        // Kubernetes may learn new words; those for failures end so (as Argo CD reads them).
        word if word.starts_with("Err") || word.ends_with("Error") || word.ends_with("BackOff") => {
            (
                Reason::CannotStart,
                format!("container {name} cannot be started: {}", first_line(message)),
            )
        }
        _ => return None,
    };
    let (reason, container) = (Arc::clone(reason), Some(Arc::clone(name)));
    Some(Trouble { code, reason, text, restarts: None, container, since: None })
}

/// What a runtime's refusal means; its words are those of runc and of the kernel.
fn start_failure(message: &str) -> Reason {
    const WORDS: [&str; 4] = [
        "executable file not found",
        "no such file or directory",
        "permission denied",
        "is a directory",
    ];
    // What the node itself cannot start (`fork/exec /usr/bin/containerd-shim…`) says nothing of the image.
    let by_runtime = message.contains("exec") && !message.contains("fork/exec");
    let is_command = by_runtime && WORDS.iter().any(|word| message.contains(word));
    if is_command { Reason::InvalidCommand } else { Reason::CannotStart }
}

/// What a runtime says without the names of the programs through which it says so.
fn essence(message: &str) -> &str {
    const AFTER: [&str; 2] = ["unable to start container process: ", "runc create failed: "];
    let tail = |words: &&str| message.rfind(*words).map(|at| &message[at + words.len()..]);
    AFTER.iter().find_map(tail).unwrap_or(message)
}

/// What kept a node from making a sandbox, without the way by which that is told and without the sandbox's
/// long number: a sentence ends before it would come to the cause.
pub(super) fn cause_of_sandbox(message: &str) -> &str {
    const NETWORK: &str = "failed to setup network for sandbox \"";
    let network = message.split_once(NETWORK).and_then(|(_, rest)| rest.split_once("\": "));
    let told = || message.split_once(" desc = ");
    network.or_else(told).map_or(message, |(_, cause)| cause)
}

fn crash_code(container: &ContainerEntry) -> Reason {
    match container.kind {
        ContainerKind::Init => Reason::InitFailed,
        _ => Reason::CrashLoop,
    }
}

/// What a registry's refusal means. The words are those of containerd, CRI-O and the registries;
/// there is no code to go by.
fn pull_failure(message: &str) -> (Reason, &'static str) {
    const NOT_FOUND: [&str; 4] = ["not found", "manifest unknown", "NotFound", "does not exist"];
    const DENIED: [&str; 3] = ["denied", "unauthorized", "authorization failed"];
    const LIMITED: [&str; 2] = ["toomanyrequests", "rate limit"];
    const AWAY: [&str; 5] =
        ["no such host", "connection refused", "i/o timeout", "deadline exceeded", "no route"];
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    let answers = |codes: &[&str]| codes.iter().any(|code| has_word(message, code));
    // Docker Hub says "denied ... may not exist" for what is missing or private: that is "denied".
    if says(&LIMITED) || answers(&["429"]) {
        (Reason::RegistryLimited, "cannot be pulled: the registry limits requests")
    } else if says(&DENIED) || answers(&["401", "403"]) {
        (Reason::ImageDenied, "cannot be pulled: the registry denies access")
    } else if says(&NOT_FOUND) {
        (Reason::ImageNotFound, "not found")
    } else if says(&AWAY) {
        (Reason::ImagePull, "cannot be pulled: the registry does not answer")
    } else {
        (Reason::ImagePull, "cannot be pulled")
    }
}

/// Whether a message has a code as a word of its own: digests, tags and ports have such digits, too, and
/// stand behind a colon or inside a name.
fn has_word(message: &str, code: &str) -> bool {
    message.match_indices(code).any(|(at, _)| {
        let before = message[..at].chars().next_back();
        let after = message[at + code.len()..].chars().next();
        before.is_none_or(|it| it.is_whitespace() || "=(".contains(it))
            && after.is_none_or(|it| it.is_whitespace() || ",;:.)".contains(it))
    })
}

fn crash(container: &ContainerEntry, ended: &Ended, waits: Option<&Arc<str>>) -> Trouble {
    let name = &container.name;
    let memory = ended.reason.as_deref() == Some("OOMKilled");
    let text = if memory {
        format!("container {name} was killed because it used more memory than its limit")
    } else {
        let after = match (ended.started, ended.finished) {
            (Some(started), Some(finished)) if finished >= started => {
                format!(" {} its start", after(finished - started))
            }
            _ => String::new(),
        };
        format!("container {name} exits with code {}{after}", ended.exit_code)
    };
    let own = ended.reason.as_ref().filter(|_| memory).or(waits).or(ended.reason.as_ref());
    let reason = own.map_or_else(|| Arc::from("Error"), Arc::clone);
    let restarts = (container.restarts > 0).then_some(container.restarts);
    let (code, container) = (ended_code(container, ended), Some(Arc::clone(name)));
    Trouble { code, reason, text, restarts, container, since: ended.finished }
}

/// Whether an end says that a container ran and crashed.
fn is_crash(code: Reason) -> bool {
    matches!(code, Reason::CrashLoop | Reason::OomKilled | Reason::InitFailed)
}

/// What an end means.
fn ended_code(container: &ContainerEntry, ended: &Ended) -> Reason {
    match ended.reason.as_deref() {
        Some("OOMKilled") => Reason::OomKilled,
        Some("StartError" | "ContainerCannotRun") => {
            start_failure(ended.message.as_deref().unwrap_or_default())
        }
        _ => crash_code(container),
    }
}

/// The probe for which the kubelet kills a container, and what it found, in the words of its event.
fn killing_probe(said: &str) -> Option<(&str, &str)> {
    said.split_once(" probe failed: ")
}

/// How long after, in words: `two seconds after`. The kubelet's times are whole seconds.
fn after(nanos: i64) -> String {
    const WORDS: [&str; 9] =
        ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"];
    let seconds = nanos / time::SECOND;
    match seconds {
        0 => "right after".to_owned(),
        1 => "one second after".to_owned(),
        2..=10 => {
            let word = usize::try_from(seconds - 2).ok().and_then(|at| WORDS.get(at));
            format!("{} seconds after", word.copied().unwrap_or("some"))
        }
        11..=119 => format!("{seconds} seconds after"),
        _ => format!("{} minutes after", seconds / 60),
    }
}

/// The first line of a message, at most 200 characters of it.
pub(super) fn first_line(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default().trim();
    let line = if line.is_empty() { "no reason was given" } else { line };
    line.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pull_failure_says_what_the_registry_meant() {
        for (message, words) in [
            (
                "rpc error: code = NotFound desc = ... localhost/shop/pay:2.3.0: not found",
                "not found",
            ),
            (
                "pull access denied, repository does not exist or may require authorization",
                "cannot be pulled: the registry denies access",
            ),
            (
                "toomanyrequests: You have reached your pull rate limit",
                "cannot be pulled: the registry limits requests",
            ),
            (
                "dial tcp: lookup registry.local: no such host",
                "cannot be pulled: the registry does not answer",
            ),
            ("Back-off pulling image \"x\"", "cannot be pulled"),
        ] {
            assert_eq!(pull_failure(message).1, words, "{message}");
        }
    }

    /// A digest that happens to have a code's digits was called a limited registry, which is waited for.
    #[test]
    fn digits_of_a_digest_a_tag_or_a_port_are_no_answer_of_a_registry() {
        let digest = "sha256:4290c0ffee403401beef";
        for (message, code) in [
            (
                format!("failed to resolve reference \"shop/web@{digest}\": not found"),
                Reason::ImageNotFound,
            ),
            (
                "failed to resolve reference \"shop/web:403\": not found".into(),
                Reason::ImageNotFound,
            ),
            ("dial tcp 10.4.29.1:429: connect: connection refused".into(), Reason::ImagePull),
            (
                format!("unexpected status code https://x/{digest}: 403 Forbidden"),
                Reason::ImageDenied,
            ),
            (
                format!("unexpected status code https://x/{digest}: 429 Too Many"),
                Reason::RegistryLimited,
            ),
            ("initializing source: StatusCode: 401, \"\"".into(), Reason::ImageDenied),
            ("received unexpected HTTP status=429".into(), Reason::RegistryLimited),
        ] {
            assert_eq!(pull_failure(&message).0, code, "{message}");
        }
    }

    #[test]
    fn what_can_be_waited_out_is_told_from_what_cannot() {
        for (message, code) in [
            ("x: not found", Reason::ImageNotFound),
            ("pull access denied", Reason::ImageDenied),
            ("toomanyrequests: limit", Reason::RegistryLimited),
            ("dial tcp: no such host", Reason::ImagePull),
        ] {
            assert_eq!(pull_failure(message).0, code, "{message}");
        }
        for (message, code) in [
            ("exec: \"/none\": stat /none: no such file or directory", Reason::InvalidCommand),
            ("exec: \"sl\": executable file not found in $PATH", Reason::InvalidCommand),
            ("failed to create containerd task: context deadline exceeded", Reason::CannotStart),
            (
                "fork/exec /usr/bin/containerd-shim-runc-v2: no such file or directory",
                Reason::CannotStart,
            ),
        ] {
            assert_eq!(start_failure(message), code, "{message}");
        }
        let certain = Reason::ALL.iter().filter(|reason| reason.is_certain()).count();
        assert_eq!(certain, 7);
        let words: std::collections::BTreeSet<_> =
            Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(words.len(), Reason::ALL.len());
    }

    /// As containerd and the kubelet write it; the number alone is 64 characters.
    #[test]
    fn a_sandbox_that_cannot_be_made_is_told_of_with_its_cause() {
        let number = "0e75f4d9a710".repeat(6);
        let cause = "plugin type=\"bridge\" failed (add): no IP addresses available in range set";
        let network = format!("failed to setup network for sandbox \"{number}\": {cause}");
        for (message, said) in [
            (
                format!("Failed to create pod sandbox: rpc error: code = Unknown desc = {network}"),
                cause,
            ),
            (network, cause),
            ("Failed to create pod sandbox: rpc error: code = Internal desc = no".into(), "no"),
            ("network is not ready".into(), "network is not ready"),
        ] {
            assert_eq!(cause_of_sandbox(&message), said, "{message}");
        }
    }

    #[test]
    fn time_after_a_start_is_said_in_words() {
        let said = |seconds| after(seconds * time::SECOND);
        assert_eq!(said(0), "right after");
        assert_eq!(said(2), "two seconds after");
        assert_eq!(said(10), "ten seconds after");
        assert_eq!(said(42), "42 seconds after");
        assert_eq!(said(300), "5 minutes after");
    }
}
