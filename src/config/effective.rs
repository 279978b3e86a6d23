//! The settings as they came: for the log at the start, the status page, and unknown variables.

use std::fmt;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

/// Prefix of our environment names.
const PREFIX: &str = "ROLLCAST_";

/// Variables of the project's own tests and benches, which programs they start inherit.
const HOUSE: [&str; 3] = ["ROLLCAST_E2E", "ROLLCAST_TEST", "ROLLCAST_BENCH"];

/// Variables that have no flag: what is secret stands in no command line, which every user of a machine
/// can read.
const SECRET: [&str; 1] = [super::follow::TOKEN];

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The flag without dashes.
    pub name: String,
    /// Its value without secrets; empty if it is absent.
    pub value: String,
    /// `default`, `environment` or `flag`.
    pub source: &'static str,
}

/// All settings of the subcommand, in the order of the help. Displays as one line, with the source
/// where somebody set a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effective(pub Vec<Setting>);

// === impl Effective ===

impl Effective {
    /// Takes what clap found for the subcommand.
    pub(super) fn new(command: &Command, matches: &ArgMatches) -> Self {
        let Some((name, matches)) = matches.subcommand() else { return Effective::default() };
        let Some(command) = command.find_subcommand(name) else { return Effective::default() };
        Effective(options(command).map(|option| setting(option, matches)).collect())
    }

    /// Whether somebody set it, by flag or environment.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.find(name).is_some_and(|setting| setting.source != "default")
    }

    /// Whether it was set by flag.
    pub(super) fn is_typed(&self, name: &str) -> bool {
        self.find(name).is_some_and(|setting| setting.source == "flag")
    }

    /// The flag `--name`, or its variable if that set it.
    pub(super) fn spelt(&self, flag: &str) -> String {
        let setting = flag.strip_prefix("--").and_then(|name| self.find(name));
        match setting {
            Some(setting) if setting.source == "environment" => variable(&setting.name),
            _ => flag.to_owned(),
        }
    }

    fn find(&self, name: &str) -> Option<&Setting> {
        self.0.iter().find(|setting| setting.name == name)
    }
}

impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Setting { name, value, source }) in self.0.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            match *source {
                "default" => write!(f, "{comma}{name}={value}")?,
                source => write!(f, "{comma}{name}={value} ({source})")?,
            }
        }
        Ok(())
    }
}

/// The environment name of a flag without dashes.
pub(super) fn variable(name: &str) -> String {
    format!("{PREFIX}{}", name.to_ascii_uppercase().replace('-', "_"))
}

/// The options of a subcommand, without `--help`.
pub(super) fn options(command: &Command) -> impl Iterator<Item = &Arg> {
    command
        .get_arguments()
        .filter(|arg| arg.get_long().is_some_and(|long| long != "help" && long != "version"))
}

fn setting(option: &Arg, matches: &ArgMatches) -> Setting {
    let id = option.get_id().as_str();
    let values = matches.try_get_raw(id).ok().flatten();
    let value = values
        .map(|values| {
            let values = values.map(|value| redact(&value.to_string_lossy()));
            values.collect::<Vec<_>>().join(",")
        })
        .unwrap_or_default();
    let source = match matches.value_source(id) {
        Some(ValueSource::CommandLine) => "flag",
        Some(ValueSource::EnvVariable) => "environment",
        _ => "default",
    };
    Setting { name: option.get_long().unwrap_or(id).to_owned(), value, source }
}

/// Hides the user and password of a URL.
pub(super) fn redact(value: &str) -> String {
    let Some((scheme, rest)) = value.split_once("://") else { return value.to_owned() };
    let authority = rest.find('/').unwrap_or(rest.len());
    match rest[..authority].rfind('@') {
        Some(at) => format!("{scheme}://…@{}", &rest[at + 1..]),
        None => value.to_owned(),
    }
}

/// Refuses variables that look like ours but that no option reads: a misspelt limit that silently
/// stays at its default is found in production, or never.
pub(super) fn check_environment(
    command: &Command,
    names: impl Iterator<Item = String>,
) -> Result<(), super::ConfigError> {
    let known: Vec<String> = command
        .get_subcommands()
        .flat_map(|command| options(command).filter_map(|option| option.get_env()))
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    for name in names.filter(|name| name.starts_with(PREFIX)) {
        let house = HOUSE.iter().any(|prefix| name.starts_with(prefix));
        let secret = SECRET.contains(&name.as_str());
        if known.contains(&name) || house || secret || is_service_link(&name) {
            continue;
        }
        let near = known.iter().min_by_key(|known| distance(known, &name));
        let advice = match near.filter(|near| distance(near, &name) <= 3) {
            Some(near) => format!("did you mean {near}?"),
            None => "no option reads it; `rollcast serve --help` lists those that exist".to_owned(),
        };
        return Err(super::ConfigError::Environment { name, advice });
    }
    Ok(())
}

/// Kubernetes puts the address of every Service of the namespace into the environment of its pods:
/// a Service named rollcast gives `ROLLCAST_SERVICE_HOST`, `ROLLCAST_PORT_8080_TCP` and so on.
fn is_service_link(name: &str) -> bool {
    name.contains("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.ends_with("_PORT")
        || name.contains("_PORT_")
}

/// Edit distance; both names are short.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let swap = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = swap.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::super::options::Options;
    use super::*;

    fn environment(name: &str) -> Result<(), String> {
        check_environment(&Options::command(), std::iter::once(name.to_owned()))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_misspelt_variable_is_refused_with_the_right_name() {
        let error = environment("ROLLCAST_HARTBEAT").unwrap_err();
        assert!(error.contains("ROLLCAST_HARTBEAT"), "{error}");
        assert!(error.contains("did you mean ROLLCAST_HEARTBEAT?"), "{error}");
        assert!(environment("ROLLCAST_SOMETHING_ELSE").unwrap_err().contains("--help"));
    }

    #[test]
    fn what_kubernetes_and_the_tests_put_there_is_no_mistake() {
        for name in [
            "ROLLCAST_HEARTBEAT",
            "ROLLCAST_SEED",
            "ROLLCAST_SERVICE_HOST",
            "ROLLCAST_SERVICE_PORT_HTTP",
            "ROLLCAST_PORT",
            "ROLLCAST_PORT_8080_TCP_ADDR",
            "ROLLCAST_ADMIN_SERVICE_HOST",
            "ROLLCAST_E2E",
            "ROLLCAST_TOKEN",
            "PATH",
        ] {
            environment(name).unwrap();
        }
    }

    #[test]
    fn every_variable_is_its_flag_in_capitals() {
        for command in Options::command().get_subcommands() {
            for option in options(command) {
                let name = option.get_long().unwrap();
                assert_eq!(option.get_env().unwrap(), variable(name).as_str());
            }
        }
    }

    #[test]
    fn what_is_printed_names_the_source_and_hides_passwords() {
        let args = ["rollcast", "serve", "--otlp-endpoint", "http://me:secret@collector:4317"];
        let mut command = Options::command();
        let matches = command.try_get_matches_from_mut(args).unwrap();
        let text = Effective::new(&command, &matches).to_string();
        assert!(!text.contains("secret"), "{text}");
        assert!(text.contains("otlp-endpoint=http://…@collector:4317 (flag)"), "{text}");
        assert!(text.contains("heartbeat=10s, "), "{text}");
        assert!(text.contains("namespace=, "), "{text}");
    }
}
