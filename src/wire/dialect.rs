//! What systems that run jobs read in the text of one: commands for folding the log away and for telling an
//! error.
//!
//! What holds here: every word in a command is escaped as that system wants it, so that nothing a pod
//! or a controller said ends the command or begins another one.

use super::encoder::Encoder;
use super::escape::push_plain;
use crate::ids::{Outcome, RolloutResult, WorkloadId};

/// A system that runs jobs, whose commands are written. A closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// GitHub Actions, and what speaks like it (Gitea, Forgejo).
    GitHub,
    /// GitLab CI.
    GitLab,
    /// Buildkite.
    Buildkite,
    /// Azure Pipelines.
    Azure,
    /// TeamCity.
    TeamCity,
}

/// The name of the section that holds the log.
const SECTION: &str = "rollcast";

// === impl Dialect ===

impl Dialect {
    /// All of them.
    pub const ALL: [Dialect; 5] =
        [Dialect::GitHub, Dialect::GitLab, Dialect::Buildkite, Dialect::Azure, Dialect::TeamCity];

    /// The word that `format=` takes.
    pub fn as_str(self) -> &'static str {
        match self {
            Dialect::GitHub => "github",
            Dialect::GitLab => "gitlab",
            Dialect::Buildkite => "buildkite",
            Dialect::Azure => "azure",
            Dialect::TeamCity => "teamcity",
        }
    }

    /// The line that begins the part that may be folded away, at wall time `now`, without its end.
    pub fn open(self, title: &str, now: i64) -> String {
        let seconds = now / crate::time::SECOND;
        let title = one_line(title);
        match self {
            Dialect::GitHub => format!("::group::{}", github(&title)),
            Dialect::GitLab => {
                format!("\x1b[0Ksection_start:{seconds}:{SECTION}[collapsed=true]\r\x1b[0K{title}")
            }
            Dialect::Buildkite => format!("--- {title}"),
            Dialect::Azure => format!("##[group]{title}"),
            // Its blocks are known by their names.
            Dialect::TeamCity => format!(
                "##teamcity[blockOpened name='{SECTION}' description='{}']",
                teamcity(&title)
            ),
        }
    }

    /// The line that ends it.
    pub fn close(self, now: i64) -> String {
        let seconds = now / crate::time::SECOND;
        match self {
            Dialect::GitHub => "::endgroup::".to_owned(),
            Dialect::GitLab => format!("\x1b[0Ksection_end:{seconds}:{SECTION}\r\x1b[0K"),
            // A heading ends the one before; plus signs show what is below.
            Dialect::Buildkite => "+++ result".to_owned(),
            Dialect::Azure => "##[endgroup]".to_owned(),
            Dialect::TeamCity => format!("##teamcity[blockClosed name='{SECTION}']"),
        }
    }

    /// The line that tells an error where that system shows errors, if it has such a place.
    pub fn error(self, title: &str, message: &str) -> Option<String> {
        let (title, message) = (one_line(title), one_line(message));
        Some(match self {
            Dialect::GitHub => {
                // In a property a comma and a colon end it, too.
                let title = github(&title).replace(':', "%3A").replace(',', "%2C");
                format!("::error title={title}::{}", github(&message))
            }
            Dialect::Azure => {
                let message = format!("{title}: {message}");
                let message = message.replace('%', "%AZP25").replace(';', "%3B");
                format!("##vso[task.logissue type=error]{}", message.replace(']', "%5D"))
            }
            Dialect::TeamCity => {
                let words = teamcity(&format!("{title}: {message}"));
                format!("##teamcity[buildProblem description='{words}']")
            }
            Dialect::GitLab | Dialect::Buildkite => return None,
        })
    }
}

// === impl Encoder ===

impl Encoder {
    /// In a dialect: begins what may be folded away, at wall time `now`.
    pub fn group(&self, out: &mut Vec<u8>, title: &str, now: i64) {
        self.command(out, self.format.dialect().map(|dialect| dialect.open(title, now)));
    }

    /// In a dialect: ends what may be folded away.
    pub(super) fn ungroup(&self, out: &mut Vec<u8>, now: i64) {
        self.command(out, self.format.dialect().map(|dialect| dialect.close(now)));
    }

    /// In a dialect: ends what may be folded away, and tells an error if it is one. Before the text of a
    /// result, whose last line stays the last.
    pub(super) fn ends(&self, out: &mut Vec<u8>, workload: &WorkloadId, result: &RolloutResult) {
        let Some(dialect) = self.format.dialect() else { return };
        self.ungroup(out, result.time);
        if result.outcome != Outcome::Succeeded {
            let title = format!("{workload} {}", result.outcome.as_str().replace('_', " "));
            self.command(out, dialect.error(&title, &result.message));
        }
    }

    fn command(&self, out: &mut Vec<u8>, line: Option<String>) {
        if let Some(line) = line {
            out.extend_from_slice(line.as_bytes());
            out.push(b'\n');
        }
    }
}

/// Safe words in one line. They were made safe for a terminal, and no longer than an annotation is.
fn one_line(words: &str) -> String {
    /// TeamCity cuts a description at 4,000; the others show less.
    const LONGEST: usize = 2_000;
    let mut out = Vec::new();
    push_plain(&mut out, words);
    String::from_utf8_lossy(&out).replace('\t', " ").chars().take(LONGEST).collect()
}

/// `actions/toolkit`, `command.ts`: what ends a command's data.
fn github(words: &str) -> String {
    words.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// TeamCity's service messages: a bar before what has a meaning, and letters beyond ASCII by number.
fn teamcity(words: &str) -> String {
    let mut out = String::new();
    for letter in words.chars() {
        match letter {
            '|' | '\'' | '[' | ']' => out.extend(['|', letter]),
            ' '..='~' => out.push(letter),
            letter if (letter as u32) < 0x1_0000 => {
                out.push_str(&format!("|0x{:04X}", letter as u32));
            }
            _ => out.push('?'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_words_end_a_command_or_begin_another() {
        let hostile = "x\n::set-env name=A::b\r##vso[task.complete]##teamcity[x]']\x1b[0K%0A;]%";
        for dialect in Dialect::ALL {
            let told = [dialect.open(hostile, 0), dialect.close(0)];
            for command in told.into_iter().chain(dialect.error(hostile, hostile)) {
                let begins = |marker: &str| command.matches(marker).count();
                assert_eq!(begins("\n"), 0, "{dialect:?}: {command:?}");
                assert!(begins("##vso[") <= 1 && begins("##teamcity[") <= 1, "{command:?}");
                // Those of a section of GitLab's are ours.
                let ours = if dialect == Dialect::GitLab { 2 } else { 0 };
                assert!(begins("\x1b") <= ours && begins("\r") <= ours, "{command:?}");
                // What GitHub takes for the end of a line.
                assert!(dialect != Dialect::GitHub || begins("%0A") == 0, "{command:?}");
            }
        }
        let error = Dialect::Azure.error(hostile, hostile).unwrap();
        let (_, data) = error.split_once(']').unwrap();
        assert!(!data.contains([';', ']']), "{error}");
        let error = Dialect::GitHub.error("a, b: c", "50 %").unwrap();
        assert_eq!(error, "::error title=a%2C b%3A c::50 %25");
        let error = Dialect::TeamCity.error("a", "it's [x]").unwrap();
        assert_eq!(error, "##teamcity[buildProblem description='a: it|'s |[x|]']");
    }
}
