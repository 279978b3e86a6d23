//! Kubernetes Events: one object for each thing that repeats, with a count.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use serde_json::json;

use super::resource::Resource;
use super::world::World;
use crate::time::rfc3339_seconds;

/// Events that are kept; the real API keeps them for an hour, which in the shop is about as many.
const EVENTS_KEPT: usize = 2_000;

/// What an event is about.
#[derive(Clone, Debug)]
pub(super) struct About {
    pub resource: Resource,
    pub namespace: Arc<str>,
    pub name: Arc<str>,
    pub uid: Arc<str>,
}

/// The events so far.
#[derive(Debug, Default)]
pub(super) struct EventLog {
    known: HashMap<(Arc<str>, &'static str, String), Event>,
    order: VecDeque<(Arc<str>, &'static str, String)>,
    made: u64,
}

#[derive(Clone, Debug)]
struct Event {
    namespace: Arc<str>,
    name: String,
    first: i64,
    count: u32,
}

// === impl World ===

impl World {
    /// Records that something happened; the second time it raises the count.
    pub(super) fn event(
        &mut self,
        about: &About,
        component: &str,
        warning: bool,
        reason: &'static str,
        message: String,
    ) {
        let key = (about.uid.clone(), reason, message);
        let log = &mut self.events;
        if !log.known.contains_key(&key) {
            if log.order.len() >= EVENTS_KEPT
                && let Some(oldest) = log.order.pop_front()
                && let Some(event) = log.known.remove(&oldest)
            {
                self.store.remove(Resource::Events, &event.namespace, &event.name);
            }
            log.made += 1;
            let name = format!("{}.{:016x}", about.name, (self.now as u64) ^ log.made);
            let event =
                Event { namespace: about.namespace.clone(), name, first: self.now, count: 0 };
            log.known.insert(key.clone(), event);
            log.order.push_back(key.clone());
        }
        let Some(event) = log.known.get_mut(&key) else { return };
        event.count += 1;
        let object = json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {
                "name": event.name, "namespace": &*event.namespace,
                "uid": format!("event-{}", event.name),
                "creationTimestamp": rfc3339_seconds(event.first),
            },
            "involvedObject": {
                "kind": about.resource.kind(), "apiVersion": about.resource.api_version(),
                "namespace": &*about.namespace, "name": &*about.name, "uid": &*about.uid,
            },
            "type": if warning { "Warning" } else { "Normal" },
            "reason": reason, "message": key.2, "count": event.count,
            "firstTimestamp": rfc3339_seconds(event.first),
            "lastTimestamp": rfc3339_seconds(self.now),
            "source": {"component": component}, "eventTime": null,
            "reportingComponent": component, "reportingInstance": "",
        });
        self.store.put(Resource::Events, object);
    }
}
