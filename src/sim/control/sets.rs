//! What the controllers of Deployments and of Argo Rollouts have in common.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::time::rfc3339_seconds;

/// A condition of a status.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    pub(super) holds: bool,
    pub(super) reason: &'static str,
    pub(super) message: String,
    pub(super) updated: i64,
    pub(super) changed: i64,
}

// === impl Condition ===

impl Condition {
    /// Writes it as a controller does, which changes no time where nothing else changes.
    pub(super) fn set(
        slot: &mut Option<Self>,
        holds: bool,
        reason: &'static str,
        text: String,
        now: i64,
    ) {
        match slot {
            Some(old) if old.holds == holds && old.reason == reason && old.message == text => {}
            Some(old) => {
                old.changed = if old.holds == holds { old.changed } else { now };
                (old.holds, old.reason, old.message, old.updated) = (holds, reason, text, now);
            }
            None => {
                *slot =
                    Some(Condition { holds, reason, message: text, updated: now, changed: now });
            }
        }
    }

    pub(super) fn render(&self, kind: &str) -> Value {
        json!({
            "type": kind, "status": if self.holds { "True" } else { "False" },
            "reason": self.reason, "message": self.message,
            "lastUpdateTime": rfc3339_seconds(self.updated),
            "lastTransitionTime": rfc3339_seconds(self.changed),
        })
    }
}

/// Writes counts into a status. The real API leaves out what is zero.
pub(super) fn count(status: &mut Value, counts: &[(&str, u32)]) {
    for (key, count) in counts.iter().filter(|(_, count)| *count > 0) {
        status[*key] = (*count).into();
    }
}

/// The annotations of a ReplicaSet: its workload's, the number of its revision under the first of these
/// names, and those that it had before it was used again under the second.
pub(super) fn annotations(
    workload: &BTreeMap<String, String>,
    [number, history]: [&str; 2],
    revision: u64,
    former: &[u64],
) -> BTreeMap<String, String> {
    let mut annotations = workload.clone();
    annotations.insert(number.to_owned(), revision.to_string());
    if !former.is_empty() {
        let former: Vec<_> = former.iter().map(u64::to_string).collect();
        annotations.insert(history.to_owned(), former.join(","));
    }
    annotations
}
