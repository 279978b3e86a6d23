//! What one client received, over all its connections.

use serde_json::Value;

/// Which lines a client asked for, by pod, container and the line's text.
pub type Wants = std::sync::Arc<dyn Fn(&super::AttemptId) -> bool + Send + Sync>;

/// One event, and when it came.
#[derive(Clone, Debug)]
pub struct Event {
    /// By the client's wall clock, in nanoseconds since 1970.
    pub at: i64,
    pub name: String,
    pub id: Option<String>,
    pub data: Value,
}

/// One connection.
#[derive(Clone, Debug, Default)]
pub struct Session {
    /// The id that it was resumed behind.
    pub after: Option<String>,
    pub events: Vec<Event>,
    /// When a heartbeat or a bare id came.
    pub beats: Vec<i64>,
    /// When it was opened, and when it was closed or broke.
    pub from: i64,
    pub to: i64,
    /// The client closed it, or stopped reading: its end says nothing.
    pub cut: bool,
}

/// Everything that one client received.
#[derive(Clone, Default)]
pub struct Transcript {
    pub name: String,
    pub sessions: Vec<Session>,
    /// What it asked for; `None` is everything.
    pub wants: Option<Wants>,
    /// It began somewhere in the present, so what came before its first line is not missing.
    pub late: bool,
}

// === impl Transcript ===

impl Transcript {
    /// A client that asks for everything.
    pub fn new(name: impl Into<String>) -> Self {
        Transcript { name: name.into(), ..Transcript::default() }
    }

    /// All events in the order of their arrival.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.sessions.iter().flat_map(|session| &session.events)
    }

    /// Events of this name.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Event> {
        self.events().filter(move |event| event.name == name)
    }

    /// Log lines so far.
    pub fn lines(&self) -> usize {
        self.named("log").count()
    }

    /// What was told beside the lines, a line each, for the message of a failure.
    pub fn told(&self) -> String {
        let said = self
            .events()
            .filter(|event| matches!(&*event.name, "hello" | "source" | "gap" | "live" | "bye"));
        said.map(|event| {
            let (at, id) = (rollcast::time::rfc3339(event.at), event.id.as_deref());
            format!("{at} {} {} {}\n", id.unwrap_or_default(), event.name, event.data)
        })
        .collect()
    }

    /// The id that a browser would send as `Last-Event-ID`.
    pub fn last_id(&self) -> Option<String> {
        let ids = self.sessions.iter().rev().flat_map(|session| session.events.iter().rev());
        ids.filter_map(|event| event.id.clone()).next()
    }
}

// === impl Event ===

impl Event {
    /// The sequence number in its id.
    pub fn seq(&self) -> Option<u64> {
        self.id.as_deref().and_then(seq_of)
    }

    /// A word of its data.
    pub fn word(&self, field: &str) -> Option<&str> {
        self.data[field].as_str()
    }

    /// A time of its data.
    pub fn time(&self, field: &str) -> Option<i64> {
        let (time, _) = rollcast::time::parse_stamp(self.word(field)?.as_bytes())?;
        Some(time)
    }
}

/// The sequence number in an id.
pub fn seq_of(id: &str) -> Option<u64> {
    id.split('-').nth(1)?.parse().ok()
}

/// The epoch in an id.
pub fn epoch_of(id: &str) -> Option<&str> {
    id.split('-').next()
}

/// The milliseconds in an id: of its position, and of the oldest that may be repeated behind it.
pub fn times_of(id: &str) -> (Option<i64>, Option<i64>) {
    let mut parts = id.split('-').skip(2).map(|part| part.parse().ok());
    (parts.next().flatten(), parts.next().flatten())
}
