//! What requests and the cluster share: the world under its lock, the driver that lets time pass in
//! it, and the counters.
//!
//! Invariants: the world's lock is held for short turns and never across an await; whoever changes
//! the world wakes the watches and the driver afterwards.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::faults::{Ask, Effect, Faults, Match, RequestKind};
use super::world::World;

/// Log streams whose counts are kept, by pod and container; more than a day of the shop.
const COUNTED_LOGS: usize = 20_000;

/// Everything that is shared.
pub(super) struct Shared {
    world: Mutex<World>,
    /// The store's newest version.
    pub head: watch::Sender<u64>,
    pub faults: Mutex<Faults>,
    pub counters: Mutex<Counters>,
    driver: Arc<Notify>,
    /// Replaced when all connections are cut.
    pub connections: Mutex<CancellationToken>,
    pub odd_chunks: bool,
}

/// What was asked of the simulated API server.
#[derive(Clone, Debug, Default)]
pub struct Requests {
    /// Log answers that are open now, followed or not.
    pub logs_open: usize,
    /// The most that were open at once.
    pub logs_open_most: usize,
    /// Log requests in all.
    pub logs_total: u64,
    /// Log requests by `namespace/pod/container` (the container as it was asked for).
    pub logs: BTreeMap<String, LogCount>,
    /// Watches that are open now.
    pub watches_open: usize,
    /// Requests in all, by kind.
    pub total: BTreeMap<RequestKind, u64>,
    /// Requests over pipes that an outage refused, by method and path.
    pub refused: BTreeMap<String, u64>,
    /// Connections that are open now.
    pub connections_open: usize,
}

/// Log requests of one container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogCount {
    /// Open now.
    pub open: usize,
    /// In all.
    pub total: u64,
}

#[derive(Default)]
pub(super) struct Counters {
    pub requests: Requests,
    gates: BTreeMap<u64, Arc<Gate>>,
    next: u64,
}

/// An open answer, which can still be spoilt.
pub(super) struct Gate {
    ask: Ask,
    order: Mutex<Option<Effect>>,
    pub wake: Notify,
}

/// Counts an answer for as long as it lives.
pub(super) struct Open {
    shared: Arc<Shared>,
    id: u64,
    pub gate: Arc<Gate>,
}

// === impl Shared ===

impl Shared {
    /// Builds the world and the notification that its driver waits for.
    pub(super) fn new(world: World) -> (Arc<Self>, Arc<Notify>) {
        let driver = Arc::new(Notify::new());
        let shared = Arc::new(Shared {
            head: watch::Sender::new(world.store.head()),
            faults: Mutex::new(Faults::new(world.options.seed)),
            counters: Mutex::default(),
            driver: driver.clone(),
            connections: Mutex::default(),
            odd_chunks: world.options.odd_chunks,
            world: Mutex::new(world),
        });
        (shared, driver)
    }

    /// Reads or changes the world at the present time.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut World) -> T) -> T {
        let mut world = self.world.lock();
        world.tick();
        let before = (world.store.head(), world.next_due());
        let result = work(&mut world);
        let after = (world.store.head(), world.next_due());
        drop(world);
        if before.0 != after.0 {
            self.head.send_replace(after.0);
        }
        if before.1 != after.1 {
            self.driver.notify_one();
        }
        result
    }

    /// Counts an answer that stays open until the returned value is dropped.
    pub(super) fn open(self: &Arc<Self>, ask: Ask) -> Open {
        let mut counters = self.counters.lock();
        counters.next += 1;
        let id = counters.next;
        let gate = Arc::new(Gate { ask, order: Mutex::default(), wake: Notify::new() });
        counters.requests.count_open(&gate.ask);
        counters.gates.insert(id, gate.clone());
        Open { shared: self.clone(), id, gate }
    }

    /// Spoils open answers; tells how many.
    pub(super) fn disturb(&self, on: &Match, effect: &Effect) -> usize {
        let counters = self.counters.lock();
        let mut count = 0;
        for gate in counters.gates.values().filter(|gate| on.matches(&gate.ask)) {
            gate.put(effect.clone());
            count += 1;
        }
        count
    }

    /// Breaks every open connection.
    pub(super) fn cut_all(&self) {
        std::mem::take(&mut *self.connections.lock()).cancel();
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // The driver sees that nobody is left.
        self.driver.notify_one();
    }
}

/// Lets time pass in the world until nobody holds it any more or the token is cancelled.
pub(super) async fn drive(shared: Weak<Shared>, wake: Arc<Notify>, stop: CancellationToken) {
    loop {
        let next = {
            let Some(shared) = shared.upgrade() else { return };
            shared
                .with(|world| world.run_due().map(|time| (world.instant(time), time <= world.now)))
        };
        let due = async {
            match next {
                Some((_, true)) => tokio::task::yield_now().await,
                Some((instant, false)) => tokio::time::sleep_until(instant).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => {}
            () = wake.notified() => {}
            () = stop.cancelled() => return,
        }
    }
}

// === impl Requests ===

impl Requests {
    fn log_key(ask: &Ask) -> String {
        let word = |word: &Option<String>| word.clone().unwrap_or_default();
        format!("{}/{}/{}", word(&ask.namespace), word(&ask.name), word(&ask.container))
    }

    fn count_open(&mut self, ask: &Ask) {
        match ask.kind {
            RequestKind::Log => {
                self.logs_total += 1;
                self.logs_open += 1;
                self.logs_open_most = self.logs_open_most.max(self.logs_open);
                let key = Self::log_key(ask);
                if self.logs.len() < COUNTED_LOGS || self.logs.contains_key(&key) {
                    let count = self.logs.entry(key).or_default();
                    count.open += 1;
                    count.total += 1;
                }
            }
            RequestKind::Watch => self.watches_open += 1,
            _ => {}
        }
    }

    fn count_closed(&mut self, ask: &Ask) {
        match ask.kind {
            RequestKind::Log => {
                self.logs_open -= 1;
                if let Some(count) = self.logs.get_mut(&Self::log_key(ask)) {
                    count.open = count.open.saturating_sub(1);
                }
            }
            RequestKind::Watch => self.watches_open -= 1,
            _ => {}
        }
    }
}

// === impl Gate ===

impl Gate {
    /// Orders something for the answer from now on.
    pub(super) fn put(&self, effect: Effect) {
        *self.order.lock() = Some(effect);
        self.wake.notify_one();
    }

    /// What has been ordered since the last look.
    pub(super) fn order(&self) -> Option<Effect> {
        self.order.lock().take()
    }
}

// === impl Open ===

impl Drop for Open {
    fn drop(&mut self) {
        let mut counters = self.shared.counters.lock();
        counters.gates.remove(&self.id);
        counters.requests.count_closed(&self.gate.ask);
    }
}
