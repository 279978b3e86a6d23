//! A set of pods that is searched by a word of the pod itself.
//!
//! A map would hold a second reference to that word in every slot, half as much again as the pod's
//! own pointer costs; with two tables that is 50 bytes a pod.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::sync::Arc;

use crate::watch::PodEntry;

/// Which word a shelf is searched by.
pub(super) trait Key: std::fmt::Debug {
    fn of(pod: &PodEntry) -> &str;
}

/// By identity.
#[derive(Debug)]
pub(super) struct ByUid;

/// By name; all pods are of one namespace.
#[derive(Debug)]
pub(super) struct ByName;

impl Key for ByUid {
    fn of(pod: &PodEntry) -> &str {
        &pod.uid
    }
}

impl Key for ByName {
    fn of(pod: &PodEntry) -> &str {
        &pod.name
    }
}

/// Pods, at most one for each word.
#[derive(Debug)]
pub(super) struct Shelf<K>(HashSet<Held<K>>);

#[derive(Debug)]
struct Held<K>(Arc<PodEntry>, PhantomData<K>);

impl<K: Key> Borrow<str> for Held<K> {
    fn borrow(&self) -> &str {
        K::of(&self.0)
    }
}

// Must agree with those of the borrowed word.
impl<K: Key> Hash for Held<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        K::of(&self.0).hash(state);
    }
}

impl<K: Key> PartialEq for Held<K> {
    fn eq(&self, other: &Self) -> bool {
        K::of(&self.0) == K::of(&other.0)
    }
}

impl<K: Key> Eq for Held<K> {}

impl<K: Key> Default for Shelf<K> {
    fn default() -> Self {
        Shelf(HashSet::new())
    }
}

impl<K: Key> Shelf<K> {
    pub(super) fn get(&self, word: &str) -> Option<&Arc<PodEntry>> {
        self.0.get(word).map(|held| &held.0)
    }

    /// Puts a pod in the place of the one with the same word.
    pub(super) fn put(&mut self, pod: Arc<PodEntry>) {
        self.0.replace(Held(pod, PhantomData));
    }

    pub(super) fn remove(&mut self, word: &str) {
        self.0.remove(word);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<PodEntry>> {
        self.0.iter().map(|held| &held.0)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Heap size of the table in bytes: slots and a byte of control each, at most 7/8 full.
    pub(super) fn bytes(&self) -> usize {
        self.0.capacity() * 8 / 7 * (size_of::<Held<K>>() + 1)
    }
}
