//! Every kind of record.

use std::sync::Arc;

use super::input::{Input, Names};
use super::output::Output;
use super::{Malformed, lines, words};
use crate::ids::{
    Blocked, Blocker, ContainerStatus, Entry, Gap, ImageChange, KubeEvent, PodStatus,
    RolloutResult, RolloutStatus, SourceChange,
};

type Result<T> = std::result::Result<T, Malformed>;

const LINES: u8 = 1;
const ROLLOUT: u8 = 2;
const POD: u8 = 3;
const EVENT: u8 = 4;
const SOURCE: u8 = 5;
const GAP: u8 = 6;
const RESULT: u8 = 7;

pub(super) fn write(out: &mut Output<'_>, entry: &Entry) {
    match entry {
        Entry::Lines(batch) => {
            out.byte(LINES);
            lines::write(out, batch);
        }
        Entry::Rollout(status) => {
            out.byte(ROLLOUT);
            write_rollout(out, status);
        }
        Entry::Pod(status) => {
            out.byte(POD);
            write_pod(out, status);
        }
        Entry::Event(event) => {
            out.byte(EVENT);
            write_event(out, event);
        }
        Entry::Source(change) => {
            out.byte(SOURCE);
            write_source(out, change);
        }
        Entry::Gap(gap) => {
            out.byte(GAP);
            write_gap(out, gap);
        }
        Entry::Result(result) => {
            out.byte(RESULT);
            write_result(out, result);
        }
    }
}

pub(super) fn read(input: &mut Input<'_>, names: &mut Names) -> Result<Entry> {
    let entry = match input.byte()? {
        LINES => Entry::Lines(lines::read(input, names)?),
        ROLLOUT => Entry::Rollout(Arc::new(read_rollout(input)?)),
        POD => Entry::Pod(Arc::new(read_pod(input)?)),
        EVENT => Entry::Event(Arc::new(read_event(input)?)),
        SOURCE => Entry::Source(Arc::new(read_source(input, names)?)),
        GAP => Entry::Gap(Arc::new(read_gap(input, names)?)),
        RESULT => Entry::Result(Arc::new(read_result(input)?)),
        _ => return Err(Malformed),
    };
    Ok(entry)
}

fn write_rollout(out: &mut Output<'_>, status: &RolloutStatus) {
    out.signed(status.time);
    out.byte(words::phase(status.phase));
    out.maybe_text(status.revision.as_deref());
    out.maybe_text(status.previous.as_deref());
    out.signed(status.generation);
    out.number(status.images.len() as u64);
    for ImageChange { container, from, to } in &status.images {
        out.text(container);
        out.maybe_text(from.as_deref());
        out.text(to);
    }
    for count in [status.desired, status.updated, status.ready, status.available, status.old] {
        out.number(u64::from(count));
    }
    out.maybe(status.started, Output::signed);
    out.maybe(status.finished, Output::signed);
    out.maybe(status.deadline_ms, Output::number);
    out.maybe_text(status.by.as_deref());
    out.maybe_text(status.change_cause.as_deref());
    out.flag(status.recovered);
    out.number(status.reasons.len() as u64);
    for Blocker { code, message, pods, since } in &status.reasons {
        out.byte(words::blocker(*code));
        out.text(message);
        out.number(pods.len() as u64);
        pods.iter().for_each(|pod| out.text(pod));
        out.maybe(*since, Output::signed);
    }
    out.text(&status.message);
}

fn read_rollout(input: &mut Input<'_>) -> Result<RolloutStatus> {
    Ok(RolloutStatus {
        time: input.signed()?,
        phase: words::phase_of(input.byte()?)?,
        revision: input.maybe(Input::shared)?,
        previous: input.maybe(Input::shared)?,
        generation: input.signed()?,
        images: input.list(|input| {
            Ok(ImageChange {
                container: input.shared()?,
                from: input.maybe(Input::shared)?,
                to: input.shared()?,
            })
        })?,
        desired: input.small()?,
        updated: input.small()?,
        ready: input.small()?,
        available: input.small()?,
        old: input.small()?,
        started: input.maybe(Input::signed)?,
        finished: input.maybe(Input::signed)?,
        deadline_ms: input.maybe(Input::number)?,
        by: input.maybe(Input::shared)?,
        change_cause: input.maybe(Input::shared)?,
        recovered: input.flag()?,
        reasons: input.list(|input| {
            Ok(Blocker {
                code: words::blocker_of(input.byte()?)?,
                message: input.text()?.to_owned(),
                pods: input.list(Input::shared)?,
                since: input.maybe(Input::signed)?,
            })
        })?,
        message: input.text()?.to_owned(),
    })
}

fn write_pod(out: &mut Output<'_>, status: &PodStatus) {
    out.signed(status.time);
    out.text(&status.pod);
    out.text(&status.uid);
    out.maybe_text(status.node.as_deref());
    out.maybe_text(status.revision.as_deref());
    out.byte(words::side(status.side));
    out.byte(words::pod_phase(status.phase));
    out.maybe_text(status.phase_detail.as_deref());
    out.flag(status.ready);
    out.number(u64::from(status.restarts));
    out.maybe_text(status.reason.as_deref());
    out.maybe_text(status.message.as_deref());
    out.number(status.containers.len() as u64);
    for container in &status.containers {
        out.text(&container.name);
        out.byte(words::container_kind(container.kind));
        out.byte(words::container_state(container.state));
        out.number(u64::from(container.attempt));
        out.maybe_text(container.reason.as_deref());
        out.maybe(container.exit_code.map(i64::from), Output::signed);
    }
    out.flag(status.quiet);
}

fn read_pod(input: &mut Input<'_>) -> Result<PodStatus> {
    Ok(PodStatus {
        time: input.signed()?,
        pod: input.shared()?,
        uid: input.shared()?,
        node: input.maybe(Input::shared)?,
        revision: input.maybe(Input::shared)?,
        side: words::side_of(input.byte()?)?,
        phase: words::pod_phase_of(input.byte()?)?,
        phase_detail: input.maybe(Input::shared)?,
        ready: input.flag()?,
        restarts: input.small()?,
        reason: input.maybe(Input::shared)?,
        message: input.maybe(Input::shared)?,
        containers: input.list(|input| {
            Ok(ContainerStatus {
                name: input.shared()?,
                kind: words::container_kind_of(input.byte()?)?,
                state: words::container_state_of(input.byte()?)?,
                attempt: input.small()?,
                reason: input.maybe(Input::shared)?,
                exit_code: input
                    .maybe(|input| i32::try_from(input.signed()?).map_err(|_| Malformed))?,
            })
        })?,
        quiet: input.flag()?,
    })
}

fn write_event(out: &mut Output<'_>, event: &KubeEvent) {
    out.signed(event.time);
    out.flag(event.warning);
    out.text(&event.reason);
    out.text(&event.message);
    out.text(&event.object_kind);
    out.text(&event.object_name);
    out.number(u64::from(event.count));
}

fn read_event(input: &mut Input<'_>) -> Result<KubeEvent> {
    Ok(KubeEvent {
        time: input.signed()?,
        warning: input.flag()?,
        reason: input.shared()?,
        message: input.shared()?,
        object_kind: input.shared()?,
        object_name: input.shared()?,
        count: input.small()?,
    })
}

fn write_source(out: &mut Output<'_>, change: &SourceChange) {
    out.signed(change.time);
    out.source(&change.source);
    out.byte(words::source_state(change.state));
    out.maybe(change.from_start, Output::flag);
    out.maybe(change.complete, Output::flag);
    out.maybe(change.lines, Output::number);
    out.maybe_text(change.reason.as_deref());
}

fn read_source(input: &mut Input<'_>, names: &mut Names) -> Result<SourceChange> {
    Ok(SourceChange {
        time: input.signed()?,
        source: input.source(names)?,
        state: words::source_state_of(input.byte()?)?,
        from_start: input.maybe(Input::flag)?,
        complete: input.maybe(Input::flag)?,
        lines: input.maybe(Input::number)?,
        reason: input.maybe(Input::shared)?,
    })
}

fn write_gap(out: &mut Output<'_>, gap: &Gap) {
    out.signed(gap.time);
    out.byte(words::reason(gap.reason));
    out.maybe(gap.source.as_deref(), Output::source);
    out.maybe(gap.from, Output::signed);
    out.maybe(gap.to, Output::signed);
    out.maybe(gap.count, Output::number);
}

fn read_gap(input: &mut Input<'_>, names: &mut Names) -> Result<Gap> {
    Ok(Gap {
        time: input.signed()?,
        reason: words::reason_of(input.byte()?)?,
        source: input.maybe(|input| input.source(names))?,
        from: input.maybe(Input::signed)?,
        to: input.maybe(Input::signed)?,
        count: input.maybe(Input::number)?,
    })
}

fn write_result(out: &mut Output<'_>, result: &RolloutResult) {
    out.signed(result.time);
    out.byte(words::outcome(result.outcome));
    out.maybe_text(result.revision.as_deref());
    out.signed(result.generation);
    out.number(u64::from(result.ready));
    out.number(u64::from(result.desired));
    out.maybe(result.duration_ms, Output::number);
    out.maybe(result.reason.map(words::blocker), Output::byte);
    out.text(&result.message);
    out.number(result.pods.len() as u64);
    for blocked in &result.pods {
        out.text(&blocked.pod);
        out.maybe_text(blocked.container.as_deref());
        out.maybe(blocked.attempt.map(u64::from), Output::number);
        out.maybe(blocked.exit_code.map(i64::from), Output::signed);
        out.number(blocked.lines.len() as u64);
        blocked.lines.iter().for_each(|line| out.text(line));
    }
    out.number(result.events.len() as u64);
    result.events.iter().for_each(|event| write_event(out, event));
}

fn read_result(input: &mut Input<'_>) -> Result<RolloutResult> {
    Ok(RolloutResult {
        time: input.signed()?,
        outcome: words::outcome_of(input.byte()?)?,
        revision: input.maybe(Input::shared)?,
        generation: input.signed()?,
        ready: input.small()?,
        desired: input.small()?,
        duration_ms: input.maybe(Input::number)?,
        reason: input.maybe(|input| words::blocker_of(input.byte()?))?,
        message: input.text()?.to_owned(),
        pods: input.list(|input| {
            Ok(Blocked {
                pod: input.shared()?,
                container: input.maybe(Input::shared)?,
                attempt: input.maybe(Input::small)?,
                exit_code: input
                    .maybe(|input| i32::try_from(input.signed()?).map_err(|_| Malformed))?,
                lines: input.list(|input| Ok(input.text()?.to_owned()))?,
            })
        })?,
        events: input.list(|input| Ok(Arc::new(read_event(input)?)))?,
        inferred: false,
    })
}
