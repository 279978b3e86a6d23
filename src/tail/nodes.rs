//! Suspects nodes that fell silent.
//!
//! Packets dropped between a kubelet and its API server cannot be seen from our side: our own
//! connections are healthy, and the streams wake up long after the node is back. So suspicion is per
//! node: when its lines stop, or its pods are called not ready though their containers are, one cheap
//! read every 5 s tells. The first that works after one that failed has every running source of the
//! node read again from its anchor; so has one that shows a line that did not come.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::sleep;

use super::level::Level;
use super::probe::{self, End};
use super::supervisor::{Running, Tail};
use crate::cluster::LogError;
use crate::ids::{Source, SourceState};
use crate::time::{self, SECOND};

/// Time between two looks at all nodes; no I/O.
const LOOK: Duration = Duration::from_secs(1);
/// Least time between two reads of one node.
const READ_EVERY: i64 = 5 * SECOND;
/// The same while it is the API server that does not answer: then followers ask it all the time, and it
/// says nothing about nodes.
const READ_SELDOM: i64 = 30 * SECOND;
/// A node whose logs were busier is suspect after this silence.
const SILENCE: i64 = 5 * SECOND;
/// Or after so many times the longest silence it had lately.
const TIMES_LONGEST: i64 = 4;
/// A line that was stored so long ago and did not come is not on its way any more.
pub(super) const ON_ITS_WAY: Duration = Duration::from_secs(1);

/// What is thought of each node.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    nodes: Mutex<HashMap<Arc<str>, Node>>,
}

/// When the last line of a node came, by our clock; 0 before the first.
pub(super) type Pulse = Arc<AtomicI64>;

#[derive(Debug, Default)]
struct Node {
    pulse: Pulse,
    suspicion: Suspicion,
    /// Which of its sources is asked; each time another.
    turn: usize,
}

/// A node that is to be read, and by which of its sources.
struct Due {
    node: Arc<str>,
    lost: bool,
    source: Arc<Source>,
    level: Arc<Level>,
}

/// What is thought of one node. Pure.
#[derive(Debug, Default)]
struct Suspicion {
    arrived: i64,
    /// The longest silence between two lines lately.
    longest: i64,
    suspect: bool,
    /// A read is under way.
    busy: bool,
    /// The last read failed.
    failed: bool,
    /// It was said that the node cannot be reached.
    told: bool,
    next: i64,
}

/// What a read of a suspect node came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It failed; whether it is the node that cannot be reached.
    Failed { node: bool },
    /// It says nothing about the node: the container is gone, or the API server is busy.
    Unclear,
    /// It worked, and all that was stored had come.
    Quiet,
    /// It worked, and showed a line that had not come.
    Missed,
    /// It worked, and the last line is older than what had come: the clock was set back.
    Stepped,
}

/// What is to be done for the sources of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Nothing,
    /// Say that it cannot be reached.
    Unreachable,
    /// Read all again from their anchors; from the beginning of the file after a clock step.
    Reread {
        everything: bool,
    },
}

// === impl Nodes ===

impl Nodes {
    /// Where the followers of a node note that lines come.
    pub(super) fn pulse(&self, node: Option<&Arc<str>>) -> Pulse {
        let Some(node) = node else { return Pulse::default() };
        self.nodes.lock().entry(node.clone()).or_default().pulse.clone()
    }

    /// The nodes whose logs cannot be read.
    pub(super) fn unreachable(&self) -> Vec<Arc<str>> {
        let nodes = self.nodes.lock();
        let mut names: Vec<_> = nodes
            .iter()
            .filter(|(_, node)| node.suspicion.told)
            .map(|(name, _)| name.clone())
            .collect();
        names.sort_unstable();
        names
    }
}

// === impl Suspicion ===

impl Suspicion {
    /// Whether the node should be read now. `lost` is the control plane's word.
    fn look(&mut self, now: i64, arrived: i64, lost: bool) -> bool {
        if arrived != self.arrived {
            if self.arrived > 0 {
                self.longest = (self.longest - self.longest / 16).max(arrived - self.arrived);
            }
            self.arrived = arrived;
            // Lines came: unless a read failed, in which case all are to be read again.
            self.suspect &= self.failed;
        }
        let silent = arrived > 0 && now - arrived > SILENCE.max(self.longest * TIMES_LONGEST);
        self.suspect |= lost || silent;
        let due = self.suspect && !self.busy && now >= self.next;
        if due {
            self.busy = true;
            self.next = now + READ_EVERY;
        }
        due
    }

    fn outcome(&mut self, now: i64, lost: bool, outcome: Outcome) -> Verdict {
        self.busy = false;
        let failed = self.failed;
        match outcome {
            Outcome::Unclear => return Verdict::Nothing,
            Outcome::Failed { node } => {
                self.failed = true;
                if !node && !lost {
                    self.next = now + READ_SELDOM;
                }
                let tell = (node || lost) && !self.told;
                self.told |= tell;
                return if tell { Verdict::Unreachable } else { Verdict::Nothing };
            }
            Outcome::Quiet | Outcome::Missed | Outcome::Stepped => {}
        }
        (self.failed, self.told, self.suspect) = (false, false, false);
        // It may be silent for as long again, and more, before it is suspect again.
        if self.arrived > 0 {
            self.longest = self.longest.max(now - self.arrived);
        }
        if failed || outcome != Outcome::Quiet {
            return Verdict::Reread { everything: outcome == Outcome::Stepped };
        }
        Verdict::Nothing
    }
}

// === impl Tail ===

impl Tail {
    /// Looks at the nodes for ever.
    pub(super) async fn watch_nodes(&self) {
        loop {
            sleep(LOOK).await;
            self.bury();
            self.measure();
            for Due { node, lost, source, level } in self.due() {
                let tail = self.clone();
                self.inner.wiring.tracker.spawn(async move {
                    let shutdown = tail.inner.wiring.shutdown.clone();
                    tokio::select! {
                        outcome = tail.read_node(&source, &level) => {
                            tail.judge_node(&node, lost, outcome);
                        }
                        () = shutdown.cancelled() => {}
                    }
                });
            }
        }
    }

    /// The nodes that are to be read now, each with a running source.
    fn due(&self) -> Vec<Due> {
        let now = time::now();
        let state = self.inner.state.lock();
        let mut by_node: HashMap<&Arc<str>, (bool, Vec<&Running>)> = HashMap::new();
        for running in state.followers.values() {
            let known = running.known.borrow();
            if let Some(node) = running.node.as_ref().filter(|_| !known.standing.is_over()) {
                let entry = by_node.entry(node).or_default();
                entry.0 |= known.lost;
                entry.1.push(running);
            }
        }
        let mut nodes = self.inner.nodes.nodes.lock();
        nodes.retain(|name, _| by_node.contains_key(name) || state.per_node.contains_key(name));
        let mut due = Vec::new();
        for (name, (lost, sources)) in by_node {
            let Some(node) = nodes.get_mut(name) else { continue };
            if node.suspicion.look(now, node.pulse.load(Ordering::Relaxed), lost) {
                node.turn = node.turn.wrapping_add(1);
                let running = sources[node.turn % sources.len()];
                let (source, level) = (running.source.clone(), running.level.clone());
                due.push(Due { node: name.clone(), lost, source, level });
            }
        }
        due
    }

    async fn read_node(&self, source: &Source, level: &Level) -> Outcome {
        let before = level.last();
        let stored = probe::stamp(&self.inner.wiring.cluster, source, End::Last, false).await;
        match stored {
            Err(LogError::Refused { status, .. }) => Outcome::Failed { node: status >= 500 },
            // No answer is the node's fault if the API server answers.
            Err(LogError::Transport(_)) => {
                let workload = &source.workload;
                let cluster = &self.inner.wiring.cluster;
                let pod = cluster.get_pod(&workload.namespace, &source.pod).await;
                Outcome::Failed { node: pod.is_ok() }
            }
            Err(_) => Outcome::Unclear,
            Ok(Some(stored)) if level.seen().first_time.is_some() => {
                if stored < before - SECOND {
                    return Outcome::Stepped;
                }
                if stored > before {
                    sleep(ON_ITS_WAY).await;
                }
                if stored > level.last() { Outcome::Missed } else { Outcome::Quiet }
            }
            Ok(_) => Outcome::Quiet,
        }
    }

    fn judge_node(&self, name: &Arc<str>, lost: bool, outcome: Outcome) {
        let verdict = {
            let mut nodes = self.inner.nodes.nodes.lock();
            let Some(node) = nodes.get_mut(name) else { return };
            node.suspicion.outcome(time::now(), lost, outcome)
        };
        if verdict == Verdict::Nothing {
            return;
        }
        let state = self.inner.state.lock();
        let here = state.followers.values().filter(|running| running.node.as_ref() == Some(name));
        for running in here {
            running.known.send_if_modified(|known| {
                match verdict {
                    Verdict::Reread { everything } => {
                        known.unreachable = false;
                        known.kick += 1;
                        known.everything = everything;
                    }
                    // One that waits for a reason of its own has said so.
                    _ => known.unreachable = running.level.seen().state != SourceState::Ended,
                }
                true
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A node that wrote a line each second up to ten.
    fn busy() -> Suspicion {
        let mut node = Suspicion::default();
        for at in 1..=10 {
            assert!(!node.look(at * SECOND, at * SECOND, false));
        }
        node
    }

    #[test]
    fn a_node_whose_lines_stop_is_read_once_and_trusted_if_nothing_was_missed() {
        let mut node = busy();
        assert!(!node.look(14 * SECOND, 10 * SECOND, false));
        assert!(node.look(16 * SECOND, 10 * SECOND, false));
        assert!(!node.look(22 * SECOND, 10 * SECOND, false), "a read is under way");
        assert_eq!(node.outcome(22 * SECOND, false, Outcome::Quiet), Verdict::Nothing);
        assert!(!node.look(50 * SECOND, 10 * SECOND, false), "it is a quiet node");
        assert!(node.look(60 * SECOND, 10 * SECOND, false));
    }

    #[test]
    fn the_first_read_that_works_after_one_that_failed_has_all_read_again() {
        let mut node = busy();
        assert!(node.look(16 * SECOND, 10 * SECOND, false));
        let failed = Outcome::Failed { node: true };
        assert_eq!(node.outcome(17 * SECOND, false, failed), Verdict::Unreachable);
        assert!(!node.look(20 * SECOND, 10 * SECOND, false), "not more often than every 5 s");
        assert!(node.look(22 * SECOND, 10 * SECOND, false));
        assert_eq!(node.outcome(32 * SECOND, false, failed), Verdict::Nothing, "said once");
        // A stream woke up by itself: the others may not have.
        assert!(node.look(40 * SECOND, 39 * SECOND, false));
        let again = Verdict::Reread { everything: false };
        assert_eq!(node.outcome(41 * SECOND, false, Outcome::Quiet), again);
    }

    #[test]
    fn an_api_server_that_is_away_is_not_called_an_unreachable_node() {
        let mut node = busy();
        assert!(node.look(16 * SECOND, 10 * SECOND, false));
        let failed = Outcome::Failed { node: false };
        assert_eq!(node.outcome(17 * SECOND, false, failed), Verdict::Nothing);
        assert!(!node.look(40 * SECOND, 10 * SECOND, true), "all followers ask it already");
        assert!(node.look(47 * SECOND, 10 * SECOND, true));
        assert_eq!(node.outcome(48 * SECOND, true, failed), Verdict::Unreachable);
    }

    #[test]
    fn a_line_that_did_not_come_and_a_clock_that_was_set_back_are_read_again() {
        for (outcome, everything) in [(Outcome::Missed, false), (Outcome::Stepped, true)] {
            let mut node = busy();
            assert!(node.look(11 * SECOND, 10 * SECOND, true), "the control plane lost it");
            assert_eq!(node.outcome(12 * SECOND, true, outcome), Verdict::Reread { everything });
        }
    }
}
