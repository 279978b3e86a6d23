//! Which workloads a reader sees.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::sync::Arc;

use super::Selector;
use crate::ids::WorkloadId;
use crate::watch::Index;

/// Workloads that one reader sees at most. Each costs a look at its shelf for every piece.
pub const MAX_WORKLOADS: usize = 1000;

/// A part of a scope.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// This workload, also while it does not exist.
    Workload(Arc<WorkloadId>),
    /// Every workload of a namespace whose own labels are selected, those that come later too.
    Matching {
        /// The namespace.
        namespace: Arc<str>,
        /// By which labels.
        selector: Selector,
    },
}

/// One or several targets, in canonical form: sorted and without repetitions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    targets: Arc<[Target]>,
}

/// The workloads of a scope at one moment.
#[derive(Clone, Debug, Default)]
pub struct Resolved {
    /// In order, at most [`MAX_WORKLOADS`].
    pub workloads: Vec<Arc<WorkloadId>>,
    /// There are more, which are left out.
    pub more: bool,
}

// === impl Scope ===

impl Scope {
    /// One workload.
    pub fn one(workload: Arc<WorkloadId>) -> Self {
        Scope { targets: Arc::new([Target::Workload(workload)]) }
    }

    /// Several targets; an empty scope shows nothing.
    pub fn new(targets: impl IntoIterator<Item = Target>) -> Self {
        let targets: BTreeSet<Target> = targets.into_iter().collect();
        Scope { targets: targets.into_iter().collect() }
    }

    /// The workload, if the scope is about just one: then events need not name it.
    pub fn single(&self) -> Option<&Arc<WorkloadId>> {
        match &*self.targets {
            [Target::Workload(workload)] => Some(workload),
            _ => None,
        }
    }

    /// The namespaces in which all of it lies.
    pub fn namespaces(&self) -> BTreeSet<&str> {
        self.targets.iter().map(Target::namespace).collect()
    }

    /// Whether which workloads it has can change.
    pub fn is_open(&self) -> bool {
        self.targets.iter().any(|target| matches!(target, Target::Matching { .. }))
    }

    /// The workloads that it has now.
    pub fn resolve(&self, index: &Index) -> Resolved {
        let mut found: BTreeSet<Arc<WorkloadId>> = BTreeSet::new();
        let mut selectors = Vec::new();
        for target in &*self.targets {
            match target {
                Target::Workload(workload) => drop(found.insert(workload.clone())),
                Target::Matching { namespace, selector } => selectors.push((namespace, selector)),
            }
        }
        if !selectors.is_empty() {
            let namespaces: HashSet<&str> = selectors.iter().map(|(name, _)| &***name).collect();
            for entry in index.workloads() {
                let selected = namespaces.contains(&*entry.id.namespace)
                    && selectors.iter().any(|(namespace, selector)| {
                        ***namespace == *entry.id.namespace
                            && selector.matches(|key| entry.labels.get(key))
                    });
                if selected {
                    found.insert(entry.id.clone());
                }
            }
        }
        let more = found.len() > MAX_WORKLOADS;
        Resolved { workloads: found.into_iter().take(MAX_WORKLOADS).collect(), more }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, target) in self.targets.iter().enumerate() {
            if index > 0 {
                f.write_str(" + ")?;
            }
            write!(f, "{target}")?;
        }
        Ok(())
    }
}

// === impl Target ===

impl Target {
    /// Where it lies.
    pub fn namespace(&self) -> &str {
        match self {
            Target::Workload(workload) => &workload.namespace,
            Target::Matching { namespace, .. } => namespace,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Workload(workload) => write!(f, "{workload}"),
            Target::Matching { namespace, selector } => match selector.to_string() {
                text if text.is_empty() => write!(f, "{namespace}/*"),
                text => write!(f, "{namespace}/[{text}]"),
            },
        }
    }
}
