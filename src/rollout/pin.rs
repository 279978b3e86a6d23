//! Which of a workload's rollouts somebody means.

use crate::ids::RolloutStatus;

/// Which rollout somebody waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pin {
    /// The one that was asked for when annotation `rollcast.dev/deploy` had this value.
    pub deploy: Option<String>,
    /// The one with this revision.
    pub revision: Option<String>,
    /// The one of this generation of the workload.
    pub generation: Option<i64>,
    /// One that began at this time or later, in nanoseconds since 1970.
    pub after: Option<i64>,
    /// One that sets this image.
    pub image: Option<String>,
    /// One of the object with this uid, of a CronJob the Job's: it says which object is meant, and not which
    /// of its rollouts.
    pub uid: Option<String>,
}

/// What a pin leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// This one.
    Course(u64),
    /// None yet.
    Waiting,
    /// One that is not known here, or not any more: a newer one began since.
    Passed,
}

// === impl Pin ===

impl Pin {
    /// Whether it leaves open which rollout of an object is meant.
    pub fn is_free(&self) -> bool {
        Pin { uid: None, ..self.clone() } == Pin::default()
    }

    /// The rollout of this state.
    pub fn of(status: &RolloutStatus) -> Pin {
        Pin {
            revision: status.revision.as_deref().map(str::to_owned),
            generation: Some(status.generation),
            ..Pin::default()
        }
    }
}
