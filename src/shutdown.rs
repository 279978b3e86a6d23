//! How the program ends, and how its tasks are kept.
//!
//! Three phases: running, draining, stopped. The first SIGTERM or SIGINT drains: readiness is false
//! at once, so that load balancers look elsewhere; after the drain delay streams say `bye`, spread
//! over the drain window, so that reconnects do not arrive as one crowd. The second signal stops at
//! once, and the process' exit status says that it did.
//!
//! Invariants:
//! - Phases only move forward.
//! - Every task is spawned on a tracker by [`Supervisor::keep`] or by its owner, and is joined before the
//!   process leaves; a panic is caught, counted, and the task begun again with back-off.
//!
//! May use: `telemetry`.

mod signals;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt as _, Stream, StreamExt as _};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::signals::{Signal, Signals};
use crate::telemetry::events::TaskPanicked;
use crate::telemetry::{Metrics, panic_words};

/// What streams get to write their last event after the drain window, before they are cut.
const FAREWELL: Duration = Duration::from_secs(2);
/// First pause before a task that panicked begins again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause before a task begins again.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A task that ran this long is healthy: its next failure begins with the first pause.
const HEALTHY: Duration = Duration::from_secs(60);

/// Where the process stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Serves.
    Running,
    /// Not ready any more; finishes what is open.
    Draining,
    /// Leaves now.
    Stopped,
}

/// How long draining takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// From the signal until streams begin to say `bye`: the time that endpoints need to be updated
    /// everywhere.
    pub delay: Duration,
    /// The time over which the goodbyes are spread.
    pub window: Duration,
}

/// The handle that all parts share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Shutdown {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    timing: Timing,
    phase: watch::Sender<(Phase, Option<Instant>)>,
    stop: CancellationToken,
}

/// How the wait for signals ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Everything that was open came to its end, or its time was over.
    Drained,
    /// A second signal came, this one; what was open is cut.
    Aborted(Signal),
}

// === impl Timing ===

impl Timing {
    /// The longest time from the first signal until the last stream is cut.
    pub fn total(&self) -> Duration {
        self.delay + self.window + FAREWELL
    }
}

// === impl Shutdown ===

impl Shutdown {
    /// A process that runs.
    pub fn new(timing: Timing) -> Self {
        let (phase, _) = watch::channel((Phase::Running, None));
        Shutdown { inner: Arc::new(Inner { timing, phase, stop: CancellationToken::new() }) }
    }

    /// Where the process stands now.
    pub fn phase(&self) -> Phase {
        self.inner.phase.borrow().0
    }

    /// How long draining takes.
    pub fn timing(&self) -> Timing {
        self.inner.timing
    }

    /// Begins to drain. Does nothing if it has begun.
    pub fn drain(&self) {
        let now = Instant::now();
        self.inner.phase.send_if_modified(|state| {
            let first = state.0 == Phase::Running;
            if first {
                *state = (Phase::Draining, Some(now));
            }
            first
        });
    }

    /// Stops now: everything that still runs is cancelled.
    pub fn stop(&self) {
        let now = Instant::now();
        self.inner.phase.send_modify(|state| {
            *state = (Phase::Stopped, state.1.or(Some(now)));
        });
        self.inner.stop.cancel();
    }

    /// Ends when draining begins; gives the moment.
    pub async fn draining(&self) -> Instant {
        let mut phase = self.inner.phase.subscribe();
        // The sender lives in `self`, so the channel cannot close here.
        match phase.wait_for(|state| state.1.is_some()).await {
            Ok(state) => state.1.unwrap_or_else(Instant::now),
            Err(_) => Instant::now(),
        }
    }

    /// Ends when the process stops.
    pub async fn stopped(&self) {
        self.inner.stop.cancelled().await;
    }

    /// Ends the tasks of rooms when the process stops, and not before: draining viewers still need
    /// the rooms.
    pub fn token(&self) -> CancellationToken {
        self.inner.stop.child_token()
    }

    /// Ends when new connections are no longer taken: the drain delay after draining began.
    pub async fn closing(&self) {
        let began = self.draining().await;
        tokio::select! {
            () = tokio::time::sleep_until(began + self.inner.timing.delay) => {}
            () = self.stopped() => {}
        }
    }

    /// Ends when a stream is to say `bye`. `place` in 0 to 1 spreads streams over the drain window:
    /// each draws its own.
    pub async fn bye(&self, place: f64) {
        let began = self.draining().await;
        let Timing { delay, window } = self.inner.timing;
        tokio::select! {
            () = tokio::time::sleep_until(began + delay + window.mul_f64(place.clamp(0.0, 1.0))) => {}
            () = self.stopped() => {}
        }
    }

    /// Ends when the time for draining is over, or the process stops.
    pub async fn cut(&self) {
        let began = self.draining().await;
        tokio::select! {
            () = tokio::time::sleep_until(began + self.inner.timing.total()) => {}
            () = self.stopped() => {}
        }
    }

    /// Drives `work` (the listeners, say) until the end. Drains at the first SIGTERM or SIGINT; stops
    /// at the second, or when `work` ends because nothing is open any more, or when the time for
    /// draining is over.
    pub async fn on_signals(&self, signals: Signals, work: impl Future<Output = ()>) -> Ending {
        let signals = futures_util::stream::unfold(signals, |mut signals| async {
            Some((signals.next().await, signals))
        });
        self.run_until(signals, work).await
    }

    /// The way from the start to the end.
    async fn run_until(
        &self,
        signals: impl Stream<Item = Signal>,
        work: impl Future<Output = ()>,
    ) -> Ending {
        let mut signals = std::pin::pin!(signals);
        let mut work = std::pin::pin!(work);
        let first = tokio::select! {
            Some(signal) = signals.next() => Some(signal),
            () = &mut work => None,
        };
        self.drain();
        let ending = match first {
            None => Ending::Drained,
            Some(signal) => {
                let Timing { delay, window } = self.inner.timing;
                tracing::info!(signal = signal.name(), ?delay, ?window, "draining");
                tokio::select! {
                    Some(signal) = signals.next() => {
                        tracing::warn!(
                            signal = signal.name(),
                            "a second signal: stopping at once, open streams are cut"
                        );
                        Ending::Aborted(signal)
                    }
                    () = &mut work => Ending::Drained,
                    () = self.cut() => Ending::Drained,
                }
            }
        };
        self.stop();
        ending
    }
}

/// When a task begins again after it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// After a panic. A task that returns has done its work.
    AfterPanic,
    /// After a panic and after a return: the task should run as long as the process.
    Always,
}

/// Runs the tasks of one room: what a room needs to spawn, in one value.
#[derive(Clone, Debug)]
pub struct Supervisor {
    tracker: TaskTracker,
    token: CancellationToken,
    metrics: Arc<Metrics>,
    room: &'static str,
}

// === impl Supervisor ===

impl Supervisor {
    /// A supervisor for `room` whose tasks end with `token` and are joined through `tracker`.
    pub fn new(
        tracker: TaskTracker,
        token: CancellationToken,
        metrics: Arc<Metrics>,
        room: &'static str,
    ) -> Self {
        Supervisor { tracker, token, metrics, room }
    }

    /// The same for another room.
    pub fn for_room(&self, room: &'static str) -> Self {
        Supervisor { room, ..self.clone() }
    }

    /// Cancelled when tasks are to end.
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// The tracker, for short tasks that need no restart (one per connection, say).
    pub fn tracker(&self) -> &TaskTracker {
        &self.tracker
    }

    /// Spawns a task that is kept alive. `make` is called with the number of earlier runs: a room
    /// that lost lines by a panic marks the gap when the number is not zero.
    ///
    /// The future is dropped when the token is cancelled, unless it ends by itself before.
    pub fn keep<F, Fut>(&self, name: &'static str, restart: Restart, make: F)
    where
        F: FnMut(u64) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let this = self.clone();
        self.tracker.spawn(async move { this.run(name, restart, make).await });
    }

    async fn run<F, Fut>(&self, name: &'static str, restart: Restart, mut make: F)
    where
        F: FnMut(u64) -> Fut,
        Fut: Future<Output = ()>,
    {
        let mut pause = FIRST_PAUSE;
        for run in 0u64.. {
            let began = Instant::now();
            // Making the future may panic too, so it happens inside.
            let work = AssertUnwindSafe(async { make(run).await }).catch_unwind();
            let end = tokio::select! {
                biased;
                end = work => end,
                () = self.token.cancelled() => return,
            };
            if began.elapsed() >= HEALTHY {
                pause = FIRST_PAUSE;
            }
            match end {
                Ok(()) if restart == Restart::AfterPanic || self.token.is_cancelled() => return,
                Ok(()) => tracing::warn!(
                    room = self.room,
                    task = name,
                    restart_in = ?pause,
                    "a task ended that should not"
                ),
                Err(payload) => {
                    let message = panic_words(&*payload);
                    TaskPanicked { room: self.room, task: name, message, restart_in: Some(pause) }
                        .emit(&self.metrics);
                }
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.token.cancelled() => return,
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    const TIMING: Timing =
        Timing { delay: Duration::from_secs(5), window: Duration::from_secs(10) };

    fn supervisor() -> (Supervisor, crate::telemetry::Exposition) {
        let (metrics, exposition) = Metrics::readable();
        let token = CancellationToken::new();
        (Supervisor::new(TaskTracker::new(), token, Arc::new(metrics), "tail"), exposition)
    }

    #[tokio::test(start_paused = true)]
    async fn goodbyes_are_spread_over_the_window_after_the_delay() {
        let shutdown = Shutdown::new(TIMING);
        let began = Instant::now();
        shutdown.drain();
        assert_eq!(shutdown.phase(), Phase::Draining);
        shutdown.bye(0.0).await;
        assert_eq!(began.elapsed().as_secs(), 5);
        shutdown.bye(0.5).await;
        assert_eq!(began.elapsed().as_secs(), 10);
        shutdown.bye(1.0).await;
        assert_eq!(began.elapsed().as_secs(), 15);
        shutdown.cut().await;
        assert_eq!(began.elapsed(), TIMING.total());
    }

    /// Signals after so many seconds each, the last an interrupt, and none after it.
    fn signals(after: &[u64]) -> impl Stream<Item = Signal> {
        let last = after.len() - 1;
        let after: Vec<_> = after.iter().copied().enumerate().collect();
        let signals = futures_util::stream::iter(after).then(move |(at, seconds)| async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            if at == last { Signal::Interrupt } else { Signal::Terminate }
        });
        signals.chain(futures_util::stream::pending())
    }

    #[tokio::test(start_paused = true)]
    async fn work_is_driven_before_the_first_signal() {
        let shutdown = Shutdown::new(TIMING);
        let (served, mut seen) = watch::channel(false);
        let work = async {
            served.send_replace(true);
            std::future::pending().await
        };
        let probe = async {
            seen.wait_for(|served| *served).await.unwrap();
            assert_eq!(shutdown.phase(), Phase::Running);
        };
        tokio::join!(shutdown.run_until(signals(&[3]), work), probe);
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_drains_stops_when_nothing_is_open_any_more() {
        let shutdown = Shutdown::new(TIMING);
        let began = Instant::now();
        let work = async {
            shutdown.draining().await;
            tokio::time::sleep(Duration::from_secs(7)).await;
        };
        let ending = shutdown.run_until(signals(&[3]), work).await;
        assert_eq!((ending, began.elapsed().as_secs()), (Ending::Drained, 10));
        assert_eq!(shutdown.phase(), Phase::Stopped);
        assert!(shutdown.token().is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_signal_stops_at_once_and_is_named() {
        let shutdown = Shutdown::new(TIMING);
        let began = Instant::now();
        let ending = shutdown.run_until(signals(&[3, 1]), std::future::pending()).await;
        let aborted = Ending::Aborted(Signal::Interrupt);
        assert_eq!((ending, began.elapsed().as_secs()), (aborted, 4));
        // A stream that waits for its place is told at once.
        shutdown.bye(1.0).await;
        assert_eq!(began.elapsed().as_secs(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn draining_ends_by_itself_when_its_time_is_over() {
        let shutdown = Shutdown::new(TIMING);
        let began = Instant::now();
        let ending = shutdown.run_until(signals(&[0]), std::future::pending()).await;
        assert_eq!((ending, began.elapsed()), (Ending::Drained, TIMING.total()));
    }

    #[tokio::test(start_paused = true)]
    async fn draining_twice_does_not_begin_anew_and_stopped_never_goes_back() {
        let shutdown = Shutdown::new(TIMING);
        shutdown.drain();
        let began = shutdown.draining().await;
        tokio::time::advance(Duration::from_secs(3)).await;
        shutdown.drain();
        assert_eq!(shutdown.draining().await, began);
        shutdown.stop();
        shutdown.drain();
        assert_eq!(shutdown.phase(), Phase::Stopped);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_is_counted_and_begins_again_with_longer_pauses() {
        let (supervisor, exposition) = supervisor();
        let runs = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&runs);
        let began = Instant::now();
        supervisor.keep("follow", Restart::AfterPanic, move |run| {
            seen.store(run, Ordering::Relaxed);
            async move {
                assert!(run >= 3, "planned");
            }
        });
        supervisor.tracker().close();
        supervisor.tracker().wait().await;
        assert_eq!(runs.load(Ordering::Relaxed), 3);
        assert_eq!(began.elapsed(), Duration::from_millis(100 + 200 + 400));
        assert_eq!(exposition.value("rollcast_task_panics_total{room=\"tail\"}"), Some(3.0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_while_the_task_is_made_is_caught_too() {
        let (supervisor, exposition) = supervisor();
        supervisor.keep("follow", Restart::AfterPanic, |run| {
            assert!(run > 0, "planned");
            async {}
        });
        supervisor.tracker().close();
        supervisor.tracker().wait().await;
        assert_eq!(exposition.value("rollcast_task_panics_total{room=\"tail\"}"), Some(1.0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_should_always_run_ends_with_its_token_only() {
        let (supervisor, _) = supervisor();
        let (runs, mut seen) = watch::channel(0);
        supervisor.keep("watch", Restart::Always, move |run| {
            let _ = runs.send(run);
            async {}
        });
        seen.wait_for(|run| *run >= 2).await.unwrap();
        supervisor.token().cancel();
        supervisor.tracker().close();
        supervisor.tracker().wait().await;
    }
}
