//! The reference of all options, as Markdown, made from the same declarations as the help.

use std::fmt::Write as _;

use clap::{Arg, Command, CommandFactory as _};

use super::effective::options;
use super::options::Options;

/// What an option lacks, for the test that keeps the reference honest.
pub type Flaws = Vec<String>;

/// The text of `docs/options.md`, and what is missing in it.
pub fn reference() -> (String, Flaws) {
    let mut text = String::from(
        "# Options\n\n\
         Every option is a flag and an environment variable; the flag wins. Durations are whole\n\
         numbers with `ms`, `s`, `m` or `h`, sizes with `B`, `KiB`, `MiB` or `GiB`. A variable that\n\
         begins with `ROLLCAST_` and that no option reads is an error: what is misspelt would stay at\n\
         its default without a word. This page is made from the program's own help:\n\
         `UPDATE=1 cargo test --test tidy` writes it anew.\n",
    );
    let mut flaws = Flaws::new();
    let mut command = Options::command();
    command.build();
    for command in command.get_subcommands() {
        section(&mut text, &mut flaws, command);
    }
    (text, flaws)
}

fn section(text: &mut String, flaws: &mut Flaws, command: &Command) {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let _ = write!(text, "\n## rollcast {}\n\n{about}.\n", command.get_name());
    for argument in command.get_positionals() {
        let help = argument.get_long_help().or(argument.get_help()).map(ToString::to_string);
        let help = help.unwrap_or_default().replace('\n', " ");
        let _ = write!(text, "\n`{}`: {help}.\n", value_name(argument));
        if help.is_empty() {
            flaws.push(format!("{} of {} has no help", argument.get_id(), command.get_name()));
        }
    }
    let mut heading = None;
    for option in options(command) {
        let name = option.get_long().unwrap_or_default();
        let help = option.get_long_help().or(option.get_help()).map(ToString::to_string);
        let Some(help) = help.filter(|help| !help.is_empty()) else {
            flaws.push(format!("--{name} of {} has no help", command.get_name()));
            continue;
        };
        let Some(env) = option.get_env() else {
            flaws.push(format!("--{name} of {} has no environment name", command.get_name()));
            continue;
        };
        if option.get_help_heading() != heading || text.ends_with(".\n") {
            heading = option.get_help_heading();
            let title = heading.unwrap_or("Options");
            let _ = write!(
                text,
                "\n### {title}\n\n| flag | environment | default | meaning |\n| --- | --- | --- | --- |\n"
            );
        }
        let _ = writeln!(
            text,
            "| {}`--{name} {}` | `{}` | {} | {} |",
            option.get_short().map(|short| format!("`-{short}`, ")).unwrap_or_default(),
            value_name(option),
            env.to_string_lossy(),
            default(option),
            meaning(option, &help)
        );
    }
}

fn value_name(option: &Arg) -> String {
    option
        .get_value_names()
        .map(|names| names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        .unwrap_or_default()
}

fn default(option: &Arg) -> String {
    let values: Vec<_> =
        option.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if values.is_empty() { String::new() } else { format!("`{}`", values.join(",")) }
}

fn meaning(option: &Arg, help: &str) -> String {
    // clap takes the last full stop away, which suits one sentence but not several.
    let mut meaning = help.replace('\n', " ").replace('|', "\\|") + ".";
    for value in option.get_possible_values() {
        let help = value.get_help().map(ToString::to_string).unwrap_or_default();
        let help = help.trim_end_matches('.');
        let _ = write!(meaning, " `{}`: {help}.", value.get_name());
    }
    meaning
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_has_a_row_for_every_option_and_no_flaw() {
        let (text, flaws) = reference();
        assert_eq!(flaws, Flaws::new());
        for row in [
            "| `--heartbeat DURATION` | `ROLLCAST_HEARTBEAT` | `10s` |",
            "| `--namespace NAME` | `ROLLCAST_NAMESPACE` |  |",
            "## rollcast demo",
            "\n`WORKLOAD`: ",
            "| `-n`, `--namespace NAME` |",
        ] {
            assert!(text.contains(row), "{row}\n{text}");
        }
    }
}
