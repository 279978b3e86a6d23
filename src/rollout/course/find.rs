//! Which rollout a pin leads to.

use super::{Course, Courses};
use crate::rollout::{Found, Pin};
use crate::time::SECOND;

// === impl Pin ===

impl Pin {
    fn wants(&self, course: &Course) -> bool {
        let status = course.status.as_deref();
        let deploy = |wanted: &String| course.deploys.iter().any(|known| **known == **wanted);
        let revision = |wanted: &String| {
            status.is_some_and(|status| status.revision.as_deref() == Some(wanted))
        };
        // The API cuts its times to the second.
        let after = |wanted: i64| {
            status
                .and_then(|status| status.started)
                // That of a rollback without pods is known by nobody who did not see it begin.
                .or_else(|| course.witnessed())
                .is_some_and(|it| it.saturating_add(SECOND) > wanted)
        };
        let image = |wanted: &String| {
            status.is_some_and(|status| status.images.iter().any(|image| *image.to == **wanted))
        };
        let uid = |wanted: &String| *course.about.uid == **wanted;
        // A revision beside the generation may have been read while the controller was at work: a rollback
        // keeps its old number for a moment.
        let number = match self.generation {
            Some(wanted) => course.has_generation(wanted),
            None => self.revision.as_ref().is_none_or(revision),
        };
        number
            && self.uid.as_ref().is_none_or(uid)
            && self.deploy.as_ref().is_none_or(deploy)
            && self.after.is_none_or(after)
            && self.image.as_ref().is_none_or(image)
    }
}

// === impl Courses ===

impl Courses {
    /// What a pin leads to. The newest that fits counts.
    pub(in crate::rollout) fn find(&self, pin: &Pin) -> Found {
        if let Some(course) = self.list.iter().rev().find(|course| pin.wants(course)) {
            return Found::Course(course.number);
        }
        if self.is_passed(pin) {
            return Found::Passed;
        }
        let Some(current) = self.current() else { return Found::Waiting };
        if pin.uid.as_ref().is_some_and(|uid| *current.about.uid != **uid) {
            return Found::Passed;
        }
        // No object says which generation changed the template (`truths.md` 14): one that was not seen
        // may be the running one's, and is never called superseded.
        let loose = Pin { generation: None, ..pin.clone() };
        let unseen = pin.generation.is_some_and(|wanted| wanted <= current.last_generation());
        // Another one that was seen after it is between them.
        let between = pin.generation.is_some_and(|wanted| {
            let later = |course: &Course| course.last_generation() > wanted;
            self.list.iter().rev().skip(1).any(|it| it.about.uid == current.about.uid && later(it))
        });
        if unseen && between {
            return Found::Passed;
        }
        if unseen && loose.wants(current) {
            return Found::Course(current.number);
        }
        let passed = pin.revision.as_ref().is_some_and(|wanted| is_below(wanted, current));
        if passed { Found::Passed } else { Found::Waiting }
    }

    /// Whether a pin by generation leads only by inference to what it leads to.
    pub(in crate::rollout) fn is_inferred(&self, pin: &Pin, number: u64) -> bool {
        let unseen = |wanted| self.get(number).is_some_and(|course| !course.has_generation(wanted));
        pin.generation.is_some_and(unseen)
    }

    /// Whether a pin names a deploy of which it is not known which rollout that is.
    pub(in crate::rollout) fn is_passed(&self, pin: &Pin) -> bool {
        pin.deploy.as_deref().is_some_and(|wanted| self.passed.iter().any(|it| **it == *wanted))
    }
}

/// Whether a revision came before that of a rollout. Both must be numbers.
fn is_below(wanted: &str, course: &Course) -> bool {
    let current = course.status.as_ref().and_then(|status| status.revision.as_deref());
    let number = |text: &str| text.parse::<u64>().ok();
    match (number(wanted), current.and_then(number)) {
        (Some(wanted), Some(current)) => wanted < current,
        _ => false,
    }
}
