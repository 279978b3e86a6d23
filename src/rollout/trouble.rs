//! What keeps a container from starting or makes it crash, in one short sentence.

use std::sync::Arc;

use crate::time;
use crate::watch::{ContainerEntry, ContainerRun, Ended};

/// What is wrong with a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    /// Kubernetes' word.
    pub(super) reason: Arc<str>,
    /// The sentence, without the number of restarts: pods with the same trouble say the same.
    pub(super) text: String,
    /// Restarts, for crashes.
    pub(super) restarts: Option<u32>,
}

impl Trouble {
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
    let text = match &**reason {
        "ContainerCreating" | "PodInitializing" => return None,
        "CrashLoopBackOff" => match &container.last {
            Some(ended) => return Some(crash(container, ended, Some(reason))),
            None => format!("container {name} crashes again and again"),
        },
        "ErrImagePull" | "ImagePullBackOff" | "RegistryUnavailable" | "ImageInspectError" => {
            format!("image {image} {}", pull_failure(message))
        }
        "InvalidImageName" => format!("image {image} is not a valid name"),
        "ErrImageNeverPull" => {
            format!("image {image} is not on the node, and its pull policy is Never")
        }
        "CreateContainerConfigError" => {
            format!("container {name} cannot be created: {}", first_line(message))
        }
        "CreateContainerError" | "RunContainerError" | "StartError" | "ContainerCannotRun" => {
            format!("container {name} cannot be started: {}", first_line(message))
        }
        // Kubernetes may learn new words; those for failures end so (as Argo CD reads them).
        word if word.starts_with("Err") || word.ends_with("Error") || word.ends_with("BackOff") => {
            format!("container {name} cannot be started: {}", first_line(message))
        }
        _ => return None,
    };
    Some(Trouble { reason: Arc::clone(reason), text, restarts: None })
}

/// What a registry's refusal means. The words are those of containerd, CRI-O and the registries;
/// there is no code to go by.
fn pull_failure(message: &str) -> &'static str {
    const NOT_FOUND: [&str; 4] = ["not found", "manifest unknown", "NotFound", "does not exist"];
    const DENIED: [&str; 5] = ["denied", "unauthorized", "authorization failed", "403", "401"];
    const LIMITED: [&str; 3] = ["toomanyrequests", "429", "rate limit"];
    const AWAY: [&str; 5] =
        ["no such host", "connection refused", "i/o timeout", "deadline exceeded", "no route"];
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    // Docker Hub says "denied ... may not exist" for what is missing or private: that is "denied".
    if says(&LIMITED) {
        "cannot be pulled: the registry limits requests"
    } else if says(&DENIED) {
        "cannot be pulled: the registry denies access"
    } else if says(&NOT_FOUND) {
        "not found"
    } else if says(&AWAY) {
        "cannot be pulled: the registry does not answer"
    } else {
        "cannot be pulled"
    }
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
    Trouble { reason, text, restarts }
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
            assert_eq!(pull_failure(message), words, "{message}");
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
