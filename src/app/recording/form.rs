//! The form of a recording, and how one is played.

use serde::{Deserialize, Serialize};

use super::play::{Play, Told};
use crate::ids::{Kind, WorkloadId};
use crate::rollout::Graces;
use crate::time::{self, MILLISECOND, SECOND};
use crate::watch::{BadLine, Received};

/// The form that is written, for those that come after it.
const FORM: u32 = 1;
/// The longest recording that is played: each second of it takes a look.
const LONGEST: i64 = 24 * 3600 * SECOND;

/// The first line: whose rollout it is, and how long its causes were waited for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Head {
    /// [`FORM`].
    recording: u32,
    /// Its namespace.
    namespace: String,
    /// `kind/name`.
    workload: String,
    /// The program that recorded it.
    #[serde(default)]
    version: String,
    /// Written by hand: where Kubernetes does what it tells of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synthetic: Option<String>,
    #[serde(default)]
    graces: Waits,
}

/// The last line: until when it goes, and why not longer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct End {
    at: String,
    end: String,
}

/// Graces in milliseconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
struct Waits {
    config_ms: i64,
    quota_ms: i64,
    pull_ms: i64,
    unschedulable_ms: i64,
    start_ms: i64,
    readiness_ms: i64,
    settle_ms: i64,
    restarts: u32,
}

/// A file that is no recording.
#[derive(Debug, thiserror::Error)]
pub enum BadRecording {
    /// The first line is no [`Head`].
    #[error("the first line is no head of a recording: {0}")]
    Head(String),
    /// Another line says nothing.
    #[error("line {number}: {error}")]
    Line {
        /// From 1.
        number: usize,
        /// What is wrong.
        error: BadLine,
    },
    /// It would take for ever.
    #[error("line {0} is more than 24 hours after the first")]
    TooLong(usize),
    /// There is nothing in it.
    #[error("it has no line but its head")]
    Empty,
}

/// Plays a recording, and gives what was told meanwhile.
///
/// # Errors
/// If it is none.
pub fn replay(text: &str) -> Result<(Head, Told), BadRecording> {
    let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
    let first = lines.next().map(|(_, line)| line).unwrap_or_default();
    let head: Head =
        serde_json::from_str(first).map_err(|error| BadRecording::Head(error.to_string()))?;
    let workload = head.workload()?;
    let mut play: Option<(i64, Play)> = None;
    for (number, line) in lines {
        if let Ok(end) = serde_json::from_str::<End>(line) {
            let until = time::parse_stamp(end.at.as_bytes()).map(|(at, _)| at);
            if let (Some((began, play)), Some(until)) = (&mut play, until) {
                check(*began, until, number)?;
                play.pass(until);
            }
            break;
        }
        let received =
            Received::read(line).map_err(|error| BadRecording::Line { number, error })?;
        let at = received.at();
        let (began, play) = play.get_or_insert_with(|| {
            (at, Play::new(workload.clone(), head.graces.clone().into(), at))
        });
        check(*began, at, number)?;
        play.take(received);
    }
    let (_, play) = play.ok_or(BadRecording::Empty)?;
    Ok((head, play.told()))
}

fn check(began: i64, at: i64, number: usize) -> Result<(), BadRecording> {
    if at.saturating_sub(began) > LONGEST { Err(BadRecording::TooLong(number)) } else { Ok(()) }
}

// === impl Head ===

impl Head {
    pub(super) fn new(workload: &WorkloadId, graces: &Graces) -> Head {
        Head {
            recording: FORM,
            namespace: workload.namespace.to_string(),
            workload: format!("{}/{}", workload.kind, workload.name),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            synthetic: None,
            graces: graces.into(),
        }
    }

    /// Whose rollout it is about.
    ///
    /// # Errors
    /// If it names none, or is of another form than this program reads.
    pub fn workload(&self) -> Result<WorkloadId, BadRecording> {
        let bad = |why: String| BadRecording::Head(why.chars().take(200).collect());
        if self.recording != FORM {
            return Err(bad(format!("form {} is not known here", self.recording)));
        }
        let parts = self.workload.split_once('/');
        let (kind, name) =
            parts.ok_or_else(|| bad(format!("\"{}\" is no kind/name", self.workload)))?;
        let kind: Kind = kind.parse().map_err(|error| bad(format!("{error}")))?;
        Ok(WorkloadId::new(&self.namespace, kind, name))
    }
}

// === impl End ===

impl End {
    pub(super) fn new(at: i64, end: &str) -> End {
        End { at: time::rfc3339(at), end: end.to_owned() }
    }
}

// === impl Waits ===

impl Default for Waits {
    fn default() -> Self {
        Waits::from(&Graces::default())
    }
}

impl From<&Graces> for Waits {
    fn from(graces: &Graces) -> Self {
        Waits {
            config_ms: graces.config / MILLISECOND,
            quota_ms: graces.quota / MILLISECOND,
            pull_ms: graces.pull / MILLISECOND,
            unschedulable_ms: graces.unschedulable / MILLISECOND,
            start_ms: graces.start / MILLISECOND,
            readiness_ms: graces.readiness / MILLISECOND,
            settle_ms: graces.settle / MILLISECOND,
            restarts: graces.restarts,
        }
    }
}

impl From<Waits> for Graces {
    fn from(waits: Waits) -> Self {
        let nanos = |ms: i64| ms.max(0).saturating_mul(MILLISECOND);
        Graces {
            config: nanos(waits.config_ms),
            quota: nanos(waits.quota_ms),
            pull: nanos(waits.pull_ms),
            unschedulable: nanos(waits.unschedulable_ms),
            start: nanos(waits.start_ms),
            readiness: nanos(waits.readiness_ms),
            settle: nanos(waits.settle_ms),
            restarts: waits.restarts,
        }
    }
}
