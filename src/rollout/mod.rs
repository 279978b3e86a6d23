//! Where rollouts stand and how pods are, in words for people: changes in, records out.
//!
//! # Invariants
//!
//! - Pure: no async, no I/O, no clock. Times come from the objects, so that a fresh replica says the
//!   same as one that saw everything (`truths.md` 17); only "seen at" is handed in.
//! - The model depends on the last state of every object and not on the order in which the kinds
//!   came (`truths.md` 18). A recorded sequence of changes gives the same states again.
//! - `complete` is never told of a template that was not rolled out, nor a revision that is not the
//!   one asked for: what cannot be known yet is unknown. What was complete stays so for that template,
//!   as far as the API remembers it (DaemonSets and first revisions of StatefulSets: not at all).
//! - A record comes out when something but its time changed, never otherwise.
//! - New pods are those of the workload's present template (`truths.md` 12, 16), whatever their age.
//!   Old pods never say anything about a new rollout.
//! - Each rollout ends once. A result is about the rollout that was asked for then, and not said before
//!   everything that could be listed is known. That it recovered later, a state says. Where there is an
//!   API server to ask, what the clock decides is confirmed first (`proof`).
//!
//! One file a kind; `phase` is about pods, `trouble` about what keeps them from starting, `revision`
//! about which pods are new, `signs` about what only events tell; `course` tells rollouts apart, `runs` is
//! about those of a CronJob, `pin` says which is meant, `verdict` decides whether one is over, `ending` says
//! so, in the words of `draft`. May touch: `watch`, `ids`, `time`.

mod argo;
mod clock;
mod course;
mod cron_job;
mod daemon_set;
mod deployment;
mod draft;
mod ending;
mod job;
mod message;
mod model;
mod phase;
mod pin;
mod pod;
mod proof;
mod revision;
mod runs;
mod sense;
mod sets;
mod signs;
mod stateful_set;
#[cfg(test)]
mod tests;
mod trouble;
mod verdict;

pub use course::Course;
pub use model::Model;
pub use pin::{Found, Pin};
pub use proof::{Decision, Proof};
pub use verdict::{Graces, Verdict};
