//! Following rollouts: the options, and their check.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::ConfigError;
use super::check::{given, telemetry, within};
use super::effective::{Effective, redact};
use super::options::LogOptions;
use super::units::{Span, whole};
use crate::ids::{Kind, is_label};
use crate::telemetry::{self, LogFormat};
use crate::time::parse_stamp;

/// The variable that holds the token.
pub(super) const TOKEN: &str = "ROLLCAST_TOKEN";
/// Workloads in one command: each has a stream of its own.
const MOST_WORKLOADS: usize = crate::client::MOST_WORKLOADS;

/// Which pods' lines are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogsMode {
    /// Those of the new pods.
    New,
    /// Those of all pods.
    All,
    /// Those of containers that failed.
    Failed,
    /// None.
    None,
}

/// Where colours are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ColourMode {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ShowMode {
    /// A block that is drawn in place on a terminal, lines elsewhere and in CI.
    Auto,
    /// The block.
    Block,
    /// Lines.
    Lines,
}

/// What may be typed.
#[derive(Debug, Args)]
pub(super) struct FollowOptions {
    /// What to follow: KIND/NAME or NAMESPACE/KIND/NAME, one to 16 of them.
    #[arg(value_name = "WORKLOAD", required = true)]
    workloads: Vec<String>,

    /// The namespace of workloads that name none. With a kubeconfig, that of its context if absent.
    #[arg(short = 'n', long, env = "ROLLCAST_NAMESPACE", value_name = "NAME")]
    namespace: Option<String>,

    /// The address of a rollcast, such as `https://rollcast.example.org`. If absent the cluster itself is
    /// read, by the kubeconfig.
    #[arg(long, env = "ROLLCAST_SERVER", value_name = "URL", help_heading = "Server")]
    server: Option<String>,

    /// The file that holds the token; it is read again for each request. If absent, the variable
    /// ROLLCAST_TOKEN holds it.
    #[arg(long, env = "ROLLCAST_TOKEN_FILE", value_name = "FILE", help_heading = "Server")]
    token_file: Option<PathBuf>,

    /// Certificate authorities to trust instead of the system's, as PEM.
    #[arg(long, env = "ROLLCAST_CA_FILE", value_name = "FILE", help_heading = "Server")]
    ca_file: Option<PathBuf>,

    /// The kubeconfig file, without --server. If absent: $KUBECONFIG, then the pod's own service account,
    /// then ~/.kube/config.
    #[arg(long, env = "ROLLCAST_KUBECONFIG", value_name = "FILE", help_heading = "Cluster")]
    kubeconfig: Option<PathBuf>,

    /// The context of the kubeconfig to use; its current context if absent.
    #[arg(long, env = "ROLLCAST_CONTEXT", value_name = "NAME", help_heading = "Cluster")]
    context: Option<String>,

    /// The rollout that was asked for when the annotation rollcast.dev/deploy became this; exact.
    #[arg(long, env = "ROLLCAST_DEPLOY", value_name = "ID", help_heading = "Which rollout")]
    deploy: Option<String>,

    /// The rollout with this revision; for one workload.
    #[arg(
        long,
        env = "ROLLCAST_REVISION",
        value_name = "REVISION",
        help_heading = "Which rollout"
    )]
    revision: Option<String>,

    /// The rollout of this generation of the object; for one workload. At least 1.
    #[arg(
        long,
        env = "ROLLCAST_GENERATION",
        value_name = "NUMBER",
        value_parser = whole::<u64>(1, i64::MAX as u64),
        help_heading = "Which rollout"
    )]
    generation: Option<u64>,

    /// Only with one of the others: the rollout must set this image, too.
    #[arg(long, env = "ROLLCAST_IMAGE", value_name = "IMAGE", help_heading = "Which rollout")]
    image: Option<String>,

    /// A rollout that began at this time or later, such as 2026-11-22T14:02:11Z.
    #[arg(long, env = "ROLLCAST_AFTER", value_name = "TIME", help_heading = "Which rollout")]
    after: Option<String>,

    /// Our own deadline. 1s to 24h; 0s is none. It is longer than a rollout's own, mostly 10m, so that
    /// this one, which knows the cause, comes first.
    #[arg(
        long,
        env = "ROLLCAST_TIMEOUT",
        value_name = "DURATION",
        default_value = "30m",
        help_heading = "How long"
    )]
    timeout: Span,

    /// How long the server may be away before it is given up. 5s to 1h.
    #[arg(
        long,
        env = "ROLLCAST_PATIENCE",
        value_name = "DURATION",
        default_value = "2m",
        help_heading = "How long"
    )]
    patience: Span,

    /// Which pods' lines are shown.
    #[arg(
        long,
        env = "ROLLCAST_LOGS",
        value_name = "WHICH",
        default_value = "new",
        help_heading = "Output"
    )]
    logs: LogsMode,

    /// Only lines of this container.
    #[arg(
        short = 'c',
        long,
        env = "ROLLCAST_CONTAINER",
        value_name = "NAME",
        help_heading = "Output"
    )]
    container: Option<String>,

    /// How it is shown.
    #[arg(
        long,
        env = "ROLLCAST_SHOW",
        value_name = "HOW",
        default_value = "auto",
        help_heading = "Output"
    )]
    show: ShowMode,

    /// Where colours are used.
    #[arg(
        long,
        env = "ROLLCAST_COLOR",
        value_name = "WHEN",
        default_value = "auto",
        help_heading = "Output"
    )]
    color: ColourMode,

    /// What to log about the program itself on standard error: a level, or levels per module.
    #[arg(
        long,
        env = "ROLLCAST_LOG",
        value_name = "FILTER",
        default_value = "off",
        help_heading = "Output"
    )]
    log: String,
}

/// What `follow` needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Follow {
    /// The workloads; at least one.
    pub workloads: Vec<Named>,
    /// Where they are asked about.
    pub origin: Origin,
    /// Pin: the annotation's value.
    pub deploy: Option<String>,
    /// Pin: the revision.
    pub revision: Option<String>,
    /// Pin: the generation.
    pub generation: Option<u64>,
    /// Pin beside another one: the image.
    pub image: Option<String>,
    /// Pin: the time, as RFC 3339.
    pub after: Option<String>,
    /// Our own deadline; `None` is none.
    pub timeout: Option<Duration>,
    /// How long the server may be away.
    pub patience: Duration,
    /// The wire's word for which lines.
    pub logs: &'static str,
    /// Only this container.
    pub container: Option<String>,
    /// How it is shown.
    pub show: Show,
    /// Log of the program.
    pub telemetry: telemetry::Options,
}

/// A workload as it was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its namespace; that of the kubeconfig's context if absent.
    pub namespace: Option<String>,
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
}

/// Where workloads are asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A rollcast that runs somewhere.
    Server {
        /// Its address: http or https, with a host, perhaps below a path.
        url: http::Uri,
        /// The file with the token.
        token_file: Option<PathBuf>,
        /// The file with certificate authorities.
        ca_file: Option<PathBuf>,
    },
    /// The cluster itself.
    Cluster {
        /// The kubeconfig; the usual places are searched if absent.
        kubeconfig: Option<PathBuf>,
        /// Its context; the current one if absent.
        context: Option<String>,
    },
}

/// How it is shown; `None` is as the terminal and the environment say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Show {
    /// With a block that is drawn in place.
    pub block: Option<bool>,
    /// With colours.
    pub colour: Option<bool>,
}

/// Which rollout is meant. An empty one is a variable that nobody set: without it another rollout would be
/// followed, and its success taken for that of the one that was meant.
fn pin(option: &'static str, value: Option<String>) -> Result<Option<String>, ConfigError> {
    match value {
        Some(value) if value.trim().is_empty() => {
            let reason = "it is empty; leave it out to follow whatever is rolled out";
            Err(invalid(option, &value, reason))
        }
        value => Ok(value),
    }
}

/// Checks what was typed.
pub(super) fn follow(options: FollowOptions, effective: &Effective) -> Result<Follow, ConfigError> {
    let namespace = given(options.namespace.clone());
    if let Some(namespace) = namespace.as_deref().filter(|namespace| !is_label(namespace)) {
        let reason =
            "a namespace has 1 to 63 of a-z, 0-9 and -, and begins and ends with a letter or digit";
        return Err(invalid("--namespace", namespace, reason));
    }
    let origin = origin(&options, effective)?;
    let mut workloads = Vec::new();
    for text in &options.workloads {
        let mut named = named(text)?;
        named.namespace = named.namespace.or_else(|| namespace.clone());
        if named.namespace.is_none() && matches!(origin, Origin::Server { .. }) {
            let reason = "its namespace is missing; give --namespace, or write NAMESPACE/KIND/NAME";
            return Err(invalid("WORKLOAD", text, reason));
        }
        if !workloads.contains(&named) {
            workloads.push(named);
        }
    }
    if workloads.len() > MOST_WORKLOADS {
        return Err(ConfigError::Bounds {
            option: "the number of workloads".into(),
            value: workloads.len().to_string(),
            least: "1".to_owned(),
            most: MOST_WORKLOADS.to_string(),
        });
    }
    let after = pin("--after", options.after)?;
    if let Some(time) = &after
        && parse_stamp(time.as_bytes()).is_none_or(|(_, len)| len != time.len())
    {
        return Err(invalid("--after", time, "expected a time such as 2026-11-22T14:02:11Z"));
    }
    let deploy = pin("--deploy", options.deploy)?;
    let revision = pin("--revision", options.revision)?;
    let image = pin("--image", options.image)?;
    let pinned =
        deploy.is_some() || revision.is_some() || options.generation.is_some() || after.is_some();
    if let Some(image) = image.as_deref().filter(|_| !pinned) {
        let reason = "an earlier rollout may have set the same image; give --deploy, --revision, \
                      --generation or --after, too";
        return Err(invalid("--image", image, reason));
    }
    let of_one = [
        ("--revision", revision.clone()),
        ("--generation", options.generation.map(|number| number.to_string())),
    ];
    for (option, value) in of_one {
        if let Some(value) = value.filter(|_| workloads.len() > 1) {
            return Err(ConfigError::Contradiction {
                first: format!("{option} {value}"),
                second: format!("{} workloads", workloads.len()),
                advice: "each workload counts for itself; use --deploy or --after for several",
            });
        }
    }
    let log = LogOptions { log: options.log, log_format: LogFormat::Text };
    Ok(Follow {
        workloads,
        origin,
        deploy,
        revision,
        generation: options.generation,
        image,
        after,
        timeout: match options.timeout.0 {
            Duration::ZERO => None,
            _ => Some(within("--timeout", options.timeout, 1, 86_400)?),
        },
        patience: within("--patience", options.patience, 5, 3600)?,
        logs: match options.logs {
            LogsMode::New => "new",
            LogsMode::All => "all",
            LogsMode::Failed => "failed",
            LogsMode::None => "none",
        },
        container: given(options.container),
        show: Show {
            block: match options.show {
                ShowMode::Auto => None,
                ShowMode::Block => Some(true),
                ShowMode::Lines => Some(false),
            },
            colour: match options.color {
                ColourMode::Auto => None,
                ColourMode::Always => Some(true),
                ColourMode::Never => Some(false),
            },
        },
        telemetry: telemetry(log, None, None)?,
    })
}

fn origin(options: &FollowOptions, effective: &Effective) -> Result<Origin, ConfigError> {
    let file = |path: &Option<PathBuf>| path.clone().filter(|path| !path.as_os_str().is_empty());
    let Some(server) = given(options.server.clone()) else {
        for name in ["token-file", "ca-file"] {
            if effective.is_typed(name) {
                return Err(ConfigError::Contradiction {
                    first: format!("--{name}"),
                    second: "no --server".to_owned(),
                    advice: "the kubeconfig says how the cluster is reached; name a server, or leave it out",
                });
            }
        }
        let (kubeconfig, context) = (file(&options.kubeconfig), given(options.context.clone()));
        return Ok(Origin::Cluster { kubeconfig, context });
    };
    for name in ["kubeconfig", "context"] {
        if effective.is_typed(name) {
            return Err(ConfigError::Contradiction {
                first: format!("--{name}"),
                second: format!("--server {}", redact(&server)),
                advice: "a server reads the cluster itself; leave one of them out",
            });
        }
    }
    let url = server.parse::<http::Uri>().ok();
    let valid = url.filter(|url| {
        let scheme = matches!(url.scheme_str(), Some("http" | "https"));
        let plain = !url.authority().is_some_and(|it| it.as_str().contains('@'));
        scheme && plain && url.query().is_none() && url.host().is_some_and(|host| !host.is_empty())
    });
    let Some(url) = valid else {
        let reason = "expected a URL such as https://rollcast.example.org, without user or query";
        return Err(invalid("--server", &redact(&server), reason));
    };
    let (token_file, ca_file) = (file(&options.token_file), file(&options.ca_file));
    Ok(Origin::Server { url, token_file, ca_file })
}

/// `KIND/NAME` or `NAMESPACE/KIND/NAME`.
fn named(text: &str) -> Result<Named, ConfigError> {
    let expected = "expected KIND/NAME or NAMESPACE/KIND/NAME, such as deployment/web";
    let wrong = |reason: &str| invalid("WORKLOAD", text, reason);
    let parts: Vec<_> = text.split('/').collect();
    let (namespace, kind, name) = match parts[..] {
        [kind, name] => (None, kind, name),
        [namespace, kind, name] => (Some(namespace), kind, name),
        _ => return Err(wrong(expected)),
    };
    let kind = kind.parse::<Kind>().map_err(|error| wrong(&error.to_string()))?;
    // As the API has the names of objects; nothing else may come into a path.
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let valid = (1..=253).contains(&name.len())
        && name.bytes().all(|byte| letter(byte) || b"-.".contains(&byte))
        && name.bytes().next().is_some_and(letter)
        && name.bytes().last().is_some_and(letter);
    if !valid || namespace.is_some_and(|namespace| !is_label(namespace)) {
        return Err(wrong(expected));
    }
    Ok(Named { namespace: namespace.map(str::to_owned), kind, name: name.to_owned() })
}

fn invalid(option: &'static str, value: &str, reason: &str) -> ConfigError {
    let value = value.chars().take(256).collect();
    ConfigError::Invalid { option: option.into(), value, reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Stop, from_args};
    use super::*;

    fn parse(args: &str) -> Result<Config, Stop> {
        from_args(["rollcast", "follow"].into_iter().chain(args.split_whitespace()))
    }

    fn followed(args: &str) -> Follow {
        match parse(args) {
            Ok(Config::Follow(follow)) => *follow,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn workloads_are_read_as_people_write_them() {
        let follow = followed("deploy/web pay/sts/db -n shop --server http://x:8080/rollcast");
        let named = |namespace: &str, kind, name: &str| Named {
            namespace: Some(namespace.to_owned()),
            kind,
            name: name.to_owned(),
        };
        let expected =
            [named("shop", Kind::Deployment, "web"), named("pay", Kind::StatefulSet, "db")];
        assert_eq!(follow.workloads, expected);
        assert_eq!(follow.timeout, Some(Duration::from_secs(1800)));
        assert_eq!(follow.patience, Duration::from_secs(120));
        assert!(matches!(follow.origin, Origin::Server { url, .. } if url.path() == "/rollcast"));
        let follow = followed("deployment/web --timeout 0s");
        assert_eq!((follow.workloads[0].namespace.as_deref(), follow.timeout), (None, None));
        assert!(matches!(follow.origin, Origin::Cluster { .. }));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_status_of_follow() {
        let many: String = (0..17).map(|number| format!("pod/p{number} ")).collect();
        for (args, words) in [
            ("", "WORKLOAD"),
            ("web", "KIND/NAME"),
            ("deployment/", "KIND/NAME"),
            ("deployment/Web", "KIND/NAME"),
            ("deployment/a%2fb", "KIND/NAME"),
            ("deployment/..", "KIND/NAME"),
            ("wheel/web", "unknown kind"),
            ("deployment/web --server http://x", "--namespace"),
            ("deployment/web -n shop --server x:8080", "--server"),
            ("deployment/web -n shop --server ftp://x", "--server"),
            ("deployment/web -n shop --server http://u:secret@x", "--server"),
            ("deployment/web -n shop --server http://x --context y", "--context"),
            ("deployment/web -n shop --ca-file x", "--ca-file"),
            ("deployment/web -n Shop", "--namespace"),
            ("deployment/web pod/x --revision 4", "--revision 4"),
            ("deployment/web pod/x --generation 4", "--generation 4"),
            ("deployment/web --generation 0", "--generation"),
            ("deployment/web --after yesterday", "--after"),
            ("deployment/web --image web:2", "--image"),
            ("deployment/web --timeout 48h", "--timeout"),
            ("deployment/web --patience 1s", "--patience"),
            ("deployment/web --logs some", "--logs"),
            (many.as_str(), "16"),
        ] {
            let stop = parse(args).unwrap_err();
            assert_eq!(stop.code, 2, "{args}");
            assert!(stop.text.contains(words), "{args}: {}", stop.text);
            assert!(!stop.text.contains("secret"), "{}", stop.text);
        }
        let help = parse("--help").unwrap_err();
        assert_eq!(help.code, 0);
        let statuses = ["0 if", "1 if", "2 if", "3 if", "4 if", "5 if"];
        let names = ["ROLLCAST_SERVER", "ROLLCAST_NAMESPACE", "ROLLCAST_TOKEN", "ROLLCAST_DEPLOY"];
        for words in statuses.into_iter().chain(names) {
            assert!(help.text.contains(words), "{words}: {}", help.text);
        }
    }
}
