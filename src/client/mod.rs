//! The other side: `rollcast follow`, a client of the public wire and of nothing else.
//!
//! It reads a stream for each workload, shows what happens, and ends with a status that says how the
//! rollouts ended. What holds here:
//! - The status comes from verdicts, never from a stream or a text. Whatever is not known to be good is
//!   not: there is no false green.
//! - A stream that is cut is come back to behind the last id that was read; what a server repeats is
//!   known by its key, and shown once.
//! - What pods say moves no cursor and forges no line, here as in the service's own text.
//! - Memory is bounded: one event, a number of keys, a number of pods.
//!
//! Each workload has a stream of its own, and not all one of a list: a pin by revision, the place to
//! resume at and the end (204) are then exactly that workload's, also at a server that has just started
//! and remembers no list.
//!
//! `pursuit` decides, `chase` does what it says, `view` draws, `screen` writes. It may touch `wire` (to
//! make text safe), `ids` and `time`; the service itself only over bytes.

mod ask;
mod chase;
mod ci;
mod event;
mod exit;
mod pursuit;
mod reach;
mod screen;
mod seen;
mod sse;
mod summary;
mod view;

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::io::AsyncWrite;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

pub use ask::{Pins, Wanted};
pub use chase::Told;
pub use ci::Ci;
pub use event::{Ended, Event};
pub use exit::{End, Exit};
pub use reach::{Pipes, Reach, ReachError, Token};
pub use sse::{Frame, MAX_EVENT_BYTES, Reader};
pub use view::{LONGEST_SILENCE, Mode, Size, View};

use self::ask::Asker;
use self::chase::Chase;
use self::pursuit::Pursuit;
use self::screen::Screen;
use crate::ids::WorkloadId;
use crate::time;

/// Workloads that are followed at a time: each has a stream, and a server gives one user 20 by default.
pub const MOST_WORKLOADS: usize = 16;
/// What is told and not shown yet. When it is full the streams wait, and so do their servers.
const TOLD: usize = 256;
/// How often the block is drawn although nothing happens: its clock goes on.
const TICK: Duration = Duration::from_secs(1);
/// How long after the deadline, or after it is stopped, something may still be written: then nobody reads it.
pub const LAST_WORDS: Duration = Duration::from_secs(5);
/// As good as for ever, and far from where instants overflow.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 86_400);

/// What to follow.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Which workloads; at most [`MOST_WORKLOADS`].
    pub workloads: Vec<WorkloadId>,
    /// Which of their rollouts.
    pub pins: Pins,
    /// What of their logs.
    pub wanted: Wanted,
    /// Our own deadline; `None` is none.
    pub timeout: Option<Duration>,
    /// How long the server may be away.
    pub patience: Duration,
    /// Seed of the jitter.
    pub seed: u64,
    /// Cancelled when somebody wants it to end before the rollouts do.
    pub stop: CancellationToken,
}

/// Where it is shown.
pub struct Stage<W> {
    /// Where lines go.
    pub out: W,
    /// As lines, or on a terminal of this size.
    pub mode: Mode,
    /// With colours.
    pub colour: bool,
    /// The terminal's size now, if it is one.
    pub size: fn() -> Option<Size>,
    /// The system that keeps the output.
    pub ci: Ci,
    /// The address of the page, to be named at the end.
    pub page: Option<String>,
}

/// What is left when it is over.
pub struct Outcome {
    /// The status.
    pub exit: Exit,
    /// The summary as Markdown.
    pub summary: String,
}

/// Follows the rollouts to their ends.
pub async fn follow<W: AsyncWrite + Unpin>(plan: &Plan, reach: Reach, stage: Stage<W>) -> Outcome {
    let Stage { out, mode, colour, size, ci, page } = stage;
    let mut random = fastrand::Rng::with_seed(plan.seed);
    let began = Instant::now();
    let (telling, mut told) = mpsc::channel(TOLD);
    let mut chases: FuturesUnordered<_> = plan
        .workloads
        .iter()
        .enumerate()
        .map(|(at, workload)| {
            let (pins, wanted) = (plan.pins.clone(), plan.wanted.clone());
            let pursuit = Pursuit::new(pins.pinned(), plan.patience, random.u64(..));
            let asker = Asker { reach: reach.clone(), workload: workload.clone(), pins, wanted };
            let chase = Chase::new(at, asker, pursuit, telling.clone());
            async move { (at, chase.run().await) }
        })
        .collect();
    drop(telling);
    let mut view = View::new(mode, colour, &plan.workloads, time::now());
    let title = title(&plan.workloads);
    let heading = format!("following {title} at {} (times in UTC)", reach.server());
    view.command_if(ci.open(&heading, time::now()));
    view.notice(&heading, time::now());
    let mut screen = Screen::new(out);
    let mut ends: Vec<Option<End>> = vec![None; plan.workloads.len()];
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let deadline = began + plan.timeout.unwrap_or(FOREVER).min(FOREVER);
    loop {
        if let Some(size) = size() {
            view.resize(size);
        }
        let now = time::now();
        let width = view.width();
        screen.draw(&view.take_lines(), view.block(now), width, deadline + LAST_WORDS).await;
        if told.is_empty() && ends.iter().all(Option::is_some) {
            break;
        }
        tokio::select! {
            biased;
            () = plan.stop.cancelled() => break,
            () = sleep_until(deadline) => break,
            // What was told before an end is shown before it.
            Some((at, told)) = told.recv() => view.step(at, &told, time::now()),
            Some((at, end)) = chases.next() => ends[at] = Some(end),
            _ = tick.tick() => view.tick(time::now()),
        }
        // A flood of lines is drawn together.
        for _ in 0..TOLD {
            let Ok((at, told)) = told.try_recv() else { break };
            view.step(at, &told, time::now());
        }
    }
    drop(chases);
    let now = time::now();
    // Whoever has no end by now has run out of our own time, or of that of whoever started us.
    let stopped = plan.stop.is_cancelled();
    let end = if stopped { End::Stopped } else { End::Deadline };
    let open = ends.iter().enumerate().filter(|(_, end)| end.is_none()).map(|(at, _)| at);
    for at in open.collect::<Vec<_>>() {
        view.step(at, &Told::End(end.clone()), now);
        ends[at] = Some(end.clone());
    }
    let ends: Vec<End> = ends.into_iter().flatten().collect();
    view.command_if(ci.close(now));
    tell(plan, &ends, ci, page.as_deref(), &mut view);
    let width = view.width();
    let now = Instant::now();
    let until = if stopped { now } else { deadline.max(now) } + LAST_WORDS;
    screen.draw(&view.take_lines(), Vec::new(), width, until).await;
    Outcome { exit: Exit::of(&ends), summary: summary::markdown(&view) }
}

/// Tells of rollouts that cannot even begin to be followed, as of all that end: whoever reads the last line
/// or the summary finds why.
pub async fn unfollowed<W: AsyncWrite + Unpin>(plan: &Plan, end: &End, stage: Stage<W>) -> Outcome {
    let Stage { out, mode, colour, ci, page, .. } = stage;
    let now = time::now();
    let mut view = View::new(mode, colour, &plan.workloads, now);
    for at in 0..plan.workloads.len() {
        view.step(at, &Told::End(end.clone()), now);
    }
    let ends = vec![end.clone(); plan.workloads.len()];
    tell(plan, &ends, ci, page.as_deref(), &mut view);
    let (width, until) = (view.width(), Instant::now() + LAST_WORDS);
    Screen::new(out).draw(&view.take_lines(), Vec::new(), width, until).await;
    Outcome { exit: Exit::of(&ends), summary: summary::markdown(&view) }
}

/// Tells how each ended: to the system that keeps the output, and to whoever reads it.
fn tell(plan: &Plan, ends: &[End], ci: Ci, page: Option<&str>, view: &mut View) {
    for (workload, end) in plan.workloads.iter().zip(ends) {
        if end.exit() != Exit::Succeeded {
            let title = format!("{workload} {}", view::headline(end).to_lowercase());
            view.command_if(ci.error(&title, &view::reason(end)));
        }
    }
    // Last: programs read the last line.
    view.close(page);
}

fn title(workloads: &[WorkloadId]) -> String {
    match workloads {
        [one] => one.to_string(),
        several => format!("{} workloads", several.len()),
    }
}
