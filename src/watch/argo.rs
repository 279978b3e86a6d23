//! Reduces Argo's Rollouts, as they came, to what the index keeps.
//!
//! What makes no sense is kept as nothing, and named: the model then says that it does not know.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::condition::{Condition, cut};
use super::intern::Words;
use super::reduce::{asked, count, note, revision};
use super::workload::{
    ArgoDetail, ArgoPhase, ArgoStep, Detail, Pause, Strategy, TemplateEntry, WorkloadEntry,
};
use crate::cluster::types::{self, Loose, annotation};
use crate::ids::Kind;

impl WorkloadEntry {
    pub(super) fn rollout(object: &types::Rollout, words: &mut Words) -> WorkloadEntry {
        let (spec, status) = (object.spec.value.as_ref(), object.status.value.as_ref());
        let meta = &object.metadata;
        let detail = ArgoDetail::new(object, words);
        let template = spec.and_then(|spec| spec.template.value.as_ref());
        let observed = observed(object);
        let current = detail.current.clone();
        let referenced = detail.referenced;
        let detail = Detail::Rollout(Box::new(detail));
        let empty = types::Template::default();
        let template = template.unwrap_or(&empty);
        let mut entry = WorkloadEntry::new(meta, Kind::Rollout, template, detail, words);
        if referenced {
            // The template stands in another object; what it became is known by its hash.
            let digest = current.map_or(0, |hash| xxh3_64(hash.as_bytes()));
            entry.template = TemplateEntry { digest, ..TemplateEntry::default() };
        }
        // One without any status is one that nobody looks after, or that nobody has seen yet.
        entry.observed = Some(status.map_or(0, |_| observed));
        entry
    }
}

/// The generation that the controller has seen; 0 if it has not seen all that is asked for.
fn observed(object: &types::Rollout) -> i64 {
    let Some(status) = &object.status.value else { return 0 };
    let number = |field: &Loose<types::Number>| field.value.map(|number| number.0);
    let referenced: Option<i64> =
        note(&object.metadata, annotation::WORKLOAD_GENERATION).and_then(|text| text.parse().ok());
    let seen = number(&status.workload_observed_generation);
    // The workload that it takes its template from has a generation of its own.
    match (referenced, seen) {
        (Some(asked), Some(seen)) if seen != asked => 0,
        _ => number(&status.observed_generation).unwrap_or(0),
    }
}

impl ArgoDetail {
    fn new(object: &types::Rollout, words: &mut Words) -> ArgoDetail {
        let (spec, status) = (object.spec.value.as_ref(), object.status.value.as_ref());
        let number = |field: Option<&Loose<i32>>| count(field.and_then(|field| field.value));
        let mut word = |field: Option<&Loose<String>>| {
            let text = field.and_then(|field| field.value.as_deref());
            words.maybe(text.filter(|text| !text.is_empty()))
        };
        let current = word(status.map(|status| &status.current_pod_hash));
        let stable = word(status.map(|status| &status.stable_rs));
        let blue_green = status.and_then(|status| status.blue_green.value.as_ref());
        let active = word(blue_green.map(|it| &it.active_selector));
        let said = status.and_then(|status| status.phase.value.as_deref());
        let (phase, unread) = match said.filter(|said| !said.is_empty()) {
            Some("Healthy") => (Some(ArgoPhase::Healthy), None),
            Some("Progressing") => (Some(ArgoPhase::Progressing), None),
            Some("Paused") => (Some(ArgoPhase::Paused), None),
            Some("Degraded") => (Some(ArgoPhase::Degraded), None),
            Some(other) => (None, Some(format!("status.phase \"{}\"", cut(other)))),
            None => (None, None),
        };
        let wrong = object.wrong().or(unread);
        let conditions = status.and_then(|status| status.conditions.value.as_ref());
        let strategy = spec.and_then(|spec| spec.strategy.value.as_ref());
        let deadline = spec.and_then(|spec| spec.progress_deadline_seconds.value);
        ArgoDetail {
            revision: revision(&object.metadata),
            desired: asked(spec.and_then(|spec| spec.replicas.value)),
            paused: spec.is_some_and(|spec| spec.paused.value == Some(true)),
            // Argo's default.
            deadline_seconds: Some(deadline.map_or(600, |seconds| count(Some(seconds)))),
            strategy: match strategy {
                Some(it) if it.blue_green.value.is_some() => Strategy::BlueGreen { active },
                Some(it) => it.canary.value.as_ref().map_or(Strategy::Canary(None), |canary| {
                    let at = status.and_then(|status| status.current_step_index.value);
                    Strategy::Canary(ArgoStep::new(canary, at))
                }),
                None => Strategy::Canary(None),
            },
            referenced: spec.is_some_and(|spec| spec.workload_ref.value.is_some()),
            replicas: number(status.map(|status| &status.replicas)),
            updated: number(status.map(|status| &status.updated_replicas)),
            ready: number(status.map(|status| &status.ready_replicas)),
            available: number(status.map(|status| &status.available_replicas)),
            current,
            stable,
            phase,
            aborted: status.is_some_and(|status| status.abort.value == Some(true)),
            aborted_at: status.and_then(types::RolloutStatus::aborted_at),
            pause: status.and_then(Pause::new),
            progressing: Condition::pick(conditions, "Progressing", words),
            progressed: conditions
                .and_then(|all| all.iter().find(|condition| condition.kind == "Progressing"))
                .and_then(|condition| condition.last_update_time.as_ref().map(types::nanos)),
            invalid: Condition::pick(conditions, "InvalidSpec", words).filter(Condition::holds),
            wrong: wrong.map(|fields| Arc::from(fields.as_str())),
        }
    }
}

impl Pause {
    /// `None` if the controller does not wait for anybody, or was told to go on and has not seen it.
    fn new(status: &types::RolloutStatus) -> Option<Pause> {
        let reasons = status.pause_conditions.value.as_ref()?;
        Some(match reasons.first()?.reason.as_str() {
            "CanaryPauseStep" => Pause::Step,
            "BlueGreenPause" => Pause::Promotion,
            "InconclusiveAnalysisRun" => Pause::Inconclusive,
            _ => Pause::Other,
        })
    }
}

impl ArgoStep {
    /// The step at an index; `None` if all are done, or there are none.
    fn new(canary: &types::Canary, at: Option<i32>) -> Option<ArgoStep> {
        let steps = canary.steps.value.as_ref()?;
        let at = usize::try_from(at?).ok().filter(|at| *at < steps.len())?;
        let step = |at: usize| steps[at].value.as_ref();
        let weights = (0..=at).rev().filter_map(step).filter_map(|step| step.set_weight.value);
        let waits = step(at).is_some_and(|step| {
            step.analysis.value.is_some()
                || step.experiment.value.is_some()
                || step.pause.value.is_some()
        });
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Some(ArgoStep {
            number: number(at).saturating_add(1),
            of: number(steps.len()),
            weight: weights.map(|weight| count(Some(weight))).next(),
            waits,
        })
    }
}
