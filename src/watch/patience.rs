//! What a workload says itself about how long its rollouts are waited for.

use std::collections::BTreeMap;

use crate::time::SECOND;

/// The annotations, in the order of [`Patience`]'s fields. Each is the option of the same name.
const SETTLE: &str = "rollcast.dev/settle";
const RESTARTS: &str = "rollcast.dev/crash-restarts";
const CONFIG: &str = "rollcast.dev/grace-config";
const PULL: &str = "rollcast.dev/grace-pull";
const QUOTA: &str = "rollcast.dev/grace-quota";
const UNSCHEDULABLE: &str = "rollcast.dev/grace-unschedulable";
const START: &str = "rollcast.dev/grace-start";
const DEADLINE: &str = "rollcast.dev/rollout-deadline";
/// All that may be kept of what is longer is a mistake.
const LONGEST: i64 = 24 * 3600 * SECOND;

/// What a workload's annotations say of its graces, in nanoseconds; `None` is the option's value. What
/// makes no sense says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Patience {
    /// How long a container without readiness probe must run to count.
    pub settle: Option<i64>,
    /// Restarts that are a crash loop.
    pub restarts: Option<u32>,
    /// A missing ConfigMap, Secret or key.
    pub config: Option<i64>,
    /// Pull errors that may pass.
    pub pull: Option<i64>,
    /// A quota.
    pub quota: Option<i64>,
    /// A node that takes the pod.
    pub unschedulable: Option<i64>,
    /// Volumes, sandboxes, the runtime.
    pub start: Option<i64>,
    /// Without progress, where the workload has no deadline.
    pub deadline: Option<i64>,
}

// === impl Patience ===

impl Patience {
    /// Reads it.
    pub(super) fn read(annotations: Option<&BTreeMap<String, String>>) -> Patience {
        let Some(annotations) = annotations else { return Patience::default() };
        let word = |name: &str| annotations.get(name).map(String::as_str);
        let time = |name: &str| word(name).and_then(span);
        Patience {
            settle: time(SETTLE),
            restarts: word(RESTARTS).and_then(|word| word.parse().ok()).filter(|it| *it > 0),
            config: time(CONFIG),
            pull: time(PULL),
            quota: time(QUOTA),
            unschedulable: time(UNSCHEDULABLE),
            start: time(START),
            deadline: time(DEADLINE).filter(|it| *it > 0),
        }
    }
}

/// A whole number with `s`, `m` or `h`.
fn span(text: &str) -> Option<i64> {
    let unit = match text.bytes().last()? {
        b's' => SECOND,
        b'm' => 60 * SECOND,
        b'h' => 3600 * SECOND,
        _ => return None,
    };
    let digits = &text[..text.len() - 1];
    let whole = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    let number: i64 = whole.then(|| digits.parse().ok())??;
    number.checked_mul(unit).filter(|span| *span <= LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_says_nothing() {
        for (text, seconds) in
            [("10s", Some(10)), ("0s", Some(0)), ("5m", Some(300)), ("1h", Some(3600))]
        {
            assert_eq!(span(text), seconds.map(|it| it * SECOND), "{text}");
        }
        for text in ["", "s", "10", "-1s", "+1s", "1.5s", "25h", "99999999999999999h", "10é", "é"]
        {
            assert_eq!(span(text), None, "{text}");
        }
    }

    #[test]
    fn annotations_are_read_by_their_names() {
        let annotations = [(SETTLE, "0s"), (RESTARTS, "5"), (CONFIG, "2m"), (DEADLINE, "0s")];
        let map = annotations.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        let patience = Patience::read(Some(&map.collect()));
        assert_eq!(patience.settle, Some(0));
        assert_eq!(patience.restarts, Some(5));
        assert_eq!(patience.config, Some(120 * SECOND));
        assert_eq!((patience.pull, patience.deadline), (None, None));
    }
}
