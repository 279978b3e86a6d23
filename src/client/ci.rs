//! The system that runs us and keeps our output, known by its environment: its commands for folding the
//! log away and for telling an error.
//!
//! What holds here: every word in a command is escaped as that system wants it, so that nothing a pod
//! or a controller said ends the command or begins another one. Pure.

/// A system that runs jobs. A closed list; in others plain lines are said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ci {
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
    /// Another one, or none: nothing but lines.
    Other,
}

/// The name of the section that holds the log.
const SECTION: &str = "rollcast";

// === impl Ci ===

impl Ci {
    /// Finds out by the environment. `get` gives a variable's value.
    pub fn detect(get: impl Fn(&str) -> Option<String>) -> Ci {
        let set = |name: &str| get(name).is_some_and(|value| !value.is_empty() && value != "false");
        match () {
            () if set("GITHUB_ACTIONS") => Ci::GitHub,
            () if set("GITLAB_CI") => Ci::GitLab,
            () if set("BUILDKITE") => Ci::Buildkite,
            () if set("TF_BUILD") => Ci::Azure,
            () if set("TEAMCITY_VERSION") => Ci::TeamCity,
            () => Ci::Other,
        }
    }

    /// Whether a job runs, so that there is no person before a terminal, whatever the terminal says.
    pub fn is_job(get: impl Fn(&str) -> Option<String>) -> bool {
        let set = |name: &str| get(name).is_some_and(|value| !value.is_empty() && value != "false");
        let names = ["CI", "GITHUB_ACTIONS", "GITLAB_CI", "BUILDKITE", "TF_BUILD"];
        names.into_iter().any(set) || set("TEAMCITY_VERSION") || set("JENKINS_URL")
    }

    /// Begins the part that may be folded away.
    pub fn open(self, title: &str, now: i64) -> Option<String> {
        let seconds = now / crate::time::SECOND;
        let title = one_line(title);
        Some(match self {
            Ci::GitHub => format!("::group::{}", github(&title)),
            Ci::GitLab => {
                format!("\x1b[0Ksection_start:{seconds}:{SECTION}[collapsed=true]\r\x1b[0K{title}")
            }
            Ci::Buildkite => format!("--- {title}"),
            Ci::Azure => format!("##[group]{title}"),
            Ci::TeamCity => format!("##teamcity[blockOpened name='{}']", teamcity(&title)),
            Ci::Other => return None,
        })
    }

    /// Ends it.
    pub fn close(self, title: &str, now: i64) -> Option<String> {
        let seconds = now / crate::time::SECOND;
        Some(match self {
            Ci::GitHub => "::endgroup::".to_owned(),
            Ci::GitLab => format!("\x1b[0Ksection_end:{seconds}:{SECTION}\r\x1b[0K"),
            // A heading ends the one before; plus signs show what is below.
            Ci::Buildkite => "+++ result".to_owned(),
            Ci::Azure => "##[endgroup]".to_owned(),
            Ci::TeamCity => {
                format!("##teamcity[blockClosed name='{}']", teamcity(&one_line(title)))
            }
            Ci::Other => return None,
        })
    }

    /// Tells an error where that system shows errors.
    pub fn error(self, title: &str, message: &str) -> Option<String> {
        let (title, message) = (one_line(title), one_line(message));
        Some(match self {
            Ci::GitHub => {
                // In a property a comma and a colon end it, too.
                let title = github(&title).replace(':', "%3A").replace(',', "%2C");
                format!("::error title={title}::{}", github(&message))
            }
            Ci::Azure => {
                let message = format!("{title}: {message}");
                let message = message.replace('%', "%AZP25").replace(';', "%3B");
                format!("##vso[task.logissue type=error]{}", message.replace(']', "%5D"))
            }
            Ci::TeamCity => {
                let words = teamcity(&format!("{title}: {message}"));
                format!("##teamcity[buildProblem description='{words}']")
            }
            Ci::GitLab | Ci::Buildkite | Ci::Other => return None,
        })
    }
}

/// Safe words in one line. They were made safe for a terminal, and no longer than an annotation is.
fn one_line(words: &str) -> String {
    /// TeamCity cuts a description at 4,000; the others show less.
    const LONGEST: usize = 2_000;
    let mut out = Vec::new();
    crate::wire::push_plain(&mut out, words);
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

    const ALL: [Ci; 6] =
        [Ci::GitHub, Ci::GitLab, Ci::Buildkite, Ci::Azure, Ci::TeamCity, Ci::Other];

    #[test]
    fn a_system_is_known_by_its_environment() {
        for (name, ci) in [
            ("GITHUB_ACTIONS", Ci::GitHub),
            ("GITLAB_CI", Ci::GitLab),
            ("BUILDKITE", Ci::Buildkite),
            ("TF_BUILD", Ci::Azure),
            ("TEAMCITY_VERSION", Ci::TeamCity),
            ("JENKINS_URL", Ci::Other),
            ("CI", Ci::Other),
        ] {
            let get = |wanted: &str| (wanted == name).then(|| "true".to_owned());
            assert_eq!((Ci::detect(get), Ci::is_job(get)), (ci, true), "{name}");
        }
        assert!(!Ci::is_job(|_| None));
        assert!(!Ci::is_job(|_| Some(String::new())));
        assert!(!Ci::is_job(|_| Some("false".to_owned())));
    }

    #[test]
    fn no_words_end_a_command_or_begin_another() {
        let hostile = "x\n::set-env name=A::b\r##vso[task.complete]##teamcity[x]']\x1b[0K%0A;]%";
        for ci in ALL {
            let commands = [ci.open(hostile, 0), ci.close(hostile, 0), ci.error(hostile, hostile)];
            for command in commands.into_iter().flatten() {
                assert!(!command.contains('\n'), "{ci:?}: {command:?}");
                let begins = |marker: &str| command.matches(marker).count();
                assert!(begins("##vso[") <= 1 && begins("##teamcity[") <= 1, "{command:?}");
                assert!(begins("\x1b") <= 2 && begins("%0A") == 0, "{command:?}");
            }
        }
        let error = Ci::GitHub.error("a, b: c", "50 %").unwrap();
        assert_eq!(error, "::error title=a%2C b%3A c::50 %25");
        let error = Ci::TeamCity.error("a", "it's [x]").unwrap();
        assert_eq!(error, "##teamcity[buildProblem description='a: it|'s |[x|]']");
    }
}
