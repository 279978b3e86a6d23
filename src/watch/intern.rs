//! One allocation for every word that many entries share: namespaces, nodes, images, container names.

use std::collections::HashSet;
use std::sync::Arc;

/// Words below this number are not worth a search for unused ones.
const PURGE_FLOOR: usize = 1024;

/// The shared words. Unused ones are let go when their number has doubled, so that images of years
/// do not pile up.
#[derive(Debug)]
pub(super) struct Words {
    words: HashSet<Arc<str>>,
    purge_at: usize,
}

impl Words {
    pub(super) fn new() -> Self {
        Words { words: HashSet::new(), purge_at: PURGE_FLOOR }
    }

    /// The shared form of a word.
    pub(super) fn word(&mut self, word: &str) -> Arc<str> {
        if let Some(known) = self.words.get(word) {
            return Arc::clone(known);
        }
        if self.words.len() >= self.purge_at {
            self.words.retain(|word| Arc::strong_count(word) > 1);
            self.purge_at = (2 * self.words.len()).max(PURGE_FLOOR);
        }
        let word: Arc<str> = Arc::from(word);
        self.words.insert(Arc::clone(&word));
        word
    }

    /// The shared form of a word that may be missing; an empty one is missing.
    pub(super) fn maybe(&mut self, word: Option<&str>) -> Option<Arc<str>> {
        word.filter(|word| !word.is_empty()).map(|word| self.word(word))
    }

    /// Rough heap size in bytes.
    pub(super) fn bytes(&self) -> usize {
        let words: usize = self.words.iter().map(|word| word.len() + 16).sum();
        words + self.words.capacity() * (size_of::<Arc<str>>() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_words_share_one_allocation() {
        let mut words = Words::new();
        assert!(Arc::ptr_eq(&words.word("shop"), &words.word("shop")));
        assert_eq!(words.maybe(Some("")), None);
    }

    #[test]
    fn unused_words_are_let_go() {
        let mut words = Words::new();
        let kept = words.word("kept");
        for number in 0..10 * PURGE_FLOOR {
            words.word(&format!("image:{number}"));
        }
        assert!(words.words.len() <= PURGE_FLOOR, "{}", words.words.len());
        assert!(Arc::ptr_eq(&kept, &words.word("kept")));
    }
}
