//! C8, bounded: memory, files, tasks and upstream streams stay inside their limits, and come back to
//! where they began.

use super::{Fault, fault};

/// What was measured at one time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Measure {
    /// Resident bytes of the process.
    pub memory: u64,
    /// Open files.
    pub files: u64,
    /// Tasks of its runtime.
    pub tasks: u64,
    /// Upstream log streams.
    pub streams: u64,
}

/// Limits for every measurement.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub most: Measure,
    /// How much above the first measurement the last may be.
    pub growth: Measure,
}

/// One of the things that are measured.
type Part = fn(&Measure) -> u64;

pub fn c8(measures: &[Measure], bounds: &Bounds) -> Vec<Fault> {
    let mut faults = Vec::new();
    let (Some(first), Some(last)) = (measures.first(), measures.last()) else {
        return vec![fault("C8", "nothing was measured".to_owned())];
    };
    let parts: [(&str, Part); 4] = [
        ("bytes of memory", |measure| measure.memory),
        ("open files", |measure| measure.files),
        ("tasks", |measure| measure.tasks),
        ("upstream streams", |measure| measure.streams),
    ];
    for (name, part) in parts {
        let (most, limit) = (measures.iter().map(part).max().unwrap_or(0), part(&bounds.most));
        if most > limit {
            faults.push(fault("C8", format!("{most} {name}, at most {limit}")));
        }
        let (grown, limit) = (part(last).saturating_sub(part(first)), part(&bounds.growth));
        if grown > limit {
            let (begin, end) = (part(first), part(last));
            faults.push(fault("C8", format!("{end} {name} at the end, {begin} at the beginning")));
        }
    }
    faults
}
