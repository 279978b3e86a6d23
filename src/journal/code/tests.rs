use std::sync::Arc;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::ids::*;
use crate::journal::forgotten::Times;
use crate::journal::store::{Attempt, Fact, LastLine, Record, Restart, Standing};

fn name() -> impl Strategy<Value = Arc<str>> {
    ".{0,12}".prop_map(Arc::from)
}

fn word<T: Clone + std::fmt::Debug + 'static>(words: &'static [T]) -> impl Strategy<Value = T> {
    prop::sample::select(words)
}

fn workload() -> impl Strategy<Value = Arc<WorkloadId>> {
    (name(), word(&Kind::ALL), name())
        .prop_map(|(namespace, kind, name)| Arc::new(WorkloadId { namespace, kind, name }))
}

fn source() -> impl Strategy<Value = Arc<Source>> {
    ((name(), name(), name()), workload(), name(), any::<u32>()).prop_map(
        |((uid, container, container_id), workload, pod, attempt)| {
            let key = AttemptKey { uid, container, container_id };
            Arc::new(Source { key, workload, pod, attempt })
        },
    )
}

const SIDES: [Side; 2] = [Side::New, Side::Old];

fn lines() -> impl Strategy<Value = Entry> {
    let line = (
        (".{0,30}", "[ab]{0,2}"),
        any::<i64>(),
        prop_oneof![3 => Just(0), 1 => any::<u32>()],
        prop_oneof![3 => Just(0), 1 => any::<u32>()],
        any::<(bool, bool, bool)>(),
    );
    (source(), word(&SIDES), any::<bool>(), vec(line, 1..20)).prop_map(
        |(source, side, failed, given)| {
            let mut text = Vec::new();
            let mut lines = Vec::new();
            for ((words, skipped), time, truncated_bytes, ordinal, flags) in given {
                text.extend_from_slice(skipped.as_bytes());
                let (start, len) = (text.len() as u32, words.len() as u32);
                text.extend_from_slice(words.as_bytes());
                let (lossy, partial, partial_head) = flags;
                lines.push(LineMeta {
                    time,
                    start,
                    len,
                    truncated_bytes,
                    ordinal,
                    lossy,
                    partial,
                    partial_head,
                });
            }
            let (text, lines) = (Bytes::from(text), lines.into_boxed_slice());
            Entry::Lines(Arc::new(Lines { source, side, failed, text, lines }))
        },
    )
}

fn rollout() -> impl Strategy<Value = Entry> {
    use RolloutPhase::*;
    let phases = &[
        Waiting,
        Progressing,
        Paused,
        WaitingForDelete,
        Stalled,
        Complete,
        ScaledToZero,
        Deleted,
        Unknown,
    ];
    let image = (name(), option::of(name()), name())
        .prop_map(|(container, from, to)| ImageChange { container, from, to });
    let blocker = (word(&Reason::ALL), ".{0,20}", vec(name(), 0..3), any::<Option<i64>>())
        .prop_map(|(code, message, pods, since)| Blocker { code, message, pods, since });
    (
        (any::<i64>(), word(phases), option::of(name()), option::of(name()), any::<i64>()),
        vec(image, 0..4),
        any::<[u32; 5]>(),
        any::<(Option<i64>, Option<i64>, Option<u64>)>(),
        (option::of(name()), option::of(name())),
        (any::<bool>(), vec(blocker, 0..3), ".{0,40}"),
    )
        .prop_map(
            |(head, images, counts, times, (by, change_cause), (recovered, reasons, message))| {
                let (time, phase, revision, previous, generation) = head;
                let [desired, updated, ready, available, old] = counts;
                let (started, finished, deadline_ms) = times;
                Entry::Rollout(Arc::new(RolloutStatus {
                    time,
                    phase,
                    revision,
                    previous,
                    generation,
                    images,
                    desired,
                    updated,
                    ready,
                    available,
                    old,
                    started,
                    finished,
                    deadline_ms,
                    by,
                    change_cause,
                    recovered,
                    reasons,
                    message,
                }))
            },
        )
}

fn pod() -> impl Strategy<Value = Entry> {
    use PodPhase::*;
    let phases = &[
        Unscheduled,
        Pulling,
        Init,
        Starting,
        Running,
        Ready,
        Failing,
        Succeeded,
        Terminating,
        Gone,
    ];
    let kinds = &[
        ContainerKind::App,
        ContainerKind::Init,
        ContainerKind::Sidecar,
        ContainerKind::Ephemeral,
    ];
    let states = &[ContainerState::Waiting, ContainerState::Running, ContainerState::Terminated];
    let container =
        (name(), word(kinds), word(states), any::<u32>(), option::of(name()), any::<Option<i32>>())
            .prop_map(|(name, kind, state, attempt, reason, exit_code)| ContainerStatus {
                name,
                kind,
                state,
                attempt,
                reason,
                exit_code,
            });
    let maybe = || option::of(name());
    (
        (any::<i64>(), name(), name(), maybe(), maybe()),
        (word(&SIDES), word(phases), maybe(), any::<bool>(), any::<u32>()),
        (maybe(), maybe(), vec(container, 0..4), any::<bool>()),
    )
        .prop_map(|(who, how, rest)| {
            let (time, pod, uid, node, revision) = who;
            let (side, phase, phase_detail, ready, restarts) = how;
            let (reason, message, containers, quiet) = rest;
            Entry::Pod(Arc::new(PodStatus {
                time,
                pod,
                uid,
                node,
                revision,
                side,
                phase,
                phase_detail,
                ready,
                restarts,
                reason,
                message,
                containers,
                quiet,
            }))
        })
}

fn event() -> impl Strategy<Value = Entry> {
    kube_event().prop_map(Entry::Event)
}

fn result() -> impl Strategy<Value = Entry> {
    let ended = (option::of(name()), any::<(Option<u32>, Option<i32>)>());
    let blocked = (name(), ended, vec(".{0,20}", 0..3)).prop_map(
        |(pod, (container, (attempt, exit_code)), lines)| Blocked {
            pod,
            container,
            attempt,
            exit_code,
            lines,
        },
    );
    (
        (any::<i64>(), word(&Outcome::ALL), option::of(name()), any::<i64>()),
        any::<(u32, u32, Option<u64>)>(),
        (option::of(word(&Reason::ALL)), ".{0,40}"),
        vec(blocked, 0..3),
        vec(kube_event(), 0..3),
    )
        .prop_map(|(head, counts, (reason, message), pods, events)| {
            let (time, outcome, revision, generation) = head;
            let (ready, desired, duration_ms) = counts;
            Entry::Result(Arc::new(RolloutResult {
                time,
                outcome,
                revision,
                generation,
                ready,
                desired,
                duration_ms,
                reason,
                message,
                pods,
                events,
                inferred: false,
            }))
        })
}

fn kube_event() -> impl Strategy<Value = Arc<KubeEvent>> {
    (any::<(i64, bool, u32)>(), name(), name(), name(), name()).prop_map(
        |((time, warning, count), reason, message, object_kind, object_name)| {
            let event =
                KubeEvent { time, warning, reason, message, object_kind, object_name, count };
            Arc::new(event)
        },
    )
}

fn source_change() -> impl Strategy<Value = Entry> {
    let states = &[SourceState::Waiting, SourceState::Following, SourceState::Ended];
    let known = any::<(Option<bool>, Option<bool>, Option<u64>)>();
    (any::<i64>(), source(), word(states), known, option::of(name())).prop_map(
        |(time, source, state, (from_start, complete, lines), reason)| {
            let change = SourceChange { time, source, state, from_start, complete, lines, reason };
            Entry::Source(Arc::new(change))
        },
    )
}

fn gap() -> impl Strategy<Value = Entry> {
    use GapReason::*;
    let reasons = &[
        RotationUnproven,
        FollowLost,
        AttemptCollected,
        PodRemoved,
        NodeUnreachable,
        ViewerTooSlow,
        HistoryEvicted,
        ServerRestart,
        LimitReached,
        ClockStep,
        UpstreamError,
    ];
    let bounds = any::<(Option<i64>, Option<i64>, Option<u64>)>();
    (any::<i64>(), word(reasons), option::of(source()), bounds).prop_map(
        |(time, reason, source, (from, to, count))| {
            Entry::Gap(Arc::new(Gap { time, reason, source, from, to, count }))
        },
    )
}

fn entry() -> impl Strategy<Value = Entry> {
    prop_oneof![
        4 => lines(),
        1 => rollout(),
        1 => pod(),
        1 => event(),
        1 => source_change(),
        1 => gap(),
        1 => result()
    ]
}

fn fact() -> impl Strategy<Value = Fact> {
    let record = (1..u64::MAX / 2, workload(), any::<i64>(), 0..u64::MAX / 2, entry()).prop_map(
        |(first, workload, appended, lines_before, entry)| {
            Fact::Record(Record { first, workload, appended, lines_before, entry })
        },
    );
    let times = option::of((any::<i64>(), any::<i64>()))
        .prop_map(|times| times.map(|(oldest, newest)| Times { oldest, newest }));
    let standing =
        (workload(), any::<(u64, u64)>(), times).prop_map(|(workload, (last, lines), times)| {
            Fact::Workload(Standing { workload, last, lines, times })
        });
    let line = option::of(any::<(u64, i64, u32)>())
        .prop_map(|line| line.map(|(seq, time, ordinal)| LastLine { seq, time, ordinal }));
    let attempt =
        (source(), line, any::<(u64, bool)>()).prop_map(|(source, line, (changed, ended))| {
            Fact::Attempt(Attempt { source, line, changed, ended })
        });
    let restart =
        (any::<(u64, u64)>(), vec(workload(), 0..4)).prop_map(|((after, through), workloads)| {
            Fact::Restart(Restart { after, through, workloads })
        });
    prop_oneof![6 => record, 1 => standing, 1 => attempt, 1 => restart]
}

fn written(fact: &Fact) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes, fact);
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn everything_is_read_back_as_it_was_written(facts in vec(fact(), 1..4)) {
        // One set of names, so that shared names are looked up, too.
        let mut names = Names::default();
        for fact in facts {
            let read = read(&written(&fact), &mut names).unwrap();
            prop_assert_eq!(format!("{read:?}"), format!("{fact:?}"));
        }
    }

    #[test]
    fn a_part_of_it_is_nothing(fact in fact(), cut in any::<prop::sample::Index>()) {
        let bytes = written(&fact);
        let cut = cut.index(bytes.len());
        prop_assert!(read(&bytes[..cut], &mut Names::default()).is_err());
        let mut longer = bytes;
        longer.push(0);
        prop_assert!(read(&longer, &mut Names::default()).is_err());
    }

    #[test]
    fn other_bytes_never_panic(
        fact in fact(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        noise in vec(any::<u8>(), 0..200),
    ) {
        let mut bytes = written(&fact);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(Fact::Record(record)) = read(&bytes, &mut Names::default())
            && let Entry::Lines(lines) = &record.entry
        {
            // What the rest of the program takes for granted.
            for line in &lines.lines {
                prop_assert!(std::str::from_utf8(lines.bytes_of(line)).is_ok());
            }
        }
        let _ = read(&noise, &mut Names::default());
    }
}

/// The bytes of version 1, so that a change of the encoding is seen: files on disks have it.
#[test]
fn version_1_is_what_it_was() {
    let workload = Arc::new(WorkloadId::new("ns", Kind::Job, "w"));
    let key = AttemptKey { uid: "u".into(), container: "c".into(), container_id: "i".into() };
    let source = Source { key, workload: workload.clone(), pod: "p".into(), attempt: 2 };
    let line = LineMeta {
        time: 5,
        start: 0,
        len: 2,
        truncated_bytes: 0,
        ordinal: 1,
        lossy: true,
        partial: false,
        partial_head: false,
    };
    let entry = Entry::Lines(Arc::new(Lines {
        source: Arc::new(source),
        side: Side::Old,
        failed: false,
        text: Bytes::from_static(b"hi"),
        lines: Box::new([line]),
    }));
    let record = Record { first: 300, workload, appended: -1, lines_before: 7, entry };
    let expected: &[u8] = b"\x01\xac\x02\x01\x07\x06\x04\x02ns\x01w\x01\
        \x10\x01u\x01c\x01i\x01p\x02\x06\x04\x02ns\x01w\
        \x02\x01\x09\x0a\x02\x01\x02hi";
    assert_eq!(written(&Fact::Record(record)), expected);
}
