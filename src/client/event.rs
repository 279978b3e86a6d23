//! The events of a stream as a client reads them: the names of the public wire, and of each
//! only what is shown or decided by.
//!
//! Adding fields is free on the wire, so what is not known is passed over, and what is missing is
//! `None`: a client that is older or newer than its server goes on.

use std::collections::BTreeMap;

use serde::Deserialize;

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The stream begins.
    Hello(Hello),
    /// A line of a log.
    Log(Log),
    /// The state of the rollout.
    Rollout(Box<Rollout>),
    /// The state of a pod.
    Pod(Box<Pod>),
    /// What Kubernetes says.
    Kube(KubeEvent),
    /// A log is followed, waits or ended.
    Source(Source),
    /// Lines are missing.
    Gap(Gap),
    /// All that was is told.
    Live(Live),
    /// The rollout is over.
    Result(Box<Ended>),
    /// The server ends the stream.
    Bye(Bye),
    /// Something that this client does not know.
    Other,
}

/// `hello`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Hello {
    /// The journal that is read.
    pub epoch: String,
    /// The longest silence.
    pub heartbeat_ms: Option<u64>,
}

/// `log`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Log {
    /// The node's stamp.
    pub time: String,
    /// The pod's name.
    pub pod: String,
    /// The container's name.
    pub container: String,
    /// The level that the line names.
    pub level: Option<String>,
    /// The line.
    pub text: String,
    /// Its true size, if it was cut.
    pub truncated_bytes: Option<u64>,
    /// What is equal for the same line everywhere.
    pub key: Option<String>,
}

/// `rollout`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Rollout {
    /// When it was seen.
    pub time: String,
    /// Where it stands.
    pub phase: String,
    /// The revision that is rolled out.
    pub revision: Option<String>,
    /// The one before.
    pub previous: Option<String>,
    /// The generation of its workload.
    pub generation: Option<u64>,
    /// What changes, by container.
    pub images: BTreeMap<String, Image>,
    /// Pods that are asked for.
    pub desired: u32,
    /// New pods.
    pub updated: u32,
    /// New pods that are ready.
    pub ready: u32,
    /// Old pods.
    pub old: u32,
    /// When it began.
    pub started: Option<String>,
    /// When it was over.
    pub finished: Option<String>,
    /// How long it had run when it was seen.
    pub elapsed_ms: Option<u64>,
    /// The workload's own deadline.
    pub deadline_ms: Option<u64>,
    /// Who changed it.
    pub by: Option<String>,
    /// It completed after it had been called failed.
    pub recovered: bool,
    /// What keeps it, in a sentence.
    pub message: String,
}

/// The image of a container.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Image {
    /// Before.
    pub from: Option<String>,
    /// From now on.
    pub to: String,
}

impl Rollout {
    /// Its images, of those that several containers share only the first.
    pub fn changed(&self) -> Vec<&Image> {
        let mut all: Vec<&Image> = Vec::with_capacity(self.images.len());
        for image in self.images.values() {
            if !all.contains(&image) {
                all.push(image);
            }
        }
        all
    }
}

/// `pod`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Pod {
    /// When it was seen.
    pub time: String,
    /// Its name.
    pub pod: String,
    /// Its uid.
    pub uid: String,
    /// `new` or `old`.
    pub side: String,
    /// Its phase.
    pub phase: String,
    /// More of its phase.
    pub phase_detail: Option<String>,
    /// Restarts of its containers.
    pub restarts: u32,
    /// The machine's word for what is wrong.
    pub reason: Option<String>,
    /// The same in words.
    pub message: Option<String>,
    /// Its containers.
    pub containers: Vec<Container>,
}

/// A container of a pod.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// What it does.
    pub state: String,
    /// Which of its runs this is.
    pub attempt: u32,
    /// The machine's word for why.
    pub reason: Option<String>,
    /// How it ended.
    pub exit_code: Option<i32>,
}

/// `event`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct KubeEvent {
    /// When it happened last.
    pub time: String,
    /// `Warning` or `Normal`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The machine's word.
    pub reason: String,
    /// The sentence.
    pub message: String,
    /// What it is about.
    pub object: Object,
    /// How often it happened.
    pub count: u32,
}

/// What a Kubernetes event is about.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Object {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// `source`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Source {
    /// When.
    pub time: String,
    /// The pod's name.
    pub pod: String,
    /// The container's name.
    pub container: String,
    /// Which of its runs.
    pub attempt: u32,
    /// What happened to the log.
    pub state: String,
    /// Whether all of it was read.
    pub complete: Option<bool>,
    /// Why it waits, or is not complete.
    pub reason: Option<String>,
}

/// `gap`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Gap {
    /// When it was noticed.
    pub time: String,
    /// Why.
    pub reason: String,
    /// The pod, unless it is the whole selection.
    pub pod: Option<String>,
    /// The container.
    pub container: Option<String>,
    /// How many lines, if known.
    pub count: Option<u64>,
}

/// `live`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Live {
    /// The server's time.
    pub time: String,
}

/// `result`, and the answer of a verdict.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Ended {
    /// How it ended.
    pub outcome: String,
    /// Of which workload.
    pub workload: String,
    /// The revision that was rolled out.
    pub revision: Option<String>,
    /// New pods that were ready.
    pub ready: u32,
    /// Pods that were asked for.
    pub desired: u32,
    /// How long it took.
    pub duration_ms: Option<u64>,
    /// Why, as a word.
    pub reason: Option<String>,
    /// `inferred`, if the pin led to it by inference only.
    pub pinned: Option<String>,
    /// Why, in a sentence.
    pub message: String,
    /// The pods that kept it, with their last lines.
    pub pods: Vec<Blocked>,
    /// The last warnings.
    pub events: Vec<KubeEvent>,
}

/// A pod that kept a rollout from succeeding.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Blocked {
    /// Its name.
    pub pod: String,
    /// The container that is to blame.
    pub container: Option<String>,
    /// Which of its runs.
    pub attempt: Option<u32>,
    /// Its last lines.
    pub lines: Vec<String>,
}

/// `bye`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Bye {
    /// Why the stream ends.
    pub reason: String,
    /// When to come back.
    pub retry_ms: Option<u64>,
}

// === impl Event ===

impl Event {
    /// Reads an event by its name. `None` if its data is not what that name promises: then the other
    /// side does not speak our language.
    pub fn read(name: &str, data: &str) -> Option<Event> {
        // A list would be read as an object whose fields are all missing.
        let is_object = |data: &str| data.trim_start().starts_with('{');
        fn json<'a, T: Deserialize<'a>>(data: &'a str) -> Option<T> {
            serde_json::from_str(data).ok()
        }
        let data = if is_object(data) { data } else { "" };
        Some(match name {
            "hello" => Event::Hello(json(data)?),
            "log" => Event::Log(json(data)?),
            "rollout" => Event::Rollout(Box::new(json(data)?)),
            "pod" => Event::Pod(Box::new(json(data)?)),
            "event" => Event::Kube(json(data)?),
            "source" => Event::Source(json(data)?),
            "gap" => Event::Gap(json(data)?),
            "live" => Event::Live(json(data)?),
            "result" => Event::Result(Box::new(json(data)?)),
            "bye" => Event::Bye(json(data)?),
            _ => Event::Other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `tests/wire` holds is what this client must be able to read.
    #[test]
    fn every_event_of_the_committed_stream_is_known() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/wire/stream.sse");
        let text = std::fs::read_to_string(path).unwrap();
        let mut names = std::collections::BTreeSet::new();
        for block in text.split("\n\n") {
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
            let (Some(name), Some(data)) = (field("event: "), field("data: ")) else { continue };
            let event = Event::read(name, data);
            assert!(!matches!(event, None | Some(Event::Other)), "{name}: {data}");
            names.insert(name.to_owned());
        }
        assert!(names.len() >= 9, "{names:?}");
    }

    #[test]
    fn what_is_new_is_passed_over_and_what_is_nonsense_is_no_event() {
        assert_eq!(Event::read("weather", "rain"), Some(Event::Other));
        assert_eq!(Event::read("log", "[]"), None);
        assert_eq!(Event::read("result", "<html>"), None);
    }
}
