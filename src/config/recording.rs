//! `rollcast record`: whose rollout, for how long, and where it is written.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::check::{given, telemetry, within};
use super::graces::{GraceOptions, Graces, graces};
use super::options::LogOptions;
use super::units::Span;
use super::{Cluster, ConfigError};
use crate::ids::{Kind, WorkloadId, is_label};
use crate::telemetry::Options;

/// Longest name of an object (a DNS subdomain).
const LONGEST_NAME: usize = 253;

/// What may be typed.
#[derive(Debug, Args)]
pub(super) struct RecordOptions {
    /// Whose rollout: kind/name, such as deployment/web.
    #[arg(value_name = "KIND/NAME")]
    workload: String,

    /// Its namespace.
    #[arg(
        long,
        short,
        env = "ROLLCAST_NAMESPACE",
        value_name = "NAME",
        default_value = "default",
        help_heading = "Cluster"
    )]
    namespace: String,

    /// The kubeconfig file. If absent: $KUBECONFIG, then the pod's own service account, then
    /// ~/.kube/config.
    #[arg(long, env = "ROLLCAST_KUBECONFIG", value_name = "FILE", help_heading = "Cluster")]
    kubeconfig: Option<PathBuf>,

    /// The context of the kubeconfig to use; its current context if absent.
    #[arg(long, env = "ROLLCAST_CONTEXT", value_name = "NAME", help_heading = "Cluster")]
    context: Option<String>,

    /// The file to write; one that is there is replaced. Standard output if absent.
    #[arg(long, short, env = "ROLLCAST_OUT", value_name = "FILE", help_heading = "Recording")]
    out: Option<PathBuf>,

    /// Longest time to record. What was recorded by then is written, as when the command is
    /// interrupted. 1s to 24h.
    #[arg(
        long,
        env = "ROLLCAST_LONGEST",
        value_name = "DURATION",
        default_value_t = Span::seconds(30 * 60),
        help_heading = "Recording"
    )]
    longest: Span,

    /// How long to go on after the rollout's result: it may recover, or be replaced. 0s to 1h.
    #[arg(
        long,
        env = "ROLLCAST_AFTER",
        value_name = "DURATION",
        default_value_t = Span::seconds(10),
        help_heading = "Recording"
    )]
    after: Span,

    #[command(flatten)]
    graces: GraceOptions,

    #[command(flatten)]
    log: LogOptions,
}

/// What `record` needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// The cluster.
    pub cluster: Cluster,
    /// Whose rollout.
    pub workload: WorkloadId,
    /// The file; standard output if absent.
    pub out: Option<PathBuf>,
    /// Longest time; 1 s to 24 h.
    pub longest: Duration,
    /// Time after the result; 0 s to 1 h.
    pub after: Duration,
    /// How long what may keep a rollout back is waited for.
    pub graces: Graces,
    /// Log of the program.
    pub telemetry: Options,
}

/// Checks it.
///
/// # Errors
/// Names the option that makes no sense.
pub(super) fn recording(options: RecordOptions) -> Result<Recording, ConfigError> {
    let namespace = options.namespace;
    if !is_label(&namespace) {
        return Err(ConfigError::Invalid {
            option: "--namespace".into(),
            value: namespace.chars().take(64).collect(),
            reason: "expected the name of one namespace".to_owned(),
        });
    }
    let cluster = Cluster {
        kubeconfig: options.kubeconfig.filter(|path| !path.as_os_str().is_empty()),
        context: given(options.context),
        namespaces: vec![namespace.clone()],
        name: None,
    };
    Ok(Recording {
        workload: workload(&namespace, &options.workload)?,
        cluster,
        out: options.out.filter(|path| !path.as_os_str().is_empty()),
        longest: within("--longest", options.longest, 1, 86_400)?,
        after: within("--after", options.after, 0, 3600)?,
        graces: graces(&options.graces)?,
        telemetry: telemetry(options.log, None, None)?,
    })
}

fn workload(namespace: &str, given: &str) -> Result<WorkloadId, ConfigError> {
    let refuse = |reason: String| ConfigError::Invalid {
        option: "KIND/NAME".into(),
        value: given.chars().take(64).collect(),
        reason,
    };
    let parts = given.split_once('/').filter(|(_, name)| {
        !name.is_empty() && name.len() <= LONGEST_NAME && name.split('.').all(is_label)
    });
    let (kind, name) =
        parts.ok_or_else(|| refuse("expected a kind and a name, such as deployment/web".into()))?;
    let kind: Kind = kind.parse().map_err(|error| refuse(format!("{error}")))?;
    Ok(WorkloadId::new(namespace, kind, name))
}

#[cfg(test)]
mod tests {
    use super::super::{Config, from_args};
    use super::*;

    fn parse(args: &str) -> Result<Recording, String> {
        let args = std::iter::once("rollcast").chain(args.split_whitespace());
        match from_args(args) {
            Ok(Config::Record(recording)) => Ok(*recording),
            Ok(other) => panic!("{other:?}"),
            Err(stop) => Err(stop.text),
        }
    }

    #[test]
    fn a_workload_is_named_as_for_kubectl() {
        let recording = parse("record deploy/web -n shop -o web.jsonl").unwrap();
        assert_eq!(recording.workload.to_string(), "shop/deployment/web");
        assert_eq!(recording.out.as_deref(), Some("web.jsonl".as_ref()));
        assert_eq!(recording.longest, Duration::from_secs(1800));
        assert_eq!(parse("record pod/web.0").unwrap().workload.to_string(), "default/pod/web.0");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (args, words) in [
            ("record", "KIND/NAME"),
            ("record web", "KIND/NAME is \"web\""),
            ("record node/one", "unknown kind \"node\""),
            ("record deployment/../x", "KIND/NAME"),
            ("record deployment/web -n Shop", "--namespace"),
            ("record deployment/web --longest 48h", "--longest"),
            ("record deployment/web --after 2h", "--after"),
        ] {
            let said = parse(args).unwrap_err();
            assert!(said.contains(words), "{args}: {said}");
        }
    }
}
