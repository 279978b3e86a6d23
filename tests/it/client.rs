//! A client that knows Server-Sent Events and nothing of the service's insides.

use std::collections::VecDeque;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use futures_util::StreamExt as _;

pub use crate::oracle::Event;

pub struct Client {
    body: BodyDataStream,
    buffer: Vec<u8>,
    events: VecDeque<Event>,
    /// What a browser would send as `Last-Event-ID`.
    pub last_id: Option<String>,
    pub heartbeats: usize,
    /// When a heartbeat or a bare id came, in nanoseconds since 1970.
    pub beats: Vec<i64>,
}

impl Client {
    pub fn new(body: Body) -> Client {
        Client {
            body: body.into_data_stream(),
            buffer: Vec::new(),
            events: VecDeque::new(),
            last_id: None,
            heartbeats: 0,
            beats: Vec::new(),
        }
    }

    /// The next event; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                if event.id.is_some() {
                    self.last_id = event.id.clone();
                }
                return Some(event);
            }
            let chunk = self.body.next().await?.unwrap();
            self.buffer.extend_from_slice(&chunk);
            self.parse();
        }
    }

    /// The next event, or nothing for a heartbeat or a bare id; an error if the connection broke.
    /// `None` at the end of the stream.
    #[allow(dead_code, reason = "pipes in memory do not break; sockets do")]
    pub async fn next_or_broken(&mut self) -> Option<Result<Option<Event>, axum::Error>> {
        let known = self.beats.len();
        loop {
            if let Some(event) = self.events.pop_front() {
                if event.id.is_some() {
                    self.last_id = event.id.clone();
                }
                return Some(Ok(Some(event)));
            }
            if self.beats.len() > known {
                return Some(Ok(None));
            }
            match self.body.next().await? {
                Ok(chunk) => self.buffer.extend_from_slice(&chunk),
                Err(error) => return Some(Err(error)),
            }
            self.parse();
        }
    }

    /// The next event of this name.
    pub async fn until(&mut self, name: &str) -> Event {
        loop {
            let event = self.next().await.expect("the stream ended early");
            if event.name == name {
                return event;
            }
        }
    }

    /// Events until the stream is silent for `quiet`.
    pub async fn drain(&mut self, quiet: Duration) -> Vec<Event> {
        let mut events = Vec::new();
        while let Ok(Some(event)) = tokio::time::timeout(quiet, self.next()).await {
            events.push(event);
        }
        events
    }

    /// Events within `span`, and before the stream ends.
    pub async fn drain_for(&mut self, span: Duration) -> Vec<Event> {
        let until = tokio::time::Instant::now() + span;
        let mut events = Vec::new();
        while let Ok(Some(event)) = tokio::time::timeout_at(until, self.next()).await {
            events.push(event);
        }
        events
    }

    fn parse(&mut self) {
        let at = rollcast::time::now();
        let mut start = 0;
        while let Some(end) = memchr::memmem::find(&self.buffer[start..], b"\n\n") {
            let block = std::str::from_utf8(&self.buffer[start..start + end]).unwrap();
            start += end + 2;
            let (mut name, mut id, mut data) = (String::new(), None, None);
            for line in block.split('\n') {
                assert!(!line.contains('\r'), "a bare CR would end a line: {line:?}");
                match line.split_once(": ") {
                    Some(("event", value)) => name = value.to_owned(),
                    Some(("id", value)) => id = Some(value.to_owned()),
                    Some(("data", value)) => data = Some(serde_json::from_str(value).unwrap()),
                    Some(("retry", _)) => {}
                    _ if line == ": hb" => {
                        self.heartbeats += 1;
                        self.beats.push(at);
                    }
                    _ => assert!(line.starts_with(':'), "unknown line {line:?}"),
                }
            }
            match data {
                Some(data) => self.events.push_back(Event { at, name, id, data }),
                // A bare id moves the position on.
                None if id.is_some() => {
                    self.last_id = id;
                    self.beats.push(at);
                }
                None => {}
            }
        }
        self.buffer.drain(..start);
    }
}

/// What comes within this time.
pub async fn listen(client: &mut Client, time: Duration) -> Vec<Event> {
    let until = tokio::time::Instant::now() + time;
    let mut events = Vec::new();
    while let Ok(Some(event)) = tokio::time::timeout_at(until, client.next()).await {
        events.push(event);
    }
    events
}
