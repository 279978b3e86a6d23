//! The watches of one namespace as they were received: written down, read again and applied without a
//! clock, so that what was recorded goes the way that it goes in the service.
//!
//! What holds here: only what the slim types decode is written, and of a pod template only its containers'
//! names and images; nothing else of an object ever gets here.

mod gathered;
mod intake;
mod line;

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::{BoxStream, SelectAll};

pub use gathered::Gathered;
pub use intake::Intake;
pub use line::{BadLine, Templates};

use super::problem::Resource;
use super::run;
use super::tables::Object;
use crate::cluster::{Cluster, Presence, Step};
use crate::time;

/// What one watch brought, and when that was.
#[derive(Debug)]
pub struct Received {
    at: i64,
    watch: Resource,
    step: Step<Object>,
}

/// Watches all kinds in one namespace. It never ends.
pub fn receive(cluster: &Cluster, namespace: &str) -> BoxStream<'static, Received> {
    let (mut all, known) = (SelectAll::new(), Arc::new(Presence::default()));
    for watch in Resource::ALL {
        let (steps, _) = run::begin(cluster, watch, Some(namespace), &known);
        all.push(steps.map(move |step| Received { at: time::now(), watch, step }).boxed());
    }
    all.boxed()
}

// === impl Received ===

impl Received {
    /// When it was received, by our clock.
    pub fn at(&self) -> i64 {
        self.at
    }

    /// The object that it brought, if it did.
    fn object(&self) -> Option<&Object> {
        match &self.step {
            Step::Listed(object) | Step::Applied(object) | Step::Deleted(object) => Some(object),
            Step::Began | Step::Complete | Step::Failed(_) | Step::Absent => None,
        }
    }
}
