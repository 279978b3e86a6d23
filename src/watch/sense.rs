//! Whether the numbers that a controller reports can be true together. Those of Deployments and StatefulSets the
//! API server checks, too (`ValidateDeploymentStatus`, `ValidateStatefulSetStatus`); those of DaemonSets nobody
//! compares.

/// A field of a status, and what it says.
type Field = (&'static str, i64);

/// What cannot be true of the numbers of a Deployment or a StatefulSet, if anything: its controller counts the
/// other three among all of its pods, and the available ones among the ready ones.
pub(super) fn of_replicas(
    all: Option<i32>,
    updated: Option<i32>,
    ready: Option<i32>,
    available: Option<i32>,
) -> Option<String> {
    let all = field("status.replicas", all);
    let updated = field("status.updatedReplicas", updated);
    let ready = field("status.readyReplicas", ready);
    let available = field("status.availableReplicas", available);
    wrong(&[all, updated, ready, available], &[(updated, all), (ready, all), (available, ready)])
}

/// The same of a DaemonSet, which counts nodes that should run a pod.
pub(super) fn of_nodes(
    desired: i32,
    updated: Option<i32>,
    ready: i32,
    available: Option<i32>,
) -> Option<String> {
    let desired = field("status.desiredNumberScheduled", Some(desired));
    let updated = field("status.updatedNumberScheduled", updated);
    let ready = field("status.numberReady", Some(ready));
    let available = field("status.numberAvailable", available);
    let within = [(updated, desired), (ready, desired), (available, ready)];
    wrong(&[desired, updated, ready, available], &within)
}

/// What cannot be true of what a controller says it has seen, if anything.
pub(super) fn of_generations(generation: i64, observed: Option<i64>) -> Option<String> {
    let observed = ("status.observedGeneration", observed.unwrap_or(0));
    let generation = ("metadata.generation", generation);
    wrong(&[observed], &[(observed, generation)])
}

/// A number that is left out is none (`omitempty` in the API's types).
fn field(name: &'static str, number: Option<i32>) -> Field {
    (name, number.map_or(0, i64::from))
}

/// The first that is below zero, or that is more than what it is a part of.
fn wrong(all: &[Field], within: &[(Field, Field)]) -> Option<String> {
    let below = all.iter().find(|(_, number)| *number < 0);
    if let Some((name, number)) = below {
        return Some(format!("{name} is {number}"));
    }
    let above = within.iter().find(|((_, part), (_, whole))| part > whole);
    above.map(|((part, is), (whole, of))| format!("{part} is {is}, and {whole} is {of}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_part_of_it_is_no_more_than_the_whole() {
        for (numbers, expected) in [
            ([3, 3, 3, 3], None),
            ([4, 1, 3, 2], None),
            ([0, 0, 0, 0], None),
            ([0, 7, 0, 0], Some("status.updatedReplicas is 7, and status.replicas is 0")),
            ([2, 2, 3, 1], Some("status.readyReplicas is 3, and status.replicas is 2")),
            ([2, 2, 1, 2], Some("status.availableReplicas is 2, and status.readyReplicas is 1")),
            ([2, 2, -1, 2], Some("status.readyReplicas is -1")),
            ([i32::MIN, 0, 0, 0], Some("status.replicas is -2147483648")),
        ] {
            let [all, updated, ready, available] = numbers.map(Some);
            let said = of_replicas(all, updated, ready, available);
            assert_eq!(said.as_deref(), expected, "{numbers:?}");
        }
        assert_eq!(of_replicas(None, None, None, None), None);
        let said = of_nodes(2, Some(1), 2, Some(3));
        assert_eq!(said.unwrap(), "status.numberAvailable is 3, and status.numberReady is 2");
        let said = of_nodes(2, Some(3), 2, Some(2));
        let expected = "status.updatedNumberScheduled is 3, and status.desiredNumberScheduled is 2";
        assert_eq!(said.unwrap(), expected);
        assert_eq!(of_nodes(2, Some(1), 2, None), None);
    }

    #[test]
    fn nobody_has_seen_what_was_not_asked_for_yet() {
        assert_eq!(of_generations(2, Some(2)), None);
        assert_eq!(of_generations(2, None), None);
        let said = of_generations(2, Some(9)).unwrap();
        assert_eq!(said, "status.observedGeneration is 9, and metadata.generation is 2");
    }
}
