//! What a reader wants to see of the workloads in its scope.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::{Filter, Scope};
use crate::ids::{Entry, KubeEvent, LineMeta, Lines, Side, Source};

/// Which pods' lines are wanted. A closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Logs {
    /// Of all pods.
    All,
    /// Of pods of the new revision.
    New,
    /// Of containers that have failed: from then on, the attempts after a crash included. What a
    /// container said before anybody knew that it fails is not among them.
    Failed,
    /// No lines, only what happens.
    None,
}

/// Which Kubernetes events are wanted. A closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Events {
    /// All.
    All,
    /// Only warnings.
    Warning,
    /// None.
    None,
}

/// A word that is not in a closed list.
#[derive(Debug, thiserror::Error)]
#[error("expected one of {0}")]
pub struct UnknownWord(&'static str);

/// Only records of one pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum OnePod {
    /// This very pod.
    Uid(Arc<str>),
    /// Every pod that ever had this name.
    Name(Arc<str>),
}

/// Which attempts of a container are wanted, seen from those that were the newest when the reader
/// came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Attempts {
    /// All.
    #[default]
    All,
    /// The newest, and those that come later.
    Current(Arc<[Newest]>),
    /// Those before the newest, as `kubectl logs --previous` shows the last of them.
    Previous(Arc<[Newest]>),
}

/// The newest attempt of a container at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Newest {
    /// The pod's uid.
    pub uid: Arc<str>,
    /// The container's name.
    pub container: Arc<str>,
    /// The attempt, from 1.
    pub attempt: u32,
}

/// A selection in canonical form: two readers with equal selections read the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Selection {
    /// Whose records.
    pub scope: Scope,
    /// Only this pod's.
    pub pod: Option<OnePod>,
    /// Only this container's lines, by name.
    pub container: Option<Arc<str>>,
    /// Which pods' lines.
    pub logs: Logs,
    /// Which lines, by their text.
    pub filter: Option<Arc<Filter>>,
    /// Which Kubernetes events.
    pub events: Events,
    /// Which attempts.
    pub attempts: Attempts,
    /// Whether results of rollouts are read from the journal; a stream that ends with one writes it
    /// itself.
    pub results: bool,
}

// === impl Logs ===

impl Logs {
    /// The wire's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Logs::All => "all",
            Logs::New => "new",
            Logs::Failed => "failed",
            Logs::None => "none",
        }
    }
}

impl FromStr for Logs {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "all" => Ok(Logs::All),
            "new" => Ok(Logs::New),
            "failed" => Ok(Logs::Failed),
            "none" => Ok(Logs::None),
            _ => Err(UnknownWord("all, new, failed, none")),
        }
    }
}

// === impl Events ===

impl Events {
    /// The wire's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Events::All => "all",
            Events::Warning => "warning",
            Events::None => "none",
        }
    }

    fn wants(self, event: &KubeEvent) -> bool {
        match self {
            Events::All => true,
            Events::Warning => event.warning,
            Events::None => false,
        }
    }
}

impl FromStr for Events {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "all" => Ok(Events::All),
            "warning" => Ok(Events::Warning),
            "none" => Ok(Events::None),
            _ => Err(UnknownWord("all, warning, none")),
        }
    }
}

// === impl Attempts ===

impl Attempts {
    fn wants(&self, source: &Source) -> bool {
        let newest = |list: &[Newest]| {
            let key = (&*source.key.uid, &*source.key.container);
            let at = list.binary_search_by(|known| (&*known.uid, &*known.container).cmp(&key));
            at.ok().map(|at| list[at].attempt)
        };
        match self {
            Attempts::All => true,
            Attempts::Current(list) => newest(list).is_none_or(|newest| source.attempt >= newest),
            Attempts::Previous(list) => newest(list).is_some_and(|newest| source.attempt < newest),
        }
    }
}

// === impl Selection ===

impl Selection {
    /// Everything of a scope.
    pub fn all(scope: Scope) -> Self {
        Selection {
            scope,
            pod: None,
            container: None,
            logs: Logs::All,
            filter: None,
            events: Events::All,
            attempts: Attempts::All,
            results: true,
        }
    }

    /// Whether any of these lines can be wanted: what all lines of a batch share is looked at.
    pub fn wants_lines(&self, lines: &Lines) -> bool {
        let side = match self.logs {
            Logs::All => true,
            Logs::New => lines.side == Side::New,
            Logs::Failed => lines.failed,
            Logs::None => false,
        };
        side && self.wants_source(&lines.source)
    }

    /// Whether a line of a batch that can be wanted is wanted.
    pub fn wants_line(&self, lines: &Lines, line: &LineMeta) -> bool {
        self.filter.as_ref().is_none_or(|filter| {
            // Valid by construction; see `tail::batch`.
            filter.wants(std::str::from_utf8(lines.bytes_of(line)).unwrap_or_default())
        })
    }

    /// Whether a record that is no batch of lines is wanted.
    pub fn wants_entry(&self, entry: &Entry) -> bool {
        match entry {
            Entry::Lines(lines) => self.wants_lines(lines),
            Entry::Rollout(_) => self.pod.is_none(),
            Entry::Result(_) => self.results && self.pod.is_none(),
            Entry::Pod(status) => self.wants_pod(&status.uid, &status.pod),
            Entry::Event(event) => self.pod.is_none() && self.events.wants(event),
            Entry::Source(change) => self.wants_source(&change.source),
            Entry::Gap(gap) => match &gap.source {
                Some(source) => self.wants_source(source),
                None => true,
            },
        }
    }

    /// Whether this pod is in the selection.
    pub fn wants_pod(&self, uid: &str, name: &str) -> bool {
        match &self.pod {
            None => true,
            Some(OnePod::Uid(wanted)) => **wanted == *uid,
            Some(OnePod::Name(wanted)) => **wanted == *name,
        }
    }

    /// Whether records of this source are in the selection.
    pub fn wants_source(&self, source: &Source) -> bool {
        self.wants_pod(&source.key.uid, &source.pod)
            && self.container.as_deref().is_none_or(|wanted| wanted == &*source.key.container)
            && self.attempts.wants(source)
    }

    /// Whether a line is young enough for a reader that asked for lines since a time.
    pub fn young_enough(line: &LineMeta, since: Option<i64>) -> bool {
        since.is_none_or(|since| line.time >= since)
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} logs={}", self.scope, self.logs.as_str())?;
        match &self.pod {
            Some(OnePod::Uid(pod) | OnePod::Name(pod)) => write!(f, " pod={pod}")?,
            None => {}
        }
        if let Some(container) = &self.container {
            write!(f, " container={container}")?;
        }
        if self.filter.is_some() {
            f.write_str(" filtered")?;
        }
        Ok(())
    }
}
