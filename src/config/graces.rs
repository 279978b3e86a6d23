//! How long causes that may pass are waited for before a rollout is called failed.

use std::time::Duration;

use clap::Args;

use super::ConfigError;
use super::check::within;
use super::units::{Span, whole};

/// What may be typed.
#[derive(Debug, Args)]
#[command(next_help_heading = "Rollouts")]
pub(super) struct GraceOptions {
    /// How long a container without readiness probe must run for its pod to count as good. 0s to 600s; 0s
    /// is off: then it counts at once, as for kubectl.
    #[arg(
        long,
        env = "ROLLCAST_SETTLE",
        value_name = "DURATION",
        default_value_t = Span::seconds(10)
    )]
    settle: Span,

    /// Restarts of a container of a new pod that are a crash loop. 1 to 100.
    #[arg(
        long,
        env = "ROLLCAST_CRASH_RESTARTS",
        value_name = "NUMBER",
        default_value_t = 3,
        value_parser = whole::<u32>(1, 100)
    )]
    crash_restarts: u32,

    /// How long a missing ConfigMap, Secret or key is waited for. 0s to 1h.
    #[arg(
        long,
        env = "ROLLCAST_GRACE_CONFIG",
        value_name = "DURATION",
        default_value_t = Span::seconds(30)
    )]
    grace_config: Span,

    /// How long an image is waited for that cannot be pulled for another reason than that there is none.
    /// 0s to 1h.
    #[arg(
        long,
        env = "ROLLCAST_GRACE_PULL",
        value_name = "DURATION",
        default_value_t = Span::seconds(60)
    )]
    grace_pull: Span,

    /// How long room in a quota is waited for that old pods do not hold. 0s to 1h.
    #[arg(
        long,
        env = "ROLLCAST_GRACE_QUOTA",
        value_name = "DURATION",
        default_value_t = Span::seconds(120)
    )]
    grace_quota: Span,

    /// How long a node is waited for that takes a new pod. 0s to 1h; not while an autoscaler adds one.
    #[arg(
        long,
        env = "ROLLCAST_GRACE_UNSCHEDULABLE",
        value_name = "DURATION",
        default_value_t = Span::seconds(120)
    )]
    grace_unschedulable: Span,

    /// How long volumes, sandboxes and the runtime are waited for. 0s to 1h.
    #[arg(
        long,
        env = "ROLLCAST_GRACE_START",
        value_name = "DURATION",
        default_value_t = Span::seconds(60)
    )]
    grace_start: Span,

    /// How long a rollout may go without progress whose workload has no deadline of its own. 10s to 24h.
    #[arg(
        long,
        env = "ROLLCAST_ROLLOUT_DEADLINE",
        value_name = "DURATION",
        default_value_t = Span::seconds(600)
    )]
    rollout_deadline: Span,
}

/// What was typed, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Graces {
    /// A container without readiness probe counts after it ran for so long.
    pub settle: Duration,
    /// Restarts that are a crash loop.
    pub crash_restarts: u32,
    /// For a missing ConfigMap, Secret or key.
    pub config: Duration,
    /// For pull errors that may pass.
    pub pull: Duration,
    /// For a quota.
    pub quota: Duration,
    /// For a node.
    pub unschedulable: Duration,
    /// For volumes, sandboxes and the runtime.
    pub start: Duration,
    /// Without progress, where the workload has no deadline.
    pub deadline: Duration,
}

/// Checks them.
///
/// # Errors
/// Names the option that is out of its bounds.
pub(super) fn graces(options: &GraceOptions) -> Result<Graces, ConfigError> {
    Ok(Graces {
        settle: within("--settle", options.settle, 0, 600)?,
        crash_restarts: options.crash_restarts,
        config: within("--grace-config", options.grace_config, 0, 3600)?,
        pull: within("--grace-pull", options.grace_pull, 0, 3600)?,
        quota: within("--grace-quota", options.grace_quota, 0, 3600)?,
        unschedulable: within("--grace-unschedulable", options.grace_unschedulable, 0, 3600)?,
        start: within("--grace-start", options.grace_start, 0, 3600)?,
        deadline: within("--rollout-deadline", options.rollout_deadline, 10, 86_400)?,
    })
}
