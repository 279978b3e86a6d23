//! What namespaces wish: their annotation `rollcast.dev/record`.
//!
//! What holds here: a namespace is read by its name, which a Role in it can allow; to list them all
//! would take more rights than anything else does. What cannot be read wishes nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::cluster::{Cluster, Error};
use crate::config::Record;
use crate::watch::Index;

/// The annotation, of namespaces and of workloads.
const RECORD: &str = "rollcast.dev/record";
/// How often it is looked which namespaces are to be read.
pub(super) const LOOK: Duration = Duration::from_secs(5);
/// A wish is read again after so long.
const AGAIN: Duration = Duration::from_secs(60);
/// Namespaces that are read in one round, so that a large cluster is not asked for all at once.
const MOST: usize = 50;

/// The wishes of all namespaces that have workloads. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Wishes {
    known: Arc<Mutex<HashMap<Arc<str>, Wish>>>,
}

#[derive(Clone, Copy, Debug)]
struct Wish {
    record: Option<Record>,
    read: Instant,
}

// === impl Wishes ===

impl Wishes {
    /// What a namespace wishes, as far as it is known.
    pub(super) fn of(&self, namespace: &str) -> Option<Record> {
        self.known.lock().get(namespace)?.record
    }

    /// Reads what is new or was read a while ago; gives the namespaces that wish something else now.
    pub(super) async fn read(&self, cluster: &Cluster, index: &Index) -> Vec<Arc<str>> {
        let mut changed = Vec::new();
        for namespace in self.due(index) {
            let record = match cluster.namespace_annotation(&namespace, RECORD).await {
                Ok(word) => word.and_then(|word| word.parse().ok()),
                Err(error) => {
                    self.refused(&namespace, &error);
                    self.of(&namespace)
                }
            };
            let wish = Wish { record, read: Instant::now() };
            let before = self.known.lock().insert(namespace.clone(), wish);
            if before.and_then(|before| before.record) != record {
                changed.push(namespace);
            }
        }
        changed
    }

    fn due(&self, index: &Index) -> Vec<Arc<str>> {
        let namespaces = index.namespaces();
        let mut known = self.known.lock();
        known.retain(|namespace, _| namespaces.contains(namespace));
        let due = namespaces.into_iter().filter(|namespace| {
            known.get(namespace).is_none_or(|wish| wish.read.elapsed() >= AGAIN)
        });
        due.take(MOST).collect()
    }

    /// Said at the first look only: whoever gives no right to read namespaces knows it.
    fn refused(&self, namespace: &Arc<str>, error: &Error) {
        if !self.known.lock().contains_key(namespace) {
            tracing::info!(%namespace, %error, "its annotation {RECORD} is not heeded");
        }
    }
}
