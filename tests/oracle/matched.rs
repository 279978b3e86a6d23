//! A transcript laid beside the truth: each delivered line at its place.

use std::collections::{BTreeMap, HashMap};

use super::{AttemptId, Event, Session, Transcript, Truth};

/// A delivered line.
#[derive(Clone, Copy, Debug)]
pub struct Hit {
    /// Its place among everything that the client received.
    pub pos: usize,
    /// Which of its connections brought it.
    pub session: usize,
    /// When it came.
    pub at: i64,
    /// Which line of its attempt it is.
    pub line: usize,
}

/// A gap that was told.
#[derive(Clone, Debug)]
pub struct Mark {
    pub pos: usize,
    pub reason: String,
    /// Pod, container and attempt; `None` is the whole selection.
    pub of: Option<(String, String, u64)>,
    pub from: Option<i64>,
    pub to: Option<i64>,
    pub count: Option<u64>,
}

/// Which line of which attempt.
pub type Place<'a> = (&'a AttemptId, usize);

/// A transcript beside the truth.
pub struct Matched<'a> {
    pub truth: &'a Truth,
    pub transcript: &'a Transcript,
    /// By attempt, in the order of arrival.
    pub hits: BTreeMap<&'a AttemptId, Vec<Hit>>,
    pub marks: Vec<Mark>,
    /// Lines that were never written, and why they are none.
    pub strange: Vec<String>,
    /// Attempts by pod, container and number.
    named: HashMap<(&'a str, &'a str, u64), Vec<&'a AttemptId>>,
    /// Every log event: its connection, itself, and its place in the truth.
    pub logs: Vec<(usize, &'a Event, Option<Place<'a>>)>,
}

// === impl Matched ===

impl<'a> Matched<'a> {
    pub fn new(truth: &'a Truth, transcript: &'a Transcript) -> Self {
        let mut matched = Matched {
            truth,
            transcript,
            hits: BTreeMap::new(),
            marks: Vec::new(),
            strange: Vec::new(),
            named: HashMap::new(),
            logs: Vec::new(),
        };
        for id in truth.attempts.keys() {
            let key = (&*id.pod, &*id.container, u64::from(id.attempt));
            matched.named.entry(key).or_default().push(id);
        }
        // How often a line that may stand several times was seen already.
        let mut seen: BTreeMap<(&AttemptId, u32), usize> = BTreeMap::new();
        let sessions = transcript.sessions.iter().enumerate();
        let events = sessions
            .flat_map(|(session, heard)| heard.events.iter().map(move |event| (session, event)));
        for (pos, (session, event)) in events.enumerate() {
            match event.name.as_str() {
                "gap" => matched.marks.push(Mark::of(pos, event)),
                "log" => {
                    let place = matched.place(event, &mut seen);
                    if let Some((attempt, line)) = place {
                        let hit = Hit { pos, session, at: event.at, line };
                        matched.hits.entry(attempt).or_default().push(hit);
                    }
                    matched.logs.push((session, event, place));
                }
                _ => {}
            }
        }
        matched
    }

    /// Where a log event's line stands in the truth.
    fn place(
        &mut self,
        event: &'a Event,
        seen: &mut BTreeMap<(&'a AttemptId, u32), usize>,
    ) -> Option<Place<'a>> {
        let Some(id) = self.attempt_of(event) else {
            self.strange.push(format!("a line of an attempt that never was: {}", event.data));
            return None;
        };
        let text = event.word("text").unwrap_or_default();
        let stamp = event.time("time").unwrap_or(i64::MIN);
        let places = self.truth.attempts[id].find(stamp, text.as_bytes());
        let Some(first) = places.first() else {
            self.strange.push(format!("a line that was never written: {}", event.data));
            return None;
        };
        let count = seen.entry((id, *first)).or_default();
        let place = places[(*count).min(places.len() - 1)];
        *count += 1;
        Some((id, place as usize))
    }

    /// The attempt that an event is about.
    fn attempt_of(&self, event: &Event) -> Option<&'a AttemptId> {
        let (pod, container) = (event.word("pod")?, event.word("container")?);
        let uid = event.word("key").and_then(|key| key.split('.').next());
        let named = self.named.get(&(pod, container, event.data["attempt"].as_u64()?))?;
        named.iter().copied().find(|id| uid.is_none_or(|uid| uid == id.uid))
    }

    /// The connection that brought what stands at this place.
    pub fn session(&self, hit: &Hit) -> &'a Session {
        &self.transcript.sessions[hit.session]
    }

    /// Whether the client asked for this attempt's lines.
    pub fn wants(&self, id: &AttemptId) -> bool {
        self.transcript.wants.as_ref().is_none_or(|wants| wants(id))
    }

    /// The name of the client, for messages.
    pub fn name(&self) -> &str {
        &self.transcript.name
    }
}

// === impl Mark ===

impl Mark {
    fn of(pos: usize, event: &Event) -> Self {
        let word = |field| event.word(field).map(str::to_owned);
        let of = word("pod").zip(word("container")).map(|(pod, container)| {
            (pod, container, event.data["attempt"].as_u64().unwrap_or_default())
        });
        Mark {
            pos,
            reason: word("reason").unwrap_or_default(),
            of,
            from: event.time("from"),
            to: event.time("to"),
            count: event.data["count"].as_u64(),
        }
    }

    /// Whether it speaks of this attempt.
    pub fn is_about(&self, id: &AttemptId) -> bool {
        self.of.as_ref().is_none_or(|(pod, container, attempt)| {
            *pod == id.pod && *container == id.container && *attempt == u64::from(id.attempt)
        })
    }
}
