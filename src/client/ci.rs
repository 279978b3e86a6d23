//! The system that runs us and keeps our output, known by its environment. Pure.

use crate::wire::Dialect;

/// Where we run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ci {
    /// In a job of a system whose commands we write.
    In(Dialect),
    /// In one of another system, or in none: nothing but lines.
    Other,
}

// === impl Ci ===

impl Ci {
    /// Finds out by the environment. `get` gives a variable's value.
    pub fn detect(get: impl Fn(&str) -> Option<String>) -> Ci {
        let set = |name: &str| get(name).is_some_and(|value| !value.is_empty() && value != "false");
        match () {
            () if set("GITHUB_ACTIONS") => Ci::In(Dialect::GitHub),
            () if set("GITLAB_CI") => Ci::In(Dialect::GitLab),
            () if set("BUILDKITE") => Ci::In(Dialect::Buildkite),
            () if set("TF_BUILD") => Ci::In(Dialect::Azure),
            () if set("TEAMCITY_VERSION") => Ci::In(Dialect::TeamCity),
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
        self.dialect().map(|dialect| dialect.open(title, now))
    }

    /// Ends it.
    pub fn close(self, now: i64) -> Option<String> {
        self.dialect().map(|dialect| dialect.close(now))
    }

    /// Tells an error where that system shows errors.
    pub fn error(self, title: &str, message: &str) -> Option<String> {
        self.dialect()?.error(title, message)
    }

    fn dialect(self) -> Option<Dialect> {
        match self {
            Ci::In(dialect) => Some(dialect),
            Ci::Other => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_is_known_by_its_environment() {
        for (name, ci) in [
            ("GITHUB_ACTIONS", Ci::In(Dialect::GitHub)),
            ("GITLAB_CI", Ci::In(Dialect::GitLab)),
            ("BUILDKITE", Ci::In(Dialect::Buildkite)),
            ("TF_BUILD", Ci::In(Dialect::Azure)),
            ("TEAMCITY_VERSION", Ci::In(Dialect::TeamCity)),
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
}
