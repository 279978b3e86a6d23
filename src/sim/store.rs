//! The objects as the API serves them, and the history of their changes.
//!
//! Invariants: every change has a resource version of its own, from one counter; a write that
//! changes nothing is no change; the history is bounded, and what it forgot is `floor`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

use super::resource::Resource;

/// Stands for the resource version while an object is serialised, so that it is done once.
const VERSION: &str = "@resource-version@";

/// Labels of an object.
pub(super) type Labels = Arc<BTreeMap<String, String>>;
/// Namespace (empty for cluster-wide objects) and name.
pub(super) type Name = (Arc<str>, Arc<str>);

/// One object as it is served.
#[derive(Clone, Debug)]
pub(super) struct Object {
    /// Its namespace and name.
    pub name: Name,
    /// Its labels, for selectors.
    pub labels: Labels,
    /// Its version.
    pub version: u64,
    /// Its JSON.
    pub body: Bytes,
    /// Hash of the JSON without the version.
    content: u64,
    /// Where the version stands in the JSON.
    version_at: usize,
}

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// It was created.
    Added,
    /// It was written.
    Modified,
    /// It was removed.
    Deleted,
}

/// One change.
#[derive(Clone, Debug)]
pub(super) struct Change {
    /// What it is about.
    pub resource: Resource,
    /// What happened.
    pub verb: Verb,
    /// The object after it, or as it was last.
    pub object: Object,
    /// Labels before it, if they were others.
    pub before: Option<Labels>,
}

/// All objects.
#[derive(Debug)]
pub(super) struct Store {
    objects: BTreeMap<Resource, BTreeMap<Name, Object>>,
    history: VecDeque<Change>,
    limit: usize,
    head: u64,
    floor: u64,
}

// === impl Store ===

impl Store {
    /// An empty store that remembers so many changes.
    pub(super) fn new(limit: usize) -> Self {
        // A real cluster's first objects have versions of two to four digits as well.
        let head = 100;
        Store { objects: BTreeMap::new(), history: VecDeque::new(), limit, head, floor: head }
    }

    /// The version of the newest change.
    pub(super) fn head(&self) -> u64 {
        self.head
    }

    /// Changes up to this version are forgotten.
    pub(super) fn floor(&self) -> u64 {
        self.floor
    }

    /// Forgets all changes so far, as a compaction does.
    pub(super) fn compact(&mut self) {
        self.history.clear();
        self.floor = self.head;
    }

    /// Writes an object, given without resource version.
    pub(super) fn put(&mut self, resource: Resource, mut value: Value) {
        let text = |value: &Value| -> Arc<str> { value.as_str().unwrap_or_default().into() };
        let name = (text(&value["metadata"]["namespace"]), text(&value["metadata"]["name"]));
        value["metadata"]["resourceVersion"] = VERSION.into();
        let labels: BTreeMap<String, String> = value["metadata"]["labels"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
            .collect();
        let template = value.to_string();
        let content = xxh3_64(template.as_bytes());
        let objects = self.objects.entry(resource).or_default();
        let before = objects.get(&name);
        if before.is_some_and(|before| before.content == content) {
            return;
        }
        self.head += 1;
        let version_at = template.find(VERSION).unwrap_or_default();
        let body = template.replacen(VERSION, &self.head.to_string(), 1).into();
        let verb = if before.is_some() { Verb::Modified } else { Verb::Added };
        let old_labels = before.map(|before| before.labels.clone());
        let labels = match &old_labels {
            Some(old) if **old == labels => old.clone(),
            _ => Arc::new(labels),
        };
        let before = old_labels.filter(|old| !Arc::ptr_eq(old, &labels));
        let object =
            Object { name: name.clone(), labels, version: self.head, body, content, version_at };
        objects.insert(name, object.clone());
        self.remember(Change { resource, verb, object, before });
    }

    /// Removes an object; tells whether it was there.
    pub(super) fn remove(&mut self, resource: Resource, namespace: &str, name: &str) -> bool {
        let key = (namespace.into(), name.into());
        let Some(mut object) = self.objects.entry(resource).or_default().remove(&key) else {
            return false;
        };
        self.head += 1;
        // The last state carries the version of its removal.
        let digits = object.version.to_string().len();
        let (head, tail) = object.body.split_at(object.version_at);
        let version = self.head.to_string();
        object.body = [head, version.as_bytes(), &tail[digits..]].concat().into();
        object.version = self.head;
        self.remember(Change { resource, verb: Verb::Deleted, object, before: None });
        true
    }

    /// One object.
    pub(super) fn get(&self, resource: Resource, namespace: &str, name: &str) -> Option<&Object> {
        self.objects.get(&resource)?.get(&(namespace.into(), name.into()))
    }

    /// All objects of a kind in the order of namespace and name, after the given one.
    pub(super) fn list(
        &self,
        resource: Resource,
        after: Option<&Name>,
    ) -> impl Iterator<Item = &Object> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, |name| Excluded(name.clone()));
        self.objects
            .get(&resource)
            .into_iter()
            .flat_map(move |objects| objects.range((from.clone(), Unbounded)))
            .map(|(_, object)| object)
    }

    /// Changes after this version, oldest first.
    pub(super) fn since(&self, version: u64) -> impl Iterator<Item = &Change> {
        let from = self.history.partition_point(|change| change.object.version <= version);
        self.history.range(from..)
    }

    fn remember(&mut self, change: Change) {
        while self.history.len() >= self.limit {
            if let Some(gone) = self.history.pop_front() {
                self.floor = gone.object.version;
            }
        }
        self.history.push_back(change);
    }
}
