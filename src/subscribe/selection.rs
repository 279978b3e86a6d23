//! What a reader wants to see of one workload.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::ids::{Entry, LineMeta, Lines, Side, Source, WorkloadId};

/// Which pods' lines are wanted. A closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Logs {
    /// Of all pods.
    All,
    /// Of pods of the new revision.
    New,
    /// No lines, only what happens.
    None,
}

/// A word that names no [`Logs`].
#[derive(Debug, thiserror::Error)]
#[error("expected one of all, new, none")]
pub struct UnknownLogs;

/// A selection in canonical form: two readers with equal selections read the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Selection {
    /// Whose records.
    pub workload: Arc<WorkloadId>,
    /// Only this pod's, by uid.
    pub pod: Option<Arc<str>>,
    /// Only this container's lines, by name.
    pub container: Option<Arc<str>>,
    /// Which pods' lines.
    pub logs: Logs,
}

// === impl Logs ===

impl Logs {
    /// The wire's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Logs::All => "all",
            Logs::New => "new",
            Logs::None => "none",
        }
    }
}

impl FromStr for Logs {
    type Err = UnknownLogs;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "all" => Ok(Logs::All),
            "new" => Ok(Logs::New),
            "none" => Ok(Logs::None),
            _ => Err(UnknownLogs),
        }
    }
}

// === impl Selection ===

impl Selection {
    /// Whether any of these lines is wanted; all lines of a batch share what filters look at.
    pub fn wants_lines(&self, lines: &Lines) -> bool {
        let side = match self.logs {
            Logs::All => true,
            Logs::New => lines.side == Side::New,
            Logs::None => false,
        };
        side && self.wants(&lines.source.key.uid, &lines.source.key.container)
    }

    /// Whether a record that is no batch of lines is wanted.
    pub fn wants_entry(&self, entry: &Entry) -> bool {
        match entry {
            Entry::Lines(lines) => self.wants_lines(lines),
            Entry::Rollout(_) => self.pod.is_none(),
            Entry::Pod(status) => self.wants_pod(&status.uid),
            Entry::Event(_) => self.pod.is_none(),
            Entry::Source(change) => {
                self.wants(&change.source.key.uid, &change.source.key.container)
            }
            Entry::Gap(gap) => match &gap.source {
                Some(source) => self.wants(&source.key.uid, &source.key.container),
                None => true,
            },
        }
    }

    /// Whether this pod is in the selection.
    pub fn wants_pod(&self, uid: &str) -> bool {
        self.pod.as_deref().is_none_or(|wanted| wanted == uid)
    }

    /// Whether records of this source are in the selection.
    pub fn wants_source(&self, source: &Source) -> bool {
        self.wants(&source.key.uid, &source.key.container)
    }

    fn wants(&self, uid: &str, container: &str) -> bool {
        self.wants_pod(uid) && self.container.as_deref().is_none_or(|wanted| wanted == container)
    }

    /// Whether a line is young enough for a reader that asked for lines since a time.
    pub fn young_enough(line: &LineMeta, since: Option<i64>) -> bool {
        since.is_none_or(|since| line.time >= since)
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} logs={}", self.workload, self.logs.as_str())?;
        if let Some(pod) = &self.pod {
            write!(f, " pod={pod}")?;
        }
        if let Some(container) = &self.container {
            write!(f, " container={container}")?;
        }
        Ok(())
    }
}
