//! Kubernetes events: which are new, and which workload they concern.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_64;

use super::condition::cut;
use super::intern::Words;
use crate::cluster::types;
use crate::ids::KubeEvent;

/// How many events are remembered to tell a repetition in a relist from news. The API server keeps
/// them for an hour; beyond this number all are forgotten, and a relist may tell some twice.
const REMEMBERED: usize = 32_768;
/// Events whose object is not known yet wait for it, this many and this long.
const WAITING: usize = 2_048;
const PATIENCE: Duration = Duration::from_secs(30);

/// An event whose object may not be known yet.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) namespace: Arc<str>,
    pub(super) kind: Arc<str>,
    pub(super) name: Arc<str>,
    /// Uid of the object; events about a container of a static pod name its file's hash.
    pub(super) uid: Arc<str>,
    pub(super) event: Arc<KubeEvent>,
    until: Instant,
}

/// What is remembered of events.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// Hash of an event's uid, and hash of its count and time when it was told.
    told: HashMap<u64, u64>,
    waiting: VecDeque<Waiting>,
}

impl Events {
    /// Reads an event. `None` if it is not news, or concerns nothing.
    pub(super) fn news(
        &mut self,
        event: &types::Event,
        now: Instant,
        words: &mut Words,
    ) -> Option<Waiting> {
        let time = event.time()?;
        let count = event.times();
        let uid = xxh3_64(event.metadata.uid.as_deref()?.as_bytes());
        let state = xxh3_64(&[time.to_le_bytes(), i64::from(count).to_le_bytes()].concat());
        if self.told.len() >= REMEMBERED && !self.told.contains_key(&uid) {
            self.told.clear();
        }
        if self.told.insert(uid, state) == Some(state) {
            return None;
        }
        let object = &event.involved_object;
        let (kind, name) = (object.kind.as_deref()?, object.name.as_deref()?);
        let news = KubeEvent {
            time,
            warning: event.kind.as_deref() == Some("Warning"),
            reason: words.word(event.reason.as_deref().unwrap_or_default()),
            message: cut(event.message.as_deref().unwrap_or_default()),
            object_kind: words.word(&kind.to_ascii_lowercase()),
            object_name: Arc::from(name),
            count,
        };
        Some(Waiting {
            namespace: words.word(object.namespace.as_deref().unwrap_or_default()),
            kind: words.word(kind),
            name: Arc::clone(&news.object_name),
            uid: Arc::from(object.uid.as_deref().unwrap_or_default()),
            event: Arc::new(news),
            until: now + PATIENCE,
        })
    }

    /// Forgets an event that the API server has deleted.
    pub(super) fn forget(&mut self, event: &types::Event) {
        if let Some(uid) = &event.metadata.uid {
            self.told.remove(&xxh3_64(uid.as_bytes()));
        }
    }

    /// Keeps an event until its object is known; the oldest gives way.
    pub(super) fn wait(&mut self, waiting: Waiting) {
        if self.waiting.len() >= WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back(waiting);
    }

    /// Takes out the events that may be tried again, less those that waited long enough.
    pub(super) fn retry(&mut self, now: Instant) -> VecDeque<Waiting> {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.retain(|event| event.until > now);
        waiting
    }

    /// Whether any event waits.
    pub(super) fn any_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }
}
