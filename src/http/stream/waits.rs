//! Streams that wait for the results of several workloads, as far as they came: for a client that is cut
//! and comes back.
//!
//! What holds here: an id says how far the client read, and with this it is known which results stand
//! before it. Those are not said again, and each of the others is about the rollout that was waited for
//! from the beginning. What is not remembered (another process, too many streams since) is said anew: twice
//! rather than never.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use super::query::Query;
use crate::http::pin::{Ended, Waiter};
use crate::ids::{Outcome, WorkloadId};
use crate::subscribe::Scope;
use crate::time::MILLISECOND;
use crate::wire::{EventId, Position};

/// Streams that are remembered; those that began last.
const REMEMBERED: usize = 256;

/// Workloads of all that are remembered, together; each may have some kilobytes of what was asked for.
const WAITERS: usize = 4_096;

/// What was asked for, and by whom: two requests that are equal in this may be one client's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    user: String,
    scope: Scope,
    query: Query,
}

/// The streams that are remembered.
#[derive(Clone, Debug, Default)]
pub struct Waits {
    known: Arc<Mutex<VecDeque<Wait>>>,
}

/// One of them.
#[derive(Debug)]
struct Wait {
    asked: Asked,
    /// The sequence number behind which it began.
    began: u64,
    course: Arc<Mutex<Course>>,
}

/// How far it came.
#[derive(Clone, Debug, Default)]
pub(super) struct Course {
    pub(super) waiters: Vec<Waiter>,
    /// What was said, in order.
    said: Vec<Said>,
}

/// A result that was said.
#[derive(Clone, Debug)]
struct Said {
    workload: Arc<WorkloadId>,
    seq: u64,
    unix_ms: u64,
    good: bool,
}

// === impl Asked ===

impl Asked {
    /// What is asked for, wherever the client was.
    pub fn new(user: &str, scope: &Scope, query: &Query) -> Self {
        let query = Query { resume: None, ..query.clone() };
        Asked { user: user.to_owned(), scope: scope.clone(), query }
    }
}

// === impl Waits ===

impl Waits {
    /// Whether an id is the last one of a stream that has said all its results.
    pub fn is_final(&self, asked: &Asked, id: &EventId) -> bool {
        let known = self.known.lock();
        known.iter().filter(|wait| wait.asked == *asked).any(|wait| {
            let course = wait.course.lock();
            course.is_over() && course.said.last().is_some_and(|said| said.is(id))
        })
    }

    /// How far such a stream had come at an id.
    pub(super) fn resume(&self, asked: &Asked, id: &EventId) -> Option<Course> {
        let known = self.known.lock();
        let came = |wait: &&Wait| wait.asked == *asked && wait.began <= id.seq;
        let mut all = known.iter().rev().filter(came);
        // Best one that has said something with this very id; else the newest that may have come to it.
        let said = |wait: &&Wait| wait.course.lock().said.iter().any(|said| said.is(id));
        let wait = all.clone().find(said).or_else(|| all.next())?;
        let course = wait.course.lock().at(id);
        Some(course)
    }

    /// Remembers a stream.
    pub(super) fn remember(&self, asked: Asked, began: u64, course: Arc<Mutex<Course>>) {
        let mut known = self.known.lock();
        let waiters = |wait: &Wait| wait.course.lock().waiters.len();
        let mut all: usize = known.iter().map(waiters).sum();
        while known.len() >= REMEMBERED || (all > WAITERS && !known.is_empty()) {
            // One that is open may have grown since.
            all = all.saturating_sub(known.pop_front().as_ref().map_or(0, waiters));
        }
        known.push_back(Wait { asked, began, course });
    }
}

// === impl Said ===

impl Said {
    fn is(&self, id: &EventId) -> bool {
        (self.seq, self.unix_ms) == (id.seq, id.unix_ms)
    }
}

// === impl Course ===

impl Course {
    /// Nothing is said yet.
    pub(super) fn new(waiters: Vec<Waiter>) -> Self {
        Course { waiters, said: Vec::new() }
    }

    /// Notes that a result is said at a position, or at the next one that tells it from the one before.
    pub(super) fn say(&mut self, at: usize, ended: &Ended, position: Position) -> Position {
        let ms = |time: i64| time.max(0).unsigned_abs() / MILLISECOND.unsigned_abs();
        let mut position = position;
        let before = self.said.last().filter(|said| said.seq == position.seq);
        if let Some(before) = before.filter(|said| said.unix_ms >= ms(position.time)) {
            let next = i64::try_from(before.unix_ms).unwrap_or(i64::MAX).saturating_add(1);
            position.time = next.saturating_mul(MILLISECOND);
        }
        let waiter = &mut self.waiters[at];
        waiter.done = true;
        self.said.push(Said {
            workload: Arc::clone(&waiter.workload),
            seq: position.seq,
            unix_ms: ms(position.time),
            good: ended.result.outcome == Outcome::Succeeded,
        });
        position
    }

    /// Whether all were said.
    pub(super) fn is_over(&self) -> bool {
        self.waiters.iter().all(|waiter| waiter.done)
    }

    /// Whether one of them was no success.
    pub(super) fn is_bad(&self) -> bool {
        self.said.iter().any(|said| !said.good)
    }

    /// How many of the results a client has that has this id. At the same sequence number they come after
    /// all records, each with a time of its own.
    fn said_before(&self, id: &EventId) -> usize {
        let this = self.said.iter().position(|said| said.is(id));
        this.map_or_else(|| self.said.partition_point(|said| said.seq < id.seq), |at| at + 1)
    }

    /// The same as it was at an id.
    fn at(&self, id: &EventId) -> Course {
        let mut course = self.clone();
        course.said.truncate(self.said_before(id));
        for waiter in &mut course.waiters {
            waiter.done = course.said.iter().any(|said| said.workload == waiter.workload);
        }
        course
    }
}
