//! What a test asks for of Argo Rollouts.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Template;

/// An Argo `Rollout` as it is applied.
#[derive(Clone, Debug)]
pub struct Rollout {
    /// Where.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Annotations of the Rollout itself.
    pub annotations: BTreeMap<String, String>,
    /// Pods asked for.
    pub replicas: u32,
    /// How they are replaced.
    pub plan: Plan,
    /// Somebody paused it by its specification.
    pub paused: bool,
    /// Seconds without progress until `ProgressDeadlineExceeded`.
    pub progress_deadline_seconds: u32,
    /// The pods.
    pub template: Template,
}

/// How a Rollout replaces its pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Step by step.
    Canary(Vec<CanaryStep>),
    /// All new pods beside the old ones, then the traffic.
    BlueGreen {
        /// The traffic follows by itself; else somebody has to promote.
        auto: bool,
    },
}

/// One step of a canary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CanaryStep {
    /// So many hundredths of the pods are new.
    Weight(u32),
    /// It waits for so long, or until somebody promotes.
    Pause(Option<Duration>),
}

// === impl Rollout ===

impl Rollout {
    /// A Rollout with Argo's defaults.
    pub fn new(namespace: &str, name: &str, replicas: u32, plan: Plan, template: Template) -> Self {
        Rollout {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            annotations: BTreeMap::new(),
            replicas,
            plan,
            paused: false,
            progress_deadline_seconds: 600,
            template,
        }
    }
}
