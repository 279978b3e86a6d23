//! How following ends, and the exit status that says so.

use super::event::Ended;

/// How following one workload ended.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// The verdict was given.
    Verdict(Box<Ended>),
    /// The server refuses, or there is no such workload: its words.
    Refused(String),
    /// Our own deadline passed.
    Deadline,
    /// The server was not heard of for too long: what was tried last.
    Lost(String),
    /// Whoever started us ended us: a signal came.
    Stopped,
}

/// The exit status of `follow`. A closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: every rollout succeeded.
    Succeeded,
    /// 1: one did not.
    Failed,
    /// 2: the command cannot be followed: it makes no sense, or is not allowed.
    Refused,
    /// 3: our own deadline passed.
    Deadline,
    /// 4: a newer change began before one was over.
    Superseded,
    /// 5: the server was not heard of for too long, or does not know itself.
    Lost,
}

// === impl End ===

impl End {
    /// The status that stands for it alone. What is not known to be good is not.
    pub fn exit(&self) -> Exit {
        match self {
            End::Verdict(ended) => match ended.outcome.as_str() {
                "succeeded" => Exit::Succeeded,
                "superseded" => Exit::Superseded,
                "unknown" => Exit::Lost,
                _ => Exit::Failed,
            },
            End::Refused(_) => Exit::Refused,
            End::Deadline => Exit::Deadline,
            // The program ends with the signal's status instead.
            End::Lost(_) | End::Stopped => Exit::Lost,
        }
    }
}

// === impl Exit ===

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Exit::Succeeded => 0,
            Exit::Failed => 1,
            Exit::Refused => 2,
            Exit::Deadline => 3,
            Exit::Superseded => 4,
            Exit::Lost => 5,
        }
    }

    /// The status of several ends together: the one that is worst to pass over. Of no end at all nothing
    /// is known, which is no success.
    pub fn of(ends: &[End]) -> Exit {
        ends.iter().map(End::exit).max_by_key(|exit| exit.weight()).unwrap_or(Exit::Lost)
    }

    /// How bad it is to pass this one over.
    pub(super) fn weight(self) -> u8 {
        match self {
            Exit::Succeeded => 0,
            Exit::Superseded => 1,
            Exit::Deadline => 2,
            Exit::Lost => 3,
            Exit::Refused => 4,
            Exit::Failed => 5,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(outcome: &str) -> End {
        End::Verdict(Box::new(Ended { outcome: outcome.to_owned(), ..Ended::default() }))
    }

    #[test]
    fn every_end_has_its_status() {
        for (end, code) in [
            (verdict("succeeded"), 0),
            (verdict("failed"), 1),
            (verdict("timed_out"), 1),
            (verdict("deleted"), 1),
            (verdict("unknown"), 5),
            (verdict(""), 1),
            (verdict("Succeeded"), 1),
            (verdict("a word of a newer server"), 1),
            (End::Refused(String::new()), 2),
            (End::Deadline, 3),
            (verdict("superseded"), 4),
            (End::Lost(String::new()), 5),
            (End::Stopped, 5),
        ] {
            assert_eq!(end.exit().code(), code, "{end:?}");
        }
    }

    #[test]
    fn of_several_the_worst_counts_and_all_must_be_good() {
        let (good, bad, newer) = (verdict("succeeded"), verdict("failed"), verdict("superseded"));
        let lost = End::Lost(String::new());
        for (ends, code) in [
            (vec![], 5),
            (vec![good.clone(), good.clone()], 0),
            (vec![good.clone(), newer.clone()], 4),
            (vec![newer.clone(), End::Deadline], 3),
            (vec![End::Deadline, lost.clone()], 5),
            (vec![lost, End::Refused(String::new())], 2),
            (vec![newer, bad, good], 1),
        ] {
            assert_eq!(Exit::of(&ends).code(), code, "{ends:?}");
        }
    }
}
