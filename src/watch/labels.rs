//! Labels of a workload.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::intern::Words;

/// Labels that are kept of one object. The API server sets no bound but the object's size; nobody
/// selects by the hundredth.
const MAX_LABELS: usize = 64;

/// Labels, sorted by key; their words are shared with all other entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(Box<[(Arc<str>, Arc<str>)]>);

impl Labels {
    pub(super) fn new(map: Option<&BTreeMap<String, String>>, words: &mut Words) -> Labels {
        let pairs = map.into_iter().flatten().take(MAX_LABELS);
        Labels(pairs.map(|(key, value)| (words.word(key), words.word(value))).collect())
    }

    /// The value of a label; `None` if there is no such label.
    pub fn get(&self, key: &str) -> Option<&str> {
        let at = self.0.binary_search_by(|(known, _)| (**known).cmp(key)).ok()?;
        Some(&self.0[at].1)
    }

    /// Heap size in bytes without the shared words.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.0)
    }
}
