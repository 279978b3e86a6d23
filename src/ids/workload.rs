//! The name of a workload: namespace, kind and name.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The kinds of workload that rollcast follows. A closed list; the wire form is the Kubernetes kind
/// in lower case without separators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `apps/v1` Deployment.
    Deployment,
    /// `apps/v1` StatefulSet.
    StatefulSet,
    /// `apps/v1` DaemonSet.
    DaemonSet,
    /// `batch/v1` Job.
    Job,
    /// `batch/v1` CronJob.
    CronJob,
    /// `argoproj.io/v1alpha1` Rollout, where the cluster has that kind.
    Rollout,
    /// A pod that no workload of the other kinds owns.
    Pod,
}

/// A word that names no kind of workload.
#[derive(Debug, thiserror::Error)]
#[error(
    "unknown kind \"{0}\": expected one of deployment, statefulset, daemonset, job, cronjob, \
     rollout, pod"
)]
pub struct UnknownKind(pub String);

/// Names one workload of one cluster. Displays as `namespace/kind/name`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkloadId {
    /// The namespace it lives in.
    pub namespace: Arc<str>,
    /// What it is.
    pub kind: Kind,
    /// Its object name.
    pub name: Arc<str>,
}

// === impl Kind ===

impl Kind {
    /// All kinds, in the order in which they are listed to people.
    pub const ALL: [Kind; 7] = [
        Kind::Deployment,
        Kind::StatefulSet,
        Kind::DaemonSet,
        Kind::Job,
        Kind::CronJob,
        Kind::Rollout,
        Kind::Pod,
    ];

    /// The wire form, such as `statefulset`.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Deployment => "deployment",
            Kind::StatefulSet => "statefulset",
            Kind::DaemonSet => "daemonset",
            Kind::Job => "job",
            Kind::CronJob => "cronjob",
            Kind::Rollout => "rollout",
            Kind::Pod => "pod",
        }
    }
}

impl FromStr for Kind {
    type Err = UnknownKind;

    /// Takes the wire form, the plural, or kubectl's short name, in any case.
    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word.to_ascii_lowercase().as_str() {
            "deployment" | "deployments" | "deploy" => Ok(Kind::Deployment),
            "statefulset" | "statefulsets" | "sts" => Ok(Kind::StatefulSet),
            "daemonset" | "daemonsets" | "ds" => Ok(Kind::DaemonSet),
            "job" | "jobs" => Ok(Kind::Job),
            "cronjob" | "cronjobs" | "cj" => Ok(Kind::CronJob),
            "rollout" | "rollouts" | "ro" => Ok(Kind::Rollout),
            "pod" | "pods" | "po" => Ok(Kind::Pod),
            _ => Err(UnknownKind(word.chars().take(64).collect())),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl WorkloadId ===

impl WorkloadId {
    /// Names a workload from its parts; the parts are taken as they are.
    pub fn new(namespace: &str, kind: Kind, name: &str) -> Self {
        WorkloadId { namespace: namespace.into(), kind, name: name.into() }
    }
}

impl fmt::Display for WorkloadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.namespace, self.kind, self.name)
    }
}

/// Whether a text is an RFC 1123 label, as Kubernetes demands of namespaces: 1 to 63 lower-case
/// letters, digits and dashes, with none of the latter at an end.
pub fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=63).contains(&text.len())
        && text.bytes().all(|byte| inner(byte) || byte == b'-')
        && text.bytes().next().is_some_and(inner)
        && text.bytes().last().is_some_and(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_read_back_from_its_wire_form_and_its_plural() {
        for kind in Kind::ALL {
            assert_eq!(kind.as_str().parse::<Kind>().unwrap(), kind);
            assert_eq!(format!("{kind}s").parse::<Kind>().unwrap(), kind);
        }
    }

    #[test]
    fn an_unknown_kind_is_named_but_never_echoed_at_length() {
        let error = "x".repeat(10_000).parse::<Kind>().unwrap_err();
        assert!(error.to_string().len() < 200);
    }
}
