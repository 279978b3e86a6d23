//! Why a rollout does not get on.

use std::sync::Arc;

/// A machine's word for what keeps a rollout from going on (design section 6). A closed list; on the
/// wire in `snake_case`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The registry has no such image.
    ImageNotFound,
    /// The image's name is none.
    InvalidImageName,
    /// The image is not on the node, and may not be pulled.
    ImageNeverPull,
    /// The registry does not let the image be pulled.
    ImageDenied,
    /// The registry limits requests: that passes.
    RegistryLimited,
    /// The image cannot be pulled: the registry is away, or it is not known why.
    ImagePull,
    /// A ConfigMap, a Secret or a key in one is missing.
    ConfigMissing,
    /// The command does not exist or may not be run.
    InvalidCommand,
    /// The runtime cannot create or start the container.
    CannotStart,
    /// A container ends by itself again and again.
    CrashLoop,
    /// A container was killed because it used more memory than its limit.
    OomKilled,
    /// An init container fails.
    InitFailed,
    /// No node takes the pod.
    Unschedulable,
    /// A quota leaves no room for new pods.
    Quota,
    /// Admission refuses new pods: Pod Security, a webhook, a policy.
    Refused,
    /// New pods cannot be created, for another reason.
    CannotCreate,
    /// The node of a pod does not answer.
    NodeLost,
    /// The pod was moved away: evicted, preempted, its node shut down.
    Evicted,
    /// The pod failed as a whole.
    PodFailed,
    /// There was no progress within the workload's own deadline.
    ProgressDeadline,
    /// The Job failed.
    JobFailed,
    /// A volume cannot be mounted or attached.
    VolumeFailed,
    /// The node cannot make the pod's network or its sandbox.
    SandboxFailed,
    /// A readiness probe fails.
    ReadinessFailed,
    /// A container is restarted because its liveness or startup probe fails.
    LivenessFailed,
    /// A pod of the old revision is broken, and the controller waits for it (`truths.md` 19).
    StuckOnOldPod,
    /// Somebody, or an analysis, aborted the rollout (Argo Rollouts).
    Aborted,
    /// The controller calls the specification invalid (Argo Rollouts).
    InvalidSpec,
}

/// One thing that keeps a rollout from going on, and whom it concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocker {
    /// The machine's word.
    pub code: Reason,
    /// One sentence for people.
    pub message: String,
    /// Names of pods that suffer from it, sorted; the first [`Blocker::MOST_PODS`] of them.
    pub pods: Vec<Arc<str>>,
    /// Since when, from times of the API; `None` if it tells none.
    pub since: Option<i64>,
}

// === impl Reason ===

impl Reason {
    /// All of them, for references and tests.
    pub const ALL: [Reason; 28] = [
        Reason::ImageNotFound,
        Reason::InvalidImageName,
        Reason::ImageNeverPull,
        Reason::ImageDenied,
        Reason::RegistryLimited,
        Reason::ImagePull,
        Reason::ConfigMissing,
        Reason::InvalidCommand,
        Reason::CannotStart,
        Reason::CrashLoop,
        Reason::OomKilled,
        Reason::InitFailed,
        Reason::Unschedulable,
        Reason::Quota,
        Reason::Refused,
        Reason::CannotCreate,
        Reason::NodeLost,
        Reason::Evicted,
        Reason::PodFailed,
        Reason::ProgressDeadline,
        Reason::JobFailed,
        Reason::VolumeFailed,
        Reason::SandboxFailed,
        Reason::ReadinessFailed,
        Reason::LivenessFailed,
        Reason::StuckOnOldPod,
        Reason::Aborted,
        Reason::InvalidSpec,
    ];

    /// The wire's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::ImageNotFound => "image_not_found",
            Reason::InvalidImageName => "invalid_image_name",
            Reason::ImageNeverPull => "image_never_pull",
            Reason::ImageDenied => "image_denied",
            Reason::RegistryLimited => "registry_limited",
            Reason::ImagePull => "image_pull",
            Reason::ConfigMissing => "config_missing",
            Reason::InvalidCommand => "invalid_command",
            Reason::CannotStart => "cannot_start",
            Reason::CrashLoop => "crash_loop",
            Reason::OomKilled => "oom_killed",
            Reason::InitFailed => "init_failed",
            Reason::Unschedulable => "unschedulable",
            Reason::Quota => "quota",
            Reason::Refused => "refused",
            Reason::CannotCreate => "cannot_create",
            Reason::NodeLost => "node_lost",
            Reason::Evicted => "evicted",
            Reason::PodFailed => "pod_failed",
            Reason::ProgressDeadline => "progress_deadline",
            Reason::JobFailed => "job_failed",
            Reason::VolumeFailed => "volume_failed",
            Reason::SandboxFailed => "sandbox_failed",
            Reason::ReadinessFailed => "readiness_failed",
            Reason::LivenessFailed => "liveness_failed",
            Reason::StuckOnOldPod => "stuck_on_old_pod",
            Reason::Aborted => "aborted",
            Reason::InvalidSpec => "invalid_spec",
        }
    }

    /// Whether it does not go away by itself: nothing of it is waited out (design section 6).
    pub fn is_certain(self) -> bool {
        matches!(
            self,
            Reason::ImageNotFound
                | Reason::InvalidImageName
                | Reason::ImageNeverPull
                | Reason::InvalidCommand
                | Reason::Refused
                | Reason::JobFailed
                | Reason::Aborted
        )
    }
}

// === impl Blocker ===

impl Blocker {
    /// More pods than this are not named, so that a rollout of thousands stays one event.
    pub const MOST_PODS: usize = 20;
}
